//! Links and hubs over real sockets.

use bytes::Bytes;
use chorus_transport::{Arrival, Hub, Parts, PeerId, Transport, ZeroMq};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(30);

async fn arrival(hub: &mut Box<dyn Hub>) -> Arrival {
    timeout(SOON, hub.next()).await.expect("waited for something to happen")
}

async fn message(hub: &mut Box<dyn Hub>) -> (PeerId, Parts) {
    match arrival(hub).await {
        Arrival::Message(peer, message) => (peer, message),
        other => panic!("waited for a message, not for {other:?}"),
    }
}

fn parts(of: &[&'static str]) -> Parts {
    of.iter().map(|part| Bytes::from_static(part.as_bytes())).collect()
}

async fn a_conversation(transport: ZeroMq) {
    let folder = tempfile::tempdir().unwrap();
    let (mut hub, endpoint) = transport.listen(&folder.path().join("hub"), None).await.unwrap();
    let mut one = transport.connect(&endpoint, SOON).await.unwrap();
    let mut other = transport.connect(&endpoint, SOON).await.unwrap();
    one.outgoing.send(parts(&["one", "", "end"])).await.unwrap();
    let (peer, said) = message(&mut hub).await;
    assert_eq!(said, parts(&["one", "", "end"]));
    other.outgoing.send(parts(&["other"])).await.unwrap();
    let (other_peer, _) = message(&mut hub).await;
    assert_ne!(peer, other_peer);
    assert!(hub.send(&peer, parts(&["hello", "one"])).await);
    assert!(hub.send(&other_peer, parts(&["hello"])).await);
    assert_eq!(timeout(SOON, one.incoming.next()).await.unwrap().unwrap(), parts(&["hello", "one"]));
    assert_eq!(timeout(SOON, other.incoming.next()).await.unwrap().unwrap(), parts(&["hello"]));
    timeout(SOON, hub.drained()).await.expect("all has left");
    timeout(SOON, one.outgoing.drained()).await.expect("all has left");

    // The hub ends one connection; the other end sees it, and so does the hub, once.
    hub.disconnect(&peer);
    let (gone, ended) = tokio::join!(arrival(&mut hub), timeout(SOON, one.incoming.next()));
    assert!(matches!(&gone, Arrival::Disconnected(id) if *id == peer), "{gone:?}");
    assert!(ended.expect("waited for the end").is_err());
    assert!(!hub.send(&peer, parts(&["late"])).await);

    // The other end ends the other.
    drop(other);
    let gone = arrival(&mut hub).await;
    assert!(matches!(&gone, Arrival::Disconnected(id) if *id == other_peer), "{gone:?}");

    // One that was never answered, and one that leaves at once, are nothing to tell.
    let mut stranger = transport.connect(&endpoint, SOON).await.unwrap();
    stranger.outgoing.send(parts(&["?"])).await.unwrap();
    message(&mut hub).await;
    drop(stranger);
    say(&endpoint, b"").await;
    // What a hub is told comes in the order in which it is known: this one leaves after its greeting.
    let mut greeting = [0; 64];
    (greeting[0], greeting[9], greeting[10]) = (0xff, 0x7f, 3);
    greeting[12..16].copy_from_slice(b"NULL");
    say(&endpoint, &greeting).await;
    // Whoever doesn't speak as links do is.
    say(&endpoint, &[b'x'; 100]).await;
    assert!(matches!(arrival(&mut hub).await, Arrival::Rubbish));
    let mut last = transport.connect(&endpoint, SOON).await.unwrap();
    last.outgoing.send(parts(&["last"])).await.unwrap();
    assert_eq!(message(&mut hub).await.1, parts(&["last"]), "one that was rubbish, and nothing else");
}

/// Says this over a connection, and reads until the other end has closed it.
async fn say(endpoint: &str, bytes: &[u8]) {
    async fn talk(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) {
        // It may be closed in the middle.
        _ = stream.write_all(bytes).await;
        _ = stream.shutdown().await;
        _ = stream.read_to_end(&mut Vec::new()).await;
    }
    let talk = async {
        match endpoint.split_once("://").unwrap() {
            ("ipc", path) => talk(UnixStream::connect(path).await.unwrap(), bytes).await,
            (_, address) => talk(TcpStream::connect(address).await.unwrap(), bytes).await,
        }
    };
    timeout(SOON, talk).await.expect("waited for the end of a connection");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_over_ipc() {
    a_conversation(ZeroMq::Ipc).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_over_tcp() {
    a_conversation(ZeroMq::Tcp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_does_not_read_is_disconnected_and_others_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let (mut hub, endpoint) = ZeroMq::Ipc.listen(&folder.path().join("hub"), None).await.unwrap();
    let mut stuck = ZeroMq::Ipc.connect(&endpoint, SOON).await.unwrap();
    let mut other = ZeroMq::Ipc.connect(&endpoint, SOON).await.unwrap();
    stuck.outgoing.send(parts(&["stuck"])).await.unwrap();
    let (stuck_peer, _) = message(&mut hub).await;
    other.outgoing.send(parts(&["other"])).await.unwrap();
    let (other_peer, _) = message(&mut hub).await;
    let megabyte = Bytes::from(vec![0; 1 << 20]);
    let mut sent = 0;
    while hub.send(&stuck_peer, vec![megabyte.clone()]).await {
        sent += 1;
        assert!(sent < 1000, "a gigabyte waits for a peer that doesn't read");
    }
    assert!(hub.send(&other_peer, parts(&["hello"])).await);
    let gone = arrival(&mut hub).await;
    assert!(matches!(&gone, Arrival::Disconnected(id) if *id == stuck_peer), "{gone:?}");
    assert_eq!(timeout(SOON, other.incoming.next()).await.unwrap().unwrap(), parts(&["hello"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_waits_while_the_hub_does_not_read_and_breaks_when_it_never_does() {
    let folder = tempfile::tempdir().unwrap();
    let (mut hub, endpoint) = ZeroMq::Ipc.listen(&folder.path().join("hub"), None).await.unwrap();
    let mut link = ZeroMq::Ipc.connect(&endpoint, SOON).await.unwrap();
    let megabyte = Bytes::from(vec![0; 1 << 20]);
    let mut sent = 0;
    let error = loop {
        match link.outgoing.send(vec![megabyte.clone()]).await {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        assert!(sent < 1000, "a gigabyte waits for a hub that doesn't read");
    };
    assert!(error.to_string().contains("doesn't read"), "{error}");
    for _ in 0..sent {
        assert_eq!(message(&mut hub).await.1, std::slice::from_ref(&megabyte));
    }
    timeout(SOON, link.outgoing.drained()).await.expect("all has left");
    link.outgoing.send(parts(&["again"])).await.unwrap();
    assert_eq!(message(&mut hub).await.1, parts(&["again"]));
}
