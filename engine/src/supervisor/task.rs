//! The loop of a supervisor: moves bytes and events between the worker, the [`Ledger`] that decides, and the owner.

use super::ledger::{Ledger, Step};
use super::live::{Activity, Live, READ_SIZE, Stop};
use super::markers::Item;
use super::process::Process;
use super::{Command, Environment, Input, Job, Shared, StartError, WorkerConfig, WorkerEvent};
use crate::wire::{FromWorker, ToWorker};
use bytes::BytesMut;
use chorus_protocol::{DisplayKind, OUTPUT_CHUNK, RunEvent, RunId, Stream, Variables};
use chorus_system::reading::Reader;
use chorus_system::signal;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// How often it is looked whether a run waits for a line that nobody will type.
const READING_CHECK: Duration = Duration::from_millis(100);

/// So many buffers full of a worker's messages are read before it is looked whether there is room for what they say.
const READS_MAX: u32 = 16;

/// See the module.
pub struct Task {
    config: WorkerConfig,
    input: Input,
    looks: Interval,
    /// Who waits for the first worker.
    ready: Option<oneshot::Sender<Result<(), StartError>>>,
    commands: mpsc::UnboundedReceiver<Command>,
    events: mpsc::Sender<WorkerEvent>,
    /// Events that found no room in the channel. While there are any, the worker's pipes aren't read.
    outbox: VecDeque<WorkerEvent>,
    shared: Arc<Shared>,
    ledger: Ledger,
    live: Option<Live>,
    /// Who wants to know the worker's environment.
    curious: Vec<oneshot::Sender<Environment>>,
    /// Who wants to know what the variables take.
    measuring: Vec<oneshot::Sender<Arc<Variables>>>,
    buffer: Vec<u8>,
}

impl Task {
    /// A task that is to be [run](Task::run).
    pub fn new(
        config: WorkerConfig,
        input: Input,
        ready: Option<oneshot::Sender<Result<(), StartError>>>,
        commands: mpsc::UnboundedReceiver<Command>,
        events: mpsc::Sender<WorkerEvent>,
        shared: Arc<Shared>,
    ) -> Task {
        let mut looks = interval(READING_CHECK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Task {
            config,
            input,
            looks,
            ready,
            commands,
            events,
            outbox: VecDeque::new(),
            shared,
            ledger: Ledger::default(),
            live: None,
            curious: Vec::new(),
            measuring: Vec::new(),
            buffer: vec![0; READ_SIZE],
        }
    }

    /// Runs until the handle or the receiver of events is dropped; then kills the worker.
    pub async fn run(mut self) {
        if let Err(error) = self.start_worker().await {
            self.tell_ready(Err(error));
        }
        loop {
            self.advance().await;
            self.shared.generation.store(self.ledger.generation(), Ordering::Release);
            if !self.post() {
                break;
            }
            let reading = self.outbox.is_empty();
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    Some(command) => self.command(command),
                    None => break,
                },
                open = room(&self.events), if !reading => if !open {
                    break;
                },
                _ = self.looks.tick(), if self.input == Input::Refused && self.ledger.is_running() => {
                    self.look_for_reader();
                }
                activity = activity(self.live.as_ref(), reading, self.ledger.is_starting()) => match activity {
                    Activity::Ended => self.bury().await,
                    Activity::Readable => self.read(),
                    Activity::Writable => self.with_live(|live, _, _| live.write_input()),
                    Activity::Sendable => self.with_live(|live, _, _| _ = live.send_rest()),
                    Activity::DisplayDue => self.end_display(),
                    Activity::FreezeDue => self.with_live(|live, _, _| live.freeze()),
                },
            }
        }
        self.shared.pid.store(0, Ordering::Release);
        if let Some(live) = self.live.take() {
            live.process.end().await;
        }
    }

    /// Sends what the channel has room for; false when nobody listens any more.
    fn post(&mut self) -> bool {
        while let Some(event) = self.outbox.pop_front() {
            match self.events.try_send(event) {
                Ok(()) => {}
                Err(TrySendError::Closed(_)) => return false,
                Err(TrySendError::Full(event)) => {
                    self.outbox.push_front(event);
                    break;
                }
            }
        }
        true
    }

    async fn start_worker(&mut self) -> Result<(), StartError> {
        self.shared.pid.store(0, Ordering::Release);
        match Process::spawn(&self.config).await {
            Ok(process) => {
                *self.shared.stdin.lock() = Some(process.input);
                self.live = Some(Live::new(process));
                Ok(())
            }
            Err(error) => Err(StartError::Spawn { program: self.config.program.clone(), reason: error.to_string() }),
        }
    }

    fn tell_ready(&mut self, result: Result<(), StartError>) {
        if let Some(ready) = self.ready.take() {
            let _ = ready.send(result);
        }
    }

    fn tell(&mut self, event: impl IntoIterator<Item = WorkerEvent>) {
        event.into_iter().for_each(|event| push(&mut self.outbox, event));
    }

    /// Gives the worker its next job, if it is free. One that was told to end gets none: that is its successor's.
    async fn advance(&mut self) {
        let is_ending = |live: &Live| live.stopped.is_some();
        while !self.live.as_ref().is_some_and(is_ending)
            && let Some(step) = self.ledger.next()
        {
            match step {
                Step::Tell(event) => self.tell([event]),
                Step::Load(job) => {
                    if let Err(reason) = self.load(job).await {
                        let event = self.ledger.load_failed(reason);
                        self.tell(event);
                    }
                }
            }
        }
    }

    async fn load(&mut self, job: Job) -> Result<(), String> {
        if self.live.is_none() {
            self.start_worker().await.map_err(|error| error.to_string())?;
        }
        let Some(live) = &mut self.live else { return Ok(()) };
        let Job { preload, object, entry, argument, group, rank, size, snapshots, .. } = job;
        let message = ToWorker::Load { preload, object, entry, argument, group, rank, size, snapshots };
        match live.load(&message) {
            Ok(()) => Ok(()),
            // Its death is about to be seen, and is what this job ends with.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            Err(error) => Err(format!("the job can't be sent to the worker: {error}")),
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Submit(job) => self.ledger.submit(job),
            Command::End(run, outcome) => self.ledger.submit_end(run, outcome),
            Command::EndRun(run, kill) => {
                let withdrawn = self.ledger.withdraw(run);
                self.tell(withdrawn);
                let running = kill && self.ledger.running() == Some(run);
                if let Some(live) = self.live.as_mut().filter(|live| running && live.returned.is_none()) {
                    live.stopped.get_or_insert(Stop::Interrupt);
                    live.process.kill();
                }
            }
            Command::Interrupt(signal) => {
                let cancelled = self.ledger.cancel();
                self.tell(cancelled);
                let running = self.ledger.is_running();
                // A job that has returned is no longer there to be ended.
                if let Some(live) = self.live.as_mut().filter(|live| running && live.returned.is_none()) {
                    if signal == signal::KILL {
                        live.stopped.get_or_insert(Stop::Interrupt);
                    }
                    live.process.signal(signal);
                }
            }
            Command::Restart => {
                let cancelled = self.ledger.cancel();
                self.tell(cancelled);
                let running = self.ledger.is_running();
                // A worker that has just been started is as fresh as its successor.
                if let Some(live) = self.live.as_mut().filter(|live| live.ready || running) {
                    live.stopped = Some(Stop::Restart);
                    live.process.kill();
                }
            }
            // A question of a worker that has died meanwhile is nobody's: tickets are unique.
            Command::Answer(ticket, answer) => self.with_live(|live, _, _| {
                if let Err(error) = live.send(&ToWorker::Answer { ticket, answer }) {
                    tracing::debug!(%error, "an answer can't be sent to the worker");
                }
            }),
            Command::Environment(asker) => {
                if let Some(live) = &mut self.live
                    && live.send(&ToWorker::TellEnvironment).is_ok()
                {
                    self.curious.push(asker);
                }
            }
            Command::Variables(asker) => {
                if let Some(live) = &mut self.live
                    && live.send(&ToWorker::TellVariables).is_ok()
                {
                    self.measuring.push(asker);
                }
            }
            Command::Input(line) => self.with_live(|live, _, _| live.input(&line)),
        }
    }

    /// Ends the run if it waits for a line on its stdin. A program that it has started is told that there is none.
    fn look_for_reader(&mut self) {
        let Some(live) = self.live.as_mut().filter(|live| live.stopped.is_none() && live.returned.is_none()) else {
            return;
        };
        match live.process.reader() {
            Some(Reader::Process) => {
                live.stopped = Some(Stop::NoInput);
                live.process.kill();
            }
            Some(Reader::Child) => live.process.end_input(),
            None => {}
        }
    }

    fn with_live(&mut self, work: impl FnOnce(&mut Live, &mut Ledger, &mut VecDeque<WorkerEvent>)) {
        if let Some(live) = &mut self.live {
            work(live, &mut self.ledger, &mut self.outbox);
        }
    }

    /// Reads what there is, the socket first: a run's `Started` is there before its output. What comes before that is read
    /// later, since it might be the output of that very run.
    fn read(&mut self) {
        self.read_control(READS_MAX);
        if self.ledger.is_starting() {
            return;
        }
        self.read_stream(Stream::Stdout);
        self.read_stream(Stream::Stderr);
        if let Some(returned) = self.live.as_mut().and_then(Live::take_returned) {
            self.finish_output();
            if returned.failed && self.ledger.is_changing() && self.live.as_mut().is_some_and(Live::undo) {
                return self.ledger.undo();
            }
            let done = self.ledger.done(returned.took);
            self.tell(done);
            self.with_live(|live, _, _| live.set_idle());
        }
    }

    fn read_control(&mut self, reads: u32) {
        for _ in 0..reads {
            if !self.live.as_mut().is_some_and(|live| live.read_control(&mut self.buffer)) {
                return;
            }
            self.hear();
        }
    }

    /// Takes the messages that were read.
    fn hear(&mut self) {
        while let Some(message) = self.live.as_mut().and_then(Live::receive) {
            match message {
                FromWorker::Ready { pid } => {
                    let refused = self.input == Input::Refused;
                    self.with_live(|live, _, _| {
                        live.ready = true;
                        live.process.set_worker(pid);
                        if refused {
                            live.process.must_tell_readers();
                        }
                    });
                    self.shared.pid.store(pid, Ordering::Release);
                    self.tell_ready(Ok(()));
                }
                FromWorker::Started => {
                    // What a thread of an earlier run left undecided is that run's.
                    self.finish_output();
                    let Some(live) = &self.live else { return };
                    let started = self.ledger.started(live.snapshot_state());
                    self.tell(started);
                }
                FromWorker::Snapshot(snapshot) => {
                    let pid = snapshot.as_ref().map_or(0, |frozen| frozen.pid);
                    self.shared.snapshot.store(pid, Ordering::Release);
                    self.with_live(|live, _, _| live.snapshot = snapshot);
                }
                FromWorker::Ahead(bytes) => self.with_live(|live, _, _| {
                    if let Ok(frozen) = &mut live.snapshot {
                        frozen.taken.ahead = bytes;
                    }
                }),
                FromWorker::Panic(panic) => {
                    let event = self.ledger.panic(panic);
                    self.tell([event]);
                }
                FromWorker::Ask { ticket, ask } => self.tell([WorkerEvent::Ask { ticket, ask }]),
                FromWorker::LoadFailed(reason) => {
                    let event = self.ledger.load_failed(reason);
                    self.tell(event);
                }
                FromWorker::Variables(variables) => {
                    let variables = Arc::new(variables);
                    *self.shared.variables.lock() = Arc::clone(&variables);
                    for asker in self.measuring.drain(..) {
                        let _ = asker.send(Arc::clone(&variables));
                    }
                }
                FromWorker::Environment(env) => {
                    for asker in self.curious.drain(..) {
                        let _ = asker.send(env.clone());
                    }
                }
                FromWorker::Done { took, failed, snapshot } => {
                    if let Some(frozen) = snapshot {
                        self.shared.snapshot.store(frozen.pid, Ordering::Release);
                        self.with_live(|live, _, _| live.snapshot = Ok(frozen));
                    }
                    let changes = self.ledger.is_changing() && snapshot.is_none();
                    self.with_live(|live, _, _| live.set_returned(took, failed, changes));
                }
            }
        }
    }

    /// Reads a buffer full; returns how much that was.
    fn read_stream(&mut self, stream: Stream) -> usize {
        let Some(live) = &mut self.live else { return 0 };
        let bytes = live.read(stream, &mut self.buffer);
        let tell = &mut |event| push(&mut self.outbox, event);
        match stream {
            _ if !live.ready => live.keep_last_words(bytes),
            Stream::Stderr => self.ledger.output(stream, bytes, tell),
            Stream::Stdout => {
                let mut items = Vec::new();
                live.parser.push(bytes, &mut items);
                live.note_display();
                items.into_iter().for_each(|item| self.ledger.item(item, tell));
            }
        }
        bytes.len()
    }

    fn end_display(&mut self) {
        self.parsed(|live, items| live.parser.end_display(items));
    }

    fn finish_output(&mut self) {
        self.parsed(|live, items| live.parser.finish(items));
    }

    fn parsed(&mut self, parse: impl FnOnce(&mut Live, &mut Vec<Item>)) {
        self.with_live(|live, ledger, outbox| {
            let mut items = Vec::new();
            parse(live, &mut items);
            live.note_display();
            items.into_iter().for_each(|item| ledger.item(item, &mut |event| push(outbox, event)));
        });
    }

    /// If the worker has ended: says so after all that it said, and has its snapshot carry on or starts its successor.
    async fn bury(&mut self) {
        let Some(live) = &mut self.live else { return };
        let Some(death) = live.death().await else { return };
        // It has ended, and so has what it said.
        self.read_control(u32::MAX);
        self.ledger.dying();
        for stream in [Stream::Stdout, Stream::Stderr] {
            // Only what the pipe holds now, which is little: a process that left the group may go on printing.
            let mut left = self.live.as_ref().map_or(0, |live| live.waiting(stream));
            while left > 0 {
                match self.read_stream(stream) {
                    0 => break,
                    read => left = left.saturating_sub(read),
                }
            }
        }
        self.finish_output();
        self.curious.clear();
        self.measuring.clear();
        self.shared.snapshot.store(0, Ordering::Release);
        let Some(live) = self.live.take() else { return };
        if let Some(returned) = live.returned {
            let done = self.ledger.done(returned.took);
            self.tell(done);
        }
        let program = self.config.program.clone();
        let started = if live.ready || live.stopped.is_some() {
            self.shared.pid.store(0, Ordering::Release);
            let (restored, aftermath) = live.restore().await;
            let died = self.ledger.died(death, aftermath);
            self.tell([died]);
            if restored.is_none() {
                *self.shared.variables.lock() = Arc::default();
            }
            match restored {
                Some(live) => {
                    self.shared.pid.store(live.process.pid(), Ordering::Release);
                    self.live = Some(live);
                    // It may have taken a snapshot already.
                    self.hear();
                    Ok(())
                }
                None => self.start_worker().await,
            }
        } else {
            // Not tried again before the next job: it would fail again and again.
            self.shared.pid.store(0, Ordering::Release);
            let stderr = String::from_utf8_lossy(&live.last_words).trim_end().to_owned();
            live.process.end().await;
            Err(StartError::Died { program, death, stderr })
        };
        if let Err(error) = started {
            let event = self.ledger.load_failed(error.to_string());
            self.tell(event);
            self.tell_ready(Err(error));
        }
    }
}

async fn activity(live: Option<&Live>, reading: bool, starting: bool) -> Activity {
    match live {
        Some(live) => live.activity(reading, starting).await,
        None => std::future::pending().await,
    }
}

/// Waits until an event can be sent; false when nobody listens any more.
async fn room(events: &mpsc::Sender<WorkerEvent>) -> bool {
    events.reserve().await.is_ok()
}

/// Appends an event; output that goes with the output before it makes one event with it, and of two updates of the
/// same display the later counts.
fn push(outbox: &mut VecDeque<WorkerEvent>, event: WorkerEvent) {
    if let (Some((run, id)), Some(last)) = (updated(&event), outbox.back_mut())
        && updated(last) == Some((run, id))
    {
        *last = event;
        return;
    }
    if let WorkerEvent::Run { run, event: RunEvent::Output { stream, bytes } } = &event
        && let Some(WorkerEvent::Run { run: last_run, event: RunEvent::Output { stream: last_stream, bytes: last } }) =
            outbox.back_mut()
        && (*last_run, *last_stream) == (*run, *stream)
        && last.len() + bytes.len() <= OUTPUT_CHUNK
    {
        // Nobody else has them, so that they grow in place.
        let mut joined = BytesMut::from(std::mem::take(last));
        joined.extend_from_slice(bytes);
        *last = joined.freeze();
        return;
    }
    outbox.push_back(event);
}

/// The display that this event replaces.
fn updated(event: &WorkerEvent) -> Option<(RunId, &str)> {
    match event {
        WorkerEvent::Run { run, event: RunEvent::Display { kind: DisplayKind::Update(id), .. } } => Some((*run, id)),
        _ => None,
    }
}
