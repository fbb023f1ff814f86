//! Calls of single functions: hands them to the cluster, shows what they print, and keeps what they return for as long as
//! a cell has a handle.

use super::Context;
use super::job::remove_one;
use super::rooms::Rooms;
use crate::cluster::Cluster;
use crate::local::place_of;
use crate::render::{PxView, TaskLine, TaskState, ViewOptions};
use chorus_client::{Blob, Session, Task, TaskUpdate};
use chorus_compiler::Object;
use chorus_protocol::{BlobId, EngineId, Entry, RunEvent, RunSpec, TaskArg, TaskEvent, TaskFailure, TaskId, TaskSpec};
use px::link::{Answer, CallArg, CallAsk, FIRST_CALL};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long the beginning of a line may wait for its rest.
const PARTIAL_LINE: Duration = Duration::from_millis(100);

/// How long the failure of another call is waited for, which the cluster has told already.
const SOON: Duration = Duration::from_secs(1);

/// Longer texts of functions are cut.
const LABEL: usize = 60;

/// The calls of one notebook.
#[derive(Default)]
pub struct Calls(Mutex<State>);

#[derive(Default)]
struct State {
    /// Those that a cell has a handle of.
    calls: HashMap<u64, Arc<CallJob>>,
    /// And those that go on without, in the order in which they were made.
    all: BTreeMap<u64, Weak<CallJob>>,
    /// The last number.
    last: u64,
    /// Calls that couldn't be made, and why.
    refused: HashMap<u64, String>,
    /// Those that a cell waits for.
    awaited: Vec<u64>,
    /// Rooms that calls need which haven't ended, and how many calls; whether to free them then.
    pinned: HashMap<String, (usize, bool)>,
    /// What the cluster was given of the object that was called last.
    sent: Option<Sent>,
}

/// An object at the cluster.
#[derive(Clone)]
struct Sent {
    path: String,
    session: Session,
    object: Blob,
    preload: Vec<BlobId>,
}

/// A call that was made.
struct CallJob {
    /// As users see it.
    number: u64,
    /// As cells do.
    job: u64,
    task: TaskId,
    session: Session,
    label: String,
    /// Those that it needs.
    needs: Mutex<Vec<(String, watch::Receiver<Stage>)>>,
    begun: Instant,
    stage: watch::Sender<Stage>,
    /// While it is there, the cluster keeps the result.
    held: Mutex<Option<Task>>,
}

#[derive(Clone, Debug)]
enum Stage {
    /// For other calls, or for an engine.
    Waiting,
    Running(EngineId),
    Done {
        engine: EngineId,
        value: Arc<[u8]>,
        took: Duration,
    },
    Failed {
        engine: Option<EngineId>,
        sentence: String,
        took: Duration,
    },
}

impl Stage {
    fn is_over(&self) -> bool {
        matches!(self, Stage::Done { .. } | Stage::Failed { .. })
    }

    fn engine(&self) -> Option<EngineId> {
        match self {
            Stage::Waiting => None,
            Stage::Running(engine) | Stage::Done { engine, .. } => Some(*engine),
            Stage::Failed { engine, .. } => *engine,
        }
    }
}

/// Whether a job's number is a call's.
pub fn is_call(job: u64) -> bool {
    job >= FIRST_CALL
}

impl Calls {
    /// Another cell begins, with another object.
    /// Returns the last number before it.
    pub fn begin_cell(&self) -> u64 {
        let mut state = self.lock();
        state.sent = None;
        state.last
    }

    /// The next number; maps have theirs in the same row.
    pub fn number(&self) -> u64 {
        let mut state = self.lock();
        state.last += 1;
        state.last
    }

    /// Forgets the calls with higher numbers, whose handles are gone.
    pub fn forget_since(&self, since: u64) {
        let new: Vec<u64> = {
            let state = self.lock();
            state.calls.iter().filter(|(_, job)| job.number > since).map(|(number, _)| *number).collect()
        };
        new.into_iter().for_each(|number| self.forget(number));
    }

    /// Remembers why a call couldn't be made, for whoever waits for it.
    pub fn refuse(&self, job: u64, sentence: String) {
        self.lock().refused.insert(job, sentence);
    }

    /// Makes a call. An error is a sentence.
    pub async fn start(
        self: &Arc<Calls>,
        ask: CallAsk,
        object: Option<Object>,
        context: Context,
        cluster: &Cluster,
        rooms: &Arc<Rooms>,
    ) -> Result<(), String> {
        let object = object.filter(|object| object.path == Path::new(&ask.object));
        let Sent { object: blob, preload, session, .. } = self.send(&ask.object, object.as_ref(), cluster).await?;
        let mut label: String = ask.label.chars().take(LABEL).collect();
        if label.len() < ask.label.len() {
            label.push('…');
        }
        let mut state = self.lock();
        let mut needs = Vec::new();
        let mut task_of = |number: &u64| {
            let gone = || state.refused.get(number).cloned().unwrap_or_else(forgotten);
            let job = state.calls.get(number).ok_or_else(gone)?;
            if job.session.id() != session.id() {
                return Err(format!("`{}` belongs to a cluster that this notebook no longer uses", job.label));
            }
            if !job.stage.borrow().is_over() {
                needs.push((job.label.clone(), job.stage.subscribe()));
            }
            Ok(job.task)
        };
        let args = ask.args.into_iter().map(|arg| match arg {
            CallArg::Value(value) => Ok(TaskArg::Value(value.into())),
            CallArg::Job(number) => task_of(&number).map(TaskArg::Task),
        });
        let args = args.collect::<Result<_, String>>()?;
        let after = ask.after.iter().map(&mut task_of).collect::<Result<_, String>>()?;
        let call = session.submit(TaskSpec {
            run: RunSpec {
                preload,
                object: blob.id(),
                entry: Entry::Function(ask.function),
                argument: Default::default(),
                map: None,
                label: label.clone(),
                snapshots: context.snapshots,
            },
            args,
            after,
            on: ask.on.map(EngineId),
            retries: ask.retries,
            timeout_ms: ask.timeout,
        });
        for room in ask.rooms.iter().chain(&ask.own) {
            state.pinned.entry(room.clone()).or_default().0 += 1;
        }
        for room in &ask.own {
            state.pinned.entry(room.clone()).or_default().1 = true;
        }
        state.last += 1;
        let number = state.last;
        let job = Arc::new(CallJob {
            number,
            job: ask.job,
            task: call.id(),
            session,
            label,
            needs: Mutex::new(needs),
            begun: Instant::now(),
            stage: watch::Sender::new(Stage::Waiting),
            held: Mutex::new(None),
        });
        state.all.insert(number, Arc::downgrade(&job));
        state.calls.insert(ask.job, Arc::clone(&job));
        drop(state);
        let pins = ask.rooms.into_iter().chain(ask.own).collect();
        let follower = Follower {
            calls: Arc::clone(self),
            rooms: Arc::clone(rooms),
            pins,
            job,
            object,
            context,
            panic: None,
            tries: 1,
        };
        tokio::spawn(follower.follow(call));
        Ok(())
    }

    /// Brings an object to the cluster, once a cell.
    async fn send(&self, path: &str, object: Option<&Object>, cluster: &Cluster) -> Result<Sent, String> {
        let session = cluster.session().clone();
        let known = self.lock().sent.clone();
        if let Some(sent) = known.filter(|sent| sent.path == path && sent.session.id() == session.id()) {
            return Ok(sent);
        }
        let object =
            object.ok_or("the function's object isn't the cell's that runs: call functions from the cell itself")?;
        let (preload, blob) = cluster.put_object(object).await.map_err(|error| error.to_string())?;
        let sent = Sent { path: path.to_owned(), session, object: blob, preload };
        self.lock().sent = Some(sent.clone());
        Ok(sent)
    }

    /// Waits for a call.
    pub async fn wait(&self, number: u64, millis: u64) -> Answer {
        let job = match self.job(number) {
            Ok(job) => job,
            Err(sentence) => return Answer::Failed(sentence),
        };
        let mut stage = job.stage.subscribe();
        if millis > 0 && !stage.borrow().is_over() {
            self.lock().awaited.push(number);
            let limit = Duration::from_millis(millis.min(1 << 40));
            _ = tokio::time::timeout(limit, stage.wait_for(Stage::is_over)).await;
            remove_one(&mut self.lock().awaited, number);
        }
        match &*stage.borrow() {
            Stage::Waiting | Stage::Running(_) => Answer::Running { done: 0, items: 1 },
            Stage::Done { engine, value, .. } => Answer::Value { engine: engine.0, value: value.to_vec() },
            // Not an error of this function: what becomes of it is the cell's business.
            Stage::Failed { sentence, .. } => Answer::Failed(sentence.clone()),
        }
    }

    /// On which engine it runs, or has run.
    pub fn place(&self, number: u64) -> Option<u32> {
        Some(self.job(number).ok()?.stage.borrow().engine()?.0)
    }

    /// Ends a call.
    pub fn cancel(&self, number: u64) {
        if let Ok(job) = self.job(number) {
            job.session.cancel(job.task);
        }
    }

    /// The numbers of those that haven't ended.
    pub fn running(&self) -> Vec<u64> {
        let jobs: Vec<_> = self.lock().all.values().filter_map(Weak::upgrade).collect();
        jobs.iter().filter(|job| !job.stage.borrow().is_over()).map(|job| job.number).collect()
    }

    /// Ends those with these numbers.
    pub fn cancel_numbers(&self, numbers: &[u64]) {
        let jobs: Vec<_> = self.lock().all.values().filter_map(Weak::upgrade).collect();
        let wanted = jobs.iter().filter(|job| numbers.contains(&job.number));
        wanted.for_each(|job| job.session.cancel(job.task));
    }

    /// No cell has a handle any more.
    pub fn forget(&self, number: u64) {
        let mut state = self.lock();
        state.refused.remove(&number);
        let job = state.calls.remove(&number);
        if let Some(job) = job.as_ref().filter(|job| job.stage.borrow().is_over()) {
            state.all.remove(&job.number);
        }
        drop(state);
    }

    /// Ends the calls that the cell under way waits for, and returns how they are called.
    pub fn interrupt(&self) -> Vec<String> {
        let state = self.lock();
        let awaited = state.awaited.iter().filter_map(|number| state.calls.get(number));
        awaited
            .map(|job| {
                job.session.cancel(job.task);
                job.label.clone()
            })
            .collect()
    }

    /// Whether a room is still needed, and is freed later.
    pub fn keeps_room(&self, path: &str) -> bool {
        match self.lock().pinned.get_mut(path) {
            Some((_, free)) => {
                *free = true;
                true
            }
            None => false,
        }
    }

    /// The calls that there are, in the order in which they were made.
    pub fn list(&self) -> Vec<TaskLine> {
        let jobs: Vec<_> = self.lock().all.values().filter_map(Weak::upgrade).collect();
        jobs.iter().map(|job| job.line()).collect()
    }

    fn job(&self, number: u64) -> Result<Arc<CallJob>, String> {
        let state = self.lock();
        let gone = || state.refused.get(&number).cloned().unwrap_or_else(forgotten);
        state.calls.get(&number).cloned().ok_or_else(gone)
    }

    fn ended(&self, job: &CallJob) {
        let mut state = self.lock();
        if !state.calls.contains_key(&job.job) {
            state.all.remove(&job.number);
        }
    }

    /// A call has ended; returns the rooms that are to be freed.
    fn unpin(&self, pins: &[String]) -> Vec<String> {
        let mut state = self.lock();
        let mut freed = Vec::new();
        for path in pins {
            let Some((calls, free)) = state.pinned.get_mut(path) else { continue };
            *calls -= 1;
            if *calls == 0 {
                if *free {
                    freed.push(path.clone());
                }
                state.pinned.remove(path);
            }
        }
        freed
    }

    /// How a call failed, if somebody still has it. That may be about to become known.
    async fn failure_of(&self, session: &Session, task: TaskId) -> Option<String> {
        let mut stage = {
            let state = self.lock();
            let mut jobs = state.all.values().filter_map(Weak::upgrade);
            jobs.find(|job| job.task == task && job.session.id() == session.id())?.stage.subscribe()
        };
        let stage = tokio::time::timeout(SOON, stage.wait_for(Stage::is_over)).await.ok()?.ok()?;
        match &*stage {
            Stage::Failed { sentence, .. } => Some(sentence.clone()),
            _ => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn forgotten() -> String {
    "the kernel has forgotten this call: was it restarted meanwhile?".to_owned()
}

impl CallJob {
    fn line(&self) -> TaskLine {
        let needs = self.needs.lock().unwrap_or_else(PoisonError::into_inner);
        let pending = needs.iter().filter(|(_, stage)| !stage.borrow().is_over());
        let pending = pending.map(|(label, _)| label.clone());
        let (state, seconds) = match &*self.stage.borrow() {
            Stage::Waiting => (TaskState::Waiting(pending.collect()), self.begun.elapsed()),
            Stage::Running(engine) => (TaskState::Running(vec![*engine]), self.begun.elapsed()),
            Stage::Done { engine, took, .. } => (TaskState::Done(Some(*engine)), *took),
            Stage::Failed { sentence, took, .. } => (TaskState::Failed(sentence.clone()), *took),
        };
        TaskLine { number: self.number, label: self.label.clone(), state, seconds: seconds.as_secs_f64() }
    }
}

/// Listens to one call.
struct Follower {
    calls: Arc<Calls>,
    rooms: Arc<Rooms>,
    pins: Vec<String>,
    job: Arc<CallJob>,
    object: Option<Object>,
    context: Context,
    /// Where the function panicked the last time.
    panic: Option<String>,
    tries: u32,
}

impl Follower {
    async fn follow(mut self, mut call: Task) {
        let mut view: Option<PxView> = None;
        let stage = loop {
            let has_partial = view.as_ref().is_some_and(PxView::has_partial);
            let event = tokio::select! {
                event = call.next() => event,
                () = tokio::time::sleep(PARTIAL_LINE), if has_partial => {
                    self.flush(&mut view).await;
                    continue;
                }
            };
            match event {
                Some(TaskUpdate::Run(engine, event)) => self.show(engine, &event, &mut view).await,
                Some(TaskUpdate::Task(TaskEvent::Running(engine))) => {
                    self.job.stage.send_replace(Stage::Running(engine));
                }
                Some(TaskUpdate::Task(TaskEvent::Again(..))) => {
                    self.tries += 1;
                    self.job.stage.send_replace(Stage::Waiting);
                }
                Some(TaskUpdate::Task(TaskEvent::Done(engine, value))) => {
                    break Stage::Done { engine, value: value.bytes.as_ref().into(), took: self.job.begun.elapsed() };
                }
                Some(TaskUpdate::Task(TaskEvent::Failed(engine, why))) => {
                    let sentence = self.sentence(engine, &why).await;
                    break Stage::Failed { engine, sentence, took: self.job.begun.elapsed() };
                }
                None => {
                    let cluster = self.context.cluster.upgrade();
                    let why =
                        cluster.and_then(|cluster| cluster.lost()).unwrap_or_else(|| "its session was closed".into());
                    let sentence = format!("`{}` has no result: the cluster is gone: {why}", self.job.label);
                    break Stage::Failed { engine: None, sentence, took: self.job.begun.elapsed() };
                }
            }
        };
        self.flush(&mut view).await;
        *self.job.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(call);
        self.job.needs.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.job.stage.send_replace(stage);
        self.calls.ended(&self.job);
        self.calls.unpin(&self.pins).iter().for_each(|room| self.rooms.free(room));
    }

    async fn show(&mut self, engine: EngineId, event: &RunEvent, view: &mut Option<PxView>) {
        let count = self.context.publisher.count();
        if let RunEvent::Panic(panic) = event {
            let place = self.object.as_ref().and_then(|object| place_of(event, object, count));
            self.panic = Some(match place {
                Some(place) => format!("{} line {}", place.cell, place.line),
                None => format!("{}:{}", panic.file, panic.line),
            });
            return;
        }
        let options = ViewOptions::streaming(count);
        let outputs = view.get_or_insert_with(|| PxView::new(&[engine], options)).event(engine, event, None);
        self.context.publisher.outputs(outputs).await;
    }

    async fn flush(&self, view: &mut Option<PxView>) {
        if let Some(view) = view {
            self.context.publisher.outputs(view.flush_partial()).await;
        }
    }

    /// Why there is no result.
    async fn sentence(&self, engine: Option<EngineId>, why: &TaskFailure) -> String {
        let label = &self.job.label;
        let place = match (why, &self.panic) {
            (TaskFailure::Panicked(_), Some(place)) => format!(" ({place})"),
            _ => String::new(),
        };
        let tries = if self.tries > 1 { format!(", {} times", self.tries) } else { String::new() };
        match (why, engine) {
            (TaskFailure::Cancelled, _) => format!("`{label}` was cancelled"),
            (TaskFailure::Needs(task), _) => match self.calls.failure_of(&self.job.session, *task).await {
                Some(sentence) => {
                    format!("`{label}` wasn't called, since a call that it needs has no result: {sentence}")
                }
                None => format!("`{label}` wasn't called, since a call that it needs has no result"),
            },
            (why, Some(engine)) => format!("`{label}` failed on engine {engine}{tries}: {why}{place}"),
            (why, None) => format!("`{label}` wasn't called: {why}"),
        }
    }
}
