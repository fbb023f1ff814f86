//! Engines: joining, dying, being started again.
//!
//! An engine that the launcher started has two lifelines, its process and its connection. When one is gone, the other
//! follows in moments; waiting for it gives the engine's last messages time to arrive, and the exit status time to
//! explain the broken connection. After the controller was started again, neither may be there for a while: see `back`.

mod account;

pub(super) use account::{Engine, State, UnderWay};

use super::back::{BACK_LIMIT, Line};
use super::{Action, Core, Exit, MISSED_HEARTBEATS, PeerId, Stop, millis};
use chorus_protocol::{
    Aftermath, Death, EngineId, EngineInfo, FromEngine, LogEvent, Metrics, NoSnapshot, Outcome, RunEnd, RunEvent,
    SessionId, Standing, ToClient, ToEngine,
};
use chorus_system::signal;
use std::time::Duration;

/// How long the second lifeline may take to follow the first.
const LAST_WORDS: Duration = Duration::from_millis(300);
/// How long a process may take to join.
const JOIN_LIMIT: Duration = Duration::from_secs(30);
/// A process that lived shorter than this died at once.
const QUICK_DEATH: Duration = Duration::from_secs(10);
/// After so many quick deaths in a row an engine is given up.
const QUICK_DEATHS: u32 = 5;

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
            FromEngine::Joined { session, run } => self.group_is_used(session, run, actions),
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
            if run.run.task().is_none() {
                self.leave_group(run.session, run.run, id, (&outcome).into(), actions);
            }
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
