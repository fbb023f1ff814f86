//! What replaces what, what is left out, and what comes back.

use super::prefix::Prefix;
use super::verdict::{Mistake, Place, blamed, missing, mistakes};
use super::*;
use crate::messages::complaint::{Complaint, Error};
use proptest::prelude::*;

fn items(cell: u32, text: &str) -> Vec<Definition> {
    definitions_in(&Cell::parse(text), cell)
}

/// Definitions without those that every notebook begins with.
fn none() -> Definitions {
    Definitions { entries: Vec::new(), names: BTreeSet::new(), settings: Vec::new() }
}

/// A cell that compiles.
fn add(all: &mut Definitions, text: &str) -> Vec<String> {
    let items = items(1, text);
    let change = Change::of(all, &items);
    let notices = change.notices(all, &items);
    all.apply(items, &change);
    notices
}

fn texts(all: &Definitions) -> Vec<&str> {
    all.current().into_iter().map(|item| item.piece.text.as_str()).collect()
}

#[test]
fn the_newest_of_a_name_counts_whatever_it_is() {
    let mut all = none();
    add(&mut all, "fn f() {} struct S; use a::{b, c};");
    add(&mut all, "struct f; use d::b; macro_rules! c { () => {} }");
    assert_eq!(texts(&all), ["struct S;", "struct f;", "use d::b;", "macro_rules! c { () => {} }"]);
    add(&mut all, "use e::*; use e::*; use g as _;");
    add(&mut all, "use e::*;");
    assert_eq!(texts(&all)[4..], ["use g as _;", "use e::*;"]);
}

#[test]
fn alternatives_stand_beside_each_other() {
    let mut all = none();
    add(&mut all, "#[cfg(unix)] fn f() {} #[cfg( windows )] fn f() { 1 } #[cfg(unix)] impl A for B {}");
    add(&mut all, "#[cfg(windows)] fn f() { 2 } #[cfg(windows)] impl A for B { }");
    let left = ["#[cfg(unix)] fn f() {}", "#[cfg(unix)] impl A for B {}", "#[cfg(windows)] fn f() { 2 }"];
    assert_eq!(texts(&all), [&left[..], &["#[cfg(windows)] impl A for B { }"]].concat());
    // evcxr keeps one of a name.
    let text = Prefix::whole(&all, &BTreeSet::new()).text;
    assert!(text.starts_with("#[cfg(unix)] fn f() {}\nmod chorus_call_cfg_f_"), "{text}");
    let released = prefix::release_calls(&text).unwrap();
    assert!(released.starts_with("#[cfg(unix)] fn f() {}\n\n#[cfg(windows)] fn f() { 2 }\n"), "{released}");
    let moves = |text: &str| {
        let own = items(2, text);
        let natures: Vec<&chorus_syntax::Nature> = own.iter().map(|item| &item.nature).collect();
        let change = Change::of(&all, &own);
        Prefix::moves(&all, &natures, |index| change.holds(index))
    };
    assert_eq!(moves("#[cfg(unix)] fn f() {} #[cfg(unix)] fn g() {} fn h() {}"), [true, false, false]);
    assert_eq!(moves("#[cfg(unix)] fn g() {} fn f() {} fn g() {}"), [true, false, true]);
    add(&mut all, "fn f() { 3 }");
    assert_eq!(texts(&all).iter().filter(|text| text.contains("fn f")).collect::<Vec<_>>(), [&"fn f() { 3 }"]);
    assert_eq!(Prefix::whole(&all, &BTreeSet::new()).text.matches("#[cfg(any())] fn chorus_call_cfg_f_").count(), 2);
    // An `impl` goes with its type, if all of that goes.
    let mut all = none();
    add(&mut all, "#[cfg(unix)] struct S; impl S {}");
    add(&mut all, "#[cfg(windows)] struct S;");
    assert_eq!(texts(&all).len(), 3);
    add(&mut all, "struct S;");
    assert_eq!(texts(&all), ["struct S;"]);
}

#[test]
fn an_impl_replaces_what_there_cannot_be_beside_it() {
    let mut all = none();
    add(&mut all, "impl S { fn a(&self) {} fn b(&self) {} }");
    add(&mut all, "impl S { fn c(&self) {} }");
    assert_eq!(all.current().len(), 2, "other methods stand beside each other");
    let notices = add(&mut all, "impl S { fn b(&self) { 2 } }");
    assert_eq!(texts(&all), ["impl S { fn c(&self) {} }", "impl S { fn b(&self) { 2 } }"]);
    assert_eq!(notices, ["`impl S` (In[1]) was replaced by that of this cell, which has no `a`."]);
    add(&mut all, "impl<T: Debug> Show for Vec<T> {}");
    add(&mut all, "impl<U: Debug> Show for Vec< U > { }");
    assert_eq!(texts(&all)[2..], ["impl<U: Debug> Show for Vec< U > { }"]);
    add(&mut all, "impl Show for Vec<u8> {}");
    assert_eq!(all.current().len(), 4, "another type");
}

#[test]
fn an_item_that_is_defined_anew_takes_its_impls_along() {
    let mut all = none();
    all.show_with("px::typed");
    assert!(all.shows_types());
    all.show_with("px");
    assert!(!all.shows_types());
    add(&mut all, "struct A; impl A {} use std::io; fn g() {} impl B for A {} impl C for u8 {}");
    add(&mut all, "impl D for A {}");
    let notices = add(&mut all, "fn g() { 1 } struct A(u8);");
    assert_eq!(
        notices,
        [
            "`impl A` (In[1]), `impl B for A` (In[1]) are no longer there: they stood in the cell of the old `A`, and went with it."
        ]
    );
    assert_eq!(
        texts(&all)[1..],
        ["use std::io;", "impl C for u8 {}", "impl D for A {}", "fn g() { 1 }", "struct A(u8);"]
    );
    // What has another one in its place isn't missed, and what was alone stays.
    add(&mut all, "struct A; impl A { fn a() {} }");
    assert_eq!(add(&mut all, "struct A(u8); impl A { fn b() {} }"), [""; 0]);
    let notices = add(&mut all, "struct A(u16); impl D for A {}");
    assert!(notices.len() == 1 && notices[0].starts_with("`impl A` (In[1]) is no longer there:"), "{notices:?}");
    assert_eq!(add(&mut all, "struct A(u32);").len(), 1);
    assert_eq!(add(&mut all, "struct A(u64);"), [""; 0]);
}

#[test]
fn the_last_version_of_a_dependency_counts() {
    let dependency = |config: &str| Setting::Dependency { name: "a".into(), config: config.into() };
    let mut all = Definitions::new();
    all.add_setting(dependency("\"1\""));
    all.add_setting(dependency("\"2\""));
    assert_eq!(all.dependencies(), ["a = \"2\""]);
    all.take_back();
    assert_eq!(all.dependencies(), ["a = \"1\""]);
}

#[test]
fn the_prefix_says_all_that_evcxr_may_know() {
    let mut all = none();
    add(&mut all, "impl A {}\nstruct A;\nfn r#loop() {\n  1\n}\nfn f() {} use b::*;");
    let first = Prefix::whole(&all, &BTreeSet::new());
    assert_eq!(
        first.text,
        "struct A;\nfn r#loop() {\n  1\n}\nfn f() {}\nuse b::*;\n#[cfg(any())] fn chorus_unnamed() {}\nimpl A {}\n"
    );
    assert_eq!((first.lines(), first.for_good.len()), (8, 1));
    let spot = |line, column| first.spot(line, column).map(|spot| (spot.entry, spot.line, spot.column, spot.text));
    assert_eq!(spot(3, 3), Some((Some(2), 4, 3, "  1".into())));
    assert_eq!(spot(8, 1), Some((Some(0), 1, 1, "impl A {}".into())));
    assert_eq!(spot(7, 1), None, "nobody's");
    assert_eq!(first.entry_of("use b::*;"), Some(4));
    let some = Prefix::of(&all, [], &first.for_good, |index| index == 1);
    let empty = |name| format!("#[cfg(any())] fn {name}() {{}}\n");
    assert_eq!(some.text, format!("struct A;\n{}{}{}", empty("f"), empty("r#loop"), empty("chorus_unnamed")));
}

fn mistake(code: &str, places: &[(Option<usize>, bool)]) -> Mistake {
    let place = |&(entry, primary)| Place { entry, primary, word: "make".into() };
    Mistake { code: Some(code.into()), message: "no".into(), places: places.iter().map(place).collect() }
}

#[test]
fn what_macro_calls_make_twice_is_their_mistake_and_not_the_macros() {
    let mut all = none();
    let old = Cell::parse("macro_rules! make { () => { fn f() {} } }\nmake!();").with_items(|_| true);
    let items = definitions_in(&old, 1);
    let change = Change::of(&all, &items);
    all.apply(items, &change);
    let own = definitions_in(&Cell::parse("make!(2);").with_items(|_| true), 2);
    let prefix = Prefix::of(&all, &own, &BTreeSet::new(), |_| true);
    let code = format!("{}fn f() {{}}\n", prefix.text);
    let line = |text: &str| code.lines().position(|line| line == text).unwrap() + 1;
    let of_call = |text: &str, primary: bool| {
        let outer = serde_json::json!({"line_start": line(text), "expansion": null});
        serde_json::json!({"line_start": 2, "is_primary": primary, "expansion": {"span": outer}})
    };
    let plain = serde_json::json!({"line_start": line("fn f() {}"), "is_primary": true, "expansion": null});
    let entries = |code_of: &str, spans: &[serde_json::Value]| {
        let json = serde_json::json!({"spans": spans});
        let error = Complaint { level: "error".into(), code: Some(code_of.into()), json, ..Complaint::default() };
        let mistakes = mistakes(&Error::Complaints(vec![error]), &prefix, &code, &code);
        mistakes[0].places.iter().map(|place| (place.entry, place.primary)).collect::<Vec<_>>()
    };
    let twice = [of_call("make!(2);", true), of_call("make!();", false)];
    assert_eq!(entries("E0428", &twice), [(None, true), (Some(1), false)]);
    assert_eq!(entries("E0428", &[plain.clone(), of_call("make!();", false)]), [(None, true), (Some(1), false)]);
    assert_eq!(entries("E0308", &twice), [], "what else is wrong may be the macro");
    assert_eq!(entries("E0428", &[plain]), [], "no call");
}

#[test]
fn mistakes_speak_against_the_definitions_that_they_are_in() {
    let blamed = |mistakes: &[Mistake], tried: &[usize]| -> Vec<usize> {
        let mut change = Change::default();
        change.tried.extend(tried);
        blamed(mistakes, &change).into_keys().collect()
    };
    assert_eq!(blamed(&[mistake("E0063", &[(Some(2), true), (None, false)])], &[]), [2]);
    assert_eq!(blamed(&[mistake("E0308", &[(None, true), (Some(2), false)])], &[]), [0; 0], "it is only mentioned");
    assert_eq!(blamed(&[mistake("E0592", &[(None, true), (Some(2), false)])], &[]), [2], "there are two");
    assert_eq!(blamed(&[mistake("E0119", &[(Some(3), true), (Some(2), false)])], &[]), [2], "the older one");
    assert_eq!(blamed(&[mistake("E0119", &[(Some(3), true), (Some(2), false)])], &[3]), [3], "what wants to come back");
    assert_eq!(blamed(&[mistake("E0034", &[(None, true)])], &[4]), [4], "perhaps it is right without");
    assert_eq!(blamed(&[], &[4]), [0; 0]);
}

#[test]
fn what_is_set_aside_says_so_and_comes_back() {
    let mut all = none();
    add(&mut all, "struct Own { a: i32 }");
    add(&mut all, "fn make() -> Own { Own { a: 1 } }");
    let edit = |all: &Definitions, text: &str| (items(3, text), Change::of(all, &items(3, text)));
    let (own, mut change) = edit(&all, "struct Own { a: i32, b: i32 }");
    assert!(change.needs_check() && change.is_plain() && !change.holds(0) && change.holds(1));
    change.leave_out(1, "missing field `b`".into());
    assert_eq!(
        change.notices(&all, &own),
        [
            "`make` (In[1]) is set aside: missing field `b`. It comes back when it fits again: edit it, or edit `Own` back."
        ]
    );
    assert_eq!(missing(&mistake("E0425", &[(None, true)]), &all, &change), Some(1));
    assert_eq!(missing(&mistake("E0308", &[(None, true)]), &all, &change), None);
    all.apply(own, &change);
    assert_eq!(texts(&all), ["struct Own { a: i32, b: i32 }"]);
    let aside = all.entries()[0].aside.clone().unwrap();
    assert_eq!((aside.reason.as_str(), aside.by), ("missing field `b`", vec!["Own".to_owned()]));

    let (_, change) = edit(&all, "fn other() {}");
    assert!(!change.holds(0) && !change.needs_check(), "it has nothing to do with it");
    let (own, change) = edit(&all, "struct Own { a: i32 }");
    assert!(change.holds(0) && change.needs_check());
    assert_eq!(change.notices(&all, &own), ["`make` (In[1]) is back: it fits again."]);
    all.apply(own, &change);
    assert_eq!(all.current().len(), 2);
}

#[test]
fn a_macro_is_found_by_its_path_and_a_call_is_let_out_of_its_module() {
    let (mut all, own) = (none(), items(2, "macro_rules! b { () => {} }"));
    add(&mut all, "macro_rules! a { () => {} } #[macro_export] macro_rules! c { () => {} }");
    let prefix = Prefix::of(&all, &own, &BTreeSet::new(), |_| true);
    let module = |name| {
        format!(
            "mod chorus_macro_{name} {{\nmacro_rules! {name} {{ () => {{}} }}\npub(crate) use {name}; }}\nuse chorus_macro_{name}::{name};\n"
        )
    };
    let exported = "#[macro_export] macro_rules! c { () => {} }\n";
    assert_eq!(
        prefix.text,
        format!("{}{exported}{}#[cfg(any())] fn chorus_unnamed() {{}}\n", module("a"), module("b"))
    );
    assert_eq!(prefix.spot(7, 1).map(|spot| spot.entry), Some(None), "the cell's own");
    let calls = Cell::parse("m!(four, 4)").with_items(|_| true);
    let calls = definitions_of(&calls, |piece| MappedPiece { text: piece.text.clone(), ..own[0].piece.clone() });
    let prefix = Prefix::of(&none(), &calls, &BTreeSet::new(), |_| true);
    let expected =
        "mod chorus_call_m_four {\nm!(four, 4)\n;/* chorus_call */ }\n#[cfg(any())] fn chorus_unnamed() {}\n";
    assert_eq!(prefix.text, expected);
    let released = prefix::release_calls(expected).unwrap();
    assert_eq!(released, "\nm!(four, 4)\n;\n#[cfg(any())] fn chorus_unnamed() {}\n");
    assert_eq!(prefix::release_calls(&released), None);
    add(&mut all, "fn a() {}");
    assert!(Prefix::whole(&all, &BTreeSet::new()).text.contains("#[cfg(any())] fn chorus_macro_a() {}\n"));
}

/// Whether a definition fits: each function that it calls must be there, in the version that it asks for.
fn fits(text: &str, held: &[&str]) -> bool {
    let calls = text.split_once('{').map_or("", |(_, body)| body).split(';').filter(|call| call.contains("()"));
    calls.map(|call| call.trim().trim_end_matches("()")).all(|call| {
        let (name, version) = call.split_once("::v").unwrap_or((call, ""));
        held.iter().any(|text| text.starts_with(&format!("fn {name}() {{ /*{version}*/")))
    })
}

/// What is left of `all` when all that doesn't fit is taken out, again and again; `None` if one of `own` is among that.
fn from_scratch<'a>(all: &[&'a str], own: &[&str]) -> Option<BTreeSet<&'a str>> {
    let mut held: Vec<&str> = all.to_vec();
    loop {
        let fitting: Vec<&str> = held.iter().copied().filter(|text| fits(text, &held)).collect();
        if fitting.len() == held.len() {
            return own.iter().all(|text| held.contains(text)).then(|| held.into_iter().collect());
        }
        held = fitting;
    }
}

proptest! {
    /// Whatever is edited, in whatever order: what holds is what would hold if all that there is were tried at once.
    #[test]
    fn edits_lead_to_what_all_at_once_would(
        edits in proptest::collection::vec(
            (0..5usize, 0..2usize, proptest::collection::vec((0..5usize, 0..2usize), 0..3)),
            1..30,
        ),
    ) {
        let mut all = none();
        let mut written: BTreeMap<usize, String> = BTreeMap::new();
        for (name, version, calls) in edits {
            let calls: String = calls.iter().map(|(to, version)| format!(" f{to}::v{version}();")).collect();
            let text = format!("fn f{name}() {{ /*{version}*/;{calls} }}");
            let own = items(1, &text);
            let mut change = Change::of(&all, &own);
            let accepted = loop {
                let held = all.entries().iter().enumerate().filter(|(index, _)| change.holds(*index));
                let mut held: Vec<(Option<usize>, &str)> =
                    held.map(|(index, entry)| (Some(index), entry.definition.piece.text.as_str())).collect();
                held.push((None, &text));
                let there: Vec<&str> = held.iter().map(|(_, text)| *text).collect();
                let wrong = held.iter().filter(|(_, text)| !fits(text, &there));
                let wrong: Vec<Mistake> = wrong.map(|(entry, _)| mistake("E0425", &[(*entry, true)])).collect();
                let blamed = blamed(&wrong, &change);
                if blamed.is_empty() {
                    break wrong.is_empty();
                }
                blamed.into_iter().for_each(|(index, reason)| change.leave_out(index, reason));
            };
            let mut would: BTreeMap<usize, String> = written.clone();
            would.insert(name, text.clone());
            let texts_would: Vec<&str> = would.values().map(String::as_str).collect();
            let expected = from_scratch(&texts_would, &[&text]);
            prop_assert_eq!(accepted, expected.is_some(), "{}", text);
            if let Some(expected) = expected {
                all.apply(own, &change);
                prop_assert_eq!(texts(&all).into_iter().collect::<BTreeSet<_>>(), expected);
                written = would;
            }
        }
    }
}
