//! Mistakes that rustc doesn't see, or would see in what evcxr writes behind the cell: what is open at the end, what ends
//! too early, what is defined twice.

use crate::cell::{Item, Piece, WRAPPER};
use crate::nature::words_of;
use ra_ap_parser::{Edition, LexedStr, SyntaxKind, T};
use ra_ap_syntax::ast::{self, AstNode};
use ra_ap_syntax::{Parse, SourceFile, SyntaxNode};
use std::ops::Range;

/// A mistake in a cell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Broken {
    /// rustc's code for it.
    pub code: Option<&'static str>,
    /// Where it is.
    pub piece: Piece,
    /// What is wrong.
    pub message: String,
    /// What stands below the place.
    pub label: String,
    /// Another place that it has to do with, and what stands there.
    pub also: Option<(Piece, String)>,
    /// What to do.
    pub help: Option<&'static str>,
}

/// A part of the text with its place.
pub(crate) fn piece_at(rust: &str, range: Range<usize>) -> Piece {
    let before = rust.get(..range.start).unwrap_or(rust);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Piece {
        text: rust.get(range).unwrap_or_default().to_owned(),
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
    }
}

/// What the tokens alone say: a string or a comment without an end, or brackets that don't match.
pub(crate) fn of_tokens(rust: &str) -> Option<Broken> {
    let tokens = LexedStr::new(Edition::Edition2024, rust);
    let mut open: Vec<(SyntaxKind, Range<usize>)> = Vec::new();
    for at in 0..tokens.len() {
        let (kind, range) = (tokens.kind(at), tokens.text_range(at));
        if at + 1 == tokens.len() && tokens.error(at).is_some() && is_unterminated(kind, tokens.text(at)) {
            return Some(unterminated(rust, kind, range));
        }
        match kind {
            T!['('] | T!['['] | T!['{'] => open.push((closer(kind), range)),
            T![')'] | T![']'] | T!['}'] => match open.pop() {
                Some((expected, _)) if expected == kind => {}
                begun => return Some(unexpected(rust, range, begun.map(|(_, begun)| begun))),
            },
            _ => {}
        }
    }
    let (_, innermost) = open.last()?;
    let outermost = open.first().filter(|_| open.len() > 1);
    Some(Broken {
        piece: piece_at(rust, innermost.clone()),
        message: "this cell contains an unclosed delimiter".into(),
        label: "unclosed delimiter".into(),
        also: outermost.map(|(_, range)| (piece_at(rust, range.clone()), "and this one".into())),
        ..Broken::default()
    })
}

fn closer(kind: SyntaxKind) -> SyntaxKind {
    match kind {
        T!['('] => T![')'],
        T!['['] => T![']'],
        _ => T!['}'],
    }
}

/// A bracket that closes nothing, or not what was `begun`.
fn unexpected(rust: &str, range: Range<usize>, begun: Option<Range<usize>>) -> Broken {
    let piece = piece_at(rust, range);
    let (what, label) = match begun {
        Some(_) => ("mismatched", "this doesn't close what is open"),
        None => ("unexpected", "nothing is open here"),
    };
    Broken {
        message: format!("{what} closing delimiter: `{}`", piece.text),
        piece,
        label: label.into(),
        also: begun.map(|begun| (piece_at(rust, begun), "this is open".into())),
        ..Broken::default()
    }
}

fn unterminated(rust: &str, kind: SyntaxKind, range: Range<usize>) -> Broken {
    let text = rust.get(range.clone()).unwrap_or_default();
    let is_raw = text.trim_start_matches(['b', 'c']).starts_with('r');
    let (code, what) = match kind {
        SyntaxKind::COMMENT => (Some("E0758"), "block comment"),
        _ if is_raw => (Some("E0748"), "raw string"),
        SyntaxKind::BYTE_STRING => (Some("E0766"), "double quote byte string"),
        SyntaxKind::C_STRING => (None, "C string"),
        _ => (Some("E0765"), "double quote string"),
    };
    let begin = match kind {
        SyntaxKind::COMMENT => 2,
        _ => text.find('"').map_or(1, |quote| quote + 1),
    };
    Broken {
        code,
        piece: piece_at(rust, range.start..range.start + begin),
        message: format!("unterminated {what}"),
        label: "this has no end".into(),
        ..Broken::default()
    }
}

/// Whether a token that ends the text, and has an error, would go on in a next line.
pub(crate) fn is_unterminated(kind: SyntaxKind, text: &str) -> bool {
    match kind {
        SyntaxKind::COMMENT => true,
        SyntaxKind::STRING | SyntaxKind::BYTE_STRING | SyntaxKind::C_STRING => {
            let quoted = text.trim_start_matches(['b', 'c']);
            match quoted.strip_prefix('r') {
                Some(raw) => raw.trim_start_matches('#').starts_with('"'),
                None => ends_inside(quoted),
            }
        }
        _ => false,
    }
}

/// Whether the string that the text begins with hasn't ended: a wrong escape is an error, too.
fn ends_inside(text: &str) -> bool {
    let mut chars = text.chars().skip(1);
    while let Some(c) = chars.next() {
        match c {
            '"' => return false,
            '\\' => _ = chars.next(),
            _ => {}
        }
    }
    true
}

/// Where the last token ends that is neither white space nor comment.
pub(crate) fn end_of(rust: &str) -> Option<usize> {
    let tokens = LexedStr::new(Edition::Edition2024, rust);
    let last = (0..tokens.len()).rev().find(|at| !tokens.kind(*at).is_trivia())?;
    Some(tokens.text_range(last).end)
}

/// What the parser misses first, and whether only we can say so: rustc would look behind the cell's `end` for what is
/// missing there, and evcxr leaves out what it can't read of an import.
pub(crate) fn of_grammar(
    rust: &str,
    end: usize,
    parsed: &Parse<SourceFile>,
    statements: &SyntaxNode,
) -> Option<(Broken, bool)> {
    let errors = parsed.errors();
    let error = errors.iter().min_by_key(|error| error.range().start())?;
    let at = usize::from(error.range().start()).checked_sub(WRAPPER.len())?;
    let said = error.to_string();
    // Of a token, the parser tells the name that it has for it.
    let is_plain = !said.contains(|c: char| c.is_uppercase());
    let is_import = |node: SyntaxNode| {
        let is_one = ast::Use::can_cast(node.kind()) || ast::ExternCrate::can_cast(node.kind());
        is_one && node.text_range().contains_inclusive(error.range().start())
    };
    let broken = match at >= end {
        true => Broken {
            piece: piece_at(rust, end..end),
            message: "the cell ends where more is expected".into(),
            label: if is_plain { said } else { "something is missing here".into() },
            ..Broken::default()
        },
        false => Broken {
            piece: piece_at(rust, at..usize::from(error.range().end()).saturating_sub(WRAPPER.len()).max(at)),
            message: if is_plain { said } else { "unexpected token".into() },
            ..Broken::default()
        },
    };
    Some((broken, at >= end || statements.children().any(is_import)))
}

/// The `return`s that would end the cell, and the first of them with what is plainly a value.
pub(crate) fn returns(rust: &str, statements: &SyntaxNode) -> (Vec<Piece>, Option<Broken>) {
    let is_of_cell = |node: &SyntaxNode| {
        let mut around = node.ancestors().take_while(|around| around != statements);
        !around.any(|around| {
            let block = ast::BlockExpr::cast(around.clone());
            let is_async =
                block.is_some_and(|block| block.async_token().is_some() || block.try_block_modifier().is_some());
            ast::ClosureExpr::can_cast(around.kind()) || ast::Item::can_cast(around.kind()) || is_async
        })
    };
    let place = |node: &SyntaxNode| {
        let range = Range::<usize>::from(node.text_range());
        piece_at(rust, range.start.saturating_sub(WRAPPER.len())..range.end.saturating_sub(WRAPPER.len()))
    };
    let found: Vec<ast::ReturnExpr> =
        statements.descendants().filter_map(ast::ReturnExpr::cast).filter(|it| is_of_cell(it.syntax())).collect();
    let is_value = |value: &ast::Expr| match value {
        ast::Expr::TupleExpr(tuple) => tuple.fields().next().is_some(),
        ast::Expr::Literal(_) | ast::Expr::BinExpr(_) | ast::Expr::PathExpr(_) | ast::Expr::RefExpr(_) => true,
        ast::Expr::ArrayExpr(_) | ast::Expr::RecordExpr(_) | ast::Expr::FieldExpr(_) | ast::Expr::IndexExpr(_) => true,
        _ => false,
    };
    let value = found.iter().filter_map(ast::ReturnExpr::expr).find(is_value);
    let broken = value.map(|value| Broken {
        piece: place(value.syntax()),
        message: "a cell doesn't return values".into(),
        label: "nobody would get this".into(),
        help: Some(RETURNS),
        ..Broken::default()
    });
    (found.iter().map(|found| place(found.syntax())).collect(), broken)
}

/// A cell that ends early doesn't get to keep its variables, and later cells would count on them.
pub(crate) fn of_return(variable: &str, piece: &Piece) -> Broken {
    Broken {
        piece: piece.clone(),
        message: format!("a cell that defines variables can't return early: there would be no `{variable}`"),
        help: Some("put what may be left out into a block: `'rest: { ... break 'rest; ... }`"),
        ..Broken::default()
    }
}

/// How cells end.
pub const RETURNS: &str = "a cell's result is the value of its last expression; `return;` ends it early, and \
                           `return Ok(())` does where the notebook has used `?`";

/// A `let` of nothing, which evcxr would leave out.
pub(crate) fn of_let(rust: &str, statement: &SyntaxNode) -> Broken {
    let range = Range::<usize>::from(statement.text_range());
    Broken {
        piece: piece_at(rust, range.start.saturating_sub(WRAPPER.len())..range.end.saturating_sub(WRAPPER.len())),
        message: "expected pattern".into(),
        label: "expected a pattern, such as a name, after `let`".into(),
        ..Broken::default()
    }
}

/// Names that can't be had: two for one thing, of which evcxr would take the second, and ours.
pub(crate) fn of_names(items: &[(Item, Option<Names>)]) -> Option<Broken> {
    for (at, (item, names)) in items.iter().enumerate() {
        let (Some(names), Some(name)) = (names, &item.nature.name) else { continue };
        if names.types && name == "px" {
            return Some(Broken {
                piece: item.piece.clone(),
                message: "the name `px` is taken".into(),
                label: "cells reach the notebook and its engines by the crate `px`".into(),
                help: Some("give it another name"),
                ..Broken::default()
            });
        }
        let is_same = |(other, theirs): &&(Item, Option<Names>)| {
            let clash =
                theirs.as_ref().is_some_and(|theirs| (theirs.types && names.types) || (theirs.values && names.values));
            clash && other.nature.name.as_ref() == Some(name)
        };
        if let Some((other, _)) = items[..at].iter().find(is_same) {
            return Some(Broken {
                code: Some("E0428"),
                piece: item.piece.clone(),
                message: format!("the name `{name}` is defined multiple times"),
                label: format!("`{name}` redefined here"),
                also: Some((other.piece.clone(), format!("previous definition of `{name}` here"))),
                ..Broken::default()
            });
        }
    }
    None
}

/// Among which names an item's is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Names {
    types: bool,
    values: bool,
}

impl Names {
    /// `None` of one that stands under a condition, or has no name.
    pub(crate) fn of(item: &ast::Item) -> Option<Names> {
        use ast::{FieldList, HasAttrs, Item};
        let is_condition = |attr: ast::Attr| {
            let text = attr.syntax().text().to_string();
            words_of(&text).next().is_some_and(|word| word.starts_with("cfg"))
        };
        if item.attrs().any(is_condition) {
            return None;
        }
        let (types, values) = match item {
            Item::Const(_) | Item::Fn(_) | Item::Static(_) => (false, true),
            Item::Struct(item) => (true, !matches!(item.field_list(), Some(FieldList::RecordFieldList(_)))),
            Item::Enum(_) | Item::Module(_) | Item::Trait(_) | Item::TypeAlias(_) | Item::Union(_) => (true, false),
            _ => return None,
        };
        Some(Names { types, values })
    }
}

#[cfg(test)]
mod tests {
    use crate::Cell;
    use proptest::prelude::*;

    /// The message, with line and column.
    fn broken(text: &str) -> Option<(String, usize, usize)> {
        Cell::parse(text).broken.map(|broken| (broken.message, broken.piece.line, broken.piece.column))
    }

    #[test]
    fn what_is_open_is_said_where_it_begins() {
        for (text, message, line, column) in [
            ("1 /* open", "unterminated block comment", 1, 3),
            ("é;\n  \"open", "unterminated double quote string", 2, 3),
            ("b\"open", "unterminated double quote byte string", 1, 1),
            ("r#\"open\"", "unterminated raw string", 1, 1),
            ("foo(", "this cell contains an unclosed delimiter", 1, 4),
            ("match x {", "this cell contains an unclosed delimiter", 1, 9),
            ("}", "unexpected closing delimiter: `}`", 1, 1),
            ("f(1]", "mismatched closing delimiter: `]`", 1, 4),
        ] {
            assert_eq!(broken(text), Some((message.into(), line, column)), "{text}");
        }
    }

    #[test]
    fn what_ends_too_early_is_said_at_its_end() {
        for text in [
            "1 +",
            "use std::",
            "let a =",
            "let a = 1 + // one",
            "fn",
            "impl",
            "x =",
            "&",
            "1 as",
            "#[a]",
            "enum",
            "type",
        ] {
            let found = broken(text).unwrap_or_default();
            let column = text.split(" //").next().unwrap_or_default().chars().count() + 1;
            assert_eq!(found, ("the cell ends where more is expected".into(), 1, column), "{text}");
        }
        assert!(broken("use std::; 1").is_some(), "evcxr leaves it out");
        for text in [
            "",
            "1",
            "1 2",
            "let a = ;",
            "let x = 5",
            "// a",
            "1 /* a */",
            "'a'",
            "a.b",
            "return",
            "..",
            "/// a",
            "loop {}",
        ] {
            assert_eq!(broken(text), None, "{text}");
        }
    }

    #[test]
    fn a_cell_returns_nothing() {
        for (text, column) in [("return 5;", 8), ("if a { return x }", 15), ("{ let a = return (1, 2); }", 18)] {
            assert_eq!(broken(text), Some(("a cell doesn't return values".into(), 1, column)), "{text}");
        }
        for text in
            ["return;", "return ();", "return f();", "|| return 5;", "fn f() -> u8 { return 5 }", "async { return 5 };"]
        {
            assert_eq!(broken(text), None, "{text}");
        }
        for text in ["let a = 1; if a == 1 { return; } a", "if a { return Ok(()) } let b = 1;"] {
            assert!(broken(text).unwrap().0.starts_with("a cell that defines variables can't return early"), "{text}");
        }
        for text in ["let a = || { return; };", "if a { return; }", "'rest: { let a = 1; break 'rest; }"] {
            assert_eq!(broken(text), None, "{text}");
        }
        assert_eq!(Cell::parse("if a { return Ok(()) } || return 1;").returns.len(), 1);
    }

    #[test]
    fn a_name_is_given_once() {
        let found = Cell::parse("const C: u8 = 1;\nconst C: u8 = 2;").broken.unwrap();
        assert_eq!((found.code, found.piece.line), (Some("E0428"), 2));
        assert_eq!(found.also.map(|(piece, _)| piece.line), Some(1));
        for text in ["struct A; fn A() {}", "mod px {}", "type px = u8;"] {
            assert!(broken(text).is_some(), "{text}");
        }
        for text in [
            "struct a {} fn a() {}",
            "#[cfg(a)] fn f() {} #[cfg(not(a))] fn f() {}",
            "fn px() {}",
            "const _: u8 = 1; const _: u8 = 1;",
        ] {
            assert_eq!(broken(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_judged(text in "([(){}\\[\\]'\"=;,.:!#/*a-c0-9 ]|let |use |struct |const |fn |r#\"|é|\n){0,30}") {
            let cell = Cell::parse(&text);
            for broken in cell.broken.iter().chain(&cell.suspect) {
                let lines = text.split('\n').count();
                prop_assert!((1..=lines).contains(&broken.piece.line), "{:?}", broken);
                let line = text.split('\n').nth(broken.piece.line - 1).unwrap_or_default();
                prop_assert!(broken.piece.column <= line.chars().count() + 2, "{:?}", broken);
            }
        }
    }
}
