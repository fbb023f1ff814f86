//! One run of a cell in the notebook's worker: what it is about, for whatever its code asks for.

use super::job::{Cancelled, Half, Job, MapOptions};
use crate::compiler_thread::CompilerThread;
use crate::engines::Engines;
use crate::failure::{Failure, Kind, failure};
use crate::interrupt::Interrupted;
use crate::publisher::Publisher;
use chorus_compiler::{EnginesHave, Object};
use chorus_protocol::{EngineId, SnapshotPolicy};
use parking_lot::{Mutex, MutexGuard};
use px::link::OnEngine;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What a cell is about, before it is compiled.
#[derive(Clone)]
pub struct Plan {
    /// The notebook's engines.
    pub engines: Engines,
    /// Hears of variables that a death costs.
    pub compiler: CompilerThread,
    /// Where outputs go.
    pub publisher: Publisher,
    /// The user's wish to end it.
    pub interrupted: Interrupted,
    /// How its maps are to be run.
    pub options: MapOptions,
    /// What was compiled for the engines, when that is another object than the cell's.
    pub half: Option<Arc<Half>>,
    /// What the maps' engines do about snapshots.
    pub snapshots: SnapshotPolicy,
    /// The map that isn't to be started again, but asked for what it has done.
    pub partial: Option<Arc<Job>>,
    /// What the run is given besides its object.
    pub argument: Vec<u8>,
    /// How long it took to compile what there is for the engines alone.
    pub compiled: Duration,
}

/// A run, which begins when its object is there.
pub struct CellRun {
    /// What it is about.
    pub plan: Plan,
    /// What is run.
    pub object: Object,
    /// What the engines have of the variables that the cell names.
    have: EnginesHave,
    /// How long it took to compile all of it.
    pub compiled: Duration,
    /// The last number of a map or a call before it.
    pub(super) since: u64,
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    /// Why the map failed that it waited for last, or what it asked for couldn't be done.
    pub(super) failure: Option<Failure>,
    /// The map that it started last.
    pub(super) map: Option<Arc<Job>>,
    /// The maps that it waits for.
    awaited: Vec<Arc<Job>>,
    /// How many of its questions wait for engines.
    starting: usize,
    /// Rooms that it has asked for, or asked to hold.
    pub(super) made: Vec<String>,
    /// Whether what it waited for was ended by an interrupt.
    interrupted: bool,
    /// Whether it has ended, and, if so, whether well enough that the worker has what it asked for.
    pub(super) ended: Option<bool>,
    /// Variables that it has given engines, by name: the last type, and on which engines, with the generation of their
    /// variables.
    pub(super) defined: BTreeMap<String, Defined>,
    /// Rooms of earlier runs that it has let go of. They are freed when it ends well.
    pub(super) left: Vec<String>,
}

/// A variable that a cell has given engines.
#[derive(Debug, Default)]
pub struct Defined {
    /// As `std::any::type_name` has it.
    pub type_name: String,
    /// Which have it, with the generation of their variables.
    pub engines: BTreeMap<EngineId, u32>,
}

impl State {
    /// Takes a room once out of what it has asked for. False if it isn't there.
    pub(super) fn unmake(&mut self, room: &str) -> bool {
        let at = self.made.iter().position(|made| made == room);
        at.map(|at| self.made.swap_remove(at)).is_some()
    }
}

/// `` `score` ``, `` `each()` (3 calls) ``
fn times(label: &str, count: usize) -> String {
    if count == 1 { format!("`{label}`") } else { format!("`{label}` ({count} calls)") }
}

impl CellRun {
    pub(super) fn new(plan: Plan, object: Object, have: EnginesHave, compiled: Duration, since: u64) -> CellRun {
        let compiled = compiled + plan.compiled;
        CellRun { plan, object, have, compiled, since, state: Mutex::default() }
    }

    /// Why the map failed that the cell waited for, if one did.
    pub fn take_failure(&self) -> Option<Failure> {
        self.lock().failure.take()
    }

    /// The variables that it has given engines, by name.
    pub fn take_defined(&self) -> BTreeMap<String, Defined> {
        std::mem::take(&mut self.lock().defined)
    }

    /// Why a function can't be called with these variables on each of these engines. What engines have lost meanwhile, they
    /// say themselves.
    pub(super) fn unlike(&self, names: &[String], calls: &[OnEngine]) -> Option<String> {
        let engines = || calls.iter().map(|call| EngineId(call.engine));
        let unlike = names.iter().find_map(|name| self.have.unlike(name, engines()))?;
        let help = unlike.help().map_or_else(String::new, |help| format!("; {help}"));
        Some(format!("{}: {}; nothing was called{help}", unlike.what, unlike.who))
    }

    /// The map that it started last, if it started one.
    pub fn map(&self) -> Option<Arc<Job>> {
        self.lock().map.clone()
    }

    /// The notebook's cluster, which is started if there is none.
    pub(super) async fn cluster(&self) -> Result<Arc<crate::cluster::Cluster>, Failure> {
        self.lock().starting += 1;
        let cluster = self.plan.engines.get(&self.plan.publisher, &self.plan.interrupted).await;
        self.lock().starting -= 1;
        cluster
    }

    /// Does something that may have to wait for engines, and says in the cell what becomes of their controller meanwhile.
    pub(super) async fn tell_news_during<T>(&self, work: impl Future<Output = T>) -> T {
        let publisher = &self.plan.publisher;
        let news = || async {
            match self.plan.engines.current() {
                Some(cluster) => cluster.away().news(publisher.count()).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(work);
        loop {
            let news = tokio::select! {
                biased;
                done = &mut work => return done,
                news = news() => news,
            };
            publisher.warn(&news).await;
        }
    }

    /// Waits for a map, as long as that may last; `None` if it lasts longer.
    pub(super) async fn wait(&self, job: &Arc<Job>, limit: Duration) -> Option<Result<(), Failure>> {
        let ended = self.awaiting(std::slice::from_ref(job), tokio::time::timeout(limit, job.ended())).await;
        job.seen.fetch_or(ended.is_ok(), Ordering::Relaxed);
        ended.ok()
    }

    /// Waits for something of maps, which an interrupt ends meanwhile.
    pub(super) async fn awaiting<T>(&self, jobs: &[Arc<Job>], work: impl Future<Output = T>) -> T {
        self.lock().awaited.extend_from_slice(jobs);
        let done = work.await;
        let awaited = &mut self.lock().awaited;
        for job in jobs {
            // Only one: others may wait for the same.
            if let Some(at) = awaited.iter().position(|other| Arc::ptr_eq(other, job)) {
                awaited.swap_remove(at);
            }
        }
        done
    }

    /// Ends the maps that it waits for, and hears which calls were ended. False if it waits for nothing.
    pub(super) fn interrupt(&self, calls: &BTreeMap<String, usize>) -> bool {
        let mut state = self.lock();
        if !calls.is_empty() {
            let labels: Vec<String> = calls.iter().map(|(label, count)| times(label, *count)).collect();
            let what = format!("the cell was interrupted; calls that it waited for were ended: {}", labels.join(", "));
            state.failure = Some(failure(Kind::Interrupted, what));
        }
        state.awaited.iter().for_each(|job| job.cancel(Cancelled::ByUser));
        // Who waits for engines hears of the interrupt, too.
        state.interrupted = !state.awaited.is_empty() || !calls.is_empty() || state.starting > 0;
        state.interrupted
    }

    /// An error if what it waited for was ended by an interrupt, and it goes on and asks for more, for which nobody waits.
    pub(super) fn check_goes_on(&self) -> Result<(), Failure> {
        let state = self.lock();
        let is_left = state.interrupted && state.ended.is_none();
        if is_left { Err(failure(Kind::Interrupted, "the cell was interrupted; nothing was called")) } else { Ok(()) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}
