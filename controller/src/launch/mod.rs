//! Launchers: each starts engines in its own kind of place, ends them, and tells how they ended.
//!
//! A launcher decides nothing. How many engines there are, when one is started again and when it is given up is for
//! `core` to say, which is the same wherever engines run.

mod attached;
mod batch;
mod bringing;
mod distant;
mod guide;
mod kubernetes;
mod local;
mod mpi;
mod needs;
mod plan;
mod pools;
mod shared;
mod slurm;
mod ssh;

pub use batch::{Batch, Script, System};
pub use distant::Host;
pub use guide::{Guide, Kind as GuideKind, bytes};
pub use kubernetes::{Kubernetes, Manifest};
pub use mpi::Mpi;
pub use plan::Plan;
pub(crate) use pools::Pools;
pub use pools::{Pool, Ports, Where};
pub use slurm::Slurm;
pub use ssh::{Ssh, parse_hosts};

use crate::core::Exit;
use crate::folder::Folder;
use chorus_protocol::EngineId;
use chorus_remote::outpost::{FAILED, OUTPOST};
use chorus_remote::{Arrival, Gateway};
use distant::{Distant, Hosts, Provider};
use local::Local;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fmt::Debug;
use std::io;
use std::net::Ipv4Addr;
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
    /// What is other in its environment than here.
    pub env: Vec<(OsString, OsString)>,
    /// What to call its engines: their pool's.
    label: Option<String>,
    /// On other hosts: lines of shell that come before it, and may change the environment. Nothing is started when one fails.
    setup: Vec<String>,
}

impl Launch {
    /// A program with its arguments.
    pub fn new(program: impl Into<PathBuf>, args: Vec<OsString>) -> Launch {
        Launch { program: program.into(), args, env: Vec::new(), label: None, setup: Vec::new() }
    }

    /// The same for engines of a pool.
    fn within(self, pool: &Pool) -> Launch {
        Launch { label: pool.label.clone(), setup: pool.setup.clone(), ..self }
    }

    /// The same, with lines of shell before it on other hosts.
    fn after(self, setup: Vec<String>) -> Launch {
        Launch { setup, ..self }
    }

    /// An invitation, as text, for the outpost in this place whose program has this hash. With `tunnel`, the gateway is
    /// reached at that port of the outpost's own host.
    fn invitation(&self, gateway: &Gateway, place: u32, hash: &str, tunnel: Option<u16>) -> Result<String, String> {
        let invited = gateway.invite(place, self.label.clone(), Some(hash.to_owned()));
        let mut invitation = invited.map_err(|error| error.to_string())?;
        if let Some(port) = tunnel {
            invitation.addresses = vec![(Ipv4Addr::LOCALHOST, port).into()];
        }
        serde_json::to_string(&invitation).map_err(|error| error.to_string())
    }

    /// A shell's words for an outpost of this program, which lies there; `program` is a shell's word already.
    fn outpost_command(&self, program: &str) -> String {
        let args = self.args.iter().map(|arg| format!("{} ", quoted(arg)));
        format!("{program} {}{OUTPOST}", args.collect::<String>())
    }

    /// A shell's command that runs the setup lines in the shell itself; it ends with a blank if there are any. They read
    /// nothing of what the shell reads, and what they say doesn't go where the shell's answers go.
    fn setup_command(&self) -> String {
        if self.setup.is_empty() {
            return String::new();
        }
        // Each line may be any command, so each is a group of its own.
        let lines: String = self.setup.iter().map(|line| format!("{{ {line}\n}} && ")).collect();
        format!("{{ {lines}:\n}} < /dev/null >&2 || {{ echo {FAILED} the setup lines failed; exit 1; }}; ")
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
fn on_this_host(
    launch: Launch,
    folder: Arc<Folder>,
    ends_with_us: bool,
    ended: impl Fn(EngineId, Exit) + Send + 'static,
) -> io::Result<Arc<dyn Launcher>> {
    Ok(Arc::new(Local::start(launch, folder, ends_with_us, ended)?))
}

/// What starts engines on other hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    /// ssh, on hosts that are named.
    Ssh(Ssh),
    /// Slurm, as jobs that stay connected.
    Slurm(Slurm),
    /// Kubernetes, as jobs.
    Kubernetes(Kubernetes),
    /// A batch system, as jobs that find what they need in a folder.
    Batch(Batch),
    /// MPI, as processes of one program.
    Mpi(Mpi),
    /// Dask or Ray, as tasks.
    Guide(Guide),
}

impl Way {
    /// Its name in sentences.
    pub fn title(&self) -> &'static str {
        match self {
            Way::Ssh(_) => "ssh",
            Way::Slurm(_) => "Slurm",
            Way::Kubernetes(_) => "Kubernetes",
            Way::Batch(batch) => batch.system.title(),
            Way::Mpi(_) => "MPI",
            Way::Guide(guide) => guide.kind.title(),
        }
    }
}

/// What an engine gets of a batch system, as that writes it. What is left out is for the system to say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// The partition, or queue.
    pub partition: Option<String>,
    /// How long an engine may run: `2:00:00`.
    pub time: Option<String>,
    /// How many cores.
    pub cores: Option<u32>,
    /// How much memory: `4G`.
    pub memory: Option<String>,
}

/// The launcher for engines of other hosts. To be called within a runtime. `stay` is for how many seconds another process may
/// take this one's place when it is killed; with the gateway comes the number of the pool that `arrivals` are of.
fn on_other_hosts(
    way: Way,
    launch: Launch,
    (cluster, stay): (&str, u32),
    gateway: (Arc<Gateway>, u32),
    arrivals: mpsc::UnboundedReceiver<Arrival>,
    ended: impl Fn(EngineId, Exit) + Send + 'static,
) -> io::Result<Arc<dyn Launcher>> {
    let ends_with_us = stay == 0;
    let (hosts, provider): (Hosts, Arc<dyn Provider>) = match way {
        Way::Ssh(ssh) => {
            let (hosts, provider) = ssh.into_provider(launch);
            (Hosts::Named(hosts), Arc::new(provider))
        }
        Way::Slurm(slurm) => {
            (Hosts::Found(slurm::A_NODE), Arc::new(slurm.into_provider(launch, cluster, ends_with_us)?))
        }
        Way::Kubernetes(kubernetes) => {
            (Hosts::Found(kubernetes::A_POD), Arc::new(kubernetes.into_provider(launch, cluster, ends_with_us)?))
        }
        Way::Batch(batch) => {
            let node = batch.system.a_node();
            (Hosts::Found(node), Arc::new(batch.into_provider(launch, cluster, stay)))
        }
        Way::Mpi(mpi) => (Hosts::Found(mpi::A_RANK), Arc::new(mpi.into_provider(launch, cluster, ends_with_us)?)),
        Way::Guide(guide) => (Hosts::Found(guide.kind.a_node()), Arc::new(guide.into_provider(launch, cluster))),
    };
    Ok(Arc::new(Distant::start(hosts, provider, gateway, arrivals, ended)))
}

/// A shell's word.
fn quoted(text: &OsStr) -> String {
    // What can't be a word has a zero byte in it, and then it is no argument either.
    shlex::try_quote(&text.to_string_lossy()).map(|word| word.into_owned()).unwrap_or_default()
}

/// A command as one writes it in a shell, with no more quotes than it needs.
fn shell_words(words: &[String]) -> String {
    let is_plain =
        |word: &str| !word.is_empty() && word.chars().all(|it| it.is_alphanumeric() || "-_=:,./@%+".contains(it));
    let words = words.iter().map(|word| if is_plain(word) { word.clone() } else { quoted(word.as_ref()) });
    words.collect::<Vec<_>>().join(" ")
}

/// The last lines of what a program has said, in one.
fn last_lines(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let lines: Vec<&str> = text.lines().map(|line| line.trim_start_matches(FAILED).trim()).collect();
    let lines: Vec<&str> = lines.into_iter().filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(3)..].join("; ")
}

/// A queue in words: whose it is, and the reason of each that waits in it, where there is one.
fn in_queue<'a>(whose: &str, waiting: impl Iterator<Item = Option<&'a str>>) -> Option<String> {
    let (mut count, mut reasons) = (0, BTreeSet::new());
    for reason in waiting {
        count += 1;
        reasons.extend(reason);
    }
    let reasons: Vec<&str> = reasons.into_iter().collect();
    match (count, reasons.join(", ")) {
        (0, _) => None,
        (_, reasons) if reasons.is_empty() => Some(format!("{count} in {whose}")),
        (_, reasons) => Some(format!("{count} in {whose}: {reasons}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch() -> Launch {
        let args = vec!["run-engine".into()];
        Launch::new("engine", args)
    }

    #[test]
    fn setup_lines_change_the_shell_and_stop_it_when_one_fails() {
        assert_eq!(launch().setup_command(), "");
        let run = |lines: &[&str]| {
            let setup = launch().after(lines.iter().map(|line| (*line).to_owned()).collect()).setup_command();
            let script = format!("{setup}echo \"$A\"");
            let done = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            (done.status.success(), String::from_utf8(done.stdout).unwrap())
        };
        assert_eq!(run(&["A=1; cat # all of it", "if true; then A=$A$A; fi"]), (true, "11\n".to_owned()));
        assert_eq!(run(&["A=1", "false", "A=2"]), (false, format!("{FAILED} the setup lines failed\n")));
    }

    #[test]
    fn the_engine_is_told_how_to_join_behind_the_programs_own_arguments() {
        let launch = launch();
        let arguments = launch.arguments(Path::new("/a b/connection.json"), EngineId(7));
        assert_eq!(arguments, ["run-engine", "--connect", "/a b/connection.json", "--id", "7"]);
        let pool = Pool { label: Some("big".into()), ..Pool::default() };
        let arguments = launch.within(&pool).arguments(Path::new("c.json"), EngineId(7));
        assert_eq!(arguments, ["run-engine", "--label", "big", "--connect", "c.json", "--id", "7"]);
    }

    #[test]
    fn a_queue_is_told_with_its_reasons() {
        assert_eq!(in_queue("Slurm's queue", [].into_iter()), None);
        assert_eq!(in_queue("Slurm's queue", [None].into_iter()).as_deref(), Some("1 in Slurm's queue"));
        let waiting = [Some("Resources"), Some("Priority"), None, Some("Priority")];
        let told = in_queue("Slurm's queue", waiting.into_iter());
        assert_eq!(told.as_deref(), Some("4 in Slurm's queue: Priority, Resources"));
    }
}
