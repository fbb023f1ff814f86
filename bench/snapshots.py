#!/usr/bin/env python3
"""Measures what snapshots cost a loop that writes to all of a large `Vec`: in one kernel, with them and without.

Run `python3 bench/snapshots.py [MEGABYTES..]` in the repository, after `cargo build`; 100 and 500 are measured when left out.
"""

import contextlib
import json
import os
import pathlib
import re
import statistics
import sys
import tempfile
import time

import environment

PROGRAM = environment.ROOT / "target/debug/chorus"
LOOP = """let begin = std::time::Instant::now();
for x in xs.iter_mut() { *x = *x * 1.000_000_1 + 1.0; }
println!("{}", begin.elapsed().as_micros());"""
ROUNDS = 7
# Between two cells, in seconds, as when a person runs them.
PACE = 1.5


@contextlib.contextmanager
def kernel():
    """A function that runs a cell and returns what it has printed."""
    from jupyter_client.manager import start_new_kernel

    with tempfile.TemporaryDirectory(prefix="chorus-bench-", dir="/tmp") as folder:
        spec = pathlib.Path(folder) / "kernels/chorus/kernel.json"
        spec.parent.mkdir(parents=True)
        argv = [str(PROGRAM), "kernel", "--connection-file", "{connection_file}"]
        spec.write_text(json.dumps({"argv": argv, "display_name": "chorus", "language": "rust"}))
        os.environ["JUPYTER_PATH"] = folder
        manager, client = start_new_kernel(kernel_name="chorus", startup_timeout=60)

        def run(code):
            printed = []

            def hear(message):
                if message["msg_type"] == "stream":
                    printed.append(message["content"]["text"])

            reply = client.execute_interactive(code, timeout=300, output_hook=hear)["content"]
            if reply["status"] != "ok":
                sys.exit(f"the cell failed:\n{code}\n{reply.get('evalue')}")
            return "".join(printed)

        try:
            yield run
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)


def milliseconds(run, pace):
    def once():
        time.sleep(pace)
        return int(re.search(r"\d+", run(LOOP))[0]) / 1000

    return statistics.median([once() for _ in range(ROUNDS)])


def main():
    environment.enter("requirements.txt")
    sizes = [int(size) for size in sys.argv[1:]] or [100, 500]
    print(environment.machine())
    print("\n| `Vec<f64>` | snapshots off | on, a cell each 1.5 s | ratio | on, one right behind the other | ratio |")
    print("|--:|--:|--:|--:|--:|--:|")
    with kernel() as run:
        for size in sizes:
            run(f"let mut xs: Vec<f64> = (0..{size * 125_000}).map(|n| n as f64).collect();")
            run("%snapshot off")
            run(LOOP)
            off = milliseconds(run, 0.2)
            run("%snapshot on")
            run(LOOP)
            on, at_once = milliseconds(run, PACE), milliseconds(run, 0)
            print(f"| {size} MB | {off:.1f} ms | {on:.1f} ms | {on / off:.2f}× | {at_once:.1f} ms | {at_once / off:.1f}× |")


if __name__ == "__main__":
    main()
