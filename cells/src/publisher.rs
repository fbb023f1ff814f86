//! Publishes one cell's outputs, as belonging to the request that asked for them.

use crate::failure::Failure;
use crate::kept::{self, Kept};
use crate::outbox::Outbox;
use chorus_jupyter::{Header, content};
use chorus_render::{Bundle, Output, html_bundle, stream_name};
use parking_lot::Mutex;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where the outputs of one request go. Cloned freely.
#[derive(Clone, Debug)]
pub struct Publisher {
    outbox: Outbox,
    parent: Arc<Header>,
    count: u32,
    silent: bool,
    /// The value of what ran.
    value: Arc<Mutex<Option<Bundle>>>,
    /// Whether the value is published.
    shows_value: bool,
    /// How many outputs the cell has, as it stands.
    sent: Arc<AtomicU64>,
    /// Has the outputs instead of the front end.
    kept: Option<Arc<Mutex<Kept>>>,
}

/// A failure as front ends show it, whatever their colours are.
pub fn legible(failure: &Failure) -> content::Failure {
    let content::Failure { ename, evalue, traceback } = failure.content();
    content::Failure { ename, evalue, traceback: traceback.iter().map(|line| chorus_render::legible(line)).collect() }
}

impl Publisher {
    /// Outputs of the request with this header; none are published when it is silent.
    pub fn new(outbox: Outbox, parent: Header, count: u32, silent: bool) -> Publisher {
        let (parent, value, sent) = (Arc::new(parent), Arc::default(), Arc::default());
        Publisher { outbox, parent, count, silent, value, shows_value: true, sent, kept: None }
    }

    /// For an expression that is evaluated when the cell has run: its outputs are the cell's, but its value isn't.
    pub fn for_expression(&self) -> Publisher {
        Publisher { value: Arc::default(), shows_value: false, ..self.clone() }
    }

    /// The same with outputs that aren't published, but kept here.
    pub fn capturing(&self) -> (Publisher, Arc<Mutex<Kept>>) {
        let kept = Arc::<Mutex<Kept>>::default();
        (Publisher { value: Arc::default(), kept: Some(Arc::clone(&kept)), ..self.clone() }, kept)
    }

    /// Publishes what was kept.
    pub async fn release(&self, kept: Kept) {
        for output in kept.into_outputs() {
            match output {
                kept::Output::Text(name, text) => self.stream(name, &text).await,
                kept::Output::Message(msg_type, content) => self.send(msg_type, content).await,
            }
        }
    }

    /// Whether nothing of the cell is published, and it isn't counted.
    pub fn is_silent(&self) -> bool {
        self.silent
    }

    /// The value, if there was one.
    pub fn value(&self) -> Option<Bundle> {
        self.value.lock().clone()
    }

    /// The cell's execution count.
    pub fn count(&self) -> u32 {
        self.count
    }

    async fn send(&self, msg_type: &'static str, content: Value) {
        if let Some(kept) = &self.kept {
            kept.lock().message(msg_type, content);
        } else if !self.silent {
            if msg_type != "clear_output" {
                self.sent.fetch_add(1, Ordering::Relaxed);
            } else if content["wait"] == false {
                self.sent.store(0, Ordering::Relaxed);
            }
            self.outbox.message(&self.parent, msg_type, content).await;
        }
    }

    /// How many outputs were sent since the cell began, or was cleared.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Takes back all that is shown of the cell.
    pub async fn clear(&self) {
        self.send("clear_output", content::clear_output(false)).await;
    }

    /// Returns when all outputs are on their way.
    pub async fn flush(&self) {
        self.outbox.flush().await;
    }

    /// Text for `stdout` or `stderr`.
    pub async fn stream(&self, name: &'static str, text: &str) {
        if let Some(kept) = &self.kept {
            kept.lock().text(name, text);
        } else if !text.is_empty() && !self.silent {
            self.sent.fetch_add(1, Ordering::Relaxed);
            self.outbox.text(&self.parent, name, text.to_owned()).await;
        }
    }

    /// A line of Chorus's own: something that it did.
    pub async fn say(&self, text: &str) {
        self.stream("stdout", &format!("{text}\n")).await;
    }

    /// A line of Chorus's own: something that went wrong outside of the cell.
    pub async fn warn(&self, text: &str) {
        self.stream("stderr", &format!("{text}\n")).await;
    }

    /// A displayed value.
    pub async fn display(&self, data: Bundle) {
        self.send("display_data", content::display_data(data, None)).await;
    }

    /// A display that is replaced when one of the same id comes; `first` for the first of them.
    pub async fn update(&self, id: &str, first: bool, data: Bundle) {
        if first {
            self.send("display_data", content::display_data(data, Some(id))).await;
        } else if let Some(kept) = &self.kept {
            kept.lock().update(id, content::display_data(data, Some(id)));
        } else if !self.silent {
            self.outbox.update(&self.parent, id, content::display_data(data, Some(id))).await;
        }
    }

    /// The value of the cell.
    pub async fn result(&self, data: Bundle) {
        *self.value.lock() = Some(data.clone());
        if self.shows_value {
            self.send("execute_result", content::execute_result(self.count.into(), data)).await;
        }
    }

    /// Why the cell failed.
    pub async fn error(&self, failure: &content::Failure) {
        self.send("error", failure.publication()).await;
    }

    /// Publishes what rendering made.
    pub async fn output(&self, output: Output) {
        match output {
            Output::Stream { stream, text } => self.stream(stream_name(stream), &text).await,
            Output::Display { data, id: None, .. } => self.display(data).await,
            Output::Display { data, id: Some(id), .. } => self.update(&id, true, data).await,
            Output::Update { id, data } => self.update(&id, false, data).await,
            Output::Clear { wait } => self.send("clear_output", content::clear_output(wait)).await,
            Output::Result { data, .. } => self.result(data).await,
        }
    }

    /// Publishes several, in order.
    pub async fn outputs(&self, outputs: Vec<Output>) {
        for output in outputs {
            self.output(output).await;
        }
    }

    /// Text, and HTML for front ends that show it.
    pub async fn text_and_html(&self, text: &str, html: &str) {
        self.display(html_bundle(text, html)).await;
    }
}
