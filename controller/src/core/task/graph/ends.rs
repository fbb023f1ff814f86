//! The end of a task: who waits for it goes on or fails too, and what nobody can name is dropped.

use super::{Effect, Graph, State, Task};
use chorus_protocol::{EngineId, Parting, TaskEvent, TaskFailure, TaskId, TaskValue};
use std::mem;

impl Graph {
    pub(super) fn succeed(&mut self, id: TaskId, engine: EngineId, value: TaskValue, effects: &mut Vec<Effect>) {
        effects.push(Effect::Tell(id, TaskEvent::Done(engine, value.clone())));
        let Some(task) = self.live.get_mut(&id) else { return };
        effects.extend(task.leave(Parting::Ended));
        task.state = State::Done(value);
        for waiting in mem::take(&mut task.waiting) {
            if let Some(task) = self.live.get_mut(&waiting).filter(|task| matches!(task.state, State::Waiting)) {
                task.waits_for -= 1;
                if task.waits_for == 0 {
                    self.make_ready(waiting);
                }
            }
        }
        self.release(id, effects);
    }

    /// The task has failed, and so have those that need it.
    pub(super) fn fail(&mut self, id: TaskId, engine: Option<EngineId>, why: TaskFailure, effects: &mut Vec<Effect>) {
        let mut failing = vec![(id, engine, why)];
        while let Some((id, engine, why)) = failing.pop() {
            self.unready(id);
            let Some(task) = self.live.get_mut(&id) else { continue };
            if matches!(task.state, State::Failed(_)) {
                continue;
            }
            let because = origin(id, &why);
            effects.extend(task.leave((&why).into()));
            task.state = State::Failed(why.clone());
            let waiting = mem::take(&mut task.waiting).into_iter();
            failing.extend(waiting.map(|waiting| (waiting, None, TaskFailure::Needs(because))));
            effects.push(Effect::Tell(id, TaskEvent::Failed(engine, why)));
            self.release(id, effects);
        }
    }

    /// The task has ended: it needs nothing any more.
    pub(super) fn release(&mut self, id: TaskId, effects: &mut Vec<Effect>) {
        let Some(task) = self.live.get_mut(&id) else { return };
        task.spec.args = Vec::new();
        for need in mem::take(&mut task.needs) {
            if let Some(task) = self.live.get_mut(&need) {
                task.users -= 1;
                self.tidy(need, effects);
            }
        }
        self.tidy(id, effects);
    }

    /// Drops a task that has ended and that nobody can name.
    pub(super) fn tidy(&mut self, id: TaskId, effects: &mut Vec<Effect>) {
        let over = |task: &Task| task.forgotten && task.users == 0;
        match self.live.get(&id).filter(|task| over(task)).map(|task| &task.state) {
            Some(State::Done(value)) => effects.extend(value.file.clone().map(Effect::Remove)),
            Some(State::Failed(_)) => {}
            _ => return,
        }
        self.live.remove(&id);
    }
}

/// The task whose own failure this is.
pub(super) fn origin(id: TaskId, why: &TaskFailure) -> TaskId {
    match why {
        TaskFailure::Needs(origin) => *origin,
        _ => id,
    }
}
