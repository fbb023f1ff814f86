//! The names that a `use` brings, one by one, each as an import of its own.

use ra_ap_syntax::ast::{self, HasName};

/// One of the imports that a `use` consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The name that it brings. A glob, and `as _`, has none.
    pub name: Option<String>,
    /// It alone, as Rust.
    pub text: String,
}

/// All of them, in their order. This is how evcxr takes a `use` apart, letter by letter.
pub(crate) fn imports(item: &ast::Use) -> Vec<Import> {
    let mut found = Vec::new();
    if let Some(tree) = item.use_tree() {
        add(&tree, &[], &mut found);
    }
    found
}

fn add(tree: &ast::UseTree, prefix: &[String], found: &mut Vec<Import>) {
    let Some(path) = tree.path() else { return };
    if path.segment().and_then(|segment| segment.kind()) == Some(ast::PathSegmentKind::SelfKw) {
        found.extend(prefix.last().map(|last| import(last, prefix)));
        return;
    }
    let segment = |path: &ast::Path| {
        let segment = path.segment()?;
        let name = segment.name_ref().map(|name| name.text().to_string());
        name.or_else(|| Some(segment.crate_token()?.text().to_owned()))
    };
    let mut own: Vec<String> =
        std::iter::successors(Some(path), ast::Path::qualifier).filter_map(|p| segment(&p)).collect();
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
}
