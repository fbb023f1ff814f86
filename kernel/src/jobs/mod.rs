//! What cells of the notebook ask for while they run: rooms for data, maps over the engines.
//!
//! A worker's question comes with a ticket, and whoever asked waits for the answer; each is answered by a task of its own.

mod account;
mod calls;
mod job;
mod map;
mod rooms;

pub use job::{Half, Job, MapOptions};

use crate::cluster::Cluster;
use crate::compiling::CompilerThread;
use crate::failure::failure;
use crate::publisher::Publisher;
use crate::render::TaskLine;
use calls::{Calls, is_call};
use chorus_compiler::Object;
use chorus_jupyter::content::Failure;
use chorus_protocol::SnapshotPolicy;
use map::Started;
use px::link::{Answer, Ask, CallAsk, MapAsk, Message};
use rooms::Rooms;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// What a cell is told that needs engines.
const NO_ENGINES: &str = "there are no engines: `%cluster start` or any %px cell starts some";

/// What the cell under way is about, as far as its maps are concerned.
#[derive(Clone)]
pub struct Context {
    /// The engines; empty when the notebook has none.
    pub cluster: Weak<Cluster>,
    /// Hears of variables that a death costs.
    pub compiler: CompilerThread,
    /// Where outputs go.
    pub publisher: Publisher,
    /// How maps are to be run.
    pub options: MapOptions,
    /// What was compiled for the engines, when that is another object than the cell's.
    pub half: Option<Arc<Half>>,
    /// What the maps' engines do about snapshots.
    pub snapshots: SnapshotPolicy,
    /// The map that isn't to be started again, but asked for what it has done.
    pub partial: Option<Partial>,
    /// The argument of the cell's run.
    pub argument: Vec<u8>,
    /// How long it took to compile the cell, and what there is for the engines alone.
    pub compiled: Duration,
}

/// A map that has ended before all of its items were done. A cell with the same text as the one that started it asks for
/// the same rooms in the same order.
#[derive(Clone)]
pub struct Partial {
    job: Arc<Job>,
    rooms: VecDeque<String>,
}

impl Partial {
    /// What this map has done.
    pub fn of(job: Arc<Job>) -> Partial {
        let rooms = job.rooms().into();
        Partial { job, rooms }
    }
}

/// Which maps and calls.
#[derive(Clone, Copy, Debug)]
pub enum Which<'a> {
    /// The map that was started last.
    Last,
    /// The map whose handle this variable holds.
    Named(&'a str),
    /// All of them.
    All,
}

/// The jobs of one notebook. Clones are the same.
#[derive(Clone, Default)]
pub struct Jobs(Arc<Shared>);

#[derive(Default)]
struct Shared {
    rooms: Arc<Rooms>,
    calls: Arc<Calls>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    context: Option<Context>,
    object: Option<Object>,
    jobs: BTreeMap<u64, Arc<Job>>,
    last: u64,
    /// The map that ended last, or was left alone: what is shown of it, and what it has done, outlive its handle.
    latest: Option<Arc<Job>>,
    /// Jobs that cells wait for.
    awaited: Vec<u64>,
    /// Of the job that a cell waited for last.
    failure: Option<Failure>,
}

/// Rooms that somebody uses for a while.
pub struct Lent {
    jobs: Jobs,
    paths: Vec<String>,
}

impl Lent {
    /// Where they are.
    pub fn paths(&self) -> &[String] {
        &self.paths
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.paths.iter().for_each(|path| self.jobs.0.rooms.free(path));
    }
}

impl Jobs {
    /// A cell is about to run.
    pub fn begin_cell(&self, context: Context) {
        self.0.calls.begin_cell();
        let mut state = self.lock();
        state.context = Some(context);
        state.failure = None;
    }

    /// The argument of the cell that is about to run.
    pub fn argument(&self) -> Vec<u8> {
        self.lock().context.as_ref().map(|context| context.argument.clone()).unwrap_or_default()
    }

    /// So many empty rooms, which grow, and go when this is dropped.
    pub fn rooms(&self, count: usize) -> std::io::Result<Lent> {
        let mut lent = Lent { jobs: self.clone(), paths: Vec::new() };
        for _ in 0..count {
            lent.paths.push(self.0.rooms.make(0)?);
        }
        Ok(lent)
    }

    /// The object of the cell is about to run.
    pub fn set_object(&self, object: &Object) {
        self.lock().object = Some(object.clone());
    }

    /// The cell is compiled, which took so long.
    pub fn set_compiled(&self, took: Duration) {
        if let Some(context) = &mut self.lock().context {
            context.compiled += took;
        }
    }

    /// Why the job failed that the cell waited for, if one did.
    pub fn take_failure(&self) -> Option<Failure> {
        self.lock().failure.take()
    }

    /// The map that was started last.
    pub fn latest(&self) -> Option<Arc<Job>> {
        self.lock().latest.clone()
    }

    /// Ends the jobs that the cell under way waits for. False if it waits for none.
    pub fn interrupt(&self) -> bool {
        let calls = self.0.calls.interrupt();
        let mut state = self.lock();
        if !calls.is_empty() {
            let what =
                format!("the cell was interrupted; calls that it waited for were ended: `{}`", calls.join("`, `"));
            state.failure = Some(failure("Interrupted", what));
        }
        let awaited: Vec<_> = state.awaited.iter().filter_map(|job| state.jobs.get(job)).collect();
        awaited.iter().for_each(|job| job.cancel());
        !awaited.is_empty() || !calls.is_empty()
    }

    /// Answers an encoded [`Ask`].
    pub async fn answer(&self, ask: &[u8]) -> Vec<u8> {
        let answer = match Ask::decode(ask) {
            Ok(ask) => self.answer_to(ask).await.unwrap_or_else(|sentence| {
                self.lock().failure.get_or_insert_with(|| failure("MapError", sentence.clone()));
                Answer::Failed(sentence)
            }),
            Err(damaged) => Answer::Failed(damaged.to_string()),
        };
        answer.encode()
    }

    /// An error is a sentence.
    async fn answer_to(&self, ask: Ask) -> Result<Answer, String> {
        let no_room = |bytes, error| format!("there is no room for {bytes} bytes that the engines can see: {error}");
        Ok(match ask {
            Ask::Room(bytes) => match self.room_of_partial() {
                Some(room) => Answer::Room(room),
                None => Answer::Room(self.0.rooms.make(bytes).map_err(|error| no_room(bytes, error))?),
            },
            Ask::Free(path) => {
                if !self.0.calls.keeps_room(&path) {
                    self.0.rooms.free(&path);
                }
                Answer::Ok
            }
            Ask::Map(ask) => Answer::Job(self.start(ask).await?),
            Ask::Call(ask) => {
                let job = ask.job;
                if let Err(sentence) = self.call(ask).await {
                    self.0.calls.refuse(job, sentence);
                }
                Answer::Ok
            }
            Ask::Where(job) => Answer::Place(self.0.calls.place(job)),
            Ask::Wait { job, millis } if is_call(job) => self.0.calls.wait(job, millis).await,
            Ask::Cancel(job) if is_call(job) => {
                self.0.calls.cancel(job);
                Answer::Ok
            }
            Ask::Forget(job) if is_call(job) => {
                self.0.calls.forget(job);
                Answer::Ok
            }
            Ask::Wait { job, millis } => self.wait(job, millis).await?,
            Ask::Cancel(job) => {
                self.job(job)?.cancel();
                Answer::Ok
            }
            Ask::Forget(job) => {
                let removed = self.lock().jobs.remove(&job);
                if let Some(job) = removed {
                    job.cancel();
                    self.free_rooms(&job);
                }
                Answer::Ok
            }
            Ask::Next(_) | Ask::Result(..) => {
                return Err("the notebook's own cells serve no map or call".into());
            }
        })
    }

    /// The maps and calls that there are.
    pub fn list(&self) -> Vec<TaskLine> {
        let mut lines: Vec<TaskLine> = self.lock().jobs.iter().map(|(number, job)| job.line(*number)).collect();
        lines.extend(self.0.calls.list());
        lines
    }

    /// Ends maps and calls; returns how many.
    pub fn cancel(&self, which: Which<'_>) -> usize {
        let state = self.lock();
        let mut running = state.jobs.values().filter(|job| job.runs());
        let maps: Vec<Arc<Job>> = match which {
            Which::Last => running.next_back().cloned().into_iter().collect(),
            Which::Named(name) => running.filter(|job| job.has_name(name)).cloned().collect(),
            Which::All => running.cloned().collect(),
        };
        drop(state);
        maps.iter().for_each(|job| job.cancel());
        let calls = if matches!(which, Which::All) { self.0.calls.cancel_all() } else { 0 };
        maps.len() + calls
    }

    async fn call(&self, ask: CallAsk) -> Result<(), String> {
        let (object, context, cluster) = self.cell()?;
        self.0.calls.start(ask, object, context, &cluster, &self.0.rooms).await
    }

    async fn start(&self, ask: MapAsk) -> Result<u64, String> {
        let partial = self.lock().context.as_ref().and_then(|context| Some(Arc::clone(&context.partial.as_ref()?.job)));
        if let Some(job) = partial {
            return Ok(self.enter(job));
        }
        let (object, context, cluster) = self.cell()?;
        let started = Started { ask, object, context, cluster };
        Ok(self.enter(Arc::new(map::start(started).await?)))
    }

    /// The object of the cell under way, what it is about, and its engines.
    fn cell(&self) -> Result<(Option<Object>, Context, Arc<Cluster>), String> {
        let (object, context) = {
            let state = self.lock();
            (state.object.clone(), state.context.clone())
        };
        let context = context.ok_or(NO_ENGINES)?;
        let cluster = context.cluster.upgrade().ok_or(NO_ENGINES)?;
        Ok((object, context, cluster))
    }

    /// Gives a map a number.
    fn enter(&self, job: Arc<Job>) -> u64 {
        let mut state = self.lock();
        state.last += 1;
        let number = state.last;
        state.jobs.insert(number, Arc::clone(&job));
        let before = state.latest.replace(job);
        drop(state);
        if let Some(before) = before {
            self.free_rooms(&before);
        }
        number
    }

    /// The next room of the map whose results the cell under way wants as far as they are there.
    fn room_of_partial(&self) -> Option<String> {
        let mut state = self.lock();
        let partial = state.context.as_mut()?.partial.as_mut()?;
        partial.rooms.pop_front()
    }

    /// Lets go of a map's rooms, unless somebody may still want what is in them.
    fn free_rooms(&self, job: &Arc<Job>) {
        let state = self.lock();
        let has_handle = state.jobs.values().any(|other| Arc::ptr_eq(other, job));
        let is_partial = !job.is_whole() && state.latest.as_ref().is_some_and(|latest| Arc::ptr_eq(latest, job));
        if !has_handle && !is_partial {
            // Once only: their paths may soon be others'.
            job.take_rooms().iter().for_each(|room| self.0.rooms.free(room));
        }
    }

    async fn wait(&self, number: u64, millis: u64) -> Result<Answer, String> {
        let job = self.job(number)?;
        if self.wants_partial() {
            return self.ended(&job);
        }
        self.lock().awaited.push(number);
        let limit = Duration::from_millis(millis.min(1 << 40));
        let ended = tokio::time::timeout(limit, job.ended()).await;
        self.lock().awaited.retain(|other| *other != number);
        match ended {
            Err(_) => {
                let (done, items) = job.progress();
                Ok(Answer::Running { done, items })
            }
            Ok(Err(failure)) => {
                let sentence = failure.evalue.clone();
                self.lock().failure = Some(failure);
                Err(sentence)
            }
            Ok(Ok(())) => self.ended(&job),
        }
    }

    fn ended(&self, job: &Job) -> Result<Answer, String> {
        let report = job.report();
        let path = self.0.rooms.with(&report);
        let path = path.map_err(|error| format!("the results can't be kept: {error}"))?;
        job.keep_room(path.clone());
        Ok(Answer::Ended { path, bytes: report.len() as u64 })
    }

    fn wants_partial(&self) -> bool {
        self.lock().context.as_ref().is_some_and(|context| context.partial.is_some())
    }

    fn job(&self, number: u64) -> Result<Arc<Job>, String> {
        let job = self.lock().jobs.get(&number).cloned();
        job.ok_or_else(|| "the kernel has forgotten this job: was it restarted meanwhile?".to_owned())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
