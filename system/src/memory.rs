//! Memory: how much this process has, and files that lie in memory.

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use procfs::Current as _;
use procfs::process::{MMPermissions, MemoryPageFlags, PageInfo, Process};
use std::fs::File;
use std::io;
use std::ops::Range;
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// The memory that this process shares with no file, in bytes.
pub fn held() -> io::Result<u64> {
    let pages = Process::myself().and_then(|me| me.statm()).map_err(io::Error::other)?;
    Ok(pages.resident.saturating_sub(pages.shared) * procfs::page_size())
}

/// The memory that a process holds, in bytes; of what several have, its part.
pub fn part_of(pid: u32) -> io::Result<u64> {
    let maps = Process::new(pid.cast_signed()).and_then(|it| it.smaps_rollup()).map_err(io::Error::other)?;
    Ok(maps.memory_map_rollup.0.iter().filter_map(|map| map.extension.map.get("Pss")).sum())
}

/// The memory that could be taken now, and all that there is, in bytes.
pub fn available() -> io::Result<(u64, u64)> {
    let memory = procfs::Meminfo::current().map_err(io::Error::other)?;
    let available = memory.mem_available.ok_or(io::ErrorKind::Unsupported)?;
    Ok((available, memory.mem_total))
}

/// The same for the group of processes that this one is in, if that has a limit.
pub fn available_to_group() -> Option<(u64, u64)> {
    let own = Pid::from_u32(std::process::id());
    let mut system = System::new().ok()?;
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[own]), false, ProcessRefreshKind::nothing());
    let limits = system.process(own)?.cgroup_limits()?;
    Some((limits.free_memory, limits.total_memory))
}

/// So much is made this process's own at once: about two milliseconds.
const STEP: usize = 4 << 20;

/// Has this process own the pages that it shares with forked copies of itself and may write to, as if it had written to each:
/// it needn't wait for their copies later. Pages of files, which it has mapped for itself, stay as they are: many processes may
/// have them, and most never write there. It ends after so many bytes, or when `go_on` says so, which is asked before each few
/// MiB. Returns how many bytes it was.
///
/// Pages that were only read and never written may be among them, so `most` should be what the process holds.
pub fn own_pages(most: u64, mut go_on: impl FnMut() -> bool) -> io::Result<u64> {
    let me = Process::myself().map_err(io::Error::other)?;
    let mut pages = me.pagemap().map_err(io::Error::other)?;
    let (page, mut done) = (procfs::page_size() as usize, 0);
    for map in me.maps().map_err(io::Error::other)? {
        if !map.perms.contains(MMPermissions::WRITE | MMPermissions::PRIVATE) {
            continue;
        }
        let (start, end) = (map.address.0 as usize, map.address.1 as usize);
        for begin in (start..end).step_by(STEP) {
            if done >= most || !go_on() {
                return Ok(done);
            }
            let all = begin / page..end.min(begin + STEP) / page;
            // A mapping may have gone in the meantime.
            let Ok(states) = pages.get_range_info(all.clone()) else { break };
            for shared in runs(&states) {
                let place = (all.start + shared.start) * page;
                own(place, shared.len() * page)?;
                done += (shared.len() * page) as u64;
            }
        }
    }
    Ok(done)
}

/// Where pages are, one behind the other, that are there and not this process's alone.
fn runs(states: &[PageInfo]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (at, state) in states.iter().enumerate() {
        let PageInfo::MemoryPage(flags) = state else { continue };
        let is_left_alone = flags.intersects(MemoryPageFlags::MMAP_EXCLUSIVE | MemoryPageFlags::FILE);
        if is_left_alone || !flags.contains(MemoryPageFlags::PRESENT) {
            continue;
        }
        match runs.last_mut() {
            Some(last) if last.end == at => last.end += 1,
            _ => runs.push(at..at + 1),
        }
    }
    runs
}

/// Linux has it since 5.14; nix has no name for it.
const MADV_POPULATE_WRITE: libc::c_int = 23;

fn own(place: usize, bytes: usize) -> io::Result<()> {
    // SAFETY: the pages get the contents that they have; where nothing is mapped any more, it is an error.
    match unsafe { libc::madvise(place as *mut libc::c_void, bytes, MADV_POPULATE_WRITE) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A file of so many bytes that lies in memory, all 0. It is gone with the last who has it open or mapped. It can grow, but
/// never shrink under somebody who has it mapped.
pub fn file(name: &str, bytes: u64) -> io::Result<File> {
    let file = File::from(memfd_create(name, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?);
    file.set_len(bytes)?;
    fcntl(&file, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK))?;
    Ok(file)
}

/// Whether a file in memory can still be written to: nobody has sealed it.
pub fn can_be_written(file: &File) -> bool {
    let sealed = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_FUTURE_WRITE;
    let seals = fcntl(file, FcntlArg::F_GET_SEALS).map(SealFlag::from_bits_retain);
    seals.is_ok_and(|seals| !seals.intersects(sealed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Mutex, MutexGuard, PoisonError};

    #[test]
    fn a_file_in_memory_does_not_shrink() {
        let file = file("test", 10).unwrap();
        assert!(file.set_len(9).is_err());
        file.set_len(11).unwrap();
    }

    #[test]
    fn a_sealed_file_can_be_written_no_more() {
        let written = file("test", 10).unwrap();
        assert!(can_be_written(&written));
        fcntl(&written, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_FUTURE_WRITE)).unwrap();
        assert!(!can_be_written(&written));
        assert!(std::os::unix::fs::FileExt::write_at(&written, b"x", 0).is_err());
        assert!(!can_be_written(&File::open("/proc/self/exe").unwrap()), "no file in memory");
    }

    /// What a process holds, others change that take memory.
    fn alone() -> MutexGuard<'static, ()> {
        static ALONE: Mutex<()> = Mutex::new(());
        ALONE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of the whole pages of these bytes.
    fn states(of: &[u8]) -> Vec<PageInfo> {
        let page = procfs::page_size() as usize;
        let mut pages = Process::myself().unwrap().pagemap().unwrap();
        let begin = (of.as_ptr() as usize).div_ceil(page);
        pages.get_range_info(begin..begin + of.len() / page - 1).unwrap()
    }

    /// How many of a vector's pages aren't this process's alone.
    fn shared(of: &[u8]) -> usize {
        runs(&states(of)).into_iter().map(|run| run.len()).sum()
    }

    /// So many bytes of a file in memory, mapped for this process alone, to write to, too. They stay until it ends.
    fn mapped(bytes: usize) -> &'static [u8] {
        let file = file("test", bytes as u64).unwrap();
        let (rights, fd) = (libc::PROT_READ | libc::PROT_WRITE, std::os::fd::AsRawFd::as_raw_fd(&file));
        // SAFETY: the system chooses a free place, and nobody writes there or has the file.
        unsafe {
            let place = libc::mmap(std::ptr::null_mut(), bytes, rights, libc::MAP_PRIVATE, fd, 0);
            assert_ne!(place, libc::MAP_FAILED);
            std::slice::from_raw_parts(place.cast(), bytes)
        }
    }

    #[test]
    fn pages_that_a_copy_shares_become_ones_own_and_others_stay() {
        let _alone = alone();
        let values: Vec<u8> = (0..32 << 20).map(|n| (n % 251) as u8).collect();
        let unused = Vec::<u8>::with_capacity(256 << 20);
        assert_eq!(shared(&values), 0);
        let of_a_file = mapped(8 << 20);
        assert!(of_a_file.iter().all(|byte| *byte == 0));
        // A copy that waits until the pipe's end.
        let (mut waits, ends) = io::pipe().unwrap();
        // SAFETY: the child calls only read and _exit.
        match unsafe { nix::unistd::fork() }.unwrap() {
            nix::unistd::ForkResult::Child => {
                drop(ends);
                _ = io::Read::read(&mut waits, &mut [0]);
                // SAFETY: ends the child, without anything that belongs to the parent.
                unsafe { libc::_exit(0) }
            }
            nix::unistd::ForkResult::Parent { child } => {
                drop(waits);
                assert!(shared(&values) > 8000);
                let mut left = 2;
                let some = own_pages(u64::MAX, || {
                    left -= 1;
                    left >= 0
                });
                assert!(some.unwrap() < 3 * STEP as u64, "it is asked to stop");
                assert!(of_a_file.iter().all(|byte| *byte == 0));
                let before = held().unwrap();
                let done = own_pages(before, || true).unwrap();
                assert!(done >= 16 << 20, "{done}");
                assert_eq!(shared(&values), 0);
                let pages = states(of_a_file);
                let of_file =
                    |page: &PageInfo| matches!(page, PageInfo::MemoryPage(it) if it.contains(MemoryPageFlags::FILE));
                assert!(pages.len() >= 2000 && pages.iter().all(of_file), "what is a file's stays so");
                assert!(values.iter().enumerate().all(|(n, value)| *value == (n % 251) as u8));
                assert!(held().unwrap() < before + (200 << 20), "what was never used isn't taken");
                drop((ends, unused));
                nix::sys::wait::waitpid(child, None).unwrap();
            }
        }
    }

    #[test]
    fn memory_that_is_used_counts() {
        let _alone = alone();
        let before = held().unwrap();
        let used = std::hint::black_box(vec![1u8; 64 << 20]);
        assert!(held().unwrap() >= before + (60 << 20), "{before}");
        drop(used);
    }
}
