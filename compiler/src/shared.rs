//! What all namespaces share: items and settings, in the order in which they came.
//!
//! Each snapshot of a namespace has seen a beginning of this list; the rest is compiled in front of its next cell.

use crate::evaluator::Setting;
use crate::source_map::MappedPiece;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
enum Shared {
    Items {
        pieces: Vec<MappedPiece>,
        /// Whether any of them has a name, by which a later one replaces it.
        named: bool,
    },
    Setting(Setting),
}

/// The list.
#[derive(Clone, Debug)]
pub(crate) struct Definitions(Vec<Shared>);

impl Definitions {
    /// What every notebook begins with.
    pub fn new() -> Definitions {
        let mut definitions = Definitions(Vec::new());
        definitions.show_with("px");
        // rust-analyzer writes the type of a joined thread's result as `Result<T, Box<dyn Any + Send>>`.
        definitions.add_text("use std::any::Any;");
        definitions
    }

    /// How much there is to be seen.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds the items of a cell that compiled.
    pub fn add(&mut self, pieces: Vec<MappedPiece>, named: bool) {
        if !pieces.is_empty() {
            self.0.push(Shared::Items { pieces, named });
        }
    }

    pub fn add_setting(&mut self, setting: Setting) {
        self.0.push(Shared::Setting(setting));
    }

    /// Undoes the last addition.
    pub fn take_back(&mut self) {
        self.0.pop();
    }

    /// Chooses how results are shown: by the trait `Show` of this module of px.
    pub fn show_with(&mut self, module: &str) {
        self.add_text(&format!("use {module}::Show;"));
    }

    fn add_text(&mut self, text: &str) {
        self.add(
            vec![MappedPiece { cell: 0, line: 1, column: 1, text: text.to_owned(), first_line: text.to_owned() }],
            true,
        );
    }

    /// The items that a snapshot hasn't seen, as Rust.
    pub fn text(&self, seen: usize) -> String {
        let mut text = String::new();
        for (at, shared) in self.0.iter().enumerate().skip(seen) {
            let Shared::Items { pieces, named } = shared else { continue };
            let same = |other: &Shared| {
                matches!(other, Shared::Items { pieces: theirs, .. }
                    if theirs.iter().map(|piece| &piece.text).eq(pieces.iter().map(|piece| &piece.text)))
            };
            // A cell that was run twice is compiled once; an `impl` that is already there can't come again.
            if self.0[at + 1..].iter().any(same) || (!named && self.0[..seen].iter().any(same)) {
                continue;
            }
            for piece in pieces {
                text.push_str(&piece.text);
                text.push('\n');
            }
        }
        text
    }

    /// The settings that a snapshot hasn't seen.
    pub fn settings(&self, seen: usize) -> impl Iterator<Item = &Setting> {
        self.0.iter().skip(seen).filter_map(|shared| match shared {
            Shared::Setting(setting) => Some(setting),
            Shared::Items { .. } => None,
        })
    }

    /// All items with their places, the newest first.
    pub fn pieces(&self) -> impl Iterator<Item = MappedPiece> {
        self.0.iter().rev().flat_map(|shared| match shared {
            Shared::Items { pieces, .. } => pieces.clone(),
            Shared::Setting(_) => Vec::new(),
        })
    }

    /// Dependencies as `:dep` gave them.
    pub fn dependencies(&self) -> Vec<String> {
        let mut all = BTreeMap::new();
        for setting in self.settings(0) {
            match setting {
                Setting::Dependency { name, config } => all.insert(name.clone(), format!("{name} = {config}")),
                Setting::LocalDependency(path) => all.insert(path.clone(), path.clone()),
                _ => None,
            };
        }
        all.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(text: &str) -> MappedPiece {
        MappedPiece { cell: 1, line: 1, column: 1, text: text.into(), first_line: text.into() }
    }

    #[test]
    fn a_snapshot_gets_what_it_has_not_seen_and_nothing_twice() {
        let mut all = Definitions::new();
        let seen = all.len();
        all.add(vec![piece("struct A;"), piece("impl A {}")], true);
        all.add(vec![piece("impl T for A {}")], false);
        all.add(vec![], false);
        assert_eq!(all.text(seen), "struct A;\nimpl A {}\nimpl T for A {}\n");
        let later = all.len();
        all.add(vec![piece("struct A;"), piece("impl A {}")], true);
        all.add(vec![piece("impl T for A {}")], false);
        assert_eq!(all.text(seen), "struct A;\nimpl A {}\nimpl T for A {}\n", "each once, the later one");
        assert_eq!(all.text(later), "struct A;\nimpl A {}\n", "the impl is there already");
        assert_eq!(all.text(all.len()), "");
    }

    #[test]
    fn the_last_version_of_a_dependency_counts() {
        let dependency = |config: &str| Setting::Dependency { name: "a".into(), config: config.into() };
        let mut all = Definitions::new();
        all.add_setting(dependency("\"1\""));
        all.add_setting(dependency("\"2\""));
        assert_eq!(all.dependencies(), ["a = \"2\""]);
        all.take_back();
        assert_eq!(all.dependencies(), ["a = \"1\""]);
    }
}
