//! What comes from the supervisor, for whichever thread waits for it: the main thread for runs, threads of cells for
//! answers to what they asked.
//!
//! Of those who wait, one reads the socket and hands over what isn't for itself.

use super::report;
use crate::wire::{self, FromWorker, MESSAGE_MAX, ToWorker};
use std::collections::{HashMap, VecDeque};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// What has come.
struct Inbox {
    channel: Arc<UnixStream>,
    /// Whether nothing more will come.
    ended: bool,
    /// Whether a thread reads the socket.
    reading: bool,
    loads: VecDeque<ToWorker>,
    answers: HashMap<u64, Vec<u8>>,
}

static INBOX: Mutex<Option<Inbox>> = Mutex::new(None);
static ARRIVED: Condvar = Condvar::new();
static NEXT_TICKET: AtomicU64 = AtomicU64::new(0);

/// Says where messages come from. No thread waits for any.
pub fn open(channel: UnixStream) {
    // The supervisor may still answer what a predecessor asked.
    NEXT_TICKET.store(u64::from(std::process::id()) << 32, Ordering::Relaxed);
    let inbox = Inbox {
        channel: Arc::new(channel),
        ended: false,
        reading: false,
        loads: VecDeque::new(),
        answers: HashMap::new(),
    };
    *lock() = Some(inbox);
}

/// Nothing comes any more.
pub fn close() {
    *lock() = None;
}

/// Whether a run waits that was read while a cell ran.
pub fn has_load() -> bool {
    lock().as_ref().is_some_and(|inbox| !inbox.loads.is_empty())
}

/// The next [`ToWorker::Load`]; `None` when the supervisor is gone.
pub fn next_load() -> Option<ToWorker> {
    wait(|inbox| inbox.loads.pop_front())
}

/// Tells the supervisor's owner something that has no answer; false if it is too long.
pub fn tell(ask: &[u8]) -> bool {
    send(ask).is_some()
}

/// The question's ticket.
fn send(ask: &[u8]) -> Option<u64> {
    if ask.len() > MESSAGE_MAX / 2 {
        return None;
    }
    let ticket = NEXT_TICKET.fetch_add(1, Ordering::Relaxed);
    report::send(&FromWorker::Ask { ticket, ask: ask.to_vec() });
    Some(ticket)
}

/// Asks the supervisor's owner; `None` when there will be no answer.
pub fn ask(ask: &[u8]) -> Option<Vec<u8>> {
    let ticket = send(ask)?;
    wait(|inbox| inbox.answers.remove(&ticket))
}

fn lock() -> MutexGuard<'static, Option<Inbox>> {
    INBOX.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wait<T>(mut take: impl FnMut(&mut Inbox) -> Option<T>) -> Option<T> {
    let mut guard = lock();
    loop {
        let inbox = guard.as_mut()?;
        if let Some(found) = take(inbox) {
            return Some(found);
        }
        if inbox.ended {
            return None;
        }
        if inbox.reading {
            guard = ARRIVED.wait(guard).unwrap_or_else(PoisonError::into_inner);
            continue;
        }
        inbox.reading = true;
        let channel = Arc::clone(&inbox.channel);
        drop(guard);
        let message = wire::read::<ToWorker>(&mut &*channel);
        guard = lock();
        let inbox = guard.as_mut()?;
        inbox.reading = false;
        match message {
            Ok(ToWorker::Answer { ticket, answer }) => _ = inbox.answers.insert(ticket, answer),
            Ok(ToWorker::TellEnvironment) => {
                report::send(&FromWorker::Environment(std::env::vars_os().collect()));
            }
            Ok(load) => inbox.loads.push_back(load),
            // The supervisor is gone, or this process can't talk to it any more. The socket isn't closed: a cell may have
            // done that.
            Err(_) => inbox.ended = true,
        }
        ARRIVED.notify_all();
    }
}
