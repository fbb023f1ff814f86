//! Messages from one member to another. Small ones wait in a ring in the group's memory, and what has no room there in a
//! file of its own. So a sender never waits.
//!
//! In either a message is its front: its number, and how long the two parts are that follow; what it says of itself: the line
//! that sent it, and its type's name; and its bytes.

use super::member::{ANYBODY, Broken, FROM, LOOK, Member, Result, short};
use super::ops::Vector;
use super::segment::{Left, RING};
use crate::link::{Damaged, Message as _};
use crate::sys::{read_exact, wait_on};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::SeqCst;

/// How long a message's front is.
const FRONT: usize = 24;

/// What a message says of itself: who sent it, its type's name, and the line that sent it.
pub(super) struct Letter {
    pub from: usize,
    pub of: String,
    pub line: u32,
}

impl Member {
    fn nobody_left(&self, what: &str) -> Broken {
        let work = self.info.work();
        Broken::group(format!("{what} can't end: no other engine of the group is in the {work} any more"))
    }

    /// Sends a value of the type `of`.
    pub fn send(&self, to: usize, of: &str, line: u32, value: &[u8]) -> Result<()> {
        let what = || format!("send({}) to rank {to}", short(of));
        self.info.check(to, &what())?;
        // Who has ended the cell just doesn't receive it: whether that is so now depends on who is faster.
        if matches!(self.memory.left(to), Some(Left::Failed | Left::GaveUp)) {
            return Err(self.gone(to, &what(), "receiving it"));
        }
        let ring = self.memory.ring(self.rank(), to);
        let number = ring.sent.load(SeqCst);
        let mut said = Vec::new();
        u64::from(line).write(&mut said);
        of.to_owned().write(&mut said);
        let mut begin = Vec::new();
        [number, said.len() as u64, value.len() as u64].iter().for_each(|it| begin.extend(it.to_le_bytes()));
        begin.append(&mut said);
        let (head, tail) = (ring.head.load(SeqCst), ring.tail.load(SeqCst));
        let need = begin.len() + value.len();
        if need <= RING - (head - tail) as usize {
            self.put_in_ring(to, head, &begin);
            self.put_in_ring(to, head + begin.len() as u64, value);
            ring.head.store(head + need as u64, SeqCst);
        } else {
            let file = self.file(self.rank(), to, number);
            write_file(&file, &begin, value).map_err(|error| {
                Broken::own(format!(
                    "{} fails: its {need} bytes can't be written to {}: {error}",
                    what(),
                    file.display()
                ))
            })?;
        }
        ring.sent.store(number + 1, SeqCst);
        self.memory.ring_the_bell(to);
        Ok(())
    }

    /// Takes the next message of a member, or of any; waits for it. Appends its bytes to `value` if it is of this type.
    pub fn receive(&self, from: Option<usize>, of: &str, line: u32, value: &mut dyn Vector) -> Result<Letter> {
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
                return self.take(sender, of, value);
            }
            if is_over {
                let missed = from.or_else(|| self.failed_other());
                return Err(
                    missed.map_or_else(|| self.nobody_left(&what()), |rank| self.gone(rank, &what(), "sending it"))
                );
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

    fn take(&self, from: usize, of: &str, value: &mut dyn Vector) -> Result<Letter> {
        let ring = self.memory.ring(from, self.rank());
        let number = ring.taken.load(SeqCst);
        let (head, tail) = (ring.head.load(SeqCst), ring.tail.load(SeqCst));
        let in_ring = Source::Ring(self, from, tail, (head - tail).min(RING as u64));
        let damaged = |_: Damaged| Broken::own(format!("a message of rank {from} is damaged"));
        let mut front = front(&in_ring).ok();
        // The ring's next message may be one that was sent after this one.
        let source = match &front {
            Some([first, ..]) if *first == number => in_ring,
            _ => {
                let path = self.file(from, self.rank(), number);
                let broken = |error: io::Error| {
                    Broken::own(format!("a message of rank {from} can't be read from {}: {error}", path.display()))
                };
                let file = File::open(&path).map_err(broken)?;
                let length = file.metadata().map_err(broken)?.len();
                let source = Source::File(file, path, length);
                front = self::front(&source).ok();
                source
            }
        };
        let letter = front.ok_or(Damaged).and_then(|[_, said, bytes]| {
            let mut words = Vec::new();
            source.read(FRONT as u64, said, &mut words)?;
            let rest = &mut words.as_slice();
            let letter = Letter { from, line: u64::read(rest)? as u32, of: String::read(rest)? };
            if letter.of == of {
                source.read(FRONT as u64 + said, bytes, value)?;
            }
            Ok((letter, FRONT as u64 + said + bytes))
        });
        let (letter, length) = letter.map_err(damaged)?;
        match &source {
            Source::Ring(..) => ring.tail.store(tail + length, SeqCst),
            // It goes with the folder if not now.
            Source::File(_, path, _) => _ = std::fs::remove_file(path),
        }
        ring.taken.store(number + 1, SeqCst);
        Ok(letter)
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

    /// Copies from the ring of a rank, from where its sender has put so many bytes.
    ///
    /// # Safety
    /// So many bytes from `to` must be for writing.
    unsafe fn copy_from_ring(&self, from: usize, at: u64, to: *mut u8, length: usize) {
        assert!(length <= RING);
        let (start, at) = (self.memory.ring_bytes(from, self.rank()), (at % RING as u64) as usize);
        let first = length.min(RING - at);
        // SAFETY: inside the ring, and its sender doesn't write there before `tail` says that it may.
        unsafe {
            std::ptr::copy_nonoverlapping(start.add(at), to, first);
            std::ptr::copy_nonoverlapping(start, to.add(first), length - first);
        }
    }
}

/// Where a message is, and how many bytes there are at most.
enum Source<'a> {
    /// In the ring of this rank, from this place on.
    Ring(&'a Member, usize, u64, u64),
    File(File, PathBuf, u64),
}

impl Source<'_> {
    /// Appends some of its bytes, which must be whole numbers.
    fn read(&self, at: u64, length: u64, to: &mut dyn Vector) -> std::result::Result<(), Damaged> {
        let (Source::Ring(.., whole) | Source::File(.., whole)) = self;
        let fits = at.checked_add(length).is_some_and(|end| end <= *whole);
        let length = usize::try_from(length).ok().filter(|length| fits && length.is_multiple_of(to.width()));
        let length = length.ok_or(Damaged)?;
        let place = to.spare(length);
        // SAFETY: there is room for so many bytes, which are whole numbers, and are there when they were read.
        unsafe {
            match self {
                Source::Ring(member, from, tail, _) => member.copy_from_ring(*from, tail + at, place, length),
                Source::File(file, ..) => read_exact(file, place, length, at).map_err(|_| Damaged)?,
            }
            to.grow(length);
        }
        Ok(())
    }
}

/// A message's number, and how long its two parts are.
fn front(source: &Source<'_>) -> std::result::Result<[u64; 3], Damaged> {
    let mut bytes = Vec::new();
    source.read(0, FRONT as u64, &mut bytes)?;
    let rest = &mut bytes.as_slice();
    Ok([u64::read(rest)?, u64::read(rest)?, u64::read(rest)?])
}

fn write_file(path: &Path, begin: &[u8], value: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(begin)?;
    file.write_all(value)
}
