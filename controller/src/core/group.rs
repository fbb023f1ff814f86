//! The groups of runs: who is told that a member has ended, and when nobody needs what the members share.

use super::{Action, Core, EngineId};
use chorus_protocol::{GROUP_PREFIX, Group, Parting, RunId, SessionId, SessionNumber, ToEngine};
use serde::{Deserialize, Serialize};

/// The group of a run that hasn't ended on all its engines, or of calls that haven't.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Together {
    group: Group,
    /// Who hasn't ended it.
    present: Vec<EngineId>,
    /// Whether a member has used it. Until then nobody waits for one that leaves, and nobody is told: most groups cost nothing.
    is_used: bool,
    /// Who has left it before, and how.
    left: Vec<(u32, Parting)>,
}

impl Together {
    /// That of these engines. All of them count, in whatever state they are.
    pub fn new(session: SessionNumber, run: RunId, mut members: Vec<EngineId>) -> Together {
        members.sort_unstable();
        let name = format!("{GROUP_PREFIX}{session}-{}", run.0);
        let group = Group { name, members: members.clone() };
        Together { group, present: members, is_used: false, left: Vec::new() }
    }

    /// What a member is told.
    pub fn of(&self, engine: EngineId) -> (Group, u32) {
        (self.group.clone(), self.group.members.partition_point(|&other| other < engine) as u32)
    }
}

/// So many engines mark that a member has left.
const MARKING: usize = 2;

impl Core {
    /// A run, or a call, has ended on an engine: tells those that may wait for it there. Its own worker may have threads that do.
    pub(super) fn leave_group(
        &mut self,
        session: SessionId,
        run: RunId,
        engine: EngineId,
        how: Parting,
        actions: &mut Vec<Action>,
    ) {
        let Some(it) = self.sessions.get_mut(&session) else { return };
        let Some(together) = it.groups.get_mut(&run) else { return };
        together.present.retain(|&other| other != engine);
        let Some(rank) = together.group.members.iter().position(|&other| other == engine) else { return };
        let rank = rank as u32;
        if !together.present.is_empty() {
            return match together.is_used {
                true => self.mark_left(session, run, rank, how, actions),
                false => together.left.push((rank, how)),
            };
        }
        // An engine that is lost may have used it without a word.
        let may_be_used =
            together.is_used || how != Parting::Ended || !together.left.iter().all(|(_, how)| *how == Parting::Ended);
        let gone = it.groups.remove(&run).filter(|_| may_be_used);
        actions.extend(gone.map(|it| Action::RemoveGroup(it.group.name)));
    }

    /// A member uses its group: it may wait for those that have left.
    pub(super) fn group_is_used(&mut self, session: SessionId, run: RunId, actions: &mut Vec<Action>) {
        let Some(it) = self.sessions.get_mut(&session) else { return };
        let run = it.group_of(run);
        let Some(together) = it.groups.get_mut(&run) else { return };
        together.is_used = true;
        for (rank, how) in std::mem::take(&mut together.left) {
            self.mark_left(session, run, rank, how, actions);
        }
    }

    /// Has it marked in what members share that one has left.
    fn mark_left(&self, session: SessionId, run: RunId, rank: u32, how: Parting, actions: &mut Vec<Action>) {
        let Some(together) = self.sessions.get(&session).and_then(|it| it.groups.get(&run)) else { return };
        let group = together.group.clone();
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
