//! Puts a cell's code into a function that evcxr takes for one more item, and finds places of the one in the other.
//!
//! The function begins with the variables; then the code stands there, in one piece and with as many bytes. So a place in the
//! code is a place in the file less a constant. evcxr cuts its text into items and writes them in an order of its own, each
//! unchanged; so code that closes more than it opens, or less, is made to end where the function does.

use crate::message::Source;
use ra_ap_syntax::ast::{self, AstNode, HasName};
use ra_ap_syntax::{Edition, SourceFile};
use std::collections::BTreeMap;

/// The function that the code stands in.
pub(crate) const WRAPPER: &str = "__chorus_cell";

/// A function with a cell's code in it, or the file with that function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wrapped {
    /// Rust.
    pub text: String,
    /// Where the code begins in it.
    pub start: usize,
    /// Where the code ends in it.
    pub end: usize,
    /// The cursor's place in it.
    pub cursor: usize,
}

impl Wrapped {
    /// A function with that code.
    pub fn new(source: &Source) -> Wrapped {
        // `async` so that `.await` is completed too.
        let mut text = format!("async fn {WRAPPER}() {{\n");
        for variable in &source.variables {
            let mutable = if variable.mutable { "mut " } else { "" };
            text.push_str(&format!("let {mutable}{}: {} = loop {{}};\n", variable.name, variable.type_name));
        }
        for cell in source.before.iter().filter(|cell| is_whole(cell)) {
            text.push_str(cell);
            text.push_str("\n;\n");
        }
        let start = text.len();
        let (code, closing) = closed(&source.code);
        text.push_str(&code);
        let end = text.len();
        text.push_str(&closing);
        let mut cursor = source.cursor.min(source.code.len());
        while !source.code.is_char_boundary(cursor) {
            cursor -= 1;
        }
        Wrapped { text, start, end, cursor: start + cursor }
    }

    /// This, as it stands in a longer text.
    pub(crate) fn within(&self, all: &str) -> Option<Wrapped> {
        let before = all.rfind(&self.text)?;
        let Wrapped { start, end, cursor, .. } = self;
        Some(Wrapped { text: all.to_owned(), start: before + start, end: before + end, cursor: before + cursor })
    }

    /// The place in the code of a place in the file; `None` outside of the code.
    pub(crate) fn in_code(&self, place: usize) -> Option<usize> {
        (self.start..=self.end).contains(&place).then(|| place - self.start)
    }
}

/// Whether this can stand in a function, and is complete.
fn is_whole(code: &str) -> bool {
    let function = format!("{BEGINS}{code}{ENDS}");
    is_one(&function) && SourceFile::parse(&function, Edition::CURRENT).errors().is_empty()
}

const BEGINS: &str = "async fn f() {\n";
/// The code's last expression isn't what the function returns: nothing is known of its type.
const ENDS: &str = "\n;\n}\n";
/// What a text may lack that ends in the middle of a token.
const QUOTES: [&str; 5] = ["", "\"", "*/", "\"#", "'"];

/// Whether this is one function and nothing else. It may be full of mistakes.
fn is_one(function: &str) -> bool {
    let file = SourceFile::parse(function, Edition::CURRENT).tree();
    let mut children = file.syntax().children();
    let only = children.next().and_then(ast::Fn::cast).filter(|_| children.next().is_none());
    let end = only.and_then(|function| function.body()?.stmt_list()?.r_curly_token());
    end.is_some_and(|end| usize::from(end.text_range().end()) == function.trim_end().len())
}

/// The code with as many bytes, and what has to stand behind it so that the function ends with it, and not before. A bracket that
/// closes nothing becomes blank, and what nothing can be made of, all of it.
fn closed(code: &str) -> (String, String) {
    // The parser finds its way at braces, where others are missing in the middle. Those missing at the end, it wants to see.
    for (brackets, may_blank) in [("{}()[]", false), ("{}", true), ("{}()[]", true)] {
        for quote in QUOTES {
            let (balanced, closing) = balanced(code, quote, brackets);
            if (may_blank || balanced == code) && is_one(&format!("{BEGINS}{balanced}{closing}")) {
                return (balanced, closing);
            }
        }
    }
    (code.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect(), ENDS.into())
}

/// Blanks those of these brackets that close nothing, and says how those that aren't closed, and a token that this quote ends,
/// come to an end.
fn balanced(code: &str, quote: &str, brackets: &str) -> (String, String) {
    let mut balanced = code.as_bytes().to_vec();
    let mut open = Vec::new();
    let parsed = SourceFile::parse(&format!("{code}{quote}"), Edition::CURRENT);
    let tokens = parsed.syntax_node().descendants_with_tokens().filter_map(|part| part.into_token());
    for token in tokens.filter(|token| token.text().len() == 1) {
        match brackets.find(token.text()) {
            Some(at) if at % 2 == 0 => open.push(at),
            Some(at) if open.last() == Some(&(at - 1)) => _ = open.pop(),
            Some(_) => balanced[usize::from(token.text_range().start())] = b' ',
            None => {}
        }
    }
    let closing: String = open.iter().rev().filter_map(|at| brackets.get(at + 1..at + 2)).collect();
    // Only ASCII was replaced.
    (String::from_utf8_lossy(&balanced).into_owned(), format!("{quote}\n{closing}{ENDS}"))
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
        let before = vec!["}".to_owned(), "} fn g() {".into(), "let a = {".into(), "let b = 1; b // b".into()];
        let source = Source { before, code: "a".into(), ..Source::default() };
        let text = Wrapped::new(&source).text;
        assert!(text.contains("let b = 1; b // b\n;\n") && !text.contains("let a") && !text.contains("fn g"), "{text}");
        assert!(is_one(&text));
    }

    #[test]
    fn what_is_open_at_the_end_is_closed() {
        assert!(closed("dbg!(now.").1.starts_with("\n)"));
        assert_eq!(closed("if x { f(} g.").0, "if x { f(} g.");
        assert!(closed("if let Some(x) = [a.").1.starts_with("\n]"));
    }

    #[test]
    fn code_ends_where_the_function_does() {
        let kept = [
            "v.",
            "v.iter().map(|x| x.",
            "if x {",
            "f(g(",
            "struct A { x: ",
            "\"",
            "let s = \"a",
            "/* ",
            "// }",
            "r#\"}",
            "let c = '",
        ];
        for code in kept {
            assert_eq!(closed(code).0, code);
        }
        for (code, blank) in [
            ("}", " "),
            ("now.}", "now. "),
            ("v.\n}\n}", "v.\n \n "),
            ("if x { y } }.", "if x { y }  ."),
            ("f(g) }", "f(g)  "),
        ] {
            assert_eq!(closed(code).0, blank);
        }
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
        fn the_code_stands_in_one_function(
            code: String,
            cursor in 0..200usize,
            before: Vec<String>,
            names in proptest::collection::vec("[a-z]{1,3}", 0..3),
        ) {
            let variable = |name: String| Variable { name, type_name: "Vec<u8>".into(), mutable: true };
            let variables = names.into_iter().map(variable).collect();
            let source = Source { variables, before, code: code.clone(), cursor };
            let wrapped = Wrapped::new(&source);
            prop_assert_eq!(wrapped.end - wrapped.start, code.len());
            prop_assert!(is_one(&wrapped.text), "{}", wrapped.text);
            let all = format!("fn f() {{}}\n{}fn g() {{}}", wrapped.text);
            prop_assert_eq!(wrapped.within(&all).map(|it| it.start), Some("fn f() {}\n".len() + wrapped.start));
            let place = wrapped.in_code(wrapped.cursor).expect("the cursor is in the code");
            prop_assert!(code.is_char_boundary(place));
            prop_assert!(place <= cursor && (place == cursor || place == code.len() || !code.is_char_boundary(cursor)));
            prop_assert_eq!(wrapped.in_code(wrapped.end + 1), None);
        }
    }
}
