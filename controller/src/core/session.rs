//! What the controller keeps for an open session: whose it is, what its client hasn't confirmed, and how the
//! generations that engines count relate to those that clients see.

use super::group::Together;
use super::map::Sharing;
use super::task::Graph;
use super::{Action, PeerId};
use chorus_protocol::{BlobId, ClientInfo, EngineId, MapId, RunId, SessionNumber, ToClient};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// The most messages that are kept for a client that doesn't confirm them. A client that confirms as it should never
/// comes near, since engines stop at [`chorus_protocol::OUTPUT_WINDOW`].
const OUTBOX_MESSAGES: usize = 100_000;
/// The most output among them, in bytes.
const OUTBOX_BYTES: usize = 256 << 20;
/// With so much unconfirmed, maps wait: their results can come faster than the client takes them.
const MAPS_WAIT_BYTES: usize = 64 << 20;
/// And with so many messages: a client that is away for a moment shall find them all.
const MAPS_WAIT_MESSAGES: usize = OUTBOX_MESSAGES / 2;

/// Who gets a session's messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Owner {
    Client(PeerId),
    /// The client's connection broke at this time; it may come back.
    Away(Duration),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Session {
    /// Its number in the log.
    pub number: SessionNumber,
    pub owner: Owner,
    /// Who that is, for users.
    pub client: ClientInfo,
    /// What its runs may name, kept for it.
    pub blobs: BTreeSet<BlobId>,
    /// Messages that the client hasn't confirmed, oldest first: what a broken connection can lose.
    #[serde(with = "super::back::shared")]
    outbox: VecDeque<Arc<ToClient>>,
    outbox_bytes: usize,
    /// How many came before those.
    confirmed: u64,
    /// The last run taken. Ids grow, so one that isn't larger was sent twice, over two connections.
    pub last_run: Option<RunId>,
    /// The maps that are open, and the last one taken.
    pub maps: BTreeMap<MapId, Sharing>,
    pub last_map: Option<MapId>,
    pub tasks: Graph,
    /// How much its client prepares for engines.
    pub prepares: u32,
    /// By run; those of calls by the first one's.
    pub groups: BTreeMap<RunId, Together>,
    accounts: BTreeMap<EngineId, Account>,
}

/// What is counted of a session on one engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Account {
    /// Where the count of the engine's present process begins: a fresh process counts from 0 again, and clients must
    /// not take its variables for those of the one before.
    offset: u32,
    /// The latest generation that clients were told.
    latest: u32,
    /// Bytes of output on their way to the client.
    unacknowledged: u64,
}

impl Account {
    /// The engine's generation as clients see it.
    pub fn relayed(&mut self, generation: u32) -> u32 {
        let seen = self.offset.saturating_add(generation);
        self.latest = self.latest.max(seen);
        seen
    }

    /// The engine's process is gone; returns the generation that its successor begins with.
    pub fn lose_engine(&mut self) -> u32 {
        let next = self.latest.saturating_add(1);
        *self = Account { offset: next, latest: next, unacknowledged: 0 };
        next
    }

    pub fn sent(&mut self, weight: usize) {
        self.unacknowledged = self.unacknowledged.saturating_add(weight as u64);
    }

    fn acknowledge(&mut self, bytes: u64) -> u64 {
        let bytes = bytes.min(self.unacknowledged);
        self.unacknowledged -= bytes;
        bytes
    }
}

impl Session {
    pub fn new(number: SessionNumber, owner: PeerId, client: ClientInfo) -> Session {
        Session {
            number,
            owner: Owner::Client(owner),
            client,
            blobs: BTreeSet::new(),
            outbox: VecDeque::new(),
            outbox_bytes: 0,
            confirmed: 0,
            last_run: None,
            maps: BTreeMap::new(),
            last_map: None,
            tasks: Graph::default(),
            prepares: 0,
            groups: BTreeMap::new(),
            accounts: BTreeMap::new(),
        }
    }

    pub fn is_owned_by(&self, peer: &PeerId) -> bool {
        matches!(&self.owner, Owner::Client(owner) if owner == peer)
    }

    /// Its client's connection, if it has one now.
    pub fn peer(&self) -> Option<PeerId> {
        match &self.owner {
            Owner::Client(peer) => Some(peer.clone()),
            Owner::Away(_) => None,
        }
    }

    pub fn account(&mut self, engine: EngineId) -> &mut Account {
        self.accounts.entry(engine).or_default()
    }

    /// The latest generation on an engine that clients were told.
    pub fn latest(&self, engine: EngineId) -> u32 {
        self.accounts.get(&engine).map_or(0, |account| account.latest)
    }

    /// The generation of a target as the engine sees it, or `None` if its variables went with an earlier process.
    pub fn to_engine(&self, engine: EngineId, generation: u32) -> Option<u32> {
        generation.checked_sub(self.accounts.get(&engine).map_or(0, |account| account.offset))
    }

    /// How much of an acknowledgement is about output that was really sent.
    pub fn acknowledge(&mut self, engine: EngineId, bytes: u64) -> u64 {
        self.accounts.get_mut(&engine).map_or(0, |account| account.acknowledge(bytes))
    }

    /// Sends a message of the session to its client, now or when it comes back.
    pub fn send(&mut self, message: ToClient, actions: &mut Vec<Action>) {
        let message = Arc::new(message);
        self.outbox_bytes += weight(&message);
        self.outbox.push_back(message.clone());
        while self.outbox.len() > OUTBOX_MESSAGES || self.outbox_bytes > OUTBOX_BYTES {
            self.drop_oldest();
        }
        if let Owner::Client(peer) = &self.owner {
            actions.push(Action::ToClients(vec![peer.clone()], message));
        }
    }

    /// The client has received the session's first `count` messages.
    pub fn confirm(&mut self, count: u64) {
        while self.confirmed < count && !self.outbox.is_empty() {
            self.drop_oldest();
        }
    }

    /// By what [`Session::groups`] has the group of a run, if it has one.
    pub fn group_of(&self, run: RunId) -> RunId {
        self.tasks.first_of(run).map_or(run, |first| RunId::of_task(first, 0))
    }

    /// Whether maps are to wait until the client has taken more of what is there.
    pub fn is_full(&self) -> bool {
        self.outbox_bytes > MAPS_WAIT_BYTES || self.outbox.len() > MAPS_WAIT_MESSAGES
    }

    fn drop_oldest(&mut self) {
        if let Some(message) = self.outbox.pop_front() {
            self.outbox_bytes -= weight(&message);
            self.confirmed += 1;
        }
    }

    /// Gives the session to a client that doesn't say what it has received: it gets all that isn't confirmed.
    pub fn take_over(&mut self, peer: PeerId, actions: &mut Vec<Action>) {
        self.resume(peer, self.confirmed, actions);
    }

    /// Gives the session to a client that has received its first `received` messages, and sends the others again.
    /// False if they are no longer there.
    pub fn resume(&mut self, peer: PeerId, received: u64, actions: &mut Vec<Action>) -> bool {
        self.confirm(received);
        if self.confirmed != received {
            return false;
        }
        self.owner = Owner::Client(peer.clone());
        actions.extend(self.outbox.iter().map(|message| Action::ToClients(vec![peer.clone()], message.clone())));
        true
    }

    #[cfg(test)]
    pub fn kept(&self) -> usize {
        self.outbox.len()
    }
}

fn weight(message: &ToClient) -> usize {
    match message {
        ToClient::Run { event, .. } => event.weight(),
        ToClient::Map { event, .. } => event.weight(),
        ToClient::Task { event, .. } => event.weight(),
        _ => 0,
    }
}
