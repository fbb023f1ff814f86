//! What every page with rows is made of: columns, cells, and their order. Pure.

use crate::query::Query;
use crate::theme::Tone;
use chorus_protocol::{EngineId, SessionNumber};
use std::cmp::Ordering;

/// What a row is about; it stays the same while figures change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// An engine.
    Engine(EngineId),
    /// An engine's worker of a session.
    Worker(EngineId, SessionNumber),
    /// A variable or a room, on an engine or in the notebook of a session.
    Held(Option<EngineId>, SessionNumber, usize),
    /// A run on an engine.
    Run(SessionNumber, u64, EngineId),
    /// A map.
    Map(SessionNumber, u64),
    /// A call.
    Task(SessionNumber, u64),
    /// A session.
    Session(SessionNumber),
    /// A place in a list.
    Place(usize),
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// What stands above it.
    pub title: &'static str,
    /// What queries call it.
    pub name: &'static str,
    /// How wide it is.
    pub width: u16,
    /// Whether its cells end at its right.
    pub right: bool,
    /// Columns of the greatest numbers are left out first where there is no room; 0 never is.
    pub rank: u8,
    /// Whether it takes what room is left.
    pub grows: bool,
}

/// A column of text.
pub const fn left(title: &'static str, name: &'static str, width: u16, rank: u8) -> Column {
    Column { title, name, width, right: false, rank, grows: false }
}

/// A column of numbers.
pub const fn right(title: &'static str, name: &'static str, width: u16, rank: u8) -> Column {
    Column { title, name, width, right: true, rank, grows: false }
}

/// A column that takes the room that is left.
pub const fn rest(title: &'static str, name: &'static str, width: u16, rank: u8) -> Column {
    Column { title, name, width, right: false, rank, grows: true }
}

/// A cell.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cell {
    /// What it shows.
    pub text: String,
    /// What it is sorted and asked by, if a number that is known.
    pub number: Option<f64>,
    /// How it looks.
    pub tone: Tone,
    /// A curve, drawn instead of the text: shares of 1, the newest last.
    pub curve: Vec<Option<f32>>,
}

impl Cell {
    /// Text.
    pub fn text(text: impl Into<String>) -> Cell {
        Cell { text: text.into(), ..Cell::default() }
    }

    /// A number and how it is written; `n/a` if it isn't known.
    pub fn number(number: Option<f64>, write: impl Fn(f64) -> String) -> Cell {
        match number {
            Some(known) => Cell { text: write(known), number, ..Cell::default() },
            None => Cell { text: crate::text::UNKNOWN.to_owned(), tone: Tone::Dim, ..Cell::default() },
        }
    }

    /// A count.
    pub fn count(count: u64) -> Cell {
        Cell::number(Some(count as f64), |count| format!("{count}"))
    }

    /// Bytes.
    pub fn bytes(bytes: Option<u64>) -> Cell {
        Cell::number(bytes.map(|it| it as f64), |bytes| crate::text::bytes(bytes as u64))
    }

    /// A time in milliseconds; it is asked for in seconds.
    pub fn millis(millis: Option<u64>) -> Cell {
        Cell::number(millis.map(|it| it as f64 / 1000.0), |seconds| crate::text::millis((seconds * 1000.0) as u64))
    }

    /// The same in another tone.
    pub fn tone(mut self, tone: Tone) -> Cell {
        self.tone = tone;
        self
    }
}

/// A row.
#[derive(Clone, Debug)]
pub struct Row {
    /// What it is about.
    pub key: Key,
    /// One for each column.
    pub cells: Vec<Cell>,
}

/// The rows of a page.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// The columns.
    pub columns: Vec<Column>,
    /// The rows, in the order in which they are shown.
    pub rows: Vec<Row>,
    /// How many there are, those that the filter hides included.
    pub total: usize,
    /// What stands there when there is no row at all.
    pub empty: &'static str,
}

/// By which column, and which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sort {
    /// The column's place; `None` leaves the order as it comes.
    pub column: Option<usize>,
    /// Whether the greatest stands first.
    pub descending: bool,
}

impl Table {
    /// A table of rows in their natural order.
    pub fn new(columns: &[Column], rows: Vec<Row>, empty: &'static str) -> Table {
        Table { columns: columns.to_vec(), total: rows.len(), rows, empty }
    }

    /// Leaves those rows that the query lets through, in this order.
    pub fn arrange(mut self, query: &Query, sort: Sort) -> Table {
        let columns = std::mem::take(&mut self.columns);
        self.rows.retain(|row| query.lets_through(&columns, row));
        self.columns = columns;
        if let Some(column) = sort.column.filter(|it| *it < self.columns.len()) {
            // A stable order: rows that are equal don't change places.
            self.rows.sort_by(|a, b| compare(&a.cells[column], &b.cells[column], sort.descending));
        }
        self
    }
}

/// What isn't known stands last either way.
fn compare(a: &Cell, b: &Cell, descending: bool) -> Ordering {
    let turn = |order: Ordering| if descending { order.reverse() } else { order };
    let unknown = |cell: &Cell| cell.text.is_empty() || cell.text == crate::text::UNKNOWN;
    match (a.number, b.number) {
        (Some(a), Some(b)) => turn(a.total_cmp(&b)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => unknown(a).cmp(&unknown(b)).then_with(|| turn(a.text.cmp(&b.text))),
    }
}

/// Which columns there is room for, and how wide each is then.
pub fn widths(columns: &[Column], room: u16) -> Vec<(usize, u16)> {
    let mut shown: Vec<usize> = (0..columns.len()).collect();
    let needed = |shown: &[usize]| shown.iter().map(|it| columns[*it].width + 1).sum::<u16>().saturating_sub(1);
    while needed(&shown) > room {
        let Some(least) = shown.iter().copied().max_by_key(|it| columns[*it].rank).filter(|it| columns[*it].rank > 0)
        else {
            break;
        };
        shown.retain(|it| *it != least);
    }
    let spare = room.saturating_sub(needed(&shown));
    let growing = shown.iter().filter(|it| columns[**it].grows).count() as u16;
    let share = spare.checked_div(growing).unwrap_or(0);
    shown.into_iter().map(|it| (it, columns[it].width + if columns[it].grows { share } else { 0 })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(values: &[Option<f64>]) -> Table {
        let row = |(place, value): (usize, &Option<f64>)| Row {
            key: Key::Place(place),
            cells: vec![Cell::number(*value, |it| it.to_string())],
        };
        Table::new(&[right("CPU", "cpu", 5, 0)], values.iter().enumerate().map(row).collect(), "")
    }

    fn order(descending: bool) -> Vec<Option<f64>> {
        let sort = Sort { column: Some(0), descending };
        let sorted = table(&[Some(2.0), None, Some(10.0), Some(1.0)]).arrange(&Query::default(), sort);
        sorted.rows.iter().map(|row| row.cells[0].number).collect()
    }

    #[test]
    fn what_is_not_known_stands_last_either_way() {
        assert_eq!(order(false), [Some(1.0), Some(2.0), Some(10.0), None]);
        assert_eq!(order(true), [Some(10.0), Some(2.0), Some(1.0), None]);
    }

    #[test]
    fn columns_go_where_there_is_no_room_and_grow_where_there_is() {
        let columns = [left("A", "a", 4, 0), left("B", "b", 4, 2), rest("C", "c", 4, 1)];
        assert_eq!(widths(&columns, 20), [(0, 4), (1, 4), (2, 10)]);
        assert_eq!(widths(&columns, 9), [(0, 4), (2, 4)]);
        assert_eq!(widths(&columns, 3), [(0, 4)]);
    }
}
