//! The statics of a text that holds a notebook's definitions, and what each of them is made of.
//!
//! Every object has its own copy of the definitions. For a static to be one in all of them, they have to agree about
//! what it is; so it is told here by its place and by the definitions that its type and its initialiser name.

mod known;

use crate::nature::{condition, words};
use known::Known;
pub use known::{brought_by_glob, path_of};
use ra_ap_syntax::ast::{self, AstNode, HasName, HasVisibility};
use ra_ap_syntax::{Edition, NodeOrToken, SourceFile, SyntaxKind, SyntaxNode};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// A static of a definition: not of a cell's statements, and not of a macro's making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Static {
    /// Where it is, as a path: `COUNTER`, `next_id::COUNTER`; with each `#[cfg(..)]`, of which there may be others.
    pub place: String,
    /// Where an attribute of it may be inserted. No user's code of its line follows, if there is another such place.
    pub attribute_at: usize,
    /// The word `static`.
    pub keyword: Range<usize>,
    /// The definitions that it is made of, without comments, itself among them.
    pub made_of: BTreeSet<String>,
}

/// What is found in a text.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Statics {
    /// In the order of the text.
    pub statics: Vec<Static>,
    /// The path of each macro call whose statics are among them, one of [`MAKERS`].
    pub calls: Vec<Range<usize>>,
}

/// Macros that make statics of what looks like them, with the crates that they are in.
pub const MAKERS: [(&str, &str); 2] = [("thread_local", "std"), ("lazy_static", "lazy_static")];

/// The name with which evcxr's entry functions begin: what stands in them are statements of a cell.
const ENTRY: &str = "run_user_code_";

/// Finds the statics of these definitions.
pub fn statics(text: &str) -> Statics {
    let mut found = Statics::default();
    if !text.contains("static") && !text.contains("thread_local") {
        return found;
    }
    let root = SourceFile::parse(text, Edition::Edition2024).syntax_node();
    let macros = root.descendants().filter_map(ast::MacroRules::cast);
    let own: BTreeSet<String> = macros.filter_map(|it| Some(it.name()?.text().to_string())).collect();
    let known = Known::of(root.children().filter_map(ast::Item::cast));
    for node in root.descendants() {
        if let Some(item) = ast::Static::cast(node.clone()) {
            found.statics.extend(read(&root, &node, &item, 0, &known));
        } else if let Some(call) = ast::MacroCall::cast(node.clone())
            && let Some(call) = making(&call).filter(|call| !own.contains(call.maker))
        {
            let inner = SourceFile::parse(&call.inner, Edition::Edition2024).syntax_node();
            let items: Vec<ast::Item> = inner.children().filter_map(ast::Item::cast).collect();
            let each = items.iter().map(|item| match item {
                ast::Item::Static(item) => {
                    let mut one = read(&root, &node, item, call.begin, &known)?;
                    // A static of the same words is of another type.
                    one.made_of.insert(format!("{} !", call.maker));
                    Some(one)
                }
                _ => None,
            });
            if let Some(statics) = each.collect::<Option<Vec<Static>>>().filter(|all| !all.is_empty()) {
                found.statics.extend(statics);
                found.calls.push(call.path);
            }
        }
    }
    // Two of one name in one place (in two blocks of a function) are told apart by their order.
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for one in &mut found.statics {
        let count = seen.entry(one.place.clone()).or_default();
        *count += 1;
        if *count > 1 {
            one.place = format!("{}#{count}", one.place);
        }
    }
    found
}

/// A call of one of [`MAKERS`].
struct Making {
    maker: &'static str,
    path: Range<usize>,
    /// What is between its delimiters, as items, and where that begins.
    inner: String,
    begin: usize,
}

fn making(call: &ast::MacroCall) -> Option<Making> {
    let path = call.path()?;
    let name: String = tokens(path.syntax()).collect();
    let name = name.trim_start_matches("::");
    let is_it = |(maker, of): &&(&str, &str)| name.strip_prefix(&format!("{of}::")).unwrap_or(name) == *maker;
    let (maker, _) = *MAKERS.iter().find(is_it)?;
    let words = path.syntax().descendants_with_tokens().filter_map(NodeOrToken::into_token);
    let first = words.into_iter().find(|token| token.kind() == SyntaxKind::IDENT)?;
    let tree = call.token_tree()?;
    let begin = usize::from(tree.syntax().text_range().start()) + 1;
    let text = tree.syntax().text().to_string();
    let mut inner = text.get(1..text.len().checked_sub(1)?)?.to_owned();
    if maker == "lazy_static" {
        // `static ref NAME` isn't Rust.
        let parts: Vec<_> = tree.syntax().children_with_tokens().filter(|part| !part.kind().is_trivia()).collect();
        let count = parts.iter().filter(|part| part.kind() == SyntaxKind::STATIC_KW).count();
        let pairs = parts.windows(2).filter(|pair| pair[0].kind() == SyntaxKind::STATIC_KW);
        let refs: Vec<_> = pairs.map(|pair| &pair[1]).filter(|part| part.kind() == SyntaxKind::REF_KW).collect();
        if refs.len() != count {
            return None;
        }
        for part in refs {
            let range = Range::<usize>::from(part.text_range());
            inner.replace_range(range.start - begin..range.end - begin, &" ".repeat(range.len()));
        }
    }
    if !inner.trim_end().ends_with(';') {
        inner.push_str("\n;");
    }
    let path = usize::from(first.text_range().start())..usize::from(path.syntax().text_range().end());
    Some(Making { maker, path, inner, begin })
}

/// `item` is in a text that begins at `begin` of the whole; `node` is what stands for it in the whole.
fn read(root: &SyntaxNode, node: &SyntaxNode, item: &ast::Static, begin: usize, known: &Known) -> Option<Static> {
    let (name, keyword) = (item.name()?, item.static_token()?);
    item.ty()?;
    item.body()?;
    let attributes = item.syntax().children().filter_map(ast::Attr::cast);
    let has_name = |attr: ast::Attr| {
        words(&attr.syntax().text().to_string())
            .any(|word| ["export_name", "no_mangle", "thread_local"].contains(&word))
    };
    if attributes.into_iter().any(has_name) {
        return None;
    }
    let start = item.visibility().map_or(keyword.text_range(), |it| it.syntax().text_range()).start();
    let start = begin + usize::from(start);
    let under = |item: &ast::Item| condition(item).unwrap_or_default();
    let own = under(&ast::Item::Static(item.clone()));
    let mut place = vec![name.text().trim_start_matches("r#").to_owned() + &own];
    let mut near = Vec::new();
    for above in node.ancestors().skip(1) {
        // What is at the top is known already.
        if !ast::SourceFile::can_cast(above.kind()) {
            near.extend(above.children().filter_map(item_of));
        }
        let above = ast::Item::cast(above);
        let conditions = above.as_ref().map(under);
        let part = match above {
            Some(ast::Item::Fn(it)) => it.name().map(|name| name.text().to_string()),
            Some(ast::Item::Module(it)) => it.name().map(|name| name.text().to_string()),
            Some(ast::Item::Trait(it)) => it.name().map(|name| name.text().to_string()),
            Some(ast::Item::Const(it)) => Some(it.name().map_or("_".to_owned(), |name| name.text().to_string())),
            Some(ast::Item::Impl(it)) => {
                let parts = it.syntax().children_with_tokens();
                let header = parts.take_while(|part| !ast::AssocItemList::can_cast(part.kind()));
                let header: String = header.filter(|part| !part.kind().is_trivia()).map(|it| it.to_string()).collect();
                Some(format!("<{header}>"))
            }
            Some(ast::Item::Static(_) | ast::Item::MacroCall(_) | ast::Item::ExternBlock(_)) => return None,
            _ => None,
        };
        if part.as_ref().is_some_and(|part| part.starts_with(ENTRY)) {
            return None;
        }
        place.extend(part.map(|part| part + &conditions.unwrap_or_default()));
    }
    place.reverse();
    let keyword = begin + usize::from(keyword.text_range().start());
    Some(Static {
        place: place.join("::"),
        attribute_at: place_before(root, start).unwrap_or(start),
        keyword: keyword..keyword + "static".len(),
        made_of: known.reached(item, &Known::within(near.into_iter(), known)),
    })
}

/// An item, or the macro call that a statement is, which may define some.
fn item_of(node: SyntaxNode) -> Option<ast::Item> {
    let call = || {
        let inner = if ast::ExprStmt::can_cast(node.kind()) { node.first_child()? } else { node.clone() };
        inner.children().find_map(ast::MacroCall::cast).filter(|_| ast::MacroExpr::can_cast(inner.kind()))
    };
    ast::Item::cast(node.clone()).or_else(|| call().map(ast::Item::MacroCall))
}

/// The end of what is before `start`, if that is on an earlier line.
fn place_before(root: &SyntaxNode, start: usize) -> Option<usize> {
    let mut token = root.token_at_offset(u32::try_from(start).ok()?.into()).right_biased()?.prev_token()?;
    let mut between = String::new();
    while token.kind().is_trivia() {
        // A comment about what is around has to stay the first.
        if token.text().starts_with("//!") || token.text().starts_with("/*!") {
            return None;
        }
        between.push_str(token.text());
        token = token.prev_token()?;
    }
    between.contains('\n').then_some(usize::from(token.text_range().end()))
}

fn tokens(node: &SyntaxNode) -> impl Iterator<Item = String> {
    let tokens = node.descendants_with_tokens().filter_map(NodeOrToken::into_token);
    tokens.filter(|token| !token.kind().is_trivia()).map(|token| token.text().to_owned())
}

fn spaced(node: &SyntaxNode) -> String {
    tokens(node).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
