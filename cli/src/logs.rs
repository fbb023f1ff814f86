//! `chorus logs`: what happened in a cluster, and what its engines wrote.

use crate::cluster::{Named, connect, find};
use chorus_history::{Figures, Tails};
use chorus_protocol::{EngineId, LogEntry, parse_ids};
use chorus_system::clock;
use clap::Args;
use std::collections::BTreeSet;
use std::error::Error;
use std::io::{self, Write};
use std::time::Duration;

/// How often log files are looked at.
const LOOK: Duration = Duration::from_millis(200);

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
    /// So many lines of each engine, and of what happened
    #[arg(short = 'n', long, value_name = "N", default_value_t = 50)]
    lines: usize,
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
    crate::runtime()?.block_on(async {
        let (client, _) = connect(&entry, "`chorus logs`").await?;
        let past = client.log_now().await?;
        let mut figures = Figures::default();
        let mut out = Out { json: logs.json, tells: logs.targets.is_none() };
        figures_of(&mut figures, &past);
        match logs.json {
            true => out.entries(&past)?,
            false => out.messages(figures.messages.len().saturating_sub(logs.lines), &figures)?,
        }
        let mut tails = Tails::new(&folder, logs.targets.clone());
        if !logs.json {
            out.lines(tails.last(logs.lines)?)?;
        }
        if !logs.follow {
            return Ok(());
        }
        let mut entries = client.follow_log(figures.number + 1);
        let mut look = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                new = entries.recv() => {
                    let Some(new) = new else { return Ok(()) };
                    figures.messages.clear();
                    figures_of(&mut figures, &new);
                    match logs.json {
                        true => out.entries(&new)?,
                        false => out.messages(0, &figures)?,
                    }
                }
                // The folder goes with the cluster.
                _ = look.tick(), if !logs.json => out.lines(tails.more().unwrap_or_default())?,
                interrupted = tokio::signal::ctrl_c() => return Ok(interrupted?),
            }
        }
    })
}

fn figures_of(figures: &mut Figures, entries: &[LogEntry]) {
    entries.iter().for_each(|entry| figures.apply(entry));
}

struct Out {
    json: bool,
    /// Whether what happened is told.
    tells: bool,
}

impl Out {
    fn entries(&mut self, entries: &[LogEntry]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        for entry in entries {
            serde_json::to_writer(&mut out, entry)?;
            out.write_all(b"\n")?;
        }
        out.flush()
    }

    fn messages(&mut self, skipped: usize, figures: &Figures) -> io::Result<()> {
        if !self.tells || self.json {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        for (at, message) in figures.messages.iter().skip(skipped) {
            writeln!(out, "{} {message}", clock::of_day(*at))?;
        }
        out.flush()
    }

    fn lines(&mut self, lines: Vec<(EngineId, String)>) -> io::Result<()> {
        let mut out = io::stdout().lock();
        for (engine, line) in lines {
            writeln!(out, "engine {engine} | {line}")?;
        }
        out.flush()
    }
}
