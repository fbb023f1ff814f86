//! Handles of sessions and runs.

use crate::command::Command;
use bytes::Bytes;
use chorus_protocol::{
    Aftermath, BlobId, Death, EngineId, EngineInfo, FromClient, MapEvent, MapId, MapSpec, RunEvent, RunId, RunSpec,
    SessionId, Target,
};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use tokio::sync::mpsc;

/// A namespace on every engine. Clones are the same session; it is closed with the last of them and of its runs.
#[derive(Clone, Debug)]
pub struct Session {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    id: SessionId,
    lost: Arc<OnceLock<String>>,
    commands: mpsc::UnboundedSender<Command>,
    runs: Numbers,
    maps: Numbers,
    tasks: Numbers,
}

/// Numbers what is sent, in the order in which it is sent: the controller takes what has no higher number than the last
/// for a repetition.
#[derive(Debug, Default)]
pub(crate) struct Numbers(Mutex<u64>);

impl Numbers {
    /// Sends something that has the next number.
    pub fn next<T>(&self, send: impl FnOnce(u64) -> T) -> T {
        self.take(1, send)
    }

    /// Sends something that has the next so many numbers; it is given the first.
    pub fn take<T>(&self, count: usize, send: impl FnOnce(u64) -> T) -> T {
        let mut next = self.0.lock();
        let number = *next;
        *next += count as u64;
        send(number)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        _ = self.commands.send(Command::Send(FromClient::CloseSession(self.id)));
    }
}

/// Bytes that the cluster keeps for a session: as long as there is a handle, or a run or a task that names them and
/// hasn't ended.
#[derive(Clone, Debug)]
pub struct Blob(Arc<Held>);

#[derive(Debug)]
struct Held {
    id: BlobId,
    session: SessionId,
    /// The handle alone doesn't keep the connection.
    commands: mpsc::WeakUnboundedSender<Command>,
}

impl Blob {
    /// Its name, for runs and tasks.
    pub fn id(&self) -> BlobId {
        self.0.id
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(commands) = self.commands.upgrade() {
            _ = commands.send(Command::ReleaseBlob { session: self.session, id: self.id });
        }
    }
}

/// Keeps engines for what is being prepared for them, until it is dropped.
#[derive(Debug)]
pub struct Preparing {
    session: SessionId,
    /// It alone doesn't keep the connection.
    commands: mpsc::WeakUnboundedSender<Command>,
}

impl Drop for Preparing {
    fn drop(&mut self) {
        if let Some(commands) = self.commands.upgrade() {
            _ = commands.send(Command::Send(FromClient::Prepare { session: self.session, begins: false }));
        }
    }
}

/// What happens in a session outside of its runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionEvent {
    /// Always the first: the session begins with these engines. Those that come and go later have events of their own.
    Opened {
        /// The engines, and who they are.
        engines: BTreeMap<EngineId, EngineInfo>,
    },
    /// An engine joined, or came back.
    EngineUp {
        /// Which.
        engine: EngineId,
        /// Who it is.
        info: EngineInfo,
    },
    /// An engine's process is gone. Runs that it had end by themselves.
    EngineDown {
        /// Which.
        engine: EngineId,
        /// Why, as a sentence.
        reason: String,
        /// Whether it is started again.
        restarting: bool,
        /// Whether nothing went with it that anybody could miss.
        quiet: bool,
    },
    /// The session's worker on an engine died while it ran nothing there.
    WorkerLost {
        /// On which engine.
        engine: EngineId,
        /// How; [`Death::EngineLost`] comes along with an `EngineDown`.
        death: Death,
        /// What became of the variables.
        aftermath: Aftermath,
        /// The generation that the session goes on with there.
        generation: u32,
        /// Whether it died in a task, which tells of that itself.
        in_task: bool,
    },
    /// Output of a run that has ended, or whose [`Run`] is no longer there: threads of a cell may outlive it.
    LateOutput {
        /// Which run.
        run: RunId,
        /// On which engine.
        engine: EngineId,
        /// `Output`, `Display` or `Panic`.
        event: RunEvent,
    },
    /// The controller is gone, and so many seconds are waited for one that takes its place; engines go on meanwhile.
    ControllerAway {
        /// How long.
        seconds: u32,
    },
    /// There is one, and the session goes on.
    ControllerBack,
    /// Nothing more will come. All runs have ended.
    ControllerLost(String),
}

/// The events of a session, in order.
#[derive(Debug)]
pub struct SessionEvents {
    session: SessionId,
    /// It can't grow: late output is acknowledged as it is taken here, and the rest is about deaths, of engines and
    /// workers that take longer to start than to be heard of.
    events: mpsc::UnboundedReceiver<SessionEvent>,
    commands: mpsc::WeakUnboundedSender<Command>,
}

impl SessionEvents {
    /// The next event; `None` when the session is closed.
    pub async fn recv(&mut self) -> Option<SessionEvent> {
        let event = self.events.recv().await?;
        self.acknowledge(&event);
        Some(event)
    }

    /// The next event, if it is there already.
    pub fn try_recv(&mut self) -> Option<SessionEvent> {
        let event = self.events.try_recv().ok()?;
        self.acknowledge(&event);
        Some(event)
    }

    fn acknowledge(&self, event: &SessionEvent) {
        if let SessionEvent::LateOutput { engine, event, .. } = event
            && let Some(commands) = self.commands.upgrade()
        {
            taken(&commands, self.session, *engine, event);
        }
    }
}

impl Drop for SessionEvents {
    fn drop(&mut self) {
        self.events.close();
        while self.try_recv().is_some() {}
    }
}

pub(crate) fn open(commands: mpsc::UnboundedSender<Command>) -> (Session, SessionEvents) {
    let (sender, events) = mpsc::unbounded_channel();
    let (session, lost) = (SessionId::random(), Arc::default());
    _ = commands.send(Command::Open { session, lost: Arc::clone(&lost), events: sender });
    // The events alone don't keep the connection.
    let events = SessionEvents { session, events, commands: commands.downgrade() };
    (
        Session {
            shared: Arc::new(Shared {
                id: session,
                lost,
                commands,
                runs: Numbers::default(),
                maps: Numbers::default(),
                tasks: Numbers::default(),
            }),
        },
        events,
    )
}

impl Session {
    /// The session's name on the wire.
    pub fn id(&self) -> SessionId {
        self.shared.id
    }

    /// Why the controller is gone, if it is. Known before the session's runs end for it.
    pub fn lost(&self) -> Option<&str> {
        self.shared.lost.get().map(String::as_str)
    }

    /// Gives bytes to the cluster, for this session's runs and tasks to name them.
    pub fn put_blob(&self, bytes: Bytes) -> Blob {
        let (id, session) = (BlobId::of(&bytes), self.id());
        self.send(FromClient::PutBlob { session: Some(session), id, bytes });
        Blob(Arc::new(Held { id, session, commands: self.shared.commands.downgrade() }))
    }

    /// Gives a library to the cluster, which keeps it as long as it lives. It is sent once a client.
    pub fn put_library(&self, bytes: Bytes) -> BlobId {
        let id = BlobId::of(&bytes);
        self.send(FromClient::PutBlob { session: None, id, bytes });
        id
    }

    /// Runs an object on these engines, each of which must have that generation. Its events are there for the taking
    /// from now on.
    pub fn run(&self, spec: RunSpec, targets: Vec<Target>) -> Run {
        let (sender, events) = mpsc::unbounded_channel();
        let session = self.id();
        let id = self.shared.runs.next(|number| {
            let run = RunId(number);
            self.command(Command::Run { session, run, spec, targets, events: sender });
            run
        });
        Run { id, session: self.clone(), events }
    }

    /// Has a map's items shared out among the runs that serve it.
    pub fn open_map(&self, spec: MapSpec) -> Map {
        let (sender, events) = mpsc::unbounded_channel();
        let session = self.id();
        let id = self.shared.maps.next(|number| {
            let map = MapId(number);
            self.command(Command::OpenMap { session, map, spec, events: sender });
            map
        });
        Map { id, session: self.clone(), events }
    }

    /// Ends what the session runs on these engines, and drops what it has queued there. SIGKILL replaces the workers.
    pub fn interrupt(&self, targets: Vec<EngineId>, signal: i32) {
        self.send(FromClient::Interrupt { session: self.id(), targets, signal });
    }

    /// Ends a run on an engine, and only that: what else the session has there goes on, after its worker was replaced if
    /// that was at work at the run.
    pub fn end_run(&self, run: RunId, engine: EngineId) {
        self.send(FromClient::EndRun { session: self.id(), run, engine });
    }

    /// Replaces the session's workers on these engines by fresh ones.
    pub fn restart(&self, targets: Vec<EngineId>) {
        self.send(FromClient::RestartSession { session: self.id(), targets });
    }

    /// Has all engines stay that there are, however idle, as long as this is kept: something is being prepared for them.
    pub fn prepare(&self) -> Preparing {
        self.send(FromClient::Prepare { session: self.id(), begins: true });
        Preparing { session: self.id(), commands: self.shared.commands.downgrade() }
    }

    /// Ends the session's workers, and its runs.
    pub fn close(&self) {
        self.send(FromClient::CloseSession(self.id()));
    }

    pub(crate) fn send(&self, message: FromClient) {
        self.command(Command::Send(message));
    }

    pub(crate) fn tasks(&self) -> &Numbers {
        &self.shared.tasks
    }

    pub(crate) fn commands(&self) -> &mpsc::UnboundedSender<Command> {
        &self.shared.commands
    }

    pub(crate) fn command(&self, command: Command) {
        // The driver lives as long as this handle; if it doesn't, it panicked, and the runs' channels are closed.
        _ = self.shared.commands.send(command);
    }
}

/// A run under way. Dropping it doesn't stop it.
#[derive(Debug)]
pub struct Run {
    id: RunId,
    session: Session,
    /// It can't grow: an engine has a window of output on its way, which is acknowledged as it is taken here, and of
    /// other events a few for each run.
    events: mpsc::UnboundedReceiver<(EngineId, RunEvent)>,
}

impl Run {
    /// The run's name on the wire.
    pub fn id(&self) -> RunId {
        self.id
    }

    /// The next event of any engine; `None` when every target has had its `Done`.
    pub async fn next(&mut self) -> Option<(EngineId, RunEvent)> {
        let (engine, event) = self.events.recv().await?;
        taken(&self.session.shared.commands, self.session.id(), engine, &event);
        Some((engine, event))
    }
}

/// A map that is being shared out. Dropping it ends it.
#[derive(Debug)]
pub struct Map {
    id: MapId,
    session: Session,
    /// It can't grow: while much of it isn't taken, nothing is confirmed, and then the controller hands nothing out.
    events: mpsc::UnboundedReceiver<(Option<EngineId>, MapEvent)>,
}

impl Map {
    /// The map's name on the wire, for the runs that serve it.
    pub fn id(&self) -> MapId {
        self.id
    }

    /// What happens next, and on which engine; `None` when the session is gone. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<(Option<EngineId>, MapEvent)> {
        let (engine, event) = self.events.recv().await?;
        let bytes = event.weight();
        if bytes > 0 {
            self.session.command(Command::TakenOfMap { session: self.session.id(), map: self.id, bytes });
        }
        Some((engine, event))
    }

    /// Has it rest, or go on. When it rests, its runs end after the items that they are at, and only items are handed out
    /// that came back. It goes on with new runs.
    pub fn rest(&self, rests: bool) {
        self.session.send(FromClient::RestMap { session: self.session.id(), map: self.id, rests });
    }

    /// Ends it: its runs end after the items that they are at. What they still report isn't heard.
    pub fn close(&self) {
        self.session.send(FromClient::CloseMap { session: self.session.id(), map: self.id });
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        self.close();
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.events.close();
        while let Ok((engine, event)) = self.events.try_recv() {
            taken(&self.session.shared.commands, self.session.id(), engine, &event);
        }
    }
}

pub(crate) fn taken(commands: &mpsc::UnboundedSender<Command>, session: SessionId, engine: EngineId, event: &RunEvent) {
    let bytes = event.weight() as u64;
    if bytes > 0 {
        _ = commands.send(Command::Taken { session, engine, bytes });
    }
}
