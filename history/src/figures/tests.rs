//! Why things failed, and whether they did.

use super::*;
use chorus_protocol::EngineInfo;

/// A cluster of two engines to which things happen.
struct Past(Figures);

impl Past {
    fn new() -> Past {
        let mut past = Past(Figures::default());
        for engine in 0..2 {
            let info = EngineInfo { pid: 1, host: "here".into(), cores: 4, ..EngineInfo::default() };
            past.add(LogEvent::EngineUp { engine: EngineId(engine), info });
        }
        past
    }

    /// With map 1, which run 1 serves on all engines.
    fn with_map(items: Option<u64>) -> Past {
        let mut past = Past::new();
        past.add(LogEvent::MapOpened { session: 1, map: 1, items, chunk: None });
        past.start(1, Work::Map(1), &[0, 1]);
        past
    }

    fn add(&mut self, event: LogEvent) {
        let number = self.0.number + 1;
        self.0.apply(&LogEntry { number, at: 1_000 * number, event });
    }

    fn start(&mut self, run: u64, work: Work, engines: &[u32]) {
        let engines: Vec<EngineId> = engines.iter().copied().map(EngineId).collect();
        self.add(LogEvent::RunQueued { session: 1, run, work, label: "f".into(), engines: engines.clone() });
        for engine in engines {
            self.add(LogEvent::RunStarted { session: 1, run, engine, snapshot: None });
        }
    }

    fn fail(&mut self, run: u64, engine: u32, own: bool, why: &str) {
        self.add(LogEvent::Failure { session: 1, run, engine: EngineId(engine), why: why.into(), own });
    }

    fn end(&mut self, run: u64, engine: u32, end: RunEnd) {
        self.add(LogEvent::RunEnded { session: 1, run, engine: EngineId(engine), end, took: Took::default() });
    }

    fn did(&mut self, engine: u32, items: u64, failed: u64) {
        let (session, map, engine, pieces, micros, left) = (1, 1, EngineId(engine), 1, 10, 0);
        self.add(LogEvent::MapDone { session, map, engine, items, failed, pieces, micros, left });
    }

    /// What is said of the map when it ends, and whether it has failed.
    fn end_map(&mut self) -> (String, bool) {
        self.add(LogEvent::MapEnded { session: 1, map: 1 });
        (self.0.messages.back().unwrap().1.clone(), self.0.ended_maps.back().unwrap().has_failed())
    }
}

const ENDED: &str = "map 1 of session 1 ended";

#[test]
fn a_map_that_others_finished_did_not_fail() {
    let ended = |done| {
        let mut past = Past::with_map(Some(10));
        past.fail(1, 0, true, "its worker was killed by signal 9");
        past.end(1, 0, RunEnd::Died);
        past.did(1, done, 0);
        past.end_map()
    };
    assert_eq!(ended(10), (ENDED.to_owned(), false));
    assert_eq!(ended(9), (format!("{ENDED}; it failed on engine 0: its worker was killed by signal 9"), true));
}

#[test]
fn what_engines_have_of_their_own_is_lost_with_a_worker_only() {
    let ended = |how, failed| {
        let mut past = Past::with_map(None);
        past.fail(1, 0, true, "why");
        past.end(1, 0, how);
        past.did(1, 3, failed);
        // That of another engine is no reason to forget it.
        past.fail(1, 1, true, "caught");
        past.end(1, 1, RunEnd::Ok);
        past.end_map().1
    };
    assert!(ended(RunEnd::Died, 0) && ended(RunEnd::Restored, 0) && ended(RunEnd::Ok, 1));
    assert!(!ended(RunEnd::Ok, 0), "its function caught the panics");
}

#[test]
fn no_failure_is_kept_of_a_map_that_is_over() {
    let mut past = Past::with_map(Some(10));
    past.fail(1, 0, true, "why");
    assert_eq!(past.0.failures.len(), 1);
    past.end_map();
    past.fail(1, 0, true, "late");
    assert_eq!(past.0.failures.len(), 0);
    let mut past = Past::with_map(Some(10));
    past.fail(1, 0, true, "why");
    past.add(LogEvent::SessionClosed { session: 1 });
    assert_eq!(past.0.failures.len(), 0);
}

#[test]
fn the_word_of_the_own_thread_counts() {
    let told = [(false, "first"), (false, "second"), (true, "own"), (false, "third")];
    let mut past = Past::with_map(Some(10));
    past.start(2, Work::Cell, &[0]);
    let mut whys = Vec::new();
    for (own, why) in told {
        past.fail(1, 0, own, why);
        past.fail(2, 0, own, why);
        whys.extend(past.0.failures.values().map(|it| it.why.clone()));
    }
    assert_eq!(whys, ["first", "first", "own", "own"]);
    past.end(2, 0, RunEnd::Failed);
    assert_eq!(past.0.ended.back().unwrap().failure.as_deref(), Some("own"));
}

#[test]
fn a_call_has_failed_if_it_gave_no_result() {
    let ended = |failure: Option<&str>, end| {
        let mut past = Past::new();
        past.add(LogEvent::TaskSubmitted { session: 1, task: 5, label: "f".into(), needs: vec![] });
        past.start(7, Work::Task(5), &[0]);
        past.fail(7, 0, true, "odd");
        past.end(7, 0, end);
        let failure = failure.map(str::to_owned);
        past.add(LogEvent::TaskEnded { session: 1, task: 5, engine: Some(EngineId(0)), failure });
        let ended = past.0.ended.pop_back().unwrap();
        let said = past.0.messages.iter().filter(|(_, said)| said.contains("failed")).count();
        (ended.end, ended.failure, said)
    };
    let odd = || Some("odd".to_owned());
    assert_eq!(ended(None, RunEnd::Ok), (RunEnd::Ok, odd(), 0));
    assert_eq!(ended(Some("it panicked"), RunEnd::Failed), (RunEnd::Failed, odd(), 1), "it is said once");
    assert_eq!(ended(Some("it panicked"), RunEnd::Ok), (RunEnd::Failed, odd(), 1), "as earlier versions recorded it");
}
