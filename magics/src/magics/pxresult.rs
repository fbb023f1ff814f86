//! `%pxresult`: outputs once more.

use super::prelude::*;
use crate::Grouping;
use crate::config::Grouped;

/// What is shown, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PxResult {
    /// How outputs are grouped.
    pub grouping: Grouping,
    /// Whether every engine's outputs are shown although others' are identical; of a map, what each engine did.
    pub each: bool,
    /// Which outputs: those of `%px -o NAME`, or all that nobody has seen, or else the last ones. For `partial`, the variable to be defined, if any.
    pub out: Option<String>,
    /// What the last map has done, though it didn't come to its end.
    pub partial: bool,
}

#[derive(Parser)]
pub(crate) struct Flags {
    #[command(flatten)]
    grouped: Grouped,
    /// The outputs that `%px -o NAME` kept, and no others
    #[arg(short, long, value_name = "NAME", value_parser = variable)]
    out: Option<String>,
    /// What a `%map` has done that was interrupted or failed; with -o NAME as a variable of this name
    #[arg(long)]
    partial: bool,
}

impl Magic for Flags {
    const NAME: &str = "pxresult";
    const GROUP: Group = Group::Parallel;
    const SUMMARY: &str = "Shows what parallel cells did that nobody waited for, or else the last one's outputs again";
    const USAGE: &str = "%pxresult [-r | -e | -g BY] [--each] [--partial] [-o NAME]";
    const TEACHING: &str = "\
Examples:
  %px -a slow()           returns at once
  %pxresult               waits for its end, and shows what came of it
  %pxresult -e            the same, engine by engine
  %pxresult --each        after a `%map`, also what each engine did for it
  %pxresult -o squares    what `%px -o squares` printed and computed
  %pxresult -o handle     what came of `%map -a -o handle`
  %pxresult --partial -o some   what an interrupted `%map` has done, as a variable";
    const UNCOMMON: bool = true;

    fn read<'a>(self, call: &mut Call<'_, 'a>) -> Result<Command<'a>, MagicError> {
        Ok(Command::PxResult(PxResult {
            grouping: self.grouped.grouping().unwrap_or(call.config.grouping),
            each: self.grouped.each().unwrap_or(call.config.each),
            out: self.out,
            partial: self.partial,
        }))
    }

    fn values(argument: &str) -> Option<What> {
        (argument == "out").then_some(What::Kept)
    }
}
