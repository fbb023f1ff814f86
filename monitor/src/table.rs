//! What every page with rows is made of: columns, cells, and their order. Pure.

use crate::query::Query;
use crate::theme::Tone;
use chorus_protocol::{EngineId, SessionNumber};
use ratatui::text::Span;
use std::cmp::Ordering;

/// What a row is about; it stays the same while figures change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// An engine.
    Engine(EngineId),
    /// A host: its name, as a number.
    Host(u64),
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
    /// What the row at a place goes on with, on so many lines below it.
    Below(usize, usize),
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
    /// How wide it gets where there is room.
    pub most: u16,
}

impl Column {
    /// Whether it takes room that is left.
    pub const fn grows(&self) -> bool {
        self.most > self.width
    }

    /// The same, which takes room that is left until it is so wide.
    pub const fn up_to(self, most: u16) -> Column {
        Column { most, ..self }
    }
}

/// A column of text.
pub const fn left(title: &'static str, name: &'static str, width: u16, rank: u8) -> Column {
    Column { title, name, width, right: false, rank, most: width }
}

/// A column of numbers.
pub const fn right(title: &'static str, name: &'static str, width: u16, rank: u8) -> Column {
    Column { title, name, width, right: true, rank, most: width }
}

/// A column that takes the room that is left.
pub const fn rest(title: &'static str, name: &'static str, width: u16, rank: u8) -> Column {
    Column { title, name, width, right: false, rank, most: u16::MAX }
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
    /// How many the filter lets through.
    pub shown: usize,
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
        Table { columns: columns.to_vec(), shown: rows.len(), total: rows.len(), rows, empty }
    }

    /// Leaves those rows that the query lets through, in this order.
    pub fn arrange(mut self, query: &Query, sort: Sort) -> Table {
        let columns = std::mem::take(&mut self.columns);
        self.rows.retain(|row| query.lets_through(&columns, row));
        self.columns = columns;
        self.shown = self.rows.len();
        self.sort(sort)
    }

    /// The rows in this order.
    pub fn sort(mut self, sort: Sort) -> Table {
        if let Some(column) = sort.column.filter(|it| *it < self.columns.len()) {
            // A stable order: rows that are equal don't change places.
            self.rows.sort_by(|a, b| compare(&a.cells[column], &b.cells[column], sort.descending));
        }
        self
    }
}

impl Table {
    /// Texts of the column that grows go on below where there is no room for them.
    pub fn wrap(mut self, room: u16) -> Table {
        let growing = widths(&self.columns, room).into_iter().find(|(column, _)| self.columns[*column].grows());
        let Some((column, width)) = growing.filter(|(_, width)| *width > 0) else { return self };
        let mut rows = Vec::with_capacity(self.rows.len());
        for (place, mut row) in self.rows.into_iter().enumerate() {
            let mut lines = cut(&row.cells[column].text, usize::from(width)).into_iter();
            let Some(first) = lines.next() else { continue };
            let tone = row.cells[column].tone;
            row.cells[column].text = first;
            let count = row.cells.len();
            let place = if let Key::Place(place) = row.key { place } else { place };
            rows.push(row);
            for (line, text) in lines.enumerate() {
                let mut cells = vec![Cell::default(); count];
                cells[column] = Cell::text(text).tone(tone);
                rows.push(Row { key: Key::Below(place, line), cells });
            }
        }
        self.rows = rows;
        self
    }
}

/// A text in lines of at most this width; a single empty one if it is empty.
fn cut(text: &str, width: usize) -> Vec<String> {
    let (mut lines, mut line, mut used) = (Vec::new(), String::new(), 0);
    for c in text.chars() {
        let wide = if c.is_ascii() { 1 } else { Span::from(c.to_string()).width() };
        if used + wide > width && used > 0 {
            lines.push(std::mem::take(&mut line));
            used = 0;
        }
        line.push(c);
        used += wide;
    }
    lines.push(line);
    lines
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

/// A column that gives way is no narrower than this.
const NARROWEST: u16 = 6;

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
    let mut widths: Vec<(usize, u16)> = shown.iter().map(|it| (*it, columns[*it].width)).collect();
    let total = |widths: &[(usize, u16)]| widths.iter().map(|(_, width)| width + 1).sum::<u16>().saturating_sub(1);
    // Where not even these fit, what would grow gives way, and then the last ones.
    let lacking = total(&widths).saturating_sub(room);
    if let Some((_, width)) = widths.iter_mut().find(|(it, _)| columns[*it].grows()) {
        *width = width.saturating_sub(lacking).max(NARROWEST.min(*width));
    }
    while total(&widths) > room && widths.len() > 1 {
        widths.pop();
    }
    let mut spare = room.saturating_sub(total(&widths));
    while spare > 0 {
        let growing = || widths.iter().filter(|(it, width)| *width < columns[*it].most).count() as u16;
        let Some(share) = spare.checked_div(growing()) else { break };
        for (it, width) in &mut widths {
            let more = share.max(1).min(spare).min(columns[*it].most - (*width).min(columns[*it].most));
            (*width, spare) = (*width + more, spare - more);
        }
    }
    widths
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
    fn long_texts_go_on_below() {
        let columns = [left("UTC", "utc", 3, 0), rest("LINE", "line", 4, 0)];
        let row = |place, text: &str| Row { key: Key::Place(place), cells: vec![Cell::text("now"), Cell::text(text)] };
        let table = Table::new(&columns, vec![row(0, "abcdefghij"), row(1, ""), row(2, "äöü€")], "").wrap(8);
        let of = |row: &Row| (row.key, row.cells[0].text.clone(), row.cells[1].text.clone());
        let rows: Vec<_> = table.rows.iter().map(of).collect();
        let expected = [
            (Key::Place(0), "now", "abcd"),
            (Key::Below(0, 0), "", "efgh"),
            (Key::Below(0, 1), "", "ij"),
            (Key::Place(1), "now", ""),
            (Key::Place(2), "now", "äöü€"),
        ];
        assert_eq!(rows, expected.map(|(key, time, text)| (key, time.to_owned(), text.to_owned())));
        assert_eq!((table.shown, table.total), (3, 3));
    }

    #[test]
    fn columns_go_where_there_is_no_room_and_grow_where_there_is() {
        let columns = [left("A", "a", 4, 0), left("B", "b", 4, 2), rest("C", "c", 4, 1)];
        assert_eq!(widths(&columns, 20), [(0, 4), (1, 4), (2, 10)]);
        assert_eq!(widths(&columns, 9), [(0, 4), (2, 4)]);
        assert_eq!(widths(&columns, 3), [(0, 4)]);
        let columns = [left("A", "a", 4, 0), rest("C", "c", 20, 0), left("B", "b", 4, 0)];
        assert_eq!(widths(&columns, 20), [(0, 4), (1, 10), (2, 4)], "what grows gives way");
        assert_eq!(widths(&columns, 12), [(0, 4), (1, 7)], "and then the last one goes");
        let columns = [rest("A", "a", 4, 0).up_to(10), rest("B", "b", 4, 0)];
        assert_eq!(widths(&columns, 15), [(0, 7), (1, 7)]);
        assert_eq!(widths(&columns, 101), [(0, 10), (1, 90)], "no column is wider than it is of use");
    }
}
