//! The client's background task: owns the socket, pings, reconnects, and ends everything when the controller is gone.

use crate::ClientError;
use crate::command::{Command, Steered};
use crate::link::{CONNECT, Link, Welcome, Who, is_dead};
use crate::session::SessionEvent;
use crate::state::{Sessions, Unconfirmed};
use chorus_protocol::{BlobId, ClusterStatus, Connection, Frame, FromClient, LogEntry, LogEvent, TaskId, ToClient};
use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::MissedTickBehavior;

const PING: Duration = Duration::from_secs(1);
/// Whoever watches a cluster is told that its controller says nothing after so long: it answers pings.
const QUIET: Duration = Duration::from_secs(2);
/// A controller that says nothing for so long, not even to a ping, isn't reached by this connection any more.
const SILENCE: Duration = Duration::from_secs(5);

/// A living controller answers in this time.
const AT_ONCE: Duration = Duration::from_secs(1);
/// Between two tries to connect.
const PAUSE: Duration = Duration::from_millis(100);

/// Why the driver stops talking to the controller.
enum End {
    /// The connection is of no use; another may be.
    Broken(String),
    /// The controller has stopped or is out of reach.
    Lost(String),
    /// Nobody holds a handle any more.
    Unused,
}

/// Who reads the cluster's log.
struct LogReader {
    entries: mpsc::Sender<Vec<LogEntry>>,
    /// The number of the next entry that it lacks.
    next: u64,
    /// Whether it had no room for the last that came: then nothing more is passed on before it has.
    is_behind: bool,
}

pub(crate) struct Driver {
    connection: Connection,
    who: Who,
    link: Link,
    commands: mpsc::UnboundedReceiver<Command>,
    /// Why the controller can't be heard, while it can't.
    away: watch::Sender<Option<ClientError>>,
    sessions: Sessions,
    unconfirmed: Unconfirmed,
    /// Those that the cluster was given.
    libraries: HashSet<BlobId>,
    asked_status: Vec<oneshot::Sender<Result<ClusterStatus, ClientError>>>,
    asked_shutdown: Vec<oneshot::Sender<()>>,
    asked_orders: BTreeMap<u64, oneshot::Sender<Steered>>,
    orders: u64,
    log: Option<LogReader>,
    heard: Instant,
}

impl Driver {
    pub fn new(
        connection: Connection,
        who: Who,
        link: Link,
        (commands, away): (mpsc::UnboundedReceiver<Command>, watch::Sender<Option<ClientError>>),
        status: &ClusterStatus,
    ) -> Driver {
        Driver {
            connection,
            who,
            link,
            commands,
            away,
            sessions: Sessions::new(status),
            unconfirmed: Unconfirmed::default(),
            libraries: HashSet::new(),
            asked_status: Vec::new(),
            asked_shutdown: Vec::new(),
            asked_orders: BTreeMap::new(),
            orders: 0,
            log: None,
            heard: Instant::now(),
        }
    }

    pub async fn work(mut self) {
        let why = loop {
            match self.talk().await {
                End::Unused => {
                    _ = self.send(&FromClient::Goodbye).await;
                    return;
                }
                End::Lost(why) => break why,
                End::Broken(why) => {
                    tracing::debug!(why, "the connection to the controller broke");
                    // Whoever waits for the end of the cluster has it now, as far as can be seen from here.
                    let stopping = !self.asked_shutdown.is_empty();
                    if stopping {
                        break why;
                    }
                    match self.reconnect(&why).await {
                        Ok(()) => {}
                        Err(End::Unused) => return,
                        Err(End::Broken(why) | End::Lost(why)) => break why,
                    }
                }
            }
        };
        self.mourn(&why).await;
    }

    /// Passes messages on in both directions until there is a reason to stop.
    async fn talk(&mut self) -> End {
        let mut ping = tokio::time::interval(PING);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_tick = Instant::now();
        self.heard = last_tick;
        loop {
            let sent = tokio::select! {
                message = self.link.next() => match message {
                    Ok(ToClient::ShuttingDown(None)) => return End::Lost("it was stopped".to_owned()),
                    Ok(ToClient::ShuttingDown(Some(who))) => return End::Lost(format!("{who} stopped it")),
                    Ok(message) => {
                        self.heard = Instant::now();
                        self.is_back();
                        let results = matches!(message, ToClient::Map { .. } | ToClient::Task { .. });
                        match message {
                            ToClient::Log { after, entries } => self.pass_log(after, entries).await,
                            message => {
                                self.receive(message);
                                if results { self.send_receipts(false).await } else { Ok(()) }
                            }
                        }
                    }
                    Err(why) => return End::Broken(why),
                },
                command = self.commands.recv() => match command {
                    Some(command) => self.obey(command).await,
                    None => return End::Unused,
                },
                _ = ping.tick() => {
                    // Time in which this process didn't run is nobody's silence.
                    let pause = last_tick.elapsed();
                    last_tick = Instant::now();
                    if pause > PING * 2 {
                        self.heard += pause;
                    }
                    if self.heard.elapsed() >= SILENCE {
                        return End::Broken(format!("it said nothing for {} s", SILENCE.as_secs()));
                    }
                    if self.heard.elapsed() >= QUIET {
                        self.is_away();
                    }
                    self.ping().await
                }
            };
            if let Err(why) = sent {
                return End::Broken(why);
            }
        }
    }

    /// Tells that the controller can't be heard, and why that is, as far as it is known.
    fn is_away(&self) -> ClientError {
        let Connection { name, pid, .. } = &self.connection;
        let why = match is_dead(&self.connection) {
            true => ClientError::Away { name: name.clone() },
            false => ClientError::Silent { name: name.clone(), pid: *pid },
        };
        self.away.send_if_modified(|told| told.replace(why.clone()).as_ref() != Some(&why));
        why
    }

    fn is_back(&self) {
        if self.away.borrow().is_some() {
            self.away.send_replace(None);
        }
    }

    fn receive(&mut self, message: ToClient) {
        match message {
            ToClient::Pong => self.sessions.establish(self.unconfirmed.pong()),
            ToClient::Status(status) => {
                for reply in self.asked_status.drain(..) {
                    _ = reply.send(Ok(status.clone()));
                }
            }
            ToClient::Steered { ticket, result } => {
                if let Some(reply) = self.asked_orders.remove(&ticket) {
                    _ = reply.send(Ok(result));
                }
            }
            message => self.sessions.deliver(message),
        }
    }

    /// Passes on what came of the log. A reader that is behind gets the rest when it has room again.
    async fn pass_log(&mut self, after: u64, entries: Vec<LogEntry>) -> Result<(), String> {
        let Some(reader) = &mut self.log else { return Ok(()) };
        // What was on its way when it asked again comes a second time, and in its place.
        let is_state = |entry: &LogEntry| matches!(entry.event, LogEvent::State(_));
        let fits = after < reader.next || entries.first().is_some_and(is_state);
        if reader.is_behind || !fits {
            return Ok(());
        }
        let next = reader.next;
        let mut entries = entries;
        if next != u64::MAX {
            entries.retain(|entry| entry.number >= next || is_state(entry));
        }
        let Some(last) = entries.last().map(|entry| entry.number) else { return Ok(()) };
        match reader.entries.try_send(entries) {
            Ok(()) => {
                reader.next = last + 1;
                return Ok(());
            }
            Err(TrySendError::Full(_)) => reader.is_behind = true,
            Err(TrySendError::Closed(_)) => self.log = None,
        }
        self.send(&FromClient::LeaveLog).await
    }

    /// Asks for what the log's reader lacks, if it has room for it.
    async fn catch_up(&mut self) -> Result<(), String> {
        let Some(reader) = self.log.as_mut().filter(|it| it.is_behind && it.entries.capacity() > 0) else {
            return Ok(());
        };
        reader.is_behind = false;
        let from = reader.next;
        self.send(&FromClient::FollowLog(from)).await
    }

    async fn obey(&mut self, command: Command) -> Result<(), String> {
        let message = match command {
            Command::Status(reply) => {
                self.asked_status.push(reply);
                return self.send(&FromClient::Status).await;
            }
            Command::Shutdown(reply) => {
                self.asked_shutdown.push(reply);
                return self.send(&FromClient::Shutdown).await;
            }
            Command::Steer(order, reply) => {
                self.orders += 1;
                self.asked_orders.insert(self.orders, reply);
                return self.send(&FromClient::Steer { ticket: self.orders, order }).await;
            }
            Command::LeaveLog => {
                self.log = None;
                return self.send(&FromClient::LeaveLog).await;
            }
            Command::FollowLog(from, entries) => {
                self.log = Some(LogReader { entries, next: from, is_behind: false });
                return self.send(&FromClient::FollowLog(from)).await;
            }
            Command::Open { session, lost, events } => {
                self.sessions.open(session, lost, events);
                return self.send(&FromClient::OpenSession(session)).await;
            }
            Command::Send(message) if self.is_due(&message) => message,
            Command::Send(_) => return Ok(()),
            Command::ReleaseBlob { session, id } => {
                self.sessions.release_blob(session, id);
                return Ok(());
            }
            Command::Run { session, run, spec, targets, events } => {
                if !self.sessions.submit(session, run, spec.object, &targets, events) {
                    return Ok(());
                }
                FromClient::Run { session, run, spec, targets }
            }
            Command::OpenMap { session, map, spec, events } => {
                if !self.sessions.open_map(session, map, events) {
                    return Ok(());
                }
                FromClient::OpenMap { session, map, spec }
            }
            Command::TakenOfMap { session, map, bytes } => {
                self.sessions.take_of_map(session, map, bytes);
                return self.send_receipts(false).await;
            }
            Command::SubmitTask { session, task, spec, events } => {
                if !self.sessions.submit_task(session, task, spec.run.object, events) {
                    return Ok(());
                }
                FromClient::SubmitTask { session, task, spec }
            }
            Command::SubmitTogether { session, first, spec, on } => {
                let (engines, events): (_, Vec<_>) = on.into_iter().unzip();
                for (task, events) in (first.0..).map(TaskId).zip(events) {
                    if !self.sessions.submit_task(session, task, spec.run.object, events) {
                        return Ok(());
                    }
                }
                FromClient::SubmitTogether { session, first, spec, engines }
            }
            Command::Taken { session, engine, bytes } => {
                self.sessions.take(session, engine, bytes);
                return self.send_receipts(false).await;
            }
        };
        self.send(&message).await
    }

    /// Takes note of what a handle wants to be said. False if the controller needn't hear it.
    fn is_due(&mut self, message: &FromClient) -> bool {
        match *message {
            FromClient::PutBlob { session: None, id, .. } => self.libraries.insert(id),
            FromClient::PutBlob { session: Some(session), id, .. } => self.sessions.put_blob(session, id),
            FromClient::CloseSession(session) => self.sessions.close(session),
            FromClient::CloseMap { session, map } => self.sessions.close_map(session, map),
            FromClient::CancelTask { session, .. } => self.sessions.is_open(session),
            FromClient::ForgetTask { session, task } => self.sessions.forget_task(session, task),
            _ => true,
        }
    }

    async fn ping(&mut self) -> Result<(), String> {
        self.send_receipts(true).await?;
        if self.unconfirmed.ping() {
            self.send(&FromClient::Ping).await?;
        }
        self.catch_up().await
    }

    async fn send_receipts(&mut self, all: bool) -> Result<(), String> {
        let receipts = self.sessions.receipts(all);
        for (session, engine, bytes) in receipts.acks {
            self.send(&FromClient::Ack { session, engine, bytes }).await?;
        }
        for (session, count) in receipts.received {
            self.send(&FromClient::Received { session, count }).await?;
        }
        for (session, id) in receipts.dropped {
            self.send(&FromClient::DropBlob { session, id }).await?;
        }
        Ok(())
    }

    /// Sends a message; one that is numbered is sent again should the connection break before it has surely arrived.
    async fn send(&mut self, message: &FromClient) -> Result<(), String> {
        let frame = Frame::encode(message, &self.connection.key).map_err(|error| error.to_string())?;
        if message.is_numbered() {
            let opens = if let FromClient::OpenSession(session) = message { Some(*session) } else { None };
            self.unconfirmed.push(opens, frame.clone());
        }
        self.link.send(&frame).await
    }

    async fn reconnect(&mut self, why: &str) -> Result<(), End> {
        // Nobody knows whether they were carried out.
        let doubtful = ClientError::Doubtful { name: self.connection.name.clone() };
        self.give_orders_up(&doubtful);
        let (link, Welcome { status, received }) = match self.connection.stay {
            0 => search(&self.connection, &self.who).await.map_err(|error| End::Lost(format!("{why}, and {error}")))?,
            seconds => self.wait_for_another(why, seconds).await?,
        };
        self.link = link;
        self.is_back();
        self.connection.pid = status.pid;
        let mut messages: Vec<FromClient> = Vec::new();
        self.sessions.establish(self.unconfirmed.arrived(received));
        for (session, received) in self.sessions.reconnected(&status) {
            messages.push(FromClient::Resume { session, received });
        }
        if !self.asked_status.is_empty() {
            messages.push(FromClient::Status);
        }
        messages.extend(self.log.iter().map(|reader| FromClient::FollowLog(reader.next)));
        for message in messages {
            // An error here shows again when the task goes on talking.
            _ = self.send(&message).await;
        }
        for frame in self.unconfirmed.again() {
            _ = self.link.send(&frame).await;
        }
        Ok(())
    }

    /// Finds the controller again, or one that is started in its place, for which so many seconds are waited.
    async fn wait_for_another(&mut self, why: &str, seconds: u32) -> Result<(Link, Welcome), End> {
        let begun = Instant::now();
        if let Ok(connected) = Link::connect_within(&self.connection, &self.who, AT_ONCE).await {
            return Ok(connected);
        }
        tracing::info!(why, seconds, "the controller is gone");
        self.sessions.tell(&SessionEvent::ControllerAway { seconds });
        let away = self.is_away();
        self.asked_status.drain(..).for_each(|reply| _ = reply.send(Err(away.clone())));
        let (connection, who) = (self.connection.clone(), self.who.clone());
        let search = async {
            while begun.elapsed() < Duration::from_secs(seconds.into()) {
                match Link::connect_within(&connection, &who, CONNECT).await {
                    Ok(connected) => return Ok(connected),
                    Err(ClientError::Refused(why)) => return Err(End::Lost(why)),
                    Err(error) => tracing::debug!(%error, "looking for the controller"),
                }
                tokio::time::sleep(PAUSE).await;
            }
            let pid = connection.pid;
            Err(End::Lost(format!(
                "its controller (process {pid}) is gone, and no other was started in its place within {seconds} s"
            )))
        };
        tokio::pin!(search);
        // A process that is killed takes a moment until it is gone.
        let mut look = tokio::time::interval(QUIET / 4);
        let found = loop {
            let command = tokio::select! {
                found = &mut search => break found?,
                _ = look.tick() => {
                    _ = self.is_away();
                    continue;
                }
                command = self.commands.recv() => command.ok_or(End::Unused)?,
            };
            match command {
                // Who asks hears at once that there is nobody who could answer.
                Command::Status(reply) => _ = reply.send(Err(self.is_away())),
                Command::Steer(_, reply) => _ = reply.send(Err(self.is_away())),
                // What matters is sent again over the next connection.
                command => _ = self.obey(command).await,
            }
            if !self.asked_shutdown.is_empty() {
                return Err(End::Lost("it was to be stopped, and its controller was gone".to_owned()));
            }
        };
        self.sessions.tell(&SessionEvent::ControllerBack);
        Ok(found)
    }

    fn give_orders_up(&mut self, why: &ClientError) {
        std::mem::take(&mut self.asked_orders).into_values().for_each(|reply| _ = reply.send(Err(why.clone())));
    }

    /// Ends everything that waits, now and later, until nobody holds a handle any more.
    async fn mourn(mut self, why: &str) {
        let name = self.connection.name.clone();
        let lost = || ClientError::Lost { name: name.clone(), why: why.to_owned() };
        self.sessions.lose_all(why);
        self.asked_shutdown.drain(..).for_each(|reply| _ = reply.send(()));
        self.asked_status.drain(..).for_each(|reply| _ = reply.send(Err(lost())));
        self.give_orders_up(&lost());
        self.log = None;
        while let Some(command) = self.commands.recv().await {
            match command {
                Command::Status(reply) => _ = reply.send(Err(lost())),
                Command::Steer(_, reply) => _ = reply.send(Err(lost())),
                Command::Shutdown(reply) => _ = reply.send(()),
                Command::Open { lost, events, .. } => {
                    _ = lost.set(why.to_owned());
                    _ = events.send(SessionEvent::ControllerLost(why.to_owned()));
                }
                Command::Run { session, run, spec, targets, events } => {
                    _ = self.sessions.submit(session, run, spec.object, &targets, events);
                }
                _ => {}
            }
        }
    }
}

/// Connects again to a controller that is still there.
async fn search(connection: &Connection, who: &Who) -> Result<(Link, Welcome), ClientError> {
    let deadline = Instant::now() + CONNECT;
    loop {
        match Link::connect(connection, who).await {
            Ok(connected) => return Ok(connected),
            Err(error) if Instant::now() >= deadline || matches!(error, ClientError::Refused(_)) => return Err(error),
            Err(error) if chorus_system::process::exists(connection.pid) => {
                tracing::debug!(%error, "connecting again");
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
}
