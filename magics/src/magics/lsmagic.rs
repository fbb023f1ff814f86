//! `%lsmagic`: the magics that there are.

use super::prelude::*;

/// Shows [`list`](crate::list).
#[derive(Parser, Clone, Debug, PartialEq, Eq)]
pub struct LsMagic {}

impl Magic for LsMagic {
    const NAME: &str = "lsmagic";
    const GROUP: Group = Group::Notebook;
    const SUMMARY: &str = "Lists the magics";
    const USAGE: &str = "%lsmagic";
    const TEACHING: &str = "`%NAME?` tells more of each, and `%NAME??` does so in the pager.";
    const UNCOMMON: bool = true;

    fn read<'a>(self, _: &mut Call<'_, 'a>) -> Result<Command<'a>, MagicError> {
        Ok(Command::LsMagic(self))
    }
}
