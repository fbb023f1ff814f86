//! What `%map` writes for a user: `px_items.map(FUNCTION).filter(PREDICATE).sum()`. On an engine, the last call is what
//! works at the items. In the notebook, where the same is called, it makes one result of what the engines have done.

use super::call::{Call, Call2, Call3};
use super::engine::Server;
use super::error::Error;
use super::fold::{CountFold, Fold, MeanFold, Number, ReduceFold, SumFold, larger, ordered, smaller};
use super::merge::{Collect, CollectErrors, Count, Ended, Keep, Kind, Largest, Mean, Outcome, Reduce, Smallest, Sum};
use super::merge::{folded, present};
use super::output::{Encoded, InPlace, Kept, lock};
use super::source::Source;
use super::tree::Folded;
use crate::link::OnError;
use crate::wire::Wire;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Mutex;

/// The items of a map.
pub struct Items<S: Source>(pub(crate) Mode<S>);

pub(crate) enum Mode<S: Source> {
    Serving(Box<Server>, S::Open),
    Merging(Rc<Ended>),
}

/// Items and a function for them.
pub struct Mapped<S: Source, R, F, P> {
    items: Items<S>,
    function: F,
    filter: P,
    result: PhantomData<fn() -> R>,
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

impl<S: Source> Items<S> {
    /// The function to be called for each item.
    pub fn map<R, F: Fn(S::Item) -> R + Sync>(self, function: F) -> Mapped<S, R, F, Every> {
        Mapped { items: self, function, filter: Every, result: PhantomData }
    }

    /// A function of two parameters, for two zipped sources.
    pub fn map2<A, B, R>(self, function: impl Fn(A, B) -> R + Sync) -> Mapped<S, R, impl Fn(S::Item) -> R + Sync, Every>
    where
        S: Source<Item = (A, B)>,
    {
        self.map(move |(a, b)| function(a, b))
    }

    /// A function of three parameters, for three zipped sources.
    pub fn map3<A, B, C, R>(
        self,
        function: impl Fn(A, B, C) -> R + Sync,
    ) -> Mapped<S, R, impl Fn(S::Item) -> R + Sync, Every>
    where
        S: Source<Item = (A, B, C)>,
    {
        self.map(move |(a, b, c)| function(a, b, c))
    }

    /// A function by its path, or a closure whose parameter has a type: it may take references.
    pub fn call<How, F: Call<S::Item, How>>(
        self,
        function: F,
    ) -> Mapped<S, F::Output, impl Fn(S::Item) -> F::Output + Sync, Every> {
        self.map(move |item| function.call(item))
    }

    /// As [`Items::call`], for two zipped sources.
    pub fn call2<A, B, How, F: Call2<A, B, How>>(
        self,
        function: F,
    ) -> Mapped<S, F::Output, impl Fn(S::Item) -> F::Output + Sync, Every>
    where
        S: Source<Item = (A, B)>,
    {
        self.map(move |(a, b)| function.call(a, b))
    }

    /// As [`Items::call`], for three zipped sources.
    pub fn call3<A, B, C, How, F: Call3<A, B, C, How>>(
        self,
        function: F,
    ) -> Mapped<S, F::Output, impl Fn(S::Item) -> F::Output + Sync, Every>
    where
        S: Source<Item = (A, B, C)>,
    {
        self.map(move |(a, b, c)| function.call(a, b, c))
    }
}

impl<S: Source, R, F: Fn(S::Item) -> R + Sync> Mapped<S, R, F, Every> {
    /// Results of which `wanted` says no are left out.
    pub fn filter<P: Fn(&R) -> bool + Sync>(self, wanted: P) -> Mapped<S, R, F, Only<P>> {
        Mapped { items: self.items, function: self.function, filter: Only(wanted), result: PhantomData }
    }
}

impl<S: Source, R, F: Fn(S::Item) -> R + Sync, P: Filter<R>> Mapped<S, R, F, P> {
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
        let Mapped { items, function, filter, .. } = self;
        match items.0 {
            Mode::Serving(server, open) if server.keep => {
                let step = |item| Some(function(item)).filter(|result| filter.wants(result));
                kept::<S, _, _>(&server, &open, step, None)
            }
            Mode::Serving(server, open) => {
                let in_place = R::is_plain() && !P::FILTERS && server.own.is_none();
                Outcome(if in_place && server.settings.on_error == OnError::Stop {
                    server.run::<S, R, _>(&open, &InPlace::new(), |item| Some(function(item))).map(|()| None)
                } else {
                    let step = |item| Some(function(item)).filter(|result| filter.wants(result));
                    server.run::<S, R, _>(&open, &Encoded { keep_errors: false }, step).map(|()| None)
                })
            }
            Mode::Merging(ended) => Outcome(Collect::<R>::merge(&ended).map(Some)),
        }
    }

    /// All results, which stay in the engine and may be of any type.
    pub fn keep(self) -> Outcome<Keep<R>>
    where
        R: Send + 'static,
    {
        let Mapped { items, function, filter, .. } = self;
        match items.0 {
            Mode::Serving(server, open) => {
                let step = |item| Some(function(item)).filter(|result| filter.wants(result));
                kept::<S, _, _>(&server, &open, step, None)
            }
            Mode::Merging(_) => Outcome(Err(Error::Damaged)),
        }
    }

    /// Reduces the results that `lift` makes something of.
    fn fold<L: Fold, K: Kind>(
        self,
        fold: L,
        lift: impl Fn(R) -> Option<L::Item> + Sync,
        value: impl FnOnce(Option<L::Node>) -> K::Value,
    ) -> Outcome<K> {
        let Mapped { items, function, filter, .. } = self;
        match items.0 {
            Mode::Serving(server, open) => {
                let step = |item| {
                    let result = function(item);
                    if filter.wants(&result) { lift(result) } else { None }
                };
                Outcome(server.run::<S, L::Item, _>(&open, &Folded(fold), step).map(|()| None))
            }
            Mode::Merging(ended) => Outcome(folded(&ended, &fold).map(|node| Some(value(node)))),
        }
    }

    /// The sum of the results, of their type: integers wrap around.
    pub fn sum(self) -> Outcome<Sum<R>>
    where
        R: Number,
    {
        self.fold(SumFold(PhantomData), Some, present)
    }

    /// The mean of the results; none of no results.
    pub fn mean(self) -> Outcome<Mean<R>>
    where
        R: Number,
    {
        self.fold(MeanFold, |result| Some(result.to_f64()), super::merge::mean)
    }

    /// How many results there are.
    pub fn count(self) -> Outcome<Count> {
        self.fold(CountFold, |_| Some(()), Option::unwrap_or_default)
    }

    /// The smallest result, but NaN.
    pub fn min(self) -> Outcome<Smallest<R>>
    where
        R: Wire + Send + PartialOrd,
    {
        self.fold(ReduceFold(smaller::<R>, PhantomData), |result| Some(result).filter(ordered), Option::flatten)
    }

    /// The largest result, but NaN.
    pub fn max(self) -> Outcome<Largest<R>>
    where
        R: Wire + Send + PartialOrd,
    {
        self.fold(ReduceFold(larger::<R>, PhantomData), |result| Some(result).filter(ordered), Option::flatten)
    }

    /// Combines the results, always with the earlier ones on the left; none of no results.
    pub fn reduce(self, combine: impl Fn(R, R) -> R + Sync) -> Outcome<Reduce<R>>
    where
        R: Wire + Send,
    {
        self.fold(ReduceFold(combine, PhantomData), Some, Option::flatten)
    }
}

fn kept<S: Source, R: Send, K: Kind<Value = Vec<R>>>(
    server: &Server,
    open: &S::Open,
    step: impl Fn(S::Item) -> Option<R> + Sync,
    error: Option<fn(&str) -> R>,
) -> Outcome<K> {
    let kept = Kept { parts: Mutex::new(Vec::new()), error };
    let served = server.run::<S, R, _>(open, &kept, step);
    let mut parts = std::mem::take(&mut *lock(&kept.parts));
    parts.sort_unstable_by_key(|(first, _)| *first);
    Outcome(served.map(|()| Some(parts.into_iter().flat_map(|(_, values)| values).collect())))
}

/// See [`Mapped::keep_errors`].
pub struct WithErrors<M>(M);

impl<S: Source, R: Wire + Send, F: Fn(S::Item) -> R + Sync, P: Filter<R>> WithErrors<Mapped<S, R, F, P>> {
    /// As [`Mapped::unordered`].
    pub fn unordered(self) -> Self {
        self
    }

    /// All results.
    pub fn collect(self) -> Outcome<CollectErrors<R>> {
        let Mapped { items, function, filter, .. } = self.0;
        match items.0 {
            Mode::Serving(server, open) if server.keep => {
                let step = |item| Some(function(item)).filter(|result| filter.wants(result)).map(Ok);
                kept::<S, Result<R, String>, _>(&server, &open, step, Some(|message| Err(message.to_owned())))
            }
            Mode::Serving(server, open) => {
                let step = |item| Some(function(item)).filter(|result| filter.wants(result));
                let output = Encoded { keep_errors: server.settings.on_error == OnError::Keep };
                Outcome(server.run::<S, R, _>(&open, &output, step).map(|()| None))
            }
            Mode::Merging(ended) => Outcome(CollectErrors::<R>::merge(&ended).map(Some)),
        }
    }
}
