//! `%%latex`: a cell of LaTeX.

use super::prelude::*;
use super::shown::Shown;

#[derive(Parser)]
pub(crate) struct Latex {}

impl Magic for Latex {
    const NAME: &str = "latex";
    const FORM: Form = Form::Cell;
    const GROUP: Group = Group::Display;
    const SUMMARY: &str = "Shows the cell as LaTeX";
    const USAGE: &str = "%%latex and the text on the lines below";
    const TEACHING: &str = "\
The text is shown as it stands. `px::Latex` shows one that Rust makes.

Examples:
  %%latex
  $e^{i\\pi} = -1$";

    fn read<'a>(self, call: &mut Call<'_, 'a>) -> Result<Command<'a>, MagicError> {
        Ok(Command::Show(Shown { mime: "text/latex", text: call.text() }))
    }
}
