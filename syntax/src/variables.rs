//! The variables that a cell's `let`s define one by one, as far as the text tells of them: type, value, comment.
//!
//! A type that isn't written is guessed from literals alone, as rustc infers it. What can't be told by syntax stays unknown.

use crate::cell::{Cell, WRAPPER};
use ra_ap_syntax::ast::{self, AstChildren, AstNode, HasArgList, HasGenericArgs, HasName, LiteralKind, UnaryOp};
use ra_ap_syntax::{Edition, SourceFile};
use std::fmt;

/// Deeper ones aren't looked at.
const DEEPEST: usize = 32;

/// A variable that a `let` at the cell's top level defines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Whether it is `mut`.
    pub mutable: bool,
    /// As it is written, or as the value tells.
    pub type_name: Option<String>,
    /// What that is made of.
    pub shape: Option<TypeShape>,
    /// The text behind `=`.
    pub value: Option<String>,
    /// The comment behind it on its last line, or else on the lines above, without slashes.
    pub comment: String,
    /// The 1-based line within the cell where the `let` stands.
    pub line: usize,
    /// The whole `let`.
    pub text: String,
}

/// What a type is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypeShape {
    /// `u8`, `std::vec::Vec<u8>`: the last name and what stands in its brackets.
    Path(String, Vec<TypeShape>),
    /// `&T`, with any lifetime.
    Reference(Box<TypeShape>),
    /// `[T]`.
    Slice(Box<TypeShape>),
    /// `[T; 3]`.
    Array(Box<TypeShape>, usize),
    /// `(A, B)`.
    Tuple(Vec<TypeShape>),
    /// `_`.
    Inferred,
    /// Any other.
    Other,
}

impl TypeShape {
    fn path(name: &str) -> TypeShape {
        TypeShape::Path(name.to_owned(), Vec::new())
    }

    fn of(name: &str, argument: TypeShape) -> TypeShape {
        TypeShape::Path(name.to_owned(), vec![argument])
    }

    /// Whether all of it is known.
    fn is_whole(&self) -> bool {
        match self {
            TypeShape::Path(_, parts) | TypeShape::Tuple(parts) => parts.iter().all(TypeShape::is_whole),
            TypeShape::Reference(inner) | TypeShape::Slice(inner) | TypeShape::Array(inner, _) => inner.is_whole(),
            TypeShape::Inferred | TypeShape::Other => false,
        }
    }

    fn read(written: &ast::Type, depth: usize) -> TypeShape {
        let inner = |part: Option<ast::Type>| part.map(|part| Box::new(TypeShape::read(&part, depth + 1)));
        let shape = match written {
            _ if depth > DEEPEST => None,
            ast::Type::ParenType(paren) => paren.ty().map(|part| TypeShape::read(&part, depth + 1)),
            ast::Type::RefType(reference) if reference.mut_token().is_none() => {
                inner(reference.ty()).map(TypeShape::Reference)
            }
            ast::Type::SliceType(slice) => inner(slice.ty()).map(TypeShape::Slice),
            ast::Type::ArrayType(array) => {
                let length = array.const_arg().and_then(|length| length.to_string().parse().ok());
                inner(array.ty()).zip(length).map(|(part, length)| TypeShape::Array(part, length))
            }
            ast::Type::TupleType(tuple) => {
                Some(TypeShape::Tuple(tuple.fields().map(|part| TypeShape::read(&part, depth + 1)).collect()))
            }
            ast::Type::InferType(_) => Some(TypeShape::Inferred),
            ast::Type::PathType(path) => path.path().and_then(|path| path.segment()).and_then(|segment| {
                let name = segment.name_ref()?.text().to_string();
                let arguments = segment.generic_arg_list().into_iter().flat_map(|list| list.generic_args());
                let arguments = arguments.filter_map(|argument| match argument {
                    ast::GenericArg::TypeArg(argument) => Some(TypeShape::read(&argument.ty()?, depth + 1)),
                    ast::GenericArg::LifetimeArg(_) => None,
                    _ => Some(TypeShape::Other),
                });
                Some(TypeShape::Path(name, arguments.collect()))
            }),
            _ => None,
        };
        shape.unwrap_or(TypeShape::Other)
    }
}

impl fmt::Display for TypeShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, parts: &[TypeShape]| {
            parts.iter().enumerate().try_for_each(|(index, part)| {
                f.write_str(if index == 0 { "" } else { ", " })?;
                part.fmt(f)
            })
        };
        match self {
            TypeShape::Path(name, parts) if parts.is_empty() => f.write_str(name),
            TypeShape::Path(name, parts) => {
                write!(f, "{name}<")?;
                list(f, parts)?;
                f.write_str(">")
            }
            TypeShape::Reference(inner) => write!(f, "&{inner}"),
            TypeShape::Slice(inner) => write!(f, "[{inner}]"),
            TypeShape::Array(inner, length) => write!(f, "[{inner}; {length}]"),
            TypeShape::Tuple(parts) => {
                f.write_str("(")?;
                list(f, parts)?;
                f.write_str(if parts.len() == 1 { ",)" } else { ")" })
            }
            TypeShape::Inferred | TypeShape::Other => f.write_str("_"),
        }
    }
}

/// The variables of a cell, in order; of two of one name the later, which hides the earlier. A pattern of several names
/// defines none here.
pub fn variables(text: &str) -> Vec<Variable> {
    let mut variables: Vec<Variable> = Vec::new();
    let cell = Cell::parse(text);
    for (index, piece) in cell.statements.iter().enumerate() {
        // A statement's end is the next one's begin for comments, and the parser has put those into neither.
        let next = cell.statements.get(index + 1).map(|next| next.line);
        if let Some(variable) = variable(&cell.rust, piece.line, &piece.text, next) {
            variables.retain(|earlier| earlier.name != variable.name);
            variables.push(variable);
        }
    }
    variables
}

fn variable(rust: &str, line: usize, text: &str, next: Option<usize>) -> Option<Variable> {
    let file = SourceFile::parse(&format!("{WRAPPER}{text}}}"), Edition::Edition2024).tree();
    let statement = file.syntax().descendants().find_map(ast::LetStmt::cast)?;
    let Some(ast::Pat::IdentPat(pattern)) = statement.pat() else { return None };
    if pattern.pat().is_some() || pattern.ref_token().is_some() || statement.let_else().is_some() {
        return None;
    }
    let written = statement.ty();
    let value = statement.initializer();
    let guessed =
        || value.as_ref().and_then(|value| guess(value, 0)).map(|guess| guess.shape).filter(TypeShape::is_whole);
    let shape = written.as_ref().map(|written| TypeShape::read(written, 0));
    let (shape, type_name) = match shape {
        Some(TypeShape::Inferred) | None => guessed().map(|shape| (shape.clone(), shape.to_string())).unzip(),
        // `Vec<_>`, if the value tells what that is.
        Some(shape) if !shape.is_whole() => match guessed() {
            Some(whole) => (Some(whole.clone()), Some(whole.to_string())),
            None => (Some(shape), written.map(|written| written.to_string())),
        },
        Some(shape) => (Some(shape), written.map(|written| written.to_string())),
    };
    Some(Variable {
        name: pattern.name()?.text().to_string(),
        mutable: pattern.mut_token().is_some(),
        type_name,
        shape,
        value: value.map(|value| value.to_string()),
        comment: comment(rust, line, text, next),
        line,
        text: text.to_owned(),
    })
}

/// The comment behind a statement on the line where it ends, unless another one begins there, or the lines of comment right
/// above it.
fn comment(rust: &str, line: usize, text: &str, next: Option<usize>) -> String {
    let lines: Vec<&str> = rust.lines().collect();
    let end = line + text.matches('\n').count();
    let last = text.lines().last().unwrap_or_default();
    let behind = lines.get(end - 1).and_then(|whole| whole.rsplit_once(last)).map_or("", |(_, behind)| behind.trim());
    let said = |comment: &str| comment.trim().trim_start_matches('/').trim_start_matches('!').trim().to_owned();
    if behind.starts_with("//") && next != Some(end) {
        return said(behind);
    }
    let above = lines.iter().take(line - 1).rev().take_while(|line| line.trim().starts_with("//"));
    let mut above: Vec<String> = above.map(|line| said(line)).collect();
    above.reverse();
    above.join(" ")
}

/// What a value's type must be.
struct Guess {
    shape: TypeShape,
    /// Whether the text says so. A number without suffix is of another type where others want that.
    firm: bool,
}

impl Guess {
    fn firm(shape: TypeShape) -> Option<Guess> {
        Some(Guess { shape, firm: true })
    }

    fn weak(name: &str) -> Option<Guess> {
        Some(Guess { shape: TypeShape::path(name), firm: false })
    }

    /// What all of them are, who have one type.
    fn common(values: AstChildren<ast::Expr>, depth: usize) -> Option<Guess> {
        values.map(|value| guess(&value, depth)).reduce(Guess::either)?
    }

    fn either(one: Option<Guess>, other: Option<Guess>) -> Option<Guess> {
        match (one, other) {
            (Some(one), Some(other)) if other.firm && !one.firm => Some(other),
            (Some(one), _) => Some(one),
            (None, other) => other,
        }
    }

    fn within(self, wrap: impl FnOnce(TypeShape) -> TypeShape) -> Guess {
        Guess { shape: wrap(self.shape), firm: self.firm }
    }
}

const NUMBERS: [&str; 14] =
    ["u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize", "f32", "f64"];

fn guess(value: &ast::Expr, depth: usize) -> Option<Guess> {
    if depth > DEEPEST {
        return None;
    }
    let deeper = |value: Option<ast::Expr>| guess(&value?, depth + 1);
    match value {
        ast::Expr::Literal(literal) => of_literal(literal),
        ast::Expr::ParenExpr(paren) => deeper(paren.expr()),
        ast::Expr::PrefixExpr(prefix) => match prefix.op_kind()? {
            UnaryOp::Deref => None,
            UnaryOp::Neg | UnaryOp::Not => deeper(prefix.expr()),
        },
        ast::Expr::BinExpr(binary) => match binary.op_kind()? {
            ast::BinaryOp::ArithOp(ast::ArithOp::Shl | ast::ArithOp::Shr) => deeper(binary.lhs()),
            ast::BinaryOp::ArithOp(_) => Guess::either(deeper(binary.lhs()), deeper(binary.rhs())),
            ast::BinaryOp::CmpOp(_) | ast::BinaryOp::LogicOp(_) => Guess::firm(TypeShape::path("bool")),
            ast::BinaryOp::Assignment { .. } => None,
        },
        ast::Expr::CastExpr(cast) => Guess::firm(TypeShape::read(&cast.ty()?, 0)),
        ast::Expr::RefExpr(reference) if reference.mut_token().is_none() => {
            let inner = deeper(reference.expr())?;
            Some(inner.within(|shape| match shape {
                // As one wants it: a list of any length.
                TypeShape::Array(part, _) => TypeShape::Reference(Box::new(TypeShape::Slice(part))),
                shape => TypeShape::Reference(Box::new(shape)),
            }))
        }
        ast::Expr::TupleExpr(tuple) => {
            let parts: Option<Vec<Guess>> = tuple.fields().map(|part| guess(&part, depth + 1)).collect();
            Guess::firm(TypeShape::Tuple(parts?.into_iter().map(|part| part.shape).collect()))
        }
        ast::Expr::ArrayExpr(array) => of_array(array, depth),
        ast::Expr::MacroExpr(call) => {
            let call = call.macro_call()?;
            let tokens = call.token_tree()?.to_string();
            if call.path()?.to_string() != "vec" {
                return None;
            }
            // What `vec!` takes is written as an array is.
            let inside = tokens.get(1..tokens.len().checked_sub(1)?)?;
            let array = format!("{WRAPPER}[{inside}]}}");
            let file = SourceFile::parse(&array, Edition::Edition2024).tree();
            let array = file.syntax().descendants().find_map(ast::ArrayExpr::cast)?;
            match of_array(&array, depth + 1)?.shape {
                TypeShape::Array(part, _) => Guess::firm(TypeShape::of("Vec", *part)),
                _ => None,
            }
        }
        ast::Expr::MethodCallExpr(call) => {
            let receiver = deeper(call.receiver())?;
            let is_text = receiver.shape == TypeShape::Reference(Box::new(TypeShape::path("str")));
            let method = call.name_ref()?;
            match method.text() {
                "to_string" => Guess::firm(TypeShape::path("String")),
                "to_owned" if is_text => Guess::firm(TypeShape::path("String")),
                _ => None,
            }
        }
        ast::Expr::CallExpr(call) => {
            let function = call.expr()?.to_string();
            match function.split_whitespace().collect::<String>().as_str() {
                "String::from" | "String::new" => Guess::firm(TypeShape::path("String")),
                "Some" => {
                    let inner = deeper(call.arg_list()?.args().next())?;
                    Some(inner.within(|shape| TypeShape::of("Option", shape)))
                }
                _ => None,
            }
        }
        // `f64::INFINITY`, `u64::MAX`, `std::f64::consts::PI`.
        ast::Expr::PathExpr(path) => {
            let path = path.path()?.to_string();
            let mut names = path.split("::").map(str::trim);
            let number = names.find(|name| NUMBERS.contains(name))?;
            names.next().is_some().then(|| Guess::firm(TypeShape::path(number)))?
        }
        _ => None,
    }
}

fn of_array(array: &ast::ArrayExpr, depth: usize) -> Option<Guess> {
    match array.kind() {
        ast::ArrayExprKind::Repeat { initializer, repeat } => {
            let length = repeat.and_then(|repeat| repeat.to_string().replace('_', "").parse().ok()).unwrap_or(0);
            let part = guess(&initializer?, depth + 1)?;
            Some(part.within(|part| TypeShape::Array(Box::new(part), length)))
        }
        ast::ArrayExprKind::ElementList(values) => {
            let length = values.clone().count();
            let part = Guess::common(values, depth + 1)?;
            Some(part.within(|part| TypeShape::Array(Box::new(part), length)))
        }
    }
}

fn of_literal(literal: &ast::Literal) -> Option<Guess> {
    let suffixed = |suffix: Option<&str>, default: &str| match suffix {
        Some(suffix) => Guess::firm(TypeShape::path(suffix)),
        None => Guess::weak(default),
    };
    match literal.kind() {
        LiteralKind::String(_) => Guess::firm(TypeShape::Reference(Box::new(TypeShape::path("str")))),
        LiteralKind::IntNumber(number) => suffixed(number.suffix(), "i32"),
        LiteralKind::FloatNumber(number) => suffixed(number.suffix(), "f64"),
        LiteralKind::Char(_) => Guess::firm(TypeShape::path("char")),
        LiteralKind::Bool(_) => Guess::firm(TypeShape::path("bool")),
        LiteralKind::Byte(_) => Guess::firm(TypeShape::path("u8")),
        LiteralKind::ByteString(_) | LiteralKind::CString(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn type_of(text: &str) -> String {
        let found = variables(text);
        assert_eq!(found.len(), 1, "{text}");
        found[0].type_name.clone().unwrap_or_else(|| "?".into())
    }

    #[test]
    fn types_are_those_that_are_written_or_that_literals_have() {
        for (value, expected) in [
            ("1", "i32"),
            ("-5i8", "i8"),
            ("1.0", "f64"),
            ("1e3f32", "f32"),
            ("5 as usize", "usize"),
            ("60 * 60", "i32"),
            ("2 * 3u64", "u64"),
            ("1 << 20u8", "i32"),
            ("\"a\"", "&str"),
            ("\"a\".to_string()", "String"),
            ("String::from(\"a\")", "String"),
            ("\"a\".to_owned()", "String"),
            ("'c'", "char"),
            ("true && false", "bool"),
            ("1 < 2", "bool"),
            ("vec![1, 2u8]", "Vec<u8>"),
            ("vec![0.0; 3]", "Vec<f64>"),
            ("vec![vec![\"a\"]]", "Vec<Vec<&str>>"),
            ("[1, 2]", "[i32; 2]"),
            ("&[1.0, 2.0]", "&[f64]"),
            ("(1, \"a\")", "(i32, &str)"),
            ("(1u8,)", "(u8,)"),
            ("Some(1.5)", "Option<f64>"),
            ("f64::INFINITY", "f64"),
            ("std::f64::consts::PI / 2.0", "f64"),
            ("vec![]", "?"),
            ("compute()", "?"),
            ("x", "?"),
            ("u64", "?"),
            ("b\"bytes\"", "?"),
        ] {
            assert_eq!(type_of(&format!("let a = {value};")), expected, "{value}");
        }
        assert_eq!(
            type_of("let mut a: std::collections::HashMap<String, f32> = f();"),
            "std::collections::HashMap<String, f32>"
        );
        assert_eq!(type_of("let a: &'static str = \"x\";"), "&'static str");
        assert_eq!(type_of("let a: Vec<_> = vec![1u8];"), "Vec<u8>");
        assert_eq!(type_of("let a: _ = 1u8;"), "u8");
        assert_eq!(type_of("let a: f32;"), "f32");
    }

    #[test]
    fn shapes_leave_out_lifetimes_and_paths() {
        let shape = |text: &str| variables(&format!("let a: {text};"))[0].shape.clone().unwrap();
        assert_eq!(shape("&'static str"), TypeShape::Reference(Box::new(TypeShape::path("str"))));
        assert_eq!(shape("std::vec::Vec<(u8, [f32; 3])>").to_string(), "Vec<(u8, [f32; 3])>");
        assert_eq!(shape("fn(u8) -> u8"), TypeShape::Other);
        assert_eq!(shape("&mut u8"), TypeShape::Other);
    }

    #[test]
    fn comments_stand_behind_or_above() {
        let text = "// the rate,\n// at first\nlet rate = 1.0;\nlet n = 2; // how many\n\n// none of n's\n\nlet s = \"// x\";\n\
                    let xs = vec![\n    1,\n]; // a list\nlet a = 1; let b = 2; // of b";
        let comments: Vec<(String, String, usize)> =
            variables(text).into_iter().map(|variable| (variable.name, variable.comment, variable.line)).collect();
        let expected = [
            ("rate", "the rate, at first", 3),
            ("n", "how many", 4),
            ("s", "", 8),
            ("xs", "a list", 9),
            ("a", "", 12),
            ("b", "of b", 12),
        ];
        assert_eq!(comments, expected.map(|(name, comment, line)| (name.to_owned(), comment.to_owned(), line)));
    }

    #[test]
    fn when_two_have_one_name_the_later_counts_and_patterns_are_left_out() {
        let found =
            variables("let a = 1;\nlet mut a = 2.0;\nlet (b, c) = (1, 2);\nlet ref d = 3;\nfn f() { let e = 1; }");
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].mutable, found[0].line, found[0].value.as_deref()), (true, 2, Some("2.0")));
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in "(let |mut |[a-c]|: |= |vec!\\[|\\]|[0-9]|\\.|\"|//|\n|;|&|<|>|\\(|\\)|é|\\PC){0,40}") {
            for variable in variables(&text) {
                prop_assert!(variable.line >= 1 && variable.line <= text.lines().count().max(1));
            }
        }
    }
}
