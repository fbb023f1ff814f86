//! What becomes of a function's results in an engine, until they are reported.

use super::error::Error;
use super::rooms::{HEAD, Results as Room, SMALL};
use crate::link::Results;
use crate::wire::{Wire, as_bytes};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Results of more bytes are put where they belong.
pub(crate) const LIMIT: usize = 256 << 10;

/// Takes results of items in a row.
pub(crate) trait Output<R>: Sync {
    /// Those that aren't reported yet.
    type Batch: Send;
    /// An empty one, which begins with this item.
    fn batch(&self, first: u64) -> Self::Batch;
    /// Takes the next results, so many calls of `next`. If it unwinds, the batch has the results until then.
    fn extend(&self, batch: &mut Self::Batch, count: u64, next: impl FnMut() -> Option<R>);
    /// The next item has failed.
    fn fail(&self, batch: &mut Self::Batch, message: &str);
    /// So many items may be taken at once, so that they don't need much memory.
    fn most(&self) -> u64 {
        (LIMIT / size_of::<R>().max(4)).max(64) as u64
    }
    /// How many items it has.
    fn done(&self, batch: &Self::Batch) -> u64;
    /// Whether something panicked that can't be tried again.
    fn broken(&self, _: &Self::Batch) -> bool {
        false
    }
    /// Appends those of the following items.
    fn join(&self, batch: &mut Self::Batch, other: Self::Batch);
    /// About how many bytes it has.
    fn size(&self, batch: &Self::Batch) -> usize;
    /// Puts the results where they belong.
    fn finish(&self, batch: Self::Batch, place: &Place) -> Result<Results, Error>;
}

/// Nothing is left half changed when a thread panics with the lock.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where results go that are too large for a message.
pub(crate) struct Place {
    path: Option<String>,
    room: OnceLock<Result<Room, Error>>,
}

impl Place {
    pub(crate) fn new(path: Option<String>) -> Place {
        Place { path, room: OnceLock::new() }
    }

    fn room(&self) -> Result<&Room, Error> {
        let open = || Room::open(self.path.as_deref().ok_or(Error::Damaged)?);
        self.room.get_or_init(open).as_ref().map_err(Error::clone)
    }

    pub(crate) fn put(&self, bytes: Vec<u8>) -> Result<Results, Error> {
        if bytes.len() <= SMALL || self.path.is_none() {
            return Ok(Results::Bytes(bytes));
        }
        Ok(Results::Room(self.room()?.append(&bytes)?, bytes.len() as u64))
    }
}

/// Appends to a vector, and counts what was appended also when a function unwinds.
struct Filling<'a, R> {
    values: &'a mut Vec<R>,
    length: usize,
}

impl<R> Drop for Filling<'_, R> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: so many values were there or were written.
        unsafe { self.values.set_len(self.length) };
    }
}

#[inline(always)]
fn fill<R>(values: &mut Vec<R>, count: u64, mut next: impl FnMut() -> R) {
    values.reserve(count as usize);
    let length = values.len();
    let mut filling = Filling { values, length };
    for _ in 0..count {
        let value = next();
        // SAFETY: there is room for `count` more values.
        unsafe { filling.values.as_mut_ptr().add(filling.length).write(value) };
        filling.length += 1;
    }
}

/// Plain results, each of which has its place in the room. All items have one: those that fail end the map.
pub(crate) struct InPlace<R> {
    /// Buffers to be used again.
    spare: Mutex<Vec<Vec<R>>>,
}

impl<R> InPlace<R> {
    pub(crate) fn new() -> InPlace<R> {
        InPlace { spare: Mutex::new(Vec::new()) }
    }
}

impl<R: Wire + Send> Output<R> for InPlace<R> {
    type Batch = (u64, Vec<R>);

    fn batch(&self, first: u64) -> (u64, Vec<R>) {
        (first, lock(&self.spare).pop().unwrap_or_default())
    }

    #[inline(always)]
    fn extend(&self, (_, values): &mut (u64, Vec<R>), count: u64, mut next: impl FnMut() -> Option<R>) {
        fill(values, count, || match next() {
            Some(value) => value,
            None => unreachable!("without a filter, each item has a result"),
        });
    }

    fn fail(&self, _: &mut (u64, Vec<R>), _: &str) {}

    fn done(&self, (_, values): &(u64, Vec<R>)) -> u64 {
        values.len() as u64
    }

    fn join(&self, (_, values): &mut (u64, Vec<R>), (_, mut other): (u64, Vec<R>)) {
        values.append(&mut other);
    }

    fn size(&self, (_, values): &(u64, Vec<R>)) -> usize {
        size_of_val(values.as_slice())
    }

    fn finish(&self, (first, mut values): (u64, Vec<R>), place: &Place) -> Result<Results, Error> {
        let at = (first as usize).checked_mul(size_of::<R>()).ok_or(Error::Damaged)? as u64;
        let bytes = as_bytes(&values).ok_or(Error::Damaged)?;
        place.room()?.write(bytes, HEAD + at)?;
        values.clear();
        lock(&self.spare).push(values);
        Ok(Results::InPlace)
    }
}

/// Encoded results, behind their number. With errors kept, each has a byte in front: 1 for a result, 0 for the sentence
/// of an error.
pub(crate) struct Encoded {
    pub(crate) keep_errors: bool,
}

/// See [`Encoded`].
pub(crate) struct Encodings {
    bytes: Vec<u8>,
    /// As much of `bytes` is whole.
    good: usize,
    results: u64,
    done: u64,
}

impl<R: Wire> Output<R> for Encoded {
    type Batch = Encodings;

    fn batch(&self, _: u64) -> Encodings {
        Encodings { bytes: vec![0; 8], good: 8, results: 0, done: 0 }
    }

    #[inline(always)]
    fn extend(&self, batch: &mut Encodings, count: u64, mut next: impl FnMut() -> Option<R>) {
        batch.bytes.truncate(batch.good);
        for _ in 0..count {
            if let Some(value) = next() {
                if self.keep_errors {
                    batch.bytes.push(1);
                }
                value.put(&mut batch.bytes);
                batch.results += 1;
                batch.good = batch.bytes.len();
            }
            batch.done += 1;
        }
    }

    fn fail(&self, batch: &mut Encodings, message: &str) {
        batch.bytes.truncate(batch.good);
        if self.keep_errors {
            batch.bytes.push(0);
            message.to_owned().put(&mut batch.bytes);
            batch.results += 1;
            batch.good = batch.bytes.len();
        }
        batch.done += 1;
    }

    fn done(&self, batch: &Encodings) -> u64 {
        batch.done
    }

    fn join(&self, batch: &mut Encodings, other: Encodings) {
        batch.bytes.truncate(batch.good);
        batch.bytes.extend_from_slice(other.bytes.get(8..other.good).unwrap_or_default());
        batch.good = batch.bytes.len();
        batch.results += other.results;
        batch.done += other.done;
    }

    fn size(&self, batch: &Encodings) -> usize {
        batch.good - 8
    }

    fn finish(&self, mut batch: Encodings, place: &Place) -> Result<Results, Error> {
        batch.bytes.truncate(batch.good);
        if let Some(head) = batch.bytes.first_chunk_mut() {
            *head = batch.results.to_le_bytes();
        }
        place.put(batch.bytes)
    }
}

/// Results that stay in this engine: those of items in a row, by the first one.
pub(crate) struct Kept<R> {
    pub(crate) parts: Mutex<Vec<(u64, Vec<R>)>>,
    /// What stands for an item that failed, if anything does.
    pub(crate) error: Option<fn(&str) -> R>,
}

/// See [`Kept`].
pub(crate) struct Keeping<R> {
    first: u64,
    values: Vec<R>,
    done: u64,
}

impl<R: Send> Output<R> for Kept<R> {
    type Batch = Keeping<R>;

    fn batch(&self, first: u64) -> Keeping<R> {
        Keeping { first, values: Vec::new(), done: 0 }
    }

    #[inline(always)]
    fn extend(&self, batch: &mut Keeping<R>, count: u64, mut next: impl FnMut() -> Option<R>) {
        for _ in 0..count {
            batch.values.extend(next());
            batch.done += 1;
        }
    }

    fn fail(&self, batch: &mut Keeping<R>, message: &str) {
        batch.values.extend(self.error.map(|error| error(message)));
        batch.done += 1;
    }

    fn done(&self, batch: &Keeping<R>) -> u64 {
        batch.done
    }

    fn join(&self, batch: &mut Keeping<R>, mut other: Keeping<R>) {
        batch.values.append(&mut other.values);
        batch.done += other.done;
    }

    fn size(&self, batch: &Keeping<R>) -> usize {
        size_of_val(batch.values.as_slice())
    }

    fn finish(&self, batch: Keeping<R>, _: &Place) -> Result<Results, Error> {
        lock(&self.parts).push((batch.first, batch.values));
        Ok(Results::Bytes(Vec::new()))
    }
}
