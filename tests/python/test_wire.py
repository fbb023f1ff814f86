"""Which values travel between cells and engines: std's, and those of types that derive serde's traits."""

import pytest

from conftest import start_kernel

PUT = "fn put<T: px::wire::Wire>(value: T) -> Vec<u8> { let mut bytes = Vec::new(); value.put(&mut bytes); bytes }"
POINT = "struct Point { x: f64, name: String }"
POINT_WITH_SERDE = f"#[derive(Debug, serde::Serialize, serde::Deserialize)] {POINT}"
# Chorus itself needs serde, so it was downloaded.
SERDE = ':offline 1\n:dep serde = { version = "1", features = ["derive"] }'

# What a notebook holds when it asks for serde.
BEFORE = """
#[derive(Debug)] struct Own(u8);
let own = Own(3);
let shown = px::Display::new("first");
let sent = put((vec![1.5f64, 2.5], Some(String::from("a"))));
"""


@pytest.fixture
def cache(installed, fresh_cache, monkeypatch):
    monkeypatch.setenv("CHORUS_CACHE_DIR", str(fresh_cache))


def test_types_with_serde_travel_once_a_notebook_asks_for_serde(cache):
    with start_kernel(env={"CHORUS_ENGINES": "2"}) as kernel:
        kernel.run(PUT).ok()
        kernel.run(BEFORE).ok()
        kernel.run("%px let mine = Own(px::rank() as u8);").ok()
        kernel.run(POINT).ok()
        failed = kernel.run('put(Point { x: 1.0, name: "a".into() })').failed()
        assert "`Point` can't travel between the notebook and its engines" in failed.text
        assert "derive `serde::Serialize, serde::Deserialize`" in failed.text

        kernel.run(SERDE).ok()
        # No variable is lost, on the engines neither, and what was put before can be taken.
        assert "Own(3)" in kernel.run('shown.update("second"); own').ok().text
        assert "Own(1)" in kernel.run("%px -t 1 mine").ok().text
        taken = "<(Vec<f64>, Option<String>) as px::wire::Wire>::get(&mut &sent[..]).unwrap()"
        assert '([1.5, 2.5], Some("a"))' in kernel.run(taken).ok().text

        kernel.run(POINT_WITH_SERDE).ok()
        check = 'let back: Point = px::wire::Wire::get(&mut &put(Point { x: 1.5, name: "b".into() })[..]).unwrap(); '
        check += 'println!("{back:?}");'
        for cell in (check, "%px " + check):
            assert 'Point { x: 1.5, name: "b" }' in kernel.run(cell).ok().text
        failed = kernel.run("struct Not; put(vec![Not])").failed()
        assert "`Vec<Not>` can't travel" in failed.text

    # What another kernel compiled, with px of both kinds, is only run.
    with start_kernel() as kernel:
        for cell in (PUT, BEFORE, SERDE, POINT_WITH_SERDE):
            kernel.run(cell).ok()
        assert 'Point { x: 1.5, name: "b" }' in kernel.run(check).ok().text


WITHOUT_FORM = """
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
#[derive(Clone, Debug, Serialize, Deserialize)] #[serde(tag = "kind")] enum Tagged { Circle { radius: u8 }, Nothing }
#[derive(Clone, Debug, Serialize, Deserialize)] #[serde(untagged)] enum Any { Number(u8), Text(String) }
#[derive(Clone, Debug, Serialize, Deserialize)] struct Sparse {
    #[serde(skip_serializing_if = "Option::is_none")] first: Option<u8>,
    last: &'static str,
}
#[derive(Clone, Debug, Serialize, Deserialize)] struct Flat { id: u8, #[serde(flatten)] rest: BTreeMap<String, serde_json::Value> }
"""


def test_types_travel_that_ask_what_they_read_or_leave_out_fields(cache):
    with start_kernel(env={"CHORUS_ENGINES": "2"}) as kernel:
        kernel.run(SERDE + '\n:dep serde_json = "1"').ok()
        kernel.run(WITHOUT_FORM).ok()
        mapped = kernel.run(
            "%map |n| (if n > 0 { Tagged::Circle { radius: n } } else { Tagged::Nothing },"
            ' if n > 0 { Any::Number(n) } else { Any::Text("x".into()) },'
            ' Sparse { first: (n > 0).then_some(n), last: "z" }) over 0..2u8'
        ).ok()
        first = '(Nothing, Text("x"), Sparse { first: None, last: "z" })'
        assert f'[{first}, (Circle {{ radius: 1 }}, Number(1), Sparse {{ first: Some(1), last: "z" }})]' in mapped.text
        kernel.run('let flat = Flat { id: 1, rest: [("a".to_string(), serde_json::json!([null, 1.5, "b"]))].into() };').ok()
        kernel.run("%push flat").ok()
        shown = 'Flat { id: 1, rest: {"a": Array [Null, Number(1.5), String("b")]} }'
        assert shown in kernel.run('%px -t 0 println!("{flat:?}")').ok().text
        called = kernel.run("px::call!(|it: Flat| it.rest[\"a\"][1].clone(), &flat).get()?").ok()
        assert "Number(1.5)" in called.text
