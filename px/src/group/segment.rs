//! The memory that a group's members share: a file that each of them maps. All places in it are fixed by the number of
//! members, so whoever comes first makes the file, and nobody has to wait for that.

use crate::sys::{Mapping, PAGE, wake_all};
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

/// The name of the file in the group's folder.
const FILE: &str = "memory";
/// What a member shows at once, in bytes: a quarter of a small second-level cache, so that others find it there.
pub(super) const CHUNK: usize = 256 << 10;
/// What may wait between two members without a file of its own.
pub(super) const RING: usize = 64 << 10;
/// The longest account of how a member left.
const NOTE: usize = 1024;
/// The longest name of a type.
pub(super) const NAME: usize = 160;
/// More members than this have no room for the rings between any two.
pub(super) const MOST: usize = 1024;

/// Whom all wait for.
#[repr(C, align(64))]
pub(super) struct Gate {
    /// How many have come to the collective under way.
    pub arrived: AtomicU32,
    /// Twice the number of times that all have come, and one more when somebody has left. Members sleep on it.
    pub turn: AtomicU32,
}

/// What a member says of itself.
#[repr(C, align(64))]
pub(super) struct Seat {
    /// A [`Left`] as a number; 0 while it takes part.
    pub left: AtomicU32,
    /// Grows when something has come for this member. It sleeps on it.
    pub bell: AtomicU32,
    /// Grows with whatever this member begins to do or ends.
    pub step: AtomicU64,
    /// What it waits for: 0 for nothing, 1 for all, 2 + n for a message of rank n.
    pub waits: AtomicU32,
    /// The turn that it waits for to end, if it waits for all.
    pub waits_turn: AtomicU32,
    /// Where in its source.
    pub line: AtomicU32,
    note_length: AtomicU32,
    note: [AtomicU8; NOTE],
}

/// How a member left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// It came to the end of the cell or the call.
    Ended = 1,
    /// It panicked, or failed in another way that its note tells.
    Failed = 2,
    /// It found that the group is at its end, for the reason that its note tells.
    GaveUp = 3,
}

impl Left {
    fn of(number: u32) -> Option<Left> {
        [Left::Ended, Left::Failed, Left::GaveUp].into_iter().find(|left| *left as u32 == number)
    }
}

/// The call for which a member shows bytes.
#[repr(C, align(64))]
pub(super) struct Shown {
    /// A hash of all that must be the same for all members.
    pub print: AtomicU64,
    /// How many bytes it has to show in all.
    pub bytes: AtomicU64,
    pub count: AtomicU64,
    pub kind: AtomicU32,
    pub how: AtomicU32,
    pub root: AtomicU32,
    pub line: AtomicU32,
    pub name_length: AtomicU32,
    pub name: [AtomicU8; NAME],
}

/// The messages from one member to another that weren't taken yet, see `post`.
#[repr(C, align(64))]
pub(super) struct Ring {
    /// How many messages were sent, and taken.
    pub sent: AtomicU64,
    pub taken: AtomicU64,
    /// How many bytes were ever put into the ring, and taken from it.
    pub head: AtomicU64,
    pub tail: AtomicU64,
}

const SLOT: usize = (size_of::<Shown>() + CHUNK).next_multiple_of(PAGE);
const LINE: usize = (size_of::<Ring>() + RING).next_multiple_of(PAGE);

/// See the module.
pub(super) struct Segment {
    memory: Mapping,
    members: usize,
}

impl Segment {
    /// The memory of the group that has this folder, for a member. Who comes first makes both.
    pub fn make(folder: &Path, members: usize) -> io::Result<Segment> {
        match Segment::of(folder, members, true) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match DirBuilder::new().mode(0o700).create(folder) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                    _ => {}
                }
                Segment::of(folder, members, true)
            }
            opened => opened,
        }
    }

    /// The same for who only has to say something there: it isn't found if no member has made it, or the group is gone.
    pub fn open(folder: &Path, members: usize) -> io::Result<Segment> {
        Segment::of(folder, members, false)
    }

    fn of(folder: &Path, members: usize, make: bool) -> io::Result<Segment> {
        if !(1..=MOST).contains(&members) {
            return Err(io::Error::other(format!("a group can't have {members} members, but 1 to {MOST}")));
        }
        let mut options = File::options();
        let file = options.read(true).write(true).create(make).truncate(false).mode(0o600).open(folder.join(FILE))?;
        let length = Segment::slots(members) + members * 2 * SLOT + members * members * LINE;
        // All give it the same length, and what is there already stays. It is never made shorter, under those who have it.
        match file.metadata()?.len() {
            0 => file.set_len(length as u64)?,
            found if found == length as u64 => {}
            _ => return Err(io::Error::other(format!("it isn't made for {members} members"))),
        }
        Ok(Segment { memory: Mapping::new(&file, length, true)?, members })
    }

    fn slots(members: usize) -> usize {
        (size_of::<Gate>() + members * size_of::<Seat>()).next_multiple_of(PAGE)
    }

    /// # Safety
    /// At this place there must be a `T`, which is atomics only.
    unsafe fn at<T>(&self, place: usize) -> &T {
        debug_assert!(place + size_of::<T>() <= self.memory.length() && place.is_multiple_of(align_of::<T>()));
        // SAFETY: inside the mapping, aligned, and any bytes are atomics. Other processes only change them as such.
        unsafe { &*self.memory.start().add(place).cast::<T>() }
    }

    pub fn gate(&self) -> &Gate {
        // SAFETY: the first thing in the file.
        unsafe { self.at(0) }
    }

    pub fn seat(&self, rank: usize) -> &Seat {
        assert!(rank < self.members);
        // SAFETY: the seats are behind the gate.
        unsafe { self.at(size_of::<Gate>() + rank * size_of::<Seat>()) }
    }

    fn slot(&self, rank: usize, half: usize) -> usize {
        assert!(rank < self.members && half < 2);
        Segment::slots(self.members) + (rank * 2 + half) * SLOT
    }

    pub fn shown(&self, rank: usize, half: usize) -> &Shown {
        // SAFETY: at the beginning of each slot.
        unsafe { self.at(self.slot(rank, half)) }
    }

    /// The [`CHUNK`] bytes that a member shows.
    pub fn chunk(&self, rank: usize, half: usize) -> *mut u8 {
        // SAFETY: behind the beginning of each slot.
        unsafe { self.memory.start().add(self.slot(rank, half) + size_of::<Shown>()) }
    }

    fn line(&self, from: usize, to: usize) -> usize {
        assert!(from < self.members && to < self.members);
        Segment::slots(self.members) + self.members * 2 * SLOT + (from * self.members + to) * LINE
    }

    pub fn ring(&self, from: usize, to: usize) -> &Ring {
        // SAFETY: at the beginning of each line.
        unsafe { self.at(self.line(from, to)) }
    }

    /// The [`RING`] bytes of a ring.
    pub fn ring_bytes(&self, from: usize, to: usize) -> *mut u8 {
        // SAFETY: behind the ring's account.
        unsafe { self.memory.start().add(self.line(from, to) + size_of::<Ring>()) }
    }

    /// Whether and how a member has left.
    pub fn left(&self, rank: usize) -> Option<Left> {
        Left::of(self.seat(rank).left.load(SeqCst))
    }

    pub fn note(&self, rank: usize) -> String {
        let seat = self.seat(rank);
        let length = (seat.note_length.load(SeqCst) as usize).min(NOTE);
        let bytes: Vec<u8> = seat.note[..length].iter().map(|byte| byte.load(SeqCst)).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub fn write_note(&self, rank: usize, note: &str) {
        let seat = self.seat(rank);
        let length = note.floor_char_boundary(NOTE);
        seat.note.iter().zip(note.as_bytes()).for_each(|(place, byte)| place.store(*byte, SeqCst));
        seat.note_length.store(length as u32, SeqCst);
    }

    /// A member takes part no more, for this reason if it isn't written already. All who sleep wake up and see it. Who has
    /// left doesn't do it again.
    pub fn leave(&self, rank: usize, left: Left, note: Option<&str>) {
        let seat = self.seat(rank);
        if seat.left.load(SeqCst) != 0 {
            return;
        }
        note.into_iter().for_each(|note| self.write_note(rank, note));
        if seat.left.compare_exchange(0, left as u32, SeqCst, SeqCst).is_err() {
            return;
        }
        self.gate().turn.fetch_or(1, SeqCst);
        wake_all(&self.gate().turn);
        for rank in 0..self.members {
            self.ring_the_bell(rank);
        }
    }

    pub fn ring_the_bell(&self, rank: usize) {
        let bell = &self.seat(rank).bell;
        bell.fetch_add(1, SeqCst);
        wake_all(bell);
    }
}
