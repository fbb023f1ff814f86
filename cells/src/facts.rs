//! What is known of the notebook while a cell runs.

use crate::surroundings::Surroundings;
use chorus_magics::PxConfig;
use chorus_protocol::EngineId;
use parking_lot::{Mutex, MutexGuard};
use std::sync::Arc;

/// What is known of the notebook besides definitions and variables. Whoever runs cells keeps it up to date.
#[derive(Clone, Debug, Default)]
pub struct Known(Arc<Mutex<Facts>>);

/// See [`Known`].
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The cluster's engines.
    pub engines: Vec<EngineId>,
    /// The defaults of parallel magics.
    pub px: PxConfig,
    /// Those of `%autopx`, if it is on.
    pub autopx: Option<PxConfig>,
    /// The names under which outputs were kept.
    pub kept: Vec<String>,
    /// Where files of the notebook's magics are looked for.
    pub surroundings: Surroundings,
    /// The cell that runs.
    pub running: Option<Arc<str>>,
}

impl Known {
    /// The facts, to be read or changed at once.
    pub fn facts(&self) -> MutexGuard<'_, Facts> {
        self.0.lock()
    }
}
