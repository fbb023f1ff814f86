"""Cells that were compiled before are only run: in the same kernel, in the next one, and beside others."""

import json
import pathlib
import shutil

import pytest

import processes
from conftest import start_kernel

CELLS = [
    ("#[derive(Debug, Clone)] struct Point { x: i32 }", None),
    ("fn double(x: i32) -> i32 { x * 2 }", None),
    ("let mut points = vec![Point { x: double(4) }];", None),
    ("points.push(Point { x: 1 }); points.len()", "2"),
    ('println!("{points:?}");', "[Point { x: 8 }, Point { x: 1 }]"),
    ("points.clone()", "[Point { x: 8 }, Point { x: 1 }]"),
]


@pytest.fixture
def cache(installed, fresh_cache, monkeypatch):
    monkeypatch.setenv("CHORUS_CACHE_DIR", str(fresh_cache))
    return fresh_cache


@pytest.fixture
def own_cache(installed, tmp_path, monkeypatch):
    """One with dependencies of its own, too."""
    folder = tmp_path / "own"
    monkeypatch.setenv("CHORUS_CACHE_DIR", str(folder))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def said(kernel, code):
    """What a cell shows, all of it."""
    return kernel.run(code).ok().text.strip() or None


def from_cache(kernel):
    """How many objects the kernel has taken from the cache."""
    folder = pathlib.Path(kernel.env["CHORUS_RUNTIME_DIR"]) / "kernels" / str(kernel.pid)
    return len(list(folder.glob("cached-*.so")))


def test_a_second_kernel_compiles_nothing(cache):
    with start_kernel() as kernel:
        for code, expected in CELLS:
            assert said(kernel, code) == expected
        assert from_cache(kernel) == 0
    with start_kernel() as kernel:
        for code, expected in CELLS:
            assert said(kernel, code) == expected
        assert from_cache(kernel) == 4
        # And what isn't known goes on from there.
        assert said(kernel, "let more = double(points[0].x); more") == "16"
        assert said(kernel, "points[1].x + more") == "17"
        assert said(kernel, CELLS[5][0]) == CELLS[5][1]
        # A type that is defined anew is another one, and so is what depends on it.
        assert "`points` of the notebook" in said(kernel, "#[derive(Debug, Clone)] struct Point { x: String }")
        assert "its type was redefined" in kernel.run("points.clone()").failed().text
        assert said(kernel, 'let points = vec![Point { x: "a".into() }];') is None
        assert said(kernel, "points.clone()") == '[Point { x: "a" }]'
        assert said(kernel, "double(more)") == "32"


def test_values_of_an_object_do_not_stay(cache):
    """A cell whose statements have a `static` begins anew each time it is run, as without a cache."""
    code = "use std::sync::atomic::*; { static N: AtomicU32 = AtomicU32::new(0); N.fetch_add(1, Ordering::SeqCst) }"
    with start_kernel() as kernel:
        assert [said(kernel, code) for _ in range(3)] == ["0", "0", "0"]


def test_engines_run_what_another_kernel_compiled(cache):
    code = "%px let part = px::rank() * 10; part"
    for kept in (False, True):
        with start_kernel(env={"CHORUS_ENGINES": "2"}) as kernel:
            shown = said(kernel, code)
            assert "Out[0:1]: 0" in shown and "Out[1:1]: 10" in shown, shown
            assert (from_cache(kernel) > 0) == kept
            assert "11" in said(kernel, "%px part + 1")


def test_a_damaged_entry_is_compiled_again(cache):
    with start_kernel() as kernel:
        assert said(kernel, "20 + 22") == "42"
    for entry in (cache / "cells").glob("*.cell"):
        data = bytearray(entry.read_bytes())
        data[len(data) // 2] ^= 1
        entry.write_bytes(data)
    with start_kernel() as kernel:
        assert said(kernel, "20 + 22") == "42"
        assert from_cache(kernel) == 0


def test_where_cells_cannot_be_kept_it_is_said_once(cache):
    (cache / "cells").mkdir(mode=0o777)
    (cache / "cells").chmod(0o777)
    with start_kernel() as kernel:
        first, second = kernel.run("1 + 1").ok(), kernel.run("1 + 1").ok()
        assert f"they can't be kept in {cache}/cells: it belongs to somebody else, or others" in first.stderr
        assert (first.results, second.stderr) == (second.results, "")


def test_px_is_built_once(own_cache):
    with start_kernel() as kernel:
        assert said(kernel, "px::size() + 41") == "42"
    built = {path: path.stat().st_mtime_ns for path in own_cache.glob("dependencies/target/*/debug/deps/libpx-*.rlib")}
    assert len(built) == 1
    with start_kernel() as kernel:
        assert said(kernel, "px::size() + 1") == "2"
        folder = pathlib.Path(kernel.env["CHORUS_RUNTIME_DIR"]) / "kernels" / str(kernel.pid)
        assert not list(folder.rglob("libpx-*"))
    assert all(path.stat().st_mtime_ns == time for path, time in built.items())


def test_the_cache_is_shown_and_emptied(own_cache, chorus):
    env = {"CHORUS_CACHE_DIR": str(own_cache)}
    info = json.loads(chorus("cache", "info", "--json", env=env).stdout)
    none = {"sets": 0, "bytes": 0, "limit": 10 << 30}
    nobody = {"templates": 0, "copies": 0, "bytes": 0}
    assert info == {"folder": str(own_cache / "cells"), "cells": 0, "bytes": 0, "limit": 512 << 20, "gpu": {"functions": 0, "core_bytes": 0}, "dependencies": none, "compilers": nobody}
    with start_kernel() as kernel:
        assert said(kernel, "1 + 1") == "2"
        info = json.loads(chorus("cache", "info", "--json", env=env).stdout)
        assert info["cells"] == 1 and info["bytes"] > 1000
        compilers = info["compilers"]
        assert compilers["templates"] == compilers["copies"] == 1 and compilers["bytes"] > 100 << 20, compilers
        assert "MB of compilers; kernels use 1, and 1 will be copied for others" in chorus("cache", "info", env=env).stdout
        assert "1 compiled cells" in chorus("cache", "info", env=env).stdout
        assert "Removed 1 compiled cells" in chorus("cache", "clear", env=env).stdout
        templates = lambda: json.loads(chorus("cache", "info", "--json", env=env).stdout)["compilers"]["templates"]
        processes.wait_until("the end of the template", lambda: templates() == 0)
        assert said(kernel, "1 + 1") == "2"
        assert json.loads(chorus("cache", "info", "--json", env=env).stdout)["cells"] == 1
    assert "aren't kept" in chorus("cache", "info", env=env | {"CHORUS_CACHE_MB": "0"}).stdout
