//! Rust's syntax, without types and without a compiler: what a cell is made of, what an expression is, and whether a
//! text can be run as it is.
//!
//! Parsing is rust-analyzer's. Nothing here fails, whatever the text is, and nothing does I/O.

mod broken;
mod call;
mod cell;
mod complete;
mod engine_vars;
mod expression;
mod habits;
mod identity;
mod imports;
mod nature;
mod plain;
mod statics;
mod tidy;
mod variables;

pub use broken::{Broken, RETURNS};
pub use call::{Call, defines_items};
pub use cell::{Cell, CommandLine, Item, Let, Piece, annotated, is_expression, split_commands};
pub use complete::{Completeness, completeness};
pub use engine_vars::{EngineVariables, GIVES, PICKS, engine_variables};
pub use expression::{Expression, Parameters, Shape};
pub use habits::habit;
pub use identity::{Facts, FactsReader, INSERTION, OF_CALL, moves};
pub use imports::Import;
pub use nature::{Block, HOLDER, Nature, Reach, is_keyword, macros_of, words, words_of};
pub use plain::is_plain;
pub use statics::{MAKERS, Static, Statics, brought_by_glob, path_of, statics};
pub use variables::{TypeShape, Variable, variables};
