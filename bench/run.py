#!/usr/bin/env python3
"""Measures Chorus beside ipyparallel, in one run on one machine, taking turns, and prints a table of medians.

Run `python3 bench/run.py` in the repository; `--help` lists the options, bench/README.md says what the rows mean.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

import environment

ROOT = environment.ROOT


def build(release):
    """The folder of the built programs."""
    command = ["cargo", "build", "--workspace", "--bins"] + (["--release"] if release else [])
    subprocess.run(command, cwd=ROOT, check=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return target / ("release" if release else "debug")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="A,B", help="of: start, cell, fanout, memory")
    parser.add_argument("--side", choices=["both", "chorus", "ipyparallel"], default="both")
    parser.add_argument("--repeat", type=float, default=1.0, metavar="X", help="times the usual repetitions")
    parser.add_argument("--release", action="store_true", help="build and measure with the release profile")
    parser.add_argument("--json", type=pathlib.Path, default=ROOT / "target/bench.json", metavar="FILE")
    options = parser.parse_args()
    environment.enter("requirements.txt")

    import measure
    import table

    programs = build(options.release) if options.side != "ipyparallel" else None
    names = options.only.split(",") if options.only else list(measure.EXPERIMENTS)
    unknown = set(names) - set(measure.EXPERIMENTS)
    if unknown:
        parser.error(f"no experiment {', '.join(sorted(unknown))}: there are {', '.join(measure.EXPERIMENTS)}")

    rows = []
    with measure.Sides(programs, options.side) as sides:
        for name in names:
            print(f"measuring: {name}", file=sys.stderr)
            rows += measure.EXPERIMENTS[name](sides, options.repeat)
    print(f"{environment.machine()}; medians\n")
    print(table.markdown(rows))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps({"machine": environment.machine(), "rows": rows}, indent=1) + "\n")
    print(f"\nall measurements: {options.json}", file=sys.stderr)
    sys.exit(1 if any(table.missed(row) for row in rows) else 0)


if __name__ == "__main__":
    main()
