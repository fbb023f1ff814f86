//! A value in a table, and of which kind it is.

use crate::tree::Tree;
use crate::tree::layout::{LONGEST, one_line, without_middle};

/// A longer text loses its middle, in bytes.
const LONGEST_CELL: usize = 200;

/// As text, and what that is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cell {
    pub text: String,
    pub kind: Kind,
}

/// What a value or a whole column is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Integer,
    Number,
    Boolean,
    Text,
    /// Text without the backslashes that `Debug` writes.
    Plain,
    /// `None`, which every column may have.
    Nothing,
    /// Stands for columns that are left out.
    Gap,
}

impl Kind {
    /// That of a column with these values.
    pub fn of_all<'a>(cells: impl Iterator<Item = &'a Cell>) -> Kind {
        let mut kinds = cells.map(|cell| cell.kind).filter(|kind| *kind != Kind::Nothing);
        let first = kinds.next().unwrap_or(Kind::Text);
        kinds.fold(first, |all, kind| match (all, kind) {
            (all, kind) if all == kind => all,
            (all, kind) if all.is_number() && kind.is_number() => Kind::Number,
            _ => Kind::Text,
        })
    }

    pub fn is_number(self) -> bool {
        matches!(self, Kind::Integer | Kind::Number)
    }

    /// As tabular data resources call it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Integer => "integer",
            Kind::Number => "number",
            Kind::Boolean => "boolean",
            Kind::Text | Kind::Plain | Kind::Nothing | Kind::Gap => "string",
        }
    }
}

impl Cell {
    pub fn gap() -> Cell {
        Cell { text: "…".to_owned(), kind: Kind::Gap }
    }

    pub fn of(value: &Tree<'_>) -> Cell {
        match value {
            Tree::Group(group) if group.name == "Some" && group.items.len() == 1 => Cell::of(&group.items[0].value),
            Tree::Atom(atom) => Cell::of_atom(atom),
            value => {
                let text = one_line(value, LONGEST).unwrap_or_else(|| "…".to_owned());
                Cell { text: without_middle(&text, LONGEST_CELL).into_owned(), kind: Kind::Text }
            }
        }
    }

    fn of_atom(atom: &str) -> Cell {
        let quoted = ['"', '\''].iter().find_map(|quote| atom.strip_prefix(*quote)?.strip_suffix(*quote));
        let kind = match atom {
            _ if quoted.is_some() => Kind::Text,
            "true" | "false" => Kind::Boolean,
            "None" | "()" => Kind::Nothing,
            "NaN" | "inf" | "-inf" => Kind::Number,
            atom if !atom.starts_with(|c: char| c.is_ascii_digit() || c == '-') => Kind::Text,
            atom if atom.parse::<i128>().is_ok() || atom.parse::<u128>().is_ok() => Kind::Integer,
            atom if atom.parse::<f64>().is_ok() => Kind::Number,
            _ => Kind::Text,
        };
        Cell { text: without_middle(quoted.unwrap_or(atom), LONGEST_CELL).into_owned(), kind }
    }

    /// A number with so many digits behind the point; all else as it is.
    pub fn round(&mut self, digits: usize) {
        if self.kind == Kind::Number
            && let Ok(number) = self.text.parse::<f64>()
        {
            self.text = format!("{number:.digits$}");
        }
    }

    /// As JSON, in a column of this kind.
    pub fn json(&self, column: Kind) -> String {
        match column {
            _ if self.kind == Kind::Nothing => "null".to_owned(),
            // JSON has no other numbers.
            Kind::Number | Kind::Integer if self.text.parse::<f64>().is_ok_and(|number| !number.is_finite()) => {
                "null".to_owned()
            }
            Kind::Number | Kind::Integer | Kind::Boolean => self.text.clone(),
            Kind::Plain => quoted(&self.text),
            _ => quoted(&unescaped(&self.text)),
        }
    }
}

/// A string of JSON.
pub(super) fn quoted(text: &str) -> String {
    let mut json = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            c if c < ' ' => json += &format!("\\u{:04x}", u32::from(c)),
            c => json.push(c),
        }
    }
    json + "\""
}

/// What `Debug` has written with backslashes.
fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some('t') => plain.push('\t'),
            Some('0') => plain.push('\0'),
            Some('u') => {
                let code: String = chars.by_ref().take_while(|c| *c != '}').filter(|c| *c != '{').collect();
                plain.extend(u32::from_str_radix(&code, 16).ok().and_then(char::from_u32));
            }
            Some(c) => plain.push(c),
            None => plain.push('\\'),
        }
    }
    plain
}
