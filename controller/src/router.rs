//! A ROUTER socket whose peers can't harm each other.
//!
//! `zeromq` counts messages waiting for a peer, up to 100,000, and then makes the sender wait. Here nothing ever
//! waits: each frame that goes out is counted until the socket has copied it into the peer's stream, and a peer with
//! too much in its queue is disconnected.

use crate::core::PeerId;
use bytes::Bytes;
use chorus_protocol::Frame;
use futures::StreamExt;
use futures::channel::mpsc;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use zeromq::util::PeerIdentity;
use zeromq::{
    MultiPeerBackend, RouterRecvHalf, RouterSendHalf, RouterSocket, Socket, SocketEvent, SocketRecv, SocketSend,
    ZmqError, ZmqMessage,
};

/// The most bytes that may wait for a peer: an output window for each of 100 engines and as much again.
const QUEUE_BYTES: usize = 256 << 20;
/// The most messages; well below the number from which on `zeromq` waits.
const QUEUE_MESSAGES: usize = 50_000;

/// What a socket has to tell.
pub(crate) enum Arrival {
    /// The frames after the peer's identity.
    Message(PeerId, Vec<Bytes>),
    Disconnected(PeerId),
    /// A connection never spoke ZeroMQ, or never our protocol.
    Rubbish,
    /// The socket can't receive any more.
    Broken(ZmqError),
}

/// What waits for one peer.
#[derive(Default)]
struct Queue {
    bytes: AtomicUsize,
    messages: AtomicUsize,
}

/// The body of a message in a peer's queue; it leaves the count when it is dropped.
struct Queued {
    body: Bytes,
    queue: Arc<Queue>,
}

impl AsRef<[u8]> for Queued {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.queue.bytes.fetch_sub(self.body.len(), Ordering::Relaxed);
        self.queue.messages.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Queue {
    /// Counts a body in, or gives nothing when the queue is full. A queue that is empty takes any body.
    fn admit(self: &Arc<Queue>, body: &Bytes) -> Option<Bytes> {
        let waiting = self.bytes.load(Ordering::Relaxed);
        if (waiting > 0 && waiting.saturating_add(body.len()) > QUEUE_BYTES)
            || self.messages.load(Ordering::Relaxed) >= QUEUE_MESSAGES
        {
            return None;
        }
        self.bytes.fetch_add(body.len(), Ordering::Relaxed);
        self.messages.fetch_add(1, Ordering::Relaxed);
        Some(Bytes::from_owner(Queued { body: body.clone(), queue: self.clone() }))
    }
}

pub(crate) struct Router {
    backend: Arc<dyn MultiPeerBackend>,
    sender: RouterSendHalf,
    receiver: RouterRecvHalf,
    monitor: mpsc::Receiver<SocketEvent>,
    queues: HashMap<PeerId, Arc<Queue>>,
}

impl Router {
    pub async fn bind(endpoint: &str) -> Result<Router, ZmqError> {
        let mut socket = RouterSocket::new();
        let monitor = socket.monitor();
        socket.bind(endpoint).await?;
        let backend = socket.backend();
        let (sender, receiver) = socket.split();
        Ok(Router { backend, sender, receiver, monitor, queues: HashMap::new() })
    }

    /// Waits for the next thing to happen. Nothing is lost when the future is dropped before.
    pub async fn next(&mut self) -> Arrival {
        loop {
            tokio::select! {
                message = self.receiver.recv() => match message {
                    Ok(message) => {
                        let mut frames = message.into_vec();
                        if !frames.is_empty() {
                            let peer = PeerId(frames.remove(0));
                            return Arrival::Message(peer, frames);
                        }
                    }
                    Err(error) => return Arrival::Broken(error),
                },
                Some(event) = self.monitor.next() => match event {
                    SocketEvent::Disconnected(peer) => {
                        let peer = PeerId(peer.into());
                        // Whoever introduces himself is answered, so whoever has no queue never did.
                        let known = self.queues.remove(&peer).is_some();
                        return if known { Arrival::Disconnected(peer) } else { Arrival::Rubbish };
                    }
                    SocketEvent::AcceptFailed(_) => return Arrival::Rubbish,
                    _ => {}
                },
            }
        }
    }

    /// Puts a message into the peer's queue. False if the peer is gone, or has just been disconnected because it
    /// doesn't read what it gets.
    pub async fn send(&mut self, peer: &PeerId, frame: &Frame) -> bool {
        let queue = self.queues.entry(peer.clone()).or_default();
        let Some(body) = queue.admit(&frame.body) else {
            tracing::warn!(?peer, "disconnected a peer that doesn't read its messages");
            self.disconnect(peer);
            return false;
        };
        let mut message = ZmqMessage::from(peer.0.clone());
        message.push_back(frame.mac.clone());
        message.push_back(body);
        // Never waits: the queue has fewer messages than the socket takes.
        let sent = self.sender.send(message).await.is_ok();
        if !sent {
            self.queues.remove(peer);
        }
        sent
    }

    /// Ends a connection. Called from the task that receives only: the socket forgets a stream only while it isn't
    /// being polled.
    pub fn disconnect(&mut self, peer: &PeerId) {
        if let Ok(identity) = PeerIdentity::try_from(peer.0.clone()) {
            self.backend.peer_disconnected(&identity);
        }
    }

    /// Whether every message has left the queues.
    pub fn is_drained(&self) -> bool {
        self.queues.values().all(|queue| queue.messages.load(Ordering::Relaxed) == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_counts_what_waits_and_refuses_what_is_too_much() {
        let queue = Arc::new(Queue::default());
        let half = Bytes::from(vec![0; QUEUE_BYTES / 2]);
        let first = queue.admit(&half).unwrap();
        let second = queue.admit(&half).unwrap();
        assert!(queue.admit(&half).is_none());
        drop(first);
        assert_eq!(queue.bytes.load(Ordering::Relaxed), QUEUE_BYTES / 2);
        let third = queue.admit(&half).unwrap();
        drop((second, third));
        assert_eq!((queue.bytes.load(Ordering::Relaxed), queue.messages.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn a_queue_refuses_too_many_small_messages() {
        let queue = Arc::new(Queue::default());
        let kept: Vec<_> = (0..QUEUE_MESSAGES).map(|_| queue.admit(&Bytes::new()).unwrap()).collect();
        assert!(queue.admit(&Bytes::new()).is_none());
        drop(kept);
        assert!(queue.admit(&Bytes::new()).is_some());
    }
}
