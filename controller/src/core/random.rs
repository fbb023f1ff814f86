//! Random inputs in random order: whatever happens, each run ends exactly once on each of its targets as its client
//! sees it, connections that break in between included, and when all is over nothing is left. Each item of a map is
//! done or given up once at most, and a map is over when all are. That the controller is killed and started again in
//! between changes nothing, whatever it didn't come to do. The log tells all of it: what its entries come to is what the
//! core has.

mod step;

use super::*;
use bytes::Bytes;
use chorus_protocol::{
    Aftermath, Death, EngineInfo, LogEngine, LogState, MapEvent, MapId, MapSpec, NoSnapshot, Outcome, Piece, Report,
    RunEvent, RunId, RunSpec, SnapshotPolicy, Standing, Stream, Target, TaskEvent, TaskId, TaskSpec,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use step::{Step, step};

const ENGINES: u32 = 3;

/// A client that checks what it is told, and engines that say anything.
struct World {
    core: Core,
    now: Duration,
    actions: Vec<Action>,
    connections: u32,
    client: PeerId,
    session: SessionId,
    received: u64,
    /// Messages on the way to the client, which a broken connection may lose.
    wire: Vec<ToClient>,
    submitted: Vec<(RunSpec, Vec<Target>)>,
    /// Ends that each run still owes, and had.
    owed: BTreeMap<(RunId, EngineId), usize>,
    /// The engine of each call, and how often the call has ended.
    calls: Vec<(u32, usize)>,
    /// The items of each map that aren't done or given up as the client sees it; `None` when it is over.
    maps: Vec<Option<BTreeSet<u64>>>,
    /// Tasks that an engine was given, whatever became of them.
    hands: BTreeMap<(PeerId, u64), Vec<(u64, u64)>>,
    engines: BTreeMap<u32, PeerId>,
    /// The life of each connection's engine, and how many numbered messages it has had.
    lines: BTreeMap<PeerId, (u64, u64)>,
    /// Engines that come back to the next controller, which is started when something has happened.
    killed: Option<Vec<u32>>,
    processes: BTreeMap<u32, bool>,
    stopped: bool,
}

impl World {
    fn new() -> World {
        let mut actions = Vec::new();
        let config = CoreConfig {
            name: "test".into(),
            pid: 1,
            host: "here".into(),
            engines: ENGINES,
            pool: Pool::default(),
            adapt: None,
            heartbeat: Duration::from_secs(1),
            begun: 0,
            records: false,
            launches: true,
        };
        let core = Core::new(config, &mut actions);
        let mut world = World {
            core,
            now: Duration::ZERO,
            actions,
            connections: 0,
            client: PeerId(Bytes::new()),
            session: SessionId(1),
            received: 0,
            wire: Vec::new(),
            submitted: Vec::new(),
            owed: BTreeMap::new(),
            calls: Vec::new(),
            maps: Vec::new(),
            hands: BTreeMap::new(),
            engines: BTreeMap::new(),
            lines: BTreeMap::new(),
            killed: None,
            processes: BTreeMap::new(),
            stopped: false,
        };
        world.carry_out();
        world.connect();
        world.client(FromClient::OpenSession(SessionId(1)));
        world
    }

    fn fresh_peer(&mut self) -> PeerId {
        self.connections += 1;
        PeerId(Bytes::from(self.connections.to_string()))
    }

    fn connect(&mut self) {
        self.client = self.fresh_peer();
        // What the client was sent last is lost with its connection.
        self.wire.clear();
        let info = ClientInfo { name: "client".into(), pid: 1, host: "h".into() };
        self.client(FromClient::Hello { version: chorus_protocol::VERSION, info, life: 1 });
    }

    fn client(&mut self, message: FromClient) {
        self.handle(Input::FromClient(self.client.clone(), message));
    }

    fn engine(&mut self, engine: u32, message: FromEngine) {
        let peer = self.engines.get(&engine).cloned().unwrap_or_else(|| PeerId(Bytes::from_static(b"?")));
        self.handle(Input::FromEngine(peer, message));
    }

    fn handle(&mut self, input: Input) {
        self.core.handle(self.now, input, &mut self.actions);
        if let Some(back) = self.killed.take() {
            self.actions.clear();
            self.restart(&back);
        }
        self.carry_out();
    }

    fn restart(&mut self, back: &[u32]) {
        let written = postcard::to_stdvec(&self.core).unwrap();
        self.core = postcard::from_bytes(&written).unwrap();
        self.core.resume(2, 0, false, &mut self.actions);
        // Who started these processes is gone.
        self.processes.values_mut().for_each(|runs| *runs = false);
        let engines = std::mem::take(&mut self.engines);
        for (engine, old) in engines {
            if !back.contains(&engine) || !self.core.engine_peers.contains_key(&old) {
                continue;
            }
            let peer = self.fresh_peer();
            let (life, received) = self.lines[&old];
            self.engines.insert(engine, peer.clone());
            self.lines.insert(peer.clone(), (life, received));
            let hands: Vec<_> = self.hands.keys().filter(|(peer, _)| *peer == old).cloned().collect();
            for (_, map) in hands {
                let hand = self.hands.remove(&(old.clone(), map)).unwrap();
                self.hands.insert((peer.clone(), map), hand);
            }
            self.register(peer, None, Standing { life, returns: true, received });
        }
        self.connect();
        self.client(FromClient::Resume { session: self.session, received: self.received });
    }

    fn register(&mut self, peer: PeerId, id: Option<EngineId>, standing: Standing) {
        let info = EngineInfo { pid: 1, host: "h".into(), cores: 1, ..EngineInfo::default() };
        let version = chorus_protocol::VERSION;
        let registration = FromEngine::Register { version, id, info, shares_files: true, standing };
        self.handle(Input::FromEngine(peer, registration));
    }

    fn carry_out(&mut self) {
        for action in std::mem::take(&mut self.actions) {
            if let Action::ToEngines(to, message) = &action
                && message.is_numbered()
            {
                for peer in to {
                    self.lines.entry(peer.clone()).or_default().1 += 1;
                }
            }
            match action {
                Action::ToClients(to, message) if to.contains(&self.client) => self.wire.push((*message).clone()),
                Action::ToEngines(to, ToEngine::MapWork { map, pieces, .. }) => {
                    let [peer] = &to[..] else { panic!("the same items for {to:?}") };
                    assert!(self.core.engine_peers.contains_key(peer), "work for somebody who isn't there");
                    let hand = self.hands.entry((peer.clone(), map.0)).or_default();
                    for Piece { first, count, chunk } in pieces {
                        let tasks = (first..first + count).step_by(chunk as usize);
                        hand.extend(tasks.map(|task| (task, chunk.min(first + count - task))));
                    }
                }
                Action::StartEngines(_, ids) => {
                    for id in ids {
                        let running = self.processes.insert(id.0, true);
                        assert_ne!(running, Some(true), "engine {id} was started while it ran");
                    }
                }
                Action::AdoptEngine(_, id, _) => assert_ne!(self.processes.insert(id.0, true), Some(true)),
                Action::AskForEngine(id) => self.handle(Input::EngineLate(id)),
                // It dies a little later.
                Action::KillEngine(id) => assert!(self.processes.contains_key(&id.0)),
                Action::DisconnectEngine(peer) => self.engines.retain(|_, it| *it != peer),
                Action::Stop => self.stopped = true,
                _ => {}
            }
        }
    }

    /// The client reads all but the last `leave` messages on the wire.
    fn read(&mut self, leave: usize) {
        let until = self.wire.len().saturating_sub(leave);
        for message in self.wire.drain(..until) {
            match message {
                ToClient::Run { session, run, engine, event } => {
                    assert_eq!(session, self.session);
                    self.received += 1;
                    if matches!(event, RunEvent::Done { .. }) {
                        let owed = self.owed.get_mut(&(run, engine)).expect("an end of a run that was never sent");
                        assert_eq!(*owed, 1, "run {run} ended twice on engine {engine}");
                        *owed = 0;
                    }
                }
                ToClient::Map { map, event, .. } => {
                    self.received += 1;
                    let map = &mut self.maps[map.0 as usize];
                    let open = map.as_mut().expect("something happens in a map that is over");
                    match event {
                        MapEvent::Done(reports) => {
                            let mut items = reports.iter().flat_map(|it| it.first..it.first + it.count);
                            assert!(items.all(|item| open.remove(&item)), "done twice: {reports:?}");
                        }
                        MapEvent::GivenUp { first, count, .. } => {
                            assert!((first..first + count).all(|item| open.remove(&item)), "{first} was done");
                        }
                        MapEvent::Over => {
                            assert!(open.is_empty(), "never done: {open:?}");
                            *map = None;
                        }
                    }
                }
                ToClient::Task { task, event, .. } => {
                    self.received += 1;
                    if matches!(event, TaskEvent::Done(..) | TaskEvent::Failed(..)) {
                        let (_, ended) = &mut self.calls[task.0 as usize];
                        *ended += 1;
                        assert_eq!(*ended, 1, "call {task} ended twice");
                    }
                }
                ToClient::WorkerLost { .. } => self.received += 1,
                ToClient::SessionGone(_) => panic!("the session is gone"),
                _ => {}
            }
        }
    }

    fn exit(&mut self, engine: u32) {
        if let Some(peer) = self.engines.remove(&engine) {
            self.handle(Input::EngineDisconnected(peer));
        }
        if self.processes.insert(engine, false) == Some(true) {
            self.handle(Input::EngineExited(EngineId(engine), Exit::Signal(9)));
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Join { engine, by_hand } => {
                let peer = self.fresh_peer();
                let id = (!by_hand).then_some(EngineId(engine));
                self.engines.entry(engine).or_insert(peer.clone());
                let life = self.connections.into();
                self.lines.insert(peer.clone(), (life, 0));
                self.register(peer, id, Standing { life, returns: false, received: 0 });
            }
            Step::Break { engine } => {
                if let Some(peer) = self.engines.remove(&engine) {
                    self.handle(Input::EngineDisconnected(peer));
                }
            }
            Step::Exit { engine } => self.exit(engine),
            Step::Heartbeats => {
                let engines: Vec<u32> = self.engines.keys().copied().collect();
                engines.into_iter().for_each(|engine| self.engine(engine, FromEngine::Heartbeat));
            }
            Step::Event { engine, run, kind, generation } => {
                let event = match kind {
                    0 => RunEvent::Started(Err(NoSnapshot::Off)),
                    1 => RunEvent::Output { stream: Stream::Stdout, bytes: vec![b'x'; 10].into() },
                    2 => RunEvent::Done { outcome: Outcome::Panicked, generation, took: Default::default() },
                    3 => {
                        let outcome = Outcome::died(Death::Signal(11));
                        RunEvent::Done { outcome, generation, took: Default::default() }
                    }
                    _ => RunEvent::Done { outcome: Outcome::Ok, generation, took: Default::default() },
                };
                self.engine(engine, FromEngine::Run { session: self.session, run: RunId(run), event });
            }
            Step::WorkerLost { engine, generation } => {
                let (death, aftermath) = (Death::Signal(9), Aftermath::Lost(NoSnapshot::Off));
                let lost = FromEngine::WorkerLost { session: self.session, death, aftermath, generation };
                self.engine(engine, lost);
            }
            Step::OpenMap { items, chunk, again } => {
                let map = self.maps.len().saturating_sub(usize::from(again));
                if map == self.maps.len() {
                    self.maps.push(Some((0..items).collect()));
                }
                let map = MapId(map as u64);
                let spec = MapSpec { items: Some(items), chunk, retries: 1, goes_on: false };
                self.client(FromClient::OpenMap { session: self.session, map, spec });
            }
            Step::CloseMap { map } => {
                self.client(FromClient::CloseMap { session: self.session, map: MapId(map) });
            }
            Step::RestMap { map, rests } => {
                self.client(FromClient::RestMap { session: self.session, map: MapId(map), rests });
            }
            Step::MapReady { engine, map, which, reports } => {
                let peer = self.engines.get(&engine).cloned();
                let hand = peer.and_then(|peer| self.hands.get_mut(&(peer, map)));
                let mut done = Vec::new();
                if let Some(hand) = hand {
                    for _ in 0..reports.min(hand.len()) {
                        // Most are said once, in any order.
                        let at = which % hand.len();
                        let (first, count) = if which.is_multiple_of(7) { hand[at] } else { hand.swap_remove(at) };
                        done.push(Report { first, count, micros: which as u64 % 9000, failed: 0, body: vec![].into() });
                    }
                }
                let (session, map) = (self.session, MapId(map));
                self.engine(engine, FromEngine::MapReady { session, map, reports: done });
            }
            Step::Together { engines, again } => {
                let again = again && self.calls.len() >= engines.len();
                let first = self.calls.len() - if again { engines.len() } else { 0 };
                if !again {
                    self.calls.extend(engines.iter().map(|engine| (*engine, 0)));
                }
                let run = run_spec(None);
                let spec =
                    TaskSpec { run, args: vec![], after: vec![], on: None, gpu: false, retries: 1, timeout_ms: 0 };
                let engines = engines.into_iter().map(EngineId).collect();
                let (session, first) = (self.session, TaskId(first as u64));
                self.client(FromClient::SubmitTogether { session, first, spec, engines });
            }
            Step::OfCall { engine, task, kind } => {
                let (session, run) = (self.session, RunId::of_task(TaskId(task), 0));
                let end = |outcome| RunEvent::Done { outcome, generation: kind.into(), took: Default::default() };
                let message = match kind {
                    0 => FromEngine::Joined { session, run },
                    1 => FromEngine::Result { session, run, value: Default::default() },
                    2 => FromEngine::Run { session, run, event: RunEvent::Started(Err(NoSnapshot::Off)) },
                    3 => FromEngine::Run { session, run, event: end(Outcome::died(Death::Signal(9))) },
                    4 => FromEngine::Run { session, run, event: end(Outcome::Cancelled) },
                    _ => FromEngine::Run { session, run, event: end(Outcome::Ok) },
                };
                self.engine(engine, message);
            }
            Step::Cancel { task } => {
                self.client(FromClient::CancelTask { session: self.session, task: TaskId(task) });
            }
            Step::Run { targets, map } => {
                let run = RunId(self.submitted.len() as u64);
                let spec = run_spec(map.map(MapId));
                let targets: Vec<Target> = targets
                    .into_iter()
                    .map(|(engine, generation)| Target { engine: EngineId(engine), generation })
                    .collect();
                self.owed.extend(targets.iter().map(|target| ((run, target.engine), 1)));
                self.submitted.push((spec.clone(), targets.clone()));
                self.client(FromClient::Run { session: self.session, run, spec, targets });
            }
            Step::Resend => {
                if let Some((spec, targets)) = self.submitted.last().cloned() {
                    let (session, run) = (self.session, RunId(self.submitted.len() as u64 - 1));
                    self.client(FromClient::Run { session, run, spec, targets });
                }
            }
            Step::Interrupt { engine } => {
                let targets = vec![EngineId(engine), EngineId(engine)];
                self.client(FromClient::Interrupt { session: self.session, targets, signal: 2 });
            }
            Step::Ack { engine, bytes } => {
                self.client(FromClient::Ack { session: self.session, engine: EngineId(engine), bytes });
            }
            Step::Confirm => {
                self.read(0);
                self.client(FromClient::Received { session: self.session, count: self.received });
            }
            Step::Reconnect { loses } => {
                self.read(loses);
                self.handle(Input::ClientDisconnected(self.client.clone()));
                self.connect();
                self.client(FromClient::Resume { session: self.session, received: self.received });
            }
            Step::Ping => self.client(FromClient::Ping),
            Step::Wait { millis } => {
                self.now += Duration::from_millis(millis);
                self.handle(Input::Tick);
                self.client(FromClient::Ping);
            }
            Step::Steer(order) => self.client(FromClient::Steer { ticket: 0, order }),
            Step::Rubbish => self.handle(Input::Malformed),
            Step::Restart { back } => self.killed = Some(back),
        }
    }

    /// What the log comes to, beside what the core has.
    fn check_log(&mut self) {
        self.core.log.take_new(self.now);
        let mut told = LogState::default();
        self.core.log.follow(PeerId(Bytes::from_static(b"reader")), 1).iter().for_each(|entry| told.apply(entry));
        let queue = |engine: &Engine| engine.runs.iter().map(|run| (run.run.0, run.started)).collect::<Vec<_>>();
        // What won't come back may still have a process that is on its way out.
        let there = self.core.engines.iter().filter(|(_, it)| !it.is_given_up);
        let is: Vec<_> =
            there.map(|(id, it)| (*id, it.draining, [it.runs_done, it.runs_failed, it.restarts], queue(it))).collect();
        let queue =
            |engine: &LogEngine| engine.runs.iter().map(|run| (run.run, run.started.is_some())).collect::<Vec<_>>();
        let said: Vec<_> = told
            .engines
            .iter()
            .map(|(id, it)| (*id, it.draining, [it.done, it.failed, it.restarts], queue(it)))
            .collect();
        assert_eq!(said, is);
        assert_eq!(told.sessions.len(), self.core.sessions.len());
        let maps: Vec<u64> = self.core.sessions.values().flat_map(|it| it.maps.keys()).map(|map| map.0).collect();
        assert_eq!(told.maps.keys().map(|(_, map)| *map).collect::<Vec<_>>(), maps);
    }
}

fn run_spec(map: Option<MapId>) -> RunSpec {
    RunSpec {
        preload: vec![],
        object: BlobId::of(b""),
        entry: "".into(),
        argument: Bytes::new(),
        together: map.is_none().then(Bytes::new),
        map,
        label: String::new(),
        snapshots: SnapshotPolicy::Off,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn each_run_ends_once_and_nothing_is_left(steps in proptest::collection::vec(step(), 0..120)) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
            world.check_log();
        }
        // Everybody dies; what was started again in the meantime dies too.
        for _ in 0..10 {
            (0..ENGINES + 3).for_each(|engine| world.exit(engine));
            world.take(Step::Wait { millis: 500 });
        }
        (0..20).for_each(|_| world.take(Step::Wait { millis: 500 }));
        world.read(0);
        let open: Vec<_> = world.owed.iter().filter(|(_, owed)| **owed != 0).collect();
        prop_assert!(open.is_empty(), "runs without an end: {open:?}");
        // Calls wait as long as their engine may still be on its way.
        let is_over = |engine: &u32| !world.core.engines.contains_key(&EngineId(*engine));
        let waiting: Vec<_> = world.calls.iter().filter(|(_, ends)| *ends == 0).collect();
        prop_assert!(!waiting.iter().any(|(engine, _)| is_over(engine)), "calls without an end: {waiting:?}");
        prop_assert!(world.core.engines.values().all(|engine| engine.runs.is_empty()));
        let groups = world.core.sessions.values().map(|session| session.groups.len()).sum::<usize>();
        prop_assert!(groups <= waiting.len(), "{groups} groups are left, and {} calls wait", waiting.len());
        let maps = &world.core.sessions[&world.session].maps;
        prop_assert!(maps.values().all(|map| map.engines().is_empty()), "{maps:?}");

        world.client(FromClient::Received { session: world.session, count: world.received });
        prop_assert_eq!(world.core.sessions[&world.session].kept(), 0);
        world.client(FromClient::Goodbye);
        prop_assert!(world.core.sessions.is_empty() && world.core.clients.is_empty());
        prop_assert!(world.core.engine_peers.is_empty(), "{:?}", world.core.engine_peers);

        world.handle(Input::Shutdown);
        (0..10).for_each(|_| world.take(Step::Wait { millis: 500 }));
        prop_assert!(world.stopped);
    }
}
