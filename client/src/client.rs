//! The handle that everything begins with.

use crate::ClientError;
use crate::command::Command;
use crate::driver::Driver;
use crate::link::{CONNECT, Link, Welcome, Who};
use crate::session::{Session, SessionEvents, open};
use chorus_protocol::{ClientInfo, ClusterStatus, Connection, FromClient, LogEntry, NotebookUse, Order, SessionId};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// How long a cluster may take to stop.
const SHUTDOWN: Duration = Duration::from_secs(10);
/// Parts of the log that wait for their reader.
const LOG_WAITING: usize = 64;

/// A connection to a cluster. Clones share it; when the last handle is dropped, sessions and runs included, the
/// client says goodbye.
#[derive(Clone, Debug)]
pub struct Client {
    name: String,
    /// It can't grow: the task takes a command in less time than its sender needs to make one, and is never kept from
    /// it for longer than [`CONNECT`] and some seconds, after which the cluster is reached or lost.
    commands: mpsc::UnboundedSender<Command>,
    away: watch::Receiver<Option<ClientError>>,
}

impl Client {
    /// Connects, and tells how the cluster is. `who` is what users of the cluster know this client by, such as a
    /// notebook's name. Takes 5 s at most; call it in a tokio runtime.
    pub async fn connect(connection: &Connection, who: &str) -> Result<(Client, ClusterStatus), ClientError> {
        let host = chorus_system::user::host_name();
        let info = ClientInfo { name: who.to_owned(), pid: std::process::id(), host };
        let who = Who { info, life: SessionId::random().0 };
        let (link, Welcome { status, .. }) = Link::connect(connection, &who).await?;
        let (commands, inbox) = mpsc::unbounded_channel();
        let (tell_away, away) = watch::channel(None);
        tokio::spawn(Driver::new(connection.clone(), who, link, (inbox, tell_away), &status).work());
        Ok((Client { name: connection.name.clone(), commands, away }, status))
    }

    /// Why the controller can't be heard now, and `None` when it can. Once it is lost for good, no change comes any more.
    pub fn away(&self) -> watch::Receiver<Option<ClientError>> {
        self.away.clone()
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

    /// Has the cluster do something, and tells what was done. An error of the order itself, such as an engine that isn't
    /// there, is the inner one: then nothing was done.
    pub async fn steer(&self, order: Order) -> Result<Result<String, String>, ClientError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Command::Steer(order, reply), answer, CONNECT * 2 + Duration::from_secs(1)).await?
    }

    /// The cluster's log from this entry's number on, and what is added to it, until the cluster is lost or the receiver
    /// is dropped. 1 begins with all that is kept, `u64::MAX` with the state as it is. Who reads too slowly misses
    /// nothing: what isn't kept any more is replaced by a [`chorus_protocol::LogEvent::State`]. A client has one such
    /// reader; another one takes its place.
    pub fn follow_log(&self, from: u64) -> mpsc::Receiver<Vec<LogEntry>> {
        let (entries, reader) = mpsc::channel(LOG_WAITING);
        // Fails when the task has ended: then the reader hears that at once.
        _ = self.commands.send(Command::FollowLog(from, entries));
        reader
    }

    /// The cluster's log as far as it is kept now. It takes the place of a reader that there is.
    pub async fn log_now(&self) -> Result<Vec<LogEntry>, ClientError> {
        let mut reader = self.follow_log(1);
        // Its answer comes behind what of the log is there.
        self.status().await?;
        let mut entries = Vec::new();
        while let Ok(more) = reader.try_recv() {
            entries.extend(more);
        }
        _ = self.commands.send(Command::LeaveLog);
        Ok(entries)
    }

    /// Tells the cluster's log what was compiled for a session.
    pub fn tell_compiled(&self, session: &Session, label: &str, took: Duration, cached: bool) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let label = label.to_owned();
        _ = self.commands.send(Command::Send(FromClient::Compiled { session: session.id(), label, micros, cached }));
    }

    /// Tells the cluster's log what a session's notebook holds.
    pub fn tell_held(&self, session: &Session, held: NotebookUse) {
        _ = self.commands.send(Command::Send(FromClient::Holds { session: session.id(), held }));
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
