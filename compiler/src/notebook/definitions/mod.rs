//! What all namespaces share: the definitions of the notebook, and its settings.
//!
//! This is their only account. evcxr is told of all definitions with each text that it compiles (see [`prefix`]), so what
//! counts is what is here: the newest definition of a name. A definition that stopped to compile because another one was
//! edited is *set aside*: it stays here, is left out of what is compiled, and is tried again when something changes that
//! it names (see [`change`]).

pub(crate) mod change;
pub(crate) mod prefix;
pub(crate) mod verdict;

use crate::CellText;
use crate::messages::source_map::MappedPiece;
use crate::notebook::dependence::Definition;
use crate::notebook::setting::Setting;
use change::Change;
use chorus_syntax::{Cell, Nature, Reach};
use std::collections::{BTreeMap, BTreeSet};

/// A definition, and how it stands.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub definition: Definition,
    /// The item of the same cell that it goes with, if it is an `impl`.
    owner: Option<String>,
    /// Why it is set aside, if it is.
    pub aside: Option<Aside>,
}

/// Why a definition is set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Aside {
    /// rustc's message.
    pub reason: String,
    /// What was edited, as far as it names that.
    pub by: Vec<String>,
}

/// The definitions and the settings.
#[derive(Clone, Debug)]
pub(crate) struct Definitions {
    /// The oldest first; no two of a name.
    entries: Vec<Entry>,
    /// All names that there ever were, of which evcxr may know something.
    names: BTreeSet<String>,
    settings: Vec<Setting>,
}

impl Aside {
    /// Of this entry, for this reason, by a cell that has these names.
    pub fn of(entry: &Entry, reason: &str, changed: &BTreeSet<&str>) -> Aside {
        let words: BTreeSet<&str> = chorus_syntax::words(&entry.definition.piece.text).collect();
        let by = words.intersection(changed).map(|name| (*name).to_owned()).collect();
        Aside { reason: reason.to_owned(), by }
    }

    /// The other way in which it can come back, behind that of editing it.
    pub fn or_back(&self) -> String {
        match self.by.is_empty() {
            true => String::new(),
            false => format!(", or edit `{}` back", self.by.join("`, `")),
        }
    }
}

impl Definitions {
    /// What every notebook begins with.
    pub fn new() -> Definitions {
        let mut definitions = Definitions { entries: Vec::new(), names: BTreeSet::new(), settings: Vec::new() };
        definitions.show_with("px");
        // rust-analyzer writes the type of a joined thread's result as `Result<T, Box<dyn Any + Send>>`.
        definitions.add_text("use std::any::Any;");
        definitions
    }

    /// Chooses how results are shown: by the trait `Show` of this module of px.
    pub fn show_with(&mut self, module: &str) {
        self.add_text(&format!("use {module}::Show;"));
    }

    /// Whether results are shown with their types.
    pub fn shows_types(&self) -> bool {
        self.current().iter().any(|item| item.piece.cell == 0 && item.piece.text == "use px::typed::Show;")
    }

    fn add_text(&mut self, text: &str) {
        let items = definitions_of(&Cell::parse(text), |_| MappedPiece {
            cell: 0,
            line: 1,
            column: 1,
            text: text.to_owned(),
            shown: text.to_owned(),
            users: CellText::ALL,
        });
        let change = Change::of(self, &items);
        self.apply(items, &change);
    }

    /// All, with how they stand.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The definitions that hold.
    pub fn current(&self) -> Vec<&Definition> {
        self.entries.iter().filter(|entry| entry.aside.is_none()).map(|entry| &entry.definition).collect()
    }

    /// Enters what a cell has changed.
    pub fn apply(&mut self, items: Vec<Definition>, change: &Change) {
        let changed: BTreeSet<&str> = items.iter().filter_map(Definition::name).collect();
        for (index, entry) in self.entries.iter_mut().enumerate() {
            if let Some(reason) = change.reasons.get(&index) {
                entry.aside = Some(Aside::of(entry, reason, &changed));
            } else if change.tried.contains(&index) {
                entry.aside = None;
            }
        }
        let mut index = 0;
        self.entries.retain(|_| {
            index += 1;
            !change.replaced.contains(&(index - 1))
        });
        let own: BTreeSet<String> = changed.into_iter().map(str::to_owned).collect();
        for definition in items {
            // Of two items of a name in one cell, evcxr takes the second.
            if let Some(name) = definition.name() {
                self.entries.retain(|entry| !definition.nature.replaces(&entry.definition.nature));
                self.names.insert(name.to_owned());
                self.names.extend(definition.nature.is_macro.then(|| prefix::module_of(name)));
                self.names.extend(prefix::module_under(&definition.nature));
            }
            let block = definition.nature.block.as_ref();
            let owner = block.and_then(|block| block.names.iter().find(|name| own.contains(*name)).cloned());
            self.entries.push(Entry { definition, owner, aside: None });
        }
    }

    /// Adds a setting, which every state has to learn of.
    pub fn add_setting(&mut self, setting: Setting) {
        self.settings.push(setting);
    }

    /// Undoes the last addition.
    pub fn take_back(&mut self) {
        self.settings.pop();
    }

    /// How many settings there are to be seen.
    pub fn settings_len(&self) -> usize {
        self.settings.len()
    }

    /// The settings that a snapshot hasn't seen.
    pub fn settings(&self, seen: usize) -> impl Iterator<Item = &Setting> {
        self.settings.iter().skip(seen)
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

impl Entry {
    /// How a user knows it: `f`, `impl T for S`.
    pub fn label(&self) -> String {
        let Definition { piece, nature } = &self.definition;
        let name = nature.name.as_deref().filter(|_| !nature.is_call);
        let what = name.or(nature.block.as_ref().map(|block| block.head.as_str()));
        let first = piece.text.lines().next().unwrap_or_default();
        match piece.cell {
            0 => format!("`{}`", what.unwrap_or(first)),
            cell => format!("`{}` (In[{cell}])", what.unwrap_or(first)),
        }
    }

    /// The names by which a cell may reach it.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let members = self.definition.nature.block.iter().flat_map(|block| block.members.iter().map(String::as_str));
        self.definition.name().into_iter().chain(members)
    }
}

impl Definition {
    /// Whether evcxr keeps it for good, because it has no name by which to replace it.
    pub(crate) fn is_for_good(&self) -> bool {
        self.name().is_none() && self.nature.reach == Reach::Import
    }
}

/// A cell's items as definitions: a `use` is one for each name. `place` says where an item of the cell stands.
pub(crate) fn definitions_of(
    cell: &Cell,
    mut place: impl FnMut(&chorus_syntax::Piece) -> MappedPiece,
) -> Vec<Definition> {
    let mut found = Vec::new();
    for item in &cell.items {
        let piece = place(&item.piece);
        found.extend(item.imports.iter().map(|import| Definition {
            piece: MappedPiece { text: import.text.clone(), ..piece.clone() },
            nature: Nature::of_import(import.name.clone()),
        }));
        if item.imports.is_empty() {
            found.push(Definition { piece, nature: item.nature.clone() });
        }
    }
    found
}

/// The same where they stand in the cell of this number, for tests.
#[cfg(test)]
pub(crate) fn definitions_in(cell: &Cell, number: u32) -> Vec<Definition> {
    definitions_of(cell, |piece| MappedPiece {
        cell: number,
        line: piece.line,
        column: piece.column,
        text: piece.text.clone(),
        shown: piece.text.clone(),
        users: CellText::ALL,
    })
}

#[cfg(test)]
mod tests;
