//! `%load`: a file's text for the cell.

use super::prelude::*;

/// Puts a file's text into the cell.
#[derive(Parser, Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// What to read
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: String,
}

impl Magic for Load {
    const NAME: &str = "load";
    const GROUP: Group = Group::Files;
    const SUMMARY: &str = "Puts a file's text into the cell";
    const USAGE: &str = "%load FILE";
    const TEACHING: &str = "\
The cell's text is replaced by the file's, to be looked at and run.

Examples:
  %load src/lib.rs";

    fn read<'a>(self, _: &mut Call<'_, 'a>) -> Result<Command<'a>, MagicError> {
        Ok(Command::Load(self))
    }
}
