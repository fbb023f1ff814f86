//! Calls of single functions: hands them to the cluster, and keeps what they return for as long as a cell has a handle.

use super::follower::Follower;
use super::job::remove_one;
use super::map::entry;
use super::rooms::{Holder, Rooms};
use super::run::CellRun;
use crate::cluster::Cluster;
use crate::run::lines;
use bytes::Bytes;
use chorus_client::{Blob, Session, Task};
use chorus_compiler::Object;
use chorus_protocol::{BlobId, EngineId, RunSpec, TaskArg, TaskId, TaskSpec};
use chorus_render::{Bars, GraphTask, TaskLine, TaskState};
use parking_lot::{Mutex, MutexGuard};
use px::link::{Access, Answer, CallArg, CallAsk, FIRST_CALL, OnEngine};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long the failure of another call is waited for, which the cluster has told already.
const SOON: Duration = Duration::from_secs(1);

/// The most calls that the graph of them remembers.
const GRAPH: usize = 1_000;

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
    /// What the cluster was given of the object that was called last.
    sent: Option<Sent>,
    /// The last calls, also those that nobody has a handle of any more.
    graph: BTreeMap<u64, GraphTask>,
}

/// An object at the cluster.
#[derive(Clone)]
struct Sent {
    path: String,
    session: Session,
    object: Blob,
    preload: Vec<BlobId>,
    /// See [`RunSpec::together`].
    lines: Bytes,
}

/// A call that was made.
pub(super) struct CallJob {
    /// As users see it.
    pub(super) number: u64,
    /// As cells do.
    pub(super) job: u64,
    pub(super) task: TaskId,
    pub(super) session: Session,
    pub(super) label: String,
    /// Those that it needs.
    pub(super) needs: Mutex<Vec<(String, watch::Receiver<Stage>)>>,
    pub(super) begun: Instant,
    pub(super) stage: watch::Sender<Stage>,
    /// While it is there, the cluster keeps the result.
    pub(super) held: Mutex<Option<Task>>,
}

#[derive(Clone, Debug)]
pub(super) enum Stage {
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

    pub(super) fn engine(&self) -> Option<EngineId> {
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

    /// Makes a call, on all of these engines together if they are given. An error is a sentence.
    pub async fn start(
        self: &Arc<Calls>,
        ask: CallAsk,
        together: Option<&[OnEngine]>,
        run: &Arc<CellRun>,
        cluster: &Arc<Cluster>,
        rooms: &Arc<Rooms>,
    ) -> Result<(), String> {
        if ask.gpu > 1 {
            let wanted = ask.gpu;
            return Err(format!(
                "an engine has one GPU at most, and `gpu: {wanted}` asks for more; the call wasn't made"
            ));
        }
        let object = Some(&run.object).filter(|object| object.path == Path::new(&ask.object));
        let count = run.plan.publisher.count();
        let Sent { object: blob, preload, session, lines, .. } = self.send(&ask.object, object, count, cluster).await?;
        let mut label: String = ask.label.chars().take(LABEL).collect();
        if label.len() < ask.label.len() {
            label.push('…');
        }
        let mut state = self.lock();
        let (mut needs, mut numbers) = (Vec::new(), Vec::new());
        let mut task_of = |number: &u64| {
            let gone = || state.refused.get(number).cloned().unwrap_or_else(forgotten);
            let job = state.calls.get(number).ok_or_else(gone)?;
            if job.session.id() != session.id() {
                return Err(format!("`{}` belongs to a cluster that this notebook no longer uses", job.label));
            }
            numbers.push(job.number);
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
        // Clusters call a function once more after a death, but for those that get variables: so may this one, and uses none.
        let access = if ask.retries == Some(0) { ask.access.max(Access::Read) } else { ask.access };
        let spec = TaskSpec {
            run: RunSpec {
                preload,
                object: blob.id(),
                entry: entry(ask.function, access),
                argument: Bytes::new(),
                together: together.map(|_| lines),
                map: None,
                label: label.clone(),
                snapshots: run.plan.snapshots,
            },
            args,
            after,
            on: ask.on.map(EngineId),
            gpu: ask.gpu > 0,
            retries: ask.retries.unwrap_or(0),
            timeout_ms: ask.timeout,
        };
        let calls: Vec<(u64, Task)> = match together {
            None => vec![(ask.job, session.submit(spec))],
            Some(on) => {
                let engines: Vec<EngineId> = on.iter().map(|call| EngineId(call.engine)).collect();
                on.iter().map(|call| call.job).zip(session.submit_together(spec, &engines)).collect()
            }
        };
        numbers.sort_unstable();
        numbers.dedup();
        // They are held already.
        let mut own = ask.own;
        for (job, call) in calls {
            let held = ask.rooms.iter().filter(|room| rooms.hold(room, Holder::Kernel)).cloned();
            let held = held.chain(std::mem::take(&mut own)).collect();
            state.last += 1;
            let number = state.last;
            let job = Arc::new(CallJob {
                number,
                job,
                task: call.id(),
                session: session.clone(),
                label: label.clone(),
                needs: Mutex::new(needs.clone()),
                begun: Instant::now(),
                stage: watch::Sender::new(Stage::Waiting),
                held: Mutex::new(None),
            });
            state.enter(&job, numbers.clone());
            let follower = Follower {
                calls: Arc::clone(self),
                rooms: Arc::clone(rooms),
                held,
                job,
                run: Arc::clone(run),
                cluster: Arc::downgrade(cluster),
                bars: Bars::default(),
                panic: None,
                tries: 1,
            };
            tokio::spawn(follower.follow(call));
        }
        Ok(())
    }

    /// Brings an object to the cluster, once a cell.
    async fn send(&self, path: &str, object: Option<&Object>, count: u32, cluster: &Cluster) -> Result<Sent, String> {
        let session = cluster.session().clone();
        let known = self.lock().sent.clone();
        if let Some(sent) = known.filter(|sent| sent.path == path && sent.session.id() == session.id()) {
            return Ok(sent);
        }
        let object =
            object.ok_or("the function's object isn't the cell's that runs: call functions from the cell itself")?;
        let (preload, blob) = cluster.put_object(object).await.map_err(|error| error.to_string())?;
        let lines = lines(object, count);
        let sent = Sent { path: path.to_owned(), session, object: blob, preload, lines };
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
            let limit = Duration::from_millis(millis.min(1 << 40));
            _ = self.awaiting(&[number], tokio::time::timeout(limit, stage.wait_for(Stage::is_over))).await;
        }
        match &*stage.borrow() {
            Stage::Waiting | Stage::Running(_) => Answer::Running { done: 0, items: 1 },
            Stage::Done { engine, value, .. } => Answer::Value { engine: engine.0, value: value.to_vec() },
            // Not an error of this function: what becomes of it is the cell's business.
            Stage::Failed { sentence, .. } => Answer::Failed(sentence.clone()),
        }
    }

    /// Waits until all of these have ended.
    pub async fn wait_all(&self, numbers: &[u64]) -> Answer {
        let answers = async {
            let mut answers = Vec::with_capacity(numbers.len());
            for number in numbers {
                answers.push(self.wait(*number, u64::MAX).await);
            }
            answers
        };
        // An interrupt ends all of them, and not only the one whose turn it is.
        Answer::All(self.awaiting(numbers, answers).await)
    }

    /// Waits until one of these ends, and returns its number.
    pub async fn wait_any(&self, numbers: &[u64]) -> Answer {
        let mut stages = Vec::new();
        for number in numbers {
            match self.job(*number) {
                Ok(job) => stages.push((*number, job.stage.subscribe())),
                // Whoever asks for it is told why.
                Err(_) => return Answer::Job(*number),
            }
        }
        if stages.is_empty() {
            return Answer::Gone;
        }
        let ends = stages.iter_mut().map(|(number, stage)| {
            Box::pin(async move {
                _ = stage.wait_for(Stage::is_over).await;
                *number
            })
        });
        Answer::Job(self.awaiting(numbers, futures::future::select_all(ends)).await.0)
    }

    /// Waits, while an interrupt ends these.
    async fn awaiting<T>(&self, numbers: &[u64], wait: impl Future<Output = T>) -> T {
        self.lock().awaited.extend(numbers);
        let done = wait.await;
        let mut state = self.lock();
        numbers.iter().for_each(|number| remove_one(&mut state.awaited, *number));
        done
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

    /// Ends the calls that the cell under way waits for, and returns how they are called, with how many are called so.
    pub fn interrupt(&self) -> BTreeMap<String, usize> {
        let state = self.lock();
        // Whoever waits for several also waits for each of them.
        let awaited: BTreeSet<u64> = state.awaited.iter().copied().collect();
        let mut labels = BTreeMap::new();
        for job in awaited.iter().filter_map(|number| state.calls.get(number)) {
            job.session.cancel(job.task);
            *labels.entry(job.label.clone()).or_default() += 1;
        }
        labels
    }

    /// The calls that there are, in the order in which they were made.
    pub fn list(&self) -> Vec<TaskLine> {
        let jobs: Vec<_> = self.lock().all.values().filter_map(Weak::upgrade).collect();
        jobs.iter().map(|job| job.line()).collect()
    }

    /// The last calls and what they need, in the order in which they were made.
    pub fn graph(&self) -> Vec<GraphTask> {
        let mut state = self.lock();
        let jobs: Vec<_> = state.all.values().filter_map(Weak::upgrade).collect();
        jobs.iter().for_each(|job| state.note(job));
        state.graph.values().cloned().collect()
    }

    fn job(&self, number: u64) -> Result<Arc<CallJob>, String> {
        let state = self.lock();
        let gone = || state.refused.get(&number).cloned().unwrap_or_else(forgotten);
        state.calls.get(&number).cloned().ok_or_else(gone)
    }

    /// A call has ended.
    pub(super) fn ended(&self, job: &CallJob) {
        let mut state = self.lock();
        state.note(job);
        if !state.calls.contains_key(&job.job) {
            state.all.remove(&job.number);
        }
    }

    /// How a call failed, if somebody still has it. That may be about to become known.
    pub(super) async fn failure_of(&self, session: &Session, task: TaskId) -> Option<String> {
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
        self.0.lock()
    }
}

impl State {
    /// There is another call, which needs those with these numbers.
    fn enter(&mut self, job: &Arc<CallJob>, needs: Vec<u64>) {
        self.all.insert(job.number, Arc::downgrade(job));
        if self.graph.len() >= GRAPH {
            self.graph.pop_first();
        }
        self.graph.insert(job.number, GraphTask { line: job.line(), needs });
        self.calls.insert(job.job, Arc::clone(job));
    }

    /// Takes over into the graph how a call is.
    fn note(&mut self, job: &CallJob) {
        if let Some(task) = self.graph.get_mut(&job.number) {
            task.line = job.line();
        }
    }
}

fn forgotten() -> String {
    "the kernel has forgotten this call: was it restarted meanwhile?".to_owned()
}

impl CallJob {
    fn line(&self) -> TaskLine {
        let needs = self.needs.lock();
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
