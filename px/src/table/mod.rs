//! Tables of values: columns out of the texts of structs, tuples and maps, as text, as HTML and as data.

mod cell;
mod own;
mod printed;
#[cfg(test)]
mod tests;

pub use own::Table;

use crate::Bundle;
use crate::tree::layout::{ENDS, grouped};
use crate::tree::{Group, Item, Tree};
use cell::{Cell, Kind};
use std::fmt::Write as _;

/// So many columns are shown; of more, those at the ends.
const COLUMNS: usize = 30;

/// The table that is shown.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sheet {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
    /// How many rows stand above those that are left out.
    first: usize,
    /// How many rows there are.
    total: usize,
}

#[derive(Clone, Debug, PartialEq)]
struct Column {
    name: String,
    kind: Kind,
}

/// What the rows of a table are.
#[derive(Clone, Debug, PartialEq)]
enum Shape {
    /// Their fields.
    Struct(String, Vec<String>),
    Tuple(String, usize),
    Numbers(usize),
    Other,
}

impl Shape {
    fn of(value: &Tree<'_>) -> Shape {
        let Tree::Group(group) = value else { return Shape::Other };
        match group.open {
            '{' if !group.name.is_empty() => {
                let fields: Option<Vec<String>> = fields(group).map(|(name, _)| name).collect();
                match fields {
                    Some(fields) if !fields.is_empty() => Shape::Struct(group.name.to_owned(), fields),
                    _ => Shape::Other,
                }
            }
            '(' if group.items.len() > 1 => Shape::Tuple(group.name.to_owned(), group.items.len()),
            '[' if group.is_flat() && !group.items.is_empty() => {
                let all_numbers = group.items.iter().all(|item| Cell::of(&item.value).kind.is_number());
                if all_numbers { Shape::Numbers(group.items.len()) } else { Shape::Other }
            }
            _ => Shape::Other,
        }
    }

    /// That of all items.
    fn of_all(items: &[Item<'_>]) -> Shape {
        let mut shapes = items.iter().map(|item| Shape::of(&item.value));
        let first = shapes.next().unwrap_or(Shape::Other);
        if shapes.all(|shape| shape == first) { first } else { Shape::Other }
    }

    fn names(&self) -> Vec<String> {
        match self {
            Shape::Struct(_, fields) => fields.clone(),
            Shape::Tuple(_, count) | Shape::Numbers(count) => (0..*count).map(|at| at.to_string()).collect(),
            Shape::Other => vec!["value".to_owned()],
        }
    }
}

/// The fields of a struct; a name is `None` where it has another form.
fn fields<'g, 'a>(group: &'g Group<'a>) -> impl Iterator<Item = (Option<String>, &'g Tree<'a>)> {
    // `..` says that there are more, which aren't shown.
    let shown = group.items.iter().filter(|item| item.key.is_some() || item.value != Tree::atom(".."));
    shown.map(|item| match &item.key {
        Some(Tree::Atom(name)) => (Some(name.clone().into_owned()), &item.value),
        _ => (None, &item.value),
    })
}

fn cells(shape: &Shape, value: &Tree<'_>) -> Vec<Cell> {
    match value {
        Tree::Group(group) if *shape != Shape::Other => fields(group).map(|(_, value)| Cell::of(value)).collect(),
        value => vec![Cell::of(value)],
    }
}

impl Sheet {
    /// The table of these items, if they are rows of one: structs of one kind, tuples, numbers in rows, or a map's entries.
    /// Behind the first `first` of them, the others of `total` are left out.
    pub fn of_rows(items: &[Item<'_>], first: usize, total: usize) -> Option<Sheet> {
        let shape = Shape::of_all(items);
        let is_map = items.iter().all(|item| item.key.is_some());
        let is_table = match shape {
            Shape::Struct(..) => true,
            Shape::Tuple(..) | Shape::Numbers(_) => total > 1,
            Shape::Other => is_map && total > 1,
        };
        let sheet = is_table.then(|| Sheet::of_shape(&shape, items, first, total))?;
        // What has lines of its own has a form of its own.
        let has_lines = sheet.rows.iter().flatten().any(|cell| cell.text.contains('\n'));
        (!has_lines).then(|| sheet.without_middle())
    }

    /// A table of any items.
    fn of_any(items: &[Item<'_>], first: usize, total: usize) -> Sheet {
        let shape = Shape::of_all(items);
        let mut sheet = Sheet::of_shape(&shape, items, first, total);
        sheet.rows.iter_mut().flatten().for_each(|cell| cell.text = cell.text.replace('\n', " "));
        sheet
    }

    fn of_shape(shape: &Shape, items: &[Item<'_>], first: usize, total: usize) -> Sheet {
        let is_map = items.iter().any(|item| item.key.is_some());
        let key = is_map.then(|| "key".to_owned());
        let names = key.into_iter().chain(shape.names()).collect();
        let row = |item: &Item<'_>| {
            let key = item.key.as_ref().map(Cell::of);
            key.into_iter().chain(cells(shape, &item.value)).collect()
        };
        Sheet::new(names, items.iter().map(row).collect(), first, total)
    }

    fn new(names: Vec<String>, rows: Vec<Vec<Cell>>, first: usize, total: usize) -> Sheet {
        let kind = |at: usize| Kind::of_all(rows.iter().filter_map(|row| row.get(at)));
        let columns = names.into_iter().enumerate().map(|(at, name)| Column { kind: kind(at), name }).collect();
        Sheet { columns, rows, first, total }
    }

    /// The table of an array of two dimensions of ndarray, a matrix of nalgebra, a frame or a series of polars, or a record
    /// batch of Arrow, by its text.
    pub fn of_array(type_name: &str, text: &str) -> Option<Sheet> {
        let sheet = match type_name {
            name if name.starts_with("nalgebra::base::matrix::Matrix<") => of_nalgebra(text),
            name if name.starts_with("ndarray::ArrayBase<") => of_ndarray(text),
            "arrow_array::record_batch::RecordBatch" => printed::of_arrow(text),
            _ => printed::of_polars(text),
        };
        sheet.map(Sheet::without_middle)
    }

    /// Leaves out the columns in the middle, if there are many.
    fn without_middle(mut self) -> Sheet {
        let count = self.columns.len();
        if count <= COLUMNS {
            return self;
        }
        let gap = Column { name: "…".to_owned(), kind: Kind::Gap };
        self.columns.splice(ENDS..count - ENDS, [gap]);
        for row in self.rows.iter_mut().filter(|row| row.len() == count) {
            row.splice(ENDS..count - ENDS, [Cell::gap()]);
        }
        self
    }

    fn is_cut(&self) -> bool {
        self.rows.len() < self.total
    }

    /// `1,000 rows, showing 20`.
    fn count(&self) -> String {
        format!("{} rows, showing {}", grouped(self.total as u64), grouped(self.rows.len() as u64))
    }

    /// All representations; as text this one, if there is one.
    pub fn bundle(&self, text: Option<String>) -> Bundle {
        Bundle::new()
            .with("text/html", self.html())
            .with("text/plain", text.unwrap_or_else(|| self.text()))
            .with("application/vnd.dataresource+json", self.json())
    }

    /// The rows, with this one in the place of those that are left out.
    fn rows_and_gap<'g>(&'g self, gap: &'g Vec<Cell>) -> impl Iterator<Item = &'g Vec<Cell>> {
        let (first, last) = self.rows.split_at(self.first.min(self.rows.len()));
        first.iter().chain(self.is_cut().then_some(gap)).chain(last)
    }

    /// Columns two spaces apart, numbers to the right.
    fn text(&self) -> String {
        let gap: Vec<Cell> = self.columns.iter().map(|_| Cell::gap()).collect();
        let length = |text: &str| text.chars().count();
        let width = |at: usize, column: &Column| {
            let cells = self.rows.iter().filter_map(|row| Some(length(&row.get(at)?.text)));
            cells.max().unwrap_or(0).max(length(&column.name))
        };
        let widths: Vec<usize> = self.columns.iter().enumerate().map(|(at, column)| width(at, column)).collect();
        let line = |texts: &mut dyn Iterator<Item = &str>| {
            let mut line = String::new();
            for ((text, column), width) in texts.zip(&self.columns).zip(&widths) {
                // In a `String` nothing fails.
                let _ = match column.kind.is_number() {
                    true => write!(line, "{text:>width$}  "),
                    false => write!(line, "{text:<width$}  "),
                };
            }
            line.truncate(line.trim_end().len());
            line
        };
        let mut lines = vec![line(&mut self.columns.iter().map(|column| column.name.as_str()))];
        for row in self.rows_and_gap(&gap) {
            lines.push(line(&mut row.iter().map(|cell| cell.text.as_str())));
        }
        lines.extend(self.is_cut().then(|| self.count()));
        lines.join("\n")
    }

    /// In the colours of the front end, since it names none.
    fn html(&self) -> String {
        let align = |kind: Kind| if kind.is_number() { "right" } else { "left" };
        let row = |cells: &mut dyn Iterator<Item = &str>| {
            let mut html = String::from("<tr>");
            for (text, column) in cells.zip(&self.columns) {
                let align = align(column.kind);
                html += &format!("<td style=\"text-align: {align}\">{}</td>", escaped(text));
            }
            html + "</tr>"
        };
        let mut html = String::from("<div style=\"overflow-x: auto\"><table><thead><tr>");
        for Column { name, kind } in &self.columns {
            let (align, title) = (align(*kind), kind.name());
            html += &format!("<th style=\"text-align: {align}\" title=\"{title}\">{}</th>", escaped(name));
        }
        html += "</tr></thead><tbody>";
        let gap: Vec<Cell> = self.columns.iter().map(|_| Cell::gap()).collect();
        for cells in self.rows_and_gap(&gap) {
            html += &row(&mut cells.iter().map(|cell| cell.text.as_str()));
        }
        html += "</tbody></table>";
        if self.is_cut() {
            html += &format!("<div>{}</div>", self.count());
        }
        html + "</div>"
    }

    /// A tabular data resource: the kinds of the columns, and the rows that are shown.
    fn json(&self) -> String {
        let mut fields = vec![];
        for column in self.columns.iter().filter(|column| column.kind != Kind::Gap) {
            fields.push(format!("{{\"name\":{},\"type\":\"{}\"}}", cell::quoted(&column.name), column.kind.name()));
        }
        let row = |cells: &Vec<Cell>| {
            let cells = cells.iter().zip(&self.columns).filter(|(_, column)| column.kind != Kind::Gap);
            let cells =
                cells.map(|(cell, column)| format!("{}:{}", cell::quoted(&column.name), cell.json(column.kind)));
            format!("{{{}}}", cells.collect::<Vec<_>>().join(","))
        };
        let rows: Vec<String> = self.rows.iter().map(row).collect();
        let title = if self.is_cut() { format!(",\"title\":{}", cell::quoted(&self.count())) } else { String::new() };
        let (fields, rows) = (fields.join(","), rows.join(","));
        format!("{{\"schema\":{{\"fields\":[{fields}]}},\"data\":[{rows}]{title}}}")
    }
}

/// Text for HTML.
pub(crate) fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html += "&amp;",
            '<' => html += "&lt;",
            '>' => html += "&gt;",
            '"' => html += "&quot;",
            '\'' => html += "&#39;",
            // JupyterLab takes what stands between two of them for a formula.
            '$' => html += "<span>$</span>",
            c => html.push(c),
        }
    }
    html
}

/// `[[1, 2], [3, 4]], shape=[2, 2], ...`, where `...` stands for what ndarray leaves out.
fn of_ndarray(text: &str) -> Option<Sheet> {
    let (array, rest) = text.split_once(", shape=[")?;
    let (height, width) = rest.split_once(']')?.0.split_once(", ")?;
    let (height, width): (usize, usize) = (height.parse().ok()?, width.parse().ok()?);
    let one_line = array.replace(['\n', ' '], "").replace(',', ", ");
    let Tree::Group(lists) = Tree::read(&one_line)? else { return None };
    let is_gap = |value: &Tree<'_>| *value == Tree::atom("...");
    let first = lists.items.iter().position(|item| is_gap(&item.value)).unwrap_or(height);
    let mut rows = Vec::new();
    let mut names = Vec::new();
    for item in lists.items.iter().filter(|item| !is_gap(&item.value)) {
        let Tree::Group(list) = &item.value else { return None };
        let gap = list.items.iter().position(|item| is_gap(&item.value)).unwrap_or(list.items.len());
        let behind = list.items.len() - (gap + 1).min(list.items.len());
        names = (0..gap).chain(width.saturating_sub(behind)..width).map(|at| at.to_string()).collect();
        rows.push(list.items.iter().filter(|item| !is_gap(&item.value)).map(|item| Cell::of(&item.value)).collect());
    }
    let is_even = rows.iter().all(|row: &Vec<Cell>| row.len() == names.len());
    (is_even && !names.is_empty()).then(|| Sheet::new(names, rows, first, height))
}

/// `[[1, 3], [2, 4]]` by columns, or `VecStorage { data: [1, 3, 2, 4], nrows: Dyn(2), ncols: Dyn(2) }`.
fn of_nalgebra(text: &str) -> Option<Sheet> {
    let Tree::Group(group) = Tree::read(text)? else { return None };
    let list = |value: &Tree<'_>| match value {
        Tree::Group(group) if group.open == '[' => Some(group.items.iter().map(|item| Cell::of(&item.value)).collect()),
        _ => None,
    };
    let columns: Vec<Vec<Cell>> = match group.open {
        '[' => group.items.iter().map(|item| list(&item.value)).collect::<Option<_>>()?,
        _ => {
            let data: Vec<Cell> = list(&group.items.first()?.value)?;
            let (_, height) = text.split_once("nrows: Dyn(")?;
            let height: usize = height.split_once(')')?.0.parse().ok()?;
            data.chunks(height.max(1)).map(<[Cell]>::to_vec).collect()
        }
    };
    let height = columns.first()?.len();
    if columns.len() < 2 || columns.iter().any(|column| column.len() != height) {
        return None;
    }
    let is_long = height > crate::show::ROWS;
    let shown = (0..height).filter(|at| !is_long || *at < ENDS || *at >= height - ENDS);
    let rows = shown.map(|at| columns.iter().filter_map(|column| column.get(at).cloned()).collect()).collect();
    let names = (0..columns.len()).map(|at| at.to_string()).collect();
    Some(Sheet::new(names, rows, if is_long { ENDS } else { height }, height))
}
