//! Values that stay in the memory of an engine's GPU.

use crate::host::{Bytes, GpuCall, gpu, run_under_way};
use crate::link::{GpuAnswer, GpuAsk, Kept, Message as _};
use crate::map::Error;
use std::fmt;
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::sync::OnceLock;

/// So many bytes at once go through the memory that this process shares with the one that has the GPU.
pub(crate) const AT_ONCE: usize = 64 << 20;

/// A row of values in the memory of an engine's GPU: `px::GpuVec::new(&xs)?`, or what `%map --gpu --keep` leaves there.
///
/// A map with `--gpu` takes it behind `over each`, and its function can use it as it uses a `Vec`. [`GpuVec::to_vec`] fetches
/// the values, as do `%pull` and `%gather`; whoever uses it as a slice has them fetched once, and panics if that can't be.
/// A kernel of a `%%cuda` cell takes it by reference, and may change its values if that is `&mut`.
/// It is freed when it is dropped and no snapshot of its worker has it any more.
pub struct GpuVec<T> {
    buffer: Buffer,
    length: usize,
    /// What was fetched, until a kernel changes the values.
    here: OnceLock<Vec<T>>,
}

impl<T: Copy + 'static> GpuVec<T> {
    /// Copies values to the GPU. An error says that there is none, or that they don't fit.
    pub fn new(values: &[T]) -> Result<GpuVec<T>, Error> {
        let buffer = Buffer::new(size_of_val(values))?;
        let mut offset = 0;
        for part in values.chunks(at_once::<T>()) {
            let bytes = size_of_val(part);
            ask::<u8>(&GpuAsk::Write(buffer.kept(offset, bytes)), Bytes::of(part), None)?;
            offset += bytes;
        }
        Ok(GpuVec::of(buffer, values.len()))
    }

    /// Copies the values to this process's memory.
    pub fn to_vec(&self) -> Result<Vec<T>, Error> {
        fetch(self.buffer.number, 0, self.length)
    }
}

impl<T> GpuVec<T> {
    /// The buffer must have so many values of this type at its beginning.
    pub(crate) fn of(buffer: Buffer, length: usize) -> GpuVec<T> {
        GpuVec { buffer, length, here: OnceLock::new() }
    }

    /// The number of its buffer.
    pub(crate) fn buffer(&self) -> u64 {
        self.buffer.number
    }

    /// The buffer, for whoever changes the values now. A snapshot that was made before has them as they were.
    pub(crate) fn change(&mut self) -> Result<u64, Error> {
        self.here.take();
        if !self.buffer.is_of_this_run() {
            let bytes = self.length * size_of::<T>();
            self.buffer = Buffer::joined(&[(&self.buffer, 0, bytes)])?;
        }
        Ok(self.buffer.number)
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

impl<T: Copy + 'static> Deref for GpuVec<T> {
    type Target = [T];

    #[track_caller]
    fn deref(&self) -> &[T] {
        self.here.get_or_init(|| self.to_vec().unwrap_or_else(|error| panic!("{error}")))
    }
}

impl<T> fmt::Debug for GpuVec<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GpuVec<{}> with {} values", std::any::type_name::<T>(), self.length)
    }
}

fn at_once<T>() -> usize {
    (AT_ONCE / size_of::<T>().max(1)).max(1)
}

/// So many values of a buffer, which was made for values of this type, from the `first` on.
pub(crate) fn fetch<T: Copy>(buffer: u64, first: usize, count: usize) -> Result<Vec<T>, Error> {
    let mut values = Vec::<T>::with_capacity(count);
    while values.len() < count {
        let more = at_once::<T>().min(count - values.len());
        let (offset, bytes) = ((first + values.len()) * size_of::<T>(), more * size_of::<T>());
        let room = values.spare_capacity_mut();
        ask(&GpuAsk::Read(Kept { buffer, offset: offset as u64, bytes: bytes as u64 }), Bytes::NONE, Some(room))?;
        // SAFETY: so many were read. They were written by `GpuVec::new`, or by code for this type whose sizes and
        // alignments were compared.
        unsafe { values.set_len(values.len() + more) };
    }
    Ok(values)
}

/// Bytes of a GPU's memory. The GPU's process frees them when no process has `_holder` open any more. A copy of this
/// process, as a snapshot is, has it open, too: so what a cell drops is there again when the cell crashes.
pub(crate) struct Buffer {
    number: u64,
    /// In which run it was made, if in one.
    run: Option<u64>,
    _holder: OwnedFd,
}

impl Buffer {
    /// So many bytes, which may be anything.
    pub(crate) fn new(bytes: usize) -> Result<Buffer, Error> {
        match ask::<u8>(&GpuAsk::Keep(bytes as u64), Bytes::NONE, None)? {
            GpuAnswer::Kept(number, file) if file >= 0 => {
                // SAFETY: the host has opened the file for whoever asks, and knows it no longer.
                let _holder = unsafe { OwnedFd::from_raw_fd(file) };
                Ok(Buffer { number, run: run_under_way(), _holder })
            }
            _ => Err(Error::Damaged),
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Whether no snapshot has it.
    fn is_of_this_run(&self) -> bool {
        self.run.is_some() && self.run == run_under_way()
    }

    fn kept(&self, offset: usize, bytes: usize) -> Kept {
        Kept { buffer: self.number, offset: offset as u64, bytes: bytes as u64 }
    }

    /// One buffer with parts of others, of which each begins somewhere and has so many bytes.
    pub(crate) fn joined(parts: &[(&Buffer, usize, usize)]) -> Result<Buffer, Error> {
        let whole = Buffer::new(parts.iter().map(|(.., bytes)| bytes).sum())?;
        let mut end = 0;
        for (part, offset, bytes) in parts {
            ask::<u8>(&GpuAsk::Copy(part.kept(*offset, *bytes), whole.kept(end, *bytes)), Bytes::NONE, None)?;
            end += bytes;
        }
        Ok(whole)
    }
}

fn ask<T>(what: &GpuAsk, input: Bytes, output: Option<&mut [MaybeUninit<T>]>) -> Result<GpuAnswer, Error> {
    let what = what.encode();
    let output = output.unwrap_or_default();
    asked(&GpuCall {
        ask: Bytes::of(&what),
        module: Bytes::NONE,
        constants: Bytes::NONE,
        input,
        output: output.as_mut_ptr().cast(),
        output_bytes: size_of_val(output),
    })
}

/// Asks for what needs nothing but a module's code.
pub(crate) fn ask_module(what: &GpuAsk, module: &str) -> Result<GpuAnswer, Error> {
    let what = what.encode();
    asked(&GpuCall {
        ask: Bytes::of(&what),
        module: Bytes::of(module.as_bytes()),
        constants: Bytes::NONE,
        input: Bytes::NONE,
        output: Bytes::NONE.start.cast_mut(),
        output_bytes: 0,
    })
}

fn asked(call: &GpuCall) -> Result<GpuAnswer, Error> {
    match gpu(call).map_err(Error::Failed)? {
        GpuAnswer::Memory { wanted, free } => Err(no_memory(wanted, free)),
        answer => Ok(answer),
    }
}

/// That a GPU's memory doesn't suffice.
pub(crate) fn no_memory(wanted: u64, free: u64) -> Error {
    Error::Failed(format!(
        "the GPU has too little memory: {wanted} bytes are wanted, and {free} are free. `%px drop(ys);` frees a variable \
         `ys` that lies there; engines with GPUs of their own have more"
    ))
}
