//! Names of the prelude in the types of variables.
//!
//! The types of variables are kept as text, which is read again in each cell: `Result<u8, String>`. When the notebook
//! gets a `Result` of its own, that text says something else than it did, so std's is written with its path from then on.
//! rust-analyzer does the same with new variables.

use crate::notebook::dependence::Definition;
use crate::notebook::namespace::{Namespaces, Variables};
use std::collections::BTreeSet;

/// Where std has them all.
const PATH: &str = "std::prelude::v1::";

/// Types and traits that are written without a path.
const NAMES: &[&str] = &[
    "Box",
    "Clone",
    "Copy",
    "DoubleEndedIterator",
    "Drop",
    "ExactSizeIterator",
    "Fn",
    "FnMut",
    "FnOnce",
    "Iterator",
    "Option",
    "Result",
    "Send",
    "Sized",
    "String",
    "Sync",
    "ToString",
    "Unpin",
    "Vec",
];

/// Globs that bring a `Result`.
const RESULTS: &[&str] = &["use anyhow::*;", "use std::fmt::*;", "use std::io::*;"];

/// Whether the prelude has a type or a trait of this name.
pub(crate) fn is_in(name: &str) -> bool {
    NAMES.contains(&name)
}

/// The prelude's names that mean something else beside these definitions.
pub(crate) fn hidden<'a>(definitions: impl Iterator<Item = &'a Definition>) -> BTreeSet<&'static str> {
    let of = |item: &Definition| match item.name() {
        Some(name) => NAMES.iter().copied().find(|known| *known == name),
        None => RESULTS.contains(&item.piece.text.as_str()).then_some("Result"),
    };
    definitions.filter_map(of).collect()
}

/// The type with std's path before these names of the prelude.
pub(crate) fn with_paths(type_name: &str, names: &BTreeSet<&str>) -> String {
    let (mut text, mut rest) = (String::with_capacity(type_name.len()), type_name);
    while let Some(start) = rest.find(|c: char| c.is_alphanumeric() || c == '_') {
        let (before, word) = rest.split_at(start);
        let end = word.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(word.len());
        let (word, after) = word.split_at(end);
        text.push_str(before);
        let goes_on = text.trim_end().ends_with("::") || after.starts_with("::") || text.ends_with('\'');
        // `Item = u8` names what a trait has.
        let is_bound = after.trim_start().starts_with('=');
        if names.contains(word) && !goes_on && !is_bound {
            text.push_str(PATH);
        }
        text.push_str(word);
        rest = after;
    }
    text + rest
}

/// The words of a type that may be names of the notebook's.
pub(crate) fn words(type_name: &str) -> impl Iterator<Item = &str> {
    type_name.split(PATH).enumerate().flat_map(|(at, part)| {
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        chorus_syntax::words(if at == 0 { part } else { part.trim_start_matches(is_name) })
    })
}

/// Writes std's path before these names in the types of the variables.
pub(crate) fn write_paths(variables: &mut Variables, names: &BTreeSet<&str>) {
    if !names.is_empty() {
        variables.values_mut().for_each(|variable| variable.type_name = with_paths(&variable.type_name, names));
    }
}

impl Namespaces {
    /// The same for all variables of all members.
    pub(crate) fn write_paths(&mut self, names: &BTreeSet<&str>) {
        self.for_each_variables(|variables| write_paths(variables, names));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_hide_names() {
        let of = |text: &str| {
            let all = crate::notebook::definitions::definitions_in(&chorus_syntax::Cell::parse(text), 1);
            hidden(all.iter()).into_iter().collect::<Vec<_>>()
        };
        assert_eq!(of("type Result<T> = u8; use m::{Vec, other}; struct Own; use a::*;"), ["Result", "Vec"]);
        assert_eq!(of("use std::io::*; use std::fmt::Write;"), ["Result"]);
    }

    #[test]
    fn paths_are_written_where_std_is_meant() {
        let names = BTreeSet::from(["Result", "Vec", "Fn"]);
        let with = |text: &str| with_paths(text, &names);
        assert_eq!(
            with("Result<u8, io::Result<Vec<u8>>>"),
            "std::prelude::v1::Result<u8, io::Result<std::prelude::v1::Vec<u8>>>"
        );
        assert_eq!(
            with("&'static dyn Fn(u8) -> Option<MyVec>"),
            "&'static dyn std::prelude::v1::Fn(u8) -> Option<MyVec>"
        );
        for text in ["std::prelude::v1::Result<u8>", "dyn T<Result = u8>", "Option<é>", "[u8; 3]", "Vec::Inner", ""] {
            assert_eq!(with(text), text);
        }
        assert_eq!(
            words("std::prelude::v1::Result<Own, Vec<m::Own2>>").collect::<Vec<_>>(),
            ["Own", "Vec", "m", "Own2"]
        );
    }
}
