//! Which variables have values of types that aren't what they were.

use crate::compiler::Compiler;
use crate::messages::failure::{Failure, missing_name};
use crate::notebook::definitions::change::Change;
use crate::notebook::dependence::{Definition, contains_type};
use crate::notebook::identity::Identities;
use crate::notebook::namespace::Member;
use crate::notebook::prelude;
use crate::notebook::setting::Setting;
use chorus_syntax::{Reach, brought_by_glob, macros_of, path_of, words_of};
use std::collections::{BTreeMap, BTreeSet};

/// Behind each of these words stands the name of what has types in it.
const TYPES: [&str; 6] = ["enum", "mod", "struct", "trait", "type", "union"];

impl Compiler {
    /// The variables, by member, that have a type in them that these items define anew: their values aren't what the
    /// new definition says, and evcxr, which only compares names, would take them for it.
    pub(crate) fn outdated(&self, items: &[Definition], identities: &Identities) -> Vec<(Member, Vec<String>)> {
        let current = self.shared.current();
        let is_changed = |item: &&Definition| {
            let same_name = current.iter().filter(|other| item.nature.replaces(&other.nature));
            let is_other = |other: &Definition| {
                let is_type = |it: &Definition| it.nature.is_type || it.name().is_some_and(prelude::is_in);
                (is_type(item) || is_type(other)) && other.piece.text != item.piece.text
            };
            same_name.into_iter().any(|other| is_other(other))
        };
        let mut changed: BTreeSet<&str> = items.iter().filter(is_changed).filter_map(Definition::name).collect();
        // What a macro call defines has any of the names in it.
        let calls = current.iter().copied().chain(items).filter(|item| item.nature.is_call);
        let is_edited = |name: &str| {
            let old = current.iter().find(|item| item.name() == Some(name)).map(|item| &item.piece.text);
            let new = items.iter().find(|item| item.name() == Some(name)).map(|item| &item.piece.text);
            new.is_some() && old.is_some() && old != new
        };
        for call in calls {
            if call.name().is_some_and(is_edited) || macros_of(&call.piece.text).any(is_edited) {
                changed.extend(chorus_syntax::words(&call.piece.text));
            }
        }
        changed.extend(identities.changed(&self.identities));
        if identities.of_crate() != self.identities.of_crate() {
            let calls = current.iter().filter(|item| item.nature.is_call);
            changed.extend(calls.flat_map(|item| chorus_syntax::words(&item.piece.text)));
        }
        self.with_types(&changed)
    }

    /// What types are with these items.
    pub(crate) fn identities_with(&mut self, items: &[Definition], change: &Change) -> Identities {
        if items.is_empty() && change.is_plain() && self.identities_seen == self.shared.settings_len() {
            return self.identities.clone();
        }
        let held = self.shared.entries().iter().enumerate().filter(|(index, _)| change.holds(*index));
        let definitions: Vec<&Definition> = held.map(|(_, entry)| &entry.definition).chain(items).collect();
        // Another version of a crate has other types.
        let dependencies = self.shared.settings(0).filter_map(|setting| match setting {
            Setting::Dependency { name, config } => {
                Some((name.replace('-', "_"), format!("const _: &str = {config:?};")))
            }
            _ => None,
        });
        let dependencies: BTreeMap<String, String> = dependencies.collect();
        let was_edited = |name: &str, identity: &str| self.reuse.was_edited(name, identity);
        self.identities.with(&mut self.facts, &definitions, &dependencies, was_edited)
    }

    /// The variables, by member, that have any of these types in them.
    pub(crate) fn with_types(&self, changed: &BTreeSet<&str>) -> Vec<(Member, Vec<String>)> {
        if changed.is_empty() {
            return Vec::new();
        }
        let current = self.shared.current();
        let changed = with_imported(changed, &current);
        let of = |member| {
            let variables = self.namespaces.variables(member).into_iter();
            let lost = variables.filter(|(_, variable)| contains_type(&variable.type_name, &changed, &current));
            (member, lost.map(|(name, _)| name).collect::<Vec<_>>())
        };
        self.namespaces.members().into_iter().map(of).filter(|(_, lost)| !lost.is_empty()).collect()
    }

    /// The failure, which says why the cell can't use variables whose types it defines anew. `outdated` are those
    /// variables, and `items` what the cell defines.
    pub(crate) fn explain_outdated(
        &self,
        mut failure: Failure,
        items: &[Definition],
        members: &[Member],
        outdated: &[(Member, Vec<String>)],
    ) -> Failure {
        let Failure::Errors(errors) = &mut failure else { return failure };
        let outdated = || outdated.iter().filter(|(member, _)| members.contains(member)).flat_map(|(_, names)| names);
        for error in errors {
            let missing = missing_name(error).map(str::to_owned);
            let Some(name) = missing.filter(|name| outdated().any(|lost| lost == name)) else { continue };
            // Why it isn't there is known already, if that is something else.
            if error.notes.iter().any(|note| note.starts_with("note: ")) {
                continue;
            }
            let has_it =
                |item: &str| self.with_types(&BTreeSet::from([item])).iter().any(|(_, names)| names.contains(&name));
            let what: BTreeSet<&str> = items.iter().filter_map(Definition::name).filter(|item| has_it(item)).collect();
            let what = match what.is_empty() {
                true => "its type".to_owned(),
                false => format!("`{}`", what.into_iter().collect::<Vec<_>>().join("`, `")),
            };
            error.notes = vec![
                format!("note: this cell defines {what} anew, and `{name}` has a value of the old one"),
                format!("help: use `{name}` in a cell before, or define it anew in this one"),
            ];
        }
        failure
    }
}

/// These names, and those that imports give to what is in them: a variable's type is written with the name that is in
/// scope.
fn with_imported<'a>(changed: &BTreeSet<&'a str>, current: &[&'a Definition]) -> BTreeSet<&'a str> {
    let mut all = changed.clone();
    let imports = current.iter().filter(|item| item.nature.reach == Reach::Import);
    let imports: Vec<(&str, &Definition)> =
        imports.filter_map(|item| Some((*path_of(&item.piece.text).first()?, *item))).collect();
    loop {
        let before = all.len();
        for (root, import) in &imports {
            if !all.contains(root) {
                continue;
            }
            match import.name() {
                Some(name) => _ = all.insert(name),
                // A glob brings what is shown there.
                None => {
                    for item in current.iter().filter(|item| item.name() == Some(root)) {
                        let brought = brought_by_glob(&item.piece.text);
                        let is_brought = |name: &&str| brought.as_ref().is_none_or(|brought| brought.contains(*name));
                        all.extend(types_in(&item.piece.text).filter(is_brought));
                    }
                }
            }
        }
        if all.len() == before {
            return all;
        }
    }
}

/// The names of what types may be in, among what a text defines.
fn types_in(text: &str) -> impl Iterator<Item = &str> {
    words_of(text).zip(words_of(text).skip(1)).filter(|(kind, _)| TYPES.contains(kind)).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_give_names_to_what_is_in_a_module() {
        let text = "mod g { /* struct */ pub struct P; pub mod h { enum Q {} } fn f() {} } use g::P; use g::h as k; \
                    use k::*; use crate::g::h::Q as R; use std::g::S; mod other { pub struct T; } use other::T; \
                    mod shown { struct Own; pub struct Seen; impl Own { fn f() { type Item = u8; } } } use shown::*;";
        let all = crate::notebook::definitions::definitions_in(&chorus_syntax::Cell::parse(text), 1);
        let all: Vec<&Definition> = all.iter().collect();
        let of = |name| with_imported(&BTreeSet::from([name]), &all).into_iter().collect::<Vec<_>>();
        assert_eq!(of("g"), ["P", "R", "g", "k"]);
        assert_eq!(of("other"), ["T", "other"]);
        assert_eq!(of("shown"), ["Seen", "shown"], "what isn't shown isn't brought");
        assert_eq!(of("P"), ["P"]);
    }
}
