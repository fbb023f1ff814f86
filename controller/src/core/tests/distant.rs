//! Engines of other hosts, whose connections may break though both ends live.

use super::*;

const LEASE: u32 = 60;

impl Cluster {
    /// One engine of this host and one of another, which has joined as `e1`.
    fn with_a_distant_one() -> Cluster {
        let mut cluster = Cluster::new(2);
        cluster.join("e0", Some(0));
        let standing = Standing { life: life("e1"), ..Standing::default() };
        cluster.register("e1", Some(1), standing);
        cluster.client("c", hello());
        cluster.client("c", FromClient::OpenSession(SESSION));
        cluster.actions.clear();
        cluster
    }

    fn register(&mut self, name: &str, id: Option<u32>, standing: Standing) {
        let info = EngineInfo { host: "there".into(), lease: Some(LEASE), ..info() };
        let (version, id) = (chorus_protocol::VERSION, id.map(EngineId));
        self.engine(name, FromEngine::Register { version, id, info, shares_files: false, standing });
    }
}

#[test]
fn a_connection_that_breaks_costs_nothing_but_time() {
    let mut cluster = Cluster::with_a_distant_one();
    cluster.run(1, &[(1, Some(0))]);
    cluster.handle(Input::EngineDisconnected(peer("e1")));
    // What is sent meanwhile waits.
    cluster.run(2, &[(1, Some(0))]);
    cluster.pass(SECOND * (LEASE - 2), &["e0"], &["c"]);
    assert!(cluster.downs().is_empty() && cluster.ends().is_empty(), "{:?}", cluster.downs());
    assert!(cluster.status().engines[1].away);
    cluster.actions.clear();
    // It has the session's opening and the first run.
    cluster.register("f1", Some(1), Standing { life: life("e1"), returns: true, received: 2 });
    let sent = cluster.to_engine("f1");
    assert!(matches!(sent[..], [ToEngine::Registered { .. }, ToEngine::Run { run: RunId(2), .. }]), "{sent:?}");
    cluster.event("f1", 1, done(Outcome::Ok, 0));
    cluster.event("f1", 2, done(Outcome::Ok, 0));
    assert_eq!(cluster.ends(), [(1, 1, Outcome::Ok, 0), (2, 1, Outcome::Ok, 0)]);
    assert!(!cluster.status().engines[1].away);
}

#[test]
fn one_that_is_silent_is_awaited_and_one_of_this_host_is_not() {
    let mut cluster = Cluster::with_a_distant_one();
    cluster.pass(SECOND * 7, &[], &["c"]);
    let downs: Vec<u32> = cluster.downs().iter().map(|(engine, ..)| *engine).collect();
    assert_eq!(downs, [0]);
    let left = |action: &Action| matches!(action, Action::DisconnectEngine(it) if *it == peer("e1"));
    assert_eq!(cluster.actions.iter().filter(|action| left(action)).count(), 1);
    // What was still on its way over the old connection counts, and doesn't bring it back.
    cluster.engine("e1", FromEngine::Heartbeat);
    assert!(cluster.status().engines.iter().any(|it| it.id == EngineId(1) && it.away));
}

#[test]
fn a_lease_that_is_over_ends_it_and_it_cannot_come_back() {
    let mut cluster = Cluster::with_a_distant_one();
    cluster.run(1, &[(1, Some(0))]);
    cluster.handle(Input::EngineDisconnected(peer("e1")));
    cluster.pass(SECOND * (LEASE + 1), &["e0"], &["c"]);
    assert!(matches!(cluster.ends()[..], [(1, 1, Outcome::Died(Death::EngineLost, _), 1)]));
    assert_eq!(cluster.downs(), [(1, "engine 1 couldn't be reached for 60 s", true)]);
    cluster.register("f1", Some(1), Standing { life: life("e1"), returns: true, received: 2 });
    assert!(matches!(cluster.to_engine("f1")[..], [ToEngine::Refused(_)]));
}

#[test]
fn one_that_ends_or_leaves_is_not_awaited() {
    let mut cluster = Cluster::with_a_distant_one();
    cluster.handle(Input::EngineDisconnected(peer("e1")));
    cluster.handle(Input::EngineExited(EngineId(1), Exit::Signal(9)));
    cluster.pass(SECOND, &["e0"], &["c"]);
    assert!(matches!(cluster.downs()[..], [(1, why, true)] if why.contains("SIGKILL")), "{:?}", cluster.downs());
    let mut cluster = Cluster::with_a_distant_one();
    cluster.engine("e1", FromEngine::Goodbye);
    cluster.handle(Input::EngineExited(EngineId(1), Exit::Status(0)));
    assert!(matches!(cluster.downs()[..], [(1, why, true)] if why.contains("exited with status 0")));
}
