//! Signals: their numbers, who gets them, and how a process hears of them.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// What Ctrl-C sends.
pub const INTERRUPT: i32 = Signal::SIGINT as i32;
/// Ends a process that can't refuse.
pub const KILL: i32 = Signal::SIGKILL as i32;
/// Tells a process that nobody listens to it any more.
pub const HANG_UP: i32 = Signal::SIGHUP as i32;
/// Asks a process to end.
pub const TERMINATE: i32 = Signal::SIGTERM as i32;

/// Has these signals do what they do by default, whatever whoever started this process has made of them. It makes system
/// calls only, so a process may call it between fork and exec.
pub fn restore(signals: &[i32]) -> io::Result<()> {
    for &signal in signals {
        let signal = Signal::try_from(signal)?;
        // SAFETY: the default action runs no code of this process.
        unsafe { nix::sys::signal::signal(signal, SigHandler::SigDfl) }?;
    }
    Ok(())
}

/// Lets an interrupt end this process. Whoever is started in the background of a script ignores it, and so would the cells.
pub fn heed_interrupts() -> io::Result<()> {
    restore(&[Signal::SIGINT as i32, Signal::SIGQUIT as i32])
}

/// Does something, such as starting a thread, with all signals blocked but the one that [stops threads](crate::threads).
/// The thread will not be given any then, so that they reach the thread that runs the cell, which may wait in a system
/// call for one.
pub fn blocked<T>(work: impl FnOnce() -> T) -> io::Result<T> {
    let mut mask = *SigSet::all().as_ref();
    // SAFETY: the set is filled, and stays one; nix has no name for a real-time signal.
    let mask = unsafe {
        libc::sigdelset(&raw mut mask, crate::threads::signal());
        SigSet::from_sigset_t_unchecked(mask)
    };
    let before = mask.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let result = work();
    before.thread_set_mask()?;
    Ok(result)
}

/// Says when children end, and when this process is asked to end, which doesn't end it any more.
#[derive(Debug)]
pub struct Notices(SignalFd);

/// Why [`Notices::wait`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Woken {
    /// This process is to end.
    pub terminate: bool,
    /// There is something to read from the descriptor, or it has ended.
    pub readable: bool,
}

impl Notices {
    /// From now on. This process must have one thread.
    pub fn start() -> io::Result<Notices> {
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGCHLD);
        mask.add(Signal::SIGTERM);
        mask.thread_block()?;
        Ok(Notices(SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?))
    }

    /// Waits until a child ends, until this process is asked to end, or until there is something to read.
    pub fn wait(&self, other: BorrowedFd<'_>) -> io::Result<Woken> {
        let mut polled = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN), PollFd::new(other, PollFlags::POLLIN)];
        match poll(&mut polled, PollTimeout::NONE) {
            Err(nix::Error::EINTR) => return Ok(Woken { terminate: false, readable: false }),
            result => _ = result?,
        }
        let readable = polled[1].any().unwrap_or(true);
        Ok(Woken { terminate: self.take()?, readable })
    }

    /// Waits for so many milliseconds until a child ends.
    pub fn wait_for_child(&self, milliseconds: u8) {
        let _ = poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], PollTimeout::from(milliseconds));
        let _ = self.take();
    }

    /// Whether this process was asked to end.
    fn take(&self) -> io::Result<bool> {
        let mut terminate = false;
        while let Some(signal) = self.0.read_signal()? {
            terminate |= signal.ssi_signo == Signal::SIGTERM as u32;
        }
        Ok(terminate)
    }
}
