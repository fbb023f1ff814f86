//! The cluster as a table.

use super::output::{Bundle, html_bundle};
use super::sparkline;
use super::table::{html_table_of, one_line, text_table};
use super::time::duration;
use chorus_history::{About, Diagnosis, EngineFigures, Figures, cpu, diagnose, memory, snapshots, waiting};
use chorus_protocol::{ClusterStatus, EngineStatus, LogEngine, Metrics, SessionNumber, Variables, count, size};
use html_escape::encode_text;
use std::time::Duration;

/// An engine that was silent for longer is shown so; it gives a sign of life more often than that.
const SILENT_MS: u64 = 5_000;
/// The beginning of a label that is shown, in characters.
const LABEL: usize = 40;
/// For how many seconds the sparkline goes back.
const SPARKLINE: usize = 20;
const HEADER: [&str; 17] = [
    "engine",
    "host",
    "pid",
    "workers",
    "cores",
    "state",
    "queue",
    "CPU",
    CURVE,
    "memory",
    "snapshots",
    "variables",
    "in",
    "out",
    "runs",
    "failed",
    "restarts",
];
const CURVE: &str = "last 20 s";
/// Columns that are left out while nothing is known for them.
const WHERE_KNOWN: [&str; 4] = ["queue", "snapshots", "in", "out"];
const UNKNOWN: &str = "n/a";

/// An engine's cells.
type Row = [String; HEADER.len()];

/// What `%cluster status` shows: the cluster, what its engines use and what is wrong.
pub fn cluster(status: &ClusterStatus, figures: &Figures) -> Bundle {
    let found = diagnose(figures);
    let (texts, pages): (Vec<_>, Vec<_>) = status.engines.iter().map(|engine| row(engine, figures, &found)).unzip();
    let summary = summary(status);
    let lines: String = found.iter().map(|it| format!("! {}\n", sentence(it))).collect();
    let items: String = found.iter().map(|it| format!("<li>{}</li>", encode_text(&sentence(it)))).collect();
    let items = if items.is_empty() { items } else { format!("<ul>{items}</ul>") };
    let is_known = |at: usize| texts.iter().any(|row| row[at] != UNKNOWN);
    let shown: Vec<usize> =
        (0..HEADER.len()).filter(|at| !WHERE_KNOWN.contains(&HEADER[*at]) || is_known(*at)).collect();
    let header: Vec<&str> = shown.iter().map(|at| HEADER[*at]).collect();
    let table = |rows: &[Row]| -> Vec<Vec<String>> {
        rows.iter().map(|row| shown.iter().map(|at| row[*at].clone()).collect()).collect()
    };
    let html = format!("<p>{}</p>{}{items}", encode_text(&summary), html_table_of(&header, &table(&pages)));
    html_bundle(format!("{summary}\n{}\n{lines}", text_table(&header, &table(&texts))), html)
}

fn sentence(diagnosis: &Diagnosis) -> String {
    let about = match diagnosis.about {
        About::Engine(engine) => format!("engine {engine}"),
        About::Map(session, map) => format!("map {map} of session {session}"),
    };
    format!("{about}: {}: {}", diagnosis.evidence, diagnosis.advice)
}

/// An engine's row, as text and as HTML.
fn row(engine: &EngineStatus, figures: &Figures, found: &[Diagnosis]) -> (Row, Row) {
    let none = EngineFigures::default();
    let seen = figures.engines.get(&engine.id).unwrap_or(&none);
    let told = figures.state.engines.get(&engine.id);
    let metrics = told.and_then(|it| it.metrics.as_deref());
    let known = |text: Option<String>| text.unwrap_or_else(|| UNKNOWN.to_owned());
    let mark = if found.iter().any(|it| it.about == About::Engine(engine.id)) { " !" } else { "" };
    let past = seen.cpu.seconds(figures.now, SPARKLINE);
    let most = past.iter().flatten().fold(100.0, |most: f64, value| most.max(*value));
    let text = [
        format!("{}{}{mark}", engine.id, label(engine)),
        one_line(&engine.info.host, LABEL),
        engine.info.pid.to_string(),
        known(metrics.map(workers)),
        engine.info.cores.to_string(),
        state(engine),
        known(told.map(|it| waiting(it).to_string())),
        known(metrics.and_then(cpu).map(|percent| format!("{percent:.0} %"))),
        sparkline::text(&past, most),
        known(metrics.and_then(memory).map(size)),
        known(metrics.map(snapshots).map(size)),
        known(told.map(held)),
        known(metrics.map(|it| size(it.bytes_in))),
        known(metrics.map(|it| size(it.bytes_out))),
        engine.runs_done.to_string(),
        engine.runs_failed.to_string(),
        engine.restarts.to_string(),
    ];
    let mut page = text.clone().map(|cell| encode_text(&cell).into_owned());
    for (cell, _) in page.iter_mut().zip(HEADER).filter(|(_, name)| *name == CURVE) {
        *cell = sparkline::svg(&past, most);
    }
    (text, page)
}

/// The processes that run the sessions' cells there.
fn workers(metrics: &Metrics<SessionNumber>) -> String {
    let pids: Vec<String> = metrics.workers.iter().map(|it| it.worker.pid.to_string()).collect();
    if pids.is_empty() { "none".to_owned() } else { pids.join(", ") }
}

/// What the variables of all sessions take there, with a `+` if it isn't known of all of them.
fn held(engine: &LogEngine) -> String {
    let known = engine.variables.values().map(Variables::known);
    let (bytes, is_more) = known.fold((0, false), |all, one| (all.0 + one.0, all.1 || one.1));
    format!("{}{}", size(bytes), if is_more { "+" } else { "" })
}

/// Behind its number.
fn label(engine: &EngineStatus) -> String {
    engine.info.label.as_ref().map(|label| format!(" {}", one_line(label, LABEL))).unwrap_or_default()
}

fn state(engine: &EngineStatus) -> String {
    let mut before = match engine.silent_ms {
        ms if ms > SILENT_MS => format!("silent for {}, ", duration(Duration::from_millis(ms))),
        _ => String::new(),
    };
    if engine.draining {
        before += "leaves, ";
    }
    if engine.away {
        before = "not back yet, ".to_owned();
    }
    match (&engine.running, engine.busy) {
        (Some(label), _) => format!("{before}running: {}", one_line(label, LABEL)),
        (None, true) => format!("{before}busy"),
        (None, false) => format!("{before}idle"),
    }
}

/// The facts about the cluster as a whole, each a phrase.
fn summary(status: &ClusterStatus) -> String {
    let mut text = format!(
        "cluster {}: {}, up {}, controller {}, {}",
        one_line(&status.name, LABEL),
        count(status.engines.len() as u64, "engine"),
        duration(Duration::from_millis(status.uptime_ms)),
        status.pid,
        count(status.sessions.into(), "session"),
    );
    if status.starting > 0 {
        let queue = status.queue.iter().map(|queue| format!(" ({})", one_line(queue, LABEL))).collect::<String>();
        text += &format!(", {} more starting{queue}", status.starting);
    }
    for why in status.given_up.values() {
        text += &format!(", {}", one_line(why, 5 * LABEL));
    }
    if status.restarts > 0 {
        text += &format!(", controller started again {}", count(status.restarts.into(), "time"));
    }
    if status.rejected > 0 {
        text += &format!(", {} rejected", count(status.rejected, "message"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use chorus_protocol::{
        EngineId, EngineInfo, LogEntry, LogEvent, ProcessUse, VariableUse, Variables as Held, WorkerUse,
    };
    use std::collections::BTreeMap;

    fn status() -> ClusterStatus {
        let engine = |id, running: Option<&str>, silent_ms| EngineStatus {
            id: EngineId(id),
            info: EngineInfo { pid: 4000 + id, host: "node<1>".into(), cores: 8, ..EngineInfo::default() },
            busy: running.is_some(),
            runs_done: 12,
            runs_failed: 1,
            restarts: 0,
            silent_ms,
            running: running.map(Into::into),
            draining: false,
            away: false,
        };
        ClusterStatus {
            name: "lab".into(),
            pid: 77,
            uptime_ms: 3_700_000,
            engines: vec![
                engine(0, None, 10),
                engine(1, Some("let a = Vec::<u8>::new();\n\x1b[2Jfor i in 0..1000 { a.push(i) }"), 20),
                engine(10, None, 9_000),
            ],
            starting: 2,
            queue: Some("1 in Slurm's queue: Resources".into()),
            adapt: None,
            given_up: BTreeMap::new(),
            failing: BTreeMap::new(),
            sessions: 1,
            users: vec![],
            rejected: 3,
            restarts: 0,
        }
    }

    fn figures() -> Figures {
        let mut figures = Figures::default();
        let info = EngineInfo { pid: 4000, host: "node".into(), cores: 8, ..EngineInfo::default() };
        let engine = EngineId(0);
        let held = |bytes| VariableUse { name: "x".into(), bytes, length: None };
        let used = |cpu| ProcessUse { pid: 1, cpu: Some(cpu), memory: Some(3 << 20) };
        let worker = ProcessUse { pid: 4100, ..ProcessUse::default() };
        let snapshot = Some(ProcessUse { memory: Some(1 << 20), ..worker });
        let workers = vec![WorkerUse { session: 1, worker, snapshot }];
        let metrics = |cpu| {
            Box::new(Metrics {
                supervisor: used(cpu),
                workers: workers.clone(),
                bytes_in: 5 << 20,
                bytes_out: 300,
                ..Metrics::default()
            })
        };
        let events = [
            LogEvent::EngineUp { engine, info },
            LogEvent::EngineHolds { engine, session: 1, variables: Held::new(vec![held(Some(2 << 20)), held(None)]) },
            LogEvent::Measured { engine, metrics: metrics(200.0) },
            LogEvent::Measured { engine, metrics: metrics(50.0) },
        ];
        for (number, event) in (1..).zip(events) {
            figures.apply(&LogEntry { number, at: 1000 * number, event });
        }
        figures
    }

    fn text(status: &ClusterStatus, figures: &Figures) -> String {
        cluster(status, figures)["text/plain"].as_str().unwrap().to_owned()
    }

    #[test]
    fn the_cluster_is_a_table() {
        insta::assert_snapshot!(text(&status(), &figures()), @r"
        cluster lab: 3 engines, up 1 h 1 min, controller 77, 1 session, 2 more starting (1 in Slurm's queue: Resources), 3 messages rejected
        engine  host     pid   workers  cores  state                                               queue  CPU   last 20 s             memory   snapshots  variables  in       out    runs  failed  restarts
        0       node<1>  4000  4100     8      idle                                                0      50 %                    █▃  3.0 MiB  1.0 MiB    2.0 MiB+   5.0 MiB  300 B  12    1       0
        1       node<1>  4001  n/a      8      running: let a = Vec::<u8>::new(); [2Jfor i in 0.…  n/a    n/a                         n/a      n/a        n/a        n/a      n/a    12    1       0
        10      node<1>  4010  n/a      8      silent for 9 s, idle                                n/a    n/a                         n/a      n/a        n/a        n/a      n/a    12    1       0
        ");
    }

    #[test]
    fn labels_stand_behind_the_numbers() {
        let mut status = status();
        status.engines[1].info.label = Some("big".into());
        let shown = text(&status, &figures());
        assert!(shown.contains("\n1 big   node<1>") && shown.contains("\n10      node<1>"), "{shown}");
    }

    #[test]
    fn what_is_wrong_is_said_below() {
        let mut figures = figures();
        let died =
            LogEvent::WorkerLost { session: 1, engine: EngineId(0), how: "x".into(), stopped: false, restored: false };
        (4..8).for_each(|number| figures.apply(&LogEntry { number, at: 1000 * number, event: died.clone() }));
        let shown = text(&status(), &figures);
        assert!(
            shown.contains("0 !") && shown.contains("! engine 0: its workers died 4 times within a minute"),
            "{shown}"
        );
    }

    #[test]
    fn a_page_says_the_same_and_obeys_nobody() {
        let page = cluster(&status(), &figures())["text/html"].as_str().unwrap().to_owned();
        assert!(page.contains("node&lt;1&gt;") && page.contains("<svg") && page.contains("50 %"), "{page}");
    }

    #[test]
    fn what_a_killed_controller_leaves_is_said() {
        let mut status = ClusterStatus { starting: 0, rejected: 0, restarts: 2, ..status() };
        status.engines.iter_mut().for_each(|engine| engine.away = engine.id == EngineId(10));
        insta::assert_snapshot!(text(&status, &Figures::default()), @r"
        cluster lab: 3 engines, up 1 h 1 min, controller 77, 1 session, controller started again 2 times
        engine  host     pid   workers  cores  state                                               CPU  last 20 s             memory  variables  runs  failed  restarts
        0       node<1>  4000  n/a      8      idle                                                n/a                        n/a     n/a        12    1       0
        1       node<1>  4001  n/a      8      running: let a = Vec::<u8>::new(); [2Jfor i in 0.…  n/a                        n/a     n/a        12    1       0
        10      node<1>  4010  n/a      8      not back yet, idle                                  n/a                        n/a     n/a        12    1       0
        ");
    }

    #[test]
    fn a_cluster_without_engines_is_one_too() {
        let empty = ClusterStatus { engines: vec![], starting: 0, rejected: 0, ..status() };
        insta::assert_snapshot!(text(&empty, &Figures::default()), @r"
        cluster lab: 0 engines, up 1 h 1 min, controller 77, 1 session
        engine  host  pid  workers  cores  state  CPU  last 20 s  memory  variables  runs  failed  restarts
        ");
    }
}
