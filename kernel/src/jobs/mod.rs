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
use chorus_protocol::{Aftermath, Outcome, SnapshotPolicy};
use map::Started;
use px::link::{Answer, Ask, CallAsk, MapAsk, Message};
use rooms::Rooms;
use std::collections::{BTreeMap, BTreeSet};
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
    pub partial: Option<Arc<Job>>,
    /// The argument of the cell's run.
    pub argument: Vec<u8>,
    /// How long it took to compile the cell, and what there is for the engines alone.
    pub compiled: Duration,
}

/// Which maps and calls.
#[derive(Clone, Copy, Debug)]
pub enum Which<'a> {
    /// What was started last.
    Last,
    /// The one that has this number in the list.
    Number(u64),
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
    /// The map that ended last, or was left alone: what is shown of it, and what it has done, outlive its handle.
    latest: Option<Arc<Job>>,
    /// Jobs that cells wait for.
    awaited: Vec<u64>,
    /// Of the job that a cell waited for last.
    failure: Option<Failure>,
    /// The last number before the cell under way.
    since: u64,
    /// Rooms that the cell under way has asked for, or asked to hold.
    made: Vec<String>,
    /// Rooms of earlier cells that it has let go of. They are freed when it ends well.
    left: Vec<String>,
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
        let since = self.0.calls.begin_cell();
        let mut state = self.lock();
        state.context = Some(context);
        state.failure = None;
        state.since = since;
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
            Ask::Room(bytes) => {
                let room = self.0.rooms.make(bytes).map_err(|error| no_room(bytes, error))?;
                self.lock().made.push(room.clone());
                Answer::Room(room)
            }
            Ask::Free(path) => {
                // If the cell's worker dies yet, its variables come back, which may have rooms of earlier cells.
                let mut state = self.lock();
                match state.made.iter().position(|made| *made == path) {
                    Some(at) => self.0.rooms.free(&state.made.swap_remove(at)),
                    None => state.left.push(path),
                }
                Answer::Ok
            }
            Ask::Hold(path) if self.0.rooms.hold(&path) => {
                self.lock().made.push(path);
                Answer::Ok
            }
            Ask::Hold(_) => Answer::Gone,
            Ask::Map(ask) => Answer::Job(self.start(ask).await?),
            Ask::Call(ask) => {
                let (job, own) = (ask.job, ask.own.clone());
                if let Err(sentence) = self.call(ask).await {
                    self.0.calls.refuse(job, sentence);
                    own.iter().for_each(|room| self.0.rooms.free(room));
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
                self.forget(job);
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
        lines.sort_by_key(|line| line.number);
        lines
    }

    /// Ends maps and calls; returns how many.
    pub fn cancel(&self, which: Which<'_>) -> usize {
        let mut maps: Vec<(u64, Arc<Job>)> = {
            let state = self.lock();
            state.jobs.iter().filter(|(_, job)| job.runs()).map(|(number, job)| (*number, Arc::clone(job))).collect()
        };
        let mut calls = self.0.calls.running();
        let last = maps.iter().map(|(number, _)| *number).chain(calls.iter().copied()).max();
        match which {
            Which::Last => {
                maps.retain(|(number, _)| Some(*number) == last);
                calls.retain(|number| Some(*number) == last);
            }
            Which::Number(wanted) => {
                maps.retain(|(number, _)| *number == wanted);
                calls.retain(|number| *number == wanted);
            }
            Which::Named(name) => {
                maps.retain(|(_, job)| job.has_name(name));
                calls.clear();
            }
            Which::All => {}
        }
        maps.iter().for_each(|(_, job)| job.cancel());
        self.0.calls.cancel_numbers(&calls);
        maps.len() + calls.len()
    }

    async fn call(&self, ask: CallAsk) -> Result<(), String> {
        let (object, context, cluster) = self.cell()?;
        // They are the call's now.
        self.lock().made.retain(|room| !ask.own.contains(room));
        self.0.calls.start(ask, object, context, &cluster, &self.0.rooms).await
    }

    async fn start(&self, ask: MapAsk) -> Result<u64, String> {
        let partial = self.lock().context.as_ref().and_then(|context| context.partial.clone());
        if let Some(job) = partial {
            // What it is asked with isn't needed.
            ask.rooms.iter().for_each(|room| self.0.rooms.free(room));
            return Ok(self.enter(job));
        }
        let (object, context, cluster) = self.cell()?;
        let rooms = ask.rooms.clone();
        let started = Started { ask, object, context, cluster };
        let job = Arc::new(map::start(started).await?);
        // They are the map's now.
        self.lock().made.retain(|room| !rooms.contains(room));
        Ok(self.enter(job))
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
        let number = self.0.calls.number();
        let mut state = self.lock();
        state.jobs.insert(number, Arc::clone(&job));
        let before = state.latest.replace(job);
        drop(state);
        if let Some(before) = before {
            self.free_when_over(before);
        }
        number
    }

    /// Nobody has this handle of a map any more; without any, a map ends.
    fn forget(&self, number: u64) {
        let mut state = self.lock();
        let Some(job) = state.jobs.remove(&number) else { return };
        if state.jobs.values().any(|other| Arc::ptr_eq(other, &job)) {
            return;
        }
        drop(state);
        job.cancel();
        self.free_when_over(job);
    }

    /// Lets go of a map's rooms when no engine writes to them any more, unless somebody may still want what is in them.
    fn free_when_over(&self, job: Arc<Job>) {
        let jobs = self.clone();
        tokio::spawn(async move {
            let _ = job.ended().await;
            jobs.free_rooms(&job);
        });
    }

    /// The same now.
    fn free_rooms(&self, job: &Arc<Job>) {
        let state = self.lock();
        let has_handle = state.jobs.values().any(|other| Arc::ptr_eq(other, job));
        let is_partial = !job.is_whole() && state.latest.as_ref().is_some_and(|latest| Arc::ptr_eq(latest, job));
        if !has_handle && !is_partial {
            job.take_rooms().iter().for_each(|room| self.0.rooms.free(room));
        }
    }

    /// The cell's run has ended. If its worker died, nobody has what it asked for, and its snapshot may have again what the
    /// cell had left.
    pub fn end_cell(&self, outcome: &Outcome) {
        let (made, left, since) = {
            let mut state = self.lock();
            (std::mem::take(&mut state.made), std::mem::take(&mut state.left), state.since)
        };
        let died = matches!(outcome, Outcome::Died(..));
        let is_lost = matches!(outcome, Outcome::Died(_, Aftermath::Lost(_)));
        if !died || is_lost {
            left.iter().for_each(|path| self.0.rooms.free(path));
        }
        if !died {
            return;
        }
        // With all variables, all handles are gone.
        let since = if is_lost { 0 } else { since };
        let numbers: Vec<u64> = self.lock().jobs.range(since + 1..).map(|(number, _)| *number).collect();
        numbers.into_iter().for_each(|number| self.forget(number));
        self.0.calls.forget_since(since);
        let used: BTreeSet<String> = {
            let state = self.lock();
            state.jobs.values().chain(&state.latest).flat_map(|job| job.rooms()).collect()
        };
        made.iter().filter(|path| !used.contains(*path)).for_each(|path| self.0.rooms.free(path));
    }

    async fn wait(&self, number: u64, millis: u64) -> Result<Answer, String> {
        let job = self.job(number)?;
        if self.wants_partial() {
            return self.ended(&job);
        }
        self.lock().awaited.push(number);
        let limit = Duration::from_millis(millis.min(1 << 40));
        let ended = tokio::time::timeout(limit, job.ended()).await;
        job::remove_one(&mut self.lock().awaited, number);
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
        // px frees it when it has read it.
        self.lock().made.push(path.clone());
        Ok(Answer::Ended { path, bytes: report.len() as u64, results: job.results_room().to_owned() })
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
