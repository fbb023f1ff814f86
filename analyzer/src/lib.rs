//! Completion and documentation of a cell's Rust, with rust-analyzer.
//!
//! evcxr has a rust-analyzer of its own, but it is blocked while a cell runs, and that is when people type the next
//! one. So this one lives in a process of its own, which [`analyzer_main`] is: it reads a [`Request`] a line, each
//! with all that the notebook has defined so far, and writes a [`Reply`] a line. It never runs nor compiles a cell,
//! never writes outside of its folder and never uses the network; it may be killed at any time.

mod complete;
mod host;
mod hover;
mod message;
mod place;
mod process;
mod source;
#[cfg(test)]
mod tests;
mod workspace;

pub use message::{Answer, Completion, Completions, Hover, Question, Reply, Request, Source, Variable};
pub use process::analyzer_main;
pub use source::names;
