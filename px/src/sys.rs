//! What px needs of the system and std has no function for. All of it is here.

use std::ffi::{CStr, c_char, c_void};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::ptr::{NonNull, null, null_mut};
use std::sync::atomic::AtomicU32;
use std::time::Duration;

pub(crate) const PAGE: usize = 4096;

const PROT_READ: i32 = 1;
const PROT_WRITE: i32 = 2;
const MAP_SHARED: i32 = 1;
const MAP_PRIVATE: i32 = 2;
const MAP_FIXED: i32 = 16;
const F_ADD_SEALS: i32 = 1033;
const F_SEAL_SHRINK: i32 = 2;
const F_SEAL_WRITE: i32 = 8;
const F_SEAL_FUTURE_WRITE: i32 = 16;
const FALLOC_FL_KEEP_SIZE: i32 = 1;
const FALLOC_FL_PUNCH_HOLE: i32 = 2;
const SIGKILL: i32 = 9;
/// The numbers of system calls for which the C library has no function, or not in all versions.
const FUTEX: isize = if cfg!(target_arch = "x86_64") { 202 } else { 98 };
const GETTID: isize = if cfg!(target_arch = "x86_64") { 186 } else { 178 };
const FUTEX_WAIT: i32 = 0;
const FUTEX_WAKE: i32 = 1;

#[repr(C)]
struct SymbolInfo {
    file: *const c_char,
    base: *const c_void,
    name: *const c_char,
    symbol: *const c_void,
}

unsafe extern "C" {
    fn mmap(place: *mut u8, length: usize, protection: i32, flags: i32, file: i32, offset: i64) -> *mut u8;
    fn munmap(place: *mut u8, length: usize) -> i32;
    fn pread(file: i32, to: *mut u8, length: usize, offset: i64) -> isize;
    fn fcntl(file: i32, command: i32, argument: i32) -> i32;
    fn fallocate(file: i32, mode: i32, at: i64, length: i64) -> i32;
    fn kill(process: i32, signal: i32) -> i32;
    fn syscall(number: isize, ...) -> isize;
    fn dladdr(address: *const c_void, place: *mut SymbolInfo) -> i32;
    #[cfg(test)]
    fn memfd_create(name: *const c_char, flags: u32) -> i32;
}

/// Whether nobody can change what is in the file any more, nor shorten it, from now on. The system sees to it for files in
/// memory of which nobody has a mapping to write to; of other files it can't be said.
pub(crate) fn is_final(file: &File) -> bool {
    // SAFETY: takes numbers only.
    unsafe { fcntl(file.as_raw_fd(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_WRITE) == 0 }
}

/// The same, but for mappings that there are to write to.
pub(crate) fn is_final_but_for_mappings(file: &File) -> bool {
    // SAFETY: takes numbers only.
    unsafe { fcntl(file.as_raw_fd(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE) == 0 }
}

/// Whether a passage stays as it is as long as this file is open or mapped: it has a lock that nobody who is to use the passage
/// for something else gets over. A copy of the file, or of this process, has the same lock.
pub(crate) fn stays(passage: &File) -> bool {
    passage.try_lock_shared().is_ok()
}

/// The first bytes of a file in this process' memory, which is the file's.
pub(crate) struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: it owns its pages. Whoever accesses them has to do it in a way in which threads may.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// So many bytes, at least one, which the file must have.
    pub(crate) fn new(file: &File, length: usize, writes: bool) -> io::Result<Mapping> {
        if length == 0 || file.metadata()?.len() < length as u64 {
            return Err(io::Error::other(format!("it is shorter than {length} bytes")));
        }
        let protection = if writes { PROT_READ | PROT_WRITE } else { PROT_READ };
        // SAFETY: the system chooses a free place; nothing that exists is changed.
        let start = unsafe { mmap(null_mut(), length, protection, MAP_SHARED, file.as_raw_fd(), 0) };
        match NonNull::new(start) {
            Some(start) if start.as_ptr() as isize != -1 => Ok(Mapping { start, length }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Where they are: at the beginning of a page, as long as this lives.
    pub(crate) fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    pub(crate) fn length(&self) -> usize {
        self.length
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: what was mapped, which nobody borrows any more. It can't fail for what was mapped.
        unsafe { munmap(self.start.as_ptr(), self.length) };
    }
}

/// Puts a file's pages, copied when they are written to, in the place of those that are there. False if it can't be done.
///
/// # Safety
/// `place` must be the beginning of a page, `at` a multiple of a page, and so many bytes from `place` whole pages that are
/// the caller's alone and were mapped. The file must have these bytes, and nobody may change them.
pub(crate) unsafe fn map_over(place: *mut u8, length: usize, file: &File, at: u64) -> bool {
    let (protection, flags) = (PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED);
    // SAFETY: as the caller promises.
    unsafe { mmap(place, length, protection, flags, file.as_raw_fd(), at as i64) as isize != -1 }
}

/// `FileExt::read_exact_at` for memory that isn't initialised.
///
/// # Safety
/// So many bytes from `to` must be for writing.
pub(crate) unsafe fn read_exact(file: &File, mut to: *mut u8, mut length: usize, mut at: u64) -> io::Result<()> {
    while length > 0 {
        // SAFETY: the system only writes to these bytes.
        match unsafe { pread(file.as_raw_fd(), to, length, at as i64) } {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read @ 1.. => {
                // SAFETY: not more than `length`.
                to = unsafe { to.add(read as usize) };
                length -= read as usize;
                at += read as u64;
            }
            _ => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
    Ok(())
}

/// Gives back the memory of these bytes of a file in memory, whole pages, which are 0 from now on. Where the system doesn't
/// do that, they stay as they are.
pub(crate) fn give_back(file: &File, at: u64, length: u64) {
    // SAFETY: takes numbers only.
    unsafe { fallocate(file.as_raw_fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at as i64, length as i64) };
}

/// Sleeps until another thread or process [wakes](wake_all) those who sleep on this number, for so long at most. Returns at
/// once if the number isn't `value`, and may return without a reason.
pub(crate) fn wait_on(number: &AtomicU32, value: u32, limit: Duration) {
    let limit = [limit.as_secs() as i64, i64::from(limit.subsec_nanos())];
    // SAFETY: the number is there during the call, and `limit` is laid out as the system's `timespec`.
    unsafe { syscall(FUTEX, number.as_ptr(), FUTEX_WAIT, value, limit.as_ptr(), null::<u32>(), 0_u32) };
}

/// Wakes all who sleep on this number, in whichever process.
pub(crate) fn wake_all(number: &AtomicU32) {
    // SAFETY: the system only uses the number's address.
    unsafe { syscall(FUTEX, number.as_ptr(), FUTEX_WAKE, i32::MAX, null::<u32>(), null::<u32>(), 0_u32) };
}

/// Whether this is the process's first thread. Its name doesn't tell: std gives it none where it didn't start the program.
pub(crate) fn is_first_thread() -> bool {
    // SAFETY: takes nothing.
    unsafe { syscall(GETTID) == std::process::id() as isize }
}

/// Ends this process, whatever its threads do.
pub(crate) fn end_process() {
    // SAFETY: takes numbers only.
    unsafe { kill(std::process::id() as i32, SIGKILL) };
}

/// The file of the object that a function is in, and how far from its beginning in memory.
pub(crate) fn place_of(function: usize) -> Option<(String, u64)> {
    let address = function as *const c_void;
    let mut place = SymbolInfo { file: null(), base: null(), name: null(), symbol: null() };
    // SAFETY: `place` is laid out as `dladdr` fills it.
    if unsafe { dladdr(address, &raw mut place) } == 0 || place.file.is_null() {
        return None;
    }
    // SAFETY: the linker's text of the object's path, which stays as long as the object is loaded: it holds this code.
    let file = unsafe { CStr::from_ptr(place.file) };
    Some((file.to_string_lossy().into_owned(), address as u64 - place.base as u64))
}

/// A file in memory, as rooms are.
#[cfg(test)]
pub(crate) fn file_in_memory(name: &str) -> File {
    use std::os::fd::FromRawFd as _;
    const MFD_CLOEXEC: u32 = 1;
    const MFD_ALLOW_SEALING: u32 = 2;
    let name = std::ffi::CString::new(name).expect("a name");
    // SAFETY: `name` ends with a 0. What is returned is a new file of nobody else's, or -1.
    unsafe { File::from_raw_fd(memfd_create(name.as_ptr(), MFD_CLOEXEC | MFD_ALLOW_SEALING)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt as _;

    #[test]
    fn what_is_final_cannot_be_changed_or_shortened() {
        let file = file_in_memory("px-test");
        file.write_all_at(b"abc", 0).unwrap();
        assert!(is_final(&file) && is_final(&file));
        assert!(file.write_all_at(b"x", 0).is_err() && file.set_len(1).is_err());
        assert!(Mapping::new(&file, 3, true).is_err(), "nor by a mapping");
        assert_eq!(Mapping::new(&file, 3, false).unwrap().length(), 3);
        assert!(Mapping::new(&file, 4, false).is_err());
    }

    #[test]
    fn what_is_mapped_to_be_written_is_not_final() {
        let file = file_in_memory("px-test");
        file.set_len(8).unwrap();
        let mapping = Mapping::new(&file, 8, true).unwrap();
        assert!(!is_final(&file) && is_final_but_for_mappings(&file));
        assert!(file.write_all_at(b"x", 0).is_err());
        drop(mapping);
        assert!(is_final(&file));
    }

    #[test]
    fn of_a_file_on_a_disk_nothing_is_known() {
        assert!(!is_final(&File::open("/proc/self/exe").unwrap()));
    }
}
