//! The way of a run: from its client to the engines, and its events back.

use super::client::answer;
use super::engine::UnderWay;
use super::group::Together;
use super::log::label as beginning;
use super::{Action, Core, PeerId};
use chorus_protocol::{
    Aftermath, Death, EngineId, LogEvent, Outcome, RunEnd, RunEvent, RunId, RunSpec, SessionId, Target, ToClient,
    ToEngine, Work,
};
use std::collections::BTreeSet;

impl Core {
    /// Sends a message to those of the engines that take messages.
    pub(super) fn tell_engines(&self, engines: &[EngineId], message: ToEngine, actions: &mut Vec<Action>) {
        let peers = engines.iter().filter_map(|id| self.engines.get(id)?.peer().cloned());
        let peers: BTreeSet<PeerId> = peers.collect();
        if !peers.is_empty() {
            actions.push(Action::ToEngines(peers.into_iter().collect(), message));
        }
    }

    pub(super) fn run(
        &mut self,
        peer: PeerId,
        (session_id, run): (SessionId, RunId),
        spec: &RunSpec,
        targets: &[Target],
        actions: &mut Vec<Action>,
    ) {
        // Engines that are being started again count, so that ranks stay what they were.
        let ranks: Vec<EngineId> = self.engines.iter().filter(|(_, it)| !it.draining).map(|(&id, _)| id).collect();
        let size = ranks.len() as u32;
        // Calls that engines make together are sent first, as they came: in another order, engines would wait for each other.
        self.start_tasks(session_id, actions);
        let Some(session) = self.sessions.get_mut(&session_id).filter(|it| it.is_owned_by(&peer)) else {
            return answer(&peer, ToClient::SessionGone(session_id), actions);
        };
        if session.last_run.is_some_and(|last| run <= last) {
            return;
        }
        session.last_run = Some(run);
        let number = session.number;
        if spec.together.is_some() && !targets.is_empty() {
            let members: BTreeSet<EngineId> = targets.iter().map(|target| target.engine).collect();
            session.groups.insert(run, Together::new(number, run, members.into_iter().collect()));
        }
        let mut left = Vec::new();
        let mut sent = Vec::new();
        let mut asked = BTreeSet::new();
        for target in targets.iter().filter(|target| asked.insert(target.engine)) {
            let id = target.engine;
            let up = self.engines.get_mut(&id).and_then(|it| Some((it.worker()?.clone(), it)));
            let outcome = match (up, target.generation.map(|generation| session.to_engine(id, generation))) {
                (None, _) => Outcome::NoSuchEngine,
                (Some(_), Some(None)) => Outcome::Stale,
                (Some((peer, engine)), generation) => {
                    let label = spec.label.clone();
                    let map = spec.map;
                    engine.runs.push_back(UnderWay { session: session_id, run, map, label, started: false });
                    if let Some(map) = map.and_then(|map| session.maps.get_mut(&map)) {
                        map.join(id, run, engine.lease().is_some());
                    }
                    let group = session.groups.get(&run).map(|together| Box::new(together.of(id)));
                    let rank = ranks.partition_point(|&other| other < id) as u32;
                    let (generation, spec) = (generation.flatten(), spec.clone());
                    let message = ToEngine::Run { session: session_id, run, spec, generation, rank, size, group };
                    actions.push(Action::ToEngines(vec![peer], message));
                    sent.push(id);
                    continue;
                }
            };
            left.push((id, outcome.clone()));
            let event = RunEvent::Done { outcome, generation: session.latest(id), took: Default::default() };
            session.send(ToClient::Run { session: session_id, run, engine: id, event }, actions);
        }
        for (id, outcome) in left {
            self.leave_group(session_id, run, id, (&outcome).into(), actions);
        }
        if !sent.is_empty() {
            let work = spec.map.map_or(Work::Cell, |map| Work::Map(map.0));
            let label = beginning(&spec.label);
            self.log(LogEvent::RunQueued { session: number, run: run.0, work, label, engines: sent });
        }
    }

    /// An event of a run, on its way from the engine to the client.
    pub(super) fn relay(
        &mut self,
        id: EngineId,
        session_id: SessionId,
        run: RunId,
        mut event: RunEvent,
        actions: &mut Vec<Action>,
    ) {
        let Some(session) = self.sessions.get_mut(&session_id) else { return };
        let Some(engine) = self.engines.get_mut(&id) else { return };
        let number = session.number;
        let account = session.account(id);
        let mut ended = None;
        let is_task = run.task().is_some();
        let wanted = match &mut event {
            RunEvent::Started(snapshot) => {
                session.tasks.began(run, self.now);
                let begun = engine.begin(session_id, run);
                if begun {
                    let snapshot = snapshot.as_ref().ok().copied();
                    self.log.add(self.now, LogEvent::RunStarted { session: number, run: run.0, engine: id, snapshot });
                }
                begun && !is_task
            }
            RunEvent::Done { outcome, generation, took } => {
                *generation = account.relayed(*generation);
                let end = (outcome.clone(), *generation, took.wall);
                // What panics in a call is caught, so its run ends well, and without a result.
                let how = match is_task && *outcome == Outcome::Ok && !session.tasks.has_result(run) {
                    true => RunEnd::Failed,
                    false => (&*outcome).into(),
                };
                ended = engine.end(session_id, run, how).map(|run| (run, end));
                if let Some((ended, _)) = &ended {
                    if let Some(why) = outcome.why() {
                        self.log.add_failure(self.now, (number, run, id), true, &why);
                    }
                    let entry = LogEvent::RunEnded { session: number, run: run.0, engine: id, end: how, took: *took };
                    self.log.add(self.now, entry);
                    // It was told to end before its map was over: to the client, the engine is gone.
                    let open = ended.map.and_then(|map| session.maps.get(&map));
                    if engine.draining && *outcome == Outcome::Ok && open.is_some_and(|map| !map.is_reported_only()) {
                        *outcome = Outcome::NoSuchEngine;
                    }
                }
                ended.is_some() && !is_task
            }
            // Threads of a run may print after its end.
            RunEvent::Output { .. } | RunEvent::Display { .. } | RunEvent::ClearOutput { .. } | RunEvent::Panic(_) => {
                account.sent(event.weight());
                if let RunEvent::Panic(panic) = &event {
                    let own = panic.thread.is_none();
                    session.tasks.panicked(run, &panic.message, own);
                    self.log.add_failure(self.now, (number, run, id), own, &panic.message);
                }
                true
            }
        };
        if wanted {
            session.send(ToClient::Run { session: session_id, run, engine: id, event }, actions);
        }
        if let Some((run, (outcome, generation, micros))) = ended {
            self.leave_map(id, &run, &outcome, actions);
            if is_task {
                self.task_ended(id, session_id, run.run, (&outcome, generation, micros), actions);
            } else {
                self.leave_group(session_id, run.run, id, (&outcome).into(), actions);
            }
            self.dismiss_drained(actions);
        }
    }

    pub(super) fn worker_lost(
        &mut self,
        id: EngineId,
        session_id: SessionId,
        (death, aftermath): (Death, Aftermath),
        generation: u32,
        actions: &mut Vec<Action>,
    ) {
        if let Some(engine) = self.engines.get_mut(&id) {
            engine.count_death(death);
        }
        if let Some(session) = self.number(session_id) {
            let (how, restored) = (death.to_string(), aftermath == Aftermath::Restored);
            let stopped = matches!(death, Death::Stopped | Death::EngineLost);
            self.log(LogEvent::WorkerLost { session, engine: id, how, stopped, restored });
        }
        if let Some(session) = self.sessions.get_mut(&session_id) {
            let generation = session.account(id).relayed(generation);
            let lost =
                ToClient::WorkerLost { session: session_id, engine: id, death, aftermath, generation, in_task: false };
            session.send(lost, actions);
            session.maps.values_mut().for_each(|map| map.vacate(id));
            self.wake_maps(session_id, actions);
        }
    }
}
