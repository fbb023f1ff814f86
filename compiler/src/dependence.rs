//! Which definitions and variables a text depends on, so that a cell needn't be compiled again when others change.
//!
//! By words, without types: what a text may reach is found by the names that it and what it reaches contain, in
//! strings and comments as well. That is too much rather than too little: whatever could act on texts that don't name
//! it (`use`, macros that define items, derives of other crates) counts as reached by everything.

use crate::cell::Cell;
use crate::namespace::Variables;
use crate::source_map::MappedPiece;
use ra_ap_syntax::ast::{self, AstNode, HasAttrs, HasName};
use std::collections::BTreeSet;

/// An item of a cell.
#[derive(Clone, Debug)]
pub(crate) struct Definition {
    pub piece: MappedPiece,
    pub nature: Nature,
}

/// What an item is to other texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Nature {
    /// Its name, if another item of this name replaces it.
    pub name: Option<String>,
    /// Whether it takes part in the layout of values: a type, a trait, a constant.
    pub is_type: bool,
    pub reach: Reach,
}

/// To which texts an item may matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
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

/// Macros whose result depends on more than the notebook.
const READS_MORE: &[&str] = &["env!", "include!", "include_bytes!", "include_str!", "option_env!"];

impl Nature {
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

fn words_of(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
}

/// The words of a text that may be names.
fn words(text: &str) -> impl Iterator<Item = &str> {
    words_of(text).filter(|word| !word.starts_with(|c: char| c.is_ascii_digit()) && !COMMON.contains(word))
}

/// What a text reaches.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Dependence<'a> {
    /// Definitions' texts, in an order that doesn't depend on the order of the cells.
    pub definitions: BTreeSet<&'a str>,
    /// Variables.
    pub variables: Variables,
}

impl<'a> Dependence<'a> {
    /// What a cell with items of its own depends on; `all` are the definitions that the others made, and `variables`
    /// those that it could use.
    pub fn of_cell(
        cell: &'a Cell,
        own: &'a [Definition],
        all: &[&'a Definition],
        variables: &'a Variables,
    ) -> Dependence<'a> {
        let own_names: BTreeSet<&str> = own.iter().filter_map(Definition::name).collect();
        let replaced = |item: &Definition| item.name().is_some_and(|name| own_names.contains(name));
        let mut left: Vec<&'a Definition> = all.iter().copied().filter(|item| !replaced(item)).collect();
        let defined: BTreeSet<&str> = left.iter().copied().chain(own).filter_map(Definition::name).collect();

        let mut found = Dependence::default();
        let mut new: BTreeSet<&str> = cell.statements.iter().flat_map(|piece| words(&piece.text)).collect();
        // Only statements can use variables, and those that they haven't bound themselves.
        let mut bound = BTreeSet::new();
        for (text, names) in &cell.uses {
            for word in words(text).filter(|word| !bound.contains(word)) {
                if let Some((name, variable)) = variables.get_key_value(word) {
                    found.variables.insert(name.clone(), variable.clone());
                    new.extend(words(&variable.type_name));
                }
            }
            bound.extend(names.iter().map(String::as_str));
        }
        for item in own {
            found.definitions.insert(&item.piece.text);
            new.extend(words(&item.piece.text));
        }
        left.retain(|item| {
            let text = &item.piece.text;
            match item.nature.reach {
                Reach::Name | Reach::Words(_) => return true,
                Reach::Import if !imports_from_notebook(text, &defined) => {}
                Reach::Import | Reach::Any => new.extend(words(text)),
            }
            found.definitions.insert(text);
            false
        });
        let mut known = BTreeSet::new();
        while !new.is_empty() {
            known.append(&mut new);
            left.retain(|item| {
                let reached = match &item.nature.reach {
                    Reach::Words(words) => words.iter().any(|word| known.contains(word.as_str())),
                    _ => item.name().is_some_and(|name| known.contains(name)),
                };
                if reached {
                    found.definitions.insert(&item.piece.text);
                    new.extend(words(&item.piece.text));
                }
                !reached
            });
            new.retain(|word| !known.contains(word));
        }
        found
    }

    /// Whether an object made of these texts and `statements` is the same whenever and wherever it is made.
    pub fn is_reproducible(&self, statements: &[&str]) -> bool {
        let texts = || self.definitions.iter().chain(statements);
        !texts().any(|text| READS_MORE.iter().any(|name| text.contains(name)) || text.contains("#!["))
    }

    /// Whether running an object twice in one process differs from running two: it has values of its own that stay.
    pub fn keeps_values(&self, statements: &[&str]) -> bool {
        self.definitions.iter().chain(statements).any(|text| {
            text.contains("thread_local") || text.contains("lazy_static") || {
                let mut rest = *text;
                std::iter::from_fn(|| {
                    let at = rest.find("static")?;
                    let lifetime = rest[..at].ends_with('\'');
                    rest = &rest[at + "static".len()..];
                    Some(lifetime)
                })
                .any(|lifetime| !lifetime)
            }
        })
    }
}

fn imports_from_notebook(text: &str, defined: &BTreeSet<&str>) -> bool {
    let path = text.find("use").map_or(text, |at| &text[at + "use".len()..]);
    words_of(path).next().is_some_and(|first| ["crate", "self", "super"].contains(&first) || defined.contains(first))
}

impl Definition {
    /// Its name, if another item of this name replaces it.
    pub fn name(&self) -> Option<&str> {
        self.nature.name.as_deref()
    }
}

/// Whether a value of the type `type_name` has any of the types `changed` in it; `all` are the definitions before the
/// change.
pub(crate) fn contains_type(type_name: &str, changed: &BTreeSet<&str>, all: &[&Definition]) -> bool {
    let mut known: BTreeSet<&str> = BTreeSet::new();
    let mut new: Vec<&str> = words(type_name).collect();
    while let Some(word) = new.pop() {
        if changed.contains(word) {
            return true;
        }
        if known.insert(word) {
            let types = all.iter().filter(|item| item.nature.is_type && item.name() == Some(word));
            new.extend(types.flat_map(|item| words(&item.piece.text)));
        }
    }
    false
}

#[cfg(test)]
mod tests;
