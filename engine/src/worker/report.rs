//! The worker's end of its socket, and the table through which cells reach it.
//!
//! The main thread and any thread that panics write here, so each message is written whole, under a lock.

use crate::wire::{self, FromWorker};
use chorus_protocol::Panic;
use px::{HOST_VERSION, Host, PanicReport, Text};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Of longer texts in a panic's report, this much is sent.
const TEXT_MAX: usize = 16 << 10;

static CHANNEL: OnceLock<Mutex<UnixStream>> = OnceLock::new();

static HOST: Host = Host { version: HOST_VERSION, rank: AtomicU64::new(0), size: AtomicU64::new(1), panicked };

/// The table for cells.
pub fn host() -> &'static Host {
    &HOST
}

/// Says where messages go; to be called once.
pub fn open(channel: UnixStream) {
    let _ = CHANNEL.set(Mutex::new(channel));
}

/// What `px::rank()` and `px::size()` answer from now on.
pub fn set_place(rank: u32, size: u32) {
    HOST.rank.store(rank.into(), Ordering::Relaxed);
    HOST.size.store(size.into(), Ordering::Relaxed);
}

/// Sends a message to the supervisor. That it can't be sent means that the supervisor is gone or that a cell closed
/// the socket; the main thread sees the same when it reads.
pub fn send(message: &FromWorker) {
    if let Some(channel) = CHANNEL.get() {
        let mut channel = channel.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = wire::write(&mut *channel, message);
    }
}

extern "C" fn panicked(report: &PanicReport) {
    let thread = (nix::unistd::gettid() != nix::unistd::getpid()).then(|| text(&report.thread));
    send(&FromWorker::Panic(Panic {
        message: text(&report.message),
        file: text(&report.file),
        line: report.line,
        column: report.column,
        thread,
    }));
}

fn text(text: &Text) -> String {
    // SAFETY: px keeps the strings of a report alive during the call that passes it.
    let bytes = unsafe { text.bytes() };
    match bytes.get(..TEXT_MAX) {
        Some(start) => format!("{}[...]", String::from_utf8_lossy(start)),
        None => String::from_utf8_lossy(bytes).into_owned(),
    }
}
