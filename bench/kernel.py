#!/usr/bin/env python3
"""Measures Chorus beside evcxr_jupyter as a Jupyter front end sees them, taking turns, and prints tables of medians.

Run `python3 bench/kernel.py` in the repository; `--help` lists the options, bench/README.md says what the rows mean.
"""

import argparse
import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import environment
from environment import machine
from run import ROOT, build

PEER = "0.22.0"
SIDES = ("chorus", "evcxr")


def install_peer():
    """evcxr_jupyter's program, which is built on first use; this takes some ten minutes on two cores.

    `--locked`, since evcxr 0.22 doesn't compile with later patch releases of salsa than the ones it was published with.
    """
    root = ROOT / "target/bench-evcxr"
    program = root / "bin/evcxr_jupyter"
    if not program.exists():
        command = ["nice", "cargo", "install", "evcxr_jupyter", "--version", PEER, "--locked"]
        subprocess.run([*command, "--root", root, "--target-dir", root / "build"], check=True)
    return program


class Home:
    """Both kernels installed in a temporary home, with caches that are empty at first and belong to this run."""

    def __init__(self, programs, peer):
        self._programs, self._peer = programs, peer

    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="chorus-bench-", dir="/tmp")
        self.path = pathlib.Path(self._folder.name)
        os.environ |= {
            "JUPYTER_PATH": str(self.path / "prefix/share/jupyter"),
            "JUPYTER_DATA_DIR": str(self.path / "data"),
            "JUPYTER_RUNTIME_DIR": str(self.path / "jupyter"),
        }
        install = [self._programs / "chorus", "install", "--prefix", self.path / "prefix"]
        subprocess.run(install, check=True, capture_output=True)
        spec = self.path / "prefix/share/jupyter/kernels/evcxr/kernel.json"
        spec.parent.mkdir(parents=True)
        argv = [str(self._peer), "--control_file", "{connection_file}"]
        spec.write_text(json.dumps({"argv": argv, "display_name": "evcxr", "language": "rust"}))
        return self

    def __exit__(self, *_):
        self._folder.cleanup()

    def start(self, side, **extra):
        from jupyter import Kernel

        own = {
            "CHORUS_RUNTIME_DIR": str(self.path / "run"),
            "CHORUS_CACHE_DIR": str(self.path / "cache/chorus"),
            "XDG_CACHE_HOME": str(self.path / "cache"),
            "XDG_CONFIG_HOME": str(self.path / "config"),
        }
        return Kernel(side, dict(os.environ) | own | extra)

    @contextlib.contextmanager
    def both(self):
        with contextlib.ExitStack() as stack:
            yield {side: stack.enter_context(self.start(side)) for side in SIDES}


def row(what, unit, **goal):
    """`most` is the goal for Chorus in the row's unit, `most_ratio` the one for Chorus divided by evcxr_jupyter."""
    return {"what": what, "unit": unit, "goal": goal} | {side: [] for side in SIDES}


def in_turn(repetition):
    """Both sides, each the first one in every other repetition."""
    return SIDES if repetition % 2 == 0 else SIDES[::-1]


def new_cells(kernels, repetitions):
    """What does a cell cost that was never run before?"""
    from notebooks import CELLS, ERROR, fresh

    rows = {what: row(what, "ms", most_ratio=1) for what in CELLS}
    for i in range(repetitions + 1):
        for what, text in CELLS.items():
            for side in in_turn(i):
                cell = kernels[side].run(fresh(text, i)).expect("error" if what == ERROR else "ok")
                # The first round warms both up.
                if i > 0:
                    rows[what][side].append(cell.milliseconds)
    return list(rows.values())


def same_cells(kernels, repetitions):
    """What does it cost to run a cell again that hasn't changed?"""
    from notebooks import AGAIN

    rows = {what: row(f"{what} again", "ms", most=10) for what in AGAIN}
    for what, text in AGAIN.items():
        for kernel in kernels.values():
            kernel.run(text).expect()
        for i in range(repetitions):
            for side in in_turn(i):
                rows[what][side].append(kernels[side].run(text).expect().milliseconds)
    return list(rows.values())


def memory(kernels):
    """What do the kernels hold after all these cells?

    The process that ran them is asked for its id. Memory that processes share counts once for each of them in the
    resident size, and once in all in the proportional one.
    """
    rows = []
    for kind, what in (("pss", "proportional"), ("rss", "resident")):
        everything = row(f"memory of all of the kernel's processes, {what}", "MB", most_ratio=1.1)
        two = row(f"memory of kernel and worker, {what}", "MB", most_ratio=1.1)
        for side, kernel in kernels.items():
            worker = int("".join(kernel.run("std::process::id()").expect().output))
            sizes = {process.pid: getattr(process.memory_full_info(), kind) / 1e6 for process in kernel.family()}
            everything[side].append(sum(sizes.values()))
            two[side].append(sizes[kernel.pid] + sizes[worker])
        rows += [everything, two]
    return rows


def start(home, repetitions):
    """How long until a kernel answers, and until the result of a first cell that is new?"""
    from notebooks import FIRST, fresh

    ready = row("start of the process to the answer to `kernel_info`", "s", most=0.2)
    first = row("start of the process to the first cell's result", "s", most_ratio=1)
    for i in range(repetitions):
        for side in in_turn(i):
            with home.start(side) as kernel:
                cell = kernel.run(fresh(FIRST, i)).expect()
                ready[side].append(kernel.ready)
                first[side].append(cell.over - kernel.started)
    return [ready, first]


def restart_and_run_all(home, repetitions):
    """How long does a notebook take from the start of its kernel, the first time and in the next kernel?"""
    from notebooks import NOTEBOOK, fresh

    first = row(f"run all {len(NOTEBOOK)} cells of a new notebook, with the kernel's start", "s")
    again = row("restart, and run all of it again", "s")
    share = row("the second time divided by the first", "", most=0.25)
    for i in range(repetitions):
        codes = [fresh(text, i) for text in NOTEBOOK]
        for side in in_turn(i):
            outputs, seconds = [], []
            for measured in (first, again):
                with home.start(side) as kernel:
                    cells = [cell.expect() for cell in kernel.run_all(codes)]
                    seconds.append(max(cell.over for cell in cells) - kernel.started)
                    outputs.append(["".join(cell.output) for cell in cells])
                measured[side].append(seconds[-1])
            if outputs[0] != outputs[1]:
                raise RuntimeError(f"{side}: the outputs of the second time differ:\n{outputs[0]}\n{outputs[1]}")
            share[side].append(seconds[1] / seconds[0])
    return [first, again, share]


def overlapped(home, repetitions):
    """How long do new cells take when some of them run for a while, and all are sent at once?"""
    from notebooks import SLOW, fresh

    at_once = row(f"run all {len(SLOW)} cells of a new notebook, five of which run for a second", "s", most_ratio=0.4)
    one_by_one = row("the same, each sent when the one before has ended", "s")
    share = row("the first divided by the second", "", most=0.6)
    for i in range(repetitions):
        for side in in_turn(i):
            took = []
            for nth in (0, 1):
                codes = [fresh(text, 2 * i + nth) for text in SLOW]
                # A kernel each: evcxr_jupyter takes no `impl` twice.
                with home.start(side) as kernel:
                    kernel.run(f"{i} + 1").expect()
                    begun = time.perf_counter()
                    cells = kernel.run_all(codes) if nth == 0 else [kernel.run(code) for code in codes]
                    took.append(max(cell.expect().over for cell in cells) - begun)
            at_once[side].append(took[0])
            one_by_one[side].append(took[1])
            share[side].append(took[0] / took[1])
    return [at_once, one_by_one, share]


def floor(home, repetitions):
    """What do rustc and cargo alone take?"""
    from floor import NUMBER, Crate

    folder, copy = home.path / "evcxr", home.path / "floor"
    folder.mkdir()
    copy.mkdir()
    with home.start("evcxr", EVCXR_TMPDIR=str(folder)) as kernel:
        kernel.run(f"let number = {NUMBER};").expect()
        steps = Crate(folder, copy).steps()
    rows = {what: [] for what in steps}
    for i in range(repetitions + 2):
        for what, measure in steps.items():
            took = measure()
            # The first two fill the incremental compilation's folder.
            if i >= 2:
                rows[what].append(took)
    return rows


def large(home, repetitions):
    """What does a new cell cost where there are many definitions and variables, and where there are none?"""
    from notebooks import DEFINITIONS_AND_VARIABLES, IN_BOTH, fresh

    what = "new cells among 200 definitions and 200 variables"
    much, little = row(f"three {what}", "ms"), row("the same in an empty notebook", "ms")
    share = row(f"{what}, divided by those of an empty notebook", "", most=1.5)
    for side in SIDES:
        with home.start(side) as full, home.start(side) as empty:
            for cell in full.run_all(DEFINITIONS_AND_VARIABLES):
                cell.expect()
            # The first round warms both up.
            for i in range(repetitions + 1):
                for kernel, times, turn in ((full, much, 2 * i), (empty, little, 2 * i + 1)):
                    took = sum(kernel.run(fresh(text, turn)).expect().milliseconds for text in IN_BOTH)
                    if i > 0:
                        times[side].append(took)
        share[side].append(statistics.median(much[side]) / statistics.median(little[side]))
    return [much, little, share]


def load():
    return statistics.median(os.getloadavg())


def tell(results, file):
    """Prints what was measured, and ends the program: 1 if a goal was missed."""
    import versus

    results["load"].append(load())
    print(versus.report(results))
    print(f"\nall measurements: {file}", file=sys.stderr)
    sys.exit(1 if versus.missed_any(results) else 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=float, default=1.0, metavar="X", help="times the usual repetitions")
    parser.add_argument("--only", metavar="A,B", help="of: cells, start, notebook, ahead, large, floor")
    parser.add_argument("--release", action="store_true", help="build and measure Chorus with the release profile")
    parser.add_argument("--json", type=pathlib.Path, default=ROOT / "target/bench-kernel.json", metavar="FILE")
    options = parser.parse_args()
    environment.enter("requirements.txt")

    known = ["cells", "start", "notebook", "ahead", "large", "floor"]
    parts = options.only.split(",") if options.only else known
    if unknown := set(parts) - set(known):
        parser.error(f"no part {', '.join(sorted(unknown))}: there are {', '.join(known)}")
    programs, peer = build(options.release), install_peer()

    def times(usual):
        return max(1, round(usual * options.repeat))

    results = {"machine": machine(), "load": [load()], "cells": [], "rest": [], "floor": {}}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    with Home(programs, peer) as home:
        for part in parts:
            print(f"measuring: {part}", file=sys.stderr)
            if part == "cells":
                with home.both() as kernels:
                    results["cells"] = new_cells(kernels, times(7))
                    results["rest"] += same_cells(kernels, times(7)) + memory(kernels)
            elif part == "start":
                results["rest"] += start(home, times(5))
            elif part == "notebook":
                results["rest"] += restart_and_run_all(home, times(3))
            elif part == "ahead":
                results["rest"] += overlapped(home, times(3))
            elif part == "large":
                results["rest"] += large(home, times(7))
            elif part == "floor":
                results["floor"] = floor(home, times(15))
            # So that what was measured stays when a later part fails.
            options.json.write_text(json.dumps(results | {"load": [*results["load"], load()]}, indent=1) + "\n")
    tell(results, options.json)


if __name__ == "__main__":
    main()
