//! What all namespaces share: items and settings, in the order in which they came.
//!
//! Each snapshot of a namespace has seen a beginning of this list; the rest is compiled in front of its next cell.

use crate::CellText;
use crate::dependence::Definition;
use crate::evaluator::Setting;
use crate::source_map::MappedPiece;
use chorus_syntax::{Cell, Nature, Reach};
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
enum Shared {
    Items {
        items: Vec<Definition>,
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
        definitions.add_text("use std::any::Any;", None);
        definitions
    }

    /// How much there is to be seen.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds the items of a cell that compiled.
    pub fn add(&mut self, items: Vec<Definition>, named: bool) {
        if !items.is_empty() {
            self.0.push(Shared::Items { items, named });
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
        self.add_text(&format!("use {module}::Show;"), Some("Show"));
    }

    /// Whether results are shown with their types.
    pub fn shows_types(&self) -> bool {
        let chosen = self.0.iter().rev().find_map(|shared| match shared {
            Shared::Items { items, .. } => {
                items.iter().find(|item| item.piece.cell == 0 && item.name() == Some("Show"))
            }
            Shared::Setting(_) => None,
        });
        chosen.is_some_and(|item| item.piece.text == "use px::typed::Show;")
    }

    /// `name` is what it replaces the last of, if anything.
    fn add_text(&mut self, text: &str, name: Option<&str>) {
        let items = Cell::parse(text).items.into_iter().map(|item| Definition {
            piece: MappedPiece {
                cell: 0,
                line: 1,
                column: 1,
                text: item.piece.text,
                shown: text.to_owned(),
                users: CellText::ALL,
            },
            nature: Nature { name: name.map(str::to_owned), ..item.nature },
        });
        self.add(items.collect(), true);
    }

    /// The items that a snapshot hasn't seen, as Rust.
    pub fn text(&self, seen: usize) -> String {
        let mut text = String::new();
        for (at, shared) in self.0.iter().enumerate().skip(seen) {
            let Shared::Items { items, named } = shared else { continue };
            let text_of = |item: &Definition| item.piece.text.clone();
            let same = |other: &Shared| {
                matches!(other, Shared::Items { items: theirs, .. }
                    if theirs.iter().map(text_of).eq(items.iter().map(text_of)))
            };
            // A cell that was run twice is compiled once; an `impl` that is already there can't come again.
            if self.0[at + 1..].iter().any(same) || (!named && self.0[..seen].iter().any(same)) {
                continue;
            }
            for item in items {
                // An `extern` block that is there already can't come again, whatever came with it.
                let is_seen = |other: &Shared| matches!(other, Shared::Items { items, .. } if items.iter().map(text_of).any(|text| text == text_of(item)));
                if item.name().is_none() && item.nature.reach == Reach::Any && self.0[..seen].iter().any(is_seen) {
                    continue;
                }
                text.push_str(&item.piece.text);
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
            Shared::Items { items, .. } => items.iter().map(|item| item.piece.clone()).collect(),
            Shared::Setting(_) => Vec::new(),
        })
    }

    /// The items that hold. One that is defined anew takes with it what evcxr has attached to it: the `impl`s that
    /// followed it in its cell.
    pub fn current(&self) -> Vec<&Definition> {
        let mut current: Vec<(Option<&str>, &Definition)> = Vec::new();
        for shared in &self.0 {
            let Shared::Items { items, .. } = shared else { continue };
            let again: Vec<&str> = items.iter().filter_map(Definition::name).collect();
            current.retain(|(owner, _)| !owner.is_some_and(|owner| again.contains(&owner)));
            let mut owner = None;
            for item in items {
                owner = match item.nature.reach {
                    _ if item.name().is_some() => item.name(),
                    Reach::Words(_) => owner,
                    // An import isn't attached to anything, and what may matter to all is kept.
                    Reach::Name | Reach::Import | Reach::Any => None,
                };
                current.push((owner, item));
            }
        }
        current.into_iter().map(|(_, item)| item).collect()
    }

    /// The toolchain that was chosen last.
    pub fn toolchain(&self) -> Option<String> {
        let chosen = |setting: &Setting| match setting {
            Setting::Toolchain(name) => Some(name.clone()),
            _ => None,
        };
        self.settings(0).filter_map(chosen).last()
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

    fn items(text: &str) -> Vec<Definition> {
        let piece =
            |text| MappedPiece { cell: 1, line: 1, column: 1, text, shown: String::new(), users: CellText::ALL };
        let items = Cell::parse(text).items.into_iter();
        items.map(|item| Definition { piece: piece(item.piece.text), nature: item.nature }).collect()
    }

    #[test]
    fn a_snapshot_gets_what_it_has_not_seen_and_nothing_twice() {
        let mut all = Definitions::new();
        let seen = all.len();
        all.add(items("struct A; impl A {}"), true);
        all.add(items("impl T for A {}"), false);
        all.add(vec![], false);
        assert_eq!(all.text(seen), "struct A;\nimpl A {}\nimpl T for A {}\n");
        let later = all.len();
        all.add(items("struct A; impl A {}"), true);
        all.add(items("impl T for A {}"), false);
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

    #[test]
    fn an_item_that_is_defined_anew_takes_its_impls_along() {
        let mut all = Definitions::new();
        let texts = |all: &Definitions, from: usize| -> Vec<String> {
            all.current()[from..].iter().map(|item| item.piece.text.clone()).collect()
        };
        all.show_with("px::typed");
        assert!(all.shows_types());
        all.show_with("px");
        assert!(!all.shows_types());
        assert_eq!(texts(&all, 0), ["use std::any::Any;", "use px::Show;"]);
        let own = all.current().len();
        all.add(items("struct A; impl A {} use std::io; impl B for C {}"), true);
        all.add(items("impl D for A {}"), false);
        assert_eq!(texts(&all, own), ["struct A;", "impl A {}", "use std::io;", "impl B for C {}", "impl D for A {}"]);
        all.add(items("fn f() {} struct A(u8);"), true);
        assert_eq!(
            texts(&all, own),
            ["use std::io;", "impl B for C {}", "impl D for A {}", "fn f() {}", "struct A(u8);"]
        );
    }
}
