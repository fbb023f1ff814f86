#!/usr/bin/env python3
"""Measures cells with large dependencies in Chorus beside evcxr_jupyter, taking turns, and prints tables of medians.

Run `python3 bench/dependencies.py` in the repository; `--help` lists the options, bench/README.md says what the rows mean.
polars takes a quarter of an hour to build on two cores, for each side.
"""

import argparse
import json
import pathlib
import sys

import environment
from environment import machine
from kernel import ROOT, SIDES, Home, in_turn, install_peer, load, row, tell
from run import build

BUILD = 3600
"""Seconds that a build may take."""

SETS = {
    "plots": {
        "goal": 0.4,
        "add": ':dep plotters = { version = "0.3", default-features = false, features = ["evcxr", "all_series"] }\n'
        ':dep ndarray = "0.16"',
        "first": "use ndarray::prelude::*;\nuse plotters::prelude::*;\n"
        "let a = Array2::<f64>::from_shape_fn((50, 50), |(i, j)| (i * j + {i}) as f64);\na.sum()",
        "cells": {
            "a line chart": "let figure{i} = evcxr_figure((320, 240), |root| {{\n    root.fill(&WHITE)?;\n"
            "    let mut chart = ChartBuilder::on(&root).build_cartesian_2d(0f64..1.0, 0f64..{i}.5)?;\n"
            "    chart.configure_mesh().draw()?;\n    let points = (0..50).map(|x| x as f64 / 50.0);\n"
            "    chart.draw_series(LineSeries::new(points.map(|x| (x, x * x)), &RED))?;\n    Ok(())\n}});\nfigure{i}",
            "a product of matrices": "let product{i} = a.t().dot(&(&a + {i}.0));\nproduct{i}[[1, 1]]",
            "a mean": "let mean{i} = a.mean_axis(Axis(0)).unwrap();\nmean{i}[3] + {i}.0",
            "an element": "a[[2, 3]] + {i}.0",
        },
    },
    "polars": {
        "goal": 0.3,
        "add": ':dep polars = { version = "0.55", features = ["lazy"] }',
        "first": 'use polars::prelude::*;\nlet df = df!("a" => [{i}i64, 2, 3], "b" => [1.5f64, 2.5, 3.5]).unwrap();\n'
        "df.height()",
        "cells": {
            "a lazy sum": 'let sums{i} = df.clone().lazy().select([(col("a") + lit({i})).sum()]).collect().unwrap();\nsums{i}',
            "a series": 'let s{i} = Series::new("x".into(), &[{i}i32, 2, 3]);\ns{i}.len()',
            "a column's length": 'df.column("a").unwrap().len() + {i}',
            "a lazy filter": 'let t{i} = df.clone().lazy().filter(col("a").gt(lit({i}))).collect().unwrap();\nt{i}.height()',
            "a number": "{i} + 1",
        },
    },
}


def measure(home, name, repetitions):
    """The first kernel of each side builds all; its later cells are compared. Then Chorus begins anew."""
    from notebooks import fresh

    of = SETS[name]
    first = row(f"{name}: start of a kernel to the first cell's result; before, Chorus has built them once", "s", most_ratio=0.1)
    once = row(f"{name}: the same where nothing was built before", "s")
    rows = {what: row(f"{name}: {what}", "ms", most_ratio=of["goal"]) for what in of["cells"]}

    def begin(kernel, i):
        cells = kernel.run_all([of["add"], fresh(of["first"], i)], timeout=BUILD)
        return cells[-1].expect().over - kernel.started

    kernels = {}
    try:
        for side in SIDES:
            print(f"{side} builds {name}", file=sys.stderr)
            kernels[side] = home.start(side)
            once[side].append(begin(kernels[side], 0))
        for i in range(repetitions + 1):
            for what, text in of["cells"].items():
                for side in in_turn(i):
                    cell = kernels[side].run(fresh(text, i)).expect()
                    # The first round warms both up.
                    if i > 0:
                        rows[what][side].append(cell.milliseconds)
    finally:
        for kernel in kernels.values():
            kernel.close()
    # evcxr builds in each kernel what the first has built.
    first["evcxr"] = once["evcxr"]
    for i in range(repetitions):
        with home.start("chorus") as kernel:
            first["chorus"].append(begin(kernel, 100 + i))
    return [once, first, *rows.values()]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=float, default=1.0, metavar="X", help="times the usual repetitions")
    parser.add_argument("--only", metavar="A,B", help=f"of: {', '.join(SETS)}")
    parser.add_argument("--release", action="store_true", help="build and measure Chorus with the release profile")
    parser.add_argument("--json", type=pathlib.Path, default=ROOT / "target/bench-dependencies.json", metavar="FILE")
    options = parser.parse_args()
    environment.enter("requirements.txt")

    sets = options.only.split(",") if options.only else list(SETS)
    if unknown := set(sets) - set(SETS):
        parser.error(f"no set {', '.join(sorted(unknown))}: there are {', '.join(SETS)}")
    programs, peer = build(options.release), install_peer()
    results = {"machine": machine(), "load": [load()], "cells": [], "rest": [], "floor": {}}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    with Home(programs, peer) as home:
        for name in sets:
            results["rest"] += measure(home, name, max(1, round(5 * options.repeat)))
            options.json.write_text(json.dumps(results | {"load": [*results["load"], load()]}, indent=1) + "\n")
    tell(results, options.json)


if __name__ == "__main__":
    main()
