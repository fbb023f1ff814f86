//! What a cell changes in the definitions: what it replaces, what is tried again, what has to be left out.

use super::{Aside, Definitions, Entry};
use crate::notebook::dependence::Definition;
use std::collections::{BTreeMap, BTreeSet};

/// A change on its way. Numbers are those of entries. Nothing is entered before the cell compiled.
#[derive(Clone, Debug, Default)]
pub(crate) struct Change {
    /// The cell has newer ones.
    pub replaced: BTreeSet<usize>,
    /// Set aside, and tried again with this cell.
    pub tried: BTreeSet<usize>,
    /// Set aside, and not to be tried.
    out: BTreeSet<usize>,
    /// What turned out not to fit, with rustc's message.
    pub reasons: BTreeMap<usize, String>,
    /// Whether a definition isn't what it was.
    alters: bool,
}

impl Change {
    /// What a cell with these items begins with.
    pub fn of(definitions: &Definitions, items: &[Definition]) -> Change {
        let is_replaced = |old: &Definition| {
            let is_same =
                |item: &Definition| item.name().is_none() && old.name().is_none() && item.piece.text == old.piece.text;
            items.iter().any(|item| item.nature.replaces(&old.nature) || is_same(item))
        };
        // An `impl` goes with its type, unless others of that stay, under other conditions.
        let goes = |owner: &str| {
            let of_owner = definitions.entries().iter().filter(|entry| entry.definition.name() == Some(owner));
            items.iter().any(|item| item.name() == Some(owner))
                && of_owner.into_iter().all(|entry| is_replaced(&entry.definition))
        };
        let takes_place = |entry: &Entry| is_replaced(&entry.definition) || entry.owner.as_deref().is_some_and(goes);
        let mut change = Change::default();
        for (index, entry) in definitions.entries().iter().enumerate() {
            if takes_place(entry) {
                change.replaced.insert(index);
                change.alters |= !items.iter().any(|item| item.piece.text == entry.definition.piece.text);
            } else if entry.aside.is_some() {
                change.out.insert(index);
            }
        }
        if !items.is_empty() {
            change.try_again(definitions, items);
        }
        change
    }

    /// What is set aside is worth a try if it names something that changes, or something that is tried.
    fn try_again(&mut self, definitions: &Definitions, items: &[Definition]) {
        let text_of = |index: &usize| definitions.entries()[*index].definition.piece.text.as_str();
        let mut new: BTreeSet<&str> = items.iter().flat_map(names_of).collect();
        new.extend(self.replaced.iter().flat_map(|index| names_of(&definitions.entries()[*index].definition)));
        while !new.is_empty() {
            let names = |index: &usize| chorus_syntax::words(text_of(index)).any(|word| new.contains(word));
            let worth: BTreeSet<usize> = self.out.iter().copied().filter(names).collect();
            self.out.retain(|index| !worth.contains(index));
            new = worth.iter().flat_map(|index| names_of(&definitions.entries()[*index].definition)).collect();
            self.tried.extend(worth);
        }
    }

    /// Leaves a definition out of this cell.
    pub fn leave_out(&mut self, index: usize, reason: String) {
        self.tried.remove(&index);
        self.out.insert(index);
        self.reasons.insert(index, reason);
    }

    /// Makes way for the cell's own: there can't be both.
    pub fn replace(&mut self, index: usize) {
        self.tried.remove(&index);
        self.out.remove(&index);
        self.replaced.insert(index);
        self.alters = true;
    }

    /// Whether the entry of this number counts beside the cell.
    pub fn holds(&self, index: usize) -> bool {
        !self.replaced.contains(&index) && !self.out.contains(&index)
    }

    /// Whether all that was compiled before with this cell says nothing about it: others may not fit any more.
    pub fn needs_check(&self) -> bool {
        self.alters || !self.tried.is_empty()
    }

    /// Whether it went without anything being set aside or coming back.
    pub fn is_plain(&self) -> bool {
        self.tried.is_empty() && self.reasons.is_empty()
    }

    /// What is to be said, once it is entered: of what was set aside, and of what is back. `before` are the definitions
    /// without the change, `items` those of the cell.
    pub fn notices(&self, before: &Definitions, items: &[Definition]) -> Vec<String> {
        let changed: BTreeSet<&str> = items.iter().filter_map(Definition::name).collect();
        let newly = self.reasons.iter().filter(|(index, _)| before.entries()[**index].aside.is_none());
        let aside = newly.map(|(index, reason)| {
            let entry = &before.entries()[*index];
            let back = Aside::of(entry, reason, &changed).or_back();
            format!("{} is set aside: {reason}. It comes back when it fits again: edit it{back}.", entry.label())
        });
        let back =
            self.tried.iter().map(|index| format!("{} is back: it fits again.", before.entries()[*index].label()));
        aside.chain(back).chain(self.losses(before, items)).chain(self.gone_along(before, items)).collect()
    }

    /// Methods that went because their `impl` was replaced.
    fn losses(&self, before: &Definitions, items: &[Definition]) -> Vec<String> {
        let blocks = || items.iter().filter_map(|item| item.nature.block.as_ref());
        let replaced = self.replaced.iter().map(|index| &before.entries()[*index]);
        let lost = replaced.filter_map(|entry| {
            let old = entry.definition.nature.block.as_ref()?;
            // Without one in its place it went with its type, whose cell it is in.
            blocks().find(|new| new.replaces(old) && new.of_trait.is_none())?;
            let same = blocks().filter(|new| new.of_type == old.of_type);
            let kept: BTreeSet<&String> = same.flat_map(|new| &new.members).collect();
            let lost: Vec<&str> = old.members.iter().filter(|name| !kept.contains(name)).map(String::as_str).collect();
            let what = lost.join("`, `");
            let says = || format!("{} was replaced by that of this cell, which has no `{what}`.", entry.label());
            (!lost.is_empty()).then(says)
        });
        lost.collect()
    }

    /// The `impl`s that went with what they stood beside, and that nothing of the cell takes the place of.
    fn gone_along(&self, before: &Definitions, items: &[Definition]) -> Vec<String> {
        let mut gone: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for entry in self.replaced.iter().map(|index| &before.entries()[*index]) {
            let (Some(old), Some(owner)) = (&entry.definition.nature.block, &entry.owner) else { continue };
            let mut new = items.iter().filter_map(|item| item.nature.block.as_ref());
            if !new.any(|new| (&new.of_trait, &new.of_type) == (&old.of_trait, &old.of_type)) {
                gone.entry(owner).or_default().push(entry.label());
            }
        }
        let says = |(owner, blocks): (&str, Vec<String>)| {
            let (verb, they) = if blocks.len() == 1 { ("is", "it") } else { ("are", "they") };
            let blocks = blocks.join(", ");
            format!("{blocks} {verb} no longer there: {they} stood in the cell of the old `{owner}`, and went with it.")
        };
        gone.into_iter().map(says).collect()
    }
}

/// The names that others may call a definition by.
fn names_of(definition: &Definition) -> Vec<&str> {
    let block = definition.nature.block.as_ref();
    let of_block = block.into_iter().flat_map(|block| block.names.iter().chain(&block.members).map(String::as_str));
    definition.name().into_iter().chain(of_block).collect()
}
