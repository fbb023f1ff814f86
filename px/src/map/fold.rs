//! Reductions whose result has the same bits whatever the engines and the pieces they worked at.
//!
//! Items are combined along a tree that only their indices determine: 64 items in a row, the first index a multiple of
//! 64, are a leaf; leaves are combined in pairs, and those pairs in pairs. What an engine has done is therefore made up of
//! nodes of this tree; of its last leaf, which the next piece goes on with; and of single items, where the piece begins
//! inside a leaf.

use crate::wire::Wire;
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
    /// Nothing changes when it is added.
    const NOTHING: Self;
    /// Zero.
    const ZERO: Self;
    /// The sum. Integers wrap around, with and without optimisation.
    fn plus(self, other: Self) -> Self;
    /// As a float.
    fn to_f64(self) -> f64;
}

macro_rules! numbers {
    ($nothing:expr, $zero:expr, $a:ident $b:ident $plus:expr, $($type:ty),*) => {$(
        impl Number for $type {
            const NOTHING: $type = $nothing;
            const ZERO: $type = $zero;
            #[inline(always)]
            fn plus(self, $b: $type) -> $type {
                let $a = self;
                $plus
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                self as f64
            }
        }
    )*};
}

numbers!(0, 0, a b a.wrapping_add(b), u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize);
// -0.0 + x is x for all x, 0.0 + -0.0 isn't.
numbers!(-0.0, 0.0, a b a + b, f32, f64);

/// `+`.
pub struct SumFold<R>(pub(crate) PhantomData<fn() -> R>);

impl<R: Number> Fold for SumFold<R> {
    type Item = R;
    type Leaf = [R; LANES];
    type Node = R;

    #[inline(always)]
    fn leaf(&self) -> [R; LANES] {
        [R::NOTHING; LANES]
    }

    #[inline(always)]
    fn add(&self, leaf: &mut [R; LANES], place: usize, item: R) {
        leaf[place % LANES] = leaf[place % LANES].plus(item);
    }

    #[inline(always)]
    fn close(&self, [a, b, c, d, e, f, g, h]: [R; LANES]) -> R {
        a.plus(b).plus(c.plus(d)).plus(e.plus(f).plus(g.plus(h)))
    }

    #[inline(always)]
    fn combine(&self, left: R, right: R) -> R {
        left.plus(right)
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
        (SumFold(PhantomData).leaf(), 0)
    }

    #[inline(always)]
    fn add(&self, leaf: &mut Self::Leaf, place: usize, item: f64) {
        SumFold(PhantomData).add(&mut leaf.0, place, item);
        leaf.1 += 1;
    }

    #[inline(always)]
    fn close(&self, leaf: Self::Leaf) -> (f64, u64) {
        (SumFold(PhantomData).close(leaf.0), leaf.1)
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
