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
mod rooms;
mod run;
mod stream;
mod trial;
mod verdict;

pub use job::{ByGpus, Cancelled, Half, Job, MapOptions, OnGpus};
pub use run::{CellRun, Defined, Plan};

use crate::cluster::Cluster;
use crate::failure::{Failure, Kind, failure};
use calls::{Calls, is_call};
use chorus_compiler::{EnginesHave, Object};
use chorus_magics::Cancel;
use chorus_protocol::{Aftermath, Death, EngineId, Outcome, RoomUse};
use chorus_render::{GraphTask, TaskLine};
pub use lending::Lending;
use parking_lot::{Mutex, MutexGuard};
use px::link::{Answer, Ask, CallAsk, MapAsk, Message, OnEngine, Taking};
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

    /// Answers an encoded [`Ask`].
    pub async fn answer(&self, ask: &[u8]) -> Vec<u8> {
        let answer = match Ask::decode(ask) {
            Ok(ask) => match self.run_of(&ask) {
                Some(run) => run.tell_news_during(self.answer_to(ask, &run)).await.unwrap_or_else(|failed| {
                    let sentence = failed.sentence();
                    run.lock().failure.get_or_insert(failed);
                    Answer::Failed(sentence)
                }),
                None => Answer::Failed("no cell has run in this worker".to_owned()),
            },
            Err(damaged) => Answer::Failed(damaged.to_string()),
        };
        answer.encode()
    }

    /// The run that asks: a thread of an earlier one asks for functions of its own object. Else it is the newest.
    fn run_of(&self, ask: &Ask) -> Option<Arc<CellRun>> {
        let object = match ask {
            Ask::Map(MapAsk { object, .. }) | Ask::Call(CallAsk { object, .. }) => object.as_str(),
            Ask::CallOn(CallAsk { object, .. }, _) => object.as_str(),
            _ => "",
        };
        let state = self.lock();
        let own = state.runs.iter().rev().find(|run| run.object.path == Path::new(object));
        own.or(state.runs.back()).cloned()
    }

    async fn answer_to(&self, ask: Ask, run: &Arc<CellRun>) -> Result<Answer, Failure> {
        match &ask {
            Ask::Wait { job, .. } => self.make_way(&[*job]),
            Ask::Take { maps, .. } => self.make_way(&maps.iter().map(|map| map.job).collect::<Vec<_>>()),
            Ask::WaitAll(_) | Ask::WaitAny(_) => self.make_way(&[]),
            _ => {}
        }
        let no_room = |what: String, error| {
            let what = format!("there is no room for {what} that the engines can see: {error}");
            failure(Kind::MapError, what)
        };
        Ok(match ask {
            Ask::Room(bytes) => {
                let room = self
                    .0
                    .rooms
                    .make(bytes, Holder::Cells)
                    .map_err(|error| no_room(format!("{bytes} bytes"), error))?;
                self.keep(room.clone(), run);
                Answer::Room(room)
            }
            Ask::Passage(purpose) => {
                let room = self
                    .0
                    .rooms
                    .passage(&purpose, Holder::Cells)
                    .map_err(|error| no_room("variables".to_owned(), error))?;
                self.keep(room.clone(), run);
                Answer::Room(room)
            }
            Ask::Passed(path) => {
                run.lock().unmake(&path);
                self.0.rooms.passed(&[path], Holder::Cells);
                Answer::Ok
            }
            Ask::Free(path) => {
                // If the cell's worker dies yet, its variables come back, which may have rooms of earlier cells.
                let mut state = run.lock();
                // A thread of a cell that has ended may let go of it.
                if state.unmake(&path) || state.ended == Some(true) {
                    self.0.rooms.free(&path, Holder::Cells);
                } else {
                    state.left.push(path);
                }
                Answer::Ok
            }
            Ask::Hold(path) if self.0.rooms.hold(&path, Holder::Cells) => {
                self.keep(path, run);
                Answer::Ok
            }
            Ask::Hold(_) => Answer::Gone,
            Ask::Map(ask) => Answer::Job(self.start(ask, run).await?),
            Ask::Call(ask) => {
                self.call(ask, None, run).await;
                Answer::Ok
            }
            Ask::CallOn(ask, engines) => {
                match run.unlike(&ask.variables, &engines) {
                    Some(why) => engines.iter().for_each(|call| self.0.calls.refuse(call.job, why.clone())),
                    None => self.call(ask, Some(&engines), run).await,
                }
                Answer::Ok
            }
            Ask::Engines(label) => {
                let cluster = run.cluster().await?;
                cluster.recovered().await;
                let mut engines = cluster.engines();
                engines.retain(|engine| label.as_ref().is_none_or(|label| cluster.has_label(*engine, label)));
                Answer::Engines(engines.into_iter().map(|engine| engine.0).collect())
            }
            Ask::Take { maps, any } => self.take(&maps, any, run).await?,
            Ask::SoFar(job) => self.done(&*self.job(job)?, run)?,
            Ask::WaitAll(jobs) => self.0.calls.wait_all(&jobs).await,
            Ask::ForgetAll(jobs) => {
                jobs.iter().for_each(|job| self.0.calls.forget(*job));
                Answer::Ok
            }
            Ask::WaitAny(jobs) => self.0.calls.wait_any(&jobs).await,
            Ask::Defined { engines, name, type_name } => {
                let cluster = run.cluster().await?;
                let engines = engines.into_iter().map(EngineId);
                let engines: BTreeMap<EngineId, u32> = engines.map(|id| (id, cluster.generation(id))).collect();
                let mut state = run.lock();
                let defined = state.defined.entry(name).or_default();
                if defined.type_name != type_name {
                    *defined = Defined { type_name, engines: BTreeMap::new() };
                }
                defined.engines.extend(engines);
                Answer::Ok
            }
            Ask::Where(job) => Answer::RunsOn(self.0.calls.place(job)),
            Ask::Wait { job, millis } if is_call(job) => self.0.calls.wait(job, millis).await,
            Ask::Cancel(job) if is_call(job) => {
                self.0.calls.cancel(job);
                Answer::Ok
            }
            Ask::Forget(job) if is_call(job) => {
                self.0.calls.forget(job);
                Answer::Ok
            }
            Ask::Wait { job, millis } => self.wait(job, millis, run).await?,
            Ask::Cancel(job) => {
                self.job(job)?.cancel(Cancelled::ByUser);
                Answer::Ok
            }
            Ask::Forget(job) => {
                self.forget(job, Cancelled::Forgotten);
                Answer::Ok
            }
            Ask::Next(_) | Ask::Report(_) | Ask::Result(..) | Ask::Joined => {
                return Err(failure(Kind::MapError, "the notebook's own cells serve no map or call"));
            }
        })
    }

    /// Whoever waits for something of the engines has it before what other loops haven't asked for yet.
    fn make_way(&self, jobs: &[u64]) {
        let others = |number: &u64| !jobs.contains(number);
        self.lock().jobs.iter().filter(|(number, _)| others(number)).for_each(|(_, other)| other.give_way());
    }

    /// Takes results of a stream: of any of its maps, or of the first.
    async fn take(&self, maps: &[Taking], any: bool, run: &CellRun) -> Result<Answer, Failure> {
        let wanted = if any { maps } else { maps.get(..1).unwrap_or_default() };
        let jobs = wanted.iter().map(|map| self.job(map.job)).collect::<Result<Vec<_>, _>>()?;
        if jobs.is_empty() {
            return Err(failure(Kind::MapError, "a loop over no map asks for results"));
        }
        // What isn't ready first has taken nothing.
        let takes = jobs.iter().zip(wanted).map(|(job, map)| Box::pin(job.take(map.taken)));
        let (taken, at, _) = run.awaiting(&jobs, futures::future::select_all(takes)).await;
        jobs.iter().for_each(|job| job.wait_no_more());
        match taken {
            Ok(done) => Ok(Answer::Taken { map: at as u64, done }),
            Err(failed) => {
                let sentence = failed.sentence();
                run.lock().failure = Some(failed);
                Ok(Answer::Failed(sentence))
            }
        }
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

    async fn wait(&self, number: u64, millis: u64, run: &CellRun) -> Result<Answer, Failure> {
        let job = self.job(number)?;
        match run.wait(&job, Duration::from_millis(millis.min(1 << 40))).await {
            None => {
                let (done, items) = job.progress();
                Ok(Answer::Running { done, items })
            }
            Some(Err(failed)) => {
                let sentence = failed.sentence();
                run.lock().failure = Some(failed);
                Ok(Answer::Failed(sentence))
            }
            Some(Ok(())) => self.done(&job, run),
        }
    }

    /// What is done.
    fn done(&self, job: &Job, run: &CellRun) -> Result<Answer, Failure> {
        let report = job.report();
        let path = self.0.rooms.with(&report);
        let path = path.map_err(|error| failure(Kind::MapError, format!("the results can't be kept: {error}")))?;
        // px frees it when it has read it.
        run.lock().made.push(path.clone());
        Ok(Answer::Ended { path, bytes: report.len() as u64, results: job.results_room().to_owned() })
    }

    fn job(&self, number: u64) -> Result<Arc<Job>, Failure> {
        let forgotten = || failure(Kind::MapError, "the kernel has forgotten this job: was it restarted meanwhile?");
        self.lock().jobs.get(&number).cloned().ok_or_else(forgotten)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock()
    }
}
