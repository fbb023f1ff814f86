//! Why a cell wasn't compiled, in the user's own terms.

use crate::cell::types::CellText;
use crate::messages::complaint::{Complaint, Error};
use crate::messages::diagnostic::{Diagnostic, Level, LineMap, Span, is_about_px};
use crate::messages::habits;
use crate::messages::slips;
use crate::messages::source_map::MappedPiece;
use crate::messages::wording;
use crate::notebook::definitions::prefix::Prefix;
use crate::notebook::namespace::{Member, Namespaces};
use chorus_syntax::{Broken, Cell, Piece};
use std::collections::BTreeSet;

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
    error: &Error,
    cell: &CellText<'_>,
    prefix: &Prefix,
    namespaces: &Namespaces,
    members: &[Member],
) -> Vec<Diagnostic> {
    let lines = LineMap { prefix, first_line: cell.first_line, lines: cell.cell.lines().collect() };
    let parsed = Cell::parse(cell.text);
    let mut errors: Vec<Diagnostic> = match error {
        Error::Complaints(errors) => {
            let read = |error| wording::placed(Diagnostic::from_evcxr(error, &lines), label(error), &parsed, cell);
            errors.iter().map(read).collect()
        }
        other => vec![wording::of_message(&other.to_string(), &parsed, cell)],
    };
    errors.dedup();
    if errors.iter().any(|error| error.level == Level::Error) {
        // A warning, perhaps of another cell, isn't what keeps this one from running.
        errors.retain(|error| error.level == Level::Error);
    }
    if let Some(suspect) = &parsed.suspect {
        // Where no error has a place, rustc stumbled over what evcxr writes behind the cell.
        let said =
            habit(&parsed, suspect).or_else(|| errors.iter().all(|it| it.spans.is_empty()).then(|| suspect.clone()));
        if let Some(said) = said {
            return vec![of_broken(&said, cell)];
        }
    }
    // What a magic became isn't what its user calls.
    if cell.users == CellText::ALL {
        slips::explain(&mut errors);
    }
    leave_out_consequences(&mut errors, &parsed, cell);
    let result = parsed.result().map(|piece| mapped(piece, cell));
    for error in &mut errors {
        if let Some(said) = wording::of_return(error, &parsed, cell) {
            *error = said;
        }
        wording::purge(error, cell);
        let about_display = ["`Debug`", "`std::fmt::Display`"].iter().any(|name| error.message.contains(name));
        if let (false, true, Some(result)) = (error.spans.iter().any(|span| span.primary), about_display, &result) {
            // evcxr shows the cell's result in code of its own, where rustc finds the error.
            error.spans.clear();
            error.spans.push(whole(result, "this is the cell's result, which is to be shown"));
            wording::of_showing(error);
        }
        let missing = missing_name(error).and_then(|name| {
            let unseen = || wording::of_unseen(name, error, &parsed, cell, &namespaces.common(members));
            namespaces.explain_missing(name, members).or_else(unseen)
        });
        // rustc's guesses at a similar name only mislead where the reason is known.
        if let Some(reason) = missing {
            error.notes.clear();
            let (why, what_next) = reason.split_once('\n').unwrap_or((&reason, ""));
            error.notes.push(format!("note: {why}"));
            let theirs = missing_name(error).filter(|_| what_next.contains("`%pull "));
            let what_next = theirs.and_then(|name| slips::of_the_engines(name, error)).unwrap_or(what_next.to_owned());
            error.notes.extend((!what_next.is_empty()).then(|| format!("help: {what_next}")));
        } else if let Some(instead) = habits::instead(error) {
            error.notes = vec![format!("help: {instead}")];
        } else {
            error.notes.extend(habits::beside(error).map(|help| format!("help: {help}")));
        }
    }
    if errors.iter().any(|error| !error.spans.is_empty()) {
        // The others follow from these, in what evcxr writes around the cell.
        errors.retain(|error| !error.spans.is_empty());
    }
    errors.sort_by_key(order);
    errors
}

/// What holds for several errors is said once.
pub(crate) fn say_once(errors: &mut [Diagnostic]) {
    let mut said = BTreeSet::new();
    let is_said_again = |note: &str| note.starts_with("note: ") || note.starts_with("help: ");
    for error in errors {
        error.notes.retain(|note| !is_said_again(note) || said.insert(note.clone()));
    }
}

/// The variable that isn't there, if that is what an error says. One that is called is a function to rustc.
pub(crate) fn missing_name(error: &Diagnostic) -> Option<&str> {
    let begins = ["cannot find value `", "cannot find function `"];
    begins.iter().find_map(|begins| error.message.strip_prefix(begins))?.split('`').next()
}

/// What px says of values that can't be given to a map's function.
const GIVEN: &str = "can't be given to a map's function";

/// Leaves out errors that only follow from others.
fn leave_out_consequences(errors: &mut Vec<Diagnostic>, parsed: &Cell, cell: &CellText<'_>) {
    // What a magic became has its own way with what can't travel.
    let may_follow = |error: &Diagnostic| error.may_follow() && (cell.users == CellText::ALL || !error.is_unfit());
    if errors.iter().any(|error| !may_follow(error)) {
        errors.retain(|error| !may_follow(error));
    }
    // What a trait of px's says once holds for all of the line.
    let mut said = BTreeSet::new();
    let line = |error: &Diagnostic| error.spans.iter().find(|span| span.primary).map(|span| span.line);
    // Of what a map's function is given, rustc also speaks where the function stands, with another type.
    let about = |error: &Diagnostic| match error.message.ends_with(GIVEN) {
        true => GIVEN.to_owned(),
        false => error.message.clone(),
    };
    errors.retain(|error| !is_about_px(&error.message) || said.insert((about(error), line(error))));
    let Some(suspect) = &parsed.suspect else { return };
    let line = mapped(&suspect.piece, cell).line;
    let is_there = |error: &Diagnostic| error.spans.iter().any(|span| span.primary && span.line == line);
    let first = errors.iter().position(is_there);
    // The others on the line that the parser doesn't understand are about what rustc made of it, to go on.
    let mut at = 0..;
    errors.retain(|error| at.next() == first || !is_there(error));
}

/// Imports come by their places, since evcxr has them in no order. What can't be kept matters when the cell is right otherwise.
fn order(error: &Diagnostic) -> (u8, usize) {
    match error.code.as_deref() {
        Some("E0432") => (0, error.spans.first().map_or(0, |span| span.line)),
        Some("E0597") => (2, 0),
        _ => (1, 0),
    }
}

/// What rustc says of the error's own place, which evcxr may not know.
fn label(error: &Complaint) -> &str {
    let mut spans = error.json["spans"].as_array().into_iter().flatten();
    let primary = spans.find(|span| span["is_primary"] == true);
    primary.and_then(|span| span["label"].as_str()).unwrap_or_default()
}

/// The habit of another language on the line that the parser doesn't understand.
fn habit(cell: &Cell, suspect: &Broken) -> Option<Broken> {
    chorus_syntax::habit(&cell.rust, suspect.piece.line)
}

/// What only we can say.
pub(crate) fn broken(cell: &Cell, text: &CellText<'_>) -> Option<Failure> {
    let broken = cell.broken.as_ref()?;
    let habit = cell.suspect.as_ref().and_then(|suspect| habit(cell, suspect));
    Some(Failure::from(of_broken(habit.as_ref().unwrap_or(broken), text)))
}

/// Of a bracket that ends at what isn't the user's.
const UNCLOSED: &str = "unclosed delimiter";

fn of_broken(broken: &Broken, text: &CellText<'_>) -> Diagnostic {
    let also = broken.also.iter().map(|(piece, label)| (piece, label));
    let places = std::iter::once((&broken.piece, &broken.label)).chain(also);
    let places = places.map(|(piece, label)| whole(&mapped(piece, text), label));
    // What is generated around the user's text may be what closes an open bracket.
    let last = text.users.1.min(text.cell.lines().count().max(1));
    let is_users = |span: &Span| (text.users.0..=last).contains(&span.line);
    let mut spans: Vec<Span> = places.collect();
    let unclosed = !spans.first().is_some_and(is_users) && broken.also.is_some();
    spans.retain(is_users);
    spans.iter_mut().enumerate().for_each(|(at, span)| span.primary = at == 0);
    if unclosed {
        spans.iter_mut().for_each(|span| span.label = UNCLOSED.into());
    }
    Diagnostic {
        code: broken.code.map(str::to_owned),
        spans,
        notes: broken.help.iter().map(|help| format!("help: {help}")).collect(),
        ..Diagnostic::error(if unclosed { UNCLOSED } else { broken.message.as_str() })
    }
}

/// A piece of the cell with its place in the notebook.
pub(crate) fn mapped(piece: &Piece, cell: &CellText<'_>) -> MappedPiece {
    let CellText { count, first_line, cell, users, .. } = *cell;
    let line = piece.line + first_line - 1;
    let lines = (0..piece.text.lines().count().max(1)).map(|index| (line + index).checked_sub(1));
    let shown = lines.map(|at| at.and_then(|at| cell.lines().nth(at)).unwrap_or_default()).collect::<Vec<_>>();
    MappedPiece { cell: count, line, column: piece.column, text: piece.text.clone(), users, shown: shown.join("\n") }
}

/// The place of a piece's first line.
pub(crate) fn whole(piece: &MappedPiece, label: &str) -> Span {
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
