//! Rust that a magic becomes, and whose lines the user wrote.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// Words of generated lines that aren't names of the notebook's.
const GENERATED: [&str; 21] = [
    "macro_rules",
    "px",
    "px_call",
    "px_items",
    "chorus_gpu",
    "only_types",
    "over",
    "run",
    "expr",
    "ident",
    "tt",
    "map",
    "map2",
    "map3",
    "map4",
    "map_ref",
    "call",
    "call2",
    "call3",
    "call4",
    "Vec",
];

/// Generated Rust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The text.
    pub text: String,
    /// The number of its first line in the user's cell, as a cell's text is given to the compiler: 0 if that stands above it.
    pub first_line: usize,
    /// The lines of the cell that have the user's code. The others are generated.
    pub(super) users: RangeInclusive<usize>,
    /// Of a map: the variables, of the notebook and of the engines, that its function uses.
    pub captures: Option<Vec<String>>,
}

impl Text {
    /// Of a magic on one line of the cell, which has the user's code, if any does: the text begins on the line above.
    pub fn of_line(text: String, line: usize) -> Text {
        Text { text, first_line: line.saturating_sub(1), users: line..=line, captures: None }
    }

    /// Of a magic on this line of the cell, with so many lines of the user's below it, which the text's other lines stand for.
    pub fn of_cell(text: String, line: usize, below: usize) -> Text {
        Text { text, first_line: line, users: line..=line + below, captures: None }
    }

    /// The words that may name what the notebook defines. In generated lines these are types of variables.
    pub fn words(&self) -> BTreeSet<String> {
        let (lines, users) = (self.text.lines().enumerate(), &self.users);
        let words = lines.flat_map(|(at, line)| {
            let is_users = users.contains(&(self.first_line + at));
            chorus_syntax::words(line).filter(move |word| is_users || !GENERATED.contains(word))
        });
        words.map(str::to_owned).collect()
    }

    /// The first and the last line of the cell that have the user's code, as the compiler wants them.
    pub fn users(&self) -> (usize, usize) {
        (*self.users.start(), *self.users.end())
    }
}
