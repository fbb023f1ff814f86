//! A snapshot of evcxr for each set of variables that occurs.
//!
//! A set that has none is derived from the nearest: evcxr drops a variable when it is told that its type was lost, and
//! learns of one by a `let` that is compiled and never run.

use crate::messages::complaint::Error;
use crate::notebook::definitions::prefix::Prefix;
use crate::notebook::namespace::Variables;
use crate::process::evaluator::{Evaluator, Snapshot};
use std::collections::BTreeSet;

/// Snapshots kept. A notebook has as many as it has groups of engines that differ, plus its own.
const KEPT: usize = 12;

struct Known {
    variables: Variables,
    held: Held,
    snapshot: Snapshot,
}

/// What a snapshot has of what is shared.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held {
    /// How many of the settings.
    pub settings: usize,
    /// The definitions that evcxr never forgets.
    pub for_good: BTreeSet<String>,
}

pub(crate) struct Snapshots {
    /// Without variables, and without any definition.
    base: Snapshot,
    /// Most recently used last.
    known: Vec<Known>,
}

/// What must be done to a snapshot before it has the variables that are wanted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    lose: Vec<String>,
    /// Rust that defines what is to come.
    add: String,
}

impl Snapshots {
    pub fn new(base: Snapshot) -> Snapshots {
        Snapshots { base, known: Vec::new() }
    }

    pub fn base(&self) -> &Snapshot {
        &self.base
    }

    pub fn clear(&mut self) {
        self.known.clear();
    }

    /// Forgets those with a variable whose type can't be written so any more.
    pub fn forget(&mut self, is_wrong: impl Fn(&str) -> bool) {
        self.known.retain(|known| !known.variables.values().any(|variable| is_wrong(&variable.type_name)));
    }

    /// Keeps a snapshot, instead of the last one with the same variables.
    pub fn remember(&mut self, variables: Variables, held: Held, snapshot: Snapshot) {
        self.known.retain(|known| known.variables != variables);
        if self.known.len() >= KEPT {
            self.known.remove(0);
        }
        self.known.push(Known { variables, held, snapshot });
    }

    /// The snapshot that comes nearest to these variables, what it has, and what it lacks of them. It has nothing for
    /// good that isn't `wanted`.
    pub fn nearest(&mut self, variables: &Variables, wanted: impl Fn(&str) -> bool) -> (Snapshot, Held, Difference) {
        let fitting = |known: &&Known| known.held.for_good.iter().all(|text| wanted(text));
        if let Some(at) = self.known.iter().rposition(|known| known.variables == *variables && fitting(&known)) {
            let known = self.known.remove(at);
            let found = (known.snapshot.clone(), known.held.clone(), Difference::default());
            self.known.push(known);
            return found;
        }
        let fits =
            |have: &Variables| have.iter().filter(|(name, variable)| variables.get(*name) == Some(variable)).count();
        let nearest = self
            .known
            .iter()
            .filter(fitting)
            .filter(|known| fits(&known.variables) > 0)
            .max_by_key(|known| (fits(&known.variables), std::cmp::Reverse(known.variables.len())));
        match nearest {
            Some(known) => {
                (known.snapshot.clone(), known.held.clone(), Difference::between(&known.variables, variables))
            }
            None => (self.base.clone(), Held::default(), Difference::between(&Variables::new(), variables)),
        }
    }

    /// Whether evcxr has compiled something with so many settings.
    pub fn knows_settings(&self, settings: usize) -> bool {
        settings == 0 || self.known.iter().any(|known| known.held.settings == settings)
    }

    /// A snapshot with these variables, or else any, for questions that can do with that.
    pub fn any(&self, variables: &Variables) -> (Snapshot, Held) {
        let found = self.known.iter().rfind(|known| known.variables == *variables).or(self.known.last());
        found.map_or((self.base.clone(), Held::default()), |known| (known.snapshot.clone(), known.held.clone()))
    }
}

impl Difference {
    fn between(have: &Variables, want: &Variables) -> Difference {
        let lose = have.iter().filter(|(name, variable)| want.get(*name) != Some(*variable));
        let add = want.iter().filter(|(name, variable)| have.get(*name) != Some(*variable));
        Difference {
            lose: lose.map(|(name, _)| name.clone()).collect(),
            add: add
                .map(|(name, variable)| {
                    let mutable = if variable.mutable { "mut " } else { "" };
                    format!("let {mutable}{name}: {} = unreachable!();\n", variable.type_name)
                })
                .collect(),
        }
    }

    pub fn is_empty(&self) -> bool {
        *self == Difference::default()
    }

    /// Makes the snapshot that is wanted; `prefix` has what the variables' types need.
    pub fn derive(self, evaluator: &mut Evaluator, prefix: &Prefix, mut snapshot: Snapshot) -> Result<Snapshot, Error> {
        // First what is to go, alone: evcxr drops names, and one of them may be among those to come.
        if !self.lose.is_empty() {
            snapshot = evaluator.eval(&format!("{}();", prefix.text), &snapshot, &self.lose)?.snapshot;
        }
        if !self.add.is_empty() {
            snapshot = evaluator.eval(&format!("{}{}", prefix.text, self.add), &snapshot, &[])?.snapshot;
        }
        Ok(snapshot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notebook::namespace::Variable;

    fn variables(entries: &[(&str, &str, bool)]) -> Variables {
        let variable = |type_name: &str, mutable| Variable { type_name: type_name.into(), mutable };
        entries.iter().map(|(name, type_name, mutable)| ((*name).to_owned(), variable(type_name, *mutable))).collect()
    }

    #[test]
    fn a_variable_of_another_type_goes_and_comes() {
        let have = variables(&[("a", "i32", false), ("b", "u8", false), ("c", "u8", true)]);
        let want = variables(&[("a", "i32", false), ("b", "String", true), ("d", "f64", false)]);
        let difference = Difference::between(&have, &want);
        assert_eq!(difference.lose, ["b", "c"]);
        assert_eq!(difference.add, "let mut b: String = unreachable!();\nlet d: f64 = unreachable!();\n");
        assert!(Difference::between(&have, &have).is_empty());
    }
}
