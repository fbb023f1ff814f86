//! Whether all that a cell's code does is a few steps, so that nobody could tell it from optimised code by its speed.
//!
//! What is listed here is known to be; whatever else there may be counts as work. So a mistake can only be that a cell
//! takes longer to compile than it need. Plain code has no loops, also none in what the compiler generates of std or of
//! other crates for it, calls nothing but plain functions, once, and leaves no code behind that others call: no `impl`, no
//! value that has functions in it. Its values are small, since code that isn't optimised moves them more often.

use ra_ap_syntax::ast::{
    self, AstNode, BinaryOp, HasArgList, HasAttrs, HasGenericArgs, HasGenericParams, HasModuleItem, HasName,
};
use ra_ap_syntax::{Edition, NodeOrToken, SourceFile, SyntaxKind, SyntaxNode};
use std::collections::BTreeSet;

const PRIMITIVES: [&str; 16] = [
    "bool", "char", "f32", "f64", "i8", "i16", "i32", "i64", "i128", "isize", "u8", "u16", "u32", "u64", "u128",
    "usize",
];
/// Traits of std that are derived without loops where the fields have none.
const DERIVES: [&str; 9] = ["Clone", "Copy", "Debug", "Default", "Eq", "Hash", "Ord", "PartialEq", "PartialOrd"];
const PRINTS: [&str; 5] = ["print", "println", "eprint", "eprintln", "format"];
/// Methods of plain types that are compiled in std, or no more than a few instructions.
const METHODS: [&str; 14] = [
    "abs",
    "as_str",
    "ceil",
    "clone",
    "floor",
    "is_empty",
    "len",
    "powf",
    "powi",
    "round",
    "sqrt",
    "to_owned",
    "to_string",
    "trim",
];
/// No list is longer, and no expression has more levels.
const LONGEST: usize = 64;
const DEEPEST: usize = 32;

/// Whether a cell is plain: its definitions and all that they are compiled with, its statements, the types of variables
/// that it takes from the notebook, and of those that it leaves there.
pub fn is_plain(definitions: &str, statements: &str, takes: &[&str], leaves: &[&str]) -> bool {
    let Some(root) = parsed(definitions) else { return false };
    let mut names = Names::default();
    let items: Vec<ast::Item> = root.items().filter(|item| !is_left_out(item)).collect();
    for item in &items {
        match item {
            ast::Item::Struct(item) => names.types.extend(named(item)),
            ast::Item::Enum(item) => names.types.extend(named(item)),
            ast::Item::Const(item) => names.constants.extend(named(item)),
            ast::Item::Fn(item) => names.functions.extend(named(item)),
            _ => {}
        }
    }
    // A function that calls another may be called by it.
    let within = Names { functions: BTreeSet::new(), ..names.clone() };
    if !items.iter().all(|item| is_plain_item(item, &within)) {
        return false;
    }
    let Some(root) = parsed(&format!("fn cell() {{\n{statements}\n}}")) else { return false };
    let body = match root.items().collect::<Vec<_>>().as_slice() {
        [ast::Item::Fn(cell)] => cell.body(),
        _ => None,
    };
    let is_kept = |text: &&str| type_of(text).is_some_and(|of| names.is_plain_type(&of) || is_plain_list(&of));
    body.is_some_and(|body| names.is_plain_block(&body, 0))
        && takes.iter().all(|text| type_of(text).is_some_and(|of| names.is_plain_type(&of)))
        && leaves.iter().all(is_kept)
}

fn parsed(text: &str) -> Option<SourceFile> {
    let parse = SourceFile::parse(text, Edition::Edition2024);
    parse.errors().is_empty().then(|| parse.tree())
}

fn named(item: &impl HasName) -> Option<String> {
    item.name().map(|name| name.text().to_string())
}

/// Whether it isn't compiled: evcxr's way to forget.
fn is_left_out(item: &ast::Item) -> bool {
    item.attrs().any(|attr| without_blanks(attr.syntax()) == "#[cfg(any())]")
}

fn without_blanks(node: &SyntaxNode) -> String {
    node.text().to_string().split_whitespace().collect()
}

fn type_of(text: &str) -> Option<ast::Type> {
    match parsed(&format!("type T = {text};"))?.items().collect::<Vec<_>>().as_slice() {
        [ast::Item::TypeAlias(alias)] => alias.ty(),
        _ => None,
    }
}

/// Whether this is a list of values that needn't be dropped one by one. A cell may make one that is written down, and no more.
fn is_plain_list(of: &ast::Type) -> bool {
    let text = without_blanks(of.syntax());
    text.strip_prefix("Vec<").and_then(|rest| rest.strip_suffix('>')).is_some_and(|inner| PRIMITIVES.contains(&inner))
}

fn is_plain_item(item: &ast::Item, names: &Names) -> bool {
    match item {
        ast::Item::Use(item) => is_plain_import(item),
        ast::Item::Struct(item) => {
            let fields = item.field_list();
            item.generic_param_list().is_none()
                && are_derives(item.attrs())
                && fields.is_none_or(|fields| names.are_plain_fields(&fields))
        }
        ast::Item::Enum(item) => {
            let mut variants = item.variant_list().into_iter().flat_map(|list| list.variants());
            item.generic_param_list().is_none()
                && are_derives(item.attrs())
                && variants.all(|variant| {
                    variant.attrs().next().is_none()
                        && variant.field_list().is_none_or(|fields| names.are_plain_fields(&fields))
                })
        }
        ast::Item::Const(item) => {
            item.attrs().next().is_none()
                && item.ty().is_some_and(|of| names.is_plain_type(&of))
                && item.body().is_some_and(|body| names.is_plain(&body, 0))
        }
        ast::Item::Fn(item) => is_plain_function(item, names),
        _ => false,
    }
}

fn is_plain_import(item: &ast::Use) -> bool {
    let text = item.use_tree().map(|tree| without_blanks(tree.syntax())).unwrap_or_default();
    let text = text.trim_start_matches("::");
    ["std::", "core::", "alloc::", "px::"].iter().any(|start| text.starts_with(start))
}

fn are_derives(mut attributes: impl Iterator<Item = ast::Attr>) -> bool {
    attributes.all(|attribute| {
        let text = without_blanks(attribute.syntax());
        let derives = text.strip_prefix("#[derive(").and_then(|rest| rest.strip_suffix(")]"));
        derives.is_some_and(|list| list.split(',').all(|name| name.is_empty() || DERIVES.contains(&name)))
    })
}

fn is_plain_function(item: &ast::Fn, names: &Names) -> bool {
    let is_special = item.async_token().is_some()
        || item.unsafe_token().is_some()
        || item.abi().is_some()
        || item.generic_param_list().is_some()
        || item.where_clause().is_some()
        || item.attrs().next().is_some();
    let Some(parameters) = item.param_list() else { return false };
    let returns = item.ret_type().is_none_or(|it| it.ty().is_some_and(|of| names.is_plain_type(&of)));
    !is_special
        && returns
        && parameters.self_param().is_none()
        && parameters.params().all(|it| it.ty().is_some_and(|of| names.is_plain_type(&of)))
        && item.body().is_some_and(|body| names.is_plain_block(&body, 0))
}

/// What the cell's own code may name besides its variables.
#[derive(Clone, Default)]
struct Names {
    types: BTreeSet<String>,
    constants: BTreeSet<String>,
    functions: BTreeSet<String>,
}

impl Names {
    fn are_plain_fields(&self, fields: &ast::FieldList) -> bool {
        let is_plain = |of: Option<ast::Type>| of.is_some_and(|of| self.is_plain_type(&of));
        match fields {
            ast::FieldList::RecordFieldList(list) => {
                list.fields().all(|field| field.attrs().next().is_none() && is_plain(field.ty()))
            }
            ast::FieldList::TupleFieldList(list) => {
                list.fields().all(|field| field.attrs().next().is_none() && is_plain(field.ty()))
            }
        }
    }

    /// Neither lists nor boxes, nor functions: what is dropped, shown or copied in a few steps.
    fn is_plain_type(&self, of: &ast::Type) -> bool {
        match of {
            ast::Type::ParenType(inner) => inner.ty().is_some_and(|of| self.is_plain_type(&of)),
            ast::Type::TupleType(tuple) => tuple.fields().all(|of| self.is_plain_type(&of)),
            ast::Type::RefType(to) => {
                let text = to.ty().map(|of| without_blanks(of.syntax())).unwrap_or_default();
                text == "str" || to.ty().is_some_and(|of| self.is_plain_type(&of))
            }
            ast::Type::PathType(path) => {
                let text = without_blanks(path.syntax());
                let inner = text.strip_prefix("Option<").and_then(|rest| rest.strip_suffix('>'));
                let text = inner.unwrap_or(&text);
                PRIMITIVES.contains(&text) || text == "String" || self.types.contains(text)
            }
            _ => false,
        }
    }

    fn is_plain_block(&self, block: &ast::BlockExpr, depth: usize) -> bool {
        let Some(list) = block.stmt_list().filter(|_| block.modifier().is_none() && block.label().is_none()) else {
            return false;
        };
        let mut statements = list.statements();
        statements.all(|statement| match statement {
            ast::Stmt::ExprStmt(it) => it.expr().is_some_and(|expr| self.is_plain(&expr, depth)),
            ast::Stmt::LetStmt(it) => {
                it.attrs().next().is_none()
                    && it.let_else().is_none()
                    && it.pat().is_some_and(|pattern| is_plain_pattern(&pattern))
                    && it.initializer().is_some_and(|expr| self.is_plain(&expr, depth))
            }
            ast::Stmt::Item(_) => false,
        }) && list.tail_expr().is_none_or(|expr| self.is_plain(&expr, depth))
    }

    fn is_plain(&self, expr: &ast::Expr, depth: usize) -> bool {
        if depth > DEEPEST
            || ast::AnyHasAttrs::cast(expr.syntax().clone()).is_some_and(|it| it.attrs().next().is_some())
        {
            return false;
        }
        let plain = |expr: Option<ast::Expr>| expr.is_some_and(|expr| self.is_plain(&expr, depth + 1));
        match expr {
            ast::Expr::Literal(_) => true,
            ast::Expr::ParenExpr(it) => plain(it.expr()),
            ast::Expr::PrefixExpr(it) => plain(it.expr()),
            ast::Expr::RefExpr(it) => plain(it.expr()),
            ast::Expr::FieldExpr(it) => plain(it.expr()),
            ast::Expr::CastExpr(it) => plain(it.expr()) && it.ty().is_some_and(|of| self.is_plain_type(&of)),
            ast::Expr::BinExpr(it) => it.op_kind().is_some() && plain(it.lhs()) && plain(it.rhs()),
            ast::Expr::TupleExpr(it) => it.fields().all(|field| plain(Some(field))),
            ast::Expr::BlockExpr(it) => self.is_plain_block(it, depth + 1),
            ast::Expr::IfExpr(it) => {
                let other = match it.else_branch() {
                    Some(ast::ElseBranch::Block(block)) => self.is_plain_block(&block, depth + 1),
                    Some(ast::ElseBranch::IfExpr(other)) => plain(Some(ast::Expr::IfExpr(other))),
                    None => true,
                };
                plain(it.condition())
                    && it.then_branch().is_some_and(|block| self.is_plain_block(&block, depth + 1))
                    && other
            }
            ast::Expr::ReturnExpr(it) => it.expr().is_none_or(|expr| plain(Some(expr))),
            ast::Expr::PathExpr(it) => it.path().is_some_and(|path| self.is_plain_name(&path)),
            ast::Expr::RecordExpr(it) => self.is_plain_record(it, depth),
            ast::Expr::CallExpr(it) => {
                let callee = match it.expr() {
                    Some(ast::Expr::PathExpr(path)) => path.path(),
                    _ => None,
                };
                let mut arguments = it.arg_list().into_iter().flat_map(|list| list.args());
                callee.is_some_and(|path| self.may_be_called(&path)) && arguments.all(|expr| plain(Some(expr)))
            }
            ast::Expr::MethodCallExpr(it) => {
                let is_known = it.name_ref().is_some_and(|name| METHODS.contains(&name.text()));
                let mut arguments = it.arg_list().into_iter().flat_map(|list| list.args());
                is_known
                    && it.generic_arg_list().is_none()
                    && plain(it.receiver())
                    && arguments.all(|it| plain(Some(it)))
            }
            ast::Expr::MacroExpr(it) => it.macro_call().is_some_and(|call| self.is_plain_macro(&call, depth)),
            _ => false,
        }
    }

    fn is_plain_record(&self, record: &ast::RecordExpr, depth: usize) -> bool {
        let is_known = record.path().is_some_and(|path| self.types.contains(&first_of(&path)));
        let Some(list) = record.record_expr_field_list().filter(|_| is_known) else { return false };
        list.spread().is_none()
            && list.dotdot_token().is_none()
            && list.fields().all(|field| {
                field.attrs().next().is_none() && field.expr().is_some_and(|expr| self.is_plain(&expr, depth + 1))
            })
    }

    /// A variable, a constant, or what a plain type has. What is neither is imported: then it may be anything.
    fn is_plain_name(&self, path: &ast::Path) -> bool {
        let text = without_blanks(path.syntax());
        let first = first_of(path);
        match text.split("::").count() {
            1 => {
                let is_variable = text.starts_with(|c: char| c.is_lowercase() || c == '_');
                is_variable && !self.functions.contains(&text)
                    || text == "None"
                    || self.types.contains(&text)
                    || self.constants.contains(&text)
            }
            2 => self.types.contains(&first) || (PRIMITIVES.contains(&first.as_str()) && is_constant(&text)),
            _ => ["std", "core"].contains(&first.as_str()) && text.contains("::consts::") && is_constant(&text),
        }
    }

    fn may_be_called(&self, path: &ast::Path) -> bool {
        let text = without_blanks(path.syntax());
        match text.split("::").count() {
            1 => text == "Some" || self.functions.contains(&text) || self.types.contains(&text),
            // A variant of an enum: there is no `impl` among the definitions.
            2 => self.types.contains(&first_of(path)) || text == "String::new" || text == "String::from",
            _ => false,
        }
    }

    fn is_plain_macro(&self, call: &ast::MacroCall, depth: usize) -> bool {
        let name = call.path().map(|path| without_blanks(path.syntax())).unwrap_or_default();
        let Some(tree) = call.token_tree() else { return false };
        let Some(arguments) = arguments(&tree) else { return false };
        let is_plain = |text: &String| match expression(text) {
            Some(ast::Expr::BinExpr(it)) if matches!(it.op_kind(), Some(BinaryOp::Assignment { op: None })) => {
                // The name of an argument.
                it.rhs().is_some_and(|expr| self.is_plain(&expr, depth + 1))
            }
            Some(expr) => self.is_plain(&expr, depth + 1),
            None => false,
        };
        match name.as_str() {
            "vec" => arguments.len() <= LONGEST && arguments.iter().all(is_plain),
            name if PRINTS.contains(&name) => {
                let is_text = |text: &String| text.starts_with('"') || text.starts_with('r');
                arguments.first().is_none_or(is_text) && arguments.len() <= LONGEST && arguments.iter().all(is_plain)
            }
            _ => false,
        }
    }
}

fn first_of(path: &ast::Path) -> String {
    let text = without_blanks(path.syntax());
    text.split("::").next().unwrap_or_default().to_owned()
}

fn is_constant(path: &str) -> bool {
    let last = path.rsplit("::").next().unwrap_or_default();
    !last.is_empty() && last.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

fn is_plain_pattern(pattern: &ast::Pat) -> bool {
    match pattern {
        ast::Pat::IdentPat(it) => {
            // With a capital it would be a constant's.
            let is_name = it.name().is_some_and(|name| name.text().starts_with(|c: char| c.is_lowercase() || c == '_'));
            is_name && it.pat().is_none()
        }
        ast::Pat::WildcardPat(_) => true,
        ast::Pat::TuplePat(it) => it.fields().all(|field| is_plain_pattern(&field)),
        _ => false,
    }
}

/// What stands between the commas of a macro call; `None` if it is divided in another way.
fn arguments(tree: &ast::TokenTree) -> Option<Vec<String>> {
    let mut arguments = vec![String::new()];
    let inner: Vec<_> = tree.syntax().children_with_tokens().collect();
    // The delimiters are the first and the last.
    for part in inner.get(1..inner.len().checked_sub(1)?)? {
        match part {
            NodeOrToken::Token(token) if token.kind() == SyntaxKind::COMMA => arguments.push(String::new()),
            NodeOrToken::Token(token) if token.kind() == SyntaxKind::SEMICOLON => return None,
            part => arguments.last_mut()?.push_str(&part.to_string()),
        }
    }
    let mut arguments: Vec<String> = arguments.iter().map(|text| text.trim().to_owned()).collect();
    if arguments.last().is_some_and(String::is_empty) {
        arguments.pop();
    }
    Some(arguments)
}

fn expression(text: &str) -> Option<ast::Expr> {
    match parsed(&format!("const A: () = {text};"))?.items().collect::<Vec<_>>().as_slice() {
        [ast::Item::Const(item)] => item.body(),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
