//! Whether a map has come to its end, for engines that keep its results: they become a variable when all engines have theirs,
//! and not before. The kernel's word stands in the room of results, where an engine looks for it: the last thing that
//! engines are told otherwise is that there are no more items, which may be for any reason.

use super::error::{Error, ask};
use super::failed;
use super::rooms::{RoomFile, VERDICT};
use crate::host::argument;
use crate::link::{Ask, Done, Failures, GpuTimes, Message as _, Results, Serve};
use std::time::Duration;

const WHOLE: u64 = 1;
const ENDED: u64 = 2;

/// Between two looks, at first and at last.
const SOON: Duration = Duration::from_micros(100);
const LATE: Duration = Duration::from_millis(20);

/// For the kernel: what engines find in this room that keep results of a map. An error if it couldn't be put there: then they
/// go on waiting.
pub fn tell_verdict(room: &str, is_whole: bool) -> Result<(), Error> {
    let word = if is_whole { WHOLE } else { ENDED };
    RoomFile::open(room)?.write(room, &word.to_le_bytes(), VERDICT)
}

/// What this engine has kept of items of its own or of the notebook's, if the map has come to its end. Otherwise ends the
/// cell, which so leaves the variable as it was.
#[track_caller]
pub(super) fn kept<T>(served: Result<T, Error>, is_own: bool) -> T {
    match served.and_then(|kept| Ok(is_whole(is_own)?.then_some(kept))) {
        Ok(Some(kept)) => kept,
        // The notebook says why.
        Ok(None) => std::panic::resume_unwind(Box::new("the map didn't come to its end")),
        Err(error) => failed(error),
    }
}

/// Waits for the kernel's word.
#[inline(never)]
fn is_whole(is_own: bool) -> Result<bool, Error> {
    let rooms = Serve::decode(&argument())?.rooms;
    let name = rooms.last().ok_or(Error::Damaged)?;
    let room = RoomFile::open(name)?;
    if is_own {
        // Nobody else knows when an engine has done all of them.
        let (gpu, failed) = (GpuTimes::default(), Failures::default());
        ask(&Ask::Report(vec![Done { first: 0, count: 0, micros: 0, gpu, results: Results::Nothing, failed }]))?;
    }
    let mut pause = SOON;
    loop {
        let mut word = [0; 8];
        if room.read(name, &mut word, VERDICT)? == word.len() {
            match u64::from_le_bytes(word) {
                0 => {}
                word => return Ok(word == WHOLE),
            }
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(LATE);
    }
}
