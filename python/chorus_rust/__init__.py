"""Chorus, a Jupyter kernel for Rust with parallel magics: where its programs are."""

import importlib.metadata
import os
import pathlib
import shutil
import sysconfig


def program(name="chorus"):
    """The path of one of the programs that this package brings. It needn't be on the PATH."""
    for candidate in _candidates(name):
        if os.access(candidate, os.X_OK):
            return candidate.resolve()
    raise FileNotFoundError(f"the program `{name}` isn't beside the package chorus-rust: install the package again")


def _candidates(name):
    try:
        files = importlib.metadata.files("chorus-rust") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    yield from (pathlib.Path(file.locate()) for file in files if file.name == name and file.parent.name == "bin")
    yield pathlib.Path(sysconfig.get_path("scripts")) / name
    if found := shutil.which(name):
        yield pathlib.Path(found)
