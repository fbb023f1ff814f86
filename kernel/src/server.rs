//! A kernel from its start to its end: it binds the sockets, starts what answers, and ends all of it in order.

use crate::assist::Assist;
use crate::comms::Comms;
use crate::history::History;
use crate::line::{AllWaiting, Line};
use crate::requests::{Kernel, LINE, Quit, requests, rust_version};
use crate::subshells::Subshells;
use chorus_cells::{Answers, CompilerThread, Executor, Interrupts, Known, NotebookConfig, Outbox};
use chorus_compiler::{CacheConfig, Told};
use chorus_jupyter::server::LINGER;
use chorus_jupyter::{BindError, ConnectionInfo, ExecutionState, KernelSockets};
use serde_json::json;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OnceCell, Semaphore, mpsc};
use tokio::time::timeout;

/// How long the kernel's processes may take to end.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// Words about dependencies that may wait to be shown.
const BUILDING: usize = 64;

/// How a kernel is to be run.
#[derive(Clone, Debug)]
pub struct KernelConfig {
    /// Where front ends connect.
    pub connection: ConnectionInfo,
    /// The program whose `relay_args` make it evcxr's child.
    pub relay: PathBuf,
    /// Its arguments.
    pub relay_args: Vec<OsString>,
    /// The arguments that make it the compiler's process.
    pub compiler_args: Vec<OsString>,
    /// How its workers and engines are started.
    pub notebook: NotebookConfig,
    /// An empty folder for what is compiled.
    pub folder: PathBuf,
    /// Where compiled cells are kept, if they are.
    pub cache: Option<CacheConfig>,
    /// Where the history is kept, if it is.
    pub data: Option<PathBuf>,
}

/// Why the kernel can't run.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// A socket can't be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A thread can't be started.
    #[error("a thread of the kernel can't be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// Runs a kernel until a front end shuts it down. If the front end is about to start another in its place, this is how many
/// engines that one is to start, see [`NotebookConfig::before`].
pub async fn serve(config: KernelConfig) -> Result<Option<u32>, KernelError> {
    let sockets = KernelSockets::bind(&config.connection, &config.folder).await?;
    let iopub = sockets.iopub.clone();
    let _ = iopub.status(None, ExecutionState::Starting).await;
    let (tell, building) = mpsc::channel(BUILDING);
    let compiler = CompilerThread::start(chorus_compiler::Config {
        relay: config.relay.clone(),
        relay_args: config.relay_args.clone(),
        compiler_args: config.compiler_args.clone(),
        folder: config.folder.clone(),
        interrupter: Default::default(),
        cache: config.cache.clone(),
        assistant: Default::default(),
        // If nobody listens now, it is told again soon.
        building: Told(Arc::new(move |building| _ = tell.try_send(building))),
    })?;
    let known = Known::default();
    let (cells, waiting) = mpsc::unbounded_channel();
    let (quit, mut quits) = mpsc::channel(1);
    let kernel = Arc::new(Kernel {
        outbox: Outbox::start(iopub.clone()),
        iopub,
        interrupts: Interrupts::default(),
        compiler: compiler.clone(),
        assist: Assist::new(&config, compiler.clone(), known.clone()),
        answers: Answers::default(),
        history: History::start(config.data.clone())?,
        comms: Comms::default(),
        subshells: Subshells::default(),
        cells,
        line: Arc::new(Semaphore::new(LINE as usize)),
        quit,
        rust_version: OnceCell::new(),
    });
    // The first thing that front ends ask for; rustc takes longer for it than all the rest.
    let starting = Arc::clone(&kernel);
    tokio::spawn(async move { starting.rust_version.get_or_init(rust_version).await.len() });
    let executor = Executor::new(config.notebook, compiler, building, known);
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
    let line = Line {
        kernel: Arc::clone(&kernel),
        replies: shell_replies,
        questions,
        waiting: AllWaiting::none(executor.ahead()),
        executor,
        count: 0,
    };
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let running = tokio::spawn(line.run(waiting, stopped));

    let why = tokio::select! {
        why = quits.recv() => why,
        _ = terminated() => None,
    };
    // What runs is ended, so that its processes can be.
    kernel.interrupt().await;
    let _ = stop.send(());
    let last = match &why {
        Some(Quit::Asked(asked)) => Some(&**asked),
        Some(Quit::Closed) | None => None,
    };
    // A front end that has stopped reading doesn't keep a kernel from ending.
    let engines = timeout(CLOSE_LIMIT, async {
        if let Some((request, _)) = last {
            kernel.busy(request).await;
        }
        let engines = running.await.ok().flatten();
        kernel.history.flush().await;
        engines
    })
    .await;
    let restart = last.is_some_and(|(request, _)| request.content["restart"].as_bool().unwrap_or(false));
    if let Some((request, sender)) = last {
        kernel.answer(request, sender, "shutdown_reply", json!({"status": "ok", "restart": restart})).await;
    }
    let _ = timeout(CLOSE_LIMIT, async {
        if let Some((request, _)) = last {
            kernel.idle(request).await;
        }
        let _ = kernel.iopub.flush().await;
    })
    .await;
    tokio::time::sleep(LINGER).await;
    Ok(engines.ok().flatten().filter(|_| restart))
}

/// Returns when the process is asked to end: by its parent, or because that is gone.
async fn terminated() {
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut signal) => _ = signal.recv().await,
        Err(_) => std::future::pending().await,
    }
}
