//! The definitions that a text reaches, for another compiler than the one for cells.

use crate::compiler::Compiler;
use crate::definitions::Entry;
use crate::dependence::Dependence;
use crate::namespace::Member;
use chorus_syntax::Cell;

/// A definition of the notebook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// As the user wrote it.
    pub text: String,
    /// What the user knows it as, with its cell.
    pub label: String,
}

impl Compiler {
    /// The definitions that this text of the notebook's reaches, by themselves and by the types of variables, the oldest
    /// first.
    pub fn reached(&self, text: &str) -> Vec<Reached> {
        let (cell, variables) = (Cell::parse(text), self.namespaces().variables(Member::Local));
        let found = Dependence::of_cell(&cell, &[], &self.shared.current(), &variables);
        // What stands in no cell is px's, for cells.
        let is_users = |entry: &&Entry| entry.aside.is_none() && entry.definition.piece.cell > 0;
        let entries = self.shared.entries().iter().filter(is_users);
        let reached = entries.filter(|entry| found.definitions.contains(entry.definition.piece.text.as_str()));
        reached.map(|entry| Reached { text: entry.definition.piece.text.clone(), label: entry.label() }).collect()
    }
}
