//! Magics: the lines of a cell that aren't Rust.
//!
//! A cell whose first line of code is `%%name` is that magic's whole. Elsewhere a line `%name ...` at the start of a
//! statement is a magic, and the Rust above and below it is Rust. A line `!command` above the cell's first Rust is for
//! the shell. This crate says which is which, and where; it runs nothing, knows no cluster, and no cell makes it panic.
//!
//! A cell is read once, into `pieces`, and all questions about it are answered from them. Each magic is a file in
//! `magics`, which has all that there is to know of it.

mod call;
mod complete;
mod config;
mod cursor;
mod error;
mod grouping;
mod head;
mod magic;
mod magics;
mod parts;
mod pieces;
pub mod rust;
mod scan;
mod shell;
mod targets;
#[cfg(test)]
mod tests;
mod values;
mod words;

pub use complete::{Candidates, What, candidates};
pub use config::{PxConfig, Signal};
pub use cursor::{Spot, Typed, rust_of, spot};
pub use error::MagicError;
pub use grouping::Grouping;
pub use magic::{Group, Name, SHELL_LINE, list};
pub use magics::{
    AutoPx, Cancel, Carried, ClusterCommand, Command, Data, DepsCommand, End, Gpu, Input, Load, LsMagic, Map,
    MapOptions, OnError, Px, PxDefaults, PxOptions, PxResult, Script, SnapshotCommand, Tasks, Time, TimeIt,
    TimeItFlags, Transfer, Way, Who, WriteFile,
};
pub use parts::{Part, maps, parse};
pub use targets::{TargetError, Targets};

/// Rust in a magic, and where it stands in the cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code<'a> {
    /// The Rust.
    pub text: &'a str,
    /// The 1-based line of the cell at which it begins.
    pub line: usize,
    /// The 1-based column, in characters, at which it begins.
    pub column: usize,
}
