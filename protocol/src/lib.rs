//! What the processes of a cluster say to each other: messages, framing, signing, the connection file.
//!
//! This crate holds data and pure functions only. It never opens a socket, starts a process or reads a clock,
//! and it knows nobody else of the workspace.

pub mod connection;
pub mod engines;
mod exit;
pub mod frame;
pub mod group;
mod id;
pub mod log;
pub mod map;
pub mod message;
pub mod resume;
pub mod run;
pub mod snapshot;
pub mod status;
pub mod steer;
pub mod stream;
pub mod task;

pub use connection::{Connection, ConnectionError, runtime_folder};
pub use engines::{count, fold_ids, name_engines, noun, parse_ids, read_label};
pub use exit::Exit;
pub use frame::{Frame, FrameError, Key};
pub use group::*;
pub use id::{BlobId, EngineId, MapId, RunId, SessionId, TaskId};
pub use log::*;
pub use map::*;
pub use message::*;
pub use resume::{CONFIRM, Outbox, Standing};
pub use run::*;
pub use snapshot::*;
pub use status::*;
pub use steer::*;
pub use task::*;

/// The version of the messages below. Two processes work together only when theirs are equal.
pub const VERSION: u16 = 20;
