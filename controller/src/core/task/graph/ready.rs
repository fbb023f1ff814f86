//! The tasks that can run, each list in the order of their submission.

use super::EngineLoad;
use chorus_protocol::{EngineId, TaskId, TaskSpec};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Ready {
    /// On any engine.
    pub anywhere: BTreeSet<TaskId>,
    /// On any with a GPU.
    pub for_gpus: BTreeSet<TaskId>,
    /// On a certain one.
    pub on: BTreeMap<EngineId, BTreeSet<TaskId>>,
    /// The same, of groups. They are sent as soon as their engine is there, however much it has to do: so engines call them in
    /// the same order, and none waits for another that waits for it.
    pub together: BTreeMap<EngineId, BTreeSet<TaskId>>,
}

impl Ready {
    pub fn add(&mut self, id: TaskId, spec: &TaskSpec, together: bool) {
        match spec.on {
            Some(engine) if together => _ = self.together.entry(engine).or_default().insert(id),
            Some(engine) => _ = self.on.entry(engine).or_default().insert(id),
            None if spec.gpu => _ = self.for_gpus.insert(id),
            None => _ = self.anywhere.insert(id),
        }
    }

    pub fn remove(&mut self, id: TaskId, on: Option<EngineId>) {
        self.anywhere.remove(&id);
        self.for_gpus.remove(&id);
        let Some(engine) = on else { return };
        for list in [&mut self.on, &mut self.together] {
            if let Some(tasks) = list.get_mut(&engine) {
                tasks.remove(&id);
                if tasks.is_empty() {
                    list.remove(&engine);
                }
            }
        }
    }

    /// The next that a group calls on one of these engines.
    pub fn first_together(&self, loads: &[EngineLoad]) -> Option<(EngineId, TaskId)> {
        loads.iter().find_map(|load| Some((load.engine, *self.together.get(&load.engine)?.first()?)))
    }

    pub fn is_empty(&self) -> bool {
        self.anywhere.is_empty() && self.for_gpus.is_empty() && self.on.is_empty() && self.together.is_empty()
    }
}
