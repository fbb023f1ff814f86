"""`chorus run` without Jupyter: parameters, limits, reports."""

import json
import xml.etree.ElementTree as ElementTree
from datetime import datetime

import nbformat
import pytest

PARAMETERS = """// How fast it learns
let alpha: f32 = 1.0;
let n = 5u64; // how many
let mut xs = vec![0.5];
let name = "x";"""
SHOW = 'xs.push(0.0); println!("{alpha:?} {n} {xs:?} {name}");'


@pytest.fixture
def write(tmp_path):
    def write(*cells, name="in.ipynb"):
        kernel = {"name": "chorus", "display_name": "Rust (Chorus)", "language": "rust"}
        book = nbformat.v4.new_notebook(metadata={"kernelspec": kernel})
        for code, *tags in cells:
            book.cells.append(nbformat.v4.new_code_cell(code, metadata={"tags": tags}))
        nbformat.write(book, tmp_path / name)
        return tmp_path / name

    return write


def read(path):
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    return book


def test_parameters_have_the_types_that_their_cell_gives_them(chorus, write, tmp_path):
    path = write([PARAMETERS, "parameters"], [SHOW])
    original = path.read_text()
    given = ["-p", "alpha", "-2.5", "-p", "xs", "[1, 2e-3]", "-r", "name", "007", "-p", "n", "18446744073709551615"]
    done = chorus("run", path, tmp_path / "out.ipynb", *given, timeout=300)
    assert "-2.5 18446744073709551615 [1.0, 0.002, 0.0] 007\n" in done.stdout
    assert path.read_text() == original
    book = read(tmp_path / "out.ipynb")
    assert book.cells[1].metadata.tags == ["injected-parameters"]
    assert book.cells[1].source.splitlines() == [
        "// Parameters",
        "let alpha: f32 = -2.5;",
        "let mut xs: Vec<f64> = vec![1.0, 0.002];",
        "let n: u64 = 18446744073709551615;",
        'let name: &str = "007";',
    ]

    # An executed notebook is run again with other values from files: the older cell is replaced.
    (tmp_path / "values.json").write_text('{"alpha": 3, "name": "file", "n": 1}')
    (tmp_path / "none.yml").write_text("# name: never\n")
    (tmp_path / "more.yaml").write_text("# By night.\nname: yaml\nxs:\n  - .inf\n  - 2\n")
    files = ["-f", tmp_path / "values.json", "-f", tmp_path / "more.yaml", "-f", tmp_path / "none.yml"]
    given = [*files, "-y", "---\nn: 5\nalpha: 4", "-p", "n", "2", "-o", "-"]
    done = chorus("run", tmp_path / "out.ipynb", *given, timeout=300)
    book = nbformat.reads(done.stdout, as_version=4)
    assert [cell.metadata.tags for cell in book.cells] == [["parameters"], ["injected-parameters"], []]
    assert book.cells[2].outputs[0].text == "4.0 2 [inf, 2.0, 0.0] yaml\n"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (["-p", "n", "-1"], "parameter `n`: -1 isn't between 0 and 18446744073709551615"),
        (["-p", "n", "1.5"], "cell 2, line 3: let n = 5u64;"),
        (["-y", "n: -1"], "parameter `n`: -1 isn't between 0 and 18446744073709551615"),
        (["-y", "[1, 2]"], "-y [1, 2]: parameters are a map of names and values, and this is a list of 2"),
        (["-y", "{n: 1"], "-y {n: 1: it isn't YAML that can be taken"),
        (["-r", "alpha", "1"], 'parameter `alpha`: "1" isn\'t a number'),
        (["-p", "beta", "1"], "There are: `alpha` (cell 2, line 2), `n` (cell 2, line 3), `xs` (cell 2, line 4)"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_runs(chorus, write, tmp_path, given, reason):
    path = write(["1 + 1"], [PARAMETERS, "parameters"], [SHOW])
    done = chorus("run", path, tmp_path / "out.ipynb", *given, check=False)
    assert done.returncode == 2 and done.stdout == "" and not (tmp_path / "out.ipynb").exists()
    assert reason in done.stderr and done.stderr.startswith("chorus: "), done.stderr


def test_results_that_cannot_be_written_are_found_before_anything_runs(chorus, write, tmp_path):
    path = write(["1 + 1"])
    original = path.read_text()
    wrong = [
        (["-o", "."], "the executed notebook can't be written to .: it is a folder"),
        (["-o", "x.json", "--json", "./x.json"], "can't be the executed notebook and the report as JSON"),
        (["--junit", "in.ipynb"], "can't be the notebook and the report in JUnit's format"),
    ]
    for given, reason in wrong:
        done = chorus("run", path, *given, check=False, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "") and reason in done.stderr, done
    assert path.read_text() == original and [it.name for it in tmp_path.iterdir()] == ["in.ipynb"]


def test_a_notebook_without_parameters_takes_none(chorus, write):
    done = chorus("run", write(["1 + 1"]), "-p", "n", "1", check=False)
    assert done.returncode == 2 and "no code cell is tagged `parameters`" in done.stderr


def test_parameters_are_listed(chorus, write):
    path = write(["1 + 1"], [PARAMETERS, "parameters"])
    lines = chorus("run", "--help-parameters", path).stdout.splitlines()
    assert lines[0] == f"Parameters of {path} (cell 2):"
    words = [line.split() for line in lines[1:]]
    assert words[0] == "alpha: f32 = 1.0 How fast it learns".split()
    assert words[1] == "n: u64 = 5u64 how many".split()
    assert words[2] == "xs: Vec<f64> = vec![0.5]".split() and words[3] == 'name: &str = "x"'.split()


def test_reports_tell_times_and_failures(chorus, write, tmp_path):
    path = write(["1 + 1"], ['panic!("expected")', "raises-exception"], ['panic!("the <reason>")'], ["2 + 2"])
    reports = ["--junit", tmp_path / "junit.xml", "--json", tmp_path / "report.json", "--times"]
    env = {"NO_COLOR": "", "CLICOLOR_FORCE": "1"}
    done = chorus("run", path, tmp_path / "out.ipynb", *reports, check=False, timeout=300, env=env)
    assert done.returncode == 1 and " s  [1/4] 1 + 1\n" in done.stderr and "-  [4/4] 2 + 2\n" in done.stderr

    suite = ElementTree.parse(tmp_path / "junit.xml").getroot().find("testsuite")
    assert [suite.get(name) for name in ("name", "tests", "failures", "errors", "skipped")] == ["in", "4", "1", "0", "1"]
    cases = suite.findall("testcase")
    assert [case.get("name") for case in cases][:2] == ["[1] 1 + 1", '[2] panic!("expected")']
    assert [[child.tag for child in case] for case in cases] == [[], [], ["failure"], ["skipped"]]
    assert "the <reason>" in cases[2].find("failure").text and "\x1b" not in cases[2].find("failure").text
    assert float(cases[0].get("time")) > 0

    report = json.loads((tmp_path / "report.json").read_text())
    assert report["status"] == "failed" and report["exit_code"] == 1 and report["seconds"] > 0
    assert [cell["status"] for cell in report["cells"]] == ["passed", "expected failure", "failed", "not run"]
    assert "the <reason>" in report["cells"][2]["error"]["text"] and "\x1b" not in report["cells"][2]["error"]["text"]

    cells = read(tmp_path / "out.ipynb").cells
    assert [cell["id"] for cell in cells] == [cell["id"] for cell in report["cells"]]
    times = cells[0].metadata["execution"]
    order = ["iopub.status.busy", "iopub.execute_input", "iopub.status.idle"]
    assert sorted(times) == sorted([*order, "shell.execute_reply"])
    sent = [datetime.strptime(times[name], "%Y-%m-%dT%H:%M:%S.%f%z") for name in order]
    assert sent == sorted(sent)
    assert "execution" not in cells[3].metadata


def test_a_cell_over_its_time_ends_the_run_unless_errors_are_allowed(chorus, write, tmp_path):
    path = write(["std::thread::sleep(std::time::Duration::from_secs(600));"], ["6 * 7"])
    done = chorus("run", path, tmp_path / "out.ipynb", "--timeout", 10, check=False, timeout=300)
    assert done.returncode == 124 and "cell 1 of 2 took longer than 10 s; 1 cell wasn't run" in done.stderr
    errors = [output for output in read(tmp_path / "out.ipynb").cells[0].outputs if output.output_type == "error"]
    assert errors[-1].ename == "TimedOut" and errors[-1].evalue == "the cell took longer than 10 s and was interrupted"

    done = chorus("run", path, "--timeout", 20, "--allow-errors", timeout=300)
    assert "42" in done.stdout and "took longer than 20 s" in done.stderr
