//! A supervisor with a real worker, which tests give jobs.

use super::{LIMIT, Seen, bare_environment, objects, program};
use chorus_engine::{Job, Worker, WorkerConfig, WorkerEvent};
use chorus_protocol::{RunEvent, RunId, SnapshotPolicy};
use nix::sys::signal::Signal;
use std::collections::HashMap;
use tokio::sync::mpsc;

pub struct Bench {
    pub worker: Worker,
    pub events: mpsc::Receiver<WorkerEvent>,
    pub runs: u64,
    /// Events of runs that nobody has waited for yet.
    pub seen: HashMap<RunId, Seen>,
}

impl Bench {
    pub async fn start() -> Bench {
        let (worker, events) = Worker::start(config()).await.unwrap();
        Bench { worker, events, runs: 0, seen: HashMap::new() }
    }

    pub fn submit(&mut self, entry: &str) -> RunId {
        self.submit_for(entry, None)
    }

    pub fn submit_for(&mut self, entry: &str, generation: Option<u32>) -> RunId {
        self.runs += 1;
        let job = Job { generation, ..job(self.runs, entry) };
        let run = job.run;
        self.worker.submit(job);
        run
    }

    pub async fn next(&mut self) -> WorkerEvent {
        let event = tokio::time::timeout(LIMIT, self.events.recv()).await;
        event.expect("waited in vain for an event").expect("the supervisor has ended")
    }

    /// The run's events, up to its end.
    pub async fn finish(&mut self, run: RunId) -> Seen {
        loop {
            match self.next().await {
                WorkerEvent::Run { run: of, event } => {
                    let done = matches!(event, RunEvent::Done { .. });
                    self.seen.entry(of).or_default().events.push(event);
                    if done && of == run {
                        return self.seen.remove(&run).unwrap();
                    }
                }
                other => panic!("{other:?} came while run {run} went on"),
            }
        }
    }

    pub async fn run(&mut self, entry: &str) -> Seen {
        let run = self.submit(entry);
        let seen = self.finish(run).await;
        seen.check(true);
        seen
    }

    /// Waits until the run has printed something.
    pub async fn printed(&mut self, run: RunId) {
        loop {
            match self.next().await {
                WorkerEvent::Run { run: of, event } => {
                    let printed = of == run && matches!(event, RunEvent::Output { .. });
                    self.seen.entry(of).or_default().events.push(event);
                    if printed {
                        return;
                    }
                }
                other => panic!("{other:?} came before output of run {run}"),
            }
        }
    }
}

pub fn config() -> WorkerConfig {
    WorkerConfig {
        program: program(),
        args: vec!["worker".into()],
        env: bare_environment().into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
        folder: None,
    }
}

pub fn job(run: u64, entry: &str) -> Job {
    Job {
        run: RunId(run),
        preload: vec![objects().std.clone()],
        object: objects().cells.clone(),
        entry: entry.into(),
        argument: vec![],
        group: vec![],
        rank: 2,
        size: 5,
        generation: None,
        snapshots: SnapshotPolicy::Off,
    }
}

pub fn kill(pid: u32) {
    signal(pid, Signal::SIGKILL);
}

pub fn signal(pid: u32, signal: Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), signal).unwrap();
}
