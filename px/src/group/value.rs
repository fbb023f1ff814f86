//! Values as bytes that members show and take. Of a vector of numbers they are the numbers as they are in memory, which come
//! to be where the vector is to have them; of any other value they are its encoding.

use super::exchange::Part;
use super::member::{Broken, Result};
use super::ops::{self, Vector};
use crate::wire::{Wire, encoded};
use std::borrow::Cow;

/// What a member shows of a value.
pub(super) fn bytes_of<T: Wire>(value: &T) -> Cow<'_, [u8]> {
    match ops::bytes(value) {
        Some(bytes) => Cow::Borrowed(bytes),
        None => Cow::Owned(encoded(value)),
    }
}

/// A value that comes a part behind the other.
pub(super) struct Coming<T> {
    /// If it is a vector of numbers.
    vector: Option<T>,
    /// If it isn't.
    encoding: Vec<u8>,
    /// How many bytes it lacks.
    missing: usize,
}

impl<T: Wire> Coming<T> {
    pub fn new() -> Coming<T> {
        Coming { vector: None, encoding: Vec::new(), missing: 0 }
    }

    /// It has the memory of this one, which isn't used any more.
    pub fn in_place_of(value: T) -> Coming<T> {
        let mut coming = Coming { vector: Some(value), ..Coming::new() };
        coming.place().clear();
        coming
    }

    /// Where its bytes are to be.
    pub fn place(&mut self) -> &mut dyn Vector {
        match ops::vector(&mut self.vector) {
            Some(vector) => vector,
            None => &mut self.encoding,
        }
    }

    /// Its next part, which isn't one of others.
    pub fn take(&mut self, part: &Part<'_>) {
        if part.at == 0 {
            self.missing = part.whole;
            self.place().spare(part.whole);
        }
        append(self.place(), part.bytes);
        self.missing = self.missing.saturating_sub(part.bytes.len());
    }

    /// The value, when all of it has come.
    pub fn value(mut self) -> Result<T> {
        let damaged =
            |text: &dyn std::fmt::Display| Broken::own(format!("what another engine has sent is damaged: {text}"));
        if self.missing > 0 {
            return Err(damaged(&format!("{} bytes are missing", self.missing)));
        }
        if ops::vector(&mut self.vector).is_some()
            && let Some(vector) = self.vector
        {
            return Ok(vector);
        }
        T::get(&mut self.encoding.as_slice()).map_err(|error| damaged(&error))
    }
}

/// Appends numbers. What isn't a whole one is left out.
pub(super) fn append(to: &mut dyn Vector, bytes: &[u8]) {
    let length = bytes.len() / to.width() * to.width();
    let place = to.spare(length);
    // SAFETY: there is room for so many bytes, which are whole numbers.
    unsafe {
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), place, length);
        to.grow(length);
    }
}
