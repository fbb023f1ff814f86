//! An engine's GPU, in a process of its own: a GPU's context doesn't outlive the copy of a process that a snapshot is, and
//! what a cell does can't harm it there.
//!
//! The engine starts the process, which ends when the engine does. Workers connect to its socket, name their code, and
//! pass items and results through files in memory.

mod about;
pub mod client;
mod native;
mod server;

pub use about::ask;
pub use chorus_gpu::devices::State;
pub use server::main;

use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The first argument that makes a program the one that has the GPU.
pub const GPU: &str = "gpu-device";
/// For workers: where the process listens.
pub const SOCKET: &str = "CHORUS_GPU_SOCKET";
/// What engines use: `simulated` for the device of the tests, `off` for none. Else the driver is looked for.
pub const CHOICE: &str = "CHORUS_GPU";

/// From a worker.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
enum ToGpu {
    /// The code of what follows, and its constants as `px` encodes them.
    Load {
        #[serde(with = "serde_bytes")]
        ptx: Vec<u8>,
        #[serde(with = "serde_bytes")]
        constants: Vec<u8>,
    },
    /// Items to work at: so many bytes in this file, behind which so many bytes of results go.
    Run { file: String, items: u64, results: u64, count: u64 },
    /// How is the GPU?
    About,
}

/// To a worker.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
enum FromGpu {
    Loaded,
    /// So many of the first items have results.
    Done(u64),
    /// The sentence is for users.
    Failed(String),
    /// As it is now.
    About(Told),
}

/// What the process says of its GPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// What the device says.
    pub state: State,
    /// Whether a map runs there.
    pub is_busy: bool,
}

/// The status with which the process ends that can't use its GPU any more, and another one can.
const ANOTHER: u8 = 75;

/// Starts the process for the engine's `device`-th GPU, if there is one to be used; workers connect to this socket, also
/// before it is ready, and the one of an engine before is replaced. `program` takes [`GPU`] as its first argument. Returns
/// whether there will be a process; it ends with this one.
pub fn start(program: PathBuf, socket: &Path, device: u32) -> io::Result<bool> {
    let choice = std::env::var_os(CHOICE).unwrap_or_default();
    let is_there = choice == "simulated" || choice != "off" && chorus_gpu::devices::is_there();
    if is_there {
        _ = std::fs::remove_file(socket);
        let listener = UnixListener::bind(socket)?;
        // The process ends with the thread that has started it.
        let keep = move || while keeps(&program, &listener, device).unwrap_or_default() {};
        std::thread::Builder::new().name("chorus-gpu".into()).stack_size(256 << 10).spawn(keep)?;
    }
    Ok(is_there)
}

/// Waits for the end of one process, and says whether another one is to take its place.
fn keeps(program: &Path, listener: &UnixListener, device: u32) -> io::Result<bool> {
    let mut command = Command::new(program);
    command.args([GPU.to_owned(), device.to_string(), std::process::id().to_string()]);
    command.stdin(OwnedFd::from(listener.try_clone()?)).stdout(Stdio::null()).process_group(0);
    let status =
        command.status().inspect_err(|error| tracing::warn!(%error, "the process for the GPU can't be started"))?;
    Ok(status.code() == Some(ANOTHER.into()))
}
