//! What can be in parts: rows of values in this process, or on its GPU.

use crate::gpu_vec::GpuVec;
use crate::map::error::Error;
use crate::map::probe::Pieces;
use crate::wire::Wire;

/// What puts items that lie in one piece or two.
pub type Put<'a, T> = &'a mut dyn FnMut(&[T], &[T]) -> Result<(), Error>;

/// What can be in parts.
#[diagnostic::on_unimplemented(
    message = "`{Self}` isn't a row of values that could be in parts",
    note = "a `Vec`, an array, a slice, a `VecDeque` and a `px::GpuVec` are",
    note = "`%push` and `%pull` copy values of other types, whole"
)]
pub trait Parts {
    /// Of what type its items are.
    type Item: Wire;
    /// Calls `put` with them, in one piece or two.
    fn with(&self, put: Put<'_, Self::Item>) -> Result<(), Error>;
}

impl<P: Pieces + ?Sized> Parts for P
where
    P::Item: Wire,
{
    type Item = P::Item;
    fn with(&self, put: Put<'_, P::Item>) -> Result<(), Error> {
        let (first, second) = self.pieces();
        put(first, second)
    }
}

impl<T: Wire + Copy> Parts for GpuVec<T> {
    type Item = T;
    fn with(&self, put: Put<'_, T>) -> Result<(), Error> {
        put(&self.to_vec()?, &[])
    }
}
