//! What counts as reached, and what doesn't.

use super::*;
use crate::notebook::engine_vars::EngineTypes;
use crate::notebook::namespace::Variable;
use proptest::prelude::*;

fn definitions(text: &str) -> Vec<Definition> {
    crate::notebook::definitions::definitions_in(&Cell::parse(text), 1)
}

fn variables(list: &[(&str, &str)]) -> Variables {
    let variable = |type_name: &str| Variable { type_name: type_name.into(), mutable: false };
    list.iter().map(|(name, type_name)| ((*name).to_owned(), variable(type_name))).collect()
}

/// The definitions and the variables that `cell` reaches, by their first words and their names.
fn reached(cell: &str, all: &str, has: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
    let (all, own, has, cell) = (definitions(all), definitions(cell), variables(has), Cell::parse(cell));
    let all: Vec<&Definition> = all.iter().collect();
    let none = EngineTypes::new();
    let found = Dependence::of_cell(&cell, &own, &all, (&has, &none));
    (found.definitions.iter().map(|text| (*text).to_owned()).collect(), found.variables.into_keys().collect())
}

fn items(cell: &str, all: &str) -> Vec<String> {
    reached(cell, all, &[]).0
}

#[test]
fn a_name_reaches_its_item_and_what_that_names() {
    let all = "fn f() { g() } fn g() {} fn h() {} const N: u8 = 1;";
    assert_eq!(items("f()", all), ["fn f() { g() }", "fn g() {}"]);
    assert_eq!(items("println!(\"{N}\")", all), ["const N: u8 = 1;"], "in strings as well");
    assert_eq!(items("1 + 1", all), [""; 0]);
    assert_eq!(items("fn h() { g() } h()", all), ["fn g() {}", "fn h() { g() }"], "its own h");
}

#[test]
fn types_bring_their_impls_and_traits_act_by_their_methods() {
    let all = "struct S(T); struct T; impl Drop for T { fn drop(&mut self) { log() } } fn log() {} struct U; impl U {}";
    let expected = ["fn log() {}", "impl Drop for T { fn drop(&mut self) { log() } }", "struct S(T);", "struct T;"];
    assert_eq!(items("S(T)", all), expected);
    assert_eq!(
        reached("v", all, &[("v", "Vec<S>"), ("w", "U")]),
        (expected.map(String::from).into(), vec!["v".into()])
    );
    let all = "trait Twice { fn twice(self) -> i32; } impl Twice for i32 { fn twice(self) -> i32 { 2 } }";
    assert_eq!(items("1.twice()", all).len(), 2);
    assert_eq!(items("1.thrice()", all).len(), 0);
}

#[test]
fn what_could_act_unnamed_is_reached_by_all() {
    assert_eq!(items("1", "use std::io::Write; fn f() {}"), ["use std::io::Write;"]);
    let own_result = ["struct E;", "type Result<T> = m::Result<T, E>;"];
    assert_eq!(items("1", "type Result<T> = m::Result<T, E>; struct E; fn f() {}"), own_result);
    assert_eq!(items("Red", "use Color::*; enum Color { Red(Shade) } struct Shade; struct Other;").len(), 3);
    assert_eq!(
        items("1", "#[derive(Builder)] struct S { t: T } struct T; #[derive(Debug, Clone)] struct U;").len(),
        3,
        "a derive may name anything"
    );
    assert_eq!(items("1", "fn f() { impl Drop for S { fn drop(&mut self) {} } }").len(), 1);
    assert_eq!(items("1", "#[serde(default)] #[derive(Serialize)] struct S;").len(), 0);
}

#[test]
fn variables_are_reached_by_statements_that_have_not_bound_them() {
    let has = [("x", "i32"), ("y", "i32")];
    let variables = |cell| reached(cell, "fn f(x: i32) -> i32 { x }", &has).1;
    assert_eq!(variables("f(1)"), [""; 0], "a function can't see variables");
    assert_eq!(variables("let x = 1; x"), [""; 0]);
    assert_eq!(variables("let x = x + 1; x"), ["x"]);
    assert_eq!(variables("x; let x = 1;"), ["x"]);
    assert_eq!(variables("println!(\"{y}\")"), ["y"]);
}

#[test]
fn objects_that_differ_each_time_or_keep_values_are_told() {
    let told = |cell: &str| {
        let (own, cell, none) = (definitions(cell), Cell::parse(cell), (Variables::new(), EngineTypes::new()));
        let statements: Vec<&str> = cell.statements.iter().map(|piece| piece.text.as_str()).collect();
        let found = Dependence::of_cell(&cell, &own, &[], (&none.0, &none.1));
        (found.is_reproducible(&statements), found.keeps_values(&statements))
    };
    assert_eq!(told("let s: &'static str = \"x\";"), (true, false));
    assert_eq!(told("static N: u8 = 1; N"), (true, false), "it is one for all objects");
    assert_eq!(told("{ static N: u8 = 1; N }"), (true, true));
    assert_eq!(told("own! { static N: u8 = 1; }"), (true, true));
    assert_eq!(told("fn f() { thread_local!(); }"), (true, true));
    assert_eq!(told("include_str!(\"a\")"), (false, false));
    assert_eq!(told("fn f() -> &'static str { env!(\"HOME\") }"), (false, false));
}

#[test]
fn a_value_has_the_types_of_its_fields() {
    let all = definitions(
        "struct S { t: Vec<T> } enum T { A(U) } struct U; trait Act { fn act(&self, u: U); } fn f(u: U) {}",
    );
    let all: Vec<&Definition> = all.iter().collect();
    let contains = |type_name: &str, changed: &str| contains_type(type_name, &BTreeSet::from([changed]), &all);
    assert!(contains("S", "S") && contains("Option<S>", "U") && contains("Box<dyn Act>", "Act"));
    assert!(!contains("T", "S") && !contains("i32", "U") && !contains("fn()", "f"));
}

#[test]
fn who_calls_a_macro_of_another_crate_reaches_everything() {
    let all = "fn score() {} macro_rules! mine { () => { 1 } } macro_rules! theirs { () => { paste::paste! { [<sco re>]() } } }";
    let paste = "paste::paste! { [<sco re>]() }";
    assert_eq!(items(paste, all).len(), 3);
    assert_eq!(items("theirs!()", all).len(), 3);
    assert_eq!(items("fn f() { info!(\"x\") }", all).len(), 4);
    assert_eq!(items("#[derive(Builder)] struct S;", all).len(), 4);
    assert_eq!(items("mine!()", all), ["macro_rules! mine { () => { 1 } }"]);
    for known in ["println!(\"Well done!\")", "if !a { return !b }", "std::vec![1]", "px::display!(1)", "a != (b)"] {
        assert_eq!(items(known, all), [""; 0], "{known}");
    }
    assert_eq!(items("vec![1]", "use other::vec; fn score() {}").len(), 2, "another vec");
}

/// A notebook of functions, each of which adds up others; `glue!` calls one whose name isn't written.
fn function(name: usize, number: u32, calls: &[usize], glued: bool) -> String {
    let calls: String = calls.iter().map(|to| format!(" + f{to}()")).collect();
    let glued = if glued { " + other::glue! { f 0 }" } else { "" };
    format!("fn f{name}() -> u32 {{ {number}{calls}{glued} }}")
}

/// What a text of calls comes to, with the definitions as they are; a call that goes in circles is nothing.
fn value(text: &str, all: &[Definition], depth: usize) -> u32 {
    let Some(body) = text.split_once('{').map(|(_, body)| body).filter(|_| depth < 6) else { return 0 };
    let parts = body.trim_end_matches('}').split('+').map(str::trim);
    let sum = parts.map(|part| match part.parse::<u32>() {
        Ok(number) => number,
        Err(_) => {
            let name = if part.contains("glue") { "f0" } else { part.trim_end_matches("()") };
            let found = all.iter().find(|item| item.name() == Some(name));
            found.map_or(7, |item| value(&item.piece.text, all, depth + 1))
        }
    });
    sum.fold(0, u32::wrapping_add)
}

proptest! {
    #[test]
    fn more_definitions_never_hide_one(picks in proptest::collection::vec(0..6usize, 0..6)) {
        let all = ["fn a() { b() }", "fn b() { c() }", "fn c() {}", "struct D;", "impl D { fn m() { a() } }", "use x::y;"];
        let some: String = picks.iter().map(|&at| all[at]).collect();
        let before = items("D::m(); b();", &some);
        let after = items("D::m(); b();", &format!("{some} {}", all.join(" ")));
        prop_assert!(before.iter().all(|text| after.contains(text)), "{before:?} {after:?}");
    }

    /// Two moments of a notebook at which a cell reaches the same texts are two at which it says the same.
    #[test]
    fn what_is_kept_is_what_would_be_compiled(
        edits in proptest::collection::vec(
            (0..5usize, 0..3u32, proptest::collection::vec(0..5usize, 0..3), proptest::bool::weighted(0.1)),
            1..25,
        ),
        asks in 0..5usize,
    ) {
        let cell = Cell::parse(&format!("f{asks}()"));
        let (mut all, mut kept) = (Vec::<Definition>::new(), std::collections::BTreeMap::new());
        for (name, number, calls, glued) in edits {
            let new = definitions(&function(name, number, &calls, glued));
            all.retain(|item| item.name() != new[0].name());
            all.extend(new);
            let current: Vec<&Definition> = all.iter().collect();
            let none = (Variables::new(), EngineTypes::new());
            let found = Dependence::of_cell(&cell, &[], &current, (&none.0, &none.1));
            let key: Vec<String> = found.definitions.iter().map(|text| (*text).to_owned()).collect();
            let fresh = value(&format!("{{ f{asks}() }}"), &all, 0);
            prop_assert_eq!(*kept.entry(key).or_insert(fresh), fresh);
        }
    }
}
