//! Messages from one member to another. Small ones wait in a ring in the group's memory, and what has no room there in a
//! file of its own. So a sender never waits.

use super::member::{ANYBODY, Broken, FROM, LOOK, Member, Result, short};
use super::segment::{Left, RING};
use crate::link::Message as _;
use crate::sys::wait_on;
use std::path::PathBuf;
use std::sync::atomic::Ordering::SeqCst;

/// In the ring, a message's number and length stand before it.
const HEAD: usize = 16;

fn nobody_left(what: &str) -> Broken {
    Broken::group(format!("{what} can't end: no other engine of the group is in the cell any more"))
}

/// A message as it travels: who sent it, its type's name, the line that sent it, and the bytes.
pub(super) struct Letter {
    pub from: usize,
    pub of: String,
    pub line: u32,
    pub bytes: Vec<u8>,
}

impl Member {
    /// Sends a value of the type `of`.
    pub fn send(&self, to: usize, of: &str, line: u32, value: &dyn Fn(&mut Vec<u8>)) -> Result<()> {
        let what = || format!("send({}) to rank {to}", short(of));
        self.info.check(to, &what())?;
        // Who has ended the cell just doesn't receive it: whether that is so now depends on who is faster.
        if matches!(self.memory.left(to), Some(Left::Failed | Left::GaveUp)) {
            return Err(self.gone(to, &what(), "receiving it"));
        }
        let mut body = Vec::new();
        u64::from(line).write(&mut body);
        of.to_owned().write(&mut body);
        value(&mut body);
        let ring = self.memory.ring(self.rank(), to);
        let number = ring.sent.load(SeqCst);
        let (head, tail) = (ring.head.load(SeqCst), ring.tail.load(SeqCst));
        let need = HEAD + body.len();
        if need <= RING - (head - tail) as usize {
            let mut front = number.to_le_bytes().to_vec();
            front.extend((body.len() as u64).to_le_bytes());
            self.put_in_ring(to, head, &front);
            self.put_in_ring(to, head + HEAD as u64, &body);
            ring.head.store(head + need as u64, SeqCst);
        } else {
            let file = self.file(self.rank(), to, number);
            std::fs::write(&file, &body).map_err(|error| {
                Broken::own(format!(
                    "{} fails: its {} bytes can't be written to {}: {error}",
                    what(),
                    body.len(),
                    file.display()
                ))
            })?;
        }
        ring.sent.store(number + 1, SeqCst);
        self.memory.ring_the_bell(to);
        Ok(())
    }

    /// The next message of a member, or of any; waits for it.
    pub fn receive(&self, from: Option<usize>, of: &str, line: u32) -> Result<Letter> {
        let what = || match from {
            Some(from) => format!("recv({}) from rank {from}", short(of)),
            None => format!("recv_any({})", short(of)),
        };
        from.map_or(Ok(()), |from| self.info.check(from, &what()))?;
        let bell = &self.memory.seat(self.rank()).bell;
        let mut waits = None;
        let mut seen = None;
        loop {
            let rung = bell.load(SeqCst);
            // Who has left may have sent something before.
            let is_over = match from {
                Some(from) => self.memory.left(from).is_some(),
                None => self.failed_other().is_some() || self.others_have_left(),
            };
            let sender = match from {
                Some(from) => Some(from).filter(|from| self.has_sent(*from, self.rank())),
                None => self.any_sender(),
            };
            if let Some(sender) = sender {
                return self.take(sender);
            }
            if is_over {
                let missed = from.or_else(|| self.failed_other());
                return Err(missed.map_or_else(|| nobody_left(&what()), |rank| self.gone(rank, &what(), "sending it")));
            }
            let awaited = from.map_or(ANYBODY, |from| FROM + from as u32);
            waits.get_or_insert_with(|| self.begin_to_wait(awaited, 0, line));
            wait_on(bell, rung, LOOK);
            if bell.load(SeqCst) == rung {
                self.look(&mut seen)?;
            }
        }
    }

    /// Whether a message from one to another waits.
    pub fn has_sent(&self, from: usize, to: usize) -> bool {
        let ring = self.memory.ring(from, to);
        ring.sent.load(SeqCst) > ring.taken.load(SeqCst)
    }

    /// Of whom a message waits: the next one behind whose message was taken last, so that nobody waits for ever.
    fn any_sender(&self) -> Option<usize> {
        let mut ranks = (0..self.size()).map(|step| (self.next.get() + step) % self.size());
        let found = ranks.find(|from| self.has_sent(*from, self.rank()))?;
        self.next.set((found + 1) % self.size());
        Some(found)
    }

    fn others(&self) -> impl Iterator<Item = usize> {
        (0..self.size()).filter(|rank| *rank != self.rank())
    }

    /// Another member that has failed, by which the group is over; the one that explains the others, if there are several.
    fn failed_other(&self) -> Option<usize> {
        let of = |how| self.others().find(|rank| self.memory.left(*rank) == Some(how));
        of(Left::Failed).or_else(|| of(Left::GaveUp))
    }

    fn others_have_left(&self) -> bool {
        self.others().all(|rank| self.memory.left(rank).is_some())
    }

    fn take(&self, from: usize) -> Result<Letter> {
        let ring = self.memory.ring(from, self.rank());
        let number = ring.taken.load(SeqCst);
        let (head, tail) = (ring.head.load(SeqCst), ring.tail.load(SeqCst));
        let front = (head > tail).then(|| self.take_from_ring(from, tail, HEAD));
        let number_of = |front: &[u8]| front[..8].try_into().map_or(0, u64::from_le_bytes);
        let body = match front {
            Some(front) if number_of(&front) == number => {
                let length = front[8..].try_into().map_or(0, u64::from_le_bytes).min(RING as u64);
                let body = self.take_from_ring(from, tail + HEAD as u64, length as usize);
                ring.tail.store(tail + HEAD as u64 + length, SeqCst);
                body
            }
            _ => {
                let file = self.file(from, self.rank(), number);
                let body = std::fs::read(&file).map_err(|error| {
                    Broken::own(format!("a message of rank {from} can't be read from {}: {error}", file.display()))
                })?;
                // It goes with the folder if not now.
                _ = std::fs::remove_file(&file);
                body
            }
        };
        ring.taken.store(number + 1, SeqCst);
        let rest = &mut body.as_slice();
        let damaged =
            |damaged: crate::link::Damaged| Broken::own(format!("a message of rank {from} is damaged: {damaged}"));
        let line = u64::read(rest).map_err(damaged)? as u32;
        let of = String::read(rest).map_err(damaged)?;
        let begin = body.len() - rest.len();
        let mut bytes = body;
        bytes.drain(..begin);
        Ok(Letter { from, of, line, bytes })
    }

    fn file(&self, from: usize, to: usize, number: u64) -> PathBuf {
        self.folder.join(format!("{from}-{to}-{number}"))
    }

    fn put_in_ring(&self, to: usize, at: u64, bytes: &[u8]) {
        let (start, at) = (self.memory.ring_bytes(self.rank(), to), (at % RING as u64) as usize);
        let (first, second) = bytes.split_at(bytes.len().min(RING - at));
        assert!(bytes.len() <= RING);
        // SAFETY: inside the ring, and nobody reads there before `head` says that it may.
        unsafe {
            std::ptr::copy_nonoverlapping(first.as_ptr(), start.add(at), first.len());
            std::ptr::copy_nonoverlapping(second.as_ptr(), start, second.len());
        }
    }

    fn take_from_ring(&self, from: usize, at: u64, length: usize) -> Vec<u8> {
        let (start, at) = (self.memory.ring_bytes(from, self.rank()), (at % RING as u64) as usize);
        let length = length.min(RING);
        let first = length.min(RING - at);
        let mut bytes = vec![0; length];
        // SAFETY: inside the ring, and its sender doesn't write there before `tail` says that it may.
        unsafe {
            std::ptr::copy_nonoverlapping(start.add(at), bytes.as_mut_ptr(), first);
            std::ptr::copy_nonoverlapping(start, bytes.as_mut_ptr().add(first), length - first);
        }
        bytes
    }
}
