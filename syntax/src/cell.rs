//! Reads the structure of a cell: commands, items, variables that it defines, whether it ends in an expression.
//!
//! Parsing is rust-analyzer's, as in evcxr, so both see the same statements; it never fails, however broken the
//! text is.

use crate::broken::{self, Broken, Names, piece_at};
use crate::call::Call;
use crate::imports::{Import, imports, is_misread};
use crate::nature::Nature;
use crate::tidy::{first_line, statements, tidy};
use ra_ap_syntax::ast::{self, AstNode, HasName};
use ra_ap_syntax::{Edition, SourceFile, SyntaxNode};
use std::ops::Range;

/// A cell's text, taken apart.
#[derive(Debug, Default)]
pub struct Cell {
    /// `:command` lines, which stand before any Rust.
    pub commands: Vec<CommandLine>,
    /// The Rust, with every command's line blank, so that lines keep their numbers.
    pub rust: String,
    /// `#![...]`, which has to come first.
    pub attributes: Vec<Piece>,
    /// `fn`, `struct`, `use`, ...: what all namespaces share.
    pub items: Vec<Item>,
    /// The statements that aren't items.
    pub statements: Vec<Piece>,
    /// The statements that are macro calls.
    pub calls: Vec<Call>,
    /// The variables that `let` defines at the cell's top level.
    pub lets: Vec<Let>,
    /// What the statements say outside of the patterns of `let`, each with the names that it binds.
    pub uses: Vec<(String, Vec<String>)>,
    /// Whether it ends in an expression, whose value is the cell's result.
    pub has_result: bool,
    /// Each `return` that would end it.
    pub returns: Vec<Piece>,
    /// What is wrong with it, if only we can say so.
    pub broken: Option<Broken>,
    /// What the parser misses first, for when rustc says nothing of the cell.
    pub suspect: Option<Broken>,
}

/// A line that is an evcxr command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    /// With its colon.
    pub name: String,
    /// What follows the name.
    pub args: String,
    /// 1-based, within the cell.
    pub line: usize,
    /// The whole line.
    pub text: String,
}

/// A part of the cell's Rust.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Piece {
    /// As it is written.
    pub text: String,
    /// The 1-based line within the cell where `text` begins.
    pub line: usize,
    /// The 1-based column there.
    pub column: usize,
}

/// An item of the cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Where it is.
    pub piece: Piece,
    /// What it is to other texts.
    pub nature: Nature,
    /// What it imports, if it is a `use`.
    pub imports: Vec<Import>,
    /// Whether evcxr would import something else.
    pub is_misread: bool,
}

/// A variable that a `let` defines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Let {
    /// Its name.
    pub name: String,
    /// Whether it is `mut`.
    pub mutable: bool,
}

/// What a cell is put into, so that its statements can be parsed.
pub(crate) const WRAPPER: &str = "fn f(){";

impl Cell {
    /// The expression that the cell ends in.
    pub fn result(&self) -> Option<&Piece> {
        self.statements.last().filter(|_| self.has_result)
    }

    /// Takes the text apart.
    pub fn parse(text: &str) -> Cell {
        let (commands, rust) = split_commands(text);
        let (unbalanced, end) = (broken::of_tokens(&rust), broken::end_of(&rust));
        let (rust, file) = tidy(rust);
        let mut cell = Cell { commands, rust, broken: unbalanced, ..Cell::default() };
        let Some(statements) = statements(&file) else { return cell };
        if let (None, Some(end)) = (&cell.broken, end)
            && let Some((broken, is_ours)) = broken::of_grammar(&cell.rust, end, &file, &statements)
        {
            cell.broken = is_ours.then(|| broken.clone());
            cell.suspect = Some(broken);
        }
        let nodes: Vec<SyntaxNode> = statements.children().collect();
        cell.has_result = nodes.last().is_some_and(|node| ast::Expr::can_cast(node.kind()));
        let mut named = Vec::new();
        for node in nodes {
            let piece = piece(&cell.rust, &node);
            match ast::Item::cast(node.clone()) {
                Some(item) => {
                    let (imports, is_misread) = match &item {
                        ast::Item::Use(item) => (imports(item), is_misread(item)),
                        _ => (Vec::new(), false),
                    };
                    let found = Item { piece, nature: Nature::of(&item), imports, is_misread };
                    named.push((found.clone(), Names::of(&item)));
                    cell.items.push(found);
                }
                None if ast::Attr::can_cast(node.kind()) => cell.attributes.push(piece),
                None => {
                    let (mut outside, mut bound) = (piece.text.clone(), Vec::new());
                    match ast::LetStmt::cast(node.clone()).map(|statement| statement.pat()) {
                        Some(Some(pattern)) => {
                            let at = pattern.syntax().text_range() - node.text_range().start();
                            outside.replace_range(Range::<usize>::from(at), "_");
                            bound.extend(bindings(&pattern).map(|binding| binding.name));
                            cell.lets.extend(bindings(&pattern));
                        }
                        Some(None) => {
                            let broken = cell.broken.take();
                            cell.broken = broken.or_else(|| Some(broken::of_let(&cell.rust, &node)));
                        }
                        None => {}
                    }
                    cell.calls.extend(Call::of(&node, cell.statements.len()));
                    cell.uses.push((outside, bound));
                    cell.statements.push(piece);
                }
            }
        }
        let (returns, broken) = broken::returns(&cell.rust, &statements);
        // What the parser doesn't understand may be no `return` of the cell's.
        let broken = broken.filter(|_| cell.suspect.is_none());
        cell.broken = cell.broken.or_else(|| broken::of_names(&named)).or(broken);
        if let (Some(binding), Some(piece), None) = (cell.lets.first(), returns.first(), &cell.broken) {
            cell.broken = Some(broken::of_return(&binding.name, piece));
        }
        cell.returns = returns;
        cell
    }

    /// The same cell, with those macro calls among its items that `is_item` says are.
    pub fn with_items(mut self, is_item: impl Fn(&Call) -> bool) -> Cell {
        for call in std::mem::take(&mut self.calls).into_iter().rev().filter(is_item) {
            self.has_result &= call.statement + 1 < self.statements.len();
            self.uses.remove(call.statement);
            let piece = self.statements.remove(call.statement);
            self.items.push(Item { piece, nature: call.nature(), imports: Vec::new(), is_misread: false });
        }
        self.items.sort_by_key(|item| (item.piece.line, item.piece.column));
        self
    }

    /// Its Rust behind other lines, on which no attribute may stand: its attributes go before them, on their first line.
    /// What was `moved` there is left out; all else keeps its place.
    pub fn behind<'a>(&'a self, lines: &str, moved: impl IntoIterator<Item = &'a Piece>) -> String {
        let (mut attributes, mut rest) = (String::new(), self.rust.clone());
        for attribute in self.attributes.iter().filter(|_| !lines.is_empty()) {
            attributes.extend(attribute.text.split('\n').flat_map(|line| [line, " "]));
            blank(&mut rest, attribute);
        }
        moved.into_iter().for_each(|piece| blank(&mut rest, piece));
        format!("{attributes}{lines}{rest}")
    }
}

/// Whether the text is one expression and nothing else: what `user_expressions` may be.
pub fn is_expression(text: &str) -> bool {
    let cell = Cell::parse(text);
    let alone = cell.commands.is_empty() && cell.items.is_empty() && cell.statements.len() == 1;
    alone && cell.has_result && cell.broken.is_none()
}

/// As evcxr reads them: lines before the first line of Rust that begin with a colon.
pub fn split_commands(text: &str) -> (Vec<CommandLine>, String) {
    let first = first_line(text);
    let whole = first.map(|first| first + text.split_once('\n').map_or("", |(_, rest)| rest));
    let text = whole.as_deref().unwrap_or(text);
    let mut commands = Vec::new();
    let mut rust = String::with_capacity(text.len());
    let mut in_rust = false;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let trimmed = line.trim();
        let is_command = trimmed.starts_with(':') && !trimmed.starts_with("::");
        if !in_rust && is_command {
            let (name, args) = trimmed.split_once(char::is_whitespace).unwrap_or((trimmed, ""));
            commands.push(CommandLine {
                name: name.to_owned(),
                args: args.trim().to_owned(),
                line: index + 1,
                text: line.trim_end().to_owned(),
            });
            rust.push_str(if line.ends_with('\n') { "\n" } else { "" });
            continue;
        }
        in_rust |= !trimmed.is_empty() && !trimmed.starts_with("//");
        rust.push_str(line);
    }
    (commands, rust)
}

fn piece(rust: &str, node: &SyntaxNode) -> Piece {
    let range = Range::<usize>::from(node.text_range());
    let text = node.text().to_string();
    let place = range.start.saturating_sub(WRAPPER.len());
    Piece { text, ..piece_at(rust, place..place) }
}

/// Puts blanks in the piece's place, as many as it has characters.
fn blank(rust: &mut String, piece: &Piece) {
    let before: usize = rust.split_inclusive('\n').take(piece.line - 1).map(str::len).sum();
    let column: usize = rust[before..].chars().take(piece.column - 1).map(char::len_utf8).sum();
    let range = before + column..before + column + piece.text.len();
    if rust.get(range.clone()) == Some(&piece.text) {
        rust.replace_range(range, &piece.text.replace(|c| c != '\n', " "));
    }
}

/// What is to be inserted into this `let`, and where, so that its variable of this name has this type.
pub fn annotated(statement: &str, name: &str, type_name: &str) -> Option<(usize, String)> {
    let text = format!("{WRAPPER}{statement}}}");
    let file = SourceFile::parse(&text, Edition::Edition2024).tree();
    let statement = file.syntax().descendants().find_map(ast::LetStmt::cast)?;
    let pattern = statement.pat()?;
    let offset = |end: ra_ap_syntax::TextSize| usize::from(end).checked_sub(WRAPPER.len());
    let is_alone =
        matches!(&pattern, ast::Pat::IdentPat(ident) if ident.pat().is_none() && ident.ref_token().is_none());
    if is_alone && statement.ty().is_none() {
        return Some((offset(pattern.syntax().text_range().end())?, format!(": {type_name}")));
    }
    let binding = bindings(&pattern).find(|binding| binding.name == name)?;
    let mutable = if binding.mutable { "mut " } else { "" };
    let end = offset(statement.syntax().text_range().end())?;
    Some((end, format!(" let {mutable}{name}: {type_name} = {name};")))
}

fn bindings(pattern: &ast::Pat) -> impl Iterator<Item = Let> {
    pattern.syntax().descendants().filter_map(ast::IdentPat::cast).filter_map(|ident| {
        let name = ident.name()?.text().to_string();
        // `None` and other constants look like bindings to a parser.
        let is_constant = name.starts_with(char::is_uppercase);
        (!is_constant).then(|| Let { name, mutable: ident.mut_token().is_some() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_given_a_type() {
        let with = |text: &str| {
            annotated(text, "a", "T").map(|(at, inserted)| text[..at].to_owned() + &inserted + &text[at..])
        };
        assert_eq!(with("let a = f();").as_deref(), Some("let a: T = f();"));
        assert_eq!(with("let mut a;").as_deref(), Some("let mut a: T;"));
        assert_eq!(with("let (mut a, b) = f();").as_deref(), Some("let (mut a, b) = f(); let mut a: T = a;"));
        assert_eq!(with("let a: Vec<_> = f();").as_deref(), Some("let a: Vec<_> = f(); let a: T = a;"));
        assert_eq!((with("f();"), with("let b@1 = f();")), (None, None));
    }

    fn lets(text: &str) -> Vec<(String, bool)> {
        Cell::parse(text).lets.into_iter().map(|l| (l.name, l.mutable)).collect()
    }

    #[test]
    fn items_statements_and_the_result_are_told_apart() {
        let cell = Cell::parse("use std::fmt;\nfn f() -> i32 { 1 }\nlet x = f();\n  x + 1");
        assert_eq!(cell.items.iter().map(|i| i.piece.line).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(cell.items[1].piece.text, "fn f() -> i32 { 1 }");
        assert_eq!(cell.statements.iter().map(|s| (s.line, s.column)).collect::<Vec<_>>(), [(3, 1), (4, 3)]);
        assert!(cell.has_result);
        assert!(!Cell::parse("let x = 1;").has_result);
        assert!(!Cell::parse("x + 1;").has_result);
        assert!(!Cell::parse("struct A; impl A {}").has_result);
    }

    #[test]
    fn what_a_let_binds_is_no_use() {
        let uses = Cell::parse("let mut x = y + 1;\nlet (Some(a), b) = (x, 2) else { panic!() };\na").uses;
        let expected =
            [("let _ = y + 1;", vec!["x"]), ("let _ = (x, 2) else { panic!() };", vec!["a", "b"]), ("a", vec![])];
        let uses: Vec<(&str, Vec<&str>)> =
            uses.iter().map(|(text, names)| (text.as_str(), names.iter().map(String::as_str).collect())).collect();
        assert_eq!(uses, expected);
    }

    #[test]
    fn every_binding_of_a_pattern_counts() {
        assert_eq!(
            lets("let mut a = 1; let (b, mut c) = (1, 2);"),
            [("a".into(), true), ("b".into(), false), ("c".into(), true)]
        );
        assert_eq!(lets("let Point { x, y: z } = p;"), [("x".into(), false), ("z".into(), false)]);
        assert_eq!(lets("let None = maybe else { panic!() };"), []);
        assert_eq!(lets("{ let inner = 1; }"), []);
    }

    #[test]
    fn an_expression_is_told_from_a_cell() {
        for text in ["x", " 1 + 1 ", "{ let a = 1; a }", "if a { b } else { c }", "m!(a)"] {
            assert!(is_expression(text), "{text}");
        }
        for text in ["", "let x = 1;", "x;", "x; y", "fn f() {}", "fn f() {} f()", ":vars", "} x", "use a::b;"] {
            assert!(!is_expression(text), "{text}");
        }
    }

    #[test]
    fn attributes_go_first_and_everything_else_stays_in_its_place() {
        let cell = Cell::parse("#![allow(\n  dead_code)] #![a]\nfn f() {}\n1");
        assert_eq!((cell.attributes.len(), cell.items.len(), cell.statements.len()), (2, 1, 1));
        assert_eq!(
            cell.behind("use b;\n", []),
            "#![allow(   dead_code)] #![a] use b;\n         \n                   \nfn f() {}\n1"
        );
        assert_eq!(cell.behind("", []), cell.rust);
        let cell = Cell::parse("é(); fn f() {}\n fn f() {\n} 1");
        assert_eq!(cell.behind("", [&cell.items[1].piece]), "é(); fn f() {}\n         \n  1");
        assert_eq!(Cell::parse("#[derive(Debug)] struct A;").attributes, []);
    }

    #[test]
    fn what_evcxr_would_drop_is_broken() {
        assert_eq!(
            Cell::parse("1;\n let = 2;").broken.map(|broken| (broken.piece.line, broken.piece.column)),
            Some((2, 2))
        );
        assert_eq!(Cell::parse("let x = 2;").broken, None);
        let brace = |text: &str| Cell::parse(text).broken.map(|broken| (broken.piece.line, broken.piece.column));
        assert_eq!(brace("fn f() {}\n }"), Some((2, 2)));
        assert_eq!(brace("} 1"), Some((1, 1)));
        assert_eq!(brace("fn f() { }"), None);
        assert_eq!(brace("let x = { 1 };\nx"), None);
    }

    #[test]
    fn commands_stand_before_rust_and_leave_their_lines_blank() {
        let cell = Cell::parse(":dep regex = \"1\"\n// why\n:show_deps\nlet x = 1;\n:vars");
        assert_eq!(
            cell.commands.iter().map(|c| (c.name.as_str(), c.args.as_str(), c.line)).collect::<Vec<_>>(),
            [(":dep", "regex = \"1\"", 1), (":show_deps", "", 3)]
        );
        assert_eq!(cell.rust, "\n// why\n\nlet x = 1;\n:vars");
        assert_eq!(Cell::parse("::std::process::id()").commands, []);
    }

    #[test]
    fn broken_text_is_no_panic() {
        for text in ["", "}", "fn", "let = ;", "{{{{", "\"", "r#\"", "'", "/*", "}}fn f(){", ":", "!", "é)"] {
            let _ = Cell::parse(text);
        }
    }
}
