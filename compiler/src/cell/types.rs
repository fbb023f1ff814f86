//! What the compiler is given and gives back.

use crate::cell::cache::CacheConfig;
use crate::cell::reuse::CacheSlot;
use crate::dependencies::Told;
use crate::messages::diagnostic::Diagnostic;
use crate::messages::source_map::SourceMap;
use crate::notebook::namespace::{Member, Ticket};
use crate::process::evaluator::Assistant;
use crate::process::interrupt::Interrupter;
use std::ffi::OsString;
use std::path::PathBuf;

/// How to start a compiler.
#[derive(Clone, Debug)]
pub struct Config {
    /// The program that calls [`crate::relay_main`], given `relay_args` and then the socket.
    pub relay: PathBuf,
    /// Its arguments.
    pub relay_args: Vec<OsString>,
    /// The arguments with which it calls [`crate::compiler_main`], given a folder.
    pub compiler_args: Vec<OsString>,
    /// An empty folder for everything that is built.
    pub folder: PathBuf,
    /// Interrupts compilations from other threads.
    pub interrupter: Interrupter,
    /// Completes and explains when there is a process.
    pub assistant: Assistant,
    /// Where compiled cells are kept for other kernels, if they are to be.
    pub cache: Option<CacheConfig>,
    /// Is told how far cargo is with dependencies.
    pub building: Told,
}

/// A text to compile.
#[derive(Clone, Copy, Debug)]
pub struct CellText<'a> {
    /// Rust, with `:` commands in front if any.
    pub text: &'a str,
    /// The cell's execution count.
    pub count: u32,
    /// The number of the text's first line in the whole cell, 1-based; 0 if that line stands above the cell.
    pub first_line: usize,
    /// The whole cell, whose lines are shown with errors.
    pub cell: &'a str,
    /// The first and the last line of the cell that the user wrote, or [`CellText::ALL`]. No place of a panic is on
    /// others, which are generated.
    pub users: (usize, usize),
}

impl CellText<'_> {
    /// All lines of the cell are the user's.
    pub const ALL: (usize, usize) = (1, usize::MAX);
}

/// A compiled cell.
#[derive(Clone, Debug)]
pub struct Object {
    /// The shared object. It stays as it is until the compiler is dropped.
    pub path: PathBuf,
    /// The symbol to call.
    pub entry: String,
    /// Libraries to load first.
    pub preload: Vec<PathBuf>,
    /// Whether it loads any variable.
    pub needs_variables: bool,
    /// Whether the cell ends in an expression.
    pub has_result: bool,
    /// Whether it was compiled before.
    pub cached: bool,
    /// Finds the user's line for a panic's.
    pub source: SourceMap,
    /// Where it was found.
    pub(crate) place: Option<CacheSlot>,
}

/// A cell that was compiled.
#[derive(Clone, Debug, Default)]
pub struct CompiledCell {
    /// What is to run, if anything is. With the ticket, [`crate::Compiler::settle`] hears how that ended.
    pub run: Option<(Object, Ticket)>,
    /// Variables that members lost because the cell defines a type anew that is in them.
    pub outdated: Vec<(Member, Vec<String>)>,
    /// Definitions that were set aside or came back, and statics that begin anew, each as a sentence.
    pub notices: Vec<String>,
    /// Values that the cell drops and that must be used.
    pub warnings: Vec<Diagnostic>,
}
