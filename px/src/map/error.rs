//! Why there is no result of a map.

use crate::link::{Answer, Ask, Damaged};
use std::fmt;

/// Why there is no result of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// What the kernel says.
    Failed(String),
    /// It ended before all items were done.
    Unfinished {
        /// Items that are done.
        done: u64,
        /// All items.
        items: u64,
    },
    /// A sum that its type can't hold.
    TooLarge {
        /// The sum.
        sum: String,
        /// The type.
        kind: &'static str,
    },
    /// Zipped data of different lengths.
    Lengths(u64, u64),
    /// Data that has no end.
    Endless,
    /// Nobody holds the memory any more in which it was.
    Freed,
    /// A file that two processes share can't be used.
    Room(String),
    /// What came back isn't what was expected.
    Damaged,
    /// There is no kernel that could share out the items.
    NoKernel,
    /// Engines' variables are needed to merge their results.
    NoMerging,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Failed(sentence) => f.write_str(sentence),
            Error::Unfinished { done, items } => {
                write!(f, "the map ended when {done} of its {items} items were done: `partial()` gives their results")
            }
            Error::TooLarge { sum, kind } => {
                write!(f, "the sum is {sum}, which {kind} can't hold: have the function return a larger type")
            }
            Error::Lengths(first, other) => write!(
                f,
                "data that is mapped together must be equally long, but one has {first} items and another has {other}"
            ),
            Error::Endless => f.write_str("this data has no end; nothing was mapped"),
            Error::Freed => f.write_str(
                "the value was freed with the last `px::Ref` to it in the notebook: make it again with `px::put`",
            ),
            Error::Room(what) => {
                write!(f, "the memory that the notebook shares with its engines can't be used: {what}")
            }
            Error::Damaged => write!(f, "the result can't be read: {Damaged}"),
            Error::NoKernel => f.write_str("maps and calls need the kernel of a notebook, which has the engines"),
            Error::NoMerging => f.write_str("the engines' results of `reduce` need a function that merges them"),
        }
    }
}

impl std::error::Error for Error {}

impl From<Damaged> for Error {
    fn from(_: Damaged) -> Error {
        Error::Damaged
    }
}

/// Asks the host.
pub(crate) fn ask(ask: &Ask) -> Result<Answer, Error> {
    match crate::host::ask(ask) {
        Some(Answer::Failed(sentence)) => Err(Error::Failed(sentence)),
        Some(answer) => Ok(answer),
        None => Err(Error::NoKernel),
    }
}
