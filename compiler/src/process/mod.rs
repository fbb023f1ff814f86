//! evcxr in a process of its own, so that a crash of it, or its memory, isn't the kernel's.
//!
//! evcxr needs seconds to start. So one process of this kind is a *template*: it starts evcxr, and then makes a copy of
//! itself for each kernel that asks, which takes milliseconds; what none of them changes, they share in memory. Where that
//! can't be, each kernel has a process that starts for it.

pub(crate) mod assist;
pub(crate) mod context;
pub(crate) mod evaluator;
pub(crate) mod finder;
pub(crate) mod interrupt;
pub(crate) mod message;
mod relay;
mod serve;
pub(crate) mod snapshots;
pub(crate) mod starting;
pub(crate) mod template;

pub use relay::relay_main;

use crate::process::interrupt::{Interrupter, kill_builds};
use chorus_system::{descriptors, group};
use context::Context;
use message::Begin;
use serve::Server;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The file in the process's folder that says how it is to begin.
pub(crate) const BEGIN: &str = "begin";

/// rust-analyzer recurses deeply on large expressions.
const STACK: usize = 64 << 20;

/// The program of a compiler's process, whose folder this is. Its standard input is the socket where it waits for kernels, or that
/// of its only kernel.
///
/// # Safety
///
/// Only while the program has one thread, as for [`std::env::set_var`].
pub unsafe fn compiler_main(folder: &Path) -> ExitCode {
    let started = (|| {
        let begin: Begin = message::receive(&mut File::open(folder.join(BEGIN))?)?;
        let place = BuildFolder::open(&begin.folder)?;
        // SAFETY: the caller promises that there is no other thread.
        unsafe { crate::toolchain::prepare_builds(&place.name) };
        // What a kernel's terminal sends is for the kernel, which tells of it.
        let _ = group::leave_session();
        let socket = descriptors::move_away(io::stdin())?;
        descriptors::set_stdin(File::open("/dev/null")?)?;
        let run = std::thread::Builder::new().name("compiler".into()).stack_size(STACK);
        let folder = folder.to_owned();
        run.spawn(move || run_in(&begin, &folder, place, socket))
    })();
    // A copy ends with the thread that serves it.
    match started.map(|thread| thread.join()) {
        Ok(Ok(Ok(()))) => ExitCode::SUCCESS,
        Ok(Ok(Err(error))) | Err(error) => {
            eprintln!("chorus compiler: {}: {error}", folder.display());
            ExitCode::FAILURE
        }
        Ok(Err(_)) => ExitCode::FAILURE,
    }
}

fn run_in(begin: &Begin, folder: &Path, place: BuildFolder, socket: OwnedFd) -> io::Result<()> {
    let interrupter = Interrupter::default();
    interrupter.on_interrupt(|_| kill_builds());
    let started = Context::start(begin, &place.name, &interrupter);
    let server =
        started.map(|(context, base)| Server { context, base, place, folder: begin.folder.clone(), interrupter });
    match begin.template {
        Some(template) => template::run(template, server, &socket.into(), folder),
        None => serve::alone(server, socket.into()),
    }
}

/// The folder where everything is built, under a name that means another one in a copy of this process: that of an open
/// descriptor, which compilers inherit. evcxr and rust-analyzer can't be told of another folder once they have begun.
struct BuildFolder {
    folder: OwnedFd,
    name: PathBuf,
}

impl BuildFolder {
    fn open(folder: &Path) -> io::Result<BuildFolder> {
        let folder = OwnedFd::from(File::open(folder)?);
        descriptors::inherit(&folder)?;
        let name = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()));
        Ok(BuildFolder { folder, name })
    }

    /// Has the name mean this folder. Takes no memory from the allocator.
    fn put(&self, other: impl AsFd) -> io::Result<()> {
        descriptors::put_in_place(other, self.folder.as_raw_fd(), descriptors::Programs::Inherit)
    }
}
