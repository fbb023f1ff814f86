//! What Chorus asks of Linux: processes and their groups, signals, descriptors, frozen copies, and what `/proc` tells.
//!
//! Each file has one subject, and its functions say what Chorus wants rather than which system call does it. All of them
//! can be called in a worker, which is forked: they start no thread, keep nothing between calls and need no runtime.

pub mod children;
pub mod clock;
pub mod descriptors;
pub mod dynamic;
pub mod eventfds;
pub mod fork;
pub mod group;
mod listing;
pub mod locks;
pub mod memory;
pub mod net;
pub mod parent;
pub mod pidfd;
pub mod process;
pub mod reading;
pub mod signal;
pub mod threads;
pub mod user;

pub use pidfd::ProcessHandle;
