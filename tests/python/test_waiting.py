"""A cell that has to wait for the compiler says so, and nothing of it is left."""

import json
import os
import random
import subprocess
import time

import pytest

from conftest import start_kernel


@pytest.fixture
def cold(installed, fresh_cache, monkeypatch):
    """Where no compiler has started yet."""
    monkeypatch.setenv("CHORUS_CACHE_DIR", str(fresh_cache))


def types_and_texts(reply):
    """What was published for a cell, without its states."""
    found = []
    for kind, content, _ in reply.messages:
        if kind != "execute_input":
            found.append((kind, content.get("data", {}).get("text/plain", content.get("text"))))
    return found


def slow():
    """Rust that does nothing, of another text each time, for which rustc takes seconds on any machine."""
    first = random.randrange(10**6)
    lines = [f'    println!("{{:?}} {{}}", [{n}u32; 3], format!("{{:>5}}", {n}.5_f64));' for n in range(first, first + 2500)]
    return "if std::hint::black_box(false) {\n" + "\n".join(lines) + "\n}\n"


def test_a_cell_that_is_compiled_for_long_says_so(installed):
    with start_kernel() as kernel:
        kernel.run("1 + 1").ok()
        published = types_and_texts(kernel.run(slow() + 'println!("a"); 1 + 1', timeout=300).ok())
        assert published[-2:] == [("stream", "a\n"), ("execute_result", "2")]
        assert published[:-2] == [("display_data", "compiling"), ("clear_output", None)]
        assert types_and_texts(kernel.run("1 + 2").ok()) == [("execute_result", "3")]


def test_what_a_cell_has_shown_is_not_taken_back(installed):
    with start_kernel() as kernel:
        kernel.run("1 + 1").ok()
        published = types_and_texts(kernel.run("!echo before\n" + slow() + 'println!("after");', timeout=300).ok())
        assert published == [("stream", "before\n"), ("stream", "after\n")]


def test_the_compilers_start_is_told(cold):
    with start_kernel() as kernel:
        begun = time.monotonic()
        published = types_and_texts(kernel.run("1 + 1").ok())
        took = time.monotonic() - begun
        assert published[-1] == ("execute_result", "2")
        # A fast machine needs less than the two seconds.
        told = [text for _, text in published[:-2]]
        assert told or took < 3
        assert told in ([], ["compiling: the compiler starts"]), told


def test_a_run_of_a_notebook_shows_nothing_of_it(installed, tmp_path):
    source = slow() + 'println!("a"); 1 + 1'
    cell = {"cell_type": "code", "source": source, "metadata": {}, "outputs": [], "execution_count": None}
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell | {"id": "a"}]}
    (tmp_path / "a.ipynb").write_text(json.dumps(notebook))
    command = [os.environ["CHORUS"], "run", "a.ipynb", "-o", "b.ipynb"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0 and ran.stdout.splitlines()[1:] == ["a", "2"], ran
    outputs = json.loads((tmp_path / "b.ipynb").read_text())["cells"][0]["outputs"]
    assert [output["output_type"] for output in outputs] == ["stream", "execute_result"]
