//! Parallel cells: `%px`, `%%px`, `%autopx`.

use super::results::What;
use super::{Done, Executor, Next, Request, Visit, commands_first};
use crate::cluster::Cluster;
use crate::failure::{Failure, Kind, failure};
use crate::generated::to_users_lines;
use crate::publisher::Publisher;
use crate::run::{self, Followed, PxCell};
use chorus_compiler::{CellText, Compiler, Member, Object, RunEnded, Ticket};
use chorus_magics::{Code, PxOptions, TargetError, Targets, rust::Text};
use chorus_protocol::{EngineId, Outcome, name_engines};
use chorus_render::{Output, PxFailure, announce};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// How many characters of a cell monitors show.
const LABEL: usize = 80;

impl Executor {
    pub(super) async fn px(&mut self, options: PxOptions, code: Code<'_>, request: &Request) -> Done {
        let publisher = &request.publisher;
        let cluster = self.cluster(request).await?;
        cluster.recovered().await;
        let targets = resolve(&options.config.targets, &cluster)?;
        if options.config.verbose {
            publisher.output(announce(&targets, options.config.block)).await;
        }
        let ran = self.px_run(&options, code, &cluster, targets, request).await;
        if options.local && matches!(ran, Ok(Next::Continue)) {
            return self.rust(code.text, code.line, request).await;
        }
        ran
    }

    /// Says where the Rust of this cell goes: `%autopx` may have been long ago, in a cell that is out of sight.
    pub(super) async fn tell_autopx(&mut self, targets: &Targets, request: &Request) -> Result<(), Failure> {
        let cluster = self.cluster(request).await?;
        cluster.recovered().await;
        let engines = name_engines(&resolve(targets, &cluster)?);
        request.publisher.say(&format!("%autopx: on {engines}")).await;
        Ok(())
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
        let before = self.running_before(&targets);
        let Some(ran) = self.engine_cell(options, cell, cluster, targets, request).await? else {
            return Ok(Next::Quit);
        };
        let PxRan { cell, detached, interrupted, left_alone, ticket, lost } = ran;
        // Definitions alone leave nothing to run.
        let Some(cell) = cell else { return Ok(Next::Continue) };
        self.results.add(What::Cell(cell.clone()), publisher.count(), options.out.as_ref(), detached.is_none());
        if let (Some(sent), Some(ticket)) = (detached, ticket) {
            self.keep(sent, ticket, cluster);
            if let Some(why) = left_alone {
                return Err(failure(Kind::Interrupted, why));
            }
            if interrupted {
                return Err(failure(Kind::Interrupted, "the cell isn't waited for any more; %pxresult collects it"));
            }
            let name = options.out.as_ref().map(|name| format!(" -o {name}")).unwrap_or_default();
            publisher.say(&format!("Sent; %pxresult{name} shows what comes of it.")).await;
            return Ok(Next::Continue);
        }
        if interrupted {
            self.ended_along(before, request).await;
        }
        end(&cell, lost, interrupted, publisher).await
    }

    /// Has a run that isn't waited for followed to its end.
    pub(super) fn keep(&self, sent: run::Sent, ticket: Ticket, cluster: &Arc<Cluster>) {
        let compiler = self.compiler.clone();
        tokio::spawn(sent.keep(Arc::clone(cluster), async move |ended| {
            compiler.with(move |compiler| compiler.settle(ticket, &ended)).await.unwrap_or_default()
        }));
    }

    /// Compiles a cell for engines and has them run it. What then comes of it is shown by [`end`]. `None` if a command of
    /// the cell ends the kernel.
    pub(super) async fn engine_cell(
        &mut self,
        options: &PxOptions,
        cell: EngineCell,
        cluster: &Arc<Cluster>,
        targets: Vec<EngineId>,
        request: &Request,
    ) -> Result<Option<PxRan>, Failure> {
        let (cell, targets) = (Arc::new(cell), Arc::<[EngineId]>::from(targets));
        let explain = |failure| match &cell.generated {
            Some(text) => to_users_lines(text, failure, &request.code),
            None => failure,
        };
        let (mut commands_have_run, mut was_stale) = (false, false);
        loop {
            let (whole, count) = (Arc::clone(&request.code), request.publisher.count());
            let (text, targets_of) = (Arc::clone(&cell), Arc::clone(&targets));
            let visit = self.compile(request, move |compiler| {
                let members: Vec<Member> = targets_of.iter().copied().map(Member::Engine).collect();
                let EngineCell { text, first_line, generated, .. } = &*text;
                let users = generated.as_ref().map_or(CellText::ALL, Text::users);
                let cell = CellText { text, count, first_line: *first_line, cell: &whole, users };
                if let Some(replies) = commands_first(compiler, cell, &members, commands_have_run)? {
                    return Ok(Visit::Commands(replies));
                }
                let (held, began) = (held(compiler, &targets_of), Instant::now());
                Ok(Visit::Compiled((compiler.compile(cell, &members), held, began.elapsed())))
            });
            let (compiled, held, took) = match visit.await?.map_err(explain)? {
                Visit::Compiled(compiled) => compiled,
                Visit::Commands(replies) => {
                    if self.obey(replies, request).await == Next::Quit {
                        return Ok(None);
                    }
                    commands_have_run = true;
                    continue;
                }
            };
            let (run, to_say) = self.compiled(compiled, took).map_err(explain)?;
            let Some((object, ticket)) = run else {
                self.say_all(&to_say, request).await;
                return Ok(Some(PxRan::default()));
            };
            cluster.tell_compiled(&cell.label, took, object.cached);
            let during = self.during();
            let (mut ran, ended, failed) =
                self.send(options, &cell, &object, (cluster, &targets, &held), request).await;
            drop(during);
            if ran.detached.is_some() {
                ran.ticket = Some(ticket);
                self.say_all(&to_say, request).await;
                return Ok(Some(ran));
            }
            // Variables were others' by the time that it came to the engines, and nothing has run. The compiler has heard of that by
            // now, and says more of it.
            let is_stale = !ended.is_empty() && ended.iter().all(|it| it.outcome == Outcome::Stale);
            let again = is_stale && !ran.interrupted && !std::mem::replace(&mut was_stale, true);
            let settled = self.settle(&object, ticket, ended).await?;
            let to_say = if settled.again || again { to_say.before_again() } else { to_say };
            self.say_all(&to_say, request).await;
            if let Some(failed) = failed {
                return Err(failed);
            }
            if !settled.again && !again {
                ran.lost = settled.lost;
                return Ok(Some(ran));
            }
        }
    }

    /// Has engines run an object, once with each of the cell's arguments. What comes back besides is how it ended, and why it
    /// couldn't be sent.
    async fn send(
        &mut self,
        options: &PxOptions,
        cell: &EngineCell,
        object: &Object,
        (cluster, targets, held): (&Arc<Cluster>, &[EngineId], &BTreeMap<EngineId, Vec<String>>),
        request: &Request,
    ) -> (PxRan, Vec<RunEnded>, Option<Failure>) {
        let (publisher, mut interrupted) = (&request.publisher, request.interrupted.clone());
        let (mut ran, mut all_ended) = (PxRan::default(), Vec::new());
        for argument in &cell.arguments {
            let begun = Instant::now();
            let along = run::Along { argument: argument.clone(), label: &cell.label, snapshots: self.snapshots };
            let (sent, shown) = match run::send(cluster, object, targets, options, along, publisher).await {
                Ok(sent) => sent,
                Err(error) => {
                    let none = |&engine| RunEnded {
                        member: Member::Engine(engine),
                        outcome: Outcome::NoSuchEngine,
                        generation: 0,
                    };
                    let failed = failure(Kind::ClusterError, error.to_string());
                    return (ran, targets.iter().map(none).collect(), Some(failed));
                }
            };
            ran.cell = Some(shown);
            if !options.config.block {
                ran.detached = Some(sent);
                break;
            }
            match sent.follow(cluster, options, held, publisher, &mut interrupted).await {
                Followed::Finished { ended, interrupted, took } => {
                    self.spent.ran(begun.elapsed(), took, ended.len());
                    ran.interrupted = interrupted;
                    all_ended = ended;
                    if all_ended.iter().any(|ended| ended.outcome != Outcome::Ok) {
                        break;
                    }
                }
                Followed::Detached { sent, why } => {
                    ran.detached = Some(*sent);
                    (ran.interrupted, ran.left_alone) = (true, why);
                    break;
                }
            }
        }
        (ran, all_ended, None)
    }

    /// Refuses engines as the default that the cluster, if there is one, doesn't have.
    pub(super) async fn check_defaults(&self, targets: Option<&Targets>) -> Result<(), Failure> {
        let cluster = self.engines.current().filter(|cluster| cluster.lost().is_none());
        let (Some(targets), Some(cluster)) = (targets, cluster) else { return Ok(()) };
        cluster.recovered().await;
        let unknown = targets.resolve(&cluster.engines()).err().filter(|error| *error != TargetError::NoEngines);
        let refusal = |error| Err(failure(Kind::TargetError, format!("{error}; the defaults stay as they are")));
        unknown.map_or(Ok(()), refusal)
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
    pub(super) detached: Option<run::Sent>,
    pub(super) interrupted: bool,
    /// Why it isn't waited for any more, if there is nobody to wait for.
    pub(super) left_alone: Option<String>,
    /// Of a run that isn't waited for.
    pub(super) ticket: Option<Ticket>,
    /// Variables that engines lost by it.
    pub(super) lost: Vec<(Member, Vec<String>)>,
}

/// The engines that a magic names.
pub(super) fn resolve(targets: &Targets, cluster: &Cluster) -> Result<Vec<EngineId>, Failure> {
    targets.resolve(&cluster.engines()).map_err(|error| failure(Kind::TargetError, error.to_string()))
}

/// The variables of each engine, by name.
fn held(compiler: &Compiler, engines: &[EngineId]) -> BTreeMap<EngineId, Vec<String>> {
    let names = |engine: EngineId| compiler.namespaces().variables(Member::Engine(engine)).into_keys().collect();
    engines.iter().map(|&engine| (engine, names(engine))).collect()
}

/// Publishes what is left to tell of a cell that has ended on all engines.
pub(super) async fn end(
    cell: &PxCell,
    lost: Vec<(Member, Vec<String>)>,
    interrupted: bool,
    publisher: &Publisher,
) -> Done {
    for (member, names) in lost {
        if let Member::Engine(engine) = member {
            cell.view().lost(engine, names);
        }
    }
    let ended = cell.view().finish();
    finish(ended, interrupted, publisher).await
}

/// Publishes a parallel cell's last outputs; it fails as it did on the engines.
pub(super) async fn finish(
    (outputs, failed): (Vec<Output>, Option<PxFailure>),
    interrupted: bool,
    publisher: &Publisher,
) -> Done {
    publisher.outputs(outputs).await;
    match failed {
        None => Ok(Next::Continue),
        Some(failed) if interrupted => Err(Failure::PxInterrupted(failed)),
        Some(failed) => Err(Failure::Px(failed)),
    }
}
