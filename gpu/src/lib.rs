//! Rust closures on NVIDIA GPUs: rustc emits the code, and nothing but the driver is needed to run it.

pub mod build;
mod compile;
pub mod devices;
pub mod interpret;
mod link;
pub mod source;
pub mod toolchain;
