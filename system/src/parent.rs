//! Processes that end with their parent, however that ends.
//!
//! To Linux, a parent is the *thread* that started the child: a child is told when that thread ends.

use crate::signal;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// What the end of the parent does to this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtItsEnd {
    /// It is asked to end.
    Terminate,
    /// It is killed.
    Kill,
    /// It is killed with all processes of its group. This takes a signal that nothing else uses, the last of the
    /// real-time signals.
    EndGroup,
}

/// The parent's process id.
pub fn id() -> u32 {
    nix::unistd::getppid().as_raw().cast_unsigned()
}

/// Ties the life of this process to that of its parent. `NotFound` if that is another process, or is gone. Takes no memory
/// from the allocator.
pub fn die_with(parent: u32, how: AtItsEnd) -> io::Result<()> {
    match how {
        AtItsEnd::Terminate => set_pdeathsig(Signal::SIGTERM)?,
        AtItsEnd::Kill => set_pdeathsig(Signal::SIGKILL)?,
        AtItsEnd::EndGroup => {
            end_group_on(libc::SIGRTMAX())?;
            // SAFETY: takes numbers only. nix has no name for a real-time signal.
            match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGRTMAX() as libc::c_ulong) } {
                0 => {}
                _ => return Err(io::Error::last_os_error()),
            }
        }
    }
    // It may have ended before it was asked for its end.
    if id() == parent { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// Has the program asked to end when the thread that starts it ends.
pub fn terminate_with_us(command: &mut Command) {
    // SAFETY: between fork and exec, the closure makes one system call and allocates nothing.
    unsafe { command.pre_exec(|| Ok(set_pdeathsig(Signal::SIGTERM)?)) };
}

fn end_group_on(signal: libc::c_int) -> io::Result<()> {
    let handler = end_own_group as extern "C" fn(libc::c_int);
    // SAFETY: an action of zeros is valid (no flags, empty mask), and the handler only makes a system call.
    let installed = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as libc::sighandler_t;
        libc::sigaction(signal, &action, std::ptr::null_mut())
    };
    if installed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

pub(crate) extern "C" fn end_own_group(_: libc::c_int) {
    // SAFETY: takes numbers only, and is allowed in a signal handler.
    unsafe { libc::kill(0, signal::KILL) };
}
