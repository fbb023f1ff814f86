//! How `px::over!` finds out what it has got. Methods are looked for with fewer references first, so of the traits
//! below that have a method `kind`, the one that is implemented for the most references goes first; rustc takes the first
//! whose bounds hold for the value's type. That works only where the type is known: in a macro, not in a function.

use super::source::{ByDebug, Column, Integer, Over, Silent, Span};
use crate::wire::Wire;
use std::collections::VecDeque;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::ops::{Range, RangeFrom, RangeInclusive};
use std::rc::Rc;
use std::sync::Arc;

/// What `%map` goes over: `px::over!(0..1000)`, `px::over!(&xs)`, or several that are zipped, `px::over!(&xs, &ys)`.
///
/// It may be an integer range, of which only the ends travel; what lies in memory as one piece or two, such as a `Vec`, a
/// slice, an array; or anything else that can be iterated, whose items may be references.
#[macro_export]
macro_rules! over {
    ($a:expr $(,)?) => {
        match $a {
            // Not around the expression: what is used here would hide variables of the same names.
            value => {
                #[allow(unused_imports)]
                use $crate::map::probe::*;
                let kind = (&&&&&&Probe::of(&value)).kind();
                let item = kind.item(&value);
                let own = (&&&&&&item).own();
                let name = (&&owned(&item, &own)).name();
                kind.pack(value, own, name)
            }
        }
    };
    ($a:expr, $b:expr $(,)?) => {
        $crate::map::zip2($crate::over!($a), $crate::over!($b))
    };
    ($a:expr, $b:expr, $c:expr $(,)?) => {
        $crate::map::zip3($crate::over!($a), $crate::over!($b), $crate::over!($c))
    };
    ($a:expr, $b:expr, $c:expr, $d:expr $(,)?) => {
        $crate::map::zip4($crate::over!($a), $crate::over!($b), $crate::over!($c), $crate::over!($d))
    };
}

/// Stands for a type.
pub struct Probe<X>(PhantomData<X>);

impl<X> Probe<X> {
    /// That of a slice's items.
    pub(crate) fn of_items(_: &[X]) -> Probe<X> {
        Probe(PhantomData)
    }

    /// Any.
    pub fn any() -> Probe<X> {
        Probe(PhantomData)
    }

    /// That of a value.
    pub fn of(_: &X) -> Probe<X> {
        Probe(PhantomData)
    }
}

/// Integers in a row.
pub trait Row {
    /// Of what type.
    type Number: Integer;
    /// The first one, and how many.
    fn ends(self) -> (Self::Number, Option<u64>);
}

impl<I: Integer> Row for Range<I> {
    type Number = I;
    fn ends(self) -> (I, Option<u64>) {
        (self.start, self.start.until(self.end))
    }
}

impl<I: Integer + PartialOrd> Row for RangeInclusive<I> {
    type Number = I;
    fn ends(self) -> (I, Option<u64>) {
        let (start, end) = (*self.start(), *self.end());
        let items = if start > end || std::ops::RangeBounds::end_bound(&self) == std::ops::Bound::Excluded(&end) {
            Some(0)
        } else {
            start.until(end).and_then(|items| items.checked_add(1))
        };
        (start, items)
    }
}

impl<I: Integer> Row for RangeFrom<I> {
    type Number = I;
    fn ends(self) -> (I, Option<u64>) {
        (self.start, None)
    }
}

impl<R: Row + Clone> Row for &R {
    type Number = R::Number;
    fn ends(self) -> (R::Number, Option<u64>) {
        self.clone().ends()
    }
}

/// Values that lie in memory in one piece or two.
#[diagnostic::on_unimplemented(
    message = "`{Self}` isn't a row of values that could be in parts",
    note = "a `Vec`, an array, a slice and a `VecDeque` are",
    note = "`%push` and `%pull` copy values of other types, whole"
)]
pub trait Pieces {
    /// Of what type.
    type Item;
    /// The pieces.
    fn pieces(&self) -> (&[Self::Item], &[Self::Item]);
}

macro_rules! pieces {
    ($([$($generics:tt)*] $type:ty),*) => {$(
        impl<T, $($generics)*> Pieces for $type {
            type Item = T;
            fn pieces(&self) -> (&[T], &[T]) {
                (self, &[])
            }
        }
    )*};
}

pieces!([] Vec<T>, [] [T], [const N: usize] [T; N]);

impl<T> Pieces for VecDeque<T> {
    type Item = T;
    fn pieces(&self) -> (&[T], &[T]) {
        self.as_slices()
    }
}

macro_rules! pointers {
    ($($type:ty),*) => {$(
        impl<P: Pieces + ?Sized> Pieces for $type {
            type Item = P::Item;
            fn pieces(&self) -> (&[P::Item], &[P::Item]) {
                (**self).pieces()
            }
        }
    )*};
}

pointers!(&P, &mut P, Box<P>, Rc<P>, Arc<P>);

/// A kind of data.
pub struct RowKind;
/// A kind of data.
pub struct PiecesKind;
/// A kind of data.
pub struct IterKind;
/// A kind of data.
pub struct CloneKind;

/// Tried first.
pub trait ProbeRow {
    /// The kind.
    fn kind(&self) -> RowKind {
        RowKind
    }
}
impl<X: Row> ProbeRow for &&&&&Probe<X> {}

/// Tried first, too: references don't travel, but with serde rustc takes `&str` for what does until it looks at lifetimes,
/// and rust-analyzer everything.
pub trait ProbeReferences {
    /// The kind.
    fn kind(&self) -> IterKind {
        IterKind
    }
}
impl<'a, T: ?Sized + 'a, X: Pieces<Item = &'a T> + IntoIterator> ProbeReferences for &&&&&Probe<X> {}

/// Tried then.
pub trait ProbePieces {
    /// The kind.
    fn kind(&self) -> PiecesKind {
        PiecesKind
    }
}
impl<X: Pieces> ProbePieces for &&&&Probe<X> where X::Item: Wire {}

/// Tried then.
pub trait ProbeIter {
    /// The kind.
    fn kind(&self) -> IterKind {
        IterKind
    }
}
impl<X: IntoIterator> ProbeIter for &&&Probe<X> {}

/// Tried then: a variable that holds an iterator, which stays there.
pub trait ProbeClone {
    /// The kind.
    fn kind(&self) -> CloneKind {
        CloneKind
    }
}
impl<X: IntoIterator + Clone> ProbeClone for &&Probe<&X> {}

/// Tried last; rustc says then that it is no iterator.
pub trait ProbeAny {
    /// The kind.
    fn kind(&self) -> IterKind {
        IterKind
    }
}
impl<X> ProbeAny for Probe<X> {}

impl RowKind {
    /// The type of its items.
    pub fn item<X: Row>(&self, _: &X) -> Probe<X::Number> {
        Probe(PhantomData)
    }

    /// Makes it ready.
    pub fn pack<X: Row, O, D>(&self, value: X, _: O, _: D) -> Over<Span<X::Number>> {
        let (start, items) = value.ends();
        Over::<()>::span(start, items)
    }
}

impl PiecesKind {
    /// The type of its items.
    pub fn item<X: Pieces>(&self, _: &X) -> Probe<X::Item> {
        Probe(PhantomData)
    }

    /// Writes it for the engines.
    pub fn pack<X: Pieces, O, D>(&self, value: X, _: O, _: D) -> Over<Column<X::Item, D>>
    where
        X::Item: Wire,
    {
        let (first, second) = value.pieces();
        Over::column(&mut |writer| _ = writer.extend(first) && writer.extend(second))
    }
}

impl IterKind {
    /// The type of its items.
    pub fn item<X: IntoIterator>(&self, _: &X) -> Probe<X::Item> {
        Probe(PhantomData)
    }

    /// Writes it for the engines.
    pub fn pack<X: IntoIterator, O: Own<X::Item>, D>(&self, value: X, _: O, _: D) -> Over<Column<O::Owned, D>> {
        pack(value.into_iter().map(O::owned))
    }
}

impl CloneKind {
    /// The type of its items.
    pub fn item<X: IntoIterator>(&self, _: &&X) -> Probe<X::Item> {
        Probe(PhantomData)
    }

    /// Writes it for the engines.
    pub fn pack<X, O: Own<X::Item>, D>(&self, value: &X, _: O, _: D) -> Over<Column<O::Owned, D>>
    where
        X: IntoIterator + Clone,
    {
        pack(value.clone().into_iter().map(O::owned))
    }
}

fn pack<T: Wire, S>(mut items: impl Iterator<Item = T>) -> Over<S> {
    Over::column(&mut |writer| {
        let mut block = Vec::new();
        loop {
            block.clear();
            block.extend(items.by_ref().take(4096));
            if block.is_empty() || !writer.extend(&block) {
                return;
            }
        }
    })
}

/// How an item becomes one without references.
pub trait Own<I> {
    /// Its type then.
    type Owned: Wire;
    /// Makes it.
    fn owned(item: I) -> Self::Owned;
}

/// The type of items without references. As a function, it says what is missing where there is none.
pub fn owned<I, O: Own<I>>(_: &Probe<I>, _: &O) -> Probe<O::Owned> {
    Probe(PhantomData)
}

macro_rules! owns {
    ($($(#[$doc:meta])* $tag:ident $probe:ident [$($references:tt)*] [$($generics:tt)*] $type:ty => $owned:ty,
       $item:pat => $value:expr);* $(;)?) => {$(
        $(#[$doc])*
        pub struct $tag<I>(PhantomData<I>);
        $(#[$doc])*
        pub trait $probe {
            /// Of this type.
            type Item;
            /// How.
            fn own(&self) -> $tag<Self::Item> {
                $tag(PhantomData)
            }
        }
        impl<$($generics)*> $probe for $($references)* Probe<$type> {
            type Item = $type;
        }
        impl<$($generics)*> Own<$type> for $tag<$type> {
            type Owned = $owned;
            fn owned($item: $type) -> $owned {
                $value
            }
        }
    )*};
}

owns! {
    /// Text.
    Text ProbeText [&&&&&] ['a] &'a str => String, item => item.to_owned();
    /// Text.
    TextRef ProbeTextRef [&&&&&] ['a, 'b] &'a &'b str => String, item => (*item).to_owned();
    /// A slice.
    Slice ProbeSlice [&&&&&] ['a, T: Wire + Clone] &'a [T] => Vec<T>, item => item.to_vec();
    /// What a reference points to.
    Cloned ProbeCloned [&&&&] ['a, T: Wire + Clone] &'a T => T, item => item.clone();
    /// Two references.
    Both ProbeBoth [&&&&] ['a, A: Wire + Clone, B: Wire + Clone] (&'a A, &'a B) => (A, B),
        item => (item.0.clone(), item.1.clone());
    /// Text on the right, as of `text.lines().enumerate()`.
    RightText ProbeRightText [&&&&] ['a, A: Wire] (A, &'a str) => (A, String), item => (item.0, item.1.to_owned());
    /// A slice on the right.
    RightSlice ProbeRightSlice [&&&&] ['a, A: Wire, T: Wire + Clone] (A, &'a [T]) => (A, Vec<T>),
        item => (item.0, item.1.to_vec());
    /// A reference on the right.
    Right ProbeRight [&&&] ['a, A: Wire, B: Wire + Clone] (A, &'a B) => (A, B), item => (item.0, item.1.clone());
    /// A reference on the left.
    Left ProbeLeft [&&&] ['a, A: Wire + Clone, B: Wire] (&'a A, B) => (A, B), item => (item.0.clone(), item.1);
    /// Three references.
    Three ProbeThree [&&&&] ['a, A: Wire + Clone, B: Wire + Clone, C: Wire + Clone] (&'a A, &'a B, &'a C) => (A, B, C),
        item => (item.0.clone(), item.1.clone(), item.2.clone());
    /// As it is.
    AsIs ProbeAsIs [&&] [T: Wire] T => T, item => item;
}

/// Tried last; rustc says then that the item can't travel.
pub trait ProbeUnfit {
    /// Of this type.
    type Item;
    /// How.
    fn own(&self) -> AsIs<Self::Item> {
        AsIs(PhantomData)
    }
}
impl<T> ProbeUnfit for Probe<T> {
    type Item = T;
}

/// Tried before that.
pub trait ProbeUnfitRef {
    /// Of this type.
    type Item;
    /// How.
    fn own(&self) -> Cloned<Self::Item> {
        Cloned(PhantomData)
    }
}
impl<'a, T> ProbeUnfitRef for &Probe<&'a T> {
    type Item = &'a T;
}

/// Tried first.
pub trait ProbeDebug {
    /// How items are named.
    fn name(&self) -> ByDebug {
        ByDebug
    }
}
impl<T: Debug> ProbeDebug for &Probe<T> {}

/// Tried then.
pub trait ProbeSilent {
    /// How items are named.
    fn name(&self) -> Silent {
        Silent
    }
}
impl<T> ProbeSilent for Probe<T> {}
