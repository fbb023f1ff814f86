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
mod in_rust;
mod inside;
mod magic;
mod magics;
mod options;
mod parts;
mod pieces;
pub mod rust;
mod scan;
mod shell;
mod targets;
#[cfg(test)]
mod tests;
mod together;
mod values;
mod words;

pub use complete::{Candidates, What, candidates};
pub use config::{PxConfig, Signal};
pub use cursor::{Spot, Typed, rust_of, spot};
pub use error::MagicError;
pub use grouping::Grouping;
pub use inside::{Inside, inside_rust};
pub use magic::{Group, Name, SHELL_LINE, list};
pub use magics::{
    AutoPx, Cancel, Capture, Carried, ClusterCommand, Command, Cuda, Data, DepsCommand, End, Env, Folder, Gpu, History,
    Input, Limits, Load, LsMagic, Map, MapOptions, On, OnError, Px, PxDefaults, PxOptions, PxResult, Reset, RunFile,
    Script, Shown, SnapshotCommand, Tasks, Time, TimeIt, TimeItFlags, Transfer, Way, Who, WriteFile,
};
pub use options::options_as_comments;
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

impl<'a> Code<'a> {
    /// Where this word is first.
    fn word(&self, word: &str) -> Option<Code<'a>> {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let (at, _) = self.text.match_indices(word).find(|(at, _)| {
            let (before, after) = (&self.text[..*at], &self.text[at + word.len()..]);
            !before.ends_with(is_part) && !after.starts_with(is_part)
        })?;
        Some(self.slice(at, at + word.len()))
    }

    /// These bytes of it.
    fn slice(self, at: usize, end: usize) -> Code<'a> {
        let (before, text) = (&self.text[..at], &self.text[at..end]);
        let column = match before.rsplit_once('\n') {
            Some((_, last)) => 1 + last.chars().count(),
            None => self.column + before.chars().count(),
        };
        Code { text, line: self.line + before.matches('\n').count(), column }
    }
}
