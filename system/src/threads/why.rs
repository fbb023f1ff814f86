//! Why threads can't be stopped, and what the system tells of one.

use super::{LOOK, MAX, signal};
use std::time::{Duration, Instant};
use std::{fmt, io};

/// How long a thread may block the signal: those do that are being started, start a process, or come back from a stop.
const BLOCKING: Duration = Duration::from_millis(300);

/// Why threads can't be stopped.
#[derive(Debug)]
pub enum Unstoppable {
    /// Not on this processor, or not by this system.
    Unsupported,
    /// There are too many.
    Many,
    /// New ones came for as long as one may take. They aren't stopped again before this time.
    Restless(Instant),
    /// A cell handles the signal itself.
    Handled,
    /// This one doesn't stop.
    Thread {
        /// Its number.
        tid: u32,
        /// Its name.
        name: String,
        /// Whether it blocks the signal, or else doesn't come back from the system.
        blocks: bool,
    },
    /// The system refused something.
    System(io::Error),
}

impl Unstoppable {
    /// Whether the same would happen again, and take its time.
    pub fn persists(&self) -> bool {
        match self {
            Unstoppable::Restless(until) => Instant::now() < *until,
            Unstoppable::Thread { tid, .. } => look(*tid).is_some_and(|it| it.blocks || it.is_pending),
            _ => false,
        }
    }

    pub(super) fn thread(tid: u32) -> Unstoppable {
        let (name, blocks) = look(tid).map(|it| (it.name, it.blocks)).unwrap_or_default();
        Unstoppable::Thread { tid, name, blocks }
    }
}

impl fmt::Display for Unstoppable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unstoppable::Unsupported => f.write_str("this system or processor has no way to make them again"),
            Unstoppable::Many => write!(f, "there are more than {MAX}"),
            Unstoppable::Restless(_) => f.write_str("new ones come all the time"),
            Unstoppable::Handled => write!(f, "a cell handles signal {} itself", signal()),
            Unstoppable::Thread { name, blocks: true, .. } => write!(f, "`{name}` blocks signals"),
            Unstoppable::Thread { name, .. } => write!(f, "`{name}` doesn't come back from a system call"),
            Unstoppable::System(error) => write!(f, "{error}"),
        }
    }
}

impl From<io::Error> for Unstoppable {
    fn from(error: io::Error) -> Unstoppable {
        Unstoppable::System(error)
    }
}

/// What the system tells of a thread.
#[derive(Debug, PartialEq, Eq)]
struct Looked {
    name: String,
    blocks: bool,
    is_pending: bool,
}

fn look(tid: u32) -> Option<Looked> {
    looked(&String::from_utf8_lossy(&std::fs::read(format!("/proc/self/task/{tid}/status")).ok()?))
}

fn looked(status: &str) -> Option<Looked> {
    let field = |name: &str| status.lines().find_map(|line| Some(line.strip_prefix(name)?.trim()));
    let has_signal = |name| {
        let set = u64::from_str_radix(field(name)?, 16).ok()?;
        Some(set & (1 << (signal() - 1)) != 0)
    };
    Some(Looked {
        name: field("Name:")?.to_owned(),
        blocks: has_signal("SigBlk:")?,
        is_pending: has_signal("SigPnd:")?,
    })
}

/// Waits until none of these threads blocks the signal.
pub(super) fn wait_until_none_blocks(tids: impl Iterator<Item = u32>) -> Result<(), Unstoppable> {
    let deadline = Instant::now() + BLOCKING;
    for tid in tids {
        while look(tid).is_some_and(|it| it.blocks) {
            if Instant::now() >= deadline {
                return Err(Unstoppable::thread(tid));
            }
            std::thread::sleep(LOOK);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_tells_is_understood() {
        let bit = 1u64 << (signal() - 1);
        let status = format!("Name:\ta b\nSigPnd:\t{:016x}\nShdPnd:\t{bit:016x}\nSigBlk:\t{bit:016x}\n", 0);
        assert_eq!(looked(&status), Some(Looked { name: "a b".into(), blocks: true, is_pending: false }));
        assert_eq!(looked("Name:\tx\n"), None);
        let me = look(nix::unistd::gettid().as_raw().cast_unsigned()).unwrap();
        assert!(!me.blocks && !me.is_pending && !me.name.is_empty());
    }
}
