//! `%whos`: the variables, with their types and sizes.

use super::prelude::*;
use super::who::Who;

#[derive(Parser)]
pub(crate) struct Whos {}

impl Magic for Whos {
    const NAME: &str = "whos";
    const GROUP: Group = Group::Notebook;
    const SUMMARY: &str = "Lists the variables with their types and sizes, and who has them";
    const USAGE: &str = "%whos";
    const TEACHING: &str = super::who::Flags::TEACHING;

    fn read<'a>(self, _: &mut Call<'_, 'a>) -> Result<Command<'a>, MagicError> {
        Ok(Command::Who(Who { types: true }))
    }
}
