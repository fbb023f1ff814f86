//! Maps on GPUs: an engine's worker has the items of a piece worked at by a GPU, whose code was compiled of the same
//! function, and takes the results as if it had called the function itself.

use super::constants::Constants;
use super::engine::Server;
use super::error::Error;
use super::rooms::{Bytes, Writer};
use crate::host::{GpuCall, gpu};
use crate::link::{Layout, Message as _};

/// So many bytes of items and results at once: what is copied to a GPU while it works at others.
const AT_ONCE: usize = 64 << 20;

/// A variable of the notebook that a function on a GPU uses: its bytes in memory, and of how many values they are.
pub struct Value {
    elements: u64,
    bytes: Vec<u8>,
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
        Value { elements: values.len() as u64, bytes }
    }
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

    /// For each, its length in bytes, how many values it has, and the bytes.
    fn put_for_gpu(&self, to: &mut Writer) -> Result<bool, Error> {
        for Value { elements, bytes } in &self.1 {
            (bytes.len() as u64).write(to.buffer());
            elements.write(to.buffer());
            to.append(bytes)?;
        }
        Ok(true)
    }
}

/// Results of the first of these items: of all, or of those before the first one that fails.
pub(crate) fn results<T, R>(server: &Server, items: &[T]) -> Result<Vec<R>, Error> {
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
    let constants = Bytes::read(&mut settings.constants.as_slice(), &server.settings.rooms)?;
    let most = (AT_ONCE / (size_of::<T>() + size_of::<R>()).max(1)).max(1);
    let mut results = Vec::<R>::with_capacity(items.len());
    for items in items.chunks(most) {
        let place = results.spare_capacity_mut();
        let call = GpuCall {
            module: settings.module.as_ptr(),
            module_bytes: settings.module.len(),
            constants: constants.as_slice().as_ptr(),
            constants_bytes: constants.as_slice().len(),
            items: items.as_ptr().cast(),
            results: place.as_mut_ptr().cast(),
            item_size: size_of::<T>(),
            result_size: size_of::<R>(),
            count: items.len(),
        };
        let done = gpu(&call).map_err(Error::Failed)?.min(items.len() as u64) as usize;
        // SAFETY: so many results were written, by code that was compiled of the same function and has the same types;
        // sizes and alignments were compared.
        unsafe { results.set_len(results.len() + done) };
        if done < items.len() {
            break;
        }
    }
    Ok(results)
}

/// What a GPU fails at, the function must fail at, too.
#[cold]
#[inline(never)]
pub(crate) fn disagrees() -> ! {
    panic!("the GPU fails at this item, and the same function doesn't on the CPU; please report this closure")
}
