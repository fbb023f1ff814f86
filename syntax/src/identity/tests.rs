use super::*;

fn facts_of(definitions: &[(Option<&str>, &str)]) -> BTreeMap<String, Facts> {
    FactsReader::default().read(definitions)
}

fn of(texts: &[&str]) -> BTreeMap<String, Facts> {
    facts_of(&texts.iter().map(|text| (None, *text)).collect::<Vec<_>>())
}

fn keys(facts: &Facts) -> Vec<&str> {
    facts.keys().map(String::as_str).collect()
}

#[test]
fn a_type_is_made_of_what_it_names() {
    let found = of(&[
        "/// About it.\nstruct Own { count: [u8; N], /* that */ inner: Inner }",
        "const N: usize = size();",
        "const fn size() -> usize { helper() }",
        "const fn helper() -> usize { 3 }",
        "enum Inner { A(Alias), B }",
        "type Alias = rand::Rng;",
        "fn count() -> u8 { 1 }",
        "trait Noise { fn noise(&self) -> Own { count() } }",
        "use a::{rand, b::*};",
        "async fn later() { count(); }",
        "mod m { struct Deep(super::Alias); }",
    ]);
    let names: Vec<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(names, ["Inner", "Noise", "Own", "later", "m"]);
    assert_eq!(keys(&found["Own"]), ["Alias", "Inner", "N", "Own", "helper", "rand", "size", "use a::b::*;"]);
    assert_eq!(found["Own"]["Own"], "struct Own { count : [ u8 ; N ] , inner : Inner }\n");
    assert!(!found["Noise"].contains_key("count"), "what a method does is no part of a type");
    assert!(found["later"].contains_key("count"), "what a future does is");
    assert_eq!(keys(&found["m"]), ["Alias", "m", "rand", "use a::b::*;"]);
}

#[test]
fn an_impl_is_a_part_if_it_has_types_or_constants() {
    let found = of(&[
        "struct Own(<Other as Tr>::Assoc);",
        "struct Other;",
        "impl Tr for Other { type Assoc = u8; fn f(&self) { g() } }",
        "impl Other { fn f(&self) {} }",
        "impl Other { const fn n() -> usize { 1 } }",
        "trait Tr { type Assoc; }",
        "struct Sized([u8; Other::n()]);",
        "struct Apart;",
    ]);
    assert_eq!(keys(&found["Own"]), ["Other", "Own", "Tr", "impl Tr for Other"]);
    assert_eq!(found["Own"]["impl Tr for Other"], "type Assoc = u8 ;\n");
    assert_eq!(keys(&found["Sized"]), ["Other", "Sized", "impl Other {\"n\"}", "impl Tr for Other"]);
    assert_eq!(keys(&found["Apart"]), ["Apart"]);
    let found = of(&["struct Own;", "impl Iterator for Own { type Item = Pair; }", "struct Pair;"]);
    assert_eq!(keys(&found["Own"]), [" Pair", "Own", "impl Iterator for Own"]);
}

#[test]
fn a_glob_of_the_notebooks_own_brings_what_is_in_it() {
    let texts =
        ["use m::*;", "use Kind::*;", "mod m { pub struct Own(u8); }", "enum Kind { A(Inner) }", "struct Inner;"];
    let found = of(&[&texts[..], &["struct Outer(Own);", "struct Other(String);"]].concat());
    assert_eq!(keys(&found["Other"]), ["Other"]);
    assert_eq!(keys(&found["Outer"]), ["Outer", "m", "use m::*;"]);
}

#[test]
fn a_path_names_its_first_word_and_a_module_only_what_it_leads_to() {
    let outside = ["use anyhow::Result;", "use thiserror::Error;", "struct Money(i64);", "struct Size;"];
    let of = |own: &str| of(&[&[own], &outside[..]].concat());
    let bank = "mod bank { use super::Money; use thiserror::{self, Error}; #[derive(Debug, Error)] pub struct Failed(Money); \
                pub fn open() -> Result<Size, Failed> { todo!() } pub fn all() -> anyhow::Result<()> { todo!() } }";
    assert_eq!(keys(&of(bank)["bank"]), ["Money", "bank"]);
    assert_eq!(
        keys(&of("mod m { struct Own([super::Size; 2]); mod n { struct Own(crate::m::Money); } }")["m"]),
        ["Money", "Size", "m"]
    );
    let sees_all = "mod bank { mod inner { use super::super::*; pub fn open() -> Result<u8> { todo!() } } }";
    assert_eq!(keys(&of(sees_all)["bank"]), ["Result", "bank"]);
    assert_eq!(keys(&of("mod m { make!(Size); }")["m"]), ["Size", "m"], "a macro may name what it likes");
    assert_eq!(keys(&of("struct Own(anyhow::Result<Money>, Size::Error);")["Own"]), ["Money", "Own", "Size"]);
    let crates = [(Some("anyhow"), "const _: &str = \"1\";"), (None, "mod m { struct Own(anyhow::Result<u8>); }")];
    assert_eq!(keys(&facts_of(&crates)["m"]), ["anyhow", "m"]);
    let crates =
        [crates[0], (None, "mod m { #[derive(anyhow::Thing)] struct Own; }"), (None, "struct Own(::anyhow::Error);")];
    assert_eq!(keys(&facts_of(&crates)["m"]), ["anyhow", "m"]);
    assert_eq!(keys(&facts_of(&crates)["Own"]), ["Own", "anyhow"]);
    let own = ["mod m { use super::Other; pub struct Own([u8; Other::n()]); }", "struct Other;"];
    let found = super::FactsReader::default()
        .read(&[own[0], own[1], "impl Other { pub const fn n() -> usize { 1 } }"].map(|text| (None, text)));
    assert_eq!(keys(&found["m"]), ["Other", "impl Other {\"n\"}", "m"]);
}

#[test]
fn behind_another_name_for_the_root_may_be_any_definition() {
    for import in
        ["use crate::{self as root};", "use super::{self as root};", "use crate as root;", "use super as root;"]
    {
        let module = format!("mod m {{ {import} pub struct Own(root::Size); }}");
        assert_eq!(keys(&of(&[&module, "struct Size(u8);"])["m"]), ["Size", "m"], "{import}");
    }
    let found = of(&["use crate as root;", "struct Own(root::Size);", "struct Size(u8);"]);
    assert!(found["Own"].contains_key("Size"), "{:?}", keys(&found["Own"]));
    let found = of(&["use std::fmt as root;", "struct Own(root::Size);", "struct Size(u8);"]);
    assert_eq!(keys(&found["Own"]), ["Own", "root"]);
}

#[test]
fn what_a_macro_call_defines_is_its_words() {
    let calls = [
        (Some("call_1"), "make! { Own, u8 }"),
        (None, "macro_rules! make { ($name:ident, $of:ty) => { struct $name($of); struct Hidden; }; }"),
        (None, "struct Outer(Hidden);"),
        (Some("call_2"), "thread_local! { static A: u8 = 1; }"),
    ];
    let found = facts_of(&calls);
    assert_eq!(found.keys().collect::<Vec<_>>(), ["Outer", "call_1"]);
    assert_eq!(keys(&found["Outer"]), ["Outer", "call_1 !", "make !"]);
    let more = facts_of(&[calls.as_slice(), &[(Some("call_3"), "make! { Third, u16 }")]].concat());
    let is_new = |name: &&String| !found["call_1"].contains_key(*name);
    assert_eq!(more["call_1"].keys().filter(is_new).collect::<Vec<_>>(), ["call_3 !"], "they have the macro's words");
    let lazy = [(Some("call"), "lazy_static! { static ref A: Other = 1; }"), (None, "struct Own(Other);")];
    assert_eq!(keys(&facts_of(&lazy)["Own"]), ["Own"], "a type can't depend on it");
    let calls = [(Some("call"), "make! { #[derive(Debug)] Own(Inner, String) }"), (None, "struct Inner;")];
    let types = [(None, "#[derive(Debug)] struct Other(Inner, String);")];
    assert_eq!(keys(&facts_of(&[calls.as_slice(), &types].concat())["Other"]), ["Inner", "Other"]);
}

#[test]
#[ignore = "measures"]
fn two_hundred_definitions() {
    let mut texts: Vec<String> =
        (0..100).map(|n| format!("#[derive(Debug)] struct S{n} {{ a: Vec<S{}>, b: String }}", n / 2)).collect();
    texts.extend((0..100).map(|n| {
        format!(
            "fn f{n}(x: &S{n}) -> usize {{ let all: Vec<usize> = x.a.iter().map(|_| 1).collect(); all.len() + {n} }}"
        )
    }));
    let definitions: Vec<(Option<&str>, &str)> = texts.iter().map(|text| (None, text.as_str())).collect();
    let mut reader = FactsReader::default();
    for _ in 0..2 {
        let begin = std::time::Instant::now();
        println!("{} in {:?}", reader.read(&definitions).len(), begin.elapsed());
    }
    let found = reader.read(&definitions);
    let names = found.keys().map(|name| (name.clone(), "0".to_owned())).collect();
    let begin = std::time::Instant::now();
    let inserted = moves(&texts.concat(), &names);
    println!("{} in {:?}", inserted.len(), begin.elapsed());
}

/// With what is inserted.
fn moved(source: &str, names: &[&str]) -> String {
    let identities = names.iter().map(|name| ((*name).to_owned(), "0".to_owned())).collect();
    let mut text = source.to_owned();
    for (at, inserted) in moves(source, &identities).into_iter().rev() {
        text.insert_str(at, &inserted);
    }
    text.replace(INSERTION.0, "").replace(INSERTION.1, "")
}

#[test]
fn a_type_moves_into_a_module() {
    const BEGINS: &str = "#[allow(unused_imports)] mod chorus_type_0_0 { use super::*; ";
    let ends = |visibility: &str| format!("}} #[allow(unused_imports)] {visibility}use chorus_type_0_0::Own;");
    for (text, expected, visibility) in [
        ("struct Own;", "pub(super) struct Own;", ""),
        (
            "/// A\n#[derive(Debug)]\nstruct Own(u8, pub u8);",
            "/// A\n#[derive(Debug)]\npub(super) struct Own(pub(super) u8, pub u8);",
            "",
        ),
        (
            "pub struct Own { #[a] b: u8, pub(crate) c: u8 }",
            "pub struct Own { #[a] pub(super) b: u8, pub(crate) c: u8 }",
            "pub ",
        ),
        ("enum Own { A(u8), B { c: u8 } }", "pub(super) enum Own { A(u8), B { c: u8 } }", ""),
        ("union Own { a: u8 }", "pub(super) union Own { pub(super) a: u8 }", ""),
        (
            "unsafe trait Own { fn f() { self::g(); m!(super::h) } }",
            "pub(super) unsafe trait Own { fn f() { self::super::g(); m!(super::super::h) } }",
            "",
        ),
        (
            "pub(self) struct Own(pub(super) u8);",
            "pub(in self::super) struct Own(pub(in super::super) u8);",
            "pub(self) ",
        ),
    ] {
        assert_eq!(moved(text, &["Own"]), format!("{BEGINS}{expected}{}", ends(visibility)));
        assert_eq!(moved(text, &["Other"]), text);
    }
    assert_eq!(moved("#[cfg(any())] fn Own() {}", &["Own"]), "#[cfg(any())] fn Own() {}");
    let text = moved("#[cfg(a)]\nstruct Own;", &["Own"]);
    assert!(
        text.starts_with("#[cfg(a)]#[allow") && text.contains("}} #[cfg(a)]#[allow".trim_start_matches('}')),
        "{text}"
    );
    let text = moved("async fn f(x: m::Own) {}\nmod m { pub struct Own; fn g() {} }", &["f", "m"]);
    assert!(text.starts_with(&format!("{BEGINS}pub(super) async fn f(x: m::Own) {{}}}} ")), "{text}");
    assert!(
        text.contains("mod m { #[allow(unused_imports)] mod chorus_type_0_1 { use super::*; pub struct Own;} "),
        "{text}"
    );
}

#[test]
fn names_of_types_are_pxs() {
    let text = moved(
        "struct Own;\nfn f() { p!(std::any::type_name::<Own>(), \"std::any\"); std::anyhow() }\nuse ::core::any;",
        &["Own"],
    );
    assert!(text.contains("p!(px::apart::std::any::type_name"), "{text}");
    assert!(text.contains("use ::px::apart::core::any;"), "{text}");
    assert_eq!(text.matches("px::apart").count(), 2, "{text}");
}

#[test]
fn an_impl_with_types_inside_holds_them() {
    let texts = [
        "struct G;",
        "impl G { fn make(x: u64) -> Box<dyn Any> { struct In(u64); Box::new(In(x)) } fn other(&self) { helper() } const N: u8 = 1; }",
        "impl Tr for Vec<G> { fn make() { enum In { A(Kept) } } }",
        "struct Kept(u8);",
        "fn helper() {}",
        "impl G { fn plain(&self) { async { helper() }; } }",
    ];
    let found = of(&texts);
    let held = |name: &str| found.get(name).unwrap_or_else(|| panic!("{name} in {:?}", found.keys())).clone();
    let first = held("impl#forG:make");
    assert!(first.contains_key("G") && first["impl#forG:make"].contains("struct In ( u64 ) ;"), "{first:?}");
    assert!(!first["impl#forG:make"].contains("helper"), "what has no types in it may be edited");
    assert!(held("impl#TrforVec<G>:make").contains_key("Kept"));
    assert_eq!(found.keys().filter(|name| name.starts_with("impl#")).count(), 2, "a future has no name");

    let named = |name: &str| BTreeMap::from([(name.to_owned(), "1".to_owned())]);
    let with = |source: &str, name: &str| {
        let mut text = source.to_owned();
        for (at, inserted) in moves(source, &named(name)).iter().rev() {
            text.insert_str(*at, inserted);
        }
        text.replace("/*chorus[*/", "").replace("/*]chorus*/", "")
    };
    assert_eq!(
        with(
            "#[cfg(unix)]\nimpl G { fn f() { struct In; self::g() } pub(super) const N: u8 = super::M; pub fn h() {} }",
            "impl#forG:f"
        ),
        "#[cfg(unix)]#[allow(unused_imports)] mod chorus_type_1_0 { use super::*; #[cfg(unix)]\nimpl G { pub(super) fn f() { struct \
         In; self::super::g() } pub(in super::super) const N: u8 = super::super::M; pub fn h() {} }}"
    );
    assert_eq!(
        with("impl Tr for G { fn f() { struct In; } }", "impl#TrforG:f"),
        "#[allow(unused_imports)] mod chorus_type_1_0 { use super::*; impl Tr for G { fn f() { struct In; } }}"
    );
    assert_eq!(with("impl G { fn f() {} }", "impl#forG:f"), "impl G { fn f() {} }");
    assert!(with("mod m { impl G { fn f() { struct In; } } }", "m").contains("chorus_type_1_0 { use super::*; impl G"));
}
