//! Cells as they stand in a notebook's file, whose format is nbformat's: <https://nbformat.readthedocs.io>.

use serde_json::Value;

/// Whether it is a cell of code.
pub fn is_code(cell: &Value) -> bool {
    cell.get("cell_type").is_some_and(|kind| kind == "code")
}

/// Whether it has this tag.
pub fn has_tag(cell: &Value, tag: &str) -> bool {
    cell.pointer("/metadata/tags").and_then(Value::as_array).is_some_and(|tags| tags.iter().any(|t| t == tag))
}

/// A cell's text, which stands in the file as one string or as a list of lines.
pub fn source(cell: &Value) -> Option<String> {
    match cell.get("source")? {
        Value::String(text) => Some(text.clone()),
        Value::Array(lines) => lines.iter().map(Value::as_str).collect(),
        _ => None,
    }
}
