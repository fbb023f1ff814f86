//! Copies ahead: the pages that a worker shares with its snapshot are copied while it has nothing to do, so that the next cell
//! needn't wait for each that it writes to.

use super::inbox;
use crate::wire::FromWorker;
use chorus_system::{descriptors, memory};
use std::os::unix::net::UnixStream;

/// As much of all memory stays available, as one over this.
const SPARED: u64 = 2;
/// What a worker holds must be so much less than what is available. Memory that is taken here isn't there for the next cell's
/// own, and a cell that fits mustn't fail for it.
const TIMES: u64 = 8;

/// Copies all of it, if there is memory enough, until something comes over this socket. `None` if there isn't.
pub fn copy(channel: &UnixStream) -> Option<FromWorker> {
    let held = memory::held().ok()?;
    if held > host_room().min(group_room().unwrap_or(u64::MAX)) {
        return None;
    }
    let nothing_comes = || !inbox::has_order() && !descriptors::is_readable(channel);
    // Others may take memory meanwhile: it is looked again every few steps.
    let mut steps = 0_u32;
    let goes_on = || {
        steps += 1;
        nothing_comes() && (!steps.is_multiple_of(8) || host_room() > 0)
    };
    memory::own_pages(held, goes_on).ok().map(FromWorker::Ahead)
}

/// How many bytes may be taken where so many of all are available.
fn room(available: u64, all: u64) -> u64 {
    (available / TIMES).min(available.saturating_sub(all / SPARED))
}

/// Of the host's memory.
fn host_room() -> u64 {
    memory::available().map_or(0, |(available, all)| room(available, all))
}

/// The same for a group of processes that has a limit.
fn group_room() -> Option<u64> {
    memory::available_to_group().map(|(available, all)| room(available, all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_the_next_cell_may_need_is_left() {
        let mib = |mib: u64| mib << 20;
        assert_eq!(room(mib(16_000), mib(24_000)), mib(2_000));
        assert_eq!(room(mib(13_000), mib(24_000)), mib(1_000));
        assert_eq!(room(mib(11_000), mib(24_000)), 0);
        // A worker that holds 200 MB of its group's 600 keeps room for others of 320.
        assert!(room(mib(390), mib(600)) < mib(50));
    }
}
