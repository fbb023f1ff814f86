//! What the client keeps between its socket and its users: which runs owe which ends, what is to be acknowledged, and
//! what the controller may not have got. No socket and no clock in here.

use crate::calls::CallEvent;
use crate::session::SessionEvent;
use chorus_protocol::{
    ClusterStatus, Death, EngineId, EngineInfo, Frame, MapEvent, MapId, Outcome, RunEvent, RunId, SessionId, Target,
    TaskEvent, TaskId, ToClient,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use tokio::sync::mpsc::UnboundedSender;

/// Acknowledge when so much has been taken from an engine; the rest follows with the next ping.
const ACKNOWLEDGE: u64 = 64 << 10;

/// A run that somebody waits for.
struct Pending {
    targets: BTreeSet<EngineId>,
    events: UnboundedSender<(EngineId, RunEvent)>,
}

pub(crate) struct SessionState {
    events: UnboundedSender<SessionEvent>,
    runs: HashMap<RunId, Pending>,
    maps: HashMap<MapId, UnboundedSender<(Option<EngineId>, MapEvent)>>,
    calls: HashMap<TaskId, UnboundedSender<CallEvent>>,
    /// Output taken and not yet acknowledged.
    taken: BTreeMap<EngineId, u64>,
    /// Bytes of maps' and calls' results since the last confirmation: the controller keeps them until then.
    unconfirmed: usize,
    /// The session's messages so far, and how many of them the controller knows of.
    received: u64,
    confirmed: u64,
    /// Whether the controller is known to have the session.
    established: bool,
}

/// Output to acknowledge, and the count of messages to confirm.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Receipts {
    pub acks: Vec<(SessionId, EngineId, u64)>,
    pub received: Vec<(SessionId, u64)>,
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

    pub fn open(&mut self, session: SessionId, events: UnboundedSender<SessionEvent>) {
        _ = events.send(SessionEvent::Opened { engines: self.engines.clone() });
        let state = SessionState {
            events,
            runs: HashMap::new(),
            maps: HashMap::new(),
            calls: HashMap::new(),
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
        state.runs.insert(run, Pending { targets, events });
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
        self.open.get_mut(&session).map(|state| state.maps.insert(map, events)).is_some()
    }

    /// Whether it was open.
    pub fn close_map(&mut self, session: SessionId, map: MapId) -> bool {
        self.open.get_mut(&session).is_some_and(|state| state.maps.remove(&map).is_some())
    }

    /// Takes note of a call. False if there is nothing to send: no session.
    pub fn submit_call(&mut self, session: SessionId, task: TaskId, events: UnboundedSender<CallEvent>) -> bool {
        // As for maps.
        self.open.get_mut(&session).map(|state| state.calls.insert(task, events)).is_some()
    }

    /// Whether the session is open.
    pub fn forget_call(&mut self, session: SessionId, task: TaskId) -> bool {
        self.open.get_mut(&session).map(|state| state.calls.remove(&task)).is_some()
    }

    /// Whether it is.
    pub fn is_open(&self, session: SessionId) -> bool {
        self.open.contains_key(&session)
    }

    /// Whether it was open.
    pub fn close(&mut self, session: SessionId) -> bool {
        let Some(state) = self.open.remove(&session) else { return false };
        for pending in state.runs.into_values() {
            end(&pending.events, pending.targets, Outcome::Cancelled);
        }
        true
    }

    /// The controller doesn't have the session any more.
    pub fn lose(&mut self, session: SessionId, why: &str) {
        let Some(state) = self.open.remove(&session) else { return };
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
            if due && state.received > state.confirmed {
                state.confirmed = state.received;
                state.unconfirmed = 0;
                receipts.received.push((session, state.received));
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
                    state.unconfirmed += event.weight();
                    if let Some(events) = state.maps.get(&map) {
                        _ = events.send((engine, event));
                    }
                }
            }
            ToClient::Task { session, task, event } => {
                if let Some(state) = self.open.get_mut(&session) {
                    state.count();
                    state.unconfirmed += event.weight();
                    let over = matches!(event, TaskEvent::Done(..) | TaskEvent::Failed(..));
                    if let Some(events) = state.calls.get(&task) {
                        _ = events.send(CallEvent::Task(event));
                    }
                    if over {
                        state.calls.remove(&task);
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
            ToClient::EngineDown { engine, reason, restarting } => {
                self.engines.remove(&engine);
                self.tell(&SessionEvent::EngineDown { engine, reason, restarting });
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
                self.tell(&SessionEvent::EngineDown { engine, reason, restarting: status.starting > 0 });
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

    fn tell(&self, event: &SessionEvent) {
        for state in self.open.values() {
            _ = state.events.send(event.clone());
        }
    }
}

impl SessionState {
    fn count(&mut self) {
        self.received += 1;
        self.established = true;
    }

    fn deliver(&mut self, run: RunId, engine: EngineId, event: RunEvent) {
        let weight = event.weight() as u64;
        if let Some(call) = run.task().and_then(|task| self.calls.get(&task)) {
            if call.send(CallEvent::Run(engine, event)).is_err() {
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
                if over {
                    self.runs.remove(&run);
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
    status.engines.iter().map(|engine| (engine.id, engine.info.clone())).collect()
}

/// What was sent and may be lost with the connection. The controller answers pings in order with everything else, so a
/// pong says that what came before its ping has arrived.
#[derive(Default)]
pub(crate) struct Unconfirmed {
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
        std::mem::take(&mut self.before_ping).into_iter().filter_map(|(opens, _)| opens)
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
