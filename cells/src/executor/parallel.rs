//! Parallel cells: `%px`, `%%px`, `%autopx`, and `%pxresult`, which shows one again.

use super::timing::{Spending, Spent};
use super::{Done, Executor, Next, Request, Shown};
use crate::cluster::Cluster;
use crate::compiler_thread::CompilerThread;
use crate::failure::{compile_failure, failure, outdated_notice};
use crate::generated::to_users_lines;
use crate::publisher::Publisher;
use crate::run::{self, Followed, PxCell};
use chorus_compiler::{CellText, Compiler, Evaluated, Member, Ran, Ticket};
use chorus_jupyter::content::Failure;
use chorus_magics::{Code, PxOptions, PxResult, TargetError, Targets, rust::Text};
use chorus_protocol::{EngineId, Outcome};
use chorus_render::{Output, announce};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use tokio::runtime::Handle;

/// How many characters of a cell monitors show.
const LABEL: usize = 80;

impl Executor {
    pub(super) async fn px(&mut self, options: PxOptions, code: Code<'_>, request: &Request) -> Done {
        let publisher = &request.publisher;
        let cluster = self.cluster(request).await?;
        cluster.recovered().await;
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
        let text = " ".repeat(code.column.saturating_sub(1)) + code.text;
        let label = text.trim().chars().take(LABEL).collect();
        let cell = EngineCell { text, first_line: code.line, generated: None, label, arguments: vec![Vec::new()] };
        let (evaluated, ran) = self.engine_cell(options, cell, cluster, targets, request).await?;
        let PxRan { cell, detached, interrupted, .. } = ran;
        // Definitions alone leave nothing to run.
        let Some(cell) = cell else { return Ok(Next::Continue) };
        self.last = Some(Shown::Cell(cell.clone()));
        if let Some(name) = &options.out {
            self.kept.insert(name.clone(), Shown::Cell(cell.clone()));
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
            publisher.say(&format!("Sent; %pxresult{name} shows what comes of it.")).await;
            return Ok(Next::Continue);
        }
        end(&cell, evaluated, interrupted, publisher).await
    }

    /// Compiles a cell for engines and has them run it. What then comes of it is shown by [`end`].
    pub(super) async fn engine_cell(
        &mut self,
        options: &PxOptions,
        cell: EngineCell,
        cluster: &Arc<Cluster>,
        targets: Vec<EngineId>,
        request: &Request,
    ) -> Result<(Evaluated, PxRan), Failure> {
        let EngineCell { text, first_line, generated, label, arguments } = cell;
        let mut interrupted = request.interrupted.clone();
        let (cell_publisher, handle) = (request.publisher.clone(), Handle::current());
        let (cell_options, cell_cluster) = (options.clone(), Arc::clone(cluster));
        let (whole, snapshots) = (Arc::clone(&request.code), self.snapshots);
        let users = generated.as_ref().map_or(CellText::ALL, Text::users);
        let (evaluated, mut ran) = self
            .compile(request, move |compiler| {
                let members: Vec<Member> = targets.iter().copied().map(Member::Engine).collect();
                let held = held(compiler, &targets);
                let mut ran = PxRan::default();
                let count = cell_publisher.count();
                let cell = CellText { text: &text, count, first_line, cell: &whole, users };
                let mut spent = Spending::begin();
                let evaluated = compiler.eval(cell, &members, &mut |object| {
                    let mut result = Ran::Finished(Vec::new());
                    for argument in &arguments {
                        let begun = Instant::now();
                        let sent = handle.block_on(run::send(
                            &cell_cluster,
                            object,
                            &targets,
                            &cell_options,
                            run::Along { argument: argument.clone(), label: &label, snapshots },
                            &cell_publisher,
                        ));
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
                        let following =
                            sent.follow(&cell_cluster, &cell_options, &held, &cell_publisher, &mut interrupted);
                        match handle.block_on(following) {
                            Followed::Finished { outcomes, interrupted, took } => {
                                spent.ran(begun, took, outcomes.len());
                                ran.interrupted = interrupted;
                                let failed = outcomes.iter().any(|(_, outcome)| *outcome != Outcome::Ok);
                                let member = |(engine, outcome)| (Member::Engine(engine), outcome);
                                result = Ran::Finished(outcomes.into_iter().map(member).collect());
                                if failed {
                                    break;
                                }
                            }
                            Followed::Detached(sent) => {
                                ran.detached = Some(sent);
                                ran.interrupted = true;
                                return Ran::Submitted;
                            }
                        }
                    }
                    result
                });
                ran.spent = spent.end();
                (evaluated, ran)
            })
            .await?;
        self.spent.add(ran.spent);
        let explain = |failure| match &generated {
            Some(text) => to_users_lines(text, failure, &request.code),
            None => failure,
        };
        let evaluated = evaluated.map_err(explain).map_err(compile_failure)?;
        if let Some(notice) = outdated_notice(&evaluated.outdated) {
            request.publisher.say(&notice).await;
        }
        ran.failure.take().map_or(Ok((evaluated, ran)), Err)
    }

    /// Refuses engines as the default that the cluster, if there is one, doesn't have.
    pub(super) async fn check_defaults(&self, targets: Option<&Targets>) -> Result<(), Failure> {
        let cluster = self.cluster.as_ref().filter(|cluster| cluster.lost().is_none());
        let (Some(targets), Some(cluster)) = (targets, cluster) else { return Ok(()) };
        cluster.recovered().await;
        let unknown = targets.resolve(&cluster.engines()).err().filter(|error| *error != TargetError::NoEngines);
        let refusal = |error| Err(failure("TargetError", format!("{error}; the defaults stay as they are")));
        unknown.map_or(Ok(()), refusal)
    }

    pub(super) async fn px_result(&mut self, options: PxResult, request: &Request) -> Done {
        let shown = match &options.out {
            None => self.last.clone().ok_or_else(|| failure("NoResult", "no parallel cell has run yet"))?,
            Some(name) => self.kept.get(name).cloned().ok_or_else(|| {
                let what =
                    format!("nothing was kept as `{name}`: `%px -o {name} ...` and `%map -a -o {name} ...` keep it");
                failure("NoResult", what)
            })?,
        };
        let cell = match shown {
            Shown::Cell(cell) => cell,
            Shown::Map(map) => return self.map_result(map, request).await,
        };
        let mut interrupted = request.interrupted.clone();
        let running = cell.view().record().running();
        let finished = tokio::select! {
            () = cell.finished() => true,
            () = interrupted.next() => false,
        };
        if !finished {
            let still = chorus_protocol::name_engines(&running);
            return Err(failure(
                "Interrupted",
                format!("the cell still runs on {still}; `%cluster restart` would end it"),
            ));
        }
        let outputs = cell.view().record().render(options.grouping, options.each);
        finish(outputs, false, &request.publisher).await
    }
}

/// A cell for engines.
pub(super) struct EngineCell {
    pub(super) text: String,
    /// As in [`CellText`].
    pub(super) first_line: usize,
    /// The same, if a magic made it.
    pub(super) generated: Option<Text>,
    /// What monitors show for it.
    pub(super) label: String,
    /// It runs once with each of these, as long as all goes well.
    pub(super) arguments: Vec<Vec<u8>>,
}

/// What came of sending a cell, besides what the compiler needs to know.
#[derive(Default)]
pub(super) struct PxRan {
    pub(super) cell: Option<PxCell>,
    detached: Option<run::Sent>,
    pub(super) interrupted: bool,
    failure: Option<Failure>,
    spent: Spent,
}

/// The engines that a magic names.
pub(super) fn resolve(targets: &Targets, cluster: &Cluster) -> Result<Vec<EngineId>, Failure> {
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

/// Publishes what is left to tell of a cell that has ended on all engines.
pub(super) async fn end(cell: &PxCell, evaluated: Evaluated, interrupted: bool, publisher: &Publisher) -> Done {
    for (member, names) in evaluated.lost {
        if let Member::Engine(engine) = member {
            cell.view().lost(engine, names);
        }
    }
    let outputs = cell.view().finish();
    finish(outputs, interrupted, publisher).await
}

/// Publishes a parallel cell's last outputs; the error, if there is one, is the cell's.
pub(super) async fn finish(outputs: Vec<Output>, interrupted: bool, publisher: &Publisher) -> Done {
    for output in outputs {
        match output {
            Output::Error { traceback, .. } if interrupted => {
                let mut failure = self::failure("Interrupted", "the cell was interrupted on the engines");
                failure.traceback.extend(traceback);
                return Err(failure);
            }
            Output::Error { ename, evalue, traceback } => return Err(Failure { ename, evalue, traceback }),
            output => publisher.output(output).await,
        }
    }
    Ok(Next::Continue)
}
