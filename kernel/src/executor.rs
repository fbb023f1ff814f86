//! Runs cells, one after the other: each part of a cell where it belongs.

use crate::cluster::{Cluster, StartCluster};
use crate::compiling::CompilerThread;
use crate::failure::{compile_failure, death_notice, failure, interrupted_with_losses, magic_failure};
use crate::input::FrontEnd;
use crate::interrupt::Interrupts;
use crate::local::{Ended, LocalWorker};
use crate::magic::{self, Code, Command, Part, PxConfig, PxOptions, ResultOptions, Targets};
use crate::publisher::Publisher;
use crate::px::{self, Followed, PxCell};
use crate::render::{Bundle, Output, announce, plain_bundle, status};
use crate::server::KernelConfig;
use chorus_compiler::{Action, CellText, Compiler, Member, Ran, Reply, Ticket};
use chorus_controller::Transport;
use chorus_engine::WorkerConfig;
use chorus_jupyter::content::Failure;
use chorus_protocol::{Death, EngineId, Outcome};
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::runtime::Handle;

/// How many characters of a cell monitors show.
const LABEL: usize = 80;

/// What completion knows of the notebook; it must not wait for a cell that runs.
#[derive(Clone, Debug, Default)]
pub struct KnownNames(Arc<Mutex<Vec<String>>>);

impl KnownNames {
    /// The names that begin so.
    pub fn starting_with(&self, start: &str) -> Vec<String> {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.iter().filter(|name| name.starts_with(start)).cloned().collect()
    }

    fn set(&self, names: Vec<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = names;
    }
}

/// The state of one notebook.
pub struct Executor {
    config: Arc<KernelConfig>,
    compiler: CompilerThread,
    interrupts: Interrupts,
    names: KnownNames,
    local: Option<Arc<tokio::sync::Mutex<LocalWorker>>>,
    cluster: Option<Arc<Cluster>>,
    px: PxConfig,
    autopx: Option<PxConfig>,
    last: Option<PxCell>,
    kept: HashMap<String, PxCell>,
    timing: bool,
    env: Vec<(OsString, OsString)>,
}

/// Where a cell's outputs go, and who answers its questions.
pub struct Request {
    /// The whole cell.
    pub code: Arc<str>,
    /// Its outputs.
    pub publisher: Publisher,
    /// Its questions.
    pub front_end: FrontEnd,
}

/// Whether the kernel goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It does.
    Continue,
    /// The cell asked it to end.
    Quit,
}

type Done = Result<Next, Failure>;

impl Executor {
    /// A notebook without any cell.
    pub fn new(
        config: Arc<KernelConfig>,
        compiler: CompilerThread,
        interrupts: Interrupts,
        names: KnownNames,
    ) -> Executor {
        Executor {
            config,
            compiler,
            interrupts,
            names,
            local: None,
            cluster: None,
            px: PxConfig::default(),
            autopx: None,
            last: None,
            kept: HashMap::new(),
            timing: false,
            env: Vec::new(),
        }
    }

    /// Runs a cell. Its outputs are published before this returns, all but the error.
    pub async fn execute(&mut self, request: &Request) -> Done {
        let started = Instant::now();
        let result = self.parts(request).await;
        self.tell_notices(request).await;
        self.refresh_names().await;
        if self.timing {
            request.publisher.notice(&format!("Took {:.1?}", started.elapsed())).await;
        }
        result
    }

    async fn parts(&mut self, request: &Request) -> Done {
        let parts = magic::parse(&request.code, &self.px).map_err(|error| magic_failure(&error))?;
        for part in parts {
            let next = match part {
                Part::Blank { .. } => Next::Continue,
                Part::Rust { text, first_line } => match self.autopx.clone() {
                    Some(config) => {
                        let options = PxOptions { config, out: None, local: false };
                        self.px(options, Code { text, line: first_line, column: 1 }, request).await?
                    }
                    None => self.rust(text, first_line, request).await?,
                },
                Part::Magic { command, .. } => self.command(command, request).await?,
            };
            if next == Next::Quit {
                return Ok(Next::Quit);
            }
        }
        Ok(Next::Continue)
    }

    async fn command(&mut self, command: Command<'_>, request: &Request) -> Done {
        let publisher = &request.publisher;
        match command {
            Command::Px { options, code } => return self.px(options, code, request).await,
            Command::AutoPx(config) => {
                let says = if self.autopx.is_some() { "%autopx disabled" } else { "%autopx enabled" };
                self.autopx = if self.autopx.is_some() { None } else { Some(config) };
                publisher.stream("stdout", &format!("{says}\n")).await;
            }
            Command::PxResult(options) => self.px_result(options, request).await?,
            Command::PxConfig { config, changed } => {
                if !changed {
                    publisher.stream("stdout", &format!("{config}\n")).await;
                }
                self.px = config;
            }
            Command::Cluster(command) => self.cluster_command(command, request).await?,
            Command::Help(name) => publisher.stream("stdout", &name.help()).await,
            Command::LsMagic => publisher.stream("stdout", &magic::list()).await,
        }
        Ok(Next::Continue)
    }

    // Local cells.

    async fn rust(&mut self, text: &str, first_line: usize, request: &Request) -> Done {
        let members = [Member::Local];
        if self.colon_commands(text, first_line, &members, request).await? == Next::Quit {
            return Ok(Next::Quit);
        }
        let local = self.local_worker().await?;
        let (handle, publisher, front_end) = (Handle::current(), request.publisher.clone(), request.front_end.clone());
        let mut interrupted = self.interrupts.listen();
        let (text, count, whole) = (text.to_owned(), publisher.count(), Arc::clone(&request.code));
        let (evaluated, failed) = self
            .with_compiler(move |compiler| {
                let variables: Vec<String> = compiler.namespaces().variables(Member::Local).into_keys().collect();
                let mut failed = None;
                let cell = CellText { text: &text, count, first_line, cell: &whole };
                let evaluated = compiler.eval(cell, &members, &mut |object| {
                    let Ended { outcome, failure } = handle.block_on(async {
                        let mut worker = local.lock().await;
                        worker.run(object, variables.clone(), &publisher, &mut interrupted, &front_end).await
                    });
                    failed = failure;
                    Ran::Finished(vec![(Member::Local, outcome)])
                });
                (evaluated, failed)
            })
            .await?;
        evaluated.map_err(compile_failure)?;
        match failed {
            Some(failure) => Err(failure),
            None => Ok(Next::Continue),
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
        let worker = LocalWorker::start(config).await.map_err(|error| failure("WorkerError", error.to_string()))?;
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
            .with_compiler(move |compiler| {
                compiler.commands(CellText { text: &text, count, first_line, cell: &whole }, &members)
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
                Some(Action::Shell(command)) => self.shell(&command, request).await?,
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

    async fn shell(&self, command: &str, request: &Request) -> Result<(), Failure> {
        let mut interrupted = self.interrupts.listen();
        let failed = |error: std::io::Error| failure("ShellError", format!("sh can't be started: {error}"));
        let child = tokio::process::Command::new("sh")
            .args(["-c", command])
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::select! {
            output = child => output.map_err(failed)?,
            () = interrupted.next() => return Err(failure("Interrupted", "the shell command was interrupted")),
        };
        request.publisher.stream("stdout", &String::from_utf8_lossy(&output.stdout)).await;
        request.publisher.stream("stderr", &String::from_utf8_lossy(&output.stderr)).await;
        match output.status.success() {
            true => Ok(()),
            false => Err(failure("ShellError", format!("`{command}` ended with {}", output.status))),
        }
    }

    // Parallel cells.

    async fn px(&mut self, options: PxOptions, code: Code<'_>, request: &Request) -> Done {
        let publisher = &request.publisher;
        let cluster = self.cluster(publisher).await?;
        let targets = resolve(&options.config.targets, &cluster)?;
        let members: Vec<Member> = targets.iter().copied().map(Member::Engine).collect();
        if self.colon_commands(code.text, code.line, &members, request).await? == Next::Quit {
            return Ok(Next::Quit);
        }
        if options.config.verbose {
            publisher.output(announce(&targets, options.config.block)).await;
        }
        let ran = self.px_run(&options, code, &cluster, targets, request).await;
        if options.local && ran.is_ok() {
            return self.rust(code.text, code.line, request).await;
        }
        ran
    }

    async fn px_run(
        &mut self,
        options: &PxOptions,
        code: Code<'_>,
        cluster: &Arc<Cluster>,
        targets: Vec<EngineId>,
        request: &Request,
    ) -> Done {
        let publisher = &request.publisher;
        let mut interrupted = self.interrupts.listen();
        let text = " ".repeat(code.column.saturating_sub(1)) + code.text;
        let (cell_publisher, handle) = (publisher.clone(), Handle::current());
        let (cell_options, cell_cluster) = (options.clone(), Arc::clone(cluster));
        let (first_line, whole) = (code.line, Arc::clone(&request.code));
        let ran = self
            .with_compiler(move |compiler| {
                let members: Vec<Member> = targets.iter().copied().map(Member::Engine).collect();
                let held = held(compiler, &targets);
                let label: String = text.trim().chars().take(LABEL).collect();
                let mut ran = PxRan::default();
                let cell = CellText { text: &text, count: cell_publisher.count(), first_line, cell: &whole };
                let evaluated = compiler.eval(cell, &members, &mut |object| {
                    handle.block_on(async {
                        let sent =
                            px::send(&cell_cluster, object, &targets, &cell_options, &label, &cell_publisher).await;
                        let (sent, cell) = match sent {
                            Ok(sent) => sent,
                            Err(error) => {
                                ran.failure = Some(failure("ClusterError", error.to_string()));
                                return Ran::Finished(members.iter().map(|&m| (m, Outcome::NoSuchEngine)).collect());
                            }
                        };
                        ran.cell = Some(cell);
                        if !cell_options.config.block {
                            ran.detached = Some(sent);
                            return Ran::Submitted;
                        }
                        match sent.follow(&cell_cluster, &cell_options, &held, &cell_publisher, &mut interrupted).await
                        {
                            Followed::Finished { outcomes, interrupted } => {
                                ran.interrupted = interrupted;
                                let member = |(engine, outcome)| (Member::Engine(engine), outcome);
                                Ran::Finished(outcomes.into_iter().map(member).collect())
                            }
                            Followed::Detached(sent) => {
                                ran.detached = Some(sent);
                                ran.interrupted = true;
                                Ran::Submitted
                            }
                        }
                    })
                });
                (evaluated, ran)
            })
            .await?;
        let (evaluated, PxRan { cell, detached, interrupted, failure: failed }) = ran;
        let evaluated = evaluated.map_err(compile_failure)?;
        if let Some(failure) = failed {
            return Err(failure);
        }
        // Definitions alone leave nothing to run.
        let Some(cell) = cell else { return Ok(Next::Continue) };
        self.last = Some(cell.clone());
        if let Some(name) = &options.out {
            self.kept.insert(name.clone(), cell.clone());
        }
        if let (Some(sent), Some(ticket)) = (detached, evaluated.ticket) {
            let compiler = self.compiler.clone();
            tokio::spawn(sent.keep(Arc::clone(cluster), async move |engine, outcome| {
                settle(&compiler, ticket, engine, outcome).await
            }));
            if interrupted {
                return Err(failure("Interrupted", "the cell isn't waited for any more; %pxresult collects it"));
            }
            let name = options.out.as_ref().map(|name| format!(" -o {name}")).unwrap_or_default();
            publisher.notice(&format!("Sent; %pxresult{name} shows what comes of it.")).await;
            return Ok(Next::Continue);
        }
        let outputs = cell.view().finish();
        finish(outputs, interrupted, publisher).await
    }

    async fn px_result(&mut self, options: ResultOptions, request: &Request) -> Result<(), Failure> {
        let cell = match &options.out {
            None => self.last.clone().ok_or_else(|| failure("NoResult", "no parallel cell has run yet"))?,
            Some(name) => self.kept.get(name).cloned().ok_or_else(|| {
                failure("NoResult", format!("no parallel cell was kept as `{name}`: `%px -o {name} ...` keeps one"))
            })?,
        };
        let mut interrupted = self.interrupts.listen();
        let running = cell.view().record().running();
        let finished = tokio::select! {
            () = cell.finished() => true,
            () = interrupted.next() => false,
        };
        if !finished {
            let still = crate::render::name_engines(&running);
            return Err(failure(
                "Interrupted",
                format!("the cell still runs on {still}; `%cluster restart` would end it"),
            ));
        }
        let outputs = cell.view().record().render(options.grouping, options.each);
        finish(outputs, false, &request.publisher).await.map(|_| ())
    }

    // The cluster.

    /// The cluster; the first that asks starts one.
    async fn cluster(&mut self, publisher: &Publisher) -> Result<Arc<Cluster>, Failure> {
        if let Some(cluster) = &self.cluster {
            match cluster.lost() {
                None => return Ok(Arc::clone(cluster)),
                Some(reason) => {
                    let what = format!("the cluster `{}` is gone: {reason}. Its variables are lost", cluster.name());
                    self.drop_cluster().await;
                    return Err(failure("ClusterLost", format!("{what}; run the cell again for a new cluster")));
                }
            }
        }
        let engines = self.config.engines.unwrap_or_else(default_engines);
        let start = StartCluster { name: None, engines, transport: Transport::Ipc };
        self.start_cluster(start, publisher).await
    }

    async fn start_cluster(&mut self, start: StartCluster, publisher: &Publisher) -> Result<Arc<Cluster>, Failure> {
        let (wanted, started) = (start.engines, Instant::now());
        let mut interrupted = self.interrupts.listen();
        let starting = Cluster::start(start, &self.config.runtime, self.config.launch(), &self.compiler);
        let cluster = tokio::select! {
            cluster = starting => cluster.map_err(|error| failure("ClusterError", error.to_string()))?,
            () = interrupted.next() => return Err(failure("Interrupted", "no cluster was started")),
        };
        let joined = cluster.engines().len() as u32;
        let missing = match wanted.saturating_sub(joined) {
            0 => String::new(),
            missing => format!("; {missing} more haven't joined yet"),
        };
        let time = started.elapsed().as_secs_f64();
        let says = format!("Started the cluster `{}` with {joined} engines in {time:.2} s{missing}.", cluster.name());
        publisher.notice(&says).await;
        Ok(self.use_cluster(cluster))
    }

    fn use_cluster(&mut self, cluster: Cluster) -> Arc<Cluster> {
        let cluster = Arc::new(cluster);
        self.cluster = Some(Arc::clone(&cluster));
        cluster
    }

    /// Leaves the cluster, with all that the notebook had there.
    async fn drop_cluster(&mut self) {
        let Some(cluster) = self.cluster.take() else { return };
        self.compiler.send(|compiler| compiler.namespaces_mut().forget(|member| member == Member::Local));
        leave(cluster).await;
    }

    async fn cluster_command(&mut self, command: magic::ClusterCommand, request: &Request) -> Result<(), Failure> {
        use magic::ClusterCommand;
        let publisher = &request.publisher;
        let none = || failure("NoCluster", "there is no cluster: `%cluster start` or any %px cell starts one");
        match command {
            ClusterCommand::Start { n, tcp, name } => {
                if let Some(cluster) = self.cluster.as_ref().filter(|cluster| cluster.lost().is_none()) {
                    let (name, engines) = (cluster.name(), cluster.engines().len());
                    let what = format!("this notebook uses the cluster `{name}` with {engines} engines already");
                    return Err(failure("ClusterError", format!("{what}: `%cluster stop` ends it")));
                }
                self.drop_cluster().await;
                let engines = n.or(self.config.engines).unwrap_or_else(default_engines);
                let transport = if tcp { Transport::Tcp } else { Transport::Ipc };
                self.start_cluster(StartCluster { name, engines, transport }, publisher).await?;
            }
            ClusterCommand::Stop => {
                let cluster = self.cluster.take().ok_or_else(none)?;
                let name = cluster.name().to_owned();
                self.compiler.send(|compiler| compiler.namespaces_mut().forget(|member| member == Member::Local));
                if let Some(cluster) = sole(cluster).await {
                    cluster.stop().await.map_err(|error| failure("ClusterError", error.to_string()))?;
                }
                publisher.notice(&format!("Stopped the cluster `{name}`.")).await;
            }
            ClusterCommand::Status => match &self.cluster {
                None => {
                    publisher.display(plain_bundle("no cluster; `%cluster start` or any %px cell starts one")).await
                }
                Some(cluster) => {
                    let status = cluster.status().await.map_err(|error| failure("ClusterError", error.to_string()))?;
                    let shown: Bundle = status::cluster(&status);
                    publisher.display(shown).await;
                }
            },
            ClusterCommand::Connect { to } => {
                let cluster = Cluster::connect(&to, &self.config.runtime, &self.compiler)
                    .await
                    .map_err(|error| failure("ClusterError", error.to_string()))?;
                self.drop_cluster().await;
                let cluster = self.use_cluster(cluster);
                let (name, engines) = (cluster.name(), cluster.engines().len());
                publisher.notice(&format!("Connected to the cluster `{name}` with {engines} engines.")).await;
            }
            ClusterCommand::Restart { targets } => {
                let cluster = Arc::clone(self.cluster.as_ref().ok_or_else(none)?);
                let engines = resolve(&targets.unwrap_or_else(Targets::all), &cluster)?;
                cluster.session().restart(engines.clone());
                let restarted = engines.clone();
                let lost = self
                    .with_compiler(move |compiler| {
                        let died = |engine: &EngineId| compiler.died(Member::Engine(*engine), Death::Stopped);
                        restarted.iter().flat_map(died).collect::<std::collections::BTreeSet<String>>()
                    })
                    .await?;
                let lost: Vec<String> = lost.into_iter().collect();
                let which = crate::render::name_engines(&engines);
                publisher.notice(&format!("Restarted {which}{}.", crate::failure::losses(&lost))).await;
            }
        }
        Ok(())
    }

    // What surrounds every cell.

    async fn tell_notices(&mut self, request: &Request) {
        let mut notices = Vec::new();
        if let Some(local) = &self.local {
            let deaths = local.lock().await.deaths();
            for death in deaths {
                let lost = self.with_compiler(move |compiler| compiler.died(Member::Local, death)).await;
                notices.push(death_notice("the notebook's worker", death, &lost.unwrap_or_default()));
            }
        }
        notices.extend(self.cluster.iter().flat_map(|cluster| cluster.notices()));
        for notice in notices {
            request.publisher.notice(&notice).await;
        }
    }

    async fn refresh_names(&self) {
        let engines: Vec<EngineId> = self.cluster.iter().flat_map(|cluster| cluster.engines()).collect();
        let names = self.with_compiler(move |compiler| {
            let members = std::iter::once(Member::Local).chain(engines.into_iter().map(Member::Engine));
            let names: std::collections::BTreeSet<String> =
                members.flat_map(|member| compiler.namespaces().variables(member).into_keys()).collect();
            names.into_iter().collect()
        });
        self.names.set(names.await.unwrap_or_default());
    }

    async fn with_compiler<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Compiler) -> R + Send + 'static,
    ) -> Result<R, Failure> {
        let failed = |error| compile_failure(chorus_compiler::Failure::Errors(vec![error]));
        self.compiler.with(work).await.map_err(failed)
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

/// What came of sending a cell, besides what the compiler needs to know.
#[derive(Default)]
struct PxRan {
    cell: Option<PxCell>,
    detached: Option<px::Sent>,
    interrupted: bool,
    failure: Option<Failure>,
}

/// A cluster that background tasks still look at is theirs to close.
async fn leave(cluster: Arc<Cluster>) {
    if let Some(cluster) = sole(cluster).await {
        cluster.leave().await;
    }
}

/// The cluster, when nobody else uses it any more. Closing the session ends the runs that others follow.
async fn sole(mut cluster: Arc<Cluster>) -> Option<Cluster> {
    cluster.session().close();
    for _ in 0..100 {
        match Arc::try_unwrap(cluster) {
            Ok(cluster) => return Some(cluster),
            Err(shared) => cluster = shared,
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    None
}

fn default_engines() -> u32 {
    std::thread::available_parallelism().map_or(2, |cores| cores.get() as u32).max(2)
}

fn resolve(targets: &Targets, cluster: &Cluster) -> Result<Vec<EngineId>, Failure> {
    targets.resolve(&cluster.engines()).map_err(|error| failure("TargetError", error.to_string()))
}

/// The variables of each engine, by name.
fn held(compiler: &Compiler, engines: &[EngineId]) -> BTreeMap<EngineId, Vec<String>> {
    let names = |engine: EngineId| compiler.namespaces().variables(Member::Engine(engine)).into_keys().collect();
    engines.iter().map(|&engine| (engine, names(engine))).collect()
}

async fn settle(compiler: &CompilerThread, ticket: Ticket, engine: EngineId, outcome: Outcome) -> Vec<String> {
    let settled = compiler.with(move |compiler| compiler.settle(ticket, Member::Engine(engine), &outcome)).await;
    settled.unwrap_or_default()
}

/// Publishes a parallel cell's last outputs; the error, if there is one, is the cell's.
async fn finish(outputs: Vec<Output>, interrupted: bool, publisher: &Publisher) -> Done {
    for output in outputs {
        match output {
            Output::Error { traceback, .. } if interrupted => {
                let mut failure = interrupted_with_losses("the cell was interrupted on the engines", &[]);
                failure.traceback.extend(traceback);
                return Err(failure);
            }
            Output::Error { ename, evalue, traceback } => return Err(Failure { ename, evalue, traceback }),
            output => publisher.output(output).await,
        }
    }
    Ok(Next::Continue)
}
