//! Runs, maps and calls: those under way first, then what has ended, the newest first.

use super::line;
use crate::app::App;
use crate::table::{Cell, Column, Key, Row, Table, left, rest, right};
use crate::text;
use crate::theme::Tone;
use chorus_history::{About, BarKind, EndedMap, EndedRun, Figures, MapFailure};
use chorus_protocol::{EngineId, LogMap, LogRun, RunEnd, Work};

const COLUMNS: [Column; 11] = [
    left(" ", "", 1, 0),
    left("STATE", "state", 8, 0),
    left("KIND", "kind", 4, 0),
    right("SES", "session", 3, 4),
    right("NO", "no", 5, 5),
    right("ENGINE", "engine", 6, 0),
    rest("WHAT", "what", 16, 0).up_to(80),
    right("TOOK", "took", 7, 0),
    right("CPU", "cpu", 7, 3),
    left("BEGAN", "began", 8, 2),
    rest("ERROR OR PROGRESS", "error", 25, 1),
];

struct Task<'a> {
    state: (&'static str, Tone),
    kind: &'static str,
    session: u32,
    number: u64,
    engine: Option<EngineId>,
    what: &'a str,
    took: Cell,
    cpu: Cell,
    began: Option<u64>,
    note: Cell,
}

/// Of all engines, or of one.
pub fn table(app: &App, only: Option<EngineId>) -> Table {
    let figures = app.figures();
    let mut rows = Vec::new();
    let mut add = |key: Key, failed: bool, task: Task<'_>| {
        if failed || !app.errors_only || only.is_some() {
            rows.push(row(app, key, task));
        }
    };
    for ((session, map), of) in figures.state.maps.iter().filter(|_| only.is_none()) {
        let label = figures.map_label(*session, *map);
        add(Key::Map(*session, *map), of.failed > 0, open_map(app, (*session, *map), of, label));
    }
    for (id, engine) in figures.state.engines.iter().filter(|(id, _)| only.is_none_or(|it| it == **id)) {
        // A map's runs are told with the map.
        for run in engine.runs.iter().filter(|run| only.is_some() || !matches!(run.work, Work::Map(_))) {
            add(key(run, *id), false, open_run(figures, run, *id));
        }
    }
    let is_at_work = |session: u32, task: u64| {
        figures
            .state
            .engines
            .values()
            .flat_map(|it| &it.runs)
            .any(|it| (it.session, it.work) == (session, Work::Task(task)))
    };
    for ((session, task), of) in figures.state.tasks.iter().filter(|_| only.is_none()) {
        if is_at_work(*session, *task) {
            continue;
        }
        let needs: Vec<String> = of.needs.iter().map(u64::to_string).collect();
        let note = if needs.is_empty() { String::new() } else { format!("needs call {}", needs.join(", ")) };
        let state = ("waiting", Tone::Moving);
        let took = Cell::millis(Some(figures.now.saturating_sub(of.submitted))).tone(Tone::Dim);
        let (kind, engine, cpu) = ("call", None, Cell::default());
        let (began, note) = (Some(of.submitted), Cell::text(note));
        let (session, number, what) = (*session, *task, &of.label[..]);
        let task = Task { state, kind, session, number, engine, what, took, cpu, began, note };
        add(Key::Task(session, number), false, task);
    }
    for ended in figures.ended_maps.iter().rev().filter(|_| only.is_none()) {
        add(Key::Map(ended.session, ended.map), ended.has_failed(), ended_map(app, ended));
    }
    for ended in figures.ended.iter().rev().filter(|it| only.is_none_or(|only| only == it.engine)) {
        if only.is_some() || !matches!(ended.run.work, Work::Map(_)) {
            add(
                Key::Run(ended.run.session, ended.run.run, ended.engine),
                ended.end != RunEnd::Ok,
                ended_run(app, ended),
            );
        }
    }
    let empty = match (app.errors_only && only.is_none(), only) {
        (true, _) => "Nothing has failed. `e` lists everything.",
        (_, Some(_)) => "Nothing has run here yet.",
        _ => "Nothing has run yet.",
    };
    Table::new(&COLUMNS, rows, empty)
}

/// Calls are known by their own number, so that they can be cancelled.
fn key(run: &LogRun, engine: EngineId) -> Key {
    match run.work {
        Work::Task(task) => Key::Task(run.session, task),
        _ => Key::Run(run.session, run.run, engine),
    }
}

fn row(app: &App, key: Key, task: Task<'_>) -> Row {
    let engine = match task.engine {
        Some(engine) => Cell::number(Some(f64::from(engine.0)), |id| id.to_string()).tone(Tone::Accent),
        None => Cell::default(),
    };
    let began = match task.began {
        Some(began) => Cell { text: text::clock(began), number: Some(began as f64), ..Cell::default() },
        None => Cell::text(text::UNKNOWN),
    };
    let is_odd = |(session, map)| app.diagnoses.iter().any(|it| it.about == About::Map(session, map));
    let warning = match key {
        Key::Map(session, map) if is_odd((session, map)) => app.theme.warning(),
        _ => " ",
    };
    let cells = vec![
        Cell::text(warning).tone(Tone::Warn),
        Cell::text(task.state.0).tone(task.state.1),
        Cell::text(task.kind).tone(Tone::Dim),
        Cell::count(task.session.into()).tone(Tone::Dim),
        Cell::count(task.number).tone(Tone::Dim),
        engine,
        Cell::text(line(task.what, &app.theme)),
        task.took,
        task.cpu,
        began.tone(Tone::Dim),
        task.note,
    ];
    Row { key, cells }
}

fn kind(run: &LogRun) -> (&'static str, u64) {
    match run.work {
        Work::Cell => ("cell", run.run),
        Work::Map(map) => ("map", map),
        Work::Task(task) => ("call", task),
    }
}

fn open_run<'a>(figures: &Figures, run: &'a LogRun, engine: EngineId) -> Task<'a> {
    let (kind, number) = kind(run);
    let state = if run.started.is_some() { ("running", Tone::Busy) } else { ("queued", Tone::Moving) };
    let since = run.started.unwrap_or(run.queued);
    Task {
        state,
        kind,
        session: run.session,
        number,
        engine: Some(engine),
        what: &run.label,
        took: Cell::millis(Some(figures.now.saturating_sub(since))).tone(state.1),
        cpu: Cell::default(),
        began: Some(since),
        note: Cell::default(),
    }
}

fn ended_run<'a>(app: &App, ended: &'a EndedRun) -> Task<'a> {
    let (kind, number) = kind(&ended.run);
    let state = match ended.end {
        RunEnd::Ok => ("done", Tone::Good),
        RunEnd::Failed => ("failed", Tone::Bad),
        RunEnd::Died | RunEnd::Restored | RunEnd::Lost => ("died", Tone::Bad),
        RunEnd::Stopped => ("stopped", Tone::Warn),
        RunEnd::NotRun => ("not run", Tone::Warn),
    };
    let why = ended.failure.as_ref().map(|why| line(why, &app.theme));
    let note = match (why, ended.end) {
        (Some(why), RunEnd::Ok) => format!("it went on after a panic: {why}"),
        (Some(why), RunEnd::Died) => format!("{why}; the variables are lost"),
        (Some(why), RunEnd::Restored) => format!("{why}; the variables are as before it"),
        (Some(why), _) => why,
        (None, RunEnd::Ok) => String::new(),
        // As recordings of earlier versions have it.
        (None, RunEnd::Failed) => "it panicked or returned an error; the notebook has the message".to_owned(),
        (None, RunEnd::Died) => "its worker's process ended with it; the engine's log may tell more".to_owned(),
        (None, RunEnd::Restored) => "its worker's process ended with it; the variables are as before it".to_owned(),
        (None, RunEnd::Lost) => "its engine's process ended".to_owned(),
        (None, RunEnd::Stopped) => "an interrupt or a restart ended it with its worker".to_owned(),
        (None, RunEnd::NotRun) => "cancelled or refused before it began".to_owned(),
    };
    let ran = |micros: u64| Cell::number(Some(micros as f64 / 1e6), |_| text::micros(micros, app.theme.utf8));
    let unknown = || Cell::text(text::UNKNOWN).tone(Tone::Dim);
    // Of what ended with its worker, nobody has measured anything.
    let took = match (ended.took.wall, ended.run.started) {
        (_, None) => unknown(),
        (0, Some(started)) => ran(ended.at.saturating_sub(started) * 1000),
        (wall, Some(_)) => ran(wall),
    };
    let cpu = if ended.run.started.is_none() || ended.took.wall == 0 {
        unknown()
    } else {
        ran(ended.took.user + ended.took.system).tone(Tone::Dim)
    };
    Task {
        state,
        kind,
        session: ended.run.session,
        number,
        engine: Some(ended.engine),
        what: &ended.run.label,
        took,
        cpu,
        began: ended.run.started,
        note: Cell::text(note).tone(state.1),
    }
}

fn open_map<'a>(app: &App, (session, number): (u32, u64), of: &LogMap, what: &'a str) -> Task<'a> {
    let figures = app.figures();
    let took = Cell::millis(Some(figures.now.saturating_sub(of.opened))).tone(Tone::Busy);
    let failure = figures.failures.get(&(session, number));
    let (state, note) = (("running", Tone::Busy), progress(app, of, failure, Tone::Bad));
    let (began, cpu, engine) = (Some(of.opened), Cell::default(), failure.map(|it| it.engine));
    Task { state, kind: "map", session, number, engine, what, took, cpu, began, note }
}

fn ended_map<'a>(app: &App, ended: &'a EndedMap) -> Task<'a> {
    let is_complete = ended.of.items.is_none_or(|items| ended.of.done >= items);
    let (state, tone) = match (ended.has_failed(), is_complete) {
        (true, _) => (("failed", Tone::Bad), Tone::Bad),
        (false, true) => (("done", Tone::Good), Tone::Warn),
        (false, false) => (("ended", Tone::Warn), Tone::Warn),
    };
    let busy = ended.of.micros;
    Task {
        state,
        kind: "map",
        session: ended.session,
        number: ended.map,
        engine: ended.failure.as_ref().map(|it| it.engine),
        what: &ended.label,
        took: Cell::millis(Some(ended.at.saturating_sub(ended.of.opened))),
        cpu: Cell::number(Some(busy as f64 / 1e6), |_| text::micros(busy, app.theme.utf8)).tone(Tone::Dim),
        began: Some(ended.of.opened),
        note: progress(app, &ended.of, ended.failure.as_ref(), tone),
    }
}

/// How far a map is; what failed comes first, in this tone, and with an error that is known of.
fn progress(app: &App, of: &LogMap, failure: Option<&MapFailure>, tone: Tone) -> Cell {
    let done = match of.items {
        // Rounded down: it isn't 100 % before all are done.
        Some(items) => format!("{} of {items} items, {} %", of.done, (of.done * 100).checked_div(items).unwrap_or(100)),
        None => format!("{} items", of.done),
    };
    let failed = match (of.failed, failure.map(|it| line(&it.why, &app.theme))) {
        (0, None) => return Cell::text(done),
        (0, Some(why)) => why,
        (failed, None) => format!("{failed} failed"),
        (failed, Some(why)) => format!("{failed} failed: {why}"),
    };
    Cell::text(format!("{failed}; {done}")).tone(tone)
}

/// For how much of a stretch of time an engine worked, of 1.
pub fn busy_share(figures: &Figures, engine: EngineId, from: u64, to: u64) -> f64 {
    let length = to.saturating_sub(from).max(1) as f64;
    let bars = figures.stream.between(from, to).filter(|bar| bar.engine == Some(engine));
    let worked = bars.filter(|bar| matches!(bar.kind, BarKind::Run | BarKind::Items));
    let ended: u64 = worked.map(|bar| bar.to.min(to).saturating_sub(bar.from.max(from))).sum();
    let running = figures.state.engines.get(&engine).and_then(super::engines::current);
    let running = running.filter(|run| !matches!(run.work, Work::Map(_))).and_then(|run| run.started);
    let running = running.map_or(0, |started| to.min(figures.now).saturating_sub(started.max(from)));
    ((ended + running) as f64 / length).min(1.0)
}
