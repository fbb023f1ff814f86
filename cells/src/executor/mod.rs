//! Runs cells, one after the other: each part of a cell where it belongs.

mod clusters;
mod expression;
mod files;
mod maps;
mod parallel;
mod shell;
mod snapshots;
mod timing;
mod transfers;
mod variables;

use crate::NotebookConfig;
use crate::cluster::Cluster;
use crate::compiler_thread::CompilerThread;
use crate::facts::{Facts, Known};
use crate::failure::{compile_failure, death_notice, failure, magic_failure, outdated_notice, restored_notice};
use crate::generated::to_users_lines;
use crate::input::FrontEnd;
use crate::interrupt::Interrupted;
use crate::jobs::{Context, Half, Jobs, MapOptions};
use crate::local::{Ended, LocalWorker};
use crate::publisher::Publisher;
use crate::run::PxCell;
use chorus_compiler::{Action, CellText, Compiler, Member, Ran, Reply};
use chorus_engine::WorkerConfig;
use chorus_jupyter::content::Failure;
use chorus_magics::{
    self as magics, AutoPx, Code, Command, Part, Px, PxConfig, PxDefaults, PxOptions, Script, TimeIt, WriteFile,
    rust::Text,
};
use chorus_protocol::{Aftermath, Death, SnapshotPolicy};
use chorus_render as render;
pub use clusters::default_engines;
use clusters::leave;
use maps::{LastMap, MapResult};
use std::collections::HashMap;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::{Duration, Instant};
use timing::{Spending, Spent};
use tokio::runtime::Handle;

/// The state of one notebook.
pub struct Executor {
    config: NotebookConfig,
    compiler: CompilerThread,
    known: Known,
    local: Option<Arc<tokio::sync::Mutex<LocalWorker>>>,
    cluster: Option<Arc<Cluster>>,
    px: PxConfig,
    autopx: Option<PxConfig>,
    last: Option<Shown>,
    kept: HashMap<String, Shown>,
    timing: bool,
    /// Since the `%time` that runs, if one does.
    spent: Spent,
    /// What front ends are to do when the cell that runs has ended.
    wishes: Vec<Wish>,
    snapshots: SnapshotPolicy,
    jobs: Jobs,
    /// How many `%map`s the cell under way has had.
    maps: usize,
    last_map: Option<LastMap>,
    env: Vec<(OsString, OsString)>,
}

/// What `%pxresult` shows.
#[derive(Clone)]
enum Shown {
    Cell(PxCell),
    Map(MapResult),
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

/// What the notebook's own cells call that starts something on engines.
const NEEDS_ENGINES: [&str; 2] = ["px::map", "px::call"];

impl Executor {
    /// A notebook without any cell.
    pub fn new(config: NotebookConfig, compiler: CompilerThread, known: Known) -> Executor {
        Executor {
            config,
            compiler,
            known,
            local: None,
            cluster: None,
            px: PxConfig::default(),
            autopx: None,
            last: None,
            kept: HashMap::new(),
            timing: false,
            spent: Spent::default(),
            wishes: Vec::new(),
            snapshots: SnapshotPolicy::default(),
            jobs: Jobs::default(),
            maps: 0,
            last_map: None,
            env: vec![("PATH".into(), chorus_compiler::users_path())],
        }
    }

    /// Runs a cell. Its outputs are published before this returns, all but the error.
    pub async fn execute(&mut self, request: &Request) -> Done {
        let started = Instant::now();
        self.known.facts().running = Some(Arc::clone(&request.code));
        let result = self.parts(request).await;
        self.tell_notices(request).await;
        self.refresh_known();
        if self.timing {
            request.publisher.say(&format!("Took {:.1?}", started.elapsed())).await;
        }
        result
    }

    /// What the cell that has just run asks of front ends.
    pub fn take_wishes(&mut self) -> Vec<Wish> {
        std::mem::take(&mut self.wishes)
    }

    async fn parts(&mut self, request: &Request) -> Done {
        self.maps = 0;
        let parts = magics::parse(&request.code, &self.px).map_err(|error| magic_failure(&error))?;
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
            Command::Tasks(_) => publisher.display(render::tasks(&self.jobs.list())).await,
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
            Command::Time(timed) => return self.time(timed, request).await,
            Command::TimeIt(TimeIt { flags, setup, code }) => return self.time_it(flags, setup, code, request).await,
            Command::Script(Script { program, args, input, script }) => {
                shell::script(&program, args, input, script, request).await?;
            }
            Command::Shell(command) => shell::line(command, request).await?,
            Command::WriteFile(WriteFile { file, append, text }) => files::write(&file, append, text, request).await?,
            Command::Load(load) => self.wishes.push(Wish::NextInput(files::load(&load.file).await?)),
            Command::Who(who) => self.who(who.types, request).await?,
            Command::Snapshot(command) => self.snapshot_command(command, publisher).await,
            Command::Help(name) => publisher.stream("stdout", &name.help()).await,
            Command::Page(name) => self.wishes.push(Wish::Page(name.help())),
            Command::LsMagic(_) => publisher.text_and_html(magics::list().trim_end(), &render::magics()).await,
        }
        Ok(Next::Continue)
    }

    // Local cells.

    async fn rust(&mut self, text: &str, first_line: usize, request: &Request) -> Done {
        if self.cluster.is_none() && NEEDS_ENGINES.iter().any(|name| text.contains(name)) {
            self.cluster(request).await?;
        }
        self.jobs.begin_cell(self.context(MapOptions::default(), None, request));
        self.rust_in_context(text, first_line, None, request).await
    }

    /// What maps of the cell that is about to run are to know.
    fn context(&self, options: MapOptions, half: Option<Arc<Half>>, request: &Request) -> Context {
        Context {
            cluster: self.cluster.as_ref().map(Arc::downgrade).unwrap_or_default(),
            compiler: self.compiler.clone(),
            publisher: request.publisher.clone(),
            options,
            half,
            snapshots: self.snapshots,
            partial: None,
            argument: Vec::new(),
            compiled: Duration::ZERO,
        }
    }

    /// Rust for the notebook's own worker, when it is known how its maps are to be run.
    async fn rust_in_context(
        &mut self,
        text: &str,
        first_line: usize,
        generated: Option<&Text>,
        request: &Request,
    ) -> Done {
        let members = [Member::Local];
        if self.colon_commands(text, first_line, &members, request).await? == Next::Quit {
            return Ok(Next::Quit);
        }
        let local = self.local_worker().await?;
        let (handle, publisher, front_end) = (Handle::current(), request.publisher.clone(), request.front_end.clone());
        let mut interrupted = request.interrupted.clone();
        let (text, count, whole) = (text.to_owned(), publisher.count(), Arc::clone(&request.code));
        let (snapshots, jobs) = (self.snapshots, self.jobs.clone());
        let users = generated.map_or(CellText::ALL, Text::users);
        let (evaluated, failed, spent) = self
            .compile(request, move |compiler| {
                let variables: Vec<String> = compiler.namespaces().variables(Member::Local).into_keys().collect();
                let (mut failed, mut own) = (None, false);
                let cell = CellText { text: &text, count, first_line, cell: &whole, users };
                let mut spent = Spending::begin();
                let evaluated = compiler.eval(cell, &members, &mut |object| {
                    jobs.set_compiled(spent.compiling());
                    let begun = Instant::now();
                    let Ended { outcome, took, failure, panicked } = handle.block_on(async {
                        let mut worker = local.lock().await;
                        worker.run(object, variables.clone(), snapshots, &publisher, &mut interrupted, &front_end).await
                    });
                    (failed, own) = (failure, panicked);
                    spent.ran(begun, took, 0);
                    Ran::Finished(vec![(Member::Local, outcome)])
                });
                (evaluated, failed.map(|failure| (failure, own)), spent.end())
            })
            .await?;
        self.spent.add(spent);
        let explain = |failure| match generated {
            Some(text) => compile_failure(to_users_lines(text, failure, &request.code)),
            None => compile_failure(failure),
        };
        let evaluated = evaluated.map_err(explain)?;
        if let Some(notice) = outdated_notice(&evaluated.outdated) {
            request.publisher.say(&notice).await;
        }
        let Some((mut failure, is_own)) = failed else { return Ok(Next::Continue) };
        // A map's failure that the cell has handled isn't what ended it.
        if let Some(failure) = self.jobs.take_failure().filter(|_| !is_own) {
            return Err(failure);
        }
        for (_, names) in evaluated.lost {
            // A death names its losses by itself; a panic may lose what the cell defined anew.
            let said = failure.traceback.iter().any(|line| line.contains("lost"));
            failure.traceback.extend((!said).then(|| format!("  lost: `{}`", names.join("`, `"))));
        }
        Err(failure)
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
        let worker = LocalWorker::start(config, self.jobs.clone())
            .await
            .map_err(|error| failure("WorkerError", error.to_string()))?;
        let worker = Arc::new(tokio::sync::Mutex::new(worker));
        self.local = Some(Arc::clone(&worker));
        Ok(worker)
    }

    /// Starts the worker before the first cell needs it.
    pub async fn prepare(&mut self) {
        if let Err(failure) = self.local_worker().await {
            // The first cell tries again, and says so.
            tracing::warn!("{}", failure.evalue);
        }
    }

    async fn colon_commands(&mut self, text: &str, first_line: usize, members: &[Member], request: &Request) -> Done {
        let (text, count, members) = (text.to_owned(), request.publisher.count(), members.to_vec());
        let whole = Arc::clone(&request.code);
        let replies = self
            .compile(request, move |compiler| {
                compiler
                    .commands(CellText { text: &text, count, first_line, cell: &whole, users: CellText::ALL }, &members)
            })
            .await?
            .map_err(compile_failure)?;
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
                    if let Some(cluster) = &self.cluster {
                        cluster.session().restart(cluster.engines());
                    }
                }
                Some(Action::Help) => request.publisher.stream("stdout", &render::help(&chorus_compiler::help())).await,
                Some(Action::SetEnv(name, value)) => self.env.push((name.into(), value.into())),
                Some(Action::ToggleTiming) => {
                    self.timing = !self.timing;
                    request.publisher.stream("stdout", &format!("Timing: {}\n", self.timing)).await;
                }
                Some(Action::Quit) => return Ok(Next::Quit),
            }
        }
        Ok(Next::Continue)
    }

    /// A fresh worker, with the environment that was asked for meanwhile.
    async fn restart_local(&mut self) {
        if let Some(local) = self.local.take()
            && let Ok(worker) = Arc::try_unwrap(local)
        {
            worker.into_inner().close().await;
        }
        self.compiler.send(|compiler| {
            compiler.died(Member::Local, Death::Stopped);
        });
    }

    // What surrounds every cell.

    async fn tell_notices(&mut self, request: &Request) {
        let mut notices = Vec::new();
        if let Some(local) = &self.local {
            let deaths = local.lock().await.deaths();
            let who = "the notebook's worker";
            for (death, aftermath) in deaths {
                let Aftermath::Lost(reason) = aftermath else {
                    notices.push(restored_notice(who, death));
                    continue;
                };
                let lost = self.with_compiler(move |compiler| compiler.died(Member::Local, death)).await;
                notices.push(death_notice(who, death, &reason, &lost.unwrap_or_default()));
            }
        }
        notices.extend(self.cluster.iter().flat_map(|cluster| cluster.notices()));
        for notice in notices {
            request.publisher.warn(&notice).await;
        }
    }

    fn refresh_known(&self) {
        *self.known.facts() = Facts {
            engines: self.cluster.iter().flat_map(|cluster| cluster.engines()).collect(),
            px: self.px.clone(),
            autopx: self.autopx.clone(),
            kept: self.kept.keys().cloned().collect(),
            running: None,
        };
    }

    async fn with_compiler<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Compiler) -> R + Send + 'static,
    ) -> Result<R, Failure> {
        let failed = |error| compile_failure(chorus_compiler::Failure::Errors(vec![error]));
        self.compiler.with(work).await.map_err(failed)
    }

    /// The same for cells, which the user may give up while the compiler is still busy.
    async fn compile<R: Send + 'static>(
        &self,
        request: &Request,
        work: impl FnOnce(&mut Compiler) -> R + Send + 'static,
    ) -> Result<R, Failure> {
        let failed = |error| compile_failure(chorus_compiler::Failure::Errors(vec![error]));
        let result = self.compiler.with_unless_interrupted(&mut request.interrupted.clone(), work).await;
        result.map_err(failed)?.ok_or_else(|| compile_failure(chorus_compiler::Failure::Interrupted))
    }

    /// Ends the notebook's processes.
    pub async fn close(mut self) {
        if let Some(cluster) = self.cluster.take() {
            leave(cluster).await;
        }
        if let Some(Ok(worker)) = self.local.take().map(Arc::try_unwrap) {
            worker.into_inner().close().await;
        }
    }
}
