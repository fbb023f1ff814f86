//! Finds the user's own line for a line of the source that evcxr generated.
//!
//! evcxr writes each item and statement of the user on lines of its own, unchanged, among code of its making. So the
//! user's text is looked up in the generated one; the first line of a piece may have lost its indentation.

use crate::messages::backtrace::Known;
use crate::notebook::identity::{insertions, moved, unmarked};
use crate::tools::rewrite::begins_result;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, OnceLock};

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
    located: Arc<OnceLock<Vec<Located>>>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct MappedPiece {
    pub cell: u32,
    pub line: usize,
    pub column: usize,
    pub text: String,
    /// The lines of the cell on which `text` stands, which may have more on them.
    pub shown: String,
    /// The first and the last line of the cell that aren't generated.
    pub users: (usize, usize),
}

impl SourceMap {
    pub(crate) fn new(generated: String, pieces: Vec<MappedPiece>) -> SourceMap {
        SourceMap { generated, pieces, known: Known::default(), located: Arc::default() }
    }

    /// What evcxr made of the user's text.
    pub(crate) fn generated(&self) -> &str {
        &self.generated
    }

    /// The user's place for a 1-based line and column of the generated source, if it is in the user's text at all.
    pub fn place(&self, line: u32, column: u32) -> Option<Place> {
        let (mut line, mut column) = (line as usize, column as usize);
        if self.generated.lines().nth(line.checked_sub(1)?).is_some_and(begins_result) {
            // The cell's result stands in parentheses, on lines of their own, which rustc counts as a part of it.
            let result = self.generated.lines().nth(line).unwrap_or_default();
            (line, column) = (line + 1, 1 + result.len() - result.trim_start().len());
        }
        let compiled = self.generated.lines().nth(line.checked_sub(1)?).unwrap_or_default();
        column = column.saturating_sub(moved(compiled, column));
        self.located.get_or_init(|| locate(&unmarked(&self.generated), &self.pieces)).iter().find_map(|located| {
            let piece = self.pieces.get(located.piece)?;
            let index = line.checked_sub(located.line)?;
            let text = piece.text.lines().nth(index)?;
            // What is generated around the user's code may have lines that the cell has not.
            let text = piece.shown.lines().nth(index).unwrap_or(text).to_owned();
            let column = match index {
                0 => (column + piece.column).saturating_sub(located.column),
                _ => column,
            };
            let line = piece.line + index;
            let is_users = (piece.users.0..=piece.users.1).contains(&line);
            // Of two statements on one line, a place before the second is the first's.
            let is_of_piece = index > 0 || column >= piece.column;
            (is_of_piece && is_users).then_some(Place { cell: piece.cell, line, column, text })
        })
    }

    /// Where the lines of cells are in the generated source: the first line, how many follow each other, the cell's execution
    /// count, and the first line there.
    pub fn stretches(&self) -> Vec<[u32; 4]> {
        let located = self.located.get_or_init(|| locate(&unmarked(&self.generated), &self.pieces));
        let lines: Vec<&str> = self.generated.lines().collect();
        let stretch = |it: &Located| {
            let piece = self.pieces.get(it.piece)?;
            let number = |number: usize| u32::try_from(number).ok();
            let whole = [number(it.line)?, number(piece.text.lines().count())?, piece.cell, number(piece.line)?];
            // rustc counts the parenthesis above a result as a part of it.
            let above = it.line.checked_sub(2).and_then(|at| lines.get(at)).is_some_and(|line| begins_result(line));
            Some([Some(whole), above.then_some([whole[0] - 1, 1, whole[2], whole[3]])].into_iter().flatten())
        };
        located.iter().filter_map(stretch).flatten().collect()
    }

    /// The same with columns, in order: behind the four, the column in the first line from which a row holds, and what is to
    /// be added to columns. Of rows that overlap, the later is about less.
    pub fn rows(&self) -> Vec<[i64; 6]> {
        let located = self.located.get_or_init(|| locate(&unmarked(&self.generated), &self.pieces));
        let lines: Vec<&str> = self.generated.lines().collect();
        let mut rows: Vec<[i64; 6]> = Vec::new();
        for it in located {
            let Some(piece) = self.pieces.get(it.piece) else { continue };
            let count = piece.text.lines().count();
            for index in 0..count {
                // Where the piece begins in the line; the first may have moved as a whole.
                let begins = if index == 0 { it.column } else { 1 };
                let shift = if index == 0 { piece.column as i64 - it.column as i64 } else { 0 };
                let (line, to) = ((it.line + index) as i64, (piece.line + index) as i64);
                let mut row = |lines, column, shift| rows.push([line, lines, piece.cell.into(), to, column, shift]);
                let inserted: Vec<_> = insertions(lines.get(it.line + index - 1).unwrap_or(&"")).collect();
                let before: usize = inserted
                    .iter()
                    .scan(0, |moved, (at, length)| {
                        let is_before = at - *moved < begins;
                        *moved += length;
                        is_before.then_some(*length)
                    })
                    .sum();
                // All lines behind the first are alike, but for what was inserted.
                match index {
                    0 => row(1, (begins + before) as i64, shift - before as i64),
                    1 => row(count as i64 - 1, 1, 0),
                    _ => {}
                }
                let mut moved = 0;
                for (at, length) in inserted {
                    moved += length;
                    if moved > before {
                        row(1, (at + length) as i64, shift - moved as i64);
                    }
                }
            }
        }
        rows.sort_by_key(|[line, _, _, _, column, _]| (*line, *column));
        rows
    }
}

/// Where a piece begins in the generated source.
#[derive(Clone, Copy, Debug)]
struct Located {
    piece: usize,
    /// 1-based.
    line: usize,
    /// 1-based, in characters.
    column: usize,
}

/// Finds the pieces. `f()` stands in `fn f()` too, so the longer ones choose first; pieces that repeat each other stand
/// in the order of the cell.
fn locate(generated: &str, pieces: &[MappedPiece]) -> Vec<Located> {
    let mut longest_first: Vec<usize> = (0..pieces.len()).collect();
    longest_first.sort_by_key(|piece| std::cmp::Reverse(pieces[*piece].text.len()));
    let mut taken: Vec<std::ops::Range<usize>> = Vec::new();
    let mut located = Vec::new();
    for index in longest_first {
        let text = pieces[index].text.as_str();
        let is_free = |at: &usize| taken.iter().all(|range| at + text.len() <= range.start || range.end <= *at);
        let Some(at) = generated.match_indices(text).map(|(at, _)| at).find(is_free) else { continue };
        taken.push(at..at + text.len());
        let before = &generated[..at];
        located.push(Located {
            piece: index,
            line: before.matches('\n').count() + 1,
            column: before.rsplit('\n').next().unwrap_or_default().chars().count() + 1,
        });
    }
    // The last that begins before a place on its line is the one that the place is in.
    located.sort_by_key(|located| std::cmp::Reverse((located.line, located.column)));
    located
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CellText;

    fn piece(cell: u32, line: usize, column: usize, text: &str) -> MappedPiece {
        let first = text.lines().next().unwrap_or_default();
        MappedPiece {
            cell,
            line,
            column,
            text: text.into(),
            shown: " ".repeat(column - 1) + first,
            users: CellText::ALL,
        }
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
        assert_eq!(at(4, 1), Some((3, 3, 1, "}".into())));
        assert_eq!(at(5, 1), None);
        assert_eq!(at(999, 1), None);
        assert_eq!(at(0, 0), None);
    }

    #[test]
    fn stretches_are_where_the_pieces_are() {
        let map = SourceMap::new(
            "fn f() {\n  1\n}\nfn run() {\nf();\n}".into(),
            vec![piece(5, 4, 1, "f();"), piece(2, 7, 1, "fn f() {\n  1\n}")],
        );
        let mut stretches = map.stretches();
        stretches.sort_unstable();
        assert_eq!(stretches, [[1, 3, 2, 7], [5, 1, 5, 4]]);
    }

    #[test]
    fn rows_have_columns_and_what_was_inserted_in_them() {
        let mark = "px::shared_";
        let generated = format!("{mark}thread_local!{{}} f();\n  g();\nh({mark}thread_local!()\n, 1);");
        let pieces = vec![piece(5, 4, 9, "f();"), piece(5, 5, 1, "g();"), piece(2, 7, 1, "h(thread_local!()\n, 1);")];
        let rows = SourceMap::new(generated, pieces).rows();
        let expected =
            [[1, 1, 5, 4, 28, -19], [2, 1, 5, 5, 3, -2], [3, 1, 2, 7, 1, 0], [3, 1, 2, 7, 14, -11], [4, 1, 2, 8, 1, 0]];
        assert_eq!(rows, expected);
    }

    #[test]
    fn lines_are_shown_as_the_user_wrote_them() {
        let text = "let a = {\npx!{ |x| x;     xs}\n};";
        let shown = "\n%map -o a |x| x over xs".to_owned();
        let piece = MappedPiece { cell: 2, line: 0, column: 1, text: text.into(), shown, users: (1, 1) };
        let map = SourceMap::new(text.into(), vec![piece]);
        let at = |line| map.place(line, 6).map(|place| (place.line, place.column, place.text));
        assert_eq!(at(2), Some((1, 6, "%map -o a |x| x over xs".into())));
        assert_eq!((at(1), at(3)), (None, None), "what is generated is nobody's place");
    }

    #[test]
    fn the_parentheses_around_a_result_belong_to_it() {
        let map = SourceMap::new("let a = 0;\n(\n1 / a\n).show();".into(), vec![piece(4, 1, 12, "1 / a")]);
        let place = map.place(2, 1).unwrap();
        assert_eq!((place.cell, place.line, place.column), (4, 1, 12));
        assert_eq!(map.place(4, 1), None);
        assert_eq!(map.stretches(), [[3, 1, 4, 1], [2, 1, 4, 1]]);
    }

    #[test]
    fn a_call_is_not_taken_for_the_definition() {
        let map = SourceMap::new(
            "fn f() {\n  boom()\n}\nfn run() {\n(f()).show();\n}".into(),
            vec![piece(2, 1, 1, "f()"), piece(1, 5, 1, "fn f() {\n  boom()\n}")],
        );
        let at = |line, column| map.place(line, column).map(|p| (p.cell, p.line, p.column));
        assert_eq!(at(2, 3), Some((1, 6, 3)));
        assert_eq!(at(5, 2), Some((2, 1, 1)));
    }
}
