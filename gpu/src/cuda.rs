//! Kernels of CUDA C++: their signatures, NVRTC, which compiles them, and what it says.

pub mod messages;
pub mod nvrtc;
pub mod signature;
