//! The names that a `use` brings, one by one, each as an import of its own.

use ra_ap_syntax::ast::{self, AstNode, HasName};

/// One of the imports that a `use` consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The name that it brings. A glob, and `as _`, has none.
    pub name: Option<String>,
    /// It alone, as Rust.
    pub text: String,
}

/// All of them, in their order. This is how evcxr takes a `use` apart, letter by letter, but for what [`is_misread`] tells.
pub(crate) fn imports(item: &ast::Use) -> Vec<Import> {
    let mut found = Vec::new();
    if let Some(tree) = item.use_tree() {
        add(&tree, &[], &mut found);
    }
    found
}

/// Whether evcxr takes it for something else: it doesn't see what has no path of its own, as `*` in braces or braces in
/// braces, nor the name in `self as name`.
pub(crate) fn is_misread(item: &ast::Use) -> bool {
    let trees = item.syntax().descendants().filter_map(ast::UseTree::cast);
    trees.into_iter().any(|tree| match tree.path() {
        None => true,
        Some(path) => is_self(&path) && tree.rename().is_some(),
    })
}

fn is_self(path: &ast::Path) -> bool {
    path.segment().and_then(|segment| segment.kind()) == Some(ast::PathSegmentKind::SelfKw)
}

fn add(tree: &ast::UseTree, prefix: &[String], found: &mut Vec<Import>) {
    let path = tree.path();
    let segment = |path: &ast::Path| {
        let segment = path.segment()?;
        let name = segment.name_ref().map(|name| name.text().to_string());
        name.or_else(|| Some(segment.crate_token()?.text().to_owned()))
    };
    // `self` in braces is what stands in front of them.
    let own = path.filter(|path| !is_self(path) || prefix.is_empty());
    let mut own: Vec<String> = std::iter::successors(own, ast::Path::qualifier).filter_map(|p| segment(&p)).collect();
    own.reverse();
    let mut whole = [prefix, &own].concat();
    if let Some(list) = tree.use_tree_list() {
        list.use_trees().for_each(|tree| add(&tree, &whole, found));
    } else if let Some(rename) = tree.rename() {
        let name = rename.name().map(|name| name.text().to_string());
        let name = name.or_else(|| Some(rename.underscore_token()?.text().to_owned()));
        found.extend(name.map(|name| import(&name, &whole)));
    } else if tree.star_token().is_some() {
        whole.push("*".into());
        found.push(import("*", &whole));
    } else if let Some(last) = whole.last().cloned() {
        found.push(import(&last, &whole));
    }
}

fn import(name: &str, path: &[String]) -> Import {
    let whole = path.join("::");
    let text = match path.last().is_some_and(|last| last == name) {
        true => format!("use {whole};"),
        false => format!("use {whole} as {name};"),
    };
    let name = (name != "_" && name != "*").then(|| name.trim_start_matches("r#").to_owned());
    Import { name, text }
}

#[cfg(test)]
mod tests {
    use crate::Cell;

    #[test]
    fn each_name_is_an_import_of_its_own() {
        let imports = |text: &str| -> Vec<(Option<String>, String)> {
            let items = Cell::parse(text).items;
            items[0].imports.iter().map(|import| (import.name.clone(), import.text.clone())).collect()
        };
        let named = |name: &str, text: &str| (Some(name.to_owned()), text.to_owned());
        let unnamed = |text: &str| (None, text.to_owned());
        assert_eq!(
            imports("use std::{collections::{self, hash_map::{HashMap}, HashSet as Set}, io::*, fmt::Write as _};"),
            [
                named("collections", "use std::collections;"),
                named("HashMap", "use std::collections::hash_map::HashMap;"),
                named("Set", "use std::collections::HashSet as Set;"),
                unnamed("use std::io::*;"),
                unnamed("use std::fmt::Write as _;"),
            ]
        );
        assert_eq!(imports("pub use crate::geo::area as size;"), [named("size", "use crate::geo::area as size;")]);
        assert_eq!(imports("fn f() {}"), []);
    }

    #[test]
    fn what_evcxr_does_not_see_is_told() {
        let read = |text: &str| {
            let item = Cell::parse(text).items.remove(0);
            (item.is_misread, item.imports.into_iter().map(|import| import.text).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(read("use s::{deep as d, *};"), (true, "use s::deep as d; use s::*;".into()));
        assert_eq!(
            read("use std::{fmt::{self as f, Write}, {io::*}};"),
            (true, "use std::fmt as f; use std::fmt::Write; use std::io::*;".into())
        );
        assert_eq!(read("use {std::fmt, s::{{a, b}}};"), (true, "use std::fmt; use s::a; use s::b;".into()));
        for text in ["use s::*;", "use std::{fmt::{self, Write}, io::*};", "use s as t;"] {
            assert!(!read(text).0, "{text}");
        }
    }
}
