//! Clients: joining, opening sessions, leaving and coming back.

use super::engine::Engine;
use super::group::removals;
use super::log::label as beginning;
use super::session::{Owner, Session};
use super::{Action, CLIENT_GRACE, CLIENT_SILENCE, Client, Core, PeerId, SAID};
use bytes::Bytes;
use chorus_protocol::{
    BlobId, ClientInfo, Death, FromClient, LogEvent, Outcome, RunEvent, SessionId, ToClient, ToEngine,
};
use std::collections::BTreeSet;
use std::collections::btree_map::Entry;
use std::sync::Arc;

/// The most entries of the log in one message.
const LOG_MESSAGE: usize = 2_000;

impl Core {
    pub(super) fn client_said(&mut self, peer: PeerId, message: FromClient, actions: &mut Vec<Action>) {
        if let FromClient::Hello { version, info, life } = message {
            return self.hello(peer, version, info, life, actions);
        }
        let Some(client) = self.clients.get_mut(&peer) else {
            self.rejected += 1;
            return;
        };
        client.seen = self.now;
        if message.is_numbered() {
            let said = self.said.entry(client.life).or_default();
            (said.count, said.at) = (said.count + 1, self.now);
        }
        match message {
            FromClient::Hello { .. } => {}
            FromClient::Ping => answer(&peer, ToClient::Pong, actions),
            FromClient::Status => answer(&peer, ToClient::Status(self.status(&peer)), actions),
            FromClient::OpenSession(session) => self.open_session(peer, session, actions),
            FromClient::Resume { session, received } => {
                let resumed =
                    self.sessions.get_mut(&session).is_some_and(|it| it.resume(peer.clone(), received, actions));
                if resumed {
                    self.wake_maps(session, actions);
                    self.start_tasks(session, actions);
                } else {
                    self.close_session(session, actions);
                    answer(&peer, ToClient::SessionGone(session), actions);
                }
            }
            FromClient::Received { session, count } => {
                if let Some(it) = self.owned(session, &peer) {
                    it.confirm(count);
                    self.wake_maps(session, actions);
                    self.start_tasks(session, actions);
                }
            }
            FromClient::CloseSession(session) => {
                if self.owned(session, &peer).is_some() {
                    self.close_session(session, actions);
                }
            }
            FromClient::PutBlob { session, id, bytes } => self.put_blob(&peer, session, id, bytes, actions),
            FromClient::DropBlob { session, id } => {
                if self.owned(session, &peer).is_some_and(|it| it.blobs.remove(&id)) {
                    self.drop_unneeded(&[id], actions);
                }
            }
            FromClient::Run { session, run, spec, targets } => {
                self.run(peer, (session, run), &spec, &targets, actions);
            }
            FromClient::Ack { session, engine, bytes } => {
                let Some(it) = self.owned(session, &peer) else { return };
                let bytes = it.acknowledge(engine, bytes);
                if bytes > 0 {
                    self.tell_engines(&[engine], ToEngine::Ack { session, bytes }, actions);
                }
            }
            FromClient::Interrupt { session, targets, signal } => {
                if self.owned(session, &peer).is_some() {
                    self.tell_engines(&targets, ToEngine::Interrupt { session, signal }, actions);
                }
            }
            FromClient::EndRun { session, run, engine } => {
                if self.owned(session, &peer).is_some() {
                    self.tell_engines(&[engine], ToEngine::EndRun { session, run, kill: true }, actions);
                }
            }
            FromClient::Prepare { session, begins } => {
                if let Some(it) = self.owned(session, &peer) {
                    it.prepares = if begins { it.prepares.saturating_add(1) } else { it.prepares.saturating_sub(1) };
                }
            }
            FromClient::RestartSession { session, targets } => {
                if self.owned(session, &peer).is_some() {
                    self.tell_engines(&targets, ToEngine::RestartSession(session), actions);
                }
            }
            FromClient::OpenMap { session, map, spec } => self.open_map(peer, session, map, &spec, actions),
            FromClient::CloseMap { session, map } => {
                if self.owned(session, &peer).is_some() {
                    self.close_map(session, map, actions);
                }
            }
            FromClient::RestMap { session, map, rests } => {
                if self.owned(session, &peer).is_some() {
                    self.rest_map(session, map, rests, actions);
                }
            }
            FromClient::SubmitTask { session, task, spec } => self.submit_task(peer, session, task, spec, actions),
            FromClient::SubmitTogether { session, first, spec, engines } => {
                self.submit_together(peer, session, first, &spec, engines, actions);
            }
            FromClient::CancelTask { session, task } => {
                self.with_tasks(session, &peer, actions, |tasks, effects| _ = tasks.cancel(task, effects));
            }
            FromClient::ForgetTask { session, task } => {
                self.with_tasks(session, &peer, actions, |tasks, effects| tasks.forget(task, effects));
            }
            FromClient::FollowLog(from) => {
                // What isn't told yet comes once, with what it asks for.
                self.log.leave(&peer);
                self.tell_log(actions);
                let mut after = from.saturating_sub(1);
                for entries in self.log.follow(peer.clone(), from).chunks(LOG_MESSAGE) {
                    answer(&peer, ToClient::Log { after, entries: entries.to_vec() }, actions);
                    after = entries.last().map_or(after, |entry| entry.number);
                }
            }
            FromClient::LeaveLog => self.log.leave(&peer),
            FromClient::Compiled { session, label, micros, cached } => {
                if let Some(number) = self.owned(session, &peer).map(|it| it.number) {
                    let label = beginning(&label);
                    self.log(LogEvent::Compiled { session: number, label, micros, cached });
                }
            }
            FromClient::Holds { session, held } => {
                if let Some(session) = self.owned(session, &peer).map(|it| it.number) {
                    self.log(LogEvent::NotebookHolds { session, held });
                }
            }
            FromClient::Steer { ticket, order } => {
                let who = client.info.clone();
                let result = self.steer(&who, order, actions);
                answer(&peer, ToClient::Steered { ticket, result }, actions);
            }
            FromClient::Shutdown => {
                let who = client.info.clone();
                self.shut_down(Some(who), actions);
            }
            FromClient::Goodbye => {
                self.clients.remove(&peer);
                self.log.leave(&peer);
                self.close_sessions_of(|owner| *owner == Owner::Client(peer.clone()), actions);
            }
        }
    }

    fn hello(&mut self, peer: PeerId, version: u16, info: ClientInfo, life: u64, actions: &mut Vec<Action>) {
        if version != chorus_protocol::VERSION {
            let reason = format!(
                "the cluster `{}` speaks version {} of the protocol and this program version {version}: \
                 stop the cluster and start it again with this program",
                self.config.name,
                chorus_protocol::VERSION
            );
            return answer(&peer, ToClient::Refused(reason), actions);
        }
        // What is still to come over an earlier connection of the same client it says again over this one.
        self.clients.retain(|_, client| client.life != life);
        self.clients.insert(peer.clone(), Client { seen: self.now, info, life });
        let received = self.said.get(&life).map_or(0, |said| said.count);
        answer(&peer, ToClient::Welcome { status: self.status(&peer), received }, actions);
    }

    /// The session, if it is this client's.
    pub(super) fn owned(&mut self, session: SessionId, peer: &PeerId) -> Option<&mut Session> {
        self.sessions.get_mut(&session).filter(|it| it.is_owned_by(peer))
    }

    fn open_session(&mut self, peer: PeerId, session: SessionId, actions: &mut Vec<Action>) {
        let Some(client) = self.clients.get(&peer).map(|client| client.info.clone()) else { return };
        match self.sessions.entry(session) {
            Entry::Occupied(entry) if entry.get().is_owned_by(&peer) => {}
            // Only its owner knows a session's id: this is the client that opened it, on a new connection.
            Entry::Occupied(mut entry) => entry.get_mut().take_over(peer, actions),
            Entry::Vacant(entry) => {
                self.sessions_opened += 1;
                let number = self.sessions_opened;
                entry.insert(Session::new(number, peer, client.clone()));
                self.log(LogEvent::SessionOpened { session: number, client });
                let engines: Vec<_> = self.engines.keys().copied().collect();
                self.tell_engines(&engines, ToEngine::OpenSession(session), actions);
            }
        }
    }

    fn close_session(&mut self, id: SessionId, actions: &mut Vec<Action>) {
        let Some(mut session) = self.sessions.remove(&id) else { return };
        self.log.settle(self.now);
        self.log(LogEvent::SessionClosed { session: session.number });
        for (&engine_id, engine) in &mut self.engines {
            let generation = session.latest(engine_id);
            engine.runs.retain(|run| {
                if run.session == id && run.run.task().is_none() {
                    let outcome = if run.started { Outcome::died(Death::Stopped) } else { Outcome::Cancelled };
                    let event = RunEvent::Done { outcome, generation, took: Default::default() };
                    session.send(ToClient::Run { session: id, run: run.run, engine: engine_id, event }, actions);
                }
                run.session != id
            });
        }
        let engines: Vec<_> = self.engines.keys().copied().collect();
        self.tell_engines(&engines, ToEngine::CloseSession(id), actions);
        actions.extend(std::mem::take(&mut session.tasks).into_files().map(Action::RemoveFile));
        actions.extend(removals(std::mem::take(&mut session.groups).into_values()));
        let blobs: Vec<BlobId> = session.blobs.into_iter().collect();
        self.drop_unneeded(&blobs, actions);
    }

    fn put_blob(
        &mut self,
        peer: &PeerId,
        session: Option<SessionId>,
        id: BlobId,
        bytes: Bytes,
        actions: &mut Vec<Action>,
    ) {
        if BlobId::of(&bytes) != id {
            self.rejected += 1;
            return;
        }
        match session {
            None => _ = self.libraries.insert(id),
            Some(session) => match self.owned(session, peer) {
                Some(it) => _ = it.blobs.insert(id),
                // It was closed meanwhile: no run will ask for them.
                None => return,
            },
        }
        actions.push(Action::StoreBlob(id, bytes));
    }

    /// Removes those of these blobs that no session needs. Whoever has loaded one keeps it; engines that were sent one
    /// are told.
    fn drop_unneeded(&self, blobs: &[BlobId], actions: &mut Vec<Action>) {
        let needed = |id: &BlobId| self.sessions.values().any(|session| session.blobs.contains(id));
        for &id in blobs.iter().filter(|id| !self.libraries.contains(id) && !needed(id)) {
            actions.push(Action::RemoveBlob(id));
            let sent = self.engines.values().filter(|engine| !engine.shares_files).filter_map(Engine::peer);
            let sent: Vec<PeerId> = sent.cloned().collect();
            if !sent.is_empty() {
                actions.push(Action::ToEngines(sent, ToEngine::DropBlob(id)));
            }
        }
    }

    fn close_sessions_of(&mut self, which: impl Fn(&Owner) -> bool, actions: &mut Vec<Action>) {
        let closing: Vec<SessionId> =
            self.sessions.iter().filter(|(_, session)| which(&session.owner)).map(|(&id, _)| id).collect();
        closing.into_iter().for_each(|id| self.close_session(id, actions));
    }

    pub(super) fn client_disconnected(&mut self, peer: &PeerId) {
        self.clients.remove(peer);
        self.log.leave(peer);
        for session in self.sessions.values_mut().filter(|session| session.is_owned_by(peer)) {
            session.owner = Owner::Away(self.now);
        }
    }

    pub(super) fn check_clients(&mut self, actions: &mut Vec<Action>) {
        let now = self.now;
        let connected: BTreeSet<u64> = self.clients.values().map(|client| client.life).collect();
        self.said.retain(|life, said| connected.contains(life) || now.saturating_sub(said.at) < SAID);
        let silent: Vec<PeerId> = self
            .clients
            .iter()
            .filter(|(_, client)| now.saturating_sub(client.seen) >= CLIENT_SILENCE)
            .map(|(peer, _)| peer.clone())
            .collect();
        for peer in silent {
            self.clients.remove(&peer);
            self.log.leave(&peer);
            self.close_sessions_of(|owner| *owner == Owner::Client(peer.clone()), actions);
            actions.push(Action::DisconnectClient(peer));
        }
        self.close_sessions_of(
            |owner| matches!(owner, Owner::Away(since) if now.saturating_sub(*since) >= CLIENT_GRACE),
            actions,
        );
    }
}

pub(super) fn answer(peer: &PeerId, message: ToClient, actions: &mut Vec<Action>) {
    actions.push(Action::ToClients(vec![peer.clone()], Arc::new(message)));
}
