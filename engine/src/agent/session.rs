//! One session on this engine: its worker, its runs that wait for their blobs, and the credit of its output.

use super::blobs::Blobs;
use super::meter::Processes;
use super::outbox::Outbox;
use super::seat::Seat;
use super::values::{ControllerFolder, Values};
use crate::supervisor::{Input, Job, Worker, WorkerConfig, WorkerEvent};
use chorus_protocol::{
    BlobId, FromEngine, MapId, OUTPUT_WINDOW, Outcome, Piece, RunEvent, RunId, RunSpec, SessionId, Variables,
};
use parking_lot::Mutex;
use px::link::{Answer, Ask, Message, expects_answer};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// See the module.
pub struct Session {
    worker: Arc<Worker>,
    seat: Arc<Mutex<Seat>>,
    waiting: VecDeque<(Waiting, Option<String>)>,
    acknowledged: watch::Sender<u64>,
    /// What the controller was told of the variables.
    told: Arc<Variables>,
    pump: JoinHandle<()>,
}

/// A run that waits for its blobs, and for the runs before it.
pub struct Waiting {
    /// Which run.
    pub run: RunId,
    /// What to run.
    pub spec: RunSpec,
    /// See [`Job::generation`].
    pub generation: Option<u32>,
    /// `px::rank()`.
    pub rank: u32,
    /// `px::size()`.
    pub size: u32,
    /// See [`Job::group`].
    pub group: Vec<u8>,
}

impl Session {
    /// Has a worker started for a session, and its events sent to `out`.
    /// `values` is where large results go.
    pub fn open(id: SessionId, config: WorkerConfig, values: Option<ControllerFolder>, out: Outbox) -> Session {
        let (worker, events) = Worker::launch(config, Input::Refused, None);
        let (worker, seat) = (Arc::new(worker), Arc::new(Mutex::new(Seat::default())));
        let (acknowledged, window) = watch::channel(0);
        let listener = Listener {
            session: id,
            worker: Arc::clone(&worker),
            seat: Arc::clone(&seat),
            values: Values::new(values),
            out,
        };
        let pump = tokio::spawn(listener.pump(events, window));
        Session { worker, seat, waiting: VecDeque::new(), acknowledged, told: Arc::default(), pump }
    }

    /// Its processes, to be measured.
    pub fn processes(&self, session: SessionId) -> Processes {
        Processes { session, worker: self.worker.pid(), snapshot: self.worker.snapshot_pid() }
    }

    /// What the variables take, if the controller wasn't told yet.
    pub fn new_variables(&mut self) -> Option<Variables> {
        let now = self.worker.variables();
        let is_new = *now != *self.told;
        self.told = Arc::clone(&now);
        is_new.then(|| (*now).clone())
    }

    /// Takes a run.
    pub fn run(&mut self, run: Waiting, blobs: &Blobs) {
        if let Some(map) = run.spec.map {
            self.seat.lock().expect(run.run, map);
        }
        self.waiting.push_back((run, None));
        self.submit_ready(blobs);
    }

    /// Gives the worker the runs whose turn it is.
    pub fn submit_ready(&mut self, blobs: &Blobs) {
        while let Some((run, failure)) = self.waiting.front() {
            if let Some(reason) = failure {
                self.worker.end(run.run, Outcome::LoadFailed(reason.clone()));
            } else {
                let Some(job) = run.job(blobs) else { return };
                self.worker.submit(job);
            }
            self.waiting.pop_front();
        }
    }

    /// This blob won't come.
    pub fn give_up(&mut self, blob: BlobId, reason: &str) {
        for (run, failure) in &mut self.waiting {
            if run.spec.object == blob || run.spec.preload.contains(&blob) {
                failure.get_or_insert_with(|| reason.to_owned());
            }
        }
    }

    /// The client has taken so much of the output.
    pub fn acknowledge(&mut self, bytes: u64) {
        self.acknowledged.send_modify(|acknowledged| *acknowledged = acknowledged.saturating_add(bytes));
    }

    /// Items of a map have come.
    pub fn map_work(&mut self, map: MapId, pieces: Vec<Piece>) {
        let answer = self.seat.lock().work(map, pieces);
        self.answer(answer);
    }

    /// No more items of a map will come.
    pub fn map_end(&mut self, map: MapId) {
        let answer = self.seat.lock().end(map);
        self.answer(answer);
    }

    fn answer(&self, answer: Option<(u64, Vec<u8>)>) {
        if let Some((ticket, answer)) = answer {
            self.worker.answer(ticket, answer);
        }
    }

    /// See [`Worker::interrupt`].
    pub fn interrupt(&mut self, signal: i32) {
        self.worker.interrupt(signal);
        self.cancel();
    }

    /// See [`Worker::end_run`].
    pub fn end_run(&mut self, run: RunId, kill: bool) {
        if let Some(at) = self.waiting.iter().position(|(waiting, _)| waiting.run == run) {
            self.waiting.remove(at);
            self.worker.end(run, Outcome::Cancelled);
        }
        self.worker.end_run(run, kill);
    }

    /// See [`Worker::restart`].
    pub fn restart(&mut self) {
        self.worker.restart();
        self.cancel();
    }

    /// Ends the worker and waits for its end.
    pub async fn close(self) {
        self.pump.abort();
        // Drops the pump's handle of the worker.
        let _ = self.pump.await;
        if let Some(worker) = Arc::into_inner(self.worker) {
            worker.close().await;
        }
    }

    fn cancel(&mut self) {
        for (run, _) in self.waiting.drain(..) {
            self.worker.end(run.run, Outcome::Cancelled);
        }
    }
}

impl Waiting {
    /// The job, if all its blobs are here.
    fn job(&self, blobs: &Blobs) -> Option<Job> {
        let spec = &self.spec;
        Some(Job {
            run: self.run,
            preload: spec.preload.iter().map(|&blob| blobs.find(blob)).collect::<Option<_>>()?,
            object: blobs.find(spec.object)?,
            entry: spec.entry.clone(),
            argument: spec.argument.to_vec(),
            group: self.group.clone(),
            rank: self.rank,
            size: self.size,
            generation: self.generation,
            snapshots: spec.snapshots,
        })
    }
}

/// Hears a worker.
struct Listener {
    session: SessionId,
    worker: Arc<Worker>,
    seat: Arc<Mutex<Seat>>,
    values: Values,
    out: Outbox,
}

impl Listener {
    /// Sends a worker's events while the client keeps up. When it doesn't, the worker's channel fills, its supervisor
    /// stops reading, and the cell blocks when it prints.
    async fn pump(mut self, mut events: mpsc::Receiver<WorkerEvent>, mut acknowledged: watch::Receiver<u64>) {
        let mut sent: u64 = 0;
        loop {
            let open = |acknowledged: &u64| sent.saturating_sub(*acknowledged) < OUTPUT_WINDOW as u64;
            if acknowledged.wait_for(open).await.is_err() {
                return;
            }
            let Some(event) = events.recv().await else { return };
            let Some(message) = self.message(event).await else { continue };
            if let FromEngine::Run { event, .. } = &message {
                sent += event.weight() as u64;
            }
            if !self.out.say(message) {
                return;
            }
        }
    }

    /// What the controller is told of an event.
    async fn message(&mut self, event: WorkerEvent) -> Option<FromEngine> {
        let session = self.session;
        Some(match event {
            WorkerEvent::Run { run, event } => {
                match event {
                    RunEvent::Started(_) => {
                        self.seat.lock().started(run);
                        self.values.started(run);
                    }
                    RunEvent::Done { .. } => {
                        self.seat.lock().done(run);
                        self.values.done(run);
                    }
                    _ => {}
                }
                FromEngine::Run { session, run, event }
            }
            WorkerEvent::Ask { ask, .. } if ask == Ask::Joined.encode() => {
                return self.values.run().map(|run| FromEngine::Joined { session, run });
            }
            WorkerEvent::Ask { ticket, ask } => {
                if let Some(run) = self.values.task_run() {
                    return self.asked_by_task(run, ticket, &ask).await;
                }
                let step = self.seat.lock().asked(session, ticket, &ask);
                if let Some((ticket, answer)) = step.answer.filter(|_| expects_answer(&ask)) {
                    self.worker.answer(ticket, answer);
                }
                return step.tell;
            }
            // The read that follows ends the run.
            WorkerEvent::Input { .. } => return None,
            WorkerEvent::Lost { death, aftermath, generation } => {
                FromEngine::WorkerLost { session, death, aftermath, generation }
            }
        })
    }
}

impl Listener {
    /// A task's function asks for a file for its result, or has it.
    async fn asked_by_task(&mut self, run: RunId, ticket: u64, ask: &[u8]) -> Option<FromEngine> {
        let answer = match Ask::decode(ask) {
            Ok(Ask::Result(bytes, room)) => {
                let value = self.values.hand_over(bytes, room.as_deref());
                return Some(FromEngine::Result { session: self.session, run, value });
            }
            Ok(Ask::Room(bytes)) => self.values.make(bytes).await.map_or_else(Answer::Failed, Answer::Room),
            // It goes at the end of the run.
            Ok(Ask::Free(_)) => Answer::Ok,
            Ok(_) => {
                Answer::Failed("only the notebook's own cells can do that, and this function runs on an engine".into())
            }
            Err(damaged) => Answer::Failed(damaged.to_string()),
        };
        if expects_answer(ask) {
            self.worker.answer(ticket, answer.encode());
        }
        None
    }
}
