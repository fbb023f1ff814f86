//! Completion and documentation of a cell's Rust, by the rust-analyzer that evcxr has.
//!
//! It lies in the compiler's process, which has read the standard library and the notebook's dependencies for the cells. So
//! there is no second one, and the first question is answered as soon as the second. This crate says as which text a question
//! is put to it ([`Wrapped`]), gets hold of it ([`lent`]), and makes an [`Answer`] of what it says.

mod complete;
mod hover;
mod lent;
mod message;
mod place;
mod source;

pub use hover::readable;
pub use lent::{Lent, lent};
pub use message::{Answer, Completion, Completions, Hover, Question, Source, Variable};
pub use source::{Wrapped, names};
