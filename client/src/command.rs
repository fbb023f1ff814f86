//! What handles want of the driver.

use crate::ClientError;
use crate::session::SessionEvent;
use crate::task::TaskUpdate;
use chorus_protocol::{
    BlobId, ClusterStatus, EngineId, FromClient, LogEntry, MapEvent, MapId, MapSpec, Order, RunEvent, RunId, RunSpec,
    SessionId, Target, TaskId, TaskSpec,
};
use std::sync::{Arc, OnceLock};
use tokio::sync::{mpsc, oneshot};

/// What was done, or why nothing was; or why that isn't known.
pub(crate) type Steered = Result<Result<String, String>, ClientError>;

/// See the module.
#[derive(Debug)]
pub(crate) enum Command {
    Status(oneshot::Sender<Result<ClusterStatus, ClientError>>),
    Shutdown(oneshot::Sender<()>),
    Steer(Order, oneshot::Sender<Steered>),
    /// Hand out no more of the log.
    LeaveLog,
    /// Hand out the log, from this entry's number on.
    FollowLog(u64, mpsc::Sender<Vec<LogEntry>>),
    Open {
        session: SessionId,
        /// Why the controller is gone, once it is.
        lost: Arc<OnceLock<String>>,
        events: mpsc::UnboundedSender<SessionEvent>,
    },
    /// Say this to the controller, if the sessions have it that there is something to say.
    Send(FromClient),
    /// A handle of the blob is gone.
    ReleaseBlob {
        session: SessionId,
        id: BlobId,
    },
    Run {
        session: SessionId,
        run: RunId,
        spec: RunSpec,
        targets: Vec<Target>,
        events: mpsc::UnboundedSender<(EngineId, RunEvent)>,
    },
    OpenMap {
        session: SessionId,
        map: MapId,
        spec: MapSpec,
        events: mpsc::UnboundedSender<(Option<EngineId>, MapEvent)>,
    },
    TakenOfMap {
        session: SessionId,
        map: MapId,
        bytes: usize,
    },
    SubmitTask {
        session: SessionId,
        task: TaskId,
        spec: TaskSpec,
        events: mpsc::UnboundedSender<TaskUpdate>,
    },
    SubmitTogether {
        session: SessionId,
        first: TaskId,
        spec: TaskSpec,
        on: Vec<(EngineId, mpsc::UnboundedSender<TaskUpdate>)>,
    },
    Taken {
        session: SessionId,
        engine: EngineId,
        bytes: u64,
    },
}
