//! Plain values that lie in a file as in memory: its pages take the place of a `Vec`'s where that can be.

use super::rooms::{HEAD, PAGE};
use crate::sys::{is_final_but_for_mappings, map_over, read_exact, stays};
use std::fs::File;

/// Where as many bytes or more are read, files are mapped rather than copied.
const MAPPED: usize = 4 << 20;
/// For so much, glibc's malloc maps memory in any case. What isn't touched of it needs none.
const OWN_CHUNK: usize = (32 << 20) + PAGE;

/// A `Vec` of plain values, of whatever type.
pub(crate) trait Plain {
    /// Of a value, in bytes.
    fn size(&self) -> usize;
    /// Whether it has no memory yet.
    fn is_new(&self) -> bool;
    /// Where so many more values can be written, and how many values it has memory for.
    fn room(&mut self, count: usize) -> (*mut u8, usize);
    /// # Safety
    /// So many more values must be there, where [`Plain::room`] has said.
    unsafe fn filled(&mut self, count: usize);
}

impl<T> Plain for Vec<T> {
    fn size(&self) -> usize {
        size_of::<T>()
    }

    fn is_new(&self) -> bool {
        self.capacity() == 0
    }

    fn room(&mut self, count: usize) -> (*mut u8, usize) {
        self.reserve_exact(count);
        (self.spare_capacity_mut().as_mut_ptr().cast(), self.capacity())
    }

    unsafe fn filled(&mut self, count: usize) {
        // SAFETY: the caller promises that they are there.
        unsafe { self.set_len(self.len() + count) };
    }
}

/// Bytes of a file.
pub(crate) struct Stretch<'a> {
    pub(crate) file: &'a File,
    /// Whether that is a passage.
    pub(crate) passes: bool,
    pub(crate) at: u64,
    pub(crate) bytes: usize,
}

/// Where values have to begin in a file so that its pages can be mapped in place of a `Vec`'s, when so many bytes of the
/// `Vec` come from elsewhere before: `PAGE` or a little further.
pub(crate) fn place_behind(before: u64) -> u64 {
    PAGE as u64 + (HEAD + before) % PAGE as u64
}

/// Reads so many plain values, which are all of these bytes.
///
/// # Safety
/// Any bytes must be values of the type.
pub(crate) unsafe fn read_values(all: &[Stretch<'_>], count: usize, to: &mut dyn Plain) -> std::io::Result<()> {
    let bytes = all.iter().try_fold(0usize, |sum, stretch| sum.checked_add(stretch.bytes));
    if bytes.is_none() || bytes != count.checked_mul(to.size()) {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    // Values may take no bytes.
    let size = to.size().max(1);
    let replaceable = to.is_new() && bytes.is_some_and(|bytes| bytes >= MAPPED);
    let (start, capacity) = to.room(if replaceable { count.max(OWN_CHUNK / size) } else { count });
    let replaceable = replaceable && is_own_chunk(start, capacity * size);
    let mut done = 0;
    for stretch in all {
        // SAFETY: the stretches are as long as the spare capacity that was reserved, and lie one behind the other.
        unsafe {
            let place = start.add(done);
            match replaceable {
                true => read_by_mapping(stretch, place)?,
                false => read_exact(stretch.file, place, stretch.bytes, stretch.at)?,
            }
        }
        done += stretch.bytes;
    }
    // SAFETY: all of it is initialised now, and any bytes are values.
    unsafe { to.filled(count) };
    Ok(())
}

/// Puts the bytes there, by mapping the file's pages where they coincide with those of memory.
///
/// # Safety
/// So many bytes from `place` must lie in a chunk of [`is_own_chunk`] that nobody else uses, behind its header, and hold
/// nothing yet.
unsafe fn read_by_mapping(stretch: &Stretch<'_>, place: *mut u8) -> std::io::Result<()> {
    let Stretch { file, passes, at, bytes } = *stretch;
    let first = (PAGE - place as usize % PAGE) % PAGE;
    let whole = bytes.saturating_sub(first) / PAGE * PAGE;
    let coincide = place as usize % PAGE == at as usize % PAGE;
    let end = at.checked_add(bytes as u64).ok_or(std::io::ErrorKind::InvalidData)?;
    let stays_so = |file| if passes { stays(file) } else { is_final_but_for_mappings(file) };
    if coincide && whole >= PAGE && stays_so(file) && file.metadata()?.len() >= end {
        // SAFETY: glibc has mapped this chunk for just this allocation. All pages that are replaced lie inside it, are
        // whole, and hold nothing but its values, which aren't initialised yet: the chunk's header is on the page before.
        // A private mapping is memory like what was there, copied when it is written to. glibc frees such a chunk by
        // munmap of its range; to grow it, it tries mremap, which refuses a range of several mappings, and then copies
        // it; to shrink it, it unmaps the end. Each is right for this range.
        // Nobody writes to the file any more but to the numbers at the beginning of a room of results, and these pages
        // begin behind them. To a passage nobody writes before the mapping is gone, and with it the lock: whoever has sent these
        // values has ended, and the kernel hands out only those that nobody has locked.
        if unsafe { map_over(place.add(first), whole, file, at + first as u64) } {
            // SAFETY: what is before and behind the mapped pages is of these bytes, too.
            return unsafe {
                read_exact(file, place, first, at)?;
                read_exact(file, place.add(first + whole), bytes - first - whole, at + (first + whole) as u64)
            };
        }
    }
    // SAFETY: the caller says so.
    unsafe { read_exact(file, place, bytes, at) }
}

/// Whether the allocation is one that glibc's malloc has mapped on its own.
fn is_own_chunk(start: *mut u8, bytes: usize) -> bool {
    const IS_MAPPED: usize = 2;
    const FLAGS: usize = 7;
    if !cfg!(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64")) || start as usize % PAGE != 16 {
        return false;
    }
    // SAFETY: `start` is 16 bytes behind the beginning of a page that is mapped, so the 8 before it can be read.
    let size = unsafe { start.sub(8).cast::<usize>().read() };
    size & FLAGS == IS_MAPPED && size & !FLAGS == (bytes + 16).next_multiple_of(PAGE)
}
