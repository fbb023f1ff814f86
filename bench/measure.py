"""The experiments. Each answers one question for both sides, repetition by repetition in turn."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import ipyparallel
import psutil

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/python"))

from harness import Kernel  # noqa: E402

MANY = 16


class Sides:
    """Both sides, in a temporary home, so that neither sees nor changes the user's own files."""

    def __init__(self, programs, side):
        self.programs = programs
        self.with_chorus = side != "ipyparallel"
        self.with_peer = side != "chorus"

    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="chorus-bench-", dir="/tmp")
        home = pathlib.Path(self._folder.name)
        os.environ |= {
            "CHORUS_RUNTIME_DIR": str(home / "run"),
            "CHORUS_CACHE_DIR": str(home / "cache"),
            "IPYTHONDIR": str(home / "ipython"),
            "JUPYTER_DATA_DIR": str(home / "data"),
            "JUPYTER_RUNTIME_DIR": str(home / "jupyter"),
            "JUPYTER_PATH": str(home / "prefix/share/jupyter"),
        }
        if self.with_chorus:
            self.chorus("install", "--prefix", home / "prefix")
        return self

    def __exit__(self, *_):
        self._folder.cleanup()

    def chorus(self, *arguments):
        command = [self.programs / "chorus", *map(str, arguments)]
        return subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout

    @contextlib.contextmanager
    def chorus_cluster(self, engines):
        """Seconds until `engines` engines have joined, and the cluster's status then."""
        started = time.perf_counter()
        self.chorus("start", "-n", engines, "--name", "bench")
        try:
            while True:
                status = json.loads(self.chorus("status", "--json"))
                if len(status["engines"]) == engines:
                    break
                if time.perf_counter() - started > 60:
                    raise RuntimeError(f"waited 60 s for {engines} engines; the status is {status}")
            yield time.perf_counter() - started, status
        finally:
            self.chorus("stop", "bench")

    @contextlib.contextmanager
    def peer_cluster(self, engines):
        started = time.perf_counter()
        cluster = ipyparallel.Cluster(n=engines, log_level=40)
        client = cluster.start_and_connect_sync(activate=False)
        client.wait_for_engines(engines, timeout=120)
        try:
            yield time.perf_counter() - started, client
        finally:
            client.close()
            cluster.stop_cluster_sync()


def row(what, unit, goal=None):
    return {"what": what, "unit": unit, "goal": goal, "chorus": [], "ipyparallel": []}


def repetitions(usual, factor):
    return range(max(1, round(usual * factor)))


def milliseconds(function, *arguments):
    started = time.perf_counter()
    function(*arguments)
    return 1000 * (time.perf_counter() - started)


def start(sides, repeat):
    """How long until a cluster's engines can be used?"""
    rows = {4: row("cluster start, 4 engines", "s", 0.3), MANY: row("cluster start, 16 engines", "s", 0.5)}
    for _ in repetitions(3, repeat):
        for engines, measured in rows.items():
            if sides.with_chorus:
                with sides.chorus_cluster(engines) as (seconds, _):
                    measured["chorus"].append(seconds)
            if sides.with_peer:
                with sides.peer_cluster(engines) as (seconds, _):
                    measured["ipyparallel"].append(seconds)
    return list(rows.values())


def cell(sides, repeat):
    """What does a cell cost from the front end's side, and how much of that is the number of engines?

    One cluster of 16 engines, of which a cell uses 1, 4 or all, in turn: whatever else goes on in the machine goes on
    for all three.
    """
    slices = {1: "0:1", 4: "0:4", MANY: "0:16"}
    fresh = {n: row(f"a new `%px` cell on {n} of 16 engines", "ms") for n in slices}
    again = {n: row(f"the same cell again on {n} of 16 engines", "ms") for n in slices}
    more = row("a new cell: 16 engines more than 1", "ms", 20)
    with contextlib.ExitStack() as stack:
        kernel = client = None
        if sides.with_chorus:
            kernel = stack.enter_context(Kernel(env={"CHORUS_RUNTIME_DIR": os.environ["CHORUS_RUNTIME_DIR"]}))
            kernel.run(f"%cluster start -n {MANY}").ok()
            for targets in slices.values():
                kernel.run(f"%%px -t {targets}\nlet warm = 0;").ok()
        if sides.with_peer:
            _, client = stack.enter_context(sides.peer_cluster(MANY))
            views = {n: client[:n] for n in slices}
            for view in views.values():
                view.execute("warm = 0", block=True)
        for i in repetitions(20, repeat):
            for n, targets in slices.items():
                if kernel:
                    code = f"%%px -t {targets}\nlet x = {1000 * n + i};"
                    for rows in (fresh, again):
                        rows[n]["chorus"].append(milliseconds(lambda code=code: kernel.run(code).ok()))
                if client:
                    for rows in (fresh, again):
                        took = milliseconds(lambda n=n: views[n].execute(f"x = {1000 * n + i}", block=True))
                        rows[n]["ipyparallel"].append(took)
    for side in ("chorus", "ipyparallel"):
        more[side] = [many - one for many, one in zip(fresh[MANY][side], fresh[1][side], strict=True)]
    return [*fresh.values(), *again.values(), more]


def fanout(sides, repeat):
    """How long from a compiled cell at hand to the reply of the last engine?

    For Chorus the bench program holds controller and client, as a kernel does, and starts real engines. The peer sends
    source that does nothing, by its direct view and by its broadcast view.
    """
    rows, times = [], len(repetitions(200, repeat))
    for engines, goal in ((4, 1), (MANY, 3)):
        direct = row(f"fan-out to {engines} engines (peer: direct view)", "ms", goal)
        broadcast = row(f"fan-out to {engines} engines (peer: broadcast view)", "ms", goal)
        if sides.with_chorus:
            command = [sides.programs / "chorus-bench", "--engine", sides.programs / "chorus-engine"]
            command += ["--engines", str(engines), "--repeat", str(times)]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            direct["chorus"] = broadcast["chorus"] = json.loads(output)["milliseconds"]
        if sides.with_peer:
            with sides.peer_cluster(engines) as (_, client):
                everyone, tree = client[:], client.broadcast_view()
                calls = [
                    (direct, lambda: everyone.execute("pass", block=True)),
                    (broadcast, lambda: tree.apply_sync(int)),
                ]
                for measured, call in calls:
                    for _ in range(5):
                        call()
                    measured["ipyparallel"] = [milliseconds(call) for _ in range(times)]
        rows += [direct, broadcast]
    return rows


def memory(sides, repeat):
    """What do a controller and 16 idle engines hold?

    Resident memory counts what processes share once for each; the proportional share counts it once.
    """
    resident = row("memory of controller and 16 idle engines, resident", "MB", 200)
    share = row("memory of controller and 16 idle engines, proportional share", "MB", 200)

    def add(side, family):
        infos = [process.memory_full_info() for process in family]
        resident[side].append(sum(info.rss for info in infos) / 1e6)
        share[side].append(sum(info.pss for info in infos) / 1e6)

    for _ in repetitions(1, repeat):
        if sides.with_chorus:
            with sides.chorus_cluster(MANY) as (_, status):
                controller = psutil.Process(status["pid"])
                add("chorus", [controller, *controller.children(recursive=True)])
        if sides.with_peer:
            before = set(psutil.Process().children(recursive=True))
            with sides.peer_cluster(MANY) as (_, client):
                client[:].execute("pass", block=True)
                add("ipyparallel", set(psutil.Process().children(recursive=True)) - before)
    return [resident, share]


EXPERIMENTS = {"start": start, "cell": cell, "fanout": fanout, "memory": memory}
