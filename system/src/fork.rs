//! Copies of this process.

use crate::ProcessHandle;
use nix::unistd::ForkResult;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// Where [`sibling`] returns.
#[derive(Debug)]
pub enum Side {
    /// In the process that was copied.
    Original {
        /// The copy's number.
        pid: u32,
        /// The copy.
        copy: ProcessHandle,
    },
    /// In the copy.
    Copy,
}

/// Copies this process; the child's number, or `None` in the child.
///
/// # Safety
///
/// This process must have no other thread: the child would have its locks and not the thread.
pub unsafe fn child() -> io::Result<Option<u32>> {
    // SAFETY: the caller says that there is no other thread.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Some(child.as_raw().cast_unsigned())),
        ForkResult::Child => Ok(None),
    }
}

/// Copies this process; the copy has the same parent. So a `wait` of this process's code doesn't find it, and it can be told
/// of the parent's end from the start.
///
/// # Safety
///
/// As for [`child`]; or the other threads are [stopped](crate::threads::stop), and the copy doesn't need what they may hold
/// before it has made them again.
pub unsafe fn sibling() -> io::Result<Side> {
    // SAFETY: the caller promises what is needed.
    unsafe { copy(libc::CLONE_PARENT) }
}

/// Copies this process with its threads; the copy is a child.
///
/// # Safety
///
/// As for [`sibling`].
pub unsafe fn child_with_threads() -> io::Result<Side> {
    // SAFETY: the caller promises what is needed.
    unsafe { copy(0) }
}

unsafe fn copy(parent: libc::c_int) -> io::Result<Side> {
    // The C library keeps its thread's id here, and the copy's must be its own.
    let mut tid: *mut libc::c_int = std::ptr::null_mut();
    // SAFETY: writes one pointer.
    if unsafe { libc::prctl(libc::PR_GET_TID_ADDRESS, &raw mut tid) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let flags = parent | libc::CLONE_PIDFD | libc::CLONE_CHILD_SETTID | libc::CLONE_CHILD_CLEARTID;
    let flags = libc::c_long::from(flags | libc::SIGCHLD);
    let mut pidfd: libc::c_int = -1;
    let (stack, thread_storage) = (0 as libc::c_long, 0 as libc::c_long);
    // SAFETY: without CLONE_VM this is a fork: the copy returns from here on a stack of its own. The C library isn't
    // told, which would only let go of what other threads hold, and those are made again. Both pointers are valid.
    let pid = unsafe {
        if cfg!(any(target_arch = "x86_64", target_arch = "x86")) {
            libc::syscall(libc::SYS_clone, flags, stack, &raw mut pidfd, tid, thread_storage)
        } else {
            libc::syscall(libc::SYS_clone, flags, stack, &raw mut pidfd, thread_storage, tid)
        }
    };
    match u32::try_from(pid) {
        Err(_) => Err(io::Error::last_os_error()),
        Ok(0) => Ok(Side::Copy),
        // SAFETY: the system has just made this descriptor for us.
        Ok(pid) => Ok(Side::Original { pid, copy: ProcessHandle::new(unsafe { OwnedFd::from_raw_fd(pidfd) }) }),
    }
}
