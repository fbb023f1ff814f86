//! What cells of the notebook ask for while they run: rooms for data, maps over the engines, calls. A map or a call is a
//! job; users see them as tasks.
//!
//! A worker's question comes with a ticket, and whoever asked waits for the answer; each is answered by a task of its own,
//! and by the [`CellRun`] that it belongs to.

mod account;
mod calls;
mod choice;
mod follower;
mod job;
mod lending;
mod map;
mod passages;
mod questions;
mod rooms;
mod run;
mod stream;
mod trial;
mod verdict;

pub use job::{ByGpus, Cancelled, Half, Job, MapOptions, OnGpus};
pub use run::{CellRun, Defined, Plan};

use crate::cluster::Cluster;
use crate::failure::{Failure, Kind, failure};
use calls::Calls;
use chorus_compiler::{EnginesHave, Object};
use chorus_magics::Cancel;
use chorus_protocol::{Aftermath, Death, Outcome, RoomUse};
use chorus_render::{GraphTask, TaskLine};
pub use lending::Lending;
use parking_lot::{Mutex, MutexGuard};
use px::link::{CallAsk, MapAsk, OnEngine};
use rooms::{Holder, Rooms};
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// So many runs are remembered, for threads of cells that have ended; and those that have begun a map with a handle, whose
/// code may ask for more at its end.
const RUNS: usize = 16;

/// How long maps may take to end whose handles are gone, before the cell ends without their last word.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A map that is cancelled ends at once, unless an engine is away.
const ENDS_WITHIN: Duration = Duration::from_secs(2);

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
    /// The last runs, and older ones that are needed; the newest is that under way, if one is.
    runs: VecDeque<Arc<CellRun>>,
    jobs: BTreeMap<u64, Arc<Job>>,
    /// The map that ended last, or was left alone: what is shown of it, and what it has done, outlive its handle.
    latest: Option<Arc<Job>>,
}

impl State {
    fn forget_runs(&mut self) {
        let mut older = self.runs.len().saturating_sub(RUNS);
        self.runs.retain(|run| {
            let is_old = older > 0;
            older = older.saturating_sub(1);
            !is_old || self.jobs.values().any(|job| job.is_of(run))
        });
    }
}

/// Rooms through which variables go.
pub struct Lent {
    jobs: Jobs,
    paths: Vec<String>,
}

impl Lent {
    /// Where they are.
    pub fn paths(&self) -> &[String] {
        &self.paths
    }

    /// All variables have arrived: the rooms' memory may be used again.
    pub fn passed(mut self) {
        self.jobs.0.rooms.passed(&std::mem::take(&mut self.paths), Holder::Kernel);
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.paths.iter().for_each(|path| self.jobs.0.rooms.free(path, Holder::Kernel));
    }
}

impl Jobs {
    /// A cell is compiled and about to run.
    pub fn begin(&self, plan: Plan, object: &Object, have: EnginesHave, compiled: Duration) -> Arc<CellRun> {
        let run = Arc::new(CellRun::new(plan, object.clone(), have, compiled, self.0.calls.begin_cell()));
        let mut state = self.lock();
        state.runs.push_back(Arc::clone(&run));
        state.forget_runs();
        run
    }

    /// Lets engines of other hosts have the rooms, by the gateway of the cluster with this folder. If that can't be, it is
    /// said in the log: engines of this host need none of it.
    pub fn lend(&self, folder: &Path) -> Option<Lending> {
        let lending = Lending::begin(&self.0.rooms, folder);
        lending
            .inspect_err(|error| tracing::warn!(%error, "engines of other hosts can't have this notebook's data"))
            .ok()
    }

    /// So many rooms for each of these purposes, which grow, and go when this is dropped.
    pub fn passages(&self, purposes: &[String], count: usize) -> std::io::Result<Lent> {
        let mut lent = Lent { jobs: self.clone(), paths: Vec::new() };
        for purpose in purposes {
            for _ in 0..count {
                lent.paths.push(self.0.rooms.passage(purpose, Holder::Kernel)?);
            }
        }
        Ok(lent)
    }

    /// Lets go of memory that was kept for the next transfer, if that has been long or it is needed. To be called now and then.
    pub fn tidy(&self) {
        self.0.rooms.tidy();
    }

    /// What each room takes.
    pub fn rooms_in_use(&self) -> Vec<RoomUse> {
        self.0.rooms.used()
    }

    /// Ends what a run waits for. False if it waits for nothing.
    pub fn interrupt(&self, run: &CellRun) -> bool {
        run.interrupt(&self.0.calls.interrupt())
    }

    /// The maps and calls that there are.
    pub fn list(&self) -> Vec<TaskLine> {
        let mut lines: Vec<TaskLine> = self.lock().jobs.iter().map(|(number, job)| job.line(*number)).collect();
        lines.extend(self.0.calls.list());
        lines.sort_by_key(|line| line.number);
        lines
    }

    /// The last calls and what they need.
    pub fn graph(&self) -> Vec<GraphTask> {
        self.0.calls.graph()
    }

    /// Ends maps and calls; returns how many. Maps have ended then, unless an engine takes long to.
    pub async fn cancel(&self, which: &Cancel) -> usize {
        let mut maps: Vec<(u64, Arc<Job>)> = {
            let state = self.lock();
            state.jobs.iter().filter(|(_, job)| job.runs()).map(|(number, job)| (*number, Arc::clone(job))).collect()
        };
        let mut calls = self.0.calls.running();
        let last = maps.iter().map(|(number, _)| *number).chain(calls.iter().copied()).max();
        match which {
            Cancel::Last => {
                maps.retain(|(number, _)| Some(*number) == last);
                calls.retain(|number| Some(*number) == last);
            }
            Cancel::Number(wanted) => {
                maps.retain(|(number, _)| number == wanted);
                calls.retain(|number| number == wanted);
            }
            Cancel::Named(name) => {
                maps.retain(|(_, job)| job.has_name(name));
                calls.clear();
            }
            Cancel::All => {}
        }
        maps.iter().for_each(|(_, job)| job.cancel(Cancelled::ByUser));
        self.0.calls.cancel_numbers(&calls);
        let ends = futures::future::join_all(maps.iter().map(|(_, job)| job.ended()));
        _ = tokio::time::timeout(ENDS_WITHIN, ends).await;
        maps.len() + calls.len()
    }

    /// Makes a call, on all of these engines together if they are given, or remembers why it can't be made.
    async fn call(&self, ask: CallAsk, together: Option<&[OnEngine]>, run: &Arc<CellRun>) {
        let (job, own) = (ask.job, ask.own.clone());
        let Err(failed) = self.try_call(ask, together, run).await else { return };
        let refuse = |job| self.0.calls.refuse(job, failed.sentence());
        match together {
            Some(calls) => calls.iter().for_each(|call| refuse(call.job)),
            None => refuse(job),
        }
        own.iter().for_each(|room| self.0.rooms.free(room, Holder::Kernel));
        // That the user ended it is the cell's own end, too.
        if failed.is_interrupt() {
            run.lock().failure.get_or_insert(failed);
        }
    }

    async fn try_call(&self, ask: CallAsk, together: Option<&[OnEngine]>, run: &Arc<CellRun>) -> Result<(), Failure> {
        self.give(&ask.own, run);
        if !ask.is_last {
            run.check_goes_on()?;
        } else if run.plan.engines.current().is_none() {
            return Err(failure(Kind::ClusterLost, "the cluster is gone, and what was left there with it"));
        }
        let cluster = run.cluster().await?;
        let started = self.0.calls.start(ask, together, run, &cluster, &self.0.rooms).await;
        started.map_err(|sentence| failure(Kind::MapError, sentence))
    }

    async fn start(&self, ask: MapAsk, run: &Arc<CellRun>) -> Result<u64, Failure> {
        if let Some(job) = run.plan.partial.clone() {
            // What it is asked with isn't needed.
            self.give(&ask.rooms, run);
            ask.rooms.iter().for_each(|room| self.0.rooms.free(room, Holder::Kernel));
            return Ok(self.enter(job));
        }
        run.check_goes_on()?;
        let cluster: Arc<Cluster> = run.cluster().await?;
        let rooms = ask.rooms.clone();
        let started = map::start(ask, Arc::clone(run), cluster).await;
        let job = Arc::new(started.map_err(|sentence| failure(Kind::MapError, sentence))?);
        self.give(&rooms, run);
        let mut state = run.lock();
        state.map = Some(Arc::clone(&job));
        let died = state.ended == Some(false);
        drop(state);
        let number = self.enter(job);
        if died {
            // Nobody has its handle.
            self.forget(number, Cancelled::Forgotten);
        }
        Ok(number)
    }

    /// Remembers a room for the end of the run that has asked for it. Nobody has it if that has died meanwhile.
    fn keep(&self, room: String, run: &CellRun) {
        let mut state = run.lock();
        match state.ended {
            None => state.made.push(room),
            Some(true) => {}
            Some(false) => self.0.rooms.free(&room, Holder::Cells),
        }
    }

    /// What a run has asked for is a job's now.
    fn give(&self, rooms: &[String], run: &CellRun) {
        let mut state = run.lock();
        for room in rooms {
            state.unmake(room);
            self.0.rooms.give(room);
        }
    }

    /// Whether somebody has a handle of a map.
    pub fn has_handle(&self, job: &Arc<Job>) -> bool {
        self.lock().jobs.values().any(|other| Arc::ptr_eq(other, job))
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

    /// Nobody has this handle of a map any more; without any, a map ends, which is returned.
    fn forget(&self, number: u64, why: Cancelled) -> Option<Arc<Job>> {
        let mut state = self.lock();
        let job = state.jobs.remove(&number)?;
        if state.jobs.values().any(|other| Arc::ptr_eq(other, &job)) {
            return None;
        }
        drop(state);
        let loop_ended = why == Cancelled::Forgotten && job.is_streamed();
        job.cancel(if loop_ended { Cancelled::LoopEnded } else { why });
        self.free_when_over(Arc::clone(&job));
        Some(job)
    }

    /// The notebook's variables are lost, and their rooms with them. To be called before another worker runs anything;
    /// [`Jobs::handles_lost`] follows.
    pub fn variables_lost(&self) {
        self.0.rooms.lose_cells();
    }

    /// The worker has died, or its successor's variables are those of before a run, and with it the handles of maps and
    /// calls that have a higher number than this. Returns when these maps have said their last word.
    pub async fn handles_lost(&self, since: u64, death: Death) {
        let numbers: Vec<u64> = self.lock().jobs.range(since + 1..).map(|(number, _)| *number).collect();
        let ended = numbers.into_iter().filter_map(|number| self.forget(number, Cancelled::WorkerDied(death)));
        let ended: Vec<Arc<Job>> = ended.collect();
        self.0.calls.forget_since(since);
        let ends = async {
            for job in ended {
                _ = job.ended().await;
            }
        };
        _ = tokio::time::timeout(LAST_WORDS, ends).await;
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
            job.take_rooms().iter().for_each(|room| self.0.rooms.free(room, Holder::Kernel));
        }
    }

    /// A run has ended. If its worker died, nobody has what it asked for, and its snapshot may have again what the cell
    /// had left.
    pub async fn end(&self, run: &CellRun, outcome: &Outcome) {
        let (made, left) = {
            let mut state = run.lock();
            state.ended = Some(!matches!(outcome, Outcome::Died(..)));
            (std::mem::take(&mut state.made), std::mem::take(&mut state.left))
        };
        let free = |paths: Vec<String>| paths.iter().for_each(|path| self.0.rooms.free(path, Holder::Cells));
        match outcome {
            Outcome::Died(death, Aftermath::Lost(_)) => {
                self.variables_lost();
                // With all variables, all handles are gone.
                self.handles_lost(0, *death).await;
            }
            Outcome::Died(death, _) => {
                free(made);
                self.handles_lost(run.since, *death).await;
            }
            _ => free(left),
        }
    }

    fn job(&self, number: u64) -> Result<Arc<Job>, Failure> {
        let forgotten = || failure(Kind::MapError, "the kernel has forgotten this job: was it restarted meanwhile?");
        self.lock().jobs.get(&number).cloned().ok_or_else(forgotten)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock()
    }
}
