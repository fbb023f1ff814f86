//! The parent of a worker and of its frozen copies.
//!
//! A worker's copy must be somebody's child when the worker dies. That somebody must hear how both end, and must have no
//! other children, which the supervisor's process has. It runs no user code, so it also ends the worker when the
//! supervisor is gone, whatever cells did to their signals.

use crate::wire::{self, FromKeeper, ToKeeper};
use chorus_protocol::Death;
use chorus_system::children::{self, End};
use chorus_system::signal::{self, Notices};
use chorus_system::{descriptors, group, process};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

/// So often, and for so many milliseconds each, a keeper that ends waits for frozen copies, which are told by their
/// socket and killed by its own end.
const LAST_WAITS: (u32, u8) = (10, 20);

struct Keeper {
    supervisor: UnixStream,
    worker: Option<u32>,
    /// Whether its death was told, and the answer is awaited. Until then it isn't buried, so that its number, and its
    /// group's, belong to nobody else.
    told: bool,
}

/// Keeps this worker, a child of this process, and its successors, until the supervisor wants no more.
pub fn keep(worker: u32, supervisor: UnixStream) -> ! {
    let mut keeper = Keeper { supervisor, worker: Some(worker), told: false };
    // The worker's own end of its pipes and of its socket must be the only one.
    let notices = descriptors::release_standard().and_then(|()| Notices::start());
    if let Ok(notices) = &notices {
        // An error means that the supervisor is gone.
        let _ = keeper.serve(notices);
    }
    keeper.end(notices.as_ref().ok());
    std::process::exit(0)
}

impl Keeper {
    fn serve(&mut self, notices: &Notices) -> io::Result<()> {
        loop {
            self.bury()?;
            let woken = notices.wait(self.supervisor.as_fd())?;
            if woken.terminate {
                return Ok(());
            }
            if woken.readable {
                let ToKeeper::Adopt(copy) = wire::read(&mut self.supervisor)?;
                self.adopt(copy)?;
            }
        }
    }

    /// Buries children that have ended, and tells of the worker's end.
    fn bury(&mut self) -> io::Result<()> {
        while !self.told
            && let Some((child, end)) = children::ended()
        {
            if Some(child) == self.worker {
                group::end(child);
                self.tell(&FromKeeper::Died(death(end)))?;
            } else {
                children::bury(child);
            }
        }
        Ok(())
    }

    fn tell(&mut self, message: &FromKeeper) -> io::Result<()> {
        self.told = matches!(message, FromKeeper::Died(_));
        wire::write(&mut self.supervisor, message)
    }

    fn adopt(&mut self, copy: u32) -> io::Result<()> {
        if let Some(dead) = self.worker.take() {
            children::bury(dead);
        }
        if children::is_alive(copy) {
            self.worker = Some(copy);
            self.tell(&FromKeeper::Adopted)
        } else {
            // It died before, and may have been buried.
            self.tell(&FromKeeper::Died(Death::Signal(signal::KILL)))
        }
    }

    fn end(&mut self, notices: Option<&Notices>) {
        if let Some(worker) = self.worker.take() {
            // By its own number as well: a cell may have put it into another group.
            group::end(worker);
            process::send(worker, signal::KILL);
            children::bury(worker);
        }
        for _ in 0..LAST_WAITS.0 {
            if !children::bury_ended() {
                return;
            }
            let Some(notices) = notices else { return };
            notices.wait_for_child(LAST_WAITS.1);
        }
    }
}

fn death(end: End) -> Death {
    match end {
        End::Exit(status) => Death::Exit(status),
        End::Signal(signal) => Death::Signal(signal),
    }
}
