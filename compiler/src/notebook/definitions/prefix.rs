//! The definitions as Rust, in front of a cell.
//!
//! evcxr keeps items by name and has no way to forget one. So each text names all that it may know: those that hold as
//! they are, and the others by an empty item that rustc never sees. What has no name, as an `impl`, evcxr keeps with the
//! last named item in front of it: they all stand behind one item of ours, and are replaced together.
//!
//! evcxr's order is no order, but a macro has to stand above its calls, unless it has a path. So each is put into a
//! module, and imported. A macro call among statements is none of evcxr's items: it also stands in a module, and rustc's
//! wrapper lets it out again. So does what has the name of another one, under another `#[cfg(..)]`.

use super::Definitions;
use crate::messages::source_map::MappedPiece;
use crate::notebook::dependence::Definition;
use chorus_syntax::{Nature, Reach, is_keyword};
use std::collections::BTreeSet;
use std::fmt::Write;

/// The item that those without a name stand behind.
const HOLDER: &str = "chorus_unnamed";

/// Around a macro call that defines items.
const CALL_BEGINS: &str = "mod chorus_call_";
const CALL_MODULE: &str = "chorus_call_";
/// Of a condition, in the name of a module.
const DIGITS: usize = 16;
const CALL_ENDS: &str = "/* chorus_call */ }";

/// The source with as many lines, in which macro calls stand where they belong; `None` if there is none in a module.
pub(crate) fn release_calls(source: &str) -> Option<String> {
    let is_around = |line: &str| line.starts_with(CALL_BEGINS) || line.ends_with(CALL_ENDS);
    source.lines().any(is_around).then(|| {
        let lines = source.lines().map(|line| match line.strip_suffix(CALL_ENDS) {
            Some(end) => end,
            None if line.starts_with(CALL_BEGINS) => "",
            None => line,
        });
        lines.flat_map(|line| [line, "\n"]).collect()
    })
}

/// The name as it is to be written.
fn written(name: &str) -> String {
    if is_keyword(name) { format!("r#{name}") } else { name.to_owned() }
}

/// The module of an item that stands under a condition, where there is another one of its name.
pub(super) fn module_under(nature: &Nature) -> Option<String> {
    let (name, condition) = (nature.name.as_ref()?, nature.condition.as_ref()?);
    let digest = blake3::hash(condition.as_bytes()).to_hex();
    Some(format!("{CALL_MODULE}cfg_{name}_{}", &digest[..DIGITS]))
}

/// The module that a macro is put into.
pub(super) fn module_of(name: &str) -> String {
    format!("chorus_macro_{name}")
}

/// Definitions as text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prefix {
    /// Rust; ends with a line's end.
    pub text: String,
    /// How many characters stand in front of it on its first line: a cell's attributes.
    pub before: usize,
    /// Which definition begins on which line, in this order.
    stretches: Vec<Stretch>,
    /// Imports, with their numbers, also those that evcxr has already.
    imports: Vec<(String, usize)>,
    /// What evcxr keeps for good once it has compiled this.
    pub for_good: BTreeSet<String>,
}

#[derive(Clone, Debug)]
struct Stretch {
    line: usize,
    entry: Option<usize>,
    piece: MappedPiece,
}

/// A place in a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    /// The entry's number; `None` is the cell's own.
    pub entry: Option<usize>,
    /// Its cell.
    pub cell: u32,
    /// 1-based line there.
    pub line: usize,
    /// 1-based column there.
    pub column: usize,
    /// That line.
    pub text: String,
}

impl Prefix {
    /// Of those definitions that `holds` names by number, and of some of the cell's `own`, for a state that has these
    /// `for_good` already.
    pub fn of<'a>(
        definitions: &'a Definitions,
        own: impl IntoIterator<Item = &'a Definition>,
        for_good: &BTreeSet<String>,
        holds: impl Fn(usize) -> bool,
    ) -> Prefix {
        let mut prefix = Prefix { for_good: for_good.clone(), ..Prefix::default() };
        let held = || definitions.entries().iter().enumerate().filter(|(index, _)| holds(*index));
        let mut names: BTreeSet<&str> = definitions.names.iter().map(String::as_str).collect();
        let mut seen: BTreeSet<String> = BTreeSet::new();
        let of_others = held().map(|(index, entry)| (Some(index), &entry.definition));
        for (index, definition) in of_others.chain(own.into_iter().map(|definition| (None, definition))) {
            if let (Reach::Import, Some(index)) = (&definition.nature.reach, index) {
                prefix.imports.push((definition.piece.text.clone(), index));
            }
            let Some(name) = definition.name() else {
                if definition.is_for_good() && prefix.for_good.insert(definition.piece.text.clone()) {
                    prefix.add(index, &definition.piece);
                }
                continue;
            };
            names.remove(name);
            let is_first = seen.insert(name.to_owned());
            let module = module_under(&definition.nature).filter(|_| !is_first);
            if definition.nature.is_macro {
                let module = module_of(name);
                names.remove(module.as_str());
                let _ = writeln!(prefix.text, "mod {module} {{");
                prefix.add(index, &definition.piece);
                let name = written(name);
                let _ = writeln!(prefix.text, "pub(crate) use {name}; }}\nuse {module}::{name};");
            } else if let Some(module) = module.as_deref().or(Some(name).filter(|_| definition.nature.is_call)) {
                names.remove(module);
                let _ = writeln!(prefix.text, "mod {module} {{");
                prefix.add(index, &definition.piece);
                let end = if definition.piece.text.ends_with([';', '}']) { "" } else { ";" };
                let _ = writeln!(prefix.text, "{end}{CALL_ENDS}");
            } else {
                prefix.add(index, &definition.piece);
            }
        }
        for name in names {
            let _ = writeln!(prefix.text, "#[cfg(any())] fn {}() {{}}", written(name));
        }
        let _ = writeln!(prefix.text, "#[cfg(any())] fn {HOLDER}() {{}}");
        for (index, entry) in held() {
            if entry.definition.name().is_none() && !entry.definition.is_for_good() {
                prefix.add(Some(index), &entry.definition.piece);
            }
        }
        prefix
    }

    /// Whether each of a cell's items stands here, and not in the cell: macros, macro calls, and those of which there is
    /// another one of the same name, in the cell or among the definitions that `holds` names.
    pub fn moves(definitions: &Definitions, own: &[&Nature], holds: impl Fn(usize) -> bool) -> Vec<bool> {
        let held = definitions.entries().iter().enumerate().filter(|(index, _)| holds(*index));
        let held: BTreeSet<&str> = held.filter_map(|(_, entry)| entry.definition.name()).collect();
        let is_other = |at: usize, name: &String| {
            let of_cell = own.iter().enumerate().any(|(other, it)| other != at && it.name.as_ref() == Some(name));
            let has_condition = own.iter().any(|it| it.condition.is_some() && it.name.as_ref() == Some(name));
            has_condition && (of_cell || held.contains(name.as_str()))
        };
        let moves = |(at, it): (usize, &&Nature)| {
            it.is_macro || it.is_call || it.name.as_ref().is_some_and(|name| is_other(at, name))
        };
        own.iter().enumerate().map(moves).collect()
    }

    /// Of all that hold.
    pub fn whole(definitions: &Definitions, for_good: &BTreeSet<String>) -> Prefix {
        Prefix::of(definitions, [], for_good, |index| definitions.entries()[index].aside.is_none())
    }

    /// Lines of nobody.
    #[cfg(test)]
    pub fn blank(lines: usize) -> Prefix {
        Prefix { text: "\n".repeat(lines), ..Prefix::default() }
    }

    fn add(&mut self, entry: Option<usize>, piece: &MappedPiece) {
        self.stretches.push(Stretch { line: self.lines() + 1, entry, piece: piece.clone() });
        self.text.push_str(&piece.text);
        self.text.push('\n');
    }

    /// How many lines it has.
    pub fn lines(&self) -> usize {
        self.text.matches('\n').count()
    }

    /// Where in a definition a 1-based place of the text is.
    pub fn spot(&self, line: usize, column: usize) -> Option<Spot> {
        let before = if line == 1 { self.before } else { 0 };
        let column = column.checked_sub(before).filter(|column| before == 0 || *column > 0)?;
        let at = self.stretches.partition_point(|stretch| stretch.line <= line).checked_sub(1)?;
        let Stretch { line: first, entry, piece } = &self.stretches[at];
        let below = line - first;
        let text = piece.text.lines().nth(below)?;
        Some(Spot {
            entry: *entry,
            cell: piece.cell,
            line: piece.line + below,
            column: if below == 0 { column + piece.column - 1 } else { column },
            text: piece.shown.lines().nth(below).unwrap_or(text).to_owned(),
        })
    }

    /// The import that is this line. evcxr writes imports anew, and knows no place in them.
    pub fn entry_of(&self, line: &str) -> Option<usize> {
        self.imports.iter().find(|(text, _)| text == line).map(|(_, entry)| *entry)
    }
}
