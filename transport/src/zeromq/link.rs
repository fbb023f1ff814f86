//! The end that connects: a DEALER.

use super::error;
use crate::queue::Queue;
use crate::{Incoming, Link, Outgoing, Parts};
use futures::StreamExt;
use futures::channel::mpsc;
use futures::future::BoxFuture;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use zeromq::util::PeerIdentity;
use zeromq::{
    DealerRecvHalf, DealerSendHalf, DealerSocket, Socket, SocketEvent, SocketOptions, SocketRecv, SocketSend,
    ZmqMessage,
};

/// How long to wait for room in the queue: a peer that reads makes some all the time.
const ROOM: Duration = Duration::from_secs(5);

/// Connects, and waits for a listener; `zeromq` tries again and again meanwhile.
pub async fn connect(endpoint: &str, within: Duration) -> io::Result<Link> {
    let mut options = SocketOptions::default();
    // A fresh identity each time: the other end must not take it for an earlier connection.
    options.peer_identity(PeerIdentity::new()).connect_timeout(within);
    let mut socket = DealerSocket::with_options(options);
    let monitor = socket.monitor();
    socket.connect(endpoint).await.map_err(error)?;
    let (sender, receiver) = socket.split();
    let queue = Queue::new(Arc::default());
    Ok(Link {
        outgoing: Box::new(Sending { socket: sender, queue }),
        incoming: Box::new(Receiving { socket: receiver, monitor }),
    })
}

struct Sending {
    socket: DealerSendHalf,
    queue: Arc<Queue>,
}

impl Outgoing for Sending {
    fn send(&mut self, mut message: Parts) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move {
            let message = loop {
                let left = Arc::clone(&self.queue.left);
                let room = left.notified();
                message = match self.queue.admit(message) {
                    Ok(counted) => break counted,
                    Err(refused) => refused,
                };
                let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the other end doesn't read what it is sent");
                tokio::time::timeout(ROOM, room).await.map_err(late)?;
            };
            let message = ZmqMessage::try_from(message).map_err(|_| io::ErrorKind::InvalidInput)?;
            self.socket.send(message).await.map_err(error)
        })
    }

    fn drained(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let left = Arc::clone(&self.queue.left);
            loop {
                let left = left.notified();
                if self.queue.is_empty() {
                    break;
                }
                left.await;
            }
            // The socket's writer has the last messages in its buffer now, and doesn't tell when it has written them:
            // it may run as long as it can go on without waiting.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
        })
    }
}

struct Receiving {
    socket: DealerRecvHalf,
    monitor: mpsc::Receiver<SocketEvent>,
}

impl Incoming for Receiving {
    fn next(&mut self) -> BoxFuture<'_, io::Result<Parts>> {
        Box::pin(async {
            tokio::select! {
                biased;
                message = self.socket.recv() => message.map(ZmqMessage::into_vec).map_err(error),
                () = disconnected(&mut self.monitor) => Err(io::Error::new(io::ErrorKind::ConnectionReset, "the connection broke")),
            }
        })
    }
}

async fn disconnected(monitor: &mut mpsc::Receiver<SocketEvent>) {
    while let Some(event) = monitor.next().await {
        if matches!(event, SocketEvent::Disconnected(_)) {
            return;
        }
    }
    std::future::pending().await
}
