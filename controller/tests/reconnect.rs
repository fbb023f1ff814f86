//! Connections between client and controller that break, with what is on them.

mod common;

use chorus_client::{Client, SessionEvent};
use chorus_controller::Transport;
use chorus_protocol::{Connection, NoSnapshot, Outcome, RunEvent, ToEngine};
use common::{Cluster, LIMIT, all, cluster, done, next, output, run};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// Stands between client and controller. It can hold back what the controller sends, and cut all connections; what it
/// holds then is lost.
struct Proxy {
    connection: Connection,
    hold: watch::Sender<bool>,
    open: Arc<Mutex<Vec<AbortHandle>>>,
    listening: AbortHandle,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
        self.cut();
    }
}

impl Proxy {
    async fn before(cluster: &Cluster) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut connection = cluster.controller.connection().clone();
        let target = connection.clients.strip_prefix("tcp://").unwrap().to_owned();
        connection.clients = format!("tcp://{}", listener.local_addr().unwrap());
        let (hold, held) = watch::channel(false);
        let open = Arc::new(Mutex::new(Vec::new()));
        let tasks = open.clone();
        let listening = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let controller = TcpStream::connect(&target).await.unwrap();
                let held = held.clone();
                let task = tokio::spawn(carry(client, controller, held));
                tasks.lock().unwrap().push(task.abort_handle());
            }
        });
        Proxy { connection, hold, open, listening: listening.abort_handle() }
    }

    fn hold(&self, hold: bool) {
        self.hold.send_replace(hold);
    }

    fn cut(&self) {
        self.open.lock().unwrap().drain(..).for_each(|task| task.abort());
    }
}

async fn carry(client: TcpStream, controller: TcpStream, mut held: watch::Receiver<bool>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_controller, mut to_controller) = controller.into_split();
    let up = async { _ = tokio::io::copy(&mut from_client, &mut to_controller).await };
    let down = async {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from_controller.read(&mut buffer).await {
            _ = held.wait_for(|held| !held).await;
            if to_client.write_all(&buffer[..length]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! { () = up => {}, () = down => {} }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_nothing_comes_twice() {
    let cluster = cluster(Transport::Tcp).await;
    let proxy = Proxy::before(&cluster).await;
    let (client, _) = Client::connect(&proxy.connection, "a test").await.unwrap();
    let (session, mut events) = client.open_session();
    let mut engine = cluster.engine().await;
    let mut running = run(&session, &[engine.id]);
    let begun = engine.run().await;
    engine.event(&begun, RunEvent::Started(Err(NoSnapshot::Off)));
    assert_eq!(next(&mut running).await, Some((engine.id, RunEvent::Started(Err(NoSnapshot::Off)))));

    // These leave the controller and never arrive; the last is said while nobody is connected.
    proxy.hold(true);
    engine.event(&begun, output(b"one".to_vec()));
    engine.event(&begun, output(b"two".to_vec()));
    let watcher = cluster.client().await;
    cluster.until(&watcher, "the engine to be busy", |status| status.engines[0].busy).await;
    proxy.cut();
    engine.event(&begun, done(Outcome::Ok));
    proxy.hold(false);
    let got: Vec<_> = all(&mut running).await.into_iter().map(|(_, event)| event).collect();
    assert_eq!(got, [output(b"one".to_vec()), output(b"two".to_vec()), done(Outcome::Ok)]);

    // And the session goes on, on its own worker.
    let mut again = run(&session, &[engine.id]);
    engine.greet().await;
    assert_eq!(all(&mut again).await.len(), 3);
    while let Some(event) = events.try_recv() {
        assert!(matches!(event, SessionEvent::Opened { .. } | SessionEvent::EngineUp { .. }), "{event:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_that_are_sent_into_a_broken_connection_run_once() {
    let cluster = cluster(Transport::Tcp).await;
    let proxy = Proxy::before(&cluster).await;
    let (client, _) = Client::connect(&proxy.connection, "a test").await.unwrap();
    let (session, _events) = client.open_session();
    let mut engine = cluster.engine().await;
    for round in 0..5 {
        let mut first = run(&session, &[engine.id]);
        if round % 2 == 0 {
            engine.greet().await;
        }
        proxy.cut();
        let mut second = run(&session, &[engine.id]);
        if round % 2 == 1 {
            engine.greet().await;
        }
        engine.greet().await;
        assert_eq!(all(&mut first).await.len(), 3);
        assert_eq!(all(&mut second).await.len(), 3);
    }
    session.close();
    // Between the last run and this there was none.
    loop {
        match engine.recv().await {
            ToEngine::CloseSession(_) => break,
            ToEngine::Run { run, .. } => panic!("run {run} came twice"),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_that_cannot_be_reached_again_is_lost() {
    let cluster = cluster(Transport::Tcp).await;
    let proxy = Proxy::before(&cluster).await;
    let (client, _) = Client::connect(&proxy.connection, "a test").await.unwrap();
    let (session, mut events) = client.open_session();
    let mut engine = cluster.engine().await;
    let mut running = run(&session, &[engine.id]);
    engine.run().await;
    drop(proxy);
    let end = timeout(Duration::from_secs(15), all(&mut running)).await.expect("waited for the run to end");
    assert!(matches!(end[..], [(_, RunEvent::Done { outcome: Outcome::Died(..), .. })]), "{end:?}");
    let lost = timeout(LIMIT, async { while !matches!(events.recv().await, Some(SessionEvent::ControllerLost(_))) {} });
    lost.await.expect("waited for the session to end");
    assert!(client.status().await.is_err());
    // The controller closes the session when its client doesn't come back.
    loop {
        if engine.recv().await == ToEngine::CloseSession(session.id()) {
            break;
        }
    }
}
