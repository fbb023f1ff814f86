"""A cell that has to wait for the compiler says so, and nothing of it is left."""

import json
import os
import re
import subprocess

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


def test_the_first_cell_says_what_it_waits_for(cold):
    with start_kernel() as kernel:
        published = types_and_texts(kernel.run('println!("a"); 1 + 1').ok())
        assert published[-2:] == [("stream", "a\n"), ("execute_result", "2")]
        told = published[:-2]
        # The compiler starts for seconds.
        assert told and told[-1] == ("clear_output", None), published
        assert told[0][0] == "display_data" and all(kind == "update_display_data" for kind, _ in told[1:-1])
        says = r"compiling, \d+ s: the compiler starts, which later kernels needn't wait for"
        assert all(re.fullmatch(says, text) for _, text in told[:-1]), told
        assert types_and_texts(kernel.run("1 + 2").ok()) == [("execute_result", "3")]


def test_what_a_cell_has_shown_is_not_taken_back(cold):
    with start_kernel() as kernel:
        published = types_and_texts(kernel.run('!echo before\nprintln!("after");').ok())
        assert published == [("stream", "before\n"), ("stream", "after\n")]


def test_a_run_of_a_notebook_shows_nothing_of_it(cold, tmp_path):
    cell = {"cell_type": "code", "source": 'println!("a"); 1 + 1', "metadata": {}, "outputs": [], "execution_count": None}
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell | {"id": "a"}]}
    (tmp_path / "a.ipynb").write_text(json.dumps(notebook))
    command = [os.environ["CHORUS"], "run", "a.ipynb", "-o", "b.ipynb"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0 and ran.stdout == '[1/1] println!("a"); 1 + 1\na\n2\n', ran
    outputs = json.loads((tmp_path / "b.ipynb").read_text())["cells"][0]["outputs"]
    assert [output["output_type"] for output in outputs] == ["stream", "execute_result"]
