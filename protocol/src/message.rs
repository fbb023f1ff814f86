//! The messages. `FromX` goes to the controller, `ToX` comes from it.

use crate::group::{Group, Parting};
use crate::id::{BlobId, EngineId, MapId, RunId, SessionId, TaskId};
use crate::log::{LogEntry, Metrics, NotebookUse, Variables};
use crate::map::{MapEvent, MapSpec, Piece, Report};
use crate::resume::Standing;
use crate::run::{Death, RunEvent, RunSpec, Target};
use crate::snapshot::Aftermath;
use crate::status::{ClientInfo, ClusterStatus, EngineInfo};
use crate::steer::Order;
use crate::task::{TaskEvent, TaskSpec, TaskValue};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// From an engine to the controller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromEngine {
    /// The first message of a connection.
    Register {
        /// [`crate::VERSION`] of the engine.
        version: u16,
        /// The id that the controller's launcher gave it, or `None` for an engine that joins by hand.
        id: Option<EngineId>,
        /// Who it is.
        info: EngineInfo,
        /// Whether it can open files in the controller's blob folder.
        shares_files: bool,
        /// Where it goes on.
        standing: Standing,
    },
    /// A sign of life.
    Heartbeat,
    /// The engine has dealt with so many numbered messages, see [`ToEngine::is_numbered`].
    Received(u64),
    /// The engine lacks these bytes: answer with [`ToEngine::Blob`].
    NeedBlob(BlobId),
    /// Something happened in a run.
    Run {
        /// Whose.
        session: SessionId,
        /// Which.
        run: RunId,
        /// What.
        event: RunEvent,
    },
    /// A session's worker died while it ran nothing, and was replaced.
    WorkerLost {
        /// Whose worker.
        session: SessionId,
        /// How it died.
        death: Death,
        /// What became of its variables.
        aftermath: Aftermath,
        /// The generation of the worker that replaces it.
        generation: u32,
    },
    /// A run that serves a map is ready for items, or for more of them.
    MapReady {
        /// Whose map.
        session: SessionId,
        /// Which.
        map: MapId,
        /// What was done since the last time.
        reports: Vec<Report>,
    },
    /// What the function returned that a run calls; the run's end follows.
    Result {
        /// Whose.
        session: SessionId,
        /// Which run.
        run: RunId,
        /// What.
        value: TaskValue,
    },
    /// A run uses its group, whose memory is there: from now on, its members are to be told of those that have left.
    Joined {
        /// Whose.
        session: SessionId,
        /// Which run.
        run: RunId,
    },
    /// What it uses; about once a second.
    Metrics(Box<Metrics<SessionId>>),
    /// What the variables of a session take; at most once a second, when that has changed.
    Holds {
        /// Whose.
        session: SessionId,
        /// How much.
        variables: Variables,
    },
    /// The engine leaves on its own accord.
    Goodbye,
}

/// From the controller to an engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToEngine {
    /// The answer to `Register`.
    Registered {
        /// The engine's id.
        id: EngineId,
        /// Send a `Heartbeat` this often, in milliseconds, and expect one as often.
        heartbeat_ms: u32,
        /// How many of the engine's numbered messages the controller has dealt with: it sends the others again.
        received: u64,
    },
    /// The registration is refused: the engine says why and exits.
    Refused(String),
    /// A sign of life.
    Heartbeat,
    /// The controller has dealt with so many numbered messages, see [`FromEngine::is_numbered`].
    Received(u64),
    /// Run an object when the session's earlier runs are done. The session's worker is started if there is none.
    Run {
        /// Whose namespace.
        session: SessionId,
        /// Which run.
        run: RunId,
        /// What to run.
        spec: RunSpec,
        /// See [`Target::generation`].
        generation: Option<u32>,
        /// This engine's place among the cluster's engines: `px::rank()` where nothing is done together.
        rank: u32,
        /// The number of the cluster's engines.
        size: u32,
        /// Whom it does that together with, and its rank among these.
        group: Option<Box<(Group, u32)>>,
    },
    /// A member of a group that is used has ended its run, and others may wait for it.
    MemberLeft {
        /// Whose.
        group: Group,
        /// Which member.
        rank: u32,
        /// How.
        how: Parting,
    },
    /// The bytes of a blob.
    Blob {
        /// Its name.
        id: BlobId,
        /// Its bytes, or `None` when the controller doesn't have it either.
        bytes: Option<Bytes>,
    },
    /// Nobody needs this blob any more.
    DropBlob(BlobId),
    /// The client has taken this many bytes of the session's output.
    Ack {
        /// Whose output.
        session: SessionId,
        /// How much.
        bytes: u64,
    },
    /// End what the session runs and drop what it has queued.
    Interrupt {
        /// Whose runs.
        session: SessionId,
        /// The signal for the worker; SIGKILL replaces it by a fresh one.
        signal: i32,
    },
    /// Items for the run that serves this map, behind those that it has.
    MapWork {
        /// Whose map.
        session: SessionId,
        /// Which.
        map: MapId,
        /// The items.
        pieces: Vec<Piece>,
    },
    /// There are no more items, and those that the run has and hasn't begun aren't wanted: it ends.
    MapEnd {
        /// Whose map.
        session: SessionId,
        /// Which.
        map: MapId,
    },
    /// End one run, and no other: it is taken out of the queue, and ends as cancelled.
    EndRun {
        /// Whose.
        session: SessionId,
        /// Which.
        run: RunId,
        /// Whether to end it also if it has begun, by killing its worker.
        kill: bool,
    },
    /// Start a session's worker, so that its first run finds it ready.
    OpenSession(SessionId),
    /// Replace the session's worker by a fresh one.
    RestartSession(SessionId),
    /// End the session's worker.
    CloseSession(SessionId),
    /// End what all sessions run and drop what they have queued, as `Interrupt` does for one.
    InterruptAll(i32),
    /// Replace all sessions' workers by fresh ones.
    RestartAll,
    /// End all workers and exit.
    Shutdown,
}

/// From a client to the controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromClient {
    /// The first message of a connection.
    Hello {
        /// [`crate::VERSION`] of the client.
        version: u16,
        /// Who it is.
        info: ClientInfo,
        /// A random number of the client: whoever has the same goes on where it was.
        life: u64,
    },
    /// A sign of life; the controller answers with [`ToClient::Pong`].
    Ping,
    /// Open a session; its events come to this client. A client that connects again after losing the controller's
    /// socket opens it again and goes on.
    OpenSession(SessionId),
    /// Close it: its workers end.
    CloseSession(SessionId),
    /// Keep these bytes, so that runs can name them.
    PutBlob {
        /// Whose runs will. Without a session, they are kept for as long as the cluster lives: a library, which all
        /// objects need.
        session: Option<SessionId>,
        /// Their name.
        id: BlobId,
        /// The bytes.
        bytes: Bytes,
    },
    /// The session's runs that name this blob have ended, and there will be no more.
    DropBlob {
        /// Whose runs.
        session: SessionId,
        /// Which blob.
        id: BlobId,
    },
    /// Run an object on these engines. Its blobs were put before.
    Run {
        /// Whose namespace.
        session: SessionId,
        /// Which run.
        run: RunId,
        /// What to run.
        spec: RunSpec,
        /// Where.
        targets: Vec<Target>,
    },
    /// This client has taken so many bytes of an engine's output.
    Ack {
        /// Whose output.
        session: SessionId,
        /// From which engine.
        engine: EngineId,
        /// How much.
        bytes: u64,
    },
    /// End what the session runs on these engines and drop what it has queued there.
    Interrupt {
        /// Whose runs.
        session: SessionId,
        /// Where.
        targets: Vec<EngineId>,
        /// The signal for the workers; SIGKILL replaces them by fresh ones.
        signal: i32,
    },
    /// End one run on an engine, and its worker if it is at work at it.
    EndRun {
        /// Whose run.
        session: SessionId,
        /// Which.
        run: RunId,
        /// Where.
        engine: EngineId,
    },
    /// Share out a map. The runs that serve it are submitted by themselves, before or after.
    OpenMap {
        /// Whose.
        session: SessionId,
        /// Which.
        map: MapId,
        /// What it is.
        spec: MapSpec,
    },
    /// End a map: its runs are told to.
    CloseMap {
        /// Whose.
        session: SessionId,
        /// Which.
        map: MapId,
    },
    /// Let a map rest: its runs are told to end after the items that they are at, and nothing is handed out that nobody
    /// has had yet. Or let it go on, with runs that are submitted then.
    RestMap {
        /// Whose.
        session: SessionId,
        /// Which.
        map: MapId,
        /// Whether it rests from now on.
        rests: bool,
    },
    /// Have a function called when the tasks that it needs are done.
    SubmitTask {
        /// Whose.
        session: SessionId,
        /// Which.
        task: TaskId,
        /// What to call.
        spec: TaskSpec,
    },
    /// Have a function called on each of these engines, which are a group: a task each.
    SubmitTogether {
        /// Whose.
        session: SessionId,
        /// The first of them; the others follow.
        first: TaskId,
        /// What to call.
        spec: TaskSpec,
        /// Where, in order.
        engines: Vec<EngineId>,
    },
    /// End a task. Those that need it fail.
    CancelTask {
        /// Whose.
        session: SessionId,
        /// Which.
        task: TaskId,
    },
    /// Nobody will name this task any more: what it returns isn't kept for longer than tasks need it that are there
    /// already.
    ForgetTask {
        /// Whose.
        session: SessionId,
        /// Which.
        task: TaskId,
    },
    /// The client prepares something for engines, such as a cell that is being compiled, and needs all that there are;
    /// or it has prepared it, once for each time that it began to.
    Prepare {
        /// For which session.
        session: SessionId,
        /// Whether it has begun to.
        begins: bool,
    },
    /// Replace the session's workers on these engines by fresh ones.
    RestartSession {
        /// Whose workers.
        session: SessionId,
        /// Where.
        targets: Vec<EngineId>,
    },
    /// Ask for the cluster's status.
    Status,
    /// Send the log from this entry's number on, and what is added to it. What isn't kept any more is replaced by
    /// [`crate::LogEvent::State`]; so 1 gives all there is, and `u64::MAX` the state and what comes.
    FollowLog(u64),
    /// Send no more of the log.
    LeaveLog,
    /// Something was compiled for the session's runs, for the log: its text, microseconds, and whether it came from the
    /// cache.
    Compiled {
        /// Whose.
        session: SessionId,
        /// The beginning of its text.
        label: String,
        /// What it took on the clock, in microseconds.
        micros: u64,
        /// Whether it came from the cache.
        cached: bool,
    },
    /// What the session's notebook holds, for the log; at most once a second, when that has changed.
    Holds {
        /// Whose.
        session: SessionId,
        /// How much.
        held: NotebookUse,
    },
    /// Do this, and answer with [`ToClient::Steered`] under this ticket.
    Steer {
        /// Chosen by the client.
        ticket: u64,
        /// What to do.
        order: Order,
    },
    /// Stop the cluster: engines, then controller.
    Shutdown,
    /// The client leaves; its sessions are closed.
    Goodbye,
    /// Go on with a session after its connection broke. The controller sends again what got lost: the session's
    /// messages ([`ToClient::Run`], [`ToClient::Map`], [`ToClient::Task`] and [`ToClient::WorkerLost`]) after the first `received`. It answers with
    /// [`ToClient::SessionGone`] when it can't.
    Resume {
        /// Which session.
        session: SessionId,
        /// How many of the session's messages this client has received, over all its connections.
        received: u64,
    },
    /// The client has received so many of the session's messages, counted as in `Resume`: the controller need not
    /// keep them any longer.
    Received {
        /// Which session.
        session: SessionId,
        /// How many.
        count: u64,
    },
}

/// From the controller to a client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToClient {
    /// The answer to `Hello`.
    Welcome {
        /// How the cluster is.
        status: ClusterStatus,
        /// How many of the client's numbered messages the controller has dealt with, over all its connections.
        received: u64,
    },
    /// The client is refused, with the reason.
    Refused(String),
    /// A sign of life.
    Pong,
    /// Something happened in a run of one of this client's sessions.
    Run {
        /// Which session.
        session: SessionId,
        /// Which run.
        run: RunId,
        /// On which engine.
        engine: EngineId,
        /// What.
        event: RunEvent,
    },
    /// Something happened in a map of one of this client's sessions.
    Map {
        /// Which session.
        session: SessionId,
        /// Which map.
        map: MapId,
        /// On which engine; `None` for what no engine did.
        engine: Option<EngineId>,
        /// What.
        event: MapEvent,
    },
    /// Something happened to a task of one of this client's sessions. What its run prints comes as [`ToClient::Run`].
    Task {
        /// Which session.
        session: SessionId,
        /// Which task.
        task: TaskId,
        /// What.
        event: TaskEvent,
    },
    /// A worker of one of this client's sessions died while it ran nothing, or in a task.
    WorkerLost {
        /// Which session.
        session: SessionId,
        /// On which engine.
        engine: EngineId,
        /// How.
        death: Death,
        /// What became of its variables.
        aftermath: Aftermath,
        /// The generation of the worker that replaces it.
        generation: u32,
        /// Whether it died in a task, which tells of that itself.
        in_task: bool,
    },
    /// An engine joined, or came back under its id.
    EngineUp {
        /// Its id.
        engine: EngineId,
        /// Who it is.
        info: EngineInfo,
    },
    /// An engine's process is gone, and its variables with it. Runs that it had are ended with
    /// [`Death::EngineLost`] in events of their own.
    EngineDown {
        /// Its id.
        engine: EngineId,
        /// Why, as a sentence.
        reason: String,
        /// Whether the controller starts it again under the same id.
        restarting: bool,
        /// Whether nothing went with it that anybody could miss.
        quiet: bool,
    },
    /// The answer to `Status`.
    Status(ClusterStatus),
    /// What was added to the log.
    Log {
        /// The number that it follows. What is missing between is outdated by what comes.
        after: u64,
        /// The entries, in their order.
        entries: Vec<LogEntry>,
    },
    /// The answer to `Steer`.
    Steered {
        /// The client's.
        ticket: u64,
        /// What was done, or why nothing was, as a sentence.
        result: Result<String, String>,
    },
    /// The cluster stops: this client wanted it to, or the program around the controller.
    ShuttingDown(Option<ClientInfo>),
    /// The controller doesn't have this session, or not for this client: it was closed while the client was away.
    SessionGone(SessionId),
}
