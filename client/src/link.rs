//! One connection to a controller, until it breaks: then whoever wants that makes a new one.

use crate::ClientError;
use chorus_protocol::{ClientInfo, ClusterStatus, Connection, Frame, FromClient, Key, ToClient, VERSION};
use chorus_system::process;
use chorus_transport::{Transport, ZeroMq};
use std::time::Duration;

/// How long the controller may take to answer a connection.
pub(crate) const CONNECT: Duration = Duration::from_secs(5);
/// How long it may take when there is no process of its id on this host.
const CONNECT_DEAD: Duration = Duration::from_millis(500);

pub(crate) struct Link {
    link: chorus_transport::Link,
    key: Key,
}

/// Who connects.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    pub info: ClientInfo,
    /// A random number, by which the controller knows a client that connects again.
    pub life: u64,
}

/// What a controller that was connected to says.
pub(crate) struct Welcome {
    pub status: ClusterStatus,
    /// How many of this client's numbered messages it has dealt with.
    pub received: u64,
}

impl Link {
    /// Connects and says hello.
    pub async fn connect(connection: &Connection, who: &Who) -> Result<(Link, Welcome), ClientError> {
        let limit = if is_dead(connection) { CONNECT_DEAD } else { CONNECT };
        Link::connect_within(connection, who, limit).await
    }

    /// The same in this time.
    pub async fn connect_within(
        connection: &Connection,
        who: &Who,
        limit: Duration,
    ) -> Result<(Link, Welcome), ClientError> {
        let unreachable = |why: String| ClientError::Unreachable {
            name: connection.name.clone(),
            pid: connection.pid,
            endpoint: connection.clients.clone(),
            why,
        };
        match tokio::time::timeout(limit, Link::greet(connection, who, limit)).await {
            Ok(Ok(Ok(joined))) => Ok(joined),
            Ok(Ok(Err(refusal))) => Err(ClientError::Refused(refusal)),
            Ok(Err(why)) => Err(unreachable(why)),
            Err(_) => Err(unreachable(format!("no answer within {:.1} s", limit.as_secs_f32()))),
        }
    }

    async fn greet(
        connection: &Connection,
        who: &Who,
        limit: Duration,
    ) -> Result<Result<(Link, Welcome), String>, String> {
        // How the controller listens makes no difference here.
        let link = ZeroMq::Ipc.connect(&connection.clients, limit).await.map_err(|error| error.to_string())?;
        let mut link = Link { link, key: connection.key.clone() };
        let hello = FromClient::Hello { version: VERSION, info: who.info.clone(), life: who.life };
        let hello = Frame::encode(&hello, &link.key).map_err(|error| error.to_string())?;
        link.send(&hello).await?;
        loop {
            match link.next().await? {
                ToClient::Welcome { status, received } => return Ok(Ok((link, Welcome { status, received }))),
                ToClient::Refused(why) => return Ok(Err(why)),
                _ => {}
            }
        }
    }

    /// Sends, or says why the link is of no use any more.
    pub async fn send(&mut self, frame: &Frame) -> Result<(), String> {
        let message = vec![frame.mac.clone(), frame.body.clone()];
        self.link.outgoing.send(message).await.map_err(|error| error.to_string())
    }

    /// The next message, or why none will come. Nothing is lost when the future is dropped before.
    pub async fn next(&mut self) -> Result<ToClient, String> {
        loop {
            let message = self.link.incoming.next().await.map_err(|error| error.to_string())?;
            match Frame::decode(&message, &self.key) {
                Ok(message) => return Ok(message),
                Err(error) => tracing::warn!(%error, "dropped a message of the controller"),
            }
        }
    }
}

/// Whether the controller should be a process of this host and there is none. To shorten a wait and to say why: in a
/// container of its own, the process has another id here.
pub(crate) fn is_dead(connection: &Connection) -> bool {
    let local = connection.clients.starts_with("ipc:") || connection.clients.starts_with("tcp://127.0.0.1:");
    local && (!process::exists(connection.pid) || process::is_zombie(connection.pid))
}
