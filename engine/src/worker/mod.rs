//! The process that runs cells.
//!
//! The main thread waits for an object, loads it, calls it, and says how long that took. While a cell runs, a second
//! one flushes its stdout. It never reads the cell's output, and it never outlives its supervisor.

mod flusher;
mod object;
mod report;
mod setup;

use crate::wire::{self, FromWorker, ToWorker};
use flusher::Flusher;
use object::Objects;
use std::os::unix::net::UnixStream;

/// The worker program: runs what its supervisor sends until the supervisor is gone. Its last argument is the
/// supervisor's process id. Call it before any thread is started.
pub fn worker_main() -> ! {
    match setup::set_up() {
        Ok(mut channel) => {
            serve(&mut channel);
            // The supervisor is gone, or this process can't talk to it any more.
            setup::end_group()
        }
        Err(error) => {
            eprintln!("this command is started by Chorus itself and not by hand: {error}");
            std::process::exit(2)
        }
    }
}

fn serve(channel: &mut UnixStream) {
    let Ok(writer) = channel.try_clone() else { return };
    report::open(writer);
    let mut objects = Objects::default();
    let mut can_flush = true;
    report::send(&FromWorker::Ready);
    while let Ok(ToWorker::Load { preload, object, entry, rank, size }) = wire::read(channel) {
        report::set_place(rank, size);
        match objects.load(&preload, &object, &entry) {
            Ok(cell) => {
                report::send(&FromWorker::Started);
                let flusher = cell.flush().filter(|_| can_flush).and_then(Flusher::start);
                let took = objects.call(&cell);
                report::send(&FromWorker::Done { took });
                // After the answer, which needn't wait for it.
                can_flush = can_flush && flusher.is_none_or(Flusher::end);
            }
            Err(error) => report::send(&FromWorker::LoadFailed(error)),
        }
    }
}
