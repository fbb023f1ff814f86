//! Figures of the last minutes, and what has ended.

mod ended;
mod series;

pub use ended::{EndedMap, EndedRun, MapFailure, Share};
pub use series::{SECONDS, Series};

use crate::stream::{Bar, BarKind, Stream};
use crate::text::{SHORT, one_line};
use chorus_protocol::{
    EngineId, LogEngine, LogEntry, LogEvent, LogRun, LogState, Metrics, RunEnd, SessionNumber, Taken, Took, Work,
    count, name_engines,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The most runs, maps and messages that are kept when they are over.
const ENDED: usize = 5_000;

/// What an engine used over time.
#[derive(Clone, Debug, Default)]
pub struct EngineFigures {
    /// Of supervisor and workers, in percent of one core.
    pub cpu: Series,
    /// Of supervisor and workers, in bytes.
    pub memory: Series,
    /// Bytes a second from the controller.
    pub bytes_in: Series,
    /// Bytes a second to the controller.
    pub bytes_out: Series,
    /// When it was last measured, in milliseconds since 1970.
    pub measured: Option<u64>,
    /// When it has had nothing to run since, if it has nothing.
    pub idle_since: Option<u64>,
    /// What its snapshots took, in microseconds, and how many there were.
    pub snapshots: (u64, u64),
    /// What its runs took, in microseconds, that had a snapshot.
    pub ran: u64,
    /// How often its variables were saved by one.
    pub saved: u64,
    /// When its workers died, as far as that is recent.
    pub deaths: VecDeque<u64>,
    last: Option<(u64, u64, u64)>,
    /// The runs under way that have a snapshot.
    protected: BTreeSet<(SessionNumber, u64)>,
    /// The snapshot that each session's last run had.
    taken: BTreeMap<SessionNumber, Taken>,
}

/// The cluster now and in the last minutes.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// The cluster as it is.
    pub state: LogState,
    /// The time of the last entry, in milliseconds since 1970.
    pub now: u64,
    /// The number of the last entry.
    pub number: u64,
    /// Of each engine.
    pub engines: BTreeMap<EngineId, EngineFigures>,
    /// What was done when.
    pub stream: Stream,
    /// Runs that have ended, oldest first.
    pub ended: VecDeque<EndedRun>,
    /// Maps that have ended, oldest first.
    pub ended_maps: VecDeque<EndedMap>,
    /// What engines do of the maps that are open.
    pub shares: BTreeMap<(SessionNumber, u64), BTreeMap<EngineId, Share>>,
    /// Why an item of an open map failed, if that is known.
    pub failures: BTreeMap<(SessionNumber, u64), MapFailure>,
    /// What happened, as sentences, oldest first, with its time.
    pub messages: VecDeque<(u64, String)>,
    labels: BTreeMap<(SessionNumber, u64), String>,
    /// Why runs fail that haven't ended.
    failing: BTreeMap<(SessionNumber, u64, EngineId), String>,
}

impl Figures {
    /// Takes the next entry of the log.
    pub fn apply(&mut self, entry: &LogEntry) {
        let at = entry.at;
        self.now = self.now.max(at);
        self.number = entry.number;
        match &entry.event {
            // Another cluster's life begins, in the same recording.
            LogEvent::State(state) if self.state.since != 0 && state.since != self.state.since => {
                let messages = std::mem::take(&mut self.messages);
                *self = Figures { messages, now: at, number: entry.number, ..Figures::default() };
            }
            LogEvent::State(state) => {
                self.engines.clear();
                self.shares.retain(|map, _| state.maps.contains_key(map));
                self.failures.retain(|map, _| state.maps.contains_key(map));
                self.failing.clear();
                let runs = state.engines.values().flat_map(|engine| &engine.runs);
                let label = |run: &LogRun| match run.work {
                    Work::Map(map) => Some(((run.session, map), run.label.clone())),
                    Work::Cell | Work::Task(_) => None,
                };
                self.labels = runs.filter_map(label).collect();
            }
            LogEvent::Measured { engine, metrics } => self.measured(*engine, at, metrics),
            LogEvent::SessionClosed { session } => {
                let maps: Vec<u64> =
                    self.state.maps.keys().filter(|(of, _)| of == session).map(|(_, map)| *map).collect();
                maps.into_iter().for_each(|map| self.map_ended(*session, map, at));
                self.labels.retain(|(of, _), _| of != session);
                self.failures.retain(|(of, _), _| of != session);
                self.failing.retain(|(of, ..), _| of != session);
            }
            LogEvent::EngineDown { engine, restarting: false, .. } => _ = self.engines.remove(engine),
            LogEvent::EngineDown { engine, restarting: true, .. } => {
                self.died(*engine, at, false);
                let figures = self.engine(*engine);
                (figures.last, figures.idle_since) = (None, None);
                figures.protected.clear();
            }
            LogEvent::RunQueued { session, work: Work::Map(map), label, .. } => {
                self.labels.insert((*session, *map), label.clone());
            }
            LogEvent::RunStarted { session, run, engine, snapshot } => {
                if let Some(taken) = snapshot {
                    let figures = self.engine(*engine);
                    figures.protected.insert((*session, *run));
                    // Runs that leave the variables alone have the snapshot of the run before.
                    if figures.taken.insert(*session, *taken) != Some(*taken) {
                        let (micros, count) = &mut figures.snapshots;
                        (*micros, *count) = (*micros + taken.micros, *count + 1);
                    }
                }
                self.began(*session, *run, *engine, at);
            }
            LogEvent::RunEnded { session, run, engine, end, took } => {
                self.run_ended((*session, *run), *engine, at, *end, *took);
            }
            LogEvent::Failure { session, run, engine, why, own } => {
                self.add_failure((*session, *run, *engine), why, *own);
            }
            LogEvent::WorkerLost { engine, restored, stopped: false, .. } => self.died(*engine, at, *restored),
            LogEvent::MapDone { session, map, engine, items, pieces, micros, left, .. }
                if self.state.maps.contains_key(&(*session, *map)) =>
            {
                let share = self.shares.entry((*session, *map)).or_default().entry(*engine).or_default();
                *share = Share {
                    items: share.items + items,
                    pieces: share.pieces + pieces,
                    micros: share.micros + micros,
                    left: *left,
                    at,
                };
                // Else it has only got its first.
                if *items > 0 {
                    self.stream.add(Bar {
                        engine: Some(*engine),
                        from: at.saturating_sub(micros / 1000),
                        to: at,
                        kind: BarKind::Items,
                        session: *session,
                        work: Some(Work::Map(*map)),
                        label: self.labels.get(&(*session, *map)).cloned().unwrap_or_default(),
                        end: None,
                    });
                }
            }
            LogEvent::MapEnded { session, map } => self.map_ended(*session, *map, at),
            LogEvent::Compiled { session, label, micros, .. } => {
                self.stream.add(Bar {
                    engine: None,
                    from: at.saturating_sub(micros / 1000),
                    to: at,
                    kind: BarKind::Compile,
                    session: *session,
                    work: None,
                    label: label.clone(),
                    end: None,
                });
            }
            LogEvent::TaskEnded { session, task, failure: Some(why), .. }
            | LogEvent::TaskAgain { session, task, failure: why } => {
                let of = |it: &&mut EndedRun| it.run.session == *session && it.run.work == Work::Task(*task);
                if let Some(ended) = self.ended.iter_mut().rev().find(of) {
                    // The panic's own words say it in fewer.
                    ended.failure.get_or_insert_with(|| why.clone());
                    // Recordings of earlier versions have it that its run ended well.
                    if ended.end == RunEnd::Ok {
                        ended.end = RunEnd::Failed;
                    }
                }
            }
            _ => {}
        }
        let message = self.message(entry);
        self.state.apply(entry);
        message.into_iter().for_each(|message| keep(&mut self.messages, (at, message)));
        self.note_idle(&entry.event, at);
    }

    /// Notes why a run fails. What its own thread says counts.
    fn add_failure(&mut self, (session, run, engine): (SessionNumber, u64, EngineId), why: &str, own: bool) {
        let why = why.to_owned();
        match self.run(session, run, engine).map(|run| run.work) {
            Some(Work::Map(map)) => {
                let map = (session, map);
                // A run may go on for a moment when its map is over.
                if self.state.maps.contains_key(&map) && (own || !self.failures.contains_key(&map)) {
                    let run_failed = self.failures.get(&map).is_some_and(|before| before.run_failed);
                    self.failures.insert(map, MapFailure { engine, why, run_failed });
                }
            }
            Some(_) if own || !self.failing.contains_key(&(session, run, engine)) => {
                self.failing.insert((session, run, engine), why);
            }
            _ => {}
        }
    }

    /// A run that hasn't ended on its engine.
    fn run(&self, session: SessionNumber, run: u64, engine: EngineId) -> Option<&LogRun> {
        self.state.engines.get(&engine)?.runs.iter().find(|it| (it.session, it.run) == (session, run))
    }

    fn engine(&mut self, engine: EngineId) -> &mut EngineFigures {
        self.engines.entry(engine).or_default()
    }

    /// Notes of the engines that an event is about since when they have nothing to run.
    fn note_idle(&mut self, event: &LogEvent, at: u64) {
        let touched: Vec<EngineId> = match event {
            LogEvent::State(_) | LogEvent::SessionClosed { .. } => self.state.engines.keys().copied().collect(),
            LogEvent::RunQueued { engines, .. } => engines.clone(),
            LogEvent::EngineUp { engine, .. } | LogEvent::RunEnded { engine, .. } => vec![*engine],
            _ => return,
        };
        for id in touched {
            let Some(engine) = self.state.engines.get(&id) else { continue };
            let figures = self.engines.entry(id).or_default();
            figures.idle_since = match engine.runs.is_empty() && engine.info.is_some() {
                true => figures.idle_since.or(Some(at)),
                false => None,
            };
        }
    }

    fn measured(&mut self, engine: EngineId, at: u64, metrics: &Metrics) {
        let figures = self.engine(engine);
        figures.measured = Some(at);
        if let Some(cpu) = cpu(metrics) {
            figures.cpu.add(at, cpu);
        }
        if let Some(memory) = memory(metrics) {
            figures.memory.add(at, memory as f64);
        }
        if let Some((then, came, went)) = figures.last {
            let seconds = at.saturating_sub(then) as f64 / 1000.0;
            if seconds > 0.0 {
                figures.bytes_in.add(at, metrics.bytes_in.saturating_sub(came) as f64 / seconds);
                figures.bytes_out.add(at, metrics.bytes_out.saturating_sub(went) as f64 / seconds);
            }
        }
        figures.last = Some((at, metrics.bytes_in, metrics.bytes_out));
    }

    fn died(&mut self, engine: EngineId, at: u64, saved: bool) {
        let figures = self.engine(engine);
        figures.saved += u64::from(saved);
        figures.deaths.push_back(at);
        while figures.deaths.front().is_some_and(|then| then + 60_000 < at) {
            figures.deaths.pop_front();
        }
    }

    fn began(&mut self, session: SessionNumber, run: u64, engine: EngineId, at: u64) {
        let Some(it) = self.state.engines.get(&engine) else { return };
        let Some(place) = it.runs.iter().position(|it| (it.session, it.run) == (session, run)) else { return };
        let run = &it.runs[place];
        // What waited behind another run wasn't on its way all the time.
        let before = self.ended.iter().rev().find(|ended| ended.engine == engine).map_or(0, |ended| ended.at);
        self.stream.add(Bar {
            engine: Some(engine),
            from: run.queued.max(before),
            to: at,
            kind: BarKind::Transfer,
            session,
            work: Some(run.work),
            label: run.label.clone(),
            end: None,
        });
    }

    fn run_ended(&mut self, (session, run): (SessionNumber, u64), engine: EngineId, at: u64, end: RunEnd, took: Took) {
        if matches!(end, RunEnd::Died | RunEnd::Restored) {
            self.died(engine, at, end == RunEnd::Restored);
        }
        let failure = self.failing.remove(&(session, run, engine));
        let Some(it) = self.run(session, run, engine).cloned() else { return };
        if let Work::Map(map) = it.work
            && let Some(failure) = self.failures.get_mut(&(session, map))
        {
            failure.run_failed |= end != RunEnd::Ok;
        }
        if let Some(started) = it.started {
            let figures = self.engine(engine);
            if figures.protected.remove(&(session, run)) {
                figures.ran += took.wall;
            }
            if !matches!(it.work, Work::Map(_)) {
                self.stream.add(Bar {
                    engine: Some(engine),
                    from: started,
                    to: at,
                    kind: BarKind::Run,
                    session,
                    work: Some(it.work),
                    label: it.label.clone(),
                    end: Some(end),
                });
            }
        }
        keep(&mut self.ended, EndedRun { run: it, engine, at, end, took, failure });
    }

    fn map_ended(&mut self, session: SessionNumber, map: u64, at: u64) {
        let shares = self.shares.remove(&(session, map)).unwrap_or_default();
        let label = self.labels.remove(&(session, map)).unwrap_or_default();
        let failure = self.failures.remove(&(session, map));
        if let Some(of) = self.state.maps.get(&(session, map)).cloned() {
            keep(&mut self.ended_maps, EndedMap { session, map, label, of, shares, failure, at });
        }
    }

    /// The beginning of a map's text.
    pub fn map_label(&self, session: SessionNumber, map: u64) -> &str {
        self.labels.get(&(session, map)).map_or("", String::as_str)
    }

    /// What an entry says to a reader, if it is worth a line.
    fn message(&self, entry: &LogEntry) -> Option<String> {
        Some(match &entry.event {
            LogEvent::EngineUp { engine, info } => {
                format!("engine {engine} joined (process {} on {})", info.pid, info.host)
            }
            LogEvent::EngineDown { reason, restarting, .. } => {
                let after = if *restarting { "; it is started again" } else { "" };
                format!("{reason}{after}")
            }
            LogEvent::EngineDraining { engine } => format!("engine {engine} is being drained"),
            LogEvent::SessionOpened { session, client } => format!("session {session} opened: {client}"),
            LogEvent::SessionClosed { session } => format!("session {session} closed"),
            LogEvent::WorkerLost { session, engine, how, restored, .. } => {
                let after = if *restored { "; its snapshot carries on" } else { "; its variables are lost" };
                format!("engine {engine}'s worker of session {session} {how}{after}")
            }
            LogEvent::RunQueued { session, work: Work::Cell, label, engines, .. } => {
                format!("session {session} runs `{}` on {}", one_line(label, SHORT), name_engines(engines))
            }
            LogEvent::RunEnded {
                session,
                run,
                engine,
                end: end @ (RunEnd::Failed | RunEnd::Died | RunEnd::Restored | RunEnd::Stopped),
                ..
            } => {
                let known = self.run(*session, *run, *engine);
                if *end == RunEnd::Failed && known.is_some_and(|known| matches!(known.work, Work::Task(_))) {
                    // The end of its call says it.
                    return None;
                }
                let label = known.map_or(String::new(), |run| format!("`{}` ", one_line(&run.label, SHORT)));
                let of = |it: &&EndedRun| (it.run.session, it.run.run, it.engine) == (*session, *run, *engine);
                let why = self.ended.back().filter(of).and_then(|it| it.failure.as_ref());
                let why = why.map_or(String::new(), |why| format!(": {}", one_line(why, SHORT)));
                let (how, after) = match end {
                    RunEnd::Died => ("ended its worker", ", and the variables are lost"),
                    RunEnd::Restored => ("ended its worker", ", and its snapshot carries on"),
                    RunEnd::Stopped => ("was stopped", ""),
                    _ => ("failed", ""),
                };
                format!("{label}of session {session} {how} on engine {engine}{after}{why}")
            }
            LogEvent::TaskEnded { session, task, failure: Some(why), .. } => {
                let label = self.state.tasks.get(&(*session, *task));
                let label = label.map_or(String::new(), |it| format!(" of `{}`", one_line(&it.label, SHORT)));
                format!("call {task}{label} in session {session} failed: {}", one_line(why, SHORT))
            }
            LogEvent::MapOpened { session, map, items, .. } => match items {
                Some(items) => format!("session {session} began map {map} of {items} items"),
                None => format!("session {session} began map {map} over what engines have"),
            },
            LogEvent::MapEnded { session, map } => {
                let of = |it: &&EndedMap| (it.session, it.map) == (*session, *map);
                let ended = self.ended_maps.back().filter(of).filter(|it| it.has_failed());
                let why = ended.and_then(|it| it.failure.as_ref()).map_or(String::new(), |it| {
                    format!("; it failed on engine {}: {}", it.engine, one_line(&it.why, SHORT))
                });
                format!("map {map} of session {session} ended{why}")
            }
            LogEvent::Steered { by, what } => format!("{by}: {what}"),
            LogEvent::ControllerBack { pid, sessions, engines } => {
                let [sessions, engines] =
                    [(sessions, "session"), (engines, "engine")].map(|(number, what)| count(u64::from(*number), what));
                format!("the controller was killed: process {pid} goes on with {sessions}, and awaits {engines}")
            }
            LogEvent::Stopping { by: Some(by) } => format!("{by} stopped the cluster"),
            LogEvent::Stopping { by: None } => "the cluster was stopped".to_owned(),
            _ => return None,
        })
    }
}

/// What an engine uses of the processors, in percent of one core.
pub fn cpu(metrics: &Metrics) -> Option<f64> {
    let workers = metrics.workers.iter().filter_map(|it| it.worker.cpu);
    let all: Vec<f32> = workers.chain(metrics.supervisor.cpu).collect();
    (!all.is_empty()).then(|| all.iter().map(|cpu| f64::from(*cpu)).sum())
}

/// What an engine has in memory, in bytes; snapshots aren't counted, which share most of it.
pub fn memory(metrics: &Metrics) -> Option<u64> {
    let workers = metrics.workers.iter().filter_map(|it| it.worker.memory);
    let all: Vec<u64> = workers.chain(metrics.supervisor.memory).collect();
    (!all.is_empty()).then(|| all.iter().sum())
}

/// What the snapshots of an engine's workers have in memory, in bytes; they share most of it with the workers.
pub fn snapshots(metrics: &Metrics) -> u64 {
    metrics.workers.iter().filter_map(|it| it.snapshot?.memory).sum()
}

/// How many runs an engine has that haven't begun.
pub fn waiting(engine: &LogEngine) -> usize {
    engine.runs.iter().filter(|run| run.started.is_none()).count()
}

fn keep<T>(list: &mut VecDeque<T>, new: T) {
    if list.len() >= ENDED {
        list.pop_front();
    }
    list.push_back(new);
}

#[cfg(test)]
mod tests;
