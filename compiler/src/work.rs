//! One cell's way through the compiler, and what evcxr is told of its run.

use crate::definitions::change::Change;
use crate::dependence::Definition;
use crate::evaluator::Answer;
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
    /// What evcxr has to know of a run. Variables that were lost by it are noted, and gone from those it may use.
    pub fn answer(&mut self, ran: &Ran) -> Answer {
        let answer = answer(ran, &self.before);
        if let (Answer::VariablesLost(names), Ran::Finished(outcomes)) = (&answer, ran) {
            self.before.retain(|name, _| !names.contains(name));
            self.types_lost.extend(outcomes.iter().filter_map(|ended| match &ended.outcome {
                Outcome::TypesChanged(names) => Some((ended.member, names.clone())),
                _ => None,
            }));
        }
        answer
    }
}

/// What evcxr has to know: which variables can't be loaded. The cell's new variables exist for evcxr also if it failed: what
/// it says of them goes into the cache, and who has them is in our own account.
fn answer(ran: &Ran, stored: &Variables) -> Answer {
    let Ran::Finished(outcomes) = ran else { return Answer::Succeeded };
    if outcomes.iter().any(|ended| ended.outcome == Outcome::Ok) {
        return Answer::Succeeded;
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
    if !lost.is_empty() {
        return Answer::VariablesLost(lost);
    }
    Answer::Succeeded
}
