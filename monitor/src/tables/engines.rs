//! The engines.

use super::line;
use crate::app::App;
use crate::table::{Cell, Column, Key, Row, Table, left, rest, right};
use crate::text;
use crate::theme::Tone;
use chorus_history::{EngineFigures, Figures, memory};
use chorus_protocol::{EngineId, LogEngine, LogRun};

/// For how many seconds the curve goes back.
pub const CURVE: usize = 60;
/// An engine that wasn't measured for so long is of unknown use, in milliseconds.
const STALE: u64 = 5_000;

const COLUMNS: [Column; 21] = [
    left(" ", "", 2, 0),
    right("ID", "id", 4, 0),
    left("STATE", "state", 8, 0),
    left("HOST", "host", 12, 9),
    right("PID", "pid", 7, 10),
    right("SES", "session", 3, 12),
    rest("RUNNING", "running", 18, 0).up_to(100),
    right("TIME", "time", 6, 1),
    right("QUEUE", "queue", 5, 4),
    right("CPU%", "cpu", 5, 0),
    left("CPU 60 s", "", 12, 3).up_to(60),
    right("MEM", "mem", 5, 0),
    right("SNAP", "snap", 5, 13),
    right("IN", "in", 6, 8),
    right("OUT", "out", 6, 8),
    right("DONE", "done", 6, 5),
    right("FAIL", "failed", 4, 2),
    right("DIED", "restarts", 4, 7),
    right("GPU%", "gpu", 5, 14),
    right("GMEM", "gpumem", 5, 14),
    right("SEEN", "seen", 5, 11),
];

/// What an engine does, in a word.
pub fn state(engine: &LogEngine) -> (&'static str, Tone) {
    match engine {
        LogEngine { info: None, .. } => ("starting", Tone::Moving),
        LogEngine { draining: true, .. } => ("draining", Tone::Warn),
        LogEngine { runs, .. } if runs.iter().any(|run| run.started.is_some()) => ("busy", Tone::Busy),
        LogEngine { runs, .. } if !runs.is_empty() => ("waiting", Tone::Moving),
        _ => ("idle", Tone::Good),
    }
}

/// The run that an engine is at.
pub fn current(engine: &LogEngine) -> Option<&LogRun> {
    engine.runs.iter().find(|run| run.started.is_some())
}

/// What an engine uses now, in percent of a core; `None` if that wasn't measured lately.
pub fn cpu_now(figures: &Figures, of: Option<&EngineFigures>) -> Option<f64> {
    let of = of?;
    of.measured.filter(|then| then + STALE >= figures.now)?;
    of.cpu.last()
}

/// The memory of an engine's snapshots.
pub fn snapshots(engine: &LogEngine) -> Option<u64> {
    engine.metrics.as_deref().map(chorus_history::snapshots)
}

/// How a share of a core looks.
pub fn load(cpu: Option<f64>) -> Tone {
    match cpu {
        None => Tone::Dim,
        Some(cpu) if cpu >= 50.0 => Tone::Busy,
        Some(cpu) if cpu < 1.0 => Tone::Dim,
        Some(_) => Tone::Normal,
    }
}

/// All engines.
pub fn table(app: &App) -> Table {
    let figures = app.figures();
    let rows = figures.state.engines.iter().map(|(id, engine)| row(app, *id, engine)).collect();
    let empty = "The cluster has no engines: `+` starts some.";
    Table::new(&COLUMNS, rows, empty)
}

/// Only their names, for pages that draw the rest themselves.
pub fn names(app: &App) -> Table {
    let row = |(id, engine): (&EngineId, &LogEngine)| {
        let (state, tone) = state(engine);
        Row {
            key: Key::Engine(*id),
            cells: vec![Cell::number(Some(f64::from(id.0)), |id| id.to_string()), Cell::text(state).tone(tone)],
        }
    };
    let rows = app.figures().state.engines.iter().map(row).collect();
    Table::new(&[right("ID", "id", 4, 0), left("STATE", "state", 8, 0)], rows, "The cluster has no engines.")
}

fn row(app: &App, id: EngineId, engine: &LogEngine) -> Row {
    let figures = app.figures();
    let of = figures.engines.get(&id);
    let (state, tone) = state(engine);
    let run = current(engine);
    let cpu = cpu_now(figures, of);
    let mark = if app.marked.contains(&id) { app.theme.mark() } else { " " };
    let warning = if app.diagnoses_of(id).next().is_some() { app.theme.warning() } else { " " };
    let rate = |series: Option<f64>| Cell::number(series, |it| text::bytes(it as u64)).tone(Tone::Dim);
    let seconds = |series: &chorus_history::Series| series.seconds(figures.now, CURVE);
    let gpu = engine.metrics.as_ref().and_then(|it| it.gpu.as_ref());
    let worse = |count: u64| if count > 0 { Tone::Bad } else { Tone::Dim };
    let waiting = chorus_history::waiting(engine) as u64;
    let curve = of.map(|it| seconds(&it.cpu)).unwrap_or_default();
    let curve = curve.into_iter().map(|cpu| cpu.map(|cpu| (cpu / 100.0) as f32)).collect();
    let cells = vec![
        Cell::text(format!("{mark}{warning}")).tone(Tone::Warn),
        Cell::number(Some(f64::from(id.0)), |id| id.to_string()).tone(Tone::Accent),
        Cell::text(state).tone(tone),
        Cell::text(engine.info.as_ref().map_or(text::UNKNOWN.to_owned(), |info| line(&info.host, &app.theme)))
            .tone(Tone::Dim),
        Cell::number(engine.info.as_ref().map(|info| f64::from(info.pid)), |pid| pid.to_string()).tone(Tone::Dim),
        run.map_or_else(Cell::default, |run| Cell::count(run.session.into()).tone(Tone::Dim)),
        Cell::text(run.map_or(String::new(), |run| line(&run.label, &app.theme))),
        match run.and_then(|run| run.started) {
            Some(started) => Cell::millis(Some(figures.now.saturating_sub(started))),
            None => Cell::default(),
        },
        Cell::count(waiting).tone(if waiting > 1 { Tone::Warn } else { Tone::Dim }),
        Cell::number(cpu, |cpu| format!("{cpu:.0}")).tone(load(cpu)),
        Cell { curve, tone: Tone::Busy, ..Cell::default() },
        Cell::bytes(engine.metrics.as_ref().and_then(|it| memory(it))),
        Cell::bytes(snapshots(engine)).tone(Tone::Dim),
        rate(of.and_then(|it| it.bytes_in.last())),
        rate(of.and_then(|it| it.bytes_out.last())),
        Cell::count(engine.done),
        Cell::count(engine.failed).tone(worse(engine.failed)),
        Cell::count(engine.restarts).tone(worse(engine.restarts)),
        Cell::number(gpu.and_then(|it| it.busy).map(f64::from), |busy| format!("{busy:.0}")),
        Cell::bytes(gpu.and_then(|it| it.memory_used)),
        Cell::millis(of.and_then(|it| it.measured).map(|then| figures.now.saturating_sub(then))).tone(Tone::Dim),
    ];
    Row { key: Key::Engine(id), cells }
}
