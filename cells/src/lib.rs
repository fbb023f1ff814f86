//! What a cell does: each of its parts runs where it belongs, in the notebook's own worker or on engines, and its outputs
//! are published as they come.
//!
//! This crate has the state of one notebook: its worker, its cluster, its maps and calls, the thread of its compiler. It
//! knows nothing of Jupyter's sockets, only where outputs go and who answers questions; and it never runs user code in its
//! own process, so nothing that a cell does can end it.

mod away;
mod cluster;
mod compiler_thread;
mod config;
mod engines;
mod executor;
mod facts;
pub mod failure;
mod generated;
mod input;
mod interrupt;
mod jobs;
mod kept;
mod local;
mod logs;
mod memory;
mod outbox;
mod places;
mod profile;
mod program;
mod publisher;
mod run;
mod sizes;
mod surroundings;
mod whereabouts;

pub use compiler_thread::CompilerThread;
pub use config::NotebookConfig;
pub use engines::default_engines;
pub use executor::{Ahead, Executor, Next, Request, Wish};
pub use facts::{Facts, Known};
pub use input::{Answers, FrontEnd};
pub use interrupt::{Interrupted, Interrupts};
pub use logs::{Logs, Shown};
pub use outbox::Outbox;
pub use publisher::{Publisher, legible};
pub use surroundings::Surroundings;
pub use whereabouts::{Whereabouts, whereabouts};
