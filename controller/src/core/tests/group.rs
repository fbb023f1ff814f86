//! The groups of runs.

use super::*;
use chorus_protocol::{Entry, Group, Parting, TaskEvent, TaskFailure, TaskId, TaskSpec};

impl Cluster {
    /// The groups whose folders were removed.
    fn removed(&self) -> Vec<&str> {
        let named = self.actions.iter().filter_map(|action| match action {
            Action::RemoveGroup(name) => Some(name.as_str()),
            _ => None,
        });
        named.collect()
    }

    /// An engine's run uses its group.
    fn joined(&mut self, name: &str, run: RunId) {
        self.engine(name, FromEngine::Joined { session: SESSION, run });
    }

    /// Engines call a function together; the first call has this number.
    fn call(&mut self, first: u64, engines: &[u32]) {
        let run = RunSpec { entry: Entry::Function(8), ..spec(0) };
        let spec = TaskSpec { run, args: vec![], after: vec![], on: None, gpu: false, retries: 1, timeout_ms: 0 };
        let (first, engines) = (TaskId(first), engines.iter().map(|id| EngineId(*id)).collect());
        self.client("c", FromClient::SubmitTogether { session: SESSION, first, spec, engines });
    }

    /// What an engine is to run, in order, with its rank in the run's group.
    fn runs(&self, name: &str) -> Vec<(RunId, Option<u32>)> {
        let runs = self.to_engine(name).into_iter().filter_map(|message| match message {
            ToEngine::Run { run, group, .. } => Some((*run, group.as_ref().map(|group| group.1))),
            _ => None,
        });
        runs.collect()
    }

    fn told(&self, name: &str) -> Vec<(u32, &Parting)> {
        let told = self.to_engine(name).into_iter().filter_map(|message| match message {
            ToEngine::MemberLeft { rank, how, .. } => Some((*rank, how)),
            _ => None,
        });
        told.collect()
    }
}

#[test]
fn a_cells_engines_are_a_group_until_all_have_ended() {
    let mut cluster = Cluster::ready(3);
    cluster.run(4, &[(2, None), (1, None)]);
    let members = vec![EngineId(1), EngineId(2)];
    let group = Group { name: "group-1-4".into(), members };
    let of = |cluster: &Cluster, name: &str| match cluster.to_engine(name)[..] {
        [ToEngine::Run { group, rank, .. }] => (group.as_deref().cloned(), *rank),
        ref other => panic!("{name} got {other:?}"),
    };
    assert_eq!(of(&cluster, "e2"), (Some((group.clone(), 1)), 2), "its rank in the group isn't that in the cluster");
    assert_eq!(of(&cluster, "e1"), (Some((group, 0)), 1));

    cluster.event("e2", 4, done(Outcome::Ok, 0));
    assert_eq!(cluster.told("e1"), [], "nobody waits as far as anybody knows");
    cluster.joined("e1", RunId(4));
    assert_eq!(cluster.told("e1"), [(1, &Parting::Ended)]);
    assert_eq!((cluster.told("e0"), cluster.told("e2")), (vec![], vec![]), "nobody waits there");
    cluster.event("e1", 4, done(Outcome::Panicked, 1));
    assert_eq!((cluster.removed(), cluster.told("e2")), (vec!["group-1-4"], vec![]));
}

#[test]
fn a_group_that_nobody_uses_costs_nothing() {
    let mut cluster = Cluster::ready(2);
    cluster.run(1, &[(0, None), (1, None)]);
    cluster.actions.clear();
    cluster.event("e0", 1, done(Outcome::Ok, 0));
    cluster.event("e1", 1, done(Outcome::Ok, 0));
    assert_eq!((cluster.told("e0"), cluster.told("e1"), cluster.removed()), (vec![], vec![], vec![]));
}

#[test]
fn who_never_runs_the_cell_and_who_dies_in_it_have_left() {
    let mut cluster = Cluster::ready(3);
    cluster.run(1, &[(0, None), (1, None), (2, None), (9, None)]);
    cluster.joined("e2", RunId(1));
    let gone = Parting::from(&Outcome::NoSuchEngine);
    assert_eq!(cluster.told("e0"), [(3, &gone)]);
    cluster.actions.clear();
    cluster.handle(Input::EngineDisconnected(peer("e1")));
    cluster.handle(Input::EngineExited(EngineId(1), Exit::Signal(9)));
    let lost = Parting::from(&Outcome::died(Death::EngineLost));
    assert_eq!((cluster.told("e0"), cluster.told("e2")), (vec![(1, &lost)], vec![(1, &lost)]));
}

#[test]
fn a_closed_session_leaves_no_group() {
    let mut cluster = Cluster::ready(1);
    cluster.run(1, &[(0, None)]);
    cluster.client("c", FromClient::CloseSession(SESSION));
    assert_eq!(cluster.removed(), ["group-1-1"]);
}

#[test]
fn engines_that_call_a_function_together_are_a_group() {
    let mut cluster = Cluster::ready(3);
    cluster.call(0, &[0, 2]);
    let of = |task| RunId::of_task(TaskId(task), 0);
    assert_eq!(
        (cluster.runs("e0"), cluster.runs("e1"), cluster.runs("e2")),
        (vec![(of(0), Some(0))], vec![], vec![(of(1), Some(1))])
    );
    cluster.joined("e2", of(1));
    cluster.event("e0", of(0).0, done(Outcome::Ok, 0));
    assert_eq!(cluster.told("e2"), [(0, &Parting::Panicked)], "what panics is caught, and has no result");
    cluster.engine("e2", FromEngine::Result { session: SESSION, run: of(1), value: Default::default() });
    cluster.event("e2", of(1).0, done(Outcome::Ok, 0));
    assert_eq!(cluster.removed().len(), 1);
    assert!(cluster.core.sessions[&SESSION].groups.is_empty());
}

#[test]
fn engines_do_what_they_do_together_in_the_same_order() {
    let mut cluster = Cluster::ready(2);
    cluster.call(0, &[0, 1]);
    cluster.call(2, &[0, 1]);
    cluster.run(5, &[(0, None), (1, None)]);
    cluster.call(4, &[0, 1]);
    let calls = |engine: u64| [0, 2, 4].map(|first| RunId::of_task(TaskId(first + engine), 0));
    for (engine, name) in ["e0", "e1"].into_iter().enumerate() {
        let [first, second, third] = calls(engine as u64);
        let runs: Vec<RunId> = cluster.runs(name).into_iter().map(|(run, _)| run).collect();
        assert_eq!(runs, [first, second, RunId(5), third], "{name} has done none of them yet");
    }
}

#[test]
fn a_member_that_dies_or_is_not_there_is_not_called_again() {
    let mut cluster = Cluster::ready(2);
    cluster.call(0, &[0, 1, 9]);
    let of = |task| RunId::of_task(TaskId(task), 0);
    cluster.joined("e0", of(0));
    cluster.event("e1", of(1).0, done(Outcome::died(Death::Signal(9)), 1));
    let died = TaskFailure::Died(Death::Signal(9));
    assert_eq!(cluster.told("e0"), [(1, &Parting::from(&died))]);
    cluster.handle(Input::Tick);
    let gone = Parting::from(&TaskFailure::NoSuchEngine(EngineId(9)));
    assert_eq!(cluster.told("e0")[1..], [(2, &gone)]);
    assert_eq!(cluster.runs("e1").len(), 1);
    let failed = |task: u64| {
        cluster.to_client("c").into_iter().any(
            |message| matches!(message, ToClient::Task { task: it, event: TaskEvent::Failed(..), .. } if it.0 == task),
        )
    };
    assert!(failed(1) && failed(2) && !failed(0));
}

#[test]
fn a_run_that_is_not_together_has_no_group() {
    let mut cluster = Cluster::ready(2);
    let spec = RunSpec { entry: Entry::Step { function: 8, changes: true }, together: None, ..spec(1) };
    let targets = [0, 1].map(|id| Target { engine: EngineId(id), generation: None }).to_vec();
    cluster.client("c", FromClient::Run { session: SESSION, run: RunId(1), spec, targets });
    assert!(matches!(cluster.to_engine("e1")[..], [ToEngine::Run { group: None, .. }]));
}

#[test]
fn where_nobody_finds_the_groups_memory_the_controller_marks_who_has_left() {
    let mut cluster = Cluster::ready(1);
    for name in ["e1", "e2"] {
        let (version, standing) = (chorus_protocol::VERSION, Standing { life: life(name), ..Standing::default() });
        cluster.engine(name, FromEngine::Register { version, id: None, info: info(), shares_files: false, standing });
    }
    cluster.run(1, &[(0, None), (1, None), (2, None)]);
    cluster.joined("e2", RunId(1));
    let marked = |cluster: &Cluster| {
        let marks = cluster.actions.iter().filter_map(|action| match action {
            Action::MarkLeft { rank, how, .. } => Some((*rank, how.clone())),
            _ => None,
        });
        marks.collect::<Vec<_>>()
    };
    cluster.event("e1", 1, done(Outcome::Panicked, 1));
    assert_eq!((cluster.told("e0"), marked(&cluster)), (vec![(1, &Parting::Panicked)], vec![]));
    cluster.event("e0", 1, done(Outcome::Ok, 0));
    assert_eq!((cluster.told("e2"), marked(&cluster)), (vec![], vec![(0, Parting::Ended)]));
}
