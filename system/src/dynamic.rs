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
