//! A worker process that is alive, with all that is half read or half written.

use super::markers::Parser;
use super::process::{Process, read_now};
use crate::wire::{Decoder, FromWorker, Frozen, MESSAGE_MAX, ToWorker, encode};
use bytes::{Buf, BytesMut};
use chorus_protocol::{Aftermath, Death, NoSnapshot, SnapshotState, Stream, Took};
use chorus_system::descriptors;
use std::io::{self, ErrorKind};
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::unix::pipe;
use tokio::time::Instant;

/// Bytes that one read takes.
pub const READ_SIZE: usize = 64 << 10;

/// A value's further representations must follow within this time while its cell goes on.
const DISPLAY_WAIT: Duration = Duration::from_millis(20);

/// A worker that has nothing to do for so long is to take its next snapshot: then no run waits for it, and runs that follow
/// each other at once aren't slowed down by copies that nobody needs. It doesn't count for itself: it must not let go of
/// a snapshot before the end of the run was heard, and can't know that. What it said may be unreadable. Where a thread that a
/// cell has left may end it meanwhile, it doesn't wait for this: it tells of the run's end together with a new snapshot.
const IDLE: Duration = Duration::from_millis(20);

/// A worker that leaves so much unread, in bytes, doesn't listen any more. Each of its threads may wait for one answer.
const UNSENT_MAX: usize = 32 * MESSAGE_MAX;

/// Of what a program says before it is ready, this much is kept for the error.
const LAST_WORDS_MAX: usize = 2048;

/// What there is to do for a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// The process may have ended.
    Ended,
    /// There is something to read.
    Readable,
    /// There is room in its stdin.
    Writable,
    /// There is room in its socket.
    Sendable,
    /// A displayed value has waited long enough for more of its representations.
    DisplayDue,
    /// Nothing has run for so long that it is time for a snapshot.
    FreezeDue,
}

/// See the module.
#[derive(Debug)]
pub struct Live {
    /// The process and its pipes.
    pub process: Process,
    /// Whether it said that it is a worker.
    pub ready: bool,
    /// Whether it was killed on purpose.
    pub stopped: Option<Stop>,
    /// What carries on when it dies.
    pub snapshot: Result<Frozen, NoSnapshot>,
    /// The parser of its stdout.
    pub parser: Parser,
    /// What it wrote to stderr before it was ready.
    pub last_words: Vec<u8>,
    /// The job that runs has returned, and only the output before that is still to be read.
    pub returned: Option<Returned>,
    decoder: Decoder,
    control_open: bool,
    stdout_open: bool,
    stderr_open: bool,
    input: Vec<u8>,
    /// Messages, or their rests, that the socket had no room for. It can't grow: there is one job at a time, and one
    /// answer for each thread that waits for one.
    unsent: BytesMut,
    display_due: Option<Instant>,
    freeze_due: Option<Instant>,
}

/// Why a worker was killed on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The user ended what ran.
    Interrupt,
    /// The user wants a fresh one.
    Restart,
    /// What ran waited for a line on its stdin, and there is nobody to type one.
    NoInput,
    /// What ran has failed, and its snapshot has the variables as they were.
    Undo,
}

/// A job that has returned.
#[derive(Clone, Copy, Debug)]
pub struct Returned {
    /// What the call took.
    pub took: Took,
    /// See [`FromWorker::Done`].
    pub failed: bool,
    stdout_left: usize,
    stderr_left: usize,
}

impl Live {
    /// Around a fresh process.
    pub fn new(process: Process) -> Live {
        Live {
            process,
            ready: false,
            stopped: None,
            snapshot: Err(NoSnapshot::Empty),
            parser: Parser::default(),
            last_words: Vec::new(),
            returned: None,
            decoder: Decoder::default(),
            control_open: true,
            stdout_open: true,
            stderr_open: true,
            input: Vec::new(),
            unsent: BytesMut::new(),
            display_due: None,
            freeze_due: None,
        }
    }

    /// What is told of the snapshot.
    pub fn snapshot_state(&self) -> SnapshotState {
        self.snapshot.clone().map(|frozen| frozen.taken)
    }

    /// Has the snapshot carry on for a worker that died, if there is one and it is wanted: then this is around that.
    /// To be called when all that the worker said has been read.
    pub async fn restore(self) -> (Option<Live>, Aftermath) {
        let Live { mut process, stopped, snapshot, .. } = self;
        let frozen = if stopped == Some(Stop::Restart) { Err(NoSnapshot::Ended) } else { snapshot };
        let thawed = match frozen {
            Ok(Frozen { pid, .. }) => process.thaw(pid).await.map_err(|error| NoSnapshot::Failed(error.to_string())),
            Err(reason) => Err(reason),
        };
        match thawed {
            Ok(decoder) => {
                let snapshot = Err(NoSnapshot::NotYet);
                let mut live = Live { ready: true, snapshot, decoder, ..Live::new(process) };
                live.set_idle();
                (Some(live), Aftermath::Restored)
            }
            Err(reason) => {
                process.end().await;
                (None, Aftermath::Lost(reason))
            }
        }
    }

    /// How the worker died, if it has.
    pub async fn death(&mut self) -> Option<Death> {
        let death = self.process.death().await?;
        Some(match self.stopped {
            None => death,
            Some(Stop::Interrupt | Stop::Restart | Stop::Undo) => Death::Stopped,
            Some(Stop::NoInput) => Death::NoInput,
        })
    }

    /// Waits for something to do; for something to read only if `reading`, and for output only if no run is `starting`.
    pub async fn activity(&self, reading: bool, starting: bool) -> Activity {
        let output = reading && !starting;
        tokio::select! {
            biased;
            () = self.process.ended() => Activity::Ended,
            _ = self.process.control.readable(), if reading && self.control_open => Activity::Readable,
            _ = self.process.stdout.readable(), if output && self.stdout_open => Activity::Readable,
            _ = self.process.stderr.readable(), if output && self.stderr_open => Activity::Readable,
            () = writable(self.process.stdin.as_ref()), if !self.input.is_empty() => Activity::Writable,
            _ = self.process.control.writable(), if !self.unsent.is_empty() && self.control_open => Activity::Sendable,
            () = until(self.display_due), if reading => Activity::DisplayDue,
            () = until(self.freeze_due) => Activity::FreezeDue,
        }
    }

    /// Has the snapshot take the worker's place, if there is one: then the worker is about to be found dead.
    pub fn undo(&mut self) -> bool {
        if self.snapshot.is_err() {
            return false;
        }
        self.stopped.get_or_insert(Stop::Undo);
        self.process.kill();
        true
    }

    /// Nothing runs from now on.
    pub fn set_idle(&mut self) {
        self.freeze_due = Some(Instant::now() + IDLE);
    }

    /// Sends a job.
    pub fn load(&mut self, message: &ToWorker) -> io::Result<()> {
        self.freeze_due = None;
        self.send(message)
    }

    /// Has the worker take its next snapshot, if it needs one.
    pub fn freeze(&mut self) {
        self.freeze_due = None;
        // An error means that it is about to be found dead.
        let _ = self.send(&ToWorker::Freeze);
    }

    /// Sends a message, or as much of it as the socket takes now: a worker that works reads it later.
    pub fn send(&mut self, message: &ToWorker) -> io::Result<()> {
        let bytes = encode(message)?;
        self.unsent.extend_from_slice(&bytes);
        self.send_rest()
    }

    /// Sends what the socket had no room for.
    pub fn send_rest(&mut self) -> io::Result<()> {
        // Not tokio's `try_write`: that says WouldBlock until the runtime has heard of a new socket.
        match descriptors::send_now(&self.process.control, &self.unsent) {
            Ok(sent) => self.unsent.advance(sent),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                // Only this has the runtime wait for room.
                let full = || Err::<(), _>(ErrorKind::WouldBlock.into());
                let _ = self.process.control.try_io(Interest::WRITABLE, full);
                if self.unsent.len() > UNSENT_MAX {
                    self.process.kill();
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                self.unsent.clear();
                return Err(error);
            }
        }
        Ok(())
    }

    /// The worker's next message of those that were [read](Live::read_control).
    pub fn receive(&mut self) -> Option<FromWorker> {
        self.decoder.next().unwrap_or_else(|_| {
            // A cell wrote to its worker's socket: nothing that comes from there can be trusted any more.
            self.control_open = false;
            self.process.kill();
            None
        })
    }

    /// Reads what the worker says, at most a buffer full; false when there is nothing.
    pub fn read_control(&mut self, buffer: &mut [u8]) -> bool {
        if !self.control_open {
            return false;
        }
        let control = &self.process.control;
        match read_now(control, buffer, |buffer| control.try_read(buffer)) {
            Ok(0) => {
                // It can't be told anything any more. If it has ended already, this does no harm.
                self.control_open = false;
                self.process.kill();
                return false;
            }
            Ok(read) => self.decoder.push(&buffer[..read]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(_) => self.control_open = false,
        }
        true
    }

    /// What the worker has printed, at most a buffer full.
    pub fn read<'a>(&mut self, stream: Stream, buffer: &'a mut [u8]) -> &'a [u8] {
        let (pipe, open): (&pipe::Receiver, _) = match stream {
            Stream::Stdout => (&self.process.stdout, &mut self.stdout_open),
            Stream::Stderr => (&self.process.stderr, &mut self.stderr_open),
        };
        let read = match read_now(pipe, buffer, |buffer| pipe.try_read(buffer)) {
            Ok(read) => read,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return &[],
            Err(_) => 0,
        };
        *open = read > 0;
        if let Some(returned) = &mut self.returned {
            let left = match stream {
                Stream::Stdout => &mut returned.stdout_left,
                Stream::Stderr => &mut returned.stderr_left,
            };
            // At its end, a pipe has nothing left whatever was counted.
            *left = if read == 0 { 0 } else { left.saturating_sub(read) };
        }
        &buffer[..read]
    }

    /// The job has returned: what its pipes hold now is its output.
    /// The snapshot is good for nothing more if the job `changes` the variables after it was taken.
    pub fn set_returned(&mut self, took: Took, failed: bool, changes: bool) {
        if changes && !failed && matches!(self.snapshot, Ok(_) | Err(NoSnapshot::Empty)) {
            self.snapshot = Err(NoSnapshot::NotYet);
        }
        self.returned = Some(Returned {
            took,
            failed,
            stdout_left: self.waiting(Stream::Stdout),
            stderr_left: self.waiting(Stream::Stderr),
        });
    }

    /// The job that has returned and whose output is read, if there is one.
    pub fn take_returned(&mut self) -> Option<Returned> {
        self.returned.take_if(|returned| returned.stdout_left == 0 && returned.stderr_left == 0)
    }

    /// The bytes that a pipe holds now.
    pub fn waiting(&self, stream: Stream) -> usize {
        match stream {
            Stream::Stdout if self.stdout_open => descriptors::waiting(&self.process.stdout),
            Stream::Stderr if self.stderr_open => descriptors::waiting(&self.process.stderr),
            _ => 0,
        }
    }

    /// Keeps a program's error messages from before it was ready.
    pub fn keep_last_words(&mut self, bytes: &[u8]) {
        let room = LAST_WORDS_MAX.saturating_sub(self.last_words.len());
        self.last_words.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// To be called when the parser has seen something: sets the time to end a displayed value.
    pub fn note_display(&mut self) {
        self.display_due = match self.display_due {
            _ if !self.parser.has_display() => None,
            Some(due) => Some(due),
            None => Some(Instant::now() + DISPLAY_WAIT),
        };
    }

    /// Takes a line for the worker's stdin.
    pub fn input(&mut self, line: &str) {
        if self.process.stdin.is_some() {
            self.input.extend_from_slice(line.as_bytes());
            self.input.push(b'\n');
            self.write_input();
        }
    }

    /// Writes what fits into the worker's stdin.
    pub fn write_input(&mut self) {
        let Some(stdin) = &self.process.stdin else { return };
        match stdin.try_write(&self.input) {
            Ok(written) => drop(self.input.drain(..written)),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            // The cell has closed its stdin.
            Err(_) => self.input.clear(),
        }
    }
}

async fn writable(stdin: Option<&pipe::Sender>) {
    match stdin {
        Some(stdin) => drop(stdin.writable().await),
        None => std::future::pending().await,
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
