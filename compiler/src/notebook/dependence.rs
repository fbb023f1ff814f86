//! Which definitions and variables a text depends on, so that a cell needn't be compiled again when others change.
//!
//! By words, without types: what a text may reach is found by the names that it and what it reaches contain, in
//! strings and comments as well. That is too much rather than too little: whatever could act on texts that don't name
//! it (`use`, macros that define items, derives of other crates) counts as reached by everything. And what a macro of
//! another crate names needn't stand in the text (`paste!` puts names together): whoever calls one reaches everything.

use crate::messages::source_map::MappedPiece;
use crate::notebook::engine_vars::EngineTypes;
use crate::notebook::namespace::Variables;
use chorus_syntax::{Cell, Nature, Reach, macros_of, words, words_of};
use std::collections::BTreeSet;

/// An item of a cell.
#[derive(Clone, Debug)]
pub(crate) struct Definition {
    pub piece: MappedPiece,
    pub nature: Nature,
}

/// Macros whose result depends on more than the notebook.
const READS_MORE: &[&str] = &["env!", "include!", "include_bytes!", "include_str!", "option_env!"];

/// The macros of std that name nothing but what stands in their call.
const HARMLESS: &[&str] = &[
    "assert",
    "assert_eq",
    "assert_ne",
    "cfg",
    "column",
    "concat",
    "dbg",
    "debug_assert",
    "debug_assert_eq",
    "debug_assert_ne",
    "env",
    "eprint",
    "eprintln",
    "file",
    "format",
    "format_args",
    "include_bytes",
    "include_str",
    "line",
    "matches",
    "module_path",
    "option_env",
    "panic",
    "print",
    "println",
    "stringify",
    "thread_local",
    "todo",
    "unimplemented",
    "unreachable",
    "vec",
    "write",
    "writeln",
];

/// Whether this is the path of a macro of std that names nothing but what stands in its call.
pub(crate) fn is_stds(path: &str) -> bool {
    let (of, name) = path.rsplit_once("::").unwrap_or(("", path));
    HARMLESS.contains(&name) && ["", "std", "core"].contains(&of)
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
    /// What a cell with items of its own depends on; `all` are the definitions that the others made, `variables` those that it
    /// could use, and `engine_types` those of the engines' variables that it names.
    pub fn of_cell(
        cell: &'a Cell,
        own: &'a [Definition],
        all: &[&'a Definition],
        (variables, engine_types): (&'a Variables, &'a EngineTypes),
    ) -> Dependence<'a> {
        let replaced =
            |item: &Definition| item.name().is_some() && own.iter().any(|new| new.nature.replaces(&item.nature));
        let left: Vec<&'a Definition> = all.iter().copied().filter(|item| !replaced(item)).collect();

        let mut found = Dependence::default();
        let mut new: BTreeSet<&str> = cell.statements.iter().flat_map(|piece| words(&piece.text)).collect();
        let texts = cell.statements.iter().chain(&cell.attributes).map(|piece| piece.text.as_str());
        new.extend(engine_types.values().flat_map(|of_type| words(of_type)));
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
        found.reach(new, left, own, texts.collect(), true);
        found
    }

    /// What stands for texts with these words; `all` are the definitions that there are, beside those of the text's own.
    pub fn of_words(new: BTreeSet<&'a str>, all: &[&'a Definition]) -> Dependence<'a> {
        let mut found = Dependence::default();
        found.reach(new, all.to_vec(), &[], Vec::new(), true);
        found
    }

    /// What stands for texts with these words, if macros name nothing but what stands in their calls.
    pub fn of_names(new: BTreeSet<&'a str>, all: &[&'a Definition]) -> Dependence<'a> {
        let mut found = Dependence::default();
        found.reach(new, all.to_vec(), &[], Vec::new(), false);
        found
    }

    fn reach(
        &mut self,
        mut new: BTreeSet<&'a str>,
        mut left: Vec<&'a Definition>,
        own: &'a [Definition],
        statements: Vec<&'a str>,
        may_name_more: bool,
    ) {
        let defined: BTreeSet<&str> = left.iter().copied().chain(own).filter_map(Definition::name).collect();
        let items = || left.iter().copied().chain(own);
        let imported: BTreeSet<&str> =
            items().filter(|item| item.nature.reach == Reach::Import).filter_map(Definition::name).collect();
        let macros =
            items().filter(|item| item.nature.reach != Reach::Import && item.piece.text.contains("macro_rules"));
        let macros: BTreeSet<&str> = macros.filter_map(Definition::name).collect();
        let is_known = |path: &str| {
            let (of, name) = path.rsplit_once("::").unwrap_or(("", path));
            macros.contains(name) || of == "px" || is_stds(path) && !imported.contains(name)
        };
        let calls_unknown = |text: &str| macros_of(text).any(|path| !is_known(path));
        let is_opaque = |item: &Definition| may_name_more && (item.nature.is_opaque || calls_unknown(&item.piece.text));
        let mut everything = own.iter().any(is_opaque) || statements.into_iter().any(calls_unknown);
        let found = self;
        left.retain(|item| {
            let text = &item.piece.text;
            match item.nature.reach {
                // What hides a name of the prelude is to be seen: std's is written with its path then.
                Reach::Name | Reach::Words(_) if !item.name().is_some_and(crate::notebook::prelude::is_in) => {
                    return true;
                }
                Reach::Import if !imports_from_notebook(text, &defined) => {}
                _ => new.extend(words(text)),
            }
            everything |= is_opaque(item);
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
                if reached || everything {
                    everything |= is_opaque(item);
                    found.definitions.insert(&item.piece.text);
                    new.extend(words(&item.piece.text));
                }
                !(reached || everything)
            });
            new.retain(|word| !known.contains(word));
        }
        if everything {
            found.definitions.extend(left.iter().map(|item| item.piece.text.as_str()));
        }
    }

    /// Whether an object made of these texts and `statements` is the same whenever and wherever it is made.
    pub fn is_reproducible(&self, statements: &[&str]) -> bool {
        let texts = || self.definitions.iter().chain(statements);
        !texts().any(|text| READS_MORE.iter().any(|name| text.contains(name)) || text.contains("#!["))
    }

    /// Whether running an object twice in one process differs from running two: it has values of its own that stay.
    pub fn keeps_values(&self, statements: &[&str]) -> bool {
        let definitions = self.definitions.iter().map(|text| crate::notebook::statics::without_shared(text));
        definitions.chain(statements.iter().map(|text| (*text).to_owned())).any(|text| {
            let is_lifetime = |at: usize| text[..at].ends_with('\'');
            text.contains("thread_local")
                || text.contains("lazy_static")
                || text.match_indices("static").any(|(at, _)| !is_lifetime(at))
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
    let mut new: Vec<&str> = crate::notebook::prelude::words(type_name).collect();
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
