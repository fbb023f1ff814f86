//! Handles of tasks: calls of single functions.

use crate::session::{Session, taken};
use crate::task::Command;
use chorus_protocol::{BlobId, EngineId, RunEvent, SnapshotPolicy, TaskArg, TaskEvent, TaskId, TaskSpec};
use tokio::sync::mpsc;

/// What to call. See [`TaskSpec`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRequest {
    /// Libraries that are loaded first, once a worker.
    pub preload: Vec<BlobId>,
    /// The object that the function is in.
    pub object: BlobId,
    /// Where.
    pub function: u64,
    /// Its arguments.
    pub args: Vec<TaskArg>,
    /// Tasks that have to end well before.
    pub after: Vec<TaskId>,
    /// On which engine.
    pub on: Option<EngineId>,
    /// How often to try again.
    pub retries: u32,
    /// How long it may take, in milliseconds; 0 is for ever.
    pub timeout_ms: u64,
    /// What monitors show for it.
    pub label: String,
    /// Whether variables are to outlive a worker that dies in it.
    pub snapshots: SnapshotPolicy,
}

/// What happens to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallEvent {
    /// The function displayed or printed something there, or panicked.
    Run(EngineId, RunEvent),
    /// See [`TaskEvent`].
    Task(TaskEvent),
}

/// A call that was submitted. Dropping it has its result forgotten, and doesn't stop it.
#[derive(Debug)]
pub struct Call {
    id: TaskId,
    session: Session,
    events: mpsc::UnboundedReceiver<CallEvent>,
}

impl Session {
    /// Has a function called when the tasks that it needs are done.
    pub fn call(&self, request: CallRequest) -> Call {
        let (sender, events) = mpsc::unbounded_channel();
        let CallRequest { preload, object, function, args, after, on, retries, timeout_ms, label, snapshots } = request;
        let session = self.id();
        let id = self.tasks().next(|number| {
            let task = TaskId(number);
            let spec = TaskSpec {
                session,
                task,
                preload,
                object,
                function,
                args,
                after,
                on,
                retries,
                timeout_ms,
                label,
                snapshots,
            };
            self.command(Command::Submit { spec, events: sender });
            task
        });
        Call { id, session: self.clone(), events }
    }
}

impl Session {
    /// Ends a call. [`TaskEvent::Failed`] follows, unless it has just ended by itself.
    pub fn cancel_call(&self, task: TaskId) {
        self.command(Command::Cancel { session: self.id(), task });
    }
}

impl Call {
    /// Its name on the wire, for calls that need it.
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// What happens next; `None` when the session is gone. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<CallEvent> {
        let event = self.events.recv().await?;
        self.acknowledge(&event);
        Some(event)
    }

    fn acknowledge(&self, event: &CallEvent) {
        if let CallEvent::Run(engine, event) = event {
            taken(self.session.commands(), self.session.id(), *engine, event);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.events.close();
        while let Ok(event) = self.events.try_recv() {
            self.acknowledge(&event);
        }
        self.session.command(Command::Forget { session: self.session.id(), task: self.id });
    }
}
