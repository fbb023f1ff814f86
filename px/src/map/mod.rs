//! What `%map` is made of. The kernel writes a cell that calls [`start`] with the data and a function:
//!
//! ```no_run
//! let (xs, k) = (vec![1.0, 2.0], 3.0);
//! let squares = px::map::start(px::over!(&xs), (&k,), |(k,), px_items| px_items.map(
//!     |x| x * x * k
//! ).collect()).wait();
//! ```
//!
//! The cell's object has all of it: `start` is a function of the closure's type, and so is the function that engines call
//! when they have loaded the same object. The closure captures nothing, so there is nothing to send of it; variables that
//! it needs are its parameters. It is called on the engines, where `collect` works at the items, and afterwards in the
//! notebook, where it makes one `Vec` of what they have done.
//!
//! Engines whose variables a function names compile a second cell, which calls [`serve`], and the notebook's cell only
//! needs the closure's type: [`typed`].

mod call;
mod constants;
mod engine;
pub(crate) mod error;
mod fold;
mod handle;
mod items;
mod merge;
pub(crate) mod output;
mod own;
#[doc(hidden)]
pub mod probe;
mod report;
pub(crate) mod rooms;
mod shown;
mod source;
#[cfg(test)]
pub(crate) mod tests;
mod tree;

pub use constants::{Constants, Values};
pub use error::Error;
pub(crate) use error::ask;
pub use fold::Number;
pub use handle::Handle;
pub use items::{Every, Filter, Items, Mapped, Only, WithErrors};
pub use merge::{Collect, CollectErrors, Count, Ended, Keep, Kind, Largest, Mean, Outcome, Reduce, Smallest, Sum};
pub use own::{Here, Mine, Part};
pub use shown::{Shown, show};
pub use source::{Describe, Over, Source, zip2, zip3};

use crate::host::{argument, catch};
use crate::link::{Message as _, Piece, Serve};
use engine::Server;
use handle::{Job, Start};
use items::Mode;
use std::ffi::{CStr, c_char, c_void};
use std::marker::PhantomData;
use std::rc::Rc;

/// An engine's own items are numbered from its rank times this on.
pub const OWN_ITEMS: u64 = 1 << 40;

/// Begins a map over data of the notebook. `body` is called here and on the engines.
pub fn start<S: Source, C: Constants, K: Kind, B>(over: Over<S>, constants: C, body: B) -> Handle<K::Value>
where
    B: Fn(C::Owned, Items<S>) -> Outcome<K> + Copy,
{
    let _ = body;
    let job = Start::over(over)
        .and_then(|start| start.begin(place_of(serve_here::<S, C::Owned, K, B>)?, &constants, K::size()));
    let merge: fn(&Job, Ended) -> Result<K::Value, Error> = merge_here::<S, C::Owned, K, B>;
    Handle::new(job, Box::new(merge))
}

/// The notebook's half of a map whose function names variables of the engines. `types` is never called: its parameters are
/// a tuple of those variables, then as for [`start`].
pub fn typed<S: Source, C: Constants, A, K: Kind>(
    over: Over<S>,
    constants: C,
    types: impl FnOnce(A, C::Owned, Items<S>) -> Outcome<K>,
) -> Handle<K::Value> {
    let _ = types;
    Handle::of_kind::<K>(Start::over(over).and_then(|start| start.begin(Default::default(), &constants, K::size())))
}

/// As [`typed`], for a map whose results stay in the engines.
pub fn typed_keep<S: Source, C: Constants, A, K: Kind>(
    over: Over<S>,
    constants: C,
    types: impl FnOnce(A, C::Owned, Items<S>) -> Outcome<K>,
) -> Handle<()> {
    let _ = types;
    let job = Start::over(over).and_then(|start| start.begin(Default::default(), &constants, 0));
    Handle::new(job, Box::new(|_, _| Ok(())))
}

/// The notebook's half of a map of what lies on the engines. The closures are never called: the first one's parameter is
/// the variable that is mapped, those of the other are a tuple of other variables of the engines, and the items. Results
/// are in the engines' order.
pub fn gathered<S: Source, P, A, K: Kind>(
    shape: impl FnOnce(P) -> Shape<S, ()>,
    types: impl FnOnce(A, Items<S>) -> Outcome<K>,
) -> Handle<K::Value> {
    gathered_with((), shape, |variables, (), items| types(variables, items))
}

/// As [`gathered`], with constants as for [`typed`].
pub fn gathered_with<S: Source, C: Constants, P, A, K: Kind>(
    constants: C,
    shape: impl FnOnce(P) -> Shape<S, ()>,
    types: impl FnOnce(A, C::Owned, Items<S>) -> Outcome<K>,
) -> Handle<K::Value> {
    let _ = (shape, types);
    Handle::of_kind::<K>(Start::each().begin(Default::default(), &constants, 0))
}

/// As [`gathered`], for a map whose results stay in the engines.
pub fn gathered_keep<S: Source, P, A, K: Kind>(
    shape: impl FnOnce(P) -> Shape<S, ()>,
    types: impl FnOnce(A, Items<S>) -> Outcome<K>,
) -> Handle<()> {
    gathered_keep_with((), shape, |variables, (), items| types(variables, items))
}

/// As [`gathered_with`], for a map whose results stay in the engines.
pub fn gathered_keep_with<S: Source, C: Constants, P, A, K: Kind>(
    constants: C,
    shape: impl FnOnce(P) -> Shape<S, ()>,
    types: impl FnOnce(A, C::Owned, Items<S>) -> Outcome<K>,
) -> Handle<()> {
    let _ = (shape, types);
    Handle::new(Start::each().begin(Default::default(), &constants, 0), Box::new(|_, _| Ok(())))
}

/// The types of data and of constants, without them.
pub struct Shape<S, C>(PhantomData<fn() -> (S, C)>);

/// The types of a map's data and constants.
pub fn shape<S, C: Constants>(_: &Over<S>, _: &C) -> Shape<S, C::Owned> {
    Shape(PhantomData)
}

/// The type of an engine's own items.
pub fn shape_each<'a, P: Part<'a>>(_: P) -> Shape<Here<P::Item, P::Name>, ()> {
    Shape(PhantomData)
}

/// An engine's half of a map: works at items of the notebook until there are none. The first closure is never called: it
/// tells the types, and its parameter is a tuple of the notebook's variables.
#[track_caller]
pub fn serve<S: Source, C: Values, A, K: Kind>(
    shape: impl FnOnce(A) -> Shape<S, C>,
    body: impl FnOnce(C, Items<S>) -> Outcome<K>,
) {
    let _ = shape;
    if let Err(error) = try_serve(body, false) {
        panic!("{error}");
    }
}

/// As [`serve`], but `collect` leaves the results here: this gives those of this engine's items, by their order. With
/// `keep` in its place, they may be of any type.
#[track_caller]
pub fn serve_keep<S: Source, C: Values, A, K: Kind<Value = Vec<R>>, R>(
    shape: impl FnOnce(A) -> Shape<S, C>,
    body: impl FnOnce(C, Items<S>) -> Outcome<K>,
) -> Vec<R> {
    let _ = shape;
    try_serve(body, true).unwrap_or_else(|error| panic!("{error}")).unwrap_or_default()
}

/// An engine's half of a map over what lies on the engines: `px::part!(part)`, or a reference to it.
#[track_caller]
pub fn each<'a, P: Part<'a>, K: Kind>(part: P, body: impl FnOnce(Items<Here<P::Item, P::Name>>) -> Outcome<K>) {
    each_with(part, |(), items| body(items));
}

/// As [`each`], with constants: the first parameter is a tuple of them, with its type.
#[track_caller]
pub fn each_with<'a, P: Part<'a>, C: Values, K: Kind>(
    part: P,
    body: impl FnOnce(C, Items<Here<P::Item, P::Name>>) -> Outcome<K>,
) {
    if let Err(error) = try_each(&part.mine(), body, false) {
        panic!("{error}");
    }
}

/// As [`each`], and gives the results; see [`serve_keep`].
#[track_caller]
pub fn each_keep<'a, P: Part<'a>, K: Kind<Value = Vec<R>>, R>(
    part: P,
    body: impl FnOnce(Items<Here<P::Item, P::Name>>) -> Outcome<K>,
) -> Vec<R> {
    each_keep_with(part, |(), items| body(items))
}

/// As [`each_with`], and gives the results; see [`serve_keep`].
#[track_caller]
pub fn each_keep_with<'a, P: Part<'a>, C: Values, K: Kind<Value = Vec<R>>, R>(
    part: P,
    body: impl FnOnce(C, Items<Here<P::Item, P::Name>>) -> Outcome<K>,
) -> Vec<R> {
    try_each(&part.mine(), body, true).unwrap_or_else(|error| panic!("{error}")).unwrap_or_default()
}

fn settings() -> Result<Serve, Error> {
    Ok(Serve::decode(&argument())?)
}

fn try_serve<S: Source, C: Values, K: Kind>(
    body: impl FnOnce(C, Items<S>) -> Outcome<K>,
    keep: bool,
) -> Result<Option<K::Value>, Error> {
    let settings = settings()?;
    let constants = constants::read(&settings.constants, &settings.rooms)?;
    let mut input = settings.input.as_slice();
    let open = S::open(&mut input, &settings.rooms)?;
    body(constants, Items(Mode::Serving(Box::new(Server::new(settings, None, keep)), open))).0
}

fn try_each<T: Clone + Sync + 'static, D: Describe<T>, C: Values, K: Kind>(
    part: &Mine<'_, T, D>,
    body: impl FnOnce(C, Items<Here<T, D>>) -> Outcome<K>,
    keep: bool,
) -> Result<Option<K::Value>, Error> {
    let settings = settings()?;
    let constants = constants::read(&settings.constants, &settings.rooms)?;
    let count = (part.first.len() + part.second.len()) as u64;
    let own = Piece { first: crate::rank() as u64 * OWN_ITEMS, count, chunk: 1 };
    // SAFETY: `part` is borrowed until the end of this function. What `body` returns has no part of it: the type of an
    // outcome doesn't name that of the items, which it consumes.
    let open = unsafe { own::OpenHere::new(part) };
    body(constants, Items(Mode::Serving(Box::new(Server::new(settings, Some(own), keep)), open))).0
}

/// A closure that captures nothing.
fn conjured<B: Copy>() -> B {
    const {
        assert!(
            size_of::<B>() == 0,
            "the function of a map can't borrow variables of the notebook: those that it names in a macro, or that \
             other variables hide, must be passed by name"
        )
    };
    // SAFETY: it takes no bytes, and `start` was given a value of this type, which may be copied.
    unsafe { *std::ptr::NonNull::<B>::dangling().as_ref() }
}

/// What engines call. A panic has been reported by the hook, and must not leave a C function.
extern "C" fn serve_here<S: Source, C: Values, K: Kind, B>()
where
    B: Fn(C, Items<S>) -> Outcome<K> + Copy,
{
    let _ = catch(true, || {
        if let Err(error) = try_serve(|constants, items| conjured::<B>()(constants, items), false) {
            panic!("{error}");
        }
    });
}

fn merge_here<S: Source, C: Values, K: Kind, B>(job: &Job, ended: Ended) -> Result<K::Value, Error>
where
    B: Fn(C, Items<S>) -> Outcome<K> + Copy,
{
    let outcome = conjured::<B>()(job.constants().get()?, Items(Mode::Merging(Rc::new(ended))));
    outcome.0?.ok_or(Error::Damaged)
}

/// The file of the object that a function is in, and where.
pub(crate) fn place_of(function: extern "C" fn()) -> Result<(String, u64), Error> {
    #[repr(C)]
    struct Place {
        file: *const c_char,
        base: *const c_void,
        name: *const c_char,
        symbol: *const c_void,
    }
    unsafe extern "C" {
        fn dladdr(address: *const c_void, place: *mut Place) -> i32;
    }
    let address = function as *const c_void;
    let mut place =
        Place { file: std::ptr::null(), base: std::ptr::null(), name: std::ptr::null(), symbol: std::ptr::null() };
    // SAFETY: `place` is laid out as `dladdr` fills it.
    if unsafe { dladdr(address, &raw mut place) } == 0 || place.file.is_null() {
        return Err(Error::Room("the object that the function is in can't be found".to_owned()));
    }
    // SAFETY: the linker's text of the object's path, which stays as long as the object is loaded: it holds this code.
    let file = unsafe { CStr::from_ptr(place.file) };
    Ok((file.to_string_lossy().into_owned(), address as u64 - place.base as u64))
}
