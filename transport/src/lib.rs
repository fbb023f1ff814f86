//! How messages go between processes: the ways to open connections, behind one trait.
//!
//! A message is a few parts of bytes. What they mean, who signed them and who may connect is their owners' business.
//! [`ZeroMq`] is the one transport today; whatever `zeromq` 0.7 lacks is made up for here, and nowhere else.
//! [`Publisher`] is the way to many readers at once, as Jupyter's front ends want it.

mod accept;
mod publisher;
mod queue;
mod zeromq;

pub use publisher::{LIMIT, PATIENCE, Publisher};
pub use zeromq::{Router, RouterSender, ZeroMq};

use bytes::Bytes;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

/// A message.
pub type Parts = Vec<Bytes>;

/// One connection to a [`Hub`]. It says nothing about who is at its other end; a new connection has a new id.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PeerId(pub Bytes);

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A way to open connections.
pub trait Transport: Send + Sync {
    /// Begins to listen, and says at which endpoint. A transport that needs a place in the file system takes `socket`,
    /// which lies in a folder that nobody but its user can open. `again` is an endpoint that it had in a process which is
    /// gone, and that it is to have again.
    fn listen<'a>(
        &'a self,
        socket: &'a Path,
        again: Option<&'a str>,
    ) -> BoxFuture<'a, io::Result<(Box<dyn Hub>, String)>>;

    /// Connects to what listens at an endpoint, and waits `within` for it to listen.
    fn connect<'a>(&'a self, endpoint: &'a str, within: Duration) -> BoxFuture<'a, io::Result<Link>>;
}

/// The end that listens: many connections, of which none can harm another.
pub trait Hub: Send {
    /// Waits for the next thing to happen. Nothing is lost when the future is dropped before.
    fn next(&mut self) -> BoxFuture<'_, Arrival>;

    /// Puts a message into a peer's queue, and never waits for the peer. False if the message won't arrive: the peer is
    /// gone, or is being disconnected because it doesn't read what it gets.
    fn send<'a>(&'a mut self, peer: &'a PeerId, message: Parts) -> BoxFuture<'a, bool>;

    /// Ends a connection.
    fn disconnect(&mut self, peer: &PeerId);

    /// Waits until every message has left its queue.
    fn drained(&mut self) -> BoxFuture<'_, ()>;
}

/// What a hub has to tell.
#[derive(Debug)]
pub enum Arrival {
    /// A message.
    Message(PeerId, Parts),
    /// A peer that was sent something is gone.
    Disconnected(PeerId),
    /// Somebody connected who doesn't speak as links do.
    Rubbish,
    /// The hub can't receive any more.
    Broken(io::Error),
}

/// The end that connects. It never connects again by itself: what was on its way when a connection broke is known to
/// nobody here, so its owner opens another one and says what it has to say again.
pub struct Link {
    /// The way out. It may go to another task.
    pub outgoing: Box<dyn Outgoing>,
    /// The way in.
    pub incoming: Box<dyn Incoming>,
}

/// See [`Link`].
pub trait Outgoing: Send {
    /// Sends a message, and waits while too much is on its way. Fails when the connection is broken, and when its other
    /// end has read nothing for some seconds.
    fn send(&mut self, message: Parts) -> BoxFuture<'_, io::Result<()>>;

    /// Waits until everything has left.
    fn drained(&mut self) -> BoxFuture<'_, ()>;
}

/// See [`Link`].
pub trait Incoming: Send {
    /// The next message, or why none will come. Nothing is lost when the future is dropped before.
    fn next(&mut self) -> BoxFuture<'_, io::Result<Parts>>;
}
