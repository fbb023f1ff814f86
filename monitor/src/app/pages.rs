//! The pages, and how each is looked at.

use crate::query::Query;
use crate::table::{Column, Key, Sort, Table};
use chorus_protocol::EngineId;

/// What is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// All engines.
    Overview,
    /// Runs, maps and calls.
    Tasks,
    /// What each engine did when.
    Stream,
    /// Who holds how much memory.
    Memory,
    /// Who uses the cluster.
    Sessions,
    /// Events, and the engines' log files.
    Logs,
    /// The engines' GPUs.
    Gpu,
    /// What is wrong.
    Diagnoses,
    /// One engine.
    Engine(EngineId),
    /// What the keys do.
    Help,
}

impl Page {
    /// Those that have a number, in their order.
    pub const NUMBERED: [Page; 8] = [
        Page::Overview,
        Page::Tasks,
        Page::Stream,
        Page::Memory,
        Page::Sessions,
        Page::Logs,
        Page::Gpu,
        Page::Diagnoses,
    ];
    /// How many lists there are.
    pub const LISTS: usize = 10;

    /// Its name.
    pub fn title(self) -> &'static str {
        match self {
            Page::Overview => "Engines",
            Page::Tasks => "Tasks",
            Page::Stream => "Stream",
            Page::Memory => "Memory",
            Page::Sessions => "Sessions",
            Page::Logs => "Logs",
            Page::Gpu => "GPU",
            Page::Diagnoses => "Diagnoses",
            Page::Engine(_) => "Engine",
            Page::Help => "Help",
        }
    }

    /// Which list is its.
    pub(crate) fn list(self) -> usize {
        match self {
            Page::Engine(_) => 8,
            Page::Help => 9,
            page => Page::NUMBERED.iter().position(|it| *it == page).unwrap_or(0),
        }
    }
}

/// How the rows of a page are looked at.
#[derive(Clone, Debug)]
pub struct List {
    /// The row that the cursor is on.
    pub place: usize,
    /// The first row that is shown.
    pub top: usize,
    /// How many rows there is room for.
    pub height: usize,
    /// The order.
    pub sort: Sort,
    /// The filter as it is written.
    pub filter: String,
    /// What it means, or what is wrong with it: then the one before holds.
    pub query: Result<Query, String>,
    /// Whether the cursor stays on the last row.
    pub follow: bool,
    pub(super) columns: Vec<Column>,
    key: Option<Key>,
    read: Option<String>,
}

impl Default for List {
    fn default() -> List {
        List {
            place: 0,
            top: 0,
            height: 1,
            sort: Sort::default(),
            filter: String::new(),
            query: Ok(Query::default()),
            follow: true,
            columns: Vec::new(),
            key: None,
            read: None,
        }
    }
}

impl List {
    /// The cursor stays on its row when the rows around it change, and stays where it is when its row goes.
    pub(super) fn settle(&mut self, table: &Table, height: usize) {
        let found = self.key.and_then(|key| table.rows.iter().position(|row| row.key == key));
        let last = table.rows.len().saturating_sub(1);
        self.place = found.unwrap_or(self.place).min(last);
        self.key = table.rows.get(self.place).map(|row| row.key);
        self.height = height;
        let lowest = self.place.saturating_sub(height.saturating_sub(1));
        self.top = self.top.clamp(lowest, self.place).min(table.rows.len().saturating_sub(height));
    }

    /// Moves the cursor by so many rows.
    pub(super) fn step(&mut self, by: isize, rows: usize) {
        self.put(self.place.saturating_add_signed(by), rows);
    }

    /// Puts the cursor on a row.
    pub(super) fn put(&mut self, place: usize, rows: usize) {
        self.place = place.min(rows.saturating_sub(1));
        self.key = None;
        self.follow = self.place + 1 >= rows;
    }

    /// The next column, then none.
    pub(super) fn sort_next(&mut self) {
        let next = self.sort.column.map_or(0, |column| column + 1);
        self.sort_by((next < self.columns.len()).then_some(next));
    }

    /// By this column; the same once more turns it round. Numbers begin with the greatest.
    pub(super) fn sort_by(&mut self, column: Option<usize>) {
        let descending = match column.and_then(|it| self.columns.get(it)) {
            Some(_) if column == self.sort.column => !self.sort.descending,
            Some(column) => column.right,
            None => false,
        };
        self.sort = Sort { column, descending };
    }

    pub(super) fn read_filter(&mut self) {
        if self.read.as_ref() != Some(&self.filter) {
            self.query = Query::parse(&self.filter, &self.columns);
            self.read = Some(self.filter.clone());
        }
    }
}

/// Which stretch of time the task stream shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panning {
    /// How long, in milliseconds.
    pub span: u64,
    /// Until when, in milliseconds since 1970; `None` follows the present.
    pub until: Option<u64>,
}

impl Default for Panning {
    fn default() -> Panning {
        Panning { span: 60_000, until: None }
    }
}

impl Panning {
    const SHORTEST: u64 = 500;
    const LONGEST: u64 = 24 * 3600 * 1000;

    /// Half or twice as long, around the middle, or up to the present when it follows that.
    pub(super) fn zoom(&mut self, closer: bool) {
        let old = self.span;
        self.span = if closer { old / 2 } else { old * 2 }.clamp(Panning::SHORTEST, Panning::LONGEST);
        self.until = self.until.map(|until| (until + self.span / 2).saturating_sub(old / 2));
    }

    /// A quarter of what is shown to the past or to the present.
    pub(super) fn pan(&mut self, back: bool, now: u64) {
        let until = self.until.unwrap_or(now);
        let step = self.span / 4;
        let until = if back { until.saturating_sub(step) } else { until + step };
        self.until = (until < now).then_some(until);
    }
}
