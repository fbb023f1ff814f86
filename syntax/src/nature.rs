//! What an item is to other texts, told from its own text: its name, and whom it may matter to.

use ra_ap_syntax::ast::{self, AstNode, HasAttrs, HasGenericParams, HasName};
use ra_ap_syntax::{Edition, SyntaxKind, SyntaxNode};
use std::collections::BTreeSet;

/// What the name of an `impl` begins with that has types in it.
pub const HOLDER: &str = "impl#";

/// What an item is to other texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nature {
    /// Its name, if another item of this name replaces it.
    pub name: Option<String>,
    /// Its `#[cfg(..)]`, without blanks, if it has any: there may be others of its name under others.
    pub condition: Option<String>,
    /// Whether it takes part in the layout of values: a type, a trait, a constant.
    pub is_type: bool,
    /// To which texts it may matter.
    pub reach: Reach,
    /// Whether it is a `macro_rules!` that others find by where it stands, and not by its path.
    pub is_macro: bool,
    /// Whether it is a macro call, whose items aren't known.
    pub is_call: bool,
    /// Whether an attribute or a derive of it may name anything, in a way that its text doesn't show.
    pub is_opaque: bool,
    /// Whose it is, if it is an `impl`.
    pub block: Option<Block>,
}

/// What an `impl` is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The trait, without blanks, and with numbers for what the `impl` is generic over.
    pub of_trait: Option<String>,
    /// The type, in the same way.
    pub of_type: String,
    /// The last names of their paths, the type's first.
    pub names: Vec<String>,
    /// The names that it defines.
    pub members: BTreeSet<String>,
    /// Its beginning, as it is written.
    pub head: String,
    /// What it is called among those that may hold types, if any of its functions has one in it.
    pub holder: Option<String>,
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
            ast::Item::Use(_) | ast::Item::ExternCrate(_) => Reach::Import,
            _ if !has_harmless_attributes(item) || has_hidden_impl() => Reach::Any,
            ast::Item::Trait(_) => Reach::Words(all_words(&text)),
            ast::Item::Impl(_) => Reach::Words(all_words(text.split('{').next().unwrap_or_default())),
            _ if name.is_some() => Reach::Name,
            _ => Reach::Any,
        };
        let block = match item {
            ast::Item::Impl(block) => Some(Block::of(block)),
            _ => None,
        };
        let is_exported = || item.attrs().any(|attr| attr.simple_name().is_some_and(|name| name == "macro_export"));
        let is_macro = matches!(item, ast::Item::MacroRules(_)) && !is_exported();
        // Macros and imports are found by their place, where there can be one.
        let condition = match item {
            ast::Item::MacroRules(_) | ast::Item::Use(_) => None,
            _ => condition(item),
        };
        let is_opaque = !has_harmless_attributes(item);
        Nature { name, condition, is_type, reach, is_macro, is_call: false, is_opaque, block }
    }

    /// What it is called among those that may hold types: its name, or that of an `impl` which has types in it. rustc counts
    /// the blocks of a crate, and counts others in the next, so such a name says what else tells it apart.
    pub fn holder(&self) -> Option<&str> {
        self.name.as_deref().or_else(|| self.block.as_ref()?.holder.as_deref())
    }

    /// Whether there can't be both this one and the older `other`.
    pub fn replaces(&self, other: &Nature) -> bool {
        let is_same = match (&self.name, &other.name) {
            (Some(name), Some(other)) => name == other,
            (None, None) => self.block.as_ref().zip(other.block.as_ref()).is_some_and(|(new, old)| new.replaces(old)),
            _ => false,
        };
        is_same && (self.condition.is_none() || self.condition == other.condition)
    }

    /// What an import is that brings this name.
    pub fn of_import(name: Option<String>) -> Nature {
        Nature {
            name,
            condition: None,
            is_type: false,
            reach: Reach::Import,
            is_macro: false,
            is_call: false,
            is_opaque: false,
            block: None,
        }
    }
}

impl Block {
    fn of(block: &ast::Impl) -> Block {
        let generics = block.generic_param_list().into_iter().flat_map(|list| list.generic_params());
        let generics = generics.filter_map(|param| match param {
            ast::GenericParam::ConstParam(it) => Some(it.name()?.text().to_string()),
            ast::GenericParam::TypeParam(it) => Some(it.name()?.text().to_string()),
            ast::GenericParam::LifetimeParam(it) => Some(it.lifetime()?.text().to_string()),
        });
        let generics: Vec<String> = generics.collect();
        let dense = |ty: ast::Type| {
            let tokens = ty.syntax().descendants_with_tokens().filter_map(|part| part.into_token());
            let tokens = tokens.filter(|token| !token.kind().is_trivia());
            let numbered = tokens.map(|token| match generics.iter().position(|name| name == token.text()) {
                Some(number) => format!("#{number}"),
                None => token.text().to_owned(),
            });
            numbered.collect::<String>()
        };
        let last_name = |ty: ast::Type| {
            let path = ty.syntax().descendants().find_map(ast::Path::cast)?;
            Some(path.segment()?.name_ref()?.text().to_string())
        };
        let members = block.assoc_item_list().into_iter().flat_map(|list| list.assoc_items());
        let members = members.filter_map(|item| name_of(&item));
        let has_types = |item: &ast::AssocItem| item.syntax().descendants().any(|node| is_type(&node));
        let holding = block.assoc_item_list().into_iter().flat_map(|list| list.assoc_items()).filter(has_types);
        let holding: Vec<String> = holding.filter_map(|item| name_of(&item)).collect();
        let of_trait = block.trait_().map(dense);
        let of_type = block.self_ty().map(dense).unwrap_or_default();
        let of_both = || format!("{}for{of_type}:{}", of_trait.as_deref().unwrap_or_default(), holding.join(","));
        let holder = (!holding.is_empty()).then(|| format!("{HOLDER}{}", of_both()));
        let text = block.syntax().text().to_string();
        let head = text.find("impl").map_or(text.as_str(), |at| &text[at..]).split('{').next().unwrap_or_default();
        Block {
            of_trait,
            of_type,
            names: block.self_ty().into_iter().chain(block.trait_()).filter_map(last_name).collect(),
            members: members.collect(),
            head: head.split_whitespace().collect::<Vec<_>>().join(" "),
            holder,
        }
    }

    /// Whether there can't be both: the same trait for the same type, or the same names in a type.
    pub fn replaces(&self, other: &Block) -> bool {
        let same = self.of_trait == other.of_trait && self.of_type == other.of_type;
        same && (self.of_trait.is_some() || !self.members.is_disjoint(&other.members))
    }
}

fn name_of(item: &ast::AssocItem) -> Option<String> {
    let name = match item {
        ast::AssocItem::Const(it) => it.name(),
        ast::AssocItem::Fn(it) => it.name(),
        ast::AssocItem::TypeAlias(it) => it.name(),
        ast::AssocItem::MacroCall(_) => None,
    };
    name.map(|name| name.text().to_string())
}

/// Whether it defines a type, or a trait.
pub(crate) fn is_type(node: &SyntaxNode) -> bool {
    matches!(node.kind(), SyntaxKind::STRUCT | SyntaxKind::ENUM | SyntaxKind::UNION | SyntaxKind::TRAIT)
}

/// The item's `#[cfg(..)]`, without blanks.
pub(crate) fn condition(item: &ast::Item) -> Option<String> {
    let of_cfg = item.attrs().filter(|attr| attr.simple_name().is_some_and(|name| name == "cfg"));
    let tokens = of_cfg.flat_map(|attr| attr.syntax().descendants_with_tokens().filter_map(|part| part.into_token()));
    let text: String = tokens.filter(|token| !token.kind().is_trivia()).map(|token| token.text().to_owned()).collect();
    (!text.is_empty()).then_some(text)
}

fn has_harmless_attributes(item: &ast::Item) -> bool {
    item.attrs().filter_map(|attr| attr.meta()).all(|meta| {
        let text = meta.syntax().text().to_string();
        let name = words_of(&text).next().unwrap_or_default();
        HARMLESS.contains(&name) && (name != "derive" || words_of(&text).all(|word| HARMLESS.contains(&word)))
    })
}

/// The macros that a text calls, by their paths as they are written; perhaps with some that stand in a string.
pub fn macros_of(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices('!').filter_map(|(at, _)| {
        let before = text[..at].trim_end();
        let name = before.trim_end_matches(|c: char| c.is_alphanumeric() || c == '_' || c == ':').len();
        let name = before[name..].trim_start_matches(':');
        let is_call = text[at + 1..].trim_start().starts_with(['(', '[', '{']);
        (is_call && !name.is_empty() && !COMMON.contains(&name)).then_some(name)
    })
}

/// Whether Rust has this word for itself. Whatever else has such a name is written `r#name`.
pub fn is_keyword(name: &str) -> bool {
    SyntaxKind::from_keyword(name, Edition::Edition2024).is_some()
}

/// The words of a text.
pub fn words_of(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
}

/// The words of a text that may be names.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    words_of(text).filter(|word| !word.starts_with(|c: char| c.is_ascii_digit()) && !COMMON.contains(word))
}
