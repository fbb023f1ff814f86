//! Frozen copies of the worker.
//!
//! Before a run, the worker forks. The copy shares its memory until one of the two writes to it, waits at a socket, the
//! gate, and is killed before the next copy is made. When the run kills the worker instead, the supervisor sends the copy a
//! new control socket through the gate, and it carries on with the variables as they were.
//!
//! The copy is a child of the keeper and not of the worker (`CLONE_PARENT`): cells that wait for their children don't
//! find it, and it may have its death signal from the start.

use super::setup::{be_killed_with, die_with, leave, move_away, receive};
use super::{inbox, report};
use crate::wire::{FromWorker, Frozen};
use chorus_protocol::{NoSnapshot, SnapshotPolicy, Taken};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{SFlag, fstat};
use nix::unistd::{Pid, setpgid};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// A thread that was joined is listed for a moment longer: so often it is looked again, in so much time each.
const THREAD_CHECKS: (u32, Duration) = (5, Duration::from_micros(200));

/// A worker's snapshots; in a copy, what it needs to become the worker.
pub struct Snapshots {
    gate: UnixStream,
    keeper: Pid,
    copy: Option<Copy>,
}

struct Copy {
    /// A pidfd.
    process: OwnedFd,
    /// The memory that the worker held.
    bytes: u64,
    /// Whether a run has ended since.
    outdated: bool,
}

/// Where a clone returns.
enum Side {
    Original(OwnedFd),
    Copy,
}

impl Snapshots {
    /// Without any yet.
    pub fn new(gate: UnixStream, keeper: Pid) -> Snapshots {
        Snapshots { gate, keeper, copy: None }
    }

    /// Before a run: sees to it that there is a snapshot, if there can be and has to be one. True in a copy that takes
    /// over; `channel` is its own then.
    pub fn provide(&mut self, policy: SnapshotPolicy, has_variables: bool, channel: &mut UnixStream) -> bool {
        if let SnapshotPolicy::UpTo(limit) = policy {
            if self.is_there(limit) {
                return false;
            }
            if !has_variables {
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

    /// A run has ended, and the variables are no longer those of the snapshot. It isn't killed before there is more to
    /// do, since the supervisor may see that run otherwise.
    pub fn outdate(&mut self) {
        if let Some(copy) = &mut self.copy {
            copy.outdated = true;
        }
    }

    fn is_there(&self, limit: u64) -> bool {
        let fits = |copy: &&Copy| !copy.outdated && copy.bytes <= limit;
        self.copy.as_ref().filter(fits).is_some_and(|copy| !has_ended(copy.process.as_fd(), PollTimeout::ZERO))
    }

    fn discard(&mut self) {
        if let Some(copy) = self.copy.take() {
            kill(copy.process.as_fd());
            // Two at the gate would be one too many.
            has_ended(copy.process.as_fd(), PollTimeout::NONE);
        }
    }

    /// `None` in the copy.
    fn copy(&mut self, limit: u64, channel: &mut UnixStream) -> Result<Option<Frozen>, NoSnapshot> {
        let failed = |what: &str, error: io::Error| NoSnapshot::Failed(format!("{what}: {error}"));
        let threads = other_threads().map_err(|error| failed("its threads can't be counted", error))?;
        if threads > 0 {
            return Err(NoSnapshot::Threads(threads));
        }
        let bytes = held().map_err(|error| failed("its memory can't be measured", error))?;
        if bytes > limit {
            return Err(NoSnapshot::TooLarge { bytes, limit });
        }
        let begin = Instant::now();
        let copied = self.clone_frozen(channel).map_err(|error| failed("the worker can't be copied", error))?;
        let Some((pid, process)) = copied else { return Ok(None) };
        self.copy = Some(Copy { process, bytes, outdated: false });
        let micros = u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX);
        Ok(Some(Frozen { pid, taken: Taken { micros, bytes } }))
    }

    fn clone_frozen(&mut self, channel: &mut UnixStream) -> io::Result<Option<(u32, OwnedFd)>> {
        let (mut frozen, mut is_frozen) = io::pipe()?;
        match clone()? {
            (pid, Side::Original(process)) => {
                drop(is_frozen);
                // Until it has a group of its own, it would die with this process's.
                match frozen.read_exact(&mut [0]) {
                    Ok(()) => Ok(Some((pid, process))),
                    Err(_) => Err(io::Error::other("the copy died at once")),
                }
            }
            (_, Side::Copy) => {
                drop(frozen);
                let thawed = self.freeze(channel, is_frozen.as_raw_fd()).and_then(|()| {
                    is_frozen.write_all(&[0])?;
                    drop(is_frozen);
                    self.thaw()
                });
                match thawed {
                    Ok(control) => *channel = control,
                    // The supervisor is gone, or doesn't want this copy.
                    Err(_) => leave(),
                }
                Ok(None)
            }
        }
    }

    /// Lets go of all that the copy would otherwise share with the worker.
    fn freeze(&self, channel: &mut UnixStream, is_frozen: RawFd) -> io::Result<()> {
        setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
        be_killed_with(self.keeper)?;
        report::close();
        inbox::close();
        let dead_end = UnixStream::pair()?.0;
        *channel = dead_end.try_clone()?;
        close_connections(dead_end.as_fd(), [self.gate.as_raw_fd(), is_frozen])
    }

    /// Waits until this copy is to be the worker; returns its socket to the supervisor.
    fn thaw(&self) -> io::Result<UnixStream> {
        let control = loop {
            match receive(self.gate.as_fd()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                received => break received?,
            }
        };
        let control = control.first().ok_or(io::ErrorKind::UnexpectedEof)?;
        die_with(self.keeper)?;
        empty_stdin();
        Ok(move_away(control.as_fd())?.into())
    }
}

fn say(snapshot: Result<Frozen, NoSnapshot>) {
    report::send(&FromWorker::Snapshot(snapshot));
}

/// Forks, with the same parent. This process must have no other thread.
fn clone() -> io::Result<(u32, Side)> {
    // The C library keeps its thread's id here, and the copy's must be its own.
    let mut tid: *mut libc::c_int = std::ptr::null_mut();
    // SAFETY: writes one pointer.
    if unsafe { libc::prctl(libc::PR_GET_TID_ADDRESS, &raw mut tid) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let flags = libc::CLONE_PARENT | libc::CLONE_PIDFD | libc::CLONE_CHILD_SETTID | libc::CLONE_CHILD_CLEARTID;
    let flags = libc::c_long::from(flags | libc::SIGCHLD);
    let mut pidfd: libc::c_int = -1;
    let (stack, thread_storage) = (0 as libc::c_long, 0 as libc::c_long);
    // SAFETY: without CLONE_VM this is a fork: the copy returns from here on a stack of its own. The C library isn't
    // told, which matters to other threads' locks only, and there are no other threads. Both pointers are valid.
    let pid = unsafe {
        if cfg!(any(target_arch = "x86_64", target_arch = "x86")) {
            libc::syscall(libc::SYS_clone, flags, stack, &raw mut pidfd, tid, thread_storage)
        } else {
            libc::syscall(libc::SYS_clone, flags, stack, &raw mut pidfd, thread_storage, tid)
        }
    };
    match u32::try_from(pid) {
        Err(_) => Err(io::Error::last_os_error()),
        Ok(0) => Ok((0, Side::Copy)),
        // SAFETY: the kernel has just made this descriptor for us.
        Ok(pid) => Ok((pid, Side::Original(unsafe { OwnedFd::from_raw_fd(pidfd) }))),
    }
}

fn kill(process: BorrowedFd<'_>) {
    let nothing = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: takes numbers, and no siginfo.
    unsafe { libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), libc::SIGKILL, nothing, 0) };
}

/// Waits for the end of a process.
fn has_ended(process: BorrowedFd<'_>, limit: PollTimeout) -> bool {
    loop {
        match poll(&mut [PollFd::new(process, PollFlags::POLLIN)], limit) {
            Err(nix::Error::EINTR) => {}
            ended => return ended != Ok(0),
        }
    }
}

fn other_threads() -> io::Result<u32> {
    for _ in 1..THREAD_CHECKS.0 {
        if count_threads()? <= 1 {
            return Ok(0);
        }
        std::thread::sleep(THREAD_CHECKS.1);
    }
    Ok(count_threads()?.saturating_sub(1))
}

fn count_threads() -> io::Result<u32> {
    Ok(u32::try_from(std::fs::read_dir("/proc/self/task")?.count()).unwrap_or(u32::MAX))
}

/// The memory that this process shares with no file, in bytes.
fn held() -> io::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let mut pages = text.split_whitespace().skip(1).map(|number| number.parse().unwrap_or(0));
    let (resident, shared): (u64, u64) = (pages.next().unwrap_or(0), pages.next().unwrap_or(0));
    // SAFETY: takes a number only.
    let page = u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
    Ok(resident.saturating_sub(shared) * page)
}

/// Replaces pipes and sockets that cells opened by one that is closed: while a copy held them, nobody at their other
/// ends would see the worker close them, and a cell that waits for that would wait for ever.
fn close_connections(dead_end: BorrowedFd<'_>, spared: [RawFd; 2]) -> io::Result<()> {
    let open: Vec<RawFd> = std::fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|fd| *fd > libc::STDERR_FILENO && !spared.contains(fd))
        .collect();
    for fd in open {
        // SAFETY: it was listed; if it is closed by now (the listing's own), `fstat` says so.
        let Ok(stat) = fstat(unsafe { BorrowedFd::borrow_raw(fd) }) else { continue };
        let kind = SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits());
        if kind == SFlag::S_IFIFO || kind == SFlag::S_IFSOCK {
            // SAFETY: takes numbers only. Whoever owns `fd` in this copy keeps an open descriptor.
            unsafe { libc::dup3(dead_end.as_raw_fd(), fd, libc::O_CLOEXEC) };
        }
    }
    Ok(())
}

/// A line that was meant for the cell that died isn't the next cell's.
fn empty_stdin() {
    let mut waiting: libc::c_int = 0;
    let mut buffer = [0; 4096];
    // SAFETY: FIONREAD writes one int.
    while unsafe { libc::ioctl(libc::STDIN_FILENO, libc::FIONREAD, &raw mut waiting) } == 0 && waiting > 0 {
        // SAFETY: reads at most the buffer's length into it.
        let read = unsafe { libc::read(libc::STDIN_FILENO, buffer.as_mut_ptr().cast(), buffer.len()) };
        if read <= 0 {
            break;
        }
    }
}
