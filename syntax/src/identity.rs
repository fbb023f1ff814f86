//! What makes a type what it is, and how a text gives it another path.
//!
//! rustc tells types apart by their paths, and all cells' crates have the same name. So a type that is defined anew has
//! to stand elsewhere than the old one: in a module whose name only the new one has, out of which it is imported. What
//! is inserted for that stands on the lines where the type does, and everything that names the type stays as it is.

mod moves;
mod sight;

use crate::imports::{Import, imports};
use crate::nature::{self, Nature, is_type, words};
pub use moves::{INSERTION, moves};
use ra_ap_syntax::ast::{self, AstNode, HasName};
use ra_ap_syntax::{Edition, NodeOrToken, SourceFile, SyntaxKind, SyntaxNode, SyntaxToken, WalkEvent};
use sight::Sight;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// What a type is made of: by the name of a definition, its text. What comes of an `impl` or a glob has a blank in its
/// name: it may come without making it another type, since what was made before can't have known it. The same goes for
/// what comes of a macro call, which may define any name: that has [`OF_CALL`] at its end, and may not go.
pub type Facts = BTreeMap<String, String>;

/// What the name of a fact ends in that comes of a macro call.
pub const OF_CALL: &str = " !";

/// Macros whose items are no types that a value could be of.
const TYPELESS: &[&str] = &["thread_local", "lazy_static"];

/// Names that macros are given, and don't define.
pub(crate) const STANDARD: &[&str] = &[
    "Arc",
    "BTreeMap",
    "BTreeSet",
    "Box",
    "Cell",
    "Clone",
    "Copy",
    "Debug",
    "Default",
    "Deserialize",
    "Display",
    "Eq",
    "Err",
    "Fn",
    "FnMut",
    "FnOnce",
    "From",
    "HashMap",
    "HashSet",
    "Hash",
    "Into",
    "Iterator",
    "Mutex",
    "None",
    "Ok",
    "Option",
    "Ord",
    "PartialEq",
    "PartialOrd",
    "Rc",
    "RefCell",
    "Result",
    "RwLock",
    "Send",
    "Serialize",
    "Sized",
    "Some",
    "String",
    "Sync",
    "Vec",
    "derive",
    "doc",
    "repr",
    "serde",
];

/// Reads definitions, each text once.
#[derive(Debug, Default)]
pub struct FactsReader {
    known: HashMap<(Option<String>, String), Arc<[Part]>>,
}

/// A definition, as far as it is a part of others.
#[derive(Debug)]
struct Part {
    text: String,
    /// What it names.
    names: BTreeSet<String>,
    /// What it names of that: constants and types of an `impl`.
    members: BTreeSet<String>,
    /// What has its name in it: items of a module, variants.
    defines: BTreeSet<String>,
    kind: Kind,
}

impl Part {
    fn name(&self) -> Option<&str> {
        match &self.kind {
            Kind::Import(name) => name.as_deref(),
            Kind::Named { name, .. } => Some(name),
            Kind::Block(_) => None,
        }
    }
}

#[derive(Debug)]
enum Kind {
    Import(Option<String>),
    /// What an `impl` says of layouts.
    Block(Block),
    Named {
        name: String,
        /// Whether it is a macro call that may define types, or what they are made of.
        is_call: bool,
        may_hold_types: bool,
    },
}

#[derive(Debug, Default)]
struct Block {
    /// The types and constants that it defines.
    members: BTreeSet<String>,
    /// The type that gets them, if it is by a trait.
    of: Option<String>,
    /// How it is known.
    head: String,
}

/// The parts that this text is.
fn read(name: Option<&str>, text: &str) -> Vec<Part> {
    let root = SourceFile::parse(text, Edition::Edition2024).syntax_node();
    let mut found = Vec::new();
    for item in root.children().filter_map(ast::Item::cast) {
        let name = name.map(str::to_owned).or_else(|| Nature::of(&item).name);
        match (&item, name) {
            (ast::Item::Use(it), _) => found.extend(imports(it).into_iter().map(|Import { name, text }| {
                let names = words(&text).map(str::to_owned).collect();
                Part { text, names, members: BTreeSet::new(), defines: BTreeSet::new(), kind: Kind::Import(name) }
            })),
            (ast::Item::Impl(block), _) => {
                let Some(nature) = Nature::of(&item).block else { continue };
                let named = |name| Kind::Named { name, is_call: false, may_hold_types: true };
                found.extend(nature.holder.clone().map(|name| part(item.syntax(), named(name))));
                found.extend(of_block(block, nature));
            }
            (_, Some(name)) => {
                let may_hold_types = may_hold_types(&item);
                let is_call = may_hold_types && matches!(item, ast::Item::MacroCall(_));
                found.push(part(item.syntax(), Kind::Named { name, is_call, may_hold_types }));
            }
            _ => {}
        }
    }
    found
}

impl FactsReader {
    /// The facts of each of these definitions that types may be in, by name. Definitions come with their names; a macro
    /// call has one that nobody else knows.
    pub fn read(&mut self, definitions: &[(Option<&str>, &str)]) -> BTreeMap<String, Facts> {
        let mut known = HashMap::with_capacity(definitions.len());
        let read = |(name, text): &(Option<&str>, &str)| {
            let key = (name.map(str::to_owned), (*text).to_owned());
            let parts = self.known.get(&key).cloned().unwrap_or_else(|| read(*name, text).into());
            known.insert(key, Arc::clone(&parts));
            parts
        };
        let all: Vec<Arc<[Part]>> = definitions.iter().map(read).collect();
        self.known = known;
        facts(&all.iter().flat_map(|parts| parts.iter()).collect::<Vec<_>>())
    }
}

fn facts(parts: &[&Part]) -> BTreeMap<String, Facts> {
    let mut known: HashMap<&str, Vec<(&str, usize)>> = HashMap::new();
    let mut calls: Vec<(&str, usize)> = Vec::new();
    let mut holders: Vec<(&str, usize)> = Vec::new();
    let mut blocks: Vec<(&Block, usize)> = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        match &part.kind {
            Kind::Import(name) => {
                let key = name.as_deref().unwrap_or(&part.text);
                known.entry(name.as_deref().unwrap_or("*")).or_default().push((key, at));
            }
            Kind::Block(block) => blocks.push((block, at)),
            Kind::Named { name, is_call, may_hold_types } => {
                known.entry(name).or_default().push((name, at));
                calls.extend(is_call.then_some((name.as_str(), at)));
                holders.extend(may_hold_types.then_some((name.as_str(), at)));
            }
        }
    }
    // Behind another name for the whole notebook, any definition may stand.
    let is_whole = |part: &Part| {
        let path = part.text.trim_start_matches("use ").split([' ', ';']).next().unwrap_or_default();
        matches!(part.kind, Kind::Import(Some(_))) && matches!(path, "crate" | "self" | "super" | "")
    };
    let named = || parts.iter().enumerate().filter(|(_, part)| matches!(part.kind, Kind::Named { .. }));
    let whole: Vec<&str> = parts.iter().filter(|part| is_whole(part)).filter_map(|part| part.name()).collect();
    for (at, part) in named().filter(|_| !whole.is_empty()) {
        let key = part.name().unwrap_or_default();
        whole.iter().for_each(|alias| known.entry(alias).or_default().push((key, at)));
    }
    // Any other word of a macro call, or of its macro, may be the name of what it defines.
    let defined: BTreeSet<&str> = known.keys().copied().collect();
    for (name, at) in calls {
        let macros = parts[at].names.iter().filter_map(|word| known.get(word.as_str())).flatten().map(|(_, at)| *at);
        let names: BTreeSet<&str> = macros.chain([at]).flat_map(|at| &parts[at].names).map(String::as_str).collect();
        for word in names.into_iter().filter(|word| !defined.contains(word) && !STANDARD.contains(word)) {
            known.entry(word).or_default().push((name, at));
        }
    }
    // A glob of the notebook's own brings the names that its module defines.
    let own =
        |at: usize| Some(known.get(first_of(&parts[at].text)?)?.iter().map(|(_, at)| *at).collect::<Vec<usize>>());
    let all: Vec<(&str, usize)> = known.get("*").into_iter().flatten().copied().collect();
    let foreign: Vec<(&str, usize)> = all.iter().copied().filter(|(_, at)| own(*at).is_none()).collect();
    let brought: Vec<(&str, (&str, usize))> = all
        .iter()
        .flat_map(|glob| own(glob.1).into_iter().flatten().map(move |of| (*glob, of)))
        .flat_map(|(glob, of)| parts[of].defines.iter().map(move |name| (name.as_str(), glob)))
        .filter(|(name, _)| !defined.contains(name))
        .collect();
    brought.into_iter().for_each(|(name, glob)| known.entry(name).or_default().push(glob));
    let globs = || foreign.iter().copied().filter(|(_, at)| is_foreign_glob(&parts[*at].text));
    let is_call = |at: usize| matches!(parts[at].kind, Kind::Named { is_call: true, .. });
    let of = |holder: (_, usize)| {
        let mut facts = Facts::new();
        let (mut found, mut reached, mut named) = (BTreeSet::new(), HashSet::new(), HashSet::new());
        let mut members = HashSet::new();
        let (mut new, mut calls, mut round) = (vec![holder], Vec::new(), 0);
        while !new.is_empty() {
            while let Some((key, at)) = new.pop() {
                if round == 0 && at != holder.1 && is_call(at) {
                    calls.push((key, at));
                    continue;
                }
                if !found.insert(at) {
                    continue;
                }
                reached.insert(key);
                members.extend(parts[at].members.iter().map(String::as_str));
                for word in &parts[at].names {
                    if named.insert(word.as_str()) {
                        new.extend(known.get(word.as_str()).into_iter().flatten());
                    }
                }
                let key = match round {
                    1 => format!("{key}{OF_CALL}"),
                    _ if round > 1 && !key.contains(' ') => format!(" {key}"),
                    _ => key.to_owned(),
                };
                let text = facts.entry(key).or_default();
                text.push_str(&parts[at].text);
                text.push('\n');
            }
            round += 1;
            if round == 1 && !calls.is_empty() {
                new.append(&mut calls);
                continue;
            }
            round = 2;
            // An `impl` counts if what it defines is named, or if it is a trait's and for a type that is reached: then
            // types of other crates may have it in them.
            let counts = |block: &Block| {
                block.of.as_deref().is_some_and(|of| reached.contains(of))
                    || block.members.iter().any(|it| named.contains(it.as_str()) || members.contains(it.as_str()))
            };
            new.extend(blocks.iter().filter(|(block, _)| counts(block)).map(|(block, at)| (block.head.as_str(), *at)));
            new.extend(globs());
            new.retain(|(_, at)| !found.contains(at));
        }
        facts
    };
    holders.into_iter().map(|holder| (holder.0.to_owned(), of(holder))).collect()
}

/// Whether values may be of types that are defined in it.
fn may_hold_types(item: &ast::Item) -> bool {
    match item {
        ast::Item::Struct(_) | ast::Item::Enum(_) | ast::Item::Union(_) | ast::Item::Trait(_) => true,
        ast::Item::Module(_) => true,
        ast::Item::Fn(it) => has_types_inside(it),
        ast::Item::Impl(it) => it.syntax().descendants().any(|node| is_type(&node)),
        ast::Item::MacroCall(call) => {
            let name = call.path().and_then(|path| Some(path.segment()?.name_ref()?.text().to_string()));
            name.is_none_or(|name| !TYPELESS.contains(&name.as_str()))
        }
        _ => false,
    }
}

/// Whether a function has types of its own: items, or futures, which rustc tells apart by where they are made.
fn has_types_inside(it: &ast::Fn) -> bool {
    it.syntax().descendants_with_tokens().any(|part| match part {
        NodeOrToken::Node(node) => is_type(&node),
        NodeOrToken::Token(token) => token.kind() == SyntaxKind::ASYNC_KW,
    })
}

/// The item without comments and without the bodies of functions that no layout can depend on.
fn part(node: &SyntaxNode, kind: Kind) -> Part {
    let mut tokens: Vec<SyntaxToken> = Vec::new();
    let mut walk = node.preorder_with_tokens();
    while let Some(event) = walk.next() {
        match event {
            WalkEvent::Enter(NodeOrToken::Node(inner)) if is_mere_body(&inner) => walk.skip_subtree(),
            WalkEvent::Enter(NodeOrToken::Token(token)) if !token.kind().is_trivia() => tokens.push(token),
            _ => {}
        }
    }
    let text = tokens.iter().map(SyntaxToken::text).collect::<Vec<_>>().join(" ");
    let sight = Sight::of(node);
    let (mut names, mut members, mut defines) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (at, token) in tokens.iter().enumerate().filter(|(_, token)| token.kind() == SyntaxKind::IDENT) {
        // A field's name, or that of a parameter, is no name of a definition.
        let is_new = token.parent().is_some_and(|it| ast::Name::can_cast(it.kind()));
        let all = match () {
            () if is_new => &mut defines,
            () if sight.reaches(&tokens, at) => &mut names,
            () => &mut members,
        };
        all.extend(words(token.text()).map(str::to_owned));
    }
    Part { text, names, members, defines, kind }
}

/// The body of a function that isn't `const`, and has no types in it.
fn is_mere_body(node: &SyntaxNode) -> bool {
    let of = node.parent().filter(|_| ast::BlockExpr::can_cast(node.kind())).and_then(ast::Fn::cast);
    of.is_some_and(|it| it.const_token().is_none() && !has_types_inside(&it))
}

/// What an `impl` may say of layouts.
fn of_block(item: &ast::Impl, nature: nature::Block) -> Option<Part> {
    let (mut block, mut has_constants) = (Block::default(), false);
    let (mut text, mut names, mut inner) = (String::new(), BTreeSet::new(), BTreeSet::new());
    for member in item.assoc_item_list()?.assoc_items() {
        let name = match &member {
            ast::AssocItem::Const(it) => it.name(),
            ast::AssocItem::TypeAlias(it) => it.name(),
            ast::AssocItem::Fn(it) if it.const_token().is_some() => it.name(),
            _ => continue,
        };
        has_constants |= !matches!(member, ast::AssocItem::Fn(_));
        block.members.extend(name.map(|name| name.text().to_string()));
        let part = part(member.syntax(), Kind::Import(None));
        text.push_str(&part.text);
        names.extend(part.names);
        inner.extend(part.members);
    }
    let is_traits = nature.of_trait.is_some();
    block.of = nature.names.into_iter().next().filter(|_| is_traits && has_constants);
    block.head = match nature.of_trait {
        Some(of_trait) => format!("impl {of_trait} for {}", nature.of_type),
        // Which of several blocks of a type it is.
        None => format!("impl {} {:?}", nature.of_type, block.members),
    };
    (!block.members.is_empty()).then_some(Part {
        text,
        names,
        members: inner,
        defines: BTreeSet::new(),
        kind: Kind::Block(block),
    })
}

/// Whether it may bring any name, since its crate isn't one of those that are as they are.
fn is_foreign_glob(import: &str) -> bool {
    crate::words_of(import).nth(1).is_some_and(|first| !["std", "core", "alloc", "px"].contains(&first))
}

/// The first name of an import's path.
fn first_of(import: &str) -> Option<&str> {
    crate::words_of(import).skip(1).find(|word| !["crate", "self", "super"].contains(word))
}

#[cfg(test)]
mod tests;
