//! What handles want of the driver.

use crate::ClientError;
use crate::session::SessionEvent;
use crate::task::TaskUpdate;
use bytes::Bytes;
use chorus_protocol::{
    BlobId, ClusterStatus, EngineId, MapEvent, MapId, MapSpec, RunEvent, RunId, RunSpec, SessionId, Target, TaskId,
    TaskSpec,
};
use std::sync::{Arc, OnceLock};
use tokio::sync::{mpsc, oneshot};

/// See the module.
#[derive(Debug)]
pub(crate) enum Command {
    Status(oneshot::Sender<Result<ClusterStatus, ClientError>>),
    Shutdown(oneshot::Sender<()>),
    Open {
        session: SessionId,
        /// Why the controller is gone, once it is.
        lost: Arc<OnceLock<String>>,
        events: mpsc::UnboundedSender<SessionEvent>,
    },
    Close(SessionId),
    PutLibrary {
        id: BlobId,
        bytes: Bytes,
    },
    PutBlob {
        session: SessionId,
        id: BlobId,
        bytes: Bytes,
    },
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
    Interrupt {
        session: SessionId,
        targets: Vec<EngineId>,
        signal: i32,
    },
    EndRun {
        session: SessionId,
        run: RunId,
        engine: EngineId,
    },
    Restart {
        session: SessionId,
        targets: Vec<EngineId>,
    },
    OpenMap {
        session: SessionId,
        map: MapId,
        spec: MapSpec,
        events: mpsc::UnboundedSender<(Option<EngineId>, MapEvent)>,
    },
    CloseMap {
        session: SessionId,
        map: MapId,
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
    CancelTask {
        session: SessionId,
        task: TaskId,
    },
    ForgetTask {
        session: SessionId,
        task: TaskId,
    },
    Taken {
        session: SessionId,
        engine: EngineId,
        bytes: u64,
    },
}
