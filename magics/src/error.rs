//! What is wrong with a magic, and where in the user's cell.

use crate::Code;
use std::fmt;
use std::ops::Range;
use strsim::osa_distance;

/// A magic that can't be run. It shows the user's own line, with carets under what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MagicError {
    /// What is wrong, as a sentence without a full stop.
    pub message: String,
    /// The 1-based line of the cell.
    pub line: usize,
    /// The 1-based column, in characters.
    pub column: usize,
    /// How many characters are wrong, at least 1.
    pub length: usize,
    /// The text of that line.
    pub text: String,
    /// What to do next.
    pub help: Option<String>,
}

impl std::error::Error for MagicError {}

impl fmt::Display for MagicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        // Tabs stay tabs, so that the carets stand under the same characters.
        let indent: String = self
            .text
            .chars()
            .chain(std::iter::repeat(' '))
            .take(self.column - 1)
            .map(|c| if c == '\t' { c } else { ' ' })
            .collect();
        writeln!(f, "{}", self.message)?;
        writeln!(f, "{margin}--> cell line {number}:{}", self.column)?;
        writeln!(f, "{number} | {}", self.text)?;
        write!(f, "{margin} | {indent}{}", "^".repeat(self.length))?;
        match &self.help {
            Some(help) => write!(f, "\n{help}"),
            None => Ok(()),
        }
    }
}

/// A line of a cell that holds a magic, and knows how to point into itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    /// Its text, without the line's end.
    pub text: &'a str,
    /// Its 1-based number in the cell.
    pub number: usize,
    /// The byte of the cell at which it begins.
    pub start: usize,
}

impl<'a> Line<'a> {
    /// The line of a cell that has this text, end and all.
    pub fn of(whole: &'a str, number: usize, start: usize) -> Line<'a> {
        let text = whole.strip_suffix('\n').unwrap_or(whole);
        Line { text: text.strip_suffix('\r').unwrap_or(text), number, start }
    }

    /// The text from this byte on; empty behind the end.
    pub fn from(self, at: usize) -> &'a str {
        self.text.get(at..).unwrap_or("")
    }

    /// The first byte from this one on that isn't white space; the end if there is none.
    pub fn skip_space(self, at: usize) -> usize {
        self.text.len() - self.from(at).trim_start().len()
    }

    /// What stands from this byte on, as code.
    pub fn code(self, at: usize) -> Code<'a> {
        Code { text: self.from(at), line: self.number, column: self.column(at) }
    }

    /// Its bytes from this one on, without white space at its end.
    pub fn rest(self, at: usize) -> Range<usize> {
        at..self.text.trim_end().len()
    }

    /// The 1-based column, in characters, of this byte.
    pub fn column(self, at: usize) -> usize {
        self.text.get(..at).map_or(0, |before| before.chars().count()) + 1
    }

    /// An error about these bytes of the line.
    pub fn error(self, at: Range<usize>, message: impl Into<String>) -> MagicError {
        MagicError {
            message: message.into(),
            line: self.number,
            column: self.column(at.start),
            length: self.text.get(at).map_or(1, |wrong| wrong.chars().count().max(1)),
            text: self.text.to_owned(),
            help: None,
        }
    }
}

impl MagicError {
    /// An error about a piece of this cell.
    pub fn at(code: Code<'_>, cell: &str, message: impl Into<String>) -> MagicError {
        let wrong = code.text.lines().next().unwrap_or("");
        MagicError {
            message: message.into(),
            line: code.line,
            column: code.column,
            length: wrong.chars().count().max(1),
            text: code.line.checked_sub(1).and_then(|at| cell.lines().nth(at)).unwrap_or("").to_owned(),
            help: None,
        }
    }

    /// The same with what to do next.
    pub fn with_help(mut self, help: impl Into<String>) -> MagicError {
        self.help = Some(help.into());
        self
    }
}

/// Of these names the one that `wrong` was probably meant to be.
pub(crate) fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = if wrong.chars().count() < 4 { 1 } else { 2 };
    names
        .into_iter()
        .map(|name| (osa_distance(&wrong.to_lowercase(), name), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn distances_are_counted() {
        for (a, b, count) in
            [("px", "px", 0), ("", "px", 2), ("xp", "px", 1), ("pxx", "px", 1), ("clutser", "cluster", 1)]
        {
            assert_eq!(osa_distance(a, b), count, "{a} {b}");
        }
        assert_eq!(nearest("PX", ["cluster", "px"]), Some("px"));
        assert_eq!(nearest("matplotlib", ["cluster", "px"]), None);
    }

    #[test]
    fn carets_stand_under_what_is_wrong() {
        let line = Line { text: "\t%px ü --x y", number: 12, start: 0 };
        let text = line.error(8..11, "no").with_help("do").to_string();
        assert_eq!(text, "no\n  --> cell line 12:8\n12 | \t%px ü --x y\n   | \t      ^^^\ndo");
    }

    proptest! {
        #[test]
        fn distance_is_symmetric(a in "[pxy]{0,6}", b in "[pxy]{0,6}") {
            prop_assert_eq!(osa_distance(&a, &b), osa_distance(&b, &a));
            prop_assert_eq!(osa_distance(&a, &b) == 0, a == b);
        }
    }
}
