//! The log: what happened is numbered, kept for as long as it fits, and sent to those who follow it.

use super::{Core, PeerId, millis};
use chorus_protocol::{EngineId, LogEntry, LogEvent, LogState, Report, RunId, SessionId, SessionNumber};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::time::Duration;

/// The most entries that are kept.
const KEPT: usize = 50_000;
/// The longest text of a run that is kept, in characters.
const LABEL: usize = 200;
/// The longest reason of a failure that is kept, in characters.
const WHY: usize = 1_000;

/// The log. Written down, it is what it comes to: a controller that is started again goes on counting, and hasn't the
/// entries any more.
pub(super) struct Log {
    /// When the controller started, in milliseconds since 1970.
    begun: u64,
    /// The number of the last entry.
    last: u64,
    /// The cluster before the first entry that is kept.
    before: LogState,
    kept: VecDeque<LogEntry>,
    /// How many of the last entries nobody was told yet.
    new: usize,
    /// What engines did of maps since the last tick.
    done: BTreeMap<(SessionNumber, u64, EngineId), Done>,
    /// Whose failures were told since the last tick, and whether by the run's own thread.
    failed: BTreeSet<(SessionNumber, RunId, EngineId, bool)>,
    followers: BTreeSet<PeerId>,
}

/// See [`Log`].
#[derive(Debug, Serialize, Deserialize)]
struct Brief {
    begun: u64,
    last: u64,
    state: LogState,
    done: Vec<((SessionNumber, u64, EngineId), Done)>,
    failed: BTreeSet<(SessionNumber, RunId, EngineId, bool)>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Done {
    items: u64,
    failed: u64,
    pieces: u64,
    micros: u64,
    left: u64,
}

impl Log {
    fn brief(&self) -> Brief {
        let mut state = self.before.clone();
        self.kept.iter().for_each(|entry| state.apply(entry));
        let done = self.done.iter().map(|(of, done)| (*of, done.clone())).collect();
        Brief { begun: self.begun, last: self.last, state, done, failed: self.failed.clone() }
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.brief().fmt(f)
    }
}

impl Serialize for Log {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.brief().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Log {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Log, D::Error> {
        let Brief { begun, last, state, done, failed } = Brief::deserialize(deserializer)?;
        Ok(Log { last, before: state, done: done.into_iter().collect(), failed, ..Log::new("", 0, begun) })
    }
}

impl Log {
    pub fn new(name: &str, pid: u32, begun: u64) -> Log {
        let before = LogState { name: name.to_owned(), pid, since: begun, ..LogState::default() };
        let (done, failed, followers) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        Log { begun, last: 0, before, kept: VecDeque::new(), new: 0, done, failed, followers }
    }

    /// Another controller goes on with it, whose clock stood at `now` when it was `begun`, in milliseconds since 1970.
    pub fn go_on(&mut self, pid: u32, now: Duration, begun: u64) {
        self.before.pid = pid;
        self.begun = begun.saturating_sub(millis(now));
        self.followers.clear();
    }

    /// How everything is now, as an entry.
    pub fn state(&self) -> Vec<LogEntry> {
        self.since(u64::MAX)
    }

    /// Adds an entry.
    pub fn add(&mut self, now: Duration, event: LogEvent) {
        self.last += 1;
        self.kept.push_back(LogEntry { number: self.last, at: self.begun.saturating_add(millis(now)), event });
        self.new += 1;
        if self.kept.len() > KEPT
            && let Some(oldest) = self.kept.pop_front()
        {
            self.before.apply(&oldest);
        }
    }

    /// Counts what an engine did of a map.
    pub fn add_done(&mut self, session: SessionNumber, map: u64, engine: EngineId, reports: &[Report]) {
        let done = self.done.entry((session, map, engine)).or_default();
        done.left = 0;
        for report in reports {
            done.items += report.count;
            done.failed += report.failed;
            done.pieces += 1;
            done.micros += report.micros;
        }
    }

    /// The engine has so many items in hand, perhaps before it has done any.
    pub fn set_left(&mut self, session: SessionNumber, map: u64, engine: EngineId, left: u64) {
        self.done.entry((session, map, engine)).or_default().left = left;
    }

    /// Says why a run fails, if it does. Its threads may panic again and again, so only the first failure since the last
    /// tick is an entry, and the first of the run's own thread, whose word counts. Of items that a map skips or keeps
    /// (`--on-error`), px tells no panics.
    pub fn add_failure(&mut self, now: Duration, of: (SessionNumber, RunId, EngineId), own: bool, why: &str) {
        let (session, run, engine) = of;
        if self.failed.insert((session, run, engine, own)) {
            let why = why.chars().take(WHY).collect();
            self.add(now, LogEvent::Failure { session, run: run.0, engine, why, own });
        }
    }

    /// What was counted becomes entries.
    pub fn settle(&mut self, now: Duration) {
        self.failed.clear();
        for ((session, map, engine), Done { items, failed, pieces, micros, left }) in std::mem::take(&mut self.done) {
            self.add(now, LogEvent::MapDone { session, map, engine, items, failed, pieces, micros, left });
        }
    }

    /// What is new since this was last called.
    pub fn take_new(&mut self, now: Duration) -> Vec<LogEntry> {
        self.settle(now);
        let new = std::mem::take(&mut self.new);
        match self.kept.len().checked_sub(new) {
            Some(told) => self.kept.range(told..).cloned().collect(),
            // Some aren't kept any more, so who follows begins anew.
            None => std::iter::once(self.state_before()).chain(self.kept.iter().cloned()).collect(),
        }
    }

    /// The state at the beginning of what is kept.
    fn state_before(&self) -> LogEntry {
        let (first, at) = self.kept.front().map_or((self.last + 1, self.begun), |entry| (entry.number, entry.at));
        LogEntry { number: first - 1, at, event: LogEvent::State(Box::new(self.before.clone())) }
    }

    /// Everything from this number on that was told already: what is kept, behind the state at its beginning if some
    /// of what was asked for isn't kept any more.
    fn since(&self, number: u64) -> Vec<LogEntry> {
        let told = self.kept.len() - self.new.min(self.kept.len());
        let first = self.kept.front().map_or(self.last + 1, |entry| entry.number);
        let kept = self.kept.range(..told);
        if number >= first && number <= self.last + 1 && number > 1 {
            return kept.filter(|entry| entry.number >= number).cloned().collect();
        }
        let at = self.kept.front().map_or(self.begun, |entry| entry.at);
        if number > self.last {
            // Only what is, or numbers of another controller's log.
            let mut state = self.before.clone();
            kept.clone().for_each(|entry| state.apply(entry));
            let last = kept.last();
            let (number, at) = last.map_or((first - 1, at), |entry| (entry.number, entry.at));
            return vec![LogEntry { number, at, event: LogEvent::State(Box::new(state)) }];
        }
        std::iter::once(self.state_before()).chain(kept.cloned()).collect()
    }

    pub fn follow(&mut self, peer: PeerId, from: u64) -> Vec<LogEntry> {
        self.followers.insert(peer);
        self.since(from)
    }

    pub fn leave(&mut self, peer: &PeerId) {
        self.followers.remove(peer);
    }

    pub fn followers(&self) -> Vec<PeerId> {
        self.followers.iter().cloned().collect()
    }
}

impl Core {
    /// Adds an entry to the log.
    pub(super) fn log(&mut self, event: LogEvent) {
        self.log.add(self.now, event);
    }

    /// A session's number in the log.
    pub(super) fn number(&self, session: SessionId) -> Option<SessionNumber> {
        Some(self.sessions.get(&session)?.number)
    }
}

/// The beginning of a run's text.
pub(super) fn label(text: &str) -> String {
    text.chars().take(LABEL).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chorus_protocol::EngineInfo;

    fn up(engine: u32) -> LogEvent {
        let info = EngineInfo { pid: 1, host: "here".into(), cores: 1, ..EngineInfo::default() };
        LogEvent::EngineUp { engine: EngineId(engine), info }
    }

    fn numbers(entries: &[LogEntry]) -> Vec<u64> {
        entries.iter().map(|entry| entry.number).collect()
    }

    fn log() -> Log {
        Log::new("lab", 7, 1_000)
    }

    #[test]
    fn a_reader_gets_what_it_lacks() {
        let mut log = log();
        (0..4).for_each(|engine| log.add(Duration::from_millis(5), up(engine)));
        assert_eq!(numbers(&log.since(3)), [0; 0], "nobody was told yet");
        assert_eq!(numbers(&log.take_new(Duration::ZERO)), [1, 2, 3, 4]);
        assert_eq!(numbers(&log.since(3)), [3, 4]);
        assert_eq!(numbers(&log.since(5)), [0; 0], "it has all");
        assert_eq!(log.since(3)[0].at, 1_005);
        assert!(log.take_new(Duration::ZERO).is_empty());
    }

    #[test]
    fn a_new_reader_gets_the_state_first() {
        let mut log = log();
        log.add(Duration::ZERO, up(0));
        log.take_new(Duration::ZERO);
        assert_eq!(numbers(&log.since(1)), [0, 1]);
        let now = log.since(u64::MAX);
        let LogEvent::State(state) = &now[0].event else { panic!("{now:?}") };
        assert_eq!((now.len(), now[0].number, state.engines.len(), state.name.as_str()), (1, 1, 1, "lab"));
    }

    #[test]
    fn what_is_not_kept_is_in_the_state() {
        let mut log = log();
        (0..KEPT as u32 + 10).for_each(|engine| log.add(Duration::ZERO, up(engine)));
        let new = log.take_new(Duration::ZERO);
        assert!(matches!(new[0].event, LogEvent::State(_)) && new[0].number == 10 && new.len() == KEPT + 1);
        let entries = log.since(5);
        let LogEvent::State(state) = &entries[0].event else { panic!("no state") };
        assert_eq!((state.engines.len(), entries[0].number, entries[1].number), (10, 10, 11));
        assert_eq!(entries.len(), KEPT + 1);
    }

    #[test]
    fn what_engines_do_of_maps_is_one_entry_a_tick() {
        let mut log = log();
        let report = |count| Report { first: 0, count, micros: 10, failed: 1, body: Default::default() };
        log.add_done(1, 2, EngineId(0), &[report(5), report(7)]);
        log.add_done(1, 2, EngineId(0), &[report(1)]);
        log.set_left(1, 2, EngineId(0), 9);
        log.set_left(1, 2, EngineId(0), 9);
        let new = log.take_new(Duration::ZERO);
        let done = LogEvent::MapDone {
            session: 1,
            map: 2,
            engine: EngineId(0),
            items: 13,
            failed: 3,
            pieces: 3,
            micros: 30,
            left: 9,
        };
        assert_eq!(new.iter().map(|entry| &entry.event).collect::<Vec<_>>(), [&done]);
    }

    #[test]
    fn a_run_says_once_a_tick_why_it_fails() {
        let mut log = log();
        let add = |log: &mut Log, own, why: &str| log.add_failure(Duration::ZERO, (1, RunId(2), EngineId(0)), own, why);
        add(&mut log, false, "thread");
        add(&mut log, false, "another");
        add(&mut log, true, &"x".repeat(WHY + 1));
        let why = |entries: Vec<LogEntry>| {
            let texts = entries.into_iter().filter_map(|entry| match entry.event {
                LogEvent::Failure { why, own, .. } => Some((why, own)),
                _ => None,
            });
            texts.collect::<Vec<_>>()
        };
        assert_eq!(why(log.take_new(Duration::ZERO)), [("thread".to_owned(), false), ("x".repeat(WHY), true)]);
        add(&mut log, true, "again");
        assert_eq!(why(log.take_new(Duration::ZERO)), [("again".to_owned(), true)]);
    }
}
