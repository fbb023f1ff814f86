//! What cells were to define that weren't accepted, so that who misses it is told which cell it is.

use crate::messages::diagnostic::Diagnostic;
use crate::notebook::dependence::Definition;
use chorus_syntax::Cell;
use std::collections::BTreeMap;

/// By name, the execution count of the last cell that was to define it.
#[derive(Debug, Default)]
pub(crate) struct Attempts(BTreeMap<String, u32>);

impl Attempts {
    /// This cell wasn't accepted.
    pub fn add(&mut self, count: u32, cell: &Cell, items: &[Definition]) {
        self.0.extend(defined(cell, items).map(|name| (name.to_owned(), count)));
    }

    /// Says which cell was to define what this error is about, unless the error says already why that isn't there.
    pub fn explain(&self, error: &mut Diagnostic) {
        let is_missing = matches!(error.code.as_deref(), Some("E0405" | "E0412" | "E0422" | "E0425" | "E0433"));
        if !is_missing || !error.message.starts_with("cannot find ") || !error.message.ends_with(" in this scope") {
            return;
        }
        let Some(name) = error.message.split('`').nth(1) else { return };
        let is_explained =
            error.notes.iter().any(|note| note.starts_with("note: ") && note.contains(&format!("`{name}`")));
        if let Some(count) = self.0.get(name).filter(|_| !is_explained) {
            // rustc's guesses at a similar name only mislead where the reason is known.
            error.notes = vec![
                format!(
                    "note: In[{count}], which was to define `{name}`, has a mistake in it, so nothing of it is there"
                ),
                "help: mend that cell and run it first".to_owned(),
            ];
        }
    }

    /// This is defined now.
    pub fn forget(&mut self, cell: &Cell, items: &[Definition]) {
        defined(cell, items).for_each(|name| _ = self.0.remove(name));
    }

    /// Nothing is missed any more.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// What a cell defines: variables and items.
fn defined<'a>(cell: &'a Cell, items: &'a [Definition]) -> impl Iterator<Item = &'a str> {
    let variables = cell.lets.iter().map(|binding| binding.name.as_str());
    variables.chain(items.iter().filter_map(Definition::name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_misses_what_was_not_accepted_is_told_of_the_cell() {
        let mut attempts = Attempts::default();
        let cell = Cell::parse("let (up, down) = (1, 2); let mut alive = 3; up");
        attempts.add(8, &cell, &[]);
        let said = |attempts: &Attempts, code: &str, message: &str, note: &str| {
            let mut error =
                Diagnostic { code: Some(code.into()), notes: vec![note.into()], ..Diagnostic::error(message) };
            attempts.explain(&mut error);
            error.notes
        };
        let guess = "help: a local variable with a similar name exists: `addr`";
        for name in ["up", "down", "alive"] {
            let notes = said(&attempts, "E0425", &format!("cannot find value `{name}` in this scope"), guess);
            assert!(notes[0].contains("In[8]") && notes[0].contains(name) && notes.len() == 2, "{notes:?}");
        }
        let lost = "note: `up` was lost: it was moved";
        assert_eq!(said(&attempts, "E0425", "cannot find value `up` in this scope", lost), [lost]);
        assert_eq!(said(&attempts, "E0425", "cannot find value `other` in this scope", guess), [guess]);
        assert_eq!(said(&attempts, "E0308", "mismatched types: `up`", guess), [guess]);
        assert_eq!(said(&attempts, "E0425", "cannot find function `up` in module `std::fs`", guess), [guess]);
        attempts.forget(&Cell::parse("let up = 1;"), &[]);
        assert_eq!(said(&attempts, "E0425", "cannot find value `up` in this scope", guess), [guess]);
        assert_eq!(said(&attempts, "E0425", "cannot find value `down` in this scope", guess).len(), 2);
        attempts.clear();
        assert_eq!(said(&attempts, "E0425", "cannot find value `down` in this scope", guess), [guess]);
    }
}
