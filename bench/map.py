#!/usr/bin/env python3
"""Measures maps, calls and data beside ipyparallel, Dask, Ray, joblib and rayon, in one run, and prints a table.

Run `python3 bench/map.py` in the repository; `--help` lists the options, bench/README.md says what the rows mean.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

import environment

ROOT = environment.ROOT


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="A,B", help="of: tasks, call, square, sum, data, steps, kmeans, skewed")
    parser.add_argument("--side", metavar="A,B", help="of: chorus, rayon, ipyparallel, dask, ray, joblib")
    parser.add_argument("--repeat", type=float, default=1.0, metavar="X", help="times the usual repetitions")
    parser.add_argument("--json", type=pathlib.Path, default=ROOT / "target/bench-map.json", metavar="FILE")
    options = parser.parse_args()
    environment.enter("requirements-map.txt")

    import maps

    names = options.only.split(",") if options.only else list(maps.EXPERIMENTS)
    sides = options.side.split(",") if options.side else list(maps.SIDES)
    for given, known in ((names, maps.EXPERIMENTS), (sides, maps.SIDES)):
        if unknown := set(given) - set(known):
            parser.error(f"no {', '.join(sorted(unknown))}: there are {', '.join(known)}")
    # The peers' workers import the functions that they are sent.
    os.environ["PYTHONPATH"] = str(ROOT / "bench")
    subprocess.run(["cargo", "build", "--workspace", "--bins"], cwd=ROOT, check=True)
    rows = maps.measure(names, sides, options.repeat)
    print(f"{environment.machine()}; medians\n")
    print(maps.markdown(rows, sides))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps({"machine": environment.machine(), "rows": rows}, indent=1) + "\n")
    print(f"\nall measurements: {options.json}", file=sys.stderr)
    sys.exit(1 if any(maps.missed(row) for row in rows) else 0)


if __name__ == "__main__":
    main()
