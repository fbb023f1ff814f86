//! The text of a crate for a GPU: what comes with each, the notebook's definitions that a function reaches, and the
//! function.

use std::ops::Range;

use crate::compile::PRELUDE;
use crate::math;

/// In front of the prelude.
const HEAD: &str = "#![no_std]\n#![allow(warnings)]\n#[macro_use]\nextern crate core as std;\nmod chorus_gpu {\n";
/// Behind it, and what is between them in a crate that uses floats' mathematics.
const NAMES: [&str; 2] =
    ["}\nuse chorus_gpu::{Float as _, Vec};\n", "}\nuse chorus_gpu::{Float as _, Mathematics as _, Vec};\n"];
/// Around the function.
const BEGIN: &str = "#[inline(always)]\nfn px_both(px_call: chorus_gpu::Call) {\n";
const END: &str = "\n}\nchorus_gpu::functions!(px_both);\n";

/// A definition of the notebook's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// As the user wrote it.
    pub text: String,
    /// What the user knows it as.
    pub label: String,
}

/// A crate's text, and what is where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crate {
    /// The text.
    pub text: String,
    /// The 1-based line where the function begins.
    pub body: usize,
    /// Whether it needs [`math::library`].
    pub uses_mathematics: bool,
    definitions: Vec<(Range<usize>, String)>,
}

impl Crate {
    /// `body` is a statement that calls the function.
    pub fn new(definitions: &[Definition], body: &str) -> Crate {
        let mut texts = definitions.iter().map(|it| it.text.as_str()).chain([body]);
        let uses_mathematics = texts.any(math::is_used_in);
        let mut text = match uses_mathematics {
            true => [HEAD, PRELUDE, math::TEXT, NAMES[1]].concat(),
            false => [HEAD, PRELUDE, NAMES[0]].concat(),
        };
        let next = |text: &str| text.lines().count() + 1;
        let mut places = Vec::new();
        for Definition { text: definition, label } in definitions {
            let first = next(&text);
            // The same once more says that its values can go to a GPU, if it is a type of which that holds.
            text.push_str(&format!("{definition}\nchorus_gpu::plain! {{ {definition}\n}}\n"));
            places.push((first..next(&text), label.clone()));
        }
        text.push_str(BEGIN);
        let body_at = next(&text);
        text.push_str(body);
        text.push_str(END);
        Crate { text, body: body_at, uses_mathematics, definitions: places }
    }

    /// The definition on this 1-based line.
    pub fn definition_at(&self, line: usize) -> Option<&str> {
        self.definitions.iter().find(|(lines, _)| lines.contains(&line)).map(|(_, label)| label.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_known() {
        let two = "#[derive(Clone, Copy)]\nstruct P(f32);";
        let definition = |text: &str, label: &str| Definition { text: text.into(), label: label.into() };
        let definitions = [definition("fn f() {}", "f"), definition(two, "P")];
        let made = Crate::new(&definitions, "let a = 1;\nlet b = 2;");
        let line = |text: &str| made.text.lines().position(|line| line == text).unwrap() + 1;
        assert_eq!(made.body, line("let a = 1;"));
        assert_eq!(made.definition_at(line("fn f() {}")), Some("f"));
        assert_eq!(made.definition_at(line("struct P(f32);")), Some("P"));
        assert_eq!(made.definition_at(line("let b = 2;")), None);
        assert!(made.text.contains(&format!("chorus_gpu::plain! {{ {two}")));
    }
}
