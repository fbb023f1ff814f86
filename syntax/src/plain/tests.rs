use super::is_plain;

const DEFINITIONS: &str = "#![allow(unused_imports, unused_mut, dead_code)]
#[cfg(any())] fn forgotten() {}
use std::any::Any;
use px::Show;
use std::collections::HashMap;
const LIMIT: u64 = 3 * 7;
fn twice(x: u64) -> u64 { if x > LIMIT { return x; } let y = x * 2; y + 1 }
#[derive(Debug, Clone, PartialEq)]
struct Point { x: f64, name: String }
#[derive(Debug, Clone, Copy)]
enum Shape { Empty, Circle(f64), Box { a: f64, b: f64 } }
";

fn cell(statements: &str) -> bool {
    is_plain(DEFINITIONS, statements, &["i32", "&'static str", "Point", "(u8, Option<String>)"], &["u64", "Shape"])
}

fn defined(definition: &str) -> bool {
    is_plain(definition, "1 + 1", &[], &[])
}

#[test]
fn a_few_steps_are_plain() {
    for statements in [
        "",
        "let count = 3 * 3;",
        "let x: u8 = 5; let (a, mut b) = (x, -1.5); b += 2.0;",
        "println!(\"line\");",
        "println!(\"{} {a:?} {:>1$}\", count + 1, width, a = point.name);",
        "format!(\"text {i}\")",
        "(\ncount * 2 + 1\n);",
        "(\ntwice(21)\n);",
        "let point = Point { x: 1.0, name: \"p\".to_string() };",
        "let shape = Shape::Circle(2.0); let other = Shape::Box { a: 1.0, b: 2.0 }; let none = Shape::Empty;",
        "let list = vec![1, 2, 3];",
        "let name = String::from(\"a\") + \"b\"; name.len()",
        "let some: Option<u8> = Some(1); let none: Option<u8> = None;",
        "if count > 3 && !flag { print!(\"a\") } else if other { eprintln!() } else { count -= 1; }",
        "let area = std::f64::consts::PI * 2.0_f64.powi(2); u32::MAX as f64 + area",
        "&*point.name",
        "LIMIT",
    ] {
        assert!(cell(statements), "{statements}");
    }
}

#[test]
fn whatever_may_take_longer_is_work() {
    for statements in [
        "for i in 0..9 { f(i) }",
        "while x < 9 { x += 1; }",
        "loop { break; }",
        "let sum: i32 = values.iter().sum();",
        "values.sort();",
        "\"x\".repeat(1_000_000)",
        "vec![0.5; 1_000_000]",
        "[0u8; 1 << 20]",
        "let f = |x| x + 1;",
        "move || 1",
        "other(1)",
        "twice",
        "let f: fn(u64) -> u64 = twice; 1",
        "Box::new(1)",
        "std::thread::sleep(pause)",
        "ndarray::Array2::<f64>::zeros((9, 9))",
        "std::mem::swap(&mut a, &mut b);",
        "text.chars().rev().collect::<String>()",
        "text.parse::<u8>()",
        "0..1_000_000",
        "values[0]",
        "[1, 2, 3]",
        "unsafe { *p }",
        "async { 1 }",
        "f().await",
        "f()?",
        "other!(1)",
        "println!(\"{}\", values.iter().sum::<i32>());",
        "println!(\"{}\", { for _ in 0..9 {} 1 });",
        "vec![1, f()]",
        "match x { _ => 1 }",
        "fn inner() {} 1",
        "let Some(x) = y else { panic!() };",
        "Point { x: 1.0, ..point }",
        "Unknown { x: 1.0 }",
        "Unknown::Circle(1.0)",
        "UNKNOWN",
        "unknown::CONSTANT",
        "x.into()",
        "(twice)(1)",
        "#[rustfmt::skip] 1",
        "point.x.max(1.0)",
        "'a: { break 'a 1 }",
    ] {
        assert!(!cell(statements), "{statements}");
    }
}

#[test]
fn what_is_malformed_is_work() {
    for statements in
        ["let x = ;", "1 +", "}", "{", "} fn other() { for _ in 0..9 {} ", "\"", "println!(", "vec![1,,2]"]
    {
        assert!(!cell(statements), "{statements}");
    }
    let deep = |depth: usize| "(".repeat(depth) + "1" + &")".repeat(depth);
    assert!(cell(&deep(20)) && !cell(&deep(200)));
    assert!(!is_plain("fn f( {", "1", &[], &[]));
    assert!(!is_plain("", "1", &["Vec<"], &[]) && !is_plain("", "1", &[], &["u8; const A: u8 = 1"]));
}

#[test]
fn a_definition_that_others_may_call_is_work() {
    for definition in ["", "struct A;", "#[derive(Debug, Default)] struct A(u8, (f64, Option<char>));", "fn f() {}"] {
        assert!(defined(definition), "{definition}");
    }
    for definition in [
        "struct A; impl Drop for A { fn drop(&mut self) {} }",
        "struct A; impl A { fn f(&self) {} }",
        "trait T {}",
        "static A: u8 = 1;",
        "struct A { values: Vec<u8> }",
        "struct A { values: [u8; 1_000_000] }",
        "struct A { f: fn(u8) -> u8 }",
        "struct A { shape: Box<dyn Shape> }",
        "struct A<T> { value: T }",
        "#[derive(Serialize)] struct A;",
        "#[repr(align(1048576))] struct A;",
        "struct A { #[serde(skip)] value: u8 }",
        "enum A { B = 1, C([u8; 9]) }",
        "fn f() { for _ in 0..9 {} }",
        "fn f() { f() }",
        "fn f() -> u8 { 1 } fn g() -> u8 { f() }",
        "fn f<T>(value: T) {}",
        "fn f(values: &[u8]) -> u8 { 1 }",
        "fn f() -> impl Fn() { g }",
        "#[unsafe(no_mangle)] pub extern \"C\" fn f() {}",
        "async fn f() {}",
        "const A: u8 = f();",
        "mod inner { }",
        "use ndarray::prelude::*;",
        "use crate::inner::A;",
        "macro_rules! println { () => { loop {} } }",
        "type A = [u8; 1_000_000];",
        "union A { a: u8 }",
        "thread_local! { static A: u8 = 1; }",
        "extern crate alloc;",
    ] {
        assert!(!defined(definition), "{definition}");
    }
}

#[test]
fn variables_with_more_in_them_are_work() {
    let with = |takes: &[&str], leaves: &[&str]| is_plain(DEFINITIONS, "1", takes, leaves);
    for plain in ["u8", "String", "&str", "&'static Point", "(u8, (f64, Shape))", "Option<i32>", "(u8)", "()"] {
        assert!(with(&[plain], &[plain]), "{plain}");
    }
    // A list may be made, but whoever takes one may go through it.
    assert!(with(&[], &["Vec<i32>"]) && !with(&["Vec<i32>"], &[]));
    for other in [
        "Vec<String>",
        "[u8; 1000000]",
        "&[u8]",
        "Box<u8>",
        "Box<dyn Fn()>",
        "fn(u8) -> u8",
        "std::rc::Rc<u8>",
        "Unknown",
        "Option<Vec<u8>>",
        "impl Fn()",
        "*const u8",
    ] {
        assert!(!with(&[other], &[]) && !with(&[], &[other]), "{other}");
    }
}
