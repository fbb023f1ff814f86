//! What becomes of a function's results in an engine, until they are reported.

use super::error::Error;
use super::rooms::{HEAD, Results as Room, SMALL, is_elsewhere};
use crate::link::Results;
use crate::wire::Wire;
use std::any::Any;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Results of more bytes are put where they belong.
pub(crate) const LIMIT: usize = 256 << 10;

/// So many times more results may be taken at once of a GPU: a part of a piece is too little to copy while it works.
const ON_GPU: u64 = 64;

/// Results that aren't reported yet. What is in it is the output's business.
pub(crate) type Batch = Box<dyn Any + Send>;

/// What becomes of the results of items in a row. There is more of it than of a function's own code, so where it can be, it
/// is compiled once and not in each cell.
pub(crate) trait Output: Sync {
    /// An empty one, which begins with this item.
    fn batch(&self, first: u64) -> Batch;
    /// The next item has failed.
    fn fail(&self, batch: &mut Batch, message: &str);
    /// So many items may be taken at once, so that they don't need much memory.
    fn most(&self) -> u64;
    /// The same for a GPU, for which it should be many.
    fn most_on_gpu(&self) -> u64 {
        self.most()
    }
    /// How many items it has.
    fn done(&self, batch: &mut Batch) -> u64;
    /// Whether somebody waits for each result.
    fn is_awaited(&self) -> bool {
        false
    }
    /// Whether something panicked that can't be tried again.
    fn broken(&self, _: &mut Batch) -> bool {
        false
    }
    /// Appends those of the following items.
    fn join(&self, batch: &mut Batch, other: Batch);
    /// About how many bytes it has.
    fn size(&self, batch: &mut Batch) -> usize;
    /// Puts the results where they belong.
    fn finish(&self, batch: Batch, place: &LargeResults) -> Result<Results, Error>;
}

/// A batch as the output that made it knows it.
pub(crate) fn own<B: 'static>(batch: &mut Batch) -> &mut B {
    match batch.downcast_mut() {
        Some(own) => own,
        None => unreachable!("a batch stays with the output that made it"),
    }
}

/// So many items of this size may be taken at once.
pub(crate) fn most(size: usize) -> u64 {
    (LIMIT / size.max(4)).max(64) as u64
}

/// Nothing is left half changed when a thread panics with the lock.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where results go that are too large for a message.
pub(crate) struct LargeResults {
    path: Option<String>,
    room: OnceLock<Result<Room, Error>>,
    far: OnceLock<bool>,
}

impl LargeResults {
    pub(crate) fn new(path: Option<String>) -> LargeResults {
        LargeResults { path, room: OnceLock::new(), far: OnceLock::new() }
    }

    /// Whether the room is on another host. To write there takes a message and its answer.
    fn is_far(&self) -> bool {
        *self.far.get_or_init(|| self.path.as_deref().is_some_and(is_elsewhere))
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

/// Bytes of results that leave this engine.
pub(crate) struct Sending {
    form: Form,
    /// Of a result in memory.
    size: usize,
    /// Buffers to be used again.
    spare: Mutex<Vec<Vec<u8>>>,
}

/// How results are sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Plain ones, each of which has its place in the room. All items have one: those that fail end the map.
    InPlace,
    /// Encoded, behind their number.
    Encoded,
    /// Encoded, too; each has a byte in front: 1 for a result, 0 for the sentence of an error.
    WithErrors,
    /// Encoded, and each item has a byte in front, so that its number is known: 1 for a result, 0 for the sentence of an
    /// error, 2 if it has neither.
    Streamed,
}

/// The batch of [`Sending`].
pub(crate) struct Encodings {
    first: u64,
    bytes: Vec<u8>,
    /// As much of `bytes` is whole.
    good: usize,
    results: u64,
    done: u64,
}

impl Sending {
    pub(crate) fn new(form: Form, size: usize) -> Sending {
        Sending { form, size, spare: Mutex::new(Vec::new()) }
    }

    /// Before the results is room for their number.
    fn head(&self) -> usize {
        if self.form == Form::InPlace { 0 } else { size_of::<u64>() }
    }
}

impl Output for Sending {
    fn batch(&self, first: u64) -> Batch {
        let mut bytes = lock(&self.spare).pop().unwrap_or_default();
        bytes.resize(self.head(), 0);
        Box::new(Encodings { first, good: bytes.len(), bytes, results: 0, done: 0 })
    }

    fn most(&self) -> u64 {
        most(self.size)
    }

    fn most_on_gpu(&self) -> u64 {
        most(self.size) * ON_GPU
    }

    fn is_awaited(&self) -> bool {
        self.form == Form::Streamed
    }

    fn fail(&self, batch: &mut Batch, message: &str) {
        let batch = own::<Encodings>(batch);
        batch.bytes.truncate(batch.good);
        if matches!(self.form, Form::WithErrors | Form::Streamed) {
            batch.bytes.push(0);
            message.to_owned().put(&mut batch.bytes);
            batch.results += 1;
            batch.good = batch.bytes.len();
        }
        batch.done += 1;
    }

    fn done(&self, batch: &mut Batch) -> u64 {
        own::<Encodings>(batch).done
    }

    fn join(&self, batch: &mut Batch, mut other: Batch) {
        let (batch, other) = (own::<Encodings>(batch), own::<Encodings>(&mut other));
        batch.bytes.truncate(batch.good);
        batch.bytes.extend_from_slice(other.bytes.get(self.head()..other.good).unwrap_or_default());
        batch.good = batch.bytes.len();
        batch.results += other.results;
        batch.done += other.done;
        let mut spare = std::mem::take(&mut other.bytes);
        spare.clear();
        lock(&self.spare).push(spare);
    }

    fn size(&self, batch: &mut Batch) -> usize {
        own::<Encodings>(batch).good - self.head()
    }

    fn finish(&self, mut batch: Batch, place: &LargeResults) -> Result<Results, Error> {
        let batch = own::<Encodings>(&mut batch);
        batch.bytes.truncate(batch.good);
        let mut bytes = std::mem::take(&mut batch.bytes);
        if self.form != Form::InPlace {
            if let Some(head) = bytes.first_chunk_mut() {
                *head = batch.results.to_le_bytes();
            }
            return place.put(bytes);
        }
        if bytes.len() <= SMALL && place.is_far() {
            // With the report, which the engine needn't wait for.
            let mut message = batch.results.to_le_bytes().to_vec();
            message.append(&mut bytes);
            lock(&self.spare).push(bytes);
            return Ok(Results::Bytes(message));
        }
        let at = (batch.first as usize).checked_mul(self.size).ok_or(Error::Damaged)? as u64;
        place.room()?.write(&bytes, HEAD + at)?;
        bytes.clear();
        lock(&self.spare).push(bytes);
        Ok(Results::InPlace)
    }
}

impl Encodings {
    /// Room for so many more bytes, in which nothing is yet.
    #[inline(never)]
    fn room(&mut self, bytes: usize) -> *mut u8 {
        self.bytes.truncate(self.good);
        self.bytes.reserve(bytes);
        self.bytes.spare_capacity_mut().as_mut_ptr().cast()
    }

    /// # Safety
    /// So many values of this size without padding must be there.
    #[inline(never)]
    unsafe fn filled(&mut self, values: usize, size: usize) {
        self.good += values * size;
        self.done += values as u64;
        self.results += values as u64;
        // SAFETY: the caller promises that the bytes are there.
        unsafe { self.bytes.set_len(self.good) };
    }

    /// Takes plain results as they are, so many calls of `next`. If it unwinds, those until then are there.
    #[inline(always)]
    pub(crate) fn fill<R: Wire>(&mut self, count: u64, mut next: impl FnMut() -> R) {
        assert!(R::is_plain());
        let room = self.room(count as usize * size_of::<R>()).cast::<Packed<R>>();
        let mut filling = Filling { batch: self, size: size_of::<R>(), done: 0 };
        while filling.done < count as usize {
            let value = next();
            // SAFETY: there is room for `count` more values. It may begin anywhere.
            unsafe { room.wrapping_add(filling.done).write(Packed(value)) };
            filling.done += 1;
        }
    }

    /// Takes results, so many calls of `next`. If it unwinds, those until then are there.
    #[inline(always)]
    pub(crate) fn encode<R: Wire>(&mut self, count: u64, with_errors: bool, mut next: impl FnMut() -> Option<R>) {
        self.bytes.truncate(self.good);
        for _ in 0..count {
            if let Some(value) = next() {
                if with_errors {
                    1u8.put(&mut self.bytes);
                }
                value.put(&mut self.bytes);
                self.results += 1;
                self.good = self.bytes.len();
            }
            self.done += 1;
        }
    }

    /// The same, with a mark for each item: see [`Form::Streamed`].
    #[inline(always)]
    pub(crate) fn mark<R: Wire>(&mut self, count: u64, mut next: impl FnMut() -> Option<R>) {
        self.bytes.truncate(self.good);
        for _ in 0..count {
            match next() {
                Some(value) => {
                    1u8.put(&mut self.bytes);
                    value.put(&mut self.bytes);
                }
                None => 2u8.put(&mut self.bytes),
            }
            self.results += 1;
            self.good = self.bytes.len();
            self.done += 1;
        }
    }
}

/// A value that may begin anywhere. In cells, std's functions for such places check each time that they don't overlap.
#[repr(C, packed)]
pub(crate) struct Packed<T>(pub(crate) T);

/// Counts what was written also when a function unwinds.
struct Filling<'a> {
    batch: &'a mut Encodings,
    size: usize,
    done: usize,
}

impl Drop for Filling<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: `fill` has written so many more values, which have no padding, since they are plain.
        unsafe { self.batch.filled(self.done, self.size) }
    }
}

/// Results that stay in this engine: those of items in a row, by the first one.
pub(crate) struct Kept<R> {
    pub(crate) parts: Mutex<Vec<(u64, Vec<R>)>>,
    /// What stands for an item that failed, if anything does.
    pub(crate) error: Option<fn(&str) -> R>,
}

/// The batch of [`Kept`].
pub(crate) struct Keeping<R> {
    first: u64,
    values: Vec<R>,
    done: u64,
}

impl<R> Keeping<R> {
    /// Takes results, so many calls of `next`. If it unwinds, those until then are there.
    #[inline(always)]
    pub(crate) fn extend(&mut self, count: u64, mut next: impl FnMut() -> Option<R>) {
        for _ in 0..count {
            self.values.extend(next());
            self.done += 1;
        }
    }
}

impl<R: Send + 'static> Output for Kept<R> {
    fn batch(&self, first: u64) -> Batch {
        Box::new(Keeping::<R> { first, values: Vec::new(), done: 0 })
    }

    fn most(&self) -> u64 {
        most(size_of::<R>())
    }

    fn fail(&self, batch: &mut Batch, message: &str) {
        let batch = own::<Keeping<R>>(batch);
        batch.values.extend(self.error.map(|error| error(message)));
        batch.done += 1;
    }

    fn done(&self, batch: &mut Batch) -> u64 {
        own::<Keeping<R>>(batch).done
    }

    fn join(&self, batch: &mut Batch, mut other: Batch) {
        let (batch, other) = (own::<Keeping<R>>(batch), own::<Keeping<R>>(&mut other));
        batch.values.append(&mut other.values);
        batch.done += other.done;
    }

    fn size(&self, batch: &mut Batch) -> usize {
        size_of_val(own::<Keeping<R>>(batch).values.as_slice())
    }

    fn finish(&self, mut batch: Batch, _: &LargeResults) -> Result<Results, Error> {
        let batch = own::<Keeping<R>>(&mut batch);
        let count = batch.values.len() as u64;
        lock(&self.parts).push((batch.first, std::mem::take(&mut batch.values)));
        // How many there are, for whoever looks for them later.
        Ok(Results::Bytes(count.to_le_bytes().to_vec()))
    }
}
