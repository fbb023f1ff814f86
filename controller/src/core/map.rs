//! Maps: who asks for items, where they are sent, and who is told. Which items these are is decided in [`sharing`].

mod sharing;

pub(super) use sharing::Sharing;

use super::client::answer;
use super::engine::{Engine, UnderWay};
use super::{Action, Core, PeerId};
use chorus_protocol::{
    EngineId, LogEvent, MapEvent, MapId, MapSpec, Outcome, Piece, Report, RunId, SessionId, ToClient, ToEngine,
};
use std::collections::BTreeMap;

impl Core {
    pub(super) fn open_map(
        &mut self,
        peer: PeerId,
        session_id: SessionId,
        id: MapId,
        spec: &MapSpec,
        actions: &mut Vec<Action>,
    ) {
        let Some(session) = self.sessions.get_mut(&session_id).filter(|it| it.is_owned_by(&peer)) else {
            return answer(&peer, ToClient::SessionGone(session_id), actions);
        };
        if session.last_map.is_some_and(|last| id <= last) {
            return;
        }
        session.last_map = Some(id);
        let mut map = Sharing::new(spec);
        for (&engine, it) in &self.engines {
            if let Some(run) = it.serves(session_id, id) {
                map.join(engine, run, it.lease().is_some());
            }
        }
        session.maps.insert(id, map);
        let opened = LogEvent::MapOpened { session: session.number, map: id.0, items: spec.items, chunk: spec.chunk };
        self.log(opened);
        self.end_if_over(session_id, id, actions);
    }

    pub(super) fn close_map(&mut self, session: SessionId, id: MapId, actions: &mut Vec<Action>) {
        let Some(it) = self.sessions.get_mut(&session) else { return };
        let (number, Some(map)) = (it.number, it.maps.remove(&id)) else { return };
        self.log.settle(self.now);
        self.log(LogEvent::MapEnded { session: number, map: id.0 });
        self.tell_engines(&map.engines(), ToEngine::MapEnd { session, map: id }, actions);
    }

    /// Has a map rest, or go on.
    pub(super) fn rest_map(&mut self, session: SessionId, id: MapId, rests: bool, actions: &mut Vec<Action>) {
        let Some(map) = self.sessions.get_mut(&session).and_then(|it| it.maps.get_mut(&id)) else { return };
        let dismissed = map.rest(rests);
        self.tell_engines(&dismissed, ToEngine::MapEnd { session, map: id }, actions);
        self.wake_maps(session, actions);
    }

    /// Ends a map for its client, who hears that its runs have ended before all items were done.
    pub(super) fn cancel_map(
        &mut self,
        session: SessionId,
        id: MapId,
        actions: &mut Vec<Action>,
    ) -> Result<(), String> {
        let there = self.sessions.get(&session).is_some_and(|it| it.maps.contains_key(&id));
        if !there {
            return Err(format!("there is no map {id} in this session"));
        }
        let runs: Vec<(EngineId, RunId)> =
            self.engines.iter().filter_map(|(&engine, it)| Some((engine, it.serves(session, id)?))).collect();
        if runs.is_empty() {
            return Err(format!("map {id} runs on no engine now; its notebook can end it by `%cancel`"));
        }
        for (engine, run) in runs {
            self.tell_engines(&[engine], ToEngine::EndRun { session, run, kill: true }, actions);
        }
        Ok(())
    }

    /// An engine reports items and asks for more.
    pub(super) fn map_ready(
        &mut self,
        engine: EngineId,
        session_id: SessionId,
        id: MapId,
        reports: Vec<Report>,
        actions: &mut Vec<Action>,
    ) {
        let Some(session) = self.sessions.get_mut(&session_id) else { return };
        let Some(map) = session.maps.get_mut(&id) else {
            return self.tell_engines(&[engine], ToEngine::MapEnd { session: session_id, map: id }, actions);
        };
        let reports = map.at(self.now).report(engine, reports);
        // What it has done is all that it will do; or it is to do nothing more.
        let is_last = map.is_reported_only() || self.engines.get(&engine).is_some_and(|it| it.draining);
        let over = map.is_over();
        if !reports.is_empty() {
            self.log.add_done(session.number, id.0, engine, &reports);
            let event = MapEvent::Done(reports);
            session.send(ToClient::Map { session: session_id, map: id, engine: Some(engine), event }, actions);
        }
        if is_last {
            self.tell_engines(&[engine], ToEngine::MapEnd { session: session_id, map: id }, actions);
        }
        if over {
            return self.end_if_over(session_id, id, actions);
        }
        let Some(session) = self.sessions.get_mut(&session_id) else { return };
        if !session.is_full()
            && let Some(peer) = peer_of(&self.engines, engine)
            && let Some(map) = session.maps.get_mut(&id)
        {
            let pieces = map.hand_out(engine);
            send_work(peer, session_id, id, pieces, actions);
            self.log.set_left(session.number, id.0, engine, map.in_hand(engine));
        }
        let maps = self.sessions.get_mut(&session_id).map(|session| &mut session.maps);
        if maps.and_then(|maps| maps.get_mut(&id)).is_some_and(|map| map.dismisses(engine)) {
            self.tell_engines(&[engine], ToEngine::MapEnd { session: session_id, map: id }, actions);
        }
    }

    /// A run has ended on an engine: if it served a map, the items that it had go to others.
    pub(super) fn leave_map(
        &mut self,
        engine: EngineId,
        ended: &UnderWay,
        outcome: &Outcome,
        actions: &mut Vec<Action>,
    ) {
        let Some(id) = ended.map else { return };
        let Some(session) = self.sessions.get_mut(&ended.session) else { return };
        let Some(map) = session.maps.get_mut(&id) else { return };
        let given_up = map.leave(engine, ended.run, outcome);
        // The engine may have been given another run for it.
        if let Some(it) = self.engines.get(&engine)
            && let Some(next) = it.serves(ended.session, id)
        {
            map.join(engine, next, it.lease().is_some());
        }
        if let (Some((first, count)), Outcome::Died(death, _)) = (given_up, outcome) {
            let event = MapEvent::GivenUp { first, count, death: *death };
            session.send(ToClient::Map { session: ended.session, map: id, engine: Some(engine), event }, actions);
        }
        self.end_if_over(ended.session, id, actions);
        self.wake_maps(ended.session, actions);
    }

    /// Gives work to engines that had to wait for it.
    pub(super) fn wake_maps(&mut self, id: SessionId, actions: &mut Vec<Action>) {
        let Some(session) = self.sessions.get_mut(&id).filter(|session| !session.is_full()) else { return };
        for (&map_id, map) in &mut session.maps {
            for (engine, pieces) in map.at(self.now).wake(|engine| peer_of(&self.engines, engine).is_some()) {
                if let Some(peer) = peer_of(&self.engines, engine) {
                    send_work(peer, id, map_id, pieces, actions);
                }
            }
        }
    }

    fn end_if_over(&mut self, session_id: SessionId, id: MapId, actions: &mut Vec<Action>) {
        let Some(session) = self.sessions.get_mut(&session_id) else { return };
        if session.maps.get(&id).is_some_and(Sharing::is_over) {
            let over = ToClient::Map { session: session_id, map: id, engine: None, event: MapEvent::Over };
            session.send(over, actions);
            self.close_map(session_id, id, actions);
        }
    }
}

fn peer_of(engines: &BTreeMap<EngineId, Engine>, engine: EngineId) -> Option<&PeerId> {
    engines.get(&engine)?.worker()
}

fn send_work(peer: &PeerId, session: SessionId, map: MapId, pieces: Vec<Piece>, actions: &mut Vec<Action>) {
    if !pieces.is_empty() {
        actions.push(Action::ToEngines(vec![peer.clone()], ToEngine::MapWork { session, map, pieces }));
    }
}
