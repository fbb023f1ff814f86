//! `%tasks`: the maps and calls that there are.

use super::prelude::*;

/// Shows the maps and calls.
#[derive(Parser, Clone, Debug, PartialEq, Eq)]
pub struct Tasks {
    /// Draw the calls, with arrows to those that need them
    #[arg(long, conflicts_with = "stream")]
    pub graph: bool,
    /// Draw what engines did when: in the last map, or in the last minute if there was none
    #[arg(long)]
    pub stream: bool,
}

impl Magic for Tasks {
    const NAME: &str = "tasks";
    const GROUP: Group = Group::Data;
    const SUMMARY: &str = "Lists the maps and calls that run, wait or have ended";
    const USAGE: &str = "%tasks [--graph | --stream]";
    const TEACHING: &str = "\
Maps in the background, and single calls from Rust: `px::call!(function, arguments, {options})` has a function called
on an engine and returns a handle at once, which may be the argument of another call. Options: `after: [handles]`,
`on: 2` for an engine, `gpu: 1` for any with a GPU, `retries: 3`, `timeout: 10` in seconds. `px::put(&big)` makes
an argument that each host gets once.

Examples:
  %map -a -o handle slow over 0..100
  %tasks                  what runs, and how far it is
  %tasks --graph          the calls as a graph: which waits for which
  %tasks --stream         what each engine did when, in the last map
  %cancel handle          ends it; what was done remains: handle.partial()
  %cancel 3               what has this number in the list
  %cancel                 what was started last
  %cancel all

  let a = px::call!(score, 5);
  let b = px::call!(add, a, 1.0, { retries: 2 });
  b.get()?";

    fn read<'a>(self, _: &mut Call<'_, 'a>) -> Result<Command<'a>, MagicError> {
        Ok(Command::Tasks(self))
    }
}
