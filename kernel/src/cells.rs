//! The line of cells: one after the other, each from `execute_input` to its reply.

use crate::executor::{Executor, Next, Request, Wish};
use crate::failure::{bad_request, failure};
use crate::input::FrontEnd;
use crate::publisher::Publisher;
use crate::requests::{Kernel, Quit, Waiting};
use chorus_jupyter::content::{self, ExecuteRequest};
use chorus_jupyter::{Message, Sender};
use serde_json::{Map, Value, json};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// The cells that wait, and who runs them.
pub struct Line {
    pub kernel: Arc<Kernel>,
    pub replies: Sender,
    pub questions: Sender,
    pub executor: Executor,
    /// Cells that were looked at and wait on.
    pub passed_over: VecDeque<Waiting>,
    /// The execution count.
    pub count: u32,
}

impl Line {
    /// Runs cells until `stopped`.
    pub async fn run(mut self, mut waiting: mpsc::UnboundedReceiver<Waiting>, mut stopped: oneshot::Receiver<()>) {
        self.executor.prepare().await;
        let _ = self.kernel.iopub.status(None, "idle").await;
        loop {
            let next = async {
                match self.passed_over.pop_front() {
                    Some(request) => Some(request),
                    None => waiting.recv().await,
                }
            };
            let request = tokio::select! {
                biased;
                _ = &mut stopped => break,
                request = next => match request {
                    Some(Waiting { request, .. }) => request,
                    None => break,
                },
            };
            self.cell(request, &mut waiting).await;
        }
        self.executor.close().await;
    }

    /// Runs one cell and replies.
    async fn cell(&mut self, message: Message, waiting: &mut mpsc::UnboundedReceiver<Waiting>) {
        let kernel = Arc::clone(&self.kernel);
        kernel.compiler.begin_cell();
        let interrupted = kernel.interrupts.listen();
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
        let code = if leaves { "" } else { request.code.as_str() };
        let cell = Request { code: code.into(), publisher: publisher.clone(), front_end, interrupted };
        let result = self.executor.execute(&cell).await;
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
                json!({"status": "ok", "user_expressions": expressions, "payload": payload})
            }
            Err(failed) => {
                publisher.error(failed).await;
                failed.reply()
            }
        };
        // Outputs belong before the idle state, which front ends take for their end.
        publisher.flush().await;
        // Those that wait now: what is sent when the failure is known was sent in spite of it.
        let aborted = match result.is_err() && request.stop_on_error {
            true => self.behind(&message, waiting),
            false => Vec::new(),
        };
        self.reply(&message, reply).await;
        kernel.idle(&message).await;
        for Waiting { request, .. } in aborted {
            self.abort(&request).await;
        }
        if result == Ok(Next::Quit) {
            let _ = kernel.quit.try_send(Quit::Closed);
        }
    }

    /// Takes the cells of the same shell that wait behind this one.
    fn behind(&mut self, failed: &Message, waiting: &mut mpsc::UnboundedReceiver<Waiting>) -> Vec<Waiting> {
        self.passed_over.extend(std::iter::from_fn(|| waiting.try_recv().ok()));
        let (aborted, others): (Vec<_>, Vec<_>) =
            self.passed_over.drain(..).partition(|other| other.request.subshell_id() == failed.subshell_id());
        self.passed_over = others.into();
        aborted
    }

    /// Evaluates them in their order.
    async fn user_expressions(&mut self, expressions: &Map<String, Value>, cell: &Request) -> Map<String, Value> {
        let mut values = Map::new();
        for (name, expression) in expressions {
            let value = match expression.as_str() {
                Some(code) => self.executor.expression(code, cell).await,
                None => Err(failure("NotAnExpression", "an expression has to be a string")),
            };
            let value = match value {
                Ok(data) => json!({"status": "ok", "data": data, "metadata": {}}),
                Err(failed) => failed.reply(),
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
