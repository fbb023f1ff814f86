//! What the engine has to say to its controller, kept until that has it. It outlives connections: what is said while
//! there is none, or is lost with one, goes out over the next.

use chorus_protocol::{Frame, FromEngine, Key, Outbox as Kept};
use chorus_transport::Outgoing;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

/// What is to be done, in this order.
enum Order {
    /// Say this.
    Say(FromEngine),
    /// This is the connection from now on. It begins with a registration, and the controller answers that.
    Connect(Box<dyn Outgoing>, FromEngine),
    /// The answer: the controller has so many of the numbered messages.
    GoOn(u64),
    /// The same, while the connection lasts.
    Confirm(u64),
}

/// The way to the task that keeps messages and sends them.
///
/// It isn't bounded, and can't grow: of what a session's cells print or show, no more than a window is on the way at one
/// time; of the other messages there are a few for each run and piece that the controller gave. Heartbeats aren't kept.
#[derive(Clone)]
pub struct Outbox {
    orders: UnboundedSender<Order>,
    /// How many bytes went out.
    bytes: Arc<AtomicU64>,
}

impl Outbox {
    /// Starts the task. It ends when nobody has anything to say any more.
    pub fn open(key: Key) -> (Outbox, JoinHandle<()>) {
        let (orders, inbox) = unbounded_channel();
        let bytes = Arc::default();
        let sending = Sending { key, kept: Kept::default(), link: None, is_answered: false, bytes: Arc::clone(&bytes) };
        (Outbox { orders, bytes }, tokio::spawn(sending.work(inbox)))
    }

    /// Says something. False if nobody is there to say it, which the end of the process explains.
    pub fn say(&self, message: FromEngine) -> bool {
        self.orders.send(Order::Say(message)).is_ok()
    }

    /// How many bytes went out.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Takes a new connection, and registers over it.
    pub fn connect(&self, outgoing: Box<dyn Outgoing>, registration: FromEngine) {
        _ = self.orders.send(Order::Connect(outgoing, registration));
    }

    /// The controller has answered the registration, and has so many messages.
    pub fn go_on(&self, received: u64) {
        _ = self.orders.send(Order::GoOn(received));
    }

    /// The controller has so many messages.
    pub fn confirm(&self, received: u64) {
        _ = self.orders.send(Order::Confirm(received));
    }
}

struct Sending {
    key: Key,
    kept: Kept<FromEngine>,
    link: Option<Box<dyn Outgoing>>,
    /// Whether the registration is: before, the controller takes nothing else.
    is_answered: bool,
    bytes: Arc<AtomicU64>,
}

impl Sending {
    async fn work(mut self, mut inbox: UnboundedReceiver<Order>) {
        while let Some(order) = inbox.recv().await {
            match order {
                Order::Say(message) => {
                    if self.is_answered {
                        self.send(&message).await;
                    }
                    if message.is_numbered() {
                        self.kept.push(message);
                    }
                }
                Order::Connect(link, registration) => {
                    (self.link, self.is_answered) = (Some(link), false);
                    self.send(&registration).await;
                }
                Order::GoOn(received) => {
                    self.is_answered = true;
                    let Some(lacking) = self.kept.take(received) else {
                        tracing::error!(received, "the controller can't have just so many messages of this engine");
                        continue;
                    };
                    for message in lacking {
                        self.send(&message).await;
                        self.kept.push(message);
                    }
                }
                Order::Confirm(received) => self.kept.confirm(received),
            }
        }
        if let Some(mut link) = self.link {
            link.drained().await;
        }
    }

    /// Sends a message while the connection lasts; whoever hears it finds out when it doesn't.
    async fn send(&mut self, message: &FromEngine) {
        let Some(link) = &mut self.link else { return };
        match Frame::encode(message, &self.key) {
            Ok(frame) => {
                self.bytes.fetch_add((frame.mac.len() + frame.body.len()) as u64, Ordering::Relaxed);
                if link.send(vec![frame.mac, frame.body]).await.is_err() {
                    self.link = None;
                }
            }
            Err(error) => tracing::error!("a message can't be encoded: {error}"),
        }
    }
}
