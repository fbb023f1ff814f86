//! How values travel between the notebook and its engines.
//!
//! The encoding says nothing about itself: both sides know the type. Numbers are as they are in memory, so that many of
//! them are copied at once; what has a length has it in front as a `u64`, an `Option` a byte, and an `enum` the number of
//! its variant as a `u32`. The bytes are untrusted: what isn't an encoding is [`Damaged`], and a length that they announce
//! costs no memory before that much is there.
//!
//! Without the feature `serde`, std's types travel. With it, all types do that implement serde's traits, and the encoding
//! is the same, so that what was put before a notebook asked for serde can be taken afterwards. serde knows nothing of arrays with
//! more than 32 items, of `Ordering` and of `ControlFlow`, so those travel without it only.
//!
//! Some types of serde's need to be told what they read, or leave out fields: `by_serde` finds out which, and for those the
//! encoding says all about itself.

use crate::link::Damaged;
use std::collections::HashSet;
use std::sync::{LazyLock, Mutex, PoisonError};

#[cfg(feature = "serde")]
mod by_serde;
#[cfg(feature = "serde")]
pub(crate) use by_serde::is_probing;
#[cfg(not(feature = "serde"))]
mod structural;

/// What two processes must have in common to read each other's numbers.
pub const LAYOUT: &str = match (cfg!(target_endian = "little"), cfg!(target_pointer_width = "64")) {
    (true, true) => "little endian, 64 bits",
    (true, false) => "little endian, 32 bits",
    (false, true) => "big endian, 64 bits",
    (false, false) => "big endian, 32 bits",
};

/// Values that take no bytes can be announced in any number; a loop over more would look like a standstill.
const MOST_WITHOUT_BYTES: u64 = u32::MAX as u64;
/// Bytes that are reserved at most for what is merely announced.
const RESERVED: usize = 1 << 20;

/// What each type that travels has, so that a `Vec` of what travels is known to travel, too.
#[cfg(feature = "serde")]
mod required {
    use serde::{Deserialize, Serialize};

    #[diagnostic::on_unimplemented(
        message = "`{Self}` can't travel between the notebook and its engines",
        label = "a value of this type would have to travel",
        note = "for a type of your own, derive `serde::Serialize, serde::Deserialize`; another crate's type may need \
                that crate's feature `serde`"
    )]
    pub trait Required: Serialize + Deserialize<'static> + 'static {}

    #[cfg(not(rust_analyzer))]
    #[diagnostic::do_not_recommend]
    impl<T: Serialize + Deserialize<'static> + 'static> Required for T {}

    /// evcxr asks rust-analyzer for the types of variables, and that doesn't see what `derive` brings.
    #[cfg(rust_analyzer)]
    impl<T: 'static> Required for T {}
}

#[cfg(not(feature = "serde"))]
mod required {
    pub trait Required: Sized + 'static {}

    impl<T: 'static> Required for T {}
}

/// A type whose values can travel between the notebook and its engines: the bound of a function that is to take any such
/// type, as `px::Wire`.
///
/// ```no_run
/// fn same<T: px::Wire>(x: T) -> T { x }
/// fn there_and_back<T: px::Wire>(x: &T) -> Result<T, px::Error> { px::call!(same::<T>, x).get() }
/// ```
///
/// It can't be implemented for a type of one's own. With serde, each type travels that implements serde's traits.
///
/// # Safety
/// [`Wire::is_plain`] may only be true if the type has no padding and no address in it, if any bytes are a value, and if
/// [`Wire::put`] appends just the bytes of the value in memory.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't travel between the notebook and its engines",
    label = "a value of this type would have to travel",
    note = "for a type of your own, add `:dep serde = {{ version = \"1\", features = [\"derive\"] }}` and derive \
            `serde::Serialize, serde::Deserialize`; another crate's type may need that crate's feature `serde`, too",
    note = "a reference can't, but for `&'static str`: return what it points to, `*x` or `x.clone()`",
    note = "numbers, bool, char, text and tuples, arrays, Vec, Option, Result, Box, Arc, HashMap, BTreeMap of these can"
)]
pub unsafe trait Wire: required::Required {
    /// Whether the bytes of a value in memory are its encoding, and any bytes are a value: numbers, and arrays and tuples
    /// of them without gaps. It doesn't change.
    fn is_plain() -> bool {
        false
    }

    /// Appends the value's encoding.
    fn put(&self, to: &mut Vec<u8>);

    /// Takes a value from the beginning of `from`.
    fn get(from: &mut &[u8]) -> Result<Self, Damaged>;
}

/// The values in memory, if their bytes are their encoding.
pub fn as_bytes<T: Wire>(items: &[T]) -> Option<&[u8]> {
    // SAFETY: the bytes of the slice; a plain type has no padding, so each is initialised.
    T::is_plain().then(|| unsafe { std::slice::from_raw_parts(items.as_ptr().cast(), size_of_val(items)) })
}

/// A value's encoding.
pub(crate) fn encoded<T: Wire>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.put(&mut bytes);
    bytes
}

/// Appends the encodings of the values, one behind the other, without their number.
pub fn put_slice<T: Wire>(items: &[T], to: &mut Vec<u8>) {
    match as_bytes(items) {
        Some(bytes) => to.extend_from_slice(bytes),
        None => items.iter().for_each(|item| item.put(to)),
    }
}

/// Takes so many values from the beginning of `from`.
pub fn get_vec<T: Wire>(count: u64, from: &mut &[u8]) -> Result<Vec<T>, Damaged> {
    let count = usize::try_from(count).map_err(|_| Damaged)?;
    if T::is_plain() {
        let length = count.checked_mul(size_of::<T>()).ok_or(Damaged)?;
        let bytes = take(length, from)?;
        let mut items = Vec::<T>::with_capacity(count);
        // SAFETY: there is room for `count` values, which are `length` bytes, and any bytes are values of a plain type.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), items.as_mut_ptr().cast(), length);
            items.set_len(count);
        }
        return Ok(items);
    }
    let mut items = Vec::with_capacity(count.min(from.len()).min(RESERVED / size_of::<T>().max(1)));
    each(count as u64, from, |from| {
        items.push(T::get(from)?);
        Ok(())
    })?;
    Ok(items)
}

/// Calls `get` so many times.
fn each(count: u64, from: &mut &[u8], mut get: impl FnMut(&mut &[u8]) -> Result<(), Damaged>) -> Result<(), Damaged> {
    for _ in 0..count {
        let before = from.len();
        get(from)?;
        if from.len() == before && count > MOST_WITHOUT_BYTES {
            return Err(Damaged);
        }
    }
    Ok(())
}

/// The same text for ever, once in each cell's object.
fn kept(text: &str) -> &'static str {
    static KEPT: LazyLock<Mutex<HashSet<&'static str>>> = LazyLock::new(Mutex::default);
    let mut all = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(text) = all.get(text) {
        return text;
    }
    let text: &'static str = Box::leak(text.into());
    all.insert(text);
    text
}

/// The same bytes for ever.
fn kept_bytes(bytes: &[u8]) -> &'static [u8] {
    static KEPT: LazyLock<Mutex<HashSet<&'static [u8]>>> = LazyLock::new(Mutex::default);
    let mut all = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(bytes) = all.get(bytes) {
        return bytes;
    }
    let bytes: &'static [u8] = Box::leak(bytes.into());
    all.insert(bytes);
    bytes
}

#[inline]
fn take<'a>(length: usize, from: &mut &'a [u8]) -> Result<&'a [u8], Damaged> {
    let (bytes, rest) = from.split_at_checked(length).ok_or(Damaged)?;
    *from = rest;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
