//! Statics that are one for all cells.
//!
//! Definitions are compiled into each cell's object, so each has its own copy of every static. Here a static gets a
//! name that tells what it is made of, under which every object exports it. Objects are loaded so that the linker
//! takes the first definition of a name for all, as it does between any libraries. So an object is the same bytes
//! whatever was loaded before it, and a static that is edited has another name, and begins anew. One that is edited back
//! has its first name with a number, see [`beginnings`].

pub(crate) mod beginnings;

use crate::cell::reuse::add;
use crate::notebook::dependence::Definition;
use crate::notebook::identity::without;
use chorus_syntax::{MAKERS, macros_of, words};
use std::collections::{BTreeMap, BTreeSet};

const MARK: &str = "#[unsafe(export_name = \"chorus_static_";
const MARK_ENDS: &str = "\")]";
/// Of the name, behind its beginning.
const DIGITS: usize = 32;
/// Tells workers that an object shares statics, so that they keep a snapshot although there may be no variables. Its own
/// last line.
const MARKER: &str = "#[unsafe(export_name = \"chorus_statics\")] static CHORUS_STATICS: u8 = 0;\n";
/// Before `thread_local!` or `std::thread_local!`, and the like: px has a macro with each of these names.
const KEY: &str = "px::shared_";

/// Gives the statics of the definitions their names, on the lines where they are; `None` if there are none. `versions`
/// reads `Cargo.lock`, `toolchain` says which compiler it is, and `again` how often a static has ended that is there again.
pub(crate) fn share(
    source: &str,
    versions: impl Fn() -> String,
    toolchain: &[u8],
    again: &BTreeMap<String, String>,
) -> Option<String> {
    let found = chorus_syntax::statics(source);
    if found.statics.is_empty() {
        return None;
    }
    let versions = versions();
    let packages = packages(&versions);
    let mut insertions: Vec<(usize, String)> = found.calls.iter().map(|path| (path.start, KEY.to_owned())).collect();
    for one in &found.statics {
        let mut hasher = blake3::Hasher::new();
        let mut add = |part: &[u8]| add(&mut hasher, part);
        add(toolchain);
        add(one.place.as_bytes());
        let named: BTreeSet<&str> = one.made_of.iter().flat_map(|text| words(text)).collect();
        one.made_of.iter().for_each(|text| add(text.as_bytes()));
        // A type of another version is another type.
        named.iter().filter_map(|word| packages.get(*word)).flatten().for_each(|package| add(package.as_bytes()));
        again.get(&one.place).into_iter().for_each(|count| add(format!("again {count}").as_bytes()));
        let name = &hasher.finalize().to_hex()[..DIGITS];
        insertions.push((one.attribute_at, format!("{MARK}{name}{MARK_ENDS}")));
    }
    insertions.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    let mut text = source.to_owned();
    for (at, inserted) in &insertions {
        text.is_char_boundary(*at).then(|| text.insert_str(*at, inserted))?;
    }
    Some(text + MARKER)
}

/// What `Cargo.lock` says of each package, by the crate's name.
fn packages(lock: &str) -> BTreeMap<String, Vec<&str>> {
    let mut packages: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for package in crate::notebook::versions::packages(lock) {
        packages.entry(package.name.replace('-', "_")).or_default().push(package.about);
    }
    packages
}

/// The text with another one behind it, so that [`unmarked`] still knows it.
pub(crate) fn with_behind(text: &str, other: &str) -> String {
    match text.strip_suffix(MARKER) {
        Some(text) => format!("{text}{other}{MARKER}"),
        None => format!("{}\n{other}", text.trim_end()),
    }
}

/// The text without what [`share`] inserted.
pub(crate) fn unmarked(text: &str) -> String {
    without(text.strip_suffix(MARKER).unwrap_or(text), next_mark)
}

/// Where the first insertion is, and how long.
pub(crate) fn next_mark(text: &str) -> Option<(usize, usize)> {
    let length = MARK.len() + DIGITS + MARK_ENDS.len();
    let is_mark = |at: &usize| text.get(*at..at + length).is_some_and(|mark| mark.ends_with(MARK_ENDS));
    let name = text.match_indices(MARK).map(|(at, _)| at).find(is_mark).map(|at| (at, length));
    let is_key = |at: &usize| {
        let named = &text[at + KEY.len()..];
        MAKERS.iter().any(|(maker, of)| named.starts_with(maker) || named.starts_with(of))
    };
    let key = text.match_indices(KEY).map(|(at, _)| at).find(is_key).map(|at| (at, KEY.len()));
    name.into_iter().chain(key).min()
}

/// The text without the word `static` of those statics that are shared, and without the macros that make some.
pub(crate) fn without_shared(text: &str) -> String {
    let found = chorus_syntax::statics(text);
    let mut left = text.to_owned();
    let mut parts: Vec<_> = found.statics.into_iter().map(|one| one.keyword).chain(found.calls).collect();
    parts.sort_by_key(|part| std::cmp::Reverse(part.start));
    for part in parts {
        left.replace_range(part, "");
    }
    left
}

/// What each static of these definitions is made of, by its place.
fn statics_of(texts: &[&str]) -> BTreeMap<String, BTreeSet<String>> {
    let found = chorus_syntax::statics(&texts.join("\n")).statics.into_iter();
    found.map(|one| (one.place, one.made_of)).collect()
}

/// Statics that begin anew because they, or what they are made of, were defined anew; `None` when there are none.
pub(crate) fn notice(names: &[String]) -> Option<String> {
    let verb = if names.len() == 1 { "begins" } else { "begin" };
    let names = (!names.is_empty()).then(|| names.join("`, `"))?;
    Some(format!("`{names}` {verb} anew: defined anew, or what it is made of was."))
}

/// What is to be said of the macro calls among these items that make statics: nobody sees which, so each cell has its own.
pub(crate) fn notice_of_made(items: &[Definition], all: &[&Definition]) -> Option<String> {
    let makes = |name: &str| {
        let macros = all.iter().copied().chain(items).filter(|it| it.nature.is_macro && it.name() == Some(name));
        name == "lazy_static" || macros.into_iter().any(|it| has_static(&it.piece.text))
    };
    let is_shared = |call: &&Definition| !chorus_syntax::statics(&call.piece.text).calls.is_empty();
    let calls = items.iter().filter(|item| item.nature.is_call && !is_shared(item));
    let names = calls.filter_map(|call| macros_of(&call.piece.text).next()?.rsplit("::").next());
    let names: BTreeSet<&str> = names.filter(|name| makes(name)).collect();
    if names.is_empty() {
        return None;
    }
    let (of, names) = (names.contains("lazy_static"), names.into_iter().collect::<Vec<_>>().join("!`, `"));
    let help = if of {
        "`static NAME: std::sync::LazyLock<T> = std::sync::LazyLock::new(|| ..);`"
    } else {
        "the `static` itself"
    };
    Some(format!(
        "Statics that `{names}!` makes begin anew in each cell: a macro's aren't shared. Write {help} to share one."
    ))
}

/// Whether it has the word, and not only as a lifetime.
fn has_static(text: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '\'';
    let is_word =
        |at: usize| !text[..at].ends_with(is_part) && text[at + "static".len()..].starts_with(char::is_whitespace);
    text.match_indices("static").any(|(at, _)| is_word(at))
}

#[cfg(test)]
mod tests;
