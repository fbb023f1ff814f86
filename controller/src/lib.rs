//! Routes runs to engines and their events back; has launchers start its engines.
//!
//! It never sees Rust code and never runs any: it carries bytes. All decisions are made in `core`, a pure state
//! machine; the other modules bring it what happens and do what it says. It knows `chorus-protocol`,
//! `chorus-transport` and `chorus-system`, and runs inside a big process, such as a kernel, as well as alone.

mod back;
mod controller;
mod core;
mod folder;
mod journal;
mod launch;
mod own;
mod server;

pub use controller::{Controller, ControllerConfig, ControllerError, Transport};
pub use folder::{ClusterEntry, list_clusters};
pub use launch::{
    Batch, Guide, GuideKind, Host, Kubernetes, Launch, Manifest, Mpi, Plan, Pool, Ports, Resources, Script, Slurm, Ssh,
    System, Way, Where, bytes, parse_hosts,
};
pub use own::{FolderError, OwnFolder};
