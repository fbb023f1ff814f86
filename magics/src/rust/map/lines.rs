//! The user's pieces in their own lines and columns.

use crate::Code;

/// What a piece needs besides its place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Around {
    Nothing,
    /// An end of line behind it.
    Line,
    /// Braces on the lines above and below.
    Braces,
}

/// The user's lines, with the user's pieces in their places.
#[derive(Default)]
pub(super) struct Lines {
    pub text: String,
    /// The line of the cell that the text has come to.
    pub line: usize,
}

impl Lines {
    /// Adds a piece and a `;` behind it.
    pub fn put(&mut self, code: Code<'_>, around: Around) {
        if around == Around::Braces {
            self.text += " {";
        }
        while self.line < code.line {
            self.text.push('\n');
            self.line += 1;
        }
        let column = self.text.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        self.text.extend(std::iter::repeat_n(' ', code.column.saturating_sub(column)));
        self.text += code.text;
        self.line += code.text.matches('\n').count();
        self.text += match around {
            Around::Nothing => ";",
            Around::Line => "\n;",
            Around::Braces => "\n};",
        };
    }
}
