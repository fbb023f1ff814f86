//! How often each static has begun.
//!
//! A static's name tells what it is made of. But one that is edited, and then edited back, is to begin anew, and the
//! first one is still loaded. So it is counted here how often a static stopped to be made of something, and what is
//! made of that again has the number in its name. All others have names that are the same in each kernel.

use super::statics_of;
use crate::cell::reuse::add;
use crate::compiler::Compiler;
use crate::notebook::definitions::change::Change;
use crate::notebook::dependence::Definition;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Tells rustc's wrapper, in the folder that evcxr builds in.
const FILE: &str = ".chorus-statics";

/// What a static is made of, hashed.
type Made = [u8; 32];

/// An account of all statics, by the names of their places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Beginnings {
    current: BTreeMap<String, Made>,
    /// How often each stopped to be made of this.
    ended: BTreeMap<(String, Made), u32>,
    /// Those that aren't there now, because what they were in was edited or set aside.
    away: BTreeSet<String>,
}

impl Beginnings {
    /// The account when these are the definitions.
    pub fn with(&self, texts: &[&str]) -> Beginnings {
        let mut all = self.clone();
        all.current = statics_of(texts).into_iter().map(|(place, made_of)| (place, hash(&made_of))).collect();
        for (place, made) in self.current.iter().filter(|(place, made)| all.current.get(*place) != Some(*made)) {
            *all.ended.entry((place.clone(), *made)).or_default() += 1;
            all.away.insert(place.clone());
        }
        all.away.retain(|place| !all.current.contains_key(place));
        all
    }

    /// Those that are there.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.current.keys().map(String::as_str)
    }

    /// The account when there are no definitions any more, and nobody expects that one comes back.
    pub fn cleared(&self) -> Beginnings {
        Beginnings { away: BTreeSet::new(), ..self.with(&[]) }
    }

    /// The statics that began anew since `before`.
    pub fn anew(&self, before: &Beginnings) -> Vec<String> {
        let is_other = |(place, made): &(&String, &Made)| match before.current.get(*place) {
            Some(old) => old != *made,
            None => before.away.contains(*place),
        };
        self.current.iter().filter(is_other).map(|(place, _)| place.clone()).collect()
    }

    /// How often each that is there was there before and ended.
    fn again(&self) -> impl Iterator<Item = (&str, u32)> {
        let ended = |(place, made): (&String, &Made)| self.ended.get(&(place.clone(), *made)).copied();
        self.current.iter().filter_map(move |it| Some((it.0.as_str(), ended(it)?)))
    }

    /// What tells objects with the statics of these definitions from those that were made before the statics ended.
    pub fn key<'a>(&self, texts: impl Iterator<Item = &'a str>) -> String {
        let again: BTreeMap<&str, u32> = self.again().collect();
        if again.is_empty() {
            return String::new();
        }
        let found = statics_of(&texts.collect::<Vec<_>>());
        let again: Vec<_> = again.into_iter().filter(|(place, _)| found.contains_key(*place)).collect();
        if again.is_empty() { String::new() } else { format!("{again:?}") }
    }

    /// Tells the wrapper.
    pub fn write(&self, folder: &Path) -> std::io::Result<()> {
        let text: String = self.again().map(|(place, count)| format!("{count} {place}\n")).collect();
        let path = folder.join(FILE);
        match std::fs::read(&path).unwrap_or_default() == text.as_bytes() {
            true => Ok(()),
            false => std::fs::write(path, text),
        }
    }
}

/// For the wrapper: how often statics ended that are there again.
pub(crate) fn told() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(FILE).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.map(|(count, place)| (place.to_owned(), count.to_owned())).collect()
}

fn hash(made_of: &BTreeSet<String>) -> Made {
    let mut hasher = blake3::Hasher::new();
    made_of.iter().for_each(|text| add(&mut hasher, text.as_bytes()));
    *hasher.finalize().as_bytes()
}

impl Compiler {
    /// The account of statics with these items.
    pub(crate) fn statics_with(&self, items: &[Definition], change: &Change) -> Beginnings {
        if items.is_empty() && change.is_plain() {
            return self.statics.clone();
        }
        let held = self.shared.entries().iter().enumerate().filter(|(index, _)| change.holds(*index));
        let definitions = held.map(|(_, entry)| &entry.definition).chain(items);
        self.statics.with(&definitions.map(|item| item.piece.text.as_str()).collect::<Vec<_>>())
    }
}
