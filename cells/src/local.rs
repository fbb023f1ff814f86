//! Runs the notebook's own cells, in a worker process of the kernel.

use crate::engines::Engines;
use crate::failure::{Failure, Kind, Stopped, failure};
use crate::interrupt::Interrupted;
use crate::jobs::{CellRun, Jobs};
use crate::memory;
use crate::places::place_of;
use crate::publisher::Publisher;
use crate::surroundings::Surroundings;
use chorus_engine::{Job, StartError, Worker, WorkerConfig, WorkerEvent};
use chorus_protocol::{Aftermath, Death, Entry, Outcome, RunEvent, RunId, SnapshotState, Took, Variables};
use chorus_render::{Bars, LocalView, Source, as_event, late, unprotected};
use chorus_system::signal;
use parking_lot::Mutex;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// A cell that reads its stdin is noticed when it has done nothing else for so many checks in a row: one that announces
/// it, as with evcxr's own function for it, is asked for by that.
const READING_CHECK: Duration = Duration::from_millis(50);
const READING_CHECKS: u32 = 2;

/// For what happens outside of runs.
const NO_RUN: RunId = RunId(u64::MAX);

/// So many questions wait for those before them; then what cells print waits, too.
const ASKS: usize = 4096;

/// How long a cell may go on when the map that it waited for was interrupted.
const MAP_PATIENCE: Duration = Duration::from_secs(2);

/// How a local cell ended.
#[derive(Debug)]
pub struct Ended {
    /// As the worker's supervisor says.
    pub outcome: Outcome,
    /// The generation of the notebook's variables after it.
    pub generation: u32,
    /// What it took; nothing, if the worker died.
    pub took: Took,
    /// Why it failed, if it did; not yet published.
    pub failure: Option<Failure>,
}

/// Answers a cell that asks for input.
pub trait Input: Send + Sync {
    /// Asks the user; `None` when there is nobody to ask.
    fn ask(&self, prompt: &str, password: bool) -> impl Future<Output = Option<String>> + Send;
}

/// The worker of the notebook's own namespace.
pub struct LocalWorker {
    worker: Arc<Worker>,
    route: JoinHandle<()>,
    telling: JoinHandle<()>,
    jobs: Jobs,
    routes: Arc<Mutex<Routes>>,
    next_run: RunId,
    snapshot: Option<SnapshotState>,
}

#[derive(Debug, Default)]
struct Routes {
    /// Who listens to the run under way.
    active: Option<(RunId, mpsc::Sender<WorkerEvent>)>,
    /// Where output goes that a cell's threads print when it has ended.
    last: Option<Publisher>,
    /// The progress bars that the worker has drawn.
    bars: Bars,
    /// Deaths that happened while nothing ran.
    deaths: Vec<(Death, Aftermath, u32)>,
}

impl LocalWorker {
    /// Starts the worker.
    pub async fn start(config: WorkerConfig, jobs: Jobs, engines: Engines) -> Result<LocalWorker, StartError> {
        let (worker, events) = Worker::start(config).await?;
        let (worker, routes) = (Arc::new(worker), Arc::new(Mutex::new(Routes::default())));
        let route = tokio::spawn(route(events, Arc::clone(&routes), Arc::clone(&worker), jobs.clone()));
        let telling = tokio::spawn(memory::tell(Arc::clone(&worker), jobs.clone(), engines));
        Ok(LocalWorker { worker, route, telling, jobs, routes, next_run: RunId(0), snapshot: None })
    }

    /// Runs a cell and publishes its outputs as they come. `variables` are those that a death would lose.
    pub async fn run(&mut self, cell: &CellRun, variables: Vec<String>, input: &impl Input) -> Ended {
        let (object, plan) = (&cell.object, &cell.plan);
        let (publisher, interrupted) = (&plan.publisher, &mut plan.interrupted.clone());
        let run = self.next_run;
        self.next_run = RunId(run.0 + 1);
        let (sender, mut events) = mpsc::channel(1);
        {
            let mut routes = self.routes.lock();
            routes.active = Some((run, sender));
            routes.last = Some(publisher.clone());
        }
        self.worker.submit(Job {
            run,
            preload: object.preload.clone(),
            object: object.path.clone(),
            entry: Entry::Cell(object.entry.clone()),
            argument: plan.argument.clone(),
            group: Vec::new(),
            rank: 0,
            size: 1,
            generation: None,
            snapshots: plan.snapshots,
        });
        let mut view = LocalView::new(object.has_result);
        let (mut stopped, mut kill_at) = (None, None);
        // For how many checks in a row the cell has been reading.
        let mut reading = 0;
        loop {
            let event = tokio::select! {
                biased;
                () = interrupted.next() => {
                    // A cell that waits for a map ends when the map does.
                    if kill_at.is_none() && self.jobs.interrupt(cell) {
                        kill_at = Some(Instant::now() + MAP_PATIENCE);
                        continue;
                    }
                    stopped = Some(Stopped::ByUser);
                    self.worker.interrupt(signal::KILL);
                    continue;
                }
                () = sleep_until(kill_at.unwrap_or_else(Instant::now)), if kill_at.is_some() && stopped.is_none() => {
                    stopped = Some(Stopped::ByUser);
                    self.worker.interrupt(signal::KILL);
                    continue;
                }
                event = events.recv() => event,
                () = tokio::time::sleep(READING_CHECK) => {
                    reading = if self.worker.is_reading() { reading + 1 } else { 0 };
                    if reading == READING_CHECKS && stopped.is_none() {
                        reading = 0;
                        stopped = self.answer("", false, input, interrupted).await;
                    }
                    continue;
                }
            };
            reading = 0;
            match event {
                Some(WorkerEvent::Run { event, .. }) => {
                    let place = place_of(&event, object, publisher.count());
                    match &event {
                        RunEvent::Started(snapshot) => {
                            if let Some(notice) = unprotected(self.snapshot.as_ref(), snapshot) {
                                publisher.outputs(view.event(&as_event(&notice), None)).await;
                            }
                            self.snapshot = Some(snapshot.clone());
                        }
                        RunEvent::Done { outcome: Outcome::Died(_, Aftermath::Lost(_)), .. } => {
                            view.lost(variables.clone());
                        }
                        _ => {}
                    }
                    publisher.outputs(view.event(&event, place)).await;
                    if let RunEvent::Done { outcome, generation, took } = event {
                        self.jobs.end(cell, &outcome).await;
                        let failure = match (stopped, &outcome) {
                            (Some(why), Outcome::Died(_, aftermath)) => {
                                Some(Failure::Stopped { why, aftermath: aftermath.clone(), lost: variables })
                            }
                            _ => view.failure().map(|failed| Failure::Run(Box::new(failed))),
                        };
                        return Ended { outcome, generation, took, failure };
                    }
                }
                Some(WorkerEvent::Input { prompt, password, .. }) => {
                    stopped = self.answer(&prompt, password, input, interrupted).await.or(stopped);
                }
                Some(WorkerEvent::Lost { .. } | WorkerEvent::Ask { .. }) => {}
                None => {
                    let reason = "the local worker's supervisor is gone: restart the kernel";
                    let failure = Some(failure(Kind::WorkerError, reason));
                    let outcome = Outcome::LoadFailed(reason.into());
                    return Ended { outcome, generation: 0, took: Took::default(), failure };
                }
            }
        }
    }

    /// Has the user answer the cell that waits for a line. Where that can't be, the cell is stopped.
    async fn answer(
        &self,
        prompt: &str,
        password: bool,
        input: &impl Input,
        interrupted: &mut Interrupted,
    ) -> Option<Stopped> {
        let stopped = tokio::select! {
            line = input.ask(prompt, password) => match line {
                Some(line) => {
                    self.worker.input(line);
                    return None;
                }
                None => Stopped::WithoutInput,
            },
            () = interrupted.next() => Stopped::ByUser,
        };
        self.worker.interrupt(signal::KILL);
        Some(stopped)
    }

    /// The snapshot of the last run.
    pub fn snapshot(&self) -> Option<&SnapshotState> {
        self.snapshot.as_ref()
    }

    /// A path that leads to the folder in which cells run.
    pub fn folder(&self) -> Option<PathBuf> {
        self.worker.folder()
    }

    /// The folder and the environment that cells have now.
    pub async fn surroundings(&self) -> Surroundings {
        Surroundings { folder: self.folder(), env: self.worker.environment().await }
    }

    /// What the notebook's variables take.
    pub async fn variables(&self) -> Arc<Variables> {
        self.worker.variables_now().await
    }

    /// Deaths since this was last asked, that happened while nothing ran, and the generation that each began.
    pub fn deaths(&self) -> Vec<(Death, Aftermath, u32)> {
        std::mem::take(&mut self.routes.lock().deaths)
    }

    /// Ends the worker.
    pub async fn close(self) {
        self.route.abort();
        self.telling.abort();
        // Drops their handles of the worker.
        let _ = tokio::join!(self.route, self.telling);
        let last_updates = self.routes.lock().bars.end(Death::Stopped);
        for event in last_updates {
            deliver(NO_RUN, WorkerEvent::Run { run: NO_RUN, event }, &self.routes).await;
        }
        if let Some(worker) = Arc::into_inner(self.worker) {
            worker.close().await;
        }
    }
}

/// What the worker asks, in its order.
enum Asked {
    Ask {
        ticket: u64,
        ask: Vec<u8>,
    },
    /// Nothing: tells when all before it were taken.
    Mark(oneshot::Sender<()>),
}

async fn route(events: mpsc::Receiver<WorkerEvent>, routes: Arc<Mutex<Routes>>, worker: Arc<Worker>, jobs: Jobs) {
    let (asks, asked) = mpsc::channel(ASKS);
    // Side by side, since a question may have to wait until engines have started, and what the cell prints not.
    tokio::join!(pass_on(events, &routes, asks, &jobs), answer_all(asked, &worker, &jobs));
}

/// Takes the worker's questions in order: one may be about the one before.
async fn answer_all(mut asked: mpsc::Receiver<Asked>, worker: &Arc<Worker>, jobs: &Jobs) {
    while let Some(asked) = asked.recv().await {
        match asked {
            Asked::Mark(reached) => _ = reached.send(()),
            Asked::Ask { ask, .. } if !px::link::expects_answer(&ask) => _ = jobs.answer(&ask).await,
            Asked::Ask { ticket, ask } => {
                let (jobs, worker) = (jobs.clone(), Arc::downgrade(worker));
                tokio::spawn(async move {
                    let answer = jobs.answer(&ask).await;
                    if let Some(worker) = worker.upgrade() {
                        worker.answer(ticket, answer);
                    }
                });
            }
        }
    }
}

/// Returns when all questions so far were taken.
async fn all_taken(asks: &mpsc::Sender<Asked>) {
    let (reached, mark) = oneshot::channel();
    if asks.send(Asked::Mark(reached)).await.is_ok() {
        _ = mark.await;
    }
}

async fn pass_on(
    mut events: mpsc::Receiver<WorkerEvent>,
    routes: &Mutex<Routes>,
    asks: mpsc::Sender<Asked>,
    jobs: &Jobs,
) {
    while let Some(event) = events.recv().await {
        // The last updates of the bars that a dead worker had drawn.
        let (run, last_updates) = match &event {
            WorkerEvent::Run { run, event } => (*run, routes.lock().bars.see(event)),
            WorkerEvent::Lost { death, .. } => (NO_RUN, routes.lock().bars.end(*death)),
            WorkerEvent::Ask { .. } | WorkerEvent::Input { .. } => (NO_RUN, Vec::new()),
        };
        for event in last_updates {
            deliver(run, WorkerEvent::Run { run, event }, routes).await;
        }
        let run = match &event {
            WorkerEvent::Run { run, event } => {
                if matches!(event, RunEvent::Done { .. }) {
                    all_taken(&asks).await;
                }
                *run
            }
            WorkerEvent::Input { run, .. } => *run,
            WorkerEvent::Ask { ticket, ask } => {
                _ = asks.send(Asked::Ask { ticket: *ticket, ask: ask.clone() }).await;
                continue;
            }
            WorkerEvent::Lost { death, aftermath, generation } => {
                if *death != Death::Stopped {
                    routes.lock().deaths.push((*death, aftermath.clone(), *generation));
                }
                if let Aftermath::Lost(_) = aftermath {
                    all_taken(&asks).await;
                    jobs.variables_lost();
                    let (jobs, death) = (jobs.clone(), *death);
                    tokio::spawn(async move { jobs.handles_lost(0, death).await });
                }
                continue;
            }
        };
        deliver(run, event, routes).await;
    }
}

/// To the run that it belongs to, or, when that is over, to where the last one's outputs go.
async fn deliver(run: RunId, event: WorkerEvent, routes: &Mutex<Routes>) {
    let (active, last) = {
        let routes = routes.lock();
        (routes.active.clone(), routes.last.clone())
    };
    let is_done = matches!(event, WorkerEvent::Run { event: RunEvent::Done { .. }, .. });
    match (active, last) {
        (Some((active, sender)), _) if active == run => {
            if is_done {
                // Before it is told: the next run may begin as soon as it is, and its route isn't to be cleared.
                routes.lock().active = None;
            }
            // Waiting here is what makes a cell that prints too fast wait.
            let _ = sender.send(event).await;
        }
        (_, Some(publisher)) => {
            if let WorkerEvent::Run { event, .. } = event
                && let Some(output) = late(Source::Local, &event)
            {
                publisher.output(output).await;
            }
        }
        _ => {}
    }
}
