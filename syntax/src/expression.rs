//! What an expression is made of: whether it is a closure, a path or a place, and which names it takes from outside.
//!
//! Parsing is rust-analyzer's, and everything here goes by syntax alone: types aren't known.

use crate::cell::WRAPPER;
use ra_ap_syntax::ast::{self, AstNode, HasLoopBody, HasName};
use ra_ap_syntax::{AstToken, Edition, NodeOrToken, SourceFile, SyntaxKind, SyntaxNode, SyntaxToken, TextSize};
use std::collections::BTreeSet;

/// Longer texts aren't looked at.
const LONGEST: usize = 256 << 10;

/// Enough for the longest text of operators alone; what isn't used of it costs nothing.
const STACK: usize = 512 << 20;

/// What an expression is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A closure.
    Closure(Parameters),
    /// A path: `score`, `f64::sqrt`, `parse::<u8>`.
    Path,
    /// Another expression that names a place in memory: a field, an index, a dereference.
    Place,
    /// Any other expression.
    Value,
    /// Statements, with or without an expression at their end.
    Statements,
    /// Not Rust, or nothing at all.
    Broken,
}

/// The parameters of a closure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// How many.
    pub count: usize,
    /// Whether all of them have types.
    pub typed: bool,
    /// Whether one of them is a reference, by its type or its pattern: `|x: &f64|`, `|&x|`.
    pub borrowed: bool,
}

/// An expression, or the statements of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    /// What it is.
    pub shape: Shape,
    /// The names that it uses and doesn't bind itself: variables, and whatever else is written in the same way.
    pub names: BTreeSet<String>,
}

impl Expression {
    /// Reads the text. No text makes it fail; of one that isn't Rust it says so.
    pub fn read(text: &str) -> Expression {
        let broken = || Expression { shape: Shape::Broken, names: BTreeSet::new() };
        if text.len() > LONGEST {
            return broken();
        }
        // On a thread of its own: the parser recurses at each bracket, and panics when it is led around in circles.
        std::thread::scope(|scope| {
            let reading = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, || read(text));
            reading.ok().and_then(|reading| reading.join().ok()).flatten().unwrap_or_else(broken)
        })
    }
}

fn read(text: &str) -> Option<Expression> {
    let file = SourceFile::parse(&format!("{WRAPPER}{text}\n}}"), Edition::Edition2024);
    let is_sound = file.errors().is_empty();
    let mut items = file.syntax_node().children();
    let function = items.next().and_then(ast::Fn::cast)?;
    if !is_sound || items.next().is_some() {
        return None;
    }
    let list = function.body()?.stmt_list()?;
    let nodes: Vec<SyntaxNode> = list.syntax().children().collect();
    let shape = match (nodes.as_slice(), nodes.first().cloned().and_then(ast::Expr::cast)) {
        ([], _) => return None,
        ([_], Some(expression)) => shape(&expression),
        _ => Shape::Statements,
    };
    Some(Expression { shape, names: names(list.syntax()) })
}

fn shape(expression: &ast::Expr) -> Shape {
    match expression {
        ast::Expr::ClosureExpr(closure) => Shape::Closure(closure.param_list().map(parameters).unwrap_or_default()),
        ast::Expr::PathExpr(_) => Shape::Path,
        ast::Expr::FieldExpr(_) | ast::Expr::IndexExpr(_) => Shape::Place,
        ast::Expr::PrefixExpr(prefix) if prefix.op_kind() == Some(ast::UnaryOp::Deref) => Shape::Place,
        ast::Expr::ParenExpr(inside) => inside.expr().map_or(Shape::Broken, |inside| shape(&inside)),
        _ => Shape::Value,
    }
}

fn parameters(list: ast::ParamList) -> Parameters {
    let is_reference = |parameter: &ast::Param| {
        matches!(parameter.ty(), Some(ast::Type::RefType(_))) || matches!(parameter.pat(), Some(ast::Pat::RefPat(_)))
    };
    Parameters {
        count: list.params().count(),
        typed: list.params().all(|parameter| !matches!(parameter.ty(), None | Some(ast::Type::InferType(_)))),
        borrowed: list.params().any(|parameter| is_reference(&parameter)),
    }
}

/// The free names below this node.
fn names(node: &SyntaxNode) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for element in node.descendants_with_tokens() {
        let NodeOrToken::Token(token) = element else { continue };
        let Some(parent) = token.parent() else { continue };
        let found: Vec<String> = match token.kind() {
            SyntaxKind::IDENT if is_variable(&token, &parent) => vec![plain(token.text()).to_owned()],
            SyntaxKind::STRING if in_macro(&parent) => inline_arguments(&token),
            _ => continue,
        };
        let at = token.text_range().start();
        names.extend(found.into_iter().filter(|name| !is_bound(name, at, &parent)));
    }
    names
}

fn plain(name: &str) -> &str {
    name.trim_start_matches("r#")
}

/// Whether this identifier stands where a variable can stand.
fn is_variable(token: &SyntaxToken, parent: &SyntaxNode) -> bool {
    if in_macro(parent) {
        // A macro's text has no structure yet.
        let before = neighbour(token, SyntaxToken::prev_token);
        let after = neighbour(token, SyntaxToken::next_token);
        let doubled = |token: &SyntaxToken, kind, step: fn(&SyntaxToken) -> Option<SyntaxToken>| {
            token.kind() == kind && step(token).is_some_and(|next| next.kind() == kind)
        };
        let is_field = before.as_ref().is_some_and(|token| {
            token.kind() == SyntaxKind::DOT && !doubled(token, SyntaxKind::DOT, SyntaxToken::prev_token)
        });
        let is_path = before.is_some_and(|token| {
            token.kind() == SyntaxKind::COLON2 || doubled(&token, SyntaxKind::COLON, SyntaxToken::prev_token)
        }) || after.is_some_and(|token| {
            matches!(token.kind(), SyntaxKind::COLON2 | SyntaxKind::BANG)
                || doubled(&token, SyntaxKind::COLON, SyntaxToken::next_token)
        });
        return !is_field && !is_path;
    }
    let path = ast::NameRef::cast(parent.clone())
        .and_then(|name| name.syntax().parent())
        .and_then(ast::PathSegment::cast)
        .and_then(|segment| segment.syntax().parent())
        .and_then(ast::Path::cast);
    path.is_some_and(|path| {
        let inside_path = path.syntax().parent().is_some_and(|parent| ast::Path::can_cast(parent.kind()));
        let is_expression = path.syntax().parent().is_some_and(|parent| ast::PathExpr::can_cast(parent.kind()));
        path.qualifier().is_none() && !inside_path && is_expression
    })
}

fn in_macro(parent: &SyntaxNode) -> bool {
    ast::TokenTree::can_cast(parent.kind())
}

/// The nearest token on one side that is neither white space nor a comment.
fn neighbour(token: &SyntaxToken, step: fn(&SyntaxToken) -> Option<SyntaxToken>) -> Option<SyntaxToken> {
    std::iter::successors(step(token), step).find(|token| !token.kind().is_trivia())
}

/// The names in `{name}` and `{name:?}` of a string in a macro's arguments, which may be a format.
fn inline_arguments(token: &SyntaxToken) -> Vec<String> {
    let Some(text) = ast::String::cast(token.clone()) else { return Vec::new() };
    let text = text.text().replace("{{", "");
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let pieces = text.split('{').skip(1).map(|piece| piece.split(|c| !is_word(c)).next().unwrap_or_default());
    pieces.filter(|name| name.starts_with(|c: char| c.is_alphabetic() || c == '_')).map(str::to_owned).collect()
}

/// Whether something around this place binds the name.
fn is_bound(name: &str, at: TextSize, parent: &SyntaxNode) -> bool {
    for node in parent.ancestors() {
        let in_inner = |part: Option<&SyntaxNode>| part.is_some_and(|part| part.text_range().contains(at));
        let bound = if let Some(closure) = ast::ClosureExpr::cast(node.clone()) {
            let parameters = closure.param_list().into_iter().flat_map(|list| list.params());
            parameters.filter_map(|parameter| parameter.pat()).any(|pattern| binds(&pattern, name))
        } else if let Some(list) = ast::StmtList::cast(node.clone()) {
            let before = list.statements().take_while(|statement| statement.syntax().text_range().end() <= at);
            let lets = before.filter_map(|statement| ast::LetStmt::cast(statement.syntax().clone()));
            lets.filter_map(|statement| statement.pat()).any(|pattern| binds(&pattern, name))
        } else if let Some(arm) = ast::MatchArm::cast(node.clone()) {
            arm.pat().is_some_and(|pattern| binds(&pattern, name)) || guard_binds(&node, at, name)
        } else if let Some(it) = ast::ForExpr::cast(node.clone()) {
            let body = it.loop_body();
            in_inner(body.as_ref().map(AstNode::syntax)) && it.pat().is_some_and(|pattern| binds(&pattern, name))
        } else if let Some(it) = ast::IfExpr::cast(node.clone()) {
            let otherwise = it.else_branch();
            let in_else = otherwise.is_some_and(|branch| match branch {
                ast::ElseBranch::Block(block) => in_inner(Some(block.syntax())),
                ast::ElseBranch::IfExpr(other) => in_inner(Some(other.syntax())),
            });
            !in_else && it.condition().is_some_and(|condition| guard_binds(condition.syntax(), at, name))
        } else if let Some(it) = ast::WhileExpr::cast(node.clone()) {
            it.condition().is_some_and(|condition| guard_binds(condition.syntax(), at, name))
        } else {
            // An item within sees none of the variables around it.
            ast::Item::can_cast(node.kind())
                && node.parent().is_some_and(|parent| ast::StmtList::can_cast(parent.kind()))
        };
        if bound {
            return true;
        }
    }
    false
}

/// Whether a `let` of a condition binds the name before this place.
fn guard_binds(condition: &SyntaxNode, at: TextSize, name: &str) -> bool {
    let lets = condition.descendants().filter_map(ast::LetExpr::cast);
    lets.filter(|it| it.syntax().text_range().end() <= at)
        .filter_map(|it| it.pat())
        .any(|pattern| binds(&pattern, name))
}

fn binds(pattern: &ast::Pat, name: &str) -> bool {
    let patterns = pattern.syntax().descendants().filter_map(ast::IdentPat::cast);
    patterns.filter_map(|pattern| pattern.name()).any(|bound| plain(bound.text()) == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn expressions_are_told_apart() {
        let closure = |count, typed, borrowed| Shape::Closure(Parameters { count, typed, borrowed });
        for (text, shape) in [
            ("score", Shape::Path),
            ("f64::sqrt", Shape::Path),
            ("<f64 as Float>::sqrt", Shape::Path),
            ("parse::<u8>", Shape::Path),
            ("|x| x * k", closure(1, false, false)),
            ("|x: &str, y| x", closure(2, false, true)),
            ("|x: &[f64], y: u8| x", closure(2, true, true)),
            ("|&x| x", closure(1, false, true)),
            ("|x: _| x", closure(1, false, false)),
            ("|(x, y): (u8, u8)| x", closure(1, true, false)),
            ("|x: f64, (a, b)| -> f64 { x }", closure(2, false, false)),
            ("move || 1", closure(0, true, false)),
            ("(|x| x)", closure(1, false, false)),
            ("a.b", Shape::Place),
            ("xs[1..3]", Shape::Place),
            ("*xs", Shape::Place),
            ("(xs)", Shape::Path),
            ("xs.iter()", Shape::Value),
            ("0..n", Shape::Value),
            ("&xs", Shape::Value),
            ("{ it }", Shape::Value),
            ("let a = it; a + 1", Shape::Statements),
            ("a;", Shape::Statements),
            ("fn f() {}", Shape::Statements),
            ("", Shape::Broken),
            ("// nothing", Shape::Broken),
            ("f over", Shape::Broken),
            ("a, b", Shape::Broken),
            ("x }", Shape::Broken),
            ("} fn g() { x", Shape::Broken),
        ] {
            assert_eq!(Expression::read(text).shape, shape, "{text}");
        }
    }

    #[test]
    fn names_from_outside_are_found() {
        for (text, names) in [
            ("|x| x * k", "k"),
            ("|x, y: Point| (x - y.k).abs() + m::k + K", "K"),
            ("|p| Point { x: k, y, ..p }", "k y"),
            ("|x| { let k = k + 1; let y = k; y + x }", "k"),
            ("|x| { let y = x; y }", ""),
            ("|x| match x { Some(k) if k > limit => k, None => other, _ => k }", "k limit other"),
            ("|x| { for a in a { a; } a }", "a"),
            ("|x| if let Some(y) = x && y > z { y } else { y }", "Some y z"),
            ("|x| { while let Some(y) = x.next() { y; } }", ""),
            ("|x| { fn inner(a: u8) -> u8 { a + hidden } inner(x) }", "inner"),
            ("|x| format!(\"{x} {k:?} {{no}}\", m.a, b = x, c[0]..d, e::f, g!(h))", "b c d h k m"),
            ("|x| vec![k; 3].len()", "k"),
            ("|r#type| r#type + k", "k"),
            ("f::<T>(x)", "f"),
            ("score", "score"),
            ("|x| \"{k}\".len()", ""),
            ("|x| x.iter().map(|y| y + z).sum::<f64>()", "z"),
        ] {
            let found: Vec<String> = Expression::read(text).names.into_iter().filter(|name| name != "x").collect();
            let expected: Vec<&str> = names.split(' ').filter(|name| !name.is_empty() && *name != "Some").collect();
            let found: Vec<&str> = found.iter().map(String::as_str).filter(|name| *name != "Some").collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_something(text in "([|&*(){}\\[\\]'\"=;,.:!a-c0-9 ]|let |if |match |=> |fn |macro! |é|\n){0,30}") {
            let _ = Expression::read(&text);
        }
    }
}
