"""Which cells rustc optimises: told by how it is called, since times on a busy machine tell nothing."""

import re
import shutil
import subprocess

import pytest

PLAIN = [
    "let count = 3;",
    'println!("{}", count + 1);',
    "count * 2",
    'format!("{count:>9}")',
    "twice(21)",
    'let point = Point { x: 1.5, name: "p".to_string() };',
    "let list = vec![1, 2, 3];",
]
WORK = [
    "let sum: i64 = (0..9).sum();",
    "for i in 0..3 { println!(\"{i}\"); }",
    "let mut sorted = vec![3, 1, 2]; sorted.sort();",
    '"x".repeat(3)',
    "list.iter().map(|x| x * 2).collect::<Vec<_>>()",
    "list",
    "total(9)",
    "let boxed: Box<dyn Fn(u64) -> u64 + Send> = Box::new(twice);",
]


@pytest.fixture
def calls(kernels, tmp_path):
    """A kernel, and how it calls rustc for a cell."""
    rustc = shutil.which("rustc")
    if shutil.which("rustup"):
        rustc = subprocess.check_output(["rustup", "which", "rustc"], text=True).strip()
    log, wrapper = tmp_path / "calls", tmp_path / "rustc"
    wrapper.write_text(f'#!/bin/sh\necho "$@" >> {log}\nexec {rustc} "$@"\n')
    wrapper.chmod(0o755)
    # Whoever builds px first notes its rustc for all who share the cache.
    kernel = kernels(env={"RUSTC": str(wrapper), "CHORUS_CACHE_DIR": str(tmp_path / "cache")})

    def of(code, ok=True):
        before = len(log.read_text()) if log.exists() else 0
        reply = kernel.run(code)
        assert (reply.status == "ok") == ok, reply
        calls = [line for line in log.read_text()[before:].splitlines() if "--crate-name ctx" in line]
        return reply, [re.search(r"opt-level=(\w)", line)[1] for line in calls]

    return of


def test_only_plain_cells_are_not_optimised(calls):
    calls("fn twice(x: u64) -> u64 {\n    x * 2\n}")
    calls("fn total(n: u64) -> u64 {\n    (0..n).sum()\n}")
    calls("#[derive(Debug, Clone)]\nstruct Point {\n    x: f64,\n    name: String,\n}")
    for code in PLAIN:
        reply, levels = calls(code)
        assert levels == ["0"], (code, levels)
    for code in WORK:
        reply, levels = calls(code)
        assert levels and set(levels) == {"2"}, (code, levels)
    # Panics are what they are elsewhere.
    reply, levels = calls("let wide = 255u8;\nlet wider = wide + count as u8;", ok=False)
    assert levels == ["0"] and "attempt to add with overflow" in reply.text and "wide + count as u8" in reply.text


def test_a_wrong_type_is_compiled_once(calls):
    calls("let warm = 1;")
    reply, levels = calls('let wrong: u64 =\n    "text";', ok=False)
    assert len(levels) == 1 and "mismatched types" in reply.text
    assert "expected `u64`, found `&str`" in reply.text and '"text"' in reply.text
    # What a closure may have to do with is asked without one.
    reply, levels = calls("let text = String::new();\ndrop(text);\ntext.len()", ok=False)
    assert len(levels) > 1 and "moved" in reply.text
