//! Runs the notebook's own cells, in a worker process of the kernel.

use crate::failure::interrupted_with;
use crate::interrupt::Interrupted;
use crate::jobs::Jobs;
use crate::publisher::Publisher;
use crate::render::{LocalView, Output, Place, Source, late};
use chorus_compiler::{Call, Object};
use chorus_engine::{Job, StartError, Worker, WorkerConfig, WorkerEvent};
use chorus_jupyter::content::Failure;
use chorus_protocol::{Aftermath, Death, Entry, Outcome, RunEvent, RunId, SnapshotPolicy, SnapshotState, Took};
use chorus_system::signal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// A cell that reads its stdin is noticed when it has done nothing else for so many checks in a row: one that announces
/// it, as with evcxr's own function for it, is asked for by that.
const READING_CHECK: Duration = Duration::from_millis(50);
const READING_CHECKS: u32 = 2;

/// How long a cell may go on when the map that it waited for was interrupted.
const MAP_PATIENCE: Duration = Duration::from_secs(2);

/// Why a cell was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopped {
    ByUser,
    /// It waits for a line that nobody can type.
    WithoutInput,
}

impl Stopped {
    fn what(self) -> &'static str {
        match self {
            Stopped::ByUser => "the cell was interrupted",
            Stopped::WithoutInput => "the cell reads its standard input, and this front end can't ask for any",
        }
    }
}

/// How a local cell ended.
#[derive(Debug)]
pub struct Ended {
    /// As the worker's supervisor says.
    pub outcome: Outcome,
    /// What it took; nothing, if the worker died.
    pub took: Took,
    /// Why it failed, if it did; not yet published.
    pub failure: Option<Failure>,
    /// Whether a panic in its code is why.
    pub panicked: bool,
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
    /// Deaths that happened while nothing ran.
    deaths: Vec<(Death, Aftermath)>,
}

impl LocalWorker {
    /// Starts the worker.
    pub async fn start(config: WorkerConfig, jobs: Jobs) -> Result<LocalWorker, StartError> {
        let (worker, events) = Worker::start(config).await?;
        let (worker, routes) = (Arc::new(worker), Arc::new(Mutex::new(Routes::default())));
        let route = tokio::spawn(route(events, Arc::clone(&routes), Arc::clone(&worker), jobs.clone()));
        Ok(LocalWorker { worker, route, jobs, routes, next_run: RunId(0), snapshot: None })
    }

    /// Runs an object and publishes its outputs as they come. `variables` are those that a death would lose.
    pub async fn run(
        &mut self,
        object: &Object,
        variables: Vec<String>,
        snapshots: SnapshotPolicy,
        publisher: &Publisher,
        interrupted: &mut Interrupted,
        input: &impl Input,
    ) -> Ended {
        let run = self.next_run;
        self.next_run = RunId(run.0 + 1);
        let (sender, mut events) = mpsc::channel(1);
        {
            let mut routes = lock(&self.routes);
            routes.active = Some((run, sender));
            routes.last = Some(publisher.clone());
        }
        self.jobs.set_object(object);
        self.worker.submit(Job {
            run,
            preload: object.preload.clone(),
            object: object.path.clone(),
            entry: Entry::Cell(object.entry.clone()),
            argument: self.jobs.argument(),
            rank: 0,
            size: 1,
            generation: None,
            snapshots,
        });
        let mut view = LocalView::new(object.has_result);
        let (mut stopped, mut failure, mut kill_at) = (None, None, None);
        let mut panicked = false;
        // For how many checks in a row the cell has been reading.
        let mut reading = 0;
        loop {
            let event = tokio::select! {
                biased;
                () = interrupted.next() => {
                    // A cell that waits for a map ends when the map does.
                    if kill_at.is_none() && self.jobs.interrupt() {
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
                        RunEvent::Started(snapshot) => self.snapshot = Some(snapshot.clone()),
                        RunEvent::Panic(_) => panicked = true,
                        RunEvent::Done { outcome: Outcome::Died(_, Aftermath::Lost(_)), .. } => {
                            view.lost(variables.clone());
                        }
                        _ => {}
                    }
                    for output in view.event(&event, place) {
                        match output {
                            Output::Error { ename, evalue, traceback } => {
                                failure = Some(Failure { ename, evalue, traceback });
                            }
                            output => publisher.output(output).await,
                        }
                    }
                    if let RunEvent::Done { outcome, took, .. } = event {
                        self.jobs.end_cell(&outcome);
                        if let (Some(stopped), Outcome::Died(_, aftermath)) = (stopped, &outcome) {
                            let mut why = interrupted_with(stopped.what(), aftermath, &variables);
                            if stopped == Stopped::WithoutInput {
                                why.ename = "StdinNotImplementedError".into();
                            }
                            failure = Some(why);
                        }
                        let panicked = panicked && outcome == Outcome::Panicked;
                        return Ended { outcome, took, failure, panicked };
                    }
                }
                Some(WorkerEvent::Input { prompt, password, .. }) => {
                    stopped = self.answer(&prompt, password, input, interrupted).await.or(stopped);
                }
                Some(WorkerEvent::Lost { .. } | WorkerEvent::Ask { .. }) => {}
                None => {
                    let reason = "the local worker's supervisor is gone: restart the kernel";
                    let failure = crate::failure::failure("LoadFailed", reason);
                    let outcome = Outcome::LoadFailed(reason.into());
                    return Ended { outcome, took: Took::default(), failure: Some(failure), panicked: false };
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

    /// Deaths since this was last asked, that happened while nothing ran.
    pub fn deaths(&self) -> Vec<(Death, Aftermath)> {
        std::mem::take(&mut lock(&self.routes).deaths)
    }

    /// Ends the worker.
    pub async fn close(self) {
        self.route.abort();
        // Drops the route's handle of the worker.
        let _ = self.route.await;
        if let Some(worker) = Arc::into_inner(self.worker) {
            worker.close().await;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn route(mut events: mpsc::Receiver<WorkerEvent>, routes: Arc<Mutex<Routes>>, worker: Arc<Worker>, jobs: Jobs) {
    while let Some(event) = events.recv().await {
        let (active, last) = {
            let routes = lock(&routes);
            (routes.active.clone(), routes.last.clone())
        };
        let run = match &event {
            WorkerEvent::Run { run, .. } | WorkerEvent::Input { run, .. } => *run,
            WorkerEvent::Ask { ticket, ask } => {
                let (ticket, ask) = (*ticket, ask.clone());
                if !px::link::expects_answer(&ask) {
                    // Here, so that they are taken in order.
                    jobs.answer(&ask).await;
                    continue;
                }
                let (jobs, worker) = (jobs.clone(), Arc::downgrade(&worker));
                tokio::spawn(async move {
                    let answer = jobs.answer(&ask).await;
                    if let Some(worker) = worker.upgrade() {
                        worker.answer(ticket, answer);
                    }
                });
                continue;
            }
            WorkerEvent::Lost { death, aftermath, .. } => {
                if *death != Death::Stopped {
                    lock(&routes).deaths.push((*death, aftermath.clone()));
                }
                continue;
            }
        };
        let is_done = matches!(event, WorkerEvent::Run { event: RunEvent::Done { .. }, .. });
        match (active, last) {
            (Some((active, sender)), _) if active == run => {
                if is_done {
                    // Before it is told: the next run may begin as soon as it is, and its route isn't to be cleared.
                    lock(&routes).active = None;
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
}

/// What places call the cell that runs.
const THIS_CELL: &str = "cell";

/// Where in the user's cells a panic happened, and how it came there.
pub fn place_of(event: &RunEvent, object: &Object, this_cell: u32) -> Option<Place> {
    let RunEvent::Panic(panic) = event else { return None };
    let calls = object.source.calls(&object.path, &panic.frames);
    let found = object.source.place(panic.line, panic.column).filter(|_| panic.file.ends_with("src/lib.rs"));
    let is_call = found.is_none();
    let found = found.or_else(|| calls.first().map(|call| call.place.clone()))?;
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let cell = |cell: u32| if cell == this_cell { THIS_CELL.to_owned() } else { format!("In[{cell}]") };
    let in_words = |call: &Call| {
        let place = format!("{} line {}", cell(call.place.cell), call.place.line);
        call.function.as_ref().map_or(place.clone(), |function| format!("{function}, {place}"))
    };
    Some(Place {
        cell: cell(found.cell),
        line: number(found.line),
        column: number(found.column),
        text: found.text,
        is_call,
        calls: calls.iter().map(in_words).collect(),
    })
}
