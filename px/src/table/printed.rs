//! Tables that other crates print: what the `Debug` of polars' frames and series, and of Arrow's record batches, writes.
//!
//! Their values aren't reached from here, since px knows no crate but std. What isn't quite what these crates write, as a
//! table with cells of several lines, stays text.

use super::{Cell, Column, Kind, Sheet};
use crate::tree::Tree;
use crate::tree::layout::without_middle;

/// A longer text loses its middle, in bytes.
const LONGEST: usize = 200;
/// Stands for what polars leaves out.
const GAP: &str = "…";

/// The table of a frame or a series of polars.
///
/// ```text
/// shape: (2, 2)
/// ┌──────┬──────┐
/// │ name ┆ rate │
/// │ ---  ┆ ---  │
/// │ str  ┆ f64  │
/// ╞══════╪══════╡
/// │ a    ┆ 1.5  │
/// │ b    ┆ null │
/// └──────┴──────┘
/// ```
pub(super) fn of_polars(text: &str) -> Option<Sheet> {
    let (shape, rest) = text.strip_prefix("shape: (")?.split_once(")\n")?;
    match shape.split_once(',')? {
        (height, "") => of_series(number(height)?, rest),
        (height, width) => of_frame(number(height)?, number(width.trim())?, rest),
    }
}

fn number(text: &str) -> Option<usize> {
    text.replace('_', "").parse().ok()
}

fn of_frame(height: usize, width: usize, text: &str) -> Option<Sheet> {
    let mut lines = text.trim_end().lines();
    let cells = |line: &'_ str| -> Option<Vec<String>> {
        let inner = line.strip_prefix('│')?.strip_suffix('│')?;
        Some(inner.split('┆').map(|cell| cell.trim().to_owned()).collect())
    };
    lines.next().filter(|line| line.starts_with(['┌', '╭']))?;
    let (names, under, types) = (cells(lines.next()?)?, cells(lines.next()?)?, cells(lines.next()?)?);
    lines.next().filter(|line| line.starts_with('╞'))?;
    lines.next_back().filter(|line| line.starts_with(['└', '╰']) && line.ends_with(['┘', '╯']))?;
    let gap = under.iter().position(String::is_empty);
    let is_gap = |at: usize| gap == Some(at);
    // A name of several lines has its end where its type would be.
    let is_header = |at: usize| if is_gap(at) { names[at] == GAP && types[at].is_empty() } else { under[at] == "---" };
    if names.len() != under.len() || names.len() != types.len() || !(0..names.len()).all(is_header) {
        return None;
    }
    match gap {
        Some(_) if names.len() > width => return None,
        None if names.len() != width => return None,
        _ => {}
    }
    let kinds = types.iter().enumerate().map(|(at, of)| if is_gap(at) { Kind::Gap } else { kind_of_polars(of) });
    let columns: Vec<Column> = names.iter().cloned().zip(kinds).map(|(name, kind)| Column { name, kind }).collect();
    let rows: Vec<Vec<String>> = lines.map(cells).collect::<Option<_>>()?;
    if rows.iter().any(|row| row.len() != columns.len()) {
        return None;
    }
    // As many rows stand before the cut as behind it, or one more. Where a single row is left out, it takes its place.
    let is_middle = |at: &usize| rows.len() <= height && rows.len().abs_diff(2 * at + 1) <= 1;
    let first = rows.iter().position(|row| row.iter().all(|cell| cell == GAP)).filter(is_middle);
    let shown = rows.len() - usize::from(first.is_some());
    let fits = match first {
        None => shown == height,
        // How many rows there would be can't be told. The second line of a cell leaves the others in its row empty.
        Some(_) => shown < height && !rows.iter().flatten().any(String::is_empty),
    };
    let is_kept = |at: &usize| first != Some(*at);
    let row = |row: &Vec<String>| row.iter().zip(&columns).map(|(text, column)| cell(text, column.kind)).collect();
    let rows = (0..rows.len()).filter(is_kept).map(|at| row(&rows[at])).collect();
    fits.then(|| sheet(columns, rows, first.unwrap_or(height), height))
}

/// `Series: 'name' [i64]`, and its values between brackets, one a line.
fn of_series(height: usize, text: &str) -> Option<Sheet> {
    let mut lines = text.trim_end().lines();
    let (name, kind) = lines.next()?.split_once(": '")?.1.strip_suffix(']')?.rsplit_once("' [")?;
    lines.next().filter(|line| *line == "[")?;
    lines.next_back().filter(|line| *line == "]")?;
    let mut texts: Vec<&str> = lines.map(|line| line.strip_prefix('\t')).collect::<Option<_>>()?;
    let column = Column { name: name.to_owned(), kind: kind_of_polars(kind) };
    // Of its own a series has no value that is written so: texts have quotes.
    let first = texts.iter().position(|text| *text == GAP);
    first.map(|first| texts.remove(first));
    let fits = if first.is_some() { texts.len() < height } else { texts.len() == height };
    let cell = |text: &&str| match unquoted(text) {
        Some(text) => Cell { text: without_middle(text, LONGEST).into_owned(), kind: Kind::Plain },
        None => cell(text, column.kind),
    };
    let rows = texts.iter().map(|text| vec![cell(text)]).collect();
    fits.then(|| sheet(vec![column], rows, first.unwrap_or(height), height))
}

/// What is between quotes. A long text is cut, and has none behind it then.
fn unquoted(text: &str) -> Option<&str> {
    let inside = text.strip_prefix('"')?;
    inside.strip_suffix('"').or_else(|| inside.ends_with(GAP).then_some(inside))
}

/// The table of a record batch of Arrow: its schema in a line, then each column's values between brackets, one a line.
///
/// ```text
/// RecordBatch { schema: Schema { fields: [Field { name: "a", data_type: Int64 }], metadata: {} }, columns: [PrimitiveArray<Int64>
/// [
///   1,
///   null,
/// ]], row_count: 2 }
/// ```
pub(super) fn of_arrow(text: &str) -> Option<Sheet> {
    let (schema, rest) = text.strip_prefix("RecordBatch { schema: ")?.split_once(", columns: [")?;
    let (values, height) = rest.strip_suffix(" }")?.rsplit_once("], row_count: ")?;
    let height = number(height)?;
    let columns = columns_of_arrow(schema)?;
    let lists = values.strip_suffix("\n]")?.split("\n], ");
    let lists: Vec<Vec<&str>> = lists.map(values_of_arrow).collect::<Option<_>>()?;
    let is_gap = |text: &str| text.starts_with("...") && text.ends_with(" elements...");
    let count = lists.first()?.len();
    let first = lists.first()?.iter().position(|text| is_gap(text));
    let shown = count - usize::from(first.is_some());
    let fits = if first.is_some() { shown < height } else { shown == height };
    let is_even = |list: &Vec<&str>| list.len() == count && list.iter().position(|text| is_gap(text)) == first;
    if !fits || lists.len() != columns.len() || !lists.iter().all(is_even) {
        return None;
    }
    let row = |at: usize| lists.iter().zip(&columns).map(|(list, column)| cell(list[at], column.kind)).collect();
    let rows = (0..count).filter(|at| first != Some(*at)).map(row).collect();
    Some(sheet(columns, rows, first.unwrap_or(height), height))
}

fn columns_of_arrow(schema: &str) -> Option<Vec<Column>> {
    let Tree::Group(schema) = Tree::read(schema)? else { return None };
    let Tree::Group(fields) = &schema.items.first().filter(|item| item.key == Some(Tree::atom("fields")))?.value else {
        return None;
    };
    let column = |field: &Tree<'_>| {
        let Tree::Group(field) = field else { return None };
        let of = |key: &str| Some(&field.items.iter().find(|item| item.key == Some(Tree::atom(key)))?.value);
        let (Tree::Atom(name), kind) = (of("name")?, of("data_type")?) else { return None };
        let kind = match kind {
            Tree::Atom(name) if name.starts_with("Int") || name.starts_with("UInt") => Kind::Integer,
            Tree::Atom(name) if name.starts_with("Float") => Kind::Number,
            Tree::Atom(name) if name == "Boolean" => Kind::Boolean,
            // Within quotes, and with `Debug`'s backslashes.
            Tree::Atom(name) if name.starts_with("Utf8") || name == "LargeUtf8" => Kind::Text,
            _ => Kind::Plain,
        };
        Some(Column { name: name.trim_matches('"').to_owned(), kind })
    };
    fields.items.iter().map(|item| column(&item.value)).collect()
}

/// `Name`, `[`, and a value a line; lists in lists have lines of another form.
fn values_of_arrow(list: &str) -> Option<Vec<&str>> {
    let mut lines = list.lines().skip(1);
    lines.next().filter(|line| *line == "[")?;
    lines.map(|line| line.strip_prefix("  ")?.strip_suffix(',')).collect()
}

/// A column is text if any of its cells is.
fn sheet(mut columns: Vec<Column>, rows: Vec<Vec<Cell>>, first: usize, total: usize) -> Sheet {
    for (at, column) in columns.iter_mut().enumerate() {
        if rows.iter().filter_map(|row| row.get(at)).any(|cell| cell.kind == Kind::Plain) {
            column.kind = Kind::Plain;
        }
    }
    Sheet { columns, rows, first, total }
}

fn kind_of_polars(name: &str) -> Kind {
    match name {
        "i8" | "i16" | "i32" | "i64" | "i128" | "u8" | "u16" | "u32" | "u64" | "u128" => Kind::Integer,
        "f16" | "f32" | "f64" => Kind::Number,
        "bool" => Kind::Boolean,
        _ => Kind::Plain,
    }
}

/// A cell of a column of this kind: what it can't be is text.
fn cell(text: &str, kind: Kind) -> Cell {
    let is_digits = text.starts_with(|c: char| c.is_ascii_digit() || c == '-');
    let quoted = || text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let (text, kind) = match kind {
        Kind::Gap => return Cell::gap(),
        _ if text == "null" => (text, Kind::Nothing),
        Kind::Text => (quoted().unwrap_or(text), Kind::Text),
        Kind::Integer if !is_digits || text.parse::<i128>().is_err() => (text, Kind::Plain),
        Kind::Number if text.parse::<f64>().is_err() => (text, Kind::Plain),
        Kind::Boolean if !matches!(text, "true" | "false") => (text, Kind::Plain),
        kind => (text, kind),
    };
    Cell { text: without_middle(text, LONGEST).into_owned(), kind }
}

#[cfg(test)]
mod tests;
