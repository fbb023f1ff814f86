//! Launchers: each starts engines in its own kind of place, ends them, and tells how they ended.
//!
//! A launcher decides nothing. How many engines there are, when one is started again and when it is given up is for
//! `core` to say, which is the same wherever engines run.

mod bringing;
mod distant;
mod local;
mod slurm;
mod ssh;

pub use distant::Host;
pub use slurm::Slurm;
pub use ssh::{Ssh, parse_hosts};

use crate::core::Exit;
use crate::folder::Folder;
use chorus_protocol::EngineId;
use chorus_remote::{Arrival, Gateway};
use distant::{Distant, Hosts};
use local::Local;
use std::ffi::OsString;
use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::mpsc;

/// What is started as an engine: `program args.. --connect FILE --id N`, and what else the launcher adds.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// Arguments that come before those of the controller.
    pub args: Vec<OsString>,
    /// What to call its engines.
    pub label: Option<String>,
    /// What is other in its environment than here.
    pub env: Vec<(OsString, OsString)>,
}

impl Launch {
    /// The same for engines with this label.
    pub fn labelled(mut self, label: Option<&str>) -> Launch {
        self.label = label.map(str::to_owned);
        self
    }

    /// All arguments of an engine that is to join by this connection file.
    fn arguments(&self, connection_file: &Path, engine: EngineId) -> Vec<OsString> {
        let ours = ["--connect".into(), connection_file.into(), "--id".into(), engine.to_string().into()];
        let label = self.label.iter().flat_map(|label| ["--label".into(), label.into()]);
        self.args.iter().cloned().chain(label).chain(ours).collect()
    }
}

/// Starts engines and ends them. No call waits for an engine, except [`Launcher::end_all`]; each engine that was started
/// is told of once when it has ended, also if it never began, by the function that the launcher was made with.
/// Dropping a launcher ends its engines.
pub(crate) trait Launcher: Debug + Send + Sync {
    /// Starts these engines: together, where that makes a difference.
    fn start(&self, engines: &[EngineId]);

    /// Whether an engine that was started waits for its turn, as in a batch system's queue. Then it can't have joined
    /// yet, however long that takes.
    fn is_waiting(&self, engine: EngineId) -> bool;

    /// How many engines wait in such a queue, and for what, in words.
    fn queue(&self) -> Option<String> {
        None
    }

    /// Takes an engine for one that it has started, which another process did: it has this process id and has just
    /// spoken. Its end is told of like that of others.
    fn adopt(&self, engine: EngineId, pid: u32);

    /// Ends an engine by force, or takes it out of the queue.
    fn end(&self, engine: EngineId);

    /// Sends a signal to an engine's process, if it has one that runs.
    fn signal(&self, engine: EngineId, signal: i32);

    /// Ends all engines, and returns when they are gone.
    fn end_all(&self);
}

/// The launcher for engines of this host. `ended` may be called from another thread; `ends_with_us` says whether engines
/// end with this process, however it ends.
pub(crate) fn on_this_host(
    launch: Launch,
    folder: Arc<Folder>,
    ends_with_us: bool,
    ended: impl Fn(EngineId, Exit) + Send + 'static,
) -> io::Result<Arc<dyn Launcher>> {
    Ok(Arc::new(Local::start(launch, folder, ends_with_us, ended)?))
}

/// The launcher for engines of other hosts, on which ssh starts programs. To be called within a runtime.
pub(crate) fn by_ssh(
    ssh: Ssh,
    launch: Launch,
    gateway: Arc<Gateway>,
    arrivals: mpsc::UnboundedReceiver<Arrival>,
    ended: impl Fn(EngineId, Exit) + Send + 'static,
) -> Arc<dyn Launcher> {
    let (hosts, provider) = ssh.into_provider(launch);
    Arc::new(Distant::start(Hosts::Named(hosts), Arc::new(provider), gateway, arrivals, ended))
}

/// The launcher for engines on nodes that Slurm gives, as jobs of this cluster; `ends_with_us` as above.
pub(crate) fn by_slurm(
    slurm: Slurm,
    launch: Launch,
    (cluster, ends_with_us): (&str, bool),
    gateway: Arc<Gateway>,
    arrivals: mpsc::UnboundedReceiver<Arrival>,
    ended: impl Fn(EngineId, Exit) + Send + 'static,
) -> io::Result<Arc<dyn Launcher>> {
    let provider = slurm.into_provider(launch, cluster, ends_with_us)?;
    Ok(Arc::new(Distant::start(Hosts::Found(slurm::A_NODE), Arc::new(provider), gateway, arrivals, ended)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_is_told_how_to_join_behind_the_programs_own_arguments() {
        let launch = Launch { program: "engine".into(), args: vec!["run-engine".into()], label: None, env: vec![] };
        let arguments = launch.arguments(Path::new("/a b/connection.json"), EngineId(7));
        assert_eq!(arguments, ["run-engine", "--connect", "/a b/connection.json", "--id", "7"]);
        let arguments = launch.labelled(Some("big")).arguments(Path::new("c.json"), EngineId(7));
        assert_eq!(arguments, ["run-engine", "--label", "big", "--connect", "c.json", "--id", "7"]);
    }
}
