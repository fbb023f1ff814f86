//! A session's tasks: what waits for what, which engine gets which, and what becomes of those that went wrong.
//!
//! Decisions only. What is kept grows with the tasks that haven't ended, and with results that somebody may still ask
//! for.

mod attempt;
mod ends;
mod ready;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use chorus_protocol::{
    EngineId, Outcome, Parting, RunId, TaskArg, TaskEvent, TaskFailure, TaskId, TaskSpec, TaskValue,
};
use ends::origin;
use ready::Ready;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::time::Duration;

/// An engine is given a second task behind the one that it runs while tasks take less, in microseconds: then the way
/// to the engine would take longer than the task.
const SHORT: u64 = 5_000;

/// The tasks of one session.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(in crate::core) struct Graph {
    live: BTreeMap<TaskId, Task>,
    /// The last one taken. Ids grow, so one that isn't larger was sent twice, over two connections.
    last: Option<TaskId>,
    ready: Ready,
    /// What engines have, in the order in which they run it.
    hands: BTreeMap<EngineId, Vec<TaskId>>,
    /// What a task takes, in microseconds, as far as the last ones tell.
    pace: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Task {
    spec: TaskSpec,
    /// The first task of the group that calls this.
    first: Option<TaskId>,
    state: State,
    /// The tasks that it needs.
    needs: BTreeSet<TaskId>,
    /// How many of them haven't ended.
    waits_for: usize,
    /// Tasks that wait for this one.
    waiting: Vec<TaskId>,
    /// Tasks that haven't ended and need this one's result.
    users: usize,
    /// Whether only those may still name it.
    forgotten: bool,
    attempts: u16,
    panics: u32,
    deaths: u32,
    /// Where its worker died the last time.
    avoids: Option<EngineId>,
}

#[derive(Debug, Serialize, Deserialize)]
enum State {
    Waiting,
    Ready,
    InHand(Hand),
    Done(TaskValue),
    Failed(TaskFailure),
}

/// A task that an engine has.
#[derive(Debug, Serialize, Deserialize)]
struct Hand {
    engine: EngineId,
    run: RunId,
    /// When it began.
    since: Option<Duration>,
    /// Whether the client was told.
    told: bool,
    result: Option<TaskValue>,
    /// What its panic said.
    panic: Option<String>,
    /// Why it is being ended.
    ending: Option<TaskFailure>,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::core) enum Effect {
    Tell(TaskId, TaskEvent),
    EndRun {
        engine: EngineId,
        run: RunId,
        kill: bool,
    },
    /// Nobody needs this file any more.
    Remove(String),
    /// The call of a group that has this first task is over on this engine.
    Leave {
        first: TaskId,
        engine: EngineId,
        how: Parting,
    },
}

/// A run to be sent to an engine.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::core) struct Start {
    pub engine: EngineId,
    pub run: RunId,
    pub argument: Bytes,
}

/// What an engine has to do.
#[derive(Clone, Copy, Debug)]
pub(in crate::core) struct EngineLoad {
    pub engine: EngineId,
    /// Runs of any kind that it has.
    pub runs: usize,
    /// Those that are this session's.
    pub own: usize,
    /// Whether it has a GPU.
    pub gpu: bool,
}

/// Which engines there are, for tasks that wait for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::core) enum Presence {
    /// It is there.
    Up { gpu: bool },
    /// It is being started, or started again. What it has is known when it is there.
    Coming,
}

impl Graph {
    /// Takes a task.
    pub fn submit(&mut self, id: TaskId, spec: TaskSpec, effects: &mut Vec<Effect>) {
        self.take(id, None, spec, effects);
    }

    /// Takes one of the tasks of a group, with the first of them.
    pub fn submit_member(&mut self, id: TaskId, first: TaskId, spec: TaskSpec, effects: &mut Vec<Effect>) {
        self.take(id, Some(first), spec, effects);
    }

    /// Whether this task was taken before.
    pub fn has_had(&self, id: TaskId) -> bool {
        self.last.is_some_and(|last| id <= last)
    }

    fn take(&mut self, id: TaskId, first: Option<TaskId>, spec: TaskSpec, effects: &mut Vec<Effect>) {
        if self.has_had(id) {
            return;
        }
        self.last = Some(id);
        let of_args = spec.args.iter().filter_map(|arg| match arg {
            TaskArg::Task(task) => Some(*task),
            TaskArg::Value(_) => None,
        });
        let needs: BTreeSet<TaskId> = of_args.chain(spec.after.iter().copied()).collect();
        let (mut waits_for, mut broken) = (0, None);
        for need in &needs {
            match self.live.get_mut(need) {
                None => broken = broken.or(Some(*need)),
                Some(task) => {
                    task.users += 1;
                    match &task.state {
                        State::Failed(why) => broken = broken.or(Some(origin(*need, why))),
                        State::Done(_) => {}
                        _ => {
                            task.waiting.push(id);
                            waits_for += 1;
                        }
                    }
                }
            }
        }
        let task = Task {
            spec,
            first,
            state: State::Waiting,
            needs,
            waits_for,
            waiting: Vec::new(),
            users: 0,
            forgotten: false,
            attempts: 0,
            panics: 0,
            deaths: 0,
            avoids: None,
        };
        self.live.insert(id, task);
        match broken {
            Some(need) => self.fail(id, None, TaskFailure::Needs(need), effects),
            None if waits_for == 0 => self.make_ready(id),
            None => {}
        }
    }

    /// The next task for one of these engines; if the client is behind, only one of a group.
    pub fn next(&mut self, loads: &[EngineLoad], is_full: bool) -> Option<Start> {
        if let Some((engine, id)) = self.ready.first_together(loads) {
            return self.start(engine, id);
        }
        if is_full {
            return None;
        }
        let credit = if self.pace.is_some_and(|pace| pace < SHORT) { 2 } else { 1 };
        let has_room = |load: &&EngineLoad| self.hands.get(&load.engine).map_or(0, Vec::len) < credit;
        let free: Vec<EngineLoad> = loads.iter().filter(has_room).copied().collect();
        if free.is_empty() {
            // Or all that is ready would be looked at in vain.
            return None;
        }
        let bound = free.iter().find_map(|load| {
            let mut tasks = self.ready.on.get(&load.engine)?.iter();
            Some((load.engine, *tasks.find(|id| load.gpu || !self.needs_gpu(**id))?))
        });
        let first = |ready: &BTreeSet<TaskId>, free: &[EngineLoad], all: &[EngineLoad]| {
            // Or all that is ready would be looked at in vain.
            let mut ready = ready.iter().filter(|_| !free.is_empty());
            ready.find_map(|id| Some((self.pick(*id, free, all)?, *id)))
        };
        let (free_gpus, all_gpus) = (with_gpu(&free), with_gpu(loads));
        let open = [first(&self.ready.anywhere, &free, loads), first(&self.ready.for_gpus, &free_gpus, &all_gpus)];
        let (engine, id) = bound.or_else(|| open.into_iter().flatten().min_by_key(|(_, id)| *id))?;
        self.start(engine, id)
    }

    fn start(&mut self, engine: EngineId, id: TaskId) -> Option<Start> {
        self.unready(id);
        let part = |arg: &TaskArg| match arg {
            TaskArg::Value(value) => value.clone(),
            // It is kept for its users.
            TaskArg::Task(need) => self.value(*need).unwrap_or_default(),
        };
        let parts: Vec<Bytes> = self.live.get(&id)?.spec.args.iter().map(part).collect();
        let argument = match &parts[..] {
            [one] => one.clone(),
            parts => parts.concat().into(),
        };
        let task = self.live.get_mut(&id)?;
        let run = RunId::of_task(id, task.attempts);
        task.attempts = task.attempts.wrapping_add(1);
        let hand = Hand { engine, run, since: None, told: false, result: None, panic: None, ending: None };
        task.state = State::InHand(hand);
        self.hands.entry(engine).or_default().push(id);
        Some(Start { engine, run, argument })
    }

    /// The engine with the least to do, but not the one where the task's worker has died, if there is another. Those with
    /// GPUs are left to who needs them.
    fn pick(&self, id: TaskId, free: &[EngineLoad], all: &[EngineLoad]) -> Option<EngineId> {
        let avoids = self.live.get(&id)?.avoids.filter(|avoided| all.iter().any(|load| load.engine != *avoided));
        let fits = free.iter().filter(|load| Some(load.engine) != avoids);
        fits.min_by_key(|load| (load.runs, load.gpu, load.engine)).map(|load| load.engine)
    }

    fn needs_gpu(&self, id: TaskId) -> bool {
        self.live.get(&id).is_some_and(|task| task.spec.gpu)
    }

    fn value(&self, id: TaskId) -> Option<Bytes> {
        match &self.live.get(&id)?.state {
            State::Done(value) => Some(value.bytes.clone()),
            _ => None,
        }
    }

    /// What is to be run, for the run's message.
    pub fn spec(&self, run: RunId) -> Option<&TaskSpec> {
        self.live.get(&run.task()?).map(|task| &task.spec)
    }

    /// The first task of the group whose run this is.
    pub fn first_of(&self, run: RunId) -> Option<TaskId> {
        self.live.get(&run.task()?)?.first
    }

    /// How many tasks can run, on no engine in particular.
    pub fn ready_anywhere(&self) -> usize {
        self.ready.anywhere.len() + self.ready.for_gpus.len()
    }

    /// Whether there is something to run.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// A task's run begins.
    pub fn began(&mut self, run: RunId, now: Duration) {
        if let Some(hand) = self.hand(run) {
            hand.since = Some(now);
        }
    }

    /// Whether the function of the task whose run this is has returned.
    pub fn has_result(&self, run: RunId) -> bool {
        let state = run.task().and_then(|task| self.live.get(&task)).map(|task| &task.state);
        matches!(state, Some(State::InHand(hand)) if hand.run == run && hand.result.is_some())
    }

    /// A task's function has returned.
    pub fn returned(&mut self, run: RunId, value: TaskValue, effects: &mut Vec<Effect>) {
        let replaced = match self.hand(run) {
            Some(hand) => hand.result.replace(value),
            None => Some(value),
        };
        effects.extend(replaced.and_then(|value| value.file).map(Effect::Remove));
    }

    /// A thread of a task's run panicked. What its own thread says counts.
    pub fn panicked(&mut self, run: RunId, message: &str, own: bool) {
        if let Some(hand) = self.hand(run)
            && (own || hand.panic.is_none())
        {
            hand.panic = Some(message.to_owned());
        }
    }

    fn hand(&mut self, run: RunId) -> Option<&mut Hand> {
        match &mut self.live.get_mut(&run.task()?)?.state {
            State::InHand(hand) if hand.run == run => Some(hand),
            _ => None,
        }
    }

    /// A task's run is over on its engine.
    pub fn ended(&mut self, run: RunId, outcome: &Outcome, micros: u64, effects: &mut Vec<Effect>) {
        let Some(id) = run.task().filter(|_| self.hand(run).is_some()) else { return };
        let Some(task) = self.live.get_mut(&id) else { return };
        let State::InHand(hand) = mem::replace(&mut task.state, State::Waiting) else { return };
        let engine = hand.engine;
        if let Some(hands) = self.hands.get_mut(&engine) {
            hands.retain(|other| *other != id);
            if hands.is_empty() {
                self.hands.remove(&engine);
            }
        }
        if *outcome == Outcome::Ok
            && let Some(value) = hand.result
        {
            self.pace = Some(self.pace.map_or(micros, |pace| (pace * 3 + micros) / 4));
            return self.succeed(id, engine, value, effects);
        }
        effects.extend(hand.result.and_then(|value| value.file).map(Effect::Remove));
        if let Some(why) = hand.ending {
            return self.fail(id, Some(engine), why, effects);
        }
        match task.judge(engine, outcome, hand.panic) {
            Err(why) => self.fail(id, Some(engine), why, effects),
            Ok(why) => {
                effects.extend(why.map(|why| Effect::Tell(id, TaskEvent::Again(engine, why))));
                self.make_ready(id);
            }
        }
    }

    /// Ends a task. False if there is none that hasn't ended.
    pub fn cancel(&mut self, id: TaskId, effects: &mut Vec<Effect>) -> bool {
        match self.live.get_mut(&id).map(|task| &mut task.state) {
            None | Some(State::Done(_) | State::Failed(_)) => return false,
            Some(State::InHand(hand)) => effects.extend(hand.end(TaskFailure::Cancelled)),
            Some(State::Waiting | State::Ready) => self.fail(id, None, TaskFailure::Cancelled, effects),
        }
        true
    }

    /// Nobody will name this task any more. It goes on.
    pub fn forget(&mut self, id: TaskId, effects: &mut Vec<Effect>) {
        if let Some(task) = self.live.get_mut(&id) {
            task.forgotten = true;
            self.tidy(id, effects);
        }
    }

    /// From time to time: ends what takes too long, tells what runs, takes tasks back for idle engines, and gives up
    /// those for engines that won't come.
    pub fn look(&mut self, now: Duration, loads: &[EngineLoad], effects: &mut Vec<Effect>) {
        let mut idle: Vec<&EngineLoad> = loads.iter().filter(|load| load.own == 0).collect();
        for (engine, tasks) in &self.hands {
            let own = loads.iter().find(|load| load.engine == *engine).map_or(0, |load| load.own);
            for (before, id) in tasks.iter().enumerate() {
                let Some(task) = self.live.get_mut(id) else { continue };
                let limit = task.spec.timeout_ms;
                let State::InHand(hand) = &mut task.state else { continue };
                match hand.since {
                    Some(since) => {
                        if !mem::replace(&mut hand.told, true) {
                            effects.push(Effect::Tell(*id, TaskEvent::Running(*engine)));
                        }
                        if limit > 0 && now.saturating_sub(since).as_millis() >= limit.into() {
                            effects.extend(hand.end(TaskFailure::TimedOut(limit)));
                        }
                    }
                    // It waits behind something else.
                    None if (before > 0 || own > tasks.len()) && task.spec.on.is_none() && hand.ending.is_none() => {
                        if let Some(fits) = idle.iter().position(|load| load.gpu || !task.spec.gpu) {
                            idle.remove(fits);
                            effects.push(Effect::EndRun { engine: *engine, run: hand.run, kill: false });
                        }
                    }
                    None => {}
                }
            }
        }
    }

    /// Gives up what can't be run on any of these engines, which are all that there are or will be.
    pub fn give_up(&mut self, engines: &BTreeMap<EngineId, Presence>, effects: &mut Vec<Effect>) {
        let mut hopeless = Vec::new();
        for (engine, tasks) in self.ready.on.iter().chain(&self.ready.together) {
            let why = match engines.get(engine) {
                None => TaskFailure::NoSuchEngine(*engine),
                Some(Presence::Up { gpu: false }) => TaskFailure::NoGpu(Some(*engine)),
                Some(_) => continue,
            };
            let is_hopeless = |id: &&TaskId| matches!(why, TaskFailure::NoSuchEngine(_)) || self.needs_gpu(**id);
            hopeless.extend(tasks.iter().filter(is_hopeless).map(|id| (*id, why.clone())));
        }
        if engines.is_empty() {
            let waiting = self.ready.anywhere.iter().chain(&self.ready.for_gpus);
            hopeless.extend(waiting.map(|id| (*id, TaskFailure::NoEngine)));
        } else if engines.values().all(|presence| *presence == Presence::Up { gpu: false }) {
            hopeless.extend(self.ready.for_gpus.iter().map(|id| (*id, TaskFailure::NoGpu(None))));
        }
        for (id, why) in hopeless {
            self.fail(id, None, why, effects);
        }
    }

    /// The files of all results, when the session is closed.
    pub fn into_files(self) -> impl Iterator<Item = String> {
        self.live.into_values().filter_map(|task| match task.state {
            State::Done(value) => value.file,
            State::InHand(hand) => hand.result?.file,
            _ => None,
        })
    }

    fn make_ready(&mut self, id: TaskId) {
        let Some(task) = self.live.get_mut(&id) else { return };
        task.state = State::Ready;
        self.ready.add(id, &task.spec, task.first.is_some());
    }

    fn unready(&mut self, id: TaskId) {
        self.ready.remove(id, self.live.get(&id).and_then(|task| task.spec.on));
    }

    #[cfg(test)]
    pub fn kept(&self) -> usize {
        self.live.len() + self.hands.len() + usize::from(self.has_ready())
    }
}

impl Task {
    /// It is over: who does the same together doesn't wait for it.
    fn leave(&self, how: Parting) -> Option<Effect> {
        Some(Effect::Leave { first: self.first?, engine: self.spec.on?, how })
    }
}

impl Hand {
    fn end(&mut self, why: TaskFailure) -> Option<Effect> {
        if self.ending.is_some() {
            return None;
        }
        self.ending = Some(why);
        Some(Effect::EndRun { engine: self.engine, run: self.run, kill: true })
    }
}

fn with_gpu(loads: &[EngineLoad]) -> Vec<EngineLoad> {
    loads.iter().filter(|load| load.gpu).copied().collect()
}
