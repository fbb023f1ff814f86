//! Tables, as text and as HTML.

use super::magics::LEFT;
pub(super) use chorus_history::one_line;
use html_escape::encode_text;

/// Columns of the same width, two spaces apart.
pub fn text_table<const COLUMNS: usize>(head: [&str; COLUMNS], rows: &[[String; COLUMNS]]) -> String {
    let head = head.map(str::to_owned);
    let all = || std::iter::once(&head).chain(rows);
    let widths = std::array::from_fn(|at| all().map(|row| row[at].chars().count()).max().unwrap_or(0));
    let line = |row: &[String; COLUMNS]| {
        let widths: [usize; COLUMNS] = widths;
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    all().map(line).collect::<Vec<_>>().join("\n")
}

/// The same, aligned to the left.
pub fn html_table<const COLUMNS: usize>(head: [&str; COLUMNS], rows: &[[String; COLUMNS]]) -> String {
    let encoded: Vec<_> = rows.iter().map(|row| row.clone().map(|cell| encode_text(&cell).into_owned())).collect();
    html_table_of(head, &encoded)
}

/// The same of cells that are HTML already.
pub(super) fn html_table_of<const COLUMNS: usize>(head: [&str; COLUMNS], rows: &[[String; COLUMNS]]) -> String {
    let row = |tag: &str, cells: &[String]| {
        let cells: String = cells.iter().map(|cell| format!("<{tag} {LEFT}>{cell}</{tag}>")).collect();
        format!("<tr>{cells}</tr>")
    };
    let head = row("th", &head.map(|name| encode_text(name).into_owned()));
    let body: String = rows.iter().map(|cells| row("td", cells)).collect();
    format!("<table><thead>{head}</thead><tbody>{body}</tbody></table>")
}
