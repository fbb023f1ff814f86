//! What a worker does before it loads anything: it ties its life to its supervisor's, and puts its socket where cells
//! don't meet it.

use nix::cmsg_space;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::Signal;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use nix::unistd::{Pid, dup2_stdin, getppid, setpgid};
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

/// Where the socket goes, if the limit of open files allows: away from the low numbers that programs guess at.
const CHANNEL_FD: RawFd = 900;

/// Returns the socket to the supervisor. It arrives as stdin; the cell's stdin arrives over it.
pub fn set_up() -> io::Result<UnixStream> {
    let parent = std::env::args().next_back().and_then(|id| id.parse().ok());
    let parent = parent.ok_or_else(|| io::Error::other("its last argument isn't a process id"))?;
    // A group of its own (the supervisor has asked for it already), so that what cells start ends with the worker.
    setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
    die_with_parent()?;
    if getppid() != Pid::from_raw(parent) {
        return Err(io::Error::other(format!("process {parent} isn't its parent, or is gone")));
    }
    let stdin = receive_stdin()?;
    let channel = move_away(std::io::stdin().as_fd())?;
    dup2_stdin(&stdin)?;
    Ok(UnixStream::from(channel))
}

/// Ends this process and all that its cells started.
pub fn end_group() -> ! {
    end_group_on_signal(0);
    std::process::exit(0)
}

/// Has the kernel signal this process when its supervisor ends. The signal is not SIGKILL, so that the processes
/// that cells started are ended as well; it is one that nothing else uses.
fn die_with_parent() -> io::Result<()> {
    let signal = libc::SIGRTMAX();
    let handler = end_group_on_signal as extern "C" fn(libc::c_int);
    // SAFETY: an all-zero sigaction is valid (no flags, empty mask), and the handler only makes a system call.
    let installed = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as libc::sighandler_t;
        libc::sigaction(signal, &action, std::ptr::null_mut())
    };
    if installed != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: takes numbers only.
    match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal as libc::c_ulong) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

extern "C" fn end_group_on_signal(_: libc::c_int) {
    // SAFETY: takes numbers only; kill is safe in a signal handler.
    unsafe { libc::kill(0, Signal::SIGKILL as libc::c_int) };
}

fn receive_stdin() -> io::Result<OwnedFd> {
    let mut byte = [0];
    let mut parts = [IoSliceMut::new(&mut byte)];
    let mut space = cmsg_space!([RawFd; 1]);
    let message =
        recvmsg::<()>(std::io::stdin().as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(fds) = part
            && let Some(&fd) = fds.first()
        {
            // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
            return Ok(unsafe { OwnedFd::from_raw_fd(fd) });
        }
    }
    Err(io::Error::other("no stdin came with it"))
}

/// Duplicates to a high number that programs started by cells don't inherit.
fn move_away(fd: std::os::fd::BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let high = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(CHANNEL_FD));
    let moved = high.or_else(|_| fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(3)))?;
    // SAFETY: fcntl has just made this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(moved) })
}
