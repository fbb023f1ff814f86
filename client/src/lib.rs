//! Connects to a cluster, submits runs and streams their events.
//!
//! A [`Client`] has one background task that owns the socket. When the connection breaks it makes a new one and goes
//! on where it was; when the controller is gone, it waits for one that takes its place, if there may be one, and then
//! everything that waits is told so. It knows
//! `chorus-protocol`, `chorus-transport` and `chorus-system`.
//!
//! No call waits for ever, and output is acknowledged when the user of this crate takes it, which is what slows down
//! an engine whose output nobody reads.

mod client;
mod command;
mod driver;
mod error;
mod link;
mod session;
mod state;
mod task;

pub use client::Client;
pub use error::ClientError;
pub use session::{Blob, Map, Preparing, Run, Session, SessionEvent, SessionEvents};
pub use task::{Task, TaskUpdate};
