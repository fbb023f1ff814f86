//! What runs a module: a GPU of NVIDIA's, or in tests the simulated one.

mod about;
mod cuda;
mod simulated;

pub use about::{About, State};
pub use cuda::{Cuda, Missing, is_there};
pub use simulated::Simulated;

use std::sync::Arc;

/// A module's entry: its parameters are the address of `Args`, the first item, and how many items there are.
const ENTRY: &str = "px_map";
/// A module's variable with the first item that has failed, counted from the launch's first one; all bits are set if none has.
const FAILED: &str = "px_failed";

/// One launch's work: items of a kind behind each other, and room for as many results.
pub struct Work<'a> {
    /// The items' bytes.
    pub items: &'a [u8],
    /// The results' bytes.
    pub results: &'a mut [u8],
    /// How many items.
    pub count: u64,
}

/// A variable that a module's function uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constant {
    /// How many values it has.
    pub elements: u64,
    /// Their bytes.
    pub bytes: Vec<u8>,
}

/// Why there are no results. The sentences are for users.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failed {
    /// The device doesn't take the module.
    #[error("the GPU's driver refuses the code: {0}")]
    Module(String),
    /// Items, results and constants don't fit.
    #[error("the GPU has no memory for it: {wanted} bytes are wanted, {free} are free")]
    Memory {
        /// What was asked for.
        wanted: u64,
        /// What there is.
        free: u64,
    },
    /// It began, and didn't end well.
    #[error("the GPU stopped: {0}")]
    Launch(String),
    /// Nobody wants the results any more.
    #[error("it was interrupted")]
    Stopped,
}

/// Something that runs modules, one at a time.
pub trait Device: Send {
    /// Who tells of it, also while it runs something.
    fn about(&self) -> Arc<dyn About>;
    /// Makes this module, with these values of its constants, the one that runs.
    fn load(&mut self, ptx: &str, constants: &[Constant]) -> Result<(), Failed>;
    /// Works at the items. Returns the first one that fails, whose result and those behind it count for nothing. `stop` is
    /// asked now and then.
    fn run(&mut self, work: Work<'_>, stop: &dyn Fn() -> bool) -> Result<Option<u64>, Failed>;
}

/// Decodes what `px` wrote: for each, its length in bytes, how many values it has, and the bytes.
pub fn constants(mut from: &[u8]) -> Option<Vec<Constant>> {
    let mut all = Vec::new();
    while !from.is_empty() {
        let (length, rest) = from.split_first_chunk()?;
        let (elements, rest) = rest.split_first_chunk()?;
        let (bytes, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        all.push(Constant { elements: u64::from_le_bytes(*elements), bytes: bytes.to_vec() });
        from = rest;
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_come_back_and_cut_ones_do_not() {
        let mut bytes = Vec::new();
        for (length, elements, value) in [(1u64, 1u64, &b"a"[..]), (3, 2, b"bcd")] {
            bytes.extend(length.to_le_bytes().into_iter().chain(elements.to_le_bytes()).chain(value.iter().copied()));
        }
        let all = constants(&bytes).unwrap();
        assert_eq!(all.iter().map(|it| (it.elements, it.bytes.len())).collect::<Vec<_>>(), [(1, 1), (2, 3)]);
        for length in (1..bytes.len()).filter(|length| *length != 17) {
            assert_eq!(constants(&bytes[..length]), None, "cut after {length}");
        }
    }
}
