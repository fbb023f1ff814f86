//! Keeps what evcxr writes around a cell out of what users read of it.

use crate::diagnostic::{Diagnostic, ELSEWHERE};
use crate::failure::{mapped, whole};
use crate::types::CellText;
use chorus_syntax::{Cell, RETURNS};

/// What only occurs in names of evcxr's.
const GENERATED: &[&str] = &["evcxr", "Evcxr", "EVCXR", "run_user_code_", "catch_unwind", "`*mut u8`"];

fn is_generated(text: &str) -> bool {
    GENERATED.iter().any(|name| text.contains(name))
}

/// Leaves out labels and notes about names that the user never wrote, and what rustc found behind the cell's text.
pub(crate) fn purge(error: &mut Diagnostic, cell: &CellText<'_>) {
    let found = error.message.rsplit_once(", found ").filter(|_| error.code.is_none());
    let word = found.and_then(|(_, found)| found.split('`').nth(1));
    if let (Some((expected, _)), Some(word)) = (found, word)
        && !cell.cell.contains(word)
    {
        error.message = expected.to_owned();
    }
    error.spans.iter_mut().filter(|span| is_generated(&span.label)).for_each(|span| span.label.clear());
    error.notes.retain(|note| !is_generated(note));
}

/// rustc's word on a `return` that ends the cell is about evcxr's function: `None` if this isn't one.
pub(crate) fn of_return(error: &Diagnostic, parsed: &Cell, cell: &CellText<'_>) -> Option<Diagnostic> {
    if !matches!(error.code.as_deref(), Some("E0308" | "E0069")) {
        return None;
    }
    let place = error.spans.iter().find(|span| span.primary && span.cell.is_none())?;
    let place = (place.line, place.column);
    let found = parsed.returns.iter().map(|piece| mapped(piece, cell)).find(|piece| {
        let last = piece.text.lines().next_back().unwrap_or_default().chars().count();
        let lines = piece.text.lines().count().saturating_sub(1);
        let end = (piece.line + lines, if lines == 0 { piece.column + last } else { last + 1 });
        ((piece.line, piece.column)..=end).contains(&place)
    })?;
    Some(Diagnostic {
        spans: vec![whole(&found, "")],
        notes: vec![format!("help: {RETURNS}")],
        ..Diagnostic::error("the cell can't end in this way")
    })
}

/// What evcxr says of a variable that can't be kept, at the variable's place.
pub(crate) fn of_message(message: &str, parsed: &Cell, cell: &CellText<'_>) -> Diagnostic {
    let (what, next) = message.split_once('\n').unwrap_or((message, ""));
    let name = what.split_once("ariable `").and_then(|(_, rest)| rest.split('`').next()).unwrap_or_default();
    let binds = |bound: &&(String, Vec<String>)| bound.1.iter().any(|bound| bound == name);
    let Some(statement) = parsed.uses.iter().rposition(|bound| binds(&bound)) else {
        let mut error = Diagnostic::error(message);
        place(&mut error, parsed, cell);
        return error;
    };
    let place = parsed.statements.get(statement).map(|piece| whole(&mapped(piece, cell), ""));
    let next = next.replace("prevent evcxr from attempting to persist", "spare the notebook keeping");
    Diagnostic {
        spans: place.into_iter().collect(),
        notes: (!next.is_empty()).then(|| format!("help: {next}")).into_iter().collect(),
        ..Diagnostic::error(what)
    }
}

/// The place of an error for which evcxr has none: it writes imports and attributes anew.
pub(crate) fn place(error: &mut Diagnostic, parsed: &Cell, cell: &CellText<'_>) {
    let name = error.message.split('`').nth(1).unwrap_or_default();
    let piece = match error.code.as_deref() {
        _ if !error.spans.is_empty() => None,
        Some("E0554" | "E0635") => parsed.attributes.first(),
        Some("E0432" | "E0433" | "E0603") => {
            let is_it = |import: &str| import.strip_prefix("use ").is_some_and(|path| path.starts_with(name));
            let item = parsed.items.iter().find(|item| item.imports.iter().any(|import| is_it(&import.text)));
            item.map(|item| &item.piece)
        }
        None => {
            let is_it = |text: &str| text.split_once("extern crate ").is_some_and(|(_, rest)| rest.starts_with(name));
            parsed.items.iter().map(|item| &item.piece).find(|piece| !name.is_empty() && is_it(&piece.text))
        }
        Some(_) => None,
    };
    let Some(piece) = piece else { return };
    error.spans.push(whole(&mapped(piece, cell), ""));
    error.notes.retain(|note| note != ELSEWHERE);
    let adds = |note: &&mut String| note.contains("`cargo add ");
    if let Some(note) = error.notes.iter_mut().find(adds) {
        let name = name.split("::").next().unwrap_or_default();
        *note = format!("help: `:dep {name}` in a cell of its own, or above this one, brings the crate `{name}`");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(text: &str) -> CellText<'_> {
        CellText { text, count: 1, first_line: 1, cell: text, users: CellText::ALL }
    }

    #[test]
    fn a_variable_that_is_not_kept_is_placed() {
        let text = "let a = 1;\n  let f = || 1;";
        let message = "The variable `f` is a closure, which cannot be persisted.\nBox it. You can prevent evcxr from \
                       attempting to persist\nit";
        let error = of_message(message, &Cell::parse(text), &cell(text));
        assert_eq!((error.spans[0].line, error.spans[0].column), (2, 3));
        assert_eq!(error.notes, ["help: Box it. You can spare the notebook keeping\nit"]);
        assert_eq!(of_message("no\nway", &Cell::parse(text), &cell(text)), Diagnostic::error("no\nway"));
    }

    #[test]
    fn imports_and_attributes_are_placed() {
        let text = "#![feature(x)]\nextern crate none;\nuse std::io; use a::{b, c};";
        let placed = |code: Option<&str>, message: &str| {
            let mut error = Diagnostic { code: code.map(str::to_owned), ..Diagnostic::error(message) };
            place(&mut error, &Cell::parse(text), &cell(text));
            error.spans.first().map(|span| (span.line, span.column))
        };
        assert_eq!(placed(Some("E0554"), "`#![feature]` may not be used"), Some((1, 1)));
        assert_eq!(placed(Some("E0432"), "unresolved import `a::c`"), Some((3, 14)));
        assert_eq!(placed(None, "no matching package named `none` found"), Some((2, 1)));
        assert_eq!(placed(Some("E0432"), "unresolved import `z`"), None);
        assert_eq!(placed(None, "interrupted"), None);
    }

    #[test]
    fn what_is_generated_is_left_out() {
        let text = "if a {\n  return Ok(()) }";
        let mut error = Diagnostic { code: Some("E0308".into()), ..Diagnostic::error("mismatched types") };
        error.spans = vec![whole(&mapped(&Cell::parse(text).returns[0], &cell(text)), "expected `*mut u8`")];
        error.spans[0].column += 7;
        error.notes = vec!["note: evcxr_variable_store".into(), "help: kept".into()];
        let said = of_return(&error, &Cell::parse(text), &cell(text)).unwrap();
        assert_eq!((said.spans[0].line, said.spans[0].column, said.code), (2, 3, None));
        purge(&mut error, &cell(text));
        assert_eq!((error.spans[0].label.as_str(), error.notes.len()), ("", 1));
        for (message, kept) in
            [("expected `;`, found keyword `fn`", "expected `;`"), ("no `;`, found `Ok`", "no `;`, found `Ok`")]
        {
            let mut error = Diagnostic::error(message);
            purge(&mut error, &cell(text));
            assert_eq!(error.message, kept);
        }
        error.spans[0].line = 1;
        assert_eq!(of_return(&error, &Cell::parse(text), &cell(text)), None);
    }
}
