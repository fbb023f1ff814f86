//! Functions given by their path take their parameters by value or by reference: `fn f(x: f64)`, `fn f(p: &Point)`,
//! `fn f(text: &str)`. Which it is, is a type that rustc infers, since only one implementation fits.

use std::ops::Deref;

/// A parameter by value.
pub struct Value;
/// A parameter by reference.
pub struct Ref;
/// A parameter by a reference to what the value points to: `&str` for a `String`, `&[T]` for a `Vec<T>`.
pub struct Target;

/// A function of one parameter.
#[diagnostic::on_unimplemented(
    message = "this function's parameters don't fit the items, which are `{A}`",
    label = "it should take them, or references to them",
    note = "a closure can adapt it, such as `|x| function(x as u64)`"
)]
pub trait Call<A, How>: Sync {
    /// What it returns.
    type Output;
    /// Calls it.
    fn call(&self, a: A) -> Self::Output;
}

/// A function of two parameters.
#[diagnostic::on_unimplemented(
    message = "this function's parameters don't fit the items, which are `{A}` and `{B}`",
    label = "it should take them, or references to them",
    note = "a closure can adapt it, such as `|x| function(x as u64)`"
)]
pub trait Call2<A, B, How>: Sync {
    /// What it returns.
    type Output;
    /// Calls it.
    fn call(&self, a: A, b: B) -> Self::Output;
}

/// A function of three parameters.
#[diagnostic::on_unimplemented(
    message = "this function's parameters don't fit the items, which are `{A}`, `{B}` and `{C}`",
    label = "it should take them, or references to them",
    note = "a closure can adapt it, such as `|x| function(x as u64)`"
)]
pub trait Call3<A, B, C, How>: Sync {
    /// What it returns.
    type Output;
    /// Calls it.
    fn call(&self, a: A, b: B, c: C) -> Self::Output;
}

/// A function of four parameters.
#[diagnostic::on_unimplemented(
    message = "this function's parameters don't fit the items, which are `{A}`, `{B}`, `{C}` and `{D}`",
    label = "it should take them, or references to them",
    note = "a closure can adapt it, such as `|x| function(x as u64)`"
)]
pub trait Call4<A, B, C, D, How>: Sync {
    /// What it returns.
    type Output;
    /// Calls it.
    fn call(&self, a: A, b: B, c: C, d: D) -> Self::Output;
}

macro_rules! calls {
    // Each parameter: its name, its type, how, and the type and the value that the function gets.
    (@ $trait:ident [$($generics:ident)*] [$($name:ident $type:ident $how:ident [$($bound:tt)*] $given:ty, $value:expr;)*]) => {
        impl<F: Sync, R, $($generics),*> $trait<$($type,)* ($($how,)*)> for F
        where
            F: Fn($($given),*) -> R,
            $($type: $($bound)*,)*
        {
            type Output = R;
            #[inline(always)]
            fn call(&self, $($name: $type),*) -> R {
                self($($value),*)
            }
        }
    };
    // Takes one parameter after the other in each of the three ways.
    ($trait:ident $generics:tt [$($done:tt)*]) => {
        calls!(@ $trait $generics [$($done)*]);
    };
    ($trait:ident $generics:tt [$($done:tt)*] $name:ident $type:ident $($rest:ident)*) => {
        calls!($trait $generics [$($done)* $name $type Value [Sized] $type, $name;] $($rest)*);
        calls!($trait $generics [$($done)* $name $type Ref [Sized] &$type, &$name;] $($rest)*);
        calls!($trait $generics [$($done)* $name $type Target [Deref] &$type::Target, &*$name;] $($rest)*);
    };
}

calls!(Call [A] [] a A);
calls!(Call2 [A B] [] a A b B);
calls!(Call3 [A B C] [] a A b B c C);
calls!(Call4 [A B C D] [] a A b B c C d D);
