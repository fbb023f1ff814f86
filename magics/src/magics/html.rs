//! `%%html`: a cell of HTML.

use super::prelude::*;
use super::shown::Shown;

#[derive(Parser)]
pub(crate) struct Html {}

impl Magic for Html {
    const NAME: &str = "html";
    const FORM: Form = Form::Cell;
    const GROUP: Group = Group::Display;
    const SUMMARY: &str = "Shows the cell as HTML";
    const USAGE: &str = "%%html and the text on the lines below";
    const TEACHING: &str = "\
The text is shown as it stands. `px::Html` shows one that Rust makes.

Examples:
  %%html
  <b>bold</b>";

    fn read<'a>(self, call: &mut Call<'_, 'a>) -> Result<Command<'a>, MagicError> {
        Ok(Command::Show(Shown { mime: "text/html", text: call.text() }))
    }
}
