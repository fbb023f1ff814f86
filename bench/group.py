#!/usr/bin/env python3
"""What engines do together, beside mpi4py with Open MPI, on 4 and 16 processes of this machine.

    python3 bench/group.py [--json FILE]

needs `mpirun` (Debian: `apt-get install openmpi-bin libopenmpi-dev`). Both sides measure in turn, and each says what a
call takes as its rank 0 sees it. The exit status is 1 when a goal was missed.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from environment import enter

enter("requirements-group.txt")

from measure import ROOT, Kernel, Sides  # noqa: E402
from table import median  # noqa: E402

ROUNDS = 5
PROGRAMS = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"
# (what, processes, calls a round, goal of the median in µs, or of the ratio to mpi4py's)
EXPERIMENTS = [
    ("barrier", 4, 2000, None, None),
    ("allreduce of 8 bytes", 4, 2000, 40, None),
    ("allreduce of 10 MB of f64", 4, 20, None, 1 / 0.7),
    ("broadcast of 10 MB of f64", 4, 20, None, None),
    ("scan of 10 MB of f64", 4, 20, None, None),
    ("gather of 4 × 10 MB of f64", 4, 20, None, None),
    ("allgather of 4 × 10 MB of f64", 4, 20, None, None),
    ("scatter of 4 × 10 MB of f64", 4, 20, None, None),
    ("alltoall of 4 × 4 × 2.5 MB of f64", 4, 20, None, None),
    ("ring of send and recv of 10 MB of f64", 4, 20, None, None),
    ("ping-pong of 8 bytes", 4, 2000, None, None),
    ("barrier", 16, 1000, 200, None),
]

RUST = {
    "barrier": ("", "px::barrier();"),
    "allreduce of 8 bytes": ("let mut x = 1.0_f64;", "x = px::allreduce(x, px::max);"),
    "allreduce of 10 MB of f64": ("let mut x = vec![1.0_f64; 1_250_000];", "x = px::allreduce(x, px::max);"),
    "broadcast of 10 MB of f64": ("let mut x = vec![1.0_f64; 1_250_000];", "x = px::broadcast(0, x);"),
    "scan of 10 MB of f64": ("let mut x = vec![1.0_f64; 1_250_000];", "x = px::scan(x, px::max);"),
    # What is given away is a copy, which MPI doesn't need.
    "gather of 4 × 10 MB of f64": ("let x = vec![1.0_f64; 1_250_000];", "px::gather(0, x.clone());"),
    "allgather of 4 × 10 MB of f64": (
        "let mut x = vec![1.0_f64; 1_250_000];",
        "x = px::allgather(x).swap_remove(px::rank());",
    ),
    "scatter of 4 × 10 MB of f64": (
        "let x = if px::rank() == 0 { vec![vec![1.0_f64; 1_250_000]; 4] } else { vec![] };",
        "px::scatter(0, &x);",
    ),
    "alltoall of 4 × 4 × 2.5 MB of f64": ("let x = vec![vec![1.0_f64; 312_500]; 4];", "_ = px::alltoall(&x);"),
    "ring of send and recv of 10 MB of f64": (
        "let mut x = vec![1.0_f64; 1_250_000];",
        "px::send((px::rank() + 1) % 4, x); x = px::recv((px::rank() + 3) % 4);",
    ),
    "ping-pong of 8 bytes": (
        "let mut x = 1.0_f64;",
        "match px::rank() { 0 => { px::send(1, x); x = px::recv(1); } 1 => { x = px::recv(0); px::send(0, x); } _ => {} }",
    ),
}
PYTHON = {
    "barrier": ("", "comm.Barrier()"),
    "allreduce of 8 bytes": ("x = numpy.ones(1); y = numpy.empty(1)", "comm.Allreduce(x, y, MPI.MAX)"),
    "allreduce of 10 MB of f64": ("x = numpy.ones(1250000); y = numpy.empty(1250000)", "comm.Allreduce(x, y, MPI.MAX)"),
    "broadcast of 10 MB of f64": ("x = numpy.ones(1250000)", "comm.Bcast(x)"),
    "scan of 10 MB of f64": ("x = numpy.ones(1250000); y = numpy.empty(1250000)", "comm.Scan(x, y, MPI.MAX)"),
    "gather of 4 × 10 MB of f64": (
        "x = numpy.ones(1250000); y = numpy.empty(5000000) if rank == 0 else None",
        "comm.Gather(x, y)",
    ),
    "allgather of 4 × 10 MB of f64": ("x = numpy.ones(1250000); y = numpy.empty(5000000)", "comm.Allgather(x, y)"),
    "scatter of 4 × 10 MB of f64": (
        "x = numpy.ones(5000000) if rank == 0 else None; y = numpy.empty(1250000)",
        "comm.Scatter(x, y)",
    ),
    "alltoall of 4 × 4 × 2.5 MB of f64": ("x = numpy.ones(1250000); y = numpy.empty(1250000)", "comm.Alltoall(x, y)"),
    "ring of send and recv of 10 MB of f64": (
        "x = numpy.ones(1250000); y = numpy.empty(1250000)",
        "comm.Sendrecv(x, (rank + 1) % 4, recvbuf=y, source=(rank + 3) % 4)",
    ),
    "ping-pong of 8 bytes": (
        "x = numpy.ones(1)",
        "comm.Send(x, 1) or comm.Recv(x, 1) if rank == 0 else comm.Recv(x, 0) or comm.Send(x, 0) if rank == 1 else None",
    ),
}


def chorus(kernel, what, processes, calls):
    before, call = RUST[what]
    reply = kernel.run(
        f"%%px -t 0:{processes}\n{before}\npx::barrier();\nlet begin = std::time::Instant::now();\n"
        f"for _ in 0..{calls} {{ {call} }}\n"
        f'if px::rank() == 0 {{ println!("took {{}}", begin.elapsed().as_secs_f64() / {calls}.0 * 1e6); }}'
    )
    return float(re.search(r"took (\S+)", reply.ok().text)[1])


def mpi(what, processes, calls):
    before, call = PYTHON[what]
    program = (
        "import time, numpy\nfrom mpi4py import MPI\ncomm = MPI.COMM_WORLD\nrank = comm.Get_rank()\n"
        f"{before}\ncomm.Barrier()\nbegin = time.perf_counter()\nfor _ in range({calls}):\n    {call}\n"
        f"if rank == 0:\n    print('took', (time.perf_counter() - begin) / {calls} * 1e6)\n"
    )
    with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
        file.write(program)
        file.flush()
        command = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", str(processes), sys.executable, file.name]
        out = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout
    return float(re.search(r"took (\S+)", out)[1])


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--json", type=pathlib.Path, default=ROOT / "target/bench-group.json")
    options = options.parse_args()
    if not shutil.which("mpirun"):
        sys.exit("there is no mpirun: install Open MPI (Debian: apt-get install openmpi-bin libopenmpi-dev)")
    programs = pathlib.Path(os.environ["CHORUS"]).parent if "CHORUS" in os.environ else PROGRAMS
    rows = [{"what": it[0], "processes": it[1], "chorus": [], "mpi4py": []} for it in EXPERIMENTS]
    with Sides(programs, "chorus"), Kernel(env={"CHORUS_RUNTIME_DIR": os.environ["CHORUS_RUNTIME_DIR"]}) as kernel:
        kernel.run("%cluster start -n 16").ok()
        for row, (what, processes, calls, _, _) in zip(rows, EXPERIMENTS):
            for _ in range(ROUNDS):
                row["chorus"].append(chorus(kernel, what, processes, calls))
                row["mpi4py"].append(mpi(what, processes, calls))
    options.json.write_text(json.dumps(rows, indent=1))
    missed = False
    print("| | Chorus | goal | mpi4py | ratio |\n|---|--:|--:|--:|--:|")
    for row, (what, processes, _, most, ratio) in zip(rows, EXPERIMENTS):
        ours, theirs = median(row["chorus"]), median(row["mpi4py"])
        goal = f"{most} µs" if most else f"{ratio * theirs:.0f} µs" if ratio else ""
        missed |= bool(most and ours > most or ratio and ours > ratio * theirs)
        print(f"| {what}, {processes} processes | {ours:.1f} µs | {goal} | {theirs:.1f} µs | {theirs / ours:.2f}× |")
    sys.exit(missed)


if __name__ == "__main__":
    main()
