//! `%time` and `%%time`: how long Rust takes, or a magic, or a cell.

use super::prelude::*;
use crate::Part;
use crate::head::Head;

/// What is timed.
#[derive(Clone, Debug, PartialEq)]
pub enum Time<'a> {
    /// The rest of the magic's line.
    Line(Code<'a>),
    /// All that stands below it, which is a cell again; or the magic that stands behind it.
    Cell(Vec<Part<'a>>),
}

#[derive(Parser)]
pub(crate) struct Flags {}

impl Magic for Flags {
    const NAME: &str = "time";
    const FORM: Form = Form::Either;
    const GROUP: Group = Group::Time;
    const SUMMARY: &str = "Tells how long a line or a cell ran, and how long it was compiled";
    const USAGE: &str = "%time CODE, or %%time and the cell below";
    const TEACHING: &str = "\
What the code defines stays defined. `%%time` may stand above any cell, a `%%px` too, and `%time` before another magic
of one line: then the time is that of the slowest engine, and the processors' time that of all engines together.

Examples:
  %time let sorted = sort(&data);
  %time slow()            prints the result, and: run 1.23 s (user 2.1 s, system 0.1 s); compiled in 0.18 s
  %time %map --sum slow over 0..100

  %%time
  let a = slow();
  let b = slow();";

    fn read<'a>(self, call: &mut Call<'_, 'a>) -> Result<Command<'a>, MagicError> {
        let is_magic = Head::find(call.head.line, call.words.code).is_some();
        // The parts are for who reads the whole cell.
        let timed = match call.body {
            None if is_magic => Time::Cell(Vec::new()),
            None => Time::Line(call.code()),
            Some(_) => {
                call.code();
                Time::Cell(Vec::new())
            }
        };
        Ok(Command::Time(timed))
    }
}
