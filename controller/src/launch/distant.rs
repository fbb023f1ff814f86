//! Engines on other hosts. On each host an outpost starts them; something that can start programs on that host
//! ([`Provider`]) brings the outpost there. From then on, outposts do what is said here over their own connection.

mod work;

use self::work::Work;
use super::Launcher;
use crate::core::Exit;
use chorus_protocol::EngineId;
use chorus_remote::{Arrival, FromOutpost, Gateway};
use chorus_system::signal;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// A host, and how many engines it is meant for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Its name, as whatever starts programs there knows it.
    pub name: String,
    /// How many engines.
    pub slots: u32,
}

/// The hosts that there are.
pub(super) enum Hosts {
    /// These.
    Named(Vec<Host>),
    /// One for each engine, which the provider finds when there is an engine for it; it is called this in messages.
    Found(&'static str),
}

/// Where an outpost is to be.
pub(crate) struct Site<'a> {
    /// The host's name.
    pub host: &'a str,
    /// Its place among the cluster's.
    pub place: u32,
    /// Where the outpost is to join, and who invites it.
    pub gateway: &'a Gateway,
    /// It has joined.
    pub arrived: oneshot::Receiver<()>,
}

/// Starts programs on other hosts.
pub(crate) trait Provider: Debug + Send + Sync {
    /// Has an outpost join from there with the invitation for this place, and returns when it has, or with a sentence why
    /// it hasn't. Nobody waits for it any more when this is dropped.
    fn bring<'a>(&'a self, site: Site<'a>) -> BoxFuture<'a, Result<(), String>>;

    /// How many of what it is to bring wait for their turn, and for what, in words.
    fn queue(&self) -> BoxFuture<'_, Option<String>> {
        std::future::ready(None).boxed()
    }
}

/// Whatever an outpost says, there aren't more places.
const PLACES: usize = 1 << 16;

/// The pool of one of the cluster's places.
pub(super) fn pool_of(place: u32) -> u32 {
    place / PLACES as u32
}

/// The same place as the pool counts it.
pub(super) fn within(place: u32) -> u32 {
    place % PLACES as u32
}

/// How long outposts may take to end their engines, when all is to end.
const END: Duration = Duration::from_secs(8);

enum Order {
    Start(Vec<EngineId>),
    Adopt(EngineId),
    Signal(EngineId, i32),
    /// A host's outpost was brought, or couldn't be.
    Brought(usize, Result<(), String>),
    /// What the provider says of its queue.
    Queue(Option<String>),
    Arrived(Box<Arrival>),
    Said(usize, u64, FromOutpost),
    /// The connection of this number is of no use any more. It was closed, or nothing came.
    Lost {
        at: usize,
        number: u64,
        closed: bool,
    },
    End(std::sync::mpsc::Sender<()>),
}

/// See the module.
pub(super) struct Distant {
    orders: mpsc::UnboundedSender<Order>,
    /// Engines whose outpost is being brought.
    waiting: Arc<Mutex<HashSet<EngineId>>>,
    queue: Arc<Mutex<Option<String>>>,
}

impl Debug for Distant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Distant")
    }
}

impl Distant {
    /// With the gateway comes the number of the pool that `arrivals` are of, by the pool's own count. `ended` is called once
    /// for each engine that was started.
    pub fn start(
        hosts: Hosts,
        provider: Arc<dyn Provider>,
        (gateway, pool): (Arc<Gateway>, u32),
        mut arrivals: mpsc::UnboundedReceiver<Arrival>,
        ended: impl Fn(EngineId, Exit) + Send + 'static,
    ) -> Distant {
        let (orders, inbox) = mpsc::unbounded_channel();
        let distant = Distant { orders, waiting: Arc::default(), queue: Arc::default() };
        let work = Work::new(hosts, provider, (gateway, pool), &distant, ended);
        let arrived = distant.orders.clone();
        tokio::spawn(async move {
            while let Some(arrival) = arrivals.recv().await {
                _ = arrived.send(Order::Arrived(Box::new(arrival)));
            }
        });
        tokio::spawn(work.work(inbox));
        distant
    }
}

impl Launcher for Distant {
    fn start(&self, engines: &[EngineId]) {
        self.waiting.lock().extend(engines);
        _ = self.orders.send(Order::Start(engines.to_vec()));
    }

    fn is_waiting(&self, engine: EngineId) -> bool {
        self.waiting.lock().contains(&engine)
    }

    fn queue(&self) -> Option<String> {
        self.queue.lock().clone()
    }

    fn adopt(&self, engine: EngineId, _: u32) {
        _ = self.orders.send(Order::Adopt(engine));
    }

    fn end(&self, engine: EngineId) {
        self.signal(engine, signal::KILL);
    }

    fn signal(&self, engine: EngineId, signal: i32) {
        _ = self.orders.send(Order::Signal(engine, signal));
    }

    fn end_all(&self) {
        let (done, all_gone) = std::sync::mpsc::channel();
        if self.orders.send(Order::End(done)).is_ok() {
            // The end of the channel is an answer, too.
            _ = all_gone.recv_timeout(END);
        }
    }
}
