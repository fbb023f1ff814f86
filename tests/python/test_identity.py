"""A value of a type that was defined anew is never taken for one of the new type, in whatever box it is."""

import pytest

from conftest import start_kernel


def said(kernel, code):
    """What a cell shows, all of it."""
    return kernel.run(code).ok().text.strip()


BOX = "let b: Box<dyn std::any::Any> = Box::new(%s);"


@pytest.mark.parametrize(
    "old, value, new",
    [
        ("struct Own(u32);", "Own(1065353216)", "struct Own(f32);"),
        ("#[derive(Debug, Clone)]\nstruct Own { a: usize, b: usize, c: usize }", "Own { a: 1, b: 2, c: 3 }", "#[derive(Debug, Clone)]\npub struct Own { text: String }"),
        ("/// Doc.\n#[repr(u8)]\n#[derive(Clone, Copy)]\nenum Own { A = 7 }", "Own::A", "enum Own { A(u8), B { s: String } }"),
        ("struct Own<T>(T);\nimpl<T> Own<T> { fn new(t: T) -> Self { Own(t) } }", "Own::new(1u64)", "struct Own<T>(T, String);\nimpl<T> Own<T> { fn get(&self) -> &str { &self.1 } }"),
        ("union Own { a: u64 }", "Own { a: 1 }", "union Own { a: f64, b: u64 }"),
        ("struct Own;", "Own", "struct Own(String);"),
        ("trait Deed { fn a(&self) -> u8; }\nimpl Deed for u8 { fn a(&self) -> u8 { 1 } }\ntype Own = Box<dyn Deed>;", "Box::new(1u8) as Own", "trait Deed { fn z(&self) -> String; fn a(&self) -> u8; }\nimpl Deed for u8 { fn a(&self) -> u8 { 1 } fn z(&self) -> String { String::new() } }"),
        ("mod m { pub struct Own(pub u8); }\nuse m::Own;", "Own(1)", "mod m { use std::fmt; pub struct Own(pub String); impl fmt::Debug for Own { fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result { f.write_str(&self.0) } } }"),
        ("macro_rules! field { () => { u8 } }\nstruct Own(field!());", "Own(1)", "macro_rules! field { () => { String } }"),
        ("const N: usize = 1;\nstruct Own([u64; N]);", "Own([5; N])", "const N: usize = 3;"),
    ],
)
def test_an_old_value_is_none_of_the_new_type(own_kernel, old, value, new):
    kernel = own_kernel
    said(kernel, old)
    said(kernel, BOX % value)
    of = "Own::<u64>" if "<T>" in old else "Own"
    assert said(kernel, f"b.downcast_ref::<{of}>().is_some()") == "true"
    said(kernel, new)
    assert said(kernel, f"b.downcast_ref::<{of}>().is_some()") == "false"
    said(kernel, old)
    assert said(kernel, f"b.downcast_ref::<{of}>().is_some()") == "true", "edited back"


def test_an_error_of_an_old_type_is_none_of_the_new(own_kernel):
    kernel = own_kernel
    error = "#[derive(Debug)] struct Wrong(%s);\nimpl std::fmt::Display for Wrong { fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { write!(f, \"{}\", self.0) } }\nimpl std::error::Error for Wrong {}"
    said(kernel, error % "u64")
    said(kernel, "let e: Box<dyn std::error::Error> = Box::new(Wrong(77));")
    said(kernel, error % "String")
    assert said(kernel, "e.downcast_ref::<Wrong>().is_none()") == "true"
    # It still is what it was.
    assert said(kernel, "e.to_string()") == '"77"'
    assert said(kernel, 'let f: Box<dyn std::error::Error> = Box::new(Wrong("new".into())); f.downcast_ref::<Wrong>().map(|w| w.0.clone())') == 'Some("new")'


def test_what_has_an_edited_type_in_it_is_another_type(own_kernel):
    kernel = own_kernel
    said(kernel, "#[derive(Clone, Debug, PartialEq)] struct Own(u64);")
    said(kernel, "#[derive(Clone, Debug, PartialEq)] struct Outer { inner: Vec<Own>, one: Own }\nimpl Outer { fn new(one: Own) -> Outer { Outer { inner: vec![], one } } }")
    said(kernel, "struct Apart(u8);\nlet apart = Apart(3);")
    said(kernel, "let b: Box<dyn std::any::Any> = Box::new(Outer::new(Own(5)));\nlet c: Box<dyn std::any::Any> = Box::new(Apart(4));")
    said(kernel, "#[derive(Clone, Debug, PartialEq)] struct Own(String);")
    assert said(kernel, "b.downcast_ref::<Outer>()") == "None"
    # What was never edited is as it was.
    assert said(kernel, "(apart.0, c.downcast_ref::<Apart>().map(|apart| apart.0))") == "(3, Some(4))"
    assert said(kernel, 'let o = Outer::new(Own("x".into()));\no.clone()') == 'Outer { inner: [], one: Own("x") }'
    assert said(kernel, 'o.one == Own("x".into())') == "true"
    # An associated type is a part of what is made with it.
    said(kernel, "struct Count;")
    said(kernel, "impl Iterator for Count { type Item = u64; fn next(&mut self) -> Option<u64> { Some(1) } }\nlet mut p = Count.peekable(); p.peek();")
    said(kernel, "let count = Count;\nlet b: Box<dyn std::any::Any> = Box::new({ let mut p = Count.peekable(); p.peek(); p });")
    # A new one may come.
    said(kernel, "impl std::ops::Neg for Count { type Output = u8; fn neg(self) -> u8 { 1 } }")
    assert said(kernel, "-count") == "1"
    said(kernel, "impl Iterator for Count { type Item = String; fn next(&mut self) -> Option<String> { None } }")
    assert said(kernel, "b.downcast_ref::<std::iter::Peekable<Count>>().is_some()") == "false"


def test_what_a_macro_makes_is_told_apart(own_kernel):
    kernel = own_kernel
    said(kernel, "macro_rules! make { ($name:ident, $of:ty) => { #[derive(Debug)] struct $name($of); }; }")
    said(kernel, "make! { Own, u64 }")
    said(kernel, "let b: Box<dyn std::any::Any> = Box::new(Own(5));\nlet n = 5;")
    assert said(kernel, "b.downcast_ref::<Own>().is_some()") == "true"
    said(kernel, "make! { Own, String }")
    assert said(kernel, "(n, b.downcast_ref::<Own>().is_some())") == "(5, false)"
    assert said(kernel, 'let own: Own = Own("a".into());\nown.0.len()') == "1"
    said(kernel, "make! { Own, u64 }")
    assert said(kernel, "b.downcast_ref::<Own>()") == "Some(Own(5))"


def test_a_macro_call_that_is_added_costs_nothing(own_kernel):
    kernel = own_kernel
    said(kernel, "#[derive(Debug)] struct Data(Vec<u8>); let d = Data(vec![1]);")
    said(kernel, "macro_rules! make { ($n:ident) => { #[derive(Debug)] struct $n; }; }\nmake!(First);")
    said(kernel, "let first = First;")
    assert "Lost" not in said(kernel, "make!(Second);")
    assert "Lost" not in said(kernel, "macro_rules! other { ($n:ident, $of:ty) => { #[derive(Debug)] struct $n($of); }; }")
    assert "Lost" not in said(kernel, "other!(Third, u64);")
    assert said(kernel, "let third = Third(5); (&d, &first, &third)") == "(Data([1]), First, Third(5))"
    # One that is edited makes other types.
    assert "`third`" in said(kernel, "other!(Third, String);")


def test_names_and_places_are_the_users(own_kernel):
    kernel = own_kernel
    said(kernel, "struct Own(u8);")
    said(kernel, "#[derive(Debug, Default)] struct Own { text: String }")
    assert said(kernel, "std::any::type_name::<Own>()") == '"ctx::Own"'
    assert said(kernel, 'println!("{}", std::any::type_name_of_val(&Some(Own::default())));') == "core::option::Option<ctx::Own>"
    assert said(kernel, "use std::any::type_name;\ntype_name::<Own>()") == '"ctx::Own"'
    assert said(kernel, "Own::default()") == 'Own { text: "" }'
    failed = kernel.run("let x: Own = 1;").failed().text
    assert "expected `Own`, found integer" in failed and "chorus" not in failed, failed
    failed = kernel.run("Own { text: String::new(), more: 1 }").failed().text
    assert "struct `Own` has no field named `more`" in failed and "chorus" not in failed, failed
    at = kernel.run("trait Deed { fn a(&self) {} }").ok().count
    assert said(kernel, "trait Deed { fn a(&self) { let v: Vec<u8> = vec![]; v[self.b()]; } fn b(&self) -> usize { 3 } }\nimpl Deed for Own {}") == ""
    failed = kernel.run("Own::default().a()").failed().text
    assert f"In[{at + 1}] line 1:54" in failed and "chorus" not in failed, failed
    failed = kernel.run('Err::<u8, Own>(Own { text: "t".into() }).unwrap()').failed().text
    assert 'Own { text: "t" }' in failed and "chorus" not in failed, failed
    assert said(kernel, "let own = Own::default();") == ""
    assert "own: Own" in said(kernel, ":vars") or "Own" in said(kernel, ":vars")


def test_an_edit_outlives_a_restart_with_what_was_compiled(installed, fresh_cache, monkeypatch):
    monkeypatch.setenv("CHORUS_CACHE_DIR", str(fresh_cache))
    cells = ["struct Own(%s);", "let b: Box<dyn std::any::Any> = Box::new(Own(%s));", "b.downcast_ref::<Own>().is_some()"]
    kinds = [("u64", "5"), ("String", '"a".to_string()')]
    with start_kernel() as kernel:
        for of, value in kinds:
            for cell, what in zip(cells, (of, value, None)):
                text = said(kernel, cell % what if what else cell)
            assert text == "true"
            if of == "u64":
                said(kernel, "let old = b;")
        assert said(kernel, "old.downcast_ref::<Own>().is_none()") == "true"
    # In the other order, with what was compiled.
    with start_kernel() as kernel:
        for of, value in reversed(kinds):
            for cell, what in zip(cells, (of, value, None)):
                text = said(kernel, cell % what if what else cell)
            assert text == "true"
            if of == "String":
                said(kernel, "let old = b;")
        assert said(kernel, "old.downcast_ref::<Own>().is_none()") == "true"


@pytest.mark.parametrize("imported", ["use g::P;", "use crate::g::P as Q; use Q as P;", "use g::*;"])
def test_a_variable_of_an_imported_type_goes_with_its_module(own_kernel, imported):
    kernel = own_kernel
    said(kernel, "mod g { #[derive(Debug)] pub struct P { pub x: i32 } } %s let p = P { x: 1 }; let n = 5;" % imported)
    assert said(kernel, "(&p, n)") == "(P { x: 1 }, 5)"
    shown = said(kernel, "mod g { #[derive(Debug)] pub struct P { pub x: i32, pub y: i32 } }")
    assert "`p` of the notebook" in shown and "`n`" not in shown, shown
    assert "p" not in said(kernel, "%whos").replace("type", "").split()
    failed = kernel.run("p.x").failed().text
    assert "`p` was lost: its type was redefined" in failed, failed
    assert said(kernel, "n") == "5"


def test_a_module_is_the_same_whatever_is_imported_beside_it(own_kernel):
    kernel = own_kernel
    module = """mod bank {
        #[derive(Debug)] pub struct Bank(pub Vec<u8>);
        pub fn open() -> Result<Bank, std::fmt::Error> { Ok(Bank(vec![1])) }
        pub trait Keeps { fn keep(&self) -> std::io::Result<()>; }
    }"""
    said(kernel, module)
    said(kernel, "let bank = bank::open()?; let boxed: Box<dyn std::any::Any> = Box::new(bank::Bank(vec![2]));")
    assert said(kernel, "use std::io::Result; struct Vec;") == ""
    assert said(kernel, "(bank.0.len(), boxed.is::<bank::Bank>())") == "(1, true)"
    # What it names by a path, or sees by a glob, is a part of it.
    said(kernel, "struct Inner(u8); mod outer { pub struct Outer(pub super::Inner); } let outer = outer::Outer(Inner(1));")
    assert "`outer`" in said(kernel, "struct Inner(u16);")
    said(kernel, "mod glob { use super::*; pub struct Outer(pub Inner); } let other = glob::Outer(Inner(1));")
    assert "`other`" in said(kernel, "struct Inner(u32);")


@pytest.mark.parametrize(
    "begins, around, ends",
    [
        ("struct G;", "impl G {{ {} }}", "G::f"),
        ("struct G; trait Tr {{ fn f(b: &dyn Any) -> Box<dyn Any>; }}", "impl Tr for G {{ {} }}", "<G as Tr>::f"),
        ("", "mod m {{ use std::any::Any; pub struct G; impl G {{ pub {} }} }}", "m::G::f"),
    ],
)
def test_types_inside_of_methods_are_told_apart(own_kernel, begins, around, ends):
    kernel = own_kernel
    body = "fn f(b: &dyn Any) -> Box<dyn Any> {{ {} Box::new({}) }}"
    makes = around.format(body.format("struct In(u64);", "In(3)"))
    reads = around.format(body.format("struct In(&'static String);", "b.downcast_ref::<In>().map(|it| it.0.len())"))
    said(kernel, f"use std::any::Any; {begins.format()}\n{makes}")
    said(kernel, f"let old = {ends}(&0); let kept = vec![1];")
    said(kernel, reads)
    assert said(kernel, f"({ends}(&*old).downcast_ref::<Option<usize>>().copied(), kept.len())") == "(Some(None), 1)"


def test_types_inside_of_methods_stay_what_they_are(own_kernel):
    kernel = own_kernel
    said(
        kernel,
        "use std::any::Any;\nstruct G(u8);\nimpl G {\n    fn f(&self, b: Option<Box<dyn Any>>) -> Box<dyn Any> {\n        struct In(i32);\n"
        "        match b { None => Box::new(In(5)), Some(b) => Box::new(b.downcast::<In>().map_or(-1, |it| it.0 + self.own() as i32)) }\n    }\n"
        "    fn own(&self) -> u8 { Self::N * self.0 }\n    const N: u8 = 2;\n}",
    )
    said(kernel, "let g = G(1); let b = g.f(None);")
    # rustc numbers the blocks of a crate.
    said(kernel, "impl std::fmt::Display for G { fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result { f.write_str(\"G\") } }")
    said(kernel, "struct A; impl A { fn f() -> Box<dyn Any> { struct In(f32); Box::new(In(1.0)) } }")
    assert said(kernel, 'let c = A::f();\nformat!("{g} {} {:?}", g.own(), g.f(Some(b)).downcast_ref::<i32>())') == '"G 2 Some(7)"'
    assert said(kernel, "g.f(Some(c)).downcast_ref::<i32>().copied()") == "Some(-1)", "another block's"
    place = kernel.run("impl G { fn fails(&self) { struct In; let v: Vec<u8> = vec![]; v[self.own() as usize]; } }\ng.fails()").failed()
    assert "line 1" in place.traceback and "chorus_type" not in place.traceback, place.traceback
