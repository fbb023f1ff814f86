//! Engines: joining, dying, being started again.
//!
//! An engine that the launcher started has two lifelines, its process and its connection. When one is gone, the other
//! follows in moments; waiting for it gives the engine's last messages time to arrive, and the exit status time to
//! explain the broken connection. After the controller was started again, neither may be there for a while: see `back`.

use super::back::{BACK_LIMIT, Line};
use super::{Action, Core, Exit, MISSED_HEARTBEATS, PeerId, Stop, millis};
use chorus_protocol::{
    Aftermath, Death, EngineId, EngineInfo, FromEngine, LogEvent, MapId, Metrics, NoSnapshot, Outcome, RunEnd,
    RunEvent, RunId, SessionId, Standing, ToClient, ToEngine,
};
use chorus_system::signal;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

/// How long the second lifeline may take to follow the first.
const LAST_WORDS: Duration = Duration::from_millis(300);
/// How long a process may take to join.
const JOIN_LIMIT: Duration = Duration::from_secs(30);
/// A process that lived shorter than this died at once.
const QUICK_DEATH: Duration = Duration::from_secs(10);
/// After so many quick deaths in a row an engine is given up.
const QUICK_DEATHS: u32 = 5;

/// A run that an engine has and hasn't ended.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct UnderWay {
    pub session: SessionId,
    pub run: RunId,
    /// The map that it serves.
    pub map: Option<MapId>,
    pub label: String,
    pub started: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Engine {
    pub state: State,
    /// When the process that the launcher runs for it was started; `None` while there is none.
    pub process: Option<Duration>,
    /// Whether it is started again, which is in the pool of this number.
    pub pool: Option<usize>,
    quick_deaths: u32,
    /// Why its last start has failed, if it did.
    pub failed: Option<String>,
    /// Sessions that have variables there.
    pub holders: BTreeSet<SessionId>,
    /// Since when it has been of no use.
    pub idle_since: Option<Duration>,
    /// When it joined, and when it will be ended from outside, if that is known.
    pub ends: Option<(Duration, Duration)>,
    /// Whether it gets nothing more, and leaves when it has done what it has.
    pub draining: bool,
    /// Whether it was said that it won't come back.
    pub is_given_up: bool,
    pub last_seen: Duration,
    /// Whether it finds blobs in the controller's folder; else it was sent some.
    pub shares_files: bool,
    /// In the order in which they were sent.
    pub runs: VecDeque<UnderWay>,
    pub runs_done: u64,
    pub runs_failed: u64,
    pub restarts: u64,
    /// What was said over its connections.
    pub line: Line,
    /// Since when an engine that is `Up` is awaited by a controller that was started again; its peer is no more.
    pub away: Option<Duration>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum State {
    /// Its process runs and hasn't joined yet.
    Starting { since: Duration },
    /// It takes runs.
    Up { peer: PeerId, info: EngineInfo },
    /// One lifeline is gone. It takes no runs, but those that it has may still end.
    Going { peer: Option<PeerId>, since: Duration, reason: String },
    /// It was declared lost, and its process was told to die.
    Dying,
}

impl Engine {
    pub fn launched(pool: usize, now: Duration) -> Engine {
        Engine { process: Some(now), pool: Some(pool), ..Engine::by_hand(State::Starting { since: now }, now) }
    }

    fn by_hand(state: State, now: Duration) -> Engine {
        Engine {
            state,
            process: None,
            pool: None,
            quick_deaths: 0,
            failed: None,
            holders: BTreeSet::new(),
            idle_since: None,
            ends: None,
            draining: false,
            is_given_up: false,
            last_seen: now,
            shares_files: true,
            runs: VecDeque::new(),
            runs_done: 0,
            runs_failed: 0,
            restarts: 0,
            line: Line::default(),
            away: None,
        }
    }

    /// Another process is to be it, or is: what is known of the one before says nothing of this one.
    fn renew(&mut self) {
        self.holders.clear();
        (self.idle_since, self.ends) = (None, None);
    }

    /// Its connection, if it takes work.
    pub fn worker(&self) -> Option<&PeerId> {
        self.peer().filter(|_| !self.draining)
    }

    /// Its connection, if it takes messages.
    pub fn peer(&self) -> Option<&PeerId> {
        match &self.state {
            State::Up { peer, .. } => Some(peer),
            _ => None,
        }
    }

    /// How long it goes on by itself while it can't be reached.
    pub fn lease(&self) -> Option<Duration> {
        self.info()?.lease.map(|seconds| Duration::from_secs(seconds.into()))
    }

    pub fn info(&self) -> Option<&EngineInfo> {
        match &self.state {
            State::Up { info, .. } => Some(info),
            _ => None,
        }
    }

    fn position(&self, session: SessionId, run: RunId) -> Option<usize> {
        self.runs.iter().position(|under_way| under_way.session == session && under_way.run == run)
    }

    /// Takes note that a run began; false if it isn't under way.
    pub fn begin(&mut self, session: SessionId, run: RunId) -> bool {
        let under_way = self.position(session, run).and_then(|at| self.runs.get_mut(at));
        under_way.map(|under_way| under_way.started = true).is_some()
    }

    /// Takes note that a run ended, and returns it; `None` if it isn't under way.
    pub fn end(&mut self, session: SessionId, run: RunId, end: RunEnd) -> Option<UnderWay> {
        let ended = self.runs.remove(self.position(session, run)?);
        self.count(end);
        ended
    }

    /// The run under way that serves a map: the first, if there are several.
    pub fn serves(&self, session: SessionId, map: MapId) -> Option<RunId> {
        let mut runs = self.runs.iter();
        runs.find(|under_way| under_way.session == session && under_way.map == Some(map)).map(|it| it.run)
    }

    /// A worker that went with its engine counts once, with it.
    fn count(&mut self, end: RunEnd) {
        self.runs_done += 1;
        self.runs_failed += u64::from(end != RunEnd::Ok);
        self.restarts += u64::from(matches!(end, RunEnd::Died | RunEnd::Restored));
    }

    /// A worker that was stopped on purpose doesn't count, and one that went with its engine counts once, with it.
    pub fn count_death(&mut self, death: Death) {
        self.restarts += u64::from(!matches!(death, Death::Stopped | Death::EngineLost));
    }
}

impl Core {
    pub(super) fn engine_said(&mut self, peer: PeerId, message: FromEngine, actions: &mut Vec<Action>) {
        if let FromEngine::Register { version, id, info, shares_files, standing } = message {
            return self.register(peer, version, (id, info, shares_files), standing, actions);
        }
        let Some(&id) = self.engine_peers.get(&peer) else {
            self.rejected += 1;
            return;
        };
        if let Some(engine) = self.engines.get_mut(&id) {
            engine.last_seen = self.now;
            engine.line.count(&message);
        }
        match message {
            FromEngine::Register { .. } | FromEngine::Heartbeat | FromEngine::Received(_) => {}
            FromEngine::NeedBlob(blob) => actions.push(Action::ReadBlob(peer, blob)),
            FromEngine::Run { session, run, event } => self.relay(id, session, run, event, actions),
            FromEngine::WorkerLost { session, death, aftermath, generation } => {
                self.worker_lost(id, session, (death, aftermath), generation, actions);
            }
            FromEngine::MapReady { session, map, reports } => self.map_ready(id, session, map, reports, actions),
            FromEngine::Result { session, run, value } => self.task_returned(session, run, value, actions),
            FromEngine::Metrics(used) => self.measured(id, *used),
            FromEngine::Holds { session, variables } => {
                self.holds(id, session, &variables);
                // It may be closed by now.
                if let Some(session) = self.number(session) {
                    self.log(LogEvent::EngineHolds { engine: id, session, variables });
                }
            }
            FromEngine::Goodbye => {
                actions.push(Action::DisconnectEngine(peer.clone()));
                self.engine_disconnected(&peer, "left the cluster", true, actions);
            }
        }
        self.confirm(id, actions);
    }

    fn register(
        &mut self,
        peer: PeerId,
        version: u16,
        (id, info, shares_files): (Option<EngineId>, EngineInfo, bool),
        standing: Standing,
        actions: &mut Vec<Action>,
    ) {
        if self.engine_peers.contains_key(&peer) {
            self.rejected += 1;
            return;
        }
        let back = self.engine_of(standing.life);
        let id = back.or(id).unwrap_or_else(|| self.lowest_free_id());
        let refusal = if version != chorus_protocol::VERSION {
            Some(format!(
                "the cluster `{}` speaks version {} of the protocol and this engine version {version}: \
                 start the engine with the program that started the cluster",
                self.config.name,
                chorus_protocol::VERSION
            ))
        } else if self.stop != Stop::No {
            Some(format!("the cluster `{}` is stopping", self.config.name))
        } else if back.is_some() {
            None
        } else if standing.returns {
            Some(format!("the cluster `{}` has given this engine up while it was away", self.config.name))
        } else {
            match self.engines.get(&id).map(|engine| &engine.state) {
                None | Some(State::Starting { .. } | State::Going { peer: None, .. }) => None,
                Some(State::Up { .. } | State::Going { .. } | State::Dying) => {
                    Some(format!("the cluster `{}` has an engine {id} already", self.config.name))
                }
            }
        };
        if let Some(reason) = refusal {
            actions.push(Action::ToEngines(vec![peer], ToEngine::Refused(reason)));
            return;
        }
        if back.is_some() {
            return self.come_back(id, peer, info, standing.received, actions);
        }
        if matches!(self.engines.get(&id).map(|engine| &engine.state), Some(State::Going { .. })) {
            // What it said between its two connections is lost, and with it how its runs went.
            self.report_loss(id, format!("engine {id} lost its connection and came back"), true, actions);
        }
        let up = State::Up { peer: peer.clone(), info: info.clone() };
        let now = self.now;
        match self.engines.get_mut(&id) {
            Some(engine) => (engine.state, engine.last_seen) = (up, now),
            None => _ = self.engines.insert(id, Engine::by_hand(up, now)),
        }
        if let Some(engine) = self.engines.get_mut(&id) {
            engine.renew();
            engine.failed = None;
            engine.shares_files = shares_files;
            let ends_in = info.ends_in.map(|seconds| Duration::from_secs(seconds.into()));
            engine.ends = ends_in.map(|time| (now, now + time));
            engine.line = Line::of(standing.life);
        }
        self.engine_peers.insert(peer.clone(), id);
        self.adopt(id, actions);
        actions.push(Action::ToEngines(vec![peer.clone()], self.registered(id)));
        for &session in self.sessions.keys() {
            actions.push(Action::ToEngines(vec![peer.clone()], ToEngine::OpenSession(session)));
        }
        self.log(LogEvent::EngineUp { engine: id, info: info.clone() });
        if !self.engines.get(&id).is_some_and(|it| it.draining) {
            self.tell_clients(ToClient::EngineUp { engine: id, info }, actions);
        }
        let sessions: Vec<SessionId> = self.sessions.keys().copied().collect();
        sessions.into_iter().for_each(|session| self.start_tasks(session, actions));
    }

    /// The answer to an engine that joins, or comes back.
    pub(super) fn registered(&self, id: EngineId) -> ToEngine {
        let heartbeat_ms = u32::try_from(millis(self.config.heartbeat)).unwrap_or(u32::MAX);
        let received = self.engines.get(&id).map_or(0, |engine| engine.line.received());
        ToEngine::Registered { id, heartbeat_ms, received }
    }

    pub(super) fn lowest_free_id(&self) -> EngineId {
        // The ids are in order, so the first that differs from its place leaves that place free.
        let taken = self.engines.keys().zip(0..).take_while(|&(id, place)| id.0 == place).count();
        EngineId(u32::try_from(taken).unwrap_or(u32::MAX))
    }

    pub(super) fn engine_disconnected(&mut self, peer: &PeerId, how: &str, leaves: bool, actions: &mut Vec<Action>) {
        let Some(&id) = self.engine_peers.get(peer) else { return };
        let Some(engine) = self.engines.get_mut(&id) else { return };
        if !leaves && engine.lease().is_some() {
            // It is taken for present, and what it is to be sent waits for it, until its lease is over.
            engine.away.get_or_insert(self.now);
            return;
        }
        self.engine_peers.remove(peer);
        let reason = format!("engine {id} {how}");
        match (&mut engine.state, engine.process) {
            (State::Up { .. }, Some(_)) => engine.state = State::Going { peer: None, since: self.now, reason },
            (State::Up { .. }, None) => self.lose(id, reason, actions),
            // Its process had gone first: now both are.
            (State::Going { reason, .. }, _) => {
                let reason = reason.clone();
                self.lose(id, reason, actions);
            }
            (State::Starting { .. } | State::Dying, _) => {}
        }
    }

    pub(super) fn engine_exited(&mut self, id: EngineId, exit: Exit, actions: &mut Vec<Action>) {
        let Some(engine) = self.engines.get_mut(&id) else { return };
        let Some(started) = engine.process.take() else { return };
        let joined = !matches!(engine.state, State::Starting { .. });
        // Whoever sends these means this one process, and not those that would come after it.
        let from_outside = matches!(exit, Exit::Signal(signal::KILL | signal::TERMINATE));
        if !joined || (self.now.saturating_sub(started) < QUICK_DEATH && !from_outside) {
            engine.quick_deaths += 1;
        } else if !from_outside {
            engine.quick_deaths = 0;
        }
        let reason = format!("engine {id} {}", describe(&exit));
        match &engine.state {
            State::Up { peer, .. } => {
                engine.state = State::Going { peer: Some(peer.clone()), since: self.now, reason };
            }
            State::Going { .. } | State::Starting { .. } => self.lose(id, reason, actions),
            State::Dying => {
                if self.stop == Stop::No && engine.quick_deaths >= QUICK_DEATHS {
                    let reason = reason + &given_up(id, joined);
                    self.given_up.insert(id, reason.clone());
                    self.tell_down(id, reason, false, actions);
                }
                self.replace(id, actions);
            }
        }
    }

    /// Whoever is silent too long, or took too long to come or to go.
    pub(super) fn check_engines(&mut self, actions: &mut Vec<Action>) {
        let silence = self.config.heartbeat * MISSED_HEARTBEATS;
        let since = |then: Duration| self.now.saturating_sub(then);
        let lost: Vec<(EngineId, String)> = self
            .engines
            .iter()
            .filter_map(|(&id, engine)| match &engine.state {
                State::Starting { since: then } if engine.process.is_none() && since(*then) >= BACK_LIMIT => {
                    Some((id, String::new()))
                }
                State::Up { .. } if engine.away.is_some() => {
                    let limit = engine.lease().unwrap_or(BACK_LIMIT);
                    let is_late = engine.away.is_some_and(|then| since(then) >= limit);
                    is_late.then(|| {
                        let why = match engine.lease() {
                            Some(_) => format!("couldn't be reached for {} s", limit.as_secs()),
                            None => "didn't come back to its controller, which was started again".to_owned(),
                        };
                        (id, format!("engine {id} {why}"))
                    })
                }
                State::Up { .. } if engine.lease().is_none() && since(engine.last_seen) >= silence => {
                    let silent = since(engine.last_seen).as_secs_f32();
                    Some((id, format!("engine {id} gave no sign of life for {silent:.1} s")))
                }
                State::Going { since: then, reason, .. } if since(*then) >= LAST_WORDS => Some((id, reason.clone())),
                _ => None,
            })
            .collect();
        for engine in self.engines.values_mut() {
            // Its connection is of no use any more, and it is looking for another one.
            if let State::Up { peer, .. } = &engine.state
                && engine.away.is_none()
                && engine.lease().is_some()
                && self.now.saturating_sub(engine.last_seen) >= silence
            {
                actions.push(Action::DisconnectEngine(peer.clone()));
                engine.away = Some(self.now);
            }
        }
        for (&id, engine) in &mut self.engines {
            if let State::Starting { since: then } = &mut engine.state
                && self.now.saturating_sub(*then) >= JOIN_LIMIT
            {
                *then = self.now;
                actions.push(Action::AskForEngine(id));
            }
        }
        for (id, reason) in lost {
            self.lose(id, reason, actions);
        }
    }

    /// The engine ought to have joined by now.
    pub(super) fn engine_late(&mut self, id: EngineId, actions: &mut Vec<Action>) {
        if matches!(self.engines.get(&id).map(|engine| &engine.state), Some(State::Starting { .. })) {
            let reason = format!("engine {id} was started and didn't join within {} s", JOIN_LIMIT.as_secs());
            self.lose(id, reason, actions);
        }
    }

    /// The engine is no more: says so, and sees to a new one.
    pub(super) fn lose(&mut self, id: EngineId, mut reason: String, actions: &mut Vec<Action>) {
        let Some(engine) = self.engines.get_mut(&id) else { return };
        let restarting =
            engine.pool.is_some() && !engine.draining && self.stop == Stop::No && engine.quick_deaths < QUICK_DEATHS;
        let hopeless = engine.pool.is_some() && engine.quick_deaths >= QUICK_DEATHS;
        let joined = !matches!(engine.state, State::Starting { .. });
        if hopeless {
            reason.push_str(&given_up(id, joined));
            self.given_up.insert(id, reason.clone());
        }
        (engine.line, engine.away) = (Line::default(), None);
        if let State::Up { peer, .. } | State::Going { peer: Some(peer), .. } = &engine.state {
            self.engine_peers.remove(peer);
            actions.push(Action::DisconnectEngine(peer.clone()));
        }
        if joined {
            self.report_loss(id, reason, restarting, actions);
        } else if hopeless {
            self.tell_down(id, reason, restarting, actions);
        } else {
            engine.failed = Some(reason);
        }
        let Some(engine) = self.engines.get_mut(&id) else { return };
        if engine.process.is_some() {
            engine.state = State::Dying;
            actions.push(Action::KillEngine(id));
        } else {
            self.replace(id, actions);
        }
    }

    /// The process is gone and everybody knows: starts another, or forgets the engine.
    pub(super) fn replace(&mut self, id: EngineId, actions: &mut Vec<Action>) {
        let Some(engine) = self.engines.get_mut(&id) else { return };
        if let Some(pool) = engine.pool
            && !engine.draining
            && self.stop == Stop::No
            && engine.quick_deaths < QUICK_DEATHS
        {
            engine.state = State::Starting { since: self.now };
            engine.process = Some(self.now);
            engine.renew();
            self.log(LogEvent::EngineStarting { engine: id });
            actions.push(Action::StartEngines(pool, vec![id]));
        } else {
            let given_up = engine.is_given_up;
            if !given_up {
                self.tell_down(id, format!("engine {id} is gone"), false, actions);
            }
            self.engines.remove(&id);
        }
    }

    fn tell_down(&mut self, id: EngineId, reason: String, restarting: bool, actions: &mut Vec<Action>) {
        let drained = self.engines.get(&id).is_some_and(|it| it.draining);
        self.engines.get_mut(&id).into_iter().for_each(|it| it.is_given_up |= !restarting);
        self.log(LogEvent::EngineDown { engine: id, reason: reason.clone(), restarting });
        // Of one that was drained they know.
        if !drained {
            self.tell_clients(ToClient::EngineDown { engine: id, reason, restarting, quiet: false }, actions);
        }
    }

    /// What an engine uses, for the log.
    fn measured(&mut self, id: EngineId, used: Metrics<SessionId>) {
        let metrics = used.rename(|session| self.number(session));
        self.log(LogEvent::Measured { engine: id, metrics: Box::new(metrics) });
    }

    /// Tells clients of an engine's loss: why, how its runs ended, and the generation that its sessions go on with.
    fn report_loss(&mut self, id: EngineId, reason: String, restarting: bool, actions: &mut Vec<Action>) {
        let Some(engine) = self.engines.get_mut(&id) else { return };
        engine.restarts += u64::from(restarting);
        let runs = std::mem::take(&mut engine.runs);
        let outcome = Outcome::died(Death::EngineLost);
        let end = RunEnd::from(&outcome);
        for run in &runs {
            if let Some(session) = self.number(run.session) {
                let (run, took) = (run.run.0, Default::default());
                self.log(LogEvent::RunEnded { session, run, engine: id, end, took });
            }
        }
        self.tell_down(id, reason, restarting, actions);
        let Some(engine) = self.engines.get_mut(&id) else { return };
        runs.iter().for_each(|_| engine.count(end));
        for (&session_id, session) in &mut self.sessions {
            let generation = session.account(id).lose_engine();
            let mut idle = true;
            for run in runs.iter().filter(|run| run.session == session_id && run.run.task().is_none()) {
                idle = false;
                let event = RunEvent::Done { outcome: outcome.clone(), generation, took: Default::default() };
                session.send(ToClient::Run { session: session_id, run: run.run, engine: id, event }, actions);
            }
            if idle {
                let (death, aftermath) = (Death::EngineLost, Aftermath::Lost(NoSnapshot::Ended));
                let lost = ToClient::WorkerLost {
                    session: session_id,
                    engine: id,
                    death,
                    aftermath,
                    generation,
                    in_task: false,
                };
                session.send(lost, actions);
            }
        }
        for run in runs {
            self.leave_map(id, &run, &outcome, actions);
            self.leave_group(run.session, run.run, id, &outcome, actions);
            self.task_ended(id, run.session, run.run, (&outcome, 0, 0), actions);
        }
    }
}

fn describe(exit: &Exit) -> String {
    match exit {
        Exit::Status(status) => Death::Exit(*status).to_string(),
        Exit::Signal(signal) => Death::Signal(*signal).to_string(),
        Exit::Unknown => "has ended".to_owned(),
        Exit::NotStarted(why) => format!("couldn't be started: {why}"),
    }
}

/// What is told of an engine that isn't started any more.
fn given_up(id: EngineId, ran: bool) -> String {
    let (what, where_to_look) = match ran {
        true => ("it died", format!(": engine-{id}.log in the cluster's folder may say why")),
        false => ("its start failed", String::new()),
    };
    format!("; {what} {QUICK_DEATHS} times in a row, so it isn't started again{where_to_look}")
}
