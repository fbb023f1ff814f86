//! What says how long a buffer is needed: a lock on a file in memory.
//!
//! A worker has such a file open for each buffer, with a shared lock, which belongs to the open file. So a frozen copy of
//! the worker has the same one, and a copy that carries on still has what the dead worker had let go of. When the last
//! process that has it open closes it or ends, however it ends, the lock is gone, and this side's is granted.

use std::fs::File;
use std::io;

/// Opens such a file anew, so that a lock of its own can be waited for.
pub fn open(holder: &str) -> io::Result<File> {
    File::options().read(true).write(true).open(holder)
}

/// Whether nobody holds it any more.
pub fn is_free(file: &File) -> bool {
    file.try_lock().is_ok()
}

/// Calls `end` when nobody holds this file any more; not at all if it can't be waited for.
pub fn wait_for(file: &File, end: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let file = file.try_clone()?;
    let wait = move || {
        while let Err(error) = file.lock() {
            if error.kind() != io::ErrorKind::Interrupted {
                tracing::warn!(%error, "who holds a buffer of the GPU can't be waited for");
                return;
            }
        }
        end();
    };
    std::thread::Builder::new().name("chorus-gpu-kept".into()).stack_size(64 << 10).spawn(wait)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use chorus_system::memory;
    use std::os::fd::AsRawFd as _;
    use std::sync::mpsc;
    use std::time::Duration;

    #[test]
    fn the_last_one_that_has_it_open_counts() {
        let holder = memory::file("test", 0).unwrap();
        holder.lock_shared().unwrap();
        // As a copy of the process has it.
        let copy = holder.try_clone().unwrap();
        let (ended, end) = mpsc::channel();
        let file = open(&format!("/proc/self/fd/{}", holder.as_raw_fd())).unwrap();
        wait_for(&file, move || ended.send(()).unwrap()).unwrap();
        drop(holder);
        assert!(!is_free(&file));
        assert_eq!(end.recv_timeout(Duration::from_millis(100)), Err(mpsc::RecvTimeoutError::Timeout));
        drop(copy);
        // Also while that is being told.
        assert!(is_free(&file));
        end.recv_timeout(Duration::from_secs(10)).unwrap();
    }
}
