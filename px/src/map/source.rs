//! What is mapped: integer ranges, which travel as their ends, and columns of values. A source is a type without
//! lifetimes, so that the function that was compiled for it on one side is the same on the other.

use super::error::Error;
use super::output::Packed;
use super::rooms::{Blob, PartsOf, Writer};
use crate::engines::Engines;
use crate::link::{Access, Message as _};
use crate::task::shared::{Keeps, collect};
use crate::wire::{Wire, as_bytes};
use std::fmt::{Debug, Write as _};
use std::marker::PhantomData;
use std::sync::Arc;

/// How items are had from what was sent.
pub trait Source: 'static {
    /// What the function is given.
    type Item: 'static;
    /// The data in an engine's memory.
    type Open: Send + Sync;
    /// Reads items in their order.
    type Reader<'a>: Read<Self::Item>;

    /// Finds the data that is described.
    fn open(input: &mut &[u8], rooms: &[String]) -> Result<Self::Open, Error>;
    /// Reads so many items from the first on.
    fn read(open: &Self::Open, first: u64, count: u64) -> Result<Self::Reader<'_>, Error>;
    /// An item's `Debug`, if it has one.
    fn text(item: &Self::Item) -> Option<String>;
    /// Whether engines have the items, each its own.
    #[doc(hidden)]
    const IS_OWN: bool = false;
    /// How many items this engine has of its own, if it does.
    #[doc(hidden)]
    fn own(_: &Self::Open) -> Option<u64> {
        None
    }
    /// How many items each of these engines has in its variable of this name.
    #[doc(hidden)]
    fn counts(_: &'static str, _: &Engines) -> Result<Vec<u64>, Error> {
        Err(Error::Damaged)
    }
    /// The buffer on a GPU that has all items, if one has.
    #[doc(hidden)]
    fn buffer(_: &Self::Open) -> Option<u64> {
        None
    }
}

/// Reads items.
pub trait Read<T> {
    /// The next one.
    ///
    /// # Safety
    /// It may only be called as often as was asked for by [`Source::read`].
    unsafe fn next(&mut self) -> T;
}

/// How an item is named when it failed.
pub trait Describe<T>: 'static {
    /// Its text.
    fn text(item: &T) -> Option<String>;
}

/// By `Debug`.
pub struct ByDebug;
/// Not at all.
pub struct Silent;

impl<T: Debug> Describe<T> for ByDebug {
    fn text(item: &T) -> Option<String> {
        Some(shortened(item))
    }
}

impl<T> Describe<T> for Silent {
    fn text(_: &T) -> Option<String> {
        None
    }
}

/// At most 200 characters of a value's `Debug`, of which no more is made than that.
pub(crate) fn shortened(value: &dyn Debug) -> String {
    struct Short(String, usize);
    impl std::fmt::Write for Short {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            for character in text.chars() {
                if self.1 == 200 {
                    return Err(std::fmt::Error);
                }
                self.0.push(character);
                self.1 += 1;
            }
            Ok(())
        }
    }
    let mut short = Short(String::new(), 0);
    if write!(short, "{value:?}").is_err() && short.1 == 200 {
        short.0.pop();
        short.0.push('…');
    }
    short.0
}

/// An integer.
pub trait Integer: Copy + Debug + Send + Sync + 'static {
    /// Of a range's beginning; numbers of 128 bits lose nothing.
    fn to_bits(self) -> u128;
    /// The other way.
    fn from_bits(bits: u128) -> Self;
    /// So many further.
    fn plus(self, count: u64) -> Self;
    /// How many there are from this one to the other, without it.
    fn until(self, end: Self) -> Option<u64>;
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl Integer for $type {
            #[inline]
            fn to_bits(self) -> u128 {
                self as u128
            }
            #[inline]
            fn from_bits(bits: u128) -> $type {
                bits as $type
            }
            #[inline]
            fn plus(self, count: u64) -> $type {
                self.wrapping_add(count as $type)
            }
            #[inline]
            fn until(self, end: $type) -> Option<u64> {
                if self < end { u64::try_from((end as u128).wrapping_sub(self as u128)).ok() } else { Some(0) }
            }
        }
    )*};
}

integers!(u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize);

/// Integers from a first one on.
pub struct Span<I>(PhantomData<I>);

impl<I: Integer> Source for Span<I> {
    type Item = I;
    type Open = I;
    type Reader<'a> = Counter<I>;

    fn open(input: &mut &[u8], _: &[String]) -> Result<I, Error> {
        let (low, high) = (u64::read(input)?, u64::read(input)?);
        Ok(I::from_bits(u128::from(low) | u128::from(high) << 64))
    }

    fn read(start: &I, first: u64, _: u64) -> Result<Counter<I>, Error> {
        Ok(Counter(start.plus(first)))
    }

    fn text(item: &I) -> Option<String> {
        Some(format!("{item:?}"))
    }
}

/// See [`Span`].
pub struct Counter<I>(I);

impl<I: Integer> Read<I> for Counter<I> {
    #[inline(always)]
    unsafe fn next(&mut self) -> I {
        let next = self.0;
        self.0 = next.plus(1);
        next
    }
}

/// Values one behind the other. Plain ones are as in memory; others are encoded, and a table behind them says where each
/// begins.
pub struct Column<T, D>(PhantomData<(T, D)>);

/// See [`Column`].
pub struct OpenColumn {
    bytes: PartsOf,
    items: u64,
    table: usize,
}

impl<T: Wire, D: Describe<T>> Source for Column<T, D> {
    type Item = T;
    type Open = OpenColumn;
    type Reader<'a> = ColumnReader<'a>;

    fn open(input: &mut &[u8], rooms: &[String]) -> Result<OpenColumn, Error> {
        open_column(input, rooms, T::is_plain().then_some(size_of::<T>()))
    }

    fn read(open: &OpenColumn, first: u64, count: u64) -> Result<ColumnReader<'_>, Error> {
        read_column(open, first, count, T::is_plain().then_some(size_of::<T>()))
    }

    fn text(item: &T) -> Option<String> {
        D::text(item)
    }
}

fn open_column(input: &mut &[u8], rooms: &[String], plain: Option<usize>) -> Result<OpenColumn, Error> {
    let (items, table) = (u64::read(input)?, u64::read(input)?);
    let bytes = PartsOf::read(input, rooms)?;
    let table = usize::try_from(table).map_err(|_| Error::Damaged)?;
    let needed = match plain {
        Some(size) => items.checked_mul(size as u64),
        None => items.checked_mul(8).and_then(|length| length.checked_add(table as u64)),
    };
    let enough = needed.is_some_and(|needed| needed <= bytes.length() as u64);
    if enough { Ok(OpenColumn { bytes, items, table }) } else { Err(Error::Damaged) }
}

fn read_column(open: &OpenColumn, first: u64, count: u64, plain: Option<usize>) -> Result<ColumnReader<'_>, Error> {
    if first.checked_add(count).is_none_or(|end| end > open.items) {
        return Err(Error::Damaged);
    }
    let (begin, end) = match plain {
        Some(size) => (first as usize * size, (first + count) as usize * size),
        None if count == 0 => (0, 0),
        None => {
            let begin = |item: u64| {
                let entry = open.table + item as usize * 8;
                let mut entry = open.bytes.get(entry..entry + 8)?;
                usize::try_from(u64::read(&mut entry)?).map_err(|_| Error::Damaged)
            };
            let is_last = first + count == open.items;
            (begin(first)?, if is_last { open.table } else { begin(first + count)? })
        }
    };
    Ok(ColumnReader { bytes: open.bytes.get(begin..end)?, at: 0 })
}

/// See [`Column`].
pub struct ColumnReader<'a> {
    bytes: &'a [u8],
    /// Where the next plain item is.
    at: usize,
}

impl<T: Wire> Read<T> for ColumnReader<'_> {
    #[inline(always)]
    unsafe fn next(&mut self) -> T {
        if T::is_plain() {
            let place = self.bytes.as_ptr().wrapping_add(self.at);
            self.at = self.at.wrapping_add(size_of::<T>());
            // SAFETY: `open_column` and `read_column` have checked that as many items as may be read are there, and any
            // bytes are a value of a plain type.
            return unsafe { place.cast::<Packed<T>>().read().0 };
        }
        T::get(&mut self.bytes).unwrap_or_else(|damaged| panic!("an item can't be read: {damaged}"))
    }
}

macro_rules! zipped {
    ($($name:ident $reader:ident $index:tt),*) => {
        impl<$($name: Source),*> Source for ($($name,)*) {
            type Item = ($($name::Item,)*);
            type Open = ($($name::Open,)*);
            type Reader<'a> = ($($name::Reader<'a>,)*);

            fn open(input: &mut &[u8], rooms: &[String]) -> Result<Self::Open, Error> {
                Ok(($($name::open(input, rooms)?,)*))
            }

            fn read(open: &Self::Open, first: u64, count: u64) -> Result<Self::Reader<'_>, Error> {
                Ok(($($name::read(&open.$index, first, count)?,)*))
            }

            fn text(item: &Self::Item) -> Option<String> {
                let parts = [$($name::text(&item.$index)),*];
                let parts: Vec<_> = parts.iter().map(|part| part.as_deref().unwrap_or("_")).collect();
                Some(format!("({})", parts.join(", ")))
            }
        }

        impl<$($name, $reader: Read<$name>),*> Read<($($name,)*)> for ($($reader,)*) {
            #[inline(always)]
            unsafe fn next(&mut self) -> ($($name,)*) {
                // SAFETY: the caller promises the same.
                unsafe { ($(self.$index.next(),)*) }
            }
        }
    };
}

zipped!(A ReadA 0, B ReadB 1);
zipped!(A ReadA 0, B ReadB 1, C ReadC 2);
zipped!(A ReadA 0, B ReadB 1, C ReadC 2, D ReadD 3);

/// Data that is ready to be mapped: what [`crate::over`] makes.
pub struct Over<S> {
    pub(crate) data: Box<dyn Ready>,
    source: PhantomData<S>,
}

/// It without the items' type. As a trait, so that cells don't have the code to drop it.
pub(crate) trait Ready {
    fn data(self: Box<Self>) -> Data;
    /// The name of the variable of the engines that has the items, if one has.
    fn own(&self) -> Option<&'static str>;
}

pub(crate) struct Data {
    pub(crate) parts: Vec<Part>,
    /// What the items refer to.
    pub(crate) held: Vec<Arc<dyn Keeps>>,
    pub(crate) items: Result<u64, Error>,
}

/// One of several that are zipped.
pub(crate) enum Part {
    Span(u128),
    Column {
        items: u64,
        table: u64,
        blob: Blob,
    },
    /// A variable of the engines of this name, and what is done with their variables to read it.
    Own(&'static str, Access),
}

impl<S> Over<S> {
    /// What engines have in a variable of this name.
    pub(crate) fn own(name: &'static str, access: Access) -> Over<S> {
        let data = Data { parts: vec![Part::Own(name, access)], held: Vec::new(), items: Ok(0) };
        Over { data: Box::new(data), source: PhantomData }
    }

    /// Integers.
    pub fn span<I: Integer>(start: I, items: Option<u64>) -> Over<Span<I>> {
        Over { data: Data::span(start.to_bits(), items), source: PhantomData }
    }

    /// What `write` has written, which may end early when that fails.
    pub(crate) fn column(write: &mut dyn FnMut(&mut ColumnWriter)) -> Over<S> {
        Over { data: Data::column(write), source: PhantomData }
    }
}

/// The type of data that isn't made: a map that has run is asked for its results with it. `make` is never called.
pub fn unread<S>(make: impl FnOnce() -> Over<S>) -> Over<S> {
    let _ = make;
    Over { data: Box::new(Data { parts: Vec::new(), held: Vec::new(), items: Ok(0) }), source: PhantomData }
}

impl Ready for Data {
    fn data(self: Box<Self>) -> Data {
        *self
    }

    fn own(&self) -> Option<&'static str> {
        self.parts.iter().find_map(|part| if let Part::Own(name, _) = part { Some(*name) } else { None })
    }
}

impl Data {
    fn span(start: u128, items: Option<u64>) -> Box<dyn Ready> {
        Box::new(Data { parts: vec![Part::Span(start)], held: Vec::new(), items: items.ok_or(Error::Endless) })
    }

    fn column(write: &mut dyn FnMut(&mut ColumnWriter)) -> Box<dyn Ready> {
        let mut writer = ColumnWriter { writer: Writer::new(), table: Vec::new(), items: 0, failed: None };
        let ((), held) = collect(|| write(&mut writer));
        Box::new(match writer.failed.take().map_or_else(|| writer.part(), Err) {
            Ok((items, part)) => Data { parts: vec![part], held, items: Ok(items) },
            Err(error) => Data { parts: Vec::new(), held, items: Err(error) },
        })
    }

    fn zip(one: Box<dyn Ready>, other: Box<dyn Ready>) -> Box<dyn Ready> {
        let (mut one, other) = (one.data(), other.data());
        one.parts.extend(other.parts);
        one.held.extend(other.held);
        Box::new(Data { items: zip(one.items, other.items), ..one })
    }

    /// Describes the data, for [`Source::open`].
    pub(crate) fn write(&self, input: &mut Vec<u8>, rooms: &mut Vec<String>) {
        for part in &self.parts {
            match part {
                Part::Span(start) => [*start as u64, (start >> 64) as u64].iter().for_each(|half| half.write(input)),
                Part::Own(name, _) => (*name).to_owned().write(input),
                Part::Column { items, table, blob } => {
                    items.write(input);
                    table.write(input);
                    blob.write(input, rooms);
                }
            }
        }
    }
}

fn zip(first: Result<u64, Error>, other: Result<u64, Error>) -> Result<u64, Error> {
    match (first, other) {
        (Ok(items), Err(Error::Endless)) | (Err(Error::Endless), Ok(items)) => Ok(items),
        (Ok(first), Ok(other)) if first != other => Err(Error::Lengths(first, other)),
        (Ok(items), Ok(_)) => Ok(items),
        (Err(error), _) | (_, Err(error)) => Err(error),
    }
}

/// Two to be mapped together.
pub fn zip2<A, B>(a: Over<A>, b: Over<B>) -> Over<(A, B)> {
    Over { data: Data::zip(a.data, b.data), source: PhantomData }
}

/// Three to be mapped together.
pub fn zip3<A, B, C>(a: Over<A>, b: Over<B>, c: Over<C>) -> Over<(A, B, C)> {
    Over { data: Data::zip(Data::zip(a.data, b.data), c.data), source: PhantomData }
}

/// Four to be mapped together.
pub fn zip4<A, B, C, D>(a: Over<A>, b: Over<B>, c: Over<C>, d: Over<D>) -> Over<(A, B, C, D)> {
    Over { data: Data::zip(Data::zip(Data::zip(a.data, b.data), c.data), d.data), source: PhantomData }
}

/// Writes a [`Column`].
pub struct ColumnWriter {
    writer: Writer,
    table: Vec<u64>,
    items: u64,
    failed: Option<Error>,
}

impl ColumnWriter {
    /// Appends items. False if they can't be written, and no more are wanted.
    pub fn extend<T: Wire>(&mut self, items: &[T]) -> bool {
        if let Some(bytes) = as_bytes(items) {
            return self.append(items.len(), bytes);
        }
        items.iter().all(|item| {
            item.put(self.next());
            self.spill()
        })
    }

    fn append(&mut self, items: usize, bytes: &[u8]) -> bool {
        self.items += items as u64;
        let appended = self.writer.append(bytes);
        self.note(appended)
    }

    /// Where the next item is to be appended.
    fn next(&mut self) -> &mut Vec<u8> {
        self.items += 1;
        self.table.push(self.writer.length());
        self.writer.buffer()
    }

    fn spill(&mut self) -> bool {
        let spilt = self.writer.spill();
        self.note(spilt)
    }

    fn note(&mut self, written: Result<(), Error>) -> bool {
        self.failed = self.failed.take().or(written.err());
        self.failed.is_none()
    }

    fn part(mut self) -> Result<(u64, Part), Error> {
        let table = self.writer.length();
        for block in self.table.chunks(1 << 16) {
            block.iter().for_each(|begin| begin.write(self.writer.buffer()));
            self.writer.spill()?;
        }
        Ok((self.items, Part::Column { items: self.items, table, blob: self.writer.finish()? }))
    }
}
