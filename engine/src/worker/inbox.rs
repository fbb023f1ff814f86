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
    orders: VecDeque<ToWorker>,
    answers: HashMap<u64, Vec<u8>>,
}

static INBOX: Mutex<Option<Inbox>> = Mutex::new(None);
static ARRIVED: Condvar = Condvar::new();
static NEXT_TICKET: AtomicU64 = AtomicU64::new(0);

/// Says where messages come from. Threads that wait for answers over another socket get none.
pub fn open(channel: UnixStream) {
    // The supervisor may still answer what a predecessor asked.
    NEXT_TICKET.store(u64::from(std::process::id()) << 32, Ordering::Relaxed);
    let inbox = Inbox {
        channel: Arc::new(channel),
        ended: false,
        reading: false,
        orders: VecDeque::new(),
        answers: HashMap::new(),
    };
    *lock() = Some(inbox);
    ARRIVED.notify_all();
}

/// Whether an order waits that was read while a cell ran.
pub fn has_order() -> bool {
    lock().as_ref().is_some_and(|inbox| !inbox.orders.is_empty())
}

/// The next [`ToWorker::Load`], [`ToWorker::TellVariables`] or [`ToWorker::Freeze`]; `None` when the supervisor is gone.
pub fn next_order() -> Option<ToWorker> {
    wait(&channel()?, |inbox| inbox.orders.pop_front())
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
    let channel = channel()?;
    let ticket = send(ask)?;
    wait(&channel, |inbox| inbox.answers.remove(&ticket))
}

fn lock() -> MutexGuard<'static, Option<Inbox>> {
    INBOX.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where messages come from now.
fn channel() -> Option<Arc<UnixStream>> {
    lock().as_ref().map(|inbox| Arc::clone(&inbox.channel))
}

/// Waits for something that comes over this socket.
fn wait<T>(channel: &Arc<UnixStream>, mut take: impl FnMut(&mut Inbox) -> Option<T>) -> Option<T> {
    // A thread of a worker that died waits for what nobody will send its copy.
    let is_ours = |inbox: &&mut Inbox| Arc::ptr_eq(&inbox.channel, channel);
    let mut guard = lock();
    loop {
        let inbox = guard.as_mut().filter(is_ours)?;
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
        drop(guard);
        let message = wire::read::<ToWorker>(&mut &**channel);
        guard = lock();
        let inbox = guard.as_mut().filter(is_ours)?;
        inbox.reading = false;
        match message {
            Ok(ToWorker::Answer { ticket, answer }) => _ = inbox.answers.insert(ticket, answer),
            Ok(ToWorker::TellEnvironment) => {
                report::send(&FromWorker::Environment(std::env::vars_os().collect()));
            }
            Ok(order) => inbox.orders.push_back(order),
            // The supervisor is gone, or this process can't talk to it any more. The socket isn't closed: a cell may have
            // done that.
            Err(_) => inbox.ended = true,
        }
        ARRIVED.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn who_waits_at_the_socket_of_before_a_restore_gets_nothing_and_takes_nothing() {
        let (old, theirs) = UnixStream::pair().unwrap();
        open(old);
        let [reader, other] = [(); 2].map(|()| std::thread::spawn(|| ask(b"question")));
        let begin = std::time::Instant::now();
        // Both have asked, over the old socket.
        let asked = || NEXT_TICKET.load(Ordering::Relaxed) & 0xffff_ffff;
        while asked() < 2 || !lock().as_ref().unwrap().reading {
            assert!(begin.elapsed() < std::time::Duration::from_secs(20), "nobody reads");
            std::thread::yield_now();
        }
        let (new, mut supervisor) = UnixStream::pair().unwrap();
        open(new);
        // In a copy, the old socket is at its end.
        drop(theirs);
        assert_eq!((reader.join().unwrap(), other.join().unwrap()), (None, None));
        wire::write(&mut supervisor, &ToWorker::TellEnvironment).unwrap();
        drop(supervisor);
        assert!(!lock().as_ref().unwrap().ended, "what the old one's reader saw isn't the new one's end");
        assert_eq!(next_order(), None);
        assert!(lock().as_ref().unwrap().ended);
    }
}
