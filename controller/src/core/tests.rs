//! Drives the core by hand, one decision a test.

mod adapt;
mod back;
mod distant;
mod engine;
mod group;
mod map;
mod pools;
mod session;

use super::*;
use bytes::Bytes;
use chorus_protocol::{
    Death, EngineInfo, NoSnapshot, Outcome, RunEvent, RunId, RunSpec, SnapshotPolicy, Standing, Stream, Target, TaskId,
    TaskSpec,
};
use std::sync::atomic::{AtomicU64, Ordering};

const SECOND: Duration = Duration::from_secs(1);
const SESSION: SessionId = SessionId(7);

/// The core with a clock and a record of what it wanted.
struct Cluster {
    core: Core,
    now: Duration,
    actions: Vec<Action>,
}

impl Cluster {
    fn new(engines: u32) -> Cluster {
        let mut actions = Vec::new();
        let config = CoreConfig {
            name: "test".into(),
            pid: 1,
            host: "here".into(),
            engines,
            pool: crate::launch::Pool::default(),
            adapt: None,
            heartbeat: SECOND,
            begun: 0,
            records: false,
            launches: true,
        };
        let core = Core::new(config, &mut actions);
        Cluster { core, now: Duration::ZERO, actions }
    }

    /// `engines` launched and joined, client `c` connected with its session open.
    fn ready(engines: u32) -> Cluster {
        let mut cluster = Cluster::new(engines);
        for id in 0..engines {
            cluster.join(&format!("e{id}"), Some(id));
        }
        cluster.client("c", hello());
        cluster.client("c", FromClient::OpenSession(SESSION));
        cluster.actions.clear();
        cluster
    }

    fn handle(&mut self, input: Input) {
        self.core.handle(self.now, input, &mut self.actions);
    }

    /// Lets time pass, with a sign of life of everybody in `alive` at each tick.
    fn pass(&mut self, time: Duration, engines: &[&str], clients: &[&str]) {
        let end = self.now + time;
        while self.now < end {
            self.now += Duration::from_millis(100);
            engines.iter().for_each(|name| self.engine(name, FromEngine::Heartbeat));
            clients.iter().for_each(|name| self.client(name, FromClient::Ping));
            self.handle(Input::Tick);
        }
    }

    fn engine(&mut self, name: &str, message: FromEngine) {
        self.handle(Input::FromEngine(peer(name), message));
    }

    fn client(&mut self, name: &str, message: FromClient) {
        self.handle(Input::FromClient(peer(name), message));
    }

    fn join(&mut self, name: &str, id: Option<u32>) {
        let version = chorus_protocol::VERSION;
        let standing = Standing { life: life(name), ..Standing::default() };
        let (id, shares_files) = (id.map(EngineId), true);
        self.engine(name, FromEngine::Register { version, id, info: info(), shares_files, standing });
    }

    fn run(&mut self, run: u64, targets: &[(u32, Option<u32>)]) {
        let (session, run, spec) = (SESSION, RunId(run), spec(run));
        let targets = targets.iter().map(|&(id, generation)| Target { engine: EngineId(id), generation }).collect();
        self.client("c", FromClient::Run { session, run, spec, targets });
    }

    fn event(&mut self, name: &str, run: u64, event: RunEvent) {
        self.engine(name, FromEngine::Run { session: SESSION, run: RunId(run), event });
    }

    fn to_engine(&self, name: &str) -> Vec<&ToEngine> {
        let name = peer(name);
        let sent = self.actions.iter().filter_map(|action| match action {
            Action::ToEngines(to, message) if to.contains(&name) => Some(message),
            _ => None,
        });
        sent.collect()
    }

    fn to_client(&self, name: &str) -> Vec<&ToClient> {
        let name = peer(name);
        let sent = self.actions.iter().filter_map(|action| match action {
            Action::ToClients(to, message) if to.contains(&name) => Some(&**message),
            _ => None,
        });
        sent.collect()
    }

    /// The ends of runs that client `c` was told: run, engine, outcome, generation.
    fn ends(&self) -> Vec<(u64, u32, Outcome, u32)> {
        let ends = self.to_client("c").into_iter().filter_map(|message| match message {
            ToClient::Run { run, engine, event: RunEvent::Done { outcome, generation, .. }, .. } => {
                Some((run.0, engine.0, outcome.clone(), *generation))
            }
            _ => None,
        });
        ends.collect()
    }

    fn downs(&self) -> Vec<(u32, &str, bool)> {
        let downs = self.to_client("c").into_iter().filter_map(|message| match message {
            ToClient::EngineDown { engine, reason, restarting, .. } => Some((engine.0, reason.as_str(), *restarting)),
            _ => None,
        });
        downs.collect()
    }

    fn spawned(&self) -> usize {
        self.actions.iter().filter(|action| matches!(action, Action::StartEngines(..))).count()
    }

    fn killed(&self) -> usize {
        self.actions.iter().filter(|action| matches!(action, Action::KillEngine(_))).count()
    }

    fn stopped(&self) -> bool {
        self.actions.iter().any(|action| matches!(action, Action::Stop))
    }

    fn status(&self) -> ClusterStatus {
        self.core.status(&peer("c"))
    }
}

fn peer(name: &str) -> PeerId {
    PeerId(Bytes::copy_from_slice(name.as_bytes()))
}

/// A number of an engine's process; each name has one.
fn life(name: &str) -> u64 {
    name.bytes().fold(1, |life, byte| life * 256 + u64::from(byte))
}

/// Each connection is another client's.
static HELLOS: AtomicU64 = AtomicU64::new(1);

fn hello() -> FromClient {
    FromClient::Hello { version: chorus_protocol::VERSION, info: who(), life: HELLOS.fetch_add(1, Ordering::Relaxed) }
}

fn who() -> ClientInfo {
    ClientInfo { name: "a notebook".into(), pid: 9, host: "here".into() }
}

fn info() -> EngineInfo {
    EngineInfo { pid: 1, host: "here".into(), cores: 2, ..EngineInfo::default() }
}

fn spec(run: u64) -> RunSpec {
    RunSpec {
        preload: vec![],
        object: BlobId::of(b"object"),
        entry: "entry".into(),
        argument: Bytes::new(),
        together: Some(Bytes::new()),
        map: None,
        label: format!("cell {run}"),
        snapshots: SnapshotPolicy::default(),
    }
}

fn done(outcome: Outcome, generation: u32) -> RunEvent {
    RunEvent::Done { outcome, generation, took: Default::default() }
}

fn output(text: &str) -> RunEvent {
    RunEvent::Output { stream: Stream::Stdout, bytes: Bytes::copy_from_slice(text.as_bytes()) }
}

#[test]
fn a_run_goes_out_with_rank_and_size_and_comes_back() {
    let mut cluster = Cluster::ready(3);
    cluster.run(1, &[(0, None), (2, Some(0))]);
    let sent = |cluster: &Cluster, name: &str| match cluster.to_engine(name)[..] {
        [ToEngine::Run { generation, rank, size, .. }] => (*generation, *rank, *size),
        ref other => panic!("{name} got {other:?}"),
    };
    assert_eq!(sent(&cluster, "e0"), (None, 0, 3));
    assert_eq!(sent(&cluster, "e2"), (Some(0), 2, 3));
    assert!(cluster.to_engine("e1").is_empty());
    assert_eq!(cluster.status().engines[2].running.as_deref(), Some("cell 1"));

    for event in [RunEvent::Started(Err(NoSnapshot::Off)), output("hi"), done(Outcome::Ok, 0)] {
        cluster.event("e2", 1, event);
    }
    assert_eq!(cluster.to_client("c").len(), 3);
    assert_eq!(cluster.ends(), [(1, 2, Outcome::Ok, 0)]);
    let status = cluster.status();
    assert_eq!((status.engines[2].busy, status.engines[2].runs_done, status.engines[2].runs_failed), (false, 1, 0));
    assert!(status.engines[0].busy);
}

#[test]
fn a_run_ends_once_whatever_the_engine_says() {
    let mut cluster = Cluster::ready(1);
    cluster.run(1, &[(0, None), (0, None)]);
    cluster.event("e0", 1, done(Outcome::Panicked, 1));
    cluster.event("e0", 1, done(Outcome::Ok, 1));
    cluster.event("e0", 1, RunEvent::Started(Err(NoSnapshot::Off)));
    assert_eq!(cluster.ends(), [(1, 0, Outcome::Panicked, 1)]);
    assert_eq!(cluster.status().engines[0].runs_failed, 1);
    // A thread may print later.
    cluster.event("e0", 1, output("late"));
    assert!(matches!(cluster.to_client("c").last(), Some(ToClient::Run { event: RunEvent::Output { .. }, .. })));
}

#[test]
fn a_run_that_is_sent_twice_runs_once() {
    let mut cluster = Cluster::ready(1);
    cluster.run(1, &[(0, None)]);
    cluster.run(1, &[(0, None)]);
    cluster.event("e0", 1, done(Outcome::Ok, 0));
    cluster.run(1, &[(0, None)]);
    assert_eq!(cluster.to_engine("e0").len(), 1);
    assert_eq!(cluster.ends().len(), 1);
}

#[test]
fn an_engine_that_is_not_there_is_said_at_once() {
    let mut cluster = Cluster::ready(2);
    cluster.handle(Input::EngineDisconnected(peer("e1")));
    cluster.run(1, &[(1, None), (9, None)]);
    assert_eq!(cluster.ends(), [(1, 1, Outcome::NoSuchEngine, 0), (1, 9, Outcome::NoSuchEngine, 0)]);
}

#[test]
fn another_version_is_refused_with_both_versions() {
    let mut cluster = Cluster::ready(0);
    let version = chorus_protocol::VERSION + 1;
    let said = format!("version {version}");
    cluster.engine(
        "e",
        FromEngine::Register { version, id: None, info: info(), shares_files: true, standing: Standing::default() },
    );
    assert!(matches!(cluster.to_engine("e")[..], [ToEngine::Refused(why)] if why.contains(&said)));
    cluster.client("d", FromClient::Hello { version, info: who(), life: 0 });
    assert!(matches!(cluster.to_client("d")[..], [ToClient::Refused(why)] if why.contains(&said)));
    assert_eq!(cluster.status().engines.len(), 0);
}

#[test]
fn strangers_are_counted_and_not_answered() {
    let mut cluster = Cluster::ready(1);
    cluster.engine("x", FromEngine::Heartbeat);
    cluster.client("x", FromClient::Status);
    cluster.handle(Input::Malformed);
    cluster.client("c", FromClient::PutBlob { session: None, id: BlobId::of(b"a"), bytes: "b".into() });
    assert_eq!(cluster.status().rejected, 4);
    assert!(cluster.actions.is_empty(), "{:?}", cluster.actions);
}

#[test]
fn acknowledgements_never_exceed_what_was_sent() {
    let mut cluster = Cluster::ready(1);
    cluster.run(1, &[(0, None)]);
    let weight = output("12345").weight() as u64;
    cluster.event("e0", 1, output("12345"));
    cluster.actions.clear();
    let ack = |bytes| FromClient::Ack { session: SESSION, engine: EngineId(0), bytes };
    cluster.client("c", ack(3));
    cluster.client("c", ack(30 * weight));
    cluster.client("c", ack(1));
    assert_eq!(
        cluster.to_engine("e0"),
        [&ToEngine::Ack { session: SESSION, bytes: 3 }, &ToEngine::Ack { session: SESSION, bytes: weight - 3 }]
    );
}

#[test]
fn blobs_are_stored_before_the_runs_that_name_them() {
    let mut cluster = Cluster::ready(1);
    cluster
        .client("c", FromClient::PutBlob { session: Some(SESSION), id: BlobId::of(b"object"), bytes: "object".into() });
    cluster.run(1, &[(0, None)]);
    assert!(matches!(cluster.actions[..], [Action::StoreBlob(..), Action::ToEngines(..)]));
    cluster.engine("e0", FromEngine::NeedBlob(BlobId::of(b"object")));
    assert!(matches!(cluster.actions.last(), Some(Action::ReadBlob(..))));
}

#[test]
fn stopping_waits_for_the_processes() {
    let mut cluster = Cluster::ready(2);
    cluster.client("c", FromClient::Shutdown);
    assert_eq!(cluster.to_engine("e0"), [&ToEngine::Shutdown]);
    assert_eq!(cluster.to_client("c"), [&ToClient::ShuttingDown(Some(who()))]);
    for id in 0..2 {
        assert!(!cluster.stopped());
        cluster.handle(Input::EngineDisconnected(peer(&format!("e{id}"))));
        cluster.handle(Input::EngineExited(EngineId(id), Exit::Status(0)));
    }
    assert!(cluster.stopped());
    assert_eq!((cluster.spawned(), cluster.killed()), (0, 0));
}

#[test]
fn stopping_kills_who_does_not_go() {
    let mut cluster = Cluster::ready(2);
    cluster.handle(Input::Shutdown);
    cluster.handle(Input::Shutdown);
    cluster.pass(2 * SECOND, &["e0", "e1"], &[]);
    assert_eq!(cluster.killed(), 2);
    assert!(!cluster.stopped());
    cluster.pass(2 * SECOND, &["e0", "e1"], &[]);
    assert!(cluster.stopped(), "not even the kernel's failure to kill holds it up for ever");
    assert_eq!(cluster.killed(), 2);
}

#[test]
fn stopping_does_not_wait_long_for_engines_of_others() {
    let mut cluster = Cluster::ready(0);
    cluster.join("h", None);
    cluster.handle(Input::Shutdown);
    assert!(!cluster.stopped());
    cluster.pass(LEAVE_GRACE, &["h"], &[]);
    assert!(cluster.stopped());
}
