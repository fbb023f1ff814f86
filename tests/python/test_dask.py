"""Engines as tasks of Dask's, on the hosts of `hosts.py`: a scheduler on the first of them, and a worker on each of the others."""

import os
import signal
import subprocess
import sys

import hosts as lab
import processes
import pytest

distributed = pytest.importorskip("distributed")
pytestmark = lab.needs(lab.missing())
hosts = lab.fixture(3)
SCHEDULER = "tcp://10.78.0.1:8786"
THREADS = 2
# What Dask says of its tasks and its workers, asked on a host.
ASK = """
import distributed, sys
client = distributed.Client(sys.argv[1], timeout=20)
info = client.scheduler_info(n_workers=-1)["workers"]
queues = client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.extensions["queues"].queues))
tasks = client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.tasks))
print(len(info), len(tasks), len(queues))
"""


class Dask:
    def __init__(self, hosts):
        self.hosts, self.processes = hosts, []
        try:
            self.start("h1", "scheduler", "--host", "10.78.0.1", "--port", "8786", "--no-dashboard")
            for name in hosts.names[1:]:
                self.worker(name)
            self.wait_for_workers(2)
        except BaseException:
            self.close()
            raise

    def start(self, name, *words):
        env = ["env", f"XDG_CACHE_HOME={self.cache(name)}"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = self.hosts.start(name, [*env, sys.executable, "-m", "dask", *words], **quiet)
        self.processes.append(process)
        return process

    def worker(self, name):
        options = ["--nthreads", THREADS, "--no-dashboard", "--local-directory", "/tmp/dask", "--resources", "MEMORY=4e9"]
        return self.start(name, "worker", SCHEDULER, *[str(option) for option in options])

    def cache(self, name):
        return self.hosts.folder / f"cache-{name}"

    def figures(self):
        """How many workers, tasks and queues there are."""
        asked = self.hosts.run("h1", [sys.executable, "-c", ASK, SCHEDULER])
        return [int(number) for number in asked.stdout.split()]

    def wait_for_workers(self, count):
        processes.wait_until(f"{count} workers", lambda: self.figures()[:1] == [count], 60)

    def close(self):
        processes.end(self.processes, 20)


@pytest.fixture(scope="module")
def dask(hosts):
    dask = lab.made(lambda: Dask(hosts))
    yield dask
    dask.close()


@pytest.fixture
def notebook(hosts, dask):
    notebook = lab.Notebook(hosts)
    yield notebook
    notebook.close()
    nothing_is_left(hosts, dask)


def nothing_is_left(hosts, dask):
    lab.nothing_is_left(hosts, 40)
    processes.wait_until("the guide to end", lambda: "chorus-guide" not in str(hosts.programs("h1")), 40)
    processes.wait_until("Dask to have no task", lambda: dask.figures()[1] == 0, 40)
    processes.wait_until("Dask to have no queue", lambda: dask.figures()[2] == 0, 40)


def start(engines, more=""):
    return f'%cluster start --on dask={SCHEDULER} -n {engines} --command "{sys.executable}" {more}'


def workers_of(hosts, name):
    """The processes that run tasks, not those that keep them."""
    listed = hosts.run(name, ["pgrep", "-f", "multiprocessing.*spawn_main"]).stdout
    return [int(pid) for pid in listed.split()]


def test_engines_are_tasks_which_come_and_go_with_them(hosts, dask, notebook):
    assert "with 3 engines" in notebook.ok(start(3))
    where = 'std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap()'
    out = notebook.ok(f'%px println!("{{}}", {where})')
    assert "h2" in out and "h3" in out, out
    notebook.ok("let xs: Vec<f64> = (0..400_000).map(|i| i as f64).collect();")
    assert "79999800000" in notebook.ok("%map --sum |x: f64| x over xs")
    assert "has 4 engines now" in notebook.ok("%cluster scale 4")
    for name in hosts.names[1:]:
        kept = [file for file in dask.cache(name).rglob("*") if file.is_file() and file.stat().st_size]
        assert len(kept) == 1 and kept[0].stat().st_mode & 0o777 == 0o700, kept
    notebook.ok("%cluster scale 2")
    processes.wait_until("two tasks", lambda: dask.figures()[1] == 2, 40)
    assert "Stopped" in notebook.ok("%cluster stop")
    nothing_is_left(hosts, dask)


def test_an_engine_goes_with_its_worker_and_another_comes(hosts, dask, notebook):
    assert "with 2 engines" in notebook.ok(start(2))
    before = [pid for pid, args in hosts.programs("h2") if args.endswith(" outpost")]
    for pid in workers_of(hosts, "h2"):
        hosts.run("h2", ["kill", "-9", str(pid)])
    after = lambda: [pid for pid, args in hosts.programs("h2") if args.endswith(" outpost") and pid in before]
    processes.wait_until("the outpost to go with its worker", lambda: not after(), 20)

    def all_are_back():
        return notebook.run("%px px::size()")[1].count("2\n") > 0 and "2 engines" in notebook.ok("%cluster")

    processes.wait_until("two engines again", all_are_back, 90)
    dask.wait_for_workers(2)


def test_a_queue_is_told_and_who_waits_in_it_joins_late(hosts, dask, notebook):
    said = notebook.ok(start(5, "--min 4"))
    assert "with 4 engines" in said and "1 more" in said, said
    told = "1 more starting (1 in Dask's queue: no free thread)"
    processes.wait_until("the queue to be told", lambda: told in notebook.ok("%cluster"), 20)
    notebook.ok("fn twice(x: u32) -> u32 { x * 2 }")
    another = dask.worker("h3")

    def all_know_it():
        asked = 'println!("twice {}", twice(px::rank() as u32))'
        return "twice 8" in notebook.ok(f"%px {asked}") if "5 engines" in notebook.ok("%cluster") else False

    processes.wait_until("the fifth engine, with all definitions", all_know_it, 60)
    notebook.ok("%cluster stop")
    another.terminate()
    another.wait(30)
    dask.wait_for_workers(2)


def test_a_task_that_waits_goes_with_whom_it_waits_for(hosts, dask):
    notebook = lab.Notebook(hosts)
    notebook.begin(start(6))
    processes.wait_until("six tasks", lambda: dask.figures()[1] == 6, 60)
    hosts.run("h1", ["kill", f"-{signal.SIGKILL.value}", notebook.kernel])
    nothing_is_left(hosts, dask)
    notebook.client.kill()


def test_engines_outlive_a_controller_that_is_killed(hosts, dask):
    chorus = hosts.copy(os.environ["CHORUS"])
    hosts.copy(os.environ["CHORUS_ENGINE"])
    env = ["env", "CHORUS_RUNTIME_DIR=/tmp/chorus-run", "CHORUS_DATA_DIR=/tmp/chorus-data"]
    flags = ["--name", "lab", "-n", "2", "--on", f"dask={SCHEDULER}", "--command", sys.executable]
    run = lambda *words: hosts.run("h1", [*env, str(chorus), *words])
    started = run("start", *flags)
    assert "with 2 engines" in started.stdout, started
    before = outposts(hosts)
    [controller] = [pid for pid, args in hosts.programs("h1") if "start --foreground" in args]
    hosts.run("h1", ["kill", "-9", str(controller)])
    again = run("start", *flags)
    assert "took its 2 engines back" in again.stdout, again
    assert before == outposts(hosts) and len(before) == 2
    assert "Stopped" in run("stop", "lab").stdout
    nothing_is_left(hosts, dask)


def outposts(hosts):
    return [(name, pid) for name in hosts.names for pid, args in hosts.programs(name) if args.endswith(" outpost")]


def test_what_dask_is_asked_for(hosts, dask, notebook):
    assert "with 1 engine" in notebook.ok(start(1, "--memory 3GB"))
    notebook.ok("%cluster stop")
    notebook.begin(start(1, "--memory 5GB"), interrupt=("no worker offers so much MEMORY", 1))
    status, text = notebook.end()
    assert status == "error" and "1 in Dask's queue" in text, text


def test_what_is_wrong_is_told(hosts, dask, notebook):
    status, text = notebook.run(start(1).replace("8786", "8700"))
    assert status == "error" and "Dask's scheduler can't be reached at tcp://10.78.0.1:8700" in text, text
    # That is where the scheduler speaks HTTP.
    status, text = notebook.run(start(1).replace("8786", "8787"))
    assert status == "error" and "tcp://10.78.0.1:8787 hasn't answered for 20 s" in text, text
    status, text = notebook.run(start(1).replace(sys.executable, f"{sys.executable} -S"))
    assert status == "error" and "has no Dask (No module named" in text and "--command" in text, text
    status, text = notebook.run(start(1).replace(sys.executable, "/nowhere/python3"))
    assert status == "error" and "`/nowhere/python3` can't be started" in text, text
    status, text = notebook.run(start(1).replace(sys.executable, "sh"))
    assert status == "error" and "sh has ended: " in text, text
