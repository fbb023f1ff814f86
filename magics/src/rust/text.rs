//! Rust that a magic becomes, and whose lines the user wrote.

use std::ops::RangeInclusive;

/// Generated Rust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The text.
    pub text: String,
    /// The number of its first line in the user's cell, as a cell's text is given to the compiler: 0 if that stands above it.
    pub first_line: usize,
    /// The lines of the cell that have the user's code. The others are generated.
    pub(super) users: RangeInclusive<usize>,
}

impl Text {
    /// Of a magic on one line of the cell, which has the user's code, if any does: the text begins on the line above.
    pub fn of_line(text: String, line: usize) -> Text {
        Text { text, first_line: line.saturating_sub(1), users: line..=line }
    }

    /// The first and the last line of the cell that have the user's code, as the compiler wants them.
    pub fn users(&self) -> (usize, usize) {
        (*self.users.start(), *self.users.end())
    }
}
