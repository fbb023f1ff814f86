//! Collectives over bytes. In each, all members show what they have, a chunk at a time, and read what they need of it where
//! it is. While some read one half of the slots, others write the other.

use super::member::{Call, Kind, Member, Result};
use super::segment::CHUNK;
use std::ops::Range;
use std::sync::atomic::Ordering::SeqCst;

/// So many bytes are reduced by each member for itself: another meeting would take longer.
const SMALL: usize = 4 << 10;
/// So many bytes are reduced at once, so that what comes of them stays in the first-level cache.
const BLOCK: usize = 8 << 10;

/// The bytes of numbers, which members combine place by place.
pub(super) struct Numbers<'a> {
    pub bytes: &'a mut [u8],
    /// Of one number. A power of two, up to 16.
    pub width: usize,
    /// Which kind of number, as [`folds`](super::ops::folds) has it.
    pub kind: u8,
    /// Which of px's functions combines them, as [`NAMES`](super::ops::NAMES) has it.
    pub how: u8,
    pub fold: Fold,
}

/// Combines numbers with as many others, and puts what comes of it in the place of the first. Both are aligned.
pub(super) type Fold = fn(&mut [u8], &[u8]);

/// Whose bytes a member wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    All,
    Of(usize),
    Nobodys,
}

impl Whose {
    pub fn has(self, rank: usize) -> bool {
        self == Whose::All || self == Whose::Of(rank)
    }
}

/// A part of what a member shows.
pub(super) struct Part<'a> {
    pub rank: usize,
    /// Where it begins in all that the member shows.
    pub at: usize,
    /// How long all that is.
    pub whole: usize,
    pub bytes: &'a [u8],
}

/// A block in which numbers are aligned.
#[derive(Clone)]
#[repr(C, align(64))]
struct Block([u8; BLOCK]);

impl Member {
    fn flip(&self) -> usize {
        let half = self.half.get();
        self.half.set(1 - half);
        half
    }

    /// Shows as much of this as a chunk takes. Nobody reads this half: all have met since it was read the last time.
    fn show(&self, call: &Call<'_>, half: usize, rest: &[&[u8]], of: usize) {
        let mut at = 0;
        for piece in rest {
            let length = piece.len().min(CHUNK - at);
            // SAFETY: the chunk has room for it, and is this member's alone until all meet.
            unsafe {
                std::ptr::copy_nonoverlapping(piece.as_ptr(), self.memory.chunk(self.rank(), half).add(at), length)
            };
            at += length;
        }
        call.show(self.memory.shown(self.rank(), half), of);
    }

    /// A part of what a member shows.
    ///
    /// # Safety
    /// All must have met since it was written, and not have met twice since. Where the member writes in the meantime may
    /// not be in it.
    unsafe fn shown_bytes(&self, rank: usize, half: usize, at: Range<usize>) -> &[u8] {
        assert!(at.start <= at.end && at.end <= CHUNK);
        // SAFETY: inside the chunk, and nobody changes it, as the caller promises.
        unsafe { std::slice::from_raw_parts(self.memory.chunk(rank, half).add(at.start), at.len()) }
    }

    /// Shows `mine` to all, which may lie in several places, and passes to `take` what each member shows.
    pub fn exchange(&self, call: &Call<'_>, mine: &[&[u8]], take: &mut dyn FnMut(Part<'_>)) -> Result<()> {
        let whole = mine.iter().map(|piece| piece.len()).sum();
        let (mut at, mut rest) = (0, mine.to_vec());
        loop {
            let longest = self.step(call, at, (&rest, whole), take)?;
            at += CHUNK;
            if at >= longest {
                return Ok(());
            }
            leave_out(&mut rest, CHUNK);
        }
    }

    /// One chunk of that, `at` a place where one begins. This member shows `whole` bytes in all, of which `rest` are what
    /// begins there. Returns how long the longest is that anybody shows.
    pub fn step(
        &self,
        call: &Call<'_>,
        at: usize,
        (rest, whole): (&[&[u8]], usize),
        take: &mut dyn FnMut(Part<'_>),
    ) -> Result<usize> {
        let half = self.flip();
        self.show(call, half, rest, whole);
        self.meet(call)?;
        self.agree(call, half)?;
        let mut longest = 0;
        for rank in 0..self.size() {
            let bytes = self.memory.shown(rank, half).bytes.load(SeqCst) as usize;
            longest = longest.max(bytes);
            if at < bytes {
                // SAFETY: all have met, and this half isn't written before they have met again.
                let shown = unsafe { self.shown_bytes(rank, half, 0..(bytes - at).min(CHUNK)) };
                take(Part { rank, at, whole: bytes, bytes: shown });
            }
        }
        Ok(longest)
    }

    /// Passes to `take` what the others have for this member. `mine` is what this one has for the others, as [`row`] puts
    /// it, or nothing.
    pub fn scatter(&self, call: &Call<'_>, mine: &[&[u8]], take: &mut dyn FnMut(Part<'_>)) -> Result<()> {
        let mut ranges = vec![0..0; self.size()];
        self.exchange(call, mine, &mut |Part { rank, at, bytes, .. }| {
            let range = &mut ranges[rank];
            if at == 0 {
                *range = place(bytes, rank, self.rank(), self.size()).unwrap_or(0..0);
            }
            let end = at + bytes.len();
            let inside = range.start.clamp(at, end)..range.end.clamp(at, end);
            if !inside.is_empty() {
                let bytes = &bytes[inside.start - at..inside.end - at];
                take(Part { rank, at: inside.start - range.start, whole: range.len(), bytes });
            }
        })
    }

    /// Combines all members' numbers, place by place, in the places of these; only for `root` if there is one. Numbers are
    /// combined along a tree over the ranks, which depends on their number only. For a scan they are those of the ranks up to
    /// this one, from rank 0 on.
    pub fn reduce(&self, call: &Call<'_>, numbers: &mut Numbers<'_>) -> Result<()> {
        let (whole, fold) = (numbers.bytes.len(), numbers.fold);
        self.reduce_part(call, numbers.bytes, whole, fold)
    }

    /// The same for numbers that are a part of `whole` bytes. Parts but the last are chunks without a rest.
    pub fn reduce_part(&self, call: &Call<'_>, part: &mut [u8], whole: usize, fold: Fold) -> Result<()> {
        let levels = self.size().next_power_of_two().ilog2() as usize + 1;
        let mut levels = vec![Block([0; BLOCK]); levels];
        if part.is_empty() {
            return self.reduce_chunk(call, part, whole, &mut levels, fold);
        }
        part.chunks_mut(CHUNK).try_for_each(|values| self.reduce_chunk(call, values, whole, &mut levels, fold))
    }

    fn reduce_chunk(
        &self,
        call: &Call<'_>,
        values: &mut [u8],
        whole: usize,
        levels: &mut [Block],
        fold: Fold,
    ) -> Result<()> {
        let wanted = call.root.is_none_or(|root| root == self.rank());
        let (half, length) = (self.flip(), values.len());
        self.show(call, half, &[values], whole);
        self.meet(call)?;
        self.agree(call, half)?;
        if call.kind == Kind::Scan {
            // SAFETY: all have met, and nobody changes what is shown before they have met again.
            unsafe { self.scan(half, values, &mut levels[0], fold) };
            return Ok(());
        }
        if length <= SMALL {
            if wanted && length > 0 {
                // SAFETY: all have met.
                let combined = unsafe { self.combine(half, 0..length, levels, fold) };
                values.copy_from_slice(combined);
            }
            return Ok(());
        }
        let piece = piece(length, self.rank(), self.size());
        for begin in piece.clone().step_by(BLOCK) {
            let block = begin..(begin + BLOCK).min(piece.end);
            // SAFETY: all have met, and of this piece nobody reads before they have met again.
            unsafe {
                let combined = self.combine(half, block, levels, fold);
                let to = self.memory.chunk(self.rank(), half).add(begin);
                std::ptr::copy_nonoverlapping(combined.as_ptr(), to, combined.len());
            }
        }
        self.meet(call)?;
        for rank in (0..self.size()).filter(|_| wanted) {
            let piece = self::piece(length, rank, self.size());
            // SAFETY: all have met, so each has written its piece.
            values[piece.clone()].copy_from_slice(unsafe { self.shown_bytes(rank, half, piece) });
        }
        Ok(())
    }

    /// Puts what comes of the numbers of the ranks up to this one in the places of these.
    ///
    /// # Safety
    /// As for `shown_bytes`.
    unsafe fn scan(&self, half: usize, values: &mut [u8], block: &mut Block, fold: Fold) {
        for (number, values) in values.chunks_mut(BLOCK).enumerate() {
            let at = number * BLOCK..number * BLOCK + values.len();
            // SAFETY: as the caller promises.
            let shown = |rank| unsafe { self.shown_bytes(rank, half, at.clone()) };
            let block = &mut block.0[..values.len()];
            block.copy_from_slice(shown(0));
            (1..=self.rank()).for_each(|rank| fold(block, shown(rank)));
            values.copy_from_slice(block);
        }
    }

    /// What comes of a block of all members' numbers.
    ///
    /// # Safety
    /// As for `shown_bytes`.
    unsafe fn combine<'a>(&self, half: usize, at: Range<usize>, levels: &'a mut [Block], fold: Fold) -> &'a [u8] {
        let length = at.len();
        // SAFETY: as the caller promises.
        unsafe { self.tree(half, 0..self.size(), &at, levels, fold) };
        &levels[0].0[..length]
    }

    /// Leaves in the first level what comes of these ranks.
    ///
    /// # Safety
    /// As for `shown_bytes`.
    unsafe fn tree(&self, half: usize, ranks: Range<usize>, at: &Range<usize>, levels: &mut [Block], fold: Fold) {
        // SAFETY: as the caller promises.
        let shown = |rank| unsafe { self.shown_bytes(rank, half, at.clone()) };
        let length = at.len();
        if ranks.len() == 1 {
            return levels[0].0[..length].copy_from_slice(shown(ranks.start));
        }
        let middle = middle(&ranks);
        // SAFETY: as the caller promises.
        unsafe { self.tree(half, ranks.start..middle, at, levels, fold) };
        let Some((first, rest)) = levels.split_first_mut() else { return };
        if middle + 1 == ranks.end {
            return fold(&mut first.0[..length], shown(middle));
        }
        // SAFETY: as the caller promises.
        unsafe { self.tree(half, middle..ranks.end, at, rest, fold) };
        fold(&mut first.0[..length], &rest[0].0[..length]);
    }
}

/// Leaves out so many bytes in front.
fn leave_out(pieces: &mut [&[u8]], mut count: usize) {
    for piece in pieces {
        let length = piece.len().min(count);
        *piece = &piece[length..];
        count -= length;
    }
}

/// What a member shows that has something for each of the others: how long each of these parts is, by rank, and then the
/// parts. Its own is left out, and the first is that of the next rank, so that not all have something for the same one at
/// the same time.
pub(super) fn row<'a>(lengths: &'a [u8], parts: &[&'a [u8]], rank: usize) -> Vec<&'a [u8]> {
    let others = (1..parts.len()).map(|step| parts[(rank + step) % parts.len()]);
    std::iter::once(lengths).chain(others).collect()
}

/// What [`row`] begins with.
pub(super) fn lengths(parts: &[&[u8]]) -> Vec<u8> {
    let mut lengths: Vec<u8> = parts.iter().flat_map(|part| (part.len() as u64).to_le_bytes()).collect();
    lengths.resize(head(parts.len()), 0);
    lengths
}

/// So many bytes that no chunk ends within a number behind them.
fn head(size: usize) -> usize {
    (size * size_of::<u64>()).next_multiple_of(16)
}

/// Where in the row of a rank that of another lies.
fn place(row: &[u8], of: usize, to: usize, size: usize) -> Option<Range<usize>> {
    let length = |rank: usize| {
        let bytes = row.get(rank * size_of::<u64>()..)?.first_chunk()?;
        usize::try_from(u64::from_le_bytes(*bytes)).ok()
    };
    let mut begin = head(size);
    for rank in (1..size).map(|step| (of + step) % size) {
        let end = begin.checked_add(length(rank)?)?;
        if rank == to {
            return Some(begin..end);
        }
        begin = end;
    }
    None
}

/// Where ranks are divided: the first part is the largest power of two below their number.
pub(super) fn middle(ranks: &Range<usize>) -> usize {
    ranks.start + ranks.len().next_power_of_two() / 2
}

/// The part of so many bytes that a member combines. It begins where any number may begin.
fn piece(length: usize, rank: usize, size: usize) -> Range<usize> {
    const STEP: usize = 64;
    let each = length.div_ceil(STEP).div_ceil(size) * STEP;
    (each * rank).min(length)..(each * (rank + 1)).min(length)
}
