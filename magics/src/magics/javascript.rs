//! `%%javascript`: a cell of JavaScript.

use super::prelude::*;
use super::shown::Shown;

#[derive(Parser)]
pub(crate) struct JavaScript {}

impl Magic for JavaScript {
    const NAME: &str = "javascript";
    const FORM: Form = Form::Cell;
    const GROUP: Group = Group::Display;
    const SUMMARY: &str = "Runs the cell as JavaScript in the browser";
    const USAGE: &str = "%%javascript and the text on the lines below";
    const TEACHING: &str = "\
The text is shown as it stands. `px::Bundle` shows one that Rust makes.

Examples:
  %%javascript
  element.textContent = 1 + 1";

    fn read<'a>(self, call: &mut Call<'_, 'a>) -> Result<Command<'a>, MagicError> {
        Ok(Command::Show(Shown { mime: "application/javascript", text: call.text() }))
    }
}
