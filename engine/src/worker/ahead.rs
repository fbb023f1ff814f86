//! Copies ahead: the pages that a worker shares with its snapshot are copied while it has nothing to do, so that the next cell
//! needn't wait for each that it writes to.

use super::inbox;
use crate::wire::FromWorker;
use chorus_system::{descriptors, memory};
use std::cell::Cell;
use std::os::unix::net::UnixStream;
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// As much of all memory stays available, as one over this.
const SPARED: u64 = 2;

/// Copies what there is memory for, until something comes over this socket.
pub fn copy(channel: &UnixStream) -> Option<FromWorker> {
    let held = memory::held().ok()?;
    let room = room().min(held);
    let nothing_comes = || !inbox::has_order() && !descriptors::is_readable(channel);
    // Others may take memory meanwhile.
    let (all, until_asked) = (Cell::new(0_u32), 8);
    let goes_on = || {
        all.set(all.get() + 1);
        nothing_comes() && (!all.get().is_multiple_of(until_asked) || host_room() > 0)
    };
    let copied = memory::own_pages(room, goes_on).ok()?;
    Some(FromWorker::Ahead(copied))
}

/// How many bytes may be taken: of the host's memory, or that of a group of processes which has a limit.
fn room() -> u64 {
    host_room().min(group_room().unwrap_or(u64::MAX))
}

fn host_room() -> u64 {
    memory::available().map_or(0, |(available, all)| available.saturating_sub(all / SPARED))
}

fn group_room() -> Option<u64> {
    let own = Pid::from_u32(std::process::id());
    let mut system = System::new().ok()?;
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[own]), false, ProcessRefreshKind::nothing());
    let limits = system.process(own)?.cgroup_limits()?;
    Some(limits.free_memory.saturating_sub(limits.total_memory / SPARED))
}
