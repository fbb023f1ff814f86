//! The logs of a cluster as lines: what happened, and what its engines write.

use chorus_history::{Figures, Tails};
use chorus_protocol::{EngineId, LogEntry, LogEvent};
use chorus_system::clock;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior};

/// How often log files are looked at.
const LOOK: Duration = Duration::from_millis(200);

/// What is shown of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// What happened, and what all engines wrote.
    All,
    /// Only what these engines wrote.
    Of(BTreeSet<EngineId>),
    /// Only what happened, an entry of the log as JSON a line.
    Json,
}

/// See the module.
#[derive(Debug)]
pub struct Logs {
    shown: Shown,
    figures: Figures,
    tails: Tails,
}

impl Logs {
    /// Of the cluster in this folder.
    pub fn new(folder: &Path, shown: Shown) -> Logs {
        let only = match &shown {
            Shown::Of(engines) => Some(engines.clone()),
            Shown::All | Shown::Json => None,
        };
        Logs { shown, figures: Figures::default(), tails: Tails::new(folder, only) }
    }

    /// What is there already: the last of what happened, and of what each engine wrote, at most so many lines each.
    pub fn past(&mut self, entries: &[LogEntry], most: usize) -> io::Result<Vec<String>> {
        let mut lines = self.happened(entries)?;
        if self.shown != Shown::Json {
            lines.drain(..lines.len().saturating_sub(most));
            lines.extend(self.tails.last(most)?.into_iter().map(written));
        }
        Ok(lines)
    }

    /// The number of the entry that comes next.
    pub fn next(&self) -> u64 {
        self.figures.number + 1
    }

    /// Goes on with what comes.
    pub fn follow(self, entries: mpsc::Receiver<Vec<LogEntry>>) -> Following {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Following { logs: self, entries, look }
    }

    fn happened(&mut self, entries: &[LogEntry]) -> io::Result<Vec<String>> {
        self.figures.messages.clear();
        for entry in entries {
            if let Some(skipped) = self.skipped(entry) {
                let what =
                    format!("{skipped} entries of the log are skipped: the controller doesn't keep them any more");
                self.figures.messages.push_back((entry.at, what));
            }
            self.figures.apply(entry);
        }
        let told = |(at, message): &(u64, String)| format!("{} {message}", clock::of_day(*at));
        match self.shown {
            Shown::All => Ok(self.figures.messages.iter().map(told).collect()),
            Shown::Of(_) => Ok(Vec::new()),
            Shown::Json => entries.iter().map(|entry| Ok(serde_json::to_string(entry)?)).collect(),
        }
    }
}

impl Logs {
    /// How many entries were forgotten before they were read, if this stands for them. As JSON, the numbers say it.
    fn skipped(&self, entry: &LogEntry) -> Option<u64> {
        let LogEvent::State(state) = &entry.event else { return None };
        let is_same = self.figures.number > 0 && self.figures.state.since == state.since;
        entry.number.checked_sub(self.figures.number).filter(|skipped| is_same && *skipped > 0)
    }
}

/// Logs that go on.
#[derive(Debug)]
pub struct Following {
    logs: Logs,
    entries: mpsc::Receiver<Vec<LogEntry>>,
    look: Interval,
}

impl Following {
    /// The next lines; `None` when the cluster is gone. Nothing is lost when this is dropped while it waits.
    pub async fn next(&mut self) -> Option<io::Result<Vec<String>>> {
        loop {
            let lines = tokio::select! {
                new = self.entries.recv() => match self.logs.happened(&new?) {
                    Ok(lines) => lines,
                    failed => return Some(failed),
                },
                // The folder goes with the cluster.
                _ = self.look.tick(), if self.logs.shown != Shown::Json => {
                    self.logs.tails.more().unwrap_or_default().into_iter().map(written).collect()
                }
            };
            if !lines.is_empty() {
                return Some(Ok(lines));
            }
        }
    }
}

fn written((engine, line): (EngineId, String)) -> String {
    format!("engine {engine} | {line}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u64) -> LogEntry {
        LogEntry { number, at: 0, event: LogEvent::SessionClosed { session: number as u32 } }
    }

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("engine-2.log"), "one\ntwo\n").unwrap();
        folder
    }

    #[test]
    fn the_end_of_the_past_is_shown() {
        let folder = folder();
        let mut logs = Logs::new(folder.path(), Shown::All);
        let lines = logs.past(&[entry(1), entry(2)], 1).unwrap();
        assert_eq!(lines, ["00:00:00 session 2 closed", "engine 2 | two"]);
        assert_eq!(logs.next(), 3);
        let others = Logs::new(folder.path(), Shown::Of([EngineId(1)].into())).past(&[entry(1)], 9).unwrap();
        assert_eq!(others, [""; 0]);
        let json = Logs::new(folder.path(), Shown::Json).past(&[entry(1), entry(2)], 1).unwrap();
        assert_eq!(json.len(), 2, "all of them: {json:?}");
        assert!(json[0].starts_with(r#"{"number":1,"#), "{json:?}");
    }

    #[test]
    fn who_falls_behind_hears_how_much_is_skipped() {
        let folder = folder();
        let mut logs = Logs::new(folder.path(), Shown::All);
        let state = |number| LogEntry { number, at: 0, event: LogEvent::State(Box::default()) };
        assert_eq!(
            logs.happened(&[state(3), entry(4)]).unwrap(),
            ["00:00:00 session 4 closed"],
            "the past begins there"
        );
        let lines = logs.happened(&[state(10), entry(11)]).unwrap();
        let skipped = "00:00:00 6 entries of the log are skipped: the controller doesn't keep them any more";
        assert_eq!(lines, [skipped, "00:00:00 session 11 closed"]);
        assert_eq!(logs.happened(&[state(11), entry(12)]).unwrap(), ["00:00:00 session 12 closed"], "it had all");
    }

    #[tokio::test]
    async fn what_comes_is_shown_until_the_cluster_is_gone() {
        let folder = folder();
        let mut logs = Logs::new(folder.path(), Shown::All);
        logs.past(&[entry(1)], 9).unwrap();
        let (sender, entries) = mpsc::channel(1);
        sender.send(vec![entry(2)]).await.unwrap();
        drop(sender);
        let mut following = logs.follow(entries);
        let lines = following.next().await.unwrap().unwrap();
        assert_eq!(lines, ["00:00:00 session 2 closed"]);
        assert!(following.next().await.is_none());
    }
}
