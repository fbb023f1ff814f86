//! The controller's decisions: who is in the cluster, where runs go, what happens when somebody dies.
//!
//! A pure state machine: [`Input`] and the time go in, [`Action`]s come out. It never touches a socket, a file, a
//! process or a clock. What it keeps is bounded by who is connected and what is under way; a run that is done leaves
//! nothing behind but counters.

mod adapt;
mod back;
mod client;
mod engine;
mod group;
mod log;
mod map;
mod routing;
mod session;
mod steer;
mod task;

#[cfg(test)]
mod random;
#[cfg(test)]
mod tests;

use crate::launch::Pool;
use bytes::Bytes;
pub(crate) use chorus_protocol::Exit;
use chorus_protocol::{
    Adapt, BlobId, ClientInfo, ClusterStatus, EngineId, EngineStatus, FromClient, FromEngine, Group, LogEntry,
    LogEvent, Parting, SessionId, SessionStatus, ToClient, ToEngine,
};
pub(crate) use chorus_transport::PeerId;
use engine::{Engine, State};
use log::Log;
use serde::{Deserialize, Serialize};
use session::Session;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// What happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Input {
    FromEngine(PeerId, FromEngine),
    FromClient(PeerId, FromClient),
    EngineDisconnected(PeerId),
    ClientDisconnected(PeerId),
    /// Somebody sent what isn't a message, or isn't signed.
    Malformed,
    /// An engine that was started ought to have joined by now.
    EngineLate(EngineId),
    /// A process that [`Action::StartEngines`] started is gone.
    EngineExited(EngineId, Exit),
    /// What engines wait for that are being started, if that is another than before.
    Queue(Option<String>),
    /// Time goes by. Expected several times a heartbeat.
    Tick,
    /// The program around the controller wants the cluster to stop.
    Shutdown,
}

/// What is to be done, in this order.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    ToEngines(Vec<PeerId>, ToEngine),
    ToClients(Vec<PeerId>, Arc<ToClient>),
    /// Keep the bytes. Engines may look for them as soon as the next action is done.
    StoreBlob(BlobId, Bytes),
    /// Nobody needs them any more.
    RemoveBlob(BlobId),
    /// Send these bytes to an engine.
    ReadBlob(PeerId, BlobId),
    /// Remove a file from the folder of blobs.
    RemoveFile(String),
    /// Remove the folder of a group in the folder of blobs, if there is one.
    RemoveGroup(String),
    /// A member of a group has left, and all who may wait for it are on other hosts.
    MarkLeft {
        group: Group,
        rank: u32,
        how: Parting,
    },
    /// There is one pool more.
    AddPool(Box<Pool>),
    /// Start them in the pool of this number.
    StartEngines(usize, Vec<EngineId>),
    /// Watch the process of an engine that an earlier controller started in this pool: it has this number.
    AdoptEngine(usize, EngineId, u32),
    /// It hasn't joined in time. Unless its launcher knows why, that is [`Input::EngineLate`].
    AskForEngine(EngineId),
    KillEngine(EngineId),
    DisconnectEngine(PeerId),
    DisconnectClient(PeerId),
    /// This was added to the log.
    Record(Vec<LogEntry>),
    /// Send a signal to an engine's process.
    SignalEngine(EngineId, i32),
    /// The cluster has come to its end: nothing follows.
    Stop,
}

/// What the core needs to know from the start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CoreConfig {
    pub name: String,
    pub pid: u32,
    /// The name of its host.
    pub host: String,
    /// How many engines to start.
    pub engines: u32,
    /// Where, and how.
    pub pool: Pool,
    /// Between which limits their number follows the work, if it does.
    pub adapt: Option<Adapt>,
    pub heartbeat: Duration,
    /// When it starts, in milliseconds since 1970.
    pub begun: u64,
    /// Whether the log is written somewhere.
    pub records: bool,
    /// Whether engines can be started.
    pub launches: bool,
}

/// Heartbeats that an engine may miss.
const MISSED_HEARTBEATS: u32 = 5;
/// A client that is silent for so long is gone.
const CLIENT_SILENCE: Duration = Duration::from_secs(10);
/// What a client has said is remembered for so long after its last message, at least.
const SAID: Duration = Duration::from_secs(60);
/// A client whose connection broke has so long to come back before its sessions are closed.
const CLIENT_GRACE: Duration = Duration::from_secs(5);
/// When the cluster stops: how long engines that joined by hand may take to leave.
const LEAVE_GRACE: Duration = Duration::from_millis(500);
/// When the cluster stops: how long engines may take before they are killed.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// When the cluster stops: how long killed processes are waited for.
const KILL_GRACE: Duration = Duration::from_secs(4);

/// The whole cluster. It can be written down and read again: by that a controller takes its engines back, see [`back`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Core {
    config: CoreConfig,
    /// Where engines are started, by number. The first is the configuration's.
    pools: Vec<Pool>,
    engines: BTreeMap<EngineId, Engine>,
    /// The connections of engines that registered.
    engine_peers: HashMap<PeerId, EngineId>,
    /// Clients that said hello.
    clients: BTreeMap<PeerId, Client>,
    /// What clients have said that are connected, or were a while ago: by [`Client::life`].
    said: BTreeMap<u64, Said>,
    sessions: BTreeMap<SessionId, Session>,
    /// How many there ever were.
    sessions_opened: u32,
    log: Log,
    /// Blobs that stay as long as the cluster.
    libraries: BTreeSet<BlobId>,
    rejected: u64,
    /// If the number of engines follows the work: between which limits, and since when all have been busy while some waits.
    adapt: Option<Adapt>,
    pressed_since: Option<Duration>,
    /// What engines wait for that are being started.
    queue: Option<String>,
    /// Engines that aren't started any more, and why.
    given_up: BTreeMap<EngineId, String>,
    now: Duration,
    last_tick: Duration,
    last_heartbeat: Duration,
    stop: Stop,
    /// How often it was read again.
    restarts: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct Client {
    /// When it was last heard.
    seen: Duration,
    info: ClientInfo,
    /// It is the same over all its connections.
    life: u64,
}

/// What a client has said, over all its connections.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Said {
    /// Numbered messages.
    count: u64,
    /// The last one.
    at: Duration,
}

/// How far the end of the cluster has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Stop {
    No,
    Since { since: Duration, killed: bool },
    Done,
}

impl Core {
    /// An empty cluster. Its first actions start its engines.
    pub fn new(config: CoreConfig, actions: &mut Vec<Action>) -> Core {
        let mut engines = BTreeMap::new();
        for id in (0..config.engines).map(EngineId) {
            engines.insert(id, Engine::launched(0, Duration::ZERO));
        }
        if !engines.is_empty() {
            actions.push(Action::StartEngines(0, engines.keys().copied().collect()));
        }
        let mut log = Log::new(&config.name, config.pid, config.begun);
        if config.records {
            // A recording of an earlier cluster of this name ends here.
            actions.push(Action::Record(log.state()));
        }
        engines.keys().for_each(|&engine| log.add(Duration::ZERO, LogEvent::EngineStarting { engine }));
        Core {
            pools: vec![config.pool.clone()],
            adapt: config.adapt,
            config,
            engines,
            engine_peers: HashMap::new(),
            clients: BTreeMap::new(),
            said: BTreeMap::new(),
            sessions: BTreeMap::new(),
            sessions_opened: 0,
            log,
            libraries: BTreeSet::new(),
            rejected: 0,
            pressed_since: None,
            queue: None,
            given_up: BTreeMap::new(),
            now: Duration::ZERO,
            last_tick: Duration::ZERO,
            last_heartbeat: Duration::ZERO,
            stop: Stop::No,
            restarts: 0,
        }
    }

    /// Where engines are started.
    pub fn pools(&self) -> &[Pool] {
        &self.pools
    }

    /// Takes one input; `now` is the time since the controller started and never goes back.
    pub fn handle(&mut self, now: Duration, input: Input, actions: &mut Vec<Action>) {
        if self.stop == Stop::Done {
            return;
        }
        self.now = self.now.max(now);
        let before = actions.len();
        match input {
            Input::FromEngine(peer, message) => self.engine_said(peer, message, actions),
            Input::FromClient(peer, message) => self.client_said(peer, message, actions),
            Input::EngineDisconnected(peer) => self.engine_disconnected(&peer, "lost its connection", false, actions),
            Input::ClientDisconnected(peer) => self.client_disconnected(&peer),
            Input::Malformed => self.rejected += 1,
            Input::EngineLate(id) => self.engine_late(id, actions),
            Input::EngineExited(id, exit) => self.engine_exited(id, exit, actions),
            Input::Queue(queue) => self.queue = queue,
            Input::Tick => self.tick(actions),
            Input::Shutdown => self.shut_down(None, actions),
        }
        self.go_on_stopping(actions);
        self.put_on_lines(before, actions);
    }

    fn tick(&mut self, actions: &mut Vec<Action>) {
        // When this process itself didn't run (stopped, or starved of CPU), everybody seems to have been silent,
        // while their messages wait to be read: that time doesn't count.
        let pause = self.now.saturating_sub(self.last_tick);
        self.last_tick = self.now;
        if pause > self.config.heartbeat {
            self.engines.values_mut().for_each(|engine| engine.last_seen += pause);
            self.clients.values_mut().for_each(|client| client.seen += pause);
        }
        if self.now.saturating_sub(self.last_heartbeat) >= self.config.heartbeat {
            self.last_heartbeat = self.now;
            let to: Vec<PeerId> = self.engines.values().filter_map(Engine::peer).cloned().collect();
            if !to.is_empty() {
                actions.push(Action::ToEngines(to, ToEngine::Heartbeat));
            }
        }
        self.confirm_all(actions);
        self.check_engines(actions);
        self.check_clients(actions);
        self.check_tasks(actions);
        self.go_before_the_end(actions);
        self.follow_work(actions);
        self.dismiss_drained(actions);
        self.tell_log(actions);
    }

    /// Tells the log's news to those who follow it.
    fn tell_log(&mut self, actions: &mut Vec<Action>) {
        let (after, new) = self.log.take_new(self.now);
        if new.is_empty() {
            return;
        }
        let followers = self.log.followers();
        if !followers.is_empty() {
            actions.push(Action::ToClients(followers, Arc::new(ToClient::Log { after, entries: new.clone() })));
        }
        if self.config.records {
            actions.push(Action::Record(new));
        }
    }

    fn tell_clients(&self, message: ToClient, actions: &mut Vec<Action>) {
        if !self.clients.is_empty() {
            actions.push(Action::ToClients(self.clients.keys().cloned().collect(), Arc::new(message)));
        }
    }

    /// The cluster is to stop; a client wants it, or the program around the controller.
    fn shut_down(&mut self, who: Option<ClientInfo>, actions: &mut Vec<Action>) {
        if self.stop != Stop::No {
            return;
        }
        self.stop = Stop::Since { since: self.now, killed: false };
        let engines: Vec<PeerId> = self.engines.values().filter_map(Engine::peer).cloned().collect();
        if !engines.is_empty() {
            actions.push(Action::ToEngines(engines, ToEngine::Shutdown));
        }
        self.log(LogEvent::Stopping { by: who.clone() });
        self.tell_log(actions);
        self.tell_clients(ToClient::ShuttingDown(who), actions);
        // Those who haven't joined yet can't be told.
        for (&id, engine) in &self.engines {
            if matches!(engine.state, State::Starting { .. }) {
                actions.push(Action::KillEngine(id));
            }
        }
    }

    fn go_on_stopping(&mut self, actions: &mut Vec<Action>) {
        let Stop::Since { since, killed } = self.stop else { return };
        let waited = self.now.saturating_sub(since);
        let processes = self.engines.values().any(|engine| engine.process.is_some());
        let connected = self.engines.values().any(|engine| engine.peer().is_some());
        if (!processes && (!connected || waited >= LEAVE_GRACE)) || waited >= KILL_GRACE {
            self.stop = Stop::Done;
            actions.push(Action::Stop);
        } else if processes && waited >= STOP_GRACE && !killed {
            self.stop = Stop::Since { since, killed: true };
            let running = self.engines.iter().filter(|(_, engine)| engine.process.is_some());
            actions.extend(running.map(|(&id, _)| Action::KillEngine(id)));
        }
    }

    /// What engines wait for, as far as it was told.
    pub fn queue(&self) -> Option<&str> {
        self.queue.as_deref()
    }

    /// For this client.
    fn status(&self, peer: &PeerId) -> ClusterStatus {
        let engines = self.engines.iter().filter_map(|(&id, engine)| {
            let info = engine.info()?.clone();
            Some(EngineStatus {
                id,
                info,
                busy: !engine.runs.is_empty(),
                runs_done: engine.runs_done,
                runs_failed: engine.runs_failed,
                restarts: engine.restarts,
                silent_ms: millis(self.now.saturating_sub(engine.last_seen)),
                running: engine.runs.front().map(|run| run.label.clone()),
                draining: engine.draining,
                away: engine.away.is_some(),
            })
        });
        ClusterStatus {
            name: self.config.name.clone(),
            pid: self.config.pid,
            uptime_ms: millis(self.now),
            engines: engines.collect(),
            queue: self.queue.clone(),
            adapt: self.adapt,
            given_up: self.given_up.clone(),
            failing: self.engines.iter().filter_map(|(&id, engine)| Some((id, engine.failed.clone()?))).collect(),
            starting: self.engines.values().filter(|it| it.info().is_none() && !it.draining).count() as u32,
            sessions: self.sessions.len() as u32,
            users: self.sessions.iter().map(|(&id, session)| self.session_status(id, session, peer)).collect(),
            rejected: self.rejected,
            restarts: self.restarts,
        }
    }

    fn session_status(&self, id: SessionId, session: &Session, peer: &PeerId) -> SessionStatus {
        let mut runs = self.engines.values().flat_map(|engine| &engine.runs);
        let running = runs.find(|run| run.session == id).map(|run| run.label.clone());
        SessionStatus {
            client: session.client.clone(),
            own: session.is_owned_by(peer),
            number: session.number,
            running,
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
