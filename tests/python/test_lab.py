"""JupyterLab, Notebook and Voilà: one server has all three, and one browser shows the first two."""

import json
import os
import pathlib
import re
import subprocess
import sys
import urllib.error
import urllib.request
import uuid

import nbformat
import pytest

import browser
import processes
from conftest import HOME

KERNEL = {"name": "chorus", "display_name": "Rust (Chorus)", "language": "rust"}
TOKEN = uuid.uuid4().hex

# All kinds of texts that Chorus shows.
CELLS = [
    "let n = 20;\nn + 22",
    "%%px\nprintln!(\"<on an engine>\");\n42",
    "%map |i: u64| i * 2 over 0..100u64",
    "%map |i: u64| { if i == 7 { panic!(\"seven\") } i } over 0..100u64",
    "#[derive(Debug)]\nstruct Point { x: f64, y: f64 }\nvec![Point { x: 1.5, y: 2.5 }, Point { x: 3.5, y: 4.5 }]",
    "let s: i32 = \"a\";",
    "let unused = vec![1u8; 300u8];\nfn f() { let b = 300u8; }",
    "fn f(v: &[i32]) -> i32 { v[7] }\nf(&[1])",
    "%px panic!(\"on an engine\")",
    "%px if px::rank() == 0 { std::process::exit(3) }",
    "Err::<(), &str>(\"wrong\")?",
    "%magi",
    "!false",
    ":dep nothing = { path = \"/nowhere\" }",
    "for i in px::progress(0..3) { eprintln!(\"{i}\"); }",
    "std::process::exit(3);",
    "%cluster status",
    "%tasks",
    "%tasks --stream",
    "%lsmagic",
    ":help",
    "%px?",
    "%whos",
    "%autopx\nprintln!(\"there\")",
    "%autopx",
]


@pytest.fixture(scope="module")
def server(installed, tmp_path_factory):
    """The address of a server of JupyterLab's, and the folder that it shows."""
    folder = tmp_path_factory.mktemp("lab")
    mark = uuid.uuid4().hex
    runtime_dir = HOME / "lab"
    runtime_dir.mkdir(mode=0o700, exist_ok=True)
    (jupyter_runtime := HOME / "lab-jupyter").mkdir(mode=0o700, exist_ok=True)
    # Else cells that are out of sight aren't in the page.
    settings = folder / "settings/@jupyterlab/notebook-extension/tracker.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps({"windowingMode": "none"}))
    env = dict(os.environ) | {
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "CHORUS_RUNTIME_DIR": str(runtime_dir),
        "JUPYTER_RUNTIME_DIR": str(jupyter_runtime),
        processes.MARK: mark,
    }
    book = nbformat.v4.new_notebook(metadata={"kernelspec": KERNEL})
    book.cells = [nbformat.v4.new_code_cell(code, metadata={"tags": ["raises-exception"]}) for code in CELLS]
    nbformat.write(book, folder / "all.ipynb")
    book.cells = book.cells[:3]
    nbformat.write(book, folder / "few.ipynb")
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": 0,
        "ServerApp.root_dir": folder,
        "ServerApp.allow_root": True,
        "IdentityProvider.token": TOKEN,
        "LabApp.news_url": None,
        "LabApp.expose_app_in_browser": True,
        "JupyterNotebookApp.expose_app_in_browser": True,
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", *(f"--{name}={value}" for name, value in options.items())]
    log = open(folder / "log.txt", "w")
    process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def address():
        assert process.poll() is None, (folder / "log.txt").read_text()
        found = list(jupyter_runtime.glob("jpserver-*.json"))
        try:
            url = json.loads(found[0].read_text())["url"]
            urllib.request.urlopen(f"{url}api", timeout=20).close()
        except (IndexError, json.JSONDecodeError, urllib.error.URLError):
            return None  # The file is being written, or nobody listens yet.
        return url

    try:
        yield processes.wait_until("the server", address, 60)
    finally:
        processes.end([process], 20)
        log.close()
        processes.end_all(mark)


@pytest.fixture(scope="module")
def page():
    if browser.PROGRAM is None:
        pytest.skip("there is no Chromium")
    with_browser = browser.Browser(dict(os.environ))
    yield with_browser
    with_browser.close()


def test_voila(server):
    url = f"{server}voila/render/few.ipynb?token={TOKEN}"
    with urllib.request.urlopen(url, timeout=120) as answer:
        text = answer.read().decode()
    for part in ('{"text/plain": "42"}', "[stdout:0] &lt;on an engine&gt;", "100 items on "):
        assert part in text, part


# The second shares the kernel of the first, in which everything is compiled.
@pytest.mark.parametrize("front_end", ["lab/tree", "notebooks"])
def test_cells_run_and_everything_can_be_read(server, page, front_end):
    page.open(f"{server}{front_end}/all.ipynb?token={TOKEN}")
    notebook = "(window.book = [...jupyterapp.shell.widgets('main')].find(widget => widget.context))"
    page.wait_for("a notebook with a kernel", f"{notebook}.context.isReady && book.sessionContext.session.kernel.status == 'idle'")
    page.ask("jupyterapp.shell.activateById(book.id)")
    magics = ["%%px", "%map", "%map", "%px", "%px", "%magi", "!", ":dep", "%cluster", "%tasks", "%tasks", "%lsmagic"]
    magics += [":help", "%px?", "%whos", "%autopx", "%autopx"]
    shown = "[...document.querySelectorAll('.chorus-magic')]"
    page.wait_for("magics that are shown as such", f"{shown}.length >= {len(magics)}")
    assert page.ask(f"{shown}.map(it => it.textContent)") == magics
    assert not page.ask(f"{shown}.some(it => getComputedStyle(it).color == getComputedStyle(it.parentNode).color)")
    page.ask("jupyterapp.commands.execute('notebook:run-all-cells')", timeout=240)
    # In JupyterLab, the command may end before the last cells do.
    page.wait_for("the end of all cells", "book.content.widgets.every(cell => cell.model.executionCount)", 240)
    outputs = page.ask("[...book.content.widgets].map(cell => cell.outputArea.node.innerText)")
    assert outputs[0].endswith(":\n42")
    assert "[stdout:0] <on an engine>" in outputs[1] and re.search(r"Out\[0-1:\d+\]: 42", outputs[1])
    assert "100 items on " in outputs[2]
    for theme in ("JupyterLab Light", "JupyterLab Dark"):
        page.ask(f"jupyterapp.commands.execute('apputils:change-theme', {{theme: '{theme}'}})")
        page.wait_for(f"the theme {theme}", f"document.body.dataset.jpThemeName == '{theme}'")
        found = page.ask((pathlib.Path(__file__).parent / "contrast.js").read_text())
        assert found["count"] > 200, found
        assert not found["weak"], "\n".join([theme, *found["weak"]])
