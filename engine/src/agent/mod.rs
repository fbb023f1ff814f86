//! An engine of a cluster: joins the controller, keeps a worker for each session, and carries runs and events.
//!
//! It never runs user code, and no session can keep it from sending its heartbeats.

mod blobs;
mod group;
mod link;
mod meter;
mod outbox;
mod seat;
mod session;
mod values;

use crate::supervisor::{WorkerConfig, watch};
use blobs::{Blobs, Stored};
use chorus_protocol::{BlobId, Connection, EngineId, EngineInfo, FromEngine, SessionId, Standing, ToEngine};
use futures::FutureExt;
use link::{Heard, Link, Registration};
use meter::{Meter, Processes};
use outbox::Outbox;
use px::link::OUTPOST;
use session::Session;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};
use values::ControllerFolder;

/// A controller that says nothing for so long is gone.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// How often to send a sign of life until the controller says how often.
const FIRST_HEARTBEAT: Duration = Duration::from_secs(1);

/// How long the end of the workers may take.
const END_LIMIT: Duration = Duration::from_secs(5);

/// Tells workers which engine is theirs.
const ENGINE_ID: &str = "CHORUS_ENGINE_ID";

/// What an engine needs to know.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// The cluster.
    pub connection: Connection,
    /// The id that the controller's launcher gave it.
    pub id: Option<EngineId>,
    /// What its user calls engines of its kind.
    pub label: Option<String>,
    /// How to start workers.
    pub worker: WorkerConfig,
    /// End when this process ends.
    pub parent: Option<u32>,
    /// Whether to open blobs in the controller's folder, if that is there.
    pub share_files: bool,
}

/// Why an engine ended.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The controller's socket can't be reached.
    #[error("the controller of cluster `{cluster}` can't be reached at {endpoint}: {source}; is it running?")]
    Connect {
        /// The cluster's name.
        cluster: String,
        /// The socket.
        endpoint: String,
        /// What the socket said.
        source: std::io::Error,
    },
    /// The controller doesn't want it.
    #[error("the controller of cluster `{cluster}` refused this engine: {reason}")]
    Refused {
        /// The cluster's name.
        cluster: String,
        /// What the controller said.
        reason: String,
    },
    /// The connection is closed.
    #[error("the controller of cluster `{0}` closed the connection or is gone")]
    ControllerGone(String),
    /// The connection is open and nothing comes.
    #[error("the controller of cluster `{0}` was silent for {limit} s", limit = SILENCE_MAX.as_secs())]
    ControllerSilent(String),
    /// The controller is gone, and nobody has started another in its place.
    #[error("the controller of cluster `{cluster}` is gone, and none was started in its place within {seconds} s")]
    NotStartedAgain {
        /// The cluster's name.
        cluster: String,
        /// How long this engine waited.
        seconds: u32,
    },
    /// The process that started it has ended.
    #[error("process {0}, which started this engine, is gone")]
    ParentGone(u32),
    /// The system lacks something.
    #[error("the engine can't {action}: {source}")]
    System {
        /// What it tried.
        action: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Joins a cluster and serves it until it is told to stop, or until the controller or the parent process is gone. Where
/// another controller may be started in the place of one that is gone, it waits for that, while its sessions go on. Ends
/// all workers before it returns.
pub async fn run_agent(config: AgentConfig) -> Result<(), AgentError> {
    let system = |action| move |source| AgentError::System { action, source };
    let mut terminate = signal(SignalKind::terminate()).map_err(system("listen to SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(system("listen to SIGINT"))?;
    // Not PR_SET_PDEATHSIG: that speaks of the parent's thread, and a runtime's threads come and go.
    let parent = match config.parent {
        Some(id) => Some((id, watch(id).map_err(|_| AgentError::ParentGone(id))?)),
        None => None,
    };
    let parent_gone = async {
        match &parent {
            Some((id, process)) if process.readable().await.is_ok() => *id,
            _ => std::future::pending().await,
        }
    };
    tokio::pin!(parent_gone);

    let distant = std::env::var_os(OUTPOST).map(PathBuf::from);
    let share = config.share_files && distant.is_none();
    // An outpost removes its folder, however its engines end.
    let place = distant.as_deref().and_then(Path::parent).map_or_else(std::env::temp_dir, Path::to_owned);
    let blobs = Blobs::open(&config.connection.blobs, share, &place).map_err(system("make a temporary folder"))?;
    let cluster = config.connection.name.clone();
    let gpu: Option<PathBuf> =
        config.worker.env.iter().find(|(name, _)| name == crate::gpu::SOCKET).map(|(_, path)| path.into());
    let mut meter = Meter::new(gpu.clone());
    let seconds = config.connection.stay;
    let lease = distant.is_some().then_some(seconds);
    let registration = Registration {
        id: config.id,
        info: EngineInfo {
            pid: std::process::id(),
            host: chorus_system::user::host_name(),
            cores: cores(),
            gpu,
            label: config.label,
            lease,
            ends_in: distant.as_ref().and_then(|_| ends_in()),
        },
        shares_files: blobs.are_shared(),
        standing: Standing { life: SessionId::random().0, returns: false, received: 0 },
    };
    let mut link = Link::connect(&config.connection, registration).await?;
    let (stored, mut blobs_stored) = mpsc::unbounded_channel();
    let values = match (distant, blobs.shared_folder()) {
        (Some(outpost), _) => Some(ControllerFolder::There { folder: config.connection.blobs.clone(), outpost }),
        (None, folder) => folder.map(|folder| ControllerFolder::Here(folder.to_owned())),
    };
    let mut agent =
        Agent { worker: config.worker, out: link.outbox(), blobs, values, stored, sessions: HashMap::new() };
    let mut beat = heartbeat(FIRST_HEARTBEAT);
    let mut measure = heartbeat(meter::INTERVAL);
    let mut last_heard = Instant::now();
    let result = loop {
        let heard = tokio::select! {
            biased;
            _ = terminate.recv() => break Ok(()),
            _ = interrupt.recv() => break Ok(()),
            id = &mut parent_gone => break Err(AgentError::ParentGone(id)),
            _ = beat.tick() => {
                link.beat();
                if !link.is_open() || last_heard.elapsed() < SILENCE_MAX {
                    continue;
                }
                // Perhaps it was this process that slept, and there is something to hear.
                match link.hear().now_or_never() {
                    Some(heard) => heard,
                    None if seconds == 0 => break Err(AgentError::ControllerSilent(cluster)),
                    None => Heard::Closed,
                }
            }
            _ = measure.tick() => {
                let (bytes_in, bytes_out) = link.bytes();
                let used = meter.measure(&agent.processes(), bytes_in, bytes_out);
                link.outbox().say(FromEngine::Metrics(Box::new(used)));
                agent.tell_variables();
                continue;
            }
            Some((blob, result)) = blobs_stored.recv() => {
                agent.stored(blob, result);
                continue;
            }
            heard = link.hear() => heard,
        };
        let message = match heard {
            Heard::Message(message) => *message,
            Heard::Rubbish => continue,
            Heard::Closed if seconds == 0 => break Err(AgentError::ControllerGone(cluster)),
            Heard::Closed => {
                link.leave(Duration::from_secs(seconds.into()));
                continue;
            }
            Heard::Again(true) => {
                last_heard = Instant::now();
                continue;
            }
            Heard::Again(false) => break Err(AgentError::NotStartedAgain { cluster, seconds }),
        };
        last_heard = Instant::now();
        match message {
            ToEngine::Registered { id, heartbeat_ms, .. } => {
                tracing::info!(%id, "registered");
                agent.registered(id);
                beat = heartbeat(Duration::from_millis(heartbeat_ms.max(1).into()));
            }
            ToEngine::Refused(reason) => break Err(AgentError::Refused { cluster, reason }),
            ToEngine::Shutdown => break Ok(()),
            message => agent.handle(message),
        }
    };
    agent.close().await;
    link.say_goodbye().await;
    result
}

struct Agent {
    worker: WorkerConfig,
    out: Outbox,
    blobs: Blobs,
    /// Where large results go.
    values: Option<ControllerFolder>,
    /// Who is told of blobs that were stored.
    stored: mpsc::UnboundedSender<(BlobId, Stored)>,
    sessions: HashMap<SessionId, Session>,
}

impl Agent {
    fn registered(&mut self, id: EngineId) {
        // For px, which labels progress bars with it.
        let known = self.worker.env.iter().any(|(name, _)| name == ENGINE_ID);
        self.worker.env.extend((!known).then(|| (ENGINE_ID.into(), id.to_string().into())));
        // What was to bring them may have been lost with a connection.
        for blob in self.blobs.asked() {
            self.out.say(FromEngine::NeedBlob(blob));
        }
    }

    fn handle(&mut self, message: ToEngine) {
        match message {
            ToEngine::Run { session: id, run, spec, generation, mut rank, mut size, group } => {
                let info = group.and_then(|group| group::info(*group, &spec, self.values.as_ref()));
                if let Some(info) = &info {
                    (rank, size) = (info.rank as u32, info.members.len() as u32);
                }
                let group = info.map(|info| info.encode()).unwrap_or_default();
                for blob in spec.preload.iter().chain([&spec.object]) {
                    if self.blobs.ask(*blob) {
                        self.out.say(FromEngine::NeedBlob(*blob));
                    }
                }
                self.open(id);
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.run(session::Waiting { run, spec, generation, rank, size, group }, &self.blobs);
                }
            }
            ToEngine::Blob { id, bytes } => {
                if let Some(store) = self.blobs.storing(id, bytes) {
                    let stored = self.stored.clone();
                    // It may take a while, in which signs of life are to be sent.
                    tokio::task::spawn_blocking(move || stored.send((id, store())));
                }
            }
            ToEngine::DropBlob(id) => self.blobs.drop(id),
            ToEngine::MemberLeft { group, rank, how } => group::left(&group, rank, how, self.blobs.shared_folder()),
            ToEngine::OpenSession(id) => self.open(id),
            ToEngine::CloseSession(id) => {
                if let Some(session) = self.sessions.remove(&id) {
                    tokio::spawn(session.close());
                }
            }
            ToEngine::Ack { session, bytes } => self.with(session, |session| session.acknowledge(bytes)),
            ToEngine::Interrupt { session, signal } => self.with(session, |session| session.interrupt(signal)),
            ToEngine::MapWork { session, map, pieces } => self.with(session, |session| session.map_work(map, pieces)),
            ToEngine::MapEnd { session, map } => self.with(session, |session| session.map_end(map)),
            ToEngine::EndRun { session, run, kill } => self.with(session, |session| session.end_run(run, kill)),
            ToEngine::RestartSession(session) => self.with(session, Session::restart),
            ToEngine::InterruptAll(signal) => self.sessions.values_mut().for_each(|it| it.interrupt(signal)),
            ToEngine::RestartAll => self.sessions.values_mut().for_each(Session::restart),
            // Signs of life, and what the loop has handled.
            ToEngine::Heartbeat
            | ToEngine::Received(_)
            | ToEngine::Registered { .. }
            | ToEngine::Refused(_)
            | ToEngine::Shutdown => {}
        }
    }

    fn processes(&self) -> Vec<Processes> {
        self.sessions.iter().map(|(&session, it)| it.processes(session)).collect()
    }

    fn tell_variables(&mut self) {
        for (&session, it) in &mut self.sessions {
            if let Some(variables) = it.new_variables() {
                self.out.say(FromEngine::Holds { session, variables });
            }
        }
    }

    fn stored(&mut self, blob: BlobId, result: Stored) {
        self.blobs.stored(blob, &result);
        for session in self.sessions.values_mut() {
            if let Err(reason) = &result {
                session.give_up(blob, reason);
            }
            session.submit_ready(&self.blobs);
        }
    }

    fn open(&mut self, id: SessionId) {
        let Agent { worker, out, values, sessions, .. } = self;
        let open = || Session::open(id, worker.clone(), values.clone(), out.clone());
        sessions.entry(id).or_insert_with(open);
    }

    fn with(&mut self, id: SessionId, work: impl FnOnce(&mut Session)) {
        // A message may cross the session's end.
        if let Some(session) = self.sessions.get_mut(&id) {
            work(session);
        }
    }

    async fn close(&mut self) {
        let ends = self.sessions.drain().map(|(_, session)| session.close());
        // What can't be ended in time is being killed all the same.
        let _ = tokio::time::timeout(END_LIMIT, futures::future::join_all(ends)).await;
    }
}

fn heartbeat(every: Duration) -> tokio::time::Interval {
    let mut beat = interval(every);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beat
}

/// In how many seconds a batch system will end this process, as its environment says: Slurm's does, and any can by
/// `CHORUS_ENDS_AT`, in seconds since 1970.
fn ends_in() -> Option<u32> {
    let at = ["CHORUS_ENDS_AT", "SLURM_JOB_END_TIME"].iter().find_map(|name| std::env::var(name).ok()?.parse().ok())?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    u32::try_from(u64::saturating_sub(at, now)).ok()
}

fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32)
}
