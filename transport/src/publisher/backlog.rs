//! What waits for subscribers, and what becomes of one that is slow. No socket and no clock in here.
//!
//! Each subscriber has a place in one queue. One that reads and is [`NEAR`] behind makes the publisher wait, so that a
//! cell prints no faster than its front end reads. One that has read nothing for [`READS`] doesn't, until it is
//! [`LIMIT`] behind; then it has to read something within [`PATIENCE`], or is dropped.

use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How far a subscriber may be behind before publishers wait for it, in bytes.
const NEAR: u64 = 1 << 20;

/// How far one that doesn't read may be behind, in bytes. More never waits, whatever the number of subscribers.
pub const LIMIT: u64 = 64 << 20;

/// A subscriber reads if it has taken [`HEADWAY`] or all there is within this time.
const READS: Duration = Duration::from_secs(1);

/// How long one that is [`LIMIT`] behind may read nothing.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What counts as reading, in bytes.
const HEADWAY: u64 = 256 << 10;

/// What a subscriber is written at once at the most: so many messages, and no more after so many bytes.
const BATCH: (usize, usize) = (64, 256 << 10);

/// Subscriptions of one subscriber.
const TOPICS: usize = 1000;

/// Something published.
#[derive(Clone, Debug)]
pub struct Message {
    pub topic: Bytes,
    pub bytes: Bytes,
}

#[derive(Debug)]
struct Subscriber {
    /// The number of the message that is taken next.
    next: u64,
    /// How many of all bytes ever published it was written, or didn't want.
    place: u64,
    /// When, and at which place, it was last seen to have read something.
    seen: (Instant, u64),
    topics: Vec<Bytes>,
    /// Its connection lasts as long as this.
    _open: oneshot::Sender<()>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Backlog {
    messages: VecDeque<Message>,
    /// The number of the first of them.
    first: u64,
    /// All bytes ever published.
    published: u64,
    subscribers: BTreeMap<u64, Subscriber>,
    joined: u64,
}

/// What is to be done with a message.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How many subscribers were dropped.
    pub dropped: usize,
    /// How long to wait at the most, unless something is written before; nothing if the message was taken.
    pub wait: Option<Duration>,
}

impl Backlog {
    /// Takes a message, unless somebody is to be waited for.
    pub fn offer(&mut self, message: &Message, now: Instant) -> Verdict {
        let before = self.subscribers.len();
        let published = self.published;
        self.subscribers.retain(|_, subscriber| {
            published - subscriber.place < LIMIT || now.duration_since(subscriber.seen.0) < PATIENCE
        });
        let dropped = before - self.subscribers.len();
        let wait = self.subscribers.values().filter_map(|subscriber| {
            let silent = now.duration_since(subscriber.seen.0);
            match published - subscriber.place {
                LIMIT.. => PATIENCE.checked_sub(silent),
                NEAR.. => READS.checked_sub(silent).filter(|wait| !wait.is_zero()),
                _ => None,
            }
        });
        let wait = wait.min();
        if dropped > 0 {
            self.forget();
        }
        if wait.is_none() && !self.subscribers.is_empty() {
            for subscriber in self.subscribers.values_mut().filter(|subscriber| subscriber.place == published) {
                // Until now there was nothing for it to read.
                subscriber.seen = (now, published);
            }
            self.published += message.bytes.len() as u64;
            self.messages.push_back(message.clone());
        }
        Verdict { dropped, wait }
    }

    /// How long to wait until all that was published is written to those who read; nothing if it is.
    pub fn unwritten(&self, now: Instant) -> Option<Duration> {
        let behind = self.subscribers.values().filter(|subscriber| subscriber.place < self.published);
        behind
            .filter_map(|subscriber| READS.checked_sub(now.duration_since(subscriber.seen.0)))
            .filter(|wait| !wait.is_zero())
            .min()
    }

    /// A new subscriber; what was published before isn't for it.
    pub fn join(&mut self, open: oneshot::Sender<()>, now: Instant) -> u64 {
        self.joined += 1;
        let subscriber = Subscriber {
            next: self.first + self.messages.len() as u64,
            place: self.published,
            seen: (now, self.published),
            topics: Vec::new(),
            _open: open,
        };
        self.subscribers.insert(self.joined, subscriber);
        self.joined
    }

    /// A subscriber is gone.
    pub fn leave(&mut self, id: u64) {
        if self.subscribers.remove(&id).is_some() {
            self.forget();
        }
    }

    /// A subscriber wants what begins like this.
    pub fn subscribe(&mut self, id: u64, topic: Bytes) -> io::Result<()> {
        let Some(subscriber) = self.subscribers.get_mut(&id) else { return Ok(()) };
        if subscriber.topics.len() >= TOPICS {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "too many subscriptions"));
        }
        subscriber.topics.push(topic);
        Ok(())
    }

    /// A subscriber takes back one subscription to this.
    pub fn unsubscribe(&mut self, id: u64, topic: &[u8]) {
        let Some(subscriber) = self.subscribers.get_mut(&id) else { return };
        if let Some(at) = subscriber.topics.iter().position(|one| one == topic) {
            subscriber.topics.swap_remove(at);
        }
    }

    /// What a subscriber is to be written next; nothing if there is nothing, or if it is dropped.
    pub fn take(&mut self, id: u64) -> Vec<Bytes> {
        let Some(subscriber) = self.subscribers.get_mut(&id) else { return Vec::new() };
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for message in self.messages.range(((subscriber.next - self.first) as usize).min(self.messages.len())..) {
            if batch.len() == BATCH.0 || bytes >= BATCH.1 {
                break;
            }
            subscriber.next += 1;
            if subscriber.topics.iter().any(|topic| message.topic.starts_with(topic)) {
                bytes += message.bytes.len();
                batch.push(message.bytes.clone());
            } else {
                subscriber.place += message.bytes.len() as u64;
            }
        }
        self.forget();
        batch
    }

    /// So many bytes more are with a subscriber's system.
    pub fn wrote(&mut self, id: u64, bytes: usize, now: Instant) {
        let Some(subscriber) = self.subscribers.get_mut(&id) else { return };
        subscriber.place += bytes as u64;
        if subscriber.place - subscriber.seen.1 >= HEADWAY || subscriber.place == self.published {
            subscriber.seen = (now, subscriber.place);
        }
    }

    /// Lets go of what all have taken.
    fn forget(&mut self) {
        let end = self.first + self.messages.len() as u64;
        let next = self.subscribers.values().map(|subscriber| subscriber.next).min().unwrap_or(end);
        self.messages.drain(..(next - self.first) as usize);
        self.first = next;
    }
}

#[cfg(test)]
mod tests;
