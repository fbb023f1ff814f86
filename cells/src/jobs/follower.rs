//! Follows one call: shows what its function prints, and learns how it ends.

use super::calls::{CallJob, Calls, Stage};
use super::rooms::{Holder, Rooms};
use super::run::CellRun;
use crate::cluster::Cluster;
use crate::places::place_of;
use chorus_client::{Task, TaskUpdate};
use chorus_protocol::{Death, EngineId, RunEvent, TaskEvent, TaskFailure};
use chorus_render::{Bars, PxView, ViewOptions};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How long the beginning of a line may wait for its rest.
const PARTIAL_LINE: Duration = Duration::from_millis(100);

/// Listens to one call.
pub(super) struct Follower {
    pub(super) calls: Arc<Calls>,
    pub(super) rooms: Arc<Rooms>,
    /// Rooms that the call needs.
    pub(super) held: Vec<String>,
    pub(super) job: Arc<CallJob>,
    /// The run of the cell that called.
    pub(super) run: Arc<CellRun>,
    pub(super) cluster: Weak<Cluster>,
    /// Those that the function draws.
    pub(super) bars: Bars,
    /// Where the function panicked the last time.
    pub(super) panic: Option<String>,
    pub(super) tries: u32,
}

impl Follower {
    pub(super) async fn follow(mut self, mut call: Task) {
        let mut view: Option<PxView> = None;
        let stage = loop {
            let has_partial = view.as_ref().is_some_and(PxView::has_partial);
            let event = tokio::select! {
                event = call.next() => event,
                () = tokio::time::sleep(PARTIAL_LINE), if has_partial => {
                    self.flush(&mut view).await;
                    continue;
                }
            };
            match event {
                Some(TaskUpdate::Run(engine, event)) => self.show(engine, &event, &mut view).await,
                Some(TaskUpdate::Task(TaskEvent::Running(engine))) => {
                    self.job.stage.send_replace(Stage::Running(engine));
                }
                Some(TaskUpdate::Task(TaskEvent::Again(..))) => {
                    self.end_bars(Death::EngineLost, &mut view).await;
                    self.tries += 1;
                    self.job.stage.send_replace(Stage::Waiting);
                }
                Some(TaskUpdate::Task(TaskEvent::Done(engine, value))) => {
                    break Stage::Done { engine, value: value.bytes.as_ref().into(), took: self.job.begun.elapsed() };
                }
                Some(TaskUpdate::Task(TaskEvent::Failed(engine, why))) => {
                    let death = if why == TaskFailure::Cancelled { Death::Stopped } else { Death::EngineLost };
                    self.end_bars(death, &mut view).await;
                    let sentence = self.sentence(engine, &why).await;
                    break Stage::Failed { engine, sentence, took: self.job.begun.elapsed() };
                }
                None => {
                    let cluster = self.cluster.upgrade();
                    self.end_bars(Death::EngineLost, &mut view).await;
                    let why =
                        cluster.and_then(|cluster| cluster.lost()).unwrap_or_else(|| "its session was closed".into());
                    let sentence = format!("`{}` has no result: the cluster is gone: {why}", self.job.label);
                    break Stage::Failed { engine: None, sentence, took: self.job.begun.elapsed() };
                }
            }
        };
        self.flush(&mut view).await;
        *self.job.held.lock() = Some(call);
        self.job.needs.lock().clear();
        self.job.stage.send_replace(stage);
        self.calls.ended(&self.job);
        self.held.iter().for_each(|room| self.rooms.free(room, Holder::Kernel));
    }

    async fn show(&mut self, engine: EngineId, event: &RunEvent, view: &mut Option<PxView>) {
        let count = self.run.plan.publisher.count();
        if let RunEvent::Panic(panic) = event {
            let place = place_of(event, &self.run.object, count);
            self.panic = Some(match place {
                Some(place) => format!("{} line {}", place.cell, place.line),
                None => format!("{}:{}", panic.file, panic.line),
            });
            return;
        }
        self.bars.see(event);
        let options = ViewOptions::streaming(count);
        let outputs = view.get_or_insert_with(|| PxView::new(&[engine], options)).event(engine, event, None);
        self.run.plan.publisher.outputs(outputs).await;
    }

    /// The function has ended without its bars.
    async fn end_bars(&mut self, death: Death, view: &mut Option<PxView>) {
        let engine = self.job.stage.borrow().engine();
        for event in self.bars.end(death) {
            self.show(engine.unwrap_or(EngineId(0)), &event, view).await;
        }
    }

    async fn flush(&self, view: &mut Option<PxView>) {
        if let Some(view) = view {
            self.run.plan.publisher.outputs(view.flush_partial()).await;
        }
    }

    /// Why there is no result.
    async fn sentence(&self, engine: Option<EngineId>, why: &TaskFailure) -> String {
        let label = &self.job.label;
        let place = match (why, &self.panic) {
            (TaskFailure::Panicked(_), Some(place)) => format!(" ({place})"),
            _ => String::new(),
        };
        let tries = if self.tries > 1 { format!(", {} times", self.tries) } else { String::new() };
        match (why, engine) {
            (TaskFailure::Cancelled, _) => format!("`{label}` was cancelled"),
            (TaskFailure::Needs(task), _) => match self.calls.failure_of(&self.job.session, *task).await {
                Some(sentence) => {
                    format!("`{label}` wasn't called, since a call that it needs has no result: {sentence}")
                }
                None => format!("`{label}` wasn't called, since a call that it needs has no result"),
            },
            (why, Some(engine)) => format!("`{label}` failed on engine {engine}{tries}: {why}{place}"),
            (why, None) => format!("`{label}` wasn't called: {why}"),
        }
    }
}
