//! The task that knows where outposts and engines are, and does what the launcher is told.

use super::{Distant, Host, Hosts, Order, PLACES, Provider, Site};
use crate::core::Exit;
use chorus_protocol::EngineId;
use chorus_remote::{Arrival, FromOutpost, Gateway, LEASE, ToOutpost, receive, send};
use chorus_system::signal;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::MissedTickBehavior;

/// How long after its lease an outpost is given up.
const SLACK: Duration = Duration::from_secs(5);
/// One whose connection was closed, as by the end of its process, comes back at once or not at all.
const CLOSED: Duration = Duration::from_secs(5);
const BEAT: Duration = Duration::from_secs(1);
/// An outpost that says nothing for so long can't be reached.
const SILENCE: Duration = Duration::from_secs(8);
/// A host that was found is let go of when it has had no engine for so long. One that crashed has another before.
const IDLE: Duration = Duration::from_secs(10);
/// How often a queue is looked at.
const QUEUE: Duration = Duration::from_secs(2);

/// One of the hosts.
struct OneHost {
    host: Host,
    state: State,
    engines: BTreeMap<EngineId, Engine>,
    /// Since when it has no engine.
    idle: Option<Instant>,
}

impl OneHost {
    fn of(host: Host) -> OneHost {
        OneHost { host, state: State::Absent, engines: BTreeMap::new(), idle: None }
    }
}

/// What is known of an engine that was started.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Engine {
    /// Its outpost hasn't been told yet.
    Wanted,
    /// It has.
    Started,
}

enum State {
    /// No outpost is there.
    Absent,
    /// One is being brought, by this task, which is told when it has come.
    Coming(AbortHandle, oneshot::Sender<()>),
    /// It is there, over the connection of this number.
    There { number: u64, out: mpsc::UnboundedSender<ToOutpost> },
    /// It can't be reached, and may come back.
    Away { until: Instant },
}

/// See the module.
pub(super) struct Work {
    places: Vec<OneHost>,
    /// What hosts are called that are found when there are engines for them; otherwise all are there from the start.
    found: Option<&'static str>,
    /// What was said of it last, and when it was looked at.
    queue: Arc<Mutex<Option<String>>>,
    looked: Option<Instant>,
    provider: Arc<dyn Provider>,
    gateway: Arc<Gateway>,
    pool: u32,
    orders: mpsc::UnboundedSender<Order>,
    waiting: Arc<Mutex<HashSet<EngineId>>>,
    ended: Box<dyn Fn(EngineId, Exit) + Send>,
    connections: u64,
    /// Engines that an earlier launcher has started, on whichever host.
    adopted: BTreeSet<EngineId>,
}

impl Work {
    pub fn new(
        hosts: Hosts,
        provider: Arc<dyn Provider>,
        (gateway, pool): (Arc<Gateway>, u32),
        told: &Distant,
        ended: impl Fn(EngineId, Exit) + Send + 'static,
    ) -> Work {
        let (hosts, found) = match hosts {
            Hosts::Named(hosts) => (hosts, None),
            Hosts::Found(name) => (Vec::new(), Some(name)),
        };
        Work {
            places: hosts.into_iter().map(OneHost::of).collect(),
            found,
            queue: Arc::clone(&told.queue),
            looked: None,
            provider,
            gateway,
            pool,
            orders: told.orders.clone(),
            waiting: Arc::clone(&told.waiting),
            ended: Box::new(ended),
            connections: 0,
            adopted: BTreeSet::new(),
        }
    }

    pub async fn work(mut self, mut inbox: mpsc::UnboundedReceiver<Order>) {
        let mut tick = tokio::time::interval(BEAT);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let order = tokio::select! {
                order = inbox.recv() => order,
                _ = tick.tick() => {
                    self.check();
                    continue;
                }
            };
            match order {
                None => return,
                Some(Order::Start(engines)) => engines.into_iter().for_each(|engine| self.start(engine)),
                Some(Order::Adopt(engine)) => _ = self.adopted.insert(engine),
                Some(Order::Signal(engine, signal)) => self.signal(engine, signal),
                Some(Order::Brought(place, result)) => self.brought(place, result),
                Some(Order::Queue(queue)) => *self.queue.lock() = queue.filter(|_| self.comes()),
                Some(Order::Arrived(arrival)) => self.arrived(*arrival),
                Some(Order::Said(place, number, said)) if self.is_current(place, number) => self.said(place, said),
                Some(Order::Said(..)) => {}
                Some(Order::Lost { at, number, closed }) if self.is_current(at, number) => {
                    let limit = if closed { CLOSED } else { LEASE + SLACK };
                    self.places[at].state = State::Away { until: Instant::now() + limit };
                }
                Some(Order::Lost { .. }) => {}
                Some(Order::End(done)) => {
                    self.end(&mut inbox).await;
                    _ = done.send(());
                    return;
                }
            }
        }
    }

    fn is_current(&self, place: usize, number: u64) -> bool {
        matches!(self.places.get(place).map(|it| &it.state), Some(State::There { number: own, .. }) if *own == number)
    }

    fn start(&mut self, engine: EngineId) {
        let Some(at) = self.place_for_one() else {
            return (self.ended)(engine, Exit::NotStarted("there is no host for it".to_owned()));
        };
        let place = &mut self.places[at];
        place.engines.insert(engine, Engine::Wanted);
        match &place.state {
            State::There { .. } => self.tell_wanted(at),
            State::Absent => self.bring(at),
            State::Coming(..) | State::Away { .. } => {}
        }
    }

    /// A host without engines, where they are found, or the one that has the fewest for what it is meant for.
    fn place_for_one(&mut self) -> Option<usize> {
        let Some(name) = self.found else {
            let load = |place: &OneHost| (place.engines.len() as u64 + 1) * 1_000 / u64::from(place.host.slots.max(1));
            return (0..self.places.len()).min_by_key(|at| load(&self.places[*at]));
        };
        let is_free =
            |place: &OneHost| place.engines.is_empty() && matches!(place.state, State::Absent | State::There { .. });
        let free = self.places.iter().position(is_free);
        free.or_else(|| (self.places.len() < PLACES).then(|| self.find(name)))
    }

    /// One host more.
    fn find(&mut self, name: &str) -> usize {
        self.places.push(OneHost::of(Host { name: name.to_owned(), slots: 1 }));
        self.places.len() - 1
    }

    /// Whether any outpost is being brought.
    fn comes(&self) -> bool {
        self.places.iter().any(|place| matches!(place.state, State::Coming(..)))
    }

    fn bring(&mut self, at: usize) {
        let (provider, gateway, orders) = (Arc::clone(&self.provider), Arc::clone(&self.gateway), self.orders.clone());
        let host = self.places[at].host.name.clone();
        let place = self.pool * PLACES as u32 + at as u32;
        let (come, arrived) = oneshot::channel();
        let task = tokio::spawn(async move {
            let site = Site { host: &host, place, gateway: &gateway, arrived };
            let brought = provider.bring(site).await;
            let brought = brought.map_err(|why| format!("no engine can be started on {host}: {why}"));
            _ = orders.send(Order::Brought(at, brought));
        });
        self.places[at].state = State::Coming(task.abort_handle(), come);
    }

    fn brought(&mut self, at: usize, result: Result<(), String>) {
        let Some(place) = self.places.get_mut(at) else { return };
        match (result, &place.state) {
            // It has arrived, or is about to.
            (Ok(()), State::Coming(..)) => place.state = State::Away { until: Instant::now() + CLOSED },
            (Ok(()), _) => {}
            (Err(why), State::Coming(..)) => self.give_up(at, &Exit::NotStarted(why)),
            (Err(why), _) => tracing::warn!(why, "an outpost has come and is said not to have"),
        }
    }

    /// Nothing of the place is there any more.
    fn give_up(&mut self, at: usize, exit: &Exit) {
        let place = &mut self.places[at];
        place.state = State::Absent;
        for engine in std::mem::take(&mut place.engines).into_keys() {
            self.waiting.lock().remove(&engine);
            (self.ended)(engine, exit.clone());
        }
    }

    fn arrived(&mut self, arrival: Arrival) {
        let Arrival { hello, stream } = arrival;
        let at = hello.place as usize;
        // An earlier controller may have found it.
        if let Some(name) = self.found {
            while self.places.len() <= at.min(PLACES - 1) {
                self.find(name);
            }
        }
        if at >= self.places.len() {
            return tracing::warn!(place = at, "an outpost has come whose place there isn't");
        }
        self.connections += 1;
        let number = self.connections;
        let (out, outbox) = mpsc::unbounded_channel();
        let orders = self.orders.clone();
        tokio::spawn(async move {
            let closed = talk(stream, outbox, |said| _ = orders.send(Order::Said(at, number, said))).await;
            _ = orders.send(Order::Lost { at, number, closed });
        });
        let running: BTreeSet<EngineId> = hello.running.iter().copied().collect();
        for engine in running.iter().filter(|engine| self.adopted.remove(engine)) {
            self.places[at].engines.insert(*engine, Engine::Started);
        }
        let before = std::mem::replace(&mut self.places[at].state, State::There { number, out });
        if let State::Coming(_, come) = before {
            // Not everyone who brings outposts waits for that.
            _ = come.send(());
        }
        for (engine, exit) in hello.ended {
            self.said(at, FromOutpost::Ended(engine, exit));
        }
        // What it doesn't know was lost with another outpost, or on the way.
        let engines = &mut self.places[at].engines;
        for (engine, state) in engines.iter_mut() {
            if *state == Engine::Started && !running.contains(engine) {
                *state = Engine::Wanted;
            }
        }
        let unknown: Vec<EngineId> = running.into_iter().filter(|engine| !engines.contains_key(engine)).collect();
        unknown.into_iter().for_each(|engine| self.tell(at, ToOutpost::Signal(engine, signal::KILL)));
        self.tell_wanted(at);
    }

    fn tell(&self, at: usize, what: ToOutpost) {
        if let State::There { out, .. } = &self.places[at].state {
            // If it is gone, that is told in a moment.
            _ = out.send(what);
        }
    }

    fn tell_wanted(&mut self, at: usize) {
        let mut started = Vec::new();
        for (engine, state) in &mut self.places[at].engines {
            if *state == Engine::Wanted {
                *state = Engine::Started;
                started.push(*engine);
            }
        }
        for engine in started {
            self.waiting.lock().remove(&engine);
            self.tell(at, ToOutpost::Start(engine));
        }
    }

    fn signal(&mut self, engine: EngineId, signal: i32) {
        let Some(at) = self.places.iter().position(|place| place.engines.contains_key(&engine)) else { return };
        if self.places[at].engines.get(&engine) == Some(&Engine::Wanted) {
            // It never ran.
            self.places[at].engines.remove(&engine);
            self.waiting.lock().remove(&engine);
            self.give_back(at);
            return (self.ended)(engine, Exit::Signal(signal));
        }
        match &self.places[at].state {
            State::There { .. } => self.tell(at, ToOutpost::Signal(engine, signal)),
            // Who can't be reached is killed by the end of its lease, or when it comes back and nobody knows it.
            _ if signal == signal::KILL => {
                self.places[at].engines.remove(&engine);
                (self.ended)(engine, Exit::Unknown);
            }
            _ => {}
        }
    }

    /// Nothing waits any more for a host that was looked for and has no engine to come.
    fn give_back(&mut self, at: usize) {
        let place = &mut self.places[at];
        if let State::Coming(task, _) = &place.state
            && self.found.is_some()
            && place.engines.is_empty()
        {
            task.abort();
            place.state = State::Absent;
        }
    }

    fn said(&mut self, at: usize, said: FromOutpost) {
        let FromOutpost::Ended(engine, exit) = said else { return };
        self.tell(at, ToOutpost::Heard(engine));
        // An older end than the start that is wanted now is none of it.
        if self.places[at].engines.get(&engine) == Some(&Engine::Started) {
            self.places[at].engines.remove(&engine);
            (self.ended)(engine, exit);
        }
    }

    /// Gives up outposts whose lease is over, shows the others a sign of life, and lets go of what isn't needed.
    fn check(&mut self) {
        self.look_at_queue();
        for at in 0..self.places.len() {
            let is_idle = self.is_idle(at);
            match &self.places[at].state {
                State::There { .. } if is_idle => {
                    self.tell(at, ToOutpost::Leave);
                    self.places[at].state = State::Absent;
                }
                State::There { .. } => self.tell(at, ToOutpost::Beat),
                State::Away { until } if Instant::now() > *until => self.give_up(at, &Exit::Unknown),
                _ => {}
            }
        }
    }

    /// Whether a host that was found has had no engine for long.
    fn is_idle(&mut self, at: usize) -> bool {
        let place = &mut self.places[at];
        if self.found.is_none() || !place.engines.is_empty() {
            place.idle = None;
            return false;
        }
        place.idle.get_or_insert_with(Instant::now).elapsed() > IDLE
    }

    fn look_at_queue(&mut self) {
        if !self.comes() {
            *self.queue.lock() = None;
        } else if self.looked.is_none_or(|looked| looked.elapsed() > QUEUE) {
            self.looked = Some(Instant::now());
            let (provider, orders) = (Arc::clone(&self.provider), self.orders.clone());
            tokio::spawn(async move {
                if let Ok(queue) = tokio::time::timeout(SILENCE, provider.queue()).await {
                    _ = orders.send(Order::Queue(queue));
                }
            });
        }
    }

    async fn end(&mut self, inbox: &mut mpsc::UnboundedReceiver<Order>) {
        let mut there: BTreeSet<usize> =
            (0..self.places.len()).filter(|at| matches!(self.places[*at].state, State::There { .. })).collect();
        there.iter().for_each(|at| self.tell(*at, ToOutpost::Leave));
        for place in &self.places {
            if let State::Coming(task, _) = &place.state {
                task.abort();
            }
        }
        while !there.is_empty() {
            match inbox.recv().await {
                Some(Order::Said(at, number, FromOutpost::Left) | Order::Lost { at, number, .. })
                    if self.is_current(at, number) =>
                {
                    there.remove(&at);
                }
                None => return,
                Some(_) => {}
            }
        }
    }
}

/// Carries what is said over one connection, until it is of no use any more. Whether it was closed.
async fn talk<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    mut outbox: mpsc::UnboundedReceiver<ToOutpost>,
    said: impl Fn(FromOutpost),
) -> bool {
    let (mut from, mut to) = tokio::io::split(stream);
    let writing = tokio::spawn(async move {
        while let Some(message) = outbox.recv().await {
            if !matches!(tokio::time::timeout(SILENCE, send(&mut to, &message)).await, Ok(Ok(()))) {
                return;
            }
        }
    });
    let closed = loop {
        match tokio::time::timeout(SILENCE, receive::<FromOutpost>(&mut from)).await {
            Ok(Ok(message)) => said(message),
            Ok(Err(error)) => break error.kind() != std::io::ErrorKind::TimedOut,
            Err(_) => break false,
        }
    };
    writing.abort();
    closed
}
