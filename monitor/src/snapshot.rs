//! `--once`: the cluster at one moment, as text or as JSON, without a terminal.

use crate::tables::engines;
use crate::{Cluster, Error, source, text};
use chorus_history::{About, Diagnosis, Figures, HeldKind, diagnose, held, memory, recording, waiting};
use chorus_protocol::{EngineId, LogEngine, LogEvent, count};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// How long two measurements of each engine may take to come, so that CPU and rates are known.
const WAIT: Duration = Duration::from_secs(3);

/// So many variables and rooms are shown as text.
const LARGEST: usize = 10;

/// The cluster. What isn't known is `null`. Members may be added, and none changes its meaning.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// Its name.
    pub name: String,
    /// The controller's process.
    pub pid: u32,
    /// When this was, in milliseconds since 1970.
    pub at: u64,
    /// For how long the controller has run.
    pub up_seconds: f64,
    /// Whether the cluster is stopping.
    pub stopping: bool,
    /// How many sessions there are.
    pub sessions: usize,
    /// Maps under way.
    pub maps: usize,
    /// Calls that haven't ended.
    pub calls: usize,
    /// Its engines, in their order.
    pub engines: Vec<Engine>,
    /// Which variables and rooms take memory, the largest of each session on each engine and in its notebook.
    pub memory: Vec<Held>,
    /// What is wrong.
    pub diagnoses: Vec<Problem>,
}

/// A variable or a room.
#[derive(Clone, Debug, Serialize)]
pub struct Held {
    /// Whose.
    pub session: u32,
    /// Where; in the notebook if on no engine.
    pub engine: Option<u32>,
    /// `variable` or `room`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// What it takes.
    pub bytes: Option<u64>,
}

/// An engine.
#[derive(Clone, Debug, Serialize)]
pub struct Engine {
    /// Its number.
    pub id: u32,
    /// Its host's name.
    pub host: Option<String>,
    /// Its supervisor's process.
    pub pid: Option<u32>,
    /// `starting`, `idle`, `waiting` (for a run that it was sent), `busy` or `draining`.
    pub state: &'static str,
    /// Of supervisor and workers, of one core.
    pub cpu_percent: Option<f64>,
    /// Of supervisor and workers.
    pub memory_bytes: Option<u64>,
    /// Of the workers' snapshots; most of it is shared with the workers.
    pub snapshot_bytes: Option<u64>,
    /// From the controller.
    pub bytes_in_per_s: Option<f64>,
    /// To the controller.
    pub bytes_out_per_s: Option<f64>,
    /// Runs that wait behind the one that runs.
    pub queue: usize,
    /// What runs.
    pub running: Option<Running>,
    /// Runs that have ended.
    pub done: u64,
    /// How many of these didn't end well.
    pub failed: u64,
    /// How often the engine or one of its workers died.
    pub restarts: u64,
    /// Its GPU.
    pub gpu: Option<Gpu>,
    /// What is wrong with it.
    pub diagnoses: Vec<Problem>,
}

/// A run.
#[derive(Clone, Debug, Serialize)]
pub struct Running {
    /// Whose.
    pub session: u32,
    /// The beginning of its text.
    pub label: String,
    /// For how long.
    pub seconds: f64,
}

/// A GPU.
#[derive(Clone, Debug, Serialize)]
pub struct Gpu {
    /// Its name.
    pub name: String,
    /// For how much of the time it computed.
    pub busy_percent: Option<f32>,
    /// Its memory.
    pub memory_bytes: Option<u64>,
    /// How much of it is in use.
    pub memory_used_bytes: Option<u64>,
    /// How warm it is, in degrees Celsius.
    pub celsius: Option<u32>,
    /// What it takes, in watts.
    pub watts: Option<f32>,
}

/// Something that is wrong.
#[derive(Clone, Debug, Serialize)]
pub struct Problem {
    /// `engine 3`, `map 2 of session 1`.
    pub about: String,
    /// Its kind.
    pub kind: &'static str,
    /// What is wrong, with figures.
    pub evidence: String,
    /// What to do about it.
    pub advice: String,
}

/// Waits for the figures of a cluster that runs.
pub async fn live(name: &str, clusters: fn() -> Vec<Cluster>) -> Result<Figures, Error> {
    let client = source::connect(name, clusters).await.map_err(Error::Cluster)?;
    let mut log = client.follow_log(1);
    let (mut figures, mut measured) = (Figures::default(), BTreeMap::<EngineId, u32>::new());
    // The log begins with the past. Only what is measured from now on, over a whole second, tells of the present.
    let (begun, deadline) = (crate::run::now(), tokio::time::Instant::now() + WAIT);
    while !is_known(&figures, &measured) {
        match tokio::time::timeout_at(deadline, log.recv()).await {
            Ok(Some(entries)) => {
                for entry in entries {
                    if let LogEvent::Measured { engine, .. } = &entry.event {
                        *measured.entry(*engine).or_default() += u32::from(entry.at >= begun);
                    }
                    figures.apply(&entry);
                }
            }
            Ok(None) => return Err(Error::Cluster(format!("the cluster `{name}` is gone"))),
            Err(_) if figures.number > 0 => break,
            Err(_) => {
                return Err(Error::Cluster(format!("the cluster `{name}` told nothing within {} s", WAIT.as_secs())));
            }
        }
    }
    Ok(figures)
}

/// The figures at the end of a recording.
pub fn recorded(path: &Path) -> Result<Figures, Error> {
    let mut figures = Figures::default();
    recording::read(path)?.entries.iter().for_each(|entry| crate::app::apply(&mut figures, entry));
    Ok(figures)
}

/// Whether every engine that has joined was measured twice.
fn is_known(figures: &Figures, measured: &BTreeMap<EngineId, u32>) -> bool {
    let joined = figures.state.engines.iter().filter(|(_, engine)| engine.info.is_some());
    figures.number > 0 && joined.map(|(id, _)| id).all(|id| measured.get(id).is_some_and(|count| *count >= 2))
}

impl Snapshot {
    /// Of these figures.
    pub fn new(figures: &Figures) -> Snapshot {
        let state = &figures.state;
        let diagnoses = diagnose(figures);
        Snapshot {
            name: state.name.clone(),
            pid: state.pid,
            at: figures.now,
            up_seconds: seconds(figures.now, state.since),
            stopping: state.stopping,
            sessions: state.sessions.len(),
            maps: state.maps.len(),
            calls: state.tasks.len(),
            engines: state.engines.iter().map(|(id, it)| engine(figures, *id, it, &diagnoses)).collect(),
            memory: held(state).into_iter().map(holding).collect(),
            diagnoses: diagnoses.iter().map(problem).collect(),
        }
    }

    /// As one page of text.
    pub fn page(&self) -> String {
        let Snapshot { name, sessions, maps, calls, .. } = self;
        let up = text::millis((self.up_seconds * 1000.0) as u64);
        let [sessions, maps, calls] =
            [(sessions, "session"), (maps, "map"), (calls, "call")].map(|(number, what)| count(*number as u64, what));
        let engines = count(self.engines.len() as u64, "engine");
        let mut page = format!(
            "Cluster `{name}`: {engines}, {sessions}, {maps}, {calls}, up {up}\n\n\
             {:>4}  {:<8}  {:>5}  {:>5}  {:>5}  {:>7}  {:>6}  {:>6}  {:>4}  RUNNING\n",
            "ID", "STATE", "CPU%", "MEM", "QUEUE", "TIME", "DONE", "FAILED", "DIED"
        );
        for it in &self.engines {
            let cpu = it.cpu_percent.map_or(text::UNKNOWN.to_owned(), |cpu| format!("{cpu:.0}"));
            let memory = it.memory_bytes.map_or(text::UNKNOWN.to_owned(), text::bytes);
            let time = it.running.as_ref().map_or(String::new(), |run| text::millis((run.seconds * 1000.0) as u64));
            let label = it
                .running
                .as_ref()
                .map_or(String::new(), |run| chorus_history::one_line(&run.label, chorus_history::SHORT));
            let Engine { id, state, queue, done, failed, restarts, .. } = it;
            let line = format!(
                "{id:>4}  {state:<8}  {cpu:>5}  {memory:>5}  {queue:>5}  {time:>7}  {done:>6}  {failed:>6}  {restarts:>4}  {label}"
            );
            page += line.trim_end();
            page.push('\n');
        }
        page += &self.memory_page();
        for Problem { about, kind, evidence, advice } in &self.diagnoses {
            page += &format!("\n{about}, {kind}: {evidence}.\n  What to do: {advice}.\n");
        }
        page
    }

    /// The variables and rooms that take most.
    fn memory_page(&self) -> String {
        let mut largest: Vec<&Held> = self.memory.iter().filter(|it| it.bytes.is_some()).collect();
        largest.sort_by_key(|it| std::cmp::Reverse(it.bytes));
        if largest.is_empty() {
            return String::new();
        }
        let mut page = format!("\n{:>5}  {:<8}  {:<9}  {:>3}  NAME\n", "MEM", "WHAT", "WHERE", "SES");
        for Held { session, engine, kind, name, bytes } in largest.into_iter().take(LARGEST) {
            let place = engine.map_or("notebook".to_owned(), |id| format!("engine {id}"));
            let bytes = bytes.map_or(text::UNKNOWN.to_owned(), text::bytes);
            page += &format!("{bytes:>5}  {kind:<8}  {place:<9}  {session:>3}  {name}\n");
        }
        page
    }
}

fn holding(it: chorus_history::Held) -> Held {
    let kind = match it.kind {
        HeldKind::Variable => "variable",
        HeldKind::Room => "room",
    };
    Held { session: it.session, engine: it.engine.map(|id| id.0), kind, name: it.name, bytes: it.bytes }
}

fn engine(figures: &Figures, id: EngineId, of: &LogEngine, diagnoses: &[Diagnosis]) -> Engine {
    let known = figures.engines.get(&id);
    let run = engines::current(of);
    let gpu = of.metrics.as_ref().and_then(|it| it.gpu.as_ref());
    Engine {
        id: id.0,
        host: of.info.as_ref().map(|it| it.host.clone()),
        pid: of.info.as_ref().map(|it| it.pid),
        state: engines::state(of).0,
        cpu_percent: engines::cpu_now(figures, known),
        memory_bytes: of.metrics.as_ref().and_then(|it| memory(it)),
        snapshot_bytes: engines::snapshots(of),
        bytes_in_per_s: known.and_then(|it| it.bytes_in.last()),
        bytes_out_per_s: known.and_then(|it| it.bytes_out.last()),
        queue: waiting(of),
        running: run.map(|run| Running {
            session: run.session,
            label: run.label.clone(),
            seconds: seconds(figures.now, run.started.unwrap_or(figures.now)),
        }),
        done: of.done,
        failed: of.failed,
        restarts: of.restarts,
        gpu: gpu.map(|gpu| Gpu {
            name: gpu.name.clone(),
            busy_percent: gpu.busy,
            memory_bytes: gpu.memory,
            memory_used_bytes: gpu.memory_used,
            celsius: gpu.celsius,
            watts: gpu.watts,
        }),
        diagnoses: diagnoses.iter().filter(|it| it.about == About::Engine(id)).map(problem).collect(),
    }
}

fn problem(it: &Diagnosis) -> Problem {
    let about = match it.about {
        About::Engine(engine) => format!("engine {engine}"),
        About::Map(session, map) => format!("map {map} of session {session}"),
    };
    Problem { about, kind: it.kind, evidence: it.evidence.clone(), advice: it.advice.clone() }
}

fn seconds(now: u64, since: u64) -> f64 {
    now.saturating_sub(since) as f64 / 1000.0
}
