//! `%%svg`: a cell of SVG.

use super::prelude::*;
use super::shown::Shown;

#[derive(Parser)]
pub(crate) struct Svg {}

impl Magic for Svg {
    const NAME: &str = "svg";
    const FORM: Form = Form::Cell;
    const GROUP: Group = Group::Display;
    const SUMMARY: &str = "Shows the cell as an SVG image";
    const USAGE: &str = "%%svg and the text on the lines below";
    const TEACHING: &str = "\
The text is shown as it stands. `px::Svg` shows one that Rust makes.

Examples:
  %%svg
  <svg width='20' height='20'><circle cx='10' cy='10' r='9'/></svg>";

    fn read<'a>(self, call: &mut Call<'_, 'a>) -> Result<Command<'a>, MagicError> {
        Ok(Command::Show(Shown { mime: "image/svg+xml", text: call.text() }))
    }
}
