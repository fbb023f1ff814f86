//! Which variables have values of types that aren't what they were.

use crate::compiler::Compiler;
use crate::definitions::change::Change;
use crate::dependence::{Definition, contains_type};
use crate::identity::Identities;
use crate::namespace::Member;
use crate::prelude;
use crate::setting::Setting;
use chorus_syntax::macros_of;
use std::collections::{BTreeMap, BTreeSet};

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
        let of = |member| {
            let variables = self.namespaces.variables(member).into_iter();
            let lost = variables.filter(|(_, variable)| contains_type(&variable.type_name, changed, &current));
            (member, lost.map(|(name, _)| name).collect::<Vec<_>>())
        };
        self.namespaces.members().into_iter().map(of).filter(|(_, lost)| !lost.is_empty()).collect()
    }
}
