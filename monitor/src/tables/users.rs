//! Sessions, GPUs and diagnoses.

use super::line;
use crate::app::App;
use crate::table::{Cell, Column, Key, Row, Table, left, rest, right};
use crate::theme::Tone;
use chorus_history::About;

const SESSIONS: [Column; 9] = [
    right("SES", "session", 3, 0),
    rest("WHO", "who", 14, 0).up_to(80),
    right("PID", "pid", 8, 1),
    left("HOST", "host", 12, 3),
    right("RUNNING", "running", 7, 0),
    right("QUEUED", "queued", 6, 0),
    right("MAPS", "maps", 4, 2),
    right("CALLS", "calls", 5, 2),
    right("MEM", "mem", 5, 0),
];

/// Who uses the cluster.
pub fn sessions(app: &App) -> Table {
    let state = &app.figures().state;
    let row = |(&session, client): (&u32, &chorus_protocol::ClientInfo)| {
        let runs = || state.engines.values().flat_map(|it| &it.runs).filter(move |run| run.session == session);
        let running = runs().filter(|run| run.started.is_some()).count() as u64;
        let workers = state.engines.values().filter_map(|it| it.metrics.as_ref()).flat_map(|it| &it.workers);
        let memory: Vec<u64> = workers.filter(|it| it.session == session).filter_map(|it| it.worker.memory).collect();
        let cells = vec![
            Cell::count(session.into()).tone(Tone::Accent),
            Cell::text(line(&client.name, &app.theme)),
            Cell::count(client.pid.into()).tone(Tone::Dim),
            Cell::text(line(&client.host, &app.theme)).tone(Tone::Dim),
            Cell::count(running).tone(if running > 0 { Tone::Busy } else { Tone::Dim }),
            Cell::count(runs().count() as u64 - running),
            Cell::count(state.maps.keys().filter(|(of, _)| *of == session).count() as u64),
            Cell::count(state.tasks.keys().filter(|(of, _)| *of == session).count() as u64),
            Cell::bytes((!memory.is_empty()).then(|| memory.iter().sum())),
        ];
        Row { key: Key::Session(session), cells }
    };
    let rows = state.sessions.iter().map(row).collect();
    Table::new(&SESSIONS, rows, "No notebook uses the cluster. In one: %cluster connect NAME")
}

const GPUS: [Column; 8] = [
    right("ENGINE", "engine", 6, 0),
    left("HOST", "host", 14, 1),
    rest("GPU", "gpu", 16, 0).up_to(60),
    right("BUSY%", "busy", 5, 0),
    right("USED", "mem", 5, 0),
    right("OF", "total", 5, 0),
    right("TEMP", "temp", 5, 2),
    right("POWER", "power", 6, 2),
];

/// The engines that have a GPU.
pub fn gpus(app: &App) -> Table {
    let engines = app.figures().state.engines.iter();
    let rows = engines.filter_map(|(id, engine)| {
        let gpu = engine.metrics.as_ref()?.gpu.as_ref()?;
        let cells = vec![
            Cell::number(Some(f64::from(id.0)), |id| id.to_string()).tone(Tone::Accent),
            Cell::text(engine.info.as_ref().map_or(crate::text::UNKNOWN, |it| &it.host)).tone(Tone::Dim),
            Cell::text(line(&gpu.name, &app.theme)),
            Cell::number(gpu.busy.map(f64::from), |busy| format!("{busy:.0}")),
            Cell::bytes(gpu.memory_used),
            Cell::bytes(gpu.memory),
            Cell::number(gpu.celsius.map(f64::from), |celsius| format!("{celsius}C")),
            Cell::number(gpu.watts.map(f64::from), |watts| format!("{watts:.0}W")),
        ];
        Some(Row { key: Key::Engine(*id), cells })
    });
    Table::new(&GPUS, rows.collect(), "No engine has told of a GPU. `chorus gpu info` says what this machine has.")
}

const DIAGNOSES: [Column; 4] = [
    left("ABOUT", "about", 14, 0),
    left("WHAT", "what", 12, 0),
    rest("EVIDENCE", "evidence", 24, 0),
    rest("WHAT TO DO", "advice", 20, 1),
];

/// What is wrong.
pub fn diagnoses(app: &App) -> Table {
    let row = |(place, it): (usize, &chorus_history::Diagnosis)| {
        let about = match it.about {
            About::Engine(engine) => format!("engine {engine}"),
            About::Map(session, map) => format!("map {map} of session {session}"),
        };
        let cells = vec![
            Cell::text(about).tone(Tone::Accent),
            Cell::text(it.kind).tone(Tone::Warn),
            Cell::text(line(&it.evidence, &app.theme)),
            Cell::text(line(&it.advice, &app.theme)).tone(Tone::Good),
        ];
        Row { key: Key::Place(place), cells }
    };
    let rows = app.diagnoses.iter().enumerate().map(row).collect();
    Table::new(&DIAGNOSES, rows, "Nothing is wrong, as far as the cluster's figures tell.")
}
