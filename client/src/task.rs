//! Handles of tasks: calls of single functions.

use crate::command::Command;
use crate::session::{Session, taken};
use chorus_protocol::{EngineId, FromClient, RunEvent, TaskEvent, TaskId, TaskSpec};
use tokio::sync::mpsc;

/// What happens to a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskUpdate {
    /// The function displayed or printed something there, or panicked.
    Run(EngineId, RunEvent),
    /// See [`TaskEvent`].
    Task(TaskEvent),
}

/// A task that was submitted. Dropping it has its result forgotten, and doesn't stop it.
#[derive(Debug)]
pub struct Task {
    id: TaskId,
    session: Session,
    events: mpsc::UnboundedReceiver<TaskUpdate>,
}

impl Session {
    /// Has a function called when the tasks that it needs are done.
    pub fn submit(&self, spec: TaskSpec) -> Task {
        let (sender, events) = mpsc::unbounded_channel();
        let session = self.id();
        let id = self.tasks().next(|number| {
            let task = TaskId(number);
            self.command(Command::SubmitTask { session, task, spec, events: sender });
            task
        });
        Task { id, session: self.clone(), events }
    }

    /// Has a function called on each of these engines, in order, which are a group: a task each.
    pub fn submit_together(&self, spec: TaskSpec, engines: &[EngineId]) -> Vec<Task> {
        let session = self.id();
        self.tasks().take(engines.len(), |number| {
            let tasks = (number..).map(TaskId).zip(engines);
            let (on, tasks) = tasks
                .map(|(id, engine)| {
                    let (sender, events) = mpsc::unbounded_channel();
                    ((*engine, sender), Task { id, session: self.clone(), events })
                })
                .unzip();
            self.command(Command::SubmitTogether { session, first: TaskId(number), spec, on });
            tasks
        })
    }

    /// Ends a task. [`TaskEvent::Failed`] follows, unless it has just ended by itself.
    pub fn cancel(&self, task: TaskId) {
        self.send(FromClient::CancelTask { session: self.id(), task });
    }
}

impl Task {
    /// Its name on the wire, for tasks that need it.
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// What happens next; `None` when the session is gone. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<TaskUpdate> {
        let event = self.events.recv().await?;
        self.acknowledge(&event);
        Some(event)
    }

    fn acknowledge(&self, event: &TaskUpdate) {
        if let TaskUpdate::Run(engine, event) = event {
            taken(self.session.commands(), self.session.id(), *engine, event);
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.events.close();
        while let Ok(event) = self.events.try_recv() {
            self.acknowledge(&event);
        }
        self.session.send(FromClient::ForgetTask { session: self.session.id(), task: self.id });
    }
}
