//! Clients and their sessions.

use super::*;

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
