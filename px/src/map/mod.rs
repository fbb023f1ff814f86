//! What `%map` is made of. The kernel writes a cell that calls [`start!`] with the data and a function:
//!
//! ```no_run
//! let (xs, k) = (vec![1.0, 2.0], 3.0);
//! let squares = px::map::start!(px::over!(&xs), (&k,), |(k,), px_items| px_items.map(
//!     |x| x * x * k
//! ).collect()).wait();
//! ```
//!
//! The cell's object has all of it: the function that engines call when they have loaded the same object is one of the
//! closure's type. The closure captures nothing, so there is nothing to send of it; variables that it needs are its
//! parameters. It is called on the engines, where `collect` works at the items, and afterwards in the
//! notebook, where it makes one `Vec` of what they have done.
//!
//! Engines whose variables a function names compile a second cell, which calls [`serve`], and the notebook's cell only
//! needs the closure's type: [`typed`].

#[doc(hidden)]
pub mod builder;
mod call;
mod constants;
mod distant;
mod engine;
pub(crate) mod error;
mod fold;
#[doc(hidden)]
pub mod gpu;
mod handle;
mod items;
mod kept;
mod merge;
pub(crate) mod output;
mod own;
#[doc(hidden)]
pub mod probe;
mod report;
pub(crate) mod rooms;
mod shown;
#[doc(hidden)]
pub mod source;
pub mod stream;
#[cfg(test)]
pub(crate) mod tests;
mod tree;
pub(crate) mod values;
mod verdict;

pub use constants::{Constants, Values};
pub use error::Error;
pub(crate) use error::ask;
pub use fold::Number;
pub use handle::Handle;
pub(crate) use handle::{distance, place_of};
pub use items::{Every, Filter, Items, Mapped, OnGpu, Only, Sent, Stay, Whither, WithErrors};
pub use kept::{KeepOnGpu, MineOnGpu};
pub use merge::{Collect, CollectErrors, Count, Ended, Keep, Kind, Largest, Mean, Outcome, Reduce, Smallest, Sum};
pub use own::{Here, Mine, Named, OnEngine, Part, mine};
pub use shown::{Shown, show};
pub use source::{Describe, Over, Source, unread, zip2, zip3, zip4};
#[doc(hidden)]
pub use verdict::tell_verdict;

use crate::gpu_vec::GpuVec;
use crate::host::{argument, catch};
use crate::link::{MapWishes, Message as _, Piece, Serve};
use engine::Server;
use handle::Job;
use items::Mode;
use report::Reports;
use std::cell::OnceCell;
use std::marker::PhantomData;

/// An engine's own items are numbered from its rank times this on.
pub const OWN_ITEMS: u64 = 1 << 40;

/// Begins a map over data of the notebook: `start!(over, constants, body)`. `body` is called here and on the engines.
#[doc(hidden)]
#[macro_export]
macro_rules! __start_map {
    ($over:expr, $constants:expr, $body:expr $(,)?) => {
        $crate::__captures_nothing!([_, _] nothing => $crate::map::start_by($over, $constants, $body, nothing, ::std::option::Option::None))
    };
}
pub use crate::__start_map as start;

/// Of what was begun and its function, the former. The function is made again on engines out of nothing, so it may capture
/// nothing, not even a value that takes no bytes: such a value can stand for a right that an engine doesn't have. Only
/// closures without captures become `fn` pointers, which rustc checks here; nobody calls it as one.
#[doc(hidden)]
#[macro_export]
macro_rules! __captures_nothing {
    ([$($parameter:ty),*] $nothing:ident => $begun:expr) => {
        // SAFETY: it is passed on with one function, which must become a `fn` pointer below.
        match unsafe { $crate::map::CapturesNothing::promised() } {
            $nothing => match $begun {
                (begun, function) => {
                    if false {
                        let _: fn($($parameter),*) -> _ = function;
                    }
                    begun
                }
            },
        }
    };
}

/// A promise about the function that it is passed on with: that engines may make it out of nothing.
#[doc(hidden)]
pub struct CapturesNothing(());

impl CapturesNothing {
    /// Promises it, for [`start!`] and [`call!`](crate::call!).
    ///
    /// # Safety
    ///
    /// The function must be the path of a function or a closure that captures nothing, not even a value that takes no
    /// bytes.
    pub const unsafe fn promised() -> CapturesNothing {
        CapturesNothing(())
    }
}

/// For [`start!`], which checks that `body` captures nothing. Without wishes, the map is run as the magic says that the cell
/// comes from.
#[doc(hidden)]
pub fn start_by<S: Source, C: Constants, K: Kind, B>(
    over: Over<S>,
    constants: C,
    body: B,
    _: CapturesNothing,
    wishes: Option<MapWishes>,
) -> (Handle<K::Value>, B)
where
    B: Fn(C::Owned, Items<'_, S>) -> Outcome<K> + Copy,
{
    let function: extern "C" fn() = serve_here::<S, C::Owned, K, B>;
    let job = handle::begin(Some(over.data), Some(function), &constants, K::size(), wishes);
    let merge: fn(&Job, &Ended) -> Result<K::Value, Error> = merge_here::<S, C::Owned, K, B>;
    (Handle::new(job, Box::new(merge)), body)
}

/// As [`start_by`], for results that are taken while others are made. Of what engines have, a map for each.
pub(crate) fn stream_by<S: Source, C: Constants, K: Kind, B>(
    over: Over<S>,
    constants: C,
    _: B,
    _: CapturesNothing,
    wishes: MapWishes,
) -> Result<Vec<(Job, u64)>, Error>
where
    B: Fn(C::Owned, Items<'_, S>) -> Outcome<K> + Copy,
{
    let function: extern "C" fn() = serve_here::<S, C::Owned, K, B>;
    handle::begin_stream(over.data, function, &constants, wishes, S::counts)
}

/// The notebook's half of a map whose function names variables of the engines. `types` is never called: its parameters are
/// a tuple of those variables, then as for [`start!`].
pub fn typed<S: Source, C: Constants, A, K: Kind>(
    over: Over<S>,
    constants: C,
    types: impl FnOnce(A, C::Owned, Items<'_, S>) -> Outcome<K>,
) -> Handle<K::Value> {
    let _ = types;
    Handle::of_kind::<K>(handle::begin(Some(over.data), None, &constants, K::size(), None))
}

/// As [`typed`], for a map whose results stay in the engines.
pub fn typed_keep<S: Source, C: Constants, A, K: Kind>(
    over: Over<S>,
    constants: C,
    types: impl FnOnce(A, C::Owned, Items<'_, S>) -> Outcome<K>,
) -> Handle<()> {
    let _ = types;
    let job = handle::begin(Some(over.data), None, &constants, 0, None);
    Handle::new(job, Box::new(|_, _| Ok(())))
}

/// The notebook's half of a map of what lies on the engines. The closures are never called: the first one's parameter is
/// the variable that is mapped, those of the other are a tuple of other variables of the engines, then as for [`start!`].
/// Results are in the engines' order.
pub fn gathered<S: Source, C: Constants, P, A, K: Kind>(
    constants: C,
    shape: impl FnOnce(P) -> Shape<S, ()>,
    types: impl FnOnce(A, C::Owned, Items<'_, S>) -> Outcome<K>,
) -> Handle<K::Value> {
    let _ = (shape, types);
    Handle::of_kind::<K>(handle::begin(None, None, &constants, 0, None))
}

/// As [`gathered`], for a map whose results stay in the engines.
pub fn gathered_keep<S: Source, C: Constants, P, A, K: Kind>(
    constants: C,
    shape: impl FnOnce(P) -> Shape<S, ()>,
    types: impl FnOnce(A, C::Owned, Items<'_, S>) -> Outcome<K>,
) -> Handle<()> {
    let _ = (shape, types);
    Handle::new(handle::begin(None, None, &constants, 0, None), Box::new(|_, _| Ok(())))
}

/// The types of data and of constants, without them.
pub struct Shape<S, C>(PhantomData<fn() -> (S, C)>);

/// The types of a map's data and constants.
pub fn shape<S, C: Constants>(_: &Over<S>, _: &C) -> Shape<S, C::Owned> {
    Shape(PhantomData)
}

/// The type of an engine's own items.
pub fn shape_each<'a, P: Part<'a>>(_: P) -> Shape<P::Source, ()> {
    Shape(PhantomData)
}

/// An engine's half of a map: works at items of the notebook until there are none. The first closure is never called: it
/// tells the types, and its parameter is a tuple of the notebook's variables.
#[track_caller]
pub fn serve<S: Source, C: Values, A, K: Kind>(
    shape: impl FnOnce(A) -> Shape<S, C>,
    body: impl FnOnce(C, Items<'_, S>) -> Outcome<K>,
) {
    let _ = shape;
    if let Err(error) = try_serve(body) {
        failed(error);
    }
}

/// As [`serve`], but `collect` leaves the results here: this gives those of this engine's items, by their order. With
/// `keep` in its place, they may be of any type.
#[track_caller]
pub fn serve_keep<S: Source, C: Values, A, K: Kind<Value = Vec<R>>, R>(
    shape: impl FnOnce(A) -> Shape<S, C>,
    body: impl FnOnce(C, Items<'_, S, Stay>) -> Outcome<K>,
) -> Vec<R> {
    let _ = shape;
    verdict::kept(try_serve(body), false).unwrap_or_default()
}

/// An engine's half of a map over what lies on the engines: `px::part!(part)`, or a reference to it. The first parameter of
/// the function is a tuple of constants, with its type.
#[track_caller]
pub fn each<'a, P: Part<'a>, C: Values, K: Kind>(part: P, body: impl FnOnce(C, Items<'_, P::Source>) -> Outcome<K>) {
    if let Err(error) = try_each(part, body) {
        failed(error);
    }
}

/// As [`each`], and gives the results; see [`serve_keep`].
#[track_caller]
pub fn each_keep<'a, P: Part<'a>, C: Values, K: Kind<Value = Vec<R>>, R>(
    part: P,
    body: impl FnOnce(C, Items<'_, P::Source, Stay>) -> Outcome<K>,
) -> Vec<R> {
    verdict::kept(try_each(part, body), true).unwrap_or_default()
}

/// As [`serve_keep`], with results that stay on the GPU.
#[track_caller]
pub fn serve_keep_on_gpu<S: Source, C: Values, A, K: Kind<Value = GpuVec<R>>, R: Copy + 'static>(
    shape: impl FnOnce(A) -> Shape<S, C>,
    body: impl FnOnce(C, Items<'_, S, Stay>) -> Outcome<K>,
) -> GpuVec<R> {
    let _ = shape;
    verdict::kept(try_serve(body).and_then(|kept| kept.ok_or(Error::Damaged)), false)
}

/// As [`each_keep`], with results that stay on the GPU.
#[track_caller]
pub fn each_keep_on_gpu<'a, P: Part<'a>, C: Values, K: Kind<Value = GpuVec<R>>, R: Copy + 'static>(
    part: P,
    body: impl FnOnce(C, Items<'_, P::Source, Stay>) -> Outcome<K>,
) -> GpuVec<R> {
    verdict::kept(try_each(part, body).and_then(|kept| kept.ok_or(Error::Damaged)), true)
}

#[cold]
#[inline(never)]
#[track_caller]
fn failed(error: Error) -> ! {
    panic!("{error}")
}

/// Calls `body` with what this engine is told about the map. `open` says how many items this engine has of its own, if it
/// does.
fn with_server(
    open: &mut dyn FnMut(&Serve) -> Result<Option<u64>, Error>,
    body: &mut dyn FnMut(&Server) -> Result<(), Error>,
) -> Result<(), Error> {
    let settings = Serve::decode(&argument())?;
    let own = open(&settings)?;
    let own = own.map(|count| Piece { first: crate::rank() as u64 * OWN_ITEMS, count, chunk: 1 });
    body(&Server::new(settings, own))
}

fn try_serve<S: Source, C: Values, K: Kind, W>(
    body: impl FnOnce(C, Items<'_, S, W>) -> Outcome<K>,
) -> Result<Option<K::Value>, Error> {
    let (mut body, mut value) = (Some(body), None);
    let opened = OnceCell::new();
    let mut open = |Serve { input, rooms, .. }: &Serve| {
        let open = S::open(&mut input.as_slice(), rooms)?;
        Ok(S::own(opened.get_or_init(|| open)).filter(|_| !K::IN_PIECES))
    };
    with_server(&mut open, &mut |server| {
        let constants = constants::read(&server.settings.constants, &server.settings.rooms)?;
        if let (Some(body), Some(open)) = (body.take(), opened.get()) {
            value = body(constants, Items(Mode::Serving(server, open), PhantomData)).0?;
        }
        Ok(())
    })?;
    Ok(value)
}

fn try_each<'a, P: Part<'a>, C: Values, K: Kind, W>(
    part: P,
    body: impl FnOnce(C, Items<'_, P::Source, W>) -> Outcome<K>,
) -> Result<Option<K::Value>, Error> {
    // SAFETY: `part` is there until the end of this function. What `body` returns has no part of it: the type of an
    // outcome doesn't name that of the items, which it consumes.
    let open = unsafe { part.open() };
    let (mut body, mut value) = (Some(body), None);
    with_server(&mut |_| Ok(Some(part.items())), &mut |server| {
        let constants = constants::read(&server.settings.constants, &server.settings.rooms)?;
        if let Some(body) = body.take() {
            value = body(constants, Items(Mode::Serving(server, &open), PhantomData)).0?;
        }
        Ok(())
    })?;
    Ok(value)
}

/// A function that captures nothing.
///
/// # Safety
///
/// Somebody must have promised [`CapturesNothing`] of a function of this type.
pub(crate) unsafe fn conjured<F: Copy>() -> F {
    const { assert!(size_of::<F>() == 0, "the function of a map or call can't be a variable: write it there, or its path") };
    // SAFETY: it takes no bytes, and the cell has made a value of this type, which may be copied. As was promised, it is a
    // closure without captures or the path of a function, whose values stand for nothing else.
    unsafe { *std::ptr::NonNull::<F>::dangling().as_ref() }
}

/// What engines call.
extern "C" fn serve_here<S: Source, C: Values, K: Kind, B>()
where
    B: Fn(C, Items<'_, S>) -> Outcome<K> + Copy,
{
    // SAFETY: only `start_by` names this, which was given the promise.
    let body = || unsafe { conjured::<B>() };
    guarded(&mut || {
        let served = try_serve(|constants, items: Items<'_, S>| body()(constants, items)).map(drop);
        if let (true, Err(error)) = (S::IS_OWN && !K::IN_PIECES, &served) {
            Reports::refuse(error);
        }
        served
    });
}

/// A panic has been reported by the hook, and must not leave a C function.
fn guarded(serve: &mut dyn FnMut() -> Result<(), Error>) {
    let _ = catch(true, || {
        if let Err(error) = serve() {
            panic!("{error}");
        }
    });
}

fn merge_here<S: Source, C: Values, K: Kind, B>(job: &Job, ended: &Ended) -> Result<K::Value, Error>
where
    B: Fn(C, Items<'_, S>) -> Outcome<K> + Copy,
{
    K::merge_by(ended, || {
        let items = Items(Mode::Merging(ended), PhantomData);
        // SAFETY: only `start_by` names this, which was given the promise.
        let body = unsafe { conjured::<B>() };
        Ok(body(job.constants().get()?, items))
    })
}
