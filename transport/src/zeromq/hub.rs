//! The end that listens: a ROUTER whose peers can't harm each other.

use super::error;
use super::gate::Gate;
use crate::queue::Queue;
use crate::{Arrival, Hub, Parts, PeerId};
use futures::StreamExt;
use futures::channel::mpsc;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use zeromq::util::PeerIdentity;
use zeromq::{
    MultiPeerBackend, RouterRecvHalf, RouterSendHalf, RouterSocket, Socket, SocketEvent, SocketRecv, SocketSend,
    ZmqError, ZmqMessage,
};

/// A ROUTER socket.
pub struct Router {
    backend: Arc<dyn MultiPeerBackend>,
    receiver: RouterRecvHalf,
    monitor: mpsc::Receiver<SocketEvent>,
    to_close: UnboundedReceiver<PeerId>,
    sender: RouterSender,
    /// The port that leads here, and what it refused.
    _gate: Option<Gate>,
    refused: UnboundedReceiver<()>,
}

/// Where messages for a router's peers go. Cloned freely; clones may send at the same time.
#[derive(Clone)]
pub struct RouterSender {
    socket: RouterSendHalf,
    queues: Arc<Mutex<HashMap<PeerId, Arc<Queue>>>>,
    left: Arc<Notify>,
    /// Connections for the receiving task to end: the socket forgets a stream only while it isn't being polled. It holds
    /// a connection once, or as often as the hub's owner says so.
    to_close: UnboundedSender<PeerId>,
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Router")
    }
}

impl fmt::Debug for RouterSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RouterSender")
    }
}

impl Router {
    /// Listens at an endpoint.
    pub async fn bind(endpoint: &str) -> io::Result<Router> {
        let mut socket = RouterSocket::new();
        let monitor = socket.monitor();
        socket.bind(endpoint).await.map_err(error)?;
        let backend = socket.backend();
        let (socket, receiver) = socket.split();
        let (sender, to_close) = unbounded_channel();
        let sender = RouterSender { socket, queues: Arc::default(), left: Arc::default(), to_close: sender };
        Ok(Router { backend, receiver, monitor, to_close, sender, _gate: None, refused: unbounded_channel().1 })
    }

    /// Listens at a port, such as `127.0.0.1:0`, behind a gate that lets no frame pass that announces too much. Behind it,
    /// it listens at `socket`, in a folder that nobody but its user can open. Returns the port's endpoint too.
    pub async fn behind_gate(port: &str, socket: &Path) -> io::Result<(Router, String)> {
        let mut router = Router::bind(&format!("ipc://{}", socket.display())).await?;
        let (refused, refusals) = unbounded_channel();
        let (gate, endpoint) = Gate::open(port, socket.to_owned(), refused).await?;
        (router._gate, router.refused) = (Some(gate), refusals);
        Ok((router, endpoint))
    }

    /// Where messages for peers go.
    pub fn sender(&self) -> RouterSender {
        self.sender.clone()
    }

    /// See [`Hub::next`].
    pub async fn arrival(&mut self) -> Arrival {
        loop {
            tokio::select! {
                biased;
                Some(peer) = self.to_close.recv() => {
                    if let Ok(identity) = PeerIdentity::try_from(peer.0) {
                        self.backend.peer_disconnected(&identity);
                    }
                }
                Some(()) = self.refused.recv() => return Arrival::Rubbish,
                Some(event) = self.monitor.next() => match event {
                    SocketEvent::Disconnected(peer) => {
                        let peer = PeerId(peer.into());
                        // Whoever introduces himself is answered, so whoever has no queue never did, or left at once.
                        if self.sender.queues.lock().remove(&peer).is_some() {
                            return Arrival::Disconnected(peer);
                        }
                    }
                    SocketEvent::AcceptFailed(failed) if !has_only_left(&failed) => return Arrival::Rubbish,
                    _ => {}
                },
                message = self.receiver.recv() => match message {
                    Ok(message) => {
                        let mut parts = message.into_vec();
                        if !parts.is_empty() {
                            return Arrival::Message(PeerId(parts.remove(0)), parts);
                        }
                    }
                    Err(failed) => return Arrival::Broken(error(failed)),
                },
            }
        }
    }
}

/// Whether somebody connected and was gone before it was his turn to speak, as who waits no longer for a controller that
/// is busy or stopped.
fn has_only_left(failed: &ZmqError) -> bool {
    let mut causes = std::iter::successors(failed.source(), |cause| (*cause).source());
    let broken = |kind| matches!(kind, io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset);
    match failed {
        // It says so when there was nothing to read, in the first place and in the second.
        ZmqError::Other("Failed Greeting exchange" | "No reply from server") => true,
        _ => causes.any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|cause| broken(cause.kind()))),
    }
}

impl RouterSender {
    /// See [`Hub::send`].
    pub async fn send(&self, peer: &PeerId, message: Parts) -> bool {
        let queue = {
            let mut queues = self.queues.lock();
            Arc::clone(queues.entry(peer.clone()).or_insert_with(|| Queue::new(Arc::clone(&self.left))))
        };
        let Ok(mut message) = queue.admit(message) else {
            if queue.close() {
                tracing::warn!(?peer, "disconnected a peer that doesn't read its messages");
                _ = self.to_close.send(peer.clone());
            }
            return false;
        };
        message.insert(0, peer.0.clone());
        let Ok(message) = ZmqMessage::try_from(message) else { return false };
        // Never waits: the queue has fewer messages than the socket takes.
        let sent = self.socket.clone().send(message).await.is_ok();
        if !sent {
            self.queues.lock().remove(peer);
        }
        sent
    }
}

impl Hub for Router {
    fn next(&mut self) -> BoxFuture<'_, Arrival> {
        Box::pin(self.arrival())
    }

    fn send<'a>(&'a mut self, peer: &'a PeerId, message: Parts) -> BoxFuture<'a, bool> {
        Box::pin(self.sender.send(peer, message))
    }

    fn disconnect(&mut self, peer: &PeerId) {
        _ = self.sender.to_close.send(peer.clone());
    }

    fn drained(&mut self) -> BoxFuture<'_, ()> {
        let sender = self.sender.clone();
        Box::pin(async move {
            loop {
                let left = sender.left.notified();
                if sender.queues.lock().values().all(|queue| queue.is_empty()) {
                    return;
                }
                left.await;
            }
        })
    }
}
