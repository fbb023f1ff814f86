//! Process groups: a worker and all that its cells started are signalled together.

use crate::{parent, signal};
use nix::unistd::{Pid, setpgid};
use std::io;

/// Puts this process into a new group, which has its number.
pub fn lead() -> io::Result<()> {
    Ok(setpgid(Pid::from_raw(0), Pid::from_raw(0))?)
}

/// Leaves the terminal, too: what ends there doesn't concern this process any more.
pub fn leave_session() -> io::Result<()> {
    nix::unistd::setsid()?;
    Ok(())
}

/// Sends a signal to all processes of a group. The number must still be the group's: its leader isn't buried.
pub fn send(leader: u32, signal: i32) {
    // The number 0 would mean this process's own group.
    if leader != 0 {
        // SAFETY: takes numbers only. An error means that nobody is left in the group.
        unsafe { libc::killpg(leader.cast_signed(), signal) };
    }
}

/// Kills all processes of a group.
pub fn end(leader: u32) {
    send(leader, signal::KILL);
}

/// Kills all processes of this process's group, itself among them.
pub fn end_own() {
    parent::end_own_group(0);
}
