//! Asks the user for a line, through the front end that runs the cell.

use crate::local::Input;
use chorus_jupyter::{Message, Sender};
use parking_lot::Mutex;
use serde_json::json;
use std::sync::Arc;
use tokio::sync::oneshot;

type Waiting = Arc<Mutex<Option<oneshot::Sender<String>>>>;

/// Where `input_reply` messages are taken.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    waiting: Waiting,
}

impl Answers {
    /// An answer came. One that nobody waits for is dropped.
    pub fn take(&self, reply: &Message) {
        let value = reply.content["value"].as_str().unwrap_or_default().to_owned();
        let waiting = self.waiting.lock().take();
        if let Some(waiting) = waiting {
            let _ = waiting.send(value);
        }
    }
}

/// The front end of one request.
#[derive(Clone, Debug)]
pub struct FrontEnd {
    /// The request that runs.
    pub request: Arc<Message>,
    /// The stdin socket.
    pub stdin: Sender,
    /// Where the answer comes.
    pub answers: Answers,
    /// Whether it can ask at all.
    pub allowed: bool,
}

impl Input for FrontEnd {
    async fn ask(&self, prompt: &str, password: bool) -> Option<String> {
        if !self.allowed {
            return None;
        }
        let (answer, line) = oneshot::channel();
        *self.answers.waiting.lock() = Some(answer);
        let content = json!({"prompt": prompt, "password": password});
        self.stdin.send(Message::reply_to(&self.request, "input_request", content)).await;
        line.await.ok()
    }
}
