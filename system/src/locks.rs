//! Locks of files and folders, which end with whoever holds them.

use std::fs::{File, TryLockError};
use std::io;
use std::time::{Duration, Instant};

/// How often it is looked whether a lock is free.
const LOOK: Duration = Duration::from_millis(5);

/// Takes the lock of this file or folder, until the file is closed. `TimedOut` if another has it for so long.
pub fn lock_within(file: &File, within: Duration) -> io::Result<()> {
    let begun = Instant::now();
    while let Err(error) = file.try_lock() {
        match error {
            TryLockError::Error(error) => return Err(error),
            TryLockError::WouldBlock if begun.elapsed() > within => return Err(io::ErrorKind::TimedOut.into()),
            TryLockError::WouldBlock => std::thread::sleep(LOOK),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_had_when_its_holder_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let open = || File::open(folder.path()).unwrap();
        let held = open();
        lock_within(&held, Duration::ZERO).unwrap();
        assert_eq!(lock_within(&open(), Duration::ZERO).unwrap_err().kind(), io::ErrorKind::TimedOut);
        let waits = open();
        let waiting = std::thread::spawn(move || lock_within(&waits, Duration::from_secs(60)));
        drop(held);
        waiting.join().unwrap().unwrap();
    }
}
