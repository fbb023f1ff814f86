//! The Jupyter kernel: sockets, magics, rendering.
//!
//! It reads a cell, has the compiler make objects of it, runs them in its own worker or on a cluster's engines, and
//! turns what comes back into a notebook's outputs. It never compiles anything itself and never runs user code in its
//! own process, so nothing that a cell does can end it.

mod assist;
mod cells;
mod cluster;
mod comms;
mod compiling;
mod executor;
mod failure;
pub mod generated;
mod history;
mod input;
mod interrupt;
mod jobs;
mod local;
pub mod magic;
pub mod map_text;
mod outbox;
mod program;
mod publisher;
mod px;
mod questions;
pub mod render;
mod requests;
mod server;
mod subshells;
mod transfer_text;

pub use chorus_analyzer::analyzer_main;
pub use chorus_compiler::{CacheConfig, CacheInfo, become_tool, prepare_environment, relay_main};
pub use executor::default_engines;
pub use server::{KernelConfig, KernelError, serve};
