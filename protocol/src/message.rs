//! The messages. `FromX` goes to the controller, `ToX` comes from it.
//!
//! A run, seen from one engine, is the sequence `Started`, any number of `Output`, `Display`, `ClearOutput` and
//! `Panic`, and one `Done`. Output that a run's threads or child processes write later still carries its [`RunId`].

use crate::id::{BlobId, EngineId, MapId, RunId, SessionId, TaskId};
use crate::map::{MapEvent, MapSpec, Piece, Report};
use crate::snapshot::{Aftermath, NoSnapshot, SnapshotPolicy, SnapshotState};
use crate::task::{TaskEvent, TaskSpec, TaskValue};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// Bytes of output that a session may have on the way from one engine, unacknowledged by its client, before that
/// engine stops reading its worker's pipes. This is what bounds memory when a cell prints a gigabyte.
pub const OUTPUT_WINDOW: usize = 1 << 20;

/// What an event with output counts against [`OUTPUT_WINDOW`] besides its bytes: a cell that prints a line at a time
/// makes many small events, and these take memory and time too.
pub const EVENT_WEIGHT: usize = 512;

/// The largest piece of a stream in one [`RunEvent::Output`], in bytes.
pub const OUTPUT_CHUNK: usize = 64 << 10;

/// One object, to be loaded and called once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSpec {
    /// Whose namespace.
    pub session: SessionId,
    /// Which run.
    pub run: RunId,
    /// Libraries that are loaded first, in this order, once a worker: the standard library.
    pub preload: Vec<BlobId>,
    /// The cell's object.
    pub object: BlobId,
    /// What to call.
    pub entry: Entry,
    /// What it is given besides; only px and the client know what that is.
    #[serde(with = "serde_bytes")]
    pub argument: Vec<u8>,
    /// The map that it serves, if it does.
    pub map: Option<MapId>,
    /// What monitors show for it: the beginning of the cell's text.
    pub label: String,
    /// Whether its variables are to outlive a worker that dies in it.
    pub snapshots: SnapshotPolicy,
}

/// What is called in an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// The cell: this symbol takes and returns the variables.
    Cell(String),
    /// A function so many bytes behind the object's beginning in memory. It takes and returns nothing, and leaves the
    /// variables alone.
    Function(u64),
}

impl From<&str> for Entry {
    fn from(symbol: &str) -> Entry {
        Entry::Cell(symbol.to_owned())
    }
}

/// One engine of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The engine.
    pub engine: EngineId,
    /// The variables that the object was compiled against, as [`RunEvent::Done`] and [`ToClient::WorkerLost`] count
    /// them, or `None` when the object needs no variable.
    ///
    /// An engine's generation of a session starts at 0 and grows by one whenever its variables become other than the
    /// success of each run would make them: a run ends with any outcome but `Ok`, or its worker is replaced (by a
    /// snapshot too, if that is of before a run that was taken for a success). An engine answers a run of another generation with [`Outcome::Stale`], since loading a variable that isn't there
    /// would abort the worker.
    pub generation: Option<u32>,
}

/// stdout or stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One representation of a displayed value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MimeContent {
    /// Such as `text/html`.
    pub mime: String,
    /// As evcxr's content protocol carries it: text, or base64 for binary types.
    pub content: String,
}

/// What becomes of a displayed value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DisplayKind {
    /// It is the value of an expression: the last of a cell may be the cell's result.
    Value,
    /// It is an output of its own, and stays as it is.
    Once,
    /// It is an output of its own, which can be replaced under this name. A name is unique on its engine.
    New(String),
    /// It replaces the output of this name, perhaps an earlier cell's.
    Update(String),
}

/// A panic of the cell's own thread or of a thread that it started.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Panic {
    /// What was passed to `panic!`.
    pub message: String,
    /// The file as rustc named it; the cell's own code is in `src/lib.rs`.
    pub file: String,
    /// 1-based line in that file; the client maps it to the user's cell.
    pub line: u32,
    /// 1-based column.
    pub column: u32,
    /// The thread's name, `None` for the thread that runs the cell.
    pub thread: Option<String>,
    /// The functions of the run's object that were being called, the innermost first: where each goes on when the
    /// call returns, as an address in the object's file.
    pub frames: Vec<u64>,
}

/// How a worker process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Death {
    /// It called `exit` with this status.
    Exit(i32),
    /// This signal killed it.
    Signal(i32),
    /// It was stopped on purpose: an interrupt or a restart.
    Stopped,
    /// The engine's whole process is gone, with its worker.
    EngineLost,
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Death::Exit(status) => write!(f, "exited with status {status}"),
            Death::Signal(signal) => match signal_name(signal) {
                Some((name, meaning)) => write!(f, "was killed by signal {signal} ({name}: {meaning})"),
                None => write!(f, "was killed by signal {signal}"),
            },
            Death::Stopped => f.write_str("was stopped"),
            Death::EngineLost => f.write_str("was lost with its engine's process"),
        }
    }
}

/// Name and meaning of the signals that end programs on Linux.
pub fn signal_name(signal: i32) -> Option<(&'static str, &'static str)> {
    Some(match signal {
        1 => ("SIGHUP", "hangup"),
        2 => ("SIGINT", "interrupt"),
        3 => ("SIGQUIT", "quit"),
        4 => ("SIGILL", "illegal instruction"),
        6 => ("SIGABRT", "abort"),
        7 => ("SIGBUS", "bus error"),
        8 => ("SIGFPE", "arithmetic error"),
        9 => ("SIGKILL", "killed, perhaps for memory"),
        10 => ("SIGUSR1", "user signal 1"),
        11 => ("SIGSEGV", "segmentation fault or stack overflow"),
        12 => ("SIGUSR2", "user signal 2"),
        13 => ("SIGPIPE", "broken pipe"),
        14 => ("SIGALRM", "timer"),
        15 => ("SIGTERM", "terminated"),
        24 => ("SIGXCPU", "CPU time limit"),
        25 => ("SIGXFSZ", "file size limit"),
        _ => return None,
    })
}

/// How a run ended on one engine.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// The cell ran to its end.
    Ok,
    /// The cell's own thread panicked. Variables that the cell newly defined are gone, others stand.
    Panicked,
    /// A `?` returned early. Variables that the cell newly defined are gone, others stand.
    ReturnedError,
    /// Nothing ran: these variables' types were redefined since they were stored, so they are gone.
    TypesChanged(Vec<String>),
    /// The worker died, and what became of the variables. Another one runs under the same engine.
    Died(Death, Aftermath),
    /// Nothing ran: the variables that the run was compiled against are no longer there.
    Stale,
    /// Nothing ran: the object couldn't be loaded.
    LoadFailed(String),
    /// Nothing ran: there is no such engine.
    NoSuchEngine,
    /// Nothing ran: the run was taken out of the queue by an interrupt.
    Cancelled,
}

impl Outcome {
    /// An end that no snapshot outlives.
    pub fn died(death: Death) -> Outcome {
        Outcome::Died(death, Aftermath::Lost(NoSnapshot::Ended))
    }
}

/// What a run took, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Took {
    /// On the clock.
    pub wall: u64,
    /// Of the processors, in the worker's own code, all its threads together.
    pub user: u64,
    /// Of the processors, in the system on the worker's behalf.
    pub system: u64,
}

/// What happens in a run on one engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunEvent {
    /// The worker calls the cell, and has this snapshot of before it.
    Started(SnapshotState),
    /// Bytes that the cell printed, at most [`OUTPUT_CHUNK`]; a character may be cut in two.
    Output {
        /// Where it printed them.
        stream: Stream,
        /// As printed.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// The cell displayed a value.
    Display {
        /// What becomes of it.
        kind: DisplayKind,
        /// All its representations.
        contents: Vec<MimeContent>,
    },
    /// The cell's outputs so far are to go; with `wait`, when the next one comes.
    ClearOutput {
        /// Whether to wait for the next output.
        wait: bool,
    },
    /// A thread panicked.
    Panic(Panic),
    /// The run is over on this engine.
    Done {
        /// How.
        outcome: Outcome,
        /// The generation of the variables that what comes next will find, see [`Target::generation`].
        generation: u32,
        /// What it took in the worker, from the call to the return; nothing when nothing ran.
        took: Took,
    },
}

impl RunEvent {
    /// Bytes that count against [`OUTPUT_WINDOW`].
    pub fn weight(&self) -> usize {
        let bytes = match self {
            RunEvent::Output { bytes, .. } => bytes.len(),
            RunEvent::Display { contents, .. } => contents.iter().map(|c| c.content.len()).sum(),
            RunEvent::ClearOutput { .. } => 0,
            RunEvent::Panic(panic) => panic.message.len() + size_of_val(panic.frames.as_slice()),
            RunEvent::Started(_) | RunEvent::Done { .. } => return 0,
        };
        bytes + EVENT_WEIGHT
    }
}

/// What an engine tells of itself when it joins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineInfo {
    /// Its process (the supervisor).
    pub pid: u32,
    /// Its host's name.
    pub host: String,
    /// Cores of that host.
    pub cores: u32,
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
    /// How many of these ended with anything but [`Outcome::Ok`].
    pub runs_failed: u64,
    /// How often a worker or the engine's process died and was replaced.
    pub restarts: u64,
    /// Milliseconds since its last sign of life.
    pub silent_ms: u64,
    /// The label of the run under way.
    pub running: Option<String>,
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
    /// Open sessions.
    pub sessions: u32,
    /// Messages that were dropped because they weren't signed or didn't decode, and connections that never spoke
    /// the protocol.
    pub rejected: u64,
}

/// From an engine to the controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    },
    /// A sign of life.
    Heartbeat,
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
    },
    /// The registration is refused: the engine says why and exits.
    Refused(String),
    /// A sign of life.
    Heartbeat,
    /// Run an object when the session's earlier runs are done. The session's worker is started if there is none.
    Run {
        /// What to run.
        spec: RunSpec,
        /// See [`Target::generation`].
        generation: Option<u32>,
        /// `px::rank()`: this engine's place among the cluster's engines.
        rank: u32,
        /// `px::size()`: the number of the cluster's engines.
        size: u32,
    },
    /// The bytes of a blob.
    Blob {
        /// Its name.
        id: BlobId,
        /// Its bytes, or `None` when the controller doesn't have it either.
        bytes: Option<serde_bytes::ByteBuf>,
    },
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
        /// Their name.
        id: BlobId,
        /// The bytes.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// Run an object on these engines. Its blobs were put before.
    Run {
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
    /// Share out a map. The runs that serve it are submitted by themselves, before or after.
    OpenMap(MapSpec),
    /// End a map: its runs are told to.
    CloseMap {
        /// Whose.
        session: SessionId,
        /// Which.
        map: MapId,
    },
    /// Have a function called when the tasks that it needs are done.
    SubmitTask(TaskSpec),
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
    /// Replace the session's workers on these engines by fresh ones.
    RestartSession {
        /// Whose workers.
        session: SessionId,
        /// Where.
        targets: Vec<EngineId>,
    },
    /// Ask for the cluster's status.
    Status,
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToClient {
    /// The answer to `Hello`.
    Welcome(ClusterStatus),
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
    },
    /// The answer to `Status`.
    Status(ClusterStatus),
    /// The cluster stops.
    ShuttingDown,
    /// The controller doesn't have this session, or not for this client: it was closed while the client was away.
    SessionGone(SessionId),
}

/// Where the files of a cluster lie: `$CHORUS_RUNTIME_DIR`, else `$XDG_RUNTIME_DIR/chorus`, else
/// `/tmp/chorus-UID`. The folder is private to its user (0700).
pub fn runtime_folder(
    chorus_runtime_dir: Option<PathBuf>,
    xdg_runtime_dir: Option<PathBuf>,
    temp: PathBuf,
    uid: u32,
) -> PathBuf {
    match (chorus_runtime_dir, xdg_runtime_dir) {
        (Some(folder), _) => folder,
        (None, Some(folder)) => folder.join("chorus"),
        (None, None) => temp.join(format!("chorus-{uid}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deaths_read_as_sentences() {
        assert_eq!(Death::Exit(3).to_string(), "exited with status 3");
        assert_eq!(
            Death::Signal(11).to_string(),
            "was killed by signal 11 (SIGSEGV: segmentation fault or stack overflow)"
        );
        assert_eq!(Death::Signal(63).to_string(), "was killed by signal 63");
    }

    #[test]
    fn only_what_the_user_made_counts_against_the_window() {
        assert_eq!(RunEvent::Started(Err(NoSnapshot::Off)).weight(), 0);
        assert_eq!(RunEvent::Output { stream: Stream::Stdout, bytes: vec![0; 10] }.weight(), 10 + EVENT_WEIGHT);
    }

    #[test]
    fn the_runtime_folder_follows_the_environment() {
        let at = |a: Option<&str>, b: Option<&str>| {
            runtime_folder(a.map(Into::into), b.map(Into::into), "/tmp".into(), 7).display().to_string()
        };
        assert_eq!(at(Some("/a"), Some("/b")), "/a");
        assert_eq!(at(None, Some("/b")), "/b/chorus");
        assert_eq!(at(None, None), "/tmp/chorus-7");
    }
}
