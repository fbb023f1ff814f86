//! `%%sh`: a cell for sh.

use super::bash::Bash;
use super::prelude::*;
use super::script::{Input, Script};

#[derive(Parser)]
pub(crate) struct Sh {
    #[command(flatten)]
    flags: Bash,
}

impl Magic for Sh {
    const NAME: &str = "sh";
    const FORM: Form = Form::Cell;
    const GROUP: Group = Group::Programs;
    const SUMMARY: &str = "Runs the cell with sh";
    const USAGE: &str = "%%sh [ARGUMENTS] and the script on the lines below";
    const TEACHING: &str = super::bash::Bash::TEACHING;

    fn read<'a>(self, call: &mut Call<'_, 'a>) -> Result<Command<'a>, MagicError> {
        Script::of(call, "sh".to_owned(), self.flags.args, Input::Argument)
    }
}
