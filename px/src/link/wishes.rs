//! What a cell's own Rust says of how a map is to be run.

use super::encoding::fields;
use super::{Access, Damaged, Message, OnError};

/// How a map is to be run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapWishes {
    /// What to call it.
    pub label: String,
    /// On which engines; on all if `None`.
    pub engines: Option<Vec<u32>>,
    /// How many items make a task.
    pub chunk: Option<u64>,
    /// How often an item is tried again.
    pub retries: Option<u32>,
    /// What becomes of the others when one fails.
    pub on_error: OnError,
    /// How long an item may take, in milliseconds; 0 is for ever.
    pub timeout: u64,
    /// How many threads an engine has for it.
    pub threads: Option<u32>,
    /// Whether the engines have the items, each its own.
    pub each: bool,
    /// Whether results stay on the engines.
    pub keep: bool,
    /// What it may do with its engines' variables.
    pub access: Access,
    /// Whether its results are taken while it runs, by [`super::Ask::Take`].
    pub streamed: bool,
    /// Whether they are to come in the order of the items then.
    pub ordered: bool,
    /// Whether it is one of several that are one to the user: nothing is shown of how far it is.
    pub is_part: bool,
}

fields!(MapWishes {
    label,
    engines,
    chunk,
    retries,
    on_error,
    timeout,
    threads,
    access,
    each,
    keep,
    streamed,
    ordered,
    is_part
});
