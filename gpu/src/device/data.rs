
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
plain_tuples!(A B C D E F G);
plain_tuples!(A B C D E F G H);
plain_tuples!(A B C D E F G H I);
plain_tuples!(A B C D E F G H I J);
plain_tuples!(A B C D E F G H I J K);
plain_tuples!(A B C D E F G H I J K L);

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
