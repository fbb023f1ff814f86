//! The locks of the C library's dynamic loader, which every new thread and every library that is loaded takes. They know
//! their holder by its number, and let nobody else unlock them. A thread that is made again has another number.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Where the loader's variables begin and end; 0 if that isn't known.
static BEGIN: AtomicUsize = AtomicUsize::new(0);
static END: AtomicUsize = AtomicUsize::new(0);

/// What glibc has at the beginning of a lock, as numbers of 32 bits.
const LENGTH: usize = 5;
/// The kind of lock that may be taken again by who holds it.
const RECURSIVE: u32 = 1;

/// Finds the locks; false if they aren't where glibc has them.
pub fn find() -> bool {
    if BEGIN.load(Ordering::Relaxed) == 0 {
        // SAFETY: the name is a string.
        let begin = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"_rtld_global".as_ptr()) } as usize;
        let mut range = (begin, 0usize);
        // SAFETY: the callback matches the signature, and is given the range.
        unsafe { libc::dl_iterate_phdr(Some(find_end), (&raw mut range).cast()) };
        if begin == 0 || range.1 == 0 {
            return false;
        }
        END.store(range.1, Ordering::Relaxed);
        BEGIN.store(begin, Ordering::Relaxed);
    }
    true
}

/// Finds the end of the writable part of a library that has the beginning.
extern "C" fn find_end(library: *mut libc::dl_phdr_info, _: libc::size_t, range: *mut c_void) -> c_int {
    // SAFETY: the loader passes a library whose headers are in memory, and `find` a range.
    unsafe {
        let (begin, end) = &mut *range.cast::<(usize, usize)>();
        let library = &*library;
        let headers = std::slice::from_raw_parts(library.dlpi_phdr, library.dlpi_phnum.into());
        for header in headers.iter().filter(|it| it.p_type == libc::PT_LOAD && it.p_flags & libc::PF_W != 0) {
            let from = library.dlpi_addr as usize + header.p_vaddr as usize;
            let to = from + header.p_memsz as usize;
            if (from..to).contains(begin) {
                *end = to;
                return 1;
            }
        }
    }
    0
}

/// No thread has this number, nor one above.
pub const NOBODY: u32 = 1 << 30;

/// Has whoever is known to these locks by one number be known by another.
///
/// # Safety
///
/// No other thread runs.
pub unsafe fn hand_over(old: u32, new: u32) {
    let (begin, end) = (BEGIN.load(Ordering::Relaxed), END.load(Ordering::Relaxed));
    let numbers = end.saturating_sub(begin) / size_of::<u32>();
    for number in 0..numbers.saturating_sub(LENGTH - 1) {
        let lock = (begin as *mut u32).wrapping_add(number);
        // SAFETY: these are the loader's variables, which are aligned, and nobody else writes to them now.
        unsafe {
            let [state, depth, holder, users, kind]: [u32; LENGTH] =
                std::array::from_fn(|n| ptr::read_volatile(lock.add(n)));
            if matches!(state, 1 | 2) && depth > 0 && holder == old && users > 0 && kind == RECURSIVE {
                ptr::write_volatile(lock.add(2), new);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locks_are_found() {
        assert!(find());
        let (begin, end) = (BEGIN.load(Ordering::Relaxed), END.load(Ordering::Relaxed));
        assert!(
            begin.is_multiple_of(size_of::<usize>()) && (1 << 10..1 << 20).contains(&(end - begin)),
            "{begin} {end}"
        );
    }

    #[test]
    fn a_lock_is_handed_over() {
        extern "C" fn with_the_lock(_: *mut libc::dl_phdr_info, _: libc::size_t, held: *mut c_void) -> c_int {
            let me = nix::unistd::gettid().as_raw().cast_unsigned();
            let of = |holder: u32| {
                let (begin, end) = (BEGIN.load(Ordering::Relaxed), END.load(Ordering::Relaxed));
                (begin..end - 20).step_by(4).filter(move |at| {
                    // SAFETY: the loader's variables are there for good.
                    unsafe { ptr::read_volatile((*at as *const u32).wrapping_add(2)) == holder }
                })
            };
            const OTHER: u32 = NOBODY + 1;
            let before = of(me).count();
            // SAFETY: what the others do to other locks has other numbers, and this one is held here.
            let between = unsafe {
                hand_over(me, OTHER);
                let between = of(OTHER).count();
                hand_over(OTHER, me);
                between
            };
            // SAFETY: the test passes these.
            unsafe { *held.cast::<(usize, usize, usize)>() = (before, between, of(me).count()) };
            1
        }
        assert!(find());
        let mut held = (0usize, 0usize, 0usize);
        // SAFETY: the callback matches the signature, and is given what it writes to.
        unsafe { libc::dl_iterate_phdr(Some(with_the_lock), (&raw mut held).cast()) };
        assert_eq!(held, (1, 1, 1));
    }
}
