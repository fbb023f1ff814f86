//! One cell's way through the compiler, and what evcxr is told of its run.

use crate::definitions::change::Change;
use crate::dependence::Definition;
use crate::identity::Identities;
use crate::namespace::{Effect, Member, Variables};
use crate::probe::Typed;
use crate::source_map::MappedPiece;
use crate::statics::beginnings::Beginnings;
use crate::types::{CellText, Ran};
use chorus_protocol::Outcome;
use chorus_syntax::Cell;
use std::collections::BTreeSet;

/// A cell on its way.
pub(crate) struct Work<'a> {
    pub cell: CellText<'a>,
    pub parsed: Cell,
    pub items: Vec<Definition>,
    /// What they change in the definitions.
    pub change: Change,
    /// Where the user's text stands in the notebook, this cell's first.
    pub pieces: Vec<MappedPiece>,
    pub members: &'a [Member],
    /// The variables that it may use.
    pub before: Variables,
    /// What types are with it.
    pub identities: Identities,
    /// What statics are with it.
    pub statics: Beginnings,
    /// Names of the prelude that it is the first to hide.
    pub hides: BTreeSet<&'static str>,
    /// Types of its variables that rustc was asked for.
    pub types: Vec<Typed>,
    /// Variables that turned out to be of a redefined type.
    pub types_lost: Vec<(Member, Vec<String>)>,
}

/// What came of it.
pub(crate) struct Done {
    pub effect: Effect,
    /// `None` when there was nothing to run.
    pub ran: Option<Ran>,
}

impl Work<'_> {
    /// The variables that turned out to be of a redefined type, so that nothing ran. They are noted, and gone from those that
    /// the cell may use.
    pub fn lost_by(&mut self, ran: &Ran) -> Vec<String> {
        let lost = lost(ran, &self.before);
        if let (false, Ran::Finished(outcomes)) = (lost.is_empty(), ran) {
            self.before.retain(|name, _| !lost.contains(name));
            self.types_lost.extend(outcomes.iter().filter_map(|ended| match &ended.outcome {
                Outcome::TypesChanged(names) => Some((ended.member, names.clone())),
                _ => None,
            }));
        }
        lost
    }
}

/// Where one member has run the cell, nothing is compiled again.
fn lost(ran: &Ran, stored: &Variables) -> Vec<String> {
    let Ran::Finished(outcomes) = ran else { return Vec::new() };
    if outcomes.iter().any(|ended| ended.outcome == Outcome::Ok) {
        return Vec::new();
    }
    let mut lost: Vec<String> = outcomes
        .iter()
        .filter_map(|ended| match &ended.outcome {
            Outcome::TypesChanged(names) => Some(names.clone()),
            _ => None,
        })
        .flatten()
        .collect();
    // A cell can print anything, but only a variable that is there can be lost; so this comes to an end.
    lost.retain(|name| stored.contains_key(name));
    lost.sort();
    lost.dedup();
    lost
}
