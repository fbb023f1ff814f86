//! The values of flags, as several magics read them.

use std::str::FromStr;
use std::time::Duration;

/// After how long; `None` for never. (clap gives `Option<Option<_>>` a meaning of its own.)
#[derive(Clone, Copy, Debug)]
pub(crate) struct After(pub Option<Duration>);

pub(crate) fn seconds(text: &str) -> Result<After, String> {
    let wrong = || "write seconds, 0 for at once, or -1 for never".to_owned();
    let seconds: f64 = text.parse().map_err(|_| wrong())?;
    if seconds < 0.0 {
        return Ok(After(None));
    }
    Duration::try_from_secs_f64(seconds).map(|after| After(Some(after))).map_err(|_| wrong())
}

pub(crate) fn variable(text: &str) -> Result<String, String> {
    const KEYWORDS: &str = "_ Self abstract as async await become box break const continue crate do dyn else enum \
        extern false final fn for gen if impl in let loop macro match mod move mut override priv pub ref return self \
        static struct super trait true try type typeof unsafe unsized use virtual where while yield";
    let starts_well = text.starts_with(|c: char| c.is_alphabetic() || c == '_');
    if starts_well && text.chars().all(crate::scan::is_word) && !KEYWORDS.split_whitespace().any(|word| word == text) {
        Ok(text.to_owned())
    } else {
        Err("it must be a name that a Rust variable can have".into())
    }
}

/// One of two flags that undo each other, if one was given; clap leaves the later one.
pub(crate) fn either(yes: bool, no: bool) -> Option<bool> {
    match (yes, no) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    }
}

pub(crate) fn at_least_one<N: FromStr + PartialOrd + From<u8>>(text: &str) -> Result<N, String> {
    text.parse().ok().filter(|n| *n >= N::from(1)).ok_or_else(|| "write a number, at least 1".into())
}
