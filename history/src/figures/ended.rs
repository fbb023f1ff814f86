//! What is told of runs and maps that have ended, and of what engines do of a map.

use chorus_protocol::{EngineId, LogMap, LogRun, RunEnd, SessionNumber, Took};
use std::collections::BTreeMap;

/// What an engine does of a map that is open.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Share {
    /// Items that it has done.
    pub items: u64,
    /// How many pieces they were.
    pub pieces: u64,
    /// What they took, in microseconds.
    pub micros: u64,
    /// Items that it has in hand.
    pub left: u64,
    /// When it was last heard of, in milliseconds since 1970.
    pub at: u64,
}

/// A run that has ended on an engine.
#[derive(Clone, Debug, PartialEq)]
pub struct EndedRun {
    /// What it was.
    pub run: LogRun,
    /// Where.
    pub engine: EngineId,
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// How. A call that gave no result has failed, also if its run ended well.
    pub end: RunEnd,
    /// What it took.
    pub took: Took,
    /// Why it failed, if that is known; if it didn't, what panicked in it.
    pub failure: Option<String>,
}

/// Why an item of a map failed: of all that did, what is told of one.
#[derive(Clone, Debug, PartialEq)]
pub struct MapFailure {
    /// Where.
    pub engine: EngineId,
    /// Why.
    pub why: String,
    /// Whether a run of the map didn't end well.
    pub run_failed: bool,
}

/// A map that is over.
#[derive(Clone, Debug, PartialEq)]
pub struct EndedMap {
    /// Whose.
    pub session: SessionNumber,
    /// Which.
    pub map: u64,
    /// The beginning of its text.
    pub label: String,
    /// What it was.
    pub of: LogMap,
    /// What each engine did.
    pub shares: BTreeMap<EngineId, Share>,
    /// Why an item failed, if that is known.
    pub failure: Option<MapFailure>,
    /// When, in milliseconds since 1970.
    pub at: u64,
}

impl EndedMap {
    /// Whether an item failed. What was tried again with success doesn't count; items that engines have of their own are
    /// nobody else's to try.
    pub fn has_failed(&self) -> bool {
        let is_lost = |failure: &MapFailure| match self.of.items {
            Some(items) => self.of.done < items,
            None => failure.run_failed,
        };
        self.of.failed > 0 || self.failure.as_ref().is_some_and(is_lost)
    }
}
