//! `%who`: the names of the variables.

use super::prelude::*;

/// Lists the variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// With types, and who has them.
    pub types: bool,
}

#[derive(Parser)]
pub(crate) struct Flags {}

impl Magic for Flags {
    const NAME: &str = "who";
    const GROUP: Group = Group::Notebook;
    const SUMMARY: &str = "Lists the variables";
    const USAGE: &str = "%who";
    const TEACHING: &str = "\
The notebook and each engine have variables of their own; functions, types and `use` are shared.

Examples:
  %who                    the names
  %whos                   a table: name, type, `mut`, and where it is";

    fn read<'a>(self, _: &mut Call<'_, 'a>) -> Result<Command<'a>, MagicError> {
        Ok(Command::Who(Who { types: false }))
    }
}
