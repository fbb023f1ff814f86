//! Runs cells, one after the other: each part of a cell where it belongs.

mod ahead;
mod building;
mod clusters;
mod cuda;
mod defined;
mod deps;
mod everyday;
mod expression;
mod files;
mod gpu;
mod gpu_status;
mod maps;
mod own;
mod parallel;
mod results;
mod run_file;
mod settling;
mod shell;
mod snapshots;
mod timing;
mod transfers;
mod variables;
mod watching;

use crate::NotebookConfig;
use crate::compiler_thread::CompilerThread;
use crate::engines::Engines;
use crate::facts::{Facts, Known};
use crate::failure::{Failure, Kind, death_notice, failure, restored_notice};
use crate::input::FrontEnd;
use crate::interrupt::Interrupted;
use crate::jobs::Jobs;
use crate::local::LocalWorker;
use crate::publisher::Publisher;
use crate::surroundings::Surroundings;
pub use ahead::Ahead;
use building::{Builds, Waiting};
use chorus_client::Preparing;
use chorus_compiler::{Action, Building, CellText, Compiler, Failure as CompileFailure, Member, Modules, Reply};
use chorus_engine::WorkerConfig;
use chorus_magics::{
    self as magics, AutoPx, Code, Command, Part, Px, PxConfig, PxDefaults, PxOptions, Script, TimeIt, WriteFile,
};
use chorus_protocol::{Aftermath, Death, SnapshotPolicy};
use chorus_render::{self as render, BuildEnd};
use gpu::Workshop;
use maps::LastMap;
use parking_lot::Mutex;
use results::Results;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use timing::Spent;
use tokio::sync::mpsc::Receiver;

/// The state of one notebook.
pub struct Executor {
    config: NotebookConfig,
    compiler: CompilerThread,
    /// Hears how far dependencies are; `None` while a cell listens.
    building: Option<Receiver<Building>>,
    /// Says that the cell under way is being compiled.
    waiting: Arc<Waiting>,
    known: Known,
    local: Option<Arc<tokio::sync::Mutex<LocalWorker>>>,
    engines: Engines,
    px: PxConfig,
    autopx: Option<PxConfig>,
    /// Whether the cell that runs has said where `%autopx` sends it.
    told_autopx: bool,
    /// Whether it was said that shell lines aren't filled in.
    told_unfilled: bool,
    results: Results,
    timing: bool,
    /// Since the `%time` that runs, if one does.
    spent: Spent,
    /// Whether a `%time` or `%timeit` runs.
    is_timing: bool,
    ahead: Ahead,
    /// What front ends are to do when the cell that runs has ended.
    wishes: Vec<Wish>,
    snapshots: SnapshotPolicy,
    jobs: Jobs,
    /// How many `%map`s the cell under way has had.
    maps: usize,
    last_map: Option<LastMap>,
    /// Compiles for GPUs.
    workshop: Workshop,
    /// What was compiled for them in whatever kernel, once it was opened.
    gpu_modules: Option<Arc<Modules>>,
    env: Vec<(OsString, OsString)>,
    /// The cells that were run, with their counts.
    history: Vec<(u32, Arc<str>)>,
    /// The folder that `%cd` left last.
    folder_before: Option<PathBuf>,
    /// The files that `%run` runs, each of which runs the next.
    files: Vec<PathBuf>,
}

/// Where a cell's outputs go, and who answers its questions.
pub struct Request {
    /// The whole cell.
    pub code: Arc<str>,
    /// Its outputs.
    pub publisher: Publisher,
    /// Its questions.
    pub front_end: FrontEnd,
    /// Interrupts since it began.
    pub interrupted: Interrupted,
    /// Keeps engines that it is prepared for.
    pub preparing: Mutex<Option<Preparing>>,
}

/// Whether the kernel goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It does.
    Continue,
    /// The cell asked it to end.
    Quit,
}

/// What a cell asks of the front end besides showing its outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// To put this text in the cell's place.
    NextInput(String),
    /// To show this text in its pager.
    Page(String),
}

type Done = Result<Next, Failure>;

/// What one visit of the compiler's thread comes back with.
pub(super) enum Visit<T> {
    /// The cell begins with `:` commands. These are their answers, and the rest is to be done yet.
    Commands(Vec<Reply>),
    /// The cell is compiled, or can't be.
    Compiled(T),
}

/// The answers of a cell's `:` commands, unless they have run already; none if there are none.
pub(super) fn commands_first(
    compiler: &mut Compiler,
    cell: CellText<'_>,
    members: &[Member],
    have_run: bool,
) -> Result<Option<Vec<Reply>>, CompileFailure> {
    if have_run {
        return Ok(None);
    }
    let replies = compiler.commands(cell, members)?;
    Ok((!replies.is_empty()).then_some(replies))
}

impl Executor {
    /// A notebook without any cell.
    pub fn new(
        config: NotebookConfig,
        compiler: CompilerThread,
        building: Receiver<Building>,
        known: Known,
    ) -> Executor {
        let jobs = Jobs::default();
        Executor {
            engines: Engines::new(config.clone(), compiler.clone(), jobs.clone()),
            ahead: Ahead::new(compiler.clone()),
            config,
            compiler,
            building: Some(building),
            waiting: Arc::default(),
            known,
            local: None,
            px: PxConfig::default(),
            autopx: None,
            told_autopx: false,
            told_unfilled: false,
            results: Results::default(),
            timing: false,
            spent: Spent::default(),
            is_timing: false,
            wishes: Vec::new(),
            snapshots: SnapshotPolicy::default(),
            jobs,
            maps: 0,
            last_map: None,
            workshop: Workshop::default(),
            gpu_modules: None,
            env: vec![("PATH".into(), chorus_compiler::users_path())],
            history: Vec::new(),
            folder_before: None,
            files: Vec::new(),
        }
    }

    /// Runs a cell. Its outputs are published before this returns, all but the error.
    pub async fn execute(&mut self, request: &Request) -> Done {
        let started = Instant::now();
        self.known.facts().running = Some(Arc::clone(&request.code));
        let mut result = self.parts_and_builds(request).await;
        if let Err(failed) = result {
            result = Err(self.explaining_magics(failed, &request.code).await);
        }
        self.tell_notices(request).await;
        self.remember(request);
        self.refresh_known().await;
        if self.timing {
            request.publisher.say(&format!("Took {:.1?}", started.elapsed())).await;
        }
        result
    }

    /// What the cell that has just run asks of front ends.
    pub fn take_wishes(&mut self) -> Vec<Wish> {
        std::mem::take(&mut self.wishes)
    }

    /// Runs the parts, and shows how far dependencies are that they wait for.
    async fn parts_and_builds(&mut self, request: &Request) -> Done {
        let Some(mut told) = self.building.take() else { return self.parts(request).await };
        self.waiting = Arc::new(Waiting::new(request.publisher.clone()));
        let waiting = Arc::clone(&self.waiting);
        let mut builds = Builds::new(&request.publisher, &waiting);
        let result = tokio::select! {
            result = self.parts(request) => result,
            () = builds.show(&mut told) => Ok(Next::Continue),
        };
        let failed = result.as_ref().err().map(|failure| match failure.is_interrupt() {
            true => BuildEnd::Interrupted,
            false => BuildEnd::Failed,
        });
        builds.finish(&mut told, failed).await;
        self.building = Some(told);
        result
    }

    async fn parts(&mut self, request: &Request) -> Done {
        (self.maps, self.told_autopx) = (0, false);
        let parts = magics::parse(&request.code, &self.px).map_err(Failure::from)?;
        self.run_parts(parts, request).await
    }

    async fn run_parts(&mut self, parts: Vec<Part<'_>>, request: &Request) -> Done {
        for part in parts {
            let next = match part {
                Part::Blank { .. } => Next::Continue,
                Part::Rust { text, first_line } => self.rust_or_px(text, first_line, request).await?,
                Part::Magic { command, .. } => self.command(command, request).await?,
            };
            if next == Next::Quit {
                return Ok(Next::Quit);
            }
        }
        Ok(Next::Continue)
    }

    /// Rust of the cell itself: for the notebook's own worker, or under `%autopx` for the engines.
    async fn rust_or_px(&mut self, text: &str, first_line: usize, request: &Request) -> Done {
        match self.autopx.clone() {
            Some(config) => {
                if !std::mem::replace(&mut self.told_autopx, true) {
                    self.tell_autopx(&config.targets, request).await?;
                }
                let options = PxOptions { config, out: None, local: false };
                self.px(options, Code { text, line: first_line, column: 1 }, request).await
            }
            None => self.rust(text, first_line, request).await,
        }
    }

    async fn command(&mut self, command: Command<'_>, request: &Request) -> Done {
        let publisher = &request.publisher;
        match command {
            Command::Px(Px { options, code }) => return self.px(options, code, request).await,
            Command::AutoPx(AutoPx { config, targets }) => {
                if self.autopx.is_none() {
                    self.check_defaults(targets.as_ref()).await?;
                }
                let says = if self.autopx.is_some() { "%autopx disabled" } else { "%autopx enabled" };
                self.autopx = if self.autopx.is_some() { None } else { Some(config) };
                publisher.say(says).await;
            }
            Command::Map(map) => return self.map(*map, request).await,
            Command::Transfer(transfer) => return self.transfer(transfer, request).await,
            Command::Tasks(tasks) => self.tasks(&tasks, publisher).await?,
            Command::Cancel(cancel) => self.cancel(&cancel, publisher).await?,
            Command::PxResult(options) if options.partial => return self.partial_result(options.out, request).await,
            Command::PxResult(options) => return self.px_result(options, request).await,
            Command::PxConfig(PxDefaults { config, changed, targets }) => {
                self.check_defaults(targets.as_ref()).await?;
                if !changed {
                    publisher.say(&config.to_string()).await;
                }
                self.px = config;
            }
            Command::Cluster(command) => self.cluster_command(command, request).await?,
            Command::Cuda(cuda) => return self.cuda(cuda, request).await,
            Command::Gpu(_) => self.gpu_command(request).await?,
            Command::Time(timed) => return self.time(timed, request).await,
            Command::TimeIt(TimeIt { flags, setup, code }) => return self.time_it(flags, setup, code, request).await,
            Command::Script(Script { program, args, input, script }) => {
                shell::script(&program, args, input, script, &self.surroundings().await, request).await?;
            }
            Command::Shell(command) => self.shell_line(command, request).await?,
            Command::WriteFile(WriteFile { file, append, text }) => {
                files::write(&file, append, text, &self.surroundings().await, request).await?;
            }
            Command::Load(load) => {
                let text = files::load(&load.file, &self.surroundings().await).await?;
                self.wishes.push(Wish::NextInput(text));
            }
            Command::Run(run) => return self.run_file(&run.file, request).await,
            Command::Show(shown) => publisher.display(everyday::shown(shown)).await,
            Command::Capture(capture) => return self.capture(capture, request).await,
            Command::Folder(folder) => self.folder(folder, request).await?,
            Command::Env(env) => self.env(env, request).await?,
            Command::Reset(reset) => return self.reset(reset.force, request).await,
            Command::History(history) => self.tell_history(&history, request).await,
            Command::Say(text) => publisher.say(&text).await,
            Command::Who(who) => self.who(who.types, request).await?,
            Command::Deps(command) => self.deps(command, request).await?,
            Command::Snapshot(command) => self.snapshot_command(command, publisher).await,
            Command::Help(name) => publisher.stream("stdout", &name.help()).await,
            Command::Page(name) => self.wishes.push(Wish::Page(name.help())),
            Command::LsMagic(_) => publisher.text_and_html(magics::list().trim_end(), &render::magics()).await,
        }
        Ok(Next::Continue)
    }

    /// Where the programs and files of magics belong.
    async fn surroundings(&mut self) -> Surroundings {
        match self.local_worker().await {
            Ok(local) => local.lock().await.surroundings().await,
            Err(_) => Surroundings::default(),
        }
    }

    async fn local_worker(&mut self) -> Result<Arc<tokio::sync::Mutex<LocalWorker>>, Failure> {
        if let Some(local) = &self.local {
            return Ok(Arc::clone(local));
        }
        let config = WorkerConfig {
            program: self.config.engine.clone(),
            args: self.config.worker_args.clone(),
            env: self.env.clone(),
            folder: None,
        };
        let worker = LocalWorker::start(config, self.jobs.clone(), self.engines.clone())
            .await
            .map_err(|error| failure(Kind::WorkerError, error.to_string()))?;
        let worker = Arc::new(tokio::sync::Mutex::new(worker));
        self.local = Some(Arc::clone(&worker));
        Ok(worker)
    }

    /// Starts the worker before the first cell needs it.
    pub async fn prepare(&mut self) {
        if let Err(failure) = self.local_worker().await {
            // The first cell tries again, and says so.
            tracing::warn!("{}", failure.sentence());
        }
    }

    /// Shows what `:` commands answer, and does what they want.
    async fn obey(&mut self, replies: Vec<Reply>, request: &Request) -> Next {
        for Reply { text, html, action } in replies {
            match html {
                Some(html) => request.publisher.text_and_html(&text, &html).await,
                None if text.is_empty() => {}
                None => request.publisher.stream("stdout", &format!("{}\n", text.trim_end())).await,
            }
            match action {
                None => {}
                Some(Action::RestartWorker) => self.restart_local().await,
                Some(Action::Clear) => {
                    self.restart_local().await;
                    if let Some(cluster) = self.engines.current() {
                        cluster.session().restart(cluster.engines());
                    }
                }
                Some(Action::Help) => request.publisher.stream("stdout", &render::help(&chorus_compiler::help())).await,
                Some(Action::SetEnv(name, value)) => self.env.push((name.into(), value.into())),
                Some(Action::ToggleTiming) => {
                    self.timing = !self.timing;
                    request.publisher.stream("stdout", &format!("Timing: {}\n", self.timing)).await;
                }
                Some(Action::Quit) => return Next::Quit,
            }
        }
        Next::Continue
    }

    /// A fresh worker, with the environment that was asked for meanwhile.
    async fn restart_local(&mut self) {
        if let Some(local) = self.local.take()
            && let Ok(worker) = Arc::try_unwrap(local)
        {
            worker.into_inner().close().await;
        }
        self.jobs.variables_lost();
        self.jobs.handles_lost(0, Death::Stopped).await;
        self.compiler.send(|compiler| {
            compiler.died(Member::Local, Death::Stopped, None);
        });
    }

    // What surrounds every cell.

    async fn tell_notices(&mut self, request: &Request) {
        let mut notices = Vec::new();
        if let Some(local) = &self.local {
            let deaths = local.lock().await.deaths();
            let who = "the notebook's worker";
            for (death, aftermath, generation) in deaths {
                let Aftermath::Lost(reason) = aftermath else {
                    notices.push(restored_notice(who, death));
                    continue;
                };
                let lost = self
                    .with_compiler(move |compiler| {
                        (compiler.died(Member::Local, death, Some(generation)), compiler.statics())
                    })
                    .await;
                let (lost, statics) = lost.unwrap_or_default();
                notices.push(death_notice(who, death, &reason, &lost, &statics));
            }
        }
        if let Some(cluster) = self.engines.current() {
            notices.extend(cluster.notices(&self.compiler).await);
            notices.extend(self.engines.tell_lost().await);
        }
        for notice in notices {
            request.publisher.warn(&notice).await;
        }
    }

    async fn refresh_known(&self) {
        let surroundings = match &self.local {
            Some(local) => Surroundings { folder: local.lock().await.folder(), env: None },
            None => Surroundings::default(),
        };
        *self.known.facts() = Facts {
            engines: self.engines.current().iter().flat_map(|cluster| cluster.engines()).collect(),
            px: self.px.clone(),
            autopx: self.autopx.clone(),
            kept: self.results.names(),
            surroundings,
            running: None,
        };
    }

    async fn with_compiler<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Compiler) -> R + Send + 'static,
    ) -> Result<R, Failure> {
        self.compiler.with(work).await.map_err(|error| Failure::Compile(vec![error]))
    }

    /// The same for cells, which the user may give up while the compiler is still busy.
    async fn compile<R: Send + 'static>(
        &self,
        request: &Request,
        work: impl FnOnce(&mut Compiler) -> R + Send + 'static,
    ) -> Result<R, Failure> {
        self.waiting.begin().await;
        let result = self.compiler.with_unless_interrupted(&mut request.interrupted.clone(), work).await;
        self.waiting.end().await;
        result.map_err(|error| Failure::Compile(vec![error]))?.ok_or_else(|| CompileFailure::Interrupted.into())
    }

    /// Ends the notebook's processes. What is returned is for the kernel that may take this one's place, see
    /// [`NotebookConfig::before`].
    pub async fn close(mut self) -> Option<u32> {
        let engines = self.engines.to_start_again();
        self.engines.leave().await;
        if let Some(Ok(worker)) = self.local.take().map(Arc::try_unwrap) {
            worker.into_inner().close().await;
        }
        engines
    }
}
