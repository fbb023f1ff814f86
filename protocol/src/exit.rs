//! How an engine's process ended, as whoever started it tells.

use serde::{Deserialize, Serialize};
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Exit {
    /// With this status.
    Status(i32),
    /// By this signal.
    Signal(i32),
    /// Nobody knows: it was the child of a process that is gone itself.
    Unknown,
    /// It never ran.
    NotStarted(String),
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Exit {
        match (status.code(), status.signal()) {
            (Some(code), _) => Exit::Status(code),
            (None, signal) => Exit::Signal(signal.unwrap_or_default()),
        }
    }
}
