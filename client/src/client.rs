//! The handle that everything begins with.

use crate::ClientError;
use crate::link::{CONNECT, Link};
use crate::session::{Session, SessionEvents, open};
use crate::task::{Command, Task};
use chorus_protocol::{ClusterStatus, Connection};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// How long a cluster may take to stop.
const SHUTDOWN: Duration = Duration::from_secs(10);

/// A connection to a cluster. Clones share it; when the last handle is dropped, sessions and runs included, the
/// client says goodbye.
#[derive(Clone, Debug)]
pub struct Client {
    name: String,
    /// It can't grow: the task takes a command in less time than its sender needs to make one, and is never kept from
    /// it for longer than [`CONNECT`] and some seconds, after which the cluster is reached or lost.
    commands: mpsc::UnboundedSender<Command>,
}

impl Client {
    /// Connects, and tells how the cluster is. Takes 5 s at most; call it in a tokio runtime.
    pub async fn connect(connection: &Connection) -> Result<(Client, ClusterStatus), ClientError> {
        let (link, status) = Link::connect(connection).await?;
        let (commands, inbox) = mpsc::unbounded_channel();
        tokio::spawn(Task::new(connection.clone(), link, inbox, &status).work());
        Ok((Client { name: connection.name.clone(), commands }, status))
    }

    /// How the cluster is now.
    pub async fn status(&self) -> Result<ClusterStatus, ClientError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Command::Status(reply), answer, CONNECT * 2 + Duration::from_secs(1)).await?
    }

    /// Stops the cluster: engines, then controller. Returns when it says that it stops, or when it is gone.
    pub async fn shutdown(&self) -> Result<(), ClientError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Command::Shutdown(reply), answer, SHUTDOWN).await
    }

    /// Opens a session: a namespace of its own on every engine. What happens in it outside of runs comes as events.
    pub fn open_session(&self) -> (Session, SessionEvents) {
        open(self.commands.clone())
    }

    async fn ask<T>(&self, command: Command, answer: oneshot::Receiver<T>, limit: Duration) -> Result<T, ClientError> {
        let lost = |why: &str| ClientError::Lost { name: self.name.clone(), why: why.to_owned() };
        self.commands.send(command).map_err(|_| lost("the client's task has ended"))?;
        match tokio::time::timeout(limit, answer).await {
            Ok(answered) => answered.map_err(|_| lost("the client's task has ended")),
            Err(_) => Err(ClientError::Slow { name: self.name.clone(), seconds: limit.as_secs() }),
        }
    }
}
