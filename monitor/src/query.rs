//! The filter: a regular expression over a row's text, and conditions on its columns.
//!
//! `cpu > 50`, `mem >= 1G`, `state = busy`; several are joined by `and`, or by a comma with a condition behind it.
//! Anything else is a regular expression that ignores case.

use crate::table::{Cell, Column, Row};
use regex::{Regex, RegexBuilder};

/// A filter; an empty one lets everything through.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<Condition>);

#[derive(Clone, Debug)]
enum Condition {
    Matches(Regex),
    Compares { column: String, how: Compare, number: Option<f64>, text: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compare {
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
    GreaterOrEqual,
    Greater,
}

/// The longer ones first, since others begin with them.
const SIGNS: [(&str, Compare); 7] = [
    ("<=", Compare::LessOrEqual),
    (">=", Compare::GreaterOrEqual),
    ("!=", Compare::NotEqual),
    ("==", Compare::Equal),
    ("<", Compare::Less),
    (">", Compare::Greater),
    ("=", Compare::Equal),
];

impl Query {
    /// Reads a filter for a table of these columns.
    pub fn parse(text: &str, columns: &[Column]) -> Result<Query, String> {
        let parts = text.split(" and ").flat_map(split_at_commas).map(str::trim).filter(|part| !part.is_empty());
        parts.map(|part| condition(part, columns)).collect::<Result<_, _>>().map(Query)
    }

    /// Whether a row is shown.
    pub fn lets_through(&self, columns: &[Column], row: &Row) -> bool {
        self.0.iter().all(|condition| condition.holds(columns, row))
    }
}

/// At those that a condition follows: others may be a regular expression's.
fn split_at_commas(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut begin = 0;
    for (comma, _) in text.match_indices(',') {
        if comparison(text[comma + 1..].trim_start()).is_some() {
            parts.push(&text[begin..comma]);
            begin = comma + 1;
        }
    }
    parts.push(&text[begin..]);
    parts
}

/// The name, the sign and what is behind it, if the text begins with a condition.
fn comparison(text: &str) -> Option<(&str, &(&'static str, Compare), &str)> {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|end| *end > 0)?;
    let (name, behind) = (&text[..end], text[end..].trim_start());
    let sign = SIGNS.iter().find(|(sign, _)| behind.starts_with(sign))?;
    Some((name, sign, behind[sign.0.len()..].trim()))
}

fn condition(text: &str, columns: &[Column]) -> Result<Condition, String> {
    let Some((name, (sign, how), value)) = comparison(text) else {
        let regex = RegexBuilder::new(text).case_insensitive(true).size_limit(1 << 20).build();
        return regex
            .map(Condition::Matches)
            .map_err(|error| format!("`{text}` is no regular expression: {}", last_line(&error)));
    };
    let name = name.to_ascii_lowercase();
    if !columns.iter().any(|column| column.name == name) {
        let known: Vec<&str> = columns.iter().map(|column| column.name).filter(|name| !name.is_empty()).collect();
        return Err(format!("there is no column `{name}`; there are {}", known.join(", ")));
    }
    if value.is_empty() {
        return Err(format!("what is `{name}` to be compared with? Such as `{name} {sign} 50`"));
    }
    let number = number(value);
    if number.is_none() && !matches!(how, Compare::Equal | Compare::NotEqual) {
        return Err(format!("`{value}` is no number; write one such as 50, 1.5G or 200ms"));
    }
    Ok(Condition::Compares { column: name, how: *how, number, text: value.to_lowercase() })
}

fn last_line(error: &regex::Error) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

/// `50`, `50%`, `1.5G`, `200MiB`, `10s`, `200ms`, `2m`: sizes are bytes, and times are seconds.
fn number(text: &str) -> Option<f64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (amount, unit) = (text[..digits].parse::<f64>().ok()?, text[digits..].trim());
    let factor = match unit {
        "" | "%" | "s" | "B" | "b" => 1.0,
        "ms" => 0.001,
        "min" | "m" => 60.0,
        "h" => 3600.0,
        unit => match unit.trim_end_matches("/s").trim_end_matches(['B', 'b']).trim_end_matches('i') {
            "K" | "k" => 1024.0,
            "M" => 1024f64.powi(2),
            "G" | "g" => 1024f64.powi(3),
            "T" | "t" => 1024f64.powi(4),
            _ => return None,
        },
    };
    Some(amount * factor)
}

impl Condition {
    fn holds(&self, columns: &[Column], row: &Row) -> bool {
        match self {
            Condition::Matches(regex) => row.cells.iter().any(|cell| regex.is_match(&cell.text)),
            Condition::Compares { column, how, number, text } => {
                let place = columns.iter().position(|it| it.name == column);
                let Some(cell) = place.and_then(|place| row.cells.get(place)) else { return false };
                compares(cell, *how, *number, text)
            }
        }
    }
}

/// A number that isn't known is neither more nor less than any.
fn compares(cell: &Cell, how: Compare, number: Option<f64>, text: &str) -> bool {
    if let (Some(is), Some(wanted)) = (cell.number, number) {
        return match how {
            Compare::Less => is < wanted,
            Compare::LessOrEqual => is <= wanted,
            Compare::Equal => is == wanted,
            Compare::NotEqual => is != wanted,
            Compare::GreaterOrEqual => is >= wanted,
            Compare::Greater => is > wanted,
        };
    }
    match how {
        Compare::Equal => cell.text.to_lowercase() == text,
        Compare::NotEqual => cell.text.to_lowercase() != text,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Key, left, right};

    const COLUMNS: [Column; 3] = [left("STATE", "state", 8, 0), right("CPU%", "cpu", 5, 0), right("MEM", "mem", 5, 0)];

    fn passes(text: &str, state: &str, cpu: Option<f64>, memory: u64) -> bool {
        let cells = vec![Cell::text(state), Cell::number(cpu, |it| format!("{it:.0}")), Cell::bytes(Some(memory))];
        let query = Query::parse(text, &COLUMNS).unwrap_or_else(|error| panic!("{text}: {error}"));
        query.lets_through(&COLUMNS, &Row { key: Key::Place(0), cells })
    }

    #[test]
    fn columns_are_compared() {
        assert!(passes("cpu > 50", "busy", Some(80.0), 0));
        assert!(!passes("cpu>80", "busy", Some(80.0), 0));
        assert!(passes("mem >= 1G", "busy", None, 1 << 30));
        assert!(!passes("MEM < 1GiB", "busy", None, 1 << 30));
        assert!(passes("state = Busy and cpu != 3", "busy", Some(80.0), 0));
        assert!(!passes("state = busy, mem > 5k", "busy", None, 5 << 10));
    }

    #[test]
    fn what_is_not_known_is_neither_more_nor_less() {
        assert!(!passes("cpu > 0", "idle", None, 0) && !passes("cpu <= 0", "idle", None, 0));
        assert!(passes("cpu = n/a", "idle", None, 0));
    }

    #[test]
    fn other_texts_are_regular_expressions() {
        assert!(passes("bu.y", "busy", None, 0) && passes("IDLE|BUSY", "busy", None, 0) && passes("", "x", None, 0));
        assert!(!passes("idle", "busy", None, 0));
        assert!(passes("s{1,2}y$", "bussy", None, 0) && !passes("s{2,3}y$", "busy", None, 0));
        assert!(passes("u[a,s]y, cpu > 5", "busy", Some(80.0), 0) && !passes("us,cpu>90", "busy", Some(80.0), 0));
        assert!(!passes("cpu > 5 and idle", "busy", Some(80.0), 0));
    }

    #[test]
    fn mistakes_are_explained() {
        let error = |text: &str| Query::parse(text, &COLUMNS).unwrap_err();
        assert_eq!(error("cpo > 5"), "there is no column `cpo`; there are state, cpu, mem");
        assert_eq!(error("cpu > much"), "`much` is no number; write one such as 50, 1.5G or 200ms");
        assert!(error("cpu >").starts_with("what is `cpu` to be compared with?"));
        assert!(error("(").starts_with("`(` is no regular expression: unclosed group"), "{}", error("("));
    }

    #[test]
    fn numbers_have_units() {
        let read = ["50", "50%", "1.5K", "2MiB", "200ms", "2m", "3 h"].map(|text| number(text).unwrap());
        assert_eq!(read, [50.0, 50.0, 1536.0, 2.0 * 1024.0 * 1024.0, 0.2, 120.0, 10_800.0]);
        assert_eq!(["", "x", "1x", "1.2.3"].map(number), [None; 4]);
    }
}
