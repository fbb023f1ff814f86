//! What cells of the notebook ask for while they run: rooms for data, maps over the engines.
//!
//! A worker's question comes with a ticket, and whoever asked waits for the answer; each is answered by a task of its own.

mod account;
mod map;
mod rooms;

pub use map::{Half, MapOptions};

use crate::cluster::Cluster;
use crate::compiling::CompilerThread;
use crate::publisher::Publisher;
use chorus_compiler::Object;
use chorus_jupyter::content::Failure;
use chorus_protocol::SnapshotPolicy;
use map::{Job, Started};
use px::link::{Answer, Ask, MapAsk, Message};
use rooms::Rooms;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

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
}

/// The jobs of one notebook. Clones are the same.
#[derive(Clone, Default)]
pub struct Jobs(Arc<Shared>);

#[derive(Default)]
struct Shared {
    rooms: Rooms,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    context: Option<Context>,
    object: Option<Object>,
    jobs: BTreeMap<u64, Arc<Job>>,
    last: u64,
    /// Jobs that cells wait for.
    awaited: Vec<u64>,
    /// Of the job that a cell waited for last.
    failure: Option<Failure>,
}

impl Jobs {
    /// A cell is about to run.
    pub fn begin_cell(&self, context: Context) {
        let mut state = self.lock();
        state.context = Some(context);
        state.failure = None;
    }

    /// The object of the cell is about to run.
    pub fn set_object(&self, object: &Object) {
        self.lock().object = Some(object.clone());
    }

    /// Why the job failed that the cell waited for, if one did.
    pub fn take_failure(&self) -> Option<Failure> {
        self.lock().failure.take()
    }

    /// The map that was started last, while somebody may still ask for its results.
    pub fn last(&self) -> Option<Arc<Job>> {
        let state = self.lock();
        state.jobs.get(&state.last).cloned()
    }

    /// Ends the jobs that the cell under way waits for. False if it waits for none.
    pub fn interrupt(&self) -> bool {
        let state = self.lock();
        let awaited: Vec<_> = state.awaited.iter().filter_map(|job| state.jobs.get(job)).collect();
        awaited.iter().for_each(|job| job.cancel());
        !awaited.is_empty()
    }

    /// Answers an encoded [`Ask`].
    pub async fn answer(&self, ask: &[u8]) -> Vec<u8> {
        let answer = match Ask::decode(ask) {
            Ok(ask) => self.answer_to(ask).await.unwrap_or_else(Answer::Failed),
            Err(damaged) => Answer::Failed(damaged.to_string()),
        };
        answer.encode()
    }

    /// An error is a sentence.
    async fn answer_to(&self, ask: Ask) -> Result<Answer, String> {
        Ok(match ask {
            Ask::Room(bytes) => Answer::Room(
                self.0
                    .rooms
                    .make(bytes)
                    .map_err(|error| format!("there is no room for {bytes} bytes that the engines can see: {error}"))?,
            ),
            Ask::Free(path) => {
                self.0.rooms.free(&path);
                Answer::Ok
            }
            Ask::Map(ask) => Answer::Job(self.start(ask).await?),
            Ask::Wait { job, millis } => self.wait(job, millis).await?,
            Ask::Cancel(job) => {
                self.job(job)?.cancel();
                Answer::Ok
            }
            Ask::Forget(job) => {
                if let Some(job) = self.lock().jobs.remove(&job) {
                    job.cancel();
                    job.rooms().iter().for_each(|room| self.0.rooms.free(room));
                }
                Answer::Ok
            }
            Ask::Call(_) | Ask::Next(_) | Ask::Result(_) => return Err("the notebook's own cells serve no map or call".into()),
        })
    }

    async fn start(&self, ask: MapAsk) -> Result<u64, String> {
        let (context, object) = {
            let state = self.lock();
            (state.context.clone(), state.object.clone())
        };
        let none = "there are no engines: `%cluster start` or any %px cell starts some";
        let context = context.ok_or(none)?;
        let cluster = context.cluster.upgrade().ok_or(none)?;
        let started = Started { ask, object, context, cluster };
        let job = Arc::new(map::start(started).await?);
        let mut state = self.lock();
        state.last += 1;
        let number = state.last;
        state.jobs.insert(number, job);
        Ok(number)
    }

    async fn wait(&self, number: u64, millis: u64) -> Result<Answer, String> {
        let job = self.job(number)?;
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
            Ok(Ok(())) => {
                let failed = |error| format!("the results can't be kept: {error}");
                let report = job.report();
                let path = self.0.rooms.with(&report).map_err(failed)?;
                job.keep_room(path.clone());
                Ok(Answer::Ended { path, bytes: report.len() as u64 })
            }
        }
    }

    fn job(&self, number: u64) -> Result<Arc<Job>, String> {
        let job = self.lock().jobs.get(&number).cloned();
        job.ok_or_else(|| "the kernel has forgotten this job: was it restarted meanwhile?".to_owned())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
