//! The log: what happened is numbered, kept for as long as it fits, and sent to those who follow it.

use super::{Core, PeerId, millis};
use chorus_history::SECONDS;
use chorus_protocol::{EngineId, LogEntry, LogEvent, LogState, Report, RunId, SessionId, SessionNumber};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// The most entries that are kept, without measurements, which are more frequent and say less.
const KEPT: usize = 50_000;
/// The most measurements that are kept beside the last of each engine.
const MEASURED: usize = 20_000;
/// For how long these are kept, in milliseconds: curves go back as far.
const CURVES: u64 = SECONDS as u64 * 1_000;
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
    /// The number of the last that was told.
    told: u64,
    /// The number that the entries follow that are kept, and the cluster as it was then.
    dropped: u64,
    before: LogState,
    /// By their numbers. Measurements are missing that aren't kept.
    kept: BTreeMap<u64, LogEntry>,
    /// How many of these are no measurements.
    events: usize,
    /// The last measurement of each engine.
    latest: BTreeMap<EngineId, u64>,
    /// The measurements before these, of which some may not be kept any more.
    outdated: BTreeSet<u64>,
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
        self.kept.values().for_each(|entry| state.apply(entry));
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
        let done = done.into_iter().collect();
        Ok(Log { last, told: last, dropped: last, before: state, done, failed, ..Log::new("", 0, begun) })
    }
}

impl Log {
    pub fn new(name: &str, pid: u32, begun: u64) -> Log {
        let before = LogState { name: name.to_owned(), pid, since: begun, ..LogState::default() };
        Log {
            begun,
            last: 0,
            told: 0,
            dropped: 0,
            before,
            kept: BTreeMap::new(),
            events: 0,
            latest: BTreeMap::new(),
            outdated: BTreeSet::new(),
            done: BTreeMap::new(),
            failed: BTreeSet::new(),
            followers: BTreeSet::new(),
        }
    }

    /// Another controller goes on with it, whose clock stood at `now` when it was `begun`, in milliseconds since 1970.
    pub fn go_on(&mut self, pid: u32, now: Duration, begun: u64) {
        self.before.pid = pid;
        self.begun = begun.saturating_sub(millis(now));
        self.followers.clear();
    }

    /// How everything is now, as an entry.
    pub fn state(&self) -> Vec<LogEntry> {
        let at = self.kept.last_key_value().map_or(self.begun, |(_, entry)| entry.at);
        let mut state = self.before.clone();
        self.kept.range(..=self.told).for_each(|(_, entry)| state.apply(entry));
        vec![LogEntry { number: self.told.max(self.dropped), at, event: LogEvent::State(Box::new(state)) }]
    }

    /// Adds an entry.
    pub fn add(&mut self, now: Duration, event: LogEvent) {
        self.last += 1;
        match &event {
            LogEvent::Measured { engine, .. } => self.outdated.extend(self.latest.insert(*engine, self.last)),
            LogEvent::EngineDown { engine, .. } => self.outdated.extend(self.latest.remove(engine)),
            _ => {}
        }
        let at = self.begun.saturating_add(millis(now));
        self.events += usize::from(!is_measurement(&event));
        self.kept.insert(self.last, LogEntry { number: self.last, at, event });
        self.drop_old(at);
    }

    /// Forgets what is too much. A measurement may go before its turn, since what came after it holds.
    fn drop_old(&mut self, now: u64) {
        while let Some(number) = self.outdated.first() {
            let is_old = self.kept.get(number).is_none_or(|entry| entry.at + CURVES < now);
            if !is_old && self.outdated.len() <= MEASURED {
                break;
            }
            self.kept.remove(number);
            self.outdated.pop_first();
        }
        while self.events > KEPT
            && let Some((number, oldest)) = self.kept.pop_first()
        {
            self.events -= usize::from(!is_measurement(&oldest.event));
            self.before.apply(&oldest);
            self.dropped = number;
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

    /// What is new since this was last called, and the number that it follows.
    pub fn take_new(&mut self, now: Duration) -> (u64, Vec<LogEntry>) {
        self.settle(now);
        let before = std::mem::replace(&mut self.told, self.last);
        (before, self.after(Some(before)))
    }

    /// What was told after this number, as far as it is kept: behind the state before it for who has nothing, or if more
    /// than measurements isn't kept any more.
    fn after(&self, number: Option<u64>) -> Vec<LogEntry> {
        let kept = self.kept.range(number.map_or(0, |number| number + 1)..);
        let kept = kept.take_while(|(number, _)| **number <= self.told).map(|(_, entry)| entry.clone());
        if number.is_some_and(|number| number >= self.dropped) {
            return kept.collect();
        }
        let at = self.kept.first_key_value().map_or(self.begun, |(_, entry)| entry.at);
        let state = LogEvent::State(Box::new(self.before.clone()));
        std::iter::once(LogEntry { number: self.dropped, at, event: state }).chain(kept).collect()
    }

    /// Sends what was told from this number on, and what comes, to this client.
    pub fn follow(&mut self, peer: PeerId, from: u64) -> Vec<LogEntry> {
        self.followers.insert(peer);
        match from {
            0 | 1 => self.after(None),
            // Only what is, or numbers of another controller's log.
            from if from > self.last + 1 => self.state(),
            from => self.after(Some(from - 1)),
        }
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

fn is_measurement(event: &LogEvent) -> bool {
    matches!(event, LogEvent::Measured { .. })
}

/// The beginning of a run's text.
pub(super) fn label(text: &str) -> String {
    text.chars().take(LABEL).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chorus_protocol::{EngineInfo, Metrics, ProcessUse};

    fn up(engine: u32) -> LogEvent {
        let info = EngineInfo { pid: 1, host: "here".into(), cores: 1, ..EngineInfo::default() };
        LogEvent::EngineUp { engine: EngineId(engine), info }
    }

    fn numbers(entries: &[LogEntry]) -> Vec<u64> {
        entries.iter().map(|entry| entry.number).collect()
    }

    fn follow(log: &mut Log, from: u64) -> Vec<LogEntry> {
        log.follow(PeerId(bytes::Bytes::new()), from)
    }

    fn measured(engine: u32, pid: u32) -> LogEvent {
        let supervisor = ProcessUse { pid, ..ProcessUse::default() };
        LogEvent::Measured { engine: EngineId(engine), metrics: Box::new(Metrics { supervisor, ..Metrics::default() }) }
    }

    fn log() -> Log {
        Log::new("lab", 7, 1_000)
    }

    #[test]
    fn a_reader_gets_what_it_lacks() {
        let mut log = log();
        (0..4).for_each(|engine| log.add(Duration::from_millis(5), up(engine)));
        assert_eq!(numbers(&follow(&mut log, 3)), [0; 0], "nobody was told yet");
        assert_eq!(numbers(&log.take_new(Duration::ZERO).1), [1, 2, 3, 4]);
        assert_eq!(numbers(&follow(&mut log, 3)), [3, 4]);
        assert_eq!(numbers(&follow(&mut log, 5)), [0; 0], "it has all");
        assert_eq!(follow(&mut log, 3)[0].at, 1_005);
        assert_eq!(log.take_new(Duration::ZERO), (4, vec![]));
    }

    #[test]
    fn a_new_reader_gets_the_state_first() {
        let mut log = log();
        log.add(Duration::ZERO, up(0));
        log.take_new(Duration::ZERO);
        assert_eq!(numbers(&follow(&mut log, 1)), [0, 1]);
        let now = follow(&mut log, u64::MAX);
        let LogEvent::State(state) = &now[0].event else { panic!("{now:?}") };
        assert_eq!((now.len(), now[0].number, state.engines.len(), state.name.as_str()), (1, 1, 1, "lab"));
    }

    #[test]
    fn what_is_not_kept_is_in_the_state() {
        let mut log = log();
        (0..KEPT as u32 + 10).for_each(|engine| log.add(Duration::ZERO, up(engine)));
        let (_, new) = log.take_new(Duration::ZERO);
        assert!(matches!(new[0].event, LogEvent::State(_)) && new[0].number == 10 && new.len() == KEPT + 1);
        let entries = follow(&mut log, 5);
        let LogEvent::State(state) = &entries[0].event else { panic!("no state") };
        assert_eq!((state.engines.len(), entries[0].number, entries[1].number), (10, 10, 11));
        assert_eq!(entries.len(), KEPT + 1);
    }

    /// What a reader makes of these entries: of each engine that was measured, its figures' process.
    fn known(entries: &[LogEntry]) -> Vec<(u32, u32)> {
        let mut state = LogState::default();
        entries.iter().for_each(|entry| state.apply(entry));
        let known = state.engines.iter().filter_map(|(id, it)| Some((id.0, it.metrics.as_ref()?.supervisor.pid)));
        known.collect()
    }

    #[test]
    fn measurements_only_take_the_place_of_measurements() {
        let mut log = log();
        [up(0), up(1), measured(1, 7)].into_iter().for_each(|event| log.add(Duration::ZERO, event));
        (0..MEASURED as u32 + 5).for_each(|pid| log.add(Duration::ZERO, measured(0, pid)));
        log.add(Duration::ZERO, up(2));
        log.take_new(Duration::ZERO);
        let all = follow(&mut log, 1);
        // The state, the engines, the last measurement of one that is silent, and the others but for four.
        assert_eq!((&numbers(&all)[..6], all.len()), (&[0, 1, 2, 3, 8, 9][..], 1 + 3 + 1 + 1 + MEASURED));
        assert_eq!(known(&all), [(0, MEASURED as u32 + 4), (1, 7)]);
        // What is missing is outdated, so nobody has to begin anew.
        assert_eq!(numbers(&follow(&mut log, 5))[..2], [8, 9]);
        // Events that take the place of older ones take that of measurements before them, too.
        (0..KEPT as u32).for_each(|engine| log.add(Duration::ZERO, up(engine)));
        log.take_new(Duration::ZERO);
        let all = follow(&mut log, 1);
        assert_eq!((all.len(), numbers(&all)[0]), (KEPT + 1, MEASURED as u64 + 9));
        assert_eq!(known(&all), [(0, MEASURED as u32 + 4), (1, 7)]);
    }

    #[test]
    fn measurements_are_kept_as_long_as_curves_go_back() {
        let mut log = log();
        let second = |log: &mut Log, at: u64, event| log.add(Duration::from_millis(at * 1_000), event);
        [up(0), up(1)].into_iter().for_each(|event| second(&mut log, 0, event));
        second(&mut log, 0, measured(1, 7));
        (0..2 * SECONDS as u64).for_each(|at| second(&mut log, at, measured(0, at as u32)));
        second(&mut log, 2 * SECONDS as u64, measured(1, 8));
        log.take_new(Duration::ZERO);
        let all = follow(&mut log, 1);
        assert_eq!(all.len(), 1 + 2 + SECONDS + 1, "{:?}", &numbers(&all)[..5]);
        assert_eq!(known(&all), [(0, 2 * SECONDS as u32 - 1), (1, 8)]);
        // What was measured before an engine went isn't the last of it any more.
        let down = LogEvent::EngineDown { engine: EngineId(1), reason: "x".into(), restarting: true };
        second(&mut log, 4 * SECONDS as u64, down);
        log.take_new(Duration::ZERO);
        let all = follow(&mut log, 1);
        assert_eq!((all.len(), known(&all)), (1 + 2 + 1 + 1, vec![(0, 2 * SECONDS as u32 - 1)]));
    }

    #[test]
    fn what_engines_do_of_maps_is_one_entry_a_tick() {
        let mut log = log();
        let report = |count| Report { first: 0, count, micros: 10, failed: 1, body: Default::default() };
        log.add_done(1, 2, EngineId(0), &[report(5), report(7)]);
        log.add_done(1, 2, EngineId(0), &[report(1)]);
        log.set_left(1, 2, EngineId(0), 9);
        log.set_left(1, 2, EngineId(0), 9);
        let (_, new) = log.take_new(Duration::ZERO);
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
        assert_eq!(why(log.take_new(Duration::ZERO).1), [("thread".to_owned(), false), ("x".repeat(WHY), true)]);
        add(&mut log, true, "again");
        assert_eq!(why(log.take_new(Duration::ZERO).1), [("again".to_owned(), true)]);
    }
}
