//! What a worker does before it loads anything: it leaves its keeper behind, ties its life to it, and puts its sockets
//! where cells don't meet them.

use super::keeper;
use nix::cmsg_space;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::{SigHandler, Signal};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use nix::unistd::{ForkResult, Pid, dup2_stdin, fork, getpid, getppid, setpgid};
use std::io::{self, IoSliceMut, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

/// Where the sockets go, if the limit of open files allows: away from the low numbers that programs guess at.
const HIGH_FD: RawFd = 900;

/// What connects a worker to the others.
pub struct Ends {
    /// The socket to the supervisor.
    pub control: UnixStream,
    /// Over which a frozen copy is told to go on.
    pub gate: UnixStream,
    /// The parent of the worker and of its copies.
    pub keeper: Pid,
}

/// Returns in the worker; the process that this is called in becomes its keeper. The socket to the supervisor arrives as
/// stdin, and the other descriptors over it.
pub fn set_up() -> io::Result<Ends> {
    let parent = std::env::args().next_back().and_then(|id| id.parse().ok());
    let parent = parent.ok_or_else(|| io::Error::other("its last argument isn't a process id"))?;
    // Who is started in the background of a script ignores SIGINT, and so would cells that are interrupted by it.
    for signal in [Signal::SIGINT, Signal::SIGQUIT] {
        // SAFETY: the default runs no code of this process.
        unsafe { nix::sys::signal::signal(signal, SigHandler::SigDfl) }?;
    }
    // A group of its own: what is sent to the supervisor's group, such as a terminal's SIGINT, isn't for workers.
    setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
    set_death_signal(Signal::SIGTERM as libc::c_int)?;
    if getppid() != Pid::from_raw(parent) {
        return Err(io::Error::other(format!("process {parent} isn't its parent, or is gone")));
    }
    let [stdin, supervisor, gate] = receive(std::io::stdin().as_fd())?
        .try_into()
        .map_err(|_| io::Error::other("its descriptors didn't come with it"))?;
    let keeper = getpid();
    // SAFETY: this process has no other thread.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => {
            drop((stdin, gate));
            keeper::keep(child, UnixStream::from(supervisor))
        }
        ForkResult::Child => {
            drop(supervisor);
            // A group of its own, so that what cells start ends with the worker, and its copies don't.
            setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
            handle_death_signal()?;
            die_with(keeper)?;
            let control = move_away(std::io::stdin().as_fd())?;
            let gate = move_away(gate.as_fd())?;
            dup2_stdin(&stdin)?;
            Ok(Ends { control: control.into(), gate: gate.into(), keeper })
        }
    }
}

/// Ends this process and all that its cells started.
pub fn end_group() -> ! {
    end_group_on_signal(0);
    leave()
}

/// Ends this process without a word: what is in its buffers is another process's to print.
pub fn leave() -> ! {
    leave_with(0)
}

fn leave_with(status: libc::c_int) -> ! {
    // SAFETY: takes a number only.
    unsafe { libc::_exit(status) }
}

/// Ends this process if its output is closed: nobody would hear of panics any more, nor see a result.
pub fn need_output() {
    // SAFETY: takes numbers only, and changes nothing.
    let is_closed = |fd| unsafe { libc::fcntl(fd, libc::F_GETFD) } == -1;
    if [libc::STDOUT_FILENO, libc::STDERR_FILENO].into_iter().any(is_closed) {
        let _ = io::stderr().write_all(b"the cell has closed its standard output or error\n");
        leave_with(1)
    }
}

/// Has the kernel tell this process, the worker, of the end of its keeper. See [`handle_death_signal`].
pub fn die_with(keeper: Pid) -> io::Result<()> {
    set_death_signal(libc::SIGRTMAX())?;
    is_parent(keeper)
}

/// As [`die_with`], for a copy that has started nothing.
pub fn be_killed_with(keeper: Pid) -> io::Result<()> {
    set_death_signal(Signal::SIGKILL as libc::c_int)?;
    is_parent(keeper)
}

fn is_parent(keeper: Pid) -> io::Result<()> {
    if getppid() == keeper { Ok(()) } else { Err(io::Error::other("its keeper is gone")) }
}

fn set_death_signal(signal: libc::c_int) -> io::Result<()> {
    // SAFETY: takes numbers only.
    match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal as libc::c_ulong) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The signal of the keeper's end is not SIGKILL, so that the processes that cells started are ended as well; it is one
/// that nothing else uses.
fn handle_death_signal() -> io::Result<()> {
    let handler = end_group_on_signal as extern "C" fn(libc::c_int);
    // SAFETY: an all-zero sigaction is valid (no flags, empty mask), and the handler only makes a system call.
    let installed = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as libc::sighandler_t;
        libc::sigaction(libc::SIGRTMAX(), &action, std::ptr::null_mut())
    };
    if installed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

extern "C" fn end_group_on_signal(_: libc::c_int) {
    // SAFETY: takes numbers only; kill is safe in a signal handler.
    unsafe { libc::kill(0, Signal::SIGKILL as libc::c_int) };
}

/// Waits for one byte and returns the descriptors that come with it; an error if there is no byte.
pub fn receive(socket: BorrowedFd<'_>) -> io::Result<Vec<OwnedFd>> {
    let mut byte = [0];
    let mut parts = [IoSliceMut::new(&mut byte)];
    let mut space = cmsg_space!([RawFd; 3]);
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let mut received = Vec::new();
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(fds) = part {
            // SAFETY: the kernel has just made these descriptors for us, and nobody else knows them.
            received.extend(fds.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
        }
    }
    if message.bytes == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(received) }
}

/// Duplicates to a high number that programs started by cells don't inherit.
pub fn move_away(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let high = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(HIGH_FD));
    let moved = high.or_else(|_| fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(3)))?;
    // SAFETY: fcntl has just made this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(moved) })
}
