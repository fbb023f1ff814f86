//! Reductions whose result has the same bits whatever the engines and the pieces they worked at.
//!
//! Items are combined along a tree that only their indices determine: 64 items in a row, the first index a multiple of
//! 64, are a leaf; leaves are combined in pairs, and those pairs in pairs. What an engine has done is therefore made up of
//! nodes of this tree; of its last leaf, which the next piece goes on with; and of single items, where the piece begins
//! inside a leaf.

use crate::wire::Wire;
use std::fmt::Display;
use std::marker::PhantomData;

/// So many items are a leaf.
pub(crate) const LEAF: u64 = 64;
/// A sum is made up of so many, which a processor adds at once.
const LANES: usize = 8;

/// A way to reduce items to one value.
pub trait Fold: Sync {
    /// What is combined.
    type Item: Wire + Send;
    /// A leaf under way.
    type Leaf: Wire + Send;
    /// A node of the tree.
    type Node: Wire + Send;
    /// An empty leaf.
    fn leaf(&self) -> Self::Leaf;
    /// Adds the item of this place in the leaf; those of earlier places were added, or aren't there.
    fn add(&self, leaf: &mut Self::Leaf, place: usize, item: Self::Item);
    /// The leaf as a node.
    fn close(&self, leaf: Self::Leaf) -> Self::Node;
    /// Two nodes, the earlier items on the left.
    fn combine(&self, left: Self::Node, right: Self::Node) -> Self::Node;
}

/// A number: what can be summed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no number, so it can't be summed",
    label = "numbers have a sum and a mean",
    note = "`--reduce` takes a closure for other types, such as `|a, b| a + b`"
)]
pub trait Number: Wire + Copy + Send {
    /// What sums of it are made in: small integers don't fill that.
    type Wide: Wide;
    /// The same number.
    fn widen(self) -> Self::Wide;
    /// The sum as such a number, if it is one.
    fn narrow(sum: Self::Wide) -> Option<Self>;
    /// As a float.
    fn to_f64(self) -> f64;
}

/// What sums are made in.
pub trait Wide: Wire + Copy + Send + Display {
    /// Nothing changes when it is added.
    const NOTHING: Self;
    /// Zero.
    const ZERO: Self;
    /// The sum; integers wrap around.
    fn plus(self, other: Self) -> Self;
    /// The same, and how often it has wrapped around: upwards, or, if negative, downwards.
    fn total(self, other: Self) -> (Self, i64);
}

macro_rules! numbers {
    ($($type:ty => $wide:ty),* $(,)?) => {$(
        impl Number for $type {
            type Wide = $wide;
            #[inline(always)]
            fn widen(self) -> $wide {
                self as $wide
            }
            fn narrow(sum: $wide) -> Option<$type> {
                sum.try_into().ok()
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                self as f64
            }
        }
    )*};
}

numbers!(u8 => u64, u16 => u64, u32 => u64, u64 => u64, u128 => u128, usize => usize);
numbers!(i8 => i64, i16 => i64, i32 => i64, i64 => i64, i128 => i128, isize => isize, f32 => f32, f64 => f64);

macro_rules! wides {
    ($nothing:expr, $zero:expr, $a:ident $b:ident $plus:expr, $total:expr, $($type:ty),*) => {$(
        impl Wide for $type {
            const NOTHING: $type = $nothing;
            const ZERO: $type = $zero;
            #[inline(always)]
            fn plus(self, $b: $type) -> $type {
                let $a = self;
                $plus
            }
            #[inline(always)]
            fn total(self, $b: $type) -> ($type, i64) {
                let $a = self;
                $total
            }
        }
    )*};
}

wides!(0, 0, a b a.wrapping_add(b), counted(a.overflowing_add(b), 1), u64, u128, usize);
wides!(0, 0, a b a.wrapping_add(b), counted(a.overflowing_add(b), if b < 0 { -1 } else { 1 }), i64, i128, isize);
// -0.0 + x is x for all x, 0.0 + -0.0 isn't.
wides!(-0.0, 0.0, a b a + b, (a + b, 0), f32, f64);

#[inline(always)]
fn counted<N>((sum, has_wrapped): (N, bool), way: i64) -> (N, i64) {
    (sum, if has_wrapped { way } else { 0 })
}

/// `+`, and how often that has wrapped around in all: the sum is right if not at all, or as often in both ways. Within a
/// leaf, it isn't noticed: that would take as long as all the rest.
pub struct SumFold<R>(pub(crate) PhantomData<fn() -> R>);

impl<R: Number> Fold for SumFold<R> {
    type Item = R;
    type Leaf = [R::Wide; LANES];
    type Node = (R::Wide, i64);

    #[inline(always)]
    fn leaf(&self) -> [R::Wide; LANES] {
        [R::Wide::NOTHING; LANES]
    }

    #[inline(always)]
    fn add(&self, leaf: &mut [R::Wide; LANES], place: usize, item: R) {
        leaf[place % LANES] = leaf[place % LANES].plus(item.widen());
    }

    #[inline(always)]
    fn close(&self, lanes: [R::Wide; LANES]) -> (R::Wide, i64) {
        let [a, b, c, d, e, f, g, h] = lanes.map(|lane| (lane, 0));
        let pair = |one, other| self.combine(one, other);
        pair(pair(pair(a, b), pair(c, d)), pair(pair(e, f), pair(g, h)))
    }

    #[inline(always)]
    fn combine(&self, left: (R::Wide, i64), right: (R::Wide, i64)) -> (R::Wide, i64) {
        let (sum, wrapped) = left.0.total(right.0);
        (sum, wrapped + left.1 + right.1)
    }
}

/// The sum, and of how many.
pub struct MeanFold;

impl Fold for MeanFold {
    type Item = f64;
    type Leaf = ([f64; LANES], u64);
    type Node = (f64, u64);

    #[inline(always)]
    fn leaf(&self) -> Self::Leaf {
        (SumFold::<f64>(PhantomData).leaf(), 0)
    }

    #[inline(always)]
    fn add(&self, leaf: &mut Self::Leaf, place: usize, item: f64) {
        SumFold::<f64>(PhantomData).add(&mut leaf.0, place, item);
        leaf.1 += 1;
    }

    #[inline(always)]
    fn close(&self, leaf: Self::Leaf) -> (f64, u64) {
        (SumFold::<f64>(PhantomData).close(leaf.0).0, leaf.1)
    }

    #[inline(always)]
    fn combine(&self, left: (f64, u64), right: (f64, u64)) -> (f64, u64) {
        (left.0 + right.0, left.1 + right.1)
    }
}

/// How many.
pub struct CountFold;

impl Fold for CountFold {
    type Item = ();
    type Leaf = u64;
    type Node = u64;

    #[inline(always)]
    fn leaf(&self) -> u64 {
        0
    }

    #[inline(always)]
    fn add(&self, leaf: &mut u64, _: usize, (): ()) {
        *leaf += 1;
    }

    #[inline(always)]
    fn close(&self, leaf: u64) -> u64 {
        leaf
    }

    #[inline(always)]
    fn combine(&self, left: u64, right: u64) -> u64 {
        left + right
    }
}

/// A function of two, from left to right.
pub struct ReduceFold<R, G>(pub(crate) G, pub(crate) PhantomData<fn() -> R>);

impl<R: Wire + Send, G: Fn(R, R) -> R + Sync> Fold for ReduceFold<R, G> {
    type Item = R;
    type Leaf = Option<R>;
    type Node = Option<R>;

    #[inline(always)]
    fn leaf(&self) -> Option<R> {
        None
    }

    #[inline(always)]
    fn add(&self, leaf: &mut Option<R>, _: usize, item: R) {
        *leaf = self.combine(leaf.take(), Some(item));
    }

    #[inline(always)]
    fn close(&self, leaf: Option<R>) -> Option<R> {
        leaf
    }

    #[inline(always)]
    fn combine(&self, left: Option<R>, right: Option<R>) -> Option<R> {
        match (left, right) {
            (Some(left), Some(right)) => Some((self.0)(left, right)),
            (one, other) => one.or(other),
        }
    }
}

/// A value that compares to itself, unlike NaN.
pub(crate) fn ordered<R: PartialOrd>(value: &R) -> bool {
    value.partial_cmp(value).is_some()
}

/// The first of the smallest ones.
#[inline(always)]
pub(crate) fn smaller<R: PartialOrd>(left: R, right: R) -> R {
    if right < left { right } else { left }
}

/// The first of the largest ones.
#[inline(always)]
pub(crate) fn larger<R: PartialOrd>(left: R, right: R) -> R {
    if right > left { right } else { left }
}
