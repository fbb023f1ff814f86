//! Keeps a worker process: gives it jobs one at a time, reads what it prints, sees how it dies, replaces it.
//!
//! It never runs user code and never waits for a worker or for a reader of events: commands are heard at any time.

mod ledger;
mod live;
mod markers;
mod process;
mod task;

pub(crate) use process::watch;

use chorus_protocol::{Aftermath, Death, Entry, Outcome, RunEvent, RunId, SnapshotPolicy, Variables};
use chorus_system::reading::{Pipe, Reader};
use parking_lot::Mutex;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Events that wait for their reader; at most this many times [`chorus_protocol::OUTPUT_CHUNK`] of output.
const EVENTS_WAITING: usize = 16;

/// How long [`Worker::start`] waits for the program to say that it is a worker.
const START_LIMIT: Duration = Duration::from_secs(20);

/// How long [`Worker::environment`] and [`Worker::variables_now`] wait for a worker that may be running a cell.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// How to start a worker.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// A program that calls [`crate::worker_main`].
    pub program: PathBuf,
    /// Its arguments, such as `worker`; this process's id is put after them.
    pub args: Vec<OsString>,
    /// Added to this process's environment.
    pub env: Vec<(OsString, OsString)>,
    /// Where it runs; here if `None`.
    pub folder: Option<PathBuf>,
}

/// One run of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The run's name in events.
    pub run: RunId,
    /// Libraries to load first, in this order, once a worker.
    pub preload: Vec<PathBuf>,
    /// The object.
    pub object: PathBuf,
    /// What to call.
    pub entry: Entry,
    /// What it is given besides.
    pub argument: Vec<u8>,
    /// The encoded [`px::group::Info`] of its group; nothing if it has none.
    pub group: Vec<u8>,
    /// `px::rank()`.
    pub rank: u32,
    /// `px::size()`.
    pub size: u32,
    /// The generation of the variables that the object needs, see [`chorus_protocol::Target::generation`].
    pub generation: Option<u32>,
    /// When to keep a snapshot, from this run on.
    pub snapshots: SnapshotPolicy,
}

/// What a worker's owner hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkerEvent {
    /// Something happened in a run. Each job's last event is one [`RunEvent::Done`].
    Run {
        /// Which.
        run: RunId,
        /// What.
        event: RunEvent,
    },
    /// The worker died while it ran nothing, and is replaced.
    Lost {
        /// How.
        death: Death,
        /// What became of the variables.
        aftermath: Aftermath,
        /// The generation of its replacement.
        generation: u32,
    },
    /// A cell, perhaps one that has ended and left a thread, wants to know something and waits for [`Worker::answer`].
    Ask {
        /// The question's.
        ticket: u64,
        /// An encoded [`px::link::Ask`], if the cell hasn't written to its worker's socket by itself.
        ask: Vec<u8>,
    },
    /// The cell waits for [`Worker::input`].
    Input {
        /// Which run.
        run: RunId,
        /// What to ask.
        prompt: String,
        /// Whether to hide what is typed.
        password: bool,
    },
}

/// Why there is no worker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The program can't be started.
    #[error("the worker program {program} can't be started: {reason}")]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The program ended at once.
    #[error("the worker program {program} {death} before it was ready{}{stderr}", if stderr.is_empty() { "" } else { ": " })]
    Died {
        /// The program.
        program: PathBuf,
        /// How it ended.
        death: Death,
        /// What it said about it.
        stderr: String,
    },
    /// The program doesn't speak.
    #[error("the worker program {program} wasn't ready after {} s: is it a Chorus program?", START_LIMIT.as_secs())]
    Silent {
        /// The program.
        program: PathBuf,
    },
}

/// What becomes of a cell that reads its stdin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// It waits for [`Worker::input`].
    Awaited,
    /// Its run ends with [`Death::NoInput`]. Programs that it started find their stdin at its end.
    Refused,
}

#[derive(Debug)]
enum Command {
    Submit(Job),
    End(RunId, Outcome),
    EndRun(RunId, bool),
    Interrupt(i32),
    Restart,
    Input(String),
    Answer(u64, Vec<u8>),
    Environment(oneshot::Sender<Environment>),
    Variables(oneshot::Sender<Arc<Variables>>),
}

/// The variables of a process's environment.
pub type Environment = Vec<(OsString, OsString)>;

/// What the task tells the handle.
#[derive(Debug, Default)]
struct Shared {
    pid: AtomicU32,
    /// The process that carries on when the worker dies; 0 while there is none.
    snapshot: AtomicU32,
    generation: AtomicU32,
    /// What the cells' variables take.
    variables: Mutex<Arc<Variables>>,
    /// The worker's stdin.
    stdin: Mutex<Option<Pipe>>,
}

/// A worker process and its successors. Dropping it kills them; [`Worker::close`] also waits for that.
#[derive(Debug)]
pub struct Worker {
    /// It can't grow: the task always takes commands, and has no more of them than its owner was asked for.
    commands: mpsc::UnboundedSender<Command>,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Worker {
    /// Starts a worker and waits until it is ready.
    pub async fn start(config: WorkerConfig) -> Result<(Worker, mpsc::Receiver<WorkerEvent>), StartError> {
        let program = config.program.clone();
        let (ready, is_ready) = oneshot::channel();
        let (worker, events) = Worker::launch(config, Input::Awaited, Some(ready));
        match tokio::time::timeout(START_LIMIT, is_ready).await {
            Ok(Ok(Ok(()))) => Ok((worker, events)),
            Ok(Ok(Err(error))) => Err(error),
            Ok(Err(_)) | Err(_) => Err(StartError::Silent { program }),
        }
    }

    /// Has a worker started, and doesn't wait. If it can't be started, each job says so.
    pub(crate) fn launch(
        config: WorkerConfig,
        input: Input,
        ready: Option<oneshot::Sender<Result<(), StartError>>>,
    ) -> (Worker, mpsc::Receiver<WorkerEvent>) {
        let (commands, commands_of_task) = mpsc::unbounded_channel();
        let (events_of_task, events) = mpsc::channel(EVENTS_WAITING);
        let shared = Arc::new(Shared::default());
        let task = task::Task::new(config, input, ready, commands_of_task, events_of_task, shared.clone());
        (Worker { commands, shared, task: tokio::spawn(task.run()) }, events)
    }

    /// Has a job run when the earlier ones are done.
    pub fn submit(&self, job: Job) {
        self.send(Command::Submit(job));
    }

    /// Has a run end with this outcome, without having started, when the earlier ones are done.
    pub(crate) fn end(&self, run: RunId, outcome: Outcome) {
        self.send(Command::End(run, outcome));
    }

    /// Ends this run, if it hasn't ended, and no other. One that has begun is ended only if it is to be killed.
    pub(crate) fn end_run(&self, run: RunId, kill: bool) {
        self.send(Command::EndRun(run, kill));
    }

    /// Ends the job that runs, and cancels those that wait; does nothing when nothing runs. SIGKILL replaces the
    /// worker, by its snapshot if there is one; any other signal is only sent, to the worker and to what its cells started.
    pub fn interrupt(&self, signal: i32) {
        self.send(Command::Interrupt(signal));
    }

    /// Replaces the worker by a fresh one. The job that runs is ended, those that wait are cancelled.
    pub fn restart(&self) {
        self.send(Command::Restart);
    }

    /// Answers [`WorkerEvent::Input`]: writes a line to the worker's stdin. The newline is added.
    pub fn input(&self, line: String) {
        self.send(Command::Input(line));
    }

    /// Answers [`WorkerEvent::Ask`] with an encoded [`px::link::Answer`].
    pub fn answer(&self, ticket: u64, answer: Vec<u8>) {
        self.send(Command::Answer(ticket, answer));
    }

    /// The worker's process id; 0 while there is none.
    pub fn pid(&self) -> u32 {
        self.shared.pid.load(Ordering::Acquire)
    }

    /// The process id of the worker's snapshot; 0 while there is none.
    pub fn snapshot_pid(&self) -> u32 {
        self.shared.snapshot.load(Ordering::Acquire)
    }

    /// What the cells' variables take, as the worker has said when it had nothing to do.
    pub fn variables(&self) -> Arc<Variables> {
        Arc::clone(&self.shared.variables.lock())
    }

    /// What they take now; what the worker has said if it says nothing: it may run a cell.
    pub async fn variables_now(&self) -> Arc<Variables> {
        let (asker, answer) = oneshot::channel();
        self.send(Command::Variables(asker));
        match tokio::time::timeout(ANSWER_LIMIT, answer).await {
            Ok(Ok(variables)) => variables,
            _ => self.variables(),
        }
    }

    /// A path that leads to the folder in which cells run, even if that was removed; `None` while there is no worker.
    pub fn folder(&self) -> Option<PathBuf> {
        let pid = self.pid();
        (pid != 0).then(|| chorus_system::process::folder(pid))
    }

    /// The environment that cells have; `None` if there is no worker that would say.
    pub async fn environment(&self) -> Option<Environment> {
        let (asker, answer) = oneshot::channel();
        self.send(Command::Environment(asker));
        tokio::time::timeout(ANSWER_LIMIT, answer).await.ok()?.ok()
    }

    /// Whether a cell is blocked in reading its stdin, without having said so as evcxr wants it.
    pub fn is_reading(&self) -> bool {
        let stdin = *self.shared.stdin.lock();
        stdin.and_then(|stdin| stdin.reader(self.pid())) == Some(Reader::Process)
    }

    /// The generation of the variables. Events that are on their way may be older.
    pub fn generation(&self) -> u32 {
        self.shared.generation.load(Ordering::Acquire)
    }

    /// Kills the worker and all that its cells started, and waits for their end.
    pub async fn close(self) {
        drop(self.commands);
        // An error is a panic of the task, whose fields are dropped then, and the worker killed.
        let _ = self.task.await;
    }

    fn send(&self, command: Command) {
        // The task ends before this handle only when nobody reads its events.
        let _ = self.commands.send(command);
    }
}
