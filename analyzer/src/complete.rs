//! Completion: rust-analyzer's, reduced to words that replace a word.

use crate::message::{Completion, Completions};
use crate::place::Place;
use ra_ap_hir::PrefixKind;
use ra_ap_ide::{
    CompletionConfig, CompletionFieldsToResolve, CompletionItem, CompletionItemKind, RaFixtureConfig, SymbolKind,
    TextRange,
};
use ra_ap_ide_db::imports::insert_use::{ImportGranularity, InsertUseConfig};
use std::cmp::Reverse;
use std::collections::HashSet;

/// How the names begin that cells are compiled with.
const OURS: [&str; 4] = ["__chorus_", "chorus_", "evcxr_", "Evcxr"];
/// More than anybody reads.
const MOST: usize = 300;

pub(crate) fn complete(place: &Place) -> ra_ap_ide::Cancellable<Completions> {
    let items = place.analysis.completions(&config(), place.position(), None)?.unwrap_or_default();
    let (cursor, text) = (place.wrapped.cursor, &place.wrapped.text);
    // The word at the cursor; all but a few of the items replace that.
    let range = items.first().map_or(TextRange::empty(crate::place::size(cursor)), |item| item.source_range);
    let (from, to) = (usize::from(range.start()), usize::from(range.end()));
    let (Some(start), Some(end)) = (place.wrapped.in_code(from), place.wrapped.in_code(to)) else {
        return Ok(Completions::default());
    };
    let typed = text.get(from..cursor).unwrap_or_default();
    let mut found: Vec<(Reverse<u32>, Completion)> = items
        .into_iter()
        .filter(|item| begins_with(&item.lookup, typed))
        .filter_map(|item| Some((Reverse(item.relevance.score()), completion(item, range)?)))
        .collect();
    if found.iter().any(|(_, item)| item.text.starts_with(typed)) {
        // `HashMap` for `hash` only where nothing begins with `hash`.
        found.retain(|(_, item)| item.text.starts_with(typed));
    }
    found.sort_by(|(score, item), (other_score, other)| (score, &item.text).cmp(&(other_score, &other.text)));
    let mut seen = HashSet::new();
    let items = found.into_iter().map(|(_, item)| item).filter(|item| seen.insert(item.text.clone()));
    Ok(Completions { start, end, items: items.take(MOST).collect() })
}

fn begins_with(word: &str, typed: &str) -> bool {
    word.get(..typed.len()).is_some_and(|start| start.eq_ignore_ascii_case(typed))
}

/// As a plain word; `None` for what is more than a replacement of the word at the cursor, and for what users don't
/// know of.
fn completion(item: CompletionItem, range: TextRange) -> Option<Completion> {
    let mut edits = item.text_edit.iter();
    let edit = edits.next().filter(|edit| edit.delete == range && edits.next().is_none())?;
    let text = edit.insert.trim_end();
    if text.is_empty() || OURS.iter().any(|ours| text.starts_with(ours)) || text.contains('\n') {
        return None;
    }
    // The allocator that nobody chose.
    let signature = item.label.detail_right.or(item.detail).unwrap_or_default().replace(", Global>", ">");
    Some(Completion { text: text.to_owned(), kind: kind(item.kind).to_owned(), signature })
}

/// In the words for which JupyterLab has icons.
fn kind(kind: CompletionItemKind) -> &'static str {
    use CompletionItemKind as Kind;
    match kind {
        Kind::SymbolKind(symbol) => match symbol {
            SymbolKind::Function | SymbolKind::Method => "function",
            SymbolKind::Macro | SymbolKind::ProcMacro => "macro",
            SymbolKind::Struct | SymbolKind::Union => "struct",
            SymbolKind::Enum => "enum",
            SymbolKind::Trait => "interface",
            SymbolKind::TypeAlias | SymbolKind::SelfType => "class",
            SymbolKind::TypeParam | SymbolKind::ConstParam | SymbolKind::LifetimeParam => "type parameter",
            SymbolKind::Module | SymbolKind::CrateRoot | SymbolKind::ToolModule => "module",
            SymbolKind::Const | SymbolKind::Static => "constant",
            SymbolKind::Variant => "enum member",
            SymbolKind::Field => "field",
            SymbolKind::Local | SymbolKind::SelfParam | SymbolKind::ValueParam => "variable",
            SymbolKind::Attribute
            | SymbolKind::BuiltinAttr
            | SymbolKind::Derive
            | SymbolKind::DeriveHelper
            | SymbolKind::Impl
            | SymbolKind::InlineAsmRegOrRegClass
            | SymbolKind::Label => "text",
        },
        Kind::Binding => "variable",
        Kind::BuiltinType | Kind::InferredType => "class",
        Kind::Keyword => "keyword",
        Kind::Snippet | Kind::UnresolvedReference | Kind::Expression => "text",
    }
}

/// Without whatever needs an editor: snippets, and imports that are to be added elsewhere.
fn config() -> CompletionConfig<'static> {
    CompletionConfig {
        enable_postfix_completions: false,
        enable_imports_on_the_fly: false,
        enable_self_on_the_fly: false,
        enable_auto_iter: false,
        enable_auto_await: false,
        enable_private_editable: true,
        enable_term_search: false,
        term_search_fuel: 0,
        full_function_signatures: true,
        callable: None,
        add_colons_to_module: false,
        add_semicolon_to_unit: false,
        snippet_cap: None,
        insert_use: InsertUseConfig {
            granularity: ImportGranularity::Item,
            enforce_granularity: false,
            prefix_kind: PrefixKind::Plain,
            group: false,
            skip_glob_imports: false,
        },
        prefer_no_std: false,
        prefer_prelude: true,
        prefer_absolute: false,
        snippets: Vec::new(),
        limit: None,
        fields_to_resolve: CompletionFieldsToResolve {
            resolve_documentation: true,
            ..CompletionFieldsToResolve::empty()
        },
        exclude_flyimport: Vec::new(),
        exclude_traits: &[],
        ra_fixture: RaFixtureConfig::default(),
    }
}
