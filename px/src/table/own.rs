//! Tables as users want them: sorted, with chosen columns and rows.

use super::{Cell, Sheet};
use crate::tree::{Item, Tree};
use crate::{Bundle, Displayable};
use std::cmp::Ordering;
use std::fmt::Debug;

/// So many rows are shown if nothing else is asked for.
const ROWS: usize = 20;

type Format = Box<dyn Fn(&str) -> String>;

/// What is chosen, whatever the rows are.
struct Choice {
    rows: usize,
    /// What the columns are called.
    all: Vec<String>,
    /// Which are shown.
    shown: Option<Vec<usize>>,
    formats: Vec<(usize, Format)>,
    precision: Option<usize>,
}

/// A table of values, one a row: of structs, tuples, or anything else that is `Debug`.
///
/// ```
/// #[derive(Debug)]
/// struct Run { name: &'static str, seconds: f64 }
/// let runs = [Run { name: "a", seconds: 1.25 }, Run { name: "b", seconds: 0.5 }];
/// px::display(px::Table::new(&runs).sort("seconds").precision(1));
/// px::display(px::Table::new(&runs).columns(["seconds", "name"]).format("seconds", |text| format!("{text} s")));
/// px::display(px::Table::new(runs.iter().map(|run| (run.name, run.seconds))).names(["name", "s"]).rows(100));
/// ```
///
/// It has 20 rows, from the beginning and the end, if [`Table::rows`] doesn't say otherwise.
///
/// # Panics
///
/// The methods panic where there is no column of that name, and say which there are.
#[must_use = "a table is shown as the cell's last expression, without `;`, or by `px::display(..)`"]
pub struct Table<T> {
    items: Vec<T>,
    choice: Choice,
}

impl<T: Debug> Table<T> {
    /// Of a list's items, by reference or not.
    pub fn new(items: impl IntoIterator<Item = T>) -> Table<T> {
        let items: Vec<T> = items.into_iter().collect();
        // The row at the end may be of another form.
        let ends = texts(&items, [0, items.len().saturating_sub(1)].into_iter());
        Table { choice: Choice::of(&ends), items }
    }

    /// Shows so many rows; of more, those at the ends.
    pub fn rows(mut self, count: usize) -> Table<T> {
        self.choice.rows = count;
        self
    }

    /// Shows these columns, in this order.
    #[track_caller]
    pub fn columns<N: AsRef<str>>(mut self, names: impl IntoIterator<Item = N>) -> Table<T> {
        let mut columns = Vec::new();
        for name in names {
            columns.push(self.choice.column(name.as_ref()));
        }
        self.choice.shown = Some(columns);
        self
    }

    /// Calls the columns so, in their first order. Columns for which there is no name keep theirs.
    ///
    /// # Panics
    ///
    /// If there are more names than columns.
    #[track_caller]
    pub fn names<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Table<T> {
        self.choice.rename(names.into_iter().map(Into::into).collect(), self.items.is_empty());
        self
    }

    /// Sorts the rows by a column: numbers by their values, all else by its text.
    #[track_caller]
    pub fn sort(mut self, column: &str) -> Table<T> {
        let order = self.choice.order(column, &texts(&self.items, 0..self.items.len()));
        let mut items: Vec<Option<T>> = self.items.into_iter().map(Some).collect();
        self.items = order.into_iter().filter_map(|at| items.get_mut(at)?.take()).collect();
        self
    }

    /// Sorts the rows by what this makes of them.
    pub fn sort_by_key<K: Ord>(mut self, key: impl FnMut(&T) -> K) -> Table<T> {
        self.items.sort_by_key(key);
        self
    }

    /// Turns the order of the rows around.
    pub fn reverse(mut self) -> Table<T> {
        self.items.reverse();
        self
    }

    /// Shows numbers that aren't whole with so many digits behind the point.
    pub fn precision(mut self, digits: usize) -> Table<T> {
        self.choice.precision = Some(digits);
        self
    }

    /// Shows a column's values as what this makes of their texts.
    #[track_caller]
    pub fn format(mut self, column: &str, format: impl Fn(&str) -> String + 'static) -> Table<T> {
        let at = self.choice.column(column);
        self.choice.formats.push((at, Box::new(format)));
        self
    }

    /// Shows it as a cell's result.
    pub fn evcxr_display(&self) {
        self.to_bundle().evcxr_display();
    }
}

impl<T: Debug> Displayable for Table<T> {
    fn to_bundle(&self) -> Bundle {
        let count = self.items.len();
        let (first, last) = self.choice.ends(count);
        self.choice.sheet(&texts(&self.items, (0..first).chain(count - last..count)), first, count).bundle(None)
    }
}

impl<T: Debug> Displayable for &Table<T> {
    fn to_bundle(&self) -> Bundle {
        (**self).to_bundle()
    }
}

fn texts<T: Debug>(items: &[T], rows: impl Iterator<Item = usize>) -> Vec<String> {
    let mut texts = Vec::new();
    for item in rows.filter_map(|at| items.get(at)) {
        texts.push(format!("{item:?}"));
    }
    texts
}

/// The table of these rows, with all columns.
fn whole(texts: &[String], first: usize, count: usize) -> Sheet {
    let tree = |text| Item { key: None, value: Tree::read(text).unwrap_or_else(|| Tree::atom(text)) };
    let items: Vec<Item<'_>> = texts.iter().map(|text| tree(text.as_str())).collect();
    Sheet::of_any(&items, first, count)
}

/// None of this depends on what the rows are, so no cell has to compile it.
impl Choice {
    fn of(ends: &[String]) -> Choice {
        let all = whole(ends, ends.len(), ends.len()).columns.into_iter().map(|column| column.name).collect();
        Choice { rows: ROWS, all, shown: None, formats: Vec::new(), precision: None }
    }

    #[track_caller]
    fn rename(&mut self, names: Vec<String>, is_empty: bool) {
        if is_empty {
            // Which columns there would be is seen by rows.
            self.all = names;
            return;
        }
        if let Some(name) = names.get(self.all.len()) {
            let all = self.all.join("`, `");
            panic!("the table has no column for the name `{name}`: its {} columns are `{all}`", self.all.len());
        }
        for (name, new) in self.all.iter_mut().zip(names) {
            *name = new;
        }
    }

    #[track_caller]
    fn column(&self, name: &str) -> usize {
        match self.all.iter().position(|column| column == name) {
            Some(at) => at,
            None => panic!("the table has no column `{name}`; it has `{}`", self.all.join("`, `")),
        }
    }

    /// The order of the rows with these texts by a column.
    #[track_caller]
    fn order(&self, column: &str, texts: &[String]) -> Vec<usize> {
        let at = self.column(column);
        let rows = whole(texts, texts.len(), texts.len()).rows.into_iter();
        let mut order: Vec<(Option<Cell>, usize)> = rows.map(|row| row.into_iter().nth(at)).zip(0..).collect();
        order.sort_by(|(a, _), (b, _)| match (a, b) {
            (Some(a), Some(b)) => compare(a, b),
            (a, b) => a.is_some().cmp(&b.is_some()),
        });
        order.into_iter().map(|(_, at)| at).collect()
    }

    /// Of so many rows, how many are shown at the beginning and at the end.
    fn ends(&self, count: usize) -> (usize, usize) {
        match self.rows {
            most if count <= most => (count, 0),
            most => (most - most / 2, most / 2),
        }
    }

    /// The table of the rows with these texts.
    fn sheet(&self, texts: &[String], first: usize, count: usize) -> Sheet {
        let mut sheet = whole(texts, first, count);
        for row in &mut sheet.rows {
            if let Some(digits) = self.precision {
                row.iter_mut().for_each(|cell| cell.round(digits));
            }
            for (at, format) in &self.formats {
                if let Some(cell) = row.get_mut(*at) {
                    cell.text = format(&cell.text);
                    // What users write needn't be a number.
                    cell.kind = Cell::of(&Tree::atom(cell.text.clone())).kind;
                }
            }
        }
        let shown = self.shown.clone().unwrap_or_else(|| (0..self.all.len()).collect());
        let names = shown.iter().filter_map(|at| self.all.get(*at).cloned()).collect();
        let row = |row: &Vec<Cell>| shown.iter().filter_map(|at| row.get(*at).cloned()).collect();
        Sheet::new(names, sheet.rows.iter().map(row).collect(), first, count).without_middle()
    }
}

fn compare(a: &Cell, b: &Cell) -> Ordering {
    match (a.text.parse::<f64>(), b.text.parse::<f64>()) {
        (Ok(a), Ok(b)) => a.total_cmp(&b),
        (a_number, b_number) => b_number.is_ok().cmp(&a_number.is_ok()).then_with(|| a.text.cmp(&b.text)),
    }
}
