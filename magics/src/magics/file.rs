//! `%%file`: the same as `%%writefile`.

use super::prelude::*;
use super::writefile;

#[derive(Parser)]
pub(crate) struct File {
    #[command(flatten)]
    flags: writefile::Flags,
}

impl Magic for File {
    const NAME: &str = "file";
    const FORM: Form = Form::Cell;
    const GROUP: Group = Group::Files;
    const SUMMARY: &str = "The same as `%%writefile`";
    const USAGE: &str = "%%file [-a] FILE and the text on the lines below";
    const TEACHING: &str = writefile::Flags::TEACHING;

    fn read<'a>(self, call: &mut Call<'_, 'a>) -> Result<Command<'a>, MagicError> {
        self.flags.read(call)
    }
}
