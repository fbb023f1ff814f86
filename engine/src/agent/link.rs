//! The engine's connection to its controller: messages in and out of one DEALER socket.

use super::AgentError;
use chorus_protocol::{Connection, Frame, FromEngine, Key, ToEngine};
use futures::channel::mpsc::Receiver;
use futures::{FutureExt, StreamExt};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use zeromq::util::PeerIdentity;
use zeromq::{
    DealerRecvHalf, DealerSendHalf, DealerSocket, Socket, SocketEvent, SocketOptions, SocketRecv, SocketSend,
    ZmqMessage,
};

/// How long to try to connect.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// How long a message that is to be the last may take to leave.
const GOODBYE_LIMIT: Duration = Duration::from_secs(1);

/// The connection.
pub struct Link {
    key: Key,
    incoming: DealerRecvHalf,
    monitor: Receiver<SocketEvent>,
    out: mpsc::UnboundedSender<FromEngine>,
    sending: JoinHandle<()>,
    rejected: u64,
}

/// What came from the controller.
pub enum Heard {
    /// A message.
    Message(ToEngine),
    /// Something else; it is counted.
    Rubbish,
    /// The connection is closed, for ever.
    Closed,
}

impl Link {
    /// Connects to the controller.
    pub async fn connect(connection: &Connection) -> Result<Link, AgentError> {
        let mut options = SocketOptions::default();
        // A fresh identity each time: the controller's socket must not take it for an earlier connection.
        options.peer_identity(PeerIdentity::new()).connect_timeout(CONNECT_LIMIT);
        let mut socket = DealerSocket::with_options(options);
        let monitor = socket.monitor();
        socket.connect(&connection.engines).await.map_err(|source| AgentError::Connect {
            cluster: connection.name.clone(),
            endpoint: connection.engines.clone(),
            source,
        })?;
        let (outgoing, incoming) = socket.split();
        let (out, messages) = mpsc::unbounded_channel();
        let sending = tokio::spawn(send_all(messages, outgoing, connection.key.clone()));
        Ok(Link { key: connection.key.clone(), incoming, monitor, out, sending, rejected: 0 })
    }

    /// Where to put messages for the controller. It isn't bounded: what may be large is bounded by its session.
    pub fn sender(&self) -> mpsc::UnboundedSender<FromEngine> {
        self.out.clone()
    }

    /// Sends a message.
    pub fn send(&self, message: FromEngine) {
        // Fails when the connection is closed, which `hear` says.
        let _ = self.out.send(message);
    }

    /// Waits for what comes next. It may be dropped while it waits; nothing is lost then.
    pub async fn hear(&mut self) -> Heard {
        let message = tokio::select! {
            biased;
            message = self.incoming.recv() => message,
            () = disconnected(&mut self.monitor) => return Heard::Closed,
        };
        let Ok(message) = message else { return Heard::Closed };
        match Frame::decode(&message.into_vec(), &self.key) {
            Ok(message) => Heard::Message(message),
            Err(error) => {
                self.rejected += 1;
                tracing::warn!(rejected = self.rejected, "a message was dropped: {error}");
                Heard::Rubbish
            }
        }
    }

    /// Sends what is still to be sent, says goodbye, and closes the connection.
    pub async fn say_goodbye(self) {
        let Link { out, sending, incoming, mut monitor, .. } = self;
        let _ = out.send(FromEngine::Goodbye);
        // The sessions' senders are gone: the task sends what it has, and ends.
        drop(out);
        let _ = tokio::time::timeout(GOODBYE_LIMIT, sending).await;
        // The socket's own writer has the last messages now. There is no telling when it has written them: let it run
        // as long as it can go on without waiting.
        for _ in 0..100 {
            if disconnected(&mut monitor).now_or_never().is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(incoming);
    }
}

async fn disconnected(monitor: &mut Receiver<SocketEvent>) {
    while let Some(event) = monitor.next().await {
        if matches!(event, SocketEvent::Disconnected(_)) {
            return;
        }
    }
    std::future::pending().await
}

async fn send_all(mut messages: mpsc::UnboundedReceiver<FromEngine>, mut socket: DealerSendHalf, key: Key) {
    while let Some(message) = messages.recv().await {
        let frame = match Frame::encode(&message, &key) {
            Ok(frame) => frame,
            Err(error) => {
                tracing::error!("a message can't be encoded: {error}");
                continue;
            }
        };
        let mut frames = ZmqMessage::from(frame.mac);
        frames.push_back(frame.body);
        if socket.send(frames).await.is_err() {
            return;
        }
    }
}
