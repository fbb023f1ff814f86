//! Makes of a text what a cell means by it: Rust asks for marks that a notebook doesn't need.
//!
//! Each change keeps every other character in its line and column, so that rustc's places are the user's.

use crate::cell::WRAPPER;
use ra_ap_syntax::ast::{self, AstNode, AstToken};
use ra_ap_syntax::{Edition, NodeOrToken, Parse, SourceFile, SyntaxKind, SyntaxNode};
use std::ops::Range;

/// The text, and what the parser makes of it inside [`WRAPPER`].
pub(crate) fn tidy(mut rust: String) -> (String, Parse<SourceFile>) {
    let parsed = parse(&rust);
    let Some(list) = statements(&parsed) else { return (rust, parsed) };
    let blanks: Vec<usize> = stray_semicolons(&list).chain(docs_of_nothing(&list)).collect();
    let last = list.children().last().filter(wants_semicolon);
    let missing = last.and_then(|node| usize::from(node.text_range().end()).checked_sub(WRAPPER.len()));
    // What goes on to the wrapper's end isn't whole.
    let missing = missing.filter(|at| *at <= rust.len());
    let crates: Vec<(Range<usize>, String)> = list.children().filter_map(|node| of_toolchain(&node)).collect();
    if blanks.is_empty() && missing.is_none() && crates.is_empty() {
        return (rust, parsed);
    }
    for (range, import) in crates {
        rust.replace_range(range, &import);
    }
    for at in blanks {
        rust.replace_range(at..at + 1, " ");
    }
    if let Some(at) = missing {
        rust.insert(at, ';');
    }
    let parsed = parse(&rust);
    (rust, parsed)
}

fn parse(rust: &str) -> Parse<SourceFile> {
    SourceFile::parse(&format!("{WRAPPER}{rust}\n}}"), Edition::Edition2024)
}

/// What the function that the cell was put into consists of.
pub(crate) fn statements(parsed: &Parse<SourceFile>) -> Option<SyntaxNode> {
    let function = parsed.syntax_node().children().find_map(ast::Fn::cast)?;
    Some(function.body()?.stmt_list()?.syntax().clone())
}

/// Semicolons that end nothing, as the one in `fn f() {};`: between items of a file none may stand.
fn stray_semicolons(list: &SyntaxNode) -> impl Iterator<Item = usize> {
    list.children_with_tokens().filter_map(|part| match part {
        NodeOrToken::Token(token) if token.kind() == SyntaxKind::SEMICOLON => {
            usize::from(token.text_range().start()).checked_sub(WRAPPER.len())
        }
        _ => None,
    })
}

/// The marks by which a comment documents something, where there is no item to document: rustc wants one.
fn docs_of_nothing(list: &SyntaxNode) -> impl Iterator<Item = usize> {
    let comments = list.children_with_tokens().filter_map(|part| ast::Comment::cast(part.into_token()?));
    let docs = comments.filter(|comment| comment.kind().doc.is_some());
    docs.filter_map(|doc| (usize::from(doc.syntax().text_range().start()) + 2).checked_sub(WRAPPER.len()))
}

/// Whether a cell's last statement lacks the semicolon that it should end with.
fn wants_semicolon(node: &SyntaxNode) -> bool {
    if ast::Expr::can_cast(node.kind()) {
        // rustc takes attributes on statements, and not on the value of a block.
        return node.children().any(|part| ast::Attr::can_cast(part.kind()));
    }
    let ends_with_one = match ast::Item::cast(node.clone()) {
        Some(ast::Item::Struct(item)) => !matches!(item.field_list(), Some(ast::FieldList::RecordFieldList(_))),
        Some(ast::Item::Const(_) | ast::Item::Static(_) | ast::Item::TypeAlias(_)) => true,
        Some(ast::Item::Use(_) | ast::Item::ExternCrate(_)) => true,
        _ => ast::LetStmt::can_cast(node.kind()),
    };
    ends_with_one && node.last_token().is_some_and(|token| token.kind() != SyntaxKind::SEMICOLON)
}

/// An `extern crate` of a crate that every toolchain has, for which evcxr would ask cargo. The text up to its name, and as
/// long an import of the same from `px`.
fn of_toolchain(node: &SyntaxNode) -> Option<(Range<usize>, String)> {
    let item = ast::ExternCrate::cast(node.clone())?;
    let (begin, name) = (item.extern_token()?.text_range().start(), item.name_ref()?);
    let text = name.text().to_string();
    let range = usize::from(begin).checked_sub(WRAPPER.len())?
        ..usize::from(name.syntax().text_range().end()).checked_sub(WRAPPER.len())?;
    let words = "extern crate ".len();
    // Comments and line breaks between the words are too rare to be kept.
    let is_short = range.len() == words + text.len();
    (is_short && ["alloc", "core", "std"].contains(&text.as_str()))
        .then(|| (range.clone(), format!("{:width$}", format!("use px::{text}"), width = range.len())))
}

/// A text's first line, without what says to a system how to read or run a file.
pub(crate) fn first_line(text: &str) -> Option<String> {
    let line = text.split_inclusive('\n').next()?;
    let unmarked = line.strip_prefix('\u{feff}');
    let rest = unmarked.unwrap_or(line);
    let begun = rest.strip_prefix("#!").is_some_and(|program| {
        let behind = text.trim_start_matches('\u{feff}').trim_start_matches("#!");
        !program.trim().is_empty() && !behind.trim_start().starts_with('[')
    });
    match (begun, unmarked) {
        (true, _) => Some(line.chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect()),
        (false, Some(rest)) => Some(format!(" {rest}")),
        (false, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cell;
    use proptest::prelude::*;

    #[test]
    fn what_a_notebook_does_not_need_may_be_missing() {
        for (text, expected) in [
            ("let x = 5", "let x = 5;"),
            ("let x = 5 // five\n\n", "let x = 5; // five\n\n"),
            ("let Some(x) = y else { panic!() }", "let Some(x) = y else { panic!() };"),
            ("const C: u8 = 4", "const C: u8 = 4;"),
            ("1;\nuse std::fmt", "1;\nuse std::fmt;"),
            ("struct S(u8)", "struct S(u8);"),
            ("struct S", "struct S;"),
            ("fn f() {};\nf()", "fn f() {} \nf()"),
            (";;1;;", "  1; "),
            ("struct S { a: u8 };", "struct S { a: u8 } "),
            ("#[allow(unused)] { 1 }", "#[allow(unused)] { 1 };"),
            ("extern crate alloc;\n1", "use px::alloc     ;\n1"),
            ("//! in\n1\n/// end", "//  in\n1\n//  end"),
            ("/** a */ let x = 1;", "/*  a */ let x = 1;"),
            ("/// f\nfn f() {}", "/// f\nfn f() {}"),
            ("extern crate std as s", "use px::std      as s;"),
        ] {
            assert_eq!(tidy(text.into()).0, expected, "{text}");
        }
        for text in [
            "",
            "1",
            "let x = 5;",
            "struct S {}",
            "fn f() {}",
            "if a {};",
            "m!{}",
            "f(|| {;})",
            "use a::b;",
            "extern crate regex;",
        ] {
            assert_eq!(tidy(text.into()).0, text);
        }
    }

    #[test]
    fn marks_for_a_system_are_no_rust() {
        assert_eq!(first_line("\u{feff}1 + 1").as_deref(), Some(" 1 + 1"));
        assert_eq!(first_line("#!/bin/x\n1").as_deref(), Some("        \n"));
        for text in ["", "1", "#!", "#![allow(a)]", "#!\n[allow(a)]", "# !"] {
            assert_eq!(first_line(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_moves(text in "([(){}\\[\\]'\"=;,.:!#/*a-c0-9 ]|let |use |struct |const |fn |é|\n){0,30}") {
            let cell = Cell::parse(&text);
            let mut user = text.chars().peekable();
            for c in cell.rust.chars() {
                if user.peek() == Some(&c) || (c == ' ' && matches!(user.peek(), Some(';' | '#' | '!' | '/' | '*'))) {
                    user.next();
                } else if c != ';' && cell.commands.is_empty() && !text.starts_with("#!") {
                    prop_assert!(false, "{:?} became {:?}", text, cell.rust);
                }
            }
        }
    }
}
