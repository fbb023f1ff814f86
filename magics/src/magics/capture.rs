//! `%%capture`: a cell whose outputs aren't shown.

use super::prelude::*;
use crate::Part;

/// Runs a cell without showing its outputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Capture<'a> {
    /// The variable that they become.
    pub out: Option<String>,
    /// The 1-based line of the magic.
    pub line: usize,
    /// All that stands below it, which is a cell again.
    pub parts: Vec<Part<'a>>,
}

#[derive(Parser)]
pub(crate) struct Flags {
    /// A variable for the outputs
    #[arg(value_name = "NAME", value_parser = variable)]
    out: Option<String>,
}

impl Magic for Flags {
    const NAME: &str = "capture";
    const FORM: Form = Form::Cell;
    const GROUP: Group = Group::Display;
    const SUMMARY: &str = "Runs the cell and keeps its outputs away from the notebook";
    const USAGE: &str = "%%capture [NAME] and the cell below";
    const TEACHING: &str = "\
The cell below may have magics. With NAME, what it has printed and displayed is a variable of the type `px::Captured`:
`NAME.stdout` and `NAME.stderr` are texts, `NAME.displays` has what was displayed, the cell's result included, and
`NAME.show()` shows all of it. If the cell fails, its outputs are shown.

Examples:
  %%capture
  noisy();

  %%capture out
  println!(\"loud\");";
    const UNCOMMON: bool = true;

    fn read<'a>(self, call: &mut Call<'_, 'a>) -> Result<Command<'a>, MagicError> {
        // The parts are for who reads the whole cell.
        Ok(Command::Capture(Capture { out: self.out, line: call.head.line.number, parts: Vec::new() }))
    }
}
