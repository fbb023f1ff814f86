//! `%run`: a file as a cell.

use super::prelude::*;

/// Runs a file.
#[derive(Parser, Clone, Debug, PartialEq, Eq)]
pub struct RunFile {
    /// A file of Rust, or a notebook
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: String,
}

impl Magic for RunFile {
    const NAME: &str = "run";
    const GROUP: Group = Group::Files;
    const SUMMARY: &str = "Runs a file of Rust as a cell, or the cells of a notebook";
    const USAGE: &str = "%run FILE.rs or %run FILE.ipynb";
    const TEACHING: &str = "\
What the file defines stays defined, and its magics work. If it has a function `main`, that is called at the end.

Examples:
  %run src/points.rs
  %run setup.ipynb";

    fn read<'a>(self, _: &mut Call<'_, 'a>) -> Result<Command<'a>, MagicError> {
        Ok(Command::Run(self))
    }
}
