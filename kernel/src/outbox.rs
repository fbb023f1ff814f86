//! Puts small pieces of text together before they are published.
//!
//! A cell that prints a line at a time would make a message of each, and a front end that lays out tens of thousands of
//! messages stops answering. The first piece goes out at once; what follows is collected for a moment. The order of
//! everything is kept, and a full outbox makes publishers wait.

use chorus_jupyter::{Header, IoPub, content};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

/// How long text is collected.
const COLLECT: Duration = Duration::from_millis(100);

/// Text that isn't held any longer, in bytes.
const ENOUGH: usize = 64 << 10;

/// Pieces that wait before publishers have to.
const QUEUE: usize = 16;

#[derive(Debug)]
enum Item {
    Text { parent: Arc<Header>, stream: &'static str, text: String },
    Message { parent: Arc<Header>, msg_type: &'static str, content: Value },
    Flush(oneshot::Sender<()>),
}

/// The way to the iopub socket for all outputs of cells. Cloned freely.
#[derive(Clone, Debug)]
pub struct Outbox {
    items: mpsc::Sender<Item>,
}

impl Outbox {
    /// Starts the task that publishes.
    pub fn start(iopub: IoPub) -> Outbox {
        let (items, waiting) = mpsc::channel(QUEUE);
        tokio::spawn(Collector { iopub, pending: None, sent: Instant::now() - COLLECT }.run(waiting));
        Outbox { items }
    }

    /// Publishes text of a stream, soon.
    pub async fn text(&self, parent: &Arc<Header>, stream: &'static str, text: String) {
        self.put(Item::Text { parent: Arc::clone(parent), stream, text }).await;
    }

    /// Publishes a message, behind all text that came before it.
    pub async fn message(&self, parent: &Arc<Header>, msg_type: &'static str, content: Value) {
        self.put(Item::Message { parent: Arc::clone(parent), msg_type, content }).await;
    }

    /// Returns when all that was put before has been handed to the socket's own queue.
    pub async fn flush(&self) {
        let (done, wait) = oneshot::channel();
        self.put(Item::Flush(done)).await;
        // The task ends only with the kernel.
        let _ = wait.await;
    }

    async fn put(&self, item: Item) {
        let _ = self.items.send(item).await;
    }
}

struct Collector {
    iopub: IoPub,
    pending: Option<(Arc<Header>, &'static str, String)>,
    /// When text was last published.
    sent: Instant,
}

impl Collector {
    async fn run(mut self, mut items: mpsc::Receiver<Item>) {
        loop {
            let item = match self.pending {
                None => items.recv().await,
                Some(_) => match timeout_at(self.sent + COLLECT, items.recv()).await {
                    Ok(item) => item,
                    Err(_) => {
                        self.publish().await;
                        continue;
                    }
                },
            };
            match item {
                None => return self.publish().await,
                Some(Item::Text { parent, stream, text }) => self.collect(parent, stream, text).await,
                Some(Item::Message { parent, msg_type, content }) => {
                    self.publish().await;
                    // The socket is closed only when the kernel ends, and then there is nobody to tell.
                    let _ = self.iopub.send(Some(&parent), msg_type, content).await;
                }
                Some(Item::Flush(done)) => {
                    self.publish().await;
                    let _ = done.send(());
                }
            }
        }
    }

    async fn collect(&mut self, parent: Arc<Header>, stream: &'static str, text: String) {
        match &mut self.pending {
            Some((same_parent, same_stream, before)) if Arc::ptr_eq(same_parent, &parent) && *same_stream == stream => {
                before.push_str(&text);
            }
            _ => {
                self.publish().await;
                self.pending = Some((parent, stream, text));
            }
        }
        let enough = self.pending.as_ref().is_some_and(|(_, _, text)| text.len() >= ENOUGH);
        if enough || self.sent.elapsed() >= COLLECT {
            self.publish().await;
        }
    }

    async fn publish(&mut self) {
        let Some((parent, stream, text)) = self.pending.take() else { return };
        let _ = self.iopub.send(Some(&parent), "stream", content::stream(stream, &text)).await;
        self.sent = Instant::now();
    }
}
