//! Finds the user's own line for a line of the source that evcxr generated.
//!
//! evcxr writes each item and statement of the user on lines of its own, unchanged, among code of its making. So the
//! user's text is looked up in the generated one; the first line of a piece may have lost its indentation.

use crate::backtrace::Known;

/// A place in a cell of the notebook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The cell's execution count.
    pub cell: u32,
    /// 1-based line in that cell.
    pub line: usize,
    /// 1-based column.
    pub column: usize,
    /// The line's text.
    pub text: String,
}

/// What is known of a compiled source: the generated text and the user's pieces in it.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    generated: String,
    pieces: Vec<MappedPiece>,
    pub(crate) known: Known,
}

#[derive(Clone, Debug)]
pub(crate) struct MappedPiece {
    pub cell: u32,
    pub line: usize,
    pub column: usize,
    pub text: String,
    /// The whole line of the cell on which `text` begins.
    pub first_line: String,
}

impl SourceMap {
    pub(crate) fn new(generated: String, pieces: Vec<MappedPiece>) -> SourceMap {
        SourceMap { generated, pieces, known: Known::default() }
    }

    /// What evcxr made of the user's text.
    pub(crate) fn generated(&self) -> &str {
        &self.generated
    }

    /// The user's place for a 1-based line and column of the generated source, if it is in the user's text at all.
    pub fn place(&self, line: u32, column: u32) -> Option<Place> {
        let (line, column) = (line as usize, column as usize);
        // Statements may repeat each other; they stand in order, so each is searched behind the one before.
        let mut from = 0;
        for piece in &self.pieces {
            let at = match self.generated.get(from..).and_then(|rest| rest.find(&piece.text)) {
                Some(at) => from + at,
                None => match self.generated.find(&piece.text) {
                    Some(at) => at,
                    None => continue,
                },
            };
            from = at + piece.text.len();
            let first = self.generated[..at].matches('\n').count() + 1;
            let Some(text) = line.checked_sub(first).and_then(|index| piece.text.lines().nth(index)) else { continue };
            let generated_column = self.generated[..at].rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            let column = if line == first { (column + piece.column).saturating_sub(generated_column) } else { column };
            let text = if line == first { piece.first_line.clone() } else { text.to_owned() };
            return Some(Place { cell: piece.cell, line: piece.line + line - first, column, text });
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(cell: u32, line: usize, column: usize, text: &str) -> MappedPiece {
        let first = text.lines().next().unwrap_or_default();
        MappedPiece { cell, line, column, text: text.into(), first_line: " ".repeat(column - 1) + first }
    }

    #[test]
    fn pieces_are_found_whatever_stands_around_them() {
        let generated = "#![allow()]\nfn f() {\n  boom()\n}\nmod x {}\nfn run() {\nlet a = 1;\na + 1;\na + 1;\n}";
        let map = SourceMap::new(
            generated.into(),
            vec![
                piece(7, 2, 1, "let a = 1;"),
                piece(7, 3, 3, "a + 1;"),
                piece(7, 4, 1, "a + 1;"),
                piece(3, 1, 1, "fn f() {\n  boom()\n}"),
            ],
        );
        let at = |line, column| map.place(line, column).map(|p| (p.cell, p.line, p.column, p.text));
        assert_eq!(at(3, 3), Some((3, 2, 3, "  boom()".into())));
        assert_eq!(at(8, 1), Some((7, 3, 3, "  a + 1;".into())), "indentation of a first line comes back");
        assert_eq!(at(9, 5), Some((7, 4, 5, "a + 1;".into())), "the second of two equal statements");
        assert_eq!(at(5, 1), None);
        assert_eq!(at(999, 1), None);
        assert_eq!(at(0, 0), None);
    }
}
