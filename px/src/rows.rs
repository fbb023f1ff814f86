//! What has many items of one kind: of it, those at the ends can be shown without formatting all.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::fmt::Debug;
use std::rc::Rc;
use std::sync::Arc;

/// Takes an item, with its key if it is a map's.
pub type Take<'a> = &'a mut dyn FnMut(Option<&dyn Debug>, &dyn Debug);

/// A list, a set or a map.
#[doc(hidden)]
pub trait Rows: Debug {
    /// The bracket that its text begins with.
    fn open(&self) -> char;

    /// How many items there are.
    fn rows(&self) -> usize;

    /// Hands out the first `count`.
    fn first_rows(&self, count: usize, take: Take<'_>);

    /// Hands out the last `count`, in order; none where they can't be reached without passing all.
    fn last_rows(&self, count: usize, take: Take<'_>);
}

impl<T: Debug> Rows for [T] {
    fn open(&self) -> char {
        '['
    }

    fn rows(&self) -> usize {
        self.len()
    }

    fn first_rows(&self, count: usize, take: Take<'_>) {
        for item in &self[..count.min(self.len())] {
            take(None, item);
        }
    }

    fn last_rows(&self, count: usize, take: Take<'_>) {
        for item in &self[self.len().saturating_sub(count)..] {
            take(None, item);
        }
    }
}

impl<T: Debug> Rows for VecDeque<T> {
    fn open(&self) -> char {
        '['
    }

    fn rows(&self) -> usize {
        self.len()
    }

    fn first_rows(&self, count: usize, take: Take<'_>) {
        self.iter().take(count).for_each(|item| take(None, item));
    }

    fn last_rows(&self, count: usize, take: Take<'_>) {
        self.iter().skip(self.len().saturating_sub(count)).for_each(|item| take(None, item));
    }
}

impl<T: Debug> Rows for Vec<T> {
    fn open(&self) -> char {
        '['
    }

    fn rows(&self) -> usize {
        self.len()
    }

    fn first_rows(&self, count: usize, take: Take<'_>) {
        self.as_slice().first_rows(count, take);
    }

    fn last_rows(&self, count: usize, take: Take<'_>) {
        self.as_slice().last_rows(count, take);
    }
}

impl<T: Debug, const N: usize> Rows for [T; N] {
    fn open(&self) -> char {
        '['
    }

    fn rows(&self) -> usize {
        N
    }

    fn first_rows(&self, count: usize, take: Take<'_>) {
        self.as_slice().first_rows(count, take);
    }

    fn last_rows(&self, count: usize, take: Take<'_>) {
        self.as_slice().last_rows(count, take);
    }
}

impl<K: Debug, V: Debug, S> Rows for HashMap<K, V, S> {
    fn open(&self) -> char {
        '{'
    }

    fn rows(&self) -> usize {
        HashMap::len(self)
    }

    fn first_rows(&self, count: usize, take: Take<'_>) {
        self.iter().take(count).for_each(|(key, value)| take(Some(key), value));
    }

    fn last_rows(&self, _: usize, _: Take<'_>) {}
}

impl<K: Debug, V: Debug> Rows for BTreeMap<K, V> {
    fn open(&self) -> char {
        '{'
    }

    fn rows(&self) -> usize {
        BTreeMap::len(self)
    }

    fn first_rows(&self, count: usize, take: Take<'_>) {
        self.iter().take(count).for_each(|(key, value)| take(Some(key), value));
    }

    fn last_rows(&self, count: usize, take: Take<'_>) {
        let last: Vec<_> = self.iter().rev().take(count).collect();
        last.into_iter().rev().for_each(|(key, value)| take(Some(key), value));
    }
}

impl<T: Debug, S> Rows for HashSet<T, S> {
    fn open(&self) -> char {
        '{'
    }

    fn rows(&self) -> usize {
        HashSet::len(self)
    }

    fn first_rows(&self, count: usize, take: Take<'_>) {
        self.iter().take(count).for_each(|item| take(None, item));
    }

    fn last_rows(&self, _: usize, _: Take<'_>) {}
}

impl<T: Debug> Rows for BTreeSet<T> {
    fn open(&self) -> char {
        '{'
    }

    fn rows(&self) -> usize {
        BTreeSet::len(self)
    }

    fn first_rows(&self, count: usize, take: Take<'_>) {
        self.iter().take(count).for_each(|item| take(None, item));
    }

    fn last_rows(&self, count: usize, take: Take<'_>) {
        let last: Vec<_> = self.iter().rev().take(count).collect();
        last.into_iter().rev().for_each(|item| take(None, item));
    }
}

macro_rules! pointers {
    ($($type:ty)*) => {$(
        impl<R: Rows + ?Sized> Rows for $type {
            fn open(&self) -> char {
                (**self).open()
            }

            fn rows(&self) -> usize {
                (**self).rows()
            }

            fn first_rows(&self, count: usize, take: Take<'_>) {
                (**self).first_rows(count, take);
            }

            fn last_rows(&self, count: usize, take: Take<'_>) {
                (**self).last_rows(count, take);
            }
        }
    )*};
}

pointers!(&R &mut R Box<R> Rc<R> Arc<R>);
