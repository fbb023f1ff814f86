"""Engines as tasks of Ray's, on the hosts of `hosts.py`: its head on the first of them, and a node on the other."""

import os
import signal
import subprocess
import sys

import hosts as lab
import processes
import pytest

pytest.importorskip("ray")
pytestmark = lab.needs(lab.missing())
hosts = lab.fixture(2)
HEAD = "10.78.0.1:6379"


class Ray:
    def __init__(self, hosts):
        self.hosts, self.processes = hosts, []
        common = ["--disable-usage-stats", "--block", "--object-store-memory", "200000000"]
        try:
            head = ["--head", "--node-ip-address", "10.78.0.1", "--port", "6379", "--include-dashboard", "false"]
            self.start("h1", *head, *common, "--num-cpus", "1")
            processes.wait_until("Ray's head", lambda: self.nodes() == 1, 60)
            self.start("h2", "--address", HEAD, "--node-ip-address", "10.78.0.2", *common, "--num-cpus", "2")
            processes.wait_until("two nodes", lambda: self.nodes() == 2, 60)
        except BaseException:
            self.close()
            raise

    def start(self, name, *words):
        env = ["env", f"XDG_CACHE_HOME={self.hosts.folder / f'cache-{name}'}"]
        ray = os.path.join(os.path.dirname(sys.executable), "ray")
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.processes.append(self.hosts.start(name, [*env, sys.executable, ray, "start", *words], **quiet))

    def nodes(self):
        ask = f"import ray; ray.init('{HEAD}', log_to_driver=False); print(sum(node['Alive'] for node in ray.nodes()))"
        said = self.hosts.run("h1", [sys.executable, "-c", ask]).stdout.split()
        return int(said[-1]) if said else 0

    def close(self):
        processes.end(self.processes, 30)


@pytest.fixture(scope="module")
def ray(hosts):
    ray = lab.made(lambda: Ray(hosts))
    yield ray
    ray.close()


@pytest.fixture
def notebook(hosts, ray):
    notebook = lab.Notebook(hosts)
    yield notebook
    notebook.close()
    nothing_is_left(hosts)


def outposts(hosts):
    return [args for name in hosts.names for _, args in hosts.programs(name) if args.endswith(" outpost")]


def nothing_is_left(hosts):
    lab.nothing_is_left(hosts, 60)
    processes.wait_until("the guide to end", lambda: "chorus-guide" not in str(hosts.programs("h1")), 60)
    processes.wait_until("outposts to end", lambda: not outposts(hosts), 60)


def start(engines, more=""):
    return f'%cluster start --on ray={HEAD} -n {engines} --command "{sys.executable}" {more}'


def test_engines_are_tasks_which_come_and_go_with_them(hosts, ray, notebook):
    assert "with 2 engines" in notebook.ok(start(2, "--min 2"))
    notebook.ok("let xs: Vec<f64> = (0..400_000).map(|i| i as f64).collect();")
    assert "79999800000" in notebook.ok("%map --sum |x: f64| x over xs")
    assert "has 3 engines now" in notebook.ok("%cluster scale 3")
    where = 'std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap()'
    out = notebook.ok(f'%px println!("{{}}", {where})')
    assert "h1" in out and "h2" in out, out
    workers = hosts.run("h2", ["pgrep", "-f", "ray::chorus"]).stdout.split()
    hosts.run("h2", ["kill", "-9", workers[0]])

    def all_are_back():
        return notebook.run("%px px::size()")[1].count("3\n") > 0 and "3 engines" in notebook.ok("%cluster")

    processes.wait_until("another engine in the place of one whose task was killed", all_are_back, 90)
    notebook.ok("%cluster scale 1")
    processes.wait_until("one outpost", lambda: len(outposts(hosts)) == 1, 60)
    assert "Stopped" in notebook.ok("%cluster stop")
    nothing_is_left(hosts)


def test_a_task_that_waits_is_told_and_goes_with_whom_it_waits_for(hosts, ray):
    notebook = lab.Notebook(hosts)
    said = notebook.ok(start(4, "--min 3"))
    assert "with 3 engines" in said and "1 more" in said, said
    told = "1 more starting (1 in Ray's queue: no node has that free)"
    processes.wait_until("the queue to be told", lambda: told in notebook.ok("%cluster"), 20)
    hosts.run("h1", ["kill", f"-{signal.SIGKILL.value}", notebook.kernel])
    nothing_is_left(hosts)
    notebook.client.kill()


def test_what_ray_is_asked_for(hosts, ray, notebook):
    assert "with 1 engine" in notebook.ok(start(1, "--cores 2 --memory 100MB"))
    notebook.ok("%cluster stop")
    notebook.begin(start(1, "--cores 3"), interrupt=("no node is large enough", 1))
    status, text = notebook.end()
    assert status == "error" and "1 in Ray's queue" in text, text


def test_what_is_wrong_is_told(hosts, ray, notebook):
    status, text = notebook.run(start(1).replace("6379", "6380"))
    assert status == "error" and "10.78.0.1:6380 hasn't answered for 20 s" in text, text
    status, text = notebook.run(start(1).replace(sys.executable, f"{sys.executable} -S"))
    assert status == "error" and "has no Ray (No module named" in text and "--command" in text, text
