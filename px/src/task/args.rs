//! What may be an argument of a call. How it is passed is a type that `px::call!` finds by a method's name, as `px::over!`
//! does: whether a type travels can't be asked instead, since with serde rustc takes `&str` for one that does until it
//! looks at lifetimes.

use super::{Builder, Task};
use crate::wire::Wire;
use std::marker::PhantomData;
use std::time::Duration;

/// An argument: a value, a reference to one, or the handle of a call that will return one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be an argument of `px::call!`",
    label = "this would have to travel to an engine",
    note = "numbers, bool, char, String and tuples, arrays, Vec, Option, Result, HashMap, BTreeMap of these can, references \
            to them, handles of other calls (`&a`), and what `px::put` returns"
)]
pub trait Arg<How> {
    /// What the function gets.
    type Value: Wire;
    #[doc(hidden)]
    fn pass(&self, call: &mut Builder);
}

/// Stands for an argument's type.
pub struct Type<A>(PhantomData<A>);

/// That of a value.
pub fn type_of<A>(_: &A) -> Type<A> {
    Type(PhantomData)
}

macro_rules! hows {
    ($($how:ident: $($probe:ident [$($references:tt)*] [$($generics:tt)*] $type:ty),*);* $(;)?) => {$(
        /// How an argument is passed.
        pub struct $how;
        $(
            /// The more references it is implemented for, the sooner it is tried.
            pub trait $probe {
                /// How.
                fn how(&self) -> $how {
                    $how
                }
            }
            impl<$($generics)*> $probe for $($references)* Type<$type> {}
        )*
    )*};
}

hows! {
    ByText: ProbeText [&&&] ['a] &'a str;
    BySlice: ProbeSlice [&&&] ['a, T] &'a [T];
    ByTask: ProbeTask [&&&] [T] Task<T>, ProbeTaskRef [&&&] ['a, T] &'a Task<T>;
    ByRef: ProbeRef [&&] ['a, T] &'a T;
    ByValue: ProbeValue [] [T] T;
}

impl<T: Wire> Arg<ByValue> for T {
    type Value = T;
    fn pass(&self, call: &mut Builder) {
        call.value(|to| self.put(to));
    }
}

impl<T: Wire> Arg<ByRef> for &T {
    type Value = T;
    fn pass(&self, call: &mut Builder) {
        call.value(|to| self.put(to));
    }
}

impl Arg<ByText> for &str {
    type Value = String;
    fn pass(&self, call: &mut Builder) {
        call.value(|to| self.to_string().put(to));
    }
}

impl<T: Wire> Arg<BySlice> for &[T] {
    type Value = Vec<T>;
    fn pass(&self, call: &mut Builder) {
        call.value(|to| {
            (self.len() as u64).put(to);
            crate::wire::put_slice(self, to);
        });
    }
}

impl<T: Wire> Arg<ByTask> for &Task<T> {
    type Value = T;
    fn pass(&self, call: &mut Builder) {
        call.task(*self);
    }
}

impl<T: Wire> Arg<ByTask> for Task<T> {
    type Value = T;
    fn pass(&self, call: &mut Builder) {
        call.task(self);
    }
}

/// A limit of time: a number of seconds, or a [`Duration`].
pub trait Seconds {
    /// In seconds.
    fn seconds(self) -> f64;
}

impl Seconds for Duration {
    fn seconds(self) -> f64 {
        self.as_secs_f64()
    }
}

macro_rules! seconds {
    ($($number:ty),*) => {$(
        impl Seconds for $number {
            fn seconds(self) -> f64 {
                self as f64
            }
        }
    )*};
}

seconds!(f64, f32, i32, u32, u64);
