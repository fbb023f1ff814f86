//! Each diagnosis, provoked and just not.

use super::*;
use chorus_protocol::{EngineInfo, HostUse, LogEntry, LogEvent, Metrics, ProcessUse, RunEnd, Taken, Took, Work};

const GIB: u64 = 1 << 30;

/// A cluster of three engines to which things happen.
struct Past(Figures);

impl Past {
    fn new() -> Past {
        let mut past = Past(Figures::default());
        for engine in 0..3 {
            let info = EngineInfo { pid: 1, host: "here".into(), cores: 4, ..EngineInfo::default() };
            past.add(0, LogEvent::EngineUp { engine: EngineId(engine), info });
        }
        past
    }

    fn add(&mut self, at: u64, event: LogEvent) {
        let number = self.0.number + 1;
        self.0.apply(&LogEntry { number, at, event });
    }

    fn queue(&mut self, at: u64, run: u64, engine: u32) {
        let engines = vec![EngineId(engine)];
        self.add(at, LogEvent::RunQueued { session: 1, run, work: Work::Cell, label: format!("run{run}()"), engines });
    }

    fn start(&mut self, at: u64, run: u64, engine: u32, snapshot: Option<Taken>) {
        self.add(at, LogEvent::RunStarted { session: 1, run, engine: EngineId(engine), snapshot });
    }

    fn end(&mut self, at: u64, run: u64, engine: u32, end: RunEnd, wall: u64) {
        let took = Took { wall, ..Took::default() };
        self.add(at, LogEvent::RunEnded { session: 1, run, engine: EngineId(engine), end, took });
    }

    fn open_map(&mut self, at: u64, items: u64, chunk: Option<u64>) {
        self.add(at, LogEvent::MapOpened { session: 1, map: 1, items: Some(items), chunk });
    }

    fn did(&mut self, at: u64, engine: u32, (items, pieces, micros, left): (u64, u64, u64, u64)) {
        let (session, map, engine, failed) = (1, 1, EngineId(engine), 0);
        self.add(at, LogEvent::MapDone { session, map, engine, items, failed, pieces, micros, left });
    }

    fn measure(&mut self, at: u64, engine: u32, own: u64, host: HostUse) {
        let supervisor = ProcessUse { pid: 1, cpu: None, memory: Some(own) };
        let metrics = Box::new(Metrics { supervisor, host, ..Metrics::default() });
        self.add(at, LogEvent::Measured { engine: EngineId(engine), metrics });
    }

    /// Lets time pass without anything that matters.
    fn wait_until(&mut self, at: u64) {
        self.add(at, LogEvent::SessionClosed { session: 99 });
    }

    fn kinds(&self) -> Vec<(About, &'static str)> {
        diagnose(&self.0).into_iter().map(|it| (it.about, it.kind)).collect()
    }

    fn evidence(&self, kind: &str) -> String {
        let found = diagnose(&self.0).into_iter().find(|it| it.kind == kind);
        found.unwrap_or_else(|| panic!("no `{kind}`")).evidence
    }
}

fn engine(number: u32) -> About {
    About::Engine(EngineId(number))
}

#[test]
fn a_queue_behind_a_slow_run_is_told() {
    let mut past = Past::new();
    past.queue(0, 1, 0);
    past.start(0, 1, 0, None);
    past.queue(100, 2, 0);
    past.wait_until(SLOW - 1);
    assert_eq!(past.kinds(), [], "it isn't slow yet");
    past.wait_until(12_000);
    assert_eq!(past.kinds(), [(engine(0), "queue")]);
    assert_eq!(past.evidence("queue"), "1 run waits behind `run1()`, which has run for 12 s");
    past.end(12_500, 1, 0, RunEnd::Ok, 12_500_000);
    assert_eq!(past.kinds(), []);
}

#[test]
fn a_slow_run_that_nobody_waits_for_is_nobodys_trouble() {
    let mut past = Past::new();
    past.queue(0, 1, 0);
    past.start(0, 1, 0, None);
    past.wait_until(60_000);
    assert_eq!(past.kinds(), []);
}

#[test]
fn engines_that_starve_beside_a_queue_are_told() {
    let mut past = Past::new();
    (1..=3).for_each(|run| past.queue(0, run, 0));
    past.start(0, 1, 0, None);
    past.wait_until(LASTING - 1);
    assert_eq!(past.kinds(), []);
    past.wait_until(6_000);
    assert_eq!(past.kinds(), [(engine(1), "starves"), (engine(2), "starves")]);
    assert_eq!(past.evidence("starves"), "it has had nothing to do for 6 s, while 2 runs wait on engine 0");
    past.queue(6_000, 4, 1);
    past.queue(6_000, 4, 2);
    assert_eq!(past.kinds(), [], "they have something");
}

#[test]
fn small_chunks_are_told_if_the_user_chose_them() {
    let told = |chunk, micros| {
        let mut past = Past::new();
        past.open_map(0, 10_000, chunk);
        (0..2).for_each(|engine| past.did(1_000, engine, (500, 500, micros, 9)));
        past
    };
    let past = told(Some(1), 50_000);
    assert_eq!(past.kinds(), [(About::Map(1, 1), "small chunks")]);
    assert!(past.evidence("small chunks").contains("1000 chunks of 1 took 100 µs each"));
    assert!(past.evidence("small chunks").contains("busy for 5 % of the time"));
    assert_eq!(told(None, 50_000).kinds(), [], "they fit by themselves");
    assert_eq!(told(Some(1), 900_000).kinds(), [], "engines were busy");
    assert!(told(Some(2), 50_000).evidence("small chunks").contains("500 chunks of 2 took 200 µs"));
    let mut soon_over = Past::new();
    soon_over.open_map(0, 10_000, Some(1));
    soon_over.did(900, 0, (10_000, 2, 50, 0));
    assert_eq!(soon_over.kinds(), []);
}

#[test]
fn a_map_that_is_over_is_spoken_of_for_a_while() {
    let mut past = Past::new();
    past.open_map(0, 1_000, Some(1));
    past.did(1_000, 0, (1_000, 1_000, 100_000, 0));
    past.add(1_000, LogEvent::MapEnded { session: 1, map: 1 });
    past.wait_until(REMEMBERED);
    assert_eq!(past.kinds(), [(About::Map(1, 1), "small chunks")]);
    past.wait_until(REMEMBERED + 1_001);
    assert_eq!(past.kinds(), []);
}

#[test]
fn a_map_that_waits_for_one_engine_is_told() {
    let mut past = Past::new();
    past.open_map(0, 100, None);
    past.did(1_000, 0, (45, 3, 900_000, 0));
    past.did(1_000, 1, (45, 3, 900_000, 10));
    past.wait_until(5_000);
    assert_eq!(past.kinds(), [], "not for long yet");
    past.wait_until(7_000);
    assert_eq!(past.kinds(), [(About::Map(1, 1), "straggler")]);
    assert!(past.evidence("straggler").contains("the last 10 of 100 items are all on engine 1"));
    past.did(8_000, 1, (10, 1, 900_000, 0));
    assert_eq!(past.kinds(), [], "all is done");
}

#[test]
fn memory_that_is_nearly_used_up_is_told_of_those_who_use_it() {
    let host = |used| HostUse { memory: Some(100 * GIB), memory_used: Some(used), ..HostUse::default() };
    let mut past = Past::new();
    past.measure(1_000, 0, 60 * GIB, host(89 * GIB));
    assert_eq!(past.kinds(), []);
    past.measure(2_000, 0, 60 * GIB, host(95 * GIB));
    past.measure(2_000, 1, GIB, host(95 * GIB));
    assert_eq!(past.kinds(), [(engine(0), "memory")]);
    assert_eq!(past.evidence("memory"), "it holds 60.0 GiB; 95.0 GiB of the 100.0 GiB that its host has are in use");
    let group = HostUse { limit: Some(10 * GIB), limit_used: Some(2 * GIB), ..host(95 * GIB) };
    past.measure(3_000, 0, 2 * GIB, group);
    assert_eq!(past.kinds(), [], "its control group has room");
    past.measure(4_000, 0, 9 * GIB, HostUse { limit_used: Some(9 * GIB + GIB / 2), ..group });
    assert!(past.evidence("memory").contains("its control group may use"));
}

#[test]
fn snapshots_that_cost_more_than_they_save_are_told() {
    let past = |micros, saved: bool| {
        let mut past = Past::new();
        for run in 0..10 {
            past.queue(run, run, 0);
            past.start(run, run, 0, Some(Taken { micros, bytes: run, ahead: 0 }));
            past.end(run, run, 0, RunEnd::Ok, 100_000);
        }
        if saved {
            let how = "was killed".to_owned();
            past.add(20, LogEvent::WorkerLost { session: 1, engine: EngineId(0), how, stopped: false, restored: true });
        }
        past
    };
    assert_eq!(past(100_000, false).kinds(), [(engine(0), "snapshots")]);
    assert_eq!(
        past(100_000, false).evidence("snapshots"),
        "10 snapshots took 1.0 s, its runs 1.0 s, and none was needed"
    );
    assert_eq!(past(100_000, true).kinds(), [], "one was needed");
    assert_eq!(past(40_000, false).kinds(), [], "they cost little");
}

#[test]
fn a_snapshot_that_many_runs_have_is_counted_once() {
    let mut past = Past::new();
    for run in 0..100 {
        past.queue(run, run, 0);
        past.start(run, run, 0, Some(Taken { micros: 100_000, bytes: 1, ahead: 0 }));
        past.end(run, run, 0, RunEnd::Ok, 1_000);
    }
    assert_eq!(past.0.engines[&EngineId(0)].snapshots, (100_000, 1));
    assert_eq!(past.kinds(), []);
}

#[test]
fn an_engine_that_has_done_nothing_yet_of_a_map_may_be_what_it_waits_for() {
    let mut past = Past::new();
    past.open_map(0, 8, Some(1));
    past.did(100, 0, (0, 0, 0, 1));
    past.did(1_000, 1, (7, 7, 900_000, 0));
    past.wait_until(7_000);
    assert_eq!(past.kinds(), [(About::Map(1, 1), "straggler")]);
}

#[test]
fn workers_that_die_again_and_again_are_told() {
    let mut past = Past::new();
    for run in 0..3 {
        assert_eq!(past.kinds(), []);
        past.queue(run * 1_000, run, 0);
        past.start(run * 1_000, run, 0, None);
        past.end(run * 1_000, run, 0, RunEnd::Died, 10);
    }
    assert_eq!(past.kinds(), [(engine(0), "deaths")]);
    past.wait_until(61_000);
    assert_eq!(past.kinds(), [], "only two of them within the last minute");
}
