//! What a variable's items are taken from, whatever their type: what is written around them is compiled once for all types.

use super::room::Head;
use crate::map::rooms::BLOCK;
use crate::wire::{Wire, as_bytes};
use std::ops::Range;

/// Items of one type.
pub(super) trait Source {
    fn items(&self) -> u64;
    /// How large each is in memory.
    fn size(&self) -> u64;
    /// Whether they are numbers.
    fn is_plain(&self) -> bool;
    /// Numbers as they lie in memory, in one piece or two.
    fn bytes(&self, range: &Range<u64>) -> [&[u8]; 2];
    /// Appends the encodings of every `step`-th of these items until there are enough to be written. Which would be next.
    fn encode(&self, items: Range<u64>, step: usize, to: &mut Vec<u8>) -> u64;

    /// Of so many of them, which begin there.
    fn head(&self, items: u64, start: u64, bytes: u64) -> Head {
        Head { plain: self.is_plain(), size: self.size(), items, start, bytes }
    }
}

/// Items that lie in one piece or two.
pub(super) struct Pair<'a, T>(pub &'a [T], pub &'a [T]);

impl<T> Pair<'_, T> {
    fn part(&self, range: &Range<u64>) -> [&[T]; 2] {
        let (start, end) = (range.start as usize, range.end as usize);
        let middle = self.0.len();
        let first = self.0.get(start.min(middle)..end.min(middle)).unwrap_or_default();
        let second = self.1.get(start.max(middle) - middle..end.max(middle) - middle).unwrap_or_default();
        [first, second]
    }
}

impl<T: Wire> Source for Pair<'_, T> {
    fn items(&self) -> u64 {
        (self.0.len() + self.1.len()) as u64
    }

    fn size(&self) -> u64 {
        size_of::<T>() as u64
    }

    fn is_plain(&self) -> bool {
        T::is_plain()
    }

    fn bytes(&self, range: &Range<u64>) -> [&[u8]; 2] {
        self.part(range).map(|part| as_bytes(part).unwrap_or_default())
    }

    fn encode(&self, items: Range<u64>, step: usize, to: &mut Vec<u8>) -> u64 {
        let [first, second] = self.part(&items);
        let mut next = items.start;
        for item in first.iter().chain(second).step_by(step) {
            item.put(to);
            next += step as u64;
            if to.len() >= BLOCK {
                break;
            }
        }
        next
    }
}

/// Numbers, whatever their type.
pub(super) struct Numbers<'a>(&'a dyn Source);

// SAFETY: there are only plain items in one of these, which can be read by several threads.
unsafe impl Sync for Numbers<'_> {}

impl<'a> Numbers<'a> {
    /// Of items that are plain.
    pub(super) fn of(source: &'a dyn Source) -> Numbers<'a> {
        assert!(source.is_plain(), "other items may not be read by several threads");
        Numbers(source)
    }

    pub(super) fn get(&self) -> &'a dyn Source {
        self.0
    }
}
