//! What `%push`, `%pull`, `%scatter` and `%gather` are made of.
//!
//! The kernel has a cell run on one side that puts a variable into rooms, and one on the other side that takes it from
//! there: each is told by the argument of its run which rooms these are and what to do. A room has a page that says what
//! is in it, and then either numbers as they are in memory or encodings of values. Numbers begin where the pages of the
//! file can take the place of those of the receiver's `Vec`, so nobody copies them again; such pages are copied by the
//! system when someone writes to them, and until then all engines have the same ones.

mod parts;
mod room;
mod source;

use crate::gpu_vec::GpuVec;
use crate::host::{argument, parallel};
use crate::link::{Damaged, Message as _, Passing, Serve, Step};
use crate::map::error::Error;
use crate::map::output::lock;
use crate::map::probe::Pieces;
pub use crate::map::probe::Probe;
use crate::map::rooms::{PAGE, RoomFile, reserve_in};
use crate::map::values::place_behind;
use crate::wire::{Wire, encoded};
pub use parts::{Parts, Put};
use room::{Head, read_items, read_whole, write_encoded};
pub use room::{size_of_room, trim};
use source::{Numbers, Pair, Source};
use std::fs::File;
use std::ops::Range;
use std::sync::Mutex;

/// A variable of fewer bytes isn't worth several threads.
const ALONE: u64 = 4 << 20;

/// Puts variables where the other side can take them.
#[macro_export]
#[doc(hidden)]
macro_rules! put_variables {
    ($($variable:ident),+ $(,)?) => {{
        #[allow(unused_imports)]
        use $crate::data::{FormOfAny as _, FormOfGpuVec as _, FormOfVec as _};
        let mut number = 0;
        $(
            (&&$crate::data::Probe::of(&$variable)).form().put(number, &$variable);
            number += 1;
        )+
        let _ = number;
    }};
}

/// The same for items of variables: parts of them, or what is a part.
#[macro_export]
#[doc(hidden)]
macro_rules! put_parts {
    ($($variable:ident),+ $(,)?) => {{
        let mut number = 0;
        $(
            $crate::data::put_items(number, &$variable);
            number += 1;
        )+
        let _ = number;
    }};
}

/// Takes a variable of this type that the other side has put there.
#[macro_export]
#[doc(hidden)]
macro_rules! take_variable {
    ($number:expr, $type:ty) => {{
        #[allow(unused_imports)]
        use $crate::data::{FormOfAny as _, FormOfVec as _};
        let probe = $crate::data::Probe::<$type>::any();
        (&&probe).form().take($number, &probe)
    }};
}

/// Takes the variables of this type that each engine has put there.
#[macro_export]
#[doc(hidden)]
macro_rules! take_variables {
    ($number:expr, $type:ty) => {{
        #[allow(unused_imports)]
        use $crate::data::{FormOfAny as _, FormOfVec as _};
        let probe = $crate::data::Probe::<$type>::any();
        (&&probe).form().take_each($number, &probe)
    }};
}

/// How a value goes that has items: they may be taken from the rooms as they are.
pub struct Items;
/// How a value goes whose items a GPU has: as a `Vec`.
pub struct Fetched;
/// How another value goes.
pub struct Whole;

/// Tried first.
pub trait FormOfVec {
    /// The form.
    fn form(&self) -> Items {
        Items
    }
}
impl<T> FormOfVec for &Probe<Vec<T>> {}

/// Tried first, too.
pub trait FormOfGpuVec {
    /// The form.
    fn form(&self) -> Fetched {
        Fetched
    }
}
impl<T> FormOfGpuVec for &Probe<GpuVec<T>> {}

/// Tried then.
pub trait FormOfAny {
    /// The form.
    fn form(&self) -> Whole {
        Whole
    }
}
impl<T> FormOfAny for Probe<T> {}

impl Items {
    /// Puts it into all rooms, or into this engine's.
    #[track_caller]
    pub fn put<T: Wire>(&self, number: usize, value: &[T]) {
        done(Variable::find(number).and_then(|variable| variable.put(value, &[])));
    }

    /// Takes what was put.
    #[track_caller]
    pub fn take<T: Wire>(&self, number: usize, _: &Probe<Vec<T>>) -> Vec<T> {
        done(Variable::find(number).and_then(|variable| variable.take()))
    }

    /// Takes what each engine has put.
    #[track_caller]
    pub fn take_each<T: Wire>(&self, number: usize, _: &Probe<Vec<T>>) -> Vec<Vec<T>> {
        done(Variable::find(number).and_then(|variable| variable.rooms.chunks(1).map(read_items).collect()))
    }
}

impl Fetched {
    /// Puts it into all rooms, or into this engine's.
    #[track_caller]
    pub fn put<T: Wire + Copy>(&self, number: usize, value: &GpuVec<T>) {
        put_items(number, value);
    }
}

impl Whole {
    /// Puts it into all rooms, or into this engine's.
    #[track_caller]
    pub fn put<T: Wire>(&self, number: usize, value: &T) {
        done(Variable::find(number).and_then(|variable| variable.put_whole(value)));
    }

    /// Takes what was put.
    #[track_caller]
    pub fn take<T: Wire>(&self, number: usize, _: &Probe<T>) -> T {
        done(Variable::find(number).and_then(|variable| read_whole(variable.to_take()?)))
    }

    /// Takes what each engine has put.
    #[track_caller]
    pub fn take_each<T: Wire>(&self, number: usize, _: &Probe<T>) -> Vec<T> {
        done(Variable::find(number).and_then(|variable| variable.rooms.chunks(1).map(read_whole).collect()))
    }
}

/// Puts parts of a variable into the rooms, or this engine's part.
#[track_caller]
pub fn put_items<P: Parts + ?Sized>(number: usize, value: &P) {
    let put = |variable: Variable| value.with(&mut |first, second| variable.put(first, second));
    done(Variable::find(number).and_then(put));
}

/// Copies what was taken to the GPU of this engine.
#[track_caller]
pub fn to_gpu<T: Copy + 'static>(values: Vec<T>) -> GpuVec<T> {
    done(GpuVec::new(&values))
}

/// Takes this engine's part, or those of all engines together. `type_of` is never called: it tells the items' type.
#[track_caller]
pub fn take_items<P, T: Wire>(number: usize, type_of: impl FnOnce(P) -> Probe<T>) -> Vec<T> {
    let _ = type_of;
    done(Variable::find(number).and_then(|variable| read_items(variable.to_take()?)))
}

/// The type of items.
pub fn item_of<P: Pieces + ?Sized>(_: &P) -> Probe<P::Item> {
    Probe::any()
}

#[track_caller]
fn done<T>(result: Result<T, Error>) -> T {
    match result {
        Ok(value) => value,
        Err(Error::Damaged) => panic!("what the other side has put can't be read: {Damaged}"),
        Err(error) => panic!("{error}"),
    }
}

/// Where so many bytes of results are to be appended in their room, for an engine of another host.
pub fn reserve(room: &File, bytes: u64) -> std::io::Result<u64> {
    reserve_in(room, bytes)
}

/// A variable that is passed on.
pub(crate) struct Variable {
    step: Step,
    threads: usize,
    rooms: Vec<String>,
    /// This engine's place among those that take part.
    own: Option<usize>,
}

impl Variable {
    fn find(number: usize) -> Result<Variable, Error> {
        let serve = Serve::decode(&argument())?;
        let Passing { ranks, lanes, .. } = Passing::decode(&serve.input)?;
        let rank = crate::rank() as u32;
        let mut variable = Variable::of(&serve, ranks.iter().position(|other| *other == rank))?;
        let lanes = lanes as usize;
        let first = number.checked_mul(lanes).ok_or(Error::Damaged)?;
        let rooms = variable.rooms.get(first..).and_then(|rooms| rooms.get(..lanes)).filter(|rooms| !rooms.is_empty());
        variable.rooms = rooms.ok_or(Error::Damaged)?.to_vec();
        Ok(variable)
    }

    /// One that goes through all of these rooms; this engine has this place.
    pub(crate) fn of(serve: &Serve, own: Option<usize>) -> Result<Variable, Error> {
        let Passing { step, .. } = Passing::decode(&serve.input)?;
        Ok(Variable { step, threads: (serve.threads as usize).max(1), rooms: serve.rooms.clone(), own })
    }

    /// Takes the items that were put.
    pub(crate) fn take<T: Wire>(&self) -> Result<Vec<T>, Error> {
        read_items(self.to_take()?)
    }

    /// This engine's place.
    fn own(&self) -> Result<usize, Error> {
        self.own.filter(|place| *place < self.rooms.len()).ok_or_else(|| {
            Error::Failed("this engine's rank has changed since the cell was sent: run the magic again".to_owned())
        })
    }

    /// What a variable is to be taken from.
    fn to_take(&self) -> Result<&[String], Error> {
        match self.step {
            Step::Own => Ok(std::slice::from_ref(&self.rooms[self.own()?])),
            _ => Ok(&self.rooms),
        }
    }

    /// Puts what lies in one piece or two.
    pub(crate) fn put<T: Wire>(&self, first: &[T], second: &[T]) -> Result<(), Error> {
        self.put_source(&Pair(first, second))
    }

    fn put_source(&self, source: &dyn Source) -> Result<(), Error> {
        let (items, size) = (source.items(), source.size());
        let lanes = self.rooms.len() as u64;
        match self.step {
            Step::Own => self.write(self.own()?, source, 0..items, 0),
            Step::Split => {
                self.each_lane(source, &|lane, source| self.write(lane, source, stretch(items, lane as u64, lanes), 0))
            }
            Step::All => {
                let used = if items.saturating_mul(size) < ALONE { 1 } else { lanes };
                self.each_lane(source, &|lane, source| {
                    let range = if lane as u64 >= used { 0..0 } else { stretch(items, lane as u64, used) };
                    let before = range.start * size;
                    self.write(lane, source, range, before)
                })
            }
            Step::Deal => self.each_lane(source, &|lane, source| self.deal(lane, source)),
            Step::Count if source.is_plain() => {
                let path = &self.rooms[self.own()?];
                source.head(items, PAGE as u64, items * size).write(path, &RoomFile::open(path)?)
            }
            Step::Count => self.write(self.own()?, source, 0..items, 0),
            Step::Place if source.is_plain() => {
                let lane = self.own()?;
                let mut before = 0u64;
                for path in &self.rooms[..lane] {
                    // That engine may be about to write its head again, in which only `start` is another one.
                    let bytes = Head::read(path, &RoomFile::open(path)?)?.bytes;
                    before = before.checked_add(bytes).ok_or(Error::Damaged)?;
                }
                self.write(lane, source, 0..items, before)
            }
            // All is there: where encodings are doesn't matter.
            Step::Place => Ok(()),
        }
    }

    fn put_whole<T: Wire>(&self, value: &T) -> Result<(), Error> {
        let lane = match self.step {
            Step::Own => self.own()?,
            _ => 0,
        };
        let bytes = encoded(value);
        let path = &self.rooms[lane];
        let file = RoomFile::open(path)?;
        file.write(path, &bytes, PAGE as u64)?;
        let head =
            Head { plain: false, size: size_of::<T>() as u64, items: 1, start: PAGE as u64, bytes: bytes.len() as u64 };
        head.write(path, &file)
    }

    /// Calls `work` for each room: numbers are written by several threads.
    fn each_lane(&self, source: &dyn Source, work: &Lane<'_>) -> Result<(), Error> {
        if !source.is_plain() {
            return (0..self.rooms.len()).try_for_each(|lane| work(lane, source));
        }
        let (source, failed) = (Numbers::of(source), Mutex::new(None));
        parallel(self.threads.min(self.rooms.len()), self.rooms.len(), &|lane| {
            if let Err(error) = work(lane, source.get()) {
                lock(&failed).get_or_insert(error);
            }
        });
        lock(&failed).take().map_or(Ok(()), Err)
    }

    /// Writes some of the items, of which so many bytes come before in the receiver's `Vec`.
    fn write(&self, lane: usize, source: &dyn Source, range: Range<u64>, before: u64) -> Result<(), Error> {
        let path = &self.rooms[lane];
        let file = RoomFile::open(path)?;
        if !source.is_plain() {
            return write_encoded(path, &file, source, (range.start, range.end), 1);
        }
        let (mut at, start) = (place_behind(before), place_behind(before));
        for bytes in source.bytes(&range) {
            file.write(path, bytes, at)?;
            at += bytes.len() as u64;
        }
        source.head(range.end - range.start, start, at - start).write(path, &file)
    }

    /// Writes every n-th of the items.
    fn deal(&self, lane: usize, source: &dyn Source) -> Result<(), Error> {
        let path = &self.rooms[lane];
        write_encoded(path, &RoomFile::open(path)?, source, (lane as u64, source.items()), self.rooms.len())
    }
}

/// The items of the part of this number.
fn stretch(items: u64, part: u64, parts: u64) -> Range<u64> {
    let begin = |part: u64| (u128::from(items) * u128::from(part) / u128::from(parts)) as u64;
    begin(part)..begin(part + 1)
}

/// What is done for each room.
type Lane<'a> = dyn Fn(usize, &dyn Source) -> Result<(), Error> + Sync + 'a;

#[cfg(test)]
mod tests;
