//! The line of cells: one after the other, each from `execute_input` to its reply.

use crate::requests::{Kernel, Quit};
use chorus_cells::{
    Ahead, Executor, FrontEnd, Next, Publisher, Request, Wish,
    failure::{Kind, bad_request, failure},
    legible,
};
use chorus_jupyter::content::{self, ExecuteRequest};
use chorus_jupyter::{ExecutionState, Message, Sender};
use chorus_magics::options_as_comments;
use serde_json::{Map, Value, json};
use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

/// So often the analyzer is asked what `?NAME` is, as long as it has no answer in time.
const QUESTIONS: u32 = 6;

/// An analyzer that is ready has said by then that it knows nothing.
const ANSWERED: Duration = Duration::from_secs(2);

/// A cell that waits.
pub struct Waiting {
    pub request: Message,
    /// How many interrupts there had been when it came.
    pub interrupts: u64,
    /// Its part of the line.
    pub _room: OwnedSemaphorePermit,
}

impl Waiting {
    /// Whether it goes down with a cell that began after so many interrupts and failed after so many.
    fn is_behind(&self, failed: &Message, began: u64, ended: u64) -> bool {
        let of_same = |of: fn(&Message) -> Option<&str>| of(&self.request) == of(failed);
        let in_spite = began < ended && self.interrupts == ended;
        of_same(Message::subshell_id) && of_same(|message| Some(message.session())) && !in_spite
    }
}

/// The cells that wait, in their order.
pub struct AllWaiting {
    cells: VecDeque<Waiting>,
    /// Compiles them before it is their turn.
    ahead: Ahead,
}

impl AllWaiting {
    /// None.
    pub fn none(ahead: Ahead) -> AllWaiting {
        AllWaiting { cells: VecDeque::new(), ahead }
    }

    /// One more; `count` is the execution count of the last that ran.
    fn add(&mut self, waiting: Waiting, count: u32) {
        let count = count + self.cells.len() as u32 + 1;
        // A request that can't be read is answered when it is its turn.
        let request = waiting.request.content_as::<ExecuteRequest>();
        let code = request.map(|request| request.code).unwrap_or_default();
        self.ahead.waits(&options_as_comments(&code), count);
        self.cells.push_back(waiting);
    }

    fn next(&mut self) -> Option<Waiting> {
        self.ahead.turn();
        self.cells.pop_front()
    }

    /// Takes those out for which this holds.
    fn take_if(&mut self, count: u32, which: impl Fn(&Waiting) -> bool) -> Vec<Waiting> {
        let (taken, left): (Vec<_>, Vec<_>) = self.cells.drain(..).partition(which);
        self.ahead.clear();
        left.into_iter().for_each(|waiting| self.add(waiting, count));
        taken
    }
}

/// The cells that wait, and who runs them.
pub struct Line {
    pub kernel: Arc<Kernel>,
    pub replies: Sender,
    pub questions: Sender,
    pub executor: Executor,
    pub waiting: AllWaiting,
    /// The execution count.
    pub count: u32,
}

impl Line {
    /// Runs cells until `stopped`.
    pub async fn run(
        mut self,
        mut more: mpsc::UnboundedReceiver<Waiting>,
        mut stopped: oneshot::Receiver<()>,
    ) -> Option<u32> {
        self.executor.prepare().await;
        let _ = self.kernel.iopub.status(None, ExecutionState::Idle).await;
        loop {
            if self.waiting.cells.is_empty() {
                tokio::select! {
                    biased;
                    _ = &mut stopped => break,
                    next = more.recv() => match next {
                        Some(next) => self.waiting.add(next, self.count),
                        None => break,
                    },
                }
            } else if stopped.try_recv() != Err(TryRecvError::Empty) {
                break;
            }
            if let Some(next) = self.waiting.next() {
                self.cell(next.request, &mut more).await;
            }
        }
        self.executor.close().await
    }

    /// Runs one cell and replies.
    async fn cell(&mut self, message: Message, more: &mut mpsc::UnboundedReceiver<Waiting>) {
        let kernel = Arc::clone(&self.kernel);
        let (interrupts, interrupted) = kernel.interrupts.begin(|| kernel.compiler.begin_cell());
        kernel.busy(&message).await;
        let request: ExecuteRequest = match message.content_as() {
            Ok(request) => request,
            Err(error) => {
                self.reply(&message, bad_request("execute_request", &error).reply()).await;
                kernel.idle(&message).await;
                return;
            }
        };
        if request.stores_history() {
            self.count += 1;
            kernel.history.input(self.count, &request.code);
        }
        if !request.silent {
            let input = content::execute_input(&request.code, self.count.into());
            let _ = kernel.iopub.send(Some(&message.header), "execute_input", input).await;
        }
        let publisher = Publisher::new(kernel.outbox.clone(), message.header.clone(), self.count, request.silent);
        let message = Arc::new(message);
        let front_end = FrontEnd {
            request: Arc::clone(&message),
            stdin: self.questions.clone(),
            answers: kernel.answers.clone(),
            allowed: request.allow_stdin,
        };
        // What people type into a console to leave it.
        let leaves = matches!(request.code.trim(), "exit" | "quit");
        let asked = asked_about(&request.code);
        let code = if leaves || asked.is_some() { "" } else { request.code.as_str() };
        let cell = Request {
            code: options_as_comments(code).into(),
            publisher: publisher.clone(),
            front_end,
            interrupted,
            preparing: Default::default(),
        };
        let result = {
            let mut executed = pin!(self.executor.execute(&cell));
            loop {
                tokio::select! {
                    biased;
                    result = &mut executed => break result,
                    Some(next) = more.recv() => self.waiting.add(next, self.count),
                }
            }
        };
        // Those that wait now, before anybody hears of the failure: what is sent later is sent in spite of it.
        let aborted = match result.is_err() && request.stop_on_error && !request.silent {
            true => self.behind(&message, interrupts, more),
            false => Vec::new(),
        };
        let wishes = self.executor.take_wishes();
        let reply = match &result {
            Ok(_) => {
                if let (true, Some(text)) = (request.stores_history(), text_of(&publisher)) {
                    kernel.history.output(self.count, text);
                }
                let expressions = self.user_expressions(&request.user_expressions, &cell).await;
                let mut payload: Vec<Value> = Vec::new();
                payload.extend(leaves.then(|| json!({"source": "ask_exit", "keepkernel": false})));
                payload.extend(wishes.into_iter().map(payload_of));
                if let Some(name) = asked {
                    match self.explained(name, &cell).await {
                        Some(data) => payload.push(json!({"source": "page", "data": data, "start": 0})),
                        None => publisher.warn(&format!("nothing is known of `{name}`")).await,
                    }
                }
                json!({"status": "ok", "user_expressions": expressions, "payload": payload})
            }
            Err(failed) => {
                let failed = legible(failed);
                publisher.error(&failed).await;
                failed.reply()
            }
        };
        // Outputs belong before the idle state, which front ends take for their end.
        publisher.flush().await;
        self.reply(&message, reply).await;
        kernel.idle(&message).await;
        for Waiting { request, .. } in aborted {
            self.abort(&request).await;
        }
        if result == Ok(Next::Quit) {
            let _ = kernel.quit.try_send(Quit::Closed);
        }
    }

    /// What is known of a name. An analyzer that starts, or loads dependencies, is asked again.
    async fn explained(&self, name: &str, cell: &Request) -> Option<Value> {
        let mut interrupted = cell.interrupted.clone();
        for _ in 0..QUESTIONS {
            let asked = Instant::now();
            let found = tokio::select! {
                found = self.kernel.assist.inspect(name, name.len(), false) => found,
                () = interrupted.next() => return None,
            };
            if found["found"] == true {
                return Some(found["data"].clone());
            }
            if asked.elapsed() < ANSWERED {
                return None;
            }
        }
        None
    }

    /// Takes the cells that are aborted because this one failed: those of the same client and shell that it sent behind
    /// it. `interrupts` had come when this one began; what was sent after the last of them was sent in spite of it.
    ///
    /// So nobody who waits for each reply, or sends the next cell after an interrupt, sees a cell aborted; such clients
    /// take that for a success.
    fn behind(
        &mut self,
        failed: &Message,
        interrupts: u64,
        more: &mut mpsc::UnboundedReceiver<Waiting>,
    ) -> Vec<Waiting> {
        std::iter::from_fn(|| more.try_recv().ok()).for_each(|next| self.waiting.add(next, self.count));
        let by_now = self.kernel.interrupts.count();
        self.waiting.take_if(self.count, |other| other.is_behind(failed, interrupts, by_now))
    }

    /// Evaluates them in their order.
    async fn user_expressions(&mut self, expressions: &Map<String, Value>, cell: &Request) -> Map<String, Value> {
        let mut values = Map::new();
        for (name, expression) in expressions {
            let value = match expression.as_str() {
                Some(code) => self.executor.expression(code, cell).await,
                None => Err(failure(Kind::NotAnExpression, "an expression has to be a string")),
            };
            let value = match value {
                Ok(data) => json!({"status": "ok", "data": data, "metadata": {}}),
                Err(failed) => legible(&failed).reply(),
            };
            values.insert(name.clone(), value);
        }
        values
    }

    /// A cell behind one that failed.
    async fn abort(&self, request: &Message) {
        self.kernel.busy(request).await;
        // Without a count, by which front ends would show it as executed.
        self.kernel.answer(request, &self.replies, "execute_reply", json!({"status": "aborted"})).await;
        self.kernel.idle(request).await;
    }

    async fn reply(&self, request: &Message, mut content: Value) {
        content["execution_count"] = json!(self.count);
        self.kernel.answer(request, &self.replies, "execute_reply", content).await;
    }
}

/// What a cell `?NAME` asks about: an item of Rust, a variable, or a magic. No Rust begins so.
fn asked_about(code: &str) -> Option<&str> {
    let name = code.trim().strip_prefix('?')?.trim_start_matches('?').trim();
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | ':' | '%');
    (!name.is_empty() && name.chars().all(is_name)).then_some(name)
}

fn payload_of(wish: Wish) -> Value {
    match wish {
        Wish::NextInput(text) => json!({"source": "set_next_input", "text": text, "replace": true}),
        Wish::Page(text) => json!({"source": "page", "data": {"text/plain": text}, "start": 0}),
    }
}

/// The value of a cell as text, for the history.
fn text_of(publisher: &Publisher) -> Option<String> {
    publisher.value()?.get("text/plain")?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_a_name() {
        let all = ["?Vec", "??std::fs::read ", "?%px", "? a", "?", "?a b", "a?", "?(1)"].map(asked_about);
        assert_eq!(all, [Some("Vec"), Some("std::fs::read"), Some("%px"), Some("a"), None, None, None, None]);
    }

    #[test]
    fn only_who_sent_cells_behind_the_failed_one_has_them_aborted() {
        let request = |session: &str| Message::new("execute_request", session, json!({}));
        let failed = request("lab");
        let line = Arc::new(tokio::sync::Semaphore::new(9));
        let room = || Arc::clone(&line).try_acquire_owned().unwrap();
        let waiting = |session: &str, interrupts| Waiting { request: request(session), interrupts, _room: room() };
        assert!(waiting("lab", 0).is_behind(&failed, 0, 0), "all cells were sent at once");
        assert!(waiting("lab", 3).is_behind(&failed, 3, 3), "earlier interrupts were of earlier cells");
        assert!(!waiting("runner", 0).is_behind(&failed, 0, 0), "another client's cell failed");
        assert!(waiting("lab", 0).is_behind(&failed, 0, 1), "the interrupt was for all of them");
        assert!(!waiting("lab", 1).is_behind(&failed, 0, 1), "sent when the interrupt was known");
        assert!(waiting("lab", 1).is_behind(&failed, 0, 2), "and interrupted again");
        let mut subshell = waiting("lab", 0);
        subshell.request.header.0.insert("subshell_id".into(), json!("s"));
        assert!(!subshell.is_behind(&failed, 0, 0));
    }
}
