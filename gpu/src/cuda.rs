//! Kernels of CUDA C++: where NVRTC is, which compiles them, what it says, and the functions by which Rust calls them.

pub mod definitions;
pub mod entries;
pub mod helper;
pub mod messages;
pub mod nvrtc;
pub mod places;
pub mod signature;
