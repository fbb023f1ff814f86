//! Lists of numbers in `/proc`, read without a lock and without memory from the allocator: while other threads are
//! stopped, they may hold all locks that there are.

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

/// What the system puts before a name: two numbers of 8 bytes, the entry's length in 2 bytes, its kind in 1.
const HEAD: usize = 19;

/// Opens a folder.
pub fn folder(path: &CStr) -> io::Result<OwnedFd> {
    Ok(open(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?)
}

/// Calls `each` with each name that is a number, from the beginning. Entries that come or go meanwhile may be missed.
pub fn numbers(folder: &OwnedFd, mut each: impl FnMut(u32)) -> io::Result<()> {
    // SAFETY: takes numbers only.
    if unsafe { libc::lseek(folder.as_raw_fd(), 0, libc::SEEK_SET) } == -1 {
        return Err(io::Error::last_os_error());
    }
    let mut buffer = [0u8; 8192];
    loop {
        // SAFETY: the system writes at most so many bytes.
        let read =
            unsafe { libc::syscall(libc::SYS_getdents64, folder.as_raw_fd(), buffer.as_mut_ptr(), buffer.len()) };
        let mut rest = match usize::try_from(read) {
            Err(_) => return Err(io::Error::last_os_error()),
            Ok(0) => return Ok(()),
            Ok(read) => buffer.get(..read).unwrap_or_default(),
        };
        while let Some(length) = rest.get(16..18).and_then(|length| length.try_into().ok()).map(u16::from_ne_bytes) {
            let Some((entry, others)) = rest.split_at_checked(usize::from(length).max(HEAD)) else { break };
            let name = entry.get(HEAD..).and_then(|name| CStr::from_bytes_until_nul(name).ok());
            if let Some(number) = name.and_then(|name| name.to_str().ok()?.parse().ok()) {
                each(number);
            }
            rest = others;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_numbers_are_found_again_and_again() {
        let files: Vec<_> = (0..600).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
        let folder = folder(c"/proc/self/fd").unwrap();
        for _ in 0..2 {
            let mut seen = std::collections::HashSet::new();
            numbers(&folder, |fd| _ = seen.insert(fd)).unwrap();
            assert!(files.iter().all(|file| seen.contains(&file.as_raw_fd().cast_unsigned())), "{seen:?}");
        }
    }
}
