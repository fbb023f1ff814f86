//! `%history`: the cells that were run.

use super::prelude::*;
use std::ops::RangeInclusive;

/// Shows cells that were run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// With their numbers.
    pub numbered: bool,
    /// Which, by number; all if there is none.
    pub cells: Vec<RangeInclusive<u32>>,
}

#[derive(Parser)]
pub(crate) struct Flags {
    /// Show the cells' numbers
    #[arg(short)]
    numbered: bool,
    /// Cells by their numbers; without it, all
    #[arg(value_name = "RANGE", value_parser = range)]
    cells: Vec<RangeInclusive<u32>>,
}

fn range(text: &str) -> Result<RangeInclusive<u32>, String> {
    let number = |text: &str| text.parse::<u32>().map_err(|_| "write numbers of cells: 3, 2-5, or 4-".to_owned());
    match text.split_once('-') {
        None => number(text).map(|cell| cell..=cell),
        Some((first, "")) => Ok(number(first)?..=u32::MAX),
        Some((first, last)) => match (number(first)?, number(last)?) {
            (first, last) if first > last => Err(format!("write the earlier cell first: {last}-{first}")),
            (first, last) => Ok(first..=last),
        },
    }
}

impl Magic for Flags {
    const NAME: &str = "history";
    const GROUP: Group = Group::Notebook;
    const SUMMARY: &str = "Shows the cells that were run since the kernel started";
    const USAGE: &str = "%history [-n] [RANGE ..]";
    const TEACHING: &str = "\
Examples:
  %history                all of them, the oldest first
  %history -n 2-4 7       these, with their numbers
  %history 5-             from the fifth on";
    const UNCOMMON: bool = true;

    fn read<'a>(self, _: &mut Call<'_, 'a>) -> Result<Command<'a>, MagicError> {
        Ok(Command::History(History { numbered: self.numbered, cells: self.cells }))
    }
}
