//! The groups of runs: who is told that a member has ended, and when nobody needs what the members share.

use super::{Action, Core, EngineId};
use chorus_protocol::{GROUP_PREFIX, Group, Outcome, RunId, SessionId, SessionNumber, ToEngine};
use serde::{Deserialize, Serialize};

/// The group of a run that hasn't ended on all its engines.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Together {
    pub group: Group,
    /// Who hasn't ended it.
    present: Vec<EngineId>,
}

impl Together {
    /// That of these engines. All of them count, in whatever state they are.
    pub fn new(session: SessionNumber, run: RunId, mut members: Vec<EngineId>) -> Together {
        members.sort_unstable();
        let name = format!("{GROUP_PREFIX}{session}-{}", run.0);
        Together { present: members.clone(), group: Group { name, members } }
    }
}

/// So many engines mark that a member has left.
const MARKING: usize = 2;

impl Core {
    /// A run has ended on an engine: tells those that may wait for it there. Its own worker may have threads that do.
    pub(super) fn leave_group(
        &mut self,
        session: SessionId,
        run: RunId,
        engine: EngineId,
        outcome: &Outcome,
        actions: &mut Vec<Action>,
    ) {
        let Some(it) = self.sessions.get_mut(&session) else { return };
        let Some(together) = it.groups.get_mut(&run) else { return };
        together.present.retain(|&other| other != engine);
        let group = together.group.clone();
        if together.present.is_empty() {
            it.groups.remove(&run);
            return actions.push(Action::RemoveGroup(group.name));
        }
        let Some(rank) = group.members.iter().position(|&other| other == engine) else { return };
        let (rank, how) = (rank as u32, outcome.into());
        // Whoever marks it does so for all: they share what is marked. The engine itself may be gone, and one of the others
        // may be about to: then its own end is marked, which ends what waits, too.
        let shares = |id: &EngineId| self.engines.get(id).is_some_and(|engine| engine.shares_files);
        let to: Vec<EngineId> = together.present.iter().copied().filter(shares).take(MARKING).collect();
        if to.is_empty() {
            return actions.push(Action::MarkLeft { group, rank, how });
        }
        self.tell_engines(&to, ToEngine::MemberLeft { group, rank, how }, actions);
    }
}

/// What the groups of a session that is closed leave behind.
pub(super) fn removals(groups: impl IntoIterator<Item = Together>) -> impl Iterator<Item = Action> {
    groups.into_iter().map(|it| Action::RemoveGroup(it.group.name))
}
