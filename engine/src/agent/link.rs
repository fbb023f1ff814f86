//! The engine's way to its controller: messages in and out, over as many connections as it takes.

use super::AgentError;
use super::outbox::Outbox;
use chorus_protocol::{CONFIRM, Connection, EngineId, EngineInfo, Frame, FromEngine, Standing, ToEngine, VERSION};
use chorus_transport::{Incoming, Transport, ZeroMq};
use futures::future::BoxFuture;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// How long to try to connect at first.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// How long a try may take to find a controller that was started again, and how long until the next.
const TRY: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(50);

/// How long a message that is to be the last may take to leave.
const GOODBYE_LIMIT: Duration = Duration::from_secs(1);

/// Who this engine is, said over each connection.
pub struct Registration {
    /// The id that it was given, by the launcher or by the controller.
    pub id: Option<EngineId>,
    pub info: EngineInfo,
    pub shares_files: bool,
    pub standing: Standing,
}

/// A connection that is being made.
type Search = BoxFuture<'static, Option<chorus_transport::Link>>;

/// The way.
pub struct Link {
    connection: Connection,
    pub registration: Registration,
    incoming: Option<Box<dyn Incoming>>,
    /// Until when another connection is looked for, if there is none that the controller has answered.
    awaited: Option<Instant>,
    /// The search for it; it goes on however often whoever waits for it does something else.
    search: Option<Search>,
    outbox: Outbox,
    sending: JoinHandle<()>,
    /// How many messages the controller knows to have arrived.
    told: u64,
    rejected: u64,
    bytes_in: u64,
}

/// What came from the controller.
pub enum Heard {
    /// A message.
    Message(Box<ToEngine>),
    /// Something else; it is counted.
    Rubbish,
    /// The connection is closed.
    Closed,
    /// There is another connection; or there was none in time.
    Again(bool),
}

impl Link {
    /// Connects to the controller, and registers.
    pub async fn connect(connection: &Connection, registration: Registration) -> Result<Link, AgentError> {
        let (outbox, sending) = Outbox::open(connection.key.clone());
        let connection = connection.clone();
        // How the controller listens makes no difference here.
        let opened = ZeroMq::Ipc.connect(&connection.engines, CONNECT_LIMIT).await;
        let opened = opened.map_err(|source| AgentError::Connect {
            cluster: connection.name.clone(),
            endpoint: connection.engines.clone(),
            source,
        })?;
        let (incoming, awaited, search) = (None, None, None);
        let (told, rejected, bytes_in) = (0, 0, 0);
        let mut link =
            Link { connection, registration, incoming, awaited, search, outbox, sending, told, rejected, bytes_in };
        link.register(opened);
        Ok(link)
    }

    /// The connection is of no use any more: from now on, another one is looked for.
    pub fn leave(&mut self, stay: Duration) {
        self.incoming = None;
        self.registration.standing.returns = true;
        self.awaited.get_or_insert(Instant::now() + stay);
    }

    /// Connects to a controller that is started in the place of the one that is gone. False if none is in time.
    async fn come_back(&mut self, until: Instant) -> bool {
        let search = self.search.get_or_insert_with(|| Box::pin(search(self.connection.engines.clone(), until)));
        let found = search.await;
        self.search = None;
        let is_found = found.is_some();
        found.into_iter().for_each(|link| self.register(link));
        is_found
    }

    fn register(&mut self, link: chorus_transport::Link) {
        self.incoming = Some(link.incoming);
        let Registration { id, info, shares_files, standing } = &self.registration;
        let (id, info, shares_files, standing) = (*id, info.clone(), *shares_files, *standing);
        self.outbox.connect(link.outgoing, FromEngine::Register { version: VERSION, id, info, shares_files, standing });
        self.told = standing.received;
    }

    /// Whether there is a connection. Else another one is looked for.
    pub fn is_open(&self) -> bool {
        self.incoming.is_some()
    }

    /// Where to put messages for the controller.
    pub fn outbox(&self) -> Outbox {
        self.outbox.clone()
    }

    /// How many bytes came, and how many went.
    pub fn bytes(&self) -> (u64, u64) {
        (self.bytes_in, self.outbox.bytes())
    }

    /// Waits for what comes next. It may be dropped while it waits; nothing is lost then.
    pub async fn hear(&mut self) -> Heard {
        let Some(incoming) = &mut self.incoming else {
            return match self.awaited {
                Some(until) => Heard::Again(self.come_back(until).await),
                None => Heard::Closed,
            };
        };
        let Ok(message) = incoming.next().await else { return Heard::Closed };
        self.bytes_in += message.iter().map(|part| part.len() as u64).sum::<u64>();
        match Frame::decode::<ToEngine>(&message, &self.connection.key) {
            Ok(message) => {
                self.count(&message);
                Heard::Message(Box::new(message))
            }
            Err(error) => {
                self.rejected += 1;
                tracing::warn!(rejected = self.rejected, "a message was dropped: {error}");
                Heard::Rubbish
            }
        }
    }

    fn count(&mut self, message: &ToEngine) {
        match message {
            ToEngine::Registered { id, received, .. } => {
                self.registration.id = Some(*id);
                self.awaited = None;
                self.outbox.go_on(*received);
            }
            ToEngine::Received(count) => self.outbox.confirm(*count),
            message => self.registration.standing.received += u64::from(message.is_numbered()),
        }
        self.confirm(CONFIRM);
    }

    /// A sign of life.
    pub fn beat(&mut self) {
        self.outbox.say(FromEngine::Heartbeat);
        self.confirm(1);
    }

    /// Tells the controller what has arrived, if it is so much.
    fn confirm(&mut self, least: u64) {
        let received = self.registration.standing.received;
        if received - self.told >= least {
            self.told = received;
            self.outbox.say(FromEngine::Received(received));
        }
    }

    /// Sends what is still to be sent, says goodbye, and closes the connection.
    pub async fn say_goodbye(self) {
        let Link { outbox, sending, incoming, .. } = self;
        outbox.say(FromEngine::Goodbye);
        // The sessions' are gone: the task sends what it has, and ends.
        drop(outbox);
        _ = timeout(GOODBYE_LIMIT, sending).await;
        drop(incoming);
    }
}

async fn search(endpoint: String, until: Instant) -> Option<chorus_transport::Link> {
    while Instant::now() < until {
        sleep(PAUSE).await;
        match ZeroMq::Ipc.connect(&endpoint, TRY).await {
            Ok(link) => return Some(link),
            Err(error) => tracing::debug!(%error, "looking for the controller"),
        }
    }
    None
}
