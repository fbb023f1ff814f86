//! What a controller's launcher and an outpost say to each other about engines.
//!
//! Either end may have missed what was said when the connection broke. So an outpost begins each connection with all that
//! it has, and what has ended is told until it was heard.

use chorus_protocol::{EngineId, Exit};
use serde::{Deserialize, Serialize};

/// What an outpost says first.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Hello {
    /// Its place, as in its invitation.
    pub place: u32,
    /// Engines that it has.
    pub running: Vec<EngineId>,
    /// Engines that have ended, which wasn't heard yet.
    pub ended: Vec<(EngineId, Exit)>,
}

/// From the launcher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToOutpost {
    /// Start an engine, unless it is there.
    Start(EngineId),
    /// Send its process a signal.
    Signal(EngineId, i32),
    /// That it has ended was heard.
    Heard(EngineId),
    /// End all engines, leave nothing behind, and exit.
    Leave,
    /// A sign of life.
    Beat,
}

/// From an outpost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromOutpost {
    /// An engine's process has ended.
    Ended(EngineId, Exit),
    /// All have ended: the outpost leaves.
    Left,
    /// A sign of life.
    Beat,
}
