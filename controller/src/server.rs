//! The task that owns the core: feeds it what sockets, launcher and clock bring, and does what it says.

use crate::core::{Action, Core, Exit, Input, PeerId};
use crate::folder::Folder;
use crate::journal::Journal;
use crate::launch::Pools;
use chorus_history::recording::Recorder;
use chorus_protocol::{BlobId, EngineId, Frame, FrameError, Key, ToEngine};
use chorus_transport::{Arrival, Hub, Parts};
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

/// How long messages may take to leave for their peers when the cluster has stopped.
const DRAIN: Duration = Duration::from_millis(500);

/// What comes from inside the process.
pub(crate) enum Event {
    EngineExited(EngineId, Exit),
    /// The message for those who asked for a blob.
    BlobRead(BlobId, Result<Frame, FrameError>),
    Stop,
}

pub(crate) struct Server {
    pub core: Core,
    /// Where all that the core is told is written, if another controller may have to go on with it.
    pub journal: Option<Journal>,
    pub key: Key,
    pub engines: Box<dyn Hub>,
    pub clients: Box<dyn Hub>,
    pub folder: Arc<Folder>,
    pub pools: Option<Arc<Pools>>,
    /// Where the log goes.
    pub recorder: Option<Recorder>,
    /// It can't grow: an engine exits once for each time that it is started, a blob is read once at a time, and nobody
    /// stops a cluster more than a few times.
    pub events: mpsc::UnboundedReceiver<Event>,
    /// For tasks that read blobs.
    pub sender: mpsc::UnboundedSender<Event>,
    /// Who waits for blobs that are being read.
    pub reading: HashMap<BlobId, Vec<PeerId>>,
    pub tick: Duration,
}

impl Server {
    /// Serves until the cluster stops. `actions` are the core's first.
    pub async fn serve(mut self, actions: Vec<Action>) {
        let (start, before) = (Instant::now(), self.core.now());
        let now = || before + start.elapsed();
        let mut tick = tokio::time::interval(self.tick);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut actions = actions;
        let mut inputs = Vec::new();
        loop {
            while !actions.is_empty() {
                // What the world is about to see.
                self.keep(Journal::write);
                if self.carry_out(std::mem::take(&mut actions), &mut inputs).await {
                    return self.drain().await;
                }
                for input in inputs.drain(..) {
                    self.take(now(), input, &mut actions);
                }
            }
            self.shorten();
            let input = tokio::select! {
                arrival = self.engines.next() => {
                    read(arrival, &self.key, Input::FromEngine, Input::EngineDisconnected)
                }
                arrival = self.clients.next() => {
                    read(arrival, &self.key, Input::FromClient, Input::ClientDisconnected)
                }
                _ = tick.tick() => {
                    inputs.extend(self.queue().map(Input::Queue));
                    Input::Tick
                }
                Some(event) = self.events.recv() => match event {
                    Event::EngineExited(engine, exit) => Input::EngineExited(engine, exit),
                    Event::Stop => Input::Shutdown,
                    Event::BlobRead(id, frame) => {
                        let peers = self.reading.remove(&id).unwrap_or_default();
                        self.send_blob(id, &peers, frame, &mut inputs).await;
                        Input::Tick
                    }
                },
            };
            self.take(now(), input, &mut actions);
            for input in inputs.drain(..) {
                self.take(now(), input, &mut actions);
            }
        }
    }

    /// What engines wait for, if the core knows another thing.
    fn queue(&self) -> Option<Option<String>> {
        let queue = self.pools.as_ref().and_then(|pools| pools.queue());
        (queue.as_deref() != self.core.queue()).then_some(queue)
    }

    fn take(&mut self, now: Duration, input: Input, actions: &mut Vec<Action>) {
        self.keep(|journal| journal.note(now, &input));
        self.core.handle(now, input, actions);
    }

    /// When all that its inputs led to is done.
    fn shorten(&mut self) {
        let Some(journal) = &mut self.journal else { return };
        let shortened = journal.shorten(&self.core);
        self.keep(|_| shortened);
    }

    /// Does something with the journal. If that fails, the cluster goes on without.
    fn keep(&mut self, what: impl FnOnce(&mut Journal) -> std::io::Result<()>) {
        let Some(Err(error)) = self.journal.as_mut().map(what) else { return };
        tracing::error!(%error, "the journal can't be written; if this controller is killed, its engines are lost");
        self.journal.take().into_iter().for_each(Journal::remove);
    }

    /// Returns true when it is over. What it finds out on the way comes as `inputs`.
    async fn carry_out(&mut self, actions: Vec<Action>, inputs: &mut Vec<Input>) -> bool {
        for action in actions {
            match action {
                Action::ToEngines(peers, message) => match Frame::encode(&message, &self.key) {
                    Ok(frame) => self.send_engines(&peers, &frame, inputs).await,
                    Err(error) => tracing::error!(%error, "a message for engines can't be encoded"),
                },
                Action::ToClients(peers, message) => match Frame::encode(&*message, &self.key) {
                    Ok(frame) => {
                        for peer in peers {
                            if !self.clients.send(&peer, parts(&frame)).await {
                                inputs.push(Input::ClientDisconnected(peer));
                            }
                        }
                    }
                    Err(error) => tracing::error!(%error, "a message for clients can't be encoded"),
                },
                // This task waits for the disk: the next action may send engines to look for the file.
                Action::StoreBlob(id, bytes) => {
                    let folder = self.folder.clone();
                    let stored = tokio::task::spawn_blocking(move || folder.store(id, &bytes)).await;
                    if let Err(error) = stored.unwrap_or_else(|panic| Err(std::io::Error::other(panic))) {
                        tracing::error!(%error, %id, "a blob can't be kept; runs that need it will fail to load");
                    }
                }
                Action::RemoveBlob(id) => {
                    let folder = self.folder.clone();
                    // Before the next action, which may store the same blob again.
                    _ = tokio::task::spawn_blocking(move || folder.remove_blob(id)).await;
                }
                Action::ReadBlob(peer, id) => self.read_blob(peer, id, inputs).await,
                Action::RemoveFile(name) => {
                    let folder = self.folder.clone();
                    tokio::task::spawn_blocking(move || folder.remove_value(&name));
                }
                Action::RemoveGroup(name) => {
                    let folder = self.folder.clone();
                    tokio::task::spawn_blocking(move || folder.remove_group(&name));
                }
                Action::MarkLeft { group, rank, how } => {
                    if let Some(pools) = &self.pools {
                        pools.member_left(group, rank, how);
                    }
                }
                Action::AddPool(pool) => {
                    if let Some(pools) = &self.pools
                        && let Err(error) = pools.add(*pool).await
                    {
                        tracing::error!(%error, "engines that are added can't be started");
                    }
                }
                Action::StartEngines(pool, engines) => match &self.pools {
                    Some(pools) => pools.start(pool, &engines),
                    None => inputs.extend(
                        engines.into_iter().map(|it| Input::EngineExited(it, Exit::NotStarted("no launcher".into()))),
                    ),
                },
                Action::AdoptEngine(pool, engine, pid) => {
                    if let Some(pools) = &self.pools {
                        pools.adopt(pool, engine, pid);
                    }
                }
                Action::AskForEngine(engine) => {
                    if !self.pools.as_ref().is_some_and(|pools| pools.is_waiting(engine)) {
                        inputs.push(Input::EngineLate(engine));
                    }
                }
                Action::KillEngine(engine) => {
                    if let Some(pools) = &self.pools {
                        pools.end(engine);
                    }
                }
                Action::SignalEngine(engine, signal) => {
                    if let Some(pools) = &self.pools {
                        pools.signal(engine, signal);
                    }
                }
                Action::Record(entries) => {
                    if let Some(recorder) = &self.recorder
                        && let Err(error) = recorder.write(entries)
                    {
                        tracing::error!(path = %recorder.path().display(), %error, "the log isn't recorded any more");
                        self.recorder = None;
                    }
                }
                Action::DisconnectEngine(peer) => self.engines.disconnect(&peer),
                Action::DisconnectClient(peer) => self.clients.disconnect(&peer),
                Action::Stop => return true,
            }
        }
        false
    }

    async fn send_engines(&mut self, peers: &[PeerId], frame: &Frame, inputs: &mut Vec<Input>) {
        for peer in peers {
            if !self.engines.send(peer, parts(frame)).await {
                inputs.push(Input::EngineDisconnected(peer.clone()));
            }
        }
    }

    /// Engines of a broadcast ask for the same blob at about the same time: it is read and signed once for all.
    async fn read_blob(&mut self, peer: PeerId, id: BlobId, inputs: &mut Vec<Input>) {
        // Opened now, so that it may be removed meanwhile. If it is gone, that is said before anybody puts it again.
        let Ok(mut file) = File::open(self.folder.blob(id)) else {
            let gone = Frame::encode(&ToEngine::Blob { id, bytes: None }, &self.key);
            return self.send_blob(id, &[peer], gone, inputs).await;
        };
        let waiting = self.reading.entry(id).or_default();
        waiting.push(peer);
        if waiting.len() > 1 {
            return;
        }
        let (key, sender) = (self.key.clone(), self.sender.clone());
        tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            let bytes = file.read_to_end(&mut bytes).is_ok().then(|| bytes.into());
            let frame = Frame::encode(&ToEngine::Blob { id, bytes }, &key);
            _ = sender.send(Event::BlobRead(id, frame));
        });
    }

    async fn send_blob(
        &mut self,
        id: BlobId,
        peers: &[PeerId],
        frame: Result<Frame, FrameError>,
        inputs: &mut Vec<Input>,
    ) {
        match frame {
            Ok(frame) => self.send_engines(peers, &frame, inputs).await,
            Err(error) => tracing::error!(%error, %id, "a blob can't be encoded"),
        }
    }

    /// Gives the last messages time to leave.
    async fn drain(mut self) {
        let left = async { tokio::join!(self.engines.drained(), self.clients.drained()) };
        // Some peer doesn't read, then.
        _ = tokio::time::timeout(DRAIN, left).await;
    }
}

fn parts(frame: &Frame) -> Parts {
    vec![frame.mac.clone(), frame.body.clone()]
}

fn read<M: serde::de::DeserializeOwned>(
    arrival: Arrival,
    key: &Key,
    message: impl Fn(PeerId, M) -> Input,
    disconnected: impl Fn(PeerId) -> Input,
) -> Input {
    match arrival {
        Arrival::Message(peer, frames) => match Frame::decode(&frames, key) {
            Ok(it) => message(peer, it),
            Err(error) => {
                tracing::debug!(?peer, %error, "dropped a message");
                Input::Malformed
            }
        },
        Arrival::Disconnected(peer) => disconnected(peer),
        Arrival::Rubbish => Input::Malformed,
        Arrival::Broken(error) => {
            tracing::error!(%error, "a socket of the controller is broken; the cluster stops");
            Input::Shutdown
        }
    }
}
