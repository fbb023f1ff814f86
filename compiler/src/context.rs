//! What the next cell will be compiled with, for those who read cells without compiling them.

use crate::compiler::Compiler;
use crate::namespace::Namespaces;

/// The definitions and variables of a notebook at one moment.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// The items that hold, the oldest first.
    pub definitions: Vec<String>,
    /// Who has which variables.
    pub namespaces: Namespaces,
    /// Dependencies as `:dep` gave them.
    pub dependencies: Vec<String>,
    /// The toolchain, if `:toolchain` chose one.
    pub toolchain: Option<String>,
}

impl Compiler {
    /// What there is now.
    pub fn context(&self) -> Context {
        Context {
            definitions: self.shared.current().into_iter().map(|item| item.piece.text.clone()).collect(),
            namespaces: self.namespaces().clone(),
            dependencies: self.shared.dependencies(),
            toolchain: self.shared.toolchain(),
        }
    }
}
