"""The program `chorus` as a person at a terminal meets it."""

import fcntl
import json
import os
import pathlib
import re
import subprocess

import nbformat
import pexpect
import pytest

import processes
from harness import plain

COMMANDS = ["install", "uninstall", "kernel", "run", "start", "stop", "list", "status", "engine", "logs", "scale", "drain"]
COMMANDS += ["adapt", "add", "interrupt", "restart", "kill"]


def notebook(path, *cells, tags=()):
    book = nbformat.v4.new_notebook()
    book.metadata["kernelspec"] = {"name": "chorus", "display_name": "Rust (Chorus)", "language": "rust"}
    book.cells = [nbformat.v4.new_code_cell(code) for code in cells]
    for cell in book.cells:
        cell.metadata["tags"] = list(tags)
    nbformat.write(book, path)
    return path


# Help and exit codes


def test_help_lists_and_explains_the_commands(chorus):
    text = chorus("--help").stdout
    for command in COMMANDS:
        assert re.search(rf"^\s+{command}\s+\S", text, re.MULTILINE), f"{command} isn't explained in\n{text}"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(chorus, command):
    assert "Usage" in chorus(command, "--help").stdout


def test_version(chorus):
    assert re.fullmatch(r"chorus \d+\.\d+\.\d+\S*\n", chorus("--version").stdout)
    engine = subprocess.run([os.environ["CHORUS_ENGINE"], "--version"], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"chorus-engine \d+\.\d+\.\d+\S*\n", engine.stdout)


@pytest.mark.parametrize("arguments", [["--no-such-flag"], ["no-such-command"], ["start", "-n", "x"], ["run"]])
def test_wrong_usage_exits_with_2(chorus, arguments):
    done = chorus(*arguments, check=False)
    assert done.returncode == 2 and "--help" in done.stderr and done.stdout == ""


# What can't be printed


@pytest.fixture
def to_a_full_disk(chorus):
    """Runs the program with a stdout that takes nothing."""

    def run(*arguments):
        command = [os.environ["CHORUS"], *map(str, arguments)]
        with open("/dev/full", "w") as full:
            return subprocess.run(command, env=chorus.env, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120)

    return run


@pytest.fixture
def to_nobody(chorus):
    """Runs the program with a stdout that nobody reads any more."""

    def run(*arguments):
        reader, writer = os.pipe()
        os.close(reader)
        command = [os.environ["CHORUS"], *map(str, arguments)]
        try:
            return subprocess.run(command, env=chorus.env, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=120)
        finally:
            os.close(writer)

    return run


def test_a_full_disk_is_an_error_and_a_closed_pipe_is_the_end(lab, to_a_full_disk, to_nobody, tmp_path):
    path = notebook(tmp_path / "in.ipynb", "let n = 1;", tags=["parameters"])
    commands = [
        ["list"],
        ["list", "--json"],
        ["status", "lab"],
        ["status", "lab", "--json"],
        ["logs", "lab"],
        ["top", "lab", "--once"],
        ["cache", "info"],
        ["gpu", "info"],
        ["scale", "2", "lab"],
        ["start", "--on", "pbs", "-n", "2", "--dry-run"],
        ["run", path, "--help-parameters"],
    ]
    for command in commands:
        done = to_a_full_disk(*command)
        said = done.stderr.splitlines()[-1]
        assert (done.returncode, said) == (1, "chorus: stdout: No space left on device (os error 28)"), (command, done)
        done = to_nobody(*command)
        assert done.returncode == 1 and "chorus:" not in done.stderr and "panicked" not in done.stderr, (command, done)
    lab.wait_for_engines(2)
    done = to_nobody("stop", "lab")
    assert (done.returncode, done.stderr) == (1, "") and json.loads(lab("list", "--json").stdout) == []


def test_errors_that_nobody_can_be_told_end_it_all_the_same(chorus):
    with open("/dev/full", "w") as full:
        done = subprocess.run([os.environ["CHORUS"], "status"], env=chorus.env, stderr=full, timeout=120)
    assert done.returncode == 1


def test_a_cache_that_cannot_be_is_said(chorus, tmp_path):
    (tmp_path / "file").write_text("")
    for folder, why in ((tmp_path / "file", "Not a directory"), ("/proc/foo", "nothing can be made in /proc")):
        for options in ([], ["--json"]):
            done = chorus("cache", "info", *options, check=False, env={"CHORUS_CACHE_DIR": str(folder)})
            assert done.returncode == 1 and done.stdout == "", done
            assert f"nothing can be kept in {folder}/cells" in done.stderr and why in done.stderr, done


# Installing


def test_install_and_uninstall(chorus, tmp_path):
    chorus("install", "--prefix", tmp_path)
    folder = tmp_path / "share/jupyter/kernels/chorus"
    spec = json.loads((folder / "kernel.json").read_text())
    assert spec["display_name"] == "Rust (Chorus)" and spec["language"] == "rust"
    assert spec["interrupt_mode"] == "message"
    assert spec["argv"][1:] == ["kernel", "--connection-file", "{connection_file}"]
    assert os.path.samefile(spec["argv"][0], os.environ["CHORUS"])
    assert {"logo-32x32.png", "logo-64x64.png", "logo-svg.svg"} <= {path.name for path in folder.iterdir()}
    chorus("install", "--prefix", tmp_path)  # Again, over itself.
    chorus("uninstall", "--prefix", tmp_path)
    assert not folder.exists()


def test_install_for_the_user(chorus, tmp_path):
    env = {"JUPYTER_DATA_DIR": str(tmp_path / "data"), "HOME": str(tmp_path)}
    chorus("install", "--user", env=env)
    assert (tmp_path / "data/kernels/chorus/kernel.json").exists()
    chorus("uninstall", "--user", env=env)
    assert not (tmp_path / "data/kernels/chorus").exists()


def test_uninstall_of_nothing_fails_and_says_so(chorus, tmp_path):
    done = chorus("uninstall", "--prefix", tmp_path, check=False)
    assert done.returncode == 1 and str(tmp_path) in done.stderr


# Logs and signals


def test_logs_are_of_engines_that_are_or_were_there(lab):
    lab("scale", "1", "lab")
    lab.wait_for_engines(1, "lab")
    lab("logs", "-t", "0,1", "lab")
    done = lab("logs", "-t", "7", "lab", check=False)
    assert (done.returncode, done.stdout) == (1, "") and "there is no engine 7 and was none" in done.stderr, done
    # Engines are measured all the time.
    first, last = (json.loads(line)["number"] for line in lab("logs", "--json", "-n", 2, "lab").stdout.splitlines())
    assert (first + 1, last > 2) == (last, True)
    assert len(lab("logs", "--json", "lab").stdout.splitlines()) > 2
    assert lab("logs", "--json", "-n", 0, "lab").stdout == ""


def test_a_signal_is_sent_by_its_name(lab):
    engine = lab.wait_for_engines(2, "lab")["engines"][0]["info"]["pid"]
    state = lambda: pathlib.Path(f"/proc/{engine}/stat").read_text().rpartition(")")[2].split()[0]
    lab("kill", "-s", "stop", "-t", "0", "lab")
    processes.wait_until("the engine to be stopped", lambda: state() == "T")
    lab("kill", "-s", "SIGCONT", "-t", "0", "lab")
    processes.wait_until("the engine to go on", lambda: state() != "T")


# Running notebooks


def test_run_streams_outputs_and_writes_a_valid_notebook(chorus, tmp_path):
    path = notebook(
        tmp_path / "in.ipynb",
        'println!("local line"); 6 * 7',
        '%px println!("from {}", px::rank());',
        "%px px::size()",
    )
    original = path.read_text()
    done = chorus("run", path, "-o", tmp_path / "out.ipynb", "-n", 3, env={"NO_COLOR": ""}, timeout=300)
    assert "local line" in done.stdout and "42" in done.stdout
    for engine in range(3):
        assert f"[stdout:{engine}] from {engine}" in done.stdout
    assert path.read_text() == original, "the input isn't changed"
    assert "\x1b" not in done.stdout + done.stderr, "files and pipes get no colours"

    book = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    nbformat.validate(book)
    assert book.metadata["language_info"]["file_extension"] == ".rs"
    assert book.metadata["language_info"]["pygments_lexer"] == "rust" and book.metadata["kernelspec"]["name"] == "chorus"
    assert [cell.execution_count for cell in book.cells] == [1, 2, 3]
    kinds = [output.output_type for output in book.cells[0].outputs]
    assert kinds == ["stream", "execute_result"]
    assert book.cells[0].outputs[1].data["text/plain"] == "42"
    assert re.search(r"Out\[0-2:\d+\]: 3\b", plain(str(book.cells[2].outputs[0].data["text/plain"])))


def test_run_stops_at_the_first_failing_cell(chorus, tmp_path):
    path = notebook(tmp_path / "in.ipynb", "1 + 1", 'panic!("the reason")', 'println!("not reached")')
    done = chorus("run", path, "-o", tmp_path / "out.ipynb", check=False, timeout=300)
    assert done.returncode == 1
    assert "the reason" in done.stdout + done.stderr and "not reached" not in done.stdout
    book = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    nbformat.validate(book)
    assert [output.output_type for output in book.cells[1].outputs] == ["error"]
    assert book.cells[2].outputs == [] and book.cells[2].execution_count is None


def test_run_goes_on_after_a_cell_that_may_fail(chorus, tmp_path):
    path = notebook(tmp_path / "in.ipynb", 'panic!("expected")', 'println!("reached");', tags=["raises-exception"])
    assert "reached" in chorus("run", path, timeout=300).stdout


def test_run_with_errors_allowed_goes_on_and_shows_them_in_colours_if_they_are_wanted(chorus, tmp_path):
    path = notebook(tmp_path / "in.ipynb", 'panic!("expected")', 'println!("\\x1b[31mred\\x1b[0m");')
    done = chorus("run", path, "--allow-errors", "-o", path, env={"NO_COLOR": "", "CLICOLOR_FORCE": "1"}, timeout=300)
    assert "\x1b[31mred" in done.stdout and "\x1b[" in done.stderr and "expected" in done.stderr
    outputs = [cell.outputs[0] for cell in nbformat.read(path, as_version=4).cells]
    assert [output.output_type for output in outputs] == ["error", "stream"]
    assert outputs[1].text == "\x1b[31mred\x1b[0m\n", "the notebook has what the cell printed"

    # A terminal whose user wants no colours.
    arguments = ["run", str(path), "--allow-errors"]
    env = chorus.env | {"NO_COLOR": "1", "TERM": "xterm"}
    child = pexpect.spawn(os.environ["CHORUS"], arguments, env=env, encoding="utf-8", timeout=120)
    child.expect(pexpect.EOF)
    assert "expected" in child.before and "red" in child.before and "\x1b" not in child.before
    child.close()
    assert child.exitstatus == 0


def test_variables_need_no_types_when_cargo_cannot_look_anything_up(chorus, tmp_path):
    """rust-analyzer asks cargo for what the standard library depends on, and goes on silently without an answer."""
    path = notebook(tmp_path / "in.ipynb", "let mut seen = vec![1]; seen.push(2);", "seen.iter().sum::<i32>()")
    home = tmp_path / "cargo"
    home.mkdir()
    env = {"CARGO_HOME": str(home), "CARGO_NET_OFFLINE": "true", "CHORUS_CACHE_MB": "0"}
    assert "3" in chorus("run", path, env=env, timeout=300).stdout.splitlines()


def test_run_ends_a_cell_that_takes_too_long(chorus, tmp_path):
    path = notebook(tmp_path / "in.ipynb", "1 + 1", "loop {}", 'println!("not reached")')
    done = chorus("run", path, "--timeout", 15, check=False, timeout=90)
    assert done.returncode == 124 and "cell 2" in done.stdout + done.stderr
    assert "not reached" not in done.stdout


def test_run_of_a_missing_or_broken_file_names_it(chorus, tmp_path):
    done = chorus("run", tmp_path / "missing.ipynb", check=False)
    assert done.returncode not in (0, 101) and "missing.ipynb" in done.stderr
    (tmp_path / "broken.ipynb").write_text("{]")
    done = chorus("run", tmp_path / "broken.ipynb", check=False)
    assert done.returncode not in (0, 101) and "broken.ipynb" in done.stderr


def test_run_leaves_no_process(chorus, tmp_path):
    chorus("run", notebook(tmp_path / "in.ipynb", "%px 1"), "-n", 2, timeout=300)
    processes.wait_until("all processes of the run to be gone", lambda: not processes.marked(chorus.mark), 3)


# Clusters


def test_a_dry_run_tells_what_would_be_run_and_does_nothing(chorus):
    done = chorus("start", "--on", "pbs", "-n", 2, "--cores", 4, "--label", "big", "--dry-run")
    assert done.stdout.startswith("#!/bin/sh\n#PBS -N chorus-default\n") and "ncpus=4" in done.stdout
    assert "2 times, each a job:\n  qsub\n" in done.stderr
    done = chorus("start", "--on", "ssh", "--hosts", "a,b*2", "--tunnel", "--dry-run")
    assert done.stdout == "" and "-- b 'exec sh'" in done.stderr and "-R 0:127.0.0.1:PORT" in done.stderr
    for way in (["dask=tcp://x:1"], ["ray"], ["mpi"], ["slurm"]):
        assert "2" in chorus("start", "--on", *way, "-n", 2, "--dry-run").stderr
    assert "No cluster is running" in chorus("list").stdout


def test_start_list_status_stop(chorus):
    assert json.loads(chorus("list", "--json").stdout) == []
    chorus("start", "-n", 3, "--name", "mine")
    status = chorus.wait_for_engines(3)
    assert status["name"] == "mine" and [engine["id"] for engine in status["engines"]] == [0, 1, 2]
    pids = [status["pid"], *(engine["info"]["pid"] for engine in status["engines"])]
    assert all(map(processes.alive, pids)), "the cluster outlives the command that started it"

    listed = json.loads(chorus("list", "--json").stdout)
    assert [cluster["name"] for cluster in listed] == ["mine"]
    assert (listed[0]["engines"], listed[0]["users"]) == (3, [])
    assert "mine" in chorus("list").stdout and "\n  3 engines\n" in chorus("list").stdout
    text = chorus("status").stdout
    assert "mine" in text and str(pids[1]) in text

    path, _ = chorus.connection_file()
    assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700

    chorus("stop")
    processes.wait_until("the cluster's processes to be gone", lambda: not any(map(processes.alive, pids)), 5)
    assert json.loads(chorus("list", "--json").stdout) == []
    assert not path.exists(), "the connection file goes with its cluster"


def members(value):
    """The names of all members of a JSON value, however deep."""
    if isinstance(value, list):
        return set().union(*map(members, value))
    if isinstance(value, dict):
        return set(value).union(*map(members, value.values()))
    return set()


def test_each_member_of_the_status_is_documented_and_there(chorus, kernels):
    chorus("start", "-n", 1, "--name", "lab")
    kernels().run("%cluster connect lab").ok()
    page = (pathlib.Path(__file__).parents[2] / "docs/monitor.md").read_text()
    section = page.partition("## `chorus status --json`\n")[2].partition("\n## ")[0]
    documented = set(re.findall(r"`(\w+)`", section))
    assert len(documented) > 20 and documented == members(chorus.status("lab"))


def is_locked(path):
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_a_cluster_leaves_alone_what_is_not_its_own(chorus, kernels, runtime_dir):
    kernel = kernels()
    kernel.run("1").ok()
    for name in ("kernels", "clusters"):
        chorus("start", "-n", 2, "--name", name)
        chorus("stop", name)
    assert kernel.run("6 * 7").ok().results == [{"text/plain": "42"}], "its folder is where it builds"

    clusters = runtime_dir / "clusters"
    thesis = clusters / "thesis"
    thesis.mkdir(mode=0o700)
    (thesis / "thesis.tex").write_text("years")
    (clusters / "link").symlink_to(runtime_dir / "kernels")
    (runtime_dir / "kernels/12345678").mkdir(mode=0o700)
    (runtime_dir / "kernels/12345678/photo").write_text("")
    for name in ("thesis", "link", "..", "a/b", "", "n" * 100, "kernels/x"):
        done = chorus("start", "-n", 2, "--name", name, check=False)
        assert done.returncode == 1 and done.stderr, name
    assert (thesis / "thesis.tex").read_text() == "years"
    assert kernel.run("7 * 8").ok().results == [{"text/plain": "56"}]

    # What a killed one has left is removed by the next.
    left = runtime_dir / "kernels" / str(kernel.pid)
    processes.kill(kernel.pid)
    processes.wait_until("the kernel to let go of its folder", lambda: not is_locked(left / "chorus.lock"), 20)
    kernels().run("1").ok()
    assert not left.exists() and (runtime_dir / "kernels/12345678/photo").exists()


def test_a_start_that_is_refused_leaves_nothing(chorus, tmp_path):
    data = tmp_path / "data"
    (tmp_path / "file").write_text("")
    book = notebook(tmp_path / "book.ipynb", "1")
    before = book.read_text()
    environment = {"CHORUS_DATA_DIR": str(data)}
    start = lambda *arguments, **env: chorus("start", "-n", 1, *arguments, check=False, env=environment | env)
    for name in ("a/b", ""):
        done = start("--name", name)
        assert done.returncode == 1 and "can't be a cluster's name" in done.stderr, done
    done = start("--name", "lab", CHORUS_RUNTIME_DIR=str(tmp_path / "file"))
    assert done.returncode == 1 and done.stderr.count("Not a directory") == 1, done
    assert not data.exists()
    done = start("--name", "lab", "--record", book)
    assert done.returncode == 1 and "its first line is no entry of a cluster's log" in done.stderr, done
    assert book.read_text() == before and "No cluster is running" in chorus("list").stdout

    # A recording goes on.
    for _ in range(2):
        assert "with 1 engine in" in start("--name", "lab").stdout
        chorus("stop", "lab")
    lines = (data / "recordings/lab.jsonl").read_text().splitlines()
    assert sum('"event":{"state":' in line for line in lines) == 2, lines


def test_a_name_can_be_taken_once(chorus):
    chorus("start", "-n", 2, "--name", "taken")
    done = chorus("start", "-n", 2, "--name", "taken", check=False)
    assert done.returncode == 1 and "taken" in done.stderr
    chorus.wait_for_engines(2)


def test_two_clusters_are_told_apart(chorus):
    for name in ("one", "two"):
        chorus("start", "-n", 2, "--name", name)
    assert {cluster["name"] for cluster in json.loads(chorus("list", "--json").stdout)} == {"one", "two"}
    done = chorus("stop", check=False)
    assert done.returncode != 0 and "one" in done.stderr and "two" in done.stderr, "which one?"
    chorus("stop", "one")
    assert {cluster["name"] for cluster in json.loads(chorus("list", "--json").stdout)} == {"two"}


@pytest.mark.parametrize("command", ["stop", "status"])
def test_no_cluster_is_an_error_that_says_what_to_do(chorus, command):
    done = chorus(command, check=False)
    assert done.returncode == 1 and "chorus start" in done.stderr


def test_a_killed_controller_is_not_listed_and_its_name_is_free(chorus):
    chorus("start", "-n", 2, "--name", "again", "--stay", 0)
    status = chorus.wait_for_engines(2)
    processes.kill(status["pid"])
    engines = [engine["info"]["pid"] for engine in status["engines"]]
    processes.wait_until("the engines to follow their controller", lambda: not any(map(processes.alive, engines)), 5)
    assert json.loads(chorus("list", "--json").stdout) == []
    chorus("start", "-n", 2, "--name", "again")
    chorus.wait_for_engines(2)


@pytest.mark.parametrize("options", [[], ["--tcp"]], ids=["ipc", "tcp"])
def test_an_engine_can_be_added_by_hand(chorus, kernels, options):
    chorus("start", "-n", 2, "--name", "grows", *options)
    chorus.wait_for_engines(2)
    path, _ = chorus.connection_file()
    command = [os.environ["CHORUS"], "engine", "--connect", str(path)]
    engine = subprocess.Popen(command, env=chorus.env, stdin=subprocess.DEVNULL)
    try:
        assert [one["id"] for one in chorus.wait_for_engines(3)["engines"]] == [0, 1, 2]
        kernel = kernels()
        kernel.run("%cluster connect grows").ok()
        assert re.search(r"Out\[0-2:\d+\]: 3\b", kernel.run("%px px::size()").ok().text)
        chorus("stop")
        engine.wait(timeout=10)
    finally:
        engine.kill()
        engine.wait()


def test_an_engine_without_a_cluster_says_what_is_wrong(chorus, tmp_path):
    done = chorus("engine", "--connect", tmp_path / "nothing.json", check=False)
    assert done.returncode == 1 and "nothing.json" in done.stderr


def test_a_kernel_without_its_connection_file_says_what_is_wrong(chorus, tmp_path):
    done = chorus("kernel", "--connection-file", tmp_path / "nothing.json", check=False)
    assert done.returncode == 1 and "nothing.json" in done.stderr
