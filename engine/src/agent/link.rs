//! The engine's connection to its controller: messages in and out.

use super::AgentError;
use chorus_protocol::{Connection, Frame, FromEngine, Key, ToEngine};
use chorus_transport::{Incoming, Outgoing, Transport, ZeroMq};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// How long to try to connect.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// How long a message that is to be the last may take to leave.
const GOODBYE_LIMIT: Duration = Duration::from_secs(1);

/// The connection.
pub struct Link {
    key: Key,
    incoming: Box<dyn Incoming>,
    out: mpsc::UnboundedSender<FromEngine>,
    sending: JoinHandle<()>,
    rejected: u64,
    bytes_in: u64,
    bytes_out: Arc<AtomicU64>,
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
        // How the controller listens makes no difference here.
        let link = ZeroMq::Ipc.connect(&connection.engines, CONNECT_LIMIT).await.map_err(|source| {
            AgentError::Connect { cluster: connection.name.clone(), endpoint: connection.engines.clone(), source }
        })?;
        let (out, messages) = mpsc::unbounded_channel();
        let bytes_out = Arc::default();
        let sending = send_all(messages, link.outgoing, connection.key.clone(), Arc::clone(&bytes_out));
        let (key, sending) = (connection.key.clone(), tokio::spawn(sending));
        Ok(Link { key, incoming: link.incoming, out, sending, rejected: 0, bytes_in: 0, bytes_out })
    }

    /// Where to put messages for the controller. It isn't bounded, and can't grow: of what a session's cells print or
    /// show, no more than a window is on the way at one time; of the other messages there are a few for each run and
    /// piece that the controller gave, and a heartbeat a second, until the controller's silence ends the engine.
    pub fn sender(&self) -> mpsc::UnboundedSender<FromEngine> {
        self.out.clone()
    }

    /// Sends a message.
    pub fn send(&self, message: FromEngine) {
        // Fails when the connection is closed, which `hear` says.
        let _ = self.out.send(message);
    }

    /// How many bytes came, and how many went.
    pub fn bytes(&self) -> (u64, u64) {
        (self.bytes_in, self.bytes_out.load(Ordering::Relaxed))
    }

    /// Waits for what comes next. It may be dropped while it waits; nothing is lost then.
    pub async fn hear(&mut self) -> Heard {
        let Ok(message) = self.incoming.next().await else { return Heard::Closed };
        self.bytes_in += message.iter().map(|part| part.len() as u64).sum::<u64>();
        match Frame::decode(&message, &self.key) {
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
        let Link { out, sending, incoming, .. } = self;
        let _ = out.send(FromEngine::Goodbye);
        // The sessions' senders are gone: the task sends what it has, and ends.
        drop(out);
        let _ = tokio::time::timeout(GOODBYE_LIMIT, sending).await;
        drop(incoming);
    }
}

/// Encodes and signs messages apart from the agent's loop, and sends them until nobody has any more.
async fn send_all(
    mut messages: mpsc::UnboundedReceiver<FromEngine>,
    mut outgoing: Box<dyn Outgoing>,
    key: Key,
    bytes: Arc<AtomicU64>,
) {
    while let Some(message) = messages.recv().await {
        match Frame::encode(&message, &key) {
            Ok(frame) => {
                bytes.fetch_add((frame.mac.len() + frame.body.len()) as u64, Ordering::Relaxed);
                if outgoing.send(vec![frame.mac, frame.body]).await.is_err() {
                    return;
                }
            }
            Err(error) => tracing::error!("a message can't be encoded: {error}"),
        }
    }
    outgoing.drained().await;
}
