//! The Rust that magics become. What the user wrote keeps its line and column in it, so that errors point there.

mod map;
mod text;
mod transfer;

pub use map::{MapTexts, Passing, Types, gpu_text, map_texts, partial_text};
pub use text::Text;
pub use transfer::{TransferTexts, not_for_gpus, transfer_texts};
