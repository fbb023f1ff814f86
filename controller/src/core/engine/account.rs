//! What the core knows of one engine.

use crate::core::PeerId;
use crate::core::back::Line;
use chorus_protocol::{Death, EngineInfo, MapId, RunEnd, RunId, SessionId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

/// A run that an engine has and hasn't ended.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::core) struct UnderWay {
    pub session: SessionId,
    pub run: RunId,
    /// The map that it serves.
    pub map: Option<MapId>,
    pub label: String,
    pub started: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(in crate::core) struct Engine {
    pub state: State,
    /// When the process that the launcher runs for it was started; `None` while there is none.
    pub process: Option<Duration>,
    /// Whether it is started again, which is in the pool of this number.
    pub pool: Option<usize>,
    pub quick_deaths: u32,
    /// Why its last start has failed, if it did.
    pub failed: Option<String>,
    /// Sessions that have variables there.
    pub holders: BTreeSet<SessionId>,
    /// Since when it has been of no use.
    pub idle_since: Option<Duration>,
    /// When it joined, and when it will be ended from outside, if that is known.
    pub ends: Option<(Duration, Duration)>,
    /// Whether it gets nothing more, and leaves when it has done what it has.
    pub draining: bool,
    /// Whether it was said that it won't come back.
    pub is_given_up: bool,
    pub last_seen: Duration,
    /// Whether it finds blobs in the controller's folder; else it was sent some.
    pub shares_files: bool,
    /// In the order in which they were sent.
    pub runs: VecDeque<UnderWay>,
    pub runs_done: u64,
    pub runs_failed: u64,
    pub restarts: u64,
    /// What was said over its connections.
    pub line: Line,
    /// Since when an engine that is `Up` is awaited by a controller that was started again; its peer is no more.
    pub away: Option<Duration>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(in crate::core) enum State {
    /// Its process runs and hasn't joined yet.
    Starting { since: Duration },
    /// It takes runs.
    Up { peer: PeerId, info: EngineInfo },
    /// One lifeline is gone. It takes no runs, but those that it has may still end.
    Going { peer: Option<PeerId>, since: Duration, reason: String },
    /// It was declared lost, and its process was told to die.
    Dying,
}

impl Engine {
    pub fn launched(pool: usize, now: Duration) -> Engine {
        Engine { process: Some(now), pool: Some(pool), ..Engine::by_hand(State::Starting { since: now }, now) }
    }

    pub fn by_hand(state: State, now: Duration) -> Engine {
        Engine {
            state,
            process: None,
            pool: None,
            quick_deaths: 0,
            failed: None,
            holders: BTreeSet::new(),
            idle_since: None,
            ends: None,
            draining: false,
            is_given_up: false,
            last_seen: now,
            shares_files: true,
            runs: VecDeque::new(),
            runs_done: 0,
            runs_failed: 0,
            restarts: 0,
            line: Line::default(),
            away: None,
        }
    }

    /// Another process is to be it, or is: what is known of the one before says nothing of this one.
    pub fn renew(&mut self) {
        self.holders.clear();
        (self.idle_since, self.ends) = (None, None);
    }

    /// Its connection, if it takes work.
    pub fn worker(&self) -> Option<&PeerId> {
        self.peer().filter(|_| !self.draining)
    }

    /// Its connection, if it takes messages.
    pub fn peer(&self) -> Option<&PeerId> {
        match &self.state {
            State::Up { peer, .. } => Some(peer),
            _ => None,
        }
    }

    /// How long it goes on by itself while it can't be reached.
    pub fn lease(&self) -> Option<Duration> {
        self.info()?.lease.map(|seconds| Duration::from_secs(seconds.into()))
    }

    pub fn info(&self) -> Option<&EngineInfo> {
        match &self.state {
            State::Up { info, .. } => Some(info),
            _ => None,
        }
    }

    fn position(&self, session: SessionId, run: RunId) -> Option<usize> {
        self.runs.iter().position(|under_way| under_way.session == session && under_way.run == run)
    }

    /// Takes note that a run began; false if it isn't under way.
    pub fn begin(&mut self, session: SessionId, run: RunId) -> bool {
        let under_way = self.position(session, run).and_then(|at| self.runs.get_mut(at));
        under_way.map(|under_way| under_way.started = true).is_some()
    }

    /// Takes note that a run ended, and returns it; `None` if it isn't under way.
    pub fn end(&mut self, session: SessionId, run: RunId, end: RunEnd) -> Option<UnderWay> {
        let ended = self.runs.remove(self.position(session, run)?);
        self.count(end);
        ended
    }

    /// The run under way that serves a map: the first, if there are several.
    pub fn serves(&self, session: SessionId, map: MapId) -> Option<RunId> {
        let mut runs = self.runs.iter();
        runs.find(|under_way| under_way.session == session && under_way.map == Some(map)).map(|it| it.run)
    }

    /// A worker that went with its engine counts once, with it.
    pub fn count(&mut self, end: RunEnd) {
        self.runs_done += 1;
        self.runs_failed += u64::from(end != RunEnd::Ok);
        self.restarts += u64::from(matches!(end, RunEnd::Died | RunEnd::Restored));
    }

    /// A worker that was stopped on purpose doesn't count, and one that went with its engine counts once, with it.
    pub fn count_death(&mut self, death: Death) {
        self.restarts += u64::from(!matches!(death, Death::Stopped | Death::EngineLost));
    }
}
