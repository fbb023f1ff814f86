//! Macro calls that stand among a cell's statements, and whether they define items.

use crate::nature::{Nature, Reach};
use ra_ap_syntax::ast::{self, AstNode};
use ra_ap_syntax::{Edition, NodeOrToken, SourceFile, SyntaxKind, SyntaxNode};
use std::collections::HashMap;

/// A macro call that is a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The macro's path, as it is written.
    pub path: String,
    /// Whether it has braces, as calls that define items usually have.
    pub braces: bool,
    /// Which of the cell's statements it is.
    pub(crate) statement: usize,
    /// The first name in it that isn't in an attribute.
    first: Option<String>,
}

impl Call {
    /// The call that a statement consists of.
    pub(crate) fn of(node: &SyntaxNode, statement: usize) -> Option<Call> {
        let expression = match ast::ExprStmt::cast(node.clone()) {
            Some(statement) => statement.expr()?,
            None => ast::Expr::cast(node.clone())?,
        };
        let ast::Expr::MacroExpr(expression) = expression else { return None };
        let call = expression.macro_call()?;
        let tree = call.token_tree()?;
        let mut attribute = false;
        let first = tree.syntax().children_with_tokens().find_map(|part| match part {
            NodeOrToken::Token(token) if token.kind() == SyntaxKind::IDENT && !attribute => {
                Some(token.text().to_owned())
            }
            NodeOrToken::Token(token) if token.kind().is_trivia() => None,
            NodeOrToken::Token(token) => {
                attribute = token.kind() == SyntaxKind::POUND;
                None
            }
            NodeOrToken::Node(_) => {
                attribute = false;
                None
            }
        });
        Some(Call {
            path: call.path()?.syntax().text().to_string(),
            braces: tree.left_delimiter_token().is_some_and(|token| token.kind() == SyntaxKind::L_CURLY),
            statement,
            first,
        })
    }

    /// What it is as an item. It has no name, but another one of the same macro about the same name replaces it.
    pub(crate) fn nature(&self) -> Nature {
        let name = self.path.rsplit("::").next().unwrap_or_default();
        Nature {
            name: Some(format!("chorus_call_{name}_{}", self.first.as_deref().unwrap_or_default())),
            condition: None,
            is_type: false,
            reach: Reach::Any,
            is_macro: false,
            is_call: true,
            is_opaque: false,
            block: None,
        }
    }
}

/// Whether all that a `macro_rules!` can become are items.
pub fn defines_items(text: &str) -> bool {
    let file = SourceFile::parse(text, Edition::Edition2024);
    let Some(tree) = file.syntax_node().children().find_map(ast::MacroRules::cast).and_then(|it| it.token_tree())
    else {
        return false;
    };
    let trees: Vec<SyntaxNode> = tree.syntax().children().collect();
    let rules = trees.chunks(2).filter_map(|rule| <&[SyntaxNode; 2]>::try_from(rule).ok());
    let mut found = false;
    let all = rules.map(|[pattern, body]| are_items(&expansion(body, &fragments(pattern)))).all(|are| {
        found = true;
        are
    });
    found && all
}

fn are_items(text: &str) -> bool {
    let file = SourceFile::parse(text, Edition::Edition2024);
    let mut nodes = file.syntax_node().children().peekable();
    // A call in it may be anything again.
    nodes.peek().is_some()
        && nodes.all(|node| ast::Item::can_cast(node.kind()) && !ast::MacroCall::can_cast(node.kind()))
}

/// What kind of thing each of a rule's names stands for.
fn fragments(pattern: &SyntaxNode) -> HashMap<String, String> {
    let tokens = pattern.descendants_with_tokens().filter_map(NodeOrToken::into_token);
    let tokens: Vec<_> = tokens.filter(|token| !token.kind().is_trivia()).collect();
    let of =
        tokens.windows(4).filter(|four| four[0].kind() == SyntaxKind::DOLLAR && four[2].kind() == SyntaxKind::COLON);
    of.map(|four| (four[1].text().to_owned(), four[3].text().to_owned())).collect()
}

/// A rule's right side with an example for each name, and each repetition once.
fn expansion(tree: &SyntaxNode, fragments: &HashMap<String, String>) -> String {
    let mut parts = tree.children_with_tokens().filter(|part| !part.kind().is_trivia()).collect::<Vec<_>>();
    // The delimiters.
    parts.pop();
    let mut parts = parts.into_iter().skip(1).peekable();
    let mut text = String::new();
    while let Some(part) = parts.next() {
        text.push(' ');
        match part {
            NodeOrToken::Token(token) if token.kind() == SyntaxKind::DOLLAR => match parts.next() {
                Some(NodeOrToken::Node(repeated)) => {
                    text.push_str(&expansion(&repeated, fragments));
                    let is_end = |part: &NodeOrToken<SyntaxNode, _>| {
                        matches!(part.kind(), SyntaxKind::STAR | SyntaxKind::PLUS | SyntaxKind::QUESTION)
                    };
                    for part in parts.by_ref() {
                        if is_end(&part) {
                            break;
                        }
                    }
                }
                Some(NodeOrToken::Token(name)) => text.push_str(match fragments.get(name.text()).map(String::as_str) {
                    Some("vis") => "",
                    Some("block") => "{}",
                    Some("item") => "struct I;",
                    Some("lifetime") => "'a",
                    _ => name.text(),
                }),
                None => {}
            },
            // `::` and the like are several tokens here.
            NodeOrToken::Token(token) => {
                if token.text().chars().all(|c| c.is_ascii_punctuation() && c != '_') {
                    text.pop();
                }
                text.push_str(token.text());
            }
            NodeOrToken::Node(tree) => {
                let whole = tree.text().to_string();
                let (open, close) = (whole.chars().next(), whole.chars().last());
                text.extend(open);
                text.push_str(&expansion(&tree, fragments));
                text.extend(close);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cell;

    #[test]
    fn macros_that_make_items_are_told_from_others() {
        for items in [
            "($n:ident, $v:expr) => { fn $n() -> u32 { $v } };",
            "($n:ident { $($f:ident),* }) => { #[derive(Debug, Clone)] struct $n { $($f: i32),* } };",
            "($(#[$m:meta])* $v:vis $n:ident $b:block) => { $(#[$m])* $v fn $n() $b }; ($i:item) => { $i };",
            "($t:ty) => { impl std::fmt::Display for $t { fn f(&self) -> &'static str { concat!(\"a\", \"b\") } } }",
        ] {
            assert!(defines_items(&format!("macro_rules! m {{ {items} }}")), "{items}");
        }
        for others in [
            "($e:expr) => { $e * $e };",
            "() => { println!(\"x\") };",
            "() => { println!(\"x\"); };",
            "() => {};",
            "() => { let x = 1; };",
            "($n:ident) => { fn $n() {} }; ($e:expr) => { $e + 1 };",
            "",
        ] {
            assert!(!defines_items(&format!("macro_rules! m {{ {others} }}")), "{others}");
        }
        assert!(!defines_items("fn f() {}"));
    }

    #[test]
    fn calls_are_found_and_become_items() {
        let parse =
            || Cell::parse("a::b! { #[doc(hidden)] static ref NAME: u8 = 1; }\nlet x = c!(y);\nd!(four, 4); e!(x)");
        let cell = parse();
        let calls: Vec<(&str, bool)> = cell.calls.iter().map(|call| (call.path.as_str(), call.braces)).collect();
        assert_eq!(calls, [("a::b", true), ("d", false), ("e", false)]);
        assert!(cell.has_result);
        let cell = cell.with_items(|call| call.path != "e");
        let names: Vec<&str> = cell.items.iter().filter_map(|item| item.nature.name.as_deref()).collect();
        assert_eq!(names, ["chorus_call_b_NAME", "chorus_call_d_four"]);
        assert_eq!((cell.statements.len(), cell.uses.len(), cell.has_result), (2, 2, true));
        assert!(!parse().with_items(|_| true).has_result);
    }
}
