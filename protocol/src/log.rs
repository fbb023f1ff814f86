//! The cluster's log: what happened, in order and numbered, as monitors, scripts and recordings read it.
//!
//! As JSON, each entry is an object with `number`, `at` and `event`; an event is an object with one member, its kind in
//! snake case. Readers are to skip kinds and members that they don't know.

mod held;
mod state;

pub use held::*;
pub use state::*;

use crate::id::EngineId;
use crate::run::{Death, Outcome, Took};
use crate::snapshot::{Aftermath, Taken};
use crate::status::{ClientInfo, EngineInfo};
use serde::{Deserialize, Serialize};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogEntry {
    /// Its place in the log: 1, 2, 3, ...
    pub number: u64,
    /// When, in milliseconds since 1970 by the controller's clock.
    pub at: u64,
    /// What.
    pub event: LogEvent,
}

/// A session in the log, counted from 1. Its [`crate::SessionId`] isn't told, since who knows that can take it over.
pub type SessionNumber = u32;

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogEvent {
    /// How everything is now: the log begins here, or what was before isn't kept any more.
    State(Box<LogState>),
    /// An engine's process is being started.
    EngineStarting {
        /// Which.
        engine: EngineId,
    },
    /// An engine joined.
    EngineUp {
        /// Which.
        engine: EngineId,
        /// Who it is.
        info: EngineInfo,
    },
    /// An engine is gone.
    EngineDown {
        /// Which.
        engine: EngineId,
        /// Why, as a sentence.
        reason: String,
        /// Whether it is started again.
        restarting: bool,
    },
    /// An engine finishes what it has, gets nothing more, and leaves.
    EngineDraining {
        /// Which.
        engine: EngineId,
    },
    /// A session was opened.
    SessionOpened {
        /// Its number.
        session: SessionNumber,
        /// Whose it is.
        client: ClientInfo,
    },
    /// A session was closed.
    SessionClosed {
        /// Its number.
        session: SessionNumber,
    },
    /// The client compiled something that it runs on engines.
    Compiled {
        /// Whose.
        session: SessionNumber,
        /// The beginning of its text.
        label: String,
        /// What it took on the clock, in microseconds.
        micros: u64,
        /// Whether it came from the cache.
        cached: bool,
    },
    /// Engines were sent a run.
    RunQueued {
        /// Whose.
        session: SessionNumber,
        /// Which.
        run: u64,
        /// What kind of work it is.
        work: Work,
        /// The beginning of its text.
        label: String,
        /// Where.
        engines: Vec<EngineId>,
    },
    /// A run began.
    RunStarted {
        /// Whose.
        session: SessionNumber,
        /// Which.
        run: u64,
        /// Where.
        engine: EngineId,
        /// The snapshot that the worker has of before it.
        snapshot: Option<Taken>,
    },
    /// A run ended.
    RunEnded {
        /// Whose.
        session: SessionNumber,
        /// Which.
        run: u64,
        /// Where.
        engine: EngineId,
        /// How.
        end: RunEnd,
        /// What it took.
        took: Took,
    },
    /// What panicked in a run, or became of its worker, which is why it fails if it does: of each run on an engine, one a
    /// tick, and besides the first of its own thread. An item of a map that panics is told of only if that ends the map:
    /// of those that are skipped or kept (`--on-error`), and of those that are tried again, nobody hears why.
    Failure {
        /// Whose.
        session: SessionNumber,
        /// Which.
        run: u64,
        /// Where.
        engine: EngineId,
        /// The panic's message, or what became of the worker, as the end of a sentence.
        why: String,
        /// Whether it is of the run's own thread or its end, whose word counts, and not of a thread that it started.
        #[serde(default)]
        own: bool,
    },
    /// A worker died while it ran nothing.
    WorkerLost {
        /// Whose.
        session: SessionNumber,
        /// Where.
        engine: EngineId,
        /// How, as the end of a sentence about the worker.
        how: String,
        /// Whether it was stopped on purpose.
        stopped: bool,
        /// Whether a snapshot has its variables.
        restored: bool,
    },
    /// A map began to be shared out.
    MapOpened {
        /// Whose.
        session: SessionNumber,
        /// Which.
        map: u64,
        /// How many items it has; `None` when engines have items of their own.
        items: Option<u64>,
        /// How many make a task, if the user chose that.
        chunk: Option<u64>,
    },
    /// An engine did items of a map, since the last such entry.
    MapDone {
        /// Whose.
        session: SessionNumber,
        /// Which.
        map: u64,
        /// Where.
        engine: EngineId,
        /// How many items.
        items: u64,
        /// How many of them failed.
        failed: u64,
        /// In how many pieces they were reported.
        pieces: u64,
        /// What they took on the clock, in microseconds.
        micros: u64,
        /// How many it has in hand besides.
        left: u64,
    },
    /// A map is over, or was ended by its client.
    MapEnded {
        /// Whose.
        session: SessionNumber,
        /// Which.
        map: u64,
    },
    /// A call was submitted.
    TaskSubmitted {
        /// Whose.
        session: SessionNumber,
        /// Which.
        task: u64,
        /// The function's name, or the beginning of its text.
        label: String,
        /// The tasks that it waits for.
        needs: Vec<u64>,
    },
    /// A call is tried again.
    TaskAgain {
        /// Whose.
        session: SessionNumber,
        /// Which.
        task: u64,
        /// Why, as a sentence.
        failure: String,
    },
    /// A call has ended.
    TaskEnded {
        /// Whose.
        session: SessionNumber,
        /// Which.
        task: u64,
        /// Where, if on an engine.
        engine: Option<EngineId>,
        /// Why it has no result, as a sentence.
        failure: Option<String>,
    },
    /// What an engine uses.
    Measured {
        /// Which.
        engine: EngineId,
        /// How much.
        metrics: Box<Metrics>,
    },
    /// What the variables of a session take on an engine, since that has changed.
    EngineHolds {
        /// Which.
        engine: EngineId,
        /// Whose variables.
        session: SessionNumber,
        /// How much.
        variables: Variables,
    },
    /// What a session's notebook holds by itself, since that has changed.
    NotebookHolds {
        /// Whose.
        session: SessionNumber,
        /// How much.
        held: NotebookUse,
    },
    /// The controller was killed, and another process has taken its place.
    ControllerBack {
        /// That process.
        pid: u32,
        /// How many sessions have stayed.
        sessions: u32,
        /// How many engines are awaited.
        engines: u32,
    },
    /// Somebody steered the cluster.
    Steered {
        /// Who.
        by: ClientInfo,
        /// What was done, as a sentence.
        what: String,
    },
    /// The cluster stops.
    Stopping {
        /// Who wanted it, if a client.
        by: Option<ClientInfo>,
    },
}

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// A cell.
    Cell,
    /// It serves this map.
    Map(u64),
    /// It is an attempt at this call.
    Task(u64),
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunEnd {
    /// Well.
    Ok,
    /// By a panic, or by an error that it returned.
    Failed,
    /// With its worker, which died with the variables.
    Died,
    /// With its worker, which died, and whose snapshot carries on.
    Restored,
    /// With its worker, which was stopped on purpose.
    Stopped,
    /// With its engine.
    Lost,
    /// It didn't begin.
    NotRun,
}

impl From<&Outcome> for RunEnd {
    fn from(outcome: &Outcome) -> RunEnd {
        match outcome {
            Outcome::Ok => RunEnd::Ok,
            Outcome::Panicked | Outcome::ReturnedError => RunEnd::Failed,
            Outcome::Died(Death::Stopped, _) => RunEnd::Stopped,
            Outcome::Died(Death::EngineLost, _) => RunEnd::Lost,
            Outcome::Died(_, Aftermath::Restored) => RunEnd::Restored,
            Outcome::Died(..) => RunEnd::Died,
            Outcome::TypesChanged(_)
            | Outcome::Stale
            | Outcome::LoadFailed(_)
            | Outcome::NoSuchEngine
            | Outcome::Cancelled => RunEnd::NotRun,
        }
    }
}

/// What an engine uses, as its supervisor sees it, about once a second. What isn't known is `None`. `S` names sessions:
/// engines know their ids, and the log has their numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics<S = SessionNumber> {
    /// The supervisor's process.
    pub supervisor: ProcessUse,
    /// The workers, one for each session.
    pub workers: Vec<WorkerUse<S>>,
    /// The engine's host.
    pub host: HostUse,
    /// Bytes that came from the controller since the engine joined.
    pub bytes_in: u64,
    /// Bytes that went to the controller since the engine joined.
    pub bytes_out: u64,
    /// Its GPU, if it has one.
    pub gpu: Option<GpuUse>,
}

impl<S> Default for Metrics<S> {
    /// Of an engine of which nothing is known.
    fn default() -> Metrics<S> {
        let (supervisor, host) = (ProcessUse::default(), HostUse::default());
        Metrics { supervisor, workers: Vec::new(), host, bytes_in: 0, bytes_out: 0, gpu: None }
    }
}

impl<S> Metrics<S> {
    /// The same with sessions named otherwise; workers are left out whose session has no such name.
    pub fn rename<T>(self, name: impl Fn(S) -> Option<T>) -> Metrics<T> {
        let Metrics { supervisor, workers, host, bytes_in, bytes_out, gpu } = self;
        let renamed =
            |it: WorkerUse<S>| Some(WorkerUse { session: name(it.session)?, worker: it.worker, snapshot: it.snapshot });
        let workers = workers.into_iter().filter_map(renamed).collect();
        Metrics { supervisor, workers, host, bytes_in, bytes_out, gpu }
    }
}

/// What an engine's worker uses, which has the variables of a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerUse<S> {
    /// Whose worker.
    pub session: S,
    /// The worker's process and those that its cells started.
    pub worker: ProcessUse,
    /// The copy that carries on when the worker dies. The pages that both still share count in both.
    pub snapshot: Option<ProcessUse>,
}

/// What processes use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProcessUse {
    /// The process, or the first of them.
    pub pid: u32,
    /// In percent of one core, since the last time: 250 is two cores and a half.
    pub cpu: Option<f32>,
    /// What is in memory, in bytes.
    pub memory: Option<u64>,
}

/// What a host has and uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HostUse {
    /// All its cores together, in percent of all.
    pub cpu: Option<f32>,
    /// Its memory, in bytes.
    pub memory: Option<u64>,
    /// How much of it is in use.
    pub memory_used: Option<u64>,
    /// The memory that the engine's control group may use, in bytes, if that is less than the host has.
    pub limit: Option<u64>,
    /// How much of that is in use.
    pub limit_used: Option<u64>,
}

/// What a GPU has and uses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GpuUse {
    /// Its name.
    pub name: String,
    /// Its memory, in bytes.
    pub memory: Option<u64>,
    /// How much of it is in use.
    pub memory_used: Option<u64>,
    /// How long it computed of the time since the last time, in percent, for whomever.
    pub busy: Option<f32>,
    /// How warm it is, in degrees Celsius.
    #[serde(default)]
    pub celsius: Option<u32>,
    /// What it takes, in watts.
    #[serde(default)]
    pub watts: Option<f32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(json: &str) -> LogEntry {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn an_entry_is_a_small_object() {
        let event = LogEvent::SessionClosed { session: 7 };
        let text = serde_json::to_string(&LogEntry { number: 3, at: 99, event }).unwrap();
        assert_eq!(text, r#"{"number":3,"at":99,"event":{"session_closed":{"session":7}}}"#);
        assert_eq!(entry(&text).number, 3);
    }

    #[test]
    fn members_of_later_versions_are_skipped() {
        let text = r#"{"number":3,"at":9,"new":1,"event":{"session_closed":{"session":1,"why":"new"}}}"#;
        assert_eq!(entry(text).event, LogEvent::SessionClosed { session: 1 });
    }
}
