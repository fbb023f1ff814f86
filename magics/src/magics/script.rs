//! `%%script`: a cell for any program; also what comes of `%%bash` and `%%sh`.

use super::prelude::*;

/// A program that runs on the body of the cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script<'a> {
    /// The program.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// How it gets the script.
    pub input: Input,
    /// The body.
    pub script: &'a str,
}

/// How a program gets its script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// As the argument of `-c`; its stdin is closed.
    Argument,
    /// From its stdin.
    Stdin,
}

impl<'a> Script<'a> {
    pub(super) fn of(
        call: &Call<'_, 'a>,
        program: String,
        args: Vec<String>,
        input: Input,
    ) -> Result<Command<'a>, MagicError> {
        Ok(Command::Script(Script { program, args, input, script: call.text() }))
    }
}

#[derive(Parser)]
pub(crate) struct Flags {
    /// The program
    #[arg(value_name = "PROGRAM")]
    program: String,
    /// Its arguments
    #[arg(value_name = "ARGUMENTS", trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

impl Magic for Flags {
    const NAME: &str = "script";
    const FORM: Form = Form::Cell;
    const GROUP: Group = Group::Programs;
    const SUMMARY: &str = "Runs the cell with any program, which reads it from its stdin";
    const USAGE: &str = "%%script PROGRAM [ARGUMENTS] and its input on the lines below";
    const TEACHING: &str = "\
It runs beside the kernel as `%%bash` does; the cell's text is its stdin.

Examples:
  %%script python3
  print(6 * 7)

  %%script sort -r
  a
  b";

    fn read<'a>(self, call: &mut Call<'_, 'a>) -> Result<Command<'a>, MagicError> {
        Script::of(call, self.program, self.args, Input::Stdin)
    }
}
