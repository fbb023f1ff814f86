//! What is asked and answered.

use serde::{Deserialize, Serialize};

/// What is to be known of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// How the word there can go on.
    Complete,
    /// What the word there means.
    Hover {
        /// Whether all fields and variants are to be listed, also of a large type.
        detailed: bool,
    },
}

/// Code with a cursor, and what a cell with that code would be compiled with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The variables there are.
    pub variables: Vec<Variable>,
    /// Cells that run or wait, whose variables and items aren't among the others yet.
    pub before: Vec<String>,
    /// The code. What isn't Rust in it is blank.
    pub code: String,
    /// The cursor's place in `code`, in bytes.
    pub cursor: usize,
}

/// A variable of the notebook or of engines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its type, as Rust writes it.
    pub type_name: String,
    /// Whether it was defined by `let mut`.
    pub mutable: bool,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// For [`Question::Complete`].
    Completions(Completions),
    /// For [`Question::Hover`]; `None` where there is nothing to be said.
    Hover(Option<Hover>),
    /// Why there is no answer.
    Failed(String),
}

/// How a word can go on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completions {
    /// Where the text begins that each of them replaces, in bytes of the code.
    pub start: usize,
    /// Where it ends, behind the cursor if that stands in the middle of a word.
    pub end: usize,
    /// The best first.
    pub items: Vec<Completion>,
}

/// One way in which a word can go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completion {
    /// The whole word.
    pub text: String,
    /// `function`, `class`, `module`, `keyword`, ..., in Jupyter's words.
    pub kind: String,
    /// A type or a function's signature; may be empty.
    pub signature: String,
}

/// What a word means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hover {
    /// Without markup.
    pub plain: String,
    /// As markdown.
    pub markdown: String,
}
