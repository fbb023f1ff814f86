//! What an item is to other texts, told from its own text: its name, and whom it may matter to.

use ra_ap_syntax::ast::{self, AstNode, HasAttrs, HasName};
use std::collections::BTreeSet;

/// What an item is to other texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nature {
    /// Its name, if another item of this name replaces it.
    pub name: Option<String>,
    /// Whether it takes part in the layout of values: a type, a trait, a constant.
    pub is_type: bool,
    /// To which texts it may matter.
    pub reach: Reach,
}

/// To which texts an item may matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// To those that contain its name.
    Name,
    /// To those that have one of these words: a trait acts through its methods, an `impl` through what it is for.
    Words(BTreeSet<String>),
    /// An import. To all; but what it imports is reached only if the notebook defines it.
    Import,
    /// To all.
    Any,
}

/// Words that say nothing of what a text depends on.
const COMMON: &[&str] = &[
    "as", "async", "await", "break", "const", "continue", "crate", "dyn", "else", "enum", "extern", "false", "fn",
    "for", "if", "impl", "in", "let", "loop", "match", "mod", "move", "mut", "pub", "ref", "return", "self", "static",
    "struct", "super", "trait", "true", "type", "unsafe", "use", "where", "while", "bool", "char", "f32", "f64", "i8",
    "i16", "i32", "i64", "i128", "isize", "u8", "u16", "u32", "u64", "u128", "usize", "str", "Self", "std", "core",
    "alloc",
];

/// Attributes, and traits to derive, that define nothing that could be used by another name.
const HARMLESS: &[&str] = &[
    "allow",
    "cfg",
    "cold",
    "default",
    "deny",
    "deprecated",
    "derive",
    "doc",
    "expect",
    "inline",
    "must_use",
    "non_exhaustive",
    "repr",
    "serde",
    "track_caller",
    "warn",
    "Clone",
    "Copy",
    "Debug",
    "Default",
    "Deserialize",
    "Eq",
    "Hash",
    "Ord",
    "PartialEq",
    "PartialOrd",
    "Serialize",
];

impl Nature {
    /// Reads the item.
    pub fn of(item: &ast::Item) -> Nature {
        let (name, is_type) = match item {
            ast::Item::Const(it) => (it.name(), true),
            ast::Item::Enum(it) => (it.name(), true),
            ast::Item::Fn(it) => (it.name(), false),
            ast::Item::MacroRules(it) => (it.name(), false),
            ast::Item::Module(it) => (it.name(), true),
            ast::Item::Static(it) => (it.name(), false),
            ast::Item::Struct(it) => (it.name(), true),
            ast::Item::Trait(it) => (it.name(), true),
            ast::Item::TypeAlias(it) => (it.name(), true),
            ast::Item::Union(it) => (it.name(), true),
            _ => (None, false),
        };
        let name = name.map(|name| name.text().trim_start_matches("r#").to_owned()).filter(|name| name != "_");
        let text = item.syntax().text().to_string();
        let all_words = |text: &str| words(text).map(str::to_owned).collect();
        let has_hidden_impl = || item.syntax().descendants().skip(1).any(|node| ast::Impl::can_cast(node.kind()));
        let reach = match item {
            ast::Item::Use(_) => Reach::Import,
            _ if !has_harmless_attributes(item) || has_hidden_impl() => Reach::Any,
            ast::Item::Trait(_) => Reach::Words(all_words(&text)),
            ast::Item::Impl(_) => Reach::Words(all_words(text.split('{').next().unwrap_or_default())),
            _ if name.is_some() => Reach::Name,
            _ => Reach::Any,
        };
        Nature { name, is_type, reach }
    }
}

fn has_harmless_attributes(item: &ast::Item) -> bool {
    item.attrs().filter_map(|attr| attr.meta()).all(|meta| {
        let text = meta.syntax().text().to_string();
        let name = words_of(&text).next().unwrap_or_default();
        HARMLESS.contains(&name) && (name != "derive" || words_of(&text).all(|word| HARMLESS.contains(&word)))
    })
}

/// The words of a text.
pub fn words_of(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
}

/// The words of a text that may be names.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    words_of(text).filter(|word| !word.starts_with(|c: char| c.is_ascii_digit()) && !COMMON.contains(word))
}
