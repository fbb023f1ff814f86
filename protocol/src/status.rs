//! What engines and clients tell of themselves, and how a cluster is.

use crate::id::EngineId;
use crate::log::SessionNumber;
use crate::steer::Adapt;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// What an engine tells of itself when it joins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineInfo {
    /// Its process (the supervisor).
    pub pid: u32,
    /// Its host's name.
    pub host: String,
    /// Cores of that host.
    pub cores: u32,
    /// Where the process listens that has its GPU, on the engine's host, if it has one that maps can use.
    pub gpu: Option<PathBuf>,
    /// What its user calls engines of its kind.
    #[serde(default)]
    pub label: Option<String>,
    /// In how many seconds from its joining whoever gave it its place will end it, if that is known.
    #[serde(default)]
    pub ends_in: Option<u32>,
    /// For how many seconds it goes on without its controller if it is on another host, where a connection may break
    /// though both ends live.
    pub lease: Option<u32>,
}

/// An engine as the controller sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineStatus {
    /// Its id.
    pub id: EngineId,
    /// What it told of itself.
    pub info: EngineInfo,
    /// Whether a run is under way or waiting on it, in any session.
    pub busy: bool,
    /// Runs that ended on it since it first joined.
    pub runs_done: u64,
    /// How many of these ended with anything but [`crate::RunEnd::Ok`]: a call that panicked, too.
    pub runs_failed: u64,
    /// How often a worker or the engine's process died and was replaced.
    pub restarts: u64,
    /// Milliseconds since its last sign of life.
    pub silent_ms: u64,
    /// The label of the run under way.
    pub running: Option<String>,
    /// Whether it gets nothing more, and leaves when it has done what it has.
    pub draining: bool,
    /// Whether its controller was started again, and it hasn't come back yet.
    pub away: bool,
}

/// What a client tells of itself when it connects, so that users recognise whose a session is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ClientInfo {
    /// What it is in its user's words, such as a notebook's name.
    pub name: String,
    /// Its process.
    pub pid: u32,
    /// Its host's name.
    pub host: String,
}

impl fmt::Display for ClientInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {} on {})", self.name, self.pid, self.host)
    }
}

/// An open session as the controller sees it. Not its id, which lets whoever knows it take the session over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionStatus {
    /// Whose it is.
    pub client: ClientInfo,
    /// Whether it is the client's that asks.
    pub own: bool,
    /// Its number in the log.
    pub number: SessionNumber,
    /// What it runs on some engine, or has waiting there: that run's label.
    pub running: Option<String>,
}

impl fmt::Display for SessionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.client.fmt(f)?;
        match &self.running {
            Some(label) => {
                let line = label.lines().next().unwrap_or_default().replace(char::is_control, " ");
                write!(f, ", which runs `{line}`")
            }
            None => Ok(()),
        }
    }
}

/// The cluster as the controller sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// The cluster's name.
    pub name: String,
    /// The controller's process.
    pub pid: u32,
    /// Milliseconds since the controller started.
    pub uptime_ms: u64,
    /// The engines, by id.
    pub engines: Vec<EngineStatus>,
    /// Engines that are being started and haven't joined yet.
    pub starting: u32,
    /// How many of these wait for their turn, as in a batch system's queue, and for what, in words.
    pub queue: Option<String>,
    /// Between which limits the number of engines follows the work, if it does.
    pub adapt: Option<Adapt>,
    /// Engines that aren't started any more, and why: each try has failed.
    pub given_up: BTreeMap<EngineId, String>,
    /// Engines that are started once more, and why the try before has failed.
    pub failing: BTreeMap<EngineId, String>,
    /// How many sessions are open.
    pub sessions: u32,
    /// Whose they are.
    pub users: Vec<SessionStatus>,
    /// Messages that were dropped because they weren't signed or didn't decode, and connections that never spoke
    /// the protocol.
    pub rejected: u64,
    /// How often the controller was started again and took its engines back.
    pub restarts: u32,
}
