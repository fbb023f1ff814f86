//! The publisher over real sockets: with zeromq's subscribers, and with peers that are none.

use bytes::Bytes;
use chorus_transport::{LIMIT, PATIENCE, Publisher};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use zeromq::{Socket, SocketRecv, SubSocket};

const SOON: Duration = Duration::from_secs(30);
const READY: &[u8] = b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03SUB";

/// A publisher at a free port.
async fn publisher() -> (Publisher, String) {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    (Publisher::bind(&format!("tcp://{address}")).await.unwrap(), address.to_string())
}

async fn subscribe(publisher: &mut Publisher, endpoint: &str, topic: &str) -> SubSocket {
    let mut socket = SubSocket::new();
    socket.connect(endpoint).await.unwrap();
    socket.subscribe(topic).await.unwrap();
    assert_eq!(timeout(SOON, publisher.subscription()).await.expect("the subscription is heard of"), topic.as_bytes());
    socket
}

async fn next(socket: &mut SubSocket) -> Vec<Bytes> {
    timeout(SOON, socket.recv()).await.expect("waited for a message").unwrap().into_vec()
}

fn greeting() -> [u8; 64] {
    let mut bytes = [0; 64];
    (bytes[0], bytes[9], bytes[10]) = (0xff, 0x7f, 3);
    bytes[12..16].copy_from_slice(b"NULL");
    bytes
}

/// A connection of a subscriber to everything that reads what it is told to and no more.
async fn raw(publisher: &mut Publisher, address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&greeting()).await.unwrap();
    stream.write_all(READY).await.unwrap();
    stream.write_all(b"\0\x01\x01").await.unwrap();
    assert_eq!(timeout(SOON, publisher.subscription()).await.expect("the subscription is heard of"), "");
    stream
}

/// Reads until the publisher ends the connection; returns how much that was.
async fn read_to_end(stream: &mut TcpStream) -> usize {
    let mut buffer = vec![0; 1 << 20];
    let mut total = 0;
    let all = async {
        loop {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(length) => total += length,
            }
        }
    };
    timeout(SOON, all).await.expect("waited for the end of the connection");
    total
}

#[tokio::test]
async fn messages_reach_those_who_subscribed_to_their_topics() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let endpoint = format!("ipc://{}", path.display());
    let mut publisher = Publisher::bind(&endpoint).await.unwrap();
    assert!(Publisher::bind(&endpoint).await.is_err(), "two at one place");
    assert_eq!(publisher.publish(&vec![Bytes::from("a"), Bytes::from("nobody hears this")]).await, 0);
    let mut all = subscribe(&mut publisher, &endpoint, "").await;
    let mut some = subscribe(&mut publisher, &endpoint, "b").await;
    let large = Bytes::from(vec![7; 3 << 20]);
    let messages = [
        vec![Bytes::from("a"), Bytes::new()],
        vec![Bytes::from("bc"), Bytes::from(vec![1; 255]), Bytes::from(vec![1; 256])],
        vec![Bytes::from("b"), large],
        vec![Bytes::from("c")],
    ];
    for message in &messages {
        assert_eq!(publisher.publish(message).await, 0);
    }
    for message in &messages {
        assert_eq!(next(&mut all).await, *message);
    }
    assert_eq!(next(&mut some).await, messages[1]);
    assert_eq!(next(&mut some).await, messages[2]);
    timeout(SOON, publisher.flush()).await.expect("all has been written");
    drop(publisher);
    assert!(!path.exists(), "its file goes with it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_does_not_read_stops_nobody_and_is_disconnected() {
    let (mut publisher, address) = publisher().await;
    let mut stuck = raw(&mut publisher, &address).await;
    let mut reader = subscribe(&mut publisher, &format!("tcp://{address}"), "").await;
    // Somebody connects and says nothing, somebody greets and says no more.
    let silent = TcpStream::connect(&address).await.unwrap();
    let mut greeted = TcpStream::connect(&address).await.unwrap();
    greeted.write_all(&greeting()).await.unwrap();

    let piece = Bytes::from(vec![0; 1 << 20]);
    const PIECES: usize = 160;
    let reading = tokio::spawn(async move {
        for number in 0..PIECES {
            assert_eq!(next(&mut reader).await[0], number.to_string().as_bytes());
        }
        reader
    });
    let begin = Instant::now();
    let mut dropped = 0;
    for number in 0..PIECES {
        dropped += publisher.publish(&vec![Bytes::from(number.to_string()), piece.clone()]).await;
    }
    assert_eq!(dropped, 1, "and only the one that doesn't read");
    assert!(begin.elapsed() < PATIENCE * 3, "it took {:?}", begin.elapsed());
    let mut reader = timeout(SOON, reading).await.expect("the other got everything").unwrap();
    let got = read_to_end(&mut stuck).await;
    assert!((got as u64) < LIMIT, "it was {got} bytes");

    // It may come again, and gets what is published from then on.
    let mut again = raw(&mut publisher, &address).await;
    assert_eq!(publisher.publish(&vec![Bytes::from("x")]).await, 0);
    assert_eq!(next(&mut reader).await, ["x"]);
    let mut bytes = vec![0; 64 + 28 + 3];
    timeout(SOON, again.read_exact(&mut bytes)).await.expect("a greeting and a message").unwrap();
    assert!(bytes.ends_with(b"\0\x01x"), "{bytes:?}");
    drop((silent, greeted));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_reads_slowly_is_waited_for() {
    let (mut publisher, address) = publisher().await;
    let mut slow = raw(&mut publisher, &address).await;
    let piece = Bytes::from(vec![0; 256 << 10]);
    const PIECES: usize = 200;
    let publishing = tokio::spawn(async move {
        let mut dropped = 0;
        for _ in 0..PIECES {
            dropped += publisher.publish(&vec![piece.clone()]).await;
        }
        publisher.flush().await;
        (publisher, dropped)
    });
    let mut buffer = vec![0; 1 << 20];
    let mut total = 0;
    // What is read at once, and the pause after that: below a tenth of what could be written.
    while total < PIECES * (256 << 10) {
        total += timeout(SOON, slow.read(&mut buffer)).await.expect("more comes").unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (publisher, dropped) = timeout(SOON, publishing).await.expect("all is published").unwrap();
    assert_eq!(dropped, 0);
    drop(publisher);
    total += read_to_end(&mut slow).await;
    assert_eq!(total, 64 + 28 + PIECES * ((256 << 10) + 9), "nothing was lost");
}

#[tokio::test]
async fn what_is_no_subscriber_is_disconnected() {
    let (mut publisher, address) = publisher().await;
    let half_closed = {
        let mut stream = raw(&mut publisher, &address).await;
        stream.shutdown().await.unwrap();
        stream
    };
    let greeting = greeting();
    let dealer = b"\x04\x1c\x05READY\x0bSocket-Type\0\0\0\x06DEALER";
    let absurd = [&[2_u8][..], &(1_u64 << 62).to_be_bytes()].concat();
    let says: [&[&[u8]]; 5] = [
        &[b"GET / HTTP/1.1\r\n\r\n"],
        &[&greeting, dealer],
        &[&greeting, &absurd],
        &[&greeting, READY, &absurd],
        &[&greeting, READY, b"\0\x01\x01", &absurd],
    ];
    let mut streams = vec![half_closed];
    for bytes in says {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        // It may be disconnected in the midst of that.
        _ = stream.write_all(&bytes.concat()).await;
        streams.push(stream);
    }
    for mut stream in streams {
        assert!(read_to_end(&mut stream).await <= 64 + 28, "nothing but a greeting");
    }
    assert_eq!(timeout(SOON, publisher.subscription()).await.expect("one of them had subscribed"), "");
    let mut reader = subscribe(&mut publisher, &format!("tcp://{address}"), "").await;
    assert_eq!(publisher.publish(&vec![Bytes::from("x")]).await, 0);
    assert_eq!(next(&mut reader).await, ["x"]);
}
