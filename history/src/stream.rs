//! The task stream: what each engine did when.

use chorus_protocol::{EngineId, RunEnd, SessionNumber, Work};
use std::collections::VecDeque;

/// The most bars that are kept.
const KEPT: usize = 20_000;

/// What a bar stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BarKind {
    /// The notebook compiled; on no engine.
    Compile,
    /// A run, its object and its arguments were on their way, or waited.
    Transfer,
    /// A cell or a call ran.
    Run,
    /// Items of a map were done.
    Items,
}

/// A stretch of time in which an engine did one thing.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// Where; `None` for the notebook.
    pub engine: Option<EngineId>,
    /// From when, in milliseconds since 1970.
    pub from: u64,
    /// Until when.
    pub to: u64,
    /// What it stands for.
    pub kind: BarKind,
    /// Whose it was.
    pub session: SessionNumber,
    /// What work it was.
    pub work: Option<Work>,
    /// The beginning of its text.
    pub label: String,
    /// How it ended, if a run.
    pub end: Option<RunEnd>,
}

/// The bars, in the order of their ends.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    bars: VecDeque<Bar>,
}

impl Stream {
    /// Adds a bar.
    pub(crate) fn add(&mut self, bar: Bar) {
        if bar.to < bar.from {
            return;
        }
        if self.bars.len() >= KEPT {
            self.bars.pop_front();
        }
        self.bars.push_back(bar);
    }

    /// All that there are, oldest first.
    pub fn bars(&self) -> impl DoubleEndedIterator<Item = &Bar> {
        self.bars.iter()
    }

    /// Those that are in sight between two times.
    pub fn between(&self, from: u64, to: u64) -> impl Iterator<Item = &Bar> {
        self.bars.iter().filter(move |bar| bar.to >= from && bar.from <= to)
    }
}
