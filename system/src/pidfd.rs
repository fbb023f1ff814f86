//! A process that is held by a descriptor rather than by its number, which may be another's after its end.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// A process. Its descriptor becomes readable when the process ends.
#[derive(Debug)]
pub struct ProcessHandle(OwnedFd);

impl ProcessHandle {
    /// Of the process that has this number now.
    pub fn open(pid: u32) -> io::Result<ProcessHandle> {
        // SAFETY: takes numbers only.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.cast_signed(), 0) };
        match RawFd::try_from(fd) {
            // SAFETY: the system has just made this descriptor for us.
            Ok(fd) if fd >= 0 => Ok(ProcessHandle(unsafe { OwnedFd::from_raw_fd(fd) })),
            _ => Err(io::Error::last_os_error()),
        }
    }

    pub(crate) fn new(fd: OwnedFd) -> ProcessHandle {
        ProcessHandle(fd)
    }

    /// Kills it.
    pub fn kill(&self) {
        self.send(libc::SIGKILL);
    }

    /// Sends it a signal. Nothing happens if it has ended.
    pub fn send(&self, signal: i32) {
        let nothing = std::ptr::null::<libc::siginfo_t>();
        // SAFETY: takes numbers, and no siginfo.
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, self.0.as_raw_fd(), signal, nothing, 0) };
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.ends_within(PollTimeout::ZERO)
    }

    /// Waits for its end.
    pub fn wait(&self) {
        self.ends_within(PollTimeout::NONE);
    }

    fn ends_within(&self, limit: PollTimeout) -> bool {
        loop {
            match poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], limit) {
                Err(nix::Error::EINTR) => {}
                ended => return ended != Ok(0),
            }
        }
    }
}

impl AsFd for ProcessHandle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for ProcessHandle {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_process_is_seen() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let handle = ProcessHandle::open(child.id()).unwrap();
        assert!(!handle.has_ended());
        handle.kill();
        handle.wait();
        assert!(handle.has_ended());
        child.wait().unwrap();
    }
}
