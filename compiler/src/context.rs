//! What the next cell will be compiled with, for those who read cells without compiling them.

use crate::compiler::Compiler;
use crate::notebook::namespace::Namespaces;

/// The definitions and variables of a notebook at one moment.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// The items that hold, the oldest first.
    pub definitions: Vec<String>,
    /// The same, as they are compiled in front of a cell.
    pub definitions_text: String,
    /// Whether evcxr knows the dependencies, if it is there.
    pub is_prepared: bool,
    /// Who has which variables.
    pub namespaces: Namespaces,
}

impl Compiler {
    /// What there is now.
    pub fn context(&self) -> Context {
        Context {
            definitions: self.shared.current().into_iter().map(|item| item.piece.text.clone()).collect(),
            definitions_text: self.definitions_text(),
            is_prepared: self.is_prepared(),
            namespaces: self.namespaces().clone(),
        }
    }
}
