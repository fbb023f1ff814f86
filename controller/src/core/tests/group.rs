//! The groups of runs.

use super::*;
use chorus_protocol::{Entry, Group, Parting};

impl Cluster {
    fn groups(&self) -> Vec<(bool, &str)> {
        let named = self.actions.iter().filter_map(|action| match action {
            Action::MakeGroup(name) => Some((true, name.as_str())),
            Action::RemoveGroup(name) => Some((false, name.as_str())),
            _ => None,
        });
        named.collect()
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
    assert_eq!(cluster.groups(), [(true, "group-1-4")]);
    let members = vec![EngineId(1), EngineId(2)];
    let group = Group { name: "group-1-4".into(), members };
    let of = |cluster: &Cluster, name: &str| match cluster.to_engine(name)[..] {
        [ToEngine::Run { group, rank, .. }] => (group.as_deref().cloned(), *rank),
        ref other => panic!("{name} got {other:?}"),
    };
    assert_eq!(of(&cluster, "e2"), (Some((group.clone(), 1)), 2), "its rank in the group isn't that in the cluster");
    assert_eq!(of(&cluster, "e1"), (Some((group, 0)), 1));

    cluster.event("e2", 4, done(Outcome::Ok, 0));
    assert_eq!(cluster.told("e1"), [(1, &Parting::Ended)]);
    assert_eq!((cluster.told("e0"), cluster.told("e2")), (vec![], vec![]), "nobody waits there");
    cluster.event("e1", 4, done(Outcome::Panicked, 1));
    assert_eq!(cluster.groups()[1..], [(false, "group-1-4")]);
    assert_eq!(cluster.told("e2"), []);
}

#[test]
fn who_never_runs_the_cell_and_who_dies_in_it_have_left() {
    let mut cluster = Cluster::ready(3);
    cluster.run(1, &[(0, None), (1, None), (2, None), (9, None)]);
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
    assert_eq!(cluster.groups(), [(true, "group-1-1"), (false, "group-1-1")]);
}

#[test]
fn functions_have_no_group() {
    let mut cluster = Cluster::ready(2);
    let spec = RunSpec { entry: Entry::Step { function: 8, changes: true }, ..spec(1) };
    let targets = [0, 1].map(|id| Target { engine: EngineId(id), generation: None }).to_vec();
    cluster.client("c", FromClient::Run { session: SESSION, run: RunId(1), spec, targets });
    assert!(cluster.groups().is_empty());
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
