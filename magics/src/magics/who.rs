//! `%who`: the names of the variables.

use super::prelude::*;

/// Lists the variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// With types and sizes, and who has them.
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
  %whos                   a table: name, type, `mut`, length, size, and where it is

A size is what the variable takes in memory with all that it owns, and `?` if its type doesn't tell that. Of a
variable of several engines, length and size are those of one, from the least to the most.";

    fn read<'a>(self, _: &mut Call<'_, 'a>) -> Result<Command<'a>, MagicError> {
        Ok(Command::Who(Who { types: false }))
    }
}
