//! Runs cells' objects: a supervisor that never runs user code, and the worker process that does.
//!
//! - [`Worker`] keeps one worker process; a kernel uses it for its local cells.
//! - [`worker_main`] is that process's program.
//! - [`run_agent`] joins a cluster as an engine, with a [`Worker`] for each session.
//! - [`program`] is the engine's command line.
//!
//! Nothing here needs a Rust toolchain, and nothing here knows how objects are made.

mod agent;
pub mod gpu;
pub mod program;
mod supervisor;
mod wire;
mod worker;

pub use agent::{AgentConfig, AgentError, run_agent};
pub use supervisor::{Job, StartError, Worker, WorkerConfig, WorkerEvent};
pub use worker::worker_main;
