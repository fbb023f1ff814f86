//! `%reset`: an empty notebook.

use super::prelude::*;

/// Forgets variables and definitions.
#[derive(Parser, Clone, Debug, PartialEq, Eq)]
pub struct Reset {
    /// Don't ask
    #[arg(short)]
    pub force: bool,
}

impl Magic for Reset {
    const NAME: &str = "reset";
    const GROUP: Group = Group::Notebook;
    const SUMMARY: &str = "Forgets all variables and definitions";
    const USAGE: &str = "%reset [-f]";
    const TEACHING: &str = "\
It does what `:clear` does, for the notebook and the engines, and asks first. Dependencies stay.

Examples:
  %reset
  %reset -f               doesn't ask";

    fn read<'a>(self, _: &mut Call<'_, 'a>) -> Result<Command<'a>, MagicError> {
        Ok(Command::Reset(self))
    }
}
