// The text of the module `chorus_gpu` of each crate that is compiled for a GPU. Such a crate is
//
//     #![no_std]
//     #[macro_use]
//     extern crate core as std;
//     mod chorus_gpu { THIS TEXT }
//     #[allow(unused_imports)]
//     use chorus_gpu::{Float as _, Vec, px};
//     THE USER'S DEFINITIONS
//     #[inline(always)]
//     fn px_both(call: chorus_gpu::Call) {
//         call.run(
//             |(xs,): (Vec<f64>,)| chorus_gpu::over!(&xs),
//             |(k,): (f64,), px_items| px_items.map(|x| x * k),
//         )
//     }
//     chorus_gpu::functions!(px_both);
//
// The first closure tells the items' type and never runs. The second one has the types of the variables that the
// user's function names. Both take variables by value, in the order of the table of constants.
//
// There are no `//!` here, since the text stands in the middle of a module.

use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, Range, RangeFrom, RangeInclusive};

/// Where the items are, where their results go, and where the variables are.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Args {
    items: *const u8,
    results: *mut u8,
    constants: *const Constant,
}

/// A variable of the notebook.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Constant {
    start: *const u8,
    /// How many elements there are; 1 if it isn't a `Vec`.
    length: u64,
}

#[cfg(target_arch = "nvptx64")]
#[panic_handler]
fn failed(_: &core::panic::PanicInfo<'_>) -> ! {
    px_fail()
}

unsafe extern "C" {
    #[cfg(target_arch = "nvptx64")]
    safe fn px_fail() -> !;
    safe fn px_sqrt_f32(x: f32) -> f32;
    safe fn px_sqrt_f64(x: f64) -> f64;
    safe fn px_fma_f32(x: f32, y: f32, z: f32) -> f32;
    safe fn px_fma_f64(x: f64, y: f64, z: f64) -> f64;
    safe fn px_floor_f32(x: f32) -> f32;
    safe fn px_floor_f64(x: f64) -> f64;
    safe fn px_ceil_f32(x: f32) -> f32;
    safe fn px_ceil_f64(x: f64) -> f64;
    safe fn px_trunc_f32(x: f32) -> f32;
    safe fn px_trunc_f64(x: f64) -> f64;
    safe fn px_rint_f32(x: f32) -> f32;
    safe fn px_rint_f64(x: f64) -> f64;
}

/// The methods of floats that only std has, as far as their results are the same bits here as there. Those that std
/// leaves to the platform's mathematics, such as `sin`, are left out on purpose: rustc says that there is none.
pub trait Float: Sized {
    fn sqrt(self) -> Self;
    fn mul_add(self, a: Self, b: Self) -> Self;
    fn floor(self) -> Self;
    fn ceil(self) -> Self;
    fn trunc(self) -> Self;
    fn round(self) -> Self;
    fn round_ties_even(self) -> Self;
    fn fract(self) -> Self;
    fn powi(self, n: i32) -> Self;
    fn div_euclid(self, rhs: Self) -> Self;
    fn rem_euclid(self, rhs: Self) -> Self;
}

macro_rules! floats {
    ($type:ident: $sqrt:ident $fma:ident $floor:ident $ceil:ident $trunc:ident $rint:ident) => {
        impl Float for $type {
            #[inline(always)]
            fn sqrt(self) -> $type {
                $sqrt(self)
            }
            #[inline(always)]
            fn mul_add(self, a: $type, b: $type) -> $type {
                $fma(self, a, b)
            }
            #[inline(always)]
            fn floor(self) -> $type {
                $floor(self)
            }
            #[inline(always)]
            fn ceil(self) -> $type {
                $ceil(self)
            }
            #[inline(always)]
            fn trunc(self) -> $type {
                $trunc(self)
            }
            /// Halves go away from zero. The difference is exact, and zero keeps its sign.
            #[inline(always)]
            fn round(self) -> $type {
                let whole = $trunc(self);
                if (self - whole).abs() >= 0.5 { whole + $type::copysign(1.0, self) } else { whole }
            }
            #[inline(always)]
            fn round_ties_even(self) -> $type {
                $rint(self)
            }
            #[inline(always)]
            fn fract(self) -> $type {
                self - $trunc(self)
            }
            /// The products are those of the compiler's own function for CPUs, in its order.
            #[inline]
            fn powi(self, n: i32) -> $type {
                let (mut square, mut left, mut power) = (self, n.unsigned_abs(), 1.0);
                loop {
                    if left & 1 == 1 {
                        power *= square;
                    }
                    left >>= 1;
                    if left == 0 {
                        break if n < 0 { 1.0 / power } else { power };
                    }
                    square *= square;
                }
            }
            #[inline]
            fn div_euclid(self, rhs: $type) -> $type {
                let quotient = $trunc(self / rhs);
                match self % rhs < 0.0 {
                    true if rhs > 0.0 => quotient - 1.0,
                    true => quotient + 1.0,
                    false => quotient,
                }
            }
            #[inline]
            fn rem_euclid(self, rhs: $type) -> $type {
                let rest = self % rhs;
                if rest < 0.0 { rest + rhs.abs() } else { rest }
            }
        }
    };
}

floats!(f32: px_sqrt_f32 px_fma_f32 px_floor_f32 px_ceil_f32 px_trunc_f32 px_rint_f32);
floats!(f64: px_sqrt_f64 px_fma_f64 px_floor_f64 px_ceil_f64 px_trunc_f64 px_rint_f64);

/// `x % y`, exact as on a CPU. What LLVM makes of `%` for this target isn't: it divides, rounds and multiplies. So
/// calls of this are put in its place when the code is linked.
#[unsafe(no_mangle)]
pub extern "C" fn px_rem_f64(x: f64, y: f64) -> f64 {
    const SIGN: u64 = 1 << 63;
    const INFINITE: u64 = 0x7ff << 52;
    const ONE: u64 = 1 << 52;
    let sign = x.to_bits() & SIGN;
    let (a, b) = (x.to_bits() & !SIGN, y.to_bits() & !SIGN);
    if a >= INFINITE || b == 0 || b > INFINITE {
        return f64::NAN;
    }
    if a < b {
        return x;
    }
    // A number is its mantissa times a power of two; subnormal ones have the same power as the smallest normal ones.
    let exponent = |bits: u64| (bits >> 52).max(1) as u32;
    let mantissa = |bits: u64| if bits < ONE { bits } else { bits & (ONE - 1) | ONE };
    let (power, divisor) = (exponent(b), mantissa(b));
    let mut rest = mantissa(a) % divisor;
    // Nothing below overflows. That it can't isn't tested each time, since it is `wrapping`.
    let mut left = exponent(a).wrapping_sub(power);
    // As many bits at a time as there is room for above a mantissa.
    while left > 0 && rest != 0 {
        let bits = if left < 11 { left } else { 11 };
        rest = rest.wrapping_shl(bits) % divisor;
        left = left.wrapping_sub(bits);
    }
    if rest == 0 {
        return f64::from_bits(sign);
    }
    // How far its first bit is below where it belongs, as far as the power lets it go up.
    let up = rest.leading_zeros().wrapping_sub(11);
    let bits = match up < power {
        true => rest.wrapping_shl(up) & (ONE - 1) | u64::from(power.wrapping_sub(up)) << 52,
        false => rest.wrapping_shl(power.wrapping_sub(1)),
    };
    f64::from_bits(bits | sign)
}

/// As [`px_rem_f64`], which gives the exact remainder, and that is an `f32`.
#[unsafe(no_mangle)]
pub extern "C" fn px_rem_f32(x: f32, y: f32) -> f32 {
    px_rem_f64(x as f64, y as f64) as f32
}

/// A type whose bytes mean the same to the CPU and to the GPU.
///
/// # Safety
/// It has no pointers or references.
#[diagnostic::on_unimplemented(
    message = "a value of type `{Self}` can't travel between the CPU and the GPU",
    label = "its bytes would mean nothing there",
    note = "numbers, `bool`, `char`, and arrays, tuples, options, structs and enums of them can, if they are `Copy`"
)]
pub unsafe trait Plain: Copy + 'static {}

macro_rules! plain_types {
    ($($type:ty)*) => {$(
        // SAFETY: it has no pointers.
        unsafe impl Plain for $type {}
    )*};
}

plain_types!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64 bool char);

// SAFETY: it has nothing.
unsafe impl Plain for () {}

macro_rules! plain_tuples {
    ($($name:ident)*) => {
        // SAFETY: it has only what its parts have.
        unsafe impl<$($name: Plain),*> Plain for ($($name,)*) {}
    };
}

plain_tuples!(A);
plain_tuples!(A B);
plain_tuples!(A B C);
plain_tuples!(A B C D);
plain_tuples!(A B C D E);
plain_tuples!(A B C D E F);

// SAFETY: it has only what its items have.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}
// SAFETY: it has only what its value has.
unsafe impl<T: Plain> Plain for Option<T> {}
// SAFETY: it has only what its values have.
unsafe impl<T: Plain, E: Plain> Plain for Result<T, E> {}
// SAFETY: it has nothing.
unsafe impl<T: 'static> Plain for PhantomData<T> {}

/// Makes a struct or an enum of the user [`Plain`] if all its fields are: `plain! { struct P { a: f32, b: u8 } }`, with
/// the definition's own text. The bounds have a lifetime that isn't used, so that rustc looks at them only where the
/// type is to travel: it may be any definition. Unions, and types with lifetimes, constants or bounds as parameters,
/// don't become plain.
macro_rules! plain {
    ($(#[$meta:meta])* $vis:vis struct $name:ident $(<$($generic:ident),* $(,)?>)?
        { $($(#[$of_field:meta])* $of:vis $field:ident: $type:ty),* $(,)? }
    ) => { $crate::chorus_gpu::plain!(@ $name [$($($generic)*)?] $($type;)*); };
    ($(#[$meta:meta])* $vis:vis struct $name:ident $(<$($generic:ident),* $(,)?>)?
        ($($(#[$of_field:meta])* $of:vis $type:ty),* $(,)?);
    ) => { $crate::chorus_gpu::plain!(@ $name [$($($generic)*)?] $($type;)*); };
    ($(#[$meta:meta])* $vis:vis struct $name:ident;) => { $crate::chorus_gpu::plain!(@ $name []); };
    ($(#[$meta:meta])* $vis:vis enum $name:ident $(<$($generic:ident),* $(,)?>)? { $(
        $(#[$of_variant:meta])* $variant:ident
        $({ $($(#[$of_field:meta])* $field:ident: $type:ty),* $(,)? })?
        $(($($(#[$of_place:meta])* $place:ty),* $(,)?))?
        $(= $value:expr)?
    ),* $(,)? }) => {
        $crate::chorus_gpu::plain!(@ $name [$($($generic)*)?] $($($($type;)*)? $($($place;)*)?)*);
    };
    (@ $name:ident [$($generic:ident)*] $($type:ty;)*) => {
        // SAFETY: it has only what its fields have.
        unsafe impl<$($generic: 'static),*> $crate::chorus_gpu::Plain for $name<$($generic),*>
        where
            for<'px> $name<$($generic),*>: ::core::marker::Copy,
            $(for<'px> $type: $crate::chorus_gpu::Plain,)*
        {
        }
    };
    ($($other:tt)*) => {};
}
#[allow(unused_imports)]
pub(crate) use plain;

/// A `Vec` of the notebook, which can be read here.
#[repr(C)]
pub struct Vec<T> {
    start: *const T,
    length: usize,
}

/// What cells see of Chorus, as far as it is on a GPU.
pub mod px {
    /// Values that lie here already.
    pub type GpuVec<T> = super::Vec<T>;
}

impl<T> Clone for Vec<T> {
    #[inline(always)]
    fn clone(&self) -> Vec<T> {
        *self
    }
}

impl<T> Copy for Vec<T> {}

impl<T> Deref for Vec<T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        // SAFETY: `Value::read` has made it of a constant, which stays as it is while the function runs.
        unsafe { core::slice::from_raw_parts(self.start, self.length) }
    }
}

impl<T> AsRef<[T]> for Vec<T> {
    #[inline(always)]
    fn as_ref(&self) -> &[T] {
        self
    }
}

impl<'a, T> IntoIterator for &'a Vec<T> {
    type Item = &'a T;
    type IntoIter = core::slice::Iter<'a, T>;

    #[inline(always)]
    fn into_iter(self) -> core::slice::Iter<'a, T> {
        self.iter()
    }
}

impl<T: fmt::Debug> fmt::Debug for Vec<T> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, to)
    }
}

impl<T: PartialEq<U>, U> PartialEq<Vec<U>> for Vec<T> {
    #[inline]
    fn eq(&self, other: &Vec<U>) -> bool {
        **self == **other
    }
}

/// What can stand behind `over`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be mapped on a GPU",
    label = "this isn't a row of values in memory",
    note = "ranges of integers, a `Vec`, a slice and an array can be, of plain values",
    note = "an iterator's values can be collected into a `Vec` first"
)]
pub trait Source {
    /// What the function is given.
    type Item: Plain;
}

/// What ranges have. Generic, so that the closure decides on the type where only it says one, as in `over 0..9`.
pub trait Integer: Plain {}

macro_rules! integers {
    ($($type:ty)*) => {$(
        impl Integer for $type {}
    )*};
}

integers!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);

impl<T: Integer> Source for Range<T> {
    type Item = T;
}

impl<T: Integer> Source for RangeInclusive<T> {
    type Item = T;
}

impl<T: Integer> Source for RangeFrom<T> {
    type Item = T;
}

impl<T: Plain> Source for Vec<T> {
    type Item = T;
}

impl<T: Plain> Source for [T] {
    type Item = T;
}

impl<T: Plain, const N: usize> Source for [T; N] {
    type Item = T;
}

impl<S: Source + ?Sized> Source for &S {
    type Item = S::Item;
}

impl<A: Source> Source for (A,) {
    type Item = A::Item;
}

macro_rules! zipped {
    ($($name:ident)*) => {
        impl<$($name: Source),*> Source for ($($name,)*) {
            type Item = ($($name::Item,)*);
        }
    };
}

zipped!(A B);
zipped!(A B C);
zipped!(A B C D);

/// Stands for the type of the items.
pub struct Kind<T>(PhantomData<T>);

/// The items of one source, or of a tuple of several.
pub fn kind<S: Source>(_: S) -> Kind<S::Item> {
    Kind(PhantomData)
}

/// The items of sources, as `px::over!` has them.
macro_rules! over {
    ($source:expr $(,)?) => { $crate::chorus_gpu::kind($source) };
    ($($source:expr),+ $(,)?) => { $crate::chorus_gpu::kind(($($source,)+)) };
}
#[allow(unused_imports)]
pub(crate) use over;

/// How a variable of the notebook is read.
#[diagnostic::on_unimplemented(
    message = "a variable of type `{Self}` can't be used on the GPU",
    label = "its value can't travel there",
    note = "plain values can, such as numbers and structs of them, and a `Vec` of plain values"
)]
pub trait Value: Sized {
    /// Reads it.
    ///
    /// # Safety
    /// The constant is one of this type.
    unsafe fn read(constant: Constant) -> Self;
}

impl<T: Plain> Value for T {
    #[inline(always)]
    unsafe fn read(constant: Constant) -> T {
        // SAFETY: the caller says that such a value is there, where any type may begin.
        unsafe { constant.start.cast::<T>().read() }
    }
}

impl<T: Plain> Value for Vec<T> {
    #[inline(always)]
    unsafe fn read(constant: Constant) -> Vec<T> {
        // Slices need a pointer that is aligned and isn't null, even to nothing.
        let start = match constant.length {
            0 => core::ptr::dangling(),
            _ => constant.start.cast(),
        };
        Vec { start, length: constant.length as usize }
    }
}

/// A tuple of variables of the notebook.
pub trait Values: Sized {
    /// Reads them.
    ///
    /// # Safety
    /// These are the constants of such a tuple.
    unsafe fn read(constants: *const Constant) -> Self;
}

macro_rules! values {
    ($($name:ident $index:tt)*) => {
        impl<$($name: Value),*> Values for ($($name,)*) {
            #[inline(always)]
            unsafe fn read(constants: *const Constant) -> Self {
                let _ = constants;
                // SAFETY: the caller says that so many constants are there, of these types.
                unsafe { ($(<$name as Value>::read(constants.add($index).read()),)*) }
            }
        }
    };
}

values!();
values!(A 0);
values!(A 0 B 1);
values!(A 0 B 1 C 2);
values!(A 0 B 1 C 2 D 3);
values!(A 0 B 1 C 2 D 3 E 4);
values!(A 0 B 1 C 2 D 3 E 4 F 5);
values!(A 0 B 1 C 2 D 3 E 4 F 5 G 6);
values!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7);
values!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8);
values!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9);
values!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10);
values!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10 L 11);

/// What the crate is asked for: one item's result, or how large and how aligned items and results are. It is one
/// function for both, so that the user's closure stands in the text once.
pub struct Call(Asked);

enum Asked {
    Item(u64, *const Args),
    Layout(*mut u64),
}

impl Call {
    /// For one item.
    ///
    /// # Safety
    /// `args` are those of the function that it is given to, and have this item and room for its result.
    #[inline(always)]
    pub unsafe fn item(index: u64, args: *const Args) -> Call {
        Call(Asked::Item(index, args))
    }

    /// For the layout.
    ///
    /// # Safety
    /// There is room for four numbers.
    #[inline(always)]
    pub unsafe fn layout(out: *mut u64) -> Call {
        Call(Asked::Layout(out))
    }

    /// Does it. `source` never runs.
    #[inline(always)]
    pub fn run<V, T: Plain, C: Values, R: Plain>(
        self,
        source: impl FnOnce(V) -> Kind<T>,
        body: impl FnOnce(C, Items<T>) -> R,
    ) {
        let _ = source;
        match self.0 {
            Asked::Layout(out) => {
                let numbers = [size_of::<T>(), align_of::<T>(), size_of::<R>(), align_of::<R>()];
                // SAFETY: who has made the call says that there is room for them.
                unsafe { out.cast::<[u64; 4]>().write(numbers.map(|number| number as u64)) }
            }
            Asked::Item(index, args) => {
                // SAFETY: who has made the call says that these are here.
                let (args, constants, item) = unsafe {
                    let args = args.read();
                    (args, C::read(args.constants), args.items.cast::<T>().add(index as usize).read())
                };
                let result = body(constants, Items(item));
                // SAFETY: who has made the call says that there is room for it.
                unsafe { args.results.cast::<R>().add(index as usize).write(result) }
            }
        }
    }
}

/// The two functions that the host calls, around the one that has the user's closure.
macro_rules! functions {
    ($both:path) => {
        /// # Safety
        /// See `Call::item`.
        #[unsafe(no_mangle)]
        pub unsafe extern "C-unwind" fn px_item(index: u64, args: *const $crate::chorus_gpu::Args) {
            // SAFETY: the host gives this function's arguments.
            $both(unsafe { $crate::chorus_gpu::Call::item(index, args) })
        }

        /// # Safety
        /// See `Call::layout`.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn px_layout(out: *mut u64) {
            // SAFETY: the host has room for the numbers.
            $both(unsafe { $crate::chorus_gpu::Call::layout(out) })
        }
    };
}
#[allow(unused_imports)]
pub(crate) use functions;

/// One item, with the methods of `px::map`'s items, which here give its result.
pub struct Items<T>(T);

impl<T> Items<T> {
    #[inline(always)]
    pub fn map<R>(self, function: impl Fn(T) -> R) -> R {
        function(self.0)
    }

    #[inline(always)]
    pub fn map_ref<R>(self, function: impl Fn(&T) -> R) -> R {
        function(&self.0)
    }

    #[inline(always)]
    pub fn call<How, F: Function<T, How>>(self, function: F) -> F::Output {
        function.call(self.0)
    }
}

impl<A, B> Items<(A, B)> {
    #[inline(always)]
    pub fn map2<R>(self, function: impl Fn(A, B) -> R) -> R {
        function(self.0.0, self.0.1)
    }

    #[inline(always)]
    pub fn map2_ref<R>(self, function: impl Fn(&A, &B) -> R) -> R {
        function(&self.0.0, &self.0.1)
    }

    #[inline(always)]
    pub fn call2<How, F: Function2<A, B, How>>(self, function: F) -> F::Output {
        function.call(self.0.0, self.0.1)
    }
}

impl<A, B, C> Items<(A, B, C)> {
    #[inline(always)]
    pub fn map3<R>(self, function: impl Fn(A, B, C) -> R) -> R {
        function(self.0.0, self.0.1, self.0.2)
    }

    #[inline(always)]
    pub fn map3_ref<R>(self, function: impl Fn(&A, &B, &C) -> R) -> R {
        function(&self.0.0, &self.0.1, &self.0.2)
    }

    #[inline(always)]
    pub fn call3<How, F: Function3<A, B, C, How>>(self, function: F) -> F::Output {
        function.call(self.0.0, self.0.1, self.0.2)
    }
}

/// A parameter by value.
pub struct ByValue;
/// A parameter by reference.
pub struct ByRef;

/// A function of one parameter, by value or by reference, as `px::map` takes it.
#[diagnostic::on_unimplemented(
    message = "this function's parameters don't fit the items, which are `{A}`",
    label = "it should take them, or references to them",
    note = "a closure can adapt it, such as `|x| function(x as u64)`"
)]
pub trait Function<A, How> {
    type Output;
    fn call(&self, a: A) -> Self::Output;
}

/// A function of two parameters.
#[diagnostic::on_unimplemented(
    message = "this function's parameters don't fit the items, which are `{A}` and `{B}`",
    label = "it should take them, or references to them",
    note = "a closure can adapt it, such as `|x| function(x as u64)`"
)]
pub trait Function2<A, B, How> {
    type Output;
    fn call(&self, a: A, b: B) -> Self::Output;
}

/// A function of three parameters.
#[diagnostic::on_unimplemented(
    message = "this function's parameters don't fit the items, which are `{A}`, `{B}` and `{C}`",
    label = "it should take them, or references to them",
    note = "a closure can adapt it, such as `|x| function(x as u64)`"
)]
pub trait Function3<A, B, C, How> {
    type Output;
    fn call(&self, a: A, b: B, c: C) -> Self::Output;
}

macro_rules! takes {
    (@ $trait:ident [$($generic:ident)*] [$($name:ident $type:ident $how:ident $given:ty, $value:expr;)*]) => {
        impl<F, R, $($generic),*> $trait<$($type,)* ($($how,)*)> for F
        where
            F: Fn($($given),*) -> R,
        {
            type Output = R;

            #[inline(always)]
            fn call(&self, $($name: $type),*) -> R {
                self($($value),*)
            }
        }
    };
    // Takes one parameter after the other in both ways.
    ($trait:ident $generics:tt [$($done:tt)*]) => {
        takes!(@ $trait $generics [$($done)*]);
    };
    ($trait:ident $generics:tt [$($done:tt)*] $name:ident $type:ident $($rest:ident)*) => {
        takes!($trait $generics [$($done)* $name $type ByValue $type, $name;] $($rest)*);
        takes!($trait $generics [$($done)* $name $type ByRef &$type, &$name;] $($rest)*);
    };
}

takes!(Function [A] [] a A);
takes!(Function2 [A B] [] a A b B);
takes!(Function3 [A B C] [] a A b B c C);
