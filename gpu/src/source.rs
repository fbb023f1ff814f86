//! The text of a crate for a GPU: what comes with each, the notebook's definitions that a function reaches, and the
//! function.

use std::ops::Range;

pub use crate::attributes::without_others;
use crate::compile::PRELUDE;
use crate::math;

/// In front of the prelude.
const HEAD: &str = "#![no_std]\n#![allow(warnings)]\n#[macro_use]\nextern crate core as std;\nmod chorus_gpu {\n";
/// Behind it, and what is between them in a crate that uses floats' mathematics.
const NAMES: [&str; 2] =
    ["}\nuse chorus_gpu::{Float as _, Vec, px};\n", "}\nuse chorus_gpu::{Float as _, Mathematics as _, Vec, px};\n"];
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
    /// Whether it is there for all texts, named or not: an import, or what a macro makes. It needn't be there on a GPU, if
    /// nobody uses it.
    pub is_optional: bool,
}

/// Whether a text names this crate by a path.
pub fn names(text: &str, name: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    text.match_indices(name).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + name.len()..]);
        if before.ends_with(is_part) || after.starts_with(is_part) {
            return false;
        }
        let word = before.trim_end();
        // What stands behind a path's `::` is something else of that name.
        let is_first = word.strip_suffix("::").is_none_or(|path| !path.trim_end().ends_with(is_part));
        let is_imported = ["use", "crate"].iter().any(|it| word.ends_with(it));
        is_first && (after.trim_start().starts_with("::") || is_imported)
    })
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
    definitions: Vec<(Range<usize>, Definition)>,
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
        for definition in definitions {
            let (first, own) = (next(&text), &definition.text);
            text.push_str(&format!("{own}\n"));
            if !definition.is_optional {
                // The same once more says that its values can go to a GPU, if it is a type of which that holds.
                text.push_str(&format!("chorus_gpu::plain! {{ {own}\n}}\n"));
            }
            places.push((first..next(&text), definition.clone()));
        }
        text.push_str(BEGIN);
        let body_at = next(&text);
        text.push_str(body);
        text.push_str(END);
        Crate { text, body: body_at, uses_mathematics, definitions: places }
    }

    /// The definition on this 1-based line.
    pub fn definition_at(&self, line: usize) -> Option<&Definition> {
        self.definitions.iter().find(|(lines, _)| lines.contains(&line)).map(|(_, definition)| definition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_known() {
        let two = "#[derive(Clone, Copy)]\nstruct P(f32);";
        let definition = |text: &str, is_optional| Definition { text: text.into(), label: "it".into(), is_optional };
        let definitions = [definition("fn f() {}", false), definition("use a::B;", true), definition(two, false)];
        let made = Crate::new(&definitions, "let a = 1;\nlet b = 2;");
        let line = |text: &str| made.text.lines().position(|line| line == text).unwrap() + 1;
        assert_eq!(made.body, line("let a = 1;"));
        for (at, text) in ["fn f() {}", "use a::B;", "struct P(f32);"].iter().enumerate() {
            assert_eq!(made.definition_at(line(text)), Some(&definitions[at]));
        }
        assert_eq!(made.definition_at(line("let b = 2;")), None);
        assert!(made.text.contains(&format!("chorus_gpu::plain! {{ {two}")));
    }
    #[test]
    fn crates_are_named_by_paths() {
        for text in
            ["half::f16::ONE", "use half;", "use half :: f16;", "::half::f16", "(half::a)", "extern crate half as h;"]
        {
            assert!(names(text, "half"), "{text}");
        }
        for text in
            ["half", "let half = 1;", "my::half::f", "half_of::a", "behalf::a", "use a::half;", "x.half()", "é half"]
        {
            assert!(!names(text, "half"), "{text}");
        }
    }
}
