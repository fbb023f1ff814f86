//! `%map F over each part`: what an engine maps lies in a variable of its own, and stays there.

use super::builder::IntoOver;
use super::error::Error;
use super::probe::{Pieces, Probe};
use super::source::{Describe, Over, Read, Silent, Source};
use crate::engines::args::Variables;
use crate::engines::{Engines, Var};
use crate::link::Message as _;
use std::marker::PhantomData;

/// An engine's own items: `px::part!(&part)` for a `Vec`, a slice, an array, a `VecDeque`.
#[macro_export]
macro_rules! part {
    ($part:expr) => {
        match &$part {
            value => {
                #[allow(unused_imports)]
                use $crate::map::probe::*;
                let items = $crate::map::mine(value);
                let name = (&&items.item()).name();
                items.named(name)
            }
        }
    };
}

/// An engine's own items, where they are.
pub struct Mine<'a, T, D> {
    first: &'a [T],
    second: &'a [T],
    name: PhantomData<D>,
}

impl<'a, T> Mine<'a, T, ()> {
    /// Finds them.
    pub fn of<P: Pieces<Item = T> + ?Sized>(part: &'a P) -> Mine<'a, T, ()> {
        let (first, second) = part.pieces();
        Mine { first, second, name: PhantomData }
    }

    /// Their type.
    pub fn item(&self) -> Probe<T> {
        Probe::of_items(self.first)
    }

    /// How they are named.
    pub fn named<D: Describe<T>>(self, _: D) -> Mine<'a, T, D> {
        Mine { first: self.first, second: self.second, name: PhantomData }
    }
}

/// What `px::part!` takes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` isn't a row of values that could be mapped where it is",
    note = "a `Vec`, an array, a slice, a `VecDeque` and a `px::GpuVec` are"
)]
pub trait OnEngine {
    /// A reference to it.
    type Mine<'a>
    where
        Self: 'a;
    /// Finds its items.
    fn mine(&self) -> Self::Mine<'_>;
}

impl<P: Pieces + ?Sized> OnEngine for P {
    type Mine<'a>
        = Mine<'a, P::Item, ()>
    where
        P: 'a;
    fn mine(&self) -> Mine<'_, P::Item, ()> {
        Mine::of(self)
    }
}

/// For [`part!`](crate::part!).
pub fn mine<P: OnEngine + ?Sized>(part: &P) -> P::Mine<'_> {
    part.mine()
}

/// What an engine can map of its own: `px::part!(part)`, or a reference to such data, whose items aren't named when they
/// fail.
pub trait Part<'a> {
    /// The items' type, and how they are named.
    type Source: Source;
    /// How many there are.
    fn items(&self) -> u64;
    /// Finds them.
    ///
    /// # Safety
    /// They must stay where they are as long as this is used.
    unsafe fn open(&self) -> <Self::Source as Source>::Open;
}

impl<'a, T: Clone + Sync + 'static, D: Describe<T>> Part<'a> for Mine<'a, T, D> {
    type Source = Here<T, D>;
    fn items(&self) -> u64 {
        (self.first.len() + self.second.len()) as u64
    }
    unsafe fn open(&self) -> OpenHere<T> {
        OpenHere {
            first: self.first.as_ptr(),
            first_length: self.first.len(),
            second: self.second.as_ptr(),
            second_length: self.second.len(),
        }
    }
}

impl<'a, P: Pieces> Part<'a> for &'a P
where
    P::Item: Clone + Sync + 'static,
{
    type Source = Here<P::Item, Silent>;
    fn items(&self) -> u64 {
        Mine::of(*self).named(Silent).items()
    }
    unsafe fn open(&self) -> OpenHere<P::Item> {
        // SAFETY: the caller promises the same.
        unsafe { Mine::of(*self).named(Silent).open() }
    }
}

/// The source that they are: copies of them.
pub struct Here<T, D>(PhantomData<(T, D)>);

/// Where they are. It is only used while the [`Mine`] that it was made of is borrowed.
pub struct OpenHere<T> {
    first: *const T,
    first_length: usize,
    second: *const T,
    second_length: usize,
}

impl<T> OpenHere<T> {
    fn pieces(&self) -> (&[T], &[T]) {
        // SAFETY: made of slices, which whoever has called `Part::open` keeps.
        unsafe {
            (
                std::slice::from_raw_parts(self.first, self.first_length),
                std::slice::from_raw_parts(self.second, self.second_length),
            )
        }
    }
}

// SAFETY: like the references to slices that it stands for.
unsafe impl<T: Sync> Send for OpenHere<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for OpenHere<T> {}

impl<T: Clone + Sync + 'static, D: Describe<T>> Source for Here<T, D> {
    type Item = T;
    type Open = OpenHere<T>;
    type Reader<'a> = HereReader<'a, T>;

    fn open(_: &mut &[u8], _: &[String]) -> Result<OpenHere<T>, Error> {
        Err(Error::Damaged)
    }

    fn read(open: &OpenHere<T>, first: u64, count: u64) -> Result<HereReader<'_, T>, Error> {
        let (one, other) = open.pieces();
        let (first, count) = (first as usize, count as usize);
        if first.checked_add(count).is_none_or(|end| end > one.len() + other.len()) {
            return Err(Error::Damaged);
        }
        let (now, then) = match one.get(first..) {
            Some(rest) => (rest, other),
            None => (other.get(first - one.len()..).unwrap_or_default(), &other[..0]),
        };
        Ok(HereReader { now: now.iter(), then })
    }

    fn text(item: &T) -> Option<String> {
        D::text(item)
    }
}

/// The items of the variable of an engine that a map of the notebook's Rust names: [`var!`](crate::var!).
pub struct Named<T>(PhantomData<T>);

impl<T: Clone + Sync + 'static> Source for Named<T> {
    const IS_OWN: bool = true;
    type Item = T;
    type Open = OpenHere<T>;
    type Reader<'a> = HereReader<'a, T>;

    fn open(input: &mut &[u8], _: &[String]) -> Result<OpenHere<T>, Error> {
        let all = *input;
        let part = Variables::of_this_run().find::<Vec<T>>(input)?;
        // SAFETY: the variable stays where it is in the store during the run, and only this run uses variables: it reads
        // this one, and puts others there when it has read all.
        let open = unsafe { Part::open(&part.as_ref()) };
        check_count(all, open.first_length)?;
        Ok(open)
    }

    fn read(open: &OpenHere<T>, first: u64, count: u64) -> Result<HereReader<'_, T>, Error> {
        Here::<T, Silent>::read(open, first, count)
    }

    fn text(_: &T) -> Option<String> {
        None
    }

    fn own(open: &OpenHere<T>) -> Option<u64> {
        Some((open.first_length + open.second_length) as u64)
    }

    fn counts(name: &'static str, engines: &Engines) -> Result<Vec<u64>, Error> {
        engines.carry("count", Var::<Vec<T>>::named(name), |part: &Vec<T>| part.len() as u64)
    }
}

/// An error if a loop has counted other items than there are: its body may have changed them since.
#[inline(never)]
fn check_count(mut input: &[u8], there: usize) -> Result<(), Error> {
    let name = String::read(&mut input)?;
    if input.is_empty() {
        return Ok(());
    }
    match u64::read(&mut input)? {
        counted if counted == there as u64 => Ok(()),
        counted => Err(Error::Failed(format!(
            "`{name}` has changed since the loop began: it had {counted} items, and has {there}"
        ))),
    }
}

impl<T: Clone + Sync + 'static> IntoOver for Var<Vec<T>> {
    type Source = Named<T>;
    fn into_over(self) -> Over<Named<T>> {
        Over::own(self.name(), self.access())
    }
}

/// See [`Here`].
pub struct HereReader<'a, T> {
    now: std::slice::Iter<'a, T>,
    then: &'a [T],
}

impl<T: Clone> Read<T> for HereReader<'_, T> {
    #[inline(always)]
    unsafe fn next(&mut self) -> T {
        loop {
            if let Some(item) = self.now.next() {
                return item.clone();
            }
            assert!(!self.then.is_empty(), "no more items are read than there are");
            self.now = std::mem::take(&mut self.then).iter();
        }
    }
}
