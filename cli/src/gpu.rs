//! `chorus gpu`: what a machine has for maps on GPUs, and what it lacks.

use crate::out::{Unprinted, say};
use chorus_gpu::devices::{Cuda, Device as _, State};
use chorus_gpu::toolchain::{self, TARGET};
use chorus_kernel::{CacheConfig, find_program};
use chorus_protocol::size;
use clap::Subcommand;
use std::error::Error;
use std::path::PathBuf;
use std::process::Command;

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Gpu {
    /// Have rustc compile for GPUs: fetches `core` for them with rustup, some 10 MB
    Setup {
        /// Build it from the component rust-src instead, which takes some 10 s and uses no network
        #[arg(long)]
        from_source: bool,
    },
    /// Show the GPU, its driver, and whether rustc compiles for it
    Info,
}

/// Where what was built from source is kept.
pub fn folder() -> Option<PathBuf> {
    Some(CacheConfig::root()?.join("gpu"))
}

/// Does it.
pub fn run(command: &Gpu) -> Result<(), Box<dyn Error>> {
    let rustc = find_program("rustc").ok_or("there is no rustc on the PATH: install Rust from https://rustup.rs")?;
    let folder = folder().ok_or("there is no folder for caches: set CHORUS_CACHE_DIR")?;
    match command {
        Gpu::Setup { from_source: true } => {
            toolchain::build_core(&rustc, &folder)?;
            say!("Built `core` for GPUs in {}.", folder.display())?;
        }
        Gpu::Setup { from_source: false } => {
            if toolchain::find(&rustc, &folder).is_err() {
                let rustup = find_program("rustup").ok_or(
                    "there is no rustup on the PATH: `chorus gpu setup --from-source` builds what is needed from rust-src",
                )?;
                let status = Command::new(rustup).args(["target", "add", TARGET]).status()?;
                if !status.success() {
                    let next = "`chorus gpu setup --from-source` builds it from rust-src, without a network";
                    return Err(format!("rustup couldn't add the target {TARGET}; {next}").into());
                }
            }
            say!("rustc compiles for GPUs.")?;
        }
        Gpu::Info => {
            show_gpus()?;
            match toolchain::find(&rustc, &folder) {
                Ok(_) => say!("rustc: compiles for GPUs")?,
                Err(missing) => say!("rustc: {missing}")?,
            }
        }
    }
    Ok(())
}

/// Each of the machine's GPUs, as this process finds it. What engines hold there is theirs to tell: `%gpu`.
fn show_gpus() -> Result<(), Unprinted> {
    for number in 0.. {
        match Cuda::open(number).map(|gpu| gpu.about().state()) {
            // They are counted round.
            Ok(Ok(state)) if state.number != number => break,
            Ok(Ok(state)) => say!("GPU {}", described(&state))?,
            Ok(Err(why)) => return say!("GPU {number}: {why}"),
            Err(missing) => return say!("GPU: none; {missing}"),
        }
    }
    Ok(())
}

fn described(state: &State) -> String {
    let State { number, name, driver, capability, free, total, .. } = state;
    let driver = driver.as_ref().map(|driver| format!(", driver {driver}")).unwrap_or_default();
    let capability =
        capability.map(|(major, minor)| format!(", compute capability {major}.{minor}")).unwrap_or_default();
    format!("{number}: {name}, {} of {} free{driver}{capability}", size(*free), size(*total))
}
