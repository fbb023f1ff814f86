"""What `pip install` brings: programs, a kernel that Jupyter sees at once, and papermill's knowledge of Rust."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig

import nbformat
import pytest

from conftest import HOME, ROOT

KERNEL = {"name": "chorus", "display_name": "Rust (Chorus)", "language": "rust"}
MATURIN = shutil.which("maturin", path=os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")]))

RUN = """
import sys
from jupyter_client.kernelspec import KernelSpecManager
import nbclient, nbformat
assert KernelSpecManager().find_kernel_specs()["chorus"].startswith(sys.prefix)
book = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(book, timeout=120, kernel_name="chorus").execute()
nbformat.write(book, sys.argv[2])
"""


def run(command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, stdin=subprocess.DEVNULL, **options)
    assert done.returncode == 0, f"{command} exited with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """The Python of a fresh virtual environment that has the wheel, and no PATH that leads to it.

    It borrows the Jupyter of the tests' environment, so that nothing is fetched. The wheel is made of what `cargo test` has
    built already; `pip install .` differs in the profile alone.
    """
    assert MATURIN, "maturin isn't there: install tests/requirements.txt"
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--offline", "--profile", "dev", "--compression-method", "stored", "--out", folder]
    # What cargo tells tests of themselves, build scripts would take for theirs, and much would be built again.
    own = re.compile("CARGO(_(MANIFEST|PKG|BIN_EXE|CRATE|PRIMARY|TARGET_TMPDIR).*)?|OUT_DIR|LD_LIBRARY_PATH")
    env = {name: value for name, value in os.environ.items() if not own.fullmatch(name)}
    run([MATURIN, "build", *options], cwd=ROOT, env=env, timeout=900)
    (wheel,) = folder.glob("chorus_rust-*.whl")
    run([sys.executable, "-m", "venv", folder / "venv"], timeout=120)
    python = folder / "venv/bin/python"
    run([python, "-m", "pip", "install", "--no-index", "--no-deps", "--quiet", wheel], timeout=120)
    wheel.unlink()  # It is as large as the programs.
    (packages,) = folder.glob("venv/lib/python*/site-packages")
    (packages / "tests.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    yield python
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def env():
    """Without what would lead to other kernels or programs than those of the fresh environment."""
    names = ("JUPYTER_PATH", "VIRTUAL_ENV", "CHORUS", "CHORUS_ENGINE")
    env = {name: value for name, value in os.environ.items() if name not in names}
    return env | {"CHORUS_RUNTIME_DIR": str(HOME / "wheel"), "JUPYTER_PREFER_ENV_PATH": "1"}


def write(path, *cells):
    book = nbformat.v4.new_notebook(metadata={"kernelspec": KERNEL})
    for code, *tags in cells:
        book.cells.append(nbformat.v4.new_code_cell(code, metadata={"tags": tags}))
    nbformat.write(book, path)
    return path


def test_a_kernel_is_there_without_chorus_install(fresh, env, tmp_path):
    cells = ["let x = 41; x + 1", '%px format!("{}", std::env::current_exe().unwrap().display())']
    path = write(tmp_path / "in.ipynb", *([cell] for cell in cells))
    run([fresh, "-c", RUN, path, tmp_path / "out.ipynb"], env=env, timeout=300)
    first, second = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells
    assert first.outputs[-1].data["text/plain"] == "42"
    engine = os.path.realpath(fresh.parent / "chorus-engine")
    assert engine in str(second.outputs), "the engine is the wheel's own"


def test_the_kernelspec_is_the_one_that_chorus_install_writes(fresh, chorus, tmp_path):
    chorus("install", "--prefix", tmp_path)
    ours, theirs = fresh.parent.parent / "share/jupyter/kernels/chorus", tmp_path / "share/jupyter/kernels/chorus"
    assert sorted(os.listdir(ours)) == sorted(os.listdir(theirs))
    one, other = (json.loads((folder / "kernel.json").read_text()) for folder in (ours, theirs))
    assert os.path.isabs(other["argv"][0])
    assert os.path.samefile(one["argv"][0].format(resource_dir=ours), fresh.parent / "chorus")
    one["argv"][0] = other["argv"][0] = None
    assert one == other
    for name in os.listdir(ours):
        if name != "kernel.json":
            assert (ours / name).read_bytes() == (theirs / name).read_bytes()


PARAMETERS = """let alpha: f32 = 1.0; // the rate
let n = 5u64;
let xs = vec![0.0];
let name = "x".to_string();
let on = false;
let limit: Option<i32> = Some(1);
let sizes: std::collections::BTreeMap<String, Vec<u8>> = Default::default();
let big: u128 = 1;"""
SHOW = 'println!("{alpha:?} {n:?} {xs:?} {name:?} {on:?} {limit:?} {sizes:?} {big:?}");'
VALUES = {
    "alpha": 3,
    "n": 2**64 - 1,
    "xs": [1, float("inf"), float("nan"), -2.5],
    "name": 'quotes " and \\ and\nlines {}',
    "on": True,
    "limit": None,
    "sizes": {"b": [1, 2], "a": []},
    "big": 2**127,
}
SHOWN = (
    "3.0 18446744073709551615 [1.0, inf, NaN, -2.5] \"quotes \\\" and \\\\ and\\nlines {}\" true None "
    '{"a": [], "b": [1, 2]} 170141183460469231731687303715884105728\n'
)

EXECUTE = """
import json, sys
import papermill
values = eval(sys.argv[3], {"inf": float("inf"), "nan": float("nan")})
papermill.execute_notebook(sys.argv[1], sys.argv[2], values, kernel_name=None, progress_bar=False)
"""


def test_papermill_runs_a_notebook_with_parameters(fresh, env, tmp_path):
    path = write(tmp_path / "in.ipynb", [PARAMETERS, "parameters"], [SHOW], ["extra.len()"])
    values = VALUES | {"extra": [[1, 2], []]}
    run([fresh, "-c", EXECUTE, path, tmp_path / "out.ipynb", repr(values)], env=env, timeout=300)
    book = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert [cell.metadata.tags for cell in book.cells] == [["parameters"], ["injected-parameters"], [], []]
    assert book.cells[1].source.startswith("// Parameters\nlet alpha: f32 = 3.0;\n")
    assert "let extra: Vec<Vec<i64>> = vec![vec![1, 2], vec![]];" in book.cells[1].source
    assert book.cells[2].outputs[0].text == SHOWN
    assert book.cells[3].outputs[0].data["text/plain"] == "2"

    # Both write the same cell.
    own = VALUES | {"xs": [1, "inf", "nan", -2.5], "big": str(2**127)}  # JSON has no such numbers.
    (tmp_path / "values.json").write_text(json.dumps(own))
    command = [fresh.parent / "chorus", "run", path, tmp_path / "own.ipynb", "-f", tmp_path / "values.json", "--allow-errors"]
    run(command, env=env, timeout=300)
    own = nbformat.read(tmp_path / "own.ipynb", as_version=4)
    assert own.cells[1].source.splitlines() == book.cells[1].source.splitlines()[:-1]
    assert own.cells[2].outputs[0].text == SHOWN


def test_papermill_refuses_what_does_not_fit(fresh, env, tmp_path):
    path = write(tmp_path / "in.ipynb", [PARAMETERS, "parameters"], [SHOW])
    command = [fresh, "-m", "papermill", path, tmp_path / "out.ipynb", "-p", "n", "-1"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode != 0 and not (tmp_path / "out.ipynb").exists()
    assert "parameter `n`: -1 isn't between 0 and 18446744073709551615" in done.stderr
    assert "line 2: let n = 5u64;" in done.stderr


def test_papermill_lists_parameters(fresh, env, tmp_path):
    path = write(tmp_path / "in.ipynb", [PARAMETERS, "parameters"])
    text = run([fresh, "-m", "papermill", "--help-notebook", path], env=env, timeout=120)
    assert "  alpha: f32 (default 1.0)        the rate\n" in text
    assert "  name: String (default \"x\".to_string())" in text


def test_without_definitions_values_have_types_of_their_own(fresh, env):
    code = "from chorus_rust.papermill import RustTranslator\nprint(RustTranslator.codify({'a': 1, 's': 'x', 'e': None}, 'Own'), end='')"
    expected = '// Own\nlet a: i64 = 1;\nlet s: String = String::from("x");\nlet e: Option<()> = None;\n'
    assert run([fresh, "-c", code], env=env, timeout=60) == expected
