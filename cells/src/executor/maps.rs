//! `%map`: two cells' worth of compiling at most, and the map that the notebook's own cell starts.

use super::parallel::resolve;
use super::results::What;
use super::{Done, Executor, Next, Request};
use crate::failure::{Failure, Kind, failure};
use crate::generated::to_users_lines;
use crate::interrupt::Interrupted;
use crate::jobs::{ByGpus, Half, Job, MapOptions};
use crate::publisher::Publisher;
use chorus_compiler::{CellText, Member, RunEnded, Variables};
use chorus_magics::{
    self as magics, Cancel, Data, MagicError, Map, OnError, PxConfig,
    rust::{MapTexts, Passing, Text, Types, map_texts, partial_text},
};
use chorus_protocol::{EngineId, Outcome};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// The map that was started last, to be compiled again for what it has done.
#[derive(Clone)]
pub struct LastMap {
    job: Weak<Job>,
    code: Arc<str>,
    /// Which of the cell's maps.
    nth: usize,
    config: PxConfig,
    passing: Passing,
    mine: Types,
    theirs: Types,
}

/// A map that `%pxresult` can show.
#[derive(Clone)]
pub struct MapResult {
    /// Its results are the notebook's to keep.
    job: Weak<Job>,
    /// Whether a cell has heard of its end by its handle.
    seen: Arc<AtomicBool>,
    /// The variable that holds its handle.
    handle: Option<String>,
    /// Whether the results stay on the engines.
    keep: bool,
}

impl Executor {
    pub(super) async fn map(&mut self, map: Map<'_>, request: &Request) -> Done {
        let cluster = self.cluster(request).await?;
        cluster.recovered().await;
        let mut targets = resolve(&map.options.targets, &cluster)?;
        let nth = self.maps;
        self.maps += 1;
        let (mine, theirs) = self.variables(&targets).await?;
        self.check_own_items(&map, &targets, (&mine, &theirs), request).await?;
        let mut map = map;
        let began = Instant::now();
        let gpu = self.for_gpus(&mut map, &mut targets, (&mine, &theirs), &cluster, request).await?;
        let compiled = began.elapsed();
        self.spent.compiling(compiled);
        let map = map;
        let texts = |passing| {
            let texts = map_texts(&map, &request.code, passing, &mine, &theirs);
            texts.map_err(Failure::from)
        };
        let ran_at_all = |ran: &Done| ran.as_ref().err().is_none_or(|failure| !failure.is_compile_error());
        let (gpu, mut passing) = gpu.map_or((None, Passing::Value), |(gpu, passing)| (Some((gpu, compiled)), passing));
        let first = texts(passing)?;
        self.tell_older(&first.engine_variables, &targets, request).await?;
        let may_borrow = first.may_borrow && gpu.is_none();
        let (mut ran, mut job) = self.run_map(&map, first, gpu, &targets, request).await;
        if may_borrow && !ran_at_all(&ran) {
            let (second, second_job) = self.run_map(&map, texts(Passing::Reference)?, None, &targets, request).await;
            // When neither compiles, the errors of references are told only to who dereferences the items.
            if ran_at_all(&second) || dereferences(&ran) && !dereferences(&second) {
                (passing, ran, job) = (Passing::Reference, second, second_job);
            }
        }
        // A cell may fail before it begins its map.
        if let Some(job) = &job {
            let (code, config) = (Arc::clone(&request.code), self.px.clone());
            self.last_map = Some(LastMap { job: Arc::downgrade(job), code, nth, config, passing, mine, theirs });
            self.show_later(&map, job, request);
        }
        ran?;
        if !map.options.block {
            let name = map.options.out.as_deref().unwrap_or("_");
            let says = format!(
                "Sent; %pxresult shows what comes of it. Its handle is `{name}`: {name}.wait(), %cancel {name}."
            );
            request.publisher.say(&says).await;
        } else if let Some(job) = job {
            if let Some((took, engines)) = job.took() {
                self.spent.mapped(took, engines);
            }
            if let Some(summary) = job.summary() {
                request.publisher.say(&summary).await;
            }
        }
        Ok(Next::Continue)
    }

    /// Has `%pxresult` show what comes of a map that has begun.
    fn show_later(&mut self, map: &Map<'_>, job: &Arc<Job>, request: &Request) {
        let handle = map.options.out.clone().filter(|_| !map.options.block);
        let (keep, seen) = (map.options.keep, job.seen());
        let result = MapResult { job: Arc::downgrade(job), seen, handle: handle.clone(), keep };
        self.results.add(What::Map(result), request.publisher.count(), handle.as_ref(), map.options.block);
    }

    /// Shows what came of a map that has ended; with `each`, also what each engine did for it. Its handle's name may be that
    /// of a newer map.
    pub(super) async fn map_result(
        &mut self,
        map: &MapResult,
        is_replaced: bool,
        each: bool,
        request: &Request,
    ) -> Done {
        let job = map.job()?;
        job.ended().await?;
        // Elsewhere the results were shown when they came, or are a variable.
        if let Some(name) = map.handle.as_ref().filter(|_| !map.keep) {
            let text = format!("if let Ok(result) = {name}.get() {{ px::map::show(&result); }}");
            let is_there = !is_replaced && self.jobs.has_handle(&job);
            let shown = match is_there {
                true => self.rust(&text, 0, request).await,
                false => Ok(Next::Continue),
            };
            match shown {
                Ok(_) if is_there => {}
                Err(failure) if !failure.is_compile_error() => return Err(failure),
                // The variable is something else by now, which doesn't compile if somebody has the handle elsewhere.
                _ => {
                    let what = format!("`{name}` isn't the handle of this map any more, so its results aren't shown");
                    request.publisher.warn(&what).await;
                }
            }
        }
        if let Some(figures) = job.figures().filter(|_| each) {
            request.publisher.display(figures).await;
        }
        if let Some(summary) = job.summary() {
            request.publisher.say(&summary).await;
        }
        Ok(Next::Continue)
    }

    /// Compiles what a map has become, and has the notebook's cell begin it. Of what GPUs run of it, which is compiled,
    /// `gpu` says how long that took.
    async fn run_map(
        &mut self,
        map: &Map<'_>,
        texts: MapTexts,
        gpu: Option<(ByGpus, Duration)>,
        targets: &[EngineId],
        request: &Request,
    ) -> (Done, Option<Arc<Job>>) {
        let MapTexts { local, engines, .. } = texts;
        let began = Instant::now();
        let half = match engines {
            Some(text) => match self.engine_half(text, targets, request).await {
                Ok(half) => Some(Arc::new(half)),
                Err(failed) => return (Err(failed), None),
            },
            None => None,
        };
        let compiled = began.elapsed();
        self.spent.compiling(compiled);
        let (gpu, for_gpu) = gpu.unzip();
        let mut plan = self.plan(MapOptions { gpu, ..options(map) }, half.clone(), request);
        plan.compiled = compiled + for_gpu.unwrap_or_default();
        let ran = self.rust_by_plan(plan, &local.text, local.first_line, Some(&local), request).await;
        if let Some(half) = half {
            self.forget_unused(&half, targets.to_vec()).await;
        }
        ran
    }

    /// The variables of the notebook, and those that all of these engines have, with their types.
    async fn variables(&self, targets: &[EngineId]) -> Result<(Types, Types), Failure> {
        let members: Vec<Member> = targets.iter().copied().map(Member::Engine).collect();
        self.with_compiler(move |compiler| {
            let namespaces = compiler.namespaces();
            (types(namespaces.variables(Member::Local)), types(namespaces.common(&members)))
        })
        .await
    }

    /// Says which variables of the engines the function uses although the notebook has newer ones of the same names.
    async fn tell_older(&self, names: &[String], targets: &[EngineId], request: &Request) -> Result<(), Failure> {
        if names.is_empty() {
            return Ok(());
        }
        let members: Vec<Member> = targets.iter().copied().map(Member::Engine).collect();
        let mut names = names.to_vec();
        let older = self.with_compiler(move |compiler| {
            names.retain(|name| compiler.namespaces().is_newer_here(name, &members));
            names
        });
        for name in older.await? {
            let what = format!(
                "the function uses the engines' `{name}`, and the notebook has defined its own `{name}` since: `%push {name}` \
                 gives them that one, and another name tells the two apart"
            );
            request.publisher.warn(&what).await;
        }
        Ok(())
    }

    /// Says who has what is to be mapped where it is, if not all of these engines do.
    async fn check_own_items(
        &self,
        map: &Map<'_>,
        targets: &[EngineId],
        (mine, theirs): (&Types, &Types),
        request: &Request,
    ) -> Result<(), Failure> {
        let Data::Each(part) = &map.data else { return Ok(()) };
        if theirs.contains_key(part.text) {
            return Ok(());
        }
        let members: Vec<Member> = targets.iter().copied().map(Member::Engine).collect();
        let (name, is_here) = (part.text.to_owned(), mine.contains_key(part.text));
        let why = self
            .with_compiler(move |compiler| {
                let namespaces = compiler.namespaces();
                let has = |member: &Member| namespaces.variables(*member).contains_key(&name);
                let is_there = namespaces.members().iter().any(|member| *member != Member::Local && has(member));
                // Of what only the notebook has, what becomes of the map has more to say.
                (is_there || !is_here).then(|| namespaces.explain_missing(&name, &members)).flatten()
            })
            .await?;
        let Some(why) = why else { return Ok(()) };
        let (what, help) = why.split_once('\n').unwrap_or((&why, ""));
        let error = MagicError::at(*part, &request.code, what.to_owned());
        Err(if help.is_empty() { error } else { error.with_help(help.to_owned()) }.into())
    }

    /// What the last map has done so far, or had when it failed or was interrupted.
    pub(super) async fn partial_result(&mut self, out: Option<String>, request: &Request) -> Done {
        let none = || failure(Kind::NoResult, "no map has run yet");
        let last = self.last_map.clone().ok_or_else(none)?;
        let job = last.job.upgrade().ok_or_else(none)?;
        if job.runs() {
            return Err(still_runs(&job, Kind::NoResult));
        }
        if job.is_whole() {
            return Err(failure(Kind::NoResult, "the last map came to its end; its results were its cell's"));
        }
        let parts = magics::parse(&last.code, &last.config).map_err(Failure::from)?;
        let mut map = magics::maps(&parts).into_iter().nth(last.nth).ok_or_else(none)?;
        if map.options.keep {
            let what = "a map with `--keep` gives its engines all results or none, and this one has given none";
            return Err(failure(Kind::NoResult, what));
        }
        map.options.out = out;
        let text = partial_text(&map, &last.code, last.passing, &last.mine, &last.theirs).map_err(Failure::from)?;
        let summary = job.summary();
        let mut plan = self.plan(options(&map), None, request);
        plan.partial = Some(job);
        self.rust_by_plan(plan, &text.text, text.first_line, Some(&text), request).await.0?;
        if let Some(summary) = summary {
            request.publisher.say(&summary).await;
        }
        Ok(Next::Continue)
    }

    pub(super) async fn cancel(&self, cancel: &Cancel, publisher: &Publisher) -> Result<(), Failure> {
        let ended = self.jobs.cancel(cancel).await;
        match (cancel, ended) {
            (Cancel::Named(name), 0) => {
                let what = format!(
                    "no map that runs has a handle of the name `{name}`; `%tasks` lists maps and calls with their \
                     numbers, which `%cancel` takes, too"
                );
                return Err(failure(Kind::NoSuchTask, what));
            }
            (Cancel::Number(number), 0) => {
                let what = format!("no map or call that runs has the number {number}; `%tasks` lists them");
                return Err(failure(Kind::NoSuchTask, what));
            }
            (_, 0) => publisher.say("Nothing runs that could be cancelled.").await,
            (_, 1) => publisher.say("Cancelled.").await,
            (_, many) => publisher.say(&format!("Cancelled {many} maps and calls.")).await,
        }
        Ok(())
    }

    /// Compiles a map's other cell for these engines. It runs when the notebook's cell has begun the map.
    pub(super) async fn engine_half(
        &self,
        text: Text,
        targets: &[EngineId],
        request: &Request,
    ) -> Result<Half, Failure> {
        let members: Vec<Member> = targets.iter().copied().map(Member::Engine).collect();
        let (count, whole) = (request.publisher.count(), Arc::clone(&request.code));
        let (compiled, text) = self
            .compile(request, move |compiler| {
                let (first_line, users) = (text.first_line, text.users());
                let cell = CellText { text: &text.text, count, first_line, cell: &whole, users };
                (compiler.compile(cell, &members), text)
            })
            .await?;
        let compiled = compiled.map_err(|failure| to_users_lines(&text, failure, &request.code))?;
        let nothing = || failure(Kind::MapError, "there is nothing for the engines to run");
        let (object, ticket) = compiled.run.ok_or_else(nothing)?;
        Ok(Half { object, ticket, targets: targets.to_vec(), used: false.into() })
    }

    /// When the notebook's cell didn't come to begin the map, nothing has run on the engines.
    pub(super) async fn forget_unused(&self, half: &Half, targets: Vec<EngineId>) {
        if half.used.load(Ordering::Acquire) {
            return;
        }
        let ticket = half.ticket;
        self.compiler.send(move |compiler| {
            for engine in targets {
                let (member, outcome) = (Member::Engine(engine), Outcome::Cancelled);
                compiler.settle(ticket, &RunEnded { member, outcome, generation: 0 });
            }
        });
    }
}

impl MapResult {
    fn job(&self) -> Result<Arc<Job>, Failure> {
        let gone = || match &self.handle {
            Some(name) => failure(
                Kind::NoResult,
                format!("`{name}` isn't the handle of this map any more, and nobody else has it: its results are gone"),
            ),
            None => failure(Kind::NoResult, "nobody has a handle of this map any more, and another one has run since"),
        };
        self.job.upgrade().ok_or_else(gone)
    }

    /// Whether nobody has heard yet of what came of it.
    pub(super) fn is_unseen(&self) -> bool {
        !self.seen.load(Ordering::Relaxed)
    }

    /// The variable that held its handle when it began.
    pub(super) fn handle(&self) -> Option<&str> {
        self.handle.as_deref()
    }

    /// Returns when it has ended, well or not.
    pub(super) async fn wait(&self, interrupted: &mut Interrupted) -> Result<(), Failure> {
        // It is said elsewhere that it is gone.
        let Some(job) = self.job.upgrade() else { return Ok(()) };
        tokio::select! {
            _ = job.ended() => Ok(()),
            () = interrupted.next() => Err(still_runs(&job, Kind::Interrupted)),
        }
    }
}

fn still_runs(job: &Job, kind: Kind) -> Failure {
    let (done, items) = job.progress();
    failure(kind, format!("the map still runs, {done} of {items} items are done; `%cancel` would end it"))
}

/// Whether the compiler says of something that it can't be dereferenced.
fn dereferences(ran: &Done) -> bool {
    let Err(Failure::Compile(errors)) = ran else { return false };
    errors.iter().any(|error| error.code.as_deref() == Some("E0614"))
}

fn types(variables: Variables) -> Types {
    variables.into_iter().map(|(name, variable)| (name, variable.type_name)).collect()
}

/// What the kernel's side of a map has to know of its flags.
fn options(map: &Map<'_>) -> MapOptions {
    let options = &map.options;
    MapOptions {
        targets: options.targets.clone(),
        chunk: options.chunk,
        retries: options.retries,
        on_error: match options.on_error {
            OnError::Stop => px::link::OnError::Stop,
            OnError::Skip => px::link::OnError::Skip,
            OnError::Keep => px::link::OnError::Keep,
        },
        timeout: options.timeout,
        threads: options.threads,
        progress_after: options.progress_after,
        name: options.out.clone(),
        label: label(map),
        each: matches!(map.data, Data::Each(_)),
        keep: options.keep,
        streamed: None,
        is_told: options.block,
        gpu: None,
    }
}

/// What monitors show for it.
fn label(map: &Map<'_>) -> String {
    const LONGEST: usize = 60;
    let function: String = map.function.text.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("%map {}", function.chars().take(LONGEST).collect::<String>())
}
