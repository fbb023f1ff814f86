//! Types that are defined anew aren't taken for the old ones, in whatever box their values are.
//!
//! All cells' crates have one identity, so to rustc a type is its path. Here is the account of what each type was made of
//! under which path: when that changes, the type gets another path, a module of its own (see `chorus_syntax::moves`), and
//! values of the old one are of a type that no new code can name. A type that was never edited stays where it is.
//!
//! Where types can't be moved, as those of a macro's making, the crate gets another identity instead: then no value of
//! any of the notebook's types is taken for one of before.

use crate::cell::reuse::add;
use crate::notebook::dependence::Definition;
use crate::notebook::statics;
use chorus_syntax::{Facts, FactsReader, HOLDER, INSERTION, OF_CALL};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// Tells rustc's wrapper of the identities, in the folder that evcxr builds in.
const FILE: &str = ".chorus-types";
/// The module of a type begins with it.
const MODULE: &str = "chorus_type_";
const DIGITS: usize = 16;
/// What rustc says, for us, where only a text with moved types doesn't compile.
pub(crate) const UNMOVABLE: &str = "chorus: types can't be told apart by their paths";

/// All types' identities, and what stands for them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identities {
    known: Arc<BTreeMap<String, Identity>>,
    /// Types that have to stay where they are.
    unmovable: Arc<BTreeSet<String>>,
}

#[derive(Clone, Debug)]
struct Identity {
    /// Empty is that of a type where it is defined.
    current: String,
    /// What each identity stands for.
    facts: BTreeMap<String, Facts>,
    /// Whether it is a macro call.
    is_call: bool,
}

impl Identities {
    /// The identities with these definitions beside what there was before. `dependencies` are those of `:dep`, by the name
    /// of the crate; `was_edited` says of a type that wasn't known yet whether it had this identity in an earlier session.
    pub fn with(
        &self,
        reader: &mut FactsReader,
        definitions: &[&Definition],
        dependencies: &BTreeMap<String, String>,
        was_edited: impl Fn(&str, &str) -> bool,
    ) -> Identities {
        let mut texts: Vec<(Option<&str>, &str)> =
            definitions.iter().map(|item| (item.name(), item.piece.text.as_str())).collect();
        texts.extend(dependencies.iter().map(|(name, text)| (Some(name.as_str()), text.as_str())));
        let calls: BTreeSet<&str> =
            definitions.iter().filter(|item| item.nature.is_call).filter_map(|item| item.name()).collect();
        let mut all = self.clone();
        let known = Arc::make_mut(&mut all.known);
        let read = reader.read(&texts);
        // What a call defines that is set aside may be defined by another one.
        for (_, identity) in known.iter_mut().filter(|(name, it)| it.is_call && !read.contains_key(*name)) {
            identity.take(Facts::new());
        }
        for (name, facts) in read {
            let is_call = calls.contains(name.as_str());
            let identity = known.entry(name.clone()).or_insert_with(|| {
                let digest = digest(&facts);
                // A path says the number of an `impl` in its crate, and crates have others before it: it is never where it was.
                let is_moved = name.starts_with(HOLDER) || (!is_call && was_edited(&name, &digest));
                let current = if is_moved { digest } else { String::new() };
                Identity { current, facts: BTreeMap::new(), is_call }
            });
            identity.take(facts);
        }
        all
    }

    /// With these types where they are defined.
    pub fn without(&self, moved: &BTreeMap<String, String>) -> Identities {
        let unmovable = Arc::new(self.unmovable.iter().chain(moved.keys()).cloned().collect());
        Identities { known: Arc::clone(&self.known), unmovable }
    }

    /// Whether this is the identity of this type.
    pub fn has(&self, name: &str, identity: &str) -> bool {
        self.known.get(name).is_some_and(|it| it.current == identity)
    }

    /// The identities of types that aren't where they are defined.
    pub fn moved(&self) -> BTreeMap<String, String> {
        let known = self.known.iter().filter(|(name, it)| !it.current.is_empty() && self.is_movable(name, it));
        known.map(|(name, it)| (name.clone(), it.current.clone())).collect()
    }

    fn is_movable(&self, name: &str, identity: &Identity) -> bool {
        !identity.is_call && !self.unmovable.contains(name)
    }

    /// What the crate's identity has to have in it; empty as long as all types could be moved.
    pub fn of_crate(&self) -> String {
        let known = self.known.iter().filter(|(name, it)| !it.current.is_empty() && !self.is_movable(name, it));
        let facts: Facts = known.map(|(name, it)| (name.clone(), it.current.clone())).collect();
        if facts.is_empty() { String::new() } else { digest(&facts) }
    }

    /// The names of types that are others than in `before`.
    pub fn changed<'a>(&self, before: &'a Identities) -> BTreeSet<&'a str> {
        if Arc::ptr_eq(&self.known, &before.known) && Arc::ptr_eq(&self.unmovable, &before.unmovable) {
            return BTreeSet::new();
        }
        let all = self.of_crate() != before.of_crate();
        let is_other = |(name, old): &(&String, &Identity)| {
            all || self.known.get(*name).is_some_and(|new| new.current != old.current)
        };
        before.known.iter().filter(is_other).map(|(name, _)| name.as_str()).collect()
    }

    /// Those of `names` in a form that no two of them share; empty if they all are where they are defined.
    pub fn key<'a>(&self, names: impl Iterator<Item = &'a str>) -> String {
        let of = |name: &str| self.known.get(name).filter(|it| !it.current.is_empty() && self.is_movable(name, it));
        let moved: BTreeMap<&str, &str> = names.filter_map(|name| Some((name, of(name)?.current.as_str()))).collect();
        let of_crate = self.of_crate();
        if moved.is_empty() && of_crate.is_empty() { String::new() } else { format!("{of_crate} {moved:?}") }
    }

    /// Tells the wrapper.
    pub fn write(&self, folder: &Path) -> std::io::Result<()> {
        let mut text = format!("{}\n", self.of_crate());
        for (name, identity) in self.moved() {
            text.push_str(&format!("{name} {identity}\n"));
        }
        let path = folder.join(FILE);
        match std::fs::read(&path).unwrap_or_else(|_| b"\n".to_vec()) == text.as_bytes() {
            true => Ok(()),
            false => std::fs::write(path, text),
        }
    }
}

impl Identity {
    /// These are its facts from now on.
    fn take(&mut self, facts: Facts) {
        let fits = |of: &String| self.facts.get(of).is_some_and(|known| !contradict(known, &facts));
        if !self.facts.is_empty() && !fits(&self.current) {
            let plain = String::new();
            self.current = if fits(&plain) { plain } else { digest(&facts) };
        }
        self.facts.entry(self.current.clone()).or_default().extend(facts);
    }
}

/// Whether a type isn't what it was. What an `impl` or a glob says may come and go, and a macro call may come.
fn contradict(old: &Facts, new: &Facts) -> bool {
    let may_come = |name: &str| name.contains(' ');
    let is_new = |(name, text): (&String, &String)| match old.get(name) {
        Some(old) => old != text,
        None => !may_come(name),
    };
    let may_go = |name: &str| may_come(name) && !name.ends_with(OF_CALL);
    new.iter().any(is_new) || old.keys().any(|name| !may_go(name) && !new.contains_key(name))
}

fn digest(facts: &Facts) -> String {
    let mut hasher = blake3::Hasher::new();
    for (name, text) in facts {
        add(&mut hasher, name.as_bytes());
        add(&mut hasher, text.as_bytes());
    }
    hasher.finalize().to_hex()[..DIGITS].to_owned()
}

/// For the wrapper: what the crate's identity is to have in it, and the source with as many lines, in which types are
/// where they belong; `None` if that is where they are.
pub(crate) fn told(source: &str) -> (String, Option<String>) {
    let text = std::fs::read_to_string(FILE).unwrap_or_default();
    let mut lines = text.lines();
    let of_crate = lines.next().unwrap_or_default().to_owned();
    let moved = lines.filter_map(|line| line.split_once(' '));
    let moved: BTreeMap<String, String> = moved.map(|(name, of)| (name.to_owned(), of.to_owned())).collect();
    (of_crate, (!moved.is_empty()).then(|| moved_in(source, &moved)).flatten())
}

fn moved_in(source: &str, identities: &BTreeMap<String, String>) -> Option<String> {
    let insertions = chorus_syntax::moves(source, identities);
    let mut text = source.to_owned();
    for (at, inserted) in insertions.iter().rev() {
        text.is_char_boundary(*at).then(|| text.insert_str(*at, inserted))?;
    }
    (!insertions.is_empty()).then_some(text)
}

/// The text with nothing in it but what rustc is to say of it.
pub(crate) fn refused(text: &str) -> String {
    format!("{}compile_error!(\"{UNMOVABLE}\");\n", unmarked(text))
}

/// The text without the insertions of [`told`].
pub(crate) fn unmoved(text: &str) -> String {
    without(text, insertion)
}

/// The text without anything that was inserted, for types or for statics.
pub(crate) fn unmarked(text: &str) -> String {
    statics::unmarked(&unmoved(text))
}

/// By how many columns of this line a 1-based column was moved.
pub(crate) fn moved(line: &str, column: usize) -> usize {
    insertions(line).take_while(|(at, _)| *at < column).map(|(_, length)| length).sum()
}

/// The 1-based columns of this line at which something was inserted, and how long each insertion is.
pub(crate) fn insertions(line: &str) -> impl Iterator<Item = (usize, usize)> {
    let mut offset = 0;
    std::iter::from_fn(move || {
        let next = insertion(&line[offset..]).into_iter().chain(statics::next_mark(&line[offset..])).min();
        let (at, length) = next?;
        let start = offset + at;
        offset = start + length;
        Some((line[..start].chars().count() + 1, line[start..offset].chars().count()))
    })
}

/// Where the first insertion is, and how long.
fn insertion(text: &str) -> Option<(usize, usize)> {
    let end = text.find(INSERTION.1)?;
    let line = text[..end].rfind('\n').map_or(0, |line| line + 1);
    // evcxr moves the comment in front of a statement away, which is the beginning of what is inserted there.
    let at = text[line..end].find(INSERTION.0).map_or(line, |at| line + at);
    Some((at, end + INSERTION.1.len() - at))
}

/// The text without what `next` finds.
pub(crate) fn without(text: &str, next: impl Fn(&str) -> Option<(usize, usize)>) -> String {
    let (mut left, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((at, length)) = next(rest) {
        left.push_str(&rest[..at]);
        rest = &rest[at + length..];
    }
    left + rest
}

/// A path without the modules of types.
pub(crate) fn without_modules(path: &str) -> String {
    let segment = |text: &str| {
        let at = text.find(MODULE)?;
        let length = text[at..].find("::")? + 2;
        Some((at, length))
    };
    without(path, segment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn facts(entries: &[(&str, &str)]) -> Facts {
        entries.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    fn identity() -> Identity {
        Identity { current: String::new(), facts: BTreeMap::new(), is_call: false }
    }

    #[test]
    fn what_was_inserted_in_front_of_a_statement_has_lost_its_beginning() {
        let [begin, end] = [INSERTION.0, INSERTION.1];
        let line = format!("px::own!{{{end}let f = 1;{begin}}}{end} ");
        let text = format!("{begin}\na\n{line}\nb{begin}x{end}");
        assert_eq!(unmarked(&text), format!("{begin}\na\nlet f = 1; \nb"), "lines stay lines");
        let opens = "px::own!{".len() + end.len();
        assert_eq!(moved(&line, opens + 5), opens);
        assert_eq!(unmarked(&format!("a{begin}b")), format!("a{begin}b"), "an open one is none");
    }

    #[test]
    fn an_identity_stands_for_one_layout() {
        let mut own = identity();
        let mut take = |entries: &[(&str, &str)]| {
            own.take(facts(entries));
            own.current.clone()
        };
        let a = [("Own", "struct Own(Inner)"), ("Inner", "struct Inner")];
        assert_eq!(take(&a), "");
        assert_eq!(take(&[a[0], a[1], ("impl I for Own", "type Item = u8")]), "", "an impl may come");
        assert_eq!(take(&a), "", "and go");
        let other = take(&[a[0], a[1], ("impl I for Own", "type Item = u16")]);
        assert_ne!(other, "", "but not say something else");
        assert_eq!(take(&a), other);
        let b = [("Own", "struct Own(Inner)"), ("Inner", "struct Inner(u8)")];
        let inner = take(&b);
        assert!(![String::new(), other].contains(&inner));
        assert_eq!(take(&a), "", "what it was before it is again");
        assert_eq!(take(&b), inner);
        assert_ne!(take(&[a[0], a[1], ("Vec", "struct Vec")]), "", "a name that hides another one");
        let call = ("chorus_call_m_A !", "m ! { A }");
        assert_eq!(take(&[a[0], a[1], call]), "", "a call may come");
        assert_ne!(take(&[a[0], a[1], (call.0, "m ! { A , B }")]), "", "but not be edited");
        assert_ne!(take(&a), "", "nor go");
    }

    #[test]
    fn only_a_call_that_is_added_changes_nothing() {
        let definitions = |text: &str| -> Vec<Definition> {
            crate::notebook::definitions::definitions_in(&chorus_syntax::Cell::parse(text).with_items(|_| true), 1)
        };
        let own = "macro_rules! make { ($n:ident) => { struct $n; } } struct Own(First);";
        let with = |before: &Identities, calls: &str| {
            let all = definitions(&format!("{own} {calls}"));
            before.with(&mut FactsReader::default(), &all.iter().collect::<Vec<_>>(), &BTreeMap::new(), |_, _| false)
        };
        let first = with(&Identities::default(), "make!(First);");
        let second = with(&first, "make!(First); make!(Second);");
        assert!(second.changed(&first).is_empty() && second.of_crate().is_empty());
        assert!(!with(&second, "make!(First); make!(Second, u8);").of_crate().is_empty());
        // One that is set aside leaves its names to others.
        let other = with(&second, "other!(First); make!(Second);");
        assert!(!other.of_crate().is_empty() && other.changed(&second).contains("Own"));
        let back = with(&other, "make!(First); make!(Second);");
        assert!(back.changed(&other).contains("Own") || back.of_crate() != other.of_crate());
    }

    #[test]
    fn what_can_not_be_moved_is_told_apart_by_the_crate() {
        let mut known = BTreeMap::new();
        for (name, current, is_call) in [("A", "1", false), ("B", "", false), ("chorus_call_c_D", "", true)] {
            let current = current.to_owned();
            known.insert(name.to_owned(), Identity { current, facts: BTreeMap::new(), is_call });
        }
        let before = Identities { known: Arc::new(known.clone()), ..Identities::default() };
        assert_eq!(before.moved(), BTreeMap::from([("A".to_owned(), "1".to_owned())]));
        assert_eq!((before.of_crate(), before.key(["B"].into_iter())), (String::new(), String::new()));
        assert_ne!(before.key(["A"].into_iter()), "");
        let without = before.without(&before.moved());
        assert!(without.moved().is_empty() && !without.of_crate().is_empty());
        assert_eq!(without.changed(&before).len(), 3);
        known.get_mut("B").unwrap().current = "2".into();
        let after = Identities { known: Arc::new(known.clone()), ..Identities::default() };
        assert_eq!(after.changed(&before), BTreeSet::from(["B"]));
        known.get_mut("chorus_call_c_D").unwrap().current = "2".into();
        let call = Identities { known: Arc::new(known), ..Identities::default() };
        assert_eq!(call.changed(&after).len(), 3);
        assert!(call.key(["B"].into_iter()).starts_with(&call.of_crate()));
    }

    #[test]
    fn a_moved_type_is_where_it_was() {
        let source = "fn f() {}\n/// It\nstruct Own(u8); fn g() { std::any::type_name::<Own>(); }\n";
        let names = BTreeMap::from([("Own".to_owned(), "1".to_owned())]);
        let text = moved_in(source, &names).unwrap();
        assert_eq!(text.lines().count(), source.lines().count());
        assert_eq!(unmarked(&text), source);
        let line = text.lines().nth(2).unwrap();
        let column = |of: &str| line.find(of).unwrap() + 1;
        let was = |of: &str| source.lines().nth(2).unwrap().find(of).unwrap() + 1;
        for word in ["u8", "fn g", "::any", "type_name"] {
            assert_eq!(column(word) - moved(line, column(word)), was(word), "{word}");
        }
        assert_eq!(moved_in(source, &BTreeMap::from([("Other".to_owned(), "1".to_owned())])), None);
        assert_eq!(without_modules("ctx::chorus_type_1_0::Own::f"), "ctx::Own::f");
        assert_eq!(without_modules("Vec<chorus_type_1_0::Own>, chorus_type_"), "Vec<Own>, chorus_type_");
    }

    proptest! {
        #[test]
        fn any_text_comes_back(parts in prop::collection::vec(
            prop::sample::select(vec!["struct A", "(", ")", ";", "{", "}", "enum A", "trait A", "pub(super) ", "self::", "super", "fn A", "async ", "é", "\n", "std::any", "type_name", "mod A", "//!", "\"", "u8", " "]), 0..30))
        {
            let text: String = parts.concat();
            if let Some(moved) = moved_in(&text, &BTreeMap::from([("A".to_owned(), "1".to_owned())])) {
                // What stands behind the last line's end is on no line of the text's.
                prop_assert_eq!(moved.matches('\n').count(), text.matches('\n').count());
                prop_assert_eq!(unmoved(&moved), text);
            }
        }
    }
}
