//! Rooms: memory that processes of this host share, under a name. The kernel holds it, so it is gone when the kernel is,
//! however that ends.

use chorus_system::memory;
use parking_lot::{Mutex, MutexGuard};
use px::link::room_name;
use std::collections::HashMap;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The rooms of one notebook by their names, and how often each is held.
#[derive(Debug, Default)]
pub struct Rooms(Mutex<HashMap<String, (File, usize)>>);

impl Rooms {
    /// A new room of so many bytes, all 0; they take memory when they are written. It can grow, but never shrink under
    /// somebody who reads it.
    pub fn make(&self, bytes: u64) -> io::Result<String> {
        let id = new_id();
        let file = memory::file(&id, bytes)?;
        let name = room_name(file.as_raw_fd(), &id);
        self.lock().insert(name.clone(), (file, 1));
        Ok(name)
    }

    /// A room with this in it.
    pub fn with(&self, contents: &[u8]) -> io::Result<String> {
        let name = self.make(contents.len() as u64)?;
        if let Some((file, _)) = self.lock().get(&name) {
            file.write_all_at(contents, 0)?;
        }
        Ok(name)
    }

    /// Somebody else needs the room. False if it is gone.
    pub fn hold(&self, name: &str) -> bool {
        self.lock().get_mut(name).map(|(_, holders)| *holders += 1).is_some()
    }

    /// Somebody needs it no longer. When nobody does, it is let go of; who has it open or mapped keeps it.
    pub fn free(&self, name: &str) {
        let mut rooms = self.lock();
        let Some((_, holders)) = rooms.get_mut(name) else { return };
        *holders -= 1;
        if *holders == 0 {
            rooms.remove(name);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (File, usize)>> {
        self.0.lock()
    }
}

/// What no other room is called, of this kernel or another one.
fn new_id() -> String {
    static KERNEL: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(std::process::id()));
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("chorus-{:016x}-{}", *KERNEL, NEXT.fetch_add(1, Ordering::Relaxed))
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
        assert!(rooms.hold(&name));
        rooms.free(&name);
        assert!(rooms.hold(&name), "it is still held once");
        rooms.free(&name);
        rooms.free(&name);
        assert!(!rooms.hold(&name));
        assert_ne!(rooms.make(1).unwrap(), name, "a name is never used twice");
    }
}
