//! The cluster as a table.

use super::output::{Bundle, html_bundle};
use super::table::{html_table, one_line, text_table};
use super::time::duration;
use chorus_protocol::{ClusterStatus, EngineStatus};
use html_escape::encode_text;
use std::time::Duration;

/// An engine that was silent for longer is shown so; it gives a sign of life more often than that.
const SILENT_MS: u64 = 5_000;
/// The beginning of a label that is shown, in characters.
const LABEL: usize = 40;
const HEADER: [&str; 8] = ["engine", "host", "pid", "cores", "state", "runs", "failed", "restarts"];

/// What `%cluster status` shows.
pub fn cluster(status: &ClusterStatus) -> Bundle {
    let rows: Vec<[String; 8]> = status.engines.iter().map(row).collect();
    let summary = summary(status);
    let html = format!("<p>{}</p>{}", encode_text(&summary), html_table(HEADER, &rows));
    html_bundle(format!("{summary}\n{}\n", text_table(HEADER, &rows)), html)
}

fn row(engine: &EngineStatus) -> [String; 8] {
    [
        engine.id.to_string(),
        one_line(&engine.info.host, LABEL),
        engine.info.pid.to_string(),
        engine.info.cores.to_string(),
        state(engine),
        engine.runs_done.to_string(),
        engine.runs_failed.to_string(),
        engine.restarts.to_string(),
    ]
}

fn state(engine: &EngineStatus) -> String {
    let silent = match engine.silent_ms {
        ms if ms > SILENT_MS => format!("silent for {}, ", duration(Duration::from_millis(ms))),
        _ => String::new(),
    };
    let silent = if engine.away { "not back yet, ".to_owned() } else { silent };
    match (&engine.running, engine.busy) {
        (Some(label), _) => format!("{silent}running: {}", one_line(label, LABEL)),
        (None, true) => format!("{silent}busy"),
        (None, false) => format!("{silent}idle"),
    }
}

/// The facts about the cluster as a whole, each a phrase.
fn summary(status: &ClusterStatus) -> String {
    let count = status.engines.len();
    let mut text = format!(
        "cluster {}: {count} engine{}, up {}, controller {}, {} session{}",
        one_line(&status.name, LABEL),
        if count == 1 { "" } else { "s" },
        duration(Duration::from_millis(status.uptime_ms)),
        status.pid,
        status.sessions,
        if status.sessions == 1 { "" } else { "s" },
    );
    if status.starting > 0 {
        text += &format!(", {} more starting", status.starting);
    }
    if status.restarts > 0 {
        let plural = if status.restarts == 1 { "" } else { "s" };
        text += &format!(", controller started again {} time{plural}", status.restarts);
    }
    if status.rejected > 0 {
        let plural = if status.rejected == 1 { "" } else { "s" };
        text += &format!(", {} message{plural} rejected", status.rejected);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use chorus_protocol::{EngineId, EngineInfo};

    fn status() -> ClusterStatus {
        let engine = |id, running: Option<&str>, silent_ms| EngineStatus {
            id: EngineId(id),
            info: EngineInfo { pid: 4000 + id, host: "node<1>".into(), cores: 8, gpu: None },
            busy: running.is_some(),
            runs_done: 12,
            runs_failed: 1,
            restarts: 0,
            silent_ms,
            running: running.map(Into::into),
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
            sessions: 1,
            users: vec![],
            rejected: 3,
            restarts: 0,
        }
    }

    #[test]
    fn the_cluster_is_a_table() {
        let data = cluster(&status());
        insta::assert_snapshot!(data["text/plain"].as_str().unwrap(), @r"
        cluster lab: 3 engines, up 1 h 1 min, controller 77, 1 session, 2 more starting, 3 messages rejected
        engine  host     pid   cores  state                                               runs  failed  restarts
        0       node<1>  4000  8      idle                                                12    1       0
        1       node<1>  4001  8      running: let a = Vec::<u8>::new(); [2Jfor i in 0.…  12    1       0
        10      node<1>  4010  8      silent for 9 s, idle                                12    1       0
        ");
        insta::assert_snapshot!(data["text/html"].as_str().unwrap(), @r#"<p>cluster lab: 3 engines, up 1 h 1 min, controller 77, 1 session, 2 more starting, 3 messages rejected</p><table><thead><tr><th style="text-align: left">engine</th><th style="text-align: left">host</th><th style="text-align: left">pid</th><th style="text-align: left">cores</th><th style="text-align: left">state</th><th style="text-align: left">runs</th><th style="text-align: left">failed</th><th style="text-align: left">restarts</th></tr></thead><tbody><tr><td style="text-align: left">0</td><td style="text-align: left">node&lt;1&gt;</td><td style="text-align: left">4000</td><td style="text-align: left">8</td><td style="text-align: left">idle</td><td style="text-align: left">12</td><td style="text-align: left">1</td><td style="text-align: left">0</td></tr><tr><td style="text-align: left">1</td><td style="text-align: left">node&lt;1&gt;</td><td style="text-align: left">4001</td><td style="text-align: left">8</td><td style="text-align: left">running: let a = Vec::&lt;u8&gt;::new(); [2Jfor i in 0.…</td><td style="text-align: left">12</td><td style="text-align: left">1</td><td style="text-align: left">0</td></tr><tr><td style="text-align: left">10</td><td style="text-align: left">node&lt;1&gt;</td><td style="text-align: left">4010</td><td style="text-align: left">8</td><td style="text-align: left">silent for 9 s, idle</td><td style="text-align: left">12</td><td style="text-align: left">1</td><td style="text-align: left">0</td></tr></tbody></table>"#);
    }

    #[test]
    fn what_a_killed_controller_leaves_is_said() {
        let mut status = ClusterStatus { starting: 0, rejected: 0, restarts: 2, ..status() };
        status.engines.iter_mut().for_each(|engine| engine.away = engine.id == EngineId(10));
        insta::assert_snapshot!(cluster(&status)["text/plain"].as_str().unwrap(), @r"
        cluster lab: 3 engines, up 1 h 1 min, controller 77, 1 session, controller started again 2 times
        engine  host     pid   cores  state                                               runs  failed  restarts
        0       node<1>  4000  8      idle                                                12    1       0
        1       node<1>  4001  8      running: let a = Vec::<u8>::new(); [2Jfor i in 0.…  12    1       0
        10      node<1>  4010  8      not back yet, idle                                  12    1       0
        ");
    }

    #[test]
    fn a_cluster_without_engines_is_one_too() {
        let data = cluster(&ClusterStatus { engines: vec![], starting: 0, rejected: 0, ..status() });
        insta::assert_snapshot!(data["text/plain"].as_str().unwrap(), @r"
        cluster lab: 0 engines, up 1 h 1 min, controller 77, 1 session
        engine  host  pid  cores  state  runs  failed  restarts
        ");
    }
}
