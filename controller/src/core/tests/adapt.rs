//! The number of engines follows the work, and engines leave before they are ended.

use super::*;
use chorus_protocol::{Adapt, MapId, MapSpec, Order, VariableUse, Variables};

impl Cluster {
    fn adapt(&mut self, limits: &str) -> Result<String, String> {
        let limits = Order::Adapt(Some(limits.parse().unwrap()));
        self.core.steer(&who(), limits, &mut self.actions)
    }

    /// Ids of engines that were started since this was last asked, and of those that were let go.
    fn changes(&mut self) -> (Vec<u32>, Vec<(u32, String, bool)>) {
        let (mut started, mut gone) = (Vec::new(), Vec::new());
        for action in std::mem::take(&mut self.actions) {
            match action {
                Action::StartEngines(_, engines) => started.extend(engines.iter().map(|engine| engine.0)),
                Action::ToClients(_, message) => {
                    if let ToClient::EngineDown { engine, reason, quiet, .. } = &*message {
                        gone.push((engine.0, reason.clone(), *quiet));
                    }
                }
                _ => {}
            }
        }
        (started, gone)
    }

    /// A map whose items nobody takes.
    fn wait_for_engines(&mut self, items: u64) {
        let spec = MapSpec { items: Some(items), chunk: Some(1), retries: 0, goes_on: false };
        self.client("c", FromClient::OpenMap { session: SESSION, map: MapId(1), spec });
    }

    fn holds(&mut self, name: &str, variables: &[&str]) {
        let told =
            variables.iter().map(|name| VariableUse { name: (*name).into(), bytes: None, length: None }).collect();
        self.engine(name, FromEngine::Holds { session: SESSION, variables: Variables { told, others: 0 } });
    }
}

#[test]
fn work_that_waits_brings_twice_as_many_engines_each_time() {
    let mut cluster = Cluster::ready(1);
    cluster.adapt("1:6").unwrap();
    cluster.pass(SECOND * 5, &["e0"], &["c"]);
    assert_eq!(cluster.changes(), (vec![], vec![]), "there is nothing to do");
    cluster.run(1, &[(0, None)]);
    cluster.wait_for_engines(100);
    cluster.pass(SECOND, &["e0"], &["c"]);
    assert_eq!(cluster.changes().0, [] as [u32; 0], "it may be over in a moment");
    cluster.pass(SECOND * 2, &["e0"], &["c"]);
    assert_eq!(cluster.changes().0, [1]);
    cluster.pass(SECOND * 9, &["e0"], &["c"]);
    assert_eq!(cluster.changes().0, [] as [u32; 0], "one is about to come");
    cluster.handle(Input::Queue(Some("1 in a queue".into())));
    cluster.pass(SECOND * 3, &["e0"], &["c"]);
    assert_eq!(cluster.changes().0, [2, 3]);
    cluster.pass(SECOND * 20, &["e0"], &["c"]);
    assert_eq!(cluster.changes().0, [4, 5], "and never more than are allowed");
}

#[test]
fn no_more_engines_come_than_there_is_work_for() {
    let mut cluster = Cluster::ready(2);
    cluster.adapt("0:9").unwrap();
    cluster.run(1, &[(0, None), (1, None)]);
    cluster.wait_for_engines(1);
    cluster.pass(SECOND * 3, &["e0", "e1"], &["c"]);
    assert_eq!(cluster.changes().0, [2]);
    // One that is free may take it.
    cluster.join("e2", Some(2));
    cluster.pass(SECOND * 9, &["e0", "e1", "e2"], &["c"]);
    assert_eq!(cluster.changes().0, [] as [u32; 0]);
}

#[test]
fn engines_of_no_use_leave_and_nobody_is_disturbed() {
    let mut cluster = Cluster::ready(4);
    cluster.adapt("1:4").unwrap();
    cluster.holds("e2", &["x"]);
    cluster.run(1, &[(1, None)]);
    let all = ["e0", "e1", "e2", "e3"];
    cluster.pass(SECOND * 29, &all, &["c"]);
    assert_eq!(cluster.changes(), (vec![], vec![]));
    cluster.pass(SECOND * 2, &all, &["c"]);
    let why = "there was nothing for it to do".to_owned();
    assert_eq!(cluster.changes().1, [(3, why.clone(), true), (0, why.clone(), true)], "the others are of use");
    cluster.event("e1", 1, done(Outcome::Ok, 1));
    cluster.holds("e2", &[]);
    cluster.pass(SECOND * 31, &all, &["c"]);
    assert_eq!(cluster.changes().1, [(2, why, true)], "at least one stays");
}

#[test]
fn engines_in_a_queue_are_taken_out_of_it_when_there_is_nothing_to_do() {
    let mut cluster = Cluster::ready(1);
    cluster.run(1, &[(0, None)]);
    cluster.adapt("3:4").unwrap();
    assert_eq!(cluster.changes().0, [1, 2]);
    cluster.adapt("0:4").unwrap();
    cluster.pass(SECOND * 31, &["e0"], &["c"]);
    let gone: Vec<u32> = cluster.changes().1.iter().map(|gone| gone.0).collect();
    assert_eq!(gone, [2, 1]);
}

#[test]
fn limits_that_make_no_sense_are_refused() {
    let mut cluster = Cluster::ready(1);
    let limits = Order::Adapt(Some(Adapt { least: 3, most: 2, idle: 30 }));
    let refused = cluster.core.steer(&who(), limits, &mut cluster.actions).unwrap_err();
    assert_eq!(refused, "`3:2` is no range of numbers: write the smaller one first, such as 0:8");
    cluster.core.config.launches = false;
    assert_eq!(cluster.adapt("0:2").unwrap_err(), "this cluster has no way to start engines");
}

#[test]
fn an_engine_leaves_before_it_is_ended_and_another_one_comes() {
    let mut cluster = Cluster::ready(1);
    cluster.core.scale(2, &mut cluster.actions).unwrap();
    let info = EngineInfo { ends_in: Some(1_000), ..info() };
    let standing = Standing { life: life("e1"), ..Standing::default() };
    let (version, id) = (chorus_protocol::VERSION, Some(EngineId(1)));
    cluster.engine("e1", FromEngine::Register { version, id, info, shares_files: true, standing });
    cluster.changes();
    cluster.run(1, &[(1, None)]);
    cluster.pass(SECOND * 939, &["e0", "e1"], &["c"]);
    assert_eq!(cluster.changes(), (vec![], vec![]));
    cluster.pass(SECOND * 2, &["e0", "e1"], &["c"]);
    let why = "its time on its host is nearly over".to_owned();
    assert_eq!(cluster.changes(), (vec![2], vec![(1, why, false)]));
    // What it has ends, and then it leaves.
    assert!(!cluster.to_engine("e1").contains(&&ToEngine::Shutdown));
    cluster.event("e1", 1, done(Outcome::Ok, 1));
    cluster.pass(SECOND, &["e0", "e1"], &["c"]);
    assert!(cluster.to_engine("e1").contains(&&ToEngine::Shutdown));
}

#[test]
fn engines_stay_while_something_is_prepared_for_them() {
    let mut cluster = Cluster::ready(2);
    cluster.adapt("0:2:5").unwrap();
    let prepare = |begins| FromClient::Prepare { session: SESSION, begins };
    cluster.client("c", prepare(true));
    cluster.client("c", prepare(true));
    cluster.client("c", prepare(false));
    cluster.pass(SECOND * 20, &["e0", "e1"], &["c"]);
    assert_eq!(cluster.changes(), (vec![], vec![]));
    cluster.client("c", prepare(false));
    cluster.pass(SECOND * 6, &["e0", "e1"], &["c"]);
    assert_eq!(cluster.changes().1.len(), 2);
}

#[test]
fn what_a_closed_session_held_keeps_no_engine_and_one_that_comes_anew_has_all_its_time() {
    let mut cluster = Cluster::ready(2);
    cluster.adapt("1:2:5").unwrap();
    for name in ["e0", "e1"] {
        cluster.holds(name, &["x"]);
    }
    cluster.pass(SECOND * 9, &["e0", "e1"], &["c"]);
    assert_eq!(cluster.changes(), (vec![], vec![]));
    cluster.client("c", FromClient::CloseSession(SESSION));
    cluster.pass(SECOND * 6, &["e0", "e1"], &["c"]);
    assert_eq!(cluster.changes().1.len(), 1);

    let mut cluster = Cluster::ready(1);
    cluster.core.engines.get_mut(&EngineId(0)).unwrap().ends = Some((Duration::ZERO, SECOND * 20));
    cluster.handle(Input::EngineExited(EngineId(0), Exit::Signal(9)));
    cluster.handle(Input::EngineDisconnected(peer("e0")));
    cluster.pass(SECOND * 20, &[], &["c"]);
    assert_eq!(cluster.changes().0, [0], "it waits for its turn, and isn't replaced by another one");
}
