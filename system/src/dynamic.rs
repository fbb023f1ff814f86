//! What the dynamic linker and the C library know of this process.

use std::ffi::c_void;
use std::mem::MaybeUninit;

/// Where the library that holds this address lies.
pub fn base_of(address: usize) -> Option<usize> {
    let mut found = MaybeUninit::<libc::Dl_info>::uninit();
    // SAFETY: dladdr takes any address, and fills `found` in when it returns anything but 0.
    let found = unsafe {
        match libc::dladdr(address as *const c_void, found.as_mut_ptr()) {
            0 => return None,
            _ => found.assume_init(),
        }
    };
    Some(found.dli_fbase as usize)
}

/// Writes what C code has printed and the C library still holds.
pub fn flush_c_streams() {
    // SAFETY: null means all streams.
    unsafe { libc::fflush(std::ptr::null_mut()) };
}

/// Takes the dynamic loader's locks and lets go of them again, without memory from the allocator. In a copy of a process,
/// this never returns if one of the original's threads held one: they know their holder by its number, which is another
/// in the copy, so that it couldn't let go of them.
pub fn pass_locks() {
    extern "C" fn enough(_: *mut libc::dl_phdr_info, _: libc::size_t, _: *mut c_void) -> libc::c_int {
        1
    }
    // SAFETY: the callback matches the signature, and touches nothing.
    unsafe { libc::dl_iterate_phdr(Some(enough), std::ptr::null_mut()) };
    base_of(pass_locks as fn() as usize);
}
