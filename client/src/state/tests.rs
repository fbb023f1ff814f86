//! What is delivered, acknowledged and sent again.

use super::*;
use chorus_protocol::{Key, Report, Stream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

const SESSION: SessionId = SessionId(1);
const BLOB: BlobId = BlobId([7; 32]);

struct Fixture {
    sessions: Sessions,
    events: UnboundedReceiver<SessionEvent>,
}

fn fixture() -> Fixture {
    let mut sessions = Sessions::default();
    let (sender, mut events) = unbounded_channel();
    sessions.open(SESSION, Arc::default(), sender);
    assert_eq!(events.try_recv(), Ok(SessionEvent::Opened { engines: BTreeMap::new() }));
    Fixture { sessions, events }
}

impl Fixture {
    fn run(&mut self, run: u64, engines: &[u32]) -> UnboundedReceiver<(EngineId, RunEvent)> {
        let (sender, events) = unbounded_channel();
        let targets: Vec<Target> =
            engines.iter().map(|&engine| Target { engine: EngineId(engine), generation: None }).collect();
        self.sessions.submit(SESSION, RunId(run), BLOB, &targets, sender);
        events
    }

    fn event(&mut self, run: u64, engine: u32, event: RunEvent) {
        self.sessions.deliver(ToClient::Run { session: SESSION, run: RunId(run), engine: EngineId(engine), event });
    }
}

fn output(bytes: usize) -> RunEvent {
    RunEvent::Output { stream: Stream::Stdout, bytes: vec![0; bytes].into() }
}

fn done() -> RunEvent {
    RunEvent::Done { outcome: Outcome::Ok, generation: 0, took: Default::default() }
}

#[test]
fn a_run_is_over_when_every_target_is() {
    let mut it = fixture();
    let mut run = it.run(1, &[0, 1, 1]);
    it.event(1, 0, done());
    it.event(1, 1, output(3));
    it.event(1, 1, done());
    let got: Vec<_> = std::iter::from_fn(|| run.blocking_recv()).collect();
    assert_eq!(got, [(EngineId(0), done()), (EngineId(1), output(3)), (EngineId(1), done())]);
    assert_eq!(it.run(2, &[]).blocking_recv(), None);
}

#[test]
fn late_output_goes_to_the_session_and_late_ends_nowhere() {
    let mut it = fixture();
    let run = it.run(1, &[0]);
    it.event(1, 0, done());
    it.event(1, 0, output(2));
    it.event(1, 0, done());
    drop(run);
    let late = SessionEvent::LateOutput { run: RunId(1), engine: EngineId(0), event: output(2) };
    assert_eq!(it.events.try_recv(), Ok(late));
    assert!(it.events.try_recv().is_err());
}

#[test]
fn output_that_nobody_wants_is_acknowledged() {
    let mut it = fixture();
    drop(it.run(1, &[0]));
    it.events.close();
    it.event(1, 0, output(5));
    let receipts = it.sessions.receipts(true);
    assert_eq!(receipts.acks, [(SESSION, EngineId(0), output(5).weight() as u64)]);
    assert_eq!(receipts.received, [(SESSION, 1)]);
    assert_eq!(it.sessions.receipts(true), Receipts::default());
}

#[test]
fn small_acknowledgements_wait_for_the_ping() {
    let mut it = fixture();
    it.sessions.take(SESSION, EngineId(0), ACKNOWLEDGE - 1);
    assert_eq!(it.sessions.receipts(false), Receipts::default());
    it.sessions.take(SESSION, EngineId(0), 1);
    assert_eq!(it.sessions.receipts(false).acks, [(SESSION, EngineId(0), ACKNOWLEDGE)]);
}

#[test]
fn losing_the_controller_ends_what_is_missing() {
    let mut it = fixture();
    let mut run = it.run(1, &[0, 1]);
    it.event(1, 0, done());
    it.sessions.lose_all("it stopped");
    assert_eq!(run.blocking_recv(), Some((EngineId(0), done())));
    let lost = |event: Option<(EngineId, RunEvent)>| {
        matches!(event, Some((EngineId(1), RunEvent::Done { outcome: Outcome::Died(Death::EngineLost, _), .. })))
    };
    assert!(lost(run.blocking_recv()));
    assert_eq!(run.blocking_recv(), None);
    assert_eq!(it.events.try_recv(), Ok(SessionEvent::ControllerLost("it stopped".into())));
    assert!(lost(it.run(2, &[1]).blocking_recv()));
}

#[test]
fn only_sessions_that_the_controller_has_are_resumed() {
    let mut it = fixture();
    let status = ClusterStatus {
        name: String::new(),
        pid: 1,
        uptime_ms: 0,
        engines: vec![],
        starting: 0,
        queue: None,
        adapt: None,
        given_up: [].into(),
        failing: [].into(),
        sessions: 0,
        users: vec![],
        rejected: 0,
        restarts: 0,
    };
    assert_eq!(it.sessions.reconnected(&status), []);
    it.sessions.establish([SESSION].into_iter());
    assert_eq!(it.sessions.reconnected(&status), [(SESSION, 0)]);
    it.event(9, 0, done());
    assert_eq!(it.sessions.reconnected(&status), [(SESSION, 1)]);
}

#[test]
fn what_a_pong_does_not_cover_is_sent_again() {
    let frame = |n: u32| Frame::encode(&n, &Key::random()).unwrap();
    let bodies = |frames: Vec<Frame>| frames.into_iter().map(|it| it.body[0]).collect::<Vec<u8>>();
    let mut it = Unconfirmed::default();
    it.push(Some(SESSION), frame(1));
    assert!(it.ping());
    it.push(None, frame(2));
    assert!(!it.ping(), "one ping at a time");
    assert_eq!(bodies(it.again()), [1, 2]);
    assert_eq!(bodies(it.again()), [1, 2]);
    assert!(it.ping());
    it.push(None, frame(3));
    assert_eq!(it.pong().collect::<Vec<_>>(), [SESSION]);
    assert_eq!(bodies(it.again()), [3]);

    // Of five messages so far, the controller says that it has four.
    it.push(Some(SESSION), frame(4));
    it.push(None, frame(5));
    assert_eq!(it.arrived(4).collect::<Vec<_>>(), [SESSION]);
    assert_eq!(bodies(it.again()), [5]);
    // One that was started anew has none, and one that has more than was sent is wrong.
    assert_eq!(it.arrived(0).count(), 0);
    assert_eq!(bodies(it.again()), [5]);
    assert_eq!(it.arrived(9).count(), 0);
    assert_eq!(bodies(it.again()), [] as [u8; 0]);
}

#[test]
fn a_session_begins_with_the_engines_that_joined_before_it() {
    let info = EngineInfo { pid: 1, host: "here".into(), cores: 2, ..EngineInfo::default() };
    let mut sessions = Sessions::default();
    // Between the connection's first status and the session's opening, when there is no session yet to be told.
    for engine in [0, 1].map(EngineId) {
        sessions.deliver(ToClient::EngineUp { engine, info: info.clone() });
    }
    sessions.deliver(ToClient::EngineDown {
        engine: EngineId(0),
        reason: "it died".into(),
        restarting: false,
        quiet: false,
    });
    let (sender, mut events) = unbounded_channel();
    sessions.open(SESSION, Arc::default(), sender);
    let engines = BTreeMap::from([(EngineId(1), info)]);
    assert_eq!(events.try_recv(), Ok(SessionEvent::Opened { engines }));
    assert!(events.try_recv().is_err());
}

#[test]
fn a_blob_is_kept_for_handles_runs_and_tasks() {
    let mut it = fixture();
    let dropped = |it: &mut Fixture| it.sessions.receipts(true).dropped;
    assert!(it.sessions.put_blob(SESSION, BLOB));
    assert!(!it.sessions.put_blob(SESSION, BLOB), "the controller has it");
    let run = it.run(1, &[0, 1]);
    drop(run);
    let (sender, _events) = unbounded_channel();
    it.sessions.submit_task(SESSION, TaskId(1), BLOB, sender);
    it.sessions.forget_task(SESSION, TaskId(1));
    (0..2).for_each(|_| it.sessions.release_blob(SESSION, BLOB));
    it.event(1, 0, done());
    assert_eq!(dropped(&mut it), [], "engine 1 may not have begun");
    it.event(1, 1, done());
    assert_eq!(dropped(&mut it), [], "the task may not have begun");
    let event = TaskEvent::Failed(None, chorus_protocol::TaskFailure::NoEngine);
    it.sessions.deliver(ToClient::Task { session: SESSION, task: TaskId(1), event });
    assert_eq!(it.sessions.receipts(false).dropped, [], "the next cell may have the same object");
    assert!(!it.sessions.put_blob(SESSION, BLOB));
    assert_eq!(dropped(&mut it), []);
    it.sessions.release_blob(SESSION, BLOB);
    assert_eq!(dropped(&mut it), [(SESSION, BLOB)]);
    assert!(it.sessions.put_blob(SESSION, BLOB), "it is gone");
}

#[test]
fn a_map_that_is_not_read_is_not_confirmed() {
    const MAP: MapId = MapId(1);
    let mut it = fixture();
    let (sender, mut events) = unbounded_channel();
    assert!(it.sessions.open_map(SESSION, MAP, sender));
    let report = Report { first: 0, count: 1, micros: 1, failed: 0, body: vec![0; 1 << 20].into() };
    let done = || ToClient::Map {
        session: SESSION,
        map: MAP,
        engine: Some(EngineId(0)),
        event: MapEvent::Done(vec![report.clone()]),
    };
    let mut sent = 0;
    while it.sessions.receipts(true).received == [(SESSION, sent)] || sent == 0 {
        it.sessions.deliver(done());
        sent += 1;
        assert!(sent < 1000, "nobody reads, and all is confirmed");
    }
    assert!(sent > 8, "{sent}: who reads as it comes isn't held up");
    // One is taken, so that there is room.
    let (_, event) = events.try_recv().unwrap();
    it.sessions.take_of_map(SESSION, MAP, event.weight());
    assert_eq!(it.sessions.receipts(false).received, [(SESSION, sent)]);
    // What is closed holds nothing up.
    it.sessions.deliver(done());
    it.sessions.deliver(done());
    assert_eq!(it.sessions.receipts(true).received, []);
    assert!(it.sessions.close_map(SESSION, MAP));
    assert_eq!(it.sessions.receipts(true).received, [(SESSION, sent + 2)]);
}
