//! Turns cells into objects, with evcxr.
//!
//! A cell is compiled once, against the variables that all its targets have, and comes out as one small shared
//! object. This crate is the only one that knows evcxr; it never opens a Jupyter or cluster socket and never runs a
//! cell: whoever has one compiled gets the object, runs it wherever it wants, and says how that ended.

mod advice;
mod ahead;
mod assist;
mod attempts;
mod backtrace;
mod cache;
mod command;
mod compiler;
mod complaint;
mod context;
mod debug;
mod definitions;
mod dependence;
mod dependencies;
mod diagnostic;
mod effort;
mod engine_vars;
mod engines_have;
mod evaluator;
mod failure;
mod habits;
mod identity;
mod interrupt;
mod library;
mod modules;
mod namespace;
mod prelude;
mod probe;
mod process;
mod px;
mod reached;
mod redefined;
mod replay;
mod reuse;
mod rewrite;
mod rounds;
mod runtime;
mod rustc;
mod setting;
mod settings;
mod slips;
mod snapshots;
mod source_map;
mod starting;
mod statics;
mod telling;
mod template;
mod toolchain;
mod tools;
mod trial;
mod turn;
mod type_names;
mod types;
mod unkept;
mod unnamed;
mod unused;
mod versions;
mod wording;
mod work;

pub use backtrace::Call;
pub use cache::{CacheConfig, CacheInfo};
pub use chorus_syntax::{Completeness, Expression, Parameters, Shape, completeness, is_expression};
pub use command::{Action, Reply, command_names, help, help_of};
pub use compiler::Compiler;
pub use context::Context;
pub use dependencies::{Building, DependenciesInfo, Told};
pub use diagnostic::{Diagnostic, ELSEWHERE, Level, Span};
pub use engines_have::{EnginesHave, Unlike};
pub use evaluator::{AssistLimits, Assistant};
pub use failure::Failure;
pub use interrupt::Interrupter;
pub use modules::{Module, Modules};
pub use namespace::{Member, Namespaces, RunEnded, Ticket, Variable, Variables, describe};
pub use process::{compiler_main, relay_main};
pub use reached::{Package, Reached};
pub use source_map::{Place, SourceMap};
pub use template::CompilersInfo;
pub use toolchain::{find_program, prepare_environment, users_path};
pub use types::{CellText, CompiledCell, Config, Object};

/// Becomes cargo or rustc, if evcxr or cargo started this program in the place of one. Call it at the program's very
/// beginning.
pub fn become_tool() {
    tools::become_tool();
    // evcxr's hook also has another program in it, its runtime, which Chorus has one of its own for.
    if std::env::var_os("EVCXR_RUSTC_WRAPPER").is_some() && std::env::var_os("EVCXR_IS_RUNTIME").is_none() {
        evcxr::runtime_hook();
    }
}
