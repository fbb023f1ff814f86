//! What `%map` writes for a user: `px_items.map(FUNCTION).filter(PREDICATE).sum()`. On an engine, the last call is what
//! works at the items. In the notebook, where the same is called, it makes one result of what the engines have done.

use super::call::{Call, Call2, Call3, Call4};
use super::engine::{Server, Work};
use super::error::Error;
use super::fold::{CountFold, Fold, MeanFold, Number, ReduceFold, SumFold, larger, ordered, smaller};
use super::gpu::{self, From};
use super::merge::folded;
use super::merge::{Collect, CollectErrors, Count, Ended, Keep, Kind, Largest, Mean, Outcome, Reduce, Smallest, Sum};
use super::output::{Batch, Encodings, Keeping, Kept, lock, own};
use super::source::{Read as _, Source};
use super::stream::Streamed;
use super::tree::Folded;
use crate::wire::Wire;
use std::marker::PhantomData;
use std::sync::Mutex;

/// The items of a map, and where results of `collect` go: [`Sent`] or [`Stay`].
pub struct Items<'a, S: Source, W = Sent>(pub(crate) Mode<'a, S>, pub(crate) PhantomData<W>);

pub(crate) enum Mode<'a, S: Source> {
    Serving(&'a Server, &'a S::Open),
    Merging(&'a Ended),
}

/// Items and a function for them.
pub struct Mapped<'a, S: Source, R, F, P, W> {
    pub(super) items: Items<'a, S, W>,
    pub(super) function: F,
    filter: P,
    result: PhantomData<fn() -> R>,
}

/// The notebook gets the results.
pub struct Sent;
/// They stay in the engine.
pub struct Stay;
/// As `W` says; and they are made by a GPU.
pub struct OnGpu<W>(PhantomData<W>);

/// Where results go and who makes them. As a type, so that a cell has the code for one way only.
pub trait Whither: Sized {
    #[doc(hidden)]
    const ON_GPU: bool = false;
    #[doc(hidden)]
    type Way: Way;
}

/// Where results go.
pub trait Way {
    #[doc(hidden)]
    fn collect<S: Source, R: Wire + Send, F: Fn(S::Item) -> R + Sync, P: Filter<R>, W: Whither>(
        mapped: Mapped<'_, S, R, F, P, W>,
    ) -> Outcome<Collect<R>>;
    #[doc(hidden)]
    fn collect_errors<S: Source, R: Wire + Send, F: Fn(S::Item) -> R + Sync, P: Filter<R>, W: Whither>(
        mapped: Mapped<'_, S, R, F, P, W>,
    ) -> Outcome<CollectErrors<R>>;
}

impl Whither for Sent {
    type Way = Sent;
}

impl Whither for Stay {
    type Way = Stay;
}

impl<W: Whither> Whither for OnGpu<W> {
    const ON_GPU: bool = true;
    type Way = W::Way;
}

/// Whether a result is wanted.
pub trait Filter<R>: Sync {
    /// Whether it may say no.
    const FILTERS: bool;
    /// Whether it is.
    fn wants(&self, result: &R) -> bool;
}

/// Each is.
pub struct Every;
/// Those are that a function says so of.
pub struct Only<P>(P);

impl<R> Filter<R> for Every {
    const FILTERS: bool = false;
    #[inline(always)]
    fn wants(&self, _: &R) -> bool {
        true
    }
}

impl<R, P: Fn(&R) -> bool + Sync> Filter<R> for Only<P> {
    const FILTERS: bool = true;
    #[inline(always)]
    fn wants(&self, result: &R) -> bool {
        (self.0)(result)
    }
}

#[allow(clippy::type_complexity)] // An `impl Fn` can't be in a type of its own.
impl<'a, S: Source, W> Items<'a, S, W> {
    /// Has a GPU call the function, which uses these variables of the engine besides those of the notebook.
    pub fn on_gpu(self, values: Vec<gpu::Value>) -> Items<'a, S, OnGpu<W>> {
        if let Mode::Serving(server, _) = self.0 {
            server.values.get_or_init(|| gpu::encoded(&values));
        }
        Items(self.0, PhantomData)
    }

    /// The function to be called for each item.
    pub fn map<R, F: Fn(S::Item) -> R + Sync>(self, function: F) -> Mapped<'a, S, R, F, Every, W> {
        Mapped { items: self, function, filter: Every, result: PhantomData }
    }

    /// A function of references: `|x| *x + 1`, `|&x| x + 1`.
    pub fn map_ref<R>(
        self,
        function: impl Fn(&S::Item) -> R + Sync,
    ) -> Mapped<'a, S, R, impl Fn(S::Item) -> R + Sync, Every, W> {
        self.map(move |item| function(&item))
    }

    /// A function by its path, or a closure whose parameter has a type: it may take references.
    pub fn call<How, F: Call<S::Item, How>>(
        self,
        function: F,
    ) -> Mapped<'a, S, F::Output, impl Fn(S::Item) -> F::Output + Sync, Every, W> {
        self.map(move |item| function.call(item))
    }
}

/// What there is for one source, for several that are zipped.
macro_rules! of_zipped {
    ($map:ident $map_ref:ident $call:ident $trait:ident: $($item:ident $name:ident),*) => {
        #[allow(clippy::type_complexity)] // An `impl Fn` can't be in a type of its own.
        impl<'a, S: Source, W> Items<'a, S, W> {
            /// A function of as many parameters as there are zipped sources.
            pub fn $map<$($item,)* R>(
                self,
                function: impl Fn($($item),*) -> R + Sync,
            ) -> Mapped<'a, S, R, impl Fn(S::Item) -> R + Sync, Every, W>
            where
                S: Source<Item = ($($item,)*)>,
            {
                self.map(move |($($name,)*)| function($($name),*))
            }

            /// As [`Items::map_ref`], for as many zipped sources.
            pub fn $map_ref<$($item,)* R>(
                self,
                function: impl Fn($(&$item),*) -> R + Sync,
            ) -> Mapped<'a, S, R, impl Fn(S::Item) -> R + Sync, Every, W>
            where
                S: Source<Item = ($($item,)*)>,
            {
                self.map(move |($($name,)*)| function($(&$name),*))
            }

            /// As [`Items::call`], for as many zipped sources.
            pub fn $call<$($item,)* How, F: $trait<$($item,)* How>>(
                self,
                function: F,
            ) -> Mapped<'a, S, F::Output, impl Fn(S::Item) -> F::Output + Sync, Every, W>
            where
                S: Source<Item = ($($item,)*)>,
            {
                self.map(move |($($name,)*)| function.call($($name),*))
            }
        }
    };
}

of_zipped!(map2 map2_ref call2 Call2: A a, B b);
of_zipped!(map3 map3_ref call3 Call3: A a, B b, C c);
of_zipped!(map4 map4_ref call4 Call4: A a, B b, C c, D d);

impl<'a, S: Source, R, F: Fn(S::Item) -> R + Sync, W> Mapped<'a, S, R, F, Every, W> {
    /// Results of which `wanted` says no are left out.
    pub fn filter<P: Fn(&R) -> bool + Sync>(self, wanted: P) -> Mapped<'a, S, R, F, Only<P>, W> {
        Mapped { items: self.items, function: self.function, filter: Only(wanted), result: PhantomData }
    }
}

impl<'a, S: Source, R, F: Fn(S::Item) -> R + Sync, W> Mapped<'a, S, R, F, Every, W> {
    /// The same, by what says it.
    pub(super) fn filter_by<P: Filter<R>>(self, filter: P) -> Mapped<'a, S, R, F, P, W> {
        Mapped { items: self.items, function: self.function, filter, result: PhantomData }
    }
}

impl<S: Source, R, F: Fn(S::Item) -> R + Sync, P: Filter<R>, W: Whither> Mapped<'_, S, R, F, P, W> {
    /// Results may come in any order. They are in that of the items all the same, which costs nothing.
    pub fn unordered(self) -> Self {
        self
    }

    /// Errors of items that fail are kept in the place of their results.
    pub fn keep_errors(self) -> WithErrors<Self> {
        WithErrors(self)
    }

    /// All results. In an engine that keeps them, they stay there.
    pub fn collect(self) -> Outcome<Collect<R>>
    where
        R: Wire + Send,
    {
        W::Way::collect(self)
    }

    /// Each result while the others are made.
    pub fn stream(self) -> Outcome<Streamed<R>>
    where
        R: Wire + Send,
    {
        Outcome(self.serve(Numbered, |server, work| server.stream(work, size_of::<R>())).map(|()| None))
    }

    /// All results, which stay in the engine and may be of any type.
    pub fn keep(self) -> Outcome<Keep<R>>
    where
        R: Send + 'static,
    {
        self.kept(None, |result| result)
    }

    /// Leaves what `lift` makes of the results in the engine.
    pub(super) fn kept<T: Send + 'static, K: Kind<Value = Vec<T>>>(
        self,
        error: Option<fn(&str) -> T>,
        lift: impl Fn(R) -> T + Sync,
    ) -> Outcome<K> {
        let kept = Kept { parts: Mutex::new(Vec::new()), error };
        let served = self.serve(Lifted(&kept, |result| Some(lift(result))), |server, work| server.run(work, &kept));
        let mut parts = std::mem::take(&mut *lock(&kept.parts));
        parts.sort_unstable_by_key(|(first, _)| *first);
        Outcome(served.map(|()| Some(parts.into_iter().flat_map(|(_, values)| values).collect())))
    }

    /// In an engine: calls the function for what there is, as `run` says.
    fn serve(self, put: impl Put<R>, run: impl FnOnce(&Server, &dyn Work) -> Result<(), Error>) -> Result<(), Error> {
        let Mapped { items, function, filter, .. } = self;
        let Mode::Serving(server, open) = items.0 else { return Err(Error::Damaged) };
        // The processors may have been chosen all the same.
        let gpu = Some(server).filter(|server| W::ON_GPU && server.settings.gpu.is_some());
        run(server, &Worker::<S, F, P, _, R, W> { open, gpu, function, filter, put, result: PhantomData })
    }

    /// In an engine: reduces the results that `lift` makes something of. The notebook needs the types only.
    fn fold<L: Fold, K: Kind>(self, fold: L, lift: impl Fn(R) -> Option<L::Item> + Sync) -> Outcome<K> {
        let folded = Folded(fold);
        Outcome(self.serve(Lifted(&folded, lift), |server, work| server.run(work, &folded)).map(|()| None))
    }

    /// The sum of the results, of their type. If that can't hold it, it is an error, or for 64 bits and more a warning.
    pub fn sum(self) -> Outcome<Sum<R>>
    where
        R: Number,
    {
        self.fold(SumFold(PhantomData), Some)
    }

    /// The mean of the results; none of no results.
    pub fn mean(self) -> Outcome<Mean<R>>
    where
        R: Number,
    {
        self.fold(MeanFold, |result| Some(result.to_f64()))
    }

    /// How many results there are.
    pub fn count(self) -> Outcome<Count> {
        self.fold(CountFold, |_| Some(()))
    }

    /// The smallest result, but NaN.
    pub fn min(self) -> Outcome<Smallest<R>>
    where
        R: Wire + Send + PartialOrd,
    {
        self.fold(ReduceFold(smaller::<R>, PhantomData), |result| Some(result).filter(ordered))
    }

    /// The largest result, but NaN.
    pub fn max(self) -> Outcome<Largest<R>>
    where
        R: Wire + Send + PartialOrd,
    {
        self.fold(ReduceFold(larger::<R>, PhantomData), |result| Some(result).filter(ordered))
    }

    /// Combines the results, always with the earlier ones on the left; none of no results.
    pub fn reduce(self, combine: impl Fn(R, R) -> R + Sync) -> Outcome<Reduce<R>>
    where
        R: Wire + Send,
    {
        let fold = ReduceFold(combine, PhantomData);
        match self.items.0 {
            Mode::Serving(..) => self.fold(fold, Some),
            Mode::Merging(ended) => Outcome(folded(ended, &fold).map(|node| Some(node.flatten()))),
        }
    }
}

impl Way for Sent {
    fn collect<S: Source, R: Wire + Send, F: Fn(S::Item) -> R + Sync, P: Filter<R>, W: Whither>(
        mapped: Mapped<'_, S, R, F, P, W>,
    ) -> Outcome<Collect<R>> {
        let plain = R::is_plain() && !P::FILTERS;
        let put = Bytes::<P>(PhantomData);
        Outcome(mapped.serve(put, |server, work| server.send(work, plain, size_of::<R>())).map(|()| None))
    }

    fn collect_errors<S: Source, R: Wire + Send, F: Fn(S::Item) -> R + Sync, P: Filter<R>, W: Whither>(
        mapped: Mapped<'_, S, R, F, P, W>,
    ) -> Outcome<CollectErrors<R>> {
        let put = Marked(matches!(mapped.items.0, Mode::Serving(server, _) if server.keeps_errors()));
        Outcome(mapped.serve(put, |server, work| server.send_marked(work, size_of::<R>())).map(|()| None))
    }
}

impl Way for Stay {
    fn collect<S: Source, R: Wire + Send, F: Fn(S::Item) -> R + Sync, P: Filter<R>, W: Whither>(
        mapped: Mapped<'_, S, R, F, P, W>,
    ) -> Outcome<Collect<R>> {
        mapped.kept(None, |result| result)
    }

    fn collect_errors<S: Source, R: Wire + Send, F: Fn(S::Item) -> R + Sync, P: Filter<R>, W: Whither>(
        mapped: Mapped<'_, S, R, F, P, W>,
    ) -> Outcome<CollectErrors<R>> {
        mapped.kept(Some(|message| Err(message.to_owned())), Ok)
    }
}

/// See [`Mapped::keep_errors`].
pub struct WithErrors<M>(M);

impl<S: Source, R: Wire + Send, F: Fn(S::Item) -> R + Sync, P: Filter<R>, W: Whither>
    WithErrors<Mapped<'_, S, R, F, P, W>>
{
    /// As [`Mapped::unordered`].
    pub fn unordered(self) -> Self {
        self
    }

    /// All results.
    pub fn collect(self) -> Outcome<CollectErrors<R>> {
        W::Way::collect_errors(self.0)
    }
}

/// Puts results into a batch.
trait Put<R>: Sync {
    /// So many calls of `next`, each of which gives a result that is wanted, or none.
    fn put(&self, batch: &mut Batch, count: u64, next: impl FnMut() -> Option<R>);
}

/// For [`Server::send`].
struct Bytes<P>(PhantomData<fn() -> P>);

impl<R: Wire, P: Filter<R>> Put<R> for Bytes<P> {
    #[inline(always)]
    fn put(&self, batch: &mut Batch, count: u64, mut next: impl FnMut() -> Option<R>) {
        let batch = own::<Encodings>(batch);
        if !R::is_plain() || P::FILTERS {
            return batch.encode(count, false, next);
        }
        batch.fill(count, || match next() {
            Some(result) => result,
            None => unreachable!("without a filter, each item has a result"),
        });
    }
}

/// For [`Server::send_marked`], and whether errors are kept.
struct Marked(bool);

impl<R: Wire> Put<R> for Marked {
    #[inline(always)]
    fn put(&self, batch: &mut Batch, count: u64, next: impl FnMut() -> Option<R>) {
        own::<Encodings>(batch).encode(count, self.0, next);
    }
}

/// For [`Server::stream`].
struct Numbered;

impl<R: Wire> Put<R> for Numbered {
    #[inline(always)]
    fn put(&self, batch: &mut Batch, count: u64, next: impl FnMut() -> Option<R>) {
        own::<Encodings>(batch).mark(count, next);
    }
}

/// What a function makes of them, which may be nothing.
struct Lifted<'a, O, G>(&'a O, G);

impl<R, T: Send + 'static, G: Fn(R) -> Option<T> + Sync> Put<R> for Lifted<'_, Kept<T>, G> {
    #[inline(always)]
    fn put(&self, batch: &mut Batch, count: u64, mut next: impl FnMut() -> Option<R>) {
        own::<Keeping<T>>(batch).extend(count, || next().and_then(&self.1));
    }
}

impl<R, L: Fold, G: Fn(R) -> Option<L::Item> + Sync> Put<R> for Lifted<'_, Folded<L>, G> {
    #[inline(always)]
    fn put(&self, batch: &mut Batch, count: u64, mut next: impl FnMut() -> Option<R>) {
        self.0.extend(own(batch), count, || next().and_then(&self.1));
    }
}

/// So many items for a GPU: where its memory has them, or in this process.
pub(super) fn for_gpu<S: Source>(open: &S::Open, first: u64, count: u64) -> Result<From<S::Item>, Error> {
    if let Some(buffer) = S::buffer(open) {
        return Ok(From::Kept { buffer, first, count });
    }
    let mut reader = S::read(open, first, count)?;
    // SAFETY: `count` were asked for.
    Ok(From::Here((0..count).map(|_| unsafe { reader.next() }).collect()))
}

struct Worker<'a, S: Source, F, P, X, R, W> {
    open: &'a S::Open,
    /// What has a GPU, if one is to be used.
    gpu: Option<&'a Server>,
    function: F,
    filter: P,
    put: X,
    result: PhantomData<fn() -> (R, W)>,
}

impl<S: Source, R, F: Fn(S::Item) -> R + Sync, P: Filter<R>, X: Put<R>, W: Whither> Worker<'_, S, F, P, X, R, W> {
    fn extend_by_gpu(&self, server: &Server, batch: &mut Batch, first: u64, count: u64) -> Result<(), Error> {
        let results = gpu::results::<S::Item, R>(server, for_gpu::<S>(self.open, first, count)?)?;
        // The item that fails, if one does.
        let mut failing = match (results.len() as u64) < count {
            true => Some(S::read(self.open, first + results.len() as u64, 1)?),
            false => None,
        };
        let mut results = results.into_iter();
        self.put.put(batch, count, || {
            let result = results.next().unwrap_or_else(|| {
                // Here, it panics in the way that the function does.
                // SAFETY: one item was asked for, and nothing here returns.
                failing.take().map(|mut reader| (self.function)(unsafe { reader.next() }));
                gpu::disagrees()
            });
            if self.filter.wants(&result) { Some(result) } else { None }
        });
        Ok(())
    }
}

impl<S: Source, R, F: Fn(S::Item) -> R + Sync, P: Filter<R>, X: Put<R>, W: Whither> Work
    for Worker<'_, S, F, P, X, R, W>
{
    fn extend(&self, batch: &mut Batch, first: u64, count: u64) -> Result<(), Error> {
        if W::ON_GPU
            && let Some(server) = self.gpu
        {
            return self.extend_by_gpu(server, batch, first, count);
        }
        let mut reader = S::read(self.open, first, count)?;
        self.put.put(batch, count, || {
            // SAFETY: this is called `count` times at most.
            let result = (self.function)(unsafe { reader.next() });
            if self.filter.wants(&result) { Some(result) } else { None }
        });
        Ok(())
    }

    fn on_gpu(&self) -> Option<u64> {
        (W::ON_GPU && self.gpu.is_some()).then(gpu::at_once::<S::Item, R>)
    }

    fn text(&self, item: u64) -> Option<String> {
        let mut reader = S::read(self.open, item, 1).ok()?;
        // SAFETY: one item was asked for.
        S::text(&unsafe { reader.next() })
    }
}
