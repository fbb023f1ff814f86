//! `dbg!` as cells have it: std's, but with the place in the notebook. A cell is compiled as a part of a larger source, whose
//! lines are nobody's.
//!
//! rustc's wrapper puts a table of places into each cell that says `dbg`, and this macro in the place of std's prelude's, so
//! one that the user defines or imports goes before it.

use crate::group::Stretch;
use crate::host;

/// A [`Stretch`] of the source, with its columns.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    lines: Stretch,
    /// The column in the first line from which this holds.
    column: u32,
    /// How much further to the right the columns are in the cell.
    shift: i32,
}

/// A row: `first`, `count`, `cell` and `line` are those of a [`Stretch`].
#[must_use]
pub const fn row(first: u32, count: u32, cell: u32, line: u32, column: u32, shift: i32) -> Row {
    Row { lines: Stretch { first, count, cell, line }, column, shift }
}

/// What stands in the brackets: a place of the source as users know it.
#[must_use]
pub fn place(rows: &[Row], line: u32, column: u32) -> String {
    // A cell's code may be called when its cell is over: by a thread, or as a closure that a variable holds.
    let is_over = host::host().is_some() && host::own_run().is_none();
    place_of(rows, line, column, is_over)
}

fn place_of(rows: &[Row], line: u32, column: u32, is_over: bool) -> String {
    let is_in = |row: &&Row| row.lines.contains(line) && (line > row.lines.first || column >= row.column);
    // Of rows that overlap, the last is about less.
    match rows.iter().rev().find(is_in) {
        Some(row) => {
            let earlier = if is_over && row.lines.cell == 0 { "earlier " } else { "" };
            format!("{earlier}{}:{}", row.lines.place(line), column.saturating_add_signed(row.shift))
        }
        None => format!("line {line}:{column} of what the cell was compiled from"),
    }
}

/// Prints values with their texts and places, and returns them.
// `crate` is the cell's, which has the table.
#[allow(clippy::crate_in_macro_def)]
#[doc(hidden)]
#[macro_export]
macro_rules! dbg {
    () => {
        $crate::std::eprintln!(
            "[{}]",
            $crate::debug::place(crate::CHORUS_PLACES, $crate::std::line!(), $crate::std::column!())
        )
    };
    ($value:expr $(,)?) => {
        // As in std: what is borrowed in the expression lives as long as the whole.
        match $value {
            tmp => {
                $crate::std::eprintln!(
                    "[{}] {} = {:#?}",
                    $crate::debug::place(crate::CHORUS_PLACES, $crate::std::line!(), $crate::std::column!()),
                    $crate::std::stringify!($value),
                    &&tmp as &dyn $crate::std::fmt::Debug,
                );
                tmp
            }
        }
    };
    ($($value:expr),+ $(,)?) => {
        ($($crate::dbg!($value)),+,)
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_the_users() {
        let rows = [
            row(3, 3, 2, 7, 1, 0),
            // Behind what was inserted in the second line.
            row(4, 1, 2, 8, 30, -20),
            row(10, 1, 0, 1, 5, 4),
            row(11, 2, 0, 2, 0, 0),
        ];
        let at = |line, column| place_of(&rows, line, column, false);
        assert_eq!([at(3, 5), at(5, 1)], ["In[2] line 7:5", "In[2] line 9:1"]);
        assert_eq!([at(4, 29), at(4, 31)], ["In[2] line 8:29", "In[2] line 8:11"]);
        assert_eq!([at(10, 5), at(12, 2)], ["cell line 1:9", "cell line 3:2"]);
        assert_eq!(at(10, 4), "line 10:4 of what the cell was compiled from");
        assert_eq!(place_of(&rows, 12, 2, true), "earlier cell line 3:2");
        assert_eq!(place_of(&rows, 3, 5, true), "In[2] line 7:5");
    }

    #[test]
    fn values_come_back_as_from_std() {
        let text = String::from("moved");
        let moved: String = dbg!(text);
        assert_eq!(dbg!(dbg!(moved.len()) + 1, &moved[..2],), (6, "mo"));
        assert_eq!(dbg!(&[1, 2][..]).len(), 2);
        dbg!();
    }
}
