//! The definitions that a text reaches, for another compiler than the one for cells.

use crate::compiler::Compiler;
use crate::dependencies::names;
use crate::notebook::definitions::Entry;
use crate::notebook::dependence::Dependence;
use chorus_syntax::Reach;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// A definition of the notebook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// As the user wrote it.
    pub text: String,
    /// What the user knows it as, with its cell.
    pub label: String,
    /// Whether it is there for all texts, named or not: an import, or what a macro makes.
    pub is_optional: bool,
}

/// The package with what the notebook depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its manifest and the versions are there.
    pub folder: PathBuf,
    /// What its text knows the dependencies by.
    pub names: Vec<String>,
    /// Whether what is there stays the same as long as the folder is: there is no crate from a path or from git.
    pub is_fixed: bool,
}

impl Compiler {
    /// The definitions that a text with these words reaches, the oldest first. A macro may name others; what lacks is an
    /// error of the other compiler's.
    pub fn reached(&self, words: &BTreeSet<String>) -> Vec<Reached> {
        let words = words.iter().map(String::as_str).collect();
        let found = Dependence::of_names(words, &self.shared.current());
        // What stands in no cell is px's, for cells.
        let is_users = |entry: &&Entry| entry.aside.is_none() && entry.definition.piece.cell > 0;
        let entries = self.shared.entries().iter().filter(is_users);
        let reached = entries.filter(|entry| found.definitions.contains(entry.definition.piece.text.as_str()));
        reached
            .map(|entry| Reached {
                text: entry.definition.piece.text.clone(),
                label: entry.label(),
                is_optional: matches!(entry.definition.nature.reach, Reach::Import | Reach::Any),
            })
            .collect()
    }

    /// What another compiler takes the notebook's dependencies from, if it has any.
    pub fn package(&self) -> Option<Package> {
        let set = self.set.as_ref().map(|current| current.set.clone());
        let (is_fixed, folder) = (set.is_some(), set.unwrap_or_else(|| self.folder().to_owned()));
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
        let names: Vec<String> = names(&manifest);
        (!names.is_empty()).then_some(Package { folder, names, is_fixed })
    }
}
