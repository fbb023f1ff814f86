//! What the kernel knows of a notebook: its definitions, variables, statics and settings, and what an edit of one means for the
//! others. Nothing here compiles.

pub(crate) mod attempts;
pub(crate) mod definitions;
pub(crate) mod dependence;
pub(crate) mod engine_vars;
pub(crate) mod engines_have;
pub(crate) mod identity;
pub(crate) mod namespace;
pub(crate) mod prelude;
pub(crate) mod reached;
pub(crate) mod redefined;
pub(crate) mod setting;
pub(crate) mod settings;
pub(crate) mod statics;
pub(crate) mod versions;
