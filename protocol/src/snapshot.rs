//! What is said of snapshots: frozen copies of a worker that carry on with the variables when the worker dies.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Workers that hold more memory of their own aren't copied unless the user says so: a cell that writes to all of it
/// pays for a copy of each page.
pub const SNAPSHOT_LIMIT: u64 = 1 << 30;

/// When to keep a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SnapshotPolicy {
    /// Never.
    Off,
    /// Before each run, if the worker holds at most so many bytes.
    UpTo(u64),
}

impl Default for SnapshotPolicy {
    fn default() -> SnapshotPolicy {
        SnapshotPolicy::UpTo(SNAPSHOT_LIMIT)
    }
}

/// A snapshot, or why there is none.
pub type SnapshotState = Result<Taken, NoSnapshot>;

/// A snapshot that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Taken {
    /// What it cost the worker, in microseconds.
    pub micros: u64,
    /// The memory that the worker held and now shares with it.
    pub bytes: u64,
    /// How much of it was copied before the next run, which would have waited for that wherever it wrote.
    pub ahead: u64,
}

/// Why there is no snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NoSnapshot {
    /// The user doesn't want any.
    Off,
    /// There were no variables yet.
    Empty,
    /// Threads of cells were alive that can't be kept, for this reason: a copy would have the memory and not the threads.
    Threads(String),
    /// The worker held too much memory.
    TooLarge {
        /// How much.
        bytes: u64,
        /// How much is allowed.
        limit: u64,
    },
    /// The worker died so soon after a run that there was none of after it yet.
    NotYet,
    /// It was tried.
    Failed(String),
    /// It ended with the worker: the engine's process was lost, or a fresh worker was asked for.
    Ended,
}

impl fmt::Display for NoSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoSnapshot::Off => f.write_str("snapshots are off"),
            NoSnapshot::Empty => f.write_str("there were no variables yet"),
            NoSnapshot::Threads(why) => write!(f, "threads that cells started can't be kept: {why}"),
            NoSnapshot::TooLarge { bytes, limit } => {
                write!(f, "the worker held {}, more than the {} of the limit", size(*bytes), size(*limit))
            }
            NoSnapshot::NotYet => f.write_str("it died within moments of the cell before"),
            NoSnapshot::Failed(why) => f.write_str(why),
            NoSnapshot::Ended => f.write_str("it went with the process"),
        }
    }
}

/// What became of the variables of a worker that died.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Aftermath {
    /// A snapshot carries on: they are as they were before the run, or all there if nothing ran.
    Restored,
    /// They are gone, since there was no snapshot.
    Lost(NoSnapshot),
}

/// `1.5 GiB`, `12.0 MiB`, `24 B`.
pub fn size(bytes: u64) -> String {
    if bytes < 1 << 10 {
        return format!("{bytes} B");
    }
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let (mut amount, mut unit) = (bytes as f64 / 1024.0, 0);
    while amount >= 1000.0 && unit + 1 < UNITS.len() {
        (amount, unit) = (amount / 1024.0, unit + 1);
    }
    format!("{amount:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_read_as_sentences() {
        let threads = NoSnapshot::Threads("`io` blocks signals".into());
        assert_eq!(threads.to_string(), "threads that cells started can't be kept: `io` blocks signals");
        let large = NoSnapshot::TooLarge { bytes: 3 << 29, limit: 1 << 30 };
        assert_eq!(large.to_string(), "the worker held 1.5 GiB, more than the 1.0 GiB of the limit");
    }

    #[test]
    fn sizes_are_short() {
        assert_eq!([0, 1 << 10, 1 << 20, 1 << 60].map(size), ["0 B", "1.0 KiB", "1.0 MiB", "1048576.0 TiB"]);
    }
}
