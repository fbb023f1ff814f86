//! The decisions of a supervisor: which job is next, what a run's events are, what generation the variables have.
//! Pure: no process, no pipe, no clock.

use super::markers::Item;
use super::{Job, WorkerEvent};
use bytes::Bytes;
use chorus_protocol::{Aftermath, Death, OUTPUT_CHUNK, Outcome, Panic, RunEvent, RunId, SnapshotState, Stream, Took};
use std::collections::VecDeque;

/// What was asked for, what runs, and what became of the variables.
#[derive(Debug)]
pub struct Ledger {
    queue: VecDeque<Entry>,
    running: Option<Running>,
    /// The run that output belongs to.
    last: RunId,
    generation: u32,
}

#[derive(Debug)]
enum Entry {
    Job(Job),
    /// A run that must not start; it ends with this when the ones before it have ended.
    End(RunId, Outcome),
}

#[derive(Debug)]
struct Running {
    run: RunId,
    /// Whether the variables are the same ones after it, whatever happens to it.
    is_function: bool,
    /// Whether it may change them.
    is_changing: bool,
    /// Whether it has failed, and what it did to the variables is to be undone.
    undone: bool,
    panicked: bool,
    returned_error: bool,
    types_changed: Vec<String>,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Have the worker run this.
    Load(Job),
    /// Nothing runs; tell this.
    Tell(WorkerEvent),
}

impl Default for Ledger {
    fn default() -> Ledger {
        Ledger { queue: VecDeque::new(), running: None, last: RunId(0), generation: 0 }
    }
}

impl Ledger {
    /// The generation of the variables.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Whether the worker has a job.
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Whether the worker has a job that it hasn't begun to run.
    pub fn is_starting(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.run != self.last)
    }

    /// Whether the run under way may change the variables.
    pub fn is_changing(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.is_changing)
    }

    /// The run that the worker has.
    pub fn running(&self) -> Option<RunId> {
        self.running.as_ref().map(|running| running.run)
    }

    /// Takes a job.
    pub fn submit(&mut self, job: Job) {
        self.queue.push_back(Entry::Job(job));
    }

    /// Takes a run that is to end with this outcome without having started.
    pub fn submit_end(&mut self, run: RunId, outcome: Outcome) {
        self.queue.push_back(Entry::End(run, outcome));
    }

    /// The next thing to do, if the worker is free.
    pub fn next(&mut self) -> Option<Step> {
        if self.is_running() {
            return None;
        }
        Some(match self.queue.pop_front()? {
            Entry::End(run, outcome) => Step::Tell(self.not_run(run, outcome)),
            Entry::Job(job) if job.generation.is_some_and(|wanted| wanted != self.generation) => {
                Step::Tell(self.not_run(job.run, Outcome::Stale))
            }
            Entry::Job(job) => {
                self.running = Some(Running {
                    run: job.run,
                    is_function: !matches!(job.entry, chorus_protocol::Entry::Cell(_)),
                    is_changing: job.entry.changes_variables(),
                    undone: false,
                    panicked: false,
                    returned_error: false,
                    types_changed: vec![],
                });
                Step::Load(job)
            }
        })
    }

    /// Drops what waits in the queue.
    pub fn cancel(&mut self) -> Vec<WorkerEvent> {
        let queue = std::mem::take(&mut self.queue);
        let cancelled = queue.into_iter().map(|entry| match entry {
            Entry::Job(job) => self.not_run(job.run, Outcome::Cancelled),
            Entry::End(run, outcome) => self.not_run(run, outcome),
        });
        cancelled.collect()
    }

    /// Drops a run that waits in the queue.
    pub fn withdraw(&mut self, run: RunId) -> Option<WorkerEvent> {
        let at = self.queue.iter().position(|entry| match entry {
            Entry::Job(job) => job.run == run,
            Entry::End(other, _) => *other == run,
        })?;
        Some(match self.queue.remove(at)? {
            Entry::Job(job) => self.not_run(job.run, Outcome::Cancelled),
            Entry::End(run, outcome) => self.not_run(run, outcome),
        })
    }

    /// The worker calls the cell.
    pub fn started(&mut self, snapshot: SnapshotState) -> Option<WorkerEvent> {
        let run = self.running.as_ref()?.run;
        self.last = run;
        Some(WorkerEvent::Run { run, event: RunEvent::Started(snapshot) })
    }

    /// Something stood in the worker's stdout.
    pub fn item(&mut self, item: Item, tell: &mut impl FnMut(WorkerEvent)) {
        let run = self.last;
        // Markers of threads that go on after their run say nothing about the next one.
        let running = self.running.as_mut().filter(|running| running.run == run);
        match (item, running) {
            (Item::Text(bytes), _) => self.output(Stream::Stdout, &bytes, tell),
            (Item::Display(kind, contents), _) => {
                tell(WorkerEvent::Run { run, event: RunEvent::Display { kind, contents } })
            }
            (Item::ClearOutput { wait }, _) => tell(WorkerEvent::Run { run, event: RunEvent::ClearOutput { wait } }),
            (Item::Input { prompt, password }, Some(_)) => tell(WorkerEvent::Input { run, prompt, password }),
            (Item::Panicked, Some(running)) => running.panicked = true,
            (Item::ReturnedError, Some(running)) => running.returned_error = true,
            (Item::TypeChanged(name), Some(running)) => running.types_changed.push(name),
            (_, None) => {}
        }
    }

    /// Something was printed.
    pub fn output(&self, stream: Stream, bytes: &[u8], tell: &mut impl FnMut(WorkerEvent)) {
        for bytes in bytes.chunks(OUTPUT_CHUNK) {
            let event = RunEvent::Output { stream, bytes: Bytes::copy_from_slice(bytes) };
            tell(WorkerEvent::Run { run: self.last, event });
        }
    }

    /// A thread panicked.
    pub fn panic(&self, panic: Panic) -> WorkerEvent {
        WorkerEvent::Run { run: self.last, event: RunEvent::Panic(panic) }
    }

    /// The worker returned from the cell.
    pub fn done(&mut self, took: Took) -> Option<WorkerEvent> {
        let running = self.running.take()?;
        let outcome = if running.panicked {
            Outcome::Panicked
        } else if !running.types_changed.is_empty() {
            Outcome::TypesChanged(running.types_changed)
        } else if running.returned_error {
            Outcome::ReturnedError
        } else {
            Outcome::Ok
        };
        if outcome != Outcome::Ok && !running.is_function {
            self.generation += 1;
        }
        Some(self.end(running.run, outcome, took))
    }

    /// The run has returned, and what it did to the variables is to be undone: the worker is about to be replaced by its
    /// snapshot.
    pub fn undo(&mut self) {
        if let Some(running) = &mut self.running {
            running.undone = true;
        }
    }

    /// The worker couldn't load the cell, or there is no worker.
    pub fn load_failed(&mut self, reason: String) -> Option<WorkerEvent> {
        let running = self.running.take()?;
        Some(self.not_run(running.run, Outcome::LoadFailed(reason)))
    }

    /// The run that output belongs to is the one that the dying worker has.
    pub fn dying(&mut self) {
        if let Some(running) = &self.running {
            self.last = running.run;
        }
    }

    /// The worker died and is replaced, perhaps by its snapshot.
    pub fn died(&mut self, death: Death, aftermath: Aftermath) -> WorkerEvent {
        // A snapshot of an idle worker has what each run has left, and a function changes nothing.
        let changing = self.running.as_ref().is_some_and(|running| !running.is_function);
        self.generation += u32::from(changing || aftermath != Aftermath::Restored);
        match self.running.take() {
            Some(running) if running.undone && aftermath == Aftermath::Restored => {
                self.end(running.run, Outcome::Panicked, Took::default())
            }
            Some(running) => self.end(running.run, Outcome::Died(death, aftermath), Took::default()),
            None => WorkerEvent::Lost { death, aftermath, generation: self.generation },
        }
    }

    fn not_run(&self, run: RunId, outcome: Outcome) -> WorkerEvent {
        self.end(run, outcome, Took::default())
    }

    fn end(&self, run: RunId, outcome: Outcome, took: Took) -> WorkerEvent {
        WorkerEvent::Run { run, event: RunEvent::Done { outcome, generation: self.generation, took } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chorus_protocol::{NoSnapshot, SnapshotPolicy};

    fn job(run: u64, generation: Option<u32>) -> Job {
        Job {
            run: RunId(run),
            preload: vec![],
            object: "o".into(),
            entry: "e".into(),
            argument: vec![],
            group: vec![],
            rank: 0,
            size: 1,
            generation,
            snapshots: SnapshotPolicy::Off,
        }
    }

    fn lost() -> Aftermath {
        Aftermath::Lost(NoSnapshot::Off)
    }

    fn done(run: u64, outcome: Outcome, generation: u32) -> WorkerEvent {
        WorkerEvent::Run { run: RunId(run), event: RunEvent::Done { outcome, generation, took: Took::default() } }
    }

    fn items(ledger: &mut Ledger, items: Vec<Item>) -> Vec<WorkerEvent> {
        let mut events = Vec::new();
        items.into_iter().for_each(|item| ledger.item(item, &mut |event| events.push(event)));
        events
    }

    /// A ledger whose first job runs.
    fn running(run: u64) -> Ledger {
        let mut ledger = Ledger::default();
        ledger.submit(job(run, None));
        assert_eq!(ledger.next(), Some(Step::Load(job(run, None))));
        ledger.started(Err(NoSnapshot::Off));
        ledger
    }

    #[test]
    fn jobs_run_one_at_a_time_in_order() {
        let mut ledger = running(1);
        ledger.submit(job(2, None));
        assert_eq!(ledger.next(), None);
        assert_eq!(ledger.done(Took::default()), Some(done(1, Outcome::Ok, 0)));
        assert_eq!(ledger.next(), Some(Step::Load(job(2, None))));
    }

    #[test]
    fn the_outcome_is_the_worst_that_was_said() {
        let changed = || Item::TypeChanged("x".into());
        for (said, outcome) in [
            (vec![], Outcome::Ok),
            (vec![Item::ReturnedError], Outcome::ReturnedError),
            (vec![Item::ReturnedError, changed(), changed()], Outcome::TypesChanged(vec!["x".into(), "x".into()])),
            (vec![changed(), Item::Panicked], Outcome::Panicked),
        ] {
            let mut ledger = running(1);
            assert_eq!(items(&mut ledger, said), []);
            let generation = (outcome != Outcome::Ok) as u32;
            assert_eq!(ledger.done(Took::default()), Some(done(1, outcome, generation)));
        }
    }

    #[test]
    fn a_job_for_other_variables_is_stale() {
        let mut ledger = running(1);
        ledger.submit(job(2, Some(0)));
        ledger.submit(job(3, Some(1)));
        assert_eq!(ledger.died(Death::Signal(11), lost()), done(1, Outcome::Died(Death::Signal(11), lost()), 1));
        assert_eq!(ledger.next(), Some(Step::Tell(done(2, Outcome::Stale, 1))));
        assert_eq!(ledger.next(), Some(Step::Load(job(3, Some(1)))));
    }

    #[test]
    fn what_did_not_run_changes_nothing() {
        let mut ledger = running(1);
        assert_eq!(ledger.load_failed("why".into()), Some(done(1, Outcome::LoadFailed("why".into()), 0)));
        ledger.submit(job(2, None));
        ledger.submit_end(RunId(3), Outcome::LoadFailed("gone".into()));
        assert_eq!(ledger.cancel(), [done(2, Outcome::Cancelled, 0), done(3, Outcome::LoadFailed("gone".into()), 0)]);
        assert_eq!(ledger.next(), None);
    }

    #[test]
    fn an_idle_death_is_a_loss() {
        let mut ledger = Ledger::default();
        let death = Death::Exit(1);
        let event = WorkerEvent::Lost { death, aftermath: lost(), generation: 1 };
        assert_eq!(ledger.died(death, lost()), event);
    }

    #[test]
    fn a_restored_worker_has_the_variables_of_before_its_run() {
        let mut ledger = running(1);
        let restored = Outcome::Died(Death::Signal(11), Aftermath::Restored);
        assert_eq!(ledger.died(Death::Signal(11), Aftermath::Restored), done(1, restored, 1), "none of after it");
        // Nothing ran: the variables are those that everybody counts on.
        let death = Death::Signal(9);
        let event = WorkerEvent::Lost { death, aftermath: Aftermath::Restored, generation: 1 };
        assert_eq!(ledger.died(death, Aftermath::Restored), event);
    }

    #[test]
    fn a_job_starts_when_the_worker_says_so() {
        let mut ledger = running(1);
        assert!(!ledger.is_starting(), "it has begun");
        ledger.done(Took::default());
        ledger.submit(job(2, None));
        assert!(!ledger.is_starting(), "the worker doesn't have it yet");
        assert!(matches!(ledger.next(), Some(Step::Load(_))) && ledger.is_starting());
        ledger.started(Err(NoSnapshot::Empty));
        assert!(!ledger.is_starting());
    }

    #[test]
    fn late_output_belongs_to_the_last_run_and_late_markers_to_none() {
        let mut ledger = running(1);
        ledger.done(Took::default());
        ledger.submit(job(2, None));
        ledger.next();
        // Run 2 isn't started yet: a thread of run 1 speaks.
        let late = items(&mut ledger, vec![Item::Text(b"x".to_vec()), Item::Panicked]);
        let event = RunEvent::Output { stream: Stream::Stdout, bytes: Bytes::from_static(b"x") };
        assert_eq!(late, [WorkerEvent::Run { run: RunId(1), event }]);
        assert_eq!(ledger.done(Took::default()), Some(done(2, Outcome::Ok, 0)));
    }

    #[test]
    fn long_text_is_cut() {
        let mut ledger = running(1);
        let events = items(&mut ledger, vec![Item::Text(vec![b'x'; OUTPUT_CHUNK + 1])]);
        assert_eq!(events.len(), 2);
    }
}
