//! Values that a cell drops and that must be used: an ignored `Result`, an iterator or a map that nothing ends. Of all that rustc
//! warns of it is what says that a cell doesn't do what its writer thinks, so it is the one warning that is shown.
//!
//! rustc's words are kept behind the source that it compiled, since an object from the cache comes with its source.

use crate::cell::types::CellText;
use crate::messages::diagnostic::{Diagnostic, Level, Span};
use crate::messages::source_map::SourceMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What rustc is told besides to warn of nothing.
pub(crate) const WARN: &str = "--force-warn=unused_must_use";
const CODE: &str = "\"code\":\"unused_must_use\"";
/// The lints that a cell allows, in an attribute, when it doesn't want to be told.
const ALLOWED: [&str; 3] = ["unused_must_use", "unused", "warnings"];
/// A line with one of them begins so.
const BEGINS: &str = "// unused: ";

/// A value that is dropped, at 1-based places of the generated source.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Unused {
    line: u32,
    column: u32,
    end_line: u32,
    end_column: u32,
    message: String,
    note: Option<String>,
}

/// What rustc says, without these warnings, which evcxr would take for what it is looking for; and they.
pub(crate) fn split(messages: &str) -> (String, String) {
    let (unused, rest): (Vec<&str>, Vec<&str>) = messages.split_inclusive('\n').partition(|line| line.contains(CODE));
    (rest.concat(), unused.concat())
}

/// The source with these warnings behind it, if there are any.
pub(crate) fn noted(source: &str, warnings: &str) -> Option<String> {
    let unused = warnings.lines().filter_map(|line| read(&serde_json::from_str(line).ok()?));
    let lines = unused.filter_map(|it| Some(format!("{BEGINS}{}\n", serde_json::to_string(&it).ok()?)));
    let lines: String = lines.collect();
    (!lines.is_empty()).then(|| format!("{}\n{lines}", source.trim_end()))
}

fn read(warning: &Value) -> Option<Unused> {
    let mut span = warning["spans"].as_array()?.iter().find(|span| span["is_primary"] == true)?;
    // What a macro drops is told where the macro is called.
    while let Some(call) = span["expansion"].get("span") {
        span = call;
    }
    let number = |name: &str| u32::try_from(span[name].as_u64()?).ok();
    let mut notes = warning["children"].as_array().into_iter().flatten().filter(|child| child["level"] == "note");
    let note = notes.find_map(|note| note["message"].as_str().filter(|text| !text.contains("requested on")));
    Some(Unused {
        line: number("line_start")?,
        column: number("column_start")?,
        end_line: number("line_end")?,
        end_column: number("column_end")?,
        message: short(warning["message"].as_str()?),
        note: note.map(str::to_owned),
    })
}

/// Whether a cell allows it somewhere. It is the cell that does then, not one of its functions alone.
fn allows(text: &str) -> bool {
    let lists = ["allow(", "expect("].into_iter().flat_map(|word| text.split(word).skip(1));
    let mut lints = lists.flat_map(|rest| rest.split(')').next().unwrap_or_default().split(','));
    lints.any(|lint| ALLOWED.contains(&lint.trim()))
}

/// rustc's words without paths: "unused `Result` that must be used".
fn short(message: &str) -> String {
    let parts = message.split('`').enumerate();
    let shortened = parts.map(|(at, part)| match at % 2 {
        1 => part.rsplit("::").next().unwrap_or(part),
        _ => part,
    });
    shortened.collect::<Vec<_>>().join("`")
}

/// The warnings of a compiled source that are about this cell.
pub(crate) fn told(source: &SourceMap, cell: &CellText<'_>) -> Vec<Diagnostic> {
    let lines = source.generated().lines().rev().map_while(|line| line.strip_prefix(BEGINS));
    let unused = lines.filter_map(|line| serde_json::from_str(line).ok());
    let mut told: Vec<Diagnostic> = unused.filter_map(|it| diagnostic(&it, source, cell.count)).collect();
    // rustc was told to warn whatever attributes say.
    if allows(cell.cell) {
        told.clear();
    }
    told.sort_by_key(|it| it.spans.first().map(|span| (span.line, span.column)));
    told.dedup();
    told
}

fn diagnostic(unused: &Unused, source: &SourceMap, cell: u32) -> Option<Diagnostic> {
    let place = source.place(unused.line, unused.column).filter(|place| place.cell == cell)?;
    let lines = unused.end_line.saturating_sub(unused.line) as usize;
    let end_column = match lines {
        0 => place.column + unused.end_column.saturating_sub(unused.column) as usize,
        _ => unused.end_column as usize,
    };
    let dropped = "`let _ = ` in front of it drops it on purpose";
    let help = match unused.message.contains("`Result`") {
        true => format!("help: `?` behind it ends the cell with the error; {dropped}"),
        false => format!("help: {dropped}"),
    };
    let notes = unused.note.iter().map(|note| format!("note: {note}")).chain([help]).collect();
    let (line, column, text) = (place.line, place.column, place.text);
    let span = Span {
        line,
        column,
        end_line: line + lines,
        end_column,
        label: String::new(),
        primary: true,
        text,
        cell: None,
    };
    Some(Diagnostic {
        level: Level::Warning,
        message: unused.message.clone(),
        spans: vec![span],
        notes,
        ..Diagnostic::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::source_map::MappedPiece;
    use serde_json::json;

    fn warning(span: Value, note: &str) -> String {
        let children = json!([
            {"level": "note", "message": "requested on the command line with `--force-warn`"},
            {"level": "note", "message": note},
            {"level": "help", "message": "use `let _ = ...` to ignore the resulting value"},
        ]);
        let code = json!({"code": "unused_must_use"});
        let message = "unused `std::result::Result` that must be used";
        let said = json!({"message": message, "code": code, "level": "warning", "spans": [span], "children": children});
        format!("{said}\n")
    }

    fn span(line: u32, column: u32, expansion: Value) -> Value {
        json!({
            "line_start": line, "line_end": line, "column_start": column, "column_end": column + 4, "is_primary": true,
            "expansion": expansion,
        })
    }

    fn map(source: &str) -> SourceMap {
        let text = "    a();\nb!();".to_owned();
        let piece = MappedPiece { cell: 3, line: 2, column: 5, text: text[4..].into(), shown: text, users: (1, 9) };
        SourceMap::new(source.to_owned(), vec![piece])
    }

    fn cell(count: u32, text: &str) -> CellText<'_> {
        CellText { text, count, first_line: 1, cell: text, users: CellText::ALL }
    }

    const SOURCE: &str = "fn run() {\na();\nb!();\n}\n";

    #[test]
    fn what_is_dropped_is_told_at_its_place_in_the_cell() {
        let error = "{\"level\":\"error\"}\n";
        let called = json!({"span": span(3, 1, Value::Null)});
        let said =
            [warning(span(3000, 9, called), "why"), error.into(), warning(span(2, 1, Value::Null), "why")].concat();
        let (rest, warnings) = split(&said);
        assert_eq!(rest, error);
        let noted = noted(SOURCE, &warnings).unwrap();
        assert!(noted.starts_with(SOURCE.trim_end()));
        let told = told(&map(&noted), &cell(3, "a"));
        let places: Vec<_> =
            told.iter().map(|it| (it.spans[0].line, it.spans[0].column, it.spans[0].end_column)).collect();
        assert_eq!(places, [(2, 5, 9), (3, 1, 5)]);
        assert_eq!(
            (told[0].message.as_str(), told[0].notes[0].as_str()),
            ("unused `Result` that must be used", "note: why")
        );
        assert!(told[0].notes[1].starts_with("help: `?` behind it ends the cell"), "{:?}", told[0].notes);
        assert_eq!(super::told(&map(&noted), &cell(4, "a")), [], "an earlier cell's is told with it");
        for allows in ["#![allow(unused_must_use)]", "#[expect(dead_code, unused)]", "#[allow(warnings)]"] {
            assert_eq!(super::told(&map(&noted), &cell(3, allows)), []);
        }
        assert_eq!(super::told(&map(&noted), &cell(3, "#[allow(unused_mut)]")).len(), 2);
    }

    #[test]
    fn nothing_is_told_where_nothing_is_dropped() {
        assert_eq!(noted(SOURCE, ""), None);
        assert_eq!(noted(SOURCE, "no JSON\n{}\n"), None);
        assert_eq!(told(&map(SOURCE), &cell(3, "a")), []);
        assert_eq!(told(&map(&format!("{SOURCE}{BEGINS}no JSON\n")), &cell(3, "a")), []);
    }
}
