//! Frozen copies of the worker.
//!
//! Before a run, the worker forks. The copy shares its memory until one of the two writes to it, waits at a socket, the
//! gate, and is killed before the next copy is made. When the run kills the worker instead, the supervisor sends the copy a
//! new control socket through the gate, and it carries on with the variables as they were.
//!
//! Threads that cells have left are stopped while the worker is copied, and made again when the copy carries on. Until then
//! the copy has locks that nobody lets go of: it allocates nothing, and takes none.
//!
//! Such a thread may end the worker at any time. So where there are any, the worker is copied before it answers that the run has
//! ended, and the answer brings the new copy. Until then the older one is the snapshot, and both wait at the gate.
//!
//! The copy is a child of the keeper and not of the worker (`CLONE_PARENT`): cells that wait for their children don't
//! find it, and it may have its death signal from the start.

use super::report;
use super::setup::live_with;
use crate::wire::{FromWorker, Frozen};
use chorus_protocol::{NoSnapshot, SnapshotPolicy, Taken};
use chorus_system::descriptors::LISTENERS;
use chorus_system::eventfds::Counts;
use chorus_system::fork::{self, Side};
use chorus_system::parent::{AtItsEnd, die_with};
use chorus_system::threads::{self, Stopped, Unstoppable};
use chorus_system::{ProcessHandle, descriptors, group, memory, process};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// How long a copy may take to be frozen.
const FREEZE_LIMIT: Duration = Duration::from_secs(5);

/// What came of [`Snapshots::renew`].
pub enum Renewed {
    /// There is another snapshot. The older one is to be let go of when that has been told.
    Copied(Frozen),
    /// There isn't.
    No,
    /// This is the copy, and takes over.
    TakesOver,
}

/// A worker's snapshots; in a copy, what it needs to become the worker.
pub struct Snapshots {
    gate: UnixStream,
    keeper: u32,
    copy: Option<Copy>,
    /// The one before that, until it is told that there is another.
    older: Option<Copy>,
    /// Why threads couldn't be stopped the last time.
    unstoppable: Option<Unstoppable>,
    /// In a copy, the other end of what stands for sockets that are silent.
    silence: Option<OwnedFd>,
    /// In a copy, where sockets listened that it doesn't have.
    listened: [Option<SocketAddr>; LISTENERS],
}

struct Copy {
    process: ProcessHandle,
    /// The memory that the worker held.
    bytes: u64,
    /// Whether a run has ended since.
    outdated: bool,
}

impl Snapshots {
    /// Without any yet.
    pub fn new(gate: UnixStream, keeper: u32) -> Snapshots {
        Snapshots {
            gate,
            keeper,
            copy: None,
            older: None,
            unstoppable: None,
            silence: None,
            listened: [None; LISTENERS],
        }
    }

    /// Whether [`Snapshots::provide`] would take one.
    pub fn must_copy(&self, policy: SnapshotPolicy) -> bool {
        matches!(policy, SnapshotPolicy::UpTo(limit) if !self.is_there(limit))
    }

    /// Before a run: sees to it that there is a snapshot, if there can be and has to be one. True in a copy that takes
    /// over; `channel` is its own then.
    pub fn provide(
        &mut self,
        policy: SnapshotPolicy,
        is_worth_it: impl FnOnce() -> bool,
        channel: &mut UnixStream,
    ) -> bool {
        if let SnapshotPolicy::UpTo(limit) = policy {
            if self.is_there(limit) {
                return false;
            }
            if !is_worth_it() {
                // Another worker is as good as a copy.
                self.discard();
                say(Err(NoSnapshot::Empty));
                return false;
            }
        }
        self.take(policy, channel)
    }

    /// Takes a snapshot, if there can be one, and says what came of it. True in a copy that takes over, as above.
    pub fn take(&mut self, policy: SnapshotPolicy, channel: &mut UnixStream) -> bool {
        self.discard();
        let copied = match policy {
            SnapshotPolicy::Off => Err(NoSnapshot::Off),
            SnapshotPolicy::UpTo(limit) => self.copy(limit, channel),
        };
        match copied {
            Ok(None) => return true,
            Ok(Some(frozen)) => say(Ok(frozen)),
            Err(reason) => say(Err(reason)),
        }
        false
    }

    /// A run has ended, and nobody knows yet: takes another snapshot, if there can be one. `channel` is the copy's own if it
    /// takes over.
    pub fn renew(&mut self, policy: SnapshotPolicy, channel: &mut UnixStream) -> Renewed {
        let SnapshotPolicy::UpTo(limit) = policy else { return Renewed::No };
        self.older = self.copy.take();
        match self.copy(limit, channel) {
            Ok(Some(frozen)) => Renewed::Copied(frozen),
            Ok(None) => {
                self.forget_older();
                Renewed::TakesOver
            }
            // Why, is said when the next one can't be taken either.
            Err(_) => {
                self.copy = self.older.take();
                Renewed::No
            }
        }
    }

    /// In a worker that was restored: says once which sockets it doesn't have any more.
    pub fn tell_closed(&mut self) {
        let closed: Vec<String> = self.listened.iter_mut().filter_map(Option::take).map(|at| at.to_string()).collect();
        if !closed.is_empty() {
            // A cell may have closed its stderr; there is nobody to tell.
            let _ = writeln!(
                io::stderr(),
                "nothing listens at {} any more, since a snapshot took the worker's place: run the cell again that does",
                closed.join(", ")
            );
        }
    }

    /// It was told that there is another snapshot than the older one.
    pub fn forget_older(&mut self) {
        if let Some(older) = self.older.take() {
            older.process.kill();
        }
    }

    /// A run has ended, and the variables are no longer those of the snapshot. It isn't killed before there is more to
    /// do, since the supervisor may see that run otherwise.
    pub fn outdate(&mut self) {
        if let Some(copy) = &mut self.copy {
            copy.outdated = true;
        }
    }

    /// Whether there is one that has the worker's variables.
    pub fn are_fresh(&self) -> bool {
        self.copy.as_ref().is_some_and(|copy| !copy.outdated)
    }

    fn is_there(&self, limit: u64) -> bool {
        let fits = |copy: &&Copy| !copy.outdated && copy.bytes <= limit;
        self.copy.as_ref().filter(fits).is_some_and(|copy| !copy.process.has_ended())
    }

    fn discard(&mut self) {
        if let Some(copy) = self.copy.take() {
            copy.process.kill();
            copy.process.wait();
        }
    }

    /// `None` in the copy.
    fn copy(&mut self, limit: u64, channel: &mut UnixStream) -> Result<Option<Frozen>, NoSnapshot> {
        let failed = |what: &str, error: io::Error| NoSnapshot::Failed(format!("{what}: {error}"));
        let bytes = memory::held().map_err(|error| failed("its memory can't be measured", error))?;
        if bytes > limit {
            return Err(NoSnapshot::TooLarge { bytes, limit });
        }
        let begin = Instant::now();
        let not_copied = |error| failed("the worker can't be copied", error);
        let pipe = io::pipe().map_err(not_copied)?;
        let stopped = self.stop()?;
        let copied = self.clone_frozen(pipe, stopped, channel).map_err(not_copied)?;
        let Some((pid, process)) = copied else { return Ok(None) };
        self.copy = Some(Copy { process, bytes, outdated: false });
        let micros = u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX);
        Ok(Some(Frozen { pid, taken: Taken { micros, bytes, ahead: 0 } }))
    }

    /// Stops all other threads. What can't be stopped isn't waited for again while it stays so.
    fn stop(&mut self) -> Result<Stopped, NoSnapshot> {
        if !self.unstoppable.as_ref().is_some_and(Unstoppable::persists) {
            match threads::stop() {
                Ok(stopped) => return Ok(stopped),
                Err(why) => self.unstoppable = Some(why),
            }
        }
        Err(NoSnapshot::Threads(self.unstoppable.as_ref().map(Unstoppable::to_string).unwrap_or_default()))
    }

    /// `stopped` are all other threads. Nothing here takes memory or locks while they are.
    fn clone_frozen(
        &mut self,
        (mut frozen, mut is_frozen): (PipeReader, PipeWriter),
        stopped: Stopped,
        channel: &mut UnixStream,
    ) -> io::Result<Option<(u32, ProcessHandle)>> {
        let original = std::process::id();
        let counts = Counts::now()?;
        // SAFETY: all other threads are stopped, and what the copy does before it makes them again needs neither locks
        // nor memory.
        match unsafe { fork::sibling() }? {
            Side::Original { pid, copy: process } => {
                drop(stopped);
                drop(is_frozen);
                // Until it has a group of its own, it would die with this process's.
                if descriptors::is_readable_within(&frozen, FREEZE_LIMIT) && frozen.read_exact(&mut [0]).is_ok() {
                    return Ok(Some((pid, process)));
                }
                process.kill();
                process.wait();
                Err(io::Error::other("the copy died at once"))
            }
            Side::Copy => {
                drop(frozen);
                let thawed = self.freeze(original, channel, is_frozen.as_fd()).and_then(|()| {
                    is_frozen.write_all(&[0])?;
                    drop(is_frozen);
                    self.thaw(stopped, &counts)
                });
                match thawed {
                    Ok(control) => *channel = control,
                    // The supervisor is gone, or doesn't want this copy.
                    Err(_) => process::leave(0),
                }
                Ok(None)
            }
        }
    }

    /// Lets go of all that the copy would otherwise share with the worker.
    fn freeze(&mut self, original: u32, channel: &mut UnixStream, is_frozen: BorrowedFd<'_>) -> io::Result<()> {
        group::lead()?;
        // It has started nothing that would have to end with it.
        die_with(self.keeper, AtItsEnd::Kill)?;
        let ended = UnixStream::pair()?.0;
        let (silent, silence) = UnixStream::pair()?;
        silent.set_nonblocking(true)?;
        let silence = descriptors::move_away(silence)?;
        *channel = ended.try_clone()?;
        // The worker's own socket is among what is replaced: threads that go on say nothing over it.
        // While the copy held the pipes and sockets that cells opened, nobody at their other ends would see the worker
        // close them, and a cell that waits for that would wait for ever.
        let spared = [self.gate.as_fd(), is_frozen, silence.as_fd()];
        let listened = descriptors::replace_connections(ended.as_fd(), silent.as_fd(), original, &spared)?;
        // Those of a worker before are told of, too, if they weren't yet.
        if listened.iter().any(Option::is_some) {
            self.listened = listened;
        }
        self.silence = Some(silence);
        Ok(())
    }

    /// Waits until this copy is to be the worker; returns its socket to the supervisor.
    fn thaw(&self, stopped: Stopped, counts: &Counts) -> io::Result<UnixStream> {
        // Of two copies, the other one may be wanted. If that is faster, this one hears it the next time.
        if descriptors::await_passed(&self.gate)? != std::process::id() {
            return Err(io::ErrorKind::NotFound.into());
        }
        counts.restore()?;
        // SAFETY: this is the copy, and the supervisor passes a socket only when the worker is dead.
        unsafe { stopped.make_again() }?;
        let received = descriptors::receive(&self.gate)?;
        let control = received.first().ok_or(io::ErrorKind::UnexpectedEof)?;
        live_with(self.keeper)?;
        // A line that was meant for the cell that died isn't the next cell's.
        descriptors::empty(io::stdin());
        Ok(descriptors::move_away(control)?.into())
    }
}

fn say(snapshot: Result<Frozen, NoSnapshot>) {
    report::send(&FromWorker::Snapshot(snapshot));
}
