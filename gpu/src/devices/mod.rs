//! What runs a module: a GPU of NVIDIA's, or in tests the simulated one.

mod about;
mod cuda;
mod launch;
mod simulated;

pub use about::{About, State};
pub use cuda::{Cuda, Missing, is_there};
pub use launch::{Argument, Launch};
pub use simulated::Simulated;

use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// A module's entry: its parameters are the address of `Args`, the first item, and how many items there are.
const ENTRY: &str = "px_map";
/// A module's variable with the first item that has failed, counted from the launch's first one; all bits are set if none has.
const FAILED: &str = "px_failed";

/// One launch's work: items of a kind behind each other, and room for as many results.
pub struct Work<'a> {
    /// The items' bytes.
    pub items: Items<'a>,
    /// Where the results' bytes go.
    pub results: Results<'a>,
    /// How many items.
    pub count: u64,
}

/// Where items are.
pub enum Items<'a> {
    /// In this process.
    Here(&'a [u8]),
    /// On the device.
    Kept(Stretch),
}

/// Where results go.
pub enum Results<'a> {
    /// To this process.
    Here(&'a mut [u8]),
    /// They stay on the device.
    Kept(Stretch),
}

/// Bytes that stay on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    /// The buffer in which they are. Whoever has made it has given it this number, and gives it to no other one.
    pub buffer: u64,
    /// Where in it they begin.
    pub offset: u64,
    /// How many.
    pub bytes: u64,
}

/// What came of a launch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// The first item that fails, whose result and those behind it count for nothing.
    pub failing: Option<u64>,
    /// How long items and results were on their way while the device didn't work.
    pub transfer: Duration,
    /// How long the device worked.
    pub kernel: Duration,
}

/// A variable that a module's function uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constant {
    /// How many values it has.
    pub elements: u64,
    /// Where they are.
    pub value: Value,
}

/// Where a variable's value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Its bytes.
    Bytes(Vec<u8>),
    /// The buffer of this number, from its beginning.
    Kept(u64),
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
    /// There is no such buffer, or it is shorter.
    #[error(
        "these values aren't in the GPU's memory any more: its process was started anew after a launch that broke the GPU; \
         nothing ran. Make them again, by `--keep`, `%push --gpu` or `px::GpuVec::new`"
    )]
    Gone,
    /// The worker that asked is gone, or its memory can't be had.
    #[error("the memory that the worker shares with its GPU's process can't be used: {0}")]
    Shared(String),
    /// It can't begin like this. Nothing is broken by that.
    #[error("{0}; nothing ran")]
    Refused(String),
    /// It began, and didn't end well.
    #[error("the GPU stopped: {0}; what lay in its memory is gone")]
    Launch(String),
    /// Nobody wants the results any more.
    #[error("it was interrupted")]
    Stopped,
}

/// Something that runs modules, one at a time, and keeps buffers.
pub trait Device: Send {
    /// Who tells of it, also while it runs something.
    fn about(&self) -> Arc<dyn About>;
    /// Makes this module, with these values of its constants, the one that runs.
    fn load(&mut self, ptx: &str, constants: &[Constant]) -> Result<(), Failed>;
    /// Works at the items. `stop` is asked now and then.
    fn run(&mut self, work: Work<'_>, stop: &dyn Fn() -> bool) -> Result<Ran, Failed>;
    /// Runs a kernel of this module of CUDA C++ in all threads of a grid, and returns how long that took. What is loaded for
    /// `run` stays loaded. The module's variables begin anew.
    fn run_kernel(&mut self, ptx: &str, launch: &Launch, stop: &dyn Fn() -> bool) -> Result<Duration, Failed>;
    /// Makes a buffer of so many bytes, which are anything at first, under a number that no other one ever has.
    fn keep(&mut self, buffer: u64, bytes: u64) -> Result<(), Failed>;
    /// Writes these bytes to where the stretch begins.
    fn write(&mut self, to: Stretch, bytes: &[u8]) -> Result<(), Failed>;
    /// Reads as many bytes as there is room for, from where the stretch begins.
    fn read(&mut self, from: Stretch, to: &mut [u8]) -> Result<(), Failed>;
    /// Copies a stretch to where another one begins, in another buffer.
    fn copy(&mut self, from: Stretch, to: Stretch) -> Result<(), Failed>;
    /// Frees a buffer, if it is there.
    fn forget(&mut self, buffer: u64);
}

/// The buffers of a device, by number: a device says where each lies, and how long it is.
struct Buffers<B>(HashMap<u64, (B, u64)>);

impl<B> Buffers<B> {
    fn new() -> Buffers<B> {
        Buffers(HashMap::new())
    }

    fn add(&mut self, number: u64, buffer: B, bytes: u64) {
        self.0.insert(number, (buffer, bytes));
    }

    fn remove(&mut self, number: u64) -> Option<B> {
        self.0.remove(&number).map(|(buffer, _)| buffer)
    }

    /// A buffer that has this stretch.
    fn find(&self, Stretch { buffer, offset, bytes }: Stretch) -> Result<&B, Failed> {
        let (found, length) = self.0.get(&buffer).ok_or(Failed::Gone)?;
        let fits = offset.checked_add(bytes).is_some_and(|end| end <= *length);
        if fits { Ok(found) } else { Err(Failed::Gone) }
    }

    /// One of this number.
    fn whole(&self, number: u64) -> Result<&B, Failed> {
        self.find(Stretch { buffer: number, offset: 0, bytes: 0 })
    }
}

/// In front of the number of a buffer, where a value's length would be.
const KEPT: u64 = u64::MAX;

/// Decodes what `px` wrote: for each, its length in bytes, how many values it has, and the bytes; of what is kept on the
/// device, the number of its buffer.
pub fn constants(mut from: &[u8]) -> Option<Vec<Constant>> {
    let mut all = Vec::new();
    while !from.is_empty() {
        let (length, elements) = (number(&mut from)?, number(&mut from)?);
        let value = match length {
            KEPT => Value::Kept(number(&mut from)?),
            _ => {
                let (bytes, rest) = from.split_at_checked(usize::try_from(length).ok()?)?;
                from = rest;
                Value::Bytes(bytes.to_vec())
            }
        };
        all.push(Constant { elements, value });
    }
    Some(all)
}

fn number(from: &mut &[u8]) -> Option<u64> {
    let (number, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(u64::from_le_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_come_back_and_cut_ones_do_not() {
        let mut bytes = Vec::new();
        for (length, elements, value) in [(1u64, 1u64, &b"a"[..]), (3, 2, b"bcd"), (KEPT, 4, &7u64.to_le_bytes())] {
            bytes.extend(length.to_le_bytes().into_iter().chain(elements.to_le_bytes()).chain(value.iter().copied()));
        }
        let all = constants(&bytes).unwrap();
        let expected = [(1, Value::Bytes(b"a".to_vec())), (2, Value::Bytes(b"bcd".to_vec())), (4, Value::Kept(7))];
        assert_eq!(all, expected.map(|(elements, value)| Constant { elements, value }));
        for length in (1..bytes.len()).filter(|length| ![17, 36].contains(length)) {
            assert_eq!(constants(&bytes[..length]), None, "cut after {length}");
        }
    }

    #[test]
    fn a_stretch_lies_in_its_buffer() {
        let mut buffers = Buffers::new();
        buffers.add(3, 'a', 10);
        let found = |buffer, offset, bytes| buffers.find(Stretch { buffer, offset, bytes }).copied();
        assert_eq!((found(3, 4, 6), found(3, 10, 0)), (Ok('a'), Ok('a')));
        for wrong in [found(3, 4, 7), found(3, u64::MAX, 2), found(2, 0, 0)] {
            assert_eq!(wrong, Err(Failed::Gone));
        }
    }
}
