//! The cluster that a notebook uses: one that the kernel starts and keeps, or one that it connects to.

mod asking;
mod following;
mod joining;

use crate::away::Away;
use crate::compiler_thread::CompilerThread;
use crate::jobs::Lending;
use crate::publisher::Publisher;
use bytes::Bytes;
use chorus_client::{Blob, Client, ClientError, Session, SessionEvent};
use chorus_compiler::Object;
use chorus_controller::{Controller, ControllerConfig, ControllerError, Launch, Pool, Transport};
use chorus_protocol::{
    Adapt, BlobId, Connection, ConnectionError, Death, EngineId, EngineInfo, Outcome, RunEvent, RunId, SnapshotState,
    name_engines,
};
use chorus_render::{Bars, as_event, unprotected};
use following::follow;
pub use joining::{Patience, joining};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long a cell waits for an engine that is being started again.
const RECOVERY_LIMIT: Duration = Duration::from_secs(3);

/// How long it may take until what the controller has said is heard.
const HEARING_LIMIT: Duration = Duration::from_millis(500);

/// Cells of which late output still finds its way into the right place.
const REMEMBERED_RUNS: usize = 64;

/// Why there is no cluster.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The controller can't be started.
    #[error(transparent)]
    Controller(#[from] ControllerError),
    /// The controller can't be reached.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The connection file can't be used.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// There is no cluster of this name.
    #[error("there is no cluster `{name}`; running: {running}. `chorus start --name {name}` starts one")]
    Unknown {
        /// What the user wrote.
        name: String,
        /// The clusters there are.
        running: String,
    },
    /// Engines were started, and none joined.
    #[error("none of {engines} engines joined: {why}; their logs were in {logs}")]
    NoEngine {
        /// How many were started.
        engines: u32,
        /// Why, as far as that is known.
        why: String,
        /// The cluster's folder.
        logs: PathBuf,
    },
    /// The cluster doesn't do what it was told.
    #[error("{0}")]
    Order(String),
    /// A blob can't be read.
    #[error("{path} can't be read: {source}")]
    Object {
        /// The object or library.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// How to start a cluster of one's own.
#[derive(Clone, Debug)]
pub struct StartCluster {
    /// Its name; one that nobody else has if `None`.
    pub name: Option<String>,
    /// How many engines.
    pub engines: u32,
    /// How they connect.
    pub transport: Transport,
    /// Where they are started, and what they are called.
    pub pool: Pool,
    /// Where to record what happens, if anywhere.
    pub record: Option<PathBuf>,
    /// How many engines are enough to begin with; all when `None`.
    pub min: Option<u32>,
    /// Between which limits their number follows the work, if it does.
    pub adapt: Option<Adapt>,
}

/// What is known of an engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineState {
    /// Whether its process is there.
    pub up: bool,
    /// Whether it is being started again.
    pub restarting: bool,
    /// See [`chorus_protocol::Target::generation`].
    pub generation: u32,
}

#[derive(Debug, Default)]
struct Known {
    engines: BTreeMap<EngineId, EngineState>,
    infos: BTreeMap<EngineId, EngineInfo>,
    /// Of the last run on each engine.
    snapshots: BTreeMap<EngineId, SnapshotState>,
    /// Those that won't come, and why the last of them won't.
    given_up: BTreeSet<EngineId>,
    why_given_up: Option<String>,
    /// Why the start of one has failed that is tried again.
    why_failing: Option<String>,
    /// To be told with the cell that runs, or the next.
    notices: Vec<String>,
    /// What is to be told in the same way, and of whom.
    notices_of: BTreeMap<String, Vec<EngineId>>,
    /// So many more, when the compiler has said which variables are lost.
    notices_to_come: usize,
    /// Engines whose loss runs have told, and the controller hasn't yet.
    missed: BTreeSet<EngineId>,
    /// The progress bars of each engine's worker.
    bars: BTreeMap<EngineId, Bars>,
    /// Whether the notebook was told that the cluster is gone.
    told_lost: bool,
    /// Where the output of runs that have ended goes.
    publishers: VecDeque<(RunId, Publisher)>,
}

/// A cluster in use.
#[derive(Debug)]
pub struct Cluster {
    name: String,
    folder: PathBuf,
    client: Client,
    session: Session,
    controller: Option<Controller>,
    known: Arc<Mutex<Known>>,
    joined: watch::Receiver<usize>,
    /// Whether nothing more will be heard.
    closed: watch::Receiver<bool>,
    away: Arc<Away>,
    libraries: Mutex<BTreeMap<PathBuf, BlobId>>,
    /// Lets engines of other hosts have the notebook's rooms.
    lending: Option<Lending>,
}

impl Cluster {
    /// Starts a controller in this process, and its engines, and waits until they have joined. What they wait for is told.
    pub async fn start(
        start: StartCluster,
        runtime: &Path,
        launch: Launch,
        compiler: &CompilerThread,
        publisher: &Publisher,
    ) -> Result<Cluster, ClusterError> {
        let patience = Patience::with(&start.pool.place);
        let name = start.name.unwrap_or_else(own_name);
        let controller = Controller::start(ControllerConfig {
            name,
            runtime: runtime.to_owned(),
            transport: start.transport,
            engines: start.engines,
            launcher: Some(launch),
            pool: start.pool,
            adapt: start.adapt,
            heartbeat: Duration::from_secs(1),
            record: start.record,
            // It ends with this process, and so does the notebook.
            stay: Duration::ZERO,
        })
        .await?;
        let connection = controller.connection().clone();
        let logs = controller.connection_file().parent().map(Path::to_owned).unwrap_or_default();
        let mut cluster = Cluster::open(&connection, compiler).await?;
        cluster.controller = Some(controller);
        let enough = start.min.unwrap_or(start.engines);
        joining(&cluster, (start.engines as usize, enough as usize), patience, publisher).await;
        if !cluster.engines().is_empty() {
            return Ok(cluster);
        }
        let late = || match cluster.known.lock().why_failing.take() {
            Some(why) => format!("they didn't join in time; {why}"),
            None => "they didn't join in time".to_owned(),
        };
        let why = cluster.why_given_up().unwrap_or_else(late);
        Err(ClusterError::NoEngine { engines: start.engines, why, logs })
    }

    /// Engines are about to be started: what was said of others doesn't count.
    pub fn expect_engines(&self) {
        let mut known = self.known.lock();
        known.given_up.clear();
        known.why_given_up = None;
    }

    /// Why the last of those isn't started any more that are given up, if that was said.
    pub fn why_given_up(&self) -> Option<String> {
        self.known.lock().why_given_up.clone()
    }

    /// What may have been said before this notebook listened.
    fn given_up(&self, given_up: BTreeMap<EngineId, String>, mut failing: BTreeMap<EngineId, String>) {
        let mut known = self.known.lock();
        known.why_failing = failing.pop_last().map(|(_, why)| why);
        let why = given_up.values().next_back().cloned();
        known.why_given_up = why.or(known.why_given_up.take());
        known.given_up.extend(given_up.into_keys());
    }

    /// Connects to a cluster by its name or its connection file.
    pub async fn connect(to: &str, runtime: &Path, compiler: &CompilerThread) -> Result<Cluster, ClusterError> {
        let running = chorus_controller::list_clusters(runtime);
        let by_name = running.iter().find(|cluster| cluster.name == to && cluster.alive);
        let file = match by_name {
            Some(cluster) => cluster.connection_file.clone(),
            None if Path::new(to).is_file() => PathBuf::from(to),
            None => {
                let names: Vec<&str> = running.iter().filter(|c| c.alive).map(|c| c.name.as_str()).collect();
                let running = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                return Err(ClusterError::Unknown { name: to.to_owned(), running });
            }
        };
        Cluster::open(&Connection::read(&file)?, compiler).await
    }

    async fn open(connection: &Connection, compiler: &CompilerThread) -> Result<Cluster, ClusterError> {
        let (client, _) = Client::connect(connection, &who()).await?;
        let (session, mut events) = client.open_session();
        // Not those of the connection's first status: others may have joined since, and nobody would tell.
        let engines = match events.recv().await {
            Some(SessionEvent::Opened { engines }) => engines,
            _ => {
                let why = "it stopped while the notebook connected to it".to_owned();
                return Err(ClientError::Lost { name: connection.name.clone(), why }.into());
            }
        };
        let up = |id| (id, EngineState { up: true, ..EngineState::default() });
        let infos = engines;
        let engines: BTreeMap<_, _> = infos.keys().copied().map(up).collect();
        let (joins, joined) = watch::channel(engines.len());
        let known = Arc::new(Mutex::new(Known { engines, infos, ..Known::default() }));
        let (close, closed) = watch::channel(false);
        let away = Arc::new(Away::new(&connection.name));
        let following = follow(events, Arc::clone(&known), Arc::clone(&away), joins, compiler.clone());
        tokio::spawn(async move {
            following.await;
            close.send_replace(true);
        });
        let name = connection.name.clone();
        let folder = connection.blobs.parent().map(Path::to_owned).unwrap_or_default();
        let libraries = Mutex::default();
        Ok(Cluster {
            name,
            folder,
            client,
            session,
            controller: None,
            known,
            joined,
            closed,
            away,
            libraries,
            lending: None,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Lets engines of other hosts have the notebook's rooms, as long as it is used.
    pub fn lend(&mut self, lend: impl FnOnce(&Path) -> Option<Lending>) {
        self.lending = lend(&self.folder);
    }

    /// This notebook's session on it.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The engines whose process is there, by id.
    pub fn engines(&self) -> Vec<EngineId> {
        self.known.lock().engines.iter().filter(|(_, state)| state.up).map(|(id, _)| *id).collect()
    }

    /// An engine's `px::rank()`, in which engines count that are being started again.
    pub fn rank(&self, engine: EngineId) -> u32 {
        let known = self.known.lock();
        let before = known.engines.iter().filter(|(id, state)| **id < engine && (state.up || state.restarting));
        before.count() as u32
    }

    /// Whether an engine has this label.
    pub fn has_label(&self, engine: EngineId, label: &str) -> bool {
        self.known.lock().infos.get(&engine).is_some_and(|info| info.label.as_deref() == Some(label))
    }

    /// Whether an engine has a GPU that maps can use.
    pub fn has_gpu(&self, engine: EngineId) -> bool {
        self.gpu(engine).is_some()
    }

    /// Where the process listens that has an engine's GPU, if it has one.
    pub fn gpu(&self, engine: EngineId) -> Option<PathBuf> {
        self.known.lock().infos.get(&engine)?.gpu.clone()
    }

    /// How many threads an engine may have so that all engines of its host together have as many as there are cores.
    pub fn share_of_cores(&self, engine: EngineId) -> u32 {
        let known = self.known.lock();
        let Some(info) = known.infos.get(&engine) else { return 1 };
        let is_up = |id: &EngineId| known.engines.get(id).is_some_and(|state| state.up);
        let beside = known.infos.iter().filter(|(id, other)| is_up(id) && other.host == info.host).count() as u32;
        (info.cores / beside.max(1)).max(1)
    }

    /// Returns when the engines that are being started again are there, or after a short while without them.
    pub async fn recovered(&self) {
        let all_there = |_: &usize| !self.known.lock().engines.values().any(|state| state.restarting);
        let _ = tokio::time::timeout(RECOVERY_LIMIT, self.joined.clone().wait_for(all_there)).await;
    }

    /// The generation of an engine's variables.
    pub fn generation(&self, engine: EngineId) -> u32 {
        self.known.lock().engines.get(&engine).map_or(0, |state| state.generation)
    }

    /// Takes note of what a run's event says of its engine. What is returned is to be taken for events before it: the
    /// last updates of the bars that a dead worker had drawn, and that variables aren't safe any more.
    pub fn see(&self, engine: EngineId, event: &RunEvent) -> Vec<RunEvent> {
        if let RunEvent::Started(snapshot) = event {
            return self.started(engine, snapshot).iter().map(|notice| as_event(notice)).collect();
        }
        let mut known = match event {
            RunEvent::Output { .. } | RunEvent::ClearOutput { .. } | RunEvent::Panic(_) => return Vec::new(),
            RunEvent::Started(_) | RunEvent::Display { .. } | RunEvent::Done { .. } => self.known.lock(),
        };
        if let RunEvent::Done { outcome, generation, .. } = event
            && let Some(state) = known.engines.get_mut(&engine)
        {
            state.generation = *generation;
            if state.up && matches!(outcome, Outcome::Died(Death::EngineLost, _)) {
                known.missed.insert(engine);
            }
        }
        known.bars.entry(engine).or_default().see(event)
    }

    /// As [`Cluster::see`], for a run whose cell has ended: that variables aren't safe any more is told with the next.
    pub fn see_late(&self, engine: EngineId, event: &RunEvent) -> Vec<RunEvent> {
        let RunEvent::Started(snapshot) = event else { return self.see(engine, event) };
        if let Some(notice) = self.started(engine, snapshot) {
            self.known.lock().notices_of.entry(notice).or_default().push(engine);
        }
        Vec::new()
    }

    fn started(&self, engine: EngineId, snapshot: &SnapshotState) -> Option<String> {
        let before = self.known.lock().snapshots.insert(engine, snapshot.clone());
        unprotected(before.as_ref(), snapshot)
    }

    /// The snapshots of the last run on each engine.
    pub fn snapshots(&self) -> BTreeMap<EngineId, SnapshotState> {
        self.known.lock().snapshots.clone()
    }

    /// What happened outside of runs since this was last asked. What runs have told of engines is waited for.
    pub async fn notices(&self, compiler: &CompilerThread) -> Vec<String> {
        if !self.known.lock().missed.is_empty() {
            let heard = |_: &usize| self.known.lock().missed.is_empty();
            _ = tokio::time::timeout(HEARING_LIMIT, self.joined.clone().wait_for(heard)).await;
            self.known.lock().missed.clear();
        }
        if self.known.lock().notices_to_come > 0 {
            // It does one thing after the other.
            _ = compiler.with(|_| ()).await;
        }
        let mut known = self.known.lock();
        let mut notices = std::mem::take(&mut known.notices);
        notices.extend(self.away.untold());
        for (notice, mut engines) in std::mem::take(&mut known.notices_of) {
            engines.sort();
            notices.push(format!("{}: {notice}", name_engines(&engines)));
        }
        notices
    }

    /// Why the session is closed, which it is.
    pub async fn why_closed(&self) -> String {
        _ = tokio::time::timeout(HEARING_LIMIT, self.closed.clone().wait_for(|closed| *closed)).await;
        self.lost().unwrap_or_else(|| "this notebook has left it".to_owned())
    }

    /// Why the controller is gone, if it is.
    pub fn lost(&self) -> Option<String> {
        self.session.lost().map(str::to_owned)
    }

    /// The same, if the notebook wasn't told yet, and the engines that went with it.
    pub fn tell_lost(&self) -> Option<(String, Vec<EngineId>)> {
        let why = self.lost()?;
        let mut known = self.known.lock();
        let engines = known.engines.keys().copied().collect();
        (!std::mem::replace(&mut known.told_lost, true)).then_some((why, engines))
    }

    /// Whether its controller is gone and may be started again.
    pub fn away(&self) -> &Away {
        &self.away
    }

    /// Whether this kernel started it.
    pub fn is_own(&self) -> bool {
        self.controller.is_some()
    }

    /// Has output that comes when a run has ended go where its cell's went.
    pub fn remember_publisher(&self, run: RunId, publisher: &Publisher) {
        let publishers = &mut self.known.lock().publishers;
        if publishers.len() >= REMEMBERED_RUNS {
            publishers.pop_front();
        }
        publishers.push_back((run, publisher.clone()));
    }

    /// Brings an object to the controller: the libraries that are to be loaded before it, and itself.
    /// The object stays as long as the handle, and as runs and tasks that name it.
    pub async fn put_object(&self, object: &Object) -> Result<(Vec<BlobId>, Blob), ClusterError> {
        let mut preload = Vec::new();
        for library in &object.preload {
            preload.push(self.put_library(library).await?);
        }
        Ok((preload, self.session.put_blob(read(&object.path).await?)))
    }

    /// Brings a library to the controller; one that was brought once isn't read again.
    async fn put_library(&self, path: &Path) -> Result<BlobId, ClusterError> {
        if let Some(id) = self.libraries.lock().get(path) {
            return Ok(*id);
        }
        let id = self.session.put_library(read(path).await?);
        self.libraries.lock().insert(path.to_owned(), id);
        Ok(id)
    }

    /// Where the files of the cluster are, as the controller sees it.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Leaves the cluster, and stops it if it is this kernel's own.
    pub async fn leave(&self) {
        self.session.close();
        if self.is_own() {
            // One that can't be reached is stopped all the same, with its controller.
            _ = self.stop().await;
        }
    }

    /// Stops the cluster, whoever started it. All who use it are told who did.
    pub async fn stop(&self) -> Result<(), ClusterError> {
        self.session.close();
        let asked = self.client.shutdown().await;
        match &self.controller {
            Some(controller) => controller.stop().await,
            None => asked?,
        }
        Ok(())
    }
}

async fn read(path: &Path) -> Result<Bytes, ClusterError> {
    let failed = |source| ClusterError::Object { path: path.to_owned(), source };
    Ok(tokio::fs::read(path).await.map_err(failed)?.into())
}

/// What a cluster is called that a kernel starts and nobody names.
pub fn own_name() -> String {
    format!("kernel-{}", std::process::id())
}

/// What users of a cluster know this kernel by: its notebook, which Jupyter names.
fn who() -> String {
    match std::env::var("JPY_SESSION_NAME").ok().filter(|name| !name.is_empty()) {
        Some(notebook) => format!("the notebook {notebook}"),
        None => "a notebook".to_owned(),
    }
}
