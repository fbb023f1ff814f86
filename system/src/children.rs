//! The children of this process, and how they ended.
//!
//! A child that has ended keeps its number until it is buried, so a signal to it can't hit anybody else until then.

use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It called `exit` with this status.
    Exit(i32),
    /// This signal killed it.
    Signal(i32),
}

/// A child that has ended and isn't buried, if there is one.
pub fn ended() -> Option<(u32, End)> {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    match waitid(Id::All, flags) {
        Ok(WaitStatus::Exited(pid, code)) => Some((pid.as_raw().cast_unsigned(), End::Exit(code))),
        Ok(WaitStatus::Signaled(pid, signal, _)) => Some((pid.as_raw().cast_unsigned(), End::Signal(signal as i32))),
        // Nobody has ended, or there are no children.
        _ => None,
    }
}

/// Whether this child is alive; false for one that is buried.
pub fn is_alive(child: u32) -> bool {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    waitid(Id::Pid(id(child)), flags) == Ok(WaitStatus::StillAlive)
}

/// Waits for the end of a child, and buries it.
pub fn bury(child: u32) {
    while waitpid(id(child), None) == Err(Errno::EINTR) {}
}

/// Buries all children that have ended; false when there are no others.
pub fn bury_ended() -> bool {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => return true,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
}

/// Waits for the end of a child, and leaves its burial to somebody else.
pub fn wait_for_end(child: u32) {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    while waitid(Id::Pid(id(child)), flags) == Err(Errno::EINTR) {}
}

fn id(child: u32) -> Pid {
    Pid::from_raw(child.cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_child_keeps_its_number_until_it_is_buried() {
        let child = Command::new("sh").args(["-c", "exit 3"]).spawn().unwrap().id();
        wait_for_end(child);
        assert!(!is_alive(child));
        // Other tests have children, too.
        assert!(crate::process::exists(child), "it isn't buried");
        bury(child);
        assert!(!crate::process::exists(child));
    }
}
