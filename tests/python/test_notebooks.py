"""The notebooks that teach run clean, in Jupyter's runner and in our own, and are kept without outputs."""

import re

import nbclient
import nbformat
import pytest

from conftest import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def name(path):
    return path.stem


def expected_failures(book):
    return [cell for cell in book.cells if "raises-exception" in cell.metadata.get("tags", [])]


def check(book):
    """Every cell ran; it failed if, and only if, it is marked as one that does."""
    nbformat.validate(book)
    for cell in book.cells:
        if cell.cell_type == "code":
            assert cell.execution_count, f"not run:\n{cell.source}"
            failed = any(output.output_type == "error" for output in cell.outputs)
            assert failed == (cell in expected_failures(book)), f"{cell.source}\n---\n{cell.outputs}"


def test_there_are_notebooks():
    assert {"tour", "parallel_magics"} <= set(map(name, NOTEBOOKS))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_it_is_kept_without_outputs(path):
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    assert book.metadata.kernelspec.name == "chorus"
    for cell in book.cells:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_it_runs_under_nbclient(installed, path):
    book = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(book, timeout=120, kernel_name="chorus")
    client.execute(cwd=str(path.parent))
    check(book)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_it_runs_under_chorus_run(chorus, path, tmp_path):
    done = chorus("run", path, "-o", tmp_path / "out.ipynb", timeout=300, cwd=tmp_path)
    check(nbformat.read(tmp_path / "out.ipynb", as_version=4))
    assert re.search(r"\[stdout:1\] ", done.stdout)
