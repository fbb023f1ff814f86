//! What the log's entries come to: the cluster as it is after each.

use super::{LogEntry, LogEvent, Metrics, NotebookUse, RunEnd, SessionNumber, Variables, Work};
use crate::id::EngineId;
use crate::status::{ClientInfo, EngineInfo};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The cluster as the log tells it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LogState {
    /// The cluster's name.
    pub name: String,
    /// The controller's process.
    pub pid: u32,
    /// When the controller started, in milliseconds since 1970.
    pub since: u64,
    /// The engines.
    pub engines: BTreeMap<EngineId, LogEngine>,
    /// The sessions, and whose they are.
    pub sessions: BTreeMap<SessionNumber, ClientInfo>,
    /// What the sessions' notebooks hold, as far as they have told.
    #[serde(default)]
    pub notebooks: BTreeMap<SessionNumber, NotebookUse>,
    /// The maps that are open.
    #[serde(with = "pairs")]
    pub maps: BTreeMap<(SessionNumber, u64), LogMap>,
    /// The calls that haven't ended.
    #[serde(with = "pairs")]
    pub tasks: BTreeMap<(SessionNumber, u64), LogTask>,
    /// Whether the cluster is stopping.
    pub stopping: bool,
    /// How much was compiled for engines.
    #[serde(default)]
    pub compiles: Compiles,
}

/// How much was compiled for engines since the cluster was started, as far as clients have told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compiles {
    /// Compilations.
    pub new: u64,
    /// What they took, in microseconds.
    pub micros: u64,
    /// What came from the cache.
    pub cached: u64,
}

/// An engine as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LogEngine {
    /// Who it is; `None` while it hasn't joined.
    pub info: Option<EngineInfo>,
    /// When it joined, in milliseconds since 1970.
    pub since: Option<u64>,
    /// Whether it gets nothing more, and leaves.
    pub draining: bool,
    /// What it has to run, in this order.
    pub runs: Vec<LogRun>,
    /// Runs that ended on it.
    pub done: u64,
    /// How many of these ended with anything but well.
    pub failed: u64,
    /// How often a worker or its process died.
    pub restarts: u64,
    /// What it used the last time that this was measured.
    pub metrics: Option<Box<Metrics>>,
    /// What the variables of each session take.
    #[serde(default)]
    pub variables: BTreeMap<SessionNumber, Variables>,
}

/// A run that hasn't ended on an engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogRun {
    /// Whose.
    pub session: SessionNumber,
    /// Which.
    pub run: u64,
    /// What it does.
    pub work: Work,
    /// The beginning of its text.
    pub label: String,
    /// Since when it is there, in milliseconds since 1970.
    pub queued: u64,
    /// Since when it runs, in milliseconds since 1970; `None` while it waits.
    pub started: Option<u64>,
}

/// A map that is open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogMap {
    /// How many items it has; `None` when engines have items of their own.
    pub items: Option<u64>,
    /// How many make a task, if the user chose that.
    pub chunk: Option<u64>,
    /// Since when it is there, in milliseconds since 1970.
    pub opened: u64,
    /// How many items are done.
    pub done: u64,
    /// How many of these failed.
    pub failed: u64,
    /// In how many pieces.
    pub pieces: u64,
    /// What they took, all engines together, in microseconds.
    pub micros: u64,
}

/// A call that hasn't ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogTask {
    /// The function's name, or the beginning of its text.
    pub label: String,
    /// The calls that it waits for.
    pub needs: Vec<u64>,
    /// Since when it is there, in milliseconds since 1970.
    pub submitted: u64,
    /// How often it was tried again.
    pub again: u32,
}

impl LogState {
    /// Takes the next entry. One that doesn't fit, as after a gap, changes what it can.
    pub fn apply(&mut self, entry: &LogEntry) {
        let at = entry.at;
        match &entry.event {
            LogEvent::State(state) => *self = (**state).clone(),
            LogEvent::EngineStarting { engine } => {
                let it = self.engines.entry(*engine).or_default();
                (it.info, it.since) = (None, None);
            }
            LogEvent::EngineUp { engine, info } => {
                let it = self.engines.entry(*engine).or_default();
                (it.info, it.since) = (Some(info.clone()), Some(at));
            }
            LogEvent::EngineDown { engine, restarting: false, .. } => _ = self.engines.remove(engine),
            LogEvent::EngineDown { engine, restarting: true, .. } => {
                let it = self.engines.entry(*engine).or_default();
                *it = LogEngine {
                    draining: it.draining,
                    restarts: it.restarts + 1,
                    done: it.done,
                    failed: it.failed,
                    ..Default::default()
                };
            }
            LogEvent::EngineDraining { engine } => self.with(*engine, |it| it.draining = true),
            LogEvent::SessionOpened { session, client } => _ = self.sessions.insert(*session, client.clone()),
            LogEvent::SessionClosed { session } => self.close(*session),
            LogEvent::RunQueued { session, run, work, label, engines } => {
                let new = LogRun {
                    session: *session,
                    run: *run,
                    work: *work,
                    label: label.clone(),
                    queued: at,
                    started: None,
                };
                engines.iter().for_each(|engine| self.with(*engine, |it| it.runs.push(new.clone())));
            }
            LogEvent::RunStarted { session, run, engine, .. } => self.with(*engine, |it| {
                let begun = it.runs.iter_mut().find(|it| (it.session, it.run) == (*session, *run));
                begun.into_iter().for_each(|begun| begun.started = Some(at));
            }),
            LogEvent::RunEnded { session, run, engine, end, .. } => self.with(*engine, |it| {
                it.runs.retain(|it| (it.session, it.run) != (*session, *run));
                it.done += 1;
                it.failed += u64::from(*end != RunEnd::Ok);
                it.restarts += u64::from(matches!(end, RunEnd::Died | RunEnd::Restored));
            }),
            LogEvent::WorkerLost { engine, stopped, .. } => {
                self.with(*engine, |it| it.restarts += u64::from(!stopped));
            }
            LogEvent::MapOpened { session, map, items, chunk } => {
                let new = LogMap { items: *items, chunk: *chunk, opened: at, done: 0, failed: 0, pieces: 0, micros: 0 };
                self.maps.insert((*session, *map), new);
            }
            LogEvent::MapDone { session, map, items, failed, pieces, micros, .. } => {
                if let Some(it) = self.maps.get_mut(&(*session, *map)) {
                    it.done += items;
                    it.failed += failed;
                    it.pieces += pieces;
                    it.micros += micros;
                }
            }
            LogEvent::MapEnded { session, map } => _ = self.maps.remove(&(*session, *map)),
            LogEvent::TaskSubmitted { session, task, label, needs } => {
                let new = LogTask { label: label.clone(), needs: needs.clone(), submitted: at, again: 0 };
                self.tasks.insert((*session, *task), new);
            }
            LogEvent::TaskAgain { session, task, .. } => {
                self.tasks.get_mut(&(*session, *task)).into_iter().for_each(|it| it.again += 1);
            }
            LogEvent::TaskEnded { session, task, .. } => _ = self.tasks.remove(&(*session, *task)),
            LogEvent::Measured { engine, metrics } => self.with(*engine, |it| it.metrics = Some(metrics.clone())),
            LogEvent::EngineHolds { engine, session, variables } => {
                self.with(*engine, |it| _ = it.variables.insert(*session, variables.clone()));
            }
            LogEvent::NotebookHolds { session, held } => _ = self.notebooks.insert(*session, held.clone()),
            LogEvent::Stopping { .. } => self.stopping = true,
            LogEvent::Compiled { cached: true, .. } => self.compiles.cached += 1,
            LogEvent::Compiled { cached: false, micros, .. } => {
                self.compiles.new += 1;
                self.compiles.micros += micros;
            }
            LogEvent::ControllerBack { pid, .. } => self.pid = *pid,
            LogEvent::Failure { .. } | LogEvent::Steered { .. } => {}
        }
    }

    fn with(&mut self, engine: EngineId, change: impl FnOnce(&mut LogEngine)) {
        if let Some(it) = self.engines.get_mut(&engine) {
            change(it);
        }
    }

    fn close(&mut self, session: SessionNumber) {
        self.sessions.remove(&session);
        self.maps.retain(|(of, _), _| *of != session);
        self.tasks.retain(|(of, _), _| *of != session);
        self.notebooks.remove(&session);
        for engine in self.engines.values_mut() {
            engine.runs.retain(|run| run.session != session);
            engine.variables.remove(&session);
        }
    }
}

/// JSON's objects have texts as keys: such a map is a list of pairs.
mod pairs {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::collections::BTreeMap;

    pub fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub fn deserialize<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<K, V>, D::Error> {
        Ok(Vec::<(K, V)>::deserialize(deserializer)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::VariableUse;
    use crate::run::Took;

    fn fold(events: Vec<LogEvent>) -> LogState {
        let mut state = LogState::default();
        for (number, event) in (1..).zip(events) {
            state.apply(&LogEntry { number, at: 1000 * number, event });
        }
        state
    }

    fn up(engine: u32) -> LogEvent {
        let info = EngineInfo { pid: 40 + engine, host: "here".into(), cores: 2, ..EngineInfo::default() };
        LogEvent::EngineUp { engine: EngineId(engine), info }
    }

    fn queued(run: u64, engines: &[u32]) -> LogEvent {
        let engines = engines.iter().copied().map(EngineId).collect();
        LogEvent::RunQueued { session: 1, run, work: Work::Cell, label: "f()".into(), engines }
    }

    fn ended(run: u64, engine: u32, end: RunEnd) -> LogEvent {
        LogEvent::RunEnded { session: 1, run, engine: EngineId(engine), end, took: Took::default() }
    }

    #[test]
    fn runs_are_queued_begin_and_end() {
        let started = LogEvent::RunStarted { session: 1, run: 7, engine: EngineId(0), snapshot: None };
        let state = fold(vec![up(0), up(1), queued(7, &[0, 1]), started, ended(7, 1, RunEnd::Died)]);
        let (first, second) = (&state.engines[&EngineId(0)], &state.engines[&EngineId(1)]);
        assert_eq!((first.runs[0].queued, first.runs[0].started), (3000, Some(4000)));
        assert_eq!((second.runs.len(), second.done, second.failed, second.restarts), (0, 1, 1, 1));
    }

    #[test]
    fn a_lost_engine_has_no_runs_and_keeps_its_counts() {
        let down = |restarting| LogEvent::EngineDown { engine: EngineId(0), reason: "x".into(), restarting };
        let before = vec![up(0), queued(1, &[0]), ended(1, 0, RunEnd::Ok), queued(2, &[0])];
        let state = fold(before.iter().cloned().chain([down(true)]).collect());
        let engine = &state.engines[&EngineId(0)];
        assert_eq!((engine.info.is_none(), engine.runs.len(), engine.done, engine.restarts), (true, 0, 1, 1));
        assert!(fold(before.into_iter().chain([down(false)]).collect()).engines.is_empty());
    }

    #[test]
    fn what_was_compiled_is_counted() {
        let compiled = |micros, cached| LogEvent::Compiled { session: 1, label: "f()".into(), micros, cached };
        let state = fold(vec![compiled(80, false), compiled(1, true), compiled(90, false)]);
        assert_eq!(state.compiles, Compiles { new: 2, micros: 170, cached: 1 });
    }

    #[test]
    fn a_controller_that_takes_anothers_place_is_another_process() {
        let back = LogEvent::ControllerBack { pid: 9, sessions: 1, engines: 1 };
        let state = fold(vec![up(0), back]);
        assert_eq!((state.pid, state.engines.len()), (9, 1));
    }

    #[test]
    fn entries_about_what_is_not_known_change_nothing() {
        let state = fold(vec![ended(1, 9, RunEnd::Ok), LogEvent::MapEnded { session: 3, map: 4 }, queued(1, &[5])]);
        assert_eq!(state, LogState::default());
    }

    #[test]
    fn a_closed_session_leaves_nothing() {
        let opened = LogEvent::MapOpened { session: 1, map: 1, items: Some(10), chunk: None };
        let task = LogEvent::TaskSubmitted { session: 1, task: 1, label: "g".into(), needs: vec![] };
        let state = fold(vec![up(0), queued(1, &[0]), opened, task, LogEvent::SessionClosed { session: 1 }]);
        assert!(state.maps.is_empty() && state.tasks.is_empty() && state.engines[&EngineId(0)].runs.is_empty());
    }

    fn holds(name: &str) -> Variables {
        Variables::new(vec![VariableUse { name: name.to_owned(), bytes: Some(8), length: None }])
    }

    #[test]
    fn variables_go_with_their_session_and_their_engine() {
        let told = |session, name| LogEvent::EngineHolds { engine: EngineId(0), session, variables: holds(name) };
        let own = LogEvent::NotebookHolds { session: 1, held: NotebookUse::new(holds("y"), vec![]) };
        let before = vec![up(0), told(1, "w"), told(1, "x"), told(2, "z"), own];
        let after = |event| fold(before.iter().cloned().chain([event]).collect());
        let on_engine =
            |state: &LogState| state.engines[&EngineId(0)].variables.clone().into_iter().collect::<Vec<_>>();
        let state = fold(before.clone());
        assert_eq!(on_engine(&state), [(1, holds("x")), (2, holds("z"))]);
        assert_eq!(state.notebooks[&1].variables, holds("y"));
        let closed = after(LogEvent::SessionClosed { session: 1 });
        assert_eq!((on_engine(&closed), closed.notebooks.len()), (vec![(2, holds("z"))], 0));
        let down = LogEvent::EngineDown { engine: EngineId(0), reason: "x".into(), restarting: true };
        assert_eq!(on_engine(&after(down)), []);
    }

    #[test]
    fn a_state_survives_json() {
        let opened = LogEvent::MapOpened { session: 1, map: 1, items: Some(10), chunk: None };
        let told = LogEvent::EngineHolds { engine: EngineId(0), session: 1, variables: holds("x") };
        let own = LogEvent::NotebookHolds { session: 1, held: NotebookUse::new(holds("y"), vec![]) };
        let state = fold(vec![up(0), queued(1, &[0]), opened, told, own]);
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<LogState>(&text).unwrap(), state);
    }
}
