//! What a worker does before it loads anything: it leaves its keeper behind, ties its life to it, and puts its sockets
//! where cells don't meet them.

use super::keeper;
use chorus_system::parent::{AtItsEnd, die_with};
use chorus_system::{descriptors, fork, group, process, signal};
use std::io::{self, Write};
use std::os::unix::net::UnixStream;

/// What connects a worker to the others.
pub struct Ends {
    /// The socket to the supervisor.
    pub control: UnixStream,
    /// Over which a frozen copy is told to go on.
    pub gate: UnixStream,
    /// The parent of the worker and of its copies.
    pub keeper: u32,
}

/// Returns in the worker; the process that this is called in becomes its keeper. The socket to the supervisor arrives as
/// stdin, and the other descriptors over it.
pub fn set_up() -> io::Result<Ends> {
    let supervisor = std::env::args().next_back().and_then(|id| id.parse().ok());
    let supervisor = supervisor.ok_or_else(|| io::Error::other("its last argument isn't a process id"))?;
    signal::heed_interrupts()?;
    // A group of its own: what is sent to the supervisor's group, such as a terminal's Ctrl-C, isn't for workers.
    group::lead()?;
    die_with(supervisor, AtItsEnd::Terminate).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::other(format!("process {supervisor} isn't its parent, or is gone")),
        _ => error,
    })?;
    let [stdin, keeping, gate] = descriptors::receive(io::stdin())?
        .try_into()
        .map_err(|_| io::Error::other("its descriptors didn't come with it"))?;
    let keeper = std::process::id();
    // SAFETY: this process has no other thread: `worker_main` is called before any is started.
    if let Some(worker) = unsafe { fork::child() }? {
        drop((stdin, gate));
        keeper::keep(worker, keeping.into())
    }
    drop(keeping);
    // A group of its own, so that what cells start ends with the worker, and its copies don't.
    group::lead()?;
    live_with(keeper)?;
    let control = descriptors::move_away(io::stdin())?;
    let gate = descriptors::move_away(gate)?;
    descriptors::set_stdin(&stdin)?;
    Ok(Ends { control: control.into(), gate: gate.into(), keeper })
}

/// Ends this process, the worker, with its keeper. What cells started ends with them.
pub fn live_with(keeper: u32) -> io::Result<()> {
    die_with(keeper, AtItsEnd::EndGroup)
}

/// Ends this process if its output is closed: nobody would hear of panics any more, nor see a result.
pub fn need_output() {
    if !descriptors::has_output() {
        let _ = io::stderr().write_all(b"the cell has closed its standard output or error\n");
        process::leave(1)
    }
}
