//! What NVIDIA's driver says of a GPU.

use super::sentence;
use crate::devices::{About, State};
use cudarc::driver::sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT;
use cudarc::driver::{CudaContext, DriverError, result, sys};
use std::ffi::c_char;
use std::sync::Arc;

/// Where the driver's module in the kernel tells its version.
const VERSION: &str = "/proc/driver/nvidia/version";

/// A GPU of which somebody asks. It has a thread of its own, so it binds the context by itself: cudarc's own way takes note
/// of errors for whoever binds the context next, and these are the map's.
pub struct AboutCuda {
    context: Arc<CudaContext>,
    /// What doesn't change.
    known: State,
}

impl AboutCuda {
    /// Of the GPU of this number.
    pub fn new(context: &Arc<CudaContext>, number: u32) -> Result<AboutCuda, DriverError> {
        let capability = context.compute_capability()?;
        let known = State {
            number,
            name: context.name()?,
            uuid: context.uuid().ok().map(|it| uuid(it.bytes)),
            driver: Some(driver()?),
            capability: Some((capability.0.unsigned_abs(), capability.1.unsigned_abs())),
            free: 0,
            total: 0,
            held: None,
        };
        Ok(AboutCuda { context: Arc::clone(context), known })
    }

    /// What was taken from the pool of memory that the driver has for this process, which cudarc takes all of its memory from
    /// where there is one.
    fn held(&self) -> Option<u64> {
        if !self.context.has_async_alloc() {
            return None;
        }
        let mut bytes = 0u64;
        // SAFETY: the device is the context's, the pool is the device's, and this attribute is a number of 64 bits.
        let asked = unsafe {
            result::device::get_default_mem_pool(self.context.cu_device()).and_then(|pool| {
                result::mem_pool::get_attribute(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, (&raw mut bytes).cast())
            })
        };
        asked.ok().map(|()| bytes)
    }
}

impl About for AboutCuda {
    fn state(&self) -> Result<State, String> {
        // SAFETY: the context lives as long as `self`, and this thread uses no other one.
        let asked = unsafe { result::ctx::set_current(self.context.cu_ctx()) }.and_then(|()| result::mem_get_info());
        let (free, total) = asked.map_err(sentence)?;
        Ok(State { free: free as u64, total: total as u64, held: self.held(), ..self.known.clone() })
    }
}

/// A GPU's number as NVIDIA's programs write it.
fn uuid(bytes: [c_char; 16]) -> String {
    let digits = u128::from_be_bytes(bytes.map(c_char::cast_unsigned));
    let digits = format!("{digits:032x}");
    let [a, b, c, d, e] = [0..8, 8..12, 12..16, 16..20, 20..32].map(|place| &digits[place]);
    format!("GPU-{a}-{b}-{c}-{d}-{e}")
}

/// The versions of the driver, and of the CUDA that it knows.
fn driver() -> Result<String, DriverError> {
    let mut cuda = 0;
    // SAFETY: it writes a number there.
    unsafe { sys::cuDriverGetVersion(&raw mut cuda) }.result()?;
    Ok(versions(&std::fs::read_to_string(VERSION).unwrap_or_default(), cuda))
}

/// Of the text in [`VERSION`], and of the number 13000 for CUDA 13.0.
fn versions(text: &str, cuda: i32) -> String {
    let is_version = |word: &&str| word.contains('.') && word.split('.').all(|part| part.parse::<u32>().is_ok());
    let own = text.lines().next().into_iter().flat_map(str::split_whitespace).find(is_version);
    let cuda = format!("CUDA {}.{}", cuda / 1000, cuda % 1000 / 10);
    own.map_or_else(|| cuda.clone(), |own| format!("{own}, {cuda}"))
}

#[cfg(test)]
mod tests {
    use super::{uuid, versions};

    #[test]
    fn a_uuid_is_written_as_nvidia_smi_does() {
        let bytes = [0x0f, -1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, -128];
        assert_eq!(uuid(bytes), "GPU-0fff0203-0405-0607-0809-0a0b0c0d0e80");
    }

    #[test]
    fn the_drivers_version_is_found_in_what_it_says_of_itself() {
        let open = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.159.04  Release Build  (a@b)  Tue\n\
                    GCC version:  gcc version 12.3.0 (Ubuntu 12.3.0-1ubuntu1~22.04)";
        assert_eq!(versions(open, 13000), "580.159.04, CUDA 13.0");
        let closed = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.54  Tue Jun  6 22:20:39 UTC 2023";
        assert_eq!(versions(closed, 12020), "535.54, CUDA 12.2");
        assert_eq!(versions("", 12080), "CUDA 12.8");
        assert_eq!(versions("NVRM version: none\nGCC version: 12.3.0", 12080), "CUDA 12.8");
    }
}
