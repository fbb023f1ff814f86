//! A run: what is to be run where, and what happens in it.
//!
//! A run, seen from one engine, is the sequence `Started`, any number of `Output`, `Display`, `ClearOutput` and
//! `Panic`, and one `Done`. Output that a run's threads or child processes write later still carries its [`crate::RunId`].

use crate::id::{BlobId, EngineId, MapId};
use crate::snapshot::{Aftermath, NoSnapshot, SnapshotPolicy, SnapshotState};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;

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
    /// Libraries that are loaded first, in this order, once a worker: the standard library.
    pub preload: Vec<BlobId>,
    /// The cell's object.
    pub object: BlobId,
    /// What to call.
    pub entry: Entry,
    /// What it is given besides; only px and the client know what that is.
    pub argument: Bytes,
    /// Given if its engines are a group: where the object's source has the user's lines, as px encodes it.
    pub together: Option<Bytes>,
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
    /// A function as above that is given the variables. If it fails, they are as before, if there was a snapshot.
    Step {
        /// As above.
        function: u64,
        /// Whether it may change them. It takes none away in any case.
        changes: bool,
    },
}

impl Entry {
    /// Whether variables may be others after it than before.
    pub fn changes_variables(&self) -> bool {
        match self {
            Entry::Cell(_) => true,
            Entry::Function(_) => false,
            Entry::Step { changes, .. } => *changes,
        }
    }
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
    /// The variables that the object was compiled against, as [`RunEvent::Done`] and
    /// [`ToClient::WorkerLost`](crate::ToClient::WorkerLost) count
    /// them, or `None` when the object needs no variable.
    ///
    /// An engine's generation of a session starts at 0 and grows by one whenever its variables become other than the
    /// success of each run would make them: a run ends with any outcome but `Ok`, or its worker is replaced (by a
    /// snapshot too, if that is of before a run that was taken for a success). An engine answers a run of another
    /// generation with [`Outcome::Stale`], since loading a variable that isn't there would abort the worker.
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
    /// It was stopped because the code read its standard input, where nobody can be asked for a line.
    NoInput,
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
            Death::NoInput => f.write_str(
                "was stopped for reading standard input, which cells on engines don't have \
                 (read it in the notebook, and `%push` it)",
            ),
        }
    }
}

/// What Ctrl-C sends: the number of Linux.
pub const SIGINT: i32 = 2;

/// Name and meaning of the signals that end programs on Linux, or stop them and have them go on.
pub fn signal_name(signal: i32) -> Option<(&'static str, &'static str)> {
    Some(match signal {
        1 => ("SIGHUP", "hangup"),
        SIGINT => ("SIGINT", "interrupt"),
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
        18 => ("SIGCONT", "go on"),
        19 => ("SIGSTOP", "stop until SIGCONT"),
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

    /// Why a run failed, as monitors say it, if that is known from its end alone: of a panic, they have the message.
    pub fn why(&self) -> Option<String> {
        match self {
            Outcome::Died(Death::Stopped | Death::EngineLost, _) => None,
            Outcome::Died(death, _) => Some(format!("its worker {death}")),
            Outcome::ReturnedError => Some("it returned an error; the notebook has the message".to_owned()),
            Outcome::LoadFailed(why) => Some(format!("it couldn't be loaded: {why}")),
            _ => None,
        }
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
        bytes: Bytes,
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
        assert_eq!(RunEvent::Output { stream: Stream::Stdout, bytes: vec![0; 10].into() }.weight(), 10 + EVENT_WEIGHT);
    }
}
