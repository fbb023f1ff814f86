"""The front ends that convert and run notebooks from the command line, and one for terminals that is no shell of IPython's.

JupyterLab, Notebook and Voilà are in `test_lab.py`, `jupyter console` is in `test_console.py`.
"""

import os
import pathlib
import subprocess
import sys
import time

import nbformat
import pexpect
import pyte
import pytest

import processes
from conftest import HOME, ROOT, Chorus, hang_up

CELLS = [
    "let n = 1u64;",
    "#| echo: false\n//| warning: false\n\nlet x = n + 1; x",
    "#| echo: false\n%%px\nprintln!(\"<on an engine>\");",
    "%map |i: u64| i * 2 over 0..100u64",
    "#[derive(Debug)]\nstruct Point { x: f64, y: f64 }\nvec![Point { x: 1.5, y: 2.5 }, Point { x: 3.5, y: 4.5 }]",
]


@pytest.fixture(scope="module")
def program(installed):
    """The program with a runtime folder of its own, and what its clients are to see."""
    runtime_dir = HOME / "fronts"
    runtime_dir.mkdir(mode=0o700, exist_ok=True)
    program = Chorus(runtime_dir)
    # The wheel's Python package, and the program where that looks for it.
    bin_dir = pathlib.Path(os.environ["CHORUS"]).parent
    program.env |= {"PYTHONPATH": str(ROOT / "python"), "PATH": f"{bin_dir}:{os.environ['PATH']}"}
    yield program
    program.close()


def call(program, *command, cwd):
    done = subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        env=program.env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def a_notebook(*cells):
    kernel = {"name": "chorus", "display_name": "Rust (Chorus)", "language": "rust"}
    book = nbformat.v4.new_notebook(metadata={"kernelspec": kernel})
    book.cells = [nbformat.v4.new_markdown_cell("# A title", metadata={"slideshow": {"slide_type": "slide"}})]
    book.cells += [nbformat.v4.new_code_cell(code) for code in cells]
    return book


@pytest.fixture(scope="module")
def executed(program, tmp_path_factory):
    """A notebook that papermill has run, by nbclient, with another value for its parameter."""
    folder = tmp_path_factory.mktemp("fronts")
    book = a_notebook(*CELLS)
    book.cells[1].metadata["tags"] = ["parameters"]
    nbformat.write(book, folder / "in.ipynb")
    script = "import chorus_rust.papermill, papermill; papermill.execute_notebook('in.ipynb', 'out.ipynb', {'n': 41})"
    (folder / "run.py").write_text(script)
    call(program, "run", cwd=folder)
    return folder / "out.ipynb"


def test_papermill_and_nbclient(executed):
    book = nbformat.read(executed, as_version=4)
    nbformat.validate(book)
    shown = ["".join(o.get("text", "") or o.get("data", {}).get("text/plain", "") for o in c.get("outputs", [])) for c in book.cells]
    _, _, injected, result, on_engines, mapped, table = shown
    assert (injected, result) == ("", "42")
    assert "[stdout:0] <on an engine>\n" in on_engines
    assert "100 items on " in mapped
    assert "Point { x: 1.5, y: 2.5 }" in table
    assert book.metadata.language_info.file_extension == ".rs"


def test_nbconvert(program, executed):
    call(program, "nbconvert", "--to", "html", executed, cwd=executed.parent)
    page = executed.with_suffix(".html").read_text()
    for part in ("42", "[stdout:0] &lt;on an engine&gt;", "100 items on ", "<td style=\"text-align: right\">1.5</td>"):
        assert part in page, part
    assert "\x1b" not in page
    call(program, "nbconvert", "--to", "script", executed, cwd=executed.parent)
    assert "\nlet n: u64 = 41;\n" in executed.with_suffix(".rs").read_text()
    call(program, "nbconvert", "--to", "slides", executed, cwd=executed.parent)
    slides = executed.with_suffix(".slides.html").read_text()
    assert "<section>" in slides and "100 items on " in slides


SCRIPT_CELLS = [
    *CELLS,
    ":dep itoa\nlet y = 1;",
    "/// Adds one.\nfn add(x: i32) -> i32 {\n\n    x + 1 // a %\n}\n\n\nadd(1)",
    "!echo hello",
    "!ls | wc -l\n%cd ..\nlet y = 17\n    % 5;",
    "%%bash\necho hello",
    "%whos\n//! documentation\n// %px commented\n//%px commented\n// !ls\nlet z =\n    !y;",
]


JUPYTEXT = """
import sys
from jupytext.cli import jupytext
for number, form in enumerate(sys.argv[1:]):
    text = f"{number}.{form.split(':')[0]}"
    jupytext(["--quiet", "--to", form, "a.ipynb", "-o", text])
    jupytext(["--quiet", "--to", "ipynb", text, "-o", f"{number}.ipynb"])
"""


@pytest.mark.parametrize("configuration", ["", "import chorus_rust.jupytext\n"], ids=["as it is", "with magics"])
def test_jupytext_brings_a_notebook_back(program, tmp_path, configuration):
    book = a_notebook(*SCRIPT_CELLS)
    nbformat.write(book, tmp_path / "a.ipynb")
    (tmp_path / ".jupytext.py").write_text(configuration)
    (tmp_path / "convert.py").write_text(JUPYTEXT)
    forms = ("rs", "rs:percent", "rs:light", "rs:hydrogen", "md")
    call(program, "convert", *forms, cwd=tmp_path)
    for number, form in enumerate(forms):
        back = nbformat.read(tmp_path / f"{number}.ipynb", as_version=4)
        assert [cell.source for cell in back.cells] == [cell.source for cell in book.cells], form
        assert back.metadata.kernelspec.name == "chorus"


def test_jupytext_can_comment_magics(program, tmp_path):
    nbformat.write(a_notebook(*SCRIPT_CELLS), tmp_path / "a.ipynb")
    (tmp_path / ".jupytext.py").write_text("import chorus_rust.jupytext\n")
    call(program, "jupytext", "--to", "rs", "a.ipynb", cwd=tmp_path)
    text = (tmp_path / "a.rs").read_text()
    for line in ("// %%px\n", "// %map |i: u64| i * 2 over 0..100u64\n", "// !echo hello\n", "// %cd ..\n", "    % 5;\n"):
        assert f"\n{line}" in text, text
    code = [line for line in text.splitlines() if not line.startswith("//")]
    assert not [line for line in code if line.startswith(("%", "!", ":"))], text


class Terminal:
    """A program at a terminal, and what the terminal's screen shows."""

    def __init__(self, command, env):
        self.screen = pyte.Screen(120, 40)
        self.stream = pyte.Stream(self.screen)
        self.child = pexpect.spawn(command[0], command[1:], env=env, encoding="utf-8", dimensions=(40, 120))

    def text(self):
        return "\n".join(line.rstrip() for line in self.screen.display)

    def wait_for(self, text, seconds=120.0):
        deadline = time.monotonic() + seconds
        while text not in self.text():
            assert time.monotonic() < deadline, f"waited {seconds} s for {text!r}; the screen shows\n{self.text()}"
            try:
                new = self.child.read_nonblocking(4096, 1)
            except pexpect.TIMEOUT:
                continue
            self.stream.feed(new)
            # A terminal answers what it is asked: where its cursor is, and what it is.
            if "\x1b[6n" in new:
                self.child.send(f"\x1b[{self.screen.cursor.y + 1};{self.screen.cursor.x + 1}R")
            if "\x1b[c" in new:
                self.child.send("\x1b[?62;c")

    def enter(self, line):
        self.child.send(line + "\r")


def test_euporie(program, tmp_path):
    folders = {f"XDG_{name}_HOME": str(tmp_path) for name in ("CACHE", "CONFIG", "DATA", "STATE")}
    env = program.env | {"TERM": "xterm-256color"} | folders
    terminal = Terminal([sys.executable, "-m", "euporie.console", "--kernel-name", "chorus"], env)
    try:
        terminal.wait_for("In [1]:")
        terminal.enter("let x = 6 * 7; x + 1")
        terminal.wait_for("Out[1]: 43")
        terminal.wait_for("In [2]:")
        terminal.enter("%map |i: u64| i * 2 over 0..100u64")
        terminal.wait_for("100 items on ")
    finally:
        hang_up(terminal.child)
        processes.end_all(program.mark)
