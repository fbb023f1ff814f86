//! Why a cell wasn't compiled, in the user's own terms.

use crate::definitions::prefix::Prefix;
use crate::diagnostic::{Diagnostic, Level, LineMap, Span};
use crate::namespace::{Member, Namespaces};
use crate::source_map::MappedPiece;
use crate::types::CellText;
use chorus_syntax::{Cell, Piece};

/// Why a cell wasn't compiled. Nothing was run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// These are wrong with it.
    Errors(Vec<Diagnostic>),
    /// The user interrupted the compilation.
    Interrupted,
}

impl From<Diagnostic> for Failure {
    fn from(diagnostic: Diagnostic) -> Failure {
        Failure::Errors(vec![diagnostic])
    }
}

impl Failure {
    /// The first that is wrong.
    pub(crate) fn into_diagnostic(self) -> Diagnostic {
        match self {
            Failure::Errors(mut errors) if !errors.is_empty() => errors.remove(0),
            _ => Diagnostic::error("interrupted"),
        }
    }
}

/// evcxr's error as diagnostics of the user's cell; `prefix` stood in front of it.
pub(crate) fn diagnostics(
    error: &evcxr::Error,
    cell: &CellText<'_>,
    prefix: &Prefix,
    namespaces: &Namespaces,
    members: &[Member],
) -> Vec<Diagnostic> {
    let lines = LineMap { prefix, first_line: cell.first_line, lines: cell.cell.lines().collect() };
    let mut errors: Vec<Diagnostic> = match error {
        evcxr::Error::CompilationErrors(errors) => {
            errors.iter().map(|error| Diagnostic::from_evcxr(error, &lines)).collect()
        }
        other => vec![Diagnostic::error(other.to_string())],
    };
    errors.dedup();
    if errors.iter().any(|error| error.level == Level::Error) {
        // A warning, perhaps of another cell, isn't what keeps this one from running.
        errors.retain(|error| error.level == Level::Error);
    }
    let result = Cell::parse(cell.text).result().map(|piece| mapped(piece, cell));
    for error in &mut errors {
        let about_display = ["`Debug`", "`std::fmt::Display`"].iter().any(|name| error.message.contains(name));
        if let (true, true, Some(result)) = (error.spans.is_empty(), about_display, &result) {
            // evcxr shows the cell's result in code of its own, where rustc finds the error.
            error.spans.push(whole(result, "this is the cell's result, which is to be shown"));
            error.notes.push("help: end the cell with `;` if there is nothing to show".into());
        }
        let name = error.message.strip_prefix("cannot find value `").and_then(|rest| rest.split('`').next());
        let missing = name.and_then(|name| namespaces.explain_missing(name, members));
        // rustc's guesses at a similar name only mislead where the reason is known.
        if let Some(reason) = missing {
            error.notes.clear();
            let (why, what_next) = reason.split_once('\n').unwrap_or((&reason, ""));
            error.notes.push(format!("note: {why}"));
            error.notes.extend((!what_next.is_empty()).then(|| format!("help: {what_next}")));
        }
    }
    errors
}

/// What evcxr would drop without a word.
pub(crate) fn broken(cell: &Cell, text: &CellText<'_>) -> Option<Failure> {
    let broken = cell.broken.as_ref()?;
    let place = whole(&mapped(&broken.piece, text), broken.label);
    Some(Failure::from(Diagnostic { spans: vec![place], ..Diagnostic::error(broken.message) }))
}

/// A piece of the cell with its place in the notebook.
pub(crate) fn mapped(piece: &Piece, cell: &CellText<'_>) -> MappedPiece {
    let CellText { count, first_line, cell, users, .. } = *cell;
    let line = piece.line + first_line - 1;
    let lines = piece.text.lines().enumerate().map(|(index, _)| (line + index).checked_sub(1));
    let shown = lines.map(|at| at.and_then(|at| cell.lines().nth(at)).unwrap_or_default()).collect::<Vec<_>>();
    MappedPiece { cell: count, line, column: piece.column, text: piece.text.clone(), users, shown: shown.join("\n") }
}

/// The place of a piece's first line.
fn whole(piece: &MappedPiece, label: &str) -> Span {
    let first = piece.text.lines().next().unwrap_or_default();
    Span {
        line: piece.line,
        column: piece.column,
        end_line: piece.line,
        end_column: piece.column + first.chars().count(),
        label: label.to_owned(),
        primary: true,
        text: piece.shown.lines().next().unwrap_or_default().to_owned(),
        cell: None,
    }
}
