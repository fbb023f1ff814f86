//! What a map is on the wire: a function over items that are named by their indices, from 0.
//!
//! On each engine, a run serves it ([`crate::RunSpec::map`]): it asks for items and reports those that are done. The
//! controller knows which engine has which items, and sees neither items nor results.

use crate::run::Death;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// A map that is to be shared out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapSpec {
    /// How many items there are, or `None` when each engine has items of its own, and only reports them.
    pub items: Option<u64>,
    /// How many items make a task; `None` lets the controller choose, by what they take.
    pub chunk: Option<u64>,
    /// How often items are tried again on whose engine a worker died.
    pub retries: u32,
    /// Whether it goes on without items that are given up. If it doesn't, nothing is tried again whose function called
    /// `exit`.
    pub goes_on: bool,
}

/// Items to work at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// The first.
    pub first: u64,
    /// How many, at least 1.
    pub count: u64,
    /// How many make one task, at least 1.
    pub chunk: u64,
}

/// Items that are done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The first.
    pub first: u64,
    /// How many.
    pub count: u64,
    /// What they took on the clock, in microseconds.
    pub micros: u64,
    /// How many of them failed.
    pub failed: u64,
    /// What the engine and the client know of them besides, which is nobody else's business.
    pub body: Bytes,
}

/// What happens in a map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MapEvent {
    /// Items were done for the first time.
    Done(Vec<Report>),
    /// These items are given up: they were tried as often as they may, and a worker died each time, or called `exit`.
    GivenUp {
        /// The first.
        first: u64,
        /// How many.
        count: u64,
        /// How it died the last time.
        death: Death,
    },
    /// All items are done or given up: its runs are told to end.
    Over,
}

impl MapEvent {
    /// What it takes to keep it, in bytes.
    pub fn weight(&self) -> usize {
        match self {
            MapEvent::Done(reports) => reports.iter().map(|report| report.body.len() + size_of::<Report>()).sum(),
            MapEvent::GivenUp { .. } | MapEvent::Over => 0,
        }
    }
}
