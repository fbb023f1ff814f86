//! The Jupyter kernel: its sockets, the order of its requests, and what isn't about running cells: completion, history,
//! comms.
//!
//! It runs no magic and compiles nothing: `chorus_magics` says what stands in a cell that is being written, and what a cell
//! does is up to `chorus_cells`.

mod assist;
mod comms;
mod history;
mod line;
mod questions;
mod requests;
mod server;
mod subshells;

pub use chorus_compiler::{
    CacheConfig, CacheInfo, CompilersInfo, become_tool, compiler_main, find_program, prepare_environment, relay_main,
};
pub use server::{KernelConfig, KernelError, serve};
