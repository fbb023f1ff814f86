//! Puts a cell's code into a file such as evcxr would compile, and finds places of the one in the other.
//!
//! Earlier items stand at the file's top; the code stands, unchanged and in one piece, in a function that begins with
//! the variables. So a place in the code is a place in the file less a constant.

use crate::message::Source;
use ra_ap_syntax::ast::{self, AstNode, HasName};
use ra_ap_syntax::{Edition, SourceFile};
use std::collections::{BTreeMap, HashSet};

/// The function that the code stands in.
pub(crate) const WRAPPER: &str = "__chorus_cell";

/// A file with a cell's code in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wrapped {
    pub text: String,
    /// Where the code begins in it.
    pub start: usize,
    /// Where the code ends in it.
    pub end: usize,
    /// The cursor's place in it.
    pub cursor: usize,
}

impl Wrapped {
    pub fn new(source: &Source) -> Wrapped {
        let mut text = String::new();
        let mut seen = HashSet::new();
        // A cell that was run twice has its imports and `impl`s twice.
        for item in source.definitions.iter().filter(|item| seen.insert(item.as_str())) {
            text.push_str(item);
            text.push('\n');
        }
        // `async` so that `.await` is completed too.
        text.push_str(&format!("async fn {WRAPPER}() {{\n"));
        for variable in &source.variables {
            let mutable = if variable.mutable { "mut " } else { "" };
            text.push_str(&format!("let {mutable}{}: {} = loop {{}};\n", variable.name, variable.type_name));
        }
        for cell in source.before.iter().filter(|cell| is_whole(cell)) {
            text.push_str(cell);
            text.push_str("\n;\n");
        }
        let start = text.len();
        text.push_str(&source.code);
        let end = text.len();
        // The code's last expression isn't what the function returns: nothing is known of its type.
        text.push_str("\n;\n}\n");
        let mut cursor = source.cursor.min(source.code.len());
        while !source.code.is_char_boundary(cursor) {
            cursor -= 1;
        }
        Wrapped { text, start, end, cursor: start + cursor }
    }

    /// The place in the code of a place in the file; `None` outside of the code.
    pub fn in_code(&self, place: usize) -> Option<usize> {
        (self.start..=self.end).contains(&place).then(|| place - self.start)
    }
}

/// Whether the code closes what it opens, and no more.
fn is_whole(code: &str) -> bool {
    SourceFile::parse(&format!("async fn f() {{{code}\n;}}"), Edition::CURRENT).errors().is_empty()
}

/// The names that definitions give, and what they name in Jupyter's words.
pub fn names(definitions: &[String]) -> BTreeMap<String, &'static str> {
    let name = |item: &dyn HasName| item.name().map(|name| name.text().to_string());
    let named = definitions.iter().filter_map(|text| {
        let file = SourceFile::parse(text, Edition::CURRENT).tree();
        let (name, kind) = match file.syntax().children().find_map(ast::Item::cast)? {
            ast::Item::Struct(it) => (name(&it), "struct"),
            ast::Item::Union(it) => (name(&it), "struct"),
            ast::Item::Enum(it) => (name(&it), "enum"),
            ast::Item::Trait(it) => (name(&it), "interface"),
            ast::Item::TypeAlias(it) => (name(&it), "class"),
            ast::Item::Module(it) => (name(&it), "module"),
            ast::Item::Fn(it) => (name(&it), "function"),
            ast::Item::Const(it) => (name(&it), "constant"),
            ast::Item::Static(it) => (name(&it), "constant"),
            ast::Item::MacroRules(it) => (name(&it).map(|name| format!("{name}!")), "macro"),
            _ => return None,
        };
        Some((name?, kind))
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Variable;
    use proptest::prelude::*;

    #[test]
    fn definitions_are_named() {
        let all = ["struct A { x: u8 }", "impl A {}", "macro_rules! m { () => {} }", "use std::fmt;", "fn f() {}", "}"];
        let found = names(&all.map(String::from));
        let found: Vec<_> = found.iter().map(|(name, kind)| format!("{kind} {name}")).collect();
        assert_eq!(found, ["struct A", "function f", "macro m!"]);
    }

    #[test]
    fn cells_that_would_break_the_function_are_left_out() {
        let before = vec!["}".to_owned(), "let a = {".to_owned(), "let b = 1; b // b".to_owned()];
        let source = Source { before, code: "a".into(), ..Source::default() };
        let text = Wrapped::new(&source).text;
        assert!(text.contains("let b = 1; b // b\n;\n") && !text.contains("let a"), "{text}");
        assert!(is_whole(&text));
    }

    #[test]
    fn the_cursor_stays_in_the_code() {
        let source = Source { code: "é".into(), cursor: 1, ..Source::default() };
        let wrapped = Wrapped::new(&source);
        assert_eq!(wrapped.cursor, wrapped.start);
        let source = Source { cursor: 100, ..source };
        assert_eq!(Wrapped::new(&source).cursor, wrapped.end);
    }

    proptest! {
        #[test]
        fn the_code_stands_in_the_file_unchanged(
            code: String,
            cursor in 0..200usize,
            before: Vec<String>,
            definitions: Vec<String>,
            names in proptest::collection::vec("[a-z]{1,3}", 0..3),
        ) {
            let variable = |name: String| Variable { name, type_name: "Vec<u8>".into(), mutable: true };
            let variables = names.into_iter().map(variable).collect();
            let source = Source { definitions, variables, before, code: code.clone(), cursor };
            let wrapped = Wrapped::new(&source);
            prop_assert_eq!(&wrapped.text[wrapped.start..wrapped.end], &code);
            let place = wrapped.in_code(wrapped.cursor).expect("the cursor is in the code");
            prop_assert!(code.is_char_boundary(place));
            prop_assert!(place <= cursor && (place == cursor || place == code.len() || !code.is_char_boundary(cursor)));
            prop_assert_eq!(wrapped.in_code(wrapped.end + 1), None);
        }
    }
}
