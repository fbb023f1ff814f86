//! `%timeit` and `%%timeit`: how long Rust takes that runs many times.

use super::prelude::*;
use crate::scan;

/// What is timed, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeIt<'a> {
    /// How often.
    pub flags: TimeItFlags,
    /// What runs once before, in the same scope. It doesn't end in a comment.
    pub setup: Option<Code<'a>>,
    /// What runs many times.
    pub code: Code<'a>,
}

/// How often something runs.
#[derive(Parser, Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeItFlags {
    /// How many loops a run has; as many as last about 0.2 s when left out
    #[arg(short = 'n', value_name = "N", value_parser = at_least_one::<u64>)]
    pub loops: Option<u64>,
    /// How many runs there are
    #[arg(short = 'r', value_name = "R", default_value_t = 7, value_parser = a_few)]
    pub repeats: u32,
}

fn a_few(text: &str) -> Result<u32, String> {
    text.parse().ok().filter(|n| (1..=10_000).contains(n)).ok_or_else(|| "write a number from 1 to 10000".into())
}

impl Magic for TimeItFlags {
    const NAME: &str = "timeit";
    const FORM: Form = Form::Either;
    const GROUP: Group = Group::Time;
    const SUMMARY: &str = "Runs a line or a cell many times and tells how long one takes";
    const USAGE: &str = "%timeit [-n N] [-r R] CODE, or %%timeit [-n N] [-r R] [SETUP] and the code on the lines below";
    const TEACHING: &str = "\
The code is compiled once, as the body of a closure that is called many times. It sees the notebook's variables, and
can change those that are `mut`, but can't consume one; what it defines is gone after it. It may print.

Examples:
  %timeit data.iter().sum::<u64>()
  %timeit -n 1000 -r 3 f(7)

  %%timeit let data = vec![1; 1000];     runs once and isn't counted
  let doubled: Vec<i32> = data.iter().map(|x| 2 * x).collect();
  doubled.len()";

    fn read<'a>(self, call: &mut Call<'_, 'a>) -> Result<Command<'a>, MagicError> {
        let setup = call.rest();
        let (setup, code) = match call.body {
            None => {
                call.refuse_closing();
                (None, call.code())
            }
            Some(body) if setup.text.trim().is_empty() => (None, body),
            Some(body) => {
                let text = setup.text;
                if scan::is_open(text) || scan::closes_too_much(text) || scan::ends_in_comment(text) {
                    let message = "the setup of `%%timeit` ends with its line: it must close what it opens and no more, \
                        and can't end in a comment";
                    call.note(call.error_at_rest(message));
                }
                (Some(setup), body)
            }
        };
        if call.body.is_some() {
            call.refuse_closing();
        }
        Ok(Command::TimeIt(TimeIt { flags: self, setup, code }))
    }
}
