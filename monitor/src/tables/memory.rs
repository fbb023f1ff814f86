//! Who holds how much memory: each engine's supervisor, and its workers with their snapshots.

use crate::app::App;
use crate::table::{Cell, Column, Key, Row, Table, left, rest, right};
use crate::text;
use crate::theme::Tone;
use chorus_protocol::{EngineId, ProcessUse};

const COLUMNS: [Column; 8] = [
    right("ENGINE", "engine", 6, 0),
    left("PROCESS", "process", 10, 0),
    right("SES", "session", 3, 0),
    rest("WHOSE", "whose", 10, 1),
    right("PID", "pid", 8, 2),
    right("CPU%", "cpu", 5, 0),
    right("MEM", "mem", 5, 0),
    right("SNAPSHOT", "snap", 8, 0),
];

/// One row a process.
pub fn table(app: &App) -> Table {
    let figures = app.figures();
    let mut rows = Vec::new();
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
        }
        let (key, whose) = (Key::Engine(*id), "the engine itself".to_owned());
        rows.push(row(key, *id, "supervisor", Cell::default(), whose, &metrics.supervisor, Cell::default()));
    }
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
