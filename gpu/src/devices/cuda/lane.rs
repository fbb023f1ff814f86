//! A part of a launch on its way: items go up while the GPU works at those before, and the results of those go down.
//!
//! There are three streams, one for each way and one for the work, and a few lanes, which take turns. A lane has memory of
//! its own on both sides, which is made once: the GPU copies from and to pinned memory only while other things go on.

use super::{Loaded, Streams};
use crate::devices::Failed;
use cudarc::driver::{CudaContext, CudaEvent, CudaSlice, DevicePtr, PinnedHostSlice, result, sys};
use std::sync::Arc;
use std::time::Duration;

/// Memory on both sides, for as many bytes.
struct Room {
    here: PinnedHostSlice<u8>,
    there: CudaSlice<u8>,
}

/// See the module. What it was given last has been [finished](Lane::finish), or all streams have been waited for, before it
/// is given more.
pub struct Lane {
    items: Option<Room>,
    results: Option<Room>,
    /// The addresses of items, results and constants.
    args: PinnedHostSlice<u64>,
    args_there: CudaSlice<u64>,
    failing: PinnedHostSlice<u64>,
    uploaded: CudaEvent,
    begun: CudaEvent,
    worked: CudaEvent,
    /// It is known which item fails.
    told: CudaEvent,
    done: CudaEvent,
}

/// Where items are, or results go.
pub enum Memory<T> {
    /// On the GPU, at this address.
    There(u64),
    /// In this process.
    Here(T),
}

impl Lane {
    pub fn new(context: &Arc<CudaContext>, streams: &Streams) -> Result<Lane, Failed> {
        let timed = || context.new_event(Some(sys::CUevent_flags::CU_EVENT_DEFAULT));
        let made = || {
            // SAFETY: all that is read of them was written before.
            unsafe {
                let (args, failing) = (context.alloc_pinned_with_flags(3, 0)?, context.alloc_pinned_with_flags(1, 0)?);
                Ok((args, streams.work.alloc(3)?, failing))
            }
        };
        let (args, args_there, failing) = made().map_err(|error| streams.refused(3 * size_of::<u64>(), error))?;
        streams.work.synchronize()?;
        let (uploaded, told, done) = (context.new_event(None)?, context.new_event(None)?, context.new_event(None)?);
        let (begun, worked) = (timed()?, timed()?);
        Ok(Lane { items: None, results: None, args, args_there, failing, uploaded, begun, worked, told, done })
    }

    /// Begins to work at so many items. Of results that come here, `Here` has the number of bytes.
    pub fn start(
        &mut self,
        streams: &Streams,
        loaded: &Loaded,
        items: Memory<&[u8]>,
        results: Memory<usize>,
        count: u64,
    ) -> Result<(), Failed> {
        let Streams { up, work, down } = streams;
        let from = match items {
            Memory::There(address) => address,
            Memory::Here(bytes) => {
                let Room { here, there } = fitting(&mut self.items, streams, bytes.len())?;
                let here = part(here, bytes.len())?;
                here.copy_from_slice(bytes);
                let address = there.device_ptr(up).0;
                // SAFETY: the room there is as long, and nobody touches either until the lane is done.
                unsafe { result::memcpy_htod_async(address, here, up.cu_stream()) }?;
                address
            }
        };
        let (to, down_bytes) = match results {
            Memory::There(address) => (address, None),
            Memory::Here(bytes) => (fitting(&mut self.results, streams, bytes)?.there.device_ptr(work).0, Some(bytes)),
        };
        let args = self.args_there.device_ptr(up).0;
        let here = self.args.as_mut_slice()?;
        here.copy_from_slice(&[from, to, loaded.table]);
        // SAFETY: as above, with three numbers on each side.
        unsafe { result::memcpy_htod_async(args, here, up.cu_stream()) }?;
        self.uploaded.record(up)?;
        work.wait(&self.uploaded)?;
        // SAFETY: the module's variable has these eight bytes. Launches follow each other on this stream.
        unsafe { result::memset_d8_async(loaded.failed, 0xff, size_of::<u64>(), work.cu_stream()) }?;
        self.begun.record(work)?;
        loaded.launch(work, args, count)?;
        self.worked.record(work)?;
        // SAFETY: eight bytes on each side, and nobody reads them here until the lane is done.
        unsafe { result::memcpy_dtoh_async(self.failing.as_mut_slice()?, loaded.failed, work.cu_stream()) }?;
        self.told.record(work)?;
        down.wait(&self.told)?;
        if let (Some(bytes), Some(Room { here, there })) = (down_bytes, &mut self.results) {
            // SAFETY: as for the items, the other way.
            unsafe { result::memcpy_dtoh_async(part(here, bytes)?, there.device_ptr(down).0, down.cu_stream()) }?;
        }
        Ok(self.done.record(down)?)
    }

    /// Waits for the end, and puts the results into their place, if that is here. Returns the first item that fails, counted
    /// from this lane's first one, and how long the GPU worked.
    pub fn finish(&mut self, results: Option<&mut [u8]>) -> Result<(Option<u64>, Duration), Failed> {
        self.done.synchronize()?;
        if let (Some(results), Some(Room { here, .. })) = (results, &mut self.results) {
            results.copy_from_slice(part(here, results.len())?);
        }
        let failing = self.failing.as_slice()?.first().copied().filter(|failing| *failing != u64::MAX);
        let millis = f64::from(self.begun.elapsed_ms(&self.worked)?);
        Ok((failing, Duration::try_from_secs_f64(millis / 1e3).unwrap_or_default()))
    }
}

/// Makes the room anew if it is too short.
fn fitting<'a>(room: &'a mut Option<Room>, streams: &Streams, bytes: usize) -> Result<&'a mut Room, Failed> {
    if room.as_ref().is_none_or(|room| room.here.len() < bytes) {
        *room = None;
        let bytes = bytes.next_power_of_two();
        let there = streams.room(bytes)?;
        // SAFETY: all that is read of it was written before.
        let here = unsafe { streams.work.context().alloc_pinned_with_flags(bytes, 0) };
        let here = here.map_err(|error| streams.refused(bytes, error))?;
        *room = Some(Room { here, there });
    }
    room.as_mut().ok_or_else(|| Failed::Launch("there is no room for items".to_owned()))
}

fn part(here: &mut PinnedHostSlice<u8>, bytes: usize) -> Result<&mut [u8], Failed> {
    here.as_mut_slice()?.get_mut(..bytes).ok_or_else(|| Failed::Launch("the room for items is too short".to_owned()))
}
