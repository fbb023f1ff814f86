//! Tasks: who submits them, where they are sent, and who is told. When and where each runs is decided in [`graph`].

mod graph;

pub(super) use graph::Graph;

use super::client::answer;
use super::engine::{Engine, UnderWay};
use super::group::Together;
use super::log::label as beginning;
use super::{Action, Core, PeerId};
use chorus_protocol::{
    Aftermath, Death, EngineId, LogEvent, Outcome, RunId, RunSpec, SessionId, SessionNumber, TaskArg, TaskEvent,
    TaskId, TaskSpec, TaskValue, ToClient, ToEngine, Work,
};
use graph::{Effect, EngineLoad, Presence, Start};
use std::collections::BTreeMap;

impl Core {
    pub(super) fn submit_task(
        &mut self,
        peer: PeerId,
        session: SessionId,
        task: TaskId,
        spec: TaskSpec,
        actions: &mut Vec<Action>,
    ) {
        let Some(it) = self.owned(session, &peer) else {
            return answer(&peer, ToClient::SessionGone(session), actions);
        };
        let number = it.number;
        self.log(submitted(number, task, &spec));
        self.with_tasks(session, &peer, actions, |tasks, effects| tasks.submit(task, spec, effects));
    }

    /// Has a group call a function: a task each.
    pub(super) fn submit_together(
        &mut self,
        peer: PeerId,
        session: SessionId,
        first: TaskId,
        spec: &TaskSpec,
        engines: Vec<EngineId>,
        actions: &mut Vec<Action>,
    ) {
        let Some(it) = self.owned(session, &peer) else {
            return answer(&peer, ToClient::SessionGone(session), actions);
        };
        if it.tasks.has_had(first) || engines.is_empty() {
            return;
        }
        let (number, group) = (it.number, RunId::of_task(first, 0));
        it.groups.insert(group, Together::new(number, group, engines.clone()));
        let tasks: Vec<(TaskId, EngineId)> = (first.0..).map(TaskId).zip(engines).collect();
        for (task, _) in &tasks {
            self.log(submitted(number, *task, spec));
        }
        self.with_tasks(session, &peer, actions, |graph, effects| {
            for (task, engine) in tasks {
                graph.submit_member(task, first, TaskSpec { on: Some(engine), ..spec.clone() }, effects);
            }
        });
    }

    /// Changes something about a client's tasks, and does what follows.
    pub(super) fn with_tasks(
        &mut self,
        id: SessionId,
        peer: &PeerId,
        actions: &mut Vec<Action>,
        change: impl FnOnce(&mut Graph, &mut Vec<Effect>),
    ) {
        let mut effects = Vec::new();
        let Some(session) = self.owned(id, peer) else { return };
        change(&mut session.tasks, &mut effects);
        self.carry_out(id, effects, actions);
        self.start_tasks(id, actions);
    }

    fn carry_out(&mut self, id: SessionId, effects: Vec<Effect>, actions: &mut Vec<Action>) {
        for effect in effects {
            match effect {
                Effect::Tell(task, event) => {
                    if let Some(session) = self.sessions.get_mut(&id) {
                        let told = told(session.number, task, &event);
                        told.into_iter().for_each(|told| self.log.add(self.now, told));
                        session.send(ToClient::Task { session: id, task, event }, actions);
                    }
                }
                Effect::EndRun { engine, run, kill } => {
                    self.tell_engines(&[engine], ToEngine::EndRun { session: id, run, kill }, actions);
                }
                Effect::Remove(file) => actions.push(Action::RemoveFile(file)),
                Effect::Leave { first, engine, how } => {
                    self.leave_group(id, RunId::of_task(first, 0), engine, how, actions);
                }
            }
        }
    }

    /// Sends tasks to engines that have room for them.
    pub(super) fn start_tasks(&mut self, id: SessionId, actions: &mut Vec<Action>) {
        if !self.sessions.get(&id).is_some_and(|it| it.tasks.has_ready()) {
            return;
        }
        let mut loads = self.loads(id);
        loop {
            let Some(session) = self.sessions.get_mut(&id) else { return };
            let is_full = session.is_full();
            let Some(Start { engine, run, argument }) = session.tasks.next(&loads, is_full) else { return };
            let group = session.groups.get(&session.group_of(run)).map(|together| Box::new(together.of(engine)));
            let Some(spec) = session.tasks.spec(run) else { return };
            let spec = RunSpec { argument, ..spec.run.clone() };
            if let Some(load) = loads.iter_mut().find(|load| load.engine == engine) {
                (load.runs, load.own) = (load.runs + 1, load.own + 1);
            }
            let number = session.number;
            let (rank, size) = self.rank(engine);
            let Some(it) = self.engines.get_mut(&engine) else { return };
            let Some(peer) = it.worker().cloned() else { return };
            it.runs.push_back(UnderWay { session: id, run, map: None, label: spec.label.clone(), started: false });
            let (work, label) = (Work::Task(run.task().map_or(0, |task| task.0)), beginning(&spec.label));
            let queued = LogEvent::RunQueued { session: number, run: run.0, work, label, engines: vec![engine] };
            self.log.add(self.now, queued);
            let message = ToEngine::Run { session: id, run, spec, generation: None, rank, size, group };
            actions.push(Action::ToEngines(vec![peer], message));
        }
    }

    /// The engines that take runs.
    fn loads(&self, session: SessionId) -> Vec<EngineLoad> {
        let up = self.engines.iter().filter(|(_, it)| it.worker().is_some());
        up.map(|(&engine, it)| EngineLoad {
            engine,
            runs: it.runs.len(),
            own: it.runs.iter().filter(|run| run.session == session).count(),
            gpu: it.info().is_some_and(|info| info.gpu.is_some()),
        })
        .collect()
    }

    /// An engine's place among all, those included that are being started again, and how many they are.
    fn rank(&self, engine: EngineId) -> (u32, u32) {
        let staying = || self.engines.iter().filter(|(_, it)| !it.draining);
        (staying().filter(|(id, _)| **id < engine).count() as u32, staying().count() as u32)
    }

    /// What a task's function returned.
    pub(super) fn task_returned(&mut self, id: SessionId, run: RunId, value: TaskValue, actions: &mut Vec<Action>) {
        let mut effects = Vec::new();
        match self.sessions.get_mut(&id) {
            Some(session) => session.tasks.returned(run, value, &mut effects),
            None => effects.extend(value.file.map(Effect::Remove)),
        }
        self.carry_out(id, effects, actions);
    }

    /// A task's run has ended. If that cost variables, clients, who know nothing of the run, are told as of a worker that
    /// died while idle.
    pub(super) fn task_ended(
        &mut self,
        engine: EngineId,
        id: SessionId,
        run: RunId,
        (outcome, generation, micros): (&Outcome, u32, u64),
        actions: &mut Vec<Action>,
    ) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let mut effects = Vec::new();
        session.tasks.ended(run, outcome, micros, &mut effects);
        if let Outcome::Died(death, aftermath) = outcome
            && *death != Death::EngineLost
            && matches!(aftermath, Aftermath::Lost(_))
        {
            let (death, aftermath) = (*death, aftermath.clone());
            let lost = ToClient::WorkerLost { session: id, engine, death, aftermath, generation, in_task: true };
            session.send(lost, actions);
        }
        self.carry_out(id, effects, actions);
        self.start_tasks(id, actions);
    }

    pub(super) fn check_tasks(&mut self, actions: &mut Vec<Action>) {
        let sessions: Vec<SessionId> = self.sessions.keys().copied().collect();
        let presence =
            |engine: &Engine| engine.info().map_or(Presence::Coming, |info| Presence::Up { gpu: info.gpu.is_some() });
        let engines: BTreeMap<_, _> =
            self.engines.iter().filter(|(_, it)| !it.draining).map(|(&id, it)| (id, presence(it))).collect();
        for id in sessions {
            let loads = self.loads(id);
            let Some(session) = self.sessions.get_mut(&id) else { continue };
            let mut effects = Vec::new();
            session.tasks.look(self.now, &loads, &mut effects);
            session.tasks.give_up(&engines, &mut effects);
            self.carry_out(id, effects, actions);
            self.start_tasks(id, actions);
        }
    }
}

/// What the log says of a call that was submitted.
fn submitted(session: SessionNumber, task: TaskId, spec: &TaskSpec) -> LogEvent {
    let of_args = spec.args.iter().filter_map(|arg| match arg {
        TaskArg::Task(task) => Some(*task),
        TaskArg::Value(_) => None,
    });
    let needs = of_args.chain(spec.after.iter().copied()).map(|task| task.0).collect();
    LogEvent::TaskSubmitted { session, task: task.0, label: beginning(&spec.run.label), needs }
}

/// What the log says of what a client is told of a call. That it runs is its run's business.
fn told(session: SessionNumber, task: TaskId, event: &TaskEvent) -> Option<LogEvent> {
    let task = task.0;
    Some(match event {
        TaskEvent::Running(_) => return None,
        TaskEvent::Again(_, failure) => LogEvent::TaskAgain { session, task, failure: beginning(&failure.to_string()) },
        TaskEvent::Done(engine, _) => LogEvent::TaskEnded { session, task, engine: Some(*engine), failure: None },
        TaskEvent::Failed(engine, failure) => {
            LogEvent::TaskEnded { session, task, engine: *engine, failure: Some(beginning(&failure.to_string())) }
        }
    })
}
