//! The local side of a map's end: what the engines have done becomes one value.

use super::error::Error;
use super::fold::{CountFold, Fold, MeanFold, Number, ReduceFold, SumFold, Wide, larger, smaller};
use super::rooms::{HEAD, open};
use super::tree::Tree;
use super::values::{Plain, Stretch, read_values};
use crate::link::{Done, Message as _, Results};
use crate::wire::{Wire, get_vec};
use std::fs::File;
use std::marker::PhantomData;
use std::os::unix::fs::FileExt as _;

/// What a map's function did: on an engine it has served, in the notebook it has a result.
pub struct Outcome<K: Kind>(pub(crate) Result<Option<K::Value>, Error>);

/// A way in which a map ends.
pub trait Kind {
    /// Its result.
    type Value: 'static;
    /// How many bytes an item's result has in the room for results; 0 if it has no place of its own.
    fn size() -> usize {
        0
    }
    /// Whether the errors of items that fail are in it.
    #[doc(hidden)]
    const HAS_ERRORS: bool = false;
    /// Whether items are handed out piece by piece also where engines have them, each to the engine that has it.
    #[doc(hidden)]
    const IN_PIECES: bool = false;
    /// Makes the result of what the engines have done.
    fn merge(ended: &Ended) -> Result<Self::Value, Error>;
    /// The same where the map's function is at hand, which `body` calls. Most ends don't need it.
    #[doc(hidden)]
    fn merge_by(ended: &Ended, body: impl FnOnce() -> Result<Outcome<Self>, Error>) -> Result<Self::Value, Error>
    where
        Self: Sized,
    {
        let _ = body;
        Self::merge(ended)
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        pub struct $name<R>(PhantomData<R>);
    )*};
}

kinds! {
    /// All results.
    Collect
    /// All results and the errors of items without.
    CollectErrors
    /// Results that stay in the engine.
    Keep
    /// A sum.
    Sum
    /// A mean.
    Mean
    /// A minimum.
    Smallest
    /// A maximum.
    Largest
    /// What a function of the user's makes.
    Reduce
}
/// A number of results.
pub struct Count;
/// Results that each engine puts where they stay.
pub struct Stays;

/// Its value is how many there are.
impl Kind for Stays {
    type Value = u64;

    fn merge(ended: &Ended) -> Result<u64, Error> {
        if ended.so_far {
            let what = "results that stay on the engines get their name when all are there: `get()` waits for that";
            return Err(Error::Failed(what.to_owned()));
        }
        let mut results = 0;
        ended.each(&mut |_, bytes| {
            results += u64::get(bytes)?;
            Ok(())
        })?;
        Ok(results)
    }
}

impl<R: Wire> Kind for Collect<R> {
    type Value = Vec<R>;

    fn size() -> usize {
        if R::is_plain() { size_of::<R>() } else { 0 }
    }

    fn merge(ended: &Ended) -> Result<Vec<R>, Error> {
        let mut values = Vec::new();
        if R::is_plain() {
            // SAFETY: any bytes are a plain value.
            return unsafe { ended.plain(&mut values) }.map(|()| values);
        }
        ended.each(&mut |_, bytes| {
            let count = u64::get(bytes)?;
            if values.is_empty() {
                values = get_vec(count, bytes)?;
            } else {
                values.extend(get_vec::<R>(count, bytes)?);
            }
            Ok(())
        })?;
        Ok(values)
    }
}

impl<R: Wire> Kind for CollectErrors<R> {
    type Value = Vec<Result<R, String>>;
    const HAS_ERRORS: bool = true;

    fn merge(ended: &Ended) -> Result<Self::Value, Error> {
        let mut values = Vec::new();
        for done in &ended.done {
            if done.results == Results::Nothing {
                let why = done.failed.first.first().map(|failure| failure.message.clone()).unwrap_or_default();
                values.extend((0..done.count).map(|_| Err(why.clone())));
                continue;
            }
            ended.with_bytes(done, &mut |bytes| {
                for _ in 0..u64::get(bytes)? {
                    values.push(match u8::get(bytes)? {
                        0 => Err(String::get(bytes)?),
                        _ => Ok(R::get(bytes)?),
                    });
                }
                Ok(())
            })?;
        }
        Ok(values)
    }
}

impl<R: 'static> Kind for Keep<R> {
    type Value = Vec<R>;

    fn merge(_: &Ended) -> Result<Vec<R>, Error> {
        Err(Error::Damaged)
    }
}

impl<R: Number> Kind for Sum<R> {
    type Value = R;

    fn merge(ended: &Ended) -> Result<R, Error> {
        folded(ended, &SumFold::<R>(PhantomData)).and_then(present)
    }
}

impl<R> Kind for Mean<R> {
    type Value = Option<f64>;

    fn merge(ended: &Ended) -> Result<Option<f64>, Error> {
        folded(ended, &MeanFold).map(mean)
    }
}

impl Kind for Count {
    type Value = u64;

    fn merge(ended: &Ended) -> Result<u64, Error> {
        folded(ended, &CountFold).map(Option::unwrap_or_default)
    }
}

impl<R: Wire + Send + PartialOrd> Kind for Smallest<R> {
    type Value = Option<R>;

    fn merge(ended: &Ended) -> Result<Option<R>, Error> {
        folded(ended, &ReduceFold(smaller::<R>, PhantomData)).map(Option::flatten)
    }
}

impl<R: Wire + Send + PartialOrd> Kind for Largest<R> {
    type Value = Option<R>;

    fn merge(ended: &Ended) -> Result<Option<R>, Error> {
        folded(ended, &ReduceFold(larger::<R>, PhantomData)).map(Option::flatten)
    }
}

impl<R: 'static> Kind for Reduce<R> {
    type Value = Option<R>;

    fn merge(_: &Ended) -> Result<Option<R>, Error> {
        Err(Error::NoMerging)
    }

    fn merge_by(_: &Ended, body: impl FnOnce() -> Result<Outcome<Self>, Error>) -> Result<Option<R>, Error> {
        body()?.0?.ok_or(Error::Damaged)
    }
}

/// A sum, which began with -0.0 if it is of floats.
fn present<R: Number>(sum: Option<(R::Wide, i64)>) -> Result<R, Error> {
    let (sum, wrapped) = sum.unwrap_or((R::Wide::ZERO, 0));
    let (sum, kind) = (sum.plus(R::Wide::ZERO), std::any::type_name::<R>());
    if wrapped != 0 {
        // As it does in a program that was compiled for speed. Nobody is to take it for the sum.
        eprintln!(
            "warning: the sum is too large for {kind} and has wrapped around: use a larger type, such as u128 or f64"
        );
    }
    R::narrow(sum).ok_or_else(|| Error::TooLarge { sum: sum.to_string(), kind })
}

pub(crate) fn mean(sum: Option<(f64, u64)>) -> Option<f64> {
    sum.filter(|(_, count)| *count > 0).map(|(sum, count)| sum / count as f64)
}

/// Puts together what the engines have reduced.
pub(crate) fn folded<L: Fold>(ended: &Ended, fold: &L) -> Result<Option<L::Node>, Error> {
    let mut tree = Tree::new(fold, 0);
    ended.each(&mut |done, bytes| {
        tree.append(fold, Tree::read(done.first, done.count, bytes)?);
        Ok(())
    })?;
    Ok(tree.root(fold))
}

/// What is done of a map, by first items.
pub struct Ended {
    /// Whether the map may go on, or may have ended before its items.
    so_far: bool,
    done: Vec<Done>,
    room: File,
}

impl Ended {
    /// Reads what the kernel has noted.
    pub(crate) fn load(path: &str, bytes: u64, room: &str, so_far: bool) -> Result<Ended, Error> {
        let length = usize::try_from(bytes).map_err(|_| Error::Damaged)?;
        let mut text = vec![0; length];
        let failed = |error: std::io::Error| Error::Room(format!("{path}: {error}"));
        open(path)?.read_exact_at(&mut text, 0).map_err(failed)?;
        let mut rest = text.as_slice();
        let mut done: Vec<Done> = Vec::new();
        while !rest.is_empty() {
            let next = Done::read(&mut rest)?;
            let end = next.first.checked_add(next.count).ok_or(Error::Damaged)?;
            if end == next.first || done.last().is_some_and(|last| last.first + last.count > next.first) {
                return Err(Error::Damaged);
            }
            done.push(next);
        }
        Ok(Ended { so_far, done, room: open(room)? })
    }

    /// How many items are done.
    pub(crate) fn items(&self) -> u64 {
        self.done.iter().map(|done| done.count).sum()
    }

    /// Calls `read` with all encoded results there are, by first items; it must take all of them.
    #[allow(clippy::type_complexity)]
    fn each(&self, read: &mut dyn FnMut(&Done, &mut &[u8]) -> Result<(), Error>) -> Result<(), Error> {
        let mut there = self.done.iter().filter(|done| done.results != Results::Nothing);
        there.try_for_each(|done| self.with_bytes(done, &mut |bytes| read(done, bytes)))
    }

    /// Reads plain results, wherever they are.
    ///
    /// # Safety
    /// Any bytes must be values.
    unsafe fn plain(&self, to: &mut dyn Plain) -> Result<(), Error> {
        let mut in_place = 0..0;
        for done in &self.done {
            if done.results == Results::InPlace {
                let end = done.first + done.count - done.failed.count.min(done.count);
                if in_place.end != done.first {
                    // SAFETY: as the caller promises.
                    unsafe { self.read_in_place(std::mem::replace(&mut in_place, done.first..end), to)? };
                }
                in_place.end = end;
                continue;
            }
            // SAFETY: as the caller promises.
            unsafe { self.read_in_place(std::mem::replace(&mut in_place, 0..0), to)? };
            if done.results == Results::Nothing {
                continue;
            }
            self.with_bytes(done, &mut |bytes| {
                let count = usize::try_from(u64::get(bytes)?).map_err(|_| Error::Damaged)?;
                let length = count.checked_mul(to.size()).ok_or(Error::Damaged)?;
                let (values, rest) = bytes.split_at_checked(length).ok_or(Error::Damaged)?;
                *bytes = rest;
                let room = to.room(count).0;
                // SAFETY: so many bytes can be written there, and are a value then, as the caller promises.
                unsafe {
                    std::ptr::copy_nonoverlapping(values.as_ptr(), room, length);
                    to.filled(count);
                }
                Ok(())
            })?;
        }
        // SAFETY: as the caller promises.
        unsafe { self.read_in_place(in_place, to) }
    }

    /// # Safety
    /// Any bytes must be values.
    unsafe fn read_in_place(&self, items: std::ops::Range<u64>, to: &mut dyn Plain) -> Result<(), Error> {
        if items.is_empty() {
            return Ok(());
        }
        let count = usize::try_from(items.end - items.start).map_err(|_| Error::Damaged)?;
        let length = self.room.metadata().map_err(unreadable)?.len();
        let size = to.size() as u64;
        let end = items.end.checked_mul(size).and_then(|end| end.checked_add(HEAD));
        if end.is_none_or(|end| end > length) {
            return Err(Error::Damaged);
        }
        let (at, bytes) = (HEAD + items.start * size, count * to.size());
        // SAFETY: as the caller promises. Engines report items when they have written them, and don't again.
        unsafe { read_values(&[Stretch { file: &self.room, passes: false, at, bytes }], count, to) }.map_err(unreadable)
    }

    fn with_bytes(&self, done: &Done, read: &mut dyn FnMut(&mut &[u8]) -> Result<(), Error>) -> Result<(), Error> {
        let room;
        let mut bytes = match &done.results {
            Results::Bytes(bytes) => bytes.as_slice(),
            Results::Room(offset, length) => {
                room = self.read(*offset, *length)?;
                &room
            }
            Results::InPlace | Results::Nothing => return Err(Error::Damaged),
        };
        read(&mut bytes)?;
        if bytes.is_empty() { Ok(()) } else { Err(Error::Damaged) }
    }

    fn read(&self, offset: u64, length: u64) -> Result<Vec<u8>, Error> {
        let end = offset.checked_add(length).ok_or(Error::Damaged)?;
        if end > self.room.metadata().map_err(unreadable)?.len() {
            return Err(Error::Damaged);
        }
        let mut bytes = vec![0; usize::try_from(length).map_err(|_| Error::Damaged)?];
        self.room.read_exact_at(&mut bytes, offset).map_err(unreadable)?;
        Ok(bytes)
    }
}

fn unreadable(error: std::io::Error) -> Error {
    Error::Room(error.to_string())
}
