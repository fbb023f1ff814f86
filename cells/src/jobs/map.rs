//! One map under way: a run on each engine that serves it, what they report, and its end.
//!
//! The controller shares the items out. This has engines serve the map (`seats`), shows what the function prints and how far
//! everything is, and keeps what was done for whoever asks.

mod seats;
mod work;

pub(super) use seats::settle;
pub(super) use work::{Work, entry};

use super::account::Account;
use super::job::{ByGpus, Cancelled, End, Job, MapOptions, News};
use super::run::CellRun;
use super::stream::Stream;
use super::trial;
use super::verdict::Verdict;
use crate::cluster::Cluster;
use crate::failure::{Kind, MapFailure};
use crate::places::place_of;
use chorus_client::Map;
use chorus_protocol::{Death, EngineId, MapEvent, MapSpec, Outcome, Panic, Report, RunEvent, RunId};
use chorus_render::{Bundle, EngineState, MapEnd, Place, PxView, ViewOptions};
use parking_lot::Mutex;
use px::link::{Done, GpuServe, ItemFailure, MapAsk, Message, OnError};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, sleep_until};

/// Between two looks at the engines, and two updates of the progress.
const TICK: Duration = Duration::from_millis(100);

/// How long engines may take to end by themselves when the map is cancelled.
const PATIENCE: Duration = Duration::from_millis(300);

/// Output that is published at once, in events.
const BATCH: usize = 64;

/// Sends the runs, and follows them in a task of its own. An error is a sentence.
pub async fn start(ask: MapAsk, run: Arc<CellRun>, cluster: Arc<Cluster>) -> Result<Job, String> {
    cluster.recovered().await;
    let options = Arc::new(ask.wishes.as_ref().map_or_else(|| run.plan.options.clone(), MapOptions::of_wishes));
    // What was compiled for engines is for these, and others don't have its variables.
    let targets = match run.plan.half.as_ref().filter(|_| ask.object.is_empty()) {
        Some(half) => half.targets.clone(),
        None => options.targets.resolve(&cluster.engines()).map_err(|error| error.to_string())?,
    };
    let mut work = Work::new(&ask, &options, &run, &cluster).await?;
    if let Some(ByGpus { code, if_faster }) = &options.gpu {
        if let Some(gpus) = if_faster {
            let (by_gpus, why) = trial::choose(&work, &ask, &targets, *gpus, code, (&run, &cluster)).await;
            if !by_gpus {
                // Without a library, processors have the same bits anyway.
                let library = code.by_processors.clone();
                work.serve.gpu = work.serve.gpu.zip(library).map(|(gpu, module)| GpuServe { module, ..gpu });
            }
            run.plan.publisher.say(&why).await;
        }
        code.ran.fetch_or(work.needs_gpus(), Ordering::Relaxed);
    }
    let targets: Vec<EngineId> = targets.into_iter().filter(|engine| work.can_run_on(*engine, &cluster)).collect();
    let items = (!options.each).then_some(ask.items);
    let spec = MapSpec {
        items,
        chunk: options.chunk,
        retries: options.retries.unwrap_or(1),
        goes_on: options.on_error != OnError::Stop,
    };
    let map = cluster.session().open_map(spec);
    cluster.tell_compiled(&options.label, run.compiled, run.object.cached);
    let stream = options.streamed.map(Stream::new);
    let account = Arc::new(Mutex::new(Account::new(items, run.compiled).streamed(stream)));
    let news = Arc::new(News::default());
    let (end, ended) = watch::channel(None);
    let (cancel, cancelled) = watch::channel(None);
    let (sender, events) = mpsc::channel(BATCH);
    let view = PxView::new(&targets, ViewOptions::streaming(run.plan.publisher.count()));
    let results = ask.rooms.last().cloned().unwrap_or_default();
    let is_magic = ask.wishes.is_none();
    let verdict = Verdict::new(options.keep && is_magic, &results);
    let has_partial = is_magic && !options.keep;
    let (label, name, begun) = (options.label.clone(), options.name.clone(), Instant::now());
    let begun_by = Arc::downgrade(&run);
    let mut driver = Driver {
        cluster,
        work,
        map,
        account: Arc::clone(&account),
        sender,
        events,
        view,
        active: BTreeMap::new(),
        news: Arc::clone(&news),
        rests: false,
        turn: 0,
        turns: BTreeMap::new(),
        deaths: BTreeMap::new(),
        barred: BTreeSet::new(),
        panic: None,
        over: false,
        verdict,
        has_partial,
        failed: None,
        kill_at: None,
        begun,
        alone_since: None,
        run,
    };
    for engine in targets {
        driver.send(engine);
    }
    tokio::spawn(driver.drive(cancelled, end));
    Ok(Job {
        account,
        end: ended,
        cancel,
        rooms: Mutex::new(ask.rooms),
        results,
        label,
        name,
        begun,
        news,
        seen: Arc::default(),
        run: begun_by,
    })
}

struct Driver {
    cluster: Arc<Cluster>,
    work: Work,
    map: Map,
    /// The run of the cell that began it.
    run: Arc<CellRun>,
    account: Arc<Mutex<Account>>,
    /// Where the runs' events come together.
    sender: mpsc::Sender<(EngineId, RunEvent)>,
    events: mpsc::Receiver<(EngineId, RunEvent)>,
    view: PxView,
    /// Engines whose run hasn't ended.
    active: BTreeMap<EngineId, RunId>,
    news: Arc<News>,
    /// Whether it rests, since its loop has enough for now.
    rests: bool,
    /// How often it began to rest or to go on, and how often it had when each engine's last run was sent: such a run may have
    /// ended because it was told to.
    turn: u64,
    turns: BTreeMap<EngineId, u64>,
    /// Deaths in a row without anything done.
    deaths: BTreeMap<EngineId, u32>,
    /// Engines that aren't asked again.
    barred: BTreeSet<EngineId>,
    panic: Option<(Panic, Option<Place>)>,
    /// Whether all items are done.
    over: bool,
    /// What engines wait for that keep their results.
    verdict: Verdict,
    /// Whether `%pxresult --partial` shows what is done when it fails.
    has_partial: bool,
    /// Why it is being ended before its items.
    failed: Option<(Kind, String)>,
    kill_at: Option<Instant>,
    begun: Instant,
    alone_since: Option<Instant>,
}

impl Driver {
    async fn drive(mut self, mut cancelled: watch::Receiver<Option<Cancelled>>, end: watch::Sender<Option<End>>) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (display, mut shown) = (format!("chorus-map-{}-{}", self.cluster.name(), self.map.id()), false);
        while !(self.active.is_empty() && (self.over || self.failed.is_some())) {
            tokio::select! {
                biased;
                // An error says that the job is gone, and nobody wants its results.
                why = async { cancelled.wait_for(Option::is_some).await.map_or(None, |why| *why) }, if self.failed.is_none() => {
                    self.fail(Kind::Interrupted, why.unwrap_or(Cancelled::Forgotten).what());
                }
                // Once it is closed, nothing more is heard of it.
                event = self.map.next(), if self.failed.is_none() => match event {
                    Some((engine, event)) => self.map_event(engine, event),
                    None => {
                        let why = self.cluster.why_closed().await;
                        self.fail(Kind::ClusterLost, format!("the cluster is gone: {why}"));
                    }
                },
                Some((engine, event)) = self.events.recv() => self.run_event(engine, event).await,
                () = self.news.taken.notified() => self.rest_or_go_on(),
                _ = tick.tick() => {
                    self.look_around();
                    let due = self.work.options.progress_after.is_some_and(|after| self.begun.elapsed() >= after);
                    if due {
                        self.run.plan.publisher.update(&display, !shown, self.progress(false)).await;
                        shown = true;
                    }
                    if self.view.has_partial() {
                        let outputs = self.view.flush_partial();
                        self.run.plan.publisher.outputs(outputs).await;
                    }
                }
                () = sleep_until(self.kill_at.unwrap_or(self.begun)), if self.kill_at.is_some() => {
                    self.kill_at = None;
                    // No other way: the session may have other things there.
                    self.active.iter().for_each(|(engine, run)| self.cluster.session().end_run(*run, *engine));
                }
            }
        }
        self.map.close();
        let outputs = self.view.flush_partial();
        self.run.plan.publisher.outputs(outputs).await;
        if shown {
            self.run.plan.publisher.update(&display, false, self.progress(true)).await;
        }
        let (summary, figures, progress) = {
            let account = self.account.lock();
            let view = &account.view;
            (view.summary(self.begun.elapsed(), self.end()), view.figures(), account.progress_well())
        };
        let (panic, has_partial) = (self.panic, self.has_partial);
        let failed = |(kind, what)| Err(Box::new(MapFailure { kind, what, panic, progress, has_partial }));
        let result = self.failed.map_or(Ok(()), failed);
        end.send_replace(Some(End { result, summary, figures, took: self.begun.elapsed() }));
    }

    /// Ends the map; the first reason counts.
    fn fail(&mut self, kind: Kind, what: impl Into<String>) {
        if self.failed.is_none() {
            self.failed = Some((kind, what.into()));
            // Before they hear that there are no more items. Whoever can't be told is ended all the same.
            let _ = self.verdict.tell(false);
            self.map.close();
            self.kill_at = Some(Instant::now() + PATIENCE);
        }
    }

    /// Does what the loop needs that takes the results.
    fn rest_or_go_on(&mut self) {
        let rests = self.account.lock().stream.as_ref().is_some_and(Stream::rests);
        if rests != self.rests {
            self.rests = rests;
            self.turn += 1;
            self.map.rest(rests);
            self.look_around();
        } else if rests {
            self.look_around();
        }
    }

    fn map_event(&mut self, engine: Option<EngineId>, event: MapEvent) {
        match (event, engine) {
            (MapEvent::Done(reports), Some(engine)) => {
                self.deaths.remove(&engine);
                if let Some(why) = reports.iter().find_map(refusal) {
                    return self.fail(Kind::MapError, why);
                }
                let (ended, reports): (Vec<_>, Vec<_>) = reports.into_iter().partition(|report| report.count == 0);
                let entered = self.account.lock().enter(engine, &reports);
                match entered {
                    Ok(Some(item)) if self.work.options.on_error == OnError::Stop => {
                        self.fail(Kind::MapError, item_failure(engine, &item))
                    }
                    Ok(_) => {}
                    Err(damaged) => self.fail(Kind::MapError, format!("engine {engine}: {damaged}")),
                }
                if !ended.is_empty() && self.work.options.each && self.failed.is_none() {
                    let told = self.verdict.ready(engine, self.active.keys());
                    self.check_told(told);
                }
            }
            (MapEvent::Done(_), None) => {}
            (MapEvent::GivenUp { first, count, death }, _) => {
                let items = items_text(first, count);
                let stop = self.work.options.on_error == OnError::Stop;
                match death {
                    Death::Exit(status) if stop => {
                        let what = format!("the function called `exit` with status {status}, in {items}");
                        self.fail(Kind::WorkerDied, what);
                    }
                    Death::NoInput if stop => {
                        self.fail(Kind::StdinNotImplementedError, format!("the function {death}, in {items}"));
                    }
                    _ if stop => {
                        let what = format!("each worker that worked at {items} died; the last one {death}");
                        self.fail(Kind::WorkerDied, what);
                    }
                    Death::Exit(status) => {
                        self.account.lock().give_up(first, count, &format!("it called `exit` with status {status}"));
                    }
                    _ => self.account.lock().give_up(first, count, &format!("its worker {death}")),
                }
            }
            (MapEvent::Over, _) => {
                self.over = true;
                let told = self.verdict.tell(true);
                self.check_told(told);
            }
        }
        self.news.arrived.notify_waiters();
        if self.work.options.streamed.is_some() {
            self.rest_or_go_on();
        }
    }

    async fn run_event(&mut self, engine: EngineId, event: RunEvent) {
        for last in self.cluster.see(engine, &event) {
            let outputs = self.view.event(engine, &last, None);
            self.run.plan.publisher.outputs(outputs).await;
        }
        match &event {
            RunEvent::Started(_) => {}
            RunEvent::Panic(panic) => {
                let place = place_of(&event, &self.work.object, self.run.plan.publisher.count());
                self.panic.get_or_insert_with(|| (panic.clone(), place));
            }
            RunEvent::Output { .. } | RunEvent::Display { .. } | RunEvent::ClearOutput { .. } => {
                let outputs = self.view.event(engine, &event, None);
                self.run.plan.publisher.outputs(outputs).await;
            }
            RunEvent::Done { outcome, generation, took } => {
                self.active.remove(&engine);
                // What ends a map ends its workers.
                let lost = self.failed.is_none() && matches!(outcome, Outcome::Died(..) | Outcome::NoSuchEngine);
                {
                    let mut account = self.account.lock();
                    account.view.engine(engine, if lost { EngineState::Lost } else { EngineState::Idle });
                    account.ran(*took);
                }
                self.ended(engine, outcome, *generation);
            }
        }
    }

    /// Engines that can't be told that the map has come to its end wait for it.
    fn check_told(&mut self, told: Result<(), px::map::Error>) {
        if let Err(error) = told {
            self.fail(Kind::MapError, format!("the engines can't be told to keep their results: {error}"));
        }
    }

    fn progress(&self, ended: bool) -> Bundle {
        let (account, elapsed) = (self.account.lock(), self.begun.elapsed());
        match ended {
            true => account.view.end_bundle(elapsed, self.end(), self.work.options.is_told),
            false => account.view.bundle(elapsed),
        }
    }

    fn end(&self) -> MapEnd<'_> {
        match &self.failed {
            None => MapEnd::Done,
            Some((Kind::Interrupted, what)) => MapEnd::Interrupted(what),
            Some((_, what)) => MapEnd::Failed(what),
        }
    }
}

/// Why an engine can't map what it should have of its own.
fn refusal(report: &Report) -> Option<String> {
    let done = Done::decode(&report.body).ok().filter(|_| report.count == 0)?;
    done.failed.first.into_iter().next().map(|failure| failure.message)
}

fn item_failure(engine: EngineId, item: &ItemFailure) -> String {
    let value = item.value.as_ref().map(|value| format!(" ({value})")).unwrap_or_default();
    format!("item {}{value} failed on engine {engine}: {}", item.item, item.message)
}

fn items_text(first: u64, count: u64) -> String {
    match count {
        1 => format!("item {first}"),
        _ => format!("items {first} to {}", first + count - 1),
    }
}
