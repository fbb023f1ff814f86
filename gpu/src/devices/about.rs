//! What a device says of itself. It may be asked at any time, also while the device runs something.

use serde::{Deserialize, Serialize};

/// A device as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Its number among those of its host.
    pub number: u32,
    /// What its maker calls it.
    pub name: String,
    /// What its maker's other programs know it by, if it has such a name: `GPU-` and 32 digits.
    pub uuid: Option<String>,
    /// The version of its driver, if it has one.
    pub driver: Option<String>,
    /// What its code may use, as its maker counts: 9.0.
    pub capability: Option<(u32, u32)>,
    /// Its memory that nobody uses, in bytes.
    pub free: u64,
    /// All of its memory.
    pub total: u64,
    /// What this process has there for maps, if that is known. What the driver itself takes for a process isn't counted.
    pub held: Option<u64>,
}

/// Asks a device.
pub trait About: Send + Sync {
    /// An error is a sentence.
    fn state(&self) -> Result<State, String>;
}
