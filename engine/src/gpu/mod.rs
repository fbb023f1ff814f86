//! An engine's GPU, in a process of its own: a GPU's context doesn't outlive the copy of a process that a snapshot is, and
//! what a cell does can't harm it there.
//!
//! The engine starts the process, which ends when the engine does. Workers connect to its socket, name their code, and
//! pass items and results through files in memory.

mod about;
pub mod client;
mod holders;
mod native;
mod sensors;
mod server;

pub use about::ask;
pub use chorus_gpu::devices::State;
pub use sensors::Readings;
pub use server::main;

use chorus_gpu::devices::{Launch, Stretch};
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

/// How many bytes of memory the simulated device has.
pub const MEMORY: &str = "CHORUS_GPU_MEMORY";

/// From a worker.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
enum ToGpu {
    /// The code of what follows, and its constants as `px` encodes them.
    Load {
        /// The file that has so many bytes of code at its beginning, and so many of constants behind that.
        file: String,
        ptx: u64,
        constants: u64,
    },
    /// Items to work at. Those that aren't kept are so many bytes in this file, behind which so many bytes of results go if
    /// they aren't kept.
    Run {
        file: String,
        item_bytes: u64,
        result_bytes: u64,
        items: Option<Stretch>,
        results: Option<Stretch>,
        count: u64,
    },
    /// Run a kernel of CUDA C++ of the code that was loaded.
    Launch(Launch),
    /// A buffer, for as long as somebody has a lock on this file.
    Keep { bytes: u64, holder: String },
    /// What is at this file's beginning goes there.
    Write { file: String, to: Stretch },
    /// What is there goes to this file's beginning.
    Read { file: String, from: Stretch },
    /// What is in the one goes to the other.
    Copy { from: Stretch, to: Stretch },
    /// How is the GPU?
    About,
}

/// To a worker.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
enum FromGpu {
    Loaded,
    /// So many of the first items have results; the times are in microseconds.
    Done {
        items: u64,
        transfer: u64,
        kernel: u64,
    },
    /// The number of a buffer.
    Kept(u64),
    /// The device hasn't so many bytes.
    Memory {
        wanted: u64,
        free: u64,
    },
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
    /// What its sensors say.
    pub readings: Readings,
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
        let keep = move || {
            let mut nth = 0;
            while keeps(&program, &listener, device, nth).unwrap_or_default() {
                nth += 1;
            }
        };
        std::thread::Builder::new().name("chorus-gpu".into()).stack_size(256 << 10).spawn(keep)?;
    }
    Ok(is_there)
}

/// Waits for the end of the engine's `nth` process, and says whether another one is to take its place.
fn keeps(program: &Path, listener: &UnixListener, device: u32, nth: u32) -> io::Result<bool> {
    let mut command = Command::new(program);
    command.args([GPU.to_owned(), device.to_string(), std::process::id().to_string(), nth.to_string()]);
    command.stdin(OwnedFd::from(listener.try_clone()?)).stdout(Stdio::null()).process_group(0);
    let status =
        command.status().inspect_err(|error| tracing::warn!(%error, "the process for the GPU can't be started"))?;
    Ok(status.code() == Some(ANOTHER.into()))
}
