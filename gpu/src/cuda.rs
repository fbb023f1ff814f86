//! What is read of CUDA C++: the signatures of kernels, and what NVRTC says about a text.

pub mod messages;
pub mod signature;
