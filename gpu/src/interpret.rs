//! Runs PTX without a GPU: the simulated device of the tests.
//!
//! It knows the instructions that LLVM emits for Rust code, and what is added by hand when modules are linked. Each does
//! what NVIDIA's description of PTX says, to the bit. Whatever else a module has is refused by name. Threads run one
//! after the other, and each access to memory is checked, so mistakes show that a real device would let pass.

mod arithmetic;
mod atomic;
mod body;
mod code;
mod convert;
mod decode;
mod fault;
mod float;
mod flow;
mod machine;
mod memory;
mod operand;
mod parse;
mod scope;
mod shape;
mod suffixes;
mod text;

#[cfg(test)]
mod tests;

pub use code::Module;
pub use fault::Fault;
pub use machine::Device;
pub use memory::Memory;
pub use shape::Shape;
