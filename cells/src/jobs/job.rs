//! A map as others see it: how it is to be run, how far it is, how it ended.

use super::account::Account;
use super::run::CellRun;
use crate::failure::{Failure, Kind, MapFailure, failure};
use chorus_compiler::{Object, Ticket};
use chorus_magics::{PxConfig, Targets};
use chorus_protocol::{Death, EngineId, Took};
use chorus_render::{Bundle, TaskLine, TaskState};
use parking_lot::Mutex;
use px::link::{Done, Layout, MapWishes, OnError};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// How a map is to be run.
#[derive(Clone, Debug)]
pub struct MapOptions {
    /// On which engines; those that join later take part if this is all.
    pub targets: Targets,
    /// How many items make a task, if the user has a wish.
    pub chunk: Option<u64>,
    /// How often an item is tried again; by default once if its worker died, and not if the function panicked.
    pub retries: Option<u32>,
    /// What becomes of the map when an item fails.
    pub on_error: OnError,
    /// How long an item may take.
    pub timeout: Option<Duration>,
    /// How many threads an engine has for it; its share of the cores if `None`.
    pub threads: Option<u32>,
    /// When the progress is shown, if it is.
    pub progress_after: Option<Duration>,
    /// What to call it.
    pub label: String,
    /// The variable that holds its handle or its results, if one does.
    pub name: Option<String>,
    /// Whether the engines have their own items.
    pub each: bool,
    /// Whether results stay on the engines.
    pub keep: bool,
    /// Whether a loop takes results while it runs, and whether in the order of the items.
    pub streamed: Option<bool>,
    /// Whether the magic that started it says in a line what came of it.
    pub is_told: bool,
    /// What GPUs are to do in the function's place.
    pub gpu: Option<ByGpus>,
}

impl MapOptions {
    /// Those of a map that a cell's own Rust describes.
    pub(super) fn of_wishes(wishes: &MapWishes) -> MapOptions {
        let engines = wishes.engines.as_ref();
        let targets = engines.map(|ids| Targets::of(&ids.iter().copied().map(EngineId).collect::<Vec<_>>()));
        MapOptions {
            targets: targets.unwrap_or_else(Targets::all),
            chunk: wishes.chunk,
            retries: wishes.retries,
            on_error: wishes.on_error,
            timeout: (wishes.timeout > 0).then(|| Duration::from_millis(wishes.timeout)),
            threads: wishes.threads,
            progress_after: PxConfig::default().progress_after.filter(|_| !wishes.is_part),
            label: wishes.label.clone(),
            each: wishes.each,
            keep: wishes.keep,
            streamed: wishes.streamed.then_some(wishes.ordered),
            ..MapOptions::default()
        }
    }
}

/// That GPUs work.
#[derive(Clone, Debug)]
pub struct ByGpus {
    /// What they run.
    pub code: Arc<OnGpus>,
    /// That they only do if it takes less time; the engines have so many.
    pub if_faster: Option<u32>,
}

/// A function for GPUs.
#[derive(Debug)]
pub struct OnGpus {
    /// Its code, or where no GPU is to run it, the library that processors run in its place.
    pub module: Vec<u8>,
    /// That library, where either may run it and processors have other bits by themselves.
    pub by_processors: Option<Vec<u8>>,
    /// How its items and results lie in a GPU's memory.
    pub layout: Layout,
    /// Whether a driver has had it.
    pub ran: AtomicBool,
}

impl Default for MapOptions {
    fn default() -> MapOptions {
        MapOptions {
            targets: Targets::all(),
            chunk: None,
            retries: None,
            on_error: OnError::Stop,
            timeout: None,
            threads: None,
            progress_after: Some(Duration::from_secs(2)),
            label: "map".to_owned(),
            name: None,
            each: false,
            keep: false,
            streamed: None,
            is_told: false,
            gpu: None,
        }
    }
}

/// What was compiled for the engines alone.
pub struct Half {
    /// The object.
    pub object: Object,
    /// For [`chorus_compiler::Compiler::settle`].
    pub ticket: Ticket,
    /// The engines that it was compiled for.
    pub targets: Vec<EngineId>,
    /// Whether it was sent to engines.
    pub used: AtomicBool,
}

/// Why a map is to end before its items do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// By an interrupt, or by `%cancel`.
    ByUser,
    /// Nobody has a handle of it any more.
    Forgotten,
    /// The loop that took its results takes no more.
    LoopEnded,
    /// The notebook's worker died, and its handle with it.
    WorkerDied(Death),
}

impl Cancelled {
    /// In a sentence.
    pub(super) fn what(self) -> String {
        match self {
            Cancelled::ByUser => "the map was interrupted".to_owned(),
            Cancelled::Forgotten => "the map was interrupted, since nobody has its handle any more".to_owned(),
            Cancelled::LoopEnded => "the map was ended with the loop over its results".to_owned(),
            Cancelled::WorkerDied(death) => format!("the map was interrupted, since the notebook's worker {death}"),
        }
    }
}

/// How a map ended.
#[derive(Clone)]
pub(super) struct End {
    pub result: Result<(), Box<MapFailure>>,
    /// In a line.
    pub summary: String,
    /// By engine, as a table.
    pub figures: Bundle,
    /// On the clock.
    pub took: Duration,
}

/// That something is new about a stream.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Results have arrived.
    pub arrived: Notify,
    /// Results were taken, or it is to give way.
    pub taken: Notify,
}

/// A map under way, or at its end.
pub struct Job {
    pub(super) account: Arc<Mutex<Account>>,
    pub(super) end: watch::Receiver<Option<End>>,
    pub(super) cancel: watch::Sender<Option<Cancelled>>,
    pub(super) rooms: Mutex<Vec<String>>,
    /// The last of them.
    pub(super) results: String,
    pub(super) label: String,
    pub(super) name: Option<String>,
    pub(super) begun: Instant,
    /// What whoever streams it and its driver tell each other.
    pub(super) news: Arc<News>,
    /// Whether a cell has heard of its end.
    pub(super) seen: Arc<AtomicBool>,
    /// The run of the cell that began it.
    pub(super) run: Weak<CellRun>,
}

impl Job {
    /// Returns when it has ended.
    pub async fn ended(&self) -> Result<(), Failure> {
        match self.end.clone().wait_for(Option::is_some).await.as_deref() {
            Ok(Some(end)) => end.result.clone().map_err(Failure::Map),
            _ => Err(failure(Kind::MapError, "the map's driver is gone: restart the kernel")),
        }
    }

    /// Whether a cell that asked its handle has heard of its end, as it becomes known.
    pub fn seen(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.seen)
    }

    /// Whether this run began it.
    pub(super) fn is_of(&self, run: &Arc<CellRun>) -> bool {
        std::ptr::eq(self.run.as_ptr(), Arc::as_ptr(run))
    }

    /// Whether it hasn't ended.
    pub fn runs(&self) -> bool {
        self.end.borrow().is_none()
    }

    /// What came of it, in a line; nothing before its end.
    pub fn summary(&self) -> Option<String> {
        self.end.borrow().as_ref().map(|end| end.summary.clone())
    }

    /// What each engine did for it; nothing before its end.
    pub fn figures(&self) -> Option<Bundle> {
        self.end.borrow().as_ref().map(|end| end.figures.clone())
    }

    /// What it took of its engines' processors, and how many engines that were; nothing before its end.
    pub fn took(&self) -> Option<(Took, usize)> {
        (!self.runs()).then(|| self.account.lock().took())
    }

    /// Whether it has ended with all of its items.
    pub fn is_whole(&self) -> bool {
        self.end.borrow().as_ref().is_some_and(|end| end.result.is_ok())
    }

    /// Whether this variable holds its handle.
    pub fn has_name(&self, name: &str) -> bool {
        self.name.as_deref() == Some(name)
    }

    /// For `%tasks`.
    pub fn line(&self, number: u64) -> TaskLine {
        let end = self.end.borrow();
        let state = match end.as_ref().map(|end| &end.result) {
            None => TaskState::Running(self.account.lock().view.busy()),
            Some(Ok(())) => TaskState::Done(None),
            Some(Err(failed)) => TaskState::Failed(failed.what.clone()),
        };
        let took = end.as_ref().map_or_else(|| self.begun.elapsed(), |end| end.took);
        let (done, items) = self.progress();
        let label = format!("{} ({done} of {items} items)", self.label);
        TaskLine { number, label, state, seconds: took.as_secs_f64() }
    }

    /// Ends it; the first reason counts. It keeps what was done.
    pub fn cancel(&self, why: Cancelled) {
        self.cancel.send_if_modified(|cancelled| cancelled.replace(cancelled.unwrap_or(why)).is_none());
    }

    /// Items that are done, and all.
    pub fn progress(&self) -> (u64, u64) {
        self.account.lock().progress()
    }

    /// Whether a loop takes its results.
    pub fn is_streamed(&self) -> bool {
        self.account.lock().stream.is_some()
    }

    /// Somebody waits for something else of the engines: if it is a stream, it rests until its loop needs more.
    pub fn give_way(&self) {
        if self.runs()
            && let Some(stream) = &mut self.account.lock().stream
        {
            stream.give_way();
            self.news.taken.notify_one();
        }
    }

    /// Whoever waited for results has others.
    pub fn wait_no_more(&self) {
        if let Some(stream) = &mut self.account.lock().stream {
            stream.wait_no_more();
        }
    }

    /// Waits for results of a stream, and takes them; none if there will be none. So many reports were taken before.
    pub async fn take(&self, taken: u64) -> Result<Vec<Done>, Failure> {
        let mut end = self.end.clone();
        loop {
            let arrived = self.news.arrived.notified();
            tokio::pin!(arrived);
            // What arrives from now on is heard of.
            arrived.as_mut().enable();
            let is_over = !self.runs();
            let done = self.account.lock().stream.as_mut().map(|stream| stream.take(taken));
            let lost = "results that a cell had taken are gone with its worker: begin the map again";
            let done = done.flatten().ok_or_else(|| failure(Kind::MapError, lost))?;
            self.news.taken.notify_one();
            if is_over && done.is_empty() {
                return self.ended().await.map(|()| done);
            }
            if !done.is_empty() {
                return Ok(done);
            }
            tokio::select! {
                () = arrived => {}
                is_gone = async { end.wait_for(Option::is_some).await.is_err() } => if is_gone {
                    return self.ended().await.map(|()| done);
                },
            }
        }
    }

    /// What was done, for px.
    pub fn report(&self) -> Vec<u8> {
        self.account.lock().report()
    }

    /// The rooms that it uses, for whoever frees them.
    pub fn take_rooms(&self) -> Vec<String> {
        std::mem::take(&mut self.rooms.lock())
    }

    /// Where results are that have a place.
    pub fn results_room(&self) -> &str {
        &self.results
    }
}

/// Takes one of those who wait for this out of the list: others may wait for the same.
pub(super) fn remove_one(awaited: &mut Vec<u64>, number: u64) {
    if let Some(at) = awaited.iter().position(|other| *other == number) {
        awaited.swap_remove(at);
    }
}
