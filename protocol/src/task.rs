//! What a task is on the wire: one call of one function on one engine, perhaps with what other tasks return.
//!
//! On its engine it is a run like any other, which the controller sends when all that it needs is there.

use crate::id::{EngineId, RunId, TaskId};
use crate::run::{Death, RunSpec};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Names of files with large results begin like this, in the controller's folder of blobs.
pub const VALUE_PREFIX: &str = "value-";

/// Runs of tasks have ids of their own, above those that clients give.
const TASK_RUNS: u64 = 1 << 63;
/// The lowest bits of such an id are the attempt.
const ATTEMPT_BITS: u32 = 16;

/// A function that is to be called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// Each attempt is such a run. Its argument is made of `args`.
    pub run: RunSpec,
    /// The run is given them one behind the other.
    pub args: Vec<TaskArg>,
    /// Tasks that have to end well before, besides those in `args`.
    pub after: Vec<TaskId>,
    /// On which engine; on any if `None`.
    pub on: Option<EngineId>,
    /// Whether its engine must have a GPU.
    pub gpu: bool,
    /// How often to try again when the function panics. When its worker dies, it is tried once more at least; when it
    /// calls `exit`, never. What a group calls is never tried again: the others can't go back.
    pub retries: u32,
    /// How long an attempt may take, in milliseconds; 0 is for ever.
    pub timeout_ms: u64,
}

/// An argument of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskArg {
    /// As the client encoded it.
    Value(Bytes),
    /// What this task returns.
    Task(TaskId),
}

/// What a function returned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskValue {
    /// As the engine encoded it.
    pub bytes: Bytes,
    /// The file of which `bytes` speak, by its name in the controller's folder of blobs: a large value.
    pub file: Option<String>,
}

/// What happens to a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskEvent {
    /// It runs on this engine. Isn't told of tasks that end in no time.
    Running(EngineId),
    /// It is tried again: this went wrong on this engine.
    Again(EngineId, TaskFailure),
    /// It has returned.
    Done(EngineId, TaskValue),
    /// It has no result; on which engine that was found out, if on one.
    Failed(Option<EngineId>, TaskFailure),
}

impl TaskEvent {
    /// What it takes to keep it, in bytes.
    pub fn weight(&self) -> usize {
        match self {
            TaskEvent::Done(_, value) => value.bytes.len(),
            _ => 0,
        }
    }
}

/// Why a task has no result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskFailure {
    /// The function panicked, with this message.
    Panicked(String),
    /// Its worker died, or ended by `exit`.
    Died(Death),
    /// It took longer than so many milliseconds, and was ended.
    TimedOut(u64),
    /// Its client didn't want it any more.
    Cancelled,
    /// A task failed that it needs.
    Needs(TaskId),
    /// The engine couldn't load the object.
    LoadFailed(String),
    /// The engine that it is for isn't there, and won't come back by itself.
    NoSuchEngine(EngineId),
    /// There is no engine at all.
    NoEngine,
    /// It needs a GPU: this engine has none, or no engine has one.
    NoGpu(Option<EngineId>),
}

impl fmt::Display for TaskFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TaskFailure::Panicked(message) => f.write_str(message),
            TaskFailure::Died(Death::Exit(status)) => write!(f, "it called `exit` with status {status}"),
            TaskFailure::Died(death) => write!(f, "its worker {death}"),
            TaskFailure::TimedOut(millis) => {
                write!(f, "it took longer than its {} s, and was ended", *millis as f64 / 1000.0)
            }
            TaskFailure::Cancelled => f.write_str("it was cancelled"),
            TaskFailure::Needs(task) => write!(f, "it needs task {task}, which failed"),
            TaskFailure::LoadFailed(reason) => write!(f, "it couldn't be loaded: {reason}"),
            TaskFailure::NoSuchEngine(engine) => write!(f, "there is no engine {engine}"),
            TaskFailure::NoEngine => f.write_str("there are no engines"),
            TaskFailure::NoGpu(which) => {
                match which {
                    Some(engine) => write!(f, "engine {engine} has no GPU")?,
                    None => f.write_str("no engine has a GPU")?,
                }
                f.write_str(", which this call asks for by `gpu`, and it wasn't made; `%gpu` shows what engines have")
            }
        }
    }
}

impl RunId {
    /// The run of this attempt at a task.
    pub fn of_task(task: TaskId, attempt: u16) -> RunId {
        RunId(TASK_RUNS | task.0 << ATTEMPT_BITS | u64::from(attempt))
    }

    /// The task whose run this is, if it is one's.
    pub fn task(self) -> Option<TaskId> {
        (self.0 & TASK_RUNS != 0).then_some(TaskId((self.0 & !TASK_RUNS) >> ATTEMPT_BITS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_tasks_differ_from_each_other_and_from_clients_runs() {
        assert_eq!(RunId(7).task(), None);
        for (task, attempt) in [(0, 0), (1, 0), (1, u16::MAX), (1 << 40, 3)] {
            assert_eq!(RunId::of_task(TaskId(task), attempt).task(), Some(TaskId(task)));
        }
        assert_ne!(RunId::of_task(TaskId(1), u16::MAX), RunId::of_task(TaskId(2), 0));
    }
}
