//! `chorus logs`: what happened in a cluster, and what its engines wrote.

use crate::cluster::{Named, connect, find};
use crate::out::{Unprinted, say};
use chorus_cells::Shown;
use chorus_protocol::{EngineId, LogEntry, LogEvent, name_engines, parse_ids};
use clap::Args;
use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;

/// Lines of each engine, unless somebody says otherwise.
const LINES: usize = 50;

#[derive(Args, Debug)]
pub struct Logs {
    #[command(flatten)]
    cluster: Named,
    /// Go on until Ctrl-C, or until the cluster stops
    #[arg(short, long)]
    follow: bool,
    /// Only what these engines wrote, such as `0,2-4`
    #[arg(short, long, value_name = "T", value_parser = engines, conflicts_with = "json")]
    targets: Option<BTreeSet<EngineId>>,
    /// So many lines of each engine, and of what happened [default: 50; with --json all]
    #[arg(short = 'n', long, value_name = "N")]
    lines: Option<usize>,
    /// The entries of the cluster's log as they are, each as JSON on a line
    #[arg(long)]
    json: bool,
}

fn engines(text: &str) -> Result<BTreeSet<EngineId>, String> {
    let ids = parse_ids(text).filter(|ids| !ids.is_empty());
    ids.map(BTreeSet::from_iter).ok_or_else(|| "write engines as `2`, `0,2` or `0-3,7`".to_owned())
}

/// Shows them.
pub fn logs(logs: &Logs) -> Result<(), Box<dyn Error>> {
    let entry = find(logs.cluster.name())?;
    let folder = entry.connection_file.parent().map(ToOwned::to_owned).unwrap_or_default();
    let shown = match &logs.targets {
        _ if logs.json => Shown::Json,
        Some(engines) => Shown::Of(engines.clone()),
        None => Shown::All,
    };
    crate::runtime()?.block_on(async {
        let (client, status) = connect(&entry, "`chorus logs`").await?;
        let entries = client.log_now().await?;
        if let Some(wanted) = logs.targets.as_ref().filter(|_| !logs.follow) {
            // Others may come while it is followed.
            let there: Vec<EngineId> = status.engines.iter().map(|engine| engine.id).collect();
            check(wanted, &there, &entries, &folder)?;
        }
        let mut lines = chorus_cells::Logs::new(&folder, shown);
        let past = lines.past(&entries, logs.lines.unwrap_or(LINES))?;
        // Of entries, it gives all.
        let most = logs.lines.filter(|_| logs.json).unwrap_or(past.len());
        print(&past[past.len().saturating_sub(most)..])?;
        if !logs.follow {
            return Ok(());
        }
        let entries = client.follow_log(lines.next());
        let mut following = lines.follow(entries);
        loop {
            tokio::select! {
                new = following.next() => match new {
                    Some(lines) => print(&lines?)?,
                    None => return Ok(()),
                },
                interrupted = tokio::signal::ctrl_c() => return Ok(interrupted?),
            }
        }
    })
}

/// Whether all of these engines are or were there: the log tells of those that have left, or their log files do.
fn check(wanted: &BTreeSet<EngineId>, there: &[EngineId], log: &[LogEntry], folder: &Path) -> Result<(), String> {
    let mut known: BTreeSet<EngineId> = there.iter().copied().collect();
    for entry in log {
        match &entry.event {
            LogEvent::State(state) => known.extend(state.engines.keys()),
            LogEvent::EngineStarting { engine } | LogEvent::EngineUp { engine, .. } => _ = known.insert(*engine),
            _ => {}
        }
    }
    let has_file = |engine: EngineId| folder.join(format!("engine-{engine}.log")).exists();
    let unknown = wanted.iter().find(|engine| !known.contains(engine) && !has_file(**engine));
    let there = || if there.is_empty() { "none".to_owned() } else { name_engines(there) };
    unknown.map_or(Ok(()), |engine| Err(format!("there is no engine {engine} and was none; there are {}", there())))
}

fn print(lines: &[String]) -> Result<(), Unprinted> {
    if lines.is_empty() { Ok(()) } else { say!("{}", lines.join("\n")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chorus_protocol::EngineInfo;

    #[test]
    fn engines_that_have_left_are_known() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("engine-5.log"), "").unwrap();
        let event = LogEvent::EngineUp { engine: EngineId(3), info: EngineInfo::default() };
        let log = [LogEntry { number: 1, at: 0, event }];
        let check = |wanted: u32, there: &[EngineId]| check(&[EngineId(wanted)].into(), there, &log, folder.path());
        let there = [EngineId(0), EngineId(1)];
        for known in [1, 3, 5] {
            assert_eq!(check(known, &there), Ok(()));
        }
        assert_eq!(check(7, &there).unwrap_err(), "there is no engine 7 and was none; there are engines 0-1");
        assert_eq!(check(7, &[]).unwrap_err(), "there is no engine 7 and was none; there are none");
    }
}
