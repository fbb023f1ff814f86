//! How values travel between the notebook and its engines.

use crate::link::Damaged;

/// A type whose values can travel between the notebook and its engines.
pub trait Wire: Sized + 'static {
    /// Whether the bytes of a value in memory are its encoding, and any bytes are a value: plain numbers.
    fn is_plain() -> bool {
        false
    }

    /// Appends the value's encoding.
    fn put(&self, to: &mut Vec<u8>);

    /// Takes a value from the beginning of `from`.
    fn get(from: &mut &[u8]) -> Result<Self, Damaged>;
}
