//! Rust closures on NVIDIA GPUs: rustc emits the code, and nothing but the driver is needed to run it. And kernels of CUDA
//! C++, which NVRTC compiles.

mod attributes;
pub mod build;
mod compile;
pub mod crates;
pub mod cuda;
pub mod devices;
pub mod interpret;
mod link;
pub mod math;
pub mod native;
pub mod source;
pub mod toolchain;
