//! `%cancel`: the end of a map or a call.

use super::prelude::*;

/// What is to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cancel {
    /// What was started last.
    Last,
    /// What has this number in `%tasks`.
    Number(u64),
    /// The map whose handle has this name.
    Named(String),
    /// All.
    All,
}

fn task(text: &str) -> Result<Cancel, String> {
    if text == "all" {
        return Ok(Cancel::All);
    }
    match text.parse() {
        Ok(number) => Ok(Cancel::Number(number)),
        Err(_) => variable(text).map(Cancel::Named),
    }
}

#[derive(Parser)]
pub(crate) struct Flags {
    /// The variable of `%map -a -o NAME`, a number of `%tasks`, or all; what was started last if left out
    #[arg(value_name = "NAME|NUMBER|all", value_parser = task)]
    task: Option<Cancel>,
}

impl Magic for Flags {
    const NAME: &str = "cancel";
    const GROUP: Group = Group::Data;
    const SUMMARY: &str = "Ends a map or a call that runs; what it has done is kept";
    const USAGE: &str = "%cancel [NAME|all]";
    const TEACHING: &str = super::tasks::Tasks::TEACHING;

    fn read<'a>(self, _: &mut Call<'_, 'a>) -> Result<Command<'a>, MagicError> {
        Ok(Command::Cancel(self.task.unwrap_or(Cancel::Last)))
    }
}
