//! Drives the core by hand, one decision a test.

mod adapt;
mod back;
mod distant;
mod group;
mod map;
mod pools;

use super::*;
use bytes::Bytes;
use chorus_protocol::{
    Death, EngineInfo, NoSnapshot, Outcome, RunEvent, RunId, RunSpec, SnapshotPolicy, Standing, Stream, Target,
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
fn a_killed_engine_ends_its_runs_and_comes_back_under_its_id() {
    let mut cluster = Cluster::ready(2);
    cluster.run(1, &[(0, Some(0)), (1, Some(0))]);
    cluster.run(2, &[(1, Some(0))]);
    cluster.handle(Input::EngineDisconnected(peer("e1")));
    assert_eq!(cluster.downs(), [], "the exit status is worth waiting for");
    cluster.handle(Input::EngineExited(EngineId(1), Exit::Signal(9)));
    assert_eq!(cluster.downs(), [(1, "engine 1 was killed by signal 9 (SIGKILL: killed, perhaps for memory)", true)]);
    let lost = Outcome::died(Death::EngineLost);
    assert_eq!(cluster.ends(), [(1, 1, lost.clone(), 1), (2, 1, lost, 1)]);
    assert_eq!(cluster.spawned(), 1);
    // The cluster stays as large as it was while the engine starts.
    cluster.actions.clear();
    cluster.run(3, &[(0, None)]);
    assert!(matches!(cluster.to_engine("e0")[..], [ToEngine::Run { size: 2, .. }]));
    assert_eq!(cluster.status().starting, 1);

    cluster.join("e1b", Some(1));
    assert!(cluster.to_engine("e1b").contains(&&ToEngine::OpenSession(SESSION)));
    let status = cluster.status();
    assert_eq!((status.starting, status.engines[1].restarts, status.engines[1].runs_failed), (0, 1, 2));
}

#[test]
fn a_fresh_process_is_never_taken_for_the_one_before() {
    let mut cluster = Cluster::ready(1);
    cluster.run(1, &[(0, Some(0))]);
    cluster.event("e0", 1, done(Outcome::Panicked, 1));
    cluster.handle(Input::EngineExited(EngineId(0), Exit::Status(1)));
    cluster.handle(Input::EngineDisconnected(peer("e0")));
    let told = cluster.to_client("c").into_iter().find_map(|message| match message {
        ToClient::WorkerLost { death: Death::EngineLost, generation, .. } => Some(*generation),
        _ => None,
    });
    assert_eq!(told, Some(2));
    cluster.join("e0b", Some(0));
    cluster.actions.clear();
    cluster.run(2, &[(0, Some(1))]);
    assert_eq!(cluster.ends(), [(2, 0, Outcome::Stale, 2)]);
    cluster.actions.clear();
    cluster.run(3, &[(0, Some(2))]);
    assert!(matches!(cluster.to_engine("e0b")[..], [ToEngine::Run { generation: Some(0), .. }]));
    cluster.event("e0b", 3, done(Outcome::Panicked, 1));
    assert_eq!(cluster.ends(), [(3, 0, Outcome::Panicked, 3)]);
}

#[test]
fn last_words_arrive_before_the_end() {
    let mut cluster = Cluster::ready(1);
    cluster.run(1, &[(0, None)]);
    cluster.handle(Input::EngineExited(EngineId(0), Exit::Status(0)));
    cluster.event("e0", 1, done(Outcome::Ok, 0));
    cluster.handle(Input::EngineDisconnected(peer("e0")));
    assert_eq!(cluster.ends(), [(1, 0, Outcome::Ok, 0)]);
    assert_eq!(cluster.downs(), [(0, "engine 0 exited with status 0", true)]);
}

#[test]
fn a_lost_connection_alone_ends_the_engine_soon() {
    let mut cluster = Cluster::ready(1);
    cluster.run(1, &[(0, None)]);
    cluster.handle(Input::EngineDisconnected(peer("e0")));
    cluster.pass(Duration::from_millis(400), &[], &["c"]);
    assert_eq!(cluster.downs(), [(0, "engine 0 lost its connection", true)]);
    assert_eq!((cluster.killed(), cluster.spawned()), (1, 0));
    cluster.handle(Input::EngineExited(EngineId(0), Exit::Signal(9)));
    assert_eq!(cluster.spawned(), 1);
    assert_eq!(cluster.ends().len(), 1);
}

#[test]
fn an_engine_that_connects_again_takes_its_place() {
    let mut cluster = Cluster::ready(1);
    cluster.run(1, &[(0, None)]);
    cluster.join("e0b", Some(0));
    assert!(matches!(cluster.to_engine("e0b")[..], [ToEngine::Refused(_)]), "the old one lives");
    cluster.handle(Input::EngineDisconnected(peer("e0")));
    cluster.join("e0b", Some(0));
    assert_eq!(cluster.ends(), [(1, 0, Outcome::died(Death::EngineLost), 1)]);
    cluster.pass(SECOND, &["e0b"], &["c"]);
    assert_eq!((cluster.killed(), cluster.spawned(), cluster.status().engines.len()), (0, 0, 1));
}

#[test]
fn silence_is_death() {
    let mut cluster = Cluster::ready(2);
    cluster.pass(4 * SECOND, &["e0"], &["c"]);
    assert_eq!(cluster.downs(), []);
    cluster.pass(SECOND, &["e0"], &["c"]);
    let downs = cluster.downs();
    assert!(matches!(downs[..], [(1, reason, true)] if reason.contains("no sign of life for 5.0 s")), "{downs:?}");
    assert_eq!(cluster.killed(), 1);
    assert_eq!(cluster.actions.iter().filter(|it| matches!(it, Action::DisconnectEngine(_))).count(), 1);
}

#[test]
fn time_in_which_the_controller_slept_is_not_silence() {
    let mut cluster = Cluster::ready(1);
    cluster.pass(SECOND, &["e0"], &["c"]);
    cluster.now += 100 * SECOND;
    cluster.handle(Input::Tick);
    assert_eq!(cluster.downs(), []);
    assert_eq!(cluster.status().sessions, 1);
}

#[test]
fn an_engine_that_dies_at_once_is_given_up() {
    let mut cluster = Cluster::ready(0);
    cluster.core.engines.insert(EngineId(0), Engine::launched(0, Duration::ZERO));
    for _ in 0..4 {
        cluster.handle(Input::EngineExited(EngineId(0), Exit::NotStarted("no such file".into())));
        assert_eq!(cluster.downs(), []);
        assert!(cluster.status().failing[&EngineId(0)].contains("no such file"), "it is tried again");
    }
    assert_eq!(cluster.spawned(), 4);
    cluster.handle(Input::EngineExited(EngineId(0), Exit::NotStarted("no such file".into())));
    assert_eq!(cluster.spawned(), 4);
    let downs = cluster.downs();
    assert!(
        matches!(downs[..], [(0, reason, false)] if reason.contains("no such file") && reason.contains("5 times")),
        "{downs:?}"
    );
    let status = cluster.status();
    assert_eq!(status.starting, 0);
    // Who connects later learns it, too.
    assert!(status.given_up[&EngineId(0)].contains("its start failed 5 times"), "{status:?}");
}

#[test]
fn an_engine_that_lives_a_while_between_deaths_is_always_started_again() {
    let mut cluster = Cluster::ready(1);
    for round in 0..20 {
        cluster.pass(11 * SECOND, &[&format!("{round}"), "e0"], &["c"]);
        cluster.handle(Input::EngineExited(EngineId(0), Exit::Signal(11)));
        cluster.pass(SECOND, &[], &["c"]);
        cluster.join(&format!("{}", round + 1), Some(0));
    }
    assert_eq!(cluster.spawned(), 20);
}

#[test]
fn engines_that_join_by_hand_get_the_lowest_free_id_and_are_forgotten_when_they_leave() {
    let mut cluster = Cluster::ready(2);
    cluster.join("h1", None);
    cluster.join("h2", None);
    assert!(cluster.to_engine("h1").contains(&&ToEngine::Registered {
        id: EngineId(2),
        heartbeat_ms: 1000,
        received: 0
    }));
    assert!(cluster.to_engine("h2").contains(&&ToEngine::Registered {
        id: EngineId(3),
        heartbeat_ms: 1000,
        received: 0
    }));
    cluster.engine("h1", FromEngine::Goodbye);
    assert_eq!(cluster.downs(), [(2, "engine 2 left the cluster", false)]);
    assert_eq!(cluster.status().engines.len(), 3);
    cluster.join("h3", None);
    assert!(cluster.to_engine("h3").contains(&&ToEngine::Registered {
        id: EngineId(2),
        heartbeat_ms: 1000,
        received: 0
    }));
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
fn sessions_belong_to_their_client() {
    let mut cluster = Cluster::ready(1);
    cluster.client("d", hello());
    cluster.actions.clear();
    cluster.client("d", FromClient::Interrupt { session: SESSION, targets: vec![EngineId(0)], signal: 2 });
    cluster.client("d", FromClient::CloseSession(SESSION));
    cluster.client("d", FromClient::RestartSession { session: SESSION, targets: vec![EngineId(0)] });
    assert!(cluster.actions.is_empty());
    cluster.client("d", FromClient::Run { session: SESSION, run: RunId(1), spec: spec(1), targets: vec![] });
    assert_eq!(cluster.to_client("d"), [&ToClient::SessionGone(SESSION)]);

    cluster.client("c", FromClient::Interrupt { session: SESSION, targets: vec![EngineId(0)], signal: 2 });
    cluster.client("c", FromClient::RestartSession { session: SESSION, targets: vec![EngineId(0)] });
    assert_eq!(
        cluster.to_engine("e0"),
        [&ToEngine::Interrupt { session: SESSION, signal: 2 }, &ToEngine::RestartSession(SESSION)]
    );
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
fn closing_a_session_ends_its_runs() {
    let mut cluster = Cluster::ready(1);
    cluster.run(1, &[(0, None)]);
    cluster.run(2, &[(0, None)]);
    cluster.event("e0", 1, RunEvent::Started(Err(NoSnapshot::Off)));
    cluster.client("c", FromClient::CloseSession(SESSION));
    assert_eq!(cluster.ends(), [(1, 0, Outcome::died(Death::Stopped), 0), (2, 0, Outcome::Cancelled, 0)]);
    assert_eq!(cluster.to_engine("e0").last(), Some(&&ToEngine::CloseSession(SESSION)));
    assert_eq!((cluster.status().sessions, cluster.status().engines[0].busy), (0, false));
}

#[test]
fn a_client_that_comes_back_gets_what_it_missed() {
    let mut cluster = Cluster::ready(1);
    cluster.run(1, &[(0, None)]);
    cluster.event("e0", 1, RunEvent::Started(Err(NoSnapshot::Off)));
    cluster.event("e0", 1, output("lost"));
    cluster.handle(Input::ClientDisconnected(peer("c")));
    cluster.event("e0", 1, done(Outcome::Ok, 0));
    cluster.pass(4 * SECOND, &["e0"], &[]);
    cluster.client("c2", hello());
    cluster.actions.clear();
    cluster.client("c2", FromClient::Resume { session: SESSION, received: 1 });
    assert!(matches!(
        cluster.to_client("c2")[..],
        [
            ToClient::Run { event: RunEvent::Output { .. }, .. },
            ToClient::Run { event: RunEvent::Done { outcome: Outcome::Ok, .. }, .. }
        ]
    ));
    cluster.client("c2", FromClient::Received { session: SESSION, count: 3 });
    assert_eq!(cluster.core.sessions[&SESSION].kept(), 0);
}

#[test]
fn a_session_that_cannot_be_made_whole_again_is_gone() {
    let mut cluster = Cluster::ready(1);
    cluster.run(1, &[(0, None)]);
    cluster.event("e0", 1, done(Outcome::Ok, 0));
    cluster.client("c", FromClient::Received { session: SESSION, count: 1 });
    cluster.client("c2", hello());
    cluster.actions.clear();
    // Before what was confirmed, or beyond what was sent: not the client that had the session.
    cluster.client("c2", FromClient::Resume { session: SESSION, received: 0 });
    assert_eq!(cluster.to_client("c2"), [&ToClient::SessionGone(SESSION)]);
    cluster.client("c2", FromClient::OpenSession(SESSION));
    cluster.actions.clear();
    cluster.client("c2", FromClient::Resume { session: SESSION, received: 9 });
    assert_eq!(cluster.to_client("c2"), [&ToClient::SessionGone(SESSION)]);
}

#[test]
fn a_client_that_stays_away_loses_its_sessions() {
    let mut cluster = Cluster::ready(1);
    cluster.handle(Input::ClientDisconnected(peer("c")));
    cluster.pass(5 * SECOND, &["e0"], &[]);
    assert_eq!(cluster.to_engine("e0").last(), Some(&&ToEngine::CloseSession(SESSION)));
    cluster.client("c2", hello());
    cluster.actions.clear();
    cluster.client("c2", FromClient::Resume { session: SESSION, received: 0 });
    assert_eq!(cluster.to_client("c2"), [&ToClient::SessionGone(SESSION)]);
}

#[test]
fn a_silent_client_is_dropped() {
    let mut cluster = Cluster::ready(1);
    cluster.pass(10 * SECOND, &["e0"], &[]);
    assert_eq!(cluster.status().sessions, 0);
    assert!(cluster.actions.iter().any(|it| matches!(it, Action::DisconnectClient(who) if *who == peer("c"))));
}

#[test]
fn goodbye_closes_the_sessions_at_once() {
    let mut cluster = Cluster::ready(1);
    cluster.client("c", FromClient::Goodbye);
    assert_eq!(cluster.to_engine("e0"), [&ToEngine::CloseSession(SESSION)]);
}

#[test]
fn blobs_are_stored_before_the_runs_that_name_them() {
    let mut cluster = Cluster::ready(1);
    cluster
        .client("c", FromClient::PutBlob { session: Some(SESSION), id: BlobId::of(b"object"), bytes: "object".into() });
    cluster.run(1, &[(0, None)]);
    assert!(matches!(cluster.actions[..], [Action::StoreBlob(..), Action::MakeGroup(_), Action::ToEngines(..)]));
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

#[test]
fn everybody_hears_of_engines_that_come() {
    let mut cluster = Cluster::ready(0);
    cluster.join("h", None);
    assert_eq!(cluster.to_client("c"), [&ToClient::EngineUp { engine: EngineId(0), info: info() }]);
}

#[test]
fn an_engine_that_does_not_join_is_asked_for_before_it_is_late() {
    let mut cluster = Cluster::new(1);
    let asked = |cluster: &Cluster| cluster.actions.iter().filter(|it| matches!(it, Action::AskForEngine(_))).count();
    cluster.pass(31 * SECOND, &[], &[]);
    assert_eq!((asked(&cluster), cluster.killed()), (1, 0), "it may wait in a queue");
    cluster.pass(31 * SECOND, &[], &[]);
    assert_eq!(asked(&cluster), 2);
    cluster.handle(Input::EngineLate(EngineId(0)));
    assert_eq!(cluster.killed(), 1);
    cluster.handle(Input::EngineExited(EngineId(0), Exit::Signal(9)));
    cluster.join("e0", Some(0));
    cluster.handle(Input::EngineLate(EngineId(0)));
    assert_eq!((cluster.killed(), cluster.status().engines.len()), (1, 1), "it has joined in the meantime");
}

#[test]
fn a_blob_is_kept_as_long_as_a_session_needs_it() {
    let mut cluster = Cluster::ready(1);
    let (version, info, standing) = (chorus_protocol::VERSION, info(), Standing::default());
    cluster.engine("far", FromEngine::Register { version, id: None, info, shares_files: false, standing });
    cluster.client("d", hello());
    let other = SessionId(8);
    cluster.client("d", FromClient::OpenSession(other));
    let [library, object] = [b"library", b"object "].map(|bytes| BlobId::of(bytes));
    let put = |cluster: &mut Cluster, client: &str, session: Option<SessionId>| {
        let bytes: Bytes = if session.is_none() { "library".into() } else { "object ".into() };
        cluster.client(client, FromClient::PutBlob { session, id: BlobId::of(&bytes), bytes });
    };
    put(&mut cluster, "c", None);
    put(&mut cluster, "c", Some(SESSION));
    put(&mut cluster, "d", Some(other));
    let removed = |cluster: &Cluster| {
        let removed = cluster.actions.iter().filter_map(|action| match action {
            Action::RemoveBlob(id) => Some(*id),
            _ => None,
        });
        removed.collect::<Vec<_>>()
    };
    cluster.client("c", FromClient::DropBlob { session: SESSION, id: object });
    cluster.client("c", FromClient::DropBlob { session: SESSION, id: library });
    assert_eq!(removed(&cluster), [], "the other session needs it, and libraries stay");
    cluster.client("c", FromClient::DropBlob { session: other, id: object });
    assert_eq!(removed(&cluster), [], "not this client's session");
    cluster.client("d", FromClient::CloseSession(other));
    assert_eq!(removed(&cluster), [object]);
    assert!(cluster.to_engine("far").contains(&&ToEngine::DropBlob(object)));
    assert!(!cluster.to_engine("e0").contains(&&ToEngine::DropBlob(object)), "it opened the controller's file");
    // What comes for a session that is closed isn't kept.
    let stored = |cluster: &Cluster| cluster.actions.iter().filter(|it| matches!(it, Action::StoreBlob(..))).count();
    let before = stored(&cluster);
    put(&mut cluster, "d", Some(other));
    assert_eq!(stored(&cluster), before);
}

#[test]
fn users_see_whose_sessions_are_open_and_who_stopped_the_cluster() {
    let mut cluster = Cluster::ready(1);
    let other = ClientInfo { name: "b.ipynb".into(), ..who() };
    cluster.client("d", FromClient::Hello { version: chorus_protocol::VERSION, info: other.clone(), life: 0 });
    cluster.client("d", FromClient::OpenSession(SessionId(8)));
    cluster.run(1, &[(0, None)]);
    let mine = SessionStatus { client: who(), own: true, number: 1, running: Some("cell 1".into()) };
    let theirs = SessionStatus { client: other.clone(), own: false, number: 2, running: None };
    assert_eq!(cluster.status().users, [mine, theirs]);
    cluster.client("d", FromClient::Shutdown);
    assert!(cluster.to_client("c").contains(&&ToClient::ShuttingDown(Some(other))));
}

#[test]
fn a_call_that_panics_counts_as_failed() {
    let mut cluster = Cluster::ready(1);
    let run = spec(0);
    let task_spec = TaskSpec { run, args: vec![], after: vec![], on: None, gpu: false, retries: 0, timeout_ms: 0 };
    for (number, returns) in [(0, true), (1, false)] {
        let (session, task) = (SESSION, TaskId(number));
        cluster.client("c", FromClient::SubmitTask { session, task, spec: task_spec.clone() });
        let run = RunId::of_task(task, 0);
        if returns {
            cluster.engine("e0", FromEngine::Result { session, run, value: Default::default() });
        }
        // What panics is caught, so the run itself ends well.
        cluster.event("e0", run.0, done(Outcome::Ok, 0));
    }
    let engine = &cluster.core.engines[&EngineId(0)];
    assert_eq!((engine.runs_done, engine.runs_failed, engine.restarts), (2, 1, 0));
}
