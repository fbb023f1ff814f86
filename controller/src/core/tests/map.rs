//! Maps, from the messages of clients and engines to those that they get.

use super::*;
use chorus_protocol::{MapEvent, MapId, MapSpec, Order, Piece, Report};

const MAP: MapId = MapId(3);

impl Cluster {
    /// `engines` engines at a map of `items` items in chunks of one.
    fn mapping(engines: u32, items: u64) -> Cluster {
        let mut cluster = Cluster::ready(engines);
        cluster.open_map(MAP, Some(items));
        cluster.run_map(1, engines);
        cluster.actions.clear();
        cluster
    }

    fn open_map(&mut self, map: MapId, items: Option<u64>) {
        let spec = MapSpec { items, chunk: Some(1), retries: 1, goes_on: false };
        self.client("c", FromClient::OpenMap { session: SESSION, map, spec });
    }

    fn run_map(&mut self, run: u64, engines: u32) {
        let targets = (0..engines).map(|id| Target { engine: EngineId(id), generation: None }).collect();
        self.client(
            "c",
            FromClient::Run {
                session: SESSION,
                run: RunId(run),
                spec: RunSpec { map: Some(MAP), together: None, ..spec(run) },
                targets,
            },
        );
    }

    fn ready_for(&mut self, name: &str, reports: Vec<Report>) {
        self.engine(name, FromEngine::MapReady { session: SESSION, map: MAP, reports });
    }

    /// First items and counts that an engine was given.
    fn work(&self, name: &str) -> Vec<(u64, u64)> {
        let pieces = self.to_engine(name).into_iter().filter_map(|message| match message {
            ToEngine::MapWork { session: SESSION, map: MAP, pieces } => Some(pieces),
            _ => None,
        });
        pieces.flatten().map(|&Piece { first, count, .. }| (first, count)).collect()
    }

    /// How often an engine was told that the map is over.
    fn map_ends(&self, name: &str) -> usize {
        self.to_engine(name).into_iter().filter(|it| matches!(it, ToEngine::MapEnd { map: MAP, .. })).count()
    }

    fn map_events(&self) -> Vec<(Option<u32>, MapEvent)> {
        let events = self.to_client("c").into_iter().filter_map(|message| match message {
            ToClient::Map { session: SESSION, map: MAP, engine, event } => Some((engine.map(|id| id.0), event.clone())),
            _ => None,
        });
        events.collect()
    }
}

fn report(first: u64, count: u64) -> Report {
    Report { first, count, micros: 50_000, failed: 0, body: vec![1, 2].into() }
}

#[test]
fn items_go_out_and_reports_come_back_until_all_is_over() {
    let mut cluster = Cluster::mapping(2, 5);
    cluster.ready_for("e0", vec![]);
    cluster.ready_for("e1", vec![]);
    assert_eq!((cluster.work("e0"), cluster.work("e1")), (vec![(0, 2)], vec![(2, 1)]));
    cluster.actions.clear();
    cluster.ready_for("e1", vec![report(2, 1), report(0, 1)]);
    assert_eq!(cluster.map_events(), [(Some(1), MapEvent::Done(vec![report(2, 1)]))], "not its own");
    assert_eq!(cluster.work("e1"), [(3, 1)]);
    cluster.ready_for("e1", vec![report(3, 1)]);
    cluster.ready_for("e1", vec![report(4, 1)]);
    assert_eq!((cluster.map_ends("e0"), cluster.map_ends("e1")), (0, 0));
    cluster.actions.clear();
    cluster.ready_for("e0", vec![report(0, 1), report(1, 1)]);
    let done = MapEvent::Done(vec![report(0, 1), report(1, 1)]);
    assert_eq!(cluster.map_events(), [(Some(0), done), (None, MapEvent::Over)]);
    assert_eq!((cluster.map_ends("e0"), cluster.map_ends("e1")), (1, 1));
    // Who asks now learns that it is over, and what it reports is nobody's news.
    cluster.actions.clear();
    cluster.ready_for("e0", vec![report(0, 1)]);
    assert_eq!((cluster.map_ends("e0"), cluster.map_events()), (1, vec![]));
    assert!(cluster.core.sessions[&SESSION].maps.is_empty());
}

#[test]
fn a_map_that_is_opened_twice_is_one() {
    let mut cluster = Cluster::mapping(1, 2);
    cluster.ready_for("e0", vec![]);
    cluster.ready_for("e0", vec![report(0, 1)]);
    cluster.open_map(MAP, Some(2));
    cluster.ready_for("e0", vec![report(1, 1)]);
    assert_eq!(cluster.map_events().last(), Some(&(None, MapEvent::Over)));
    cluster.actions.clear();
    cluster.open_map(MAP, Some(2));
    assert!(cluster.core.sessions[&SESSION].maps.is_empty());
    assert!(cluster.actions.is_empty());
}

#[test]
fn a_map_of_nothing_is_over_at_once() {
    let mut cluster = Cluster::mapping(1, 0);
    assert_eq!(cluster.core.sessions[&SESSION].maps.len(), 0);
    cluster.ready_for("e0", vec![]);
    assert_eq!(cluster.map_ends("e0"), 1);
}

#[test]
fn runs_may_come_before_their_map() {
    let mut cluster = Cluster::ready(1);
    cluster.run_map(1, 1);
    cluster.open_map(MAP, Some(2));
    cluster.ready_for("e0", vec![]);
    assert_eq!(cluster.work("e0"), [(0, 2)]);
}

#[test]
fn maps_belong_to_the_client_of_their_session() {
    let mut cluster = Cluster::mapping(1, 2);
    cluster.client("d", hello());
    cluster.actions.clear();
    cluster.client("d", FromClient::CloseMap { session: SESSION, map: MAP });
    assert!(cluster.actions.is_empty());
    let (map, items) = (MapId(9), Some(1));
    let spec = MapSpec { items, chunk: None, retries: 0, goes_on: false };
    cluster.client("d", FromClient::OpenMap { session: SESSION, map, spec });
    assert_eq!(cluster.to_client("d"), [&ToClient::SessionGone(SESSION)]);

    cluster.client("c", FromClient::CloseMap { session: SESSION, map: MAP });
    assert_eq!((cluster.map_ends("e0"), cluster.map_events()), (1, vec![]));
}

#[test]
fn runs_of_a_map_that_rests_end_and_new_ones_go_on() {
    let mut cluster = Cluster::mapping(2, 9);
    let rest = |rests| FromClient::RestMap { session: SESSION, map: MAP, rests };
    cluster.ready_for("e0", vec![]);
    cluster.client("d", hello());
    cluster.client("d", rest(true));
    assert_eq!(cluster.map_ends("e0"), 0, "the map isn't that client's");
    cluster.client("c", rest(true));
    cluster.ready_for("e1", vec![]);
    assert_eq!((cluster.map_ends("e0"), cluster.map_ends("e1")), (1, 1));
    cluster.ready_for("e0", vec![report(0, 1)]);
    cluster.actions.clear();
    for name in ["e0", "e1"] {
        cluster.event(name, 1, done(Outcome::Ok, 0));
    }
    cluster.client("c", rest(false));
    cluster.run_map(2, 2);
    cluster.ready_for("e1", vec![]);
    cluster.ready_for("e0", vec![]);
    assert_eq!((cluster.work("e1"), cluster.work("e0")), (vec![(1, 1), (2, 1)], vec![(3, 2)]));
}

#[test]
fn only_runs_that_serve_a_map_get_items() {
    let mut cluster = Cluster::ready(1);
    cluster.open_map(MAP, Some(2));
    cluster.run(1, &[(0, None)]);
    cluster.actions.clear();
    cluster.ready_for("e0", vec![]);
    assert!(cluster.actions.is_empty());
}

#[test]
fn others_do_what_a_dead_worker_had() {
    let mut cluster = Cluster::mapping(2, 3);
    cluster.ready_for("e0", vec![]);
    cluster.ready_for("e1", vec![]);
    cluster.ready_for("e1", vec![report(1, 1)]);
    cluster.ready_for("e1", vec![report(2, 1)]);
    cluster.actions.clear();
    cluster.event("e0", 1, done(Outcome::died(Death::Signal(11)), 1));
    assert_eq!(cluster.work("e1"), [(0, 1)]);
    // It dies there, too.
    cluster.run_map(2, 1);
    cluster.event("e1", 1, done(Outcome::died(Death::Signal(11)), 1));
    assert_eq!(
        cluster.map_events(),
        [(Some(1), MapEvent::GivenUp { first: 0, count: 1, death: Death::Signal(11) }), (None, MapEvent::Over)]
    );
    assert_eq!((cluster.map_ends("e0"), cluster.map_ends("e1")), (1, 0));
}

#[test]
fn others_do_what_a_lost_engine_had() {
    let mut cluster = Cluster::mapping(2, 2);
    cluster.ready_for("e0", vec![]);
    cluster.ready_for("e1", vec![]);
    cluster.ready_for("e1", vec![report(1, 1)]);
    cluster.actions.clear();
    cluster.handle(Input::EngineDisconnected(peer("e0")));
    assert_eq!(cluster.work("e1"), []);
    cluster.handle(Input::EngineExited(EngineId(0), Exit::Signal(9)));
    assert_eq!(cluster.work("e1"), [(0, 1)]);
}

#[test]
fn others_do_what_an_idle_worker_had() {
    let mut cluster = Cluster::mapping(2, 2);
    cluster.ready_for("e0", vec![]);
    cluster.ready_for("e1", vec![]);
    cluster.ready_for("e1", vec![report(1, 1)]);
    cluster.actions.clear();
    let (death, aftermath) = (Death::Signal(9), chorus_protocol::Aftermath::Lost(NoSnapshot::Off));
    cluster.engine("e0", FromEngine::WorkerLost { session: SESSION, death, aftermath, generation: 1 });
    assert_eq!(cluster.work("e1"), [(0, 1)]);
}

#[test]
fn an_engine_that_is_going_is_given_nothing() {
    let mut cluster = Cluster::mapping(3, 4);
    for name in ["e0", "e1", "e2"] {
        cluster.ready_for(name, vec![]);
    }
    cluster.ready_for("e0", vec![report(0, 1)]);
    cluster.ready_for("e0", vec![report(3, 1)]);
    cluster.actions.clear();
    // Its process is gone, and its last words are read.
    cluster.handle(Input::EngineExited(EngineId(0), Exit::Signal(9)));
    cluster.ready_for("e0", vec![]);
    cluster.event("e1", 1, done(Outcome::Panicked, 1));
    cluster.ready_for("e2", vec![report(2, 1)]);
    assert_eq!((cluster.work("e0"), cluster.work("e2")), (vec![], vec![(1, 1)]));
}

#[test]
fn the_next_run_on_an_engine_goes_on() {
    let mut cluster = Cluster::mapping(1, 3);
    cluster.run_map(2, 1);
    cluster.ready_for("e0", vec![]);
    cluster.event("e0", 1, done(Outcome::died(Death::Stopped), 1));
    cluster.actions.clear();
    cluster.ready_for("e0", vec![]);
    assert_eq!(cluster.work("e0"), [(0, 2)]);
}

#[test]
fn maps_wait_while_the_client_lags() {
    let mut cluster = Cluster::mapping(1, 100);
    let large = |first| Report { body: vec![0; 33 << 20].into(), ..report(first, 1) };
    cluster.ready_for("e0", vec![]);
    cluster.ready_for("e0", vec![large(0)]);
    assert_eq!(cluster.work("e0"), [(0, 2), (2, 1)]);
    cluster.actions.clear();
    cluster.ready_for("e0", vec![large(1)]);
    cluster.ready_for("e0", vec![report(2, 1)]);
    assert_eq!(cluster.work("e0"), []);
    cluster.client("c", FromClient::Received { session: SESSION, count: 1 });
    assert_eq!(cluster.work("e0"), [(3, 2)]);
    // So it is when what it has taken is told by a new connection.
    cluster.ready_for("e0", vec![large(3)]);
    cluster.ready_for("e0", vec![large(4)]);
    cluster.client("c2", hello());
    cluster.actions.clear();
    cluster.client("c2", FromClient::Resume { session: SESSION, received: 5 });
    assert_eq!(cluster.work("e0"), [(5, 2)]);
}

#[test]
fn a_closed_session_forgets_its_maps() {
    let mut cluster = Cluster::mapping(1, 100);
    cluster.ready_for("e0", vec![]);
    cluster.client("c", FromClient::CloseSession(SESSION));
    cluster.actions.clear();
    cluster.ready_for("e0", vec![report(0, 1)]);
    assert!(cluster.actions.is_empty());
}

fn drain(cluster: &mut Cluster, engine: u32) {
    let order = Order::Drain { engines: vec![EngineId(engine)] };
    cluster.client("c", FromClient::Steer { ticket: 1, order });
}

#[test]
fn a_drained_engine_ends_its_run_when_it_asks_for_more() {
    let mut cluster = Cluster::mapping(2, 9);
    // Its run may be queued when it is told at once, which it forgets then.
    drain(&mut cluster, 1);
    cluster.actions.clear();
    cluster.ready_for("e1", vec![]);
    assert_eq!((cluster.work("e1"), cluster.map_ends("e1")), (vec![], 1));
    cluster.event("e1", 1, RunEvent::Done { outcome: Outcome::Ok, generation: 0, took: Default::default() });
    assert_eq!(cluster.ends(), [(1, 1, Outcome::NoSuchEngine, 0)], "to its client it was gone before");
    assert!(cluster.to_engine("e1").contains(&&ToEngine::Shutdown));
}

#[test]
fn a_drained_engine_finishes_a_map_over_its_own_items() {
    let mut cluster = Cluster::ready(1);
    cluster.open_map(MAP, None);
    cluster.run_map(1, 1);
    drain(&mut cluster, 0);
    assert_eq!(cluster.map_ends("e0"), 0);
    cluster.ready_for("e0", vec![report(0, 4)]);
    assert_eq!(cluster.map_ends("e0"), 1);
    cluster.event("e0", 1, RunEvent::Done { outcome: Outcome::Ok, generation: 0, took: Default::default() });
    assert_eq!(cluster.ends(), [(1, 0, Outcome::Ok, 0)]);
}

#[test]
fn a_drained_engine_leaves_also_when_its_session_was_closed() {
    let mut cluster = Cluster::ready(1);
    cluster.run(1, &[(0, None)]);
    drain(&mut cluster, 0);
    assert!(!cluster.to_engine("e0").contains(&&ToEngine::Shutdown));
    cluster.client("c", FromClient::CloseSession(SESSION));
    cluster.pass(SECOND / 2, &["e0"], &["c"]);
    assert!(cluster.to_engine("e0").contains(&&ToEngine::Shutdown));
}

#[test]
fn what_is_not_there_is_not_cancelled() {
    let mut cluster = Cluster::ready(1);
    cluster.open_map(MAP, Some(5));
    for order in [Order::CancelTask { session: 1, task: 5 }, Order::CancelMap { session: 1, map: MAP.0 }] {
        cluster.client("c", FromClient::Steer { ticket: 7, order });
    }
    let answers =
        cluster.to_client("c").into_iter().filter(|it| matches!(it, ToClient::Steered { result: Err(_), .. }));
    assert_eq!(answers.count(), 2);
}

#[test]
fn a_reader_that_asks_again_gets_nothing_twice() {
    let mut cluster = Cluster::ready(1);
    cluster.client("c", FromClient::FollowLog(1));
    cluster.run(1, &[(0, None)]);
    cluster.client("c", FromClient::FollowLog(1));
    let batches: Vec<Vec<u64>> = cluster
        .to_client("c")
        .into_iter()
        .filter_map(|message| match message {
            ToClient::Log { entries, .. } => Some(entries.iter().map(|entry| entry.number).collect()),
            _ => None,
        })
        .collect();
    assert_eq!(batches.len(), 2, "each answer once, and no news between: {batches:?}");
    assert!(batches[1].is_sorted() && batches[1].len() > batches[0].len());
}
