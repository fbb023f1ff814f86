//! A set of items that is kept as ranges.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Disjoint ranges that don't touch.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Ranges {
    /// The end of each, by its first item.
    ends: BTreeMap<u64, u64>,
    items: u64,
}

impl Ranges {
    /// How many items.
    pub fn items(&self) -> u64 {
        self.items
    }

    #[cfg(test)]
    pub fn ranges(&self) -> impl Iterator<Item = (u64, u64)> {
        self.ends.iter().map(|(&first, &end)| (first, end))
    }

    /// Adds items that aren't in it.
    pub fn insert(&mut self, mut first: u64, mut end: u64) {
        self.items += end - first;
        if let Some((&before, &until)) = self.ends.range(..first).next_back()
            && until == first
        {
            self.ends.remove(&before);
            first = before;
        }
        if let Some(until) = self.ends.remove(&end) {
            end = until;
        }
        self.ends.insert(first, end);
    }

    /// Takes the first items, so many at most, that follow each other: their first and their end.
    pub fn take(&mut self, count: u64) -> Option<(u64, u64)> {
        let (first, until) = self.ends.pop_first()?;
        let end = until.min(first.saturating_add(count));
        if end < until {
            self.ends.insert(end, until);
        }
        self.items -= end - first;
        Some((first, end))
    }
}
