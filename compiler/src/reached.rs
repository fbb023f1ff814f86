//! The definitions that a text reaches, for another compiler than the one for cells.

use crate::compiler::Compiler;
use crate::definitions::Entry;
use crate::dependence::Dependence;
use crate::dependencies::local;
use crate::namespace::Member;
use chorus_syntax::{Cell, Reach};
use std::path::PathBuf;

/// A definition of the notebook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// As the user wrote it.
    pub text: String,
    /// What the user knows it as, with its cell.
    pub label: String,
    /// Whether it only gives names to what is elsewhere.
    pub is_import: bool,
}

/// The package with what the notebook depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its manifest and the versions are there.
    pub folder: PathBuf,
    /// Whether what is there stays the same as long as the folder is: there is no crate from a path or from git.
    pub is_fixed: bool,
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
        reached
            .map(|entry| Reached {
                text: entry.definition.piece.text.clone(),
                label: entry.label(),
                is_import: entry.definition.nature.reach == Reach::Import,
            })
            .collect()
    }

    /// What another compiler takes the notebook's dependencies from, if it has any.
    pub fn package(&self) -> Option<Package> {
        if let Some(current) = &self.set {
            return Some(Package { folder: current.set.clone(), is_fixed: true });
        }
        let folder = self.folder();
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
        (!local(&manifest).is_empty()).then(|| Package { folder: folder.to_owned(), is_fixed: false })
    }
}
