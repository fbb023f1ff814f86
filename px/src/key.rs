//! Keys of `thread_local!` that are one for all objects of a worker.

use std::cell::UnsafeCell;
use std::ops::Deref;
use std::thread::LocalKey;

/// A key in a static that can be exported. Each object has a key of its own, whose value is not to be found in others;
/// the linker has all of them use the static of the first.
pub struct Key<T: 'static>(UnsafeCell<LocalKey<T>>);

// SAFETY: the key is never written to, and is `Sync`. The cell only says that the static's value isn't known when its
// object is compiled: LLVM would put the object's own key in the place of a value that can't change.
unsafe impl<T: 'static> Sync for Key<T> {}

impl<T: 'static> Key<T> {
    /// Holds the key.
    pub const fn new(key: LocalKey<T>) -> Key<T> {
        Key(UnsafeCell::new(key))
    }
}

impl<T: 'static> Deref for Key<T> {
    type Target = LocalKey<T>;

    #[inline]
    fn deref(&self) -> &LocalKey<T> {
        // SAFETY: nothing writes to it.
        unsafe { &*self.0.get() }
    }
}

/// `thread_local!` with statics that hold [`Key`]s, to which attributes apply.
#[doc(hidden)]
#[macro_export]
macro_rules! shared_thread_local {
    () => {};
    ($(#[$($attribute:tt)*])* $vis:vis static $name:ident: $type:ty = const $init:block $(; $($rest:tt)*)?) => {
        $(#[$($attribute)*])* $vis static $name: $crate::key::Key<$type> = {
            ::std::thread_local! { static CHORUS_KEY_OF_STATIC: $type = const $init }
            $crate::key::Key::new(CHORUS_KEY_OF_STATIC)
        };
        $($crate::shared_thread_local! { $($rest)* })?
    };
    ($(#[$($attribute:tt)*])* $vis:vis static $name:ident: $type:ty = $init:expr $(; $($rest:tt)*)?) => {
        $(#[$($attribute)*])* $vis static $name: $crate::key::Key<$type> = {
            ::std::thread_local! { static CHORUS_KEY_OF_STATIC: $type = $init }
            $crate::key::Key::new(CHORUS_KEY_OF_STATIC)
        };
        $($crate::shared_thread_local! { $($rest)* })?
    };
}
