//! Who holds how much memory: each engine's supervisor, and its workers with their snapshots; of these and of the
//! notebooks, which variables and rooms.

use crate::app::App;
use crate::table::{Cell, Column, Key, Row, Table, left, rest, right};
use crate::text;
use crate::theme::Tone;
use chorus_history::{Held, HeldKind, held};
use chorus_protocol::{EngineId, ProcessUse, SessionNumber};

const COLUMNS: [Column; 8] = [
    right("ENGINE", "engine", 8, 0),
    left("WHAT", "what", 10, 0),
    right("SES", "session", 3, 0),
    rest("NAME", "name", 10, 0).up_to(80),
    right("PID", "pid", 8, 2),
    right("CPU%", "cpu", 5, 0),
    right("MEM", "mem", 5, 0),
    right("SNAPSHOT", "snap", 8, 0),
];

/// One row a process, a variable and a room. A worker's variables stand below it.
pub fn table(app: &App) -> Table {
    let figures = app.figures();
    let (mut rows, held) = (Vec::new(), held(&figures.state));
    let below = |engine: Option<EngineId>, session: SessionNumber| {
        let here = held.iter().filter(move |it| (it.engine, it.session) == (engine, session));
        here.enumerate().map(move |(place, it)| held_row(Key::Held(engine, session, place), it, app))
    };
    for (id, engine) in &figures.state.engines {
        let Some(metrics) = &engine.metrics else { continue };
        for worker in &metrics.workers {
            let whose = figures.state.sessions.get(&worker.session);
            let whose = whose.map_or(text::UNKNOWN.to_owned(), |it| super::line(&it.name, &app.theme));
            let snapshot = match &worker.snapshot {
                Some(snapshot) => Cell::bytes(snapshot.memory),
                None => Cell::text("none").tone(Tone::Dim),
            };
            let key = Key::Worker(*id, worker.session);
            let session = Cell::count(worker.session.into());
            rows.push(row(key, *id, "worker", session, whose, &worker.worker, snapshot));
            rows.extend(below(Some(*id), worker.session));
        }
        let (key, whose) = (Key::Engine(*id), "the engine itself".to_owned());
        rows.push(row(key, *id, "supervisor", Cell::default(), whose, &metrics.supervisor, Cell::default()));
    }
    rows.extend(figures.state.notebooks.keys().flat_map(|session| below(None, *session)));
    Table::new(&COLUMNS, rows, "Nothing has been measured yet: engines tell what they use once a second.")
}

fn row(
    key: Key,
    engine: EngineId,
    process: &str,
    session: Cell,
    whose: String,
    used: &ProcessUse,
    snapshot: Cell,
) -> Row {
    let cpu = used.cpu.map(f64::from);
    let cells = vec![
        Cell::number(Some(f64::from(engine.0)), |id| id.to_string()).tone(Tone::Accent),
        Cell::text(process),
        session,
        Cell::text(whose),
        Cell::number((used.pid > 0).then_some(f64::from(used.pid)), |pid| pid.to_string()).tone(Tone::Dim),
        Cell::number(cpu, |cpu| format!("{cpu:.0}")).tone(super::engines::load(cpu)),
        Cell::bytes(used.memory),
        snapshot,
    ];
    Row { key, cells }
}

fn held_row(key: Key, held: &Held, app: &App) -> Row {
    let engine = match held.engine {
        Some(engine) => Cell::number(Some(f64::from(engine.0)), |id| id.to_string()).tone(Tone::Accent),
        None => Cell::text("notebook"),
    };
    let what = match held.kind {
        HeldKind::Variable => "variable",
        HeldKind::Room => "room",
    };
    let cells = vec![
        engine,
        Cell::text(what).tone(Tone::Dim),
        Cell::count(held.session.into()),
        Cell::text(super::line(&held.name, &app.theme)),
        Cell::default(),
        Cell::default(),
        Cell::bytes(held.bytes),
        Cell::default(),
    ];
    Row { key, cells }
}
