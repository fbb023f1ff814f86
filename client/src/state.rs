//! What the client keeps between its socket and its users: which runs owe which ends, what is to be acknowledged, and
//! what the controller may not have got. No socket and no clock in here.

use crate::session::SessionEvent;
use crate::task::TaskUpdate;
use chorus_protocol::{
    BlobId, ClusterStatus, Death, EngineId, EngineInfo, Frame, MapEvent, MapId, Outcome, RunEvent, RunId, SessionId,
    Target, TaskEvent, TaskId, ToClient,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};
use tokio::sync::mpsc::UnboundedSender;

/// Acknowledge when so much has been taken from an engine; the rest follows with the next ping.
const ACKNOWLEDGE: u64 = 64 << 10;

/// With so much of a session's maps delivered and not taken, nothing is confirmed to the controller. That stops the maps,
/// and the tasks, when it has as much again as it keeps for a client.
const UNTAKEN: usize = 16 << 20;

/// A map that somebody listens to.
struct OpenMap {
    events: UnboundedSender<(Option<EngineId>, MapEvent)>,
    /// Bytes delivered and not yet taken.
    untaken: usize,
}

/// A run that somebody waits for.
struct Pending {
    object: BlobId,
    targets: BTreeSet<EngineId>,
    events: UnboundedSender<(EngineId, RunEvent)>,
}

pub(crate) struct SessionState {
    lost: Arc<OnceLock<String>>,
    events: UnboundedSender<SessionEvent>,
    runs: HashMap<RunId, Pending>,
    maps: HashMap<MapId, OpenMap>,
    /// Those who listen to tasks.
    tasks: HashMap<TaskId, UnboundedSender<TaskUpdate>>,
    /// The objects of tasks that haven't ended, whether anybody listens or not.
    objects: HashMap<TaskId, BlobId>,
    /// The blobs that the controller keeps for the session, and how many handles, runs and tasks need each.
    blobs: HashMap<BlobId, usize>,
    /// Output taken and not yet acknowledged.
    taken: BTreeMap<EngineId, u64>,
    /// Bytes of maps' and tasks' results since the last confirmation: the controller keeps them until then.
    unconfirmed: usize,
    /// The session's messages so far, and how many of them the controller knows of.
    received: u64,
    confirmed: u64,
    /// Whether the controller is known to have the session.
    established: bool,
}

/// Output to acknowledge, the count of messages to confirm, and what needn't be kept.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Receipts {
    pub acks: Vec<(SessionId, EngineId, u64)>,
    pub received: Vec<(SessionId, u64)>,
    /// Blobs that nobody needs any more.
    pub dropped: Vec<(SessionId, BlobId)>,
}

#[derive(Default)]
pub(crate) struct Sessions {
    open: HashMap<SessionId, SessionState>,
    engines: BTreeMap<EngineId, EngineInfo>,
    /// Whether the controller is gone for good.
    lost: bool,
}

impl Sessions {
    pub fn new(status: &ClusterStatus) -> Sessions {
        Sessions { open: HashMap::new(), engines: engines(status), lost: false }
    }

    pub fn open(&mut self, session: SessionId, lost: Arc<OnceLock<String>>, events: UnboundedSender<SessionEvent>) {
        _ = events.send(SessionEvent::Opened { engines: self.engines.clone() });
        let state = SessionState {
            lost,
            events,
            runs: HashMap::new(),
            maps: HashMap::new(),
            tasks: HashMap::new(),
            objects: HashMap::new(),
            blobs: HashMap::new(),
            unconfirmed: 0,
            taken: BTreeMap::new(),
            received: 0,
            confirmed: 0,
            established: false,
        };
        self.open.insert(session, state);
    }

    /// Takes note of a run. False if there is nothing to send: no session, or no target.
    pub fn submit(
        &mut self,
        session: SessionId,
        run: RunId,
        object: BlobId,
        targets: &[Target],
        events: UnboundedSender<(EngineId, RunEvent)>,
    ) -> bool {
        let targets: BTreeSet<EngineId> = targets.iter().map(|target| target.engine).collect();
        let Some(state) = self.open.get_mut(&session) else {
            let outcome = if self.lost { Outcome::died(Death::EngineLost) } else { Outcome::Cancelled };
            end(&events, targets, outcome);
            return false;
        };
        if targets.is_empty() {
            return false;
        }
        state.hold(object);
        state.runs.insert(run, Pending { object, targets, events });
        true
    }

    /// Takes note of a map. False if there is nothing to send: no session.
    pub fn open_map(
        &mut self,
        session: SessionId,
        map: MapId,
        events: UnboundedSender<(Option<EngineId>, MapEvent)>,
    ) -> bool {
        // Without a session, the channel ends here, and whoever listens hears of nothing more.
        let map_of = |state: &mut SessionState| state.maps.insert(map, OpenMap { events, untaken: 0 });
        self.open.get_mut(&session).map(map_of).is_some()
    }

    /// Whether it was open.
    pub fn close_map(&mut self, session: SessionId, map: MapId) -> bool {
        self.open.get_mut(&session).is_some_and(|state| state.maps.remove(&map).is_some())
    }

    /// Takes note of a task. False if there is nothing to send: no session.
    pub fn submit_task(
        &mut self,
        session: SessionId,
        task: TaskId,
        object: BlobId,
        events: UnboundedSender<TaskUpdate>,
    ) -> bool {
        // As for maps.
        let Some(state) = self.open.get_mut(&session) else { return false };
        state.hold(object);
        state.objects.insert(task, object);
        state.tasks.insert(task, events);
        true
    }

    /// Whether the session is open.
    pub fn forget_task(&mut self, session: SessionId, task: TaskId) -> bool {
        self.open.get_mut(&session).map(|state| state.tasks.remove(&task)).is_some()
    }

    /// Takes note of a blob's handle. False if there is nothing to send: the controller has it, or there is no session.
    pub fn put_blob(&mut self, session: SessionId, blob: BlobId) -> bool {
        let Some(state) = self.open.get_mut(&session) else { return false };
        let known = state.blobs.contains_key(&blob);
        *state.blobs.entry(blob).or_default() += 1;
        !known
    }

    /// A blob's handle is gone.
    pub fn release_blob(&mut self, session: SessionId, blob: BlobId) {
        if let Some(state) = self.open.get_mut(&session) {
            state.release(blob);
        }
    }

    /// Whether it is.
    pub fn is_open(&self, session: SessionId) -> bool {
        self.open.contains_key(&session)
    }

    /// Whether it was open.
    pub fn close(&mut self, session: SessionId) -> bool {
        let Some(mut state) = self.open.remove(&session) else { return false };
        // Before their runs, so that maps hear why these end.
        state.maps.clear();
        for pending in state.runs.into_values() {
            end(&pending.events, pending.targets, Outcome::Cancelled);
        }
        true
    }

    /// The controller doesn't have the session any more.
    pub fn lose(&mut self, session: SessionId, why: &str) {
        let Some(mut state) = self.open.remove(&session) else { return };
        _ = state.lost.set(why.to_owned());
        state.maps.clear();
        for pending in state.runs.into_values() {
            end(&pending.events, pending.targets, Outcome::died(Death::EngineLost));
        }
        _ = state.events.send(SessionEvent::ControllerLost(why.to_owned()));
    }

    pub fn lose_all(&mut self, why: &str) {
        self.lost = true;
        let sessions: Vec<SessionId> = self.open.keys().copied().collect();
        sessions.into_iter().for_each(|session| self.lose(session, why));
    }

    /// The user has taken output.
    pub fn take(&mut self, session: SessionId, engine: EngineId, bytes: u64) {
        if let Some(state) = self.open.get_mut(&session) {
            *state.taken.entry(engine).or_default() += bytes;
        }
    }

    /// The user has taken what a map has done.
    pub fn take_of_map(&mut self, session: SessionId, map: MapId, bytes: usize) {
        let open = self.open.get_mut(&session);
        // What is left of a map that was closed needs no account.
        if let Some(map) = open.and_then(|state| state.maps.get_mut(&map)) {
            map.untaken = map.untaken.saturating_sub(bytes);
        }
    }

    /// What the controller is to know: all, or what is worth a message by now.
    pub fn receipts(&mut self, all: bool) -> Receipts {
        let mut receipts = Receipts::default();
        for (&session, state) in &mut self.open {
            let before = receipts.acks.len();
            state.taken.retain(|&engine, bytes| {
                let due = all || *bytes >= ACKNOWLEDGE;
                if due {
                    receipts.acks.push((session, engine, *bytes));
                }
                !due
            });
            let due = all || receipts.acks.len() > before || state.unconfirmed as u64 >= ACKNOWLEDGE;
            if due && state.received > state.confirmed && state.untaken() <= UNTAKEN {
                state.confirmed = state.received;
                state.unconfirmed = 0;
                receipts.received.push((session, state.received));
            }
            // Not at once: the next cell may have the same object.
            if all {
                let unneeded = state.blobs.extract_if(|_, uses| *uses == 0);
                receipts.dropped.extend(unneeded.map(|(blob, _)| (session, blob)));
            }
        }
        receipts
    }

    /// Hands on what the controller says to sessions.
    pub fn deliver(&mut self, message: ToClient) {
        match message {
            ToClient::Run { session, run, engine, event } => {
                if let Some(state) = self.open.get_mut(&session) {
                    state.count();
                    state.deliver(run, engine, event);
                }
            }
            ToClient::Map { session, map, engine, event } => {
                if let Some(state) = self.open.get_mut(&session) {
                    state.count();
                    let weight = event.weight();
                    state.unconfirmed += weight;
                    if let Some(map) = state.maps.get_mut(&map)
                        && map.events.send((engine, event)).is_ok()
                    {
                        map.untaken += weight;
                    }
                }
            }
            ToClient::Task { session, task, event } => {
                if let Some(state) = self.open.get_mut(&session) {
                    state.count();
                    state.unconfirmed += event.weight();
                    let over = matches!(event, TaskEvent::Done(..) | TaskEvent::Failed(..));
                    if let Some(events) = state.tasks.get(&task) {
                        _ = events.send(TaskUpdate::Task(event));
                    }
                    if over {
                        state.tasks.remove(&task);
                        if let Some(object) = state.objects.remove(&task) {
                            state.release(object);
                        }
                    }
                }
            }
            ToClient::WorkerLost { session, engine, death, aftermath, generation, in_task } => {
                if let Some(state) = self.open.get_mut(&session) {
                    state.count();
                    let lost = SessionEvent::WorkerLost { engine, death, aftermath, generation, in_task };
                    _ = state.events.send(lost);
                }
            }
            ToClient::EngineUp { engine, info } => {
                self.engines.insert(engine, info.clone());
                self.tell(&SessionEvent::EngineUp { engine, info });
            }
            ToClient::EngineDown { engine, reason, restarting, quiet } => {
                self.engines.remove(&engine);
                self.tell(&SessionEvent::EngineDown { engine, reason, restarting, quiet });
            }
            ToClient::SessionGone(session) => {
                self.lose(session, "the controller closed the session while the connection was broken");
            }
            _ => {}
        }
    }

    /// The controller has got everything that came before the last ping, the opening of these sessions included.
    pub fn establish(&mut self, sessions: impl Iterator<Item = SessionId>) {
        for session in sessions {
            if let Some(state) = self.open.get_mut(&session) {
                state.established = true;
            }
        }
    }

    /// After a new connection: tells the sessions which engines came and went meanwhile, and returns the sessions to
    /// resume, each with the number of its messages received.
    pub fn reconnected(&mut self, status: &ClusterStatus) -> Vec<(SessionId, u64)> {
        let now = engines(status);
        let before = std::mem::replace(&mut self.engines, now.clone());
        for (&engine, info) in &before {
            if now.get(&engine) != Some(info) {
                let reason = format!("engine {engine} was lost while the connection to the controller was broken");
                self.tell(&SessionEvent::EngineDown { engine, reason, restarting: status.starting > 0, quiet: false });
            }
        }
        for (engine, info) in now {
            if before.get(&engine) != Some(&info) {
                self.tell(&SessionEvent::EngineUp { engine, info });
            }
        }
        let known = self.open.iter_mut().filter(|(_, state)| state.established);
        known
            .map(|(&session, state)| {
                state.confirmed = state.received;
                (session, state.received)
            })
            .collect()
    }

    /// Tells all sessions.
    pub fn tell(&self, event: &SessionEvent) {
        for state in self.open.values() {
            _ = state.events.send(event.clone());
        }
    }
}

impl SessionState {
    /// Something more needs this blob, if it is one that the controller keeps for the session.
    fn hold(&mut self, blob: BlobId) {
        if let Some(uses) = self.blobs.get_mut(&blob) {
            *uses += 1;
        }
    }

    /// Bytes of maps that were delivered and not yet taken.
    fn untaken(&self) -> usize {
        self.maps.values().map(|map| map.untaken).sum()
    }

    fn release(&mut self, blob: BlobId) {
        if let Some(uses) = self.blobs.get_mut(&blob) {
            *uses = uses.saturating_sub(1);
        }
    }

    fn count(&mut self) {
        self.received += 1;
        self.established = true;
    }

    fn deliver(&mut self, run: RunId, engine: EngineId, event: RunEvent) {
        let weight = event.weight() as u64;
        if let Some(task) = run.task().and_then(|task| self.tasks.get(&task)) {
            if task.send(TaskUpdate::Run(engine, event)).is_err() {
                *self.taken.entry(engine).or_default() += weight;
            }
            return;
        }
        let delivered = match self.runs.get_mut(&run) {
            Some(pending) if pending.targets.contains(&engine) => {
                if matches!(event, RunEvent::Done { .. }) {
                    pending.targets.remove(&engine);
                }
                let over = pending.targets.is_empty();
                let sent = pending.events.send((engine, event)).map_err(|unsent| unsent.0.1);
                if over && let Some(ended) = self.runs.remove(&run) {
                    self.release(ended.object);
                }
                sent
            }
            _ => Err(event),
        };
        // Nobody waits for that run any more.
        if let Err(event) = delivered
            && weight > 0
            && self.events.send(SessionEvent::LateOutput { run, engine, event }).is_err()
        {
            *self.taken.entry(engine).or_default() += weight;
        }
    }
}

fn end(events: &UnboundedSender<(EngineId, RunEvent)>, targets: BTreeSet<EngineId>, outcome: Outcome) {
    for engine in targets {
        let done = RunEvent::Done { outcome: outcome.clone(), generation: 0, took: Default::default() };
        _ = events.send((engine, done));
    }
}

fn engines(status: &ClusterStatus) -> BTreeMap<EngineId, EngineInfo> {
    let staying = status.engines.iter().filter(|engine| !engine.draining);
    staying.map(|engine| (engine.id, engine.info.clone())).collect()
}

/// What was sent and may be lost with the connection. The controller answers pings in order with everything else, so a
/// pong says that what came before its ping has arrived.
#[derive(Default)]
pub(crate) struct Unconfirmed {
    /// How many came before all of these.
    confirmed: u64,
    before_ping: Vec<(Option<SessionId>, Frame)>,
    since_ping: Vec<(Option<SessionId>, Frame)>,
    pinged: bool,
}

impl Unconfirmed {
    /// `opens` is the session that the message opens.
    pub fn push(&mut self, opens: Option<SessionId>, frame: Frame) {
        self.since_ping.push((opens, frame));
    }

    /// Whether a ping may be sent now: one at a time, so that it is clear which one a pong answers.
    pub fn ping(&mut self) -> bool {
        let send = !self.pinged;
        if send {
            self.before_ping.append(&mut self.since_ping);
            self.pinged = true;
        }
        send
    }

    /// Returns the sessions that the controller is now known to have opened.
    pub fn pong(&mut self) -> impl Iterator<Item = SessionId> {
        self.pinged = false;
        self.confirmed += self.before_ping.len() as u64;
        std::mem::take(&mut self.before_ping).into_iter().filter_map(|(opens, _)| opens)
    }

    /// The controller has dealt with so many messages, counted from the beginning. Returns the sessions that it is now
    /// known to have opened.
    pub fn arrived(&mut self, count: u64) -> impl Iterator<Item = SessionId> {
        self.before_ping.append(&mut self.since_ping);
        let arrived = count.saturating_sub(self.confirmed).min(self.before_ping.len() as u64);
        self.confirmed += arrived;
        self.before_ping.drain(..arrived as usize).filter_map(|(opens, _)| opens)
    }

    /// For a new connection: everything that has to be sent again, in order.
    pub fn again(&mut self) -> Vec<Frame> {
        self.pinged = false;
        self.before_ping.append(&mut self.since_ping);
        std::mem::swap(&mut self.before_ping, &mut self.since_ping);
        self.since_ping.iter().map(|(_, frame)| frame.clone()).collect()
    }
}

#[cfg(test)]
mod tests;
