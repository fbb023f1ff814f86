//! Maps on GPUs: an engine's worker has the items of a piece worked at by a GPU, whose code was compiled of the same
//! function, and takes the results as if it had called the function itself.

use super::constants::Constants;
use super::engine::Server;
use super::error::Error;
use super::output::lock;
use super::rooms::{Bytes, Writer};
use crate::gpu_vec::{AT_ONCE, GpuVec, no_memory};
use crate::host::{self, GpuCall, gpu};
use crate::link::{GpuAnswer, GpuAsk, GpuServe, Kept, Layout, Message as _};
use std::mem::MaybeUninit;

/// Where the memory doesn't suffice for so few items, it doesn't suffice.
const FEWEST: usize = 256;
/// In front of the number of a buffer, where a value's length would be.
const KEPT: u64 = u64::MAX;

/// A variable that a function on a GPU uses, and how many values it has.
pub struct Value {
    elements: u64,
    place: Storage,
}

/// Where a variable's values are.
enum Storage {
    /// Their bytes in memory.
    Here(Vec<u8>),
    /// The buffer on the GPU.
    Kept(u64),
}

/// Finds out how a variable is given to a GPU: values of a `Vec` one behind the other, and others as they are. What has
/// addresses in it doesn't get here, since the GPU's half doesn't compile with it.
pub struct Given<'a, T>(pub &'a T);

impl<T: Copy + 'static> Given<'_, Vec<T>> {
    #[doc(hidden)]
    pub fn value(&self) -> Value {
        Value::of(self.0)
    }
}

impl<T: Copy + 'static> Given<'_, GpuVec<T>> {
    #[doc(hidden)]
    pub fn value(&self) -> Value {
        Value { elements: self.0.len() as u64, place: Storage::Kept(self.0.buffer()) }
    }
}

#[doc(hidden)]
pub trait GivenAsItIs {
    fn value(&self) -> Value;
}

impl<T: Copy + 'static> GivenAsItIs for Given<'_, T> {
    fn value(&self) -> Value {
        Value::of(std::slice::from_ref(self.0))
    }
}

/// A variable as a GPU takes it.
#[doc(hidden)]
#[macro_export]
macro_rules! __gpu_value {
    ($variable:ident) => {{
        #[allow(unused_imports)]
        use $crate::map::gpu::GivenAsItIs as _;
        $crate::map::gpu::Given(&$variable).value()
    }};
}
pub use crate::__gpu_value as value;

impl Value {
    fn of<T: Copy>(values: &[T]) -> Value {
        let mut bytes = vec![0; size_of_val(values)];
        // SAFETY: as many bytes as the values take. Those of them that are padding are copied as what they may be, bytes
        // that nobody reads.
        unsafe { std::ptr::copy_nonoverlapping(values.as_ptr().cast(), bytes.as_mut_ptr(), bytes.len()) };
        Value { elements: values.len() as u64, place: Storage::Here(bytes) }
    }

    /// Its length in bytes and how many values it has, in front of the bytes; or of a buffer its number.
    fn head(&self, to: &mut Vec<u8>) {
        let (length, buffer) = match &self.place {
            Storage::Here(bytes) => (bytes.len() as u64, None),
            Storage::Kept(buffer) => (KEPT, Some(*buffer)),
        };
        [Some(length), Some(self.elements), buffer].into_iter().flatten().for_each(|number| number.write(to));
    }

    fn bytes(&self) -> &[u8] {
        match &self.place {
            Storage::Here(bytes) => bytes,
            Storage::Kept(_) => &[],
        }
    }
}

/// Variables as GPUs take them.
pub(crate) fn encoded(values: &[Value]) -> Vec<u8> {
    let mut all = Vec::new();
    for value in values {
        value.head(&mut all);
        all.extend_from_slice(value.bytes());
    }
    all
}

/// Constants of a map on GPUs: in the form for the engines' workers, and in that for GPUs.
pub struct OnGpu<C>(C, Vec<Value>);

impl<C: Constants> OnGpu<C> {
    /// The same variables twice, in the same order.
    pub fn new(constants: C, values: Vec<Value>) -> OnGpu<C> {
        OnGpu(constants, values)
    }
}

impl<C: Constants> Constants for OnGpu<C> {
    type Owned = C::Owned;

    fn put(&self, to: &mut Writer) -> Result<(), Error> {
        self.0.put(to)
    }

    fn put_for_gpu(&self, to: &mut Writer) -> Result<bool, Error> {
        for value in &self.1 {
            value.head(to.buffer());
            to.append(value.bytes())?;
        }
        Ok(true)
    }
}

/// Items in a row.
pub(crate) enum From<T> {
    /// In this process.
    Here(Vec<T>),
    /// So many in a GPU's buffer, from this one on.
    Kept { buffer: u64, first: u64, count: u64 },
}

impl<T> From<T> {
    fn count(&self) -> u64 {
        match self {
            From::Here(items) => items.len() as u64,
            From::Kept { count, .. } => *count,
        }
    }

    /// Some of them: where they are kept, or their bytes.
    fn part(&self, at: u64, count: u64) -> Result<(Option<Kept>, host::Bytes), Error> {
        match self {
            From::Here(items) => {
                let part = items.get(at as usize..(at + count) as usize).ok_or(Error::Damaged)?;
                Ok((None, host::Bytes::of(part)))
            }
            From::Kept { buffer, first, .. } => {
                let size = size_of::<T>() as u64;
                Ok((
                    Some(Kept { buffer: *buffer, offset: (first + at) * size, bytes: count * size }),
                    host::Bytes::NONE,
                ))
            }
        }
    }
}

/// Room for as many results as there are items.
pub(crate) enum To<'a, R> {
    /// In this process.
    Here(&'a mut [MaybeUninit<R>]),
    /// At the beginning of a GPU's buffer.
    Kept(u64),
}

/// So many items and results don't need much memory.
pub(crate) fn at_once<T, R>() -> u64 {
    (AT_ONCE / size_of::<T>().max(size_of::<R>()).max(1)).max(1) as u64
}

/// Works at items, so many at a time as the GPU has memory for. Returns how many have results: all, or those before the
/// first one that fails.
pub(crate) fn run<T, R>(server: &Server, items: From<T>, mut results: To<'_, R>) -> Result<u64, Error> {
    let GpuServe { module, constants, .. } = settings::<T, R>(server)?;
    let constants = Bytes::read(&mut constants.as_slice(), &server.settings.rooms)?;
    let all;
    let constants = match server.values.get().filter(|values| !values.is_empty()) {
        None => constants.as_slice(),
        Some(values) => {
            all = [constants.as_slice(), values].concat();
            &all
        }
    };
    let (count, size) = (items.count(), size_of::<R>() as u64);
    let travelling = match items {
        From::Here(_) => size_of::<T>(),
        From::Kept { .. } => 0,
    } + match results {
        To::Here(_) => size_of::<R>(),
        To::Kept(_) => 0,
    };
    let (mut most, mut done) = (AT_ONCE.checked_div(travelling).map_or(count, |most| most.max(1) as u64), 0);
    while done < count {
        let now = most.min(count - done);
        let (kept, input) = items.part(done, now)?;
        let (results, output) = match &mut results {
            To::Here(room) => (None, room.get_mut(done as usize..(done + now) as usize).ok_or(Error::Damaged)?),
            To::Kept(buffer) => {
                (Some(Kept { buffer: *buffer, offset: done * size, bytes: now * size }), Default::default())
            }
        };
        let ask = GpuAsk::Run { count: now, items: kept, results }.encode();
        let call = GpuCall {
            ask: host::Bytes::of(&ask),
            module: host::Bytes::of(module),
            constants: host::Bytes::of(constants),
            input,
            output: output.as_mut_ptr().cast(),
            output_bytes: size_of_val(output),
        };
        match gpu(&call).map_err(Error::Failed)? {
            GpuAnswer::Done { items, times } => {
                lock(&server.gpu).add(times);
                done += items.min(now);
                if items < now {
                    return Ok(done);
                }
            }
            GpuAnswer::Memory { .. } if now > FEWEST as u64 && travelling > 0 => most = now / 2,
            GpuAnswer::Memory { wanted, free } => return Err(no_memory(wanted, free)),
            _ => return Err(Error::Damaged),
        }
    }
    Ok(done)
}

/// What is said of the GPU's half of the map, if that has the types of this one.
fn settings<T, R>(server: &Server) -> Result<&GpuServe, Error> {
    let settings = server.settings.gpu.as_ref().ok_or(Error::Damaged)?;
    let here = Layout {
        item: (size_of::<T>() as u64, align_of::<T>() as u64),
        result: (size_of::<R>() as u64, align_of::<R>() as u64),
    };
    if settings.layout != here {
        let message =
            format!("items or results lie otherwise in a GPU's memory: {:?}, and here {here:?}", settings.layout);
        return Err(Error::Failed(message));
    }
    Ok(settings)
}

/// Results of the first of these items: of all, or of those before the first one that fails.
pub(crate) fn results<T, R>(server: &Server, items: From<T>) -> Result<Vec<R>, Error> {
    let count = items.count() as usize;
    let mut results = Vec::<R>::with_capacity(count);
    let room = results.spare_capacity_mut().get_mut(..count).ok_or(Error::Damaged)?;
    let done = run(server, items, To::Here(room))?;
    // SAFETY: so many results were written, by code that was compiled of the same function and has the same types; sizes
    // and alignments were compared.
    unsafe { results.set_len(done as usize) };
    Ok(results)
}

/// What a GPU fails at, the function must fail at, too.
#[cold]
#[inline(never)]
pub(crate) fn disagrees() -> ! {
    panic!("the GPU fails at this item, and the same function doesn't on the CPU; please report this closure")
}
