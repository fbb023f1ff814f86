//! `%pwd`: the folder.

use super::cd::Folder;
use super::prelude::*;

#[derive(Parser)]
pub(crate) struct Pwd {}

impl Magic for Pwd {
    const NAME: &str = "pwd";
    const GROUP: Group = Group::Files;
    const SUMMARY: &str = "Shows the folder of the notebook's cells";
    const USAGE: &str = "%pwd";
    const TEACHING: &str = "`%cd` changes it.";
    const UNCOMMON: bool = true;

    fn read<'a>(self, _: &mut Call<'_, 'a>) -> Result<Command<'a>, MagicError> {
        Ok(Command::Folder(Folder::Show))
    }
}
