//! What values are combined by: [`sum`], [`product`], [`min`] and [`max`], place by place for what has several.

use super::exchange::{Fold, Numbers};
use std::any::{Any, TypeId};
use std::cell::Cell;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// What [`sum`] and the others combine: numbers, and vectors, arrays and pairs of these, place by place.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be combined by `px::sum`, `px::product`, `px::min` or `px::max`",
    note = "these combine numbers, and `Vec`s, arrays and pairs of numbers, place by place; for another type write what \
            combines two values: `px::allreduce(x, |a, b| ...)`"
)]
pub trait Combine: Sized {
    #[doc(hidden)]
    fn combine(self, other: Self, how: How) -> Self;
}

/// Which of the functions.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Sum,
    Product,
    Min,
    Max,
}

/// `a + b`, place by place. Panics if an integer is too large for its type.
#[track_caller]
pub fn sum<T: Combine>(a: T, b: T) -> T {
    combined(a, b, How::Sum)
}

/// `a * b`, place by place. Panics if an integer is too large for its type.
#[track_caller]
pub fn product<T: Combine>(a: T, b: T) -> T {
    combined(a, b, How::Product)
}

/// The smaller one, place by place. Of a number and a NaN it is the number.
#[track_caller]
pub fn min<T: Combine>(a: T, b: T) -> T {
    combined(a, b, How::Min)
}

/// The larger one, place by place. Of a number and a NaN it is the number.
#[track_caller]
pub fn max<T: Combine>(a: T, b: T) -> T {
    combined(a, b, How::Max)
}

#[track_caller]
fn combined<T: Combine>(a: T, b: T, how: How) -> T {
    match within(|| a.combine(b, how)) {
        Ok(combined) => combined,
        Err(Refused(text)) => refuse(text),
    }
}

/// Why two values can't be combined.
struct Refused(String);

thread_local! {
    /// Whether a function that says it at its caller's place is at work on this thread.
    static WITHIN: Cell<bool> = const { Cell::new(false) };
}

/// Does something in which values are combined. If they can't be, it is for the caller to say so.
fn within<R>(work: impl FnOnce() -> R) -> Result<R, Refused> {
    let before = WITHIN.replace(true);
    // What is changed in it isn't used any more when it unwinds.
    let done = catch_unwind(AssertUnwindSafe(work));
    WITHIN.set(before);
    done.map_err(|payload| *payload.downcast::<Refused>().unwrap_or_else(|other| resume_unwind(other)))
}

/// The same, for who calls a function that combines. Why values can't be combined is then the panic of its caller.
#[track_caller]
pub(super) fn panics_here<R>(work: impl FnOnce() -> R) -> R {
    match within(work) {
        Ok(done) => done,
        Err(Refused(text)) => panic!("{text}"),
    }
}

/// A panic at the place of whoever has called the outermost of px's functions: that is the user's, and this one isn't.
#[cold]
#[track_caller]
fn refuse(text: String) -> ! {
    if WITHIN.get() {
        // Without the panic's hook, which would tell this place.
        resume_unwind(Box::new(Refused(text)));
    }
    panic!("{text}")
}

impl<T: Combine> Combine for Vec<T> {
    fn combine(self, other: Vec<T>, how: How) -> Vec<T> {
        let (mine, others) = (self.len(), other.len());
        if mine != others {
            refuse(format!("vectors are combined place by place, and one has {mine} values and another {others}"));
        }
        self.into_iter().zip(other).map(|(a, b)| a.combine(b, how)).collect()
    }
}

impl<T: Combine, const N: usize> Combine for [T; N] {
    fn combine(self, other: [T; N], how: How) -> [T; N] {
        let mut others = other.into_iter();
        self.map(|mine| match others.next() {
            Some(other) => mine.combine(other, how),
            None => mine,
        })
    }
}

impl<A: Combine, B: Combine> Combine for (A, B) {
    fn combine(self, other: (A, B), how: How) -> (A, B) {
        (self.0.combine(other.0, how), self.1.combine(other.1, how))
    }
}

/// A vector of numbers, which travels as it is in memory.
pub(super) trait Vector {
    fn bytes(&self) -> &[u8];

    /// Takes all numbers out. Their memory stays.
    fn clear(&mut self);

    /// How many bytes a number takes.
    fn width(&self) -> usize;

    /// Where so many bytes of more numbers can be put.
    fn spare(&mut self, bytes: usize) -> *mut u8;

    /// # Safety
    /// So many bytes, which are whole numbers, must be where [`Vector::spare`] has said.
    unsafe fn grow(&mut self, bytes: usize);
}

#[cold]
fn too_large(what: &str, a: &dyn std::fmt::Display, b: &dyn std::fmt::Display, of: &str) -> ! {
    refuse(format!("{what} of {a} and {b} is no {of}: it is too large"))
}

/// One kind of number: how two are combined, and how those in two slices are.
macro_rules! numbers {
    ($($number:ident: $sum:expr, $product:expr);* $(;)?) => {
        $(impl Combine for $number {
            #[inline]
            fn combine(self, other: $number, how: How) -> $number {
                match how {
                    How::Sum => $sum(self, other),
                    How::Product => $product(self, other),
                    How::Min => <$number>::min(self, other),
                    How::Max => <$number>::max(self, other),
                }
            }
        })*

        /// The bytes of a vector of numbers, if the value is one.
        pub(super) fn bytes(value: &dyn Any) -> Option<&[u8]> {
            $(if let Some(vector) = value.downcast_ref::<Vec<$number>>() {
                return Some(vector.bytes());
            })*
            None
        }

        /// The vector of numbers that is in this `Option`, or is put there, if it is for one.
        pub(super) fn vector(place: &mut dyn Any) -> Option<&mut dyn Vector> {
            let of = (*place).type_id();
            $(if of == TypeId::of::<Option<Vec<$number>>>() {
                let place = place.downcast_mut::<Option<Vec<$number>>>()?;
                return Some(place.get_or_insert_default());
            })*
            None
        }

        $(impl Vector for Vec<$number> {
            fn bytes(&self) -> &[u8] {
                // SAFETY: numbers have no padding.
                unsafe { std::slice::from_raw_parts(self.as_ptr().cast(), size_of_val(self.as_slice())) }
            }

            fn clear(&mut self) {
                self.clear();
            }

            fn width(&self) -> usize {
                size_of::<$number>()
            }

            fn spare(&mut self, bytes: usize) -> *mut u8 {
                self.reserve_exact(bytes.div_ceil(size_of::<$number>()));
                self.spare_capacity_mut().as_mut_ptr().cast()
            }

            unsafe fn grow(&mut self, bytes: usize) {
                // SAFETY: the caller promises that they are there, and any bytes are numbers.
                unsafe { self.set_len(self.len() + bytes / size_of::<$number>()) };
            }
        })*

        /// The numbers of a value, if it is one or has several in a `Vec`, and `op` is the type of one of the functions above.
        pub(super) fn numbers(value: &mut dyn Any, op: TypeId) -> Option<Numbers<'_>> {
            let of = (*value).type_id();
            let mut kind = 0;
            $(
                let single = of == TypeId::of::<$number>();
                if single || of == TypeId::of::<Vec<$number>>() {
                    let ids = |how: usize| if single {
                        [id(&sum::<$number>), id(&product::<$number>), id(&min::<$number>), id(&max::<$number>)][how]
                    } else {
                        [
                            id(&sum::<Vec<$number>>), id(&product::<Vec<$number>>),
                            id(&min::<Vec<$number>>), id(&max::<Vec<$number>>),
                        ][how]
                    };
                    let how = (0..4).find(|how| ids(*how) == op)?;
                    let (width, folds) = folds(kind)?;
                    let fold = folds[how];
                    let values = if single {
                        std::slice::from_mut(value.downcast_mut::<$number>()?)
                    } else {
                        value.downcast_mut::<Vec<$number>>()?.as_mut_slice()
                    };
                    // SAFETY: numbers have no padding, and any bytes are one.
                    let bytes = unsafe {
                        std::slice::from_raw_parts_mut(values.as_mut_ptr().cast::<u8>(), size_of_val(values))
                    };
                    return Some(Numbers { bytes, width, kind, how: how as u8, fold });
                }
                kind += 1;
            )*
            _ = kind;
            None
        }

        /// A kind of number: how many bytes each takes, and how two are combined by each of the functions above.
        pub(super) fn folds(kind: u8) -> Option<(usize, [Fold; 4])> {
            let all: &[(usize, [Fold; 4])] = &[$((
                size_of::<$number>(),
                [fold::<$number, SUM>, fold::<$number, PRODUCT>, fold::<$number, MIN>, fold::<$number, MAX>],
            )),*];
            all.get(usize::from(kind)).copied()
        }
    };
}

macro_rules! integers {
    ($($number:ident)*) => {
        numbers! {
            f64: |a: f64, b: f64| a + b, |a: f64, b: f64| a * b;
            f32: |a: f32, b: f32| a + b, |a: f32, b: f32| a * b;
            $($number: |a: $number, b: $number| match a.checked_add(b) {
                Some(sum) => sum,
                None => too_large("the sum", &a, &b, stringify!($number)),
            }, |a: $number, b: $number| match a.checked_mul(b) {
                Some(product) => product,
                None => too_large("the product", &a, &b, stringify!($number)),
            };)*
        }
    };
}

integers! { u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize }

/// The functions above, by their numbers.
pub(super) const NAMES: [&str; 4] = ["px::sum", "px::product", "px::min", "px::max"];
const SUM: u8 = 0;
const PRODUCT: u8 = 1;
const MIN: u8 = 2;
const MAX: u8 = 3;

fn fold<T: Combine + Copy, const HOW: u8>(to: &mut [u8], from: &[u8]) {
    let how = match HOW {
        SUM => How::Sum,
        PRODUCT => How::Product,
        MIN => How::Min,
        _ => How::Max,
    };
    let (to_count, from_count) = (to.len() / size_of::<T>(), from.len() / size_of::<T>());
    let (start, others) = (to.as_mut_ptr().cast::<T>(), from.as_ptr().cast::<T>());
    assert!(start.is_aligned() && others.is_aligned());
    // SAFETY: aligned, inside the bytes, and any bytes are a number, which is what this is called for.
    let (to, from) =
        unsafe { (std::slice::from_raw_parts_mut(start, to_count), std::slice::from_raw_parts(others, from_count)) };
    to.iter_mut().zip(from).for_each(|(a, b)| *a = a.combine(*b, how));
}

/// What tells types apart, also those that borrow, as closures may. None of those is one of the functions above.
pub(super) fn id<T>(_: &T) -> TypeId {
    trait Typed {
        fn id(&self) -> TypeId
        where
            Self: 'static;
    }
    impl<T> Typed for PhantomData<T> {
        fn id(&self) -> TypeId
        where
            Self: 'static,
        {
            TypeId::of::<T>()
        }
    }
    let typed: &dyn Typed = &PhantomData::<T>;
    // SAFETY: only the lifetime in the type of the reference changes, and `id` touches no value of `T`: there is none.
    unsafe { std::mem::transmute::<&dyn Typed, &(dyn Typed + 'static)>(typed) }.id()
}
