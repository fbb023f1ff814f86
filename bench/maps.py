"""The experiments of bench/map.py. Each is done by every side that can do the same, one after the other, on 4 workers.

A row is {"what", "unit", "more_is_better", "goal", "beside", SIDE: [...]}: a goal is a bound for the median of
Chorus, or, with `beside`, for its ratio to that side's.
"""

import contextlib
import json
import os
import pathlib
import re
import subprocess
import tempfile
import time

import psutil
from measure import ROOT, Kernel
from table import median, number

WORKERS = 4
SIDES = ["chorus", "rayon", "ipyparallel", "dask", "ray", "joblib"]
PROGRAMS = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"


def row(what, unit, goal=None, beside=None, more_is_better=False):
    return {"what": what, "unit": unit, "goal": goal, "beside": beside, "more_is_better": more_is_better}


def missed(row):
    value = median(row.get("chorus", []))
    if row["goal"] is None or value is None:
        return False
    if row["beside"]:
        other = median(row.get(row["beside"], []))
        return other is not None and value > row["goal"] * other + row.get("plus", 0)
    return value < row["goal"] if row["more_is_better"] else value > row["goal"]


def seconds(function):
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def quiet(pid):
    """Returns when a process and its children use less than a twentieth of a core."""
    deadline = time.monotonic() + 60
    process = psutil.Process(pid)

    def spent():
        times = process.cpu_times()
        return times.user + times.system + times.children_user + times.children_system

    while True:
        before = spent()
        time.sleep(1)
        if spent() - before < 0.05 and not any(child.name() == "rustc" for child in process.children(recursive=True)):
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited 60 s for process {pid} to have nothing to do")


# What `bench/fanout/src/bin/chorus-bench-rayon.rs` has, too.
KMEANS = """
const CENTERS: usize = 8;
type Point = [f64; 2];
fn points(n: usize) -> Vec<Point> {
    let mut seed = 1u64;
    let mut next = move || {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 11) as f64 / (1u64 << 53) as f64
    };
    (0..n).map(|_| [next(), next()]).collect()
}
fn tally(part: &Vec<Point>, centers: &Vec<Point>) -> Vec<[f64; 3]> {
    let mut sums = vec![[0.0; 3]; centers.len()];
    for p in part {
        let far = |c: &Point| (p[0] - c[0]).powi(2) + (p[1] - c[1]).powi(2);
        let (mut best, mut least) = (0, f64::INFINITY);
        for (k, c) in centers.iter().enumerate() {
            let far = far(c);
            if far < least { (best, least) = (k, far); }
        }
        let sum = &mut sums[best];
        *sum = [sum[0] + p[0], sum[1] + p[1], sum[2] + 1.0];
    }
    sums
}
fn moved(all: &[Vec<[f64; 3]>]) -> Vec<Point> {
    (0..all[0].len()).map(|k| {
        let sum = all.iter().fold([0.0; 3], |a, b| [a[0] + b[k][0], a[1] + b[k][1], a[2] + b[k][2]]);
        [sum[0] / sum[2], sum[1] / sum[2]]
    }).collect()
}
"""


# The sides. Each is a context manager that gives an object with a method for each experiment that it can do.


class Chorus:
    def __init__(self, stack):
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="chorus-bench-", dir="/tmp"))
        os.environ["CHORUS_RUNTIME_DIR"] = folder + "/run"
        os.environ["CHORUS_CACHE_DIR"] = folder + "/cache"
        os.environ["JUPYTER_PATH"] = folder + "/prefix/share/jupyter"
        install = [PROGRAMS / "chorus", "install", "--prefix", folder + "/prefix"]
        subprocess.run(install, check=True, capture_output=True)
        self.kernel = stack.enter_context(Kernel(env={"CHORUS_RUNTIME_DIR": os.environ["CHORUS_RUNTIME_DIR"]}))
        self.run(f"%cluster start -n {WORKERS}")
        # A kernel's first seconds, when it loads rust-analyzer beside its cells, are those of bench/kernel.py.
        self.run("let warm = 0;")
        quiet(self.kernel.manager.provisioner.pid)

    def run(self, code):
        return self.kernel.run(code).ok()

    def timed(self, code, repeat):
        """Of a cell that has run before: what it costs to compile is a row of its own."""
        self.run(code)
        return [seconds(lambda: self.run(code)) for _ in range(repeat)]

    def tasks(self, repeat):
        return [200_000 / took for took in self.timed("%map --chunk 1 --count |_| () over 0..200_000u64", repeat)]

    def milliseconds(self, code, repeat):
        """Of a cell whose result is microseconds, and which has run before."""
        self.run(code)
        return [int(self.run(code).results[0]["text/plain"]) / 1000 for _ in range(repeat)]

    def median(self, statement, repeat):
        """Of 500 times a statement of `n` in one cell."""
        loop = (
            "let mut times: Vec<u128> = Vec::new();\n"
            f"for n in 0..500u64 {{ let t = std::time::Instant::now(); {statement} "
            "times.push(t.elapsed().as_micros()); }\ntimes.sort();\ntimes[times.len() / 2]"
        )
        return self.milliseconds(loop, repeat)

    def call(self, repeat):
        self.run("fn noop(n: u64) -> u64 { n }")
        return self.median("px::call!(noop, n).get()?;", repeat)

    def square(self, items, repeat):
        return [1000 * took for took in self.timed(f"%map -o squares |x| x * x over 0..{items}u64", repeat)]

    def compile_time(self, repeat):
        cells = [f"%map -o made |x| x * {n} over 0..10u64" for n in range(1000, 1000 + repeat)]
        self.run("%map -o made |x| x * 999 over 0..10u64")
        return [1000 * seconds(lambda cell=cell: self.run(cell)) for cell in cells]

    def sum(self, items, repeat):
        return [1000 * took for took in self.timed(f"%map --sum |x| x ^ 3 over 0..{items}u64", repeat)]

    def data(self, what, megabytes, repeat):
        items = megabytes * 125_000
        self.run(f"let data: Vec<f64> = (0..{items}).map(|n| n as f64).collect();")
        if what in ("gather", "pull"):
            self.run("%scatter data as part")
            self.run("%push data as whole -t 0")
        code = {
            "push": "%push data as whole",
            "pull": "%pull whole as back -t 0",
            "scatter": "%scatter data as part",
            "gather": "%gather part as back",
        }[what]
        self.run(code)
        rates = []
        for _ in range(repeat):
            # At a human pace: the worker has been copied when the next cell comes.
            time.sleep(0.3)
            rates.append(megabytes / seconds(lambda: self.run(code)))
        return rates

    def step(self, how, repeat):
        self.run("%px let mut state = 1.0f64;")
        self.run("fn step(state: &mut f64, x: &f64) -> f64 { *state += x; *state }\nlet engines = px::engines();")
        args = {"state": "(px::var!(mut state), &(n as f64))", "no state": "&(n as f64)"}[how]
        function = {"state": "step", "no state": "|x: &f64| x + 1.0"}[how]
        return self.median(f"engines.with({args}).each({function})?;", repeat)

    def kmeans(self, points, repeat):
        self.run(KMEANS)
        self.run(f"let cloud = points({points});")
        self.run("%scatter cloud as part")
        self.run("let engines = px::engines();")
        loop = (
            "let (begun, mut centers) = (std::time::Instant::now(), cloud[..CENTERS].to_vec());\n"
            "for _ in 0..10 { centers = moved(&engines.with((px::var!(part), &centers)).each(tally)?); }\n"
            "begun.elapsed().as_micros()"
        )
        return self.milliseconds(loop, repeat)

    def skewed(self, items, repeat):
        self.run("%cluster stop\n%cluster start -n 16")
        work = (
            "fn work(item: u64) -> f64 {\n    let steps = if item.is_multiple_of(100) { 1_000_000 } else { 20_000 };\n"
            "    (0..steps).fold(item as f64, |x, _| (x * 1.000_001 + 1.0).sqrt())\n}"
        )
        self.run(work)
        times = self.timed(f"%map --chunk 1 --sum work over 0..{items}u64", repeat)
        self.run(f"%cluster stop\n%cluster start -n {WORKERS}")
        return [1000 * took for took in times]


class Rayon:
    def __init__(self, _):
        pass

    def program(self, what, items, repeat):
        command = [PROGRAMS / "chorus-bench-rayon", what, str(items), "--repeat", str(repeat + 1)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return json.loads(output)["milliseconds"][1:]

    def square(self, items, repeat):
        return self.program("square", items, repeat)

    def sum(self, items, repeat):
        return self.program("sum", items, repeat)

    def skewed(self, items, repeat):
        return self.program("skewed", items, repeat)

    def kmeans(self, points, repeat):
        return self.program("kmeans", points, repeat)

    def data(self, _, megabytes, repeat):
        """How fast this machine's memory is: a copy within the process."""
        return [1000 * megabytes / took for took in self.program("copy", megabytes * 125_000, repeat)]


def noop(_=None):
    return None


def square(x):
    return x * x


class Stepper:
    def __init__(self):
        self.state = 1.0

    def step(self, x):
        self.state += x
        return self.state


class Ipyparallel:
    def __init__(self, stack):
        import ipyparallel

        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="chorus-bench-", dir="/tmp"))
        os.environ["IPYTHONDIR"] = folder
        cluster = ipyparallel.Cluster(n=WORKERS, log_level=40)
        self.client = cluster.start_and_connect_sync(activate=False)
        stack.callback(cluster.stop_cluster_sync)
        stack.callback(self.client.close)
        self.client.wait_for_engines(WORKERS, timeout=120)
        self.all = self.client[:]
        self.balanced = self.client.load_balanced_view()

    def tasks(self, repeat):
        self.balanced.map_sync(lambda _: None, range(100), chunksize=1)
        return [2000 / seconds(lambda: self.balanced.map_sync(lambda _: None, range(2000), chunksize=1))] * 1

    def call(self, repeat):
        one = self.client[0]
        return [1000 * seconds(lambda: one.apply_sync(int)) for _ in range(200 * repeat)]

    def step(self, how, repeat):
        self.all.execute("state = 1.0\ndef step(x):\n    global state\n    state += x\n    return state", block=True)
        import ipyparallel

        step = ipyparallel.Reference("step") if how == "state" else (lambda x: x + 1.0)
        return [1000 * seconds(lambda: self.all.apply_sync(step, 1.0)) for _ in range(100 * repeat)]

    def square(self, items, repeat):
        if items > 1_000_000:
            return []
        return [1000 * seconds(lambda: self.all.map_sync(lambda x: x * x, range(items))) for _ in range(repeat)]

    def data(self, what, megabytes, repeat):
        if megabytes > 100:
            return []
        import numpy

        array = numpy.arange(megabytes * 125_000, dtype=float)
        one = self.client[0]
        one.push({"whole": array}, block=True)
        self.all.scatter("part", array, block=True)
        action = {
            "push": lambda: self.all.push({"whole": array}, block=True),
            "pull": lambda: one.pull("whole", block=True),
            "scatter": lambda: self.all.scatter("part", array, block=True),
            "gather": lambda: self.all.gather("part", block=True),
        }[what]
        return [megabytes / seconds(action) for _ in range(repeat)]


class Dask:
    def __init__(self, stack):
        import dask.distributed

        cluster = dask.distributed.LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None)
        self.client = stack.enter_context(dask.distributed.Client(cluster))
        stack.callback(cluster.close)

    def tasks(self, repeat):
        def run():
            self.client.gather(self.client.map(noop, range(2000), pure=False))

        run()
        return [2000 / seconds(run) for _ in range(repeat)]

    def call(self, repeat):
        call = lambda n: self.client.submit(noop, n, pure=False).result()  # noqa: E731
        return [1000 * seconds(lambda n=n: call(n)) for n in range(200 * repeat)]

    def data(self, what, megabytes, repeat):
        if megabytes > 100 or what not in ("scatter", "gather"):
            return []
        import numpy

        parts = numpy.split(numpy.arange(megabytes * 125_000, dtype=float), WORKERS)
        if what == "scatter":
            return [megabytes / seconds(lambda: self.client.scatter(parts, hash=False)) for _ in range(repeat)]
        futures = self.client.scatter(parts, hash=False)
        return [megabytes / seconds(lambda: self.client.gather(futures)) for _ in range(repeat)]


class Ray:
    def __init__(self, stack):
        import ray

        self.ray = ray
        ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, logging_level="error")
        stack.callback(ray.shutdown)
        self.noop = ray.remote(noop)

    def tasks(self, repeat):
        run = lambda: self.ray.get([self.noop.remote() for _ in range(2000)])  # noqa: E731
        run()
        return [2000 / seconds(run) for _ in range(repeat)]

    def call(self, repeat):
        return [1000 * seconds(lambda: self.ray.get(self.noop.remote())) for _ in range(200 * repeat)]

    def step(self, how, repeat):
        if how != "state":
            return []
        actors = [self.ray.remote(Stepper).remote() for _ in range(WORKERS)]
        run = lambda: self.ray.get([actor.step.remote(1.0) for actor in actors])  # noqa: E731
        run()
        return [1000 * seconds(run) for _ in range(200 * repeat)]

    def square(self, items, repeat):
        if items > 1_000_000:
            return []
        chunk = self.ray.remote(lambda first, count: [x * x for x in range(first, first + count)])
        part = items // WORKERS
        run = lambda: self.ray.get([chunk.remote(n * part, part) for n in range(WORKERS)])  # noqa: E731
        run()
        return [1000 * seconds(run) for _ in range(repeat)]

    def data(self, what, megabytes, repeat):
        if megabytes > 100 or what not in ("push", "pull"):
            return []
        import numpy

        array = numpy.arange(megabytes * 125_000, dtype=float)
        if what == "push":
            return [megabytes / seconds(lambda: self.ray.put(array)) for _ in range(repeat)]
        reference = self.ray.put(array)
        return [megabytes / seconds(lambda: self.ray.get(reference).copy()) for _ in range(repeat)]


class Joblib:
    def __init__(self, stack):
        import joblib

        self.delayed = joblib.delayed
        self.one = stack.enter_context(joblib.Parallel(n_jobs=WORKERS, batch_size=1))
        self.many = stack.enter_context(joblib.Parallel(n_jobs=WORKERS))

    def tasks(self, repeat):
        run = lambda: self.one(self.delayed(noop)(n) for n in range(2000))  # noqa: E731
        run()
        return [2000 / seconds(run) for _ in range(repeat)]

    def square(self, items, repeat):
        if items > 1_000_000:
            return []
        return [1000 * seconds(lambda: self.many(self.delayed(square)(n) for n in range(items)))]


KINDS = {"chorus": Chorus, "rayon": Rayon, "ipyparallel": Ipyparallel, "dask": Dask, "ray": Ray, "joblib": Joblib}


# The experiments: rows, each with the measurement that every side does that has it.


def tasks():
    what = row(f"no-op tasks, one at a time, {WORKERS} workers", "tasks/s", 20_000, more_is_better=True)
    yield what, lambda side, repeat: side.tasks(repeat)


def call():
    yield row("one call and its result, p50", "ms", 0.5), lambda side, repeat: side.call(repeat)


def square_rows():
    small = row("x*x into a list, 1e6 items", "ms", 1.5, "rayon") | {"plus": 20}
    yield small, lambda side, repeat: side.square(1_000_000, 3 * repeat)
    yield row("x*x into a list, 1e8 items", "ms", 3, "rayon"), lambda side, repeat: side.square(100_000_000, repeat)
    yield row("a new `%map` cell, its compilation included", "ms"), lambda side, repeat: side.compile_time(3 * repeat)


def sum_rows():
    yield row("sum of `x ^ 3` (bits turned), 1e9 items", "ms", 1.1, "rayon"), lambda side, repeat: side.sum(1_000_000_000, 3 * repeat)


def data():
    for megabytes in (100, 1000):
        for what in ("push", "pull", "scatter", "gather"):
            entry = row(f"{what} {megabytes} MB of f64", "MB/s", 4000, more_is_better=True)
            yield entry, lambda side, repeat, what=what, size=megabytes: side.data(what, size, 2 * repeat)


def steps():
    for how in ("state", "no state"):
        what = row(f"a step of a loop on all engines, {how}, p50", "ms", 0.05, "ipyparallel")
        yield what, lambda side, repeat, how=how: side.step(how, repeat)


def kmeans():
    entry = row("k-means, 1e6 points, 8 centers, 10 iterations", "ms", 1.3, "rayon")
    yield entry, lambda side, repeat: side.kmeans(1_000_000, repeat)


def skewed():
    entry = row("10,000 skewed tasks on 16 engines", "ms", 1.15, "rayon")
    yield entry, lambda side, repeat: side.skewed(10_000, repeat)


EXPERIMENTS = {
    "tasks": tasks,
    "call": call,
    "square": square_rows,
    "sum": sum_rows,
    "data": data,
    "steps": steps,
    "kmeans": kmeans,
    "skewed": skewed,
}


def measure(names, sides, repeat):
    """One side after the other: most of them keep processes that would disturb the others."""
    entries = [entry for name in names for entry in EXPERIMENTS[name]()]
    times = max(1, round(3 * repeat))
    for name in sides:
        with contextlib.ExitStack() as stack:
            side = KINDS[name](stack)
            for entry, experiment in entries:
                print(f"measuring {name}: {entry['what']}", flush=True)
                try:
                    entry[name] = experiment(side, times)
                except AttributeError as error:
                    # This side can't do it.
                    if not re.search(r"object has no attribute '\w+'", str(error)) or name == "chorus":
                        raise
    return [entry for entry, _ in entries]


def markdown(rows, sides):
    head = ["", "unit", *sides, "goal", ""]
    lines = ["| " + " | ".join(head) + " |", "|---|---|" + "--:|" * len(sides) + "---|---|"]
    for entry in rows:
        values = [number(median(entry.get(side, []))) for side in sides]
        goal = verdict = ""
        if entry["goal"] is not None:
            sign = "≥" if entry["more_is_better"] else "≤"
            plus = f" + {entry['plus']} ms" if "plus" in entry else ""
            goal = f"{sign} {number(entry['goal'])}" + (f" × {entry['beside']}{plus}" if entry["beside"] else "")
            measured = entry.get("chorus") and (not entry["beside"] or entry.get(entry["beside"]))
            verdict = "" if not measured else "missed" if missed(entry) else "met"
        lines.append("| " + " | ".join([entry["what"], entry["unit"], *values, goal, verdict]) + " |")
    return "\n".join(lines)
