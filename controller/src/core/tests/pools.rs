//! Engines of several pools.

use super::*;
use crate::launch::{Pool, Resources, Slurm, Way, Where};
use chorus_protocol::Order;

fn pool(label: &str) -> Pool {
    let way = Way::Slurm(Slurm { command: vec!["srun".into()], resources: Resources::default() });
    Pool { place: Where::There(way), label: Some(label.into()), setup: vec!["a b".into()], ports: None }
}

impl Cluster {
    fn add(&mut self, engines: u32, pool: &Pool) -> Result<String, String> {
        self.core.steer(&who(), Order::Add { engines, pool: pool.write() }, &mut self.actions)
    }

    /// What was started where since this was last asked, and which pools have come.
    fn begun(&mut self) -> (Vec<(usize, Vec<u32>)>, Vec<Pool>) {
        let (mut started, mut pools) = (Vec::new(), Vec::new());
        for action in std::mem::take(&mut self.actions) {
            match action {
                Action::StartEngines(pool, engines) => started.push((pool, engines.iter().map(|it| it.0).collect())),
                Action::AddPool(pool) => pools.push(*pool),
                _ => {}
            }
        }
        (started, pools)
    }
}

#[test]
fn engines_that_are_added_have_a_pool_of_their_own_and_keep_it() {
    let mut cluster = Cluster::ready(2);
    assert_eq!(cluster.add(2, &pool("big")).unwrap(), "starting engines 2-3");
    assert_eq!(cluster.begun(), (vec![(1, vec![2, 3])], vec![pool("big")]));
    // One that dies is started again where it was.
    cluster.join("e3", Some(3));
    for id in [1, 3] {
        cluster.handle(Input::EngineExited(EngineId(id), Exit::Signal(9)));
        cluster.handle(Input::EngineDisconnected(peer(&format!("e{id}"))));
    }
    cluster.pass(SECOND, &["e0"], &["c"]);
    assert_eq!(cluster.begun(), (vec![(0, vec![1]), (1, vec![3])], vec![]));
    // More come from where the last ones came from; the same pool again is no other.
    cluster.core.steer(&who(), Order::Scale { engines: 5 }, &mut cluster.actions).unwrap();
    cluster.add(1, &pool("big")).unwrap();
    cluster.add(1, &Pool::default()).unwrap();
    assert_eq!(cluster.begun(), (vec![(1, vec![4]), (1, vec![5]), (0, vec![6])], vec![]));
    cluster.add(1, &pool("small")).unwrap();
    assert_eq!(cluster.begun(), (vec![(2, vec![7])], vec![pool("small")]));
    assert_eq!(cluster.core.pools(), [Pool::default(), pool("big"), pool("small")]);
}

#[test]
fn what_cannot_be_added_is_refused_and_nothing_is_started() {
    let mut cluster = Cluster::ready(1);
    let why = cluster.core.steer(&who(), Order::Add { engines: 1, pool: "{}".into() }, &mut cluster.actions);
    assert!(why.unwrap_err().starts_with("there is no such place for engines: missing field `place`"));
    assert!(cluster.add(0, &pool("big")).unwrap_err().contains("0 engines can't be added to 1"));
    assert!(cluster.add(10_000, &pool("big")).unwrap_err().contains("10000 in all are allowed"));
    for number in 1..256 {
        cluster.add(1, &pool(&number.to_string())).unwrap();
    }
    cluster.begun();
    assert_eq!(cluster.add(1, &pool("big")).unwrap_err(), "there are 256 kinds of engines already");
    assert_eq!(cluster.begun(), (vec![], vec![]));
}
