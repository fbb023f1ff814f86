use super::*;
use crate::notebook::identity::moved;
use beginnings::Beginnings;
use proptest::prelude::*;

const TEXT: &str = "use std::cell::Cell;\nfn f() {\n    static A: u8 = 1; é(&A)\n}\nthread_local! { static B: Cell<u8> = const { Cell::new(1) } }\nmod m {\n    std::thread_local! {\n        pub static C: u8 = 1;\n    }\n}\n";

fn shared(text: &str) -> String {
    share(text, String::new, b"1", &BTreeMap::new()).unwrap()
}

#[test]
fn statics_get_names_on_the_lines_where_they_are() {
    let text = shared(TEXT);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), TEXT.lines().count() + 1);
    assert_eq!(lines.last(), MARKER.lines().last().as_ref());
    assert!(lines[1].starts_with("fn f() {#[unsafe(export_name = \"chorus_static_") && lines[1].ends_with("\")]"));
    assert_eq!(lines[2], "    static A: u8 = 1; é(&A)");
    assert!(lines[4].starts_with("px::shared_thread_local! { #[unsafe("), "{text}");
    assert!(lines[6].starts_with("    px::shared_std::thread_local! {#[unsafe("), "{text}");
    assert_eq!(text.matches("chorus_static_").count(), 3);
    assert_eq!(unmarked(&text), TEXT);
    let lazy =
        "lazy_static::lazy_static! {\n    static ref A: u8 = 1;\n}\nlazy_static! { pub static ref B: u8 = 1; }\n";
    let marked = shared(lazy);
    assert!(marked.starts_with("px::shared_lazy_static::lazy_static! {#[unsafe("), "{marked}");
    assert!(marked.contains("px::shared_lazy_static! { #[unsafe("), "{marked}");
    assert_eq!(unmarked(&marked), lazy);
    let column = |line: &str, of: &str| line[..line.find(of).unwrap()].chars().count() + 1;
    let before = TEXT.lines().nth(4).unwrap();
    let found = column(lines[4], "const {");
    assert_eq!(found - moved(lines[4], found), column(before, "const {"));
    assert_eq!(moved(lines[2], 20), 0);
}

#[test]
fn a_name_tells_what_the_static_is_made_of() {
    let name = |text: &str, lock: &str, toolchain: &[u8]| {
        share(text, || lock.to_owned(), toolchain, &BTreeMap::new()).unwrap()
    };
    let text = "static A: S = S(1); struct S(u8);";
    let same = |other: &str| {
        let name = |text: String| text.split_once("chorus_static_").map(|(_, rest)| rest[..DIGITS].to_owned());
        name(shared(text)) == name(shared(other))
    };
    assert!(same("struct T; struct S(u8); static A: S  = S(1); impl S {}"));
    assert!(!same("static A: S = S(1); struct S(u16);"));
    assert!(!same("static A: S = S(2); struct S(u8);"));
    assert!(!same("fn f() { static A: S = S(1); } struct S(u8);"));
    let lock = |version: &str| format!("[[package]]\nname = \"a-b\"\nversion = \"{version}\"\n");
    let uses = "use a_b::S; static A: S = S(1);";
    assert_ne!(name(uses, &lock("1"), b"1"), name(uses, &lock("2"), b"1"));
    assert_eq!(name(text, &lock("1"), b"1"), name(text, &lock("2"), b"1"));
    assert_ne!(name(text, "", b"1"), name(text, "", b"2"));
    assert_eq!(share("fn f(s: &'static str) {}", String::new, b"1", &BTreeMap::new()), None);
}

#[test]
fn those_that_change_are_told() {
    let before = ["static A: S = S(1);", "struct S(u8);", "static B: u8 = 1;"];
    let after = ["static A: S = S(1);", "struct S(u16);", "static B: u8 = 1;", "static C: u8 = 1;"];
    let first = Beginnings::default().with(&before);
    let second = first.with(&after);
    assert_eq!((first.anew(&Beginnings::default()), second.anew(&first)), (vec![], vec!["A".to_owned()]));
    assert!(!without_shared("fn f() { static A: u8 = 1; thread_local!(static B: u8 = 1); }").contains("static"));
    assert!(without_shared("lazy! { static A: u8 = 1; }").contains("static"));
    assert!(!without_shared("lazy_static::lazy_static! { static ref A: u8 = 1; }").contains("static"));
    assert!(without_shared("thread_local!(static A: u8 = 1); thread_local! { fn f() {} }").contains("thread_local"));
}

#[test]
fn what_is_edited_back_is_not_what_it_was() {
    let (text, other) = (["static A: S = S(1);", "struct S(u8);"], ["static A: S = S(1);", "struct S(u16);"]);
    let key = |it: &Beginnings| it.key(text.into_iter());
    let folder = tempfile::tempdir().unwrap();
    let written = |it: &Beginnings| {
        it.write(folder.path()).unwrap();
        std::fs::read_to_string(folder.path().join(".chorus-statics")).unwrap_or_default()
    };
    let first = Beginnings::default().with(&text);
    assert_eq!((first.with(&text), key(&first), written(&first)), (first.clone(), String::new(), String::new()));
    let second = first.with(&other);
    assert_eq!((key(&second), written(&second)), (String::new(), String::new()), "it is told by what it is made of");
    let third = second.with(&text);
    assert_eq!((third.anew(&second), written(&third)), (vec!["A".to_owned()], "1 A\n".to_owned()));
    assert_eq!((key(&third.with(&text)), third.key(["static B: u8 = 1;"].into_iter())), (key(&third), String::new()));
    let fifth = third.with(&other).with(&text);
    assert_ne!(key(&third), key(&fifth));

    // So is what was set aside, or forgotten. Only of the first is something to be said.
    let away = first.with(&text[1..]);
    assert_eq!((away.with(&text).anew(&away), written(&away.with(&text))), (vec!["A".to_owned()], "1 A\n".to_owned()));
    let cleared = first.cleared();
    assert_eq!((cleared.with(&text).anew(&cleared), written(&cleared.with(&text))), (vec![], "1 A\n".to_owned()));

    let name = |again: &[(&str, &str)]| {
        let again = again.iter().map(|(place, count)| ((*place).to_owned(), (*count).to_owned())).collect();
        share(text[0], String::new, b"1", &again).unwrap()
    };
    assert_eq!(name(&[]), shared(text[0]));
    let names = [name(&[]), name(&[("A", "1")]), name(&[("A", "2")])];
    assert_eq!(BTreeSet::from(names).len(), 3);
    assert_eq!(name(&[("B", "1")]), name(&[]));
}

#[test]
fn statics_of_a_macros_making_are_not_shared() {
    let definitions = |text: &str| {
        crate::notebook::definitions::definitions_in(&chorus_syntax::Cell::parse(text).with_items(|_| true), 1)
    };
    let macros = definitions(
        "macro_rules! counter { ($n:ident) => { static $n: u8 = 0; } } macro_rules! text { ($n:ident) => { struct $n(&'static str); } }",
    );
    let all: Vec<&Definition> = macros.iter().collect();
    let of = |text: &str| notice_of_made(&definitions(text), &all);
    assert!(of("counter!(A);").is_some_and(|it| it.contains("`counter!` makes") && it.contains("the `static` itself")));
    let odd = "lazy_static::lazy_static! { static ref A: u8 = 0; struct B; }";
    assert!(of(odd).is_some_and(|it| it.contains("LazyLock")));
    let shared = "lazy_static! { static ref A: u8 = 0; }";
    for text in [shared, "text!(A);", "thread_local! { static A: u8 = 0; }", "static A: u8 = 0;", "other! { A }"] {
        assert_eq!(of(text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn any_text_comes_back(parts in prop::collection::vec(
        prop::sample::select(vec!["static A: u8 = 1;", "thread_local!", "lazy_static::lazy_static! { static ref A: u8 = 1; }", "std::", "{", "}", "(", ")", "fn f()", "é", "\n", "static ", "px::shared", "#[unsafe(", "mod m", "//!", "\""]), 0..30))
    {
        let text: String = parts.concat();
        if let Some(shared) = share(&text, String::new, b"", &BTreeMap::new()) {
            prop_assert_eq!(unmarked(&shared), text);
        }
    }
}
