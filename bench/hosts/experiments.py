"""The experiments of `run.py`.

A row is {"what", "unit", "goal": {"at_most" or "at_least", "why"} or None, SIDE: [...]}.
"""

import contextlib
import json
import re
import statistics
import threading

from sides import PEERS, Lines, seconds

WHERE = {"h2": 8, "h3": 8}
SIXTEEN = "h2*8,h3*8"
BYTES = 1_000_000_000
PEERS_BYTES = 100_000_000
"""With ten times as many, Dask doesn't end in three minutes, where all share two cores."""
DELAY = 20
ITEMS = 100_000
MANY = 1000
SIDES = ["chorus", *PEERS]


def row(what, unit, goal=None):
    return {"what": what, "unit": unit, "goal": goal} | {side: [] for side in SIDES}


def at_most(number, why=""):
    return {"at_most": number, "why": why}


def at_least(number, why=""):
    return {"at_least": number, "why": why}


def verdict(row):
    """Whether Chorus's median is as good as the goal, or None if that can't be said."""
    goal = row["goal"]
    if goal is None or not row["chorus"]:
        return None
    value = statistics.median(row["chorus"])
    return value <= goal["at_most"] if "at_most" in goal else value >= goal["at_least"]


@contextlib.contextmanager
def notebook(lab):
    """One whose first seconds are over, in which it loads rust-analyzer."""
    notebook = lab.notebook()
    try:
        notebook.ok("let warm = 1;")
        yield notebook
    finally:
        notebook.close()


def start(lab, sides, rounds):
    """From asking for 16 engines on two hosts to all being there."""
    there = row("start of 16 engines on 2 hosts, the program is there", "s", at_most(1.5))
    first = row("the same, the program travels", "s")
    if "chorus" in sides:
        with notebook(lab) as own:
            for which, before in ((first, lab.forget_programs), (there, lambda: None)):
                for _ in range(rounds):
                    before()
                    which["chorus"].append(seconds(own.ok, lab.start(SIXTEEN)))
                    own.ok("%cluster stop")
    for side in PEERS:
        if side in sides:
            with lab.peer(side) as peer:
                there[side].append(peer("start", WHERE))
    return [there, first]


def cell(lab, sides, rounds):
    """One and the same cell on 16 engines, of other hosts and of the notebook's in turn."""
    places = ("of 2 other hosts", "of this host")
    rows = [row(f"the same `%px` cell again on 16 engines {where}", "ms") for where in places]
    if "chorus" in sides:
        with notebook(lab) as there, notebook(lab) as here:
            there.ok(lab.start(SIXTEEN))
            here.ok("%cluster start -n 16")
            for own in (there, here):
                for _ in range(5):
                    own.ok("%px let x = 1;")
            for _ in range(20 * rounds):
                for own, which in ((there, rows[0]), (here, rows[1])):
                    which["chorus"].append(1000 * seconds(own.ok, "%px let x = 1;"))
        trip = 1000 * lab.wire(1_000_000)[1]
        goal = 1.5 * statistics.median(rows[1]["chorus"]) + trip
        rows[0]["goal"] = at_most(goal, f"1.5 × this host + {trip:.2f} ms there and back")
    for side in PEERS:
        if side in sides:
            with lab.peer(side) as peer:
                peer("start", WHERE)
                for _ in range(5):
                    peer("call")
                rows[0][side] = [1000 * peer("call") for _ in range(20 * rounds)]
    return rows


class Memory:
    """How much less memory was available at the worst moment than at the beginning, in GB: all that ran counts."""

    def __enter__(self):
        self.least = self.begun = self.available()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        self.taken = (self.begun - self.least) / 1e6

    def watch(self):
        while not self.over.wait(0.02):
            self.least = min(self.least, self.available())

    @staticmethod
    def available():
        with open("/proc/meminfo") as file:
            return int(re.search(r"MemAvailable:\s+(\d+)", file.read())[1])


# What is done with the data, on four engines of two hosts, and how many bytes go over the wire then.
TRANSFERS = {
    "scatter": ("%scatter data as part", BYTES),
    "gather": ("%gather part as back", BYTES),
    "push": ("%push data as whole", 2 * BYTES),
    "pull": ("%pull whole as back -t 0", BYTES),
}
FOUR, FOUR_ENGINES = {"h2": 2, "h3": 2}, "h2*2,h3*2"


def data(lab, sides, rounds):
    """Bytes over the wire in a second, and over the wires of both hosts together where both get all."""
    rows = {name: row(f"{name} 1 GB of f64 (the others 100 MB), 4 engines of 2 hosts", "MB/s") for name in TRANSFERS}
    memory = row("most memory for that, the data and what it is gathered into included", "GB")
    wires = [
        row("tokio-rustls alone, 1 stream", "MB/s"),
        row("tokio-rustls alone, 4 streams", "MB/s"),
        row("iperf3, TCP alone", "MB/s"),
    ]

    def wire(_=None):
        for which, streams in zip(wires, (1, 4)):
            which["chorus"].append(lab.wire(BYTES, streams)[0] / 1e6)

    wire()
    if "chorus" in sides:
        with notebook(lab) as own, Memory() as watched:
            own.ok(lab.start(FOUR_ENGINES))
            own.ok(f"let data: Vec<f64> = (0..{BYTES // 8}).map(|n| n as f64).collect();")
            for name, (code, size) in TRANSFERS.items():
                for turn in range(rounds + 1):
                    took = seconds(own.ok, code)
                    if turn:
                        rows[name]["chorus"].append(size / took / 1e6)
        memory["chorus"].append(watched.taken)
    for side in PEERS:
        if side in sides:
            with lab.peer(side) as peer:
                peer("start", FOUR)
                peer("make", PEERS_BYTES // 8)
                for name, (_, size) in TRANSFERS.items():
                    rows[name][side] = [size / BYTES * PEERS_BYTES / peer(name) / 1e6 for _ in range(rounds)]
    wire()
    wires[2]["chorus"] = [it / 1e6 for it in [lab.iperf()] if it]
    rate = 0.8 * statistics.median(wires[0]["chorus"])
    for which in rows.values():
        which["goal"] = at_least(rate, "0.8 × tokio-rustls, 1 stream")
    return [*rows.values(), memory, *wires]


# As `work_on` in peers.py: the loop takes the processors, which 16 engines share here; the sleep doesn't.
WORK = """
fn turns(mut x: u64, loops: u64) -> u64 {
    for _ in 0..loops { x = std::hint::black_box(x.wrapping_mul(6364136223846793005).wrapping_add(1)); }
    x
}
fn loops() -> u64 {
    let begun = std::time::Instant::now();
    turns(1, 10_000_000);
    (1e-4 * 1e7 / begun.elapsed().as_secs_f64()) as u64
}
"""


def map(lab, sides, rounds):
    """A map of 1e5 items of a tenth of a millisecond, with and without a wire that takes its time."""
    kinds = {"computes": "loops", "sleeps": "0"}
    rows = {
        (kind, delay): row(f"map of 1e5 items, each {kind} 0.1 ms, {delay} ms of delay each way", "s")
        for kind in kinds
        for delay in (0, DELAY)
    }

    def measured(side, run):
        for delay in (0, DELAY):
            with lab.delay(delay) if delay else contextlib.nullcontext():
                for kind in kinds:
                    run(kind)
                    rows[kind, delay][side] += [run(kind) for _ in range(rounds)]

    if "chorus" in sides:
        with notebook(lab) as own:
            own.ok(lab.start(SIXTEEN))
            own.ok(WORK)
            found = re.search(r"\d+", own.ok('let loops = loops();\nprintln!("{loops}");'))[0]
            code = {
                "computes": f"%map -o ys |x: u64| turns(x, {found}) over 0..{ITEMS}u64",
                "sleeps": "%map -o zs |x: u64| { std::thread::sleep(std::time::Duration::from_micros(100)); x } "
                f"over 0..{ITEMS}u64",
            }
            measured("chorus", lambda kind: seconds(own.ok, code[kind]))
    for side in PEERS:
        if side in sides:
            with lab.peer(side) as peer:
                peer("start", WHERE)
                measured(side, lambda kind: peer("map", ITEMS, lab.loops if kind == "computes" else 0))
    for kind in kinds:
        if without := rows[kind, 0]["chorus"]:
            goal = at_most(statistics.median(without) / 0.9, "0.9 × the speed without")
            rows[kind, DELAY]["goal"] = goal
    return list(rows.values())


def crowd(lab, sides, rounds):
    """Engines that only speak the protocol join through an outpost and the gateway, each over its own connection."""
    join = row(f"{MANY} engines of another host join", "s", at_most(5))
    memory = row("memory of their controller, resident", "MB", at_most(300))
    if "chorus" not in sides:
        return []
    hosts = lab.hosts
    chorus, program = (hosts.copy(lab.programs / name) for name in ("chorus", "chorus-bench-crowd"))
    hosts.copy(lab.programs / "chorus-engine")
    base = ["env", "CHORUS_RUNTIME_DIR=/tmp/chorus-crowd", str(chorus)]

    def run(*words):
        done = hosts.run("h1", [*base, *words])
        if done.returncode:
            raise RuntimeError(f"chorus {' '.join(words)}: {done.stderr}")
        return done.stdout

    for _ in range(rounds):
        where = ["--on", "ssh", "--hosts", "h2", "--ssh", hosts.ssh]
        run("start", "--name", "crowd", "--no-record", *where)
        try:
            [folder] = hosts.run("h2", ["sh", "-c", "ls -d /tmp/chorus-outpost-*"]).stdout.split()
            many = Lines(hosts, "h2", [program, "--connect", f"{folder}/connection.json", "--engines", MANY])
            try:
                join["chorus"].append(many.read()["seconds"])
                status = json.loads(run("status", "crowd", "--json"))
                if len(status["engines"]) != MANY + 1:
                    raise RuntimeError(f"{len(status['engines'])} engines have joined")
                held = hosts.run("h1", ["cat", f"/proc/{status['pid']}/status"]).stdout
                memory["chorus"].append(int(re.search(r"VmRSS:\s+(\d+)", held)[1]) / 1000)
            finally:
                many.close()
        finally:
            run("stop", "crowd")
    return [join, memory]


EXPERIMENTS = {"start": start, "cell": cell, "data": data, "map": map, "crowd": crowd}
