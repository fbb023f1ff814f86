//! The counts of eventfds: a copy of a process shares them with the original, and is to find them as they were.
//!
//! Nothing here allocates or takes a lock: other threads may be stopped.

use crate::descriptors::each_open;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use std::ffi::CStr;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd, RawFd};

/// Of more eventfds the counts aren't noted.
const MAX: usize = 128;

/// One that is read piece by piece is read so often at most.
const READS_MAX: u64 = 1 << 16;

const EVENTFD: &[u8] = b"anon_inode:[eventfd]";

/// The counts of this process's eventfds at some time.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    noted: [(RawFd, u64); MAX],
    length: usize,
}

impl Counts {
    /// As they are now.
    pub fn now() -> io::Result<Counts> {
        let mut counts = Counts { noted: [(-1, 0); MAX], length: 0 };
        each_open(|fd| {
            if is_eventfd(fd)
                && let Some(count) = count(fd)
                && let Some(slot) = counts.noted.get_mut(counts.length)
            {
                *slot = (fd, count);
                counts.length += 1;
            }
        })?;
        Ok(counts)
    }

    /// Gives all that are open still, with nobody else who reads them, the counts that they had, and wakes who waits for
    /// one: a wake-up may have reached another process's thread instead.
    pub fn restore(&self) -> io::Result<()> {
        each_open(|fd| {
            if is_eventfd(fd)
                && let Some(now) = count(fd)
            {
                let noted = self.noted.iter().take(self.length).find(|(noted, _)| *noted == fd);
                // SAFETY: it was listed, and no other thread closes it.
                set(unsafe { BorrowedFd::borrow_raw(fd) }, now, noted.map_or(now, |(_, count)| *count));
            }
        })
    }
}

fn set(eventfd: BorrowedFd<'_>, mut now: u64, wanted: u64) {
    let mut reads = 0;
    while now > wanted && reads < READS_MAX {
        let mut read = [0; 8];
        // It takes all, or 1 from one that is a semaphore, and doesn't block, since there is something.
        match nix::unistd::read(eventfd, &mut read) {
            Ok(_) => now = now.saturating_sub(u64::from_ne_bytes(read)),
            Err(_) => return,
        }
        reads += 1;
    }
    // Writing nothing wakes as well.
    let _ = nix::unistd::write(eventfd, &wanted.saturating_sub(now).to_ne_bytes());
}

/// A path within `/proc/self`, in memory of its own.
fn path<'a>(buffer: &'a mut [u8; 48], folder: &str, fd: RawFd) -> Option<&'a CStr> {
    let mut rest = &mut buffer[..];
    write!(rest, "/proc/self/{folder}/{fd}\0").ok()?;
    CStr::from_bytes_until_nul(buffer).ok()
}

fn is_eventfd(fd: RawFd) -> bool {
    let (mut buffer, mut target) = ([0; 48], [0; EVENTFD.len() + 1]);
    let Some(path) = path(&mut buffer, "fd", fd) else { return false };
    // SAFETY: the path ends with a 0, and the system writes at most so many bytes.
    let length = unsafe { libc::readlink(path.as_ptr(), target.as_mut_ptr().cast(), target.len()) };
    usize::try_from(length).is_ok_and(|length| target.get(..length) == Some(EVENTFD))
}

fn count(fd: RawFd) -> Option<u64> {
    const FIELD: &str = "eventfd-count:";
    let (mut buffer, mut info) = ([0; 48], [0; 512]);
    let file = open(path(&mut buffer, "fdinfo", fd)?, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
    let read = nix::unistd::read(file.as_fd(), &mut info).ok()?;
    let info = std::str::from_utf8(info.get(..read)?).ok()?;
    let count = info.lines().find_map(|line| line.strip_prefix(FIELD))?;
    u64::from_str_radix(count.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
    use nix::sys::eventfd::{EfdFlags, EventFd};
    use std::os::fd::AsRawFd as _;

    /// The others' tests have eventfds as well, which are not to be set back.
    fn only(counts: &mut Counts, fd: &EventFd) {
        counts.noted.iter_mut().filter(|(noted, _)| *noted != fd.as_raw_fd()).for_each(|(noted, _)| *noted = -1);
    }

    #[test]
    fn counts_are_set_back() {
        for (flags, before, change) in [
            (EfdFlags::empty(), 3, 5),
            (EfdFlags::EFD_NONBLOCK, 0, 5),
            (EfdFlags::EFD_SEMAPHORE, 3, 5),
            (EfdFlags::EFD_SEMAPHORE, 0, 5),
            (EfdFlags::empty(), 3, 0),
        ] {
            let eventfd = EventFd::from_value_and_flags(before, flags).unwrap();
            let mut counts = Counts::now().unwrap();
            only(&mut counts, &eventfd);
            eventfd.write(change).unwrap();
            if change == 0 {
                eventfd.read().unwrap();
            }
            let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
            epoll.add(&eventfd, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 7)).unwrap();
            let mut events = [EpollEvent::empty()];
            let mut wait = || epoll.wait(&mut events, PollTimeout::ZERO).unwrap();
            // What was there is taken by somebody else.
            let _ = wait();
            counts.restore().unwrap();
            assert_eq!(count(eventfd.as_raw_fd()), Some(u64::from(before)), "{flags:?}");
            assert_eq!(wait(), usize::from(before > 0), "{flags:?} {before}");
            let is_readable = poll(&mut [PollFd::new(eventfd.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO);
            assert_eq!(is_readable, Ok(i32::from(before > 0)));
        }
        assert!(!is_eventfd(std::fs::File::open("/dev/null").unwrap().as_raw_fd()));
    }
}
