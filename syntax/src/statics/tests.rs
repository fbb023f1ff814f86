use super::*;
use proptest::prelude::*;

fn places(text: &str) -> Vec<String> {
    statics(text).statics.into_iter().map(|one| one.place).collect()
}

fn made_of(text: &str) -> Vec<String> {
    statics(text).statics.remove(0).made_of.into_iter().collect()
}

#[test]
fn statics_are_told_by_their_places() {
    let text = "static A: u8 = 1; fn f() { static B: u8 = 1; { static B: u8 = 2; } } impl<T> S<T> { fn g() { static C: u8 = 3; } } mod m { pub static D: u8 = 1; } thread_local! { static E: u8 = 1; pub static F: u8 = const { 2 } } fn h() { std::thread_local!(static G: u8 = 1); }";
    assert_eq!(places(text), ["A", "f::B", "f::B#2", "<impl<T>S<T>>::g::C", "m::D", "E", "F", "h::G"]);
    for one in statics(text).statics {
        assert_eq!(&text[one.keyword.clone()], "static");
        assert!(text[one.attribute_at..].starts_with("static") || text[one.attribute_at..].starts_with("pub static"));
    }
    let calls: Vec<&str> = statics(text).calls.into_iter().map(|path| &text[path]).collect();
    assert_eq!(calls, ["thread_local", "std::thread_local"]);
}

#[test]
fn what_is_not_a_definition_of_rust_is_left_alone() {
    assert_eq!(
        places(
            "extern \"C\" { static A: u8; } #[no_mangle] static B: u8 = 1; #[export_name = \"c\"] static C: u8 = 1;"
        ),
        [""; 0]
    );
    assert_eq!(places("fn run_user_code_3() { static A: u8 = 1; }"), [""; 0]);
    assert_eq!(places("macro_rules! m { () => { static A: u8 = 1; } } m! { static B: u8 = 1; }"), [""; 0]);
    assert_eq!(places("macro_rules! thread_local { ($($t:tt)*) => {} } thread_local! { static A: u8 = 1; }"), [""; 0]);
    assert_eq!(places("thread_local! { fn f() {} static A: u8 = 1; }"), [""; 0]);
    assert_eq!(places("static A; static B: u8; static"), [""; 0]);
}

#[test]
fn a_static_is_made_of_what_its_type_and_initialiser_name() {
    let text = "static A: Mutex<Own> = Mutex::new(own()); use std::sync::{Mutex, Arc as Mine}; struct Own(Inner); struct Inner; struct Other; fn own() -> Own { Own(Inner) }";
    let all = [
        "fn own ( ) -> Own { Own ( Inner ) }",
        "static A : Mutex < Own > = Mutex :: new ( own ( ) ) ;",
        "struct Inner ;",
        "struct Own ( Inner ) ;",
        "use std::sync::Mutex",
    ];
    assert_eq!(made_of(text), all);
    let same = "/// Says.\nstruct Inner; impl Inner {} struct Own(  Inner); fn own() -> Own { Own(Inner) } use std::sync::*; use std::sync::Mutex; static A: Mutex<Own> = Mutex::new(own()/*!*/);";
    let same: Vec<String> = made_of(same);
    assert_eq!(same.iter().filter(|text| !text.contains("Says")).count(), all.len(), "{same:?}");
    let near = "fn f() { struct Own; static A: Own = Own; }";
    assert_eq!(made_of(near), ["static A : Own = Own ;", "struct Own ;"]);
    assert_eq!(made_of("use other::*; static A: u8 = 1;"), ["static A : u8 = 1 ;", "use other::*"]);
}

#[test]
fn a_glob_of_the_notebooks_own_counts_for_what_it_brings() {
    let globs = |text: &str| {
        let of = |of: &str| made_of(&format!("static A: Mutex<{of}> = Mutex::new(own()); {text}"));
        let has_glob = |made_of: Vec<String>| made_of.iter().any(|text| text.starts_with("use") && text.ends_with('*'));
        (has_glob(of("u8")), has_glob(of("Own")))
    };
    for text in [
        "mod m { pub struct Own(u8); } use m::*;",
        "mod m { pub mod n { pub(super) type Own = u8; } } use crate::m::n::*;",
        "mod m { pub mod n { pub enum Own {} } } use m::n; use n::*;",
        "mod m { pub mod n { pub enum Own {} } } use m::n as k; use k::*;",
        "enum Kind { Own, Other } use self::Kind::*;",
        "mod m { pub use super::Inner as Own; } struct Inner; use m::*;",
        "mod m { use std::sync::Mutex; pub use std::io::*; pub struct Own; } use m::*;",
        "mod m { pub struct Own; thread_local! { pub static B: u8 = 1; } } use m::*;",
        "mod m { pub struct Own; } mod n { use super::m::*; } use m::*;",
    ] {
        assert_eq!(globs(text), (false, true), "{text}");
    }
    let all = made_of("mod m { pub struct Own(Inner); } struct Inner; use m::*; static A: Own = Own(Inner);");
    assert_eq!(all.len(), 4, "{all:?}");
    // What may bring any name may have brought these.
    for text in [
        "use other::*;",
        "use Other::*; struct Other;",
        "fn other() {} use other::*;",
        "mod m { pub use other::*; } use m::*;",
        "mod m { make! { Own } } use m::*;",
        "mod m { #[derive(Builder)] struct Other; } use m::*;",
        "mod m { pub use super::n; } mod n {} use m::n::*;",
        "use a as b; use b as a; use a::*;",
    ] {
        assert_eq!(globs(text), (true, true), "{text}");
    }
    // And these bring none.
    for text in ["use std::sync::*;", "use crate::*;", "mod m { pub fn f() { static Own: u8 = 1; } } use m::*;"] {
        assert_eq!(globs(text), (false, false), "{text}");
    }
    // What a static says of itself isn't what a glob of its own module brings.
    assert_eq!(made_of("mod m { pub static A: u8 = 1; pub fn f() {} } use m::*;"), ["pub static A : u8 = 1 ;"]);
    let near = "mod m { mod n { pub struct Own; } use n::*; static A: Own = Own; }";
    assert_eq!(made_of(near), ["mod n { pub struct Own ; }", "static A : Own = Own ;", "use n::*"]);
}

#[test]
fn an_attribute_goes_to_the_line_before_if_it_can() {
    let at = |text: &str| statics(text).statics[0].attribute_at;
    assert_eq!(at("fn f() { // says\n  /// doc\n  static A: u8 = 1; }"), 8);
    assert_eq!(at("fn f() {\n//! inner\nstatic A: u8 = 1; }"), 19);
    assert_eq!(at("static A: u8 = 1;"), 0);
    assert_eq!(at("thread_local! {\n    static A: u8 = 1;\n}"), 15);
}

proptest! {
    #[test]
    fn any_text_has_places(parts in prop::collection::vec(
        prop::sample::select(vec!["static ", "A", ": u8", " = 1", ";", "thread_local!", "lazy_static!", "ref ", "{", "}", "(", ")", "fn f()", "é", "\n", "use ", "::", "*", "impl ", "mod m", "#[", "]", "\"", "//!", "std"]), 0..40))
    {
        let text: String = parts.concat();
        for one in statics(&text).statics {
            prop_assert!(text.is_char_boundary(one.attribute_at));
            prop_assert_eq!(&text[one.keyword], "static");
        }
    }
}

#[test]
fn what_a_macro_makes_is_a_part_of_what_names_it() {
    let made = |text: &str, of: &str| made_of(text).iter().any(|part| part.starts_with(of));
    let own = "macro_rules! make { () => { struct Own(u64); } } make!(); other! { Others = u8 } third!(Third);";
    let with = |text: &str| format!("{text} {own}");
    let text = with("static A: Mutex<Vec<Own>> = Mutex::new(Vec::new());");
    assert!(made(&text, "make ! ( )") && made(&text, "macro_rules ! make"), "{:?}", made_of(&text));
    assert!(!made(&text, "other") && !made(&text, "third"));
    let text = with("static A: Others = Others::new();");
    assert!(made(&text, "other !") && !made(&text, "make"));
    let text = with("static A: Kept = Kept(1); struct Kept(crate::Third);");
    assert!(made(&text, "third !") && !made(&text, "make"));
    let plain = with("static A: Mutex<u8> = Mutex::new(own::plain(1)); mod own { pub fn plain(n: u8) -> u8 { n } }");
    assert!(!made(&plain, "third") && !made(&plain, "make"));
    let other = "macro_rules! two { ($n:ident, $t:ty) => { struct $n($t); } } two!(Two, u8); static A: Own = Own(1);";
    assert!(!made(&with(other), "two") && made(&with(other), "make ! ( )"));
    let imported = "mod m { macro_rules! make { () => { struct Own(u64); } } pub(crate) use make; } use m::make; make!(); \
                    static A: Vec<Own> = Vec::new();";
    assert!(made(imported, "make ! ( )") && made(imported, "mod m {"));
    let inside =
        "fn f() { macro_rules! make { () => { struct Own(u64); } } make!(); static A: Vec<Own> = Vec::new(); }";
    assert!(made(inside, "make ! ( )") && made(inside, "macro_rules"));
    let around =
        "macro_rules! make { () => { struct Own(u64); } } fn f() { make!(); static A: Vec<Own> = Vec::new(); }";
    assert!(made(around, "make ! ( )") && made(around, "macro_rules"));
    let imported = "mod m { macro_rules! make { () => { struct Own(u64); } } pub(crate) use make; } \
                    fn f() { use crate::m::make; make!(); static A: Vec<Own> = Vec::new(); }";
    assert!(made(imported, "make ! ( )") && made(imported, "mod m {"));
}

#[test]
fn lazy_statics_are_statics() {
    let text = "use lazy_static::lazy_static; fn own() -> u8 { 1 } lazy_static! { static ref A: u8 = own(); /** B */ pub static ref B: &'static str = \"static ref\"; } \
                fn f() { lazy_static::lazy_static! { static ref C: u8 = 2; } }";
    assert_eq!(places(text), ["A", "B", "f::C"]);
    let found = statics(text);
    assert!(text[found.statics[1].attribute_at..].starts_with("pub static ref B"));
    let calls: Vec<&str> = found.calls.into_iter().map(|path| &text[path]).collect();
    assert_eq!(calls, ["lazy_static", "lazy_static::lazy_static"]);
    assert!(made_of(text).iter().any(|part| part.starts_with("fn own")), "{:?}", made_of(text));
    for other in [
        "lazy_static! { static A: u8 = 1; }",
        "lazy_static! { static ref A: u8 = 1; struct B; }",
        "lazy_static! { static ref A: u8 = 1; static B: u8 = 1; }",
        "macro_rules! lazy_static { ($($t:tt)*) => {} } lazy_static! { static ref A: u8 = 1; }",
        "other::lazy_static! { static ref A: u8 = 1; }",
    ] {
        assert_eq!(places(other), [""; 0], "{other}");
    }
}

#[test]
fn statics_of_the_same_words_are_told_apart_by_what_makes_them() {
    let of = |text: &str| statics(text).statics.remove(0).made_of;
    let made =
        ["static A: u8 = 1;", "thread_local! { static A: u8 = 1; }", "lazy_static! { static ref A: u8 = 1; }"].map(of);
    assert!(made[0] != made[1] && made[1] != made[2] && made[0] != made[2], "{made:?}");
}
