//! What `lazy_static!` makes, with statics that are one for all objects of a worker.

use std::sync::LazyLock;

/// A value that is made when it is first asked for. It never leaves its static.
pub struct Lazy<T>(LazyLock<T>);

// SAFETY: whichever thread makes the value, others only get references to it, and it is never dropped: so `T` needn't be
// `Send`.
unsafe impl<T: Sync> Sync for Lazy<T> {}

impl<T> Lazy<T> {
    /// Of what this will make.
    pub const fn new(make: fn() -> T) -> Lazy<T> {
        Lazy(LazyLock::new(make))
    }

    /// The value, which is made now if it isn't there.
    pub fn get(&'static self) -> &'static T {
        LazyLock::force(&self.0)
    }
}

/// `lazy_static!` whose values lie in statics to which the attribute `unsafe(export_name = ..)` of each applies.
/// Like that of the crate lazy_static 1.5 it makes a type of each name, and a static of that type; so a reference to the
/// value is had by `*NAME`, and by [`initialize`](https://docs.rs/lazy_static/1.5.0/lazy_static/fn.initialize.html).
#[doc(hidden)]
#[macro_export]
macro_rules! shared_lazy_static {
    () => {};
    ($(#[$($attribute:tt)*])+ $vis:vis static ref $name:ident: $type:ty = $init:expr; $($rest:tt)*) => {
        $crate::shared_lazy_static! { @one [] [] $(#[$($attribute)*])+ @ ($vis) $name ($type) ($init) }
        $crate::shared_lazy_static! { $($rest)* }
    };
    (@one [] [$($others:tt)*] #[unsafe($($export:tt)*)] $($rest:tt)+) => {
        $crate::shared_lazy_static! { @one [$($export)*] [$($others)*] $($rest)+ }
    };
    (@one [$($export:tt)*] [$($others:tt)*] #[$($attribute:tt)*] $($rest:tt)+) => {
        $crate::shared_lazy_static! { @one [$($export)*] [$($others)* #[$($attribute)*]] $($rest)+ }
    };
    (@one [$($export:tt)+] [$($others:tt)*] @ ($vis:vis) $name:ident ($type:ty) ($init:expr)) => {
        $($others)*
        #[allow(missing_copy_implementations, non_camel_case_types, dead_code)]
        $vis struct $name {
            __private_field: (),
        }
        #[doc(hidden)]
        #[allow(non_upper_case_globals)]
        $vis static $name: $name = $name { __private_field: () };
        impl ::std::ops::Deref for $name {
            type Target = $type;
            fn deref(&self) -> &$type {
                #[unsafe($($export)*)]
                static CHORUS_VALUE_OF_STATIC: $crate::lazy::Lazy<$type> = $crate::lazy::Lazy::new(|| $init);
                CHORUS_VALUE_OF_STATIC.get()
            }
        }
        impl ::lazy_static::LazyStatic for $name {
            fn initialize(lazy: &Self) {
                let _ = &**lazy;
            }
        }
    };
}
