//! What is wrong with a magic, and where in the user's cell.

use super::Code;
use std::fmt;

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
pub(super) struct Line<'a> {
    /// Its text, without the line's end.
    pub(super) text: &'a str,
    /// Its 1-based number in the cell.
    pub(super) number: usize,
}

impl<'a> Line<'a> {
    /// The text from this byte on; empty behind the end.
    pub(super) fn from(self, at: usize) -> &'a str {
        self.text.get(at..).unwrap_or("")
    }

    /// The 1-based column, in characters, of this byte.
    pub(super) fn column(self, at: usize) -> usize {
        self.text.get(..at).map_or(0, |before| before.chars().count()) + 1
    }

    /// An error about these bytes of the line.
    pub(super) fn error(self, at: std::ops::Range<usize>, message: impl Into<String>) -> MagicError {
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
pub(super) fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = if wrong.chars().count() < 4 { 1 } else { 2 };
    names
        .into_iter()
        .map(|name| (distance(&wrong.to_lowercase(), name), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, name)| name)
}

/// How many letters must be put in, left out, changed or swapped with their neighbour to make one of the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut last_a = None;
    for (row, a) in a.chars().enumerate() {
        let mut line = vec![row + 1];
        for (column, &c) in b.iter().enumerate() {
            let changed = last[column] + usize::from(a != c);
            let mut best = changed.min(last[column + 1] + 1).min(line[column] + 1);
            if column > 0 && last_a == Some(c) && b[column - 1] == a {
                best = best.min(before[column - 1] + 1);
            }
            line.push(best);
        }
        before = std::mem::replace(&mut last, line);
        last_a = Some(a);
    }
    last.last().copied().unwrap_or(0)
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
            assert_eq!(distance(a, b), count, "{a} {b}");
        }
        assert_eq!(nearest("PX", ["cluster", "px"]), Some("px"));
        assert_eq!(nearest("matplotlib", ["cluster", "px"]), None);
    }

    #[test]
    fn carets_stand_under_what_is_wrong() {
        let line = Line { text: "\t%px ü --x y", number: 12 };
        let text = line.error(8..11, "no").with_help("do").to_string();
        assert_eq!(text, "no\n  --> cell line 12:8\n12 | \t%px ü --x y\n   | \t      ^^^\ndo");
    }

    proptest! {
        #[test]
        fn distance_is_symmetric(a in "[pxy]{0,6}", b in "[pxy]{0,6}") {
            prop_assert_eq!(distance(&a, &b), distance(&b, &a));
            prop_assert_eq!(distance(&a, &b) == 0, a == b);
        }
    }
}
