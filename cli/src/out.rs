//! What this program prints: on stdout what was asked for, on stderr what is wrong.

use std::error::Error;
use std::fmt;
use std::io::{self, Write};

/// stdout takes nothing any more.
#[derive(Debug, thiserror::Error)]
#[error("stdout: {0}")]
pub struct Unprinted(io::Error);

/// Prints a text on stdout, at once. Where it can't, as on a full disk, that is an error; `print!` would panic.
pub fn print(text: fmt::Arguments<'_>) -> Result<(), Unprinted> {
    let mut out = io::stdout().lock();
    out.write_fmt(text).and_then(|()| out.flush()).map_err(Unprinted)
}

/// As [`print()`], with the end of a line.
macro_rules! say {
    ($($text:tt)*) => { $crate::out::print(format_args!("{}\n", format_args!($($text)*))) };
}
pub(crate) use say;

/// Prints a text on stderr. If that can't be, there is nobody to tell.
pub fn note(text: fmt::Arguments<'_>) {
    _ = io::stderr().write_fmt(text);
}

/// Says on stderr what is wrong. A reader of stdout that went away, as `head` does, has read enough: nothing is said of
/// that.
pub fn complain(error: &(dyn Error + 'static)) {
    let is_closed = |it: &Unprinted| it.0.kind() == io::ErrorKind::BrokenPipe;
    if !error.downcast_ref().is_some_and(is_closed) {
        note(format_args!("chorus: {}\n", told(error)));
    }
}

/// An error and its causes. Many errors tell their cause themselves; then it isn't told again.
fn told(error: &dyn Error) -> String {
    let (mut above, mut source) = (error.to_string(), error.source());
    let mut text = above.clone();
    while let Some(cause) = source {
        let why = cause.to_string();
        if !above.contains(&why) {
            text += &format!("\n  because: {why}");
        }
        (above, source) = (why, cause.source());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        source: Option<Box<Layer>>,
    }

    fn layers(texts: &[&'static str]) -> Option<Box<Layer>> {
        let (text, rest) = texts.split_first()?;
        Some(Box::new(Layer { text, source: layers(rest) }))
    }

    #[test]
    fn a_cause_is_told_once() {
        let told = |texts: &[&'static str]| told(&*layers(texts).unwrap());
        assert_eq!(told(&["no"]), "no");
        assert_eq!(told(&["a can't be written: full", "full"]), "a can't be written: full");
        assert_eq!(told(&["no terminal: lost; try --once", "lost"]), "no terminal: lost; try --once");
        assert_eq!(told(&["a: b: c", "b: c", "c"]), "a: b: c");
        assert_eq!(told(&["a", "b: c", "c", "d"]), "a\n  because: b: c\n  because: d");
    }
}
