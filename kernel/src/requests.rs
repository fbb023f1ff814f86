//! Which request is answered by whom, and when.
//!
//! Cells wait in line for the executor. Everything else is answered at once, on shell and on control, also while a cell
//! runs. Around each request the kernel says that it is busy, and then idle.

use crate::assist::Assist;
use crate::comms::Comms;
use crate::history::{self, History, Query};
use crate::line::Waiting;
use crate::questions;
use crate::subshells::Subshells;
use chorus_cells::failure::{Kind, bad_request, failure};
use chorus_cells::{Answers, CompilerThread, Interrupts, Outbox};
use chorus_jupyter::content::Failure;
use chorus_jupyter::{ExecutionState, IoPub, Message, PROTOCOL_VERSION, Receiver, Sender};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OnceCell, Semaphore, mpsc};

/// The room for cells that wait in line, in KiB.
pub const LINE: u32 = 64 << 10;

/// What each of them takes besides its bytes, in KiB: the message around it, as it lies in memory.
const CELL: usize = 4;

/// Requests of one socket that are answered at the same time; the next ones are read when one is done.
const AT_ONCE: usize = 64;

/// How long front ends wait for rustc to say its version.
const RUSTC_PATIENCE: Duration = Duration::from_secs(1);

/// What all requests share.
pub struct Kernel {
    pub iopub: IoPub,
    /// For the outputs of cells.
    pub outbox: Outbox,
    pub interrupts: Interrupts,
    pub compiler: CompilerThread,
    pub assist: Assist,
    pub answers: Answers,
    pub history: History,
    pub comms: Comms,
    pub subshells: Subshells,
    /// Where cells wait. It can't grow: each one in it has taken its part of `line`.
    pub cells: mpsc::UnboundedSender<Waiting>,
    pub line: Arc<Semaphore>,
    /// The first ends the kernel, so there is room for no other.
    pub quit: mpsc::Sender<Quit>,
    pub rust_version: OnceCell<String>,
}

/// Why the kernel ends, and to whom a last reply is due.
pub enum Quit {
    Asked(Box<(Message, Sender)>),
    Closed,
}

/// Takes a socket's requests.
pub async fn requests(kernel: Arc<Kernel>, mut socket: Receiver, replies: Sender) {
    let at_once = Arc::new(Semaphore::new(AT_ONCE));
    while let Some(request) = socket.recv().await {
        kernel.take(request, &replies, &at_once).await;
    }
    let _ = kernel.quit.try_send(Quit::Closed);
}

impl Kernel {
    /// Ends what runs, and what is being compiled.
    pub async fn interrupt(&self) {
        self.interrupts.interrupt(|| self.compiler.interrupt());
        let compiler = self.compiler.clone();
        // The compiler's process may be slow to listen.
        _ = tokio::task::spawn_blocking(move || compiler.end_builds()).await;
    }

    pub async fn busy(&self, request: &Message) {
        let _ = self.iopub.status(Some(&request.header), ExecutionState::Busy).await;
    }

    pub async fn idle(&self, request: &Message) {
        let _ = self.iopub.status(Some(&request.header), ExecutionState::Idle).await;
    }

    pub async fn answer(&self, request: &Message, replies: &Sender, msg_type: &str, content: Value) {
        replies.send(Message::reply_to(request, msg_type, content)).await;
    }

    async fn take(self: &Arc<Self>, request: Message, replies: &Sender, at_once: &Arc<Semaphore>) {
        let is_known = self.subshells.check(request.subshell_id());
        match request.msg_type() {
            "execute_request" if is_known.is_ok() => {
                match Arc::clone(&self.line).try_acquire_many_owned(room_for(&request)) {
                    Ok(room) => {
                        _ = self.cells.send(Waiting { request, interrupts: self.interrupts.count(), _room: room });
                    }
                    Err(_) => self.handle(request, Err(line_is_full()), replies).await,
                }
            }
            "shutdown_request" => {
                let asked = Quit::Asked(Box::new((request, replies.clone())));
                if let Err(TrySendError::Full(_)) = self.quit.try_send(asked) {
                    tracing::debug!("asked to end twice");
                }
            }
            "interrupt_request" => {
                // Before anything is published, since that waits where a front end reads slowly.
                self.interrupt().await;
                self.handle(request, is_known, replies).await;
            }
            // These may take a moment, in which other requests, an interrupt say, aren't to wait.
            "kernel_info_request"
            | "complete_request"
            | "inspect_request"
            | "is_complete_request"
            | "history_request" => {
                let (kernel, replies) = (Arc::clone(self), replies.clone());
                // An error would mean that the semaphore is closed, which it never is.
                let permit = Arc::clone(at_once).acquire_owned().await.ok();
                tokio::spawn(async move {
                    kernel.handle(request, is_known, &replies).await;
                    drop(permit);
                });
            }
            _ => self.handle(request, is_known, replies).await,
        }
    }

    async fn handle(&self, request: Message, is_known: Result<(), Failure>, replies: &Sender) {
        self.busy(&request).await;
        let result = match is_known {
            Ok(()) => self.result(&request).await,
            Err(unknown_subshell) => Err(unknown_subshell),
        };
        let reply = result.unwrap_or_else(|failure| Some(failure.reply()));
        // Comms have no replies.
        match (reply, request.msg_type().strip_suffix("_request")) {
            (Some(reply), Some(name)) => self.answer(&request, replies, &format!("{name}_reply"), reply).await,
            (Some(failure), None) => tracing::warn!(msg_type = request.msg_type(), %failure, "dropped"),
            (None, _) => {}
        }
        self.idle(&request).await;
    }

    /// The content of the reply; `None` where there is none.
    async fn result(&self, request: &Message) -> Result<Option<Value>, Failure> {
        let content = &request.content;
        let reply = match request.msg_type() {
            "kernel_info_request" => kernel_info(self.rust_version.get_or_init(rust_version).await),
            "interrupt_request" => json!({"status": "ok"}),
            "complete_request" => questions::complete(content, &self.assist).await?,
            "inspect_request" => questions::inspect(content, &self.assist).await?,
            "is_complete_request" => {
                let content = content.clone();
                // It blocks for as long as parsing takes.
                let judged = tokio::task::spawn_blocking(move || questions::is_complete(&content)).await;
                judged.map_err(|error| bad_request(request.msg_type(), &error))??
            }
            "history_request" => {
                let query = Query::read(content)?;
                let output = query.output;
                history::reply(self.history.ask(query).await, output)
            }
            "comm_info_request" => self.comms.info(content),
            "comm_open" | "comm_msg" | "comm_close" => {
                if let Some(said) = self.comms.take(request.msg_type(), content, || self.assist.variables())? {
                    let _ = self.iopub.send(Some(&request.header), said.msg_type, said.content).await;
                }
                return Ok(None);
            }
            "create_subshell_request" => self.subshells.create(),
            "delete_subshell_request" => self.subshells.delete(content)?,
            "list_subshell_request" => self.subshells.list(),
            other => {
                // Front ends try what newer kernels may know.
                tracing::debug!(msg_type = other, "ignored");
                return Ok(None);
            }
        };
        Ok(Some(reply))
    }
}

/// What a cell takes of the line while it waits, in KiB; at most all of it, so that a very long one can run, too.
fn room_for(request: &Message) -> u32 {
    u32::try_from(CELL + request.size() / 1024).unwrap_or(LINE).min(LINE)
}

fn line_is_full() -> Failure {
    let text = format!(
        "{} MiB of cells wait already. This one wasn't taken and won't run: send it again when some of them have run.",
        LINE >> 10
    );
    failure(Kind::LineFull, text).content()
}

/// Such as `1.95.0`; `unknown` where there is no toolchain, which each cell then says, or where it takes its time: a
/// rustup may be about to install one.
pub async fn rust_version() -> String {
    let output = tokio::process::Command::new("rustc").arg("--version").kill_on_drop(true).output();
    let output = tokio::time::timeout(RUSTC_PATIENCE, output).await.map_err(std::io::Error::from).flatten();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.split_whitespace().nth(1).unwrap_or("unknown").to_owned()
}

fn kernel_info(rust_version: &str) -> Value {
    let version = env!("CARGO_PKG_VERSION");
    json!({
        "status": "ok",
        "protocol_version": PROTOCOL_VERSION,
        "implementation": "chorus",
        "implementation_version": version,
        "language_info": {
            "name": "rust",
            "version": rust_version,
            "mimetype": "text/rust",
            "file_extension": ".rs",
            "pygments_lexer": "rust",
            "codemirror_mode": "rust",
        },
        "banner": format!("Chorus {version}: Rust, in parallel. %lsmagic lists the magics, :help the commands."),
        "help_links": [{"text": "The Rust book", "url": "https://doc.rust-lang.org/book/"}],
        "debugger": false,
        "supported_features": ["kernel subshells"],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_a_cell_brings_takes_room() {
        const MIB: usize = 1 << 20;
        let of = |change: &dyn Fn(&mut Message)| {
            let mut request = Message::new("execute_request", "lab", json!({"code": "1"}));
            change(&mut request);
            room_for(&request)
        };
        assert_eq!(of(&|_| {}), CELL as u32);
        let text = "x".repeat(MIB);
        let changes: [&dyn Fn(&mut Message); 4] = [
            &|request| request.content["code"] = json!(text),
            &|request| request.metadata = json!({"more": text}),
            &|request| _ = request.header.0.insert("more".into(), json!(text)),
            &|request| request.buffers = vec![vec![0; MIB / 2].into(); 2],
        ];
        for change in changes {
            assert!((1024..=1024 + CELL as u32 + 1).contains(&of(change)), "{}", of(change));
        }
        assert_eq!(of(&|request| request.buffers = vec![vec![0; 80 * MIB].into()]), LINE, "it can run by itself");
    }

    #[test]
    fn a_full_line_says_what_to_do() {
        let reply = line_is_full().reply();
        assert_eq!((&reply["status"], &reply["ename"]), (&json!("error"), &json!("LineFull")));
        let says = reply["evalue"].to_string();
        assert!(says.contains("64 MiB") && says.contains("send it again"), "{says}");
    }
}
