//! One connection to a controller. zeromq doesn't connect a DEALER again by itself: whoever wants that makes a new
//! link.

use crate::ClientError;
use chorus_protocol::{ClientInfo, ClusterStatus, Connection, Frame, FromClient, Key, ToClient, VERSION};
use futures::StreamExt;
use futures::channel::mpsc;
use std::time::Duration;
use zeromq::{DealerRecvHalf, DealerSendHalf, DealerSocket, Socket, SocketEvent, SocketOptions};
use zeromq::{SocketRecv, SocketSend, ZmqMessage};

/// How long the controller may take to answer a connection.
pub(crate) const CONNECT: Duration = Duration::from_secs(5);
/// How long it may take when there is no process of its id on this host.
const CONNECT_DEAD: Duration = Duration::from_millis(500);
/// How long the socket may take to take a message. It only waits when 100,000 are in its queue.
const SEND: Duration = Duration::from_secs(5);

pub(crate) struct Link {
    sender: DealerSendHalf,
    receiver: DealerRecvHalf,
    monitor: mpsc::Receiver<SocketEvent>,
    key: Key,
}

impl Link {
    /// Connects and says hello.
    pub async fn connect(connection: &Connection, who: &ClientInfo) -> Result<(Link, ClusterStatus), ClientError> {
        let limit = if is_dead(connection) { CONNECT_DEAD } else { CONNECT };
        let unreachable = |why: String| ClientError::Unreachable {
            name: connection.name.clone(),
            pid: connection.pid,
            endpoint: connection.clients.clone(),
            why,
        };
        match tokio::time::timeout(limit, Link::greet(connection, who)).await {
            Ok(Ok(Ok(joined))) => Ok(joined),
            Ok(Ok(Err(refusal))) => Err(ClientError::Refused(refusal)),
            Ok(Err(why)) => Err(unreachable(why)),
            Err(_) => Err(unreachable(format!("no answer within {:.1} s", limit.as_secs_f32()))),
        }
    }

    async fn greet(connection: &Connection, who: &ClientInfo) -> Result<Result<(Link, ClusterStatus), String>, String> {
        let mut options = SocketOptions::default();
        options.no_connect_timeout();
        let mut socket = DealerSocket::with_options(options);
        let monitor = socket.monitor();
        socket.connect(&connection.clients).await.map_err(|error| error.to_string())?;
        let (sender, receiver) = socket.split();
        let mut link = Link { sender, receiver, monitor, key: connection.key.clone() };
        let hello = FromClient::Hello { version: VERSION, info: who.clone() };
        let hello = Frame::encode(&hello, &link.key).map_err(|error| error.to_string())?;
        link.send(&hello).await?;
        loop {
            match link.next().await? {
                ToClient::Welcome(status) => return Ok(Ok((link, status))),
                ToClient::Refused(why) => return Ok(Err(why)),
                _ => {}
            }
        }
    }

    /// Sends, or says why the link is of no use any more.
    pub async fn send(&mut self, frame: &Frame) -> Result<(), String> {
        let mut message = ZmqMessage::from(frame.mac.clone());
        message.push_back(frame.body.clone());
        match tokio::time::timeout(SEND, self.sender.send(message)).await {
            Ok(sent) => sent.map_err(|error| error.to_string()),
            Err(_) => Err("it doesn't read what it is sent".to_owned()),
        }
    }

    /// The next message, or why none will come. Nothing is lost when the future is dropped before.
    pub async fn next(&mut self) -> Result<ToClient, String> {
        loop {
            tokio::select! {
                message = self.receiver.recv() => {
                    let frames = message.map_err(|error| error.to_string())?.into_vec();
                    match Frame::decode(&frames, &self.key) {
                        Ok(message) => return Ok(message),
                        Err(error) => tracing::warn!(%error, "dropped a message of the controller"),
                    }
                }
                Some(event) = self.monitor.next() => {
                    if matches!(event, SocketEvent::Disconnected(_)) {
                        return Err("the connection broke".to_owned());
                    }
                }
            }
        }
    }
}

/// Whether the controller should be a process of this host and there is none. Only shortens the wait: in a
/// container of its own, the process has another id here.
fn is_dead(connection: &Connection) -> bool {
    let local = connection.clients.starts_with("ipc:") || connection.clients.starts_with("tcp://127.0.0.1:");
    local && !chorus_system::process::exists(connection.pid)
}
