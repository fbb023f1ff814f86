//! What waits for one peer of a `zeromq` socket.
//!
//! `zeromq` counts messages that wait, up to 100,000 of any size, and then makes the sender wait. Here each message is
//! counted, with its bytes, until the socket has copied it into the peer's stream.

use crate::Parts;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::sync::Notify;

/// The most bytes that may wait for a peer: an output window for each of 100 engines and as much again.
const BYTES: usize = 256 << 20;
/// The most messages; well below the number from which on `zeromq` waits.
const MESSAGES: usize = 50_000;

#[derive(Default)]
pub(crate) struct Queue {
    bytes: AtomicUsize,
    messages: AtomicUsize,
    /// Whether somebody was refused and waits for room.
    refused: AtomicBool,
    closed: AtomicBool,
    /// Told when it becomes empty, or has room for those who were refused.
    pub left: Arc<Notify>,
}

/// The last part of a message in a queue; it leaves the count when it is dropped.
struct Queued {
    part: Bytes,
    bytes: usize,
    queue: Arc<Queue>,
}

impl AsRef<[u8]> for Queued {
    fn as_ref(&self) -> &[u8] {
        &self.part
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.queue.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        let was_last = self.queue.messages.fetch_sub(1, Ordering::AcqRel) == 1;
        if self.queue.refused.swap(false, Ordering::AcqRel) || was_last {
            self.queue.left.notify_waiters();
        }
    }
}

impl Queue {
    /// A queue that tells `left`, too.
    pub fn new(left: Arc<Notify>) -> Arc<Queue> {
        Arc::new(Queue { left, ..Queue::default() })
    }

    /// Counts a message in, or gives it back when the queue is full. A queue that is empty takes any message.
    pub fn admit(self: &Arc<Queue>, mut message: Parts) -> Result<Parts, Parts> {
        let bytes = message.iter().map(Bytes::len).sum();
        let waiting = self.bytes.load(Ordering::Relaxed);
        if (waiting > 0 && waiting.saturating_add(bytes) > BYTES) || self.messages.load(Ordering::Relaxed) >= MESSAGES {
            self.refused.store(true, Ordering::Release);
            return Err(message);
        }
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.messages.fetch_add(1, Ordering::Relaxed);
        if let Some(last) = message.last_mut() {
            let part = std::mem::take(last);
            *last = Bytes::from_owner(Queued { part, bytes, queue: self.clone() });
        }
        Ok(message)
    }

    /// Whether it was open until now.
    pub fn close(&self) -> bool {
        !self.closed.swap(true, Ordering::Relaxed)
    }

    pub fn is_empty(&self) -> bool {
        self.messages.load(Ordering::Acquire) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_what_waits_and_refuses_what_is_too_much() {
        let queue = Queue::new(Arc::default());
        let half = || vec![Bytes::from(vec![0; BYTES / 4]), Bytes::from(vec![0; BYTES / 4])];
        let first = queue.admit(half()).unwrap();
        let second = queue.admit(half()).unwrap();
        assert_eq!(queue.admit(half()), Err(half()));
        drop(first);
        assert_eq!(queue.bytes.load(Ordering::Relaxed), BYTES / 2);
        let third = queue.admit(half()).unwrap();
        assert_eq!(third, half());
        drop((second, third));
        assert!(queue.is_empty() && queue.bytes.load(Ordering::Relaxed) == 0);
    }

    #[test]
    fn it_refuses_too_many_small_messages() {
        let queue = Queue::new(Arc::default());
        let kept: Vec<_> = (0..MESSAGES).map(|_| queue.admit(vec![Bytes::new()]).unwrap()).collect();
        assert!(queue.admit(vec![Bytes::new()]).is_err());
        drop(kept);
        assert!(queue.admit(vec![Bytes::new()]).is_ok());
    }

    #[tokio::test]
    async fn who_was_refused_hears_of_room() {
        let queue = Queue::new(Arc::default());
        let mut kept: Vec<_> = (0..MESSAGES).map(|_| queue.admit(vec![Bytes::new()]).unwrap()).collect();
        let left = queue.left.notified();
        assert!(queue.admit(vec![Bytes::new()]).is_err());
        kept.pop();
        tokio::time::timeout(std::time::Duration::from_secs(10), left).await.expect("waited to hear of room");
        assert!(queue.admit(vec![Bytes::new()]).is_ok());
    }
}
