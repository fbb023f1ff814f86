"""Cells are read as a notebook means them, and what is wrong with one is said at its own place, in its own words."""

import re

import pytest

GENERATED = re.compile(r"evcxr|run_user_code_|px::store|catch_unwind|VariableStore|src/lib\.rs|\*mut u8", re.IGNORECASE)

ACCEPTED = [
    ["let plain = 5", "plain"],
    ["let noted = 5 // five\n\n", "noted"],
    ["let Some(found) = Some(1) else { panic!() }", "found"],
    ["let (left, right): (u8, u8) = (1, 2)", "left + right"],
    ["fn closed() -> u8 { 1 };\nclosed()"],
    ["struct Closed { a: u8 };\nClosed { a: 1 }.a", "impl Closed { fn b() -> u8 { 2 } };", "Closed::b()"],
    ["const COUNT: u8 = 1;", "const COUNT: u8 = 1;", "const COUNT: u8 = 2", "assert_eq!(COUNT, 2)"],
    ["type Size = u8", "type Size = u16", "let size: Size = 300;"],
    ["struct Unit", "struct Pair(u8, u8)", "use std::fmt", "let unit = Unit; Pair(1, 2).1", "fmt::Error"],
    ["extern crate alloc;\nalloc::vec![1]", "let from_alloc: alloc::vec::Vec<u8> = alloc::vec![1];", "from_alloc"],
    ["extern crate core as basis;", "basis::cmp::max(1, 2)"],
    ["#[allow(unused)] let attributed = 1;", "#[allow(unused_must_use)] { 1 + 1; }"],
    ["vec!{1, 2}", "println![\"a\"]", "println!{\"a\"};"],
    ["/// said\nlet documented = 1;\n/// behind", "//! in front\ndocumented", "1\n/** behind */"],
    ["#!/usr/bin/env rust\nlet begun = 1;", "\ufeffbegun + 1"],
    [";", ";;1", "1;;", "", "// only words", "/* only /* nested */ words */", "{ ; }", "let later;\nlater = 3;\nlater"],
    ["let größe = r#\"\"{\"#; größe", "'outer: loop { loop { break 'outer; } }", "let label = 'b: { break 'b 5 };"],
    ["if let Some(a) = Some(1) && a > 0 { print!(\"{a}\") }", "unsafe { std::mem::transmute::<u32, f32>(0) }"],
    ["if true { return; }\npanic!()"],
    [
        "mod inner { pub fn go() -> u8 { 3 } pub mod deep { pub fn up() -> u8 { 1 } } }",
        "use inner::{deep as down, *};\nassert_eq!((down::up(), go()), (1, 3));",
        "use std::{fmt::{self as shape}, collections::{*}};\nlet map: BTreeMap<u8, shape::Error> = BTreeMap::new();",
        "map.len() + usize::from(go())",
    ],
]


@pytest.mark.parametrize("cells", ACCEPTED, ids=lambda cells: cells[0][:30])
def test_a_cell_is_what_it_means(kernel, cells):
    for cell in cells:
        kernel.run(cell).ok()


# With the line and the column of the mistake, and something that is said.
REFUSED = [
    ("/* open", 1, 1, "unterminated block comment"),
    ("1;\n  \"open", 2, 3, "unterminated double quote string"),
    ("r#\"open", 1, 1, "unterminated raw string"),
    ("use std::", 1, 10, "the cell ends where more is expected"),
    ("use std::{", 1, 10, "unclosed delimiter"),
    ("1 +", 1, 4, "expected expression"),
    ("let a = 1 + // one", 1, 12, "expected expression"),
    ("foo(", 1, 4, "unclosed delimiter"),
    ("match x {", 1, 9, "unclosed delimiter"),
    ("fn f(", 1, 5, "unclosed delimiter"),
    ("1;\n)", 2, 1, "nothing is open here"),
    ("f(1]", 1, 4, "mismatched closing delimiter"),
    ("fn", 1, 3, "the cell ends where more is expected"),
    ("let = 5", 1, 1, "expected pattern"),
    ("1;\n++x", 2, 1, "expected expression"),
    ("return 5;", 1, 8, "a cell's result is the value of its last expression"),
    ("let a = 1;\nif a == 1 { return; }", 2, 13, "there would be no `a`"),
    ("break;", 1, 1, "outside of a loop"),
    ("None::<u8>?", 1, 11, "not `Option`s"),
    ("struct Silent; Err::<u8, _>(Silent)?", 1, 36, "`Silent`"),
    ("const C: u8 = 1;\nconst C: u8 = 2;", 2, 1, "defined multiple times"),
    ("mod px { pub fn own() {} }", 1, 1, "the name `px` is taken"),
    ("1;\nuse nothing_here::at_all;", 2, 1, ":dep nothing_here"),
    ("#![feature(never_type)]\n1", 1, 1, "`#![feature]` may not be used"),
    ("let s = \"a\";\nlet f = |x: i32| x + 1;", 2, 1, "closure"),
    ("let x: u8 = \"a\"", 1, 13, "mismatched types"),
    ("let a = 1 let b = 2", 1, 10, "expected `;`"),
    ("#!", 1, 3, "the cell ends where more is expected"),
    ("1 2", 1, 2, "error: expected `;`\n"),
    ("self", 1, 1, "self"),
    ("super::x", 1, 1, "super"),
    ("yield 1", 1, 1, "yield"),
    ("let a = 7\n%timeit 1", 2, 1, "end the statement above it with `;`"),
    ("5\n%px 1", 2, 1, "end the statement above it with `;`"),
    ("let a = 7\n\n%pwd", 3, 2, "end the statement above it with `;`"),
    ("println!();\n!ls", 2, 2, "`!` lines are the shell's where they stand above"),
    ("dep serde = \"1\"", 1, 1, "write `:dep NAME"),
    ("mod file;", 1, 1, "within braces: `mod name { ... }`"),
]


@pytest.mark.parametrize("cell, line, column, said", REFUSED, ids=lambda value: str(value)[:30])
def test_a_mistake_is_said_where_it_is(kernel, cell, line, column, said):
    kernel.run("let here = \"static\";").ok()
    reply = kernel.run(cell).failed()
    assert f"cell line {line}, column {column}\n" in reply.text, reply
    assert said in reply.text, reply
    assert not GENERATED.search(reply.text), reply
    assert kernel.run("here").ok().results == [{"text/plain": '"static"'}]


# Each is told once, and without this.
TOLD_ONCE = [
    ("let x = 5; let y = &mut x; *y = 6;", "E0596", "E0503"),
    ("let mut x = 5; let y = &mut x; println!(\"{x}\"); *y = 6;", "E0502", "can't keep"),
    ("let mut x = 5; let y = &mut x;", "can't keep `y`, which borrows from `x`", "E0503"),
    ("let r; { let own = 5; r = &own; } println!(\"{r}\");", "`own` does not live long enough", "can't keep"),
    ("let o: Option<i32> = Some(3); let q = o? + 1;", "not `Option`s, in a cell", "closure"),
    ("let n = \"7\".parse::<i32>()?; break;", "`break` outside of a loop", "closure"),
    ("let y: f32 = 1.5; let w: f64 = 2.0; y + w", "expected `f32`, found `f64`", "other types implement"),
    ("px::map(|x: &i32| x + 1, &[1, 2]).collect()?", "a map's function gets its items by value", "Span"),
    ("fn take(n: u32) -> u32 { n }\npx::map(take, 0..5i64).sum()?", "it takes `u32`", "Source"),
    ("px::map_with(&5, |k, x: u64| k * x, 0..4u64).sum()?", "isn't a tuple of references", "Given"),
]


BORROWS = [
    ("let mut x = 5; let y = &mut x; *y += 1; x", "6"),
    ("let mut v = vec![3, 1];\nlet y = &mut v; y.push(9);\nv.len()", "3"),
    ("let mut xs = [[0u8; 3]; 2];\nlet (y, z) = xs.split_at_mut(1);\ny[0][0] = z[0][2] + 1;\nxs[0]", "[1, 0, 0]"),
    ("let y = text.split(' ').rev(); let z: Vec<&str> = y.clone().collect(); (y.clone().count(), z)", '(2, ["b", "a"])'),
    ("let lock = std::sync::Mutex::new(1);\nlet mut y = lock.lock().unwrap();\n*y += 1;", ""),
]


@pytest.mark.parametrize("cell, shown", BORROWS, ids=lambda value: str(value)[:30])
def test_what_borrows_ends_with_the_cell_that_uses_it(kernel, cell, shown):
    kernel.run('let text = "a b".to_owned(); let y = 1;').ok()
    for _ in range(2):
        assert kernel.run(cell).ok().text.strip() == shown
    missing = kernel.run("y").failed().traceback
    assert "`y` was lost: it borrowed from `" in missing and "so it ended with its cell, In[" in missing, missing
    assert kernel.run("text.len() + 1").ok().results == [{"text/plain": "4"}]


def test_what_borrows_does_not_take_along_what_it_hides(kernel):
    kernel.run("let data = vec![1, 2, 3];").ok()
    assert "can't keep `data`, which borrows from `data`" in kernel.run("let data = &data[..2]; data.len()").failed().traceback
    assert kernel.run("data.len()").ok().results == [{"text/plain": "3"}]


@pytest.mark.parametrize("cell, said, unsaid", TOLD_ONCE, ids=lambda value: str(value)[:30])
def test_what_follows_from_a_mistake_is_left_out(kernel, cell, said, unsaid):
    reply = kernel.run(cell).failed()
    assert said in reply.text and unsaid not in reply.text, reply
    assert reply.traceback.count(" --> cell line") == 1 or "E0308" in reply.text, reply


def test_a_map_without_an_end_says_what_is_missing(kernel):
    (shown,) = kernel.run("px::map(|x: u8| x + 1, 0..5u8)").ok().results
    assert "hasn't begun: `.collect()?`" in shown["text/plain"]


def test_no_name_is_taken_but_px(own_kernel):
    own_kernel.run("const x: u8 = 1;").ok()
    assert own_kernel.run("x").ok().results == [{"text/plain": "1"}]


def test_attributes_are_part_of_what_was_compiled(kernel):
    assert kernel.run("unsafe { 1 + 12 }").ok().results == [{"text/plain": "13"}]
    reply = kernel.run("#![forbid(unsafe_code)]\nunsafe { 1 + 12 }").failed()
    assert "cell line 2, column 1" in reply.text, reply


def test_a_magic_shows_only_its_own_line(kernel):
    reply = kernel.run("%%timeit\nfoo(").failed()
    assert "cell line 2, column 4" in reply.text and not GENERATED.search(reply.text), reply


def test_a_return_of_a_kind_is_explained(kernel):
    for cell in ("return Ok(());", "'text'.len(); return Err(1);"):
        reply = kernel.run(cell).failed()
        assert not GENERATED.search(reply.text), reply
