//! Maps from Rust: [`map()`](crate::map()) and what can be said of one before it ends in a value. It is what `%map` does, as
//! an expression, so it can stand in a loop or a function.
//!
//! The function is a `fn`, the path of one or a closure that captures nothing: so engines find it in the cell's object. What
//! it needs of the notebook is given by [`map_with`].

use super::constants::{Constants, Values};
use super::error::Error;
use super::fold::Number;
use super::handle::{Handle, distance};
use super::items::{Filter, Items, Mapped, Sent as Whole};
use super::merge::{Collect, CollectErrors, Count, Kind, Largest, Mean, Outcome, Reduce, Smallest, Stays, Sum};
use super::probe::{PiecesKind, RowKind};
use super::rooms::Writer;
use super::source::{Column, Integer, Over, Silent, Source, Span};
use super::stream::{Stream, Streamed};
use super::{CapturesNothing, start_by, stream_by};
use crate::engines::args::Store;
use crate::engines::{Engines, Var, Waiting};
use crate::link::{Access, MapWishes, OnError};
use crate::task::Seconds;
use crate::wire::Wire;
use std::marker::PhantomData;
use std::ops::{Range, RangeInclusive};

/// Has a function called for each item, on all engines: `px::map(|x: f64| x.sqrt(), &xs).sum()?`. Nothing happens before one of
/// the ends is called, such as [`Map::collect`].
///
/// The items are those of an integer range, of a `Vec`, an array or a slice, or of whatever else `px::over!(..)` makes of
/// what can be iterated, several that are zipped included; or those that each engine has in a variable of its own,
/// `px::var!(part)`, which then stay where they are. The function gets them by value.
pub fn map<I: IntoOver, R>(function: fn(ItemOf<I>) -> R, over: I) -> Map<I::Source, (), R, Alone, Every> {
    Map::new(over.into_over(), (), function as usize)
}

/// As [`map()`](crate::map()), for a function that needs values of the notebook, which are sent along once:
/// `px::map_with((&k, &table), |(k, table), n| k * table[n], 0..100).collect()?`.
pub fn map_with<C: Constants, I: IntoOver, R>(
    values: C,
    function: fn(&C::Owned, ItemOf<I>) -> R,
    over: I,
) -> Map<I::Source, C, R, Given, Every> {
    Map::new(over.into_over(), values, function as usize)
}

/// What can be mapped.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be mapped as it is",
    label = "this isn't a range, nor a reference to a `Vec`, an array or a slice",
    note = "`px::over!(..)` makes items of everything that can be iterated, and of several things that are zipped; \
            `px::var!(part)` is what each engine has in a `Vec` of its own"
)]
pub trait IntoOver {
    #[doc(hidden)]
    type Source: Source;
    #[doc(hidden)]
    fn into_over(self) -> Over<Self::Source>;
}

/// What the function gets.
pub type ItemOf<I> = <<I as IntoOver>::Source as Source>::Item;

impl<S: Source> IntoOver for Over<S> {
    type Source = S;
    fn into_over(self) -> Over<S> {
        self
    }
}

macro_rules! into_over {
    ($([$($generics:tt)*] $type:ty: $source:ty, $kind:ident;)*) => {$(
        impl<$($generics)*> IntoOver for $type {
            type Source = $source;
            fn into_over(self) -> Over<$source> {
                $kind.pack(self, (), Silent)
            }
        }
    )*};
}

into_over! {
    [I: Integer] Range<I>: Span<I>, RowKind;
    [I: Integer + PartialOrd] RangeInclusive<I>: Span<I>, RowKind;
    [T: Wire] &Vec<T>: Column<T, Silent>, PiecesKind;
    [T: Wire] &[T]: Column<T, Silent>, PiecesKind;
    [T: Wire, const N: usize] &[T; N]: Column<T, Silent>, PiecesKind;
    [T: Wire] Vec<T>: Column<T, Silent>, PiecesKind;
}

/// The function gets items alone.
pub struct Alone;
/// It gets values of the notebook, too.
pub struct Given;

/// How a function is called.
pub trait Calls<V, I, R> {
    /// # Safety
    /// It must be the address of a function of this kind.
    #[doc(hidden)]
    unsafe fn call(function: usize, values: &V, item: I) -> R;
}

impl<V, I, R> Calls<V, I, R> for Alone {
    #[inline(always)]
    unsafe fn call(function: usize, _: &V, item: I) -> R {
        // SAFETY: as the caller promises.
        unsafe { std::mem::transmute::<usize, fn(I) -> R>(function)(item) }
    }
}

impl<V, I, R> Calls<V, I, R> for Given {
    #[inline(always)]
    unsafe fn call(function: usize, values: &V, item: I) -> R {
        // SAFETY: as the caller promises.
        unsafe { std::mem::transmute::<usize, fn(&V, I) -> R>(function)(values, item) }
    }
}

/// All results are wanted.
pub struct Every;
/// Those are that a function says so of.
pub struct Wanted;

/// Which results are wanted.
pub trait Wants: 'static {
    #[doc(hidden)]
    const FILTERS: bool;
}

impl Wants for Every {
    const FILTERS: bool = false;
}

impl Wants for Wanted {
    const FILTERS: bool = true;
}

struct By<P>(usize, PhantomData<fn() -> P>);

impl<R, P: Wants> Filter<R> for By<P> {
    const FILTERS: bool = P::FILTERS;
    #[inline(always)]
    fn wants(&self, result: &R) -> bool {
        // SAFETY: `Map::filter` was given a function of this type.
        !P::FILTERS || unsafe { std::mem::transmute::<usize, fn(&R) -> bool>(self.0)(result) }
    }
}

/// A map in the making.
#[must_use = "nothing is mapped before one of its ends is called, such as `collect`"]
pub struct Map<S: Source, C, R, H, P> {
    over: Over<S>,
    values: C,
    /// Where the functions are: the map's own, the filter's, and the reduction's.
    pub(super) functions: [usize; 3],
    /// The number of what engines keep, if they do.
    kept: u64,
    wishes: MapWishes,
    types: PhantomData<Types<R, H, P>>,
}

/// Says what to do: nothing of it is there yet.
impl<S: Source, C, R, H, P> std::fmt::Debug for Map<S, C, R, H, P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a map that hasn't begun: `.collect()?`, `.sum()?`, `.stream()?` or another end runs it")
    }
}

/// The types of a map's results, of its calls and of its filter, of which it has no values.
type Types<R, H, P> = fn() -> (R, H, P);

impl<S: Source, C, R, H> Map<S, C, R, H, Every> {
    fn new(over: Over<S>, values: C, function: usize) -> Self {
        let wishes = MapWishes { label: "px::map".to_owned(), ..MapWishes::default() };
        Map { over, values, functions: [function, 0, 0], kept: 0, wishes, types: PhantomData }
    }

    /// Results of which `wanted` says no are left out.
    pub fn filter(self, wanted: fn(&R) -> bool) -> Map<S, C, R, H, Wanted> {
        let Map { over, values, mut functions, kept, wishes, .. } = self;
        functions[1] = wanted as usize;
        Map { over, values, functions, kept, wishes, types: PhantomData }
    }
}

impl<S: Source, C, R, H, P> Map<S, C, R, H, P> {
    /// On these engines only.
    pub fn on(mut self, engines: &Engines) -> Self {
        self.wishes.engines = Some(engines.ids().into_iter().map(|id| id as u32).collect());
        self
    }

    /// So many items make a task, at least 1. Without it, tasks are as large as takes about 20 ms.
    pub fn chunk(mut self, items: u64) -> Self {
        self.wishes.chunk = Some(items.max(1));
        self
    }

    /// How often an item is tried again whose function panics, or whose worker dies.
    pub fn retries(mut self, retries: u32) -> Self {
        self.wishes.retries = Some(retries);
        self
    }

    /// What becomes of the others when an item fails. [`OnError::Keep`] is for [`Map::stream`] and [`Map::collect_errors`], whose
    /// results have the errors; [`Map::collect_errors`] keeps them in any case.
    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.wishes.on_error = on_error;
        self
    }

    /// How long an item may take: a number of seconds, or a `Duration`.
    pub fn timeout(mut self, limit: impl Seconds) -> Self {
        let millis = limit.seconds() * 1000.0;
        // A limit that is too short to be met isn't none.
        self.wishes.timeout = if millis.is_nan() { 1 } else { (millis as u64).max(1) };
        self
    }

    /// So many threads on each engine; its share of the cores without it.
    pub fn threads(mut self, threads: u32) -> Self {
        self.wishes.threads = Some(threads.max(1));
        self
    }

    /// Whether [`Map::stream`] is to give results in the order of the items. Those of the other ends are in any case, which
    /// costs nothing.
    pub fn ordered(mut self, ordered: bool) -> Self {
        self.wishes.ordered = ordered;
        self
    }

    /// What `%tasks` and monitors call it.
    pub fn label(mut self, label: &str) -> Self {
        self.wishes.label = label.to_owned();
        self
    }

    /// Its ends don't wait, and give a handle: `px::map(f, &xs).start().collect()`.
    pub fn start(self) -> Start<S, C, R, H, P> {
        Start(self)
    }
}

/// A map whose ends don't wait.
#[must_use = "nothing is mapped before one of its ends is called, such as `collect`"]
pub struct Start<S: Source, C, R, H, P>(Map<S, C, R, H, P>);

/// What an engine needs: where functions are, and the notebook's values.
struct Sent<C> {
    functions: [u64; 3],
    kept: u64,
    values: C,
}

impl<C: Constants> Constants for Sent<C> {
    type Owned = Taken<C::Owned>;

    fn put(&self, to: &mut Writer) -> Result<(), Error> {
        self.functions.iter().chain([&self.kept]).for_each(|number| number.put(to.buffer()));
        to.spill()?;
        self.values.put(to)
    }
}

/// The same on an engine.
struct Taken<V> {
    functions: [u64; 3],
    kept: u64,
    values: V,
}

impl<V: Values> Values for Taken<V> {
    fn get(from: &mut &[u8]) -> Result<Self, Error> {
        let mut next = || u64::get(from);
        let functions = [next()?, next()?, next()?];
        Ok(Taken { functions, kept: next()?, values: V::get(from)? })
    }
}

impl<V> Taken<V> {
    /// Where a function is.
    #[inline(always)]
    fn at(&self, function: usize, origin: extern "C" fn()) -> usize {
        (origin as *const () as usize).wrapping_add(self.functions[function] as usize)
    }
}

/// The items with their function and their filter, on an engine.
#[inline(always)]
fn mapped<'a, S: Source, C: Constants, R, H: Calls<C::Owned, S::Item, R>, P: Wants>(
    taken: &'a Taken<C::Owned>,
    items: Items<'a, S>,
) -> Mapped<'a, S, R, impl Fn(S::Item) -> R + Sync + use<'a, S, C, R, H, P>, By<P>, Whole>
where
    C::Owned: Sync,
{
    let at = |function| taken.at(function, origin::<S, C, R, H, P>);
    let (function, wanted) = (at(0), at(1));
    // SAFETY: the notebook found a function of this type so far from `origin`, in the same object.
    let call = move |item| unsafe { H::call(function, &taken.values, item) };
    items.map(call).filter_by(By::<P>(wanted, PhantomData))
}

/// Functions of this object are so far from this one. It is one for each type of a map, so it lies in the cell's object.
/// It isn't inlined, since rustc copies what is into each unit of code that names it, and each copy has an address of its own.
#[inline(never)]
extern "C" fn origin<S: Source, C, R, H, P>() {}

/// So far is each function from `origin`; 0 if there is none.
#[inline(never)]
fn distances(origin: extern "C" fn(), functions: [usize; 3]) -> Result<[u64; 3], Error> {
    let mut distances = [0; 3];
    for (place, function) in distances.iter_mut().zip(functions).filter(|(_, function)| *function != 0) {
        *place = distance(origin, function, "a function of the map", "nothing was mapped")?;
    }
    Ok(distances)
}

/// What becomes of a map when an item fails, if the errors may be in its result. Where they can't be, they aren't dropped
/// without a word.
#[inline(never)]
fn on_error(wish: OnError, has_errors: bool) -> Result<OnError, Error> {
    match (wish, has_errors) {
        (_, true) => Ok(OnError::Keep),
        (OnError::Keep, false) => Err(Error::Failed(
            "with `OnError::Keep`, errors have their places in the result, and this one has no places for them; nothing was \
             mapped. End the map with `.collect_errors()?`, or leave out the items that fail with `OnError::Skip`"
                .to_owned(),
        )),
        (wish, false) => Ok(wish),
    }
}

/// Functions by their distances, and the ends of maps, once for each.
macro_rules! ends {
    ($($(#[$doc:meta])* $end:ident($($function:ident: $of:ty)?) -> $kind:ty where [$($bounds:tt)*], |$mapped:ident $(, $given:ident)?| $body:expr;)*) => {
        impl<S: Source, C: Constants, R: 'static, H, P: Wants> Map<S, C, R, H, P>
        where
            H: Calls<C::Owned, S::Item, R> + 'static,
            C::Owned: Sync,
        {$(
            $(#[$doc])*
            pub fn $end(self $(, $function: $of)?) -> Result<<$kind as Kind>::Value, Error>
            where
                $($bounds)*
            {
                self.start().$end($($function)?)?.get()
            }
        )*}

        impl<S: Source, C: Constants, R: 'static, H, P: Wants> Start<S, C, R, H, P>
        where
            H: Calls<C::Owned, S::Item, R> + 'static,
            C::Owned: Sync,
        {$(
            #[doc = concat!("[`Map::", stringify!($end), "`], without waiting.")]
            ///
            /// # Errors
            /// If it can't begin.
            pub fn $end(self $(, $function: $of)?) -> Result<Handle<<$kind as Kind>::Value>, Error>
            where
                $($bounds)*
            {
                #[allow(unused_mut)]
                let mut map = self.0;
                $(map.functions[2] = $function as usize;)?
                map.begin::<$kind, _>(|taken: Taken<C::Owned>, items: Items<'_, S>| {
                    let $mapped = mapped::<S, C, R, H, P>(&taken, items);
                    $(
                        // SAFETY: the notebook found a function of this type so far from `origin`, in the same object.
                        let $given = unsafe { std::mem::transmute::<usize, $of>(taken.at(2, origin::<S, C, R, H, P>)) };
                    )?
                    $body
                })
            }
        )*}
    };
}

ends! {
    /// All results, in the order of the items.
    ///
    /// # Errors
    /// If an item fails and [`Map::on_error`] doesn't say otherwise, or if the map can't begin.
    collect() -> Collect<R> where [R: Wire + Send], |mapped| mapped.collect();
    /// All results, and in the place of those that failed what their panics said.
    ///
    /// # Errors
    /// If the map can't begin or is ended.
    collect_errors() -> CollectErrors<R> where [R: Wire + Send], |mapped| mapped.keep_errors().collect();
    /// The sum of the results: the same bits on any number of engines.
    ///
    /// # Errors
    /// As [`Map::collect`], and if their type can't hold it.
    sum() -> Sum<R> where [R: Number], |mapped| mapped.sum();
    /// The mean of the results; none of no results.
    ///
    /// # Errors
    /// As [`Map::collect`].
    mean() -> Mean<R> where [R: Number], |mapped| mapped.mean();
    /// How many results there are.
    ///
    /// # Errors
    /// As [`Map::collect`].
    count() -> Count where [], |mapped| mapped.count();
    /// The smallest result, but NaN; none of no results.
    ///
    /// # Errors
    /// As [`Map::collect`].
    min() -> Smallest<R> where [R: Wire + Send + PartialOrd], |mapped| mapped.min();
    /// The largest result, but NaN; none of no results.
    ///
    /// # Errors
    /// As [`Map::collect`].
    max() -> Largest<R> where [R: Wire + Send + PartialOrd], |mapped| mapped.max();
    /// Combines the results, always with the earlier ones on the left and always in the same tree; none of no results.
    ///
    /// # Errors
    /// As [`Map::collect`].
    reduce(combine: fn(R, R) -> R) -> Reduce<R> where [R: Wire + Send], |mapped, combine| mapped.reduce(combine);
}

impl<S: Source, C: Constants, R, H, P> Map<S, C, R, H, P> {
    fn begin<K: Kind, B>(self, body: B) -> Result<Handle<K::Value>, Error>
    where
        B: Fn(Taken<C::Owned>, Items<'_, S>) -> Outcome<K> + Copy,
    {
        let Map { over, values, functions, kept, mut wishes, .. } = self;
        wishes.on_error = on_error(wishes.on_error, K::HAS_ERRORS)?;
        let sent = Sent { functions: distances(origin::<S, C, R, H, P>, functions)?, kept, values };
        // SAFETY: the bodies are those of `ends!`, which capture nothing.
        let nothing = unsafe { CapturesNothing::promised() };
        Ok(start_by(over, sent, body, nothing, Some(wishes)).0)
    }
}

impl<S: Source, C: Constants, R: Wire + Send + 'static, H, P: Wants> Map<S, C, R, H, P>
where
    H: Calls<C::Owned, S::Item, R> + 'static,
    C::Owned: Sync,
{
    /// Each result while others are made, with the number of its item: `for (i, r) in px::map(f, &xs).stream()? { .. }`. They
    /// come as they arrive, or with [`Map::ordered`] in the order of the items.
    ///
    /// Items that engines have of their own are numbered as [`Map::collect`] has their results: one engine's behind the
    /// other's.
    ///
    /// A loop that takes its time is waited for: engines rest while 16 MiB of results wait for it. When it ends early, the map
    /// ends, too. An item that fails ends it, and the last result is the error; with [`OnError::Keep`] each item that fails
    /// gives an `Err`, and with [`OnError::Skip`] nothing.
    ///
    /// # Errors
    /// If the map can't begin.
    pub fn stream(self) -> Result<Stream<R>, Error> {
        let Map { over, values, functions, kept, mut wishes, .. } = self;
        wishes.streamed = true;
        let (ordered, on_error) = (wishes.ordered, wishes.on_error);
        let sent = Sent { functions: distances(origin::<S, C, R, H, P>, functions)?, kept, values };
        let body = |taken: Taken<C::Owned>, items: Items<'_, S>| mapped::<S, C, R, H, P>(&taken, items).stream();
        // SAFETY: it captures nothing.
        let nothing = unsafe { CapturesNothing::promised() };
        let maps = stream_by::<_, _, Streamed<R>, _>(over, sent, body, nothing, wishes)?;
        Ok(Stream::new(maps, ordered, on_error))
    }
}

impl<S: Source, C: Constants, R: Send + 'static, H, P: Wants> Map<S, C, R, H, P>
where
    H: Calls<C::Owned, S::Item, R> + 'static,
    C::Owned: Sync,
{
    /// Leaves the results on the engines that made them, each of which then has a `Vec` of this name with its own, in the
    /// order of their items; they may be of any type: `px::map(f, &xs).keep(px::var!(ys))?`.
    ///
    /// # Errors
    /// As [`Map::collect`], and if an engine dies with results. Then variables of this name are as before.
    pub fn keep(self, to: Var<Vec<R>>) -> Result<(), Error> {
        self.start().keep(to)?.get()
    }
}

impl<S: Source, C: Constants, R: Send + 'static, H, P: Wants> Start<S, C, R, H, P>
where
    H: Calls<C::Owned, S::Item, R> + 'static,
    C::Owned: Sync,
{
    /// [`Map::keep`], without waiting. [`Handle::get`] waits for the end, and gives all results their name. Until then they
    /// have none; if the handle is dropped before, engines let go of them.
    ///
    /// # Errors
    /// If it can't begin.
    pub fn keep(self, to: Var<Vec<R>>) -> Result<Handle<()>, Error> {
        let Start(mut map) = self;
        (map.wishes.keep, map.wishes.access) = (true, Access::Change);
        let waiting = Waiting::on(map.wishes.engines.clone().map(Engines::of));
        map.kept = waiting.number();
        let handle = map.begin::<Stays, _>(|taken: Taken<C::Owned>, items: Items<'_, S>| {
            let Outcome(kept) = mapped::<S, C, R, H, P>(&taken, items).keep();
            Outcome(kept.and_then(|values| Store::leave(taken.kept, values.unwrap_or_default())).map(|()| None))
        })?;
        Ok(handle.then(move |results| waiting.name_results(to, results)))
    }
}
