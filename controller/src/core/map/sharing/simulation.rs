//! A cluster of virtual engines around the core: how evenly items are shared out, what a task costs the controller,
//! and what it keeps, with many more engines than a machine has.

use crate::core::{Action, Core, CoreConfig, Input, PeerId};
use bytes::Bytes;
use chorus_protocol::{
    BlobId, ClientInfo, EngineId, EngineInfo, FromClient, FromEngine, MapEvent, MapId, MapSpec, Report, RunId, RunSpec,
    SessionId, SnapshotPolicy, Standing, Target, ToClient, ToEngine,
};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::time::{Duration, Instant};

const SESSION: SessionId = SessionId(1);
const MAP: MapId = MapId(0);
/// A message's way on one host.
const WAY: u64 = 100_000;
/// And between two hosts.
const FAR: u64 = 20_000_000;
/// An engine with more to do reports no more often than this.
const QUIET: u64 = 500_000;

/// Nanoseconds of work in these items.
type Cost<'a> = &'a dyn Fn(u64, u64) -> u64;

#[derive(Default)]
struct Worker {
    /// First item and end of each task.
    tasks: VecDeque<(u64, u64)>,
    busy: bool,
    done: Vec<Report>,
    reported: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// Pieces reach an engine.
    Arrives(usize, u64, u64, u64),
    /// An engine has done its first task, which took so long.
    Done(usize, u64),
    /// The controller hears from an engine.
    Heard(usize),
}

struct World {
    core: Core,
    actions: Vec<Action>,
    now: u64,
    /// A message's way.
    way: u64,
    events: BinaryHeap<Reverse<(u64, Event)>>,
    workers: Vec<Worker>,
    /// How many times as long as its cost a task takes on an engine.
    slowness: fn(usize) -> f64,
    peers: HashMap<PeerId, usize>,
    client: PeerId,
    /// What engines said, on its way.
    said: Vec<VecDeque<Vec<Report>>>,
    received: u64,
    done: u64,
    over: Option<u64>,
    /// In the core.
    spent: Duration,
    messages: u64,
    /// The most that the map kept, see [`super::Sharing::kept`].
    kept: usize,
}

/// What came out.
#[derive(Debug)]
struct Figures {
    /// Nanoseconds of the world's time.
    makespan: u64,
    tasks: u64,
    messages: u64,
    spent: Duration,
    kept: usize,
}

impl World {
    fn new(engines: usize) -> World {
        World::with_way(engines, WAY)
    }

    fn with_way(engines: usize, way: u64) -> World {
        let mut actions = Vec::new();
        let config = CoreConfig {
            name: "many".into(),
            pid: 1,
            host: "here".into(),
            engines: 0,
            pool: crate::launch::Pool::default(),
            adapt: None,
            heartbeat: Duration::from_secs(3600),
            begun: 0,
            records: false,
            launches: true,
        };
        let core = Core::new(config, &mut actions);
        let mut world = World {
            core,
            actions,
            now: 0,
            way,
            events: BinaryHeap::new(),
            workers: (0..engines).map(|_| Worker::default()).collect(),
            slowness: |_| 1.0,
            peers: (0..engines).map(|engine| (peer(engine), engine)).collect(),
            client: PeerId(Bytes::from_static(b"client")),
            said: vec![VecDeque::new(); engines],
            received: 0,
            done: 0,
            over: None,
            spent: Duration::ZERO,
            messages: 0,
            kept: 0,
        };
        let lease = (way > WAY).then_some(60);
        for engine in 0..engines {
            let info = EngineInfo { pid: 1, host: "h".into(), cores: 1, lease, ..EngineInfo::default() };
            let version = chorus_protocol::VERSION;
            let id = Some(EngineId(engine as u32));
            let standing = Standing { life: engine as u64 + 1, ..Standing::default() };
            world.engine(engine, FromEngine::Register { version, id, info, shares_files: true, standing });
        }
        let info = ClientInfo { name: "client".into(), pid: 1, host: "h".into() };
        world.client(FromClient::Hello { version: chorus_protocol::VERSION, info, life: 1 });
        world.client(FromClient::OpenSession(SESSION));
        world
    }

    fn engine(&mut self, engine: usize, message: FromEngine) {
        self.handle(Input::FromEngine(peer(engine), message));
    }

    fn client(&mut self, message: FromClient) {
        self.handle(Input::FromClient(self.client.clone(), message));
    }

    fn handle(&mut self, input: Input) {
        let start = Instant::now();
        self.core.handle(Duration::from_nanos(self.now), input, &mut self.actions);
        self.spent += start.elapsed();
        self.messages += 1;
        for action in std::mem::take(&mut self.actions) {
            match action {
                Action::ToEngines(to, ToEngine::MapWork { pieces, .. }) => {
                    for (peer, piece) in to.iter().flat_map(|peer| pieces.iter().map(move |piece| (peer, piece))) {
                        let arrives = Event::Arrives(self.peers[peer], piece.first, piece.count, piece.chunk);
                        self.events.push(Reverse((self.now + self.way, arrives)));
                    }
                }
                Action::ToClients(_, message) => {
                    if let ToClient::Map { event, .. } = &*message {
                        self.received += 1;
                        match event {
                            MapEvent::Done(reports) => self.done += reports.iter().map(|it| it.count).sum::<u64>(),
                            MapEvent::GivenUp { .. } => panic!("nobody died"),
                            MapEvent::Over => self.over = Some(self.now),
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn open(&mut self, items: u64, chunk: Option<u64>) {
        let spec = MapSpec { items: Some(items), chunk, retries: 1, goes_on: false };
        self.client(FromClient::OpenMap { session: SESSION, map: MAP, spec });
        let spec = RunSpec {
            preload: vec![],
            object: BlobId::of(b""),
            entry: "".into(),
            argument: Bytes::new(),
            together: None,
            map: Some(MAP),
            label: String::new(),
            snapshots: SnapshotPolicy::Off,
        };
        let engines = 0..self.workers.len() as u32;
        let targets = engines.map(|id| Target { engine: EngineId(id), generation: None }).collect();
        self.client(FromClient::Run { session: SESSION, run: RunId(0), spec, targets });
    }

    /// Has a map done by all engines.
    fn map(&mut self, items: u64, chunk: Option<u64>, cost: Cost) -> Figures {
        self.open(items, chunk);
        (self.spent, self.messages) = (Duration::ZERO, 0);
        let (start, mut tasks) = (self.now, 0);
        for engine in 0..self.workers.len() {
            self.say(engine);
        }
        while self.over.is_none() {
            let Reverse((now, event)) = self.events.pop().expect("the world stands still before all is done");
            self.now = now;
            match event {
                Event::Arrives(engine, first, count, chunk) => {
                    let ends = (first..first + count).step_by(chunk as usize);
                    let worker = &mut self.workers[engine];
                    worker.tasks.extend(ends.map(|task| (task, (task + chunk).min(first + count))));
                    self.begin(engine, cost);
                }
                Event::Done(engine, took) => {
                    tasks += 1;
                    let worker = &mut self.workers[engine];
                    worker.busy = false;
                    let (first, end) = worker.tasks.pop_front().expect("the task at work");
                    let micros = took / 1000;
                    worker.done.push(Report { first, count: end - first, micros, failed: 0, body: vec![0; 8].into() });
                    if worker.tasks.is_empty() || now >= worker.reported + QUIET {
                        self.say(engine);
                    }
                    self.begin(engine, cost);
                }
                Event::Heard(engine) => {
                    let reports = self.said[engine].pop_front().expect("something was said");
                    self.engine(engine, FromEngine::MapReady { session: SESSION, map: MAP, reports });
                    if self.received.is_multiple_of(100) {
                        self.client(FromClient::Received { session: SESSION, count: self.received });
                        let map = self.core.sessions.get(&SESSION).and_then(|session| session.maps.get(&MAP));
                        self.kept = self.kept.max(map.map_or(0, super::Sharing::kept));
                    }
                }
            }
        }
        assert_eq!(self.done, items, "each item is reported once");
        assert!(self.core.sessions[&SESSION].maps.is_empty());
        Figures { makespan: self.now - start, tasks, messages: self.messages, spent: self.spent, kept: self.kept }
    }

    fn begin(&mut self, engine: usize, cost: Cost) {
        let worker = &mut self.workers[engine];
        if !worker.busy
            && let Some(&(first, end)) = worker.tasks.front()
        {
            worker.busy = true;
            let took = (cost(first, end) as f64 * (self.slowness)(engine)) as u64;
            self.events.push(Reverse((self.now + took, Event::Done(engine, took))));
        }
    }

    fn say(&mut self, engine: usize) {
        let worker = &mut self.workers[engine];
        worker.reported = self.now;
        self.said[engine].push_back(std::mem::take(&mut worker.done));
        self.events.push(Reverse((self.now + self.way, Event::Heard(engine))));
    }
}

fn peer(engine: usize) -> PeerId {
    PeerId(Bytes::from(format!("engine {engine}")))
}

/// A number from 0 to 1 that looks random.
fn random(item: u64) -> f64 {
    let hash = item.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let hash = (hash ^ (hash >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    ((hash ^ (hash >> 32)) >> 11) as f64 / (1u64 << 53) as f64
}

/// Costs of items around 1, skewed in several ways.
fn skews(items: u64) -> Vec<(&'static str, Vec<f64>)> {
    let of = |cost: &dyn Fn(u64) -> f64| (0..items).map(cost).collect::<Vec<f64>>();
    vec![
        ("equal", of(&|_| 1.0)),
        ("exponential", of(&|item| -(1.0 - random(item)).ln())),
        ("heavy tail", of(&|item| (1.0 - random(item)).powf(-1.0 / 1.5).min(100.0) / 3.0)),
        ("rising", of(&|item| 2.0 * item as f64 / items as f64)),
        ("falling", of(&|item| 2.0 - 2.0 * item as f64 / items as f64)),
        ("last 5 % 20 times", of(&|item| if item >= items - items / 20 { 10.0 } else { 0.5 })),
        ("first 5 % 20 times", of(&|item| if item < items / 20 { 10.0 } else { 0.5 })),
        ("one in 100 50 times", of(&|item| if random(item) < 0.01 { 33.0 } else { 0.67 })),
    ]
}

/// The time of a map with these costs, against that of engines which never wait.
fn ratio(engines: usize, chunk: Option<u64>, costs: &[f64], nanos: f64) -> f64 {
    let mut until = vec![0.0];
    for cost in costs {
        until.push(until[until.len() - 1] + cost * nanos);
    }
    let longest = costs.iter().copied().fold(0.0, f64::max) * nanos;
    let ideal = (until[costs.len()] / engines as f64).max(longest);
    let cost = |first: u64, end: u64| (until[end as usize] - until[first as usize]) as u64;
    let figures = World::new(engines).map(costs.len() as u64, chunk, &cost);
    assert!(figures.kept <= 8 * engines, "{} things are kept for {engines} engines", figures.kept);
    figures.makespan as f64 / ideal
}

#[test]
fn skewed_tasks_end_together() {
    for (name, costs) in skews(10_000) {
        for chunk in [None, Some(1)] {
            for nanos in [300e3, 3e6, 30e6] {
                let ratio = ratio(16, chunk, &costs, nanos);
                assert!(ratio <= 1.15, "{name}, {chunk:?}, {nanos}: {ratio:.2} times the ideal");
            }
        }
    }
}

#[test]
fn slow_engines_get_less() {
    for chunk in [None, Some(1)] {
        let mut world = World::new(16);
        world.slowness = |engine| if engine % 2 == 0 { 5.0 } else { 1.0 };
        let figures = world.map(10_000, chunk, &|first, end| (end - first) * 1_000_000);
        let ratio = figures.makespan as f64 / (10_000.0 * 1e6 / (8.0 + 8.0 / 5.0));
        assert!(ratio <= 1.05, "{chunk:?}: {ratio:.3} times the ideal");
    }
}

/// Items of a tenth of a millisecond, for a second. What is lost are the ways at the beginning and at the end; with chunks, it
/// begins with two items, and takes some ways to get to enough.
#[test]
fn engines_of_other_hosts_hardly_wait_for_their_pieces() {
    for (chunk, most) in [(None, 1.12), (Some(1), 1.45)] {
        let cost = |first: u64, end: u64| (end - first) * 100_000;
        let near = World::new(16).map(160_000, chunk, &cost).makespan as f64;
        let far = World::with_way(16, FAR).map(160_000, chunk, &cost).makespan as f64;
        assert!(far <= most * near, "{chunk:?}: {:.3} times as long", far / near);
    }
}

/// Where messages take long, nobody may be given so much more that the others wait for it in the end.
#[test]
fn skewed_tasks_of_other_hosts_end_together() {
    for (name, costs) in skews(10_000) {
        let mean = 3e6;
        let cost = |first: u64, end: u64| (costs[first as usize..end as usize].iter().sum::<f64>() * mean) as u64;
        let makespan = World::with_way(16, FAR).map(costs.len() as u64, None, &cost).makespan as f64;
        let ideal = costs.iter().sum::<f64>() * mean / 16.0;
        assert!(makespan <= 1.2 * ideal, "{name}: {:.2} times the ideal", makespan / ideal);
    }
}

#[test]
fn a_billion_cheap_items_take_few_messages() {
    let figures = World::new(4).map(1_000_000_000, None, &|first, end| end - first);
    let ratio = figures.makespan as f64 / 250e6;
    assert!(ratio <= 1.05, "{ratio:.3} times the ideal");
    assert!(figures.messages < 300, "{} messages", figures.messages);
}

#[test]
fn ten_thousand_engines_join_in_less_than_five_seconds() {
    let world = World::new(10_000);
    assert_eq!(world.core.engines.len(), 10_000);
    assert!(world.spent < Duration::from_secs(5), "{:?} in the core", world.spent);
}

/// `cargo test -p chorus-controller --lib figures -- --ignored --nocapture`
#[test]
#[ignore = "prints figures"]
fn figures() {
    // First, while the memory of this process is all in use.
    for engines in [1000, 10_000] {
        let mut world = World::new(engines);
        println!("{engines:>8} engines have joined after {:.0} ms in the core", world.spent.as_secs_f64() * 1000.0);
        let before = resident();
        world.open(u64::MAX, Some(1));
        (0..engines).for_each(|engine| {
            world.engine(engine, FromEngine::MapReady { session: SESSION, map: MAP, reports: vec![] });
        });
        println!(
            "{engines:>8} engines: {} bytes each for its run, and its place at the map",
            resident().saturating_sub(before) / engines
        );
    }
    println!("Time of 10,000 items on 16 engines against the ideal, by the mean item:");
    println!("{:<20} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}", "", "300 µs", "3 ms", "30 ms", "300 µs", "3 ms", "30 ms");
    println!("{:<20} {:>29} {:>29}", "", "chunks of 1", "chosen");
    for (name, costs) in skews(10_000) {
        print!("{name:<20}");
        for chunk in [Some(1), None] {
            for nanos in [300e3, 3e6, 30e6] {
                print!(" {:>9.3}", ratio(16, chunk, &costs, nanos));
            }
        }
        println!();
    }
    println!("\nIn the core:");
    println!(
        "{:>8} {:>20} {:>10} {:>10} {:>8} {:>12} {:>6}",
        "engines", "", "tasks", "messages", "µs/task", "µs/message", "kept"
    );
    for engines in [16, 1000, 10_000] {
        for (what, chunk, tasks, nanos) in [
            ("no-op, chunks of 1", Some(1), 1_000_000, 1_000),
            ("1 ms, chunks of 1", Some(1), 100 * engines as u64, 1_000_000),
            ("100 ms, chunks of 1", Some(1), 20 * engines as u64, 100_000_000),
            ("1 µs, chosen", None, 10_000_000 * engines as u64 / 16, 1_000),
        ] {
            let figures = World::new(engines).map(tasks, chunk, &|first, end| (end - first) * nanos);
            let micros = figures.spent.as_nanos() as f64 / 1000.0;
            println!(
                "{engines:>8} {what:>20} {:>10} {:>10} {:>8.2} {:>12.2} {:>6}",
                figures.tasks,
                figures.messages,
                micros / figures.tasks as f64,
                micros / figures.messages as f64,
                figures.kept,
            );
        }
    }
}

/// Bytes of this process in memory.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    pages.and_then(|pages| pages.split(' ').nth(1)?.parse::<usize>().ok()).unwrap_or(0) * 4096
}
