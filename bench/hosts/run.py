#!/usr/bin/env python3
"""Measures engines of other hosts beside ipyparallel and Dask, on three hosts that are namespaces of this machine.

Run `python3 bench/hosts/run.py` in the repository as root; `--help` lists the options, bench/README.md says what the
rows mean.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[1:1] = [str(ROOT / "bench"), str(ROOT / "tests/python")]

import environment  # noqa: E402


def markdown(rows, sides):
    from experiments import verdict
    from table import number

    lines = ["| | unit | " + " | ".join(sides) + " | goal | |", "|---|---|" + "--:|" * len(sides) + "---|---|"]
    for row in rows:
        values = [number(statistics.median(row[side])) if row[side] else "–" for side in sides]
        goal = row["goal"] or {}
        bounds = [(sign, goal.get(name)) for sign, name in (("≤", "at_most"), ("≥", "at_least"))]
        text = "".join(f"{sign} {number(bound)}" for sign, bound in bounds if bound is not None)
        text += f" ({goal['why']})" if goal.get("why") else ""
        told = {None: "", True: "met", False: "missed"}[verdict(row)]
        lines.append("| " + " | ".join([row["what"], row["unit"], *values, text, told]) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="A,B", help="of: start, cell, data, map, crowd")
    parser.add_argument("--side", metavar="A,B", help="of: chorus, ipyparallel, dask")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="how often each is measured")
    parser.add_argument("--release", action="store_true", help="build and measure with the release profile")
    parser.add_argument("--json", type=pathlib.Path, default=ROOT / "target/bench-hosts.json", metavar="FILE")
    options = parser.parse_args()
    environment.enter("requirements-hosts.txt")

    import hosts
    from experiments import EXPERIMENTS, SIDES, verdict
    from sides import Lab

    if why := hosts.missing():
        sys.exit(why)
    names = options.only.split(",") if options.only else list(EXPERIMENTS)
    sides = options.side.split(",") if options.side else SIDES
    for given, known in ((names, EXPERIMENTS), (sides, SIDES)):
        if unknown := set(given) - set(known):
            parser.error(f"no {', '.join(sorted(unknown))}: there are {', '.join(known)}")
    command = ["cargo", "build", "--workspace", "--bins"] + (["--release"] if options.release else [])
    subprocess.run(command, cwd=ROOT, check=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    rows, before = [], os.getloadavg()[0]
    lab = Lab(target / ("release" if options.release else "debug"))
    try:
        for name in names:
            print(f"measuring: {name}; load {os.getloadavg()[0]:.1f}", file=sys.stderr)
            measured = EXPERIMENTS[name](lab, sides, options.rounds)
            print(markdown(measured, sides), file=sys.stderr)
            rows += measured
    finally:
        lab.close()
    machine = f"{environment.machine()}; load {before:.1f} before"
    print(f"{machine}; medians\n")
    print(markdown(rows, sides))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")
    print(f"\nall measurements: {options.json}", file=sys.stderr)
    sys.exit(1 if any(verdict(row) is False for row in rows) else 0)


if __name__ == "__main__":
    main()
