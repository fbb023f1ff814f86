//! Maps of a cell's own Rust that GPUs are to run: `px::map(f, over).gpu()`, `px::map_with(values, f, over).gpu_or_cpu()`.
//!
//! Their functions are compiled a second time, for GPUs, out of their text. So such a map is *seen* only where the function
//! stands in the same chain of calls and means the same at the cell's top level. There, `gpu` becomes `gpU` before rustc
//! reads it. px has no map for whom the user's own word could be called: rustc says so, at its place, and how it is done.

use crate::broken::piece_at;
use crate::cell::{Piece, WRAPPER};
use crate::expression::{binder, binds, plain};
use crate::tidy::{parse, statements};
use ra_ap_syntax::ast::{self, AstNode, HasArgList, HasGenericParams};
use ra_ap_syntax::{SyntaxKind, SyntaxNode, TextRange};
use std::ops::Range;

/// What the user writes and what rustc reads: as long, so that nothing moves.
const WORDS: [(&str, &str); 2] = [("gpu", "gpU"), ("gpu_or_cpu", "gpU_or_cpu")];

/// A map that GPUs are to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuMap {
    /// Its function, as it is written.
    pub function: Piece,
    /// Whether that gets values of the notebook besides an item.
    pub has_values: bool,
    /// Whether processors may run it, too.
    pub or_cpu: bool,
    /// The word that says it.
    pub word: Piece,
}

/// The maps of a text that has the words which rustc reads.
pub fn gpu_maps(rust: &str) -> Vec<GpuMap> {
    if !WORDS.iter().any(|(_, read)| rust.contains(read)) {
        return Vec::new();
    }
    let parsed = parse(rust);
    let Some(list) = statements(&parsed) else { return Vec::new() };
    let found = list.descendants().filter_map(ast::MethodCallExpr::cast).filter_map(|call| {
        let word = call.name_ref()?;
        let at = WORDS.iter().position(|(_, read)| word.text() == *read)?;
        let (function, has_values) = function(&call)?;
        let piece = |node: &SyntaxNode| Some(piece_at(rust, inside(node.text_range())?));
        Some(GpuMap { function: piece(function.syntax())?, has_values, or_cpu: at == 1, word: piece(word.syntax())? })
    });
    found.collect()
}

/// Where the words are that rustc is to read otherwise, and what it is to read.
pub(crate) fn words(list: &SyntaxNode) -> impl Iterator<Item = (Range<usize>, &'static str)> {
    list.descendants().filter_map(ast::MethodCallExpr::cast).filter_map(move |call| {
        let word = call.name_ref()?;
        let (_, read) = WORDS.iter().find(|(written, _)| word.text() == *written)?;
        let (function, _) = function(&call)?;
        is_seen(&function).then_some((inside(word.syntax().text_range())?, *read))
    })
}

fn inside(range: TextRange) -> Option<Range<usize>> {
    let range = Range::<usize>::from(range);
    Some(range.start.checked_sub(WRAPPER.len())?..range.end.checked_sub(WRAPPER.len())?)
}

/// The function of the map that such a chain begins with, and whether it gets values.
fn function(call: &ast::MethodCallExpr) -> Option<(ast::Expr, bool)> {
    let mut receiver = call.receiver()?;
    while let ast::Expr::MethodCallExpr(before) = &receiver {
        receiver = before.receiver()?;
    }
    let ast::Expr::CallExpr(map) = receiver else { return None };
    let ast::Expr::PathExpr(path) = map.expr()? else { return None };
    let path: String = path.syntax().text().to_string().split_whitespace().collect();
    let has_values = match path.strip_prefix("::").unwrap_or(&path) {
        "px::map" => false,
        "px::map_with" => true,
        _ => return None,
    };
    Some((map.arg_list()?.args().nth(usize::from(has_values))?, has_values))
}

/// Whether a function says all its types itself, and means the same at the cell's top level.
fn is_seen(function: &ast::Expr) -> bool {
    let says_all = match function {
        ast::Expr::ClosureExpr(closure) => {
            closure.param_list().is_some_and(|list| list.params().all(|parameter| parameter.ty().is_some()))
        }
        ast::Expr::PathExpr(_) => true,
        _ => false,
    };
    let node = function.syntax();
    let leaves_out = |node: SyntaxNode| ast::InferType::can_cast(node.kind());
    let of_types = match function {
        ast::Expr::ClosureExpr(closure) => closure.param_list().map(|list| list.syntax().clone()),
        _ => Some(node.clone()),
    };
    says_all
        && !of_types.is_some_and(|types| types.descendants().any(leaves_out))
        && !node.descendants_with_tokens().any(|part| part.kind() == SyntaxKind::SELF_TYPE_KW)
        && !is_variable(function)
        && node.ancestors().all(|around| changes_nothing(&around))
}

/// Whether it is the name of a variable.
fn is_variable(function: &ast::Expr) -> bool {
    let node = function.syntax();
    let name = node.text().to_string();
    let of_fn = node.ancestors().filter_map(ast::Fn::cast).filter_map(|it| it.param_list());
    let mut parameters = of_fn.flat_map(|list| list.params()).filter_map(|parameter| parameter.pat());
    let bound = binder(plain(&name), node.text_range().start(), node);
    matches!(function, ast::Expr::PathExpr(_))
        && (bound.is_some_and(|by| !ast::Item::can_cast(by.kind())) || parameters.any(|it| binds(&it, plain(&name))))
}

/// Whether names mean the same on either side of this node.
fn changes_nothing(node: &SyntaxNode) -> bool {
    if let Some(list) = ast::StmtList::cast(node.clone()) {
        // Those of the cell's top level are there for all.
        let is_cells = node.ancestors().nth(3).is_some_and(|file| ast::SourceFile::can_cast(file.kind()));
        return is_cells || !list.statements().any(|statement| matches!(statement, ast::Stmt::Item(_)));
    }
    let is_generic =
        |list: Option<ast::GenericParamList>| list.is_some_and(|list| list.type_or_const_params().next().is_some());
    match ast::Item::cast(node.clone()) {
        Some(ast::Item::Fn(it)) => !is_generic(it.generic_param_list()),
        Some(ast::Item::Impl(it)) => !is_generic(it.generic_param_list()),
        Some(_) => false,
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cell;

    fn is_seen(text: &str) -> bool {
        let rust = Cell::parse(text).rust;
        assert_eq!(rust.to_lowercase(), text.to_lowercase(), "nothing moves");
        let maps = gpu_maps(&rust);
        assert_eq!(rust != text, !maps.is_empty(), "{text}");
        !maps.is_empty()
    }

    #[test]
    fn a_map_is_seen_where_its_function_is_and_means_the_same() {
        for text in [
            "px::map(f, xs).gpu().sum()?",
            "let y = px::map(m::f::<u8>, xs).chunk(1).gpu_or_cpu().start().collect()?;",
            "::px::map(|x: f64| x * 2.0, 0..3)\n    .filter(|y| *y > 1.0)\n    .gpu()\n    .collect()?",
            "px::map_with((&k,), |(k,): &(f64,), x: f64| k * x, &xs).gpu().sum()?",
            "fn g(xs: &[f64]) -> f64 { for i in 0..3 { px::map(f, xs).gpu().sum().unwrap(); } 1.0 }",
            "impl S { fn g(&self) { px::map(f, 0..3).gpu().sum(); } }",
            "fn g<'a>(xs: &'a [f64]) { px::map(f, xs).gpu() }\nfn f(x: f64) -> f64 { x }",
        ] {
            assert!(is_seen(text), "{text}");
        }
        for text in [
            "m.gpu()",
            "px::call(f, xs).gpu()",
            "px::map(|x| x * 2.0, &xs).gpu()",
            "px::map(|x: _| x, &xs).gpu()",
            "px::map(|v: Vec<_>| v.len(), &xs).gpu()",
            "px::map(f::<_>, &xs).gpu()",
            "px::map(g(), &xs).gpu()",
            "let f = g;\npx::map(f, &xs).gpu()",
            "fn r(f: fn(u8) -> u8) { px::map(f, 0..3).gpu(); }",
            "fn r() { let f = g; px::map(f, 0..3).gpu(); }",
            "fn r<T: F>(x: T) { px::map(T::f, 0..3).gpu(); }",
            "impl<T> S<T> { fn r() { px::map(f, 0..3).gpu(); } }",
            "impl S { fn r() { px::map(Self::f, 0..3).gpu(); } }",
            "trait R { fn r() { px::map(f, 0..3).gpu(); } }",
            "mod m { fn r() { px::map(f, 0..3).gpu(); } }",
            "{ fn f(x: u8) -> u8 { x } px::map(f, 0..3).gpu() }",
            "{ use m::f; px::map(f, 0..3).gpu() }",
            "println!(\"{}\", px::map(f, 0..3).gpu().sum()?)",
            "px::map(f, xs).gpu",
        ] {
            assert!(!is_seen(text), "{text}");
        }
    }

    #[test]
    fn places_are_the_texts() {
        let rust = Cell::parse("let é = 1; px::map_with(v,\n  |v: &V, x: u8|\n  x, 0..3).gpu_or_cpu()").rust;
        let maps = gpu_maps(&rust);
        let piece = |text: &str, line, column| Piece { text: text.into(), line, column };
        let (function, word) = (piece("|v: &V, x: u8|\n  x", 2, 3), piece("gpU_or_cpu", 3, 12));
        assert_eq!(maps, [GpuMap { function, has_values: true, or_cpu: true, word }]);
    }
}
