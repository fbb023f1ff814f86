//! Puts small pieces of text, and updates of one display, together before they are published.
//!
//! A cell that prints a line at a time would make a message of each, and a front end that lays out tens of thousands of
//! messages stops answering. The first piece goes out at once; what follows is collected for a moment. Of a display's
//! updates in that moment, the last counts. The order of everything else is kept. A full outbox makes publishers wait,
//! and so does one that has sent more messages than a front end takes.

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

/// Displays whose updates are collected at one time.
const UPDATES: usize = 256;

/// Pieces that wait before publishers have to.
const QUEUE: usize = 16;

/// So many displays a second go on for ever; Jupyter's server drops messages above 1000.
const RATE: u32 = 500;

/// So many may go beyond that at once.
const BURST: u32 = 256;

#[derive(Debug)]
enum Item {
    Text { parent: Arc<Header>, stream: &'static str, text: String },
    Message { parent: Arc<Header>, msg_type: &'static str, content: Value },
    Update { parent: Arc<Header>, id: String, content: Value },
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
        tokio::spawn(Collector::new(iopub).run(waiting));
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

    /// Publishes `update_display_data`, soon, unless another for the same display comes before that.
    pub async fn update(&self, parent: &Arc<Header>, id: &str, content: Value) {
        self.put(Item::Update { parent: Arc::clone(parent), id: id.to_owned(), content }).await;
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
    /// By display, in the order of their first.
    updates: Vec<(String, Arc<Header>, Value)>,
    /// When updates were last published.
    updated: Instant,
    pace: Pace,
}

impl Collector {
    fn new(iopub: IoPub) -> Collector {
        let past = Instant::now() - COLLECT;
        Collector { iopub, pending: None, sent: past, updates: Vec::new(), updated: past, pace: Pace::new(past) }
    }

    async fn run(mut self, mut items: mpsc::Receiver<Item>) {
        loop {
            let text_due = self.pending.is_some().then(|| self.sent + COLLECT);
            let updates_due = (!self.updates.is_empty()).then(|| self.updated + COLLECT);
            let item = match text_due.into_iter().chain(updates_due).min() {
                None => items.recv().await,
                Some(due) => match timeout_at(due, items.recv()).await {
                    Ok(item) => item,
                    Err(_) => {
                        self.publish_due(text_due, updates_due).await;
                        continue;
                    }
                },
            };
            match item {
                None => return self.publish_all().await,
                Some(Item::Text { parent, stream, text }) => self.collect(parent, stream, text).await,
                Some(Item::Message { parent, msg_type, content }) => {
                    self.publish().await;
                    self.send(&parent, msg_type, content).await;
                }
                Some(Item::Update { parent, id, content }) => self.collect_update(id, parent, content).await,
                Some(Item::Flush(done)) => {
                    self.publish_all().await;
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

    async fn collect_update(&mut self, id: String, parent: Arc<Header>, content: Value) {
        match self.updates.iter_mut().find(|(same, ..)| *same == id) {
            Some(earlier) => (earlier.1, earlier.2) = (parent, content),
            None => self.updates.push((id, parent, content)),
        }
        if self.updates.len() >= UPDATES || self.updated.elapsed() >= COLLECT {
            self.publish_updates().await;
        }
    }

    async fn publish_due(&mut self, text_due: Option<Instant>, updates_due: Option<Instant>) {
        let now = Instant::now();
        if text_due.is_some_and(|due| due <= now) {
            self.publish().await;
        }
        if updates_due.is_some_and(|due| due <= now) {
            self.publish_updates().await;
        }
    }

    async fn publish_all(&mut self) {
        self.publish().await;
        self.publish_updates().await;
    }

    async fn publish(&mut self) {
        let Some((parent, stream, text)) = self.pending.take() else { return };
        self.send(&parent, "stream", content::stream(stream, &text)).await;
        self.sent = Instant::now();
    }

    async fn publish_updates(&mut self) {
        for (_, parent, content) in std::mem::take(&mut self.updates) {
            self.send(&parent, "update_display_data", content).await;
        }
        self.updated = Instant::now();
    }

    async fn send(&mut self, parent: &Header, msg_type: &'static str, content: Value) {
        tokio::time::sleep_until(self.pace.next(Instant::now())).await;
        // The socket is closed only when the kernel ends, and then there is nobody to tell.
        let _ = self.iopub.send(Some(parent), msg_type, content).await;
    }
}

/// When messages may go: [`BURST`] at once, then [`RATE`] a second.
#[derive(Debug)]
struct Pace {
    /// The time up to which messages are paid for.
    paid: Instant,
}

impl Pace {
    fn new(now: Instant) -> Pace {
        Pace { paid: now }
    }

    /// When the next message may go, if it is asked for now.
    fn next(&mut self, now: Instant) -> Instant {
        let one = Duration::from_secs(1) / RATE;
        self.paid = self.paid.max(now) + one;
        now.max(self.paid - one * BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_a_flood_is_paced() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let waits: Vec<Duration> = (0..BURST + RATE).map(|_| pace.next(start) - start).collect();
        assert!(waits[..BURST as usize].iter().all(Duration::is_zero), "{waits:?}");
        assert_eq!(waits.last().unwrap(), &Duration::from_secs(1));
        let later = start + Duration::from_secs(60);
        assert_eq!(pace.next(later), later, "what was sent long ago is forgotten");
    }
}
