//! Tables, as text and as HTML.

use super::magics::LEFT;
pub(super) use chorus_history::one_line;
use html_escape::encode_text;

/// Columns of the same width, two spaces apart.
pub fn text_table<'a>(head: impl AsRef<[&'a str]>, rows: &[impl AsRef<[String]>]) -> String {
    let head: Vec<String> = head.as_ref().iter().map(|&name| name.to_owned()).collect();
    let all = || std::iter::once(&head[..]).chain(rows.iter().map(AsRef::as_ref));
    let width = |at: usize| all().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |row: &[String]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    all().map(line).collect::<Vec<_>>().join("\n")
}

/// The same, aligned to the left.
pub fn html_table<'a>(head: impl AsRef<[&'a str]>, rows: &[impl AsRef<[String]>]) -> String {
    let encode = |row: &[String]| row.iter().map(|cell| encode_text(cell).into_owned()).collect::<Vec<_>>();
    let encoded: Vec<_> = rows.iter().map(|row| encode(row.as_ref())).collect();
    html_table_of(head, &encoded)
}

/// The same of cells that are HTML already.
pub(super) fn html_table_of<'a>(head: impl AsRef<[&'a str]>, rows: &[impl AsRef<[String]>]) -> String {
    let row = |tag: &str, cells: &[String]| {
        let cells: String = cells.iter().map(|cell| format!("<{tag} {LEFT}>{cell}</{tag}>")).collect();
        format!("<tr>{cells}</tr>")
    };
    let head = row("th", &head.as_ref().iter().map(|&name| encode_text(name).into_owned()).collect::<Vec<_>>());
    let body: String = rows.iter().map(|cells| row("td", cells.as_ref())).collect();
    format!("<table><thead>{head}</thead><tbody>{body}</tbody></table>")
}
