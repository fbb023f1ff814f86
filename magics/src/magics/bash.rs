//! `%%bash`: a cell for bash.

use super::prelude::*;
use super::script::{Input, Script};

#[derive(Parser)]
pub(crate) struct Bash {
    /// Arguments of the shell, such as -e
    #[arg(value_name = "ARGUMENTS", trailing_var_arg = true, allow_hyphen_values = true)]
    pub(super) args: Vec<String>,
}

impl Magic for Bash {
    const NAME: &str = "bash";
    const FORM: Form = Form::Cell;
    const GROUP: Group = Group::Programs;
    const SUMMARY: &str = "Runs the cell with bash";
    const USAGE: &str = "%%bash [ARGUMENTS] and the script on the lines below";
    const TEACHING: &str = "\
It runs beside the kernel, in the folder in which the kernel was started, and its stdin is closed. An interrupt ends it
with all that it started; what it leaves running in the background ends with the cell. A status other than 0 is an
error. The arguments on the first line are the shell's.

Examples:
  %%bash -e
  for i in 1 2 3; do echo $i; done

  !ls -l                  a single line, above the cell's Rust";

    fn read<'a>(self, call: &mut Call<'_, 'a>) -> Result<Command<'a>, MagicError> {
        Script::of(call, "bash".to_owned(), self.args, Input::Argument)
    }
}
