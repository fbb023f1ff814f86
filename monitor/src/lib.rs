//! `chorus top`: a cluster in the terminal.
//!
//! [`app`] decides what is shown and done, without I/O and without a clock; [`views`] draw it; `run`, `source`,
//! `terminal` and `tail` talk to the world. All figures come from `chorus-history`. It never starts or stops a cluster:
//! what it does to one goes through orders, as anybody's.

pub mod app;
pub mod query;
pub mod snapshot;
pub mod table;
mod tables;
mod tail;
mod terminal;
pub mod text;
pub mod theme;
pub mod views;

mod run;
mod source;

pub use run::run;

use std::path::PathBuf;

/// A cluster that runs on this host.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// Where its connection file is; logs lie beside it.
    pub connection_file: PathBuf,
}

/// What to show, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The cluster's name.
    pub name: String,
    /// Whether the user is to choose another at first.
    pub choose: bool,
    /// Finds the clusters that there are.
    pub clusters: fn() -> Vec<Cluster>,
    /// Whether nothing may be done to it.
    pub readonly: bool,
    /// Where to record it.
    pub record: Option<PathBuf>,
    /// A recording to be shown instead.
    pub replay: Option<PathBuf>,
    /// Whether the engines of a host are one row.
    pub by_host: bool,
    /// The look.
    pub theme: theme::Theme,
}

/// Why it ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The terminal.
    #[error("the terminal can't be used: {0}; `--once` needs none")]
    Terminal(#[from] std::io::Error),
    /// The recording that is to be written.
    #[error("the recording {path} can't be written: {source}")]
    Record {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The recording that is to be shown.
    #[error(transparent)]
    Recording(#[from] chorus_history::recording::RecordingError),
    /// The cluster.
    #[error("{0}")]
    Cluster(String),
}
