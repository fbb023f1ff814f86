//! Rooms: memory that processes of this host share, under a path. The kernel holds it, so it is gone when the kernel is,
//! however that ends.

use chorus_system::memory;
use std::collections::HashMap;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{io, process};

/// The rooms of one notebook, by their paths.
#[derive(Debug, Default)]
pub struct Rooms(Mutex<HashMap<String, File>>);

impl Rooms {
    /// A new room of so many bytes, all 0; they take memory when they are written.
    pub fn make(&self, bytes: u64) -> io::Result<String> {
        let file = memory::file("chorus", bytes)?;
        let path = format!("/proc/{}/fd/{}", process::id(), file.as_raw_fd());
        self.lock().insert(path.clone(), file);
        Ok(path)
    }

    /// A room with this in it.
    pub fn with(&self, contents: &[u8]) -> io::Result<String> {
        let path = self.make(contents.len() as u64)?;
        if let Some(file) = self.lock().get(&path) {
            file.write_all_at(contents, 0)?;
        }
        Ok(path)
    }

    /// Lets go of a room. Who has it open or mapped keeps it.
    pub fn free(&self, path: &str) {
        self.lock().remove(path);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, File>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_a_file_until_it_is_freed() {
        let rooms = Rooms::default();
        let path = rooms.with(b"abc").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"abc");
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().write_all_at(b"x", 1).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"axc");
        rooms.free(&path);
        assert!(!std::fs::read(&path).is_ok_and(|bytes| bytes == b"axc"));
    }
}
