//! Rooms: memory that processes of this host share, under a name. The kernel holds it, so it is gone when the kernel is,
//! however that ends.

use super::passages::{Passage, Passages, taken};
use chorus_protocol::RoomUse;
use chorus_remote::rooms::{Refusal, Store};
use chorus_system::memory;
use parking_lot::{Mutex, MutexGuard};
use px::link::{USE_AT, passage_name, room_name};
use std::collections::HashMap;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tokio::sync::broadcast;

/// So many ends of rooms may wait to be told.
const FREED: usize = 4096;

/// Who needs a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// What cells have in the notebook's worker: lost with its variables.
    Cells,
    /// The kernel: for a job, or for a while.
    Kernel,
}

/// The rooms of one notebook by their names.
#[derive(Debug)]
pub struct Rooms {
    rooms: Mutex<HashMap<String, Room>>,
    passages: Mutex<Passages>,
    /// Tells of those that are let go of.
    freed: broadcast::Sender<String>,
}

impl Default for Rooms {
    fn default() -> Rooms {
        Rooms { rooms: Mutex::default(), passages: Mutex::default(), freed: broadcast::channel(FREED).0 }
    }
}

#[derive(Debug)]
struct Room {
    memory: Memory,
    /// How often it is held, by each.
    cells: usize,
    kernel: usize,
}

#[derive(Debug)]
enum Memory {
    /// Of this number, for one use.
    Once(File, u64),
    Passage(Passage),
}

impl Room {
    fn new(memory: Memory, holder: Holder) -> Room {
        let mut room = Room { memory, cells: 0, kernel: 0 };
        *room.held_by(holder) = 1;
        room
    }

    fn file(&self) -> &File {
        match &self.memory {
            Memory::Once(file, _) => file,
            Memory::Passage(passage) => &passage.file,
        }
    }

    fn number(&self) -> u64 {
        match &self.memory {
            Memory::Once(_, number) => *number,
            Memory::Passage(passage) => passage.number,
        }
    }

    fn held_by(&mut self, holder: Holder) -> &mut usize {
        match holder {
            Holder::Cells => &mut self.cells,
            Holder::Kernel => &mut self.kernel,
        }
    }

    fn is_held(&self) -> bool {
        self.cells + self.kernel > 0
    }
}

impl Rooms {
    /// A new room of so many bytes, all 0; they take memory when they are written. It can grow, but never shrink under
    /// somebody who reads it.
    pub fn make(&self, bytes: u64, holder: Holder) -> io::Result<String> {
        let (number, id) = new_id();
        let file = memory::file(&id, bytes)?;
        let name = room_name(file.as_raw_fd(), &id);
        self.lock().insert(name.clone(), Room::new(Memory::Once(file, number), holder));
        Ok(name)
    }

    /// A room for variables that go from one side to the other, and for what. Its first page has nothing in it but the number
    /// of its use. It may be one that was used for the same before, by another name.
    pub fn passage(&self, purpose: &str, holder: Holder) -> io::Result<String> {
        let kept = self.passages.lock().take(purpose);
        let mut passage = match kept {
            Some(passage) => passage,
            None => {
                let (number, id) = new_id();
                let file = memory::file(&id, 0)?;
                Passage { file, id, number, uses: 0, purpose: purpose.to_owned() }
            }
        };
        passage.uses += 1;
        let mut first = vec![0; USE_AT as usize];
        first.extend(passage.uses.to_le_bytes());
        passage.file.write_all_at(&first, 0)?;
        let name = passage_name(passage.file.as_raw_fd(), &passage.id, passage.uses);
        self.lock().insert(name.clone(), Room::new(Memory::Passage(passage), holder));
        Ok(name)
    }

    /// All that was to go through passages has gone through them, and nobody opens them any more by these names. They are let go of
    /// as by [`Rooms::free`], and their memory is kept for the next use.
    pub fn passed(&self, names: &[String], holder: Holder) {
        let mut over = Vec::new();
        for name in names {
            px::data::trim(name);
            if let Some(Room { memory: Memory::Passage(passage), .. }) = self.let_go(name, holder) {
                over.push(passage);
            }
        }
        self.passages.lock().keep(over, Instant::now());
    }

    /// Lets go of memory that was kept for too long, or is needed for something else.
    pub fn tidy(&self) {
        self.passages.lock().tidy(Instant::now());
    }

    /// A room with this in it, for cells.
    pub fn with(&self, contents: &[u8]) -> io::Result<String> {
        let name = self.make(contents.len() as u64, Holder::Cells)?;
        if let Some(room) = self.lock().get(&name) {
            room.file().write_all_at(contents, 0)?;
        }
        Ok(name)
    }

    /// Somebody else needs the room. False if it is gone.
    pub fn hold(&self, name: &str, holder: Holder) -> bool {
        self.lock().get_mut(name).map(|room| *room.held_by(holder) += 1).is_some()
    }

    /// What cells held once is the kernel's.
    pub fn give(&self, name: &str) {
        if let Some(room) = self.lock().get_mut(name).filter(|room| room.cells > 0) {
            room.cells -= 1;
            room.kernel += 1;
        }
    }

    /// Somebody needs it no longer. When nobody does, it is let go of; who has it open or mapped keeps it.
    pub fn free(&self, name: &str, holder: Holder) {
        drop(self.let_go(name, holder));
    }

    /// The room, if nobody needs it any longer.
    fn let_go(&self, name: &str, holder: Holder) -> Option<Room> {
        let mut rooms = self.lock();
        let room = rooms.get_mut(name)?;
        let held = room.held_by(holder);
        *held = held.saturating_sub(1);
        if room.is_held() {
            return None;
        }
        // Perhaps nobody listens.
        _ = self.freed.send(name.to_owned());
        rooms.remove(name)
    }

    /// No cell has anything any more.
    pub fn lose_cells(&self) {
        self.passages.lock().clear();
        self.lock().retain(|name, room| {
            room.cells = 0;
            if !room.is_held() {
                _ = self.freed.send(name.clone());
            }
            room.is_held()
        });
    }

    /// What each of them takes, with the memory that is kept.
    pub fn used(&self) -> Vec<RoomUse> {
        let of = |room: &Room| {
            let bytes = taken(room.file()).ok()?;
            Some(RoomUse { number: room.number(), bytes, in_cells: room.cells > 0 })
        };
        let mut used: Vec<_> = self.lock().values().filter_map(of).collect();
        let kept = |(number, bytes)| RoomUse { number, bytes, in_cells: false };
        used.extend(self.passages.lock().used().map(kept));
        used
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Room>> {
        self.rooms.lock()
    }
}

impl Store for Rooms {
    fn open(&self, room: &str) -> Result<File, Refusal> {
        let rooms = self.lock();
        match &rooms.get(room).ok_or(Refusal::Gone)?.memory {
            Memory::Once(file, _) => Ok(file.try_clone()?),
            // Bytes may be under way to the file when what they are for is over: so long it isn't used again.
            Memory::Passage(passage) => Ok(passage.locked()?),
        }
    }

    fn reserve(&self, room: &str, bytes: u64) -> Result<u64, Refusal> {
        Ok(px::data::reserve(&self.open(room)?, bytes)?)
    }

    fn make(&self, _: &str, _: u64) -> Result<(), Refusal> {
        Err(Refusal::Failed("rooms are made by the notebook".to_owned()))
    }

    fn remove(&self, _: &str) -> Result<(), Refusal> {
        Err(Refusal::Failed("rooms are let go of by the notebook".to_owned()))
    }

    fn watch(&self) -> Option<broadcast::Receiver<String>> {
        Some(self.freed.subscribe())
    }
}

/// What all names of this kernel's rooms have in them.
pub fn kernel_number() -> String {
    static KERNEL: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(std::process::id()));
    format!("{:016x}", *KERNEL)
}

/// A room's number in this kernel, and what no other room is called, of this kernel or another one.
fn new_id() -> (u64, String) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    (number, format!("chorus-{}-{number}", kernel_number()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_there_until_all_have_freed_it() {
        let rooms = Rooms::default();
        let name = rooms.with(b"abc").unwrap();
        let (path, _) = name.split_once('#').unwrap();
        let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
        file.write_all_at(b"x", 1).unwrap();
        assert_eq!(std::fs::read(path).unwrap(), b"axc");
        assert!(file.set_len(1).is_err(), "it can't shrink");
        assert!(rooms.hold(&name, Holder::Cells));
        rooms.free(&name, Holder::Cells);
        assert!(rooms.hold(&name, Holder::Cells), "it is still held once");
        rooms.free(&name, Holder::Cells);
        rooms.free(&name, Holder::Cells);
        assert!(!rooms.hold(&name, Holder::Cells));
        assert_ne!(rooms.make(1, Holder::Kernel).unwrap(), name, "a name is never used twice");
    }

    #[test]
    fn a_passage_is_used_again_under_another_name() {
        let rooms = Rooms::default();
        let first = rooms.passage("push x", Holder::Kernel).unwrap();
        let write = |name: &str| Store::open(&rooms, name).unwrap().write_all_at(&[1; 5 << 20], USE_AT + 8).unwrap();
        write(&first);
        rooms.passed(std::slice::from_ref(&first), Holder::Kernel);
        assert!(!rooms.hold(&first, Holder::Kernel));
        assert_eq!(rooms.used().len(), 1, "its memory is kept");
        assert_ne!(rooms.passage("push y", Holder::Kernel).unwrap(), first);
        let second = rooms.passage("push x", Holder::Kernel).unwrap();
        assert_ne!(second, first);
        assert_eq!(second.rsplit_once('+').unwrap().0, first.rsplit_once('+').unwrap().0, "it is the same memory");
        assert!(Store::open(&rooms, &second).is_ok() && Store::open(&rooms, &first).is_err());
        rooms.free(&second, Holder::Kernel);
        let third = rooms.passage("push x", Holder::Kernel).unwrap();
        assert_eq!(third.rsplit_once('+').unwrap().1, "1", "what didn't go well isn't used again");
    }

    #[test]
    fn what_is_written_takes_memory() {
        let rooms = Rooms::default();
        let _large = rooms.make(1 << 30, Holder::Kernel).unwrap();
        let _small = rooms.with(&[1; 10_000]).unwrap();
        let mut used = rooms.used();
        used.sort_by_key(|room| room.number);
        assert_eq!((used[0].bytes, used[0].in_cells), (0, false), "it is a hole");
        assert!((10_000..100_000).contains(&used[1].bytes) && used[1].in_cells, "{used:?}");
    }

    #[test]
    fn what_cells_have_lost_is_gone_unless_the_kernel_needs_it() {
        let rooms = Rooms::default();
        let [lost, shared, given, own] = [(); 4].map(|()| rooms.make(1, Holder::Cells).unwrap());
        assert!(rooms.hold(&shared, Holder::Kernel));
        rooms.give(&given);
        rooms.give(&own);
        rooms.free(&own, Holder::Cells);
        assert!(rooms.hold(&own, Holder::Cells), "cells can't free what isn't theirs");
        assert!(rooms.hold(&lost, Holder::Cells));
        rooms.lose_cells();
        for kept in [&shared, &given, &own] {
            assert!(rooms.hold(kept, Holder::Kernel), "the kernel needs it");
            rooms.free(kept, Holder::Kernel);
            rooms.free(kept, Holder::Kernel);
        }
        assert!(rooms.lock().is_empty());
    }
}
