//! A publisher that ZeroMQ's SUB sockets connect to, of which none can stop the others.
//!
//! `zeromq`'s own XPUB writes to one subscriber after the other and waits for each, so that one that doesn't read stops
//! all; its PUB drops messages without a word; and neither closes a connection when it is told to. So this speaks what a
//! publisher needs of ZMTP 3.0 by itself. What is published waits once for all subscribers, see [`Backlog`].

mod backlog;
mod zmtp;

pub use backlog::{LIMIT, PATIENCE};

use crate::Parts;
use crate::accept::Accepting;
use backlog::{Backlog, Message};
use bytes::Bytes;
use parking_lot::Mutex;
use std::fmt;
use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::timeout;

/// How long a connection may take to say that it is a subscriber's.
const GREETING: Duration = Duration::from_secs(30);

/// Subscriptions that wait to be heard of.
const SUBSCRIPTIONS: usize = 64;

/// See the module. Dropping it closes its socket and all connections.
pub struct Publisher {
    shared: Arc<Shared>,
    subscriptions: mpsc::Receiver<Bytes>,
    /// The socket's file, if it has one.
    file: Option<PathBuf>,
    _accepting: Accepting,
}

#[derive(Default)]
struct Shared {
    backlog: Mutex<Backlog>,
    /// There is something to write.
    published: Notify,
    /// Something was written, or a subscriber is gone.
    written: Notify,
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Publisher")
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            // A file that stays is in nobody's way: who listens there next finds nobody behind it.
            _ = std::fs::remove_file(file);
        }
    }
}

impl Publisher {
    /// Listens at `tcp://ADDRESS:PORT` or `ipc://PATH`.
    pub async fn bind(endpoint: &str) -> io::Result<Publisher> {
        let shared = Arc::new(Shared::default());
        let (subscribed, subscriptions) = mpsc::channel(SUBSCRIPTIONS);
        let connection = Connection { shared: Arc::clone(&shared), subscribed };
        let (accepting, file) = match endpoint.split_once("://") {
            Some(("ipc", path)) => {
                let serve = move |stream| connection.clone().serve(stream);
                (Accepting::start(UnixListener::bind(path)?, serve), Some(path.into()))
            }
            Some(("tcp", address)) => {
                let serve = move |stream: tokio::net::TcpStream| {
                    // Without it, small messages come late, and come all the same.
                    _ = stream.set_nodelay(true);
                    connection.clone().serve(stream)
                };
                (Accepting::start(TcpListener::bind(address).await?, serve), None)
            }
            _ => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "it begins neither with ipc:// nor with tcp://",
                ));
            }
        };
        Ok(Publisher { shared, subscriptions, file, _accepting: accepting })
    }

    /// The topic of the next subscription. Nothing is lost when the future is dropped before.
    pub async fn subscription(&mut self) -> Bytes {
        match self.subscriptions.recv().await {
            Some(topic) => topic,
            // The task that accepts connections has a sender, and lives as long as this.
            None => std::future::pending().await,
        }
    }

    /// Sends a message to all who have subscribed to what its first part begins with, and waits while they are slow to
    /// read what came before. Returns how many were disconnected because they don't read at all.
    pub async fn publish(&mut self, message: &Parts) -> usize {
        let topic = message.first().cloned().unwrap_or_default();
        let message = Message { topic, bytes: zmtp::encode(message) };
        let mut dropped = 0;
        loop {
            let written = self.shared.written.notified();
            let verdict = self.shared.backlog.lock().offer(&message, Instant::now());
            dropped += verdict.dropped;
            let Some(time) = verdict.wait else { break };
            // After that time the verdict is another one.
            _ = timeout(time, written).await;
        }
        self.shared.published.notify_waiters();
        dropped
    }

    /// Waits until everything was handed to the system, but not for those who don't read.
    pub async fn flush(&mut self) {
        loop {
            let written = self.shared.written.notified();
            let wait = self.shared.backlog.lock().unwritten(Instant::now());
            let Some(time) = wait else { return };
            _ = timeout(time, written).await;
        }
    }
}

/// What the task of a connection knows.
#[derive(Clone)]
struct Connection {
    shared: Arc<Shared>,
    subscribed: mpsc::Sender<Bytes>,
}

impl Connection {
    /// Serves one subscriber until one side ends the connection.
    async fn serve(self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
        timeout(GREETING, zmtp::greet(&mut stream)).await??;
        let (open, dropped) = oneshot::channel();
        let id = self.shared.backlog.lock().join(open, Instant::now());
        let (reader, writer) = tokio::io::split(stream);
        let ended = tokio::select! {
            ended = self.hear(id, reader) => ended,
            ended = self.write(id, writer) => ended,
            _ = dropped => Ok(()),
        };
        self.shared.backlog.lock().leave(id);
        self.shared.written.notify_waiters();
        ended
    }

    async fn hear(&self, id: u64, stream: impl AsyncRead + Unpin) -> io::Result<()> {
        let mut stream = BufReader::with_capacity(1 << 10, stream);
        loop {
            let frame = zmtp::read(&mut stream).await?;
            match frame.body.split_first() {
                _ if frame.is_command => {}
                Some((1, topic)) => {
                    let topic = Bytes::copy_from_slice(topic);
                    self.shared.backlog.lock().subscribe(id, topic.clone())?;
                    _ = self.subscribed.send(topic).await;
                }
                Some((0, topic)) => self.shared.backlog.lock().unsubscribe(id, topic),
                _ => {}
            }
        }
    }

    async fn write(&self, id: u64, mut stream: impl AsyncWrite + Unpin) -> io::Result<()> {
        loop {
            let published = self.shared.published.notified();
            let batch = self.shared.backlog.lock().take(id);
            let mut slices: Vec<IoSlice> = batch.iter().map(|message| IoSlice::new(message)).collect();
            let mut left = slices.as_mut_slice();
            if left.is_empty() {
                // It may have passed over what it didn't want.
                self.wrote(id, 0);
                published.await;
            }
            while !left.is_empty() {
                let length = stream.write_vectored(left).await?;
                if length == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                IoSlice::advance_slices(&mut left, length);
                self.wrote(id, length);
            }
        }
    }

    fn wrote(&self, id: u64, bytes: usize) {
        self.shared.backlog.lock().wrote(id, bytes, Instant::now());
        self.shared.written.notify_waiters();
    }
}
