//! Rust that a magic becomes, and whose lines the user wrote.

use chorus_compiler::{Diagnostic, Failure, Span};
use std::ops::RangeInclusive;

/// Generated Rust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The text.
    pub text: String,
    /// The number of its first line in the user's cell, as in `chorus_compiler::CellText`: 0 if that stands above it.
    pub first_line: usize,
    /// The lines of the cell that have the user's code. The others are generated.
    pub(crate) users: RangeInclusive<usize>,
}

impl Text {
    /// Of a magic on one line of the cell, which has the user's code, if any does: the text begins on the line above.
    pub(crate) fn of_line(text: String, line: usize) -> Text {
        Text { text, first_line: line.saturating_sub(1), users: line..=line }
    }

    /// The first and the last line of the cell that have the user's code, as the compiler wants them.
    pub fn users(&self) -> (usize, usize) {
        (*self.users.start(), *self.users.end())
    }

    /// What rustc says of generated lines, as when a result can't travel, it says of the magic's line.
    pub fn to_users_lines(&self, failure: Failure, cell: &str) -> Failure {
        let Failure::Errors(mut errors) = failure else { return failure };
        let line = *self.users.start();
        let text = line.checked_sub(1).and_then(|at| cell.lines().nth(at)).unwrap_or_default();
        // Of mistakes in the user's code, those of the generated code are consequences. That rustc can't decide between
        // px's methods always is one.
        let is_users =
            |error: &Diagnostic| error.spans.iter().any(|span| span.primary && self.users.contains(&span.line));
        if errors.iter().any(is_users) {
            errors.retain(|error| error.code.is_none() || is_users(error));
        }
        if errors.iter().any(|error| !is_ambiguous(error)) {
            errors.retain(|error| !is_ambiguous(error));
        }
        for error in &mut errors {
            let (users, generated): (Vec<Span>, Vec<Span>) =
                std::mem::take(&mut error.spans).into_iter().partition(|span| self.users.contains(&span.line));
            error.spans = users;
            // Errors that aren't rustc's have no place.
            if error.code.is_some() && !error.spans.iter().any(|span| span.primary) {
                // A generated line above the cell is none of an earlier cell.
                error.notes.retain(|note| note != chorus_compiler::ELSEWHERE);
                let label = generated.into_iter().find(|span| span.primary).map(|span| span.label);
                error.spans.insert(
                    0,
                    Span {
                        line,
                        column: 1 + text.chars().take_while(|c| c.is_whitespace()).count(),
                        end_line: line,
                        end_column: 1 + text.trim_end().chars().count(),
                        label: label.unwrap_or_default(),
                        primary: true,
                        text: text.to_owned(),
                    },
                );
            }
        }
        // What was said of several generated places is one mistake of the user's.
        let mut said = Vec::new();
        errors.retain(|error| {
            let this = (error.message.clone(), error.spans.clone());
            let is_new = !said.contains(&this);
            said.push(this);
            is_new
        });
        Failure::Errors(errors)
    }
}

fn is_ambiguous(error: &Diagnostic) -> bool {
    error.code.as_deref() == Some("E0034")
}
