//! Turns cells into objects, with evcxr.
//!
//! A cell is compiled once, against the variables that all its targets have, and comes out as one small shared
//! object. This crate is the only one that knows evcxr; it never opens a Jupyter or cluster socket and never runs a
//! cell: whoever has one compiled gets the object, runs it wherever it wants, and says how that ended.

mod cell;
mod command;
mod compiler;
mod context;
mod dependencies;
mod messages;
mod notebook;
mod process;
mod toolchain;
mod tools;

pub use cell::cache::{CacheConfig, CacheInfo};
pub use cell::modules::{Module, Modules};
pub use cell::types::{CellText, CompiledCell, Config, Object};
pub use chorus_syntax::{Completeness, Expression, Parameters, Shape, completeness, is_expression};
pub use command::{Action, Reply, command_names, help, help_of};
pub use compiler::Compiler;
pub use context::Context;
pub use dependencies::{Building, DependenciesInfo, Told};
pub use messages::backtrace::Call;
pub use messages::diagnostic::{Diagnostic, ELSEWHERE, Level, Span};
pub use messages::failure::Failure;
pub use messages::source_map::{Place, SourceMap};
pub use notebook::engines_have::{EnginesHave, Unlike};
pub use notebook::namespace::{Member, Namespaces, RunEnded, Ticket, Variable, Variables, describe};
pub use notebook::reached::{Package, Reached};
pub use process::evaluator::{AssistLimits, Assistant};
pub use process::finder::CompilersInfo;
pub use process::interrupt::Interrupter;
pub use process::{compiler_main, relay_main};
pub use toolchain::{find_program, prepare_environment, users_path};

/// Becomes cargo or rustc, if evcxr or cargo started this program in the place of one. Call it at the program's very
/// beginning.
pub fn become_tool() {
    tools::become_tool();
    // evcxr's hook also has another program in it, its runtime, which Chorus has one of its own for.
    if std::env::var_os("EVCXR_RUSTC_WRAPPER").is_some() && std::env::var_os("EVCXR_IS_RUNTIME").is_none() {
        evcxr::runtime_hook();
    }
}
