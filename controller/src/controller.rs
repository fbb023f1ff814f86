//! Starting and stopping a controller.

use crate::back::{self, Left};
use crate::core::{Core, CoreConfig};
use crate::folder::Folder;
use crate::journal::{JOURNAL, Journal};
use crate::launch::{Launch, Pool, Pools};
use crate::own::FolderError;
use crate::server::{Event, Server};
use chorus_history::recording::{LIMIT, Recorder};
use chorus_protocol::{Adapt, Connection, ConnectionError, Key};
use chorus_transport::{Hub, Transport as _, ZeroMq};
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

/// How engines and clients reach the controller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// Sockets in the cluster's folder, which only its user can open.
    #[default]
    Ipc,
    /// Ports of 127.0.0.1, which any user of the host can connect to; messages without the key are dropped.
    Tcp,
}

/// What a controller is to be.
#[derive(Clone, Debug)]
pub struct ControllerConfig {
    /// The cluster's name: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// The folder in which clusters have theirs, see [`chorus_protocol::runtime_folder`].
    pub runtime: PathBuf,
    /// How engines and clients connect.
    pub transport: Transport,
    /// How many engines to start and to keep running; needs `launcher`.
    pub engines: u32,
    /// How to start an engine, or `None` when all engines join by hand.
    pub launcher: Option<Launch>,
    /// Where these engines are started.
    pub pool: Pool,
    /// Between which limits the number of engines follows the work, if it does.
    pub adapt: Option<Adapt>,
    /// How often engines and controller show each other that they live; 5 missing ones are a death.
    pub heartbeat: Duration,
    /// Where to record the log, if anywhere: see [`chorus_history::recording`].
    pub record: Option<PathBuf>,
    /// When this controller is killed: how long its engines and clients wait for one that is started in its place. They
    /// end with it if it is 0. Whole seconds count.
    pub stay: Duration,
}

/// Why a controller can't be started.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// The name can't be that of a folder.
    #[error("`{0}` can't be a cluster's name: take letters, digits, `-`, `_` and `.`, at most 64, and no `.` first")]
    Name(String),
    /// A living cluster has the name.
    #[error("a cluster named `{0}` is running: stop it, or take another name")]
    InUse(String),
    /// The folder can't be had.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The path of a socket is longer than the system allows.
    #[error(
        "the socket's path {path} has {length} bytes and may have 107: point CHORUS_RUNTIME_DIR to a folder with a \
         shorter path"
    )]
    SocketPath {
        /// The path.
        path: PathBuf,
        /// Its length.
        length: usize,
    },
    /// A socket can't be opened.
    #[error("the controller can't listen at {endpoint}: {source}")]
    Bind {
        /// Where.
        endpoint: String,
        /// What the socket said.
        source: io::Error,
    },
    /// A socket can't be opened where engines and clients look for it.
    #[error(
        "the controller can't listen at {endpoint} again: {source}. Engines of the cluster wait for it there, for {stay} s \
         after the end of the one before; try again when nobody else uses it"
    )]
    BindAgain {
        /// Where.
        endpoint: String,
        /// What the socket said.
        source: io::Error,
        /// How long engines wait.
        stay: u32,
    },
    /// The journal can't be written.
    #[error("{path} can't be written: {source}")]
    Journal {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The connection file can't be written.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// Engines are wanted and can't be started.
    #[error("the engine's program {0} isn't there: install it, or name another one")]
    NoProgram(PathBuf),
    /// Engines are wanted and nobody said how.
    #[error("{0} engines are to be started, and no program for them is given")]
    NoLauncher(u32),
    /// The log can't be recorded.
    #[error("the cluster's log can't be recorded in {path}: {source}")]
    Record {
        /// Where it was to be.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What starts engines can't be started itself.
    #[error("there is nothing to start engines with: {0}")]
    Pool(io::Error),
}

/// A running cluster. Dropping it kills the engines that it started and removes its folder.
#[derive(Debug)]
pub struct Controller {
    connection: Connection,
    folder: Arc<Folder>,
    pools: Option<Arc<Pools>>,
    events: mpsc::UnboundedSender<Event>,
    stopped: watch::Receiver<bool>,
    server: AbortHandle,
    awaited: Option<u32>,
}

impl Controller {
    /// Starts a controller in a task of the current tokio runtime, and begins to start its engines. When it returns,
    /// clients can connect; engines are there when they have joined.
    ///
    /// If engines of a controller of this name wait for another one, because theirs was killed, it takes that one's
    /// place: with its engines and endpoints, whatever else is wished for.
    pub async fn start(config: ControllerConfig) -> Result<Controller, ControllerError> {
        check_program(&config)?;
        let (folder, left) = open_folder(&config)?;
        let (before, left) = left.map(|left| (left.connection, (left.core, left.files))).unzip();
        let ((engines, engines_at), (clients, clients_at)) = match &before {
            None => {
                (bind(config.transport, &folder, "engines").await?, bind(config.transport, &folder, "clients").await?)
            }
            Some(before) => match bind_again(before, &folder).await {
                Ok(sockets) => sockets,
                Err(error) => {
                    folder.leave();
                    return Err(error);
                }
            },
        };
        // Only now: a start that comes to nothing leaves no recording.
        let recorder = match open_recording(&config) {
            Ok(recorder) => recorder,
            Err(error) => {
                if before.is_some() {
                    folder.leave();
                }
                return Err(error);
            }
        };
        let connection = Connection {
            version: chorus_protocol::VERSION,
            name: config.name.clone(),
            pid: std::process::id(),
            engines: engines_at,
            clients: clients_at,
            blobs: folder.blobs(),
            stay: u32::try_from(config.stay.as_secs()).unwrap_or(u32::MAX),
            key: before.map_or_else(Key::random, |it| it.key),
        };
        let heartbeat = config.heartbeat.max(Duration::from_millis(20));
        // A clock before 1970 is none.
        let begun = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |it| it.as_millis() as u64);
        let (records, launches) = (recorder.is_some(), config.launcher.is_some());
        let mut actions = Vec::new();
        let (core, awaited) = match left {
            Some((mut core, files)) => {
                actions = files;
                core.resume(connection.pid, begun, records, &mut actions);
                let awaited = core.awaited();
                (core, Some(awaited))
            }
            None => {
                let (name, pid, engines) = (config.name, connection.pid, config.engines);
                let (pool, adapt) = (config.pool, config.adapt);
                let host = chorus_system::user::host_name();
                let config = CoreConfig { name, pid, host, engines, pool, adapt, heartbeat, begun, records, launches };
                (Core::new(config, &mut actions), None)
            }
        };
        let journal = match publish(&connection, &folder, &core) {
            Ok(journal) => journal,
            Err(error) => {
                // What another controller left is still there for the next.
                if awaited.is_some() {
                    folder.leave();
                }
                return Err(error);
            }
        };

        let folder = Arc::new(folder);
        let (events, inbox) = mpsc::unbounded_channel();
        let pools = match config.launcher {
            Some(launch) => {
                let exits = events.clone();
                let ended = move |engine, exit| _ = exits.send(Event::EngineExited(engine, exit));
                let pools = Pools::new(launch, &connection, folder.clone(), ended);
                for (number, pool) in core.pools().iter().enumerate() {
                    let added = pools.add(pool.clone()).await;
                    // Without one that was added later there are still the others.
                    if number == 0 {
                        added.map_err(ControllerError::Pool)?;
                    }
                }
                Some(Arc::new(pools))
            }
            None => None,
        };
        let tick = (heartbeat / 4).min(Duration::from_millis(100));
        let server = Server {
            journal,
            core,
            key: connection.key.clone(),
            engines,
            clients,
            folder: folder.clone(),
            pools: pools.clone(),
            recorder,
            events: inbox,
            sender: events.clone(),
            reading: HashMap::new(),
            tick,
        };
        let (end, stopped) = watch::channel(false);
        let cleaning = (pools.clone(), folder.clone());
        let server = tokio::spawn(async move {
            server.serve(actions).await;
            _ = tokio::task::spawn_blocking(move || clean(cleaning.0.as_deref(), &cleaning.1)).await;
            end.send_replace(true);
        });
        let server = server.abort_handle();
        Ok(Controller { connection, folder, pools, events, stopped, server, awaited })
    }

    /// How many engines it takes back, if it took the place of a controller that was killed.
    pub fn taken_back(&self) -> Option<u32> {
        self.awaited
    }

    /// How to reach the cluster.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Where that is written for other processes.
    pub fn connection_file(&self) -> PathBuf {
        self.folder.connection_file()
    }

    /// Waits until the cluster has stopped, on whoever's wish.
    pub async fn stopped(&self) {
        // An error means that the task is gone, which is as stopped as can be.
        _ = self.stopped.clone().wait_for(|stopped| *stopped).await;
    }

    /// Stops the cluster: engines are asked to leave, then killed; the folder is removed.
    pub async fn stop(&self) {
        _ = self.events.send(Event::Stop);
        self.stopped().await;
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        if *self.stopped.borrow() {
            return;
        }
        self.server.abort();
        let (pools, folder) = (self.pools.take(), Arc::clone(&self.folder));
        let clean = move || clean(pools.as_deref(), &folder);
        // It waits for the ends of processes.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(clean)),
            Err(_) => clean(),
        }
    }
}

/// Begins the journal, if there is to be one. From now on others may find the controller.
fn publish(connection: &Connection, folder: &Folder, core: &Core) -> Result<Option<Journal>, ControllerError> {
    let path = folder.path(JOURNAL);
    let journal = (connection.stay > 0).then(|| Journal::begin(&path, core)).transpose();
    let journal = journal.map_err(|source| ControllerError::Journal { path, source })?;
    connection.write(&folder.connection_file())?;
    Ok(journal)
}

fn clean(pools: Option<&Pools>, folder: &Folder) {
    if let Some(pools) = pools {
        pools.end_all();
    }
    folder.remove();
}

fn check_program(config: &ControllerConfig) -> Result<(), ControllerError> {
    match &config.launcher {
        None if config.engines > 0 => Err(ControllerError::NoLauncher(config.engines)),
        // A bare name is looked for in PATH when it is started.
        Some(launch) if launch.program.components().count() > 1 && !launch.program.is_file() => {
            Err(ControllerError::NoProgram(launch.program.clone()))
        }
        _ => Ok(()),
    }
}

/// The cluster's folder, and what a controller has left in it that was killed and is to be followed.
fn open_folder(config: &ControllerConfig) -> Result<(Folder, Option<Left>), ControllerError> {
    let (folder, is_found) = Folder::create(&config.runtime, &config.name)?;
    if !is_found {
        return Ok((folder, None));
    }
    let left = match config.stay.is_zero() {
        true => Err("engines of the cluster that is to take its place end with their controller".to_owned()),
        false => back::find(&folder),
    };
    match left {
        Ok(left) => Ok((folder, Some(left))),
        Err(why) => {
            tracing::warn!(
                "engines of an earlier cluster `{}` can't be taken back: {why}. They end by themselves, with the \
                 variables on them; this cluster begins anew",
                config.name
            );
            folder.clear()?;
            Ok((folder, None))
        }
    }
}

fn open_recording(config: &ControllerConfig) -> Result<Option<Recorder>, ControllerError> {
    let Some(path) = &config.record else { return Ok(None) };
    let opened = Recorder::open(path, LIMIT);
    opened.map(Some).map_err(|source| ControllerError::Record { path: path.clone(), source })
}

/// How often to try again where a killed controller had a socket, and how long to wait in between.
const BIND_TRIES: u32 = 20;
const BIND_PAUSE: Duration = Duration::from_millis(50);

type Socket = (Box<dyn Hub>, String);

/// Opens both sockets where the controller had them that is gone.
async fn bind_again(before: &Connection, folder: &Folder) -> Result<(Socket, Socket), ControllerError> {
    let transport = match before.engines.starts_with("tcp:") {
        true => &ZeroMq::Tcp,
        false => &ZeroMq::Ipc,
    };
    let again = async |endpoint: &str, socket| {
        let path = folder.path(socket);
        let mut listening = transport.listen(&path, Some(endpoint)).await;
        for _ in 0..BIND_TRIES {
            if listening.is_ok() {
                break;
            }
            // A process that was killed lets go of one thing after the other.
            tokio::time::sleep(BIND_PAUSE).await;
            listening = transport.listen(&path, Some(endpoint)).await;
        }
        let (endpoint, stay) = (endpoint.to_owned(), before.stay);
        listening.map_err(|source| ControllerError::BindAgain { endpoint, source, stay })
    };
    Ok((again(&before.engines, "engines").await?, again(&before.clients, "clients").await?))
}

/// Opens a socket.
async fn bind(transport: Transport, folder: &Folder, socket: &str) -> Result<Socket, ControllerError> {
    let endpoint = folder.endpoint(socket)?;
    let transport: &dyn chorus_transport::Transport = match transport {
        Transport::Ipc => &ZeroMq::Ipc,
        Transport::Tcp => &ZeroMq::Tcp,
    };
    let listening = transport.listen(&folder.path(socket), None).await;
    listening.map_err(|source| ControllerError::Bind { endpoint, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn config(runtime: &Path, name: &str, record: &Path) -> ControllerConfig {
        ControllerConfig {
            name: name.into(),
            runtime: runtime.to_owned(),
            transport: Transport::Ipc,
            engines: 0,
            launcher: None,
            pool: Pool::default(),
            adapt: None,
            heartbeat: Duration::from_secs(1),
            record: Some(record.to_owned()),
            stay: Duration::ZERO,
        }
    }

    #[tokio::test]
    async fn a_start_that_is_refused_leaves_no_recording() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("file"), "").unwrap();
        let long = "d".repeat(100);
        for (runtime, name) in [("run", "a/b"), ("run", ""), ("file", "lab"), (&long, "lab")] {
            let record = path("recordings").join(format!("{name}.jsonl"));
            assert!(Controller::start(config(&path(runtime), name, &record)).await.is_err(), "{runtime} {name}");
            assert!(!path("recordings").exists(), "{runtime} {name}");
        }
    }

    #[tokio::test]
    async fn a_file_that_is_no_recording_is_refused_and_no_cluster_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("years.ipynb");
        std::fs::write(&file, "of work").unwrap();
        let refused = Controller::start(config(&folder.path().join("run"), "lab", &file)).await;
        assert!(matches!(refused, Err(ControllerError::Record { .. })), "{refused:?}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "of work");
        assert!(!folder.path().join("run/clusters/lab").exists());
    }
}
