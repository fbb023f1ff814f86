//! A cluster with engines that tests play themselves.

#![allow(dead_code)]

use bytes::Bytes;
use chorus_client::{Blob, Client, Run, Session};
use chorus_controller::{Controller, ControllerConfig, Pool, Transport};
use chorus_protocol::{
    Connection, EVENT_WEIGHT, EngineId, EngineInfo, Frame, FromEngine, NoSnapshot, OUTPUT_CHUNK, OUTPUT_WINDOW,
    Outcome, RunEvent, RunId, RunSpec, SessionId, SnapshotPolicy, Standing, Stream, Target, ToEngine, VERSION,
};
use chorus_transport::{Transport as _, ZeroMq};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Long enough for anything on a machine that does other things as well.
pub const LIMIT: Duration = Duration::from_secs(30);

pub struct Cluster {
    pub controller: Controller,
    pub runtime: tempfile::TempDir,
}

pub async fn cluster(transport: Transport) -> Cluster {
    let runtime = tempfile::tempdir().unwrap();
    let config = ControllerConfig {
        name: "test".into(),
        runtime: runtime.path().to_owned(),
        transport,
        engines: 0,
        launcher: None,
        pool: Pool::default(),
        adapt: None,
        heartbeat: Duration::from_secs(1),
        record: None,
        stay: Duration::ZERO,
    };
    Cluster { controller: Controller::start(config).await.unwrap(), runtime }
}

impl Cluster {
    pub async fn client(&self) -> Client {
        Client::connect(self.controller.connection(), "a test").await.unwrap().0
    }

    pub async fn engine(&self) -> FakeEngine {
        FakeEngine::join(self.controller.connection()).await
    }

    /// Waits until the status is as wanted.
    pub async fn until(&self, client: &Client, what: &str, is: impl Fn(&chorus_protocol::ClusterStatus) -> bool) {
        let wait = async {
            while !is(&client.status().await.unwrap()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if timeout(LIMIT, wait).await.is_err() {
            panic!("waited for: {what}; the status is {:?}", client.status().await);
        }
    }
}

/// Speaks the engine's side of the protocol; a task of its own beats its heart. Dropping it breaks the connection.
pub struct FakeEngine {
    pub id: EngineId,
    send: mpsc::UnboundedSender<FromEngine>,
    inbox: mpsc::UnboundedReceiver<ToEngine>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for FakeEngine {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FakeEngine {
    pub async fn join(connection: &Connection) -> FakeEngine {
        let mut link = ZeroMq::Ipc.connect(&connection.engines, LIMIT).await.unwrap();
        let key = connection.key.clone();
        let (send, mut outbox) = mpsc::unbounded_channel::<FromEngine>();
        let (received, mut inbox) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            let mut beat = tokio::time::interval(Duration::from_millis(300));
            loop {
                let message = tokio::select! {
                    message = link.incoming.next() => {
                        let Ok(message) = message else { return };
                        _ = received.send(Frame::decode::<ToEngine>(&message, &key).unwrap());
                        continue;
                    }
                    message = outbox.recv() => match message {
                        Some(message) => message,
                        None => return,
                    },
                    _ = beat.tick() => FromEngine::Heartbeat,
                };
                let frame = Frame::encode(&message, &key).unwrap();
                if link.outgoing.send(vec![frame.mac, frame.body]).await.is_err() {
                    return;
                }
            }
        });
        let info = EngineInfo { pid: std::process::id(), host: "fake".into(), cores: 1, ..EngineInfo::default() };
        let standing = Standing { life: SessionId::random().0, ..Standing::default() };
        let registration = FromEngine::Register { version: VERSION, id: None, info, shares_files: true, standing };
        send.send(registration).unwrap();
        let id = match timeout(LIMIT, inbox.recv()).await {
            Ok(Some(ToEngine::Registered { id, .. })) => id,
            other => panic!("waited to be registered, got {other:?}"),
        };
        FakeEngine { id, send, inbox, task }
    }

    pub fn send(&self, message: FromEngine) {
        self.send.send(message).unwrap();
    }

    pub fn event(&self, &(session, run): &(SessionId, RunId), event: RunEvent) {
        self.send(FromEngine::Run { session, run, event });
    }

    /// The next message but heartbeats.
    pub async fn recv(&mut self) -> ToEngine {
        loop {
            match timeout(LIMIT, self.inbox.recv()).await {
                Ok(Some(ToEngine::Heartbeat | ToEngine::Received(_))) => {}
                Ok(Some(message)) => return message,
                other => panic!("engine {} waited for a message, got {other:?}", self.id),
            }
        }
    }

    /// The next run, whatever comes before.
    pub async fn run(&mut self) -> (SessionId, RunId) {
        loop {
            if let ToEngine::Run { session, run, .. } = self.recv().await {
                return (session, run);
            }
        }
    }

    /// Takes a run, prints one line and ends it.
    pub async fn greet(&mut self) {
        let run = self.run().await;
        self.event(&run, RunEvent::Started(Err(NoSnapshot::Off)));
        self.event(&run, output(format!("hello from {}", self.id).into_bytes()));
        self.event(&run, done(Outcome::Ok));
    }

    /// Takes a run and prints `total` bytes, never with more than the window on the way, as real engines do. Tells
    /// through `printed` how far it has come.
    pub async fn flood(&mut self, total: usize, printed: &std::sync::atomic::AtomicUsize) {
        let run = self.run().await;
        let (mut sent, mut acknowledged) = (0, 0);
        while sent < total {
            while sent - acknowledged >= OUTPUT_WINDOW {
                if let ToEngine::Ack { bytes, .. } = self.recv().await {
                    acknowledged += usize::try_from(bytes).unwrap();
                }
            }
            let event = output(vec![b'x'; OUTPUT_CHUNK.min(total - sent) - EVENT_WEIGHT]);
            sent += event.weight();
            self.event(&run, event);
            printed.store(sent, std::sync::atomic::Ordering::Relaxed);
        }
        self.event(&run, done(Outcome::Ok));
    }
}

pub fn output(bytes: Vec<u8>) -> RunEvent {
    RunEvent::Output { stream: Stream::Stdout, bytes: bytes.into() }
}

pub fn done(outcome: Outcome) -> RunEvent {
    RunEvent::Done { outcome, generation: 0, took: Default::default() }
}

pub fn run(session: &Session, engines: &[EngineId]) -> Run {
    run_blob(session, &session.put_blob(Bytes::from_static(b"object")), engines)
}

pub fn run_blob(session: &Session, object: &Blob, engines: &[EngineId]) -> Run {
    let object = object.id();
    let targets = engines.iter().map(|&engine| Target { engine, generation: None }).collect();
    let (entry, label, snapshots) = ("entry".into(), "cell".into(), SnapshotPolicy::Off);
    let (argument, map) = (Bytes::new(), None);
    session.run(RunSpec { preload: vec![], object, entry, argument, together: None, map, label, snapshots }, targets)
}

pub async fn next(run: &mut Run) -> Option<(EngineId, RunEvent)> {
    timeout(LIMIT, run.next()).await.expect("waited for the next event of a run")
}

/// All events of a run until it is over.
pub async fn all(run: &mut Run) -> Vec<(EngineId, RunEvent)> {
    let mut events = Vec::new();
    while let Some(event) = next(run).await {
        events.push(event);
    }
    events
}
