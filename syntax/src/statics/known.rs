//! Which definitions a static is made of: those that its text reaches, by names and by globs.

use super::{making, spaced};
use crate::identity::STANDARD as STANDARD_NAMES;
use crate::imports::{Import, imports};
use crate::nature::{Nature, words, words_of};
use ra_ap_syntax::Edition;
use ra_ap_syntax::ast::{self, AstNode, HasModuleItem, HasName};
use std::collections::{BTreeMap, BTreeSet};

/// Crates that are as they are: of their names there is one of each.
const STANDARD: [&str; 4] = ["std", "core", "alloc", "px"];
/// So many imports may lead from one to the next.
const MOST_IMPORTS: usize = 8;

/// Definitions by the name that reaches them, and globs.
#[derive(Default)]
pub(super) struct Known {
    named: BTreeMap<String, Vec<(String, Means)>>,
    globs: Vec<String>,
}

/// What a name stands for.
enum Means {
    /// What its import says.
    Import,
    Item(ast::Item),
    /// A macro call may define it.
    Call,
}

impl Known {
    pub fn of(items: impl Iterator<Item = ast::Item>) -> Known {
        Known::within(items, &Known::default())
    }

    /// The same of what stands within `around`, where macros may be that are called here.
    pub fn within(items: impl Iterator<Item = ast::Item>, around: &Known) -> Known {
        let (mut known, mut calls) = (Known::default(), Vec::new());
        for item in items {
            match &item {
                ast::Item::MacroCall(call) if making(call).is_none() => calls.push(spaced(item.syntax())),
                _ => known.add(item),
            }
        }
        known.add_calls(calls, around);
        known
    }

    /// Any word of a macro call, or of its macro, may be the name of what it defines, unless something else has it.
    fn add_calls(&mut self, calls: Vec<String>, around: &Known) {
        let mut made: Vec<(String, String)> = Vec::new();
        for call in calls {
            let mut names: BTreeSet<&str> = BTreeSet::new();
            let mut new = vec![call.as_str()];
            while let Some(text) = new.pop() {
                let unseen = free_words(text).filter(|word| names.insert(word)).collect::<Vec<_>>();
                // The macro may be in a module, and imported.
                let may_have_it = |means: &Means| match means {
                    Means::Item(item) => matches!(item, ast::Item::MacroRules(_) | ast::Item::Module(_)),
                    means => matches!(means, Means::Import),
                };
                let levels = [&*self, around];
                let found =
                    unseen.iter().flat_map(|word| levels.map(|known| known.named.get(*word))).flatten().flatten();
                new.extend(found.filter(|(_, means)| may_have_it(means)).map(|(text, _)| text.as_str()));
            }
            let new =
                names.into_iter().filter(|name| !self.named.contains_key(*name) && !STANDARD_NAMES.contains(name));
            made.extend(new.map(|name| (name.to_owned(), call.clone())));
        }
        for (name, call) in made {
            self.named.entry(name).or_default().push((call, Means::Call));
        }
    }

    fn add(&mut self, item: ast::Item) {
        if let ast::Item::Use(it) = &item {
            for Import { name, text } in imports(it) {
                let text = text.trim_end_matches(';').to_owned();
                match name {
                    Some(name) => self.named.entry(name).or_default().push((text, Means::Import)),
                    None if is_glob(&text) => self.globs.push(text),
                    None => {}
                }
            }
        } else if let Some(name) = Nature::of(&item).name {
            self.named.entry(name).or_default().push((spaced(item.syntax()), Means::Item(item)));
        }
    }

    /// The static `own`, and all that its type and its initialiser name, directly or not; `near` is what is defined
    /// around it. An `impl` isn't a part of a value: it may come and go.
    pub fn reached(&self, own: &ast::Static, near: &Known) -> BTreeSet<String> {
        let levels = [near, self];
        let globs = levels.into_iter().flat_map(|known| &known.globs);
        let globs: Vec<(&String, Option<BTreeSet<String>>)> =
            globs.map(|text| (text, brought(levels, &path_of(text), MOST_IMPORTS))).collect();
        let named_by = |text: &str| {
            let free: BTreeSet<&str> = free_words(text).collect();
            let of_word = |word: &str| {
                let named = levels.into_iter().filter_map(|known| known.named.get(word)).flatten();
                let named = named.filter(|(_, means)| !matches!(means, Means::Call) || free.contains(word));
                let brings = |names: &Option<BTreeSet<String>>| names.as_ref().is_some_and(|it| it.contains(word));
                let by_globs = globs.iter().filter(|(_, names)| brings(names)).map(|(text, _)| *text);
                named.map(|(text, _)| text).chain(by_globs).cloned().collect::<Vec<_>>()
            };
            words(text).flat_map(of_word).collect::<Vec<_>>()
        };
        // What may bring any name may have brought one of these.
        let of_any = globs.iter().filter(|(_, names)| names.is_none()).map(|(text, _)| (*text).clone());
        let mut new: Vec<String> = of_any.collect();
        new.extend(own.ty().iter().flat_map(|it| named_by(&spaced(it.syntax()))));
        new.extend(own.body().iter().flat_map(|it| named_by(&spaced(it.syntax()))));
        let mut reached = BTreeSet::from([spaced(own.syntax())]);
        while let Some(text) = new.pop() {
            if reached.insert(text.clone()) {
                new.extend(named_by(&text));
            }
        }
        reached
    }
}

/// The words of a text, with blanks between its tokens, that may name what a macro makes: not those within what another word
/// names, which paths begin with, nor those that say what a macro takes.
fn free_words(text: &str) -> impl Iterator<Item = &str> {
    let tokens: Vec<&str> = text.split_whitespace().collect();
    let is_free = move |at: usize| {
        let (before, token) = (&tokens[..at], tokens[at]);
        let is_path = before.ends_with(&["::"]) || before.ends_with(&[":", ":"]);
        let of = before.iter().rev().find(|token| !matches!(**token, ":" | "::"));
        let is_parameter = before.ends_with(&["$"]) || matches!(before, [.., "$", _, ":"]) || token == "macro_rules";
        (!is_parameter && (!is_path || of.is_none_or(|of| matches!(*of, "crate" | "self" | "super")))).then_some(token)
    };
    (0..text.split_whitespace().count()).filter_map(is_free).flat_map(words)
}

/// The names that a glob of this definition, a module or an enum, brings; `None` if that may be any.
pub fn brought_by_glob(definition: &str) -> Option<BTreeSet<String>> {
    let file = ast::SourceFile::parse(definition, Edition::CURRENT).tree();
    inside(&file.items().next()?, &[])
}

fn is_glob(import: &str) -> bool {
    import.ends_with('*')
}

/// The names of an import's path, from the first that says where it leads.
pub fn path_of(import: &str) -> Vec<&str> {
    let path = words_of(import).skip(1).skip_while(|word| ["crate", "self", "super"].contains(word));
    path.take_while(|word| *word != "as").collect()
}

/// The names that a glob of this path brings; `None` if that may be any. Those of a module or an enum of the notebook's
/// can be told; that another definition may hide some of them doesn't matter, since one too many does no harm.
fn brought(levels: [&Known; 2], path: &[&str], imports_left: usize) -> Option<BTreeSet<String>> {
    // All that is above is known anyway.
    let Some((first, rest)) = path.split_first() else { return Some(BTreeSet::new()) };
    let mut found = None;
    for (text, means) in levels.into_iter().filter_map(|known| known.named.get(*first)).flatten() {
        let names = match means {
            Means::Import => brought(levels, &[&path_of(text), rest].concat(), imports_left.checked_sub(1)?)?,
            Means::Item(item @ (ast::Item::Module(_) | ast::Item::Enum(_))) => inside(item, rest)?,
            // A function may have the name of a crate.
            Means::Item(_) | Means::Call => continue,
        };
        found.get_or_insert_with(BTreeSet::new).extend(names);
    }
    found.or_else(|| STANDARD.contains(first).then(BTreeSet::new))
}

/// The names that a glob of this path within the item brings; `None` if that may be any.
fn inside(item: &ast::Item, path: &[&str]) -> Option<BTreeSet<String>> {
    match (item, path.split_first()) {
        (ast::Item::Enum(it), None) => {
            let variants = it.variant_list()?.variants().filter_map(|variant| variant.name());
            Some(variants.map(|name| name.text().trim_start_matches("r#").to_owned()).collect())
        }
        (ast::Item::Module(it), None) => {
            let names: Option<Vec<BTreeSet<String>>> = it.item_list()?.items().map(|item| shown(&item)).collect();
            Some(names?.into_iter().flatten().collect())
        }
        (ast::Item::Module(it), Some((first, rest))) => {
            let items = it.item_list()?.items().filter(|item| Nature::of(item).name.as_deref() == Some(*first));
            let names: Vec<BTreeSet<String>> = items.map(|item| inside(&item, rest)).collect::<Option<_>>()?;
            (!names.is_empty()).then(|| names.into_iter().flatten().collect())
        }
        _ => None,
    }
}

/// The names that a module shows because of this item of it; `None` if that may be any.
fn shown(item: &ast::Item) -> Option<BTreeSet<String>> {
    let nature = Nature::of(item);
    if nature.is_opaque {
        return None;
    }
    let is_visible = item.syntax().children().any(|part| ast::Visibility::can_cast(part.kind()));
    let of_import = |Import { name, text }: Import| {
        let text = text.trim_end_matches(';');
        let is_standard = || path_of(text).first().is_some_and(|first| STANDARD.contains(first));
        (name.is_some() || !is_glob(text) || is_standard()).then_some(name)
    };
    match item {
        ast::Item::MacroCall(call) if making(call).is_none() => None,
        ast::Item::MacroCall(_) | ast::Item::ExternBlock(_) => {
            Some(words(&spaced(item.syntax())).map(str::to_owned).collect())
        }
        _ if !is_visible => Some(BTreeSet::new()),
        ast::Item::Use(it) => {
            let names: Option<Vec<Option<String>>> = imports(it).into_iter().map(of_import).collect();
            Some(names?.into_iter().flatten().collect())
        }
        _ => Some(nature.name.into_iter().collect()),
    }
}
