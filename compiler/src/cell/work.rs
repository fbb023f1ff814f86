//! One cell's way through the compiler.

use crate::cell::types::{CellText, Object};
use crate::messages::diagnostic::Diagnostic;
use crate::messages::source_map::MappedPiece;
use crate::notebook::definitions::change::Change;
use crate::notebook::dependence::Definition;
use crate::notebook::engine_vars::EngineTypes;
use crate::notebook::identity::Identities;
use crate::notebook::namespace::{Effect, Member, Variables};
use crate::notebook::statics::beginnings::Beginnings;
use crate::tools::probe::Typed;
use chorus_syntax::Cell;
use std::collections::BTreeSet;

/// A cell on its way.
pub(crate) struct Work<'a> {
    pub cell: CellText<'a>,
    pub parsed: Cell,
    pub items: Vec<Definition>,
    /// What they change in the definitions.
    pub change: Change,
    /// Where the user's text stands in the notebook, this cell's first.
    pub pieces: Vec<MappedPiece>,
    pub members: &'a [Member],
    /// The variables that it may use.
    pub before: Variables,
    /// What types are with it.
    pub identities: Identities,
    /// What statics are with it.
    pub statics: Beginnings,
    /// Names of the prelude that it is the first to hide.
    pub hides: BTreeSet<&'static str>,
    /// Types of the engines' variables that it names.
    pub engine_types: EngineTypes,
    /// Statements that define variables whose types have no names.
    pub own: Vec<usize>,
    /// Types of its variables that rustc was asked for.
    pub types: Vec<Typed>,
}

/// What came of it.
pub(crate) struct Done {
    pub effect: Effect,
    /// `None` when there is nothing to run.
    pub object: Option<Object>,
    /// What rustc warns of.
    pub warnings: Vec<Diagnostic>,
}
