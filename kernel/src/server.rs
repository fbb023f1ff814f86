//! The kernel on its sockets: which request is answered by whom, and when.
//!
//! Cells wait in line for the executor. Everything else is answered at once, also while a cell runs.

use crate::assist::{Assist, Known, place};
use crate::compiling::CompilerThread;
use crate::executor::{Executor, Next, Request};
use crate::failure::failure;
use crate::input::{Answers, FrontEnd};
use crate::interrupt::Interrupts;
use crate::magic;
use crate::outbox::Outbox;
use crate::publisher::Publisher;
use chorus_compiler::CacheConfig;
use chorus_controller::Launch;
use chorus_jupyter::content::{self, ExecuteRequest, Failure};
use chorus_jupyter::server::LINGER;
use chorus_jupyter::{BindError, ConnectionInfo, IoPub, KernelSockets, Message, PROTOCOL_VERSION, Receiver, Sender};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OnceCell, mpsc};

/// How long the kernel's processes may take to end.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// How a kernel is to be run.
#[derive(Clone, Debug)]
pub struct KernelConfig {
    /// Where front ends connect.
    pub connection: ConnectionInfo,
    /// The program whose `relay_args` make it evcxr's child.
    pub relay: PathBuf,
    /// Its arguments.
    pub relay_args: Vec<OsString>,
    /// The arguments that make the same program the analyzer.
    pub analyzer_args: Vec<OsString>,
    /// The engine's program.
    pub engine: PathBuf,
    /// Its arguments, before those that make it an engine.
    pub engine_args: Vec<OsString>,
    /// Its arguments as a worker.
    pub worker_args: Vec<OsString>,
    /// How many engines a cluster has that nobody said a number for; one for each core, at least 2, if `None`.
    pub engines: Option<u32>,
    /// Where clusters have their folders.
    pub runtime: PathBuf,
    /// An empty folder for what is compiled, in evcxr's environment too.
    pub folder: PathBuf,
    /// Where compiled cells are kept, if they are.
    pub cache: Option<CacheConfig>,
}

impl KernelConfig {
    pub(crate) fn launch(&self) -> Launch {
        Launch { program: self.engine.clone(), args: self.engine_args.clone() }
    }
}

/// Why the kernel can't run.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// A socket can't be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The compiler's thread can't be started.
    #[error("the compiler's thread can't be started: {0}")]
    Thread(#[from] std::io::Error),
}

struct Kernel {
    iopub: IoPub,
    outbox: Outbox,
    interrupts: Interrupts,
    compiler: CompilerThread,
    assist: Assist,
    answers: Answers,
    history: Mutex<Vec<(u32, String)>>,
    cells: mpsc::UnboundedSender<Message>,
    quit: mpsc::UnboundedSender<Quit>,
    rust_version: OnceCell<String>,
}

/// Why the kernel ends, and to whom a last reply is due.
enum Quit {
    Asked(Box<Message>, Sender),
    Closed,
}

/// Runs a kernel until a front end shuts it down.
pub async fn serve(config: KernelConfig) -> Result<(), KernelError> {
    let config = Arc::new(config);
    let sockets = KernelSockets::bind(&config.connection).await?;
    let iopub = sockets.iopub.clone();
    let _ = iopub.status(None, "starting").await;
    let compiler = CompilerThread::start(chorus_compiler::Config {
        relay: config.relay.clone(),
        relay_args: config.relay_args.clone(),
        folder: config.folder.clone(),
        interrupter: Default::default(),
        cache: config.cache.clone(),
    })?;
    let known = Known::default();
    let (cells, waiting) = mpsc::unbounded_channel();
    let (quit, mut quits) = mpsc::unbounded_channel();
    let kernel = Arc::new(Kernel {
        outbox: Outbox::start(iopub.clone()),
        iopub,
        interrupts: Interrupts::default(),
        compiler: compiler.clone(),
        assist: Assist::new(&config, compiler.clone(), known.clone()),
        answers: Answers::default(),
        history: Mutex::default(),
        cells,
        quit,
        rust_version: OnceCell::new(),
    });
    let executor = Executor::new(config, compiler, known);
    let (shell, shell_replies) = sockets.shell;
    let (control, control_replies) = sockets.control;
    let (mut stdin, questions) = sockets.stdin;
    tokio::spawn(requests(Arc::clone(&kernel), shell, shell_replies.clone()));
    tokio::spawn(requests(Arc::clone(&kernel), control, control_replies));
    let answers = kernel.answers.clone();
    tokio::spawn(async move {
        while let Some(reply) = stdin.recv().await {
            answers.take(&reply);
        }
    });
    let line = Line { kernel: Arc::clone(&kernel), replies: shell_replies, questions, executor, count: 0 };
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let running = tokio::spawn(line.run(waiting, stopped));

    let why = tokio::select! {
        why = quits.recv() => why,
        _ = terminated() => None,
    };
    // What runs is ended, so that its processes can be.
    kernel.interrupt();
    let _ = stop.send(());
    let _ = tokio::time::timeout(CLOSE_LIMIT, running).await;
    if let Some(Quit::Asked(request, sender)) = why {
        let restart = request.content["restart"].as_bool().unwrap_or(false);
        let reply = json!({"status": "ok", "restart": restart});
        kernel.answer(&request, &sender, "shutdown_reply", reply).await;
    }
    let _ = kernel.iopub.flush().await;
    tokio::time::sleep(LINGER).await;
    Ok(())
}

/// Returns when the process is asked to end: by its parent, or because that is gone.
async fn terminated() {
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut signal) => _ = signal.recv().await,
        Err(_) => std::future::pending().await,
    }
}

async fn requests(kernel: Arc<Kernel>, mut socket: Receiver, replies: Sender) {
    while let Some(request) = socket.recv().await {
        if matches!(request.msg_type(), "complete_request" | "inspect_request") {
            // They may take a while, which what comes behind them needn't.
            let (kernel, replies) = (Arc::clone(&kernel), replies.clone());
            tokio::spawn(async move { kernel.handle(request, &replies).await });
            continue;
        }
        kernel.handle(request, &replies).await;
    }
    let _ = kernel.quit.send(Quit::Closed);
}

impl Kernel {
    fn interrupt(&self) {
        self.interrupts.interrupt();
        self.compiler.interrupt();
    }

    async fn handle(&self, request: Message, replies: &Sender) {
        let reply = match request.msg_type() {
            "execute_request" => {
                let _ = self.cells.send(request);
                return;
            }
            "shutdown_request" => {
                let _ = self.quit.send(Quit::Asked(Box::new(request), replies.clone()));
                return;
            }
            "interrupt_request" => {
                self.interrupt();
                json!({"status": "ok"})
            }
            "kernel_info_request" => kernel_info(self.rust_version.get_or_init(rust_version).await),
            "complete_request" => {
                let (code, cursor) = place(&request.content);
                self.assist.complete(code, cursor).await
            }
            "inspect_request" => {
                let (code, cursor) = place(&request.content);
                let detailed = request.content["detail_level"].as_u64() == Some(1);
                self.assist.inspect(code, cursor, detailed).await
            }
            "is_complete_request" => is_complete(&request.content),
            "history_request" => self.history(&request.content),
            "comm_info_request" => json!({"status": "ok", "comms": {}}),
            "comm_open" => {
                // There is nothing that a front end could talk to; it is told so.
                let content = json!({"comm_id": request.content["comm_id"], "data": {}});
                let _ = self.iopub.send(Some(&request.header), "comm_close", content).await;
                return;
            }
            "comm_msg" | "comm_close" => return,
            other => failure("UnknownMessage", format!("this kernel doesn't know `{other}`")).reply(),
        };
        let reply_type = request.msg_type().replace("_request", "_reply");
        self.busy(&request).await;
        self.answer(&request, replies, &reply_type, reply).await;
        self.idle(&request).await;
    }

    async fn busy(&self, request: &Message) {
        let _ = self.iopub.status(Some(&request.header), "busy").await;
    }

    async fn idle(&self, request: &Message) {
        let _ = self.iopub.status(Some(&request.header), "idle").await;
    }

    async fn answer(&self, request: &Message, replies: &Sender, msg_type: &str, content: Value) {
        replies.send(Message::reply_to(request, msg_type, content)).await;
    }

    fn history(&self, asked: &Value) -> Value {
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        let output = asked["output"].as_bool().unwrap_or(false);
        let limit = asked["n"].as_u64().map_or(history.len(), |n| usize::try_from(n).unwrap_or(usize::MAX));
        let entry = |(count, code): &(u32, String)| match output {
            true => json!([0, count, [code, Value::Null]]),
            false => json!([0, count, code]),
        };
        let entries: Vec<Value> = history.iter().skip(history.len().saturating_sub(limit)).map(entry).collect();
        json!({"status": "ok", "history": entries})
    }
}

/// The cells that wait, and who runs them.
struct Line {
    kernel: Arc<Kernel>,
    replies: Sender,
    questions: Sender,
    executor: Executor,
    count: u32,
}

impl Line {
    async fn run(mut self, mut waiting: mpsc::UnboundedReceiver<Message>, stopped: tokio::sync::oneshot::Receiver<()>) {
        self.executor.prepare().await;
        let _ = self.kernel.iopub.status(None, "idle").await;
        tokio::pin!(stopped);
        loop {
            let request = tokio::select! {
                biased;
                _ = &mut stopped => break,
                request = waiting.recv() => match request {
                    Some(request) => request,
                    None => break,
                },
            };
            let failed_and_stops = self.cell(request).await;
            if failed_and_stops {
                while let Ok(request) = waiting.try_recv() {
                    self.abort(&request).await;
                }
            }
        }
        self.executor.close().await;
    }

    /// Runs one cell. Returns whether those behind it are to be dropped.
    async fn cell(&mut self, message: Message) -> bool {
        let kernel = Arc::clone(&self.kernel);
        kernel.compiler.begin_cell();
        let interrupted = kernel.interrupts.listen();
        kernel.busy(&message).await;
        let request: ExecuteRequest = match message.content_as() {
            Ok(request) => request,
            Err(error) => {
                let what = format!("the execute_request makes no sense: {error}");
                self.reply(&message, failure("BadRequest", what).reply()).await;
                kernel.idle(&message).await;
                return false;
            }
        };
        if request.stores_history() {
            self.count += 1;
            let mut history = kernel.history.lock().unwrap_or_else(PoisonError::into_inner);
            history.push((self.count, request.code.clone()));
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
        let result = self
            .executor
            .execute(&Request { code: code.into(), publisher: publisher.clone(), front_end, interrupted })
            .await;
        let (reply, stops) = match &result {
            Ok(_) => {
                let expressions = user_expressions(&request);
                let mut payload: Vec<Value> = Vec::new();
                payload.extend(leaves.then(|| json!({"source": "ask_exit", "keepkernel": false})));
                let loaded = self.executor.take_next_input();
                payload.extend(loaded.map(|text| json!({"source": "set_next_input", "text": text, "replace": true})));
                (json!({"status": "ok", "user_expressions": expressions, "payload": payload}), false)
            }
            Err(failed) => {
                publisher.error(failed).await;
                (failed.reply(), request.stop_on_error)
            }
        };
        // Outputs belong before the idle state, which front ends take for their end.
        publisher.flush().await;
        self.reply(&message, reply).await;
        kernel.idle(&message).await;
        if result == Ok(Next::Quit) {
            let _ = kernel.quit.send(Quit::Closed);
        }
        stops
    }

    /// A cell behind one that failed.
    async fn abort(&self, request: &Message) {
        self.kernel.busy(request).await;
        self.kernel.answer(request, &self.replies, "execute_reply", json!({"status": "aborted"})).await;
        self.kernel.idle(request).await;
    }

    async fn reply(&self, request: &Message, mut content: Value) {
        content["execution_count"] = json!(self.count);
        self.kernel.answer(request, &self.replies, "execute_reply", content).await;
    }
}

/// Rust has no expression that could be evaluated beside the cell without compiling one.
fn user_expressions(request: &ExecuteRequest) -> Value {
    let unsupported: Failure = failure("NotSupported", "this kernel evaluates no user_expressions");
    request
        .user_expressions
        .keys()
        .map(|name| (name.clone(), unsupported.reply()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// Such as `1.95.0`; `unknown` where there is no toolchain, which each cell then says.
async fn rust_version() -> String {
    let output = tokio::process::Command::new("rustc").arg("--version").output().await;
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
        "supported_features": [],
    })
}

fn is_complete(content: &Value) -> Value {
    match magic::is_unfinished(content["code"].as_str().unwrap_or_default(), &Default::default()) {
        false => json!({"status": "complete"}),
        true => json!({"status": "incomplete", "indent": "    "}),
    }
}
