//! The cluster as a table.

use super::output::{Bundle, html_bundle};
use super::progress::duration;
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
    html_bundle(text(status, &rows), html(status, &rows))
}

fn row(engine: &EngineStatus) -> [String; 8] {
    [
        engine.id.to_string(),
        clean(&engine.info.host),
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
    match (&engine.running, engine.busy) {
        (Some(label), _) => format!("{silent}running: {}", clean(label)),
        (None, true) => format!("{silent}busy"),
        (None, false) => format!("{silent}idle"),
    }
}

/// One line, without characters that a terminal obeys.
fn clean(text: &str) -> String {
    let spaced: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut clean = spaced.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((cut, _)) = clean.char_indices().nth(LABEL) {
        clean.truncate(cut);
        clean.push('…');
    }
    clean
}

/// The facts about the cluster as a whole, each a phrase.
fn summary(status: &ClusterStatus) -> String {
    let count = status.engines.len();
    let mut text = format!(
        "cluster {}: {count} engine{}, up {}, controller {}, {} session{}",
        clean(&status.name),
        if count == 1 { "" } else { "s" },
        duration(Duration::from_millis(status.uptime_ms)),
        status.pid,
        status.sessions,
        if status.sessions == 1 { "" } else { "s" },
    );
    if status.starting > 0 {
        text += &format!(", {} more starting", status.starting);
    }
    if status.rejected > 0 {
        let plural = if status.rejected == 1 { "" } else { "s" };
        text += &format!(", {} message{plural} rejected", status.rejected);
    }
    text
}

fn text(status: &ClusterStatus, rows: &[[String; 8]]) -> String {
    let mut text = summary(status) + "\n";
    let mut widths = HEADER.map(|name| name.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let header = HEADER.map(str::to_owned);
    for row in std::iter::once(&header).chain(rows) {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        text += line.trim_end();
        text.push('\n');
    }
    text
}

fn html(status: &ClusterStatus, rows: &[[String; 8]]) -> String {
    let row = |tag: &str, cells: &[String]| {
        let cells: String = cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", encode_text(cell))).collect();
        format!("<tr>{cells}</tr>")
    };
    format!(
        "<p>{}</p><table><thead>{}</thead><tbody>{}</tbody></table>",
        encode_text(&summary(status)),
        row("th", &HEADER.map(str::to_owned)),
        rows.iter().map(|cells| row("td", cells)).collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use chorus_protocol::{EngineId, EngineInfo};

    fn status() -> ClusterStatus {
        let engine = |id, running: Option<&str>, silent_ms| EngineStatus {
            id: EngineId(id),
            info: EngineInfo { pid: 4000 + id, host: "node<1>".into(), cores: 8 },
            busy: running.is_some(),
            runs_done: 12,
            runs_failed: 1,
            restarts: 0,
            silent_ms,
            running: running.map(Into::into),
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
        insta::assert_snapshot!(data["text/html"].as_str().unwrap(), @"<p>cluster lab: 3 engines, up 1 h 1 min, controller 77, 1 session, 2 more starting, 3 messages rejected</p><table><thead><tr><th>engine</th><th>host</th><th>pid</th><th>cores</th><th>state</th><th>runs</th><th>failed</th><th>restarts</th></tr></thead><tbody><tr><td>0</td><td>node&lt;1&gt;</td><td>4000</td><td>8</td><td>idle</td><td>12</td><td>1</td><td>0</td></tr><tr><td>1</td><td>node&lt;1&gt;</td><td>4001</td><td>8</td><td>running: let a = Vec::&lt;u8&gt;::new(); [2Jfor i in 0.…</td><td>12</td><td>1</td><td>0</td></tr><tr><td>10</td><td>node&lt;1&gt;</td><td>4010</td><td>8</td><td>silent for 9 s, idle</td><td>12</td><td>1</td><td>0</td></tr></tbody></table>");
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
