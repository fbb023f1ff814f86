//! Habits from other languages, in a line that the parser doesn't understand. Of such a line rustc says much, and little of it
//! is about the mistake.

use crate::broken::{Broken, piece_at};
use ra_ap_parser::{Edition, LexedStr, SyntaxKind, T};
use std::ops::Range;

/// A token that says something: its kind, its text, and where it is.
struct Token<'a> {
    kind: SyntaxKind,
    text: &'a str,
    range: Range<usize>,
}

/// What the line would be in Rust, as the place, what is wrong and what to do.
type Habit = (Range<usize>, &'static str, &'static str);

/// The mistake of somebody who writes another language on this line of the text, 1-based.
pub fn habit(text: &str, line: usize) -> Option<Broken> {
    let begin: usize = text.split_inclusive('\n').take(line.checked_sub(1)?).map(str::len).sum();
    let end = begin + text.get(begin..)?.lines().next()?.len();
    let tokens = LexedStr::new(Edition::Edition2024, text);
    let tokens = (0..tokens.len()).map(|at| (tokens.kind(at), tokens.text(at), tokens.text_range(at)));
    let of_line = tokens.filter(|(kind, _, range)| !kind.is_trivia() && begin <= range.start && range.end <= end);
    let tokens: Vec<Token<'_>> = of_line.map(|(kind, text, range)| Token { kind, text, range }).collect();
    let (range, message, help) = read(&tokens)?;
    Some(Broken { piece: piece_at(text, range), message: message.into(), help: Some(help), ..Broken::default() })
}

fn read(tokens: &[Token<'_>]) -> Option<Habit> {
    let (first, last) = (tokens.first()?, tokens.last()?);
    let is_name = |at: usize| tokens.get(at).is_some_and(|token| token.kind == SyntaxKind::IDENT);
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|token| token.text == text);
    let of = |token: &Token<'_>, message, help| Some((token.range.clone(), message, help));
    match first.text {
        "import" | "from" if is_name(1) => of(
            first,
            "modules aren't imported in this way in Rust",
            "`use` brings names into scope, such as `use std::collections::HashMap;`, and `:dep NAME = \"VERSION\"` adds a crate",
        ),
        "def" if is_name(1) => of(
            first,
            "`def` begins no function in Rust",
            "a function is `fn f(x: i32) -> i32 { x + 1 }`: it says its types",
        ),
        "class" if is_name(1) => of(
            first,
            "there are no classes in Rust",
            "`struct Point { x: i32 }` has the fields, and `impl Point { fn f(&self) { ... } }` the methods",
        ),
        "dep" if is_name(1) => {
            of(first, "a crate is added by a line that begins with a colon", "write `:dep NAME = \"VERSION\"`")
        }
        "elif" => of(first, "`elif` isn't Rust's", "write `else if`"),
        "except" | "finally" => of(first, "there are no exceptions in Rust", ERRORS),
        "try" if is(1, ":") => of(first, "there are no exceptions in Rust", ERRORS),
        "not" if is_name(1) => of(first, "`not` isn't Rust's", "`!` negates: `!a`"),
        "for" | "while" | "if" | "else" | "match" if last.kind == T![:] => {
            of(last, "a colon begins no block in Rust", "blocks stand in braces: `for i in 0..10 { ... }`")
        }
        _ if first.kind == T![%] && is_name(1) => {
            of(first, "this line goes on with the statement above it, which doesn't end", "end that with `;`")
        }
        _ if first.kind == T![#] && !is(1, "[") && !is(1, "!") => {
            of(first, "`#` begins no comment in Rust", "a comment begins with `//`")
        }
        _ => within(tokens),
    }
}

const ERRORS: &str =
    "errors are values: `match f() { Ok(value) => ..., Err(error) => ... }`, or `f()?` to end here with the error";

/// The same of what may stand anywhere in a line.
fn within(tokens: &[Token<'_>]) -> Option<Habit> {
    let is_choice = |at: &usize| {
        let behind = tokens[at + 1..].iter().map(|token| token.kind);
        let ends = |kind: &SyntaxKind| matches!(*kind, T![:] | T![;] | T![,] | T![.] | T![?] | T![')'] | T!['{']);
        behind.clone().position(|kind| ends(&kind)).is_some_and(|end| end > 0 && tokens[at + 1 + end].kind == T![:])
    };
    if let Some(at) = tokens.iter().position(|token| token.kind == T![?]).filter(is_choice) {
        let help = "`if` has a value: `if n > 0 { 1 } else { 2 }`";
        return Some((tokens[at].range.clone(), "there is no `? :` in Rust", help));
    }
    tokens.windows(2).find_map(|two| {
        let [this, next] = two else { return None };
        let is_name = |token: &Token<'_>| token.kind == SyntaxKind::IDENT;
        let is_text = matches!(next.kind, SyntaxKind::STRING | SyntaxKind::CHAR | SyntaxKind::LIFETIME_IDENT);
        let (message, help) = match (this.text, next.text) {
            ("lambda", _) if is_name(next) || next.kind == T![:] => {
                ("`lambda` isn't Rust's", "a closure is `|x| x + 1`")
            }
            ("is", "None") => ("`is` isn't Rust's", "`x.is_none()` says whether an `Option` has no value"),
            ("is", "not") => {
                ("`is` isn't Rust's", "`x.is_some()` says whether an `Option` has a value, and `!=` compares")
            }
            ("f", _) if is_text && this.range.end == next.range.start => (
                "a text isn't formatted by an `f` in front",
                "`format!(\"{x}\")` makes a text, and `println!(\"{x}\")` prints it",
            ),
            _ => return None,
        };
        Some((this.range.clone(), message, help))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, line: usize) -> Option<(usize, usize, String)> {
        habit(text, line).map(|broken| (broken.piece.line, broken.piece.column, broken.piece.text))
    }

    #[test]
    fn habits_are_recognised() {
        let at = |text: &str| found(text, 1).map(|(_, column, text)| (column, text));
        for (text, column, word) in [
            ("import numpy as np", 1, "import"),
            ("from math import sqrt", 1, "from"),
            ("def f(x):", 1, "def"),
            ("class A:", 1, "class"),
            ("  elif x:", 3, "elif"),
            ("try:", 1, "try"),
            ("for i in range(10):", 19, ":"),
            ("else:", 5, ":"),
            ("# a comment", 1, "#"),
            ("let f = lambda x: x + 1", 9, "lambda"),
            ("x is None", 3, "is"),
            ("print(f\"{x}\")", 7, "f"),
            ("n > 0 ? 1 : 2", 7, "?"),
            ("not a", 1, "not"),
        ] {
            assert_eq!(at(text), Some((column, word.to_owned())), "{text}");
        }
        assert_eq!(found("let a = 1;\ndef f(x):\n    x", 2), Some((2, 1, "def".into())));
    }

    #[test]
    fn rust_is_no_habit() {
        for text in [
            "import(1)",
            "let from = 1",
            "for i in 0..3 {",
            "#[test]",
            "#![a]",
            "f(\"a\")",
            "a()?; let b: u8 = 1;",
            "not(a)",
            "lambda(x)",
            "x.is(None)",
            "",
            "try!(a)",
            "match x {",
            "else {",
        ] {
            assert_eq!(found(text, 1), None, "{text}");
        }
        assert_eq!((found("a", 0), found("a", 9)), (None, None));
    }
}
