//! The parent of a worker and of its frozen copies.
//!
//! A worker's copy must be somebody's child when the worker dies, and that somebody must hear how both end without
//! being in the way of other children, which the supervisor's process has and this one doesn't. It runs no user code,
//! so it is also what ends the worker when the supervisor is gone, whatever cells did to their signals.

use crate::wire::{self, FromKeeper, ToKeeper};
use chorus_protocol::Death;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{Pid, dup2_stderr, dup2_stdin, dup2_stdout};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

/// So often, and for so many milliseconds each, a keeper that ends waits for frozen copies, which are told by their
/// socket and killed by its own end.
const LAST_WAITS: (u32, u8) = (10, 20);

struct Keeper {
    supervisor: UnixStream,
    worker: Option<Pid>,
    /// Whether its death was told, and the answer is awaited. Until then it stays a zombie, so that its number, and its
    /// group's, belong to nobody else.
    told: bool,
}

/// Keeps this worker, a child of this process, and its successors, until the supervisor wants no more.
pub fn keep(worker: Pid, supervisor: UnixStream) -> ! {
    let mut keeper = Keeper { supervisor, worker: Some(worker), told: false };
    let signals = prepare();
    if let Ok(signals) = &signals {
        // An error means that the supervisor is gone.
        let _ = keeper.serve(signals);
    }
    keeper.end(signals.as_ref().ok());
    std::process::exit(0)
}

fn prepare() -> io::Result<SignalFd> {
    // The worker's own end of its pipes and of its socket must be the only one.
    let null = File::options().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGCHLD);
    mask.add(Signal::SIGTERM);
    mask.thread_block()?;
    Ok(SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?)
}

impl Keeper {
    fn serve(&mut self, signals: &SignalFd) -> io::Result<()> {
        loop {
            self.reap()?;
            let mut polled = [
                PollFd::new(signals.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.supervisor.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut polled, PollTimeout::NONE) {
                Err(nix::Error::EINTR) => continue,
                result => _ = result?,
            }
            let spoken = polled[1].any().unwrap_or(true);
            while let Some(signal) = signals.read_signal()? {
                if signal.ssi_signo == Signal::SIGTERM as u32 {
                    return Ok(());
                }
            }
            if spoken {
                let ToKeeper::Adopt(copy) = wire::read(&mut self.supervisor)?;
                self.adopt(copy)?;
            }
        }
    }

    /// Buries children that have ended, and tells of the worker's end.
    fn reap(&mut self) -> io::Result<()> {
        let ended = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        while !self.told {
            let Ok(status) = waitid(Id::All, ended) else { return Ok(()) };
            match status.pid() {
                None => return Ok(()),
                Some(pid) if Some(pid) == self.worker => {
                    let _ = killpg(pid, Signal::SIGKILL);
                    self.tell(&FromKeeper::Died(death(&status)))?;
                }
                Some(pid) => _ = waitpid(pid, None),
            }
        }
        Ok(())
    }

    fn tell(&mut self, message: &FromKeeper) -> io::Result<()> {
        self.told = matches!(message, FromKeeper::Died(_));
        wire::write(&mut self.supervisor, message)
    }

    fn adopt(&mut self, copy: u32) -> io::Result<()> {
        let copy = Pid::from_raw(i32::try_from(copy).map_err(io::Error::other)?);
        if let Some(dead) = self.worker.take() {
            let _ = waitpid(dead, None);
        }
        let ended = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        match waitid(Id::Pid(copy), ended) {
            Ok(WaitStatus::StillAlive) => {
                self.worker = Some(copy);
                self.tell(&FromKeeper::Adopted)
            }
            // It died before, and may have been buried.
            _ => self.tell(&FromKeeper::Died(Death::Signal(Signal::SIGKILL as i32))),
        }
    }

    fn end(&mut self, signals: Option<&SignalFd>) {
        if let Some(worker) = self.worker.take() {
            // By its own number as well: a cell may have put it into another group.
            let _ = killpg(worker, Signal::SIGKILL);
            let _ = kill(worker, Signal::SIGKILL);
            let _ = waitpid(worker, None);
        }
        for _ in 0..LAST_WAITS.0 {
            while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                if status == WaitStatus::StillAlive {
                    break;
                }
            }
            let Ok(WaitStatus::StillAlive) = waitpid(None, Some(WaitPidFlag::WNOHANG)) else { return };
            let Some(signals) = signals else { return };
            let _ = poll(&mut [PollFd::new(signals.as_fd(), PollFlags::POLLIN)], PollTimeout::from(LAST_WAITS.1));
            let _ = signals.read_signal();
        }
    }
}

fn death(status: &WaitStatus) -> Death {
    match *status {
        WaitStatus::Exited(_, code) => Death::Exit(code),
        WaitStatus::Signaled(_, signal, _) => Death::Signal(signal as i32),
        // The only others are of processes that haven't ended.
        _ => Death::Stopped,
    }
}
