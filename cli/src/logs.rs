//! `chorus logs`: what happened in a cluster, and what its engines wrote.

use crate::cluster::{Named, connect, find};
use chorus_cells::Shown;
use chorus_protocol::{EngineId, parse_ids};
use clap::Args;
use std::collections::BTreeSet;
use std::error::Error;
use std::io::{self, Write};

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
    let shown = match &logs.targets {
        _ if logs.json => Shown::Json,
        Some(engines) => Shown::Of(engines.clone()),
        None => Shown::All,
    };
    crate::runtime()?.block_on(async {
        let (client, _) = connect(&entry, "`chorus logs`").await?;
        let mut lines = chorus_cells::Logs::new(&folder, shown);
        print(&lines.past(&client.log_now().await?, logs.lines)?)?;
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

fn print(lines: &[String]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in lines {
        writeln!(out, "{line}")?;
    }
    out.flush()
}
