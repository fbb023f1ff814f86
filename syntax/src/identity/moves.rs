//! How a text gives types another path: what is inserted, and where.

use super::may_hold_types;
use crate::nature::Nature;
use ra_ap_syntax::ast::{self, AstNode, HasAttrs, HasModuleItem, HasName, HasVisibility};
use ra_ap_syntax::{Edition, NodeOrToken, SourceFile, SyntaxKind, SyntaxNode, SyntaxToken};
use std::collections::BTreeMap;

/// What begins and ends each insertion of [`moves`]; comments to rustc.
pub const INSERTION: (&str, &str) = ("/*chorus[*/", "/*]chorus*/");

/// What is to be inserted into a source so that the types of the definitions with these names are others, each with its
/// place. The values are what tells them apart.
pub fn moves(source: &str, identities: &BTreeMap<String, String>) -> Vec<(usize, String)> {
    let mut found = Insertions::default();
    let root = SourceFile::parse(source, Edition::Edition2024);
    for item in root.tree().items().filter(may_hold_types) {
        if let Some(identity) = Nature::of(&item).holder().and_then(|name| identities.get(name)) {
            found.item(&item, identity);
        }
    }
    if !found.all.is_empty() && source.contains("type_name") {
        found.names_of_types(root.tree().syntax());
    }
    // Of two in one place, the first stays the first.
    found.all.sort_by_key(|(at, _)| *at);
    found.all.into_iter().map(|(at, text)| (at, format!("{}{text}{}", INSERTION.0, INSERTION.1))).collect()
}

#[derive(Default)]
struct Insertions {
    all: Vec<(usize, String)>,
    modules: usize,
}

impl Insertions {
    fn add(&mut self, at: ra_ap_syntax::TextSize, text: impl Into<String>) {
        self.all.push((at.into(), text.into()));
    }

    fn item(&mut self, item: &ast::Item, identity: &str) {
        match item {
            ast::Item::Module(module) => {
                let inner = module.item_list().into_iter().flat_map(|list| list.items());
                inner.filter(may_hold_types).for_each(|item| self.item(&item, identity));
            }
            ast::Item::Struct(it) => self.put(it, identity),
            ast::Item::Enum(it) => self.put(it, identity),
            ast::Item::Union(it) => self.put(it, identity),
            ast::Item::Trait(it) => self.put(it, identity),
            ast::Item::Fn(it) => self.put(it, identity),
            ast::Item::Impl(it) => self.put_impl(it, identity),
            _ => {}
        }
    }

    /// Puts it into a module of its own, out of which it is imported.
    fn put(&mut self, item: &(impl HasAttrs + HasName + HasVisibility), identity: &str) {
        let (node, Some(name)) = (item.syntax(), item.name()) else { return };
        let (module, attributes) = self.open(item, identity);
        let visibility = item.visibility().map(|it| one_line(&format!("{} ", it.syntax().text()))).unwrap_or_default();
        self.widen(node, item.visibility());
        for field in node.descendants() {
            if let Some(field) = ast::RecordField::cast(field.clone()).filter(|it| is_field_of(it.syntax(), node)) {
                self.widen(field.syntax(), field.visibility());
            } else if let Some(field) = ast::TupleField::cast(field).filter(|it| is_field_of(it.syntax(), node)) {
                self.widen(field.syntax(), field.visibility());
            }
        }
        self.paths(node);
        let end = node.text_range().end();
        self.add(end, format!("}} {attributes} {visibility}use {module}::{};", name.syntax().text()));
    }

    /// Puts it into a module of its own. What it defines is where its type is.
    fn put_impl(&mut self, item: &ast::Impl, identity: &str) {
        self.open(item, identity);
        let members = item.assoc_item_list().into_iter().flat_map(|list| list.assoc_items());
        for member in members.filter(|_| item.trait_().is_none()) {
            match &member {
                ast::AssocItem::Const(it) => self.widen(it.syntax(), it.visibility()),
                ast::AssocItem::Fn(it) => self.widen(it.syntax(), it.visibility()),
                ast::AssocItem::TypeAlias(it) => self.widen(it.syntax(), it.visibility()),
                ast::AssocItem::MacroCall(_) => {}
            }
        }
        self.paths(item.syntax());
        self.add(item.syntax().text_range().end(), "}");
    }

    /// Begins a module around it: its name, and what attributes what is imported out of it has.
    fn open(&mut self, item: &impl HasAttrs, identity: &str) -> (String, String) {
        let conditions = item.attrs().filter(|attr| attr.simple_name().is_some_and(|name| name == "cfg"));
        let conditions: Vec<String> = conditions.map(|attr| attr.syntax().text().to_string()).collect();
        let attributes = format!("{}#[allow(unused_imports)]", one_line(&conditions.concat()));
        let module = format!("chorus_type_{identity}_{}", self.modules);
        self.modules += 1;
        let begin = item.syntax().text_range().start();
        self.add(begin, format!("{attributes} mod {module} {{ use super::*; "));
        (module, attributes)
    }

    /// Makes it visible where it was, from one module further in.
    fn widen(&mut self, node: &SyntaxNode, visibility: Option<ast::Visibility>) {
        let Some(visibility) = visibility else {
            let parts = node.children_with_tokens();
            let mut own = parts.filter(|part| !part.kind().is_trivia() && part.kind() != SyntaxKind::ATTR);
            if let Some(first) = own.next() {
                self.add(first.text_range().start(), "pub(super) ");
            }
            return;
        };
        let tokens = || visibility.syntax().descendants_with_tokens().filter_map(NodeOrToken::into_token);
        let has_in = tokens().any(|token| token.kind() == SyntaxKind::IN_KW);
        let first = tokens().find(|it| matches!(it.kind(), SyntaxKind::SUPER_KW | SyntaxKind::SELF_KW));
        let Some(first) = first else { return };
        let start = if has_in { "" } else { "in " };
        match first.kind() {
            SyntaxKind::SUPER_KW => self.add(first.text_range().start(), format!("{start}super::")),
            _ => {
                self.add(first.text_range().start(), start);
                self.add(first.text_range().end(), "::super");
            }
        }
    }

    /// Lets paths that begin where the item was begin there again.
    fn paths(&mut self, node: &SyntaxNode) {
        let tokens = node.descendants_with_tokens().filter_map(NodeOrToken::into_token);
        let tokens: Vec<SyntaxToken> = tokens.filter(|token| !token.kind().is_trivia()).collect();
        for (at, token) in tokens.iter().enumerate() {
            // Macros have colons one by one.
            let before = at.checked_sub(2).map_or(String::new(), |two| tokens[two].text().to_owned());
            let before = before + at.checked_sub(1).map_or("", |one| tokens[one].text());
            let is_first = !before.ends_with("::");
            let goes_on = tokens.get(at + 1).is_some_and(|next| next.text() == "::")
                || tokens.get(at + 1..at + 3).is_some_and(|next| next.iter().all(|next| next.text() == ":"));
            let in_visibility = token.parent_ancestors().any(|it| ast::Visibility::can_cast(it.kind()));
            if !is_first || !goes_on || in_visibility {
                continue;
            }
            match token.kind() {
                SyntaxKind::SUPER_KW => self.add(token.text_range().start(), "super::"),
                SyntaxKind::SELF_KW => self.add(token.text_range().end(), "::super"),
                _ => {}
            }
        }
    }

    /// Has the names of types taken from px, which leaves our modules out of them.
    fn names_of_types(&mut self, root: &SyntaxNode) {
        let tokens = root.descendants_with_tokens().filter_map(NodeOrToken::into_token);
        let tokens: Vec<SyntaxToken> = tokens.filter(|token| !token.kind().is_trivia()).collect();
        for (at, token) in tokens.iter().enumerate() {
            if !matches!(token.text(), "std" | "core") {
                continue;
            }
            let mut next =
                tokens[at + 1..].iter().map(SyntaxToken::text).skip_while(|text| *text == ":" || *text == "::");
            let goes_on = tokens.get(at + 1).is_some_and(|next| next.text().starts_with(':'));
            if goes_on && next.next() == Some("any") {
                self.add(token.text_range().start(), "px::apart::");
            }
        }
    }
}

/// What is inserted must not move what is below.
fn one_line(text: &str) -> String {
    text.replace('\n', " ")
}

/// Whether it is a field of the struct or union itself: those of variants are as visible as their enum.
fn is_field_of(field: &SyntaxNode, item: &SyntaxNode) -> bool {
    field.parent().and_then(|list| list.parent()).is_some_and(|of| of == *item)
}
