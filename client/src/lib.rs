//! Connects to a cluster, submits runs and streams their events.
//!
//! A [`Client`] has one background task that owns the socket. When the connection breaks it makes a new one and goes
//! on where it was; when the controller is gone, everything that waits is told so. It knows `chorus-protocol` only.
//!
//! No call waits for ever, and output is acknowledged when the user of this crate takes it, which is what slows down
//! an engine whose output nobody reads.

mod calls;
mod client;
mod error;
mod link;
mod session;
mod state;
mod task;

pub use calls::{Call, CallEvent, CallRequest};
pub use client::Client;
pub use error::ClientError;
pub use session::{Map, Run, RunRequest, Session, SessionEvent, SessionEvents};
