#!/usr/bin/env python3
"""Measures completion, beside evcxr_jupyter if that is there, as a front end sees it, and prints a table of medians.

Run `python3 bench/complete.py` in the repository; `--help` lists the options, bench/README.md says what the rows mean.
"""

import argparse
import contextlib
import os
import pathlib
import statistics
import time

import environment
from run import ROOT, build

SETUP = [
    'let mut numbers = vec![1u64, 2];\nlet text = String::from("x");',
    "#[derive(Debug, Clone)] struct Place { x: f64 }\nimpl Place { fn distance(&self) -> f64 { self.x } }\n"
    "let place = Place { x: 1.0 };",
]
FIRST = ("numbers.", "push")
LATER = [
    FIRST,
    ("numbers.iter().ma", "map"),
    ("text.", "len"),
    ("std::collections::", "HashMap"),
    ("let own = vec![1];\nown.po", "pop"),
    ("numbers.iter().map(|x| x.", "pow"),
    ("Str", "String"),
    ("place.", "distance"),
]
"""Codes with the cursor at their end, and what must be among the answers."""

ANSWERED_WITHIN = 60


def ask(kernel, code):
    """The answers to one question, and the seconds that they took."""
    sent = time.perf_counter()
    message = kernel.client.complete(code, len(code))
    while True:
        reply = kernel.client.get_shell_msg(timeout=ANSWERED_WITHIN)
        if reply["parent_header"].get("msg_id") == message:
            return reply["content"]["matches"], time.perf_counter() - sent


def good(kernel, code, wanted):
    """Seconds until the answers have `wanted` among them, and how often it was asked. evcxr_jupyter adds a call's `()`."""
    begun, asked = time.perf_counter(), 0
    while time.perf_counter() - begun < ANSWERED_WITHIN:
        asked += 1
        if any(match.split("(")[0] == wanted for match in ask(kernel, code)[0]):
            return time.perf_counter() - begun, asked
    raise RuntimeError(f"{wanted} wasn't among the answers to {code} in {ANSWERED_WITHIN} s")


def held(kernel):
    """What all processes of a kernel hold in memory, in MB; what several share counts once."""
    import psutil

    total = 0
    for process in kernel.family():
        # A frozen copy of the worker, say, ends when the next is made.
        with contextlib.suppress(psutil.NoSuchProcess):
            total += process.memory_full_info().pss
    return total / 1e6


def measure(kernel, rounds):
    for cell in SETUP:
        kernel.run(cell).expect()
    before = held(kernel)
    first, asked = good(kernel, *FIRST)
    after = held(kernel)
    later = sorted(good(kernel, code, wanted)[0] for _ in range(rounds) for code, wanted in LATER)
    return {
        "the first good answer, ms": first * 1e3,
        "asked so often for it": asked,
        "later answers, median, ms": statistics.median(later) * 1e3,
        "later answers, 95th percentile, ms": later[int(len(later) * 0.95)] * 1e3,
        "memory before, MB": before,
        "memory with the first answer, MB": after,
        f"memory after {rounds * len(LATER)} answers, MB": held(kernel),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=5, help="kernels of each side (default 5)")
    parser.add_argument("--rounds", type=int, default=5, help="so often each later question is put (default 5)")
    parser.add_argument("--alone", action="store_true", help="without evcxr_jupyter, which takes ten minutes to build")
    parser.add_argument("--programs", type=pathlib.Path, help="the folder of Chorus' programs, which are built otherwise")
    arguments = parser.parse_args()
    environment.enter("requirements.txt")
    import kernel

    sides = kernel.SIDES[:1] if arguments.alone else kernel.SIDES
    peer = ROOT if arguments.alone else kernel.install_peer()
    programs = arguments.programs or build(False)
    rows = {}
    for repetition in range(arguments.repeat):
        for side in sides if repetition % 2 == 0 else sides[::-1]:
            # In a home of its own, so that the compiler's process that kernels get copies of is this kernel's child.
            with kernel.Home(programs.resolve(), peer) as home, home.start(side) as one:
                for what, value in measure(one, arguments.rounds).items():
                    rows.setdefault(what, {}).setdefault(side, []).append(value)
    print(f"{environment.machine()}; load {os.getloadavg()[0]:.1f}; {arguments.repeat} kernels a side, medians (least to most)\n")
    print("| |" + "|".join(sides) + "|\n|---|" + "--:|" * len(sides))
    for what, values in rows.items():
        cells = (f"{statistics.median(all):.0f} ({min(all):.0f} to {max(all):.0f})" for all in map(values.get, sides))
        print(f"| {what} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
