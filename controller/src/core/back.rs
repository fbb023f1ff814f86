//! What lets a controller that was killed and started again go on: its core is written down and read again
//! ([`crate::journal`]), and its engines and clients come back over new connections.
//!
//! A core that was read again knows what each engine was sent, up to the last message, so nothing is asked of engines
//! but how much of it they have. They are taken for present all the while: runs, pieces and tasks for them wait on their
//! lines.

use super::session::Owner;
use super::{Action, CLIENT_GRACE, Core, PeerId, State, Stop};
use chorus_protocol::{CONFIRM, EngineId, EngineInfo, FromEngine, LogEvent, Outbox, SessionId, ToClient, ToEngine};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long engines and clients may take to come back to a controller that was started again. They look for it several
/// times a second.
pub(super) const BACK_LIMIT: Duration = Duration::from_secs(10);

/// What was said between the controller and one process of an engine, over all its connections.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Line {
    /// The process, see [`chorus_protocol::Standing::life`].
    life: Option<u64>,
    outbox: Outbox<ToEngine>,
    /// Numbered messages that the engine has sent, and how many of them it knows to have arrived.
    received: u64,
    told: u64,
}

impl Line {
    pub fn of(life: u64) -> Line {
        Line { life: Some(life), ..Line::default() }
    }

    pub fn received(&self) -> u64 {
        self.received
    }

    /// Takes note of a message from the engine.
    pub fn count(&mut self, message: &FromEngine) {
        match message {
            FromEngine::Received(count) => self.outbox.confirm(*count),
            message => self.received += u64::from(message.is_numbered()),
        }
    }

    /// What the engine is to be told of what has arrived, if so many messages have come since the last time.
    fn confirmation(&mut self, least: u64) -> Option<ToEngine> {
        let due = self.received - self.told >= least;
        due.then(|| {
            self.told = self.received;
            ToEngine::Received(self.received)
        })
    }
}

impl Core {
    /// This core was read again, in another process that began at this time, in milliseconds since 1970: nobody is connected any more, and no process is watched.
    pub fn resume(&mut self, pid: u32, begun: u64, records: bool, actions: &mut Vec<Action>) {
        (self.config.pid, self.config.records) = (pid, records);
        self.log.go_on(pid, self.now, begun);
        if records {
            // What came last may not have been recorded any more.
            actions.push(Action::Record(self.log.state()));
        }
        let stayed = self.engines.values().filter(|engine| matches!(engine.state, State::Up { .. })).count();
        let (sessions, engines) = (self.sessions.len() as u32, stayed as u32);
        self.log(LogEvent::ControllerBack { pid, sessions, engines });
        self.restarts += 1;
        (self.last_tick, self.last_heartbeat) = (self.now, self.now);
        self.clients.clear();
        for session in self.sessions.values_mut() {
            session.owner = Owner::Away(self.now + BACK_LIMIT.saturating_sub(CLIENT_GRACE));
        }
        let engines: Vec<EngineId> = self.engines.keys().copied().collect();
        for id in engines {
            let Some(engine) = self.engines.get_mut(&id) else { continue };
            engine.process = None;
            engine.last_seen = self.now;
            match &mut engine.state {
                State::Up { .. } => engine.away = Some(self.now),
                State::Starting { since } => *since = self.now,
                State::Going { reason, .. } => {
                    let reason = reason.clone();
                    self.lose(id, reason, actions);
                }
                State::Dying => self.replace(id, actions),
            }
        }
    }

    /// Whether the cluster was to stop: then there is nothing to go on with.
    pub fn is_stopping(&self) -> bool {
        self.stop != Stop::No
    }

    /// How many engines are awaited.
    pub fn awaited(&self) -> u32 {
        self.engines.values().filter(|engine| engine.away.is_some()).count() as u32
    }

    /// Where the controller's clock stands.
    pub fn now(&self) -> Duration {
        self.now
    }

    /// The engine whose process this is, if it isn't given up.
    pub(super) fn engine_of(&self, life: u64) -> Option<EngineId> {
        let comes = |state: &State| matches!(state, State::Up { .. } | State::Going { peer: None, .. });
        let mut engines = self.engines.iter();
        engines.find(|(_, engine)| engine.line.life == Some(life) && comes(&engine.state)).map(|(&id, _)| id)
    }

    /// An engine goes on over another connection, and has `received` of what it was sent.
    pub(super) fn come_back(
        &mut self,
        id: EngineId,
        peer: PeerId,
        info: EngineInfo,
        received: u64,
        actions: &mut Vec<Action>,
    ) {
        let Some(engine) = self.engines.get_mut(&id) else { return };
        let Some(again) = engine.line.outbox.take(received) else {
            // Neither end could know what the other has done.
            let reason = format!("engine {id} came back and lacks what it was sent before");
            actions.push(Action::DisconnectEngine(peer));
            return self.lose(id, reason, actions);
        };
        let before = std::mem::replace(&mut engine.state, State::Up { peer: peer.clone(), info: info.clone() });
        let was_away = engine.away.take().is_some();
        engine.last_seen = self.now;
        if let State::Up { peer: old, .. } = before {
            self.engine_peers.remove(&old);
            if !was_away {
                actions.push(Action::DisconnectEngine(old));
            }
        } else if !engine.draining {
            // Who asked meanwhile was told that it isn't there.
            self.tell_clients(ToClient::EngineUp { engine: id, info }, actions);
        }
        self.engine_peers.insert(peer.clone(), id);
        self.adopt(id, actions);
        actions.push(Action::ToEngines(vec![peer.clone()], self.registered(id)));
        actions.extend(again.into_iter().map(|message| Action::ToEngines(vec![peer.clone()], message)));
        let sessions: Vec<SessionId> = self.sessions.keys().copied().collect();
        for session in sessions {
            self.wake_maps(session, actions);
            self.start_tasks(session, actions);
        }
    }

    /// Has the process of an engine watched that an earlier controller started.
    pub(super) fn adopt(&mut self, id: EngineId, actions: &mut Vec<Action>) {
        let Some(engine) = self.engines.get_mut(&id).filter(|it| it.process.is_none()) else { return };
        let Some(pool) = engine.pool else { return };
        let Some(pid) = engine.info().map(|info| info.pid) else { return };
        engine.process = Some(Duration::ZERO);
        actions.push(Action::AdoptEngine(pool, id, pid));
    }

    /// Keeps what engines are sent until they have it. Those that are awaited are sent it when they come.
    pub(super) fn put_on_lines(&mut self, from: usize, actions: &mut Vec<Action>) {
        let mut nobody = false;
        for action in actions.iter_mut().skip(from) {
            let Action::ToEngines(peers, message) = action else { continue };
            peers.retain(|peer| {
                let Some(engine) = self.engine_peers.get(peer).and_then(|id| self.engines.get_mut(id)) else {
                    return true;
                };
                if message.is_numbered() {
                    engine.line.outbox.push(message.clone());
                }
                engine.away.is_none()
            });
            nobody |= peers.is_empty();
        }
        if nobody {
            actions.retain(|action| !matches!(action, Action::ToEngines(peers, _) if peers.is_empty()));
        }
    }

    /// Tells an engine what has arrived, if it is much.
    pub(super) fn confirm(&mut self, id: EngineId, actions: &mut Vec<Action>) {
        if let Some(engine) = self.engines.get_mut(&id)
            && let Some(peer) = engine.peer().cloned()
            && let Some(confirmation) = engine.line.confirmation(CONFIRM)
        {
            actions.push(Action::ToEngines(vec![peer], confirmation));
        }
    }

    /// The same for all, whatever it is.
    pub(super) fn confirm_all(&mut self, actions: &mut Vec<Action>) {
        for engine in self.engines.values_mut().filter(|engine| engine.away.is_none()) {
            if let Some(peer) = engine.peer().cloned()
                && let Some(confirmation) = engine.line.confirmation(1)
            {
                actions.push(Action::ToEngines(vec![peer], confirmation));
            }
        }
    }
}

/// Messages that are shared with whoever sends them, written down as if they weren't.
pub(super) mod shared {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::collections::VecDeque;
    use std::sync::Arc;

    pub fn serialize<T: Serialize, S: Serializer>(messages: &VecDeque<Arc<T>>, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(messages.iter().map(|message| &**message))
    }

    pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<VecDeque<Arc<T>>, D::Error> {
        Ok(VecDeque::<T>::deserialize(from)?.into_iter().map(Arc::new).collect())
    }
}
