//! Engines that join, die and come again.

use super::*;

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
