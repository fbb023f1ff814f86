//! `%%markdown`: a cell of Markdown.

use super::prelude::*;
use super::shown::Shown;

#[derive(Parser)]
pub(crate) struct Markdown {}

impl Magic for Markdown {
    const NAME: &str = "markdown";
    const FORM: Form = Form::Cell;
    const GROUP: Group = Group::Display;
    const SUMMARY: &str = "Shows the cell as Markdown";
    const USAGE: &str = "%%markdown and the text on the lines below";
    const TEACHING: &str = "\
The text is shown as it stands. `px::Markdown` shows one that Rust makes.

Examples:
  %%markdown
  *important*";

    fn read<'a>(self, call: &mut Call<'_, 'a>) -> Result<Command<'a>, MagicError> {
        Ok(Command::Show(Shown { mime: "text/markdown", text: call.text() }))
    }
}
