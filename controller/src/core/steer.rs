//! What operators have the cluster do.

use super::engine::{Engine, State};
use super::{Action, Core, Stop};
use crate::launch::Pool;
use chorus_protocol::{
    ClientInfo, EngineId, LogEvent, MapId, Order, SessionId, SessionNumber, TaskId, ToClient, ToEngine, name_engines,
};

/// More engines than anybody starts on purpose.
const MOST_ENGINES: u32 = 10_000;

/// The same of pools.
const MOST_POOLS: usize = 256;

impl Core {
    /// Does it, or says why not: then nothing was done.
    pub(super) fn steer(
        &mut self,
        who: &ClientInfo,
        order: Order,
        actions: &mut Vec<Action>,
    ) -> Result<String, String> {
        if self.stop != Stop::No {
            return Err(format!("the cluster `{}` is stopping", self.config.name));
        }
        let what = match order {
            Order::Interrupt { engines, signal } => {
                self.check(&engines)?;
                self.tell_engines(&engines, ToEngine::InterruptAll(signal), actions);
                format!("interrupted {}", name_engines(&engines))
            }
            Order::Restart { engines } => {
                self.check(&engines)?;
                self.tell_engines(&engines, ToEngine::RestartAll, actions);
                format!("restarted the workers of {}", name_engines(&engines))
            }
            Order::Kill { engines, signal } => {
                self.check(&engines)?;
                let away =
                    |id: &&EngineId| self.engines.get(id).is_some_and(|it| it.pool.is_some() && it.process.is_none());
                let away: Vec<EngineId> = engines.iter().filter(away).copied().collect();
                if !away.is_empty() {
                    return Err(format!(
                        "{} isn't back yet since the controller was started again",
                        name_engines(&away)
                    ));
                }
                let by_hand = |id: &&EngineId| self.engines.get(id).is_some_and(|it| it.process.is_none());
                let by_hand: Vec<EngineId> = engines.iter().filter(by_hand).copied().collect();
                if !by_hand.is_empty() {
                    let which = name_engines(&by_hand);
                    return Err(format!(
                        "{which} joined by hand, and can't be reached by signals: drain it, or end it where it was started"
                    ));
                }
                actions.extend(engines.iter().map(|&engine| Action::SignalEngine(engine, signal)));
                format!("sent signal {signal} to {}", name_engines(&engines))
            }
            Order::Scale { engines } => self.scale(engines, actions)?,
            Order::Adapt(wanted) => self.adapt(wanted, actions)?,
            Order::Add { engines, pool } => self.add(engines, &pool, actions)?,
            Order::Drain { engines } => {
                self.check(&engines)?;
                self.drain_all(&engines, actions)
            }
            Order::CancelTask { session, task } => {
                let (id, peer) = self.session_of(session)?;
                let Some(peer) = peer else { return Err(format!("session {session} has no client now")) };
                let mut ended = false;
                self.with_tasks(id, &peer, actions, |tasks, effects| ended = tasks.cancel(TaskId(task), effects));
                if !ended {
                    return Err(format!("there is no call {task} of session {session} that hasn't ended"));
                }
                format!("cancelled call {task} of session {session}")
            }
            Order::CancelMap { session, map } => {
                let (id, _) = self.session_of(session)?;
                self.cancel_map(id, MapId(map), actions)?;
                format!("cancelled map {map} of session {session}")
            }
        };
        self.log(LogEvent::Steered { by: who.clone(), what: what.clone() });
        Ok(what)
    }

    /// What the cluster does by itself, for the log.
    pub(super) fn log_of_its_own(&mut self, what: String) {
        let (pid, host) = (self.config.pid, self.config.host.clone());
        let by = ClientInfo { name: "the cluster".to_owned(), pid, host };
        self.log(LogEvent::Steered { by, what });
    }

    pub(super) fn check_launches(&self) -> Result<(), String> {
        match self.config.launches {
            true => Ok(()),
            false => Err("this cluster has no way to start engines".to_owned()),
        }
    }

    /// All of them have to be there.
    fn check(&self, engines: &[EngineId]) -> Result<(), String> {
        let lacking = |id: &&EngineId| self.engines.get(id).is_none_or(|it| it.peer().is_none());
        let lacking: Vec<EngineId> = engines.iter().filter(lacking).copied().collect();
        match (engines, &lacking[..]) {
            ([], _) => Err("name at least one engine".to_owned()),
            (_, []) => Ok(()),
            (_, lacking) => {
                let there: Vec<EngineId> = self.engines.keys().copied().collect();
                Err(format!("there is no {}; there are {}", name_engines(lacking), name_engines(&there)))
            }
        }
    }

    fn session_of(&self, number: SessionNumber) -> Result<(SessionId, Option<super::PeerId>), String> {
        let found = self.sessions.iter().find(|(_, session)| session.number == number);
        let (&id, session) = found.ok_or_else(|| format!("there is no session {number}"))?;
        Ok((id, session.peer()))
    }

    pub(super) fn scale(&mut self, wanted: u32, actions: &mut Vec<Action>) -> Result<String, String> {
        self.check_launches()?;
        if wanted > MOST_ENGINES {
            return Err(format!("{wanted} engines are more than the {MOST_ENGINES} that are allowed"));
        }
        let staying: Vec<EngineId> = self.engines.iter().filter(|(_, it)| !it.draining).map(|(&id, _)| id).collect();
        let count = staying.len() as u32;
        if wanted < count {
            let leaving: Vec<EngineId> = staying.into_iter().skip(wanted as usize).collect();
            return Ok(self.drain_all(&leaving, actions));
        }
        if wanted == count {
            return Ok(format!("there are {count} engines already"));
        }
        // Where the last ones came from.
        Ok(self.launch(self.pools.len() - 1, wanted - count, actions))
    }

    /// Engines of a pool that may be new.
    fn add(&mut self, engines: u32, pool: &str, actions: &mut Vec<Action>) -> Result<String, String> {
        self.check_launches()?;
        let count = self.staying();
        if engines == 0 || engines > MOST_ENGINES.saturating_sub(count) {
            return Err(format!("{engines} engines can't be added to {count}: {MOST_ENGINES} in all are allowed"));
        }
        let pool = Pool::read(pool)?;
        let number = match self.pools.iter().position(|it| *it == pool) {
            Some(number) => number,
            None if self.pools.len() >= MOST_POOLS => {
                return Err(format!("there are {MOST_POOLS} kinds of engines already"));
            }
            None => {
                actions.push(Action::AddPool(Box::new(pool.clone())));
                self.pools.push(pool);
                self.pools.len() - 1
            }
        };
        Ok(self.launch(number, engines, actions))
    }

    /// More engines of a pool.
    pub(super) fn launch(&mut self, pool: usize, engines: u32, actions: &mut Vec<Action>) -> String {
        // Whoever asks for more looks at those.
        self.given_up.clear();
        let mut coming = Vec::new();
        for _ in 0..engines {
            let id = self.lowest_free_id();
            self.engines.insert(id, Engine::launched(pool, self.now));
            self.log(LogEvent::EngineStarting { engine: id });
            coming.push(id);
        }
        actions.push(Action::StartEngines(pool, coming.clone()));
        format!("starting {}", name_engines(&coming))
    }

    /// Because somebody wants it.
    fn drain_all(&mut self, engines: &[EngineId], actions: &mut Vec<Action>) -> String {
        engines.iter().for_each(|&engine| self.drain(engine, "it was drained", false, actions));
        format!("draining {}, to leave when their work is done", name_engines(engines))
    }

    /// The engine gets nothing more. To clients it is gone already; what it has still ends, and is told. `quiet` if there
    /// is nothing that anybody could miss.
    pub(super) fn drain(&mut self, id: EngineId, why: &str, quiet: bool, actions: &mut Vec<Action>) {
        let Some(engine) = self.engines.get_mut(&id).filter(|it| !it.draining) else { return };
        engine.draining = true;
        self.log(LogEvent::EngineDraining { engine: id });
        let sessions: Vec<SessionId> = self.sessions.keys().copied().collect();
        for session in sessions {
            let Some(it) = self.sessions.get(&session) else { continue };
            let serves = |map: MapId| self.engines.get(&id).is_some_and(|it| it.serves(session, map).is_some());
            // Those over items of its own it finishes.
            let shared = it.maps.iter().filter(|(map, sharing)| !sharing.is_reported_only() && serves(**map));
            let shared: Vec<MapId> = shared.map(|(map, _)| *map).collect();
            for map in shared {
                // It ends when it has done what it has begun; the others take over what it was given besides.
                self.tell_engines(&[id], ToEngine::MapEnd { session, map }, actions);
            }
        }
        self.tell_clients(
            ToClient::EngineDown { engine: id, reason: why.to_owned(), restarting: false, quiet },
            actions,
        );
        self.dismiss_drained(actions);
    }

    /// Those that are to leave and have nothing more to do.
    pub(super) fn dismiss_drained(&mut self, actions: &mut Vec<Action>) {
        let done = |it: &&Engine| it.draining && it.runs.is_empty();
        let peers: Vec<_> = self.engines.values().filter(done).filter_map(Engine::peer).cloned().collect();
        if !peers.is_empty() {
            actions.push(Action::ToEngines(peers, ToEngine::Shutdown));
        }
        let starting = |it: &Engine| it.draining && matches!(it.state, State::Starting { .. });
        let starting = self.engines.iter().filter(|(_, it)| starting(it));
        let starting: Vec<_> = starting.map(|(&id, it)| (id, it.process.is_some())).collect();
        for (id, has_process) in starting {
            match has_process {
                true => actions.push(Action::KillEngine(id)),
                false => self.lose(id, format!("engine {id} was drained"), actions),
            }
        }
    }
}
