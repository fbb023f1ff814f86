//! A controller that is killed and started again.

use super::*;
use chorus_protocol::{MapId, MapSpec, Piece, Report, TaskId, TaskSpec};

impl Cluster {
    /// The controller is killed after what it has handled so far, and another one reads what it has written.
    fn restart(&mut self) {
        let written = postcard::to_stdvec(&self.core).unwrap();
        self.core = postcard::from_bytes(&written).unwrap();
        self.actions.clear();
        self.core.resume(2, 0, false, &mut self.actions);
    }

    /// Engine `was` comes back over a connection `name`, and has `received` messages.
    fn come_back(&mut self, was: &str, name: &str, received: u64) {
        let (version, info) = (chorus_protocol::VERSION, info());
        let standing = Standing { life: life(was), returns: true, received };
        self.engine(name, FromEngine::Register { version, id: None, info, shares_files: true, standing });
    }

    fn numbered(&self, name: &str) -> Vec<&ToEngine> {
        self.to_engine(name).into_iter().filter(|message| message.is_numbered()).collect()
    }
}

#[test]
fn a_run_goes_on_and_what_was_lost_on_the_way_is_sent_again() {
    let mut cluster = Cluster::ready(1);
    cluster.run(1, &[(0, Some(0))]);
    cluster.event("e0", 1, RunEvent::Started(Err(NoSnapshot::Off)));
    // The controller has taken note of this, and is killed before it sends it.
    cluster.run(2, &[(0, Some(0))]);
    cluster.restart();
    assert_eq!((cluster.core.awaited(), cluster.spawned()), (1, 0));
    cluster.client("d", hello());
    cluster.client("d", FromClient::Resume { session: SESSION, received: 0 });
    let started = cluster.to_client("d").into_iter().filter(|it| matches!(it, ToClient::Run { .. })).count();
    assert_eq!(started, 1, "what the client didn't confirm");

    // The engine has the session's opening and the first run.
    cluster.come_back("e0", "f0", 2);
    assert!(matches!(
        cluster.to_engine("f0")[..],
        [ToEngine::Registered { id: EngineId(0), received: 1, .. }, ToEngine::Run { run: RunId(2), .. }]
    ));
    assert!(cluster.actions.iter().any(|action| matches!(action, Action::AdoptEngine(0, EngineId(0), _))));
    cluster.event("f0", 1, done(Outcome::Ok, 0));
    cluster.event("f0", 2, done(Outcome::Ok, 0));
    let told = cluster.to_client("d");
    assert!(matches!(told[..], [.., ToClient::Run { run: RunId(1), .. }, ToClient::Run { run: RunId(2), .. }]));
    assert!(cluster.downs().is_empty());
}

#[test]
fn an_engine_that_does_not_come_back_is_replaced() {
    let mut cluster = Cluster::ready(2);
    cluster.run(1, &[(0, None), (1, None)]);
    cluster.restart();
    cluster.client("c", hello());
    cluster.client("c", FromClient::Resume { session: SESSION, received: 0 });
    cluster.come_back("e1", "f1", 1);
    cluster.pass(SECOND * 9, &["f1"], &["c"]);
    assert_eq!((cluster.ends(), cluster.spawned()), (vec![], 0));
    cluster.pass(SECOND * 2, &["f1"], &["c"]);
    assert!(matches!(cluster.ends()[..], [(1, 0, Outcome::Died(Death::EngineLost, _), 1)]), "{:?}", cluster.ends());
    assert_eq!(cluster.spawned(), 1);
    let told: Vec<(u32, String)> = cluster.downs().iter().map(|(id, why, _)| (*id, (*why).to_owned())).collect();
    assert_eq!(told, [(0, "engine 0 didn't come back to its controller, which was started again".to_owned())]);
    // It was only late, and finds another in its place.
    cluster.come_back("e0", "f0", 1);
    assert!(matches!(cluster.to_engine("f0")[..], [ToEngine::Refused(why)] if why.contains("given this engine up")));
}

#[test]
fn a_map_hands_out_nothing_twice() {
    let mut cluster = Cluster::ready(2);
    let (session, map) = (SESSION, MapId(0));
    let spec = MapSpec { items: Some(4), chunk: Some(1), retries: 1, goes_on: false };
    cluster.client("c", FromClient::OpenMap { session, map, spec });
    let spec = RunSpec { map: Some(map), together: None, ..super::spec(0) };
    let targets = [0, 1].map(|id| Target { engine: EngineId(id), generation: None }).to_vec();
    cluster.client("c", FromClient::Run { session, run: RunId(0), spec, targets });
    cluster.engine("e0", FromEngine::MapReady { session, map, reports: vec![] });
    // Both the report and what the engine is given for it are on their way when the controller is killed.
    let report = |first| Report { first, count: 1, micros: 1, failed: 0, body: Bytes::new() };
    cluster.engine("e0", FromEngine::MapReady { session, map, reports: vec![report(0)] });
    cluster.restart();
    cluster.come_back("e0", "f0", 2);
    cluster.come_back("e1", "f1", 2);
    cluster.engine("f1", FromEngine::MapReady { session, map, reports: vec![] });
    let mut given: Vec<u64> = Vec::new();
    for name in ["f0", "f1"] {
        for message in cluster.numbered(name) {
            if let ToEngine::MapWork { pieces, .. } = message {
                given.extend(pieces.iter().flat_map(|&Piece { first, count, .. }| first..first + count));
            }
        }
    }
    given.sort_unstable();
    assert_eq!(given, [0, 1, 2, 3], "the first ones again, as far as the engine lacks the message");
}

#[test]
fn a_task_runs_once() {
    let mut cluster = Cluster::ready(1);
    let (session, task) = (SESSION, TaskId(0));
    let spec =
        TaskSpec { run: super::spec(0), args: vec![], after: vec![], on: None, gpu: false, retries: 0, timeout_ms: 0 };
    cluster.client("c", FromClient::SubmitTask { session, task, spec: spec.clone() });
    cluster.restart();
    cluster.client("c", hello());
    cluster.client("c", FromClient::Resume { session, received: 0 });
    // The client doesn't know that it has arrived.
    cluster.client("c", FromClient::SubmitTask { session, task, spec });
    cluster.come_back("e0", "f0", 2);
    assert_eq!(cluster.numbered("f0"), [] as [&ToEngine; 0]);
    let run = RunId::of_task(task, 0);
    cluster.engine("f0", FromEngine::Result { session, run, value: Default::default() });
    cluster.event("f0", run.0, done(Outcome::Ok, 0));
    let told = cluster.to_client("c");
    assert!(matches!(told[..], [.., ToClient::Task { event: chorus_protocol::TaskEvent::Done(..), .. }]), "{told:?}");
}

#[test]
fn a_session_whose_client_does_not_come_back_is_closed() {
    let mut cluster = Cluster::ready(1);
    cluster.restart();
    cluster.come_back("e0", "f0", 1);
    cluster.pass(SECOND * 9, &["f0"], &[]);
    assert_eq!(cluster.numbered("f0"), [] as [&ToEngine; 0]);
    cluster.pass(SECOND * 2, &["f0"], &[]);
    assert_eq!(cluster.numbered("f0"), [&ToEngine::CloseSession(SESSION)]);
}

#[test]
fn an_engine_whose_connection_breaks_goes_on_over_the_next() {
    let mut cluster = Cluster::ready(1);
    cluster.run(1, &[(0, None)]);
    cluster.handle(Input::EngineDisconnected(peer("e0")));
    cluster.come_back("e0", "f0", 1);
    assert!(matches!(cluster.numbered("f0")[..], [ToEngine::Run { run: RunId(1), .. }]));
    cluster.pass(SECOND * 2, &["f0"], &["c"]);
    assert!(cluster.downs().is_empty() && cluster.ends().is_empty());
}

#[test]
fn a_client_is_told_what_it_need_not_say_again() {
    let mut cluster = Cluster::ready(1);
    let hello = FromClient::Hello { version: chorus_protocol::VERSION, info: who(), life: 99 };
    let welcomed = |cluster: &Cluster, name: &str| match cluster.to_client(name)[..] {
        [ToClient::Welcome { received, .. }] => *received,
        ref other => panic!("{other:?}"),
    };
    cluster.client("a", hello.clone());
    assert_eq!(welcomed(&cluster, "a"), 0);
    cluster.client("a", FromClient::OpenSession(SessionId(9)));
    cluster.client("a", FromClient::RestartSession { session: SessionId(9), targets: vec![EngineId(0)] });
    cluster.client("a", FromClient::Ping);
    cluster.restart();
    cluster.client("b", hello.clone());
    assert_eq!(welcomed(&cluster, "b"), 2, "restarting twice would cost variables");
    // What comes late over a connection that it has left counts for nothing.
    cluster.client("c", hello);
    cluster.client("b", FromClient::OpenSession(SessionId(10)));
    assert_eq!((welcomed(&cluster, "c"), cluster.core.sessions.len()), (2, 2));
    let count = |cluster: &Cluster| cluster.core.said.len();
    let before = count(&cluster);
    cluster.client("c", FromClient::Goodbye);
    cluster.pass(SECOND * 61, &[], &[]);
    assert!(count(&cluster) < before);
}
