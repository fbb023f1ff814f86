//! `chorus top`: a cluster in the terminal.

use crate::cluster::Named;
use crate::out;
use crate::places::runtime_folder;
use chorus_controller::list_clusters;
use chorus_monitor::snapshot::{self, Snapshot};
use chorus_monitor::theme::{Choice, Theme};
use chorus_monitor::{Cluster, Options};
use clap::{Args, ValueEnum};
use std::error::Error;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Args, Debug)]
pub struct Top {
    #[command(flatten)]
    cluster: Named,
    /// Leave the cluster alone: nothing can be interrupted, killed or scaled
    #[arg(long)]
    readonly: bool,
    /// Print how the cluster is once it was measured, and end
    #[arg(long, conflicts_with = "record")]
    once: bool,
    /// With --once, as JSON
    #[arg(long, requires = "once")]
    json: bool,
    /// Record what happens into this file as well, which --replay shows
    #[arg(long, value_name = "FILE", conflicts_with = "replay")]
    record: Option<PathBuf>,
    /// Show a recording instead of a cluster
    #[arg(long, value_name = "FILE", conflicts_with = "name")]
    replay: Option<PathBuf>,
    /// Fold the engines by this
    #[arg(long, value_name = "WHAT", conflicts_with = "once")]
    group: Option<Group>,
    /// Colours; `auto` heeds NO_COLOR, COLORTERM and COLORFGBG
    #[arg(long, value_name = "THEME", default_value = "auto")]
    theme: Look,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Group {
    Host,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Look {
    Auto,
    Dark,
    Light,
    #[value(name = "16")]
    Sixteen,
    Mono,
}

/// Shows it until the user has enough.
pub fn run(top: Top) -> Result<ExitCode, Box<dyn Error>> {
    let (name, choose) = match &top.replay {
        Some(_) => (String::new(), false),
        None => name(top.cluster.name(), top.once)?,
    };
    if top.once {
        return once(&name, &top);
    }
    if !(std::io::stdout().is_terminal() && std::io::stdin().is_terminal()) {
        return Err("`chorus top` needs a terminal; `chorus top --once` prints one page without".into());
    }
    let choice = match top.theme {
        Look::Auto => Choice::Auto,
        Look::Dark => Choice::Dark,
        Look::Light => Choice::Light,
        Look::Sixteen => Choice::Sixteen,
        Look::Mono => Choice::Mono,
    };
    let theme = Theme::new(choice, |name| std::env::var(name).ok());
    let by_host = matches!(top.group, Some(Group::Host));
    let Top { readonly, record, replay, .. } = top;
    crate::runtime()?.block_on(chorus_monitor::run(Options {
        name,
        choose,
        clusters,
        readonly,
        record,
        replay,
        by_host,
        theme,
    }))?;
    Ok(ExitCode::SUCCESS)
}

fn once(name: &str, top: &Top) -> Result<ExitCode, Box<dyn Error>> {
    let figures = match &top.replay {
        Some(file) => snapshot::recorded(file)?,
        None => crate::runtime()?.block_on(snapshot::live(name, clusters))?,
    };
    let snapshot = Snapshot::new(&figures);
    let text = if top.json { serde_json::to_string_pretty(&snapshot)? + "\n" } else { snapshot.page() };
    out::print(format_args!("{text}"))?;
    Ok(ExitCode::SUCCESS)
}

/// The cluster to show, and whether the user is to choose from several.
fn name(name: Option<&str>, once: bool) -> Result<(String, bool), Box<dyn Error>> {
    match &clusters()[..] {
        [first, _, ..] if name.is_none() && !once => Ok((first.name.clone(), true)),
        _ => Ok((crate::cluster::find(name)?.name, false)),
    }
}

fn clusters() -> Vec<Cluster> {
    let running = list_clusters(&runtime_folder()).into_iter().filter(|entry| entry.alive);
    running.map(|entry| Cluster { name: entry.name, connection_file: entry.connection_file }).collect()
}
