#!/usr/bin/env python3
"""Measures how long a kernel needs from its start to the result of a first new cell, and what notebooks hold in memory: with a
compiler that kernels share, and without, in turn.

Run `python3 bench/starts.py [NOTEBOOKS]` in the repository, after `cargo build`; memory is that of 4 notebooks when left out.
"""

import contextlib
import itertools
import json
import os
import pathlib
import statistics
import sys
import tempfile
import time

import environment

PROGRAM = environment.ROOT / "target/debug/chorus"
ROUNDS = 5
NUMBERS = itertools.count(1)


def new_cell():
    """A cell that no cache has, of which rust-analyzer has to infer a type."""
    number = next(NUMBERS) * 1_000_003 + time.time_ns() % 1_000_003
    return f"let v{number} = (0..{number}u64 % 50).map(|n| n * 2).collect::<Vec<_>>(); v{number}.len()"


@contextlib.contextmanager
def notebook(minutes):
    """A kernel that has run nothing yet; `minutes` say how long unused compilers stay."""
    from jupyter_client.manager import KernelManager

    manager = KernelManager(kernel_name="chorus")
    begin = time.perf_counter()
    manager.start_kernel(env=os.environ | {"CHORUS_COMPILER_MINUTES": minutes})
    client = manager.blocking_client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    try:
        yield manager, client, begin
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def run(client, code):
    reply = client.execute_interactive(code, timeout=300, output_hook=lambda message: None)["content"]
    if reply["status"] != "ok":
        sys.exit(f"the cell failed:\n{code}\n{reply.get('evalue')}")


def start(minutes):
    with notebook(minutes) as (_, client, begin):
        run(client, new_cell())
        return time.perf_counter() - begin


def restarts(minutes):
    with notebook(minutes) as (manager, client, _):
        run(client, new_cell())
        while True:
            begin = time.perf_counter()
            manager.restart_kernel(now=False)
            client.wait_for_ready(timeout=60)
            run(client, new_cell())
            yield time.perf_counter() - begin


def proportional(roots):
    """What these processes and all below them hold, and compilers; what several share counts once. In MB."""
    import psutil

    found = {process.pid for root in roots for process in [psutil.Process(root), *psutil.Process(root).children(recursive=True)]}
    found |= {process.pid for process in compilers()}
    total = 0
    for pid in found:
        with contextlib.suppress(OSError):
            rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total / 1024


def memory(minutes, notebooks):
    """Of one notebook at work, and of several."""
    measured = []
    with contextlib.ExitStack() as stack:
        roots = []
        for _ in range(notebooks):
            manager, client, _ = stack.enter_context(notebook(minutes))
            run(client, "let mut all: Vec<u64> = (0..1000).collect();")
            for _ in range(5):
                run(client, new_cell())
            roots.append(manager.provisioner.pid)
            measured.append(proportional(roots))
    return measured[0], measured[-1]


def main():
    environment.enter("requirements.txt")
    notebooks = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    with tempfile.TemporaryDirectory(prefix="chorus-bench-", dir="/tmp") as folder:
        spec = pathlib.Path(folder) / "kernels/chorus/kernel.json"
        spec.parent.mkdir(parents=True)
        argv = [str(PROGRAM), "kernel", "--connection-file", "{connection_file}"]
        spec.write_text(json.dumps({"argv": argv, "display_name": "chorus", "language": "rust"}))
        for variable, place in ("JUPYTER_PATH", ""), ("CHORUS_RUNTIME_DIR", "run"), ("CHORUS_CACHE_DIR", "cache"):
            os.environ[variable] = f"{folder}/{place}"
        # px is built once a machine, which is none of this.
        start("0")
        print(environment.machine(), flush=True)
        print("\n| medians | each kernel for itself | with a compiler that they share | ratio |\n|---|--:|--:|--:|")
        row("the first kernel, s", [start("0") for _ in range(ROUNDS)], [first_of_all(folder) for _ in range(ROUNDS)])
        start("10")
        apart, shared = zip(*[(start("0"), start("10")) for _ in range(ROUNDS)])
        row("another kernel, s", apart, shared)
        with contextlib.closing(restarts("0")) as apart, contextlib.closing(restarts("10")) as shared:
            apart, shared = zip(*itertools.islice(zip(apart, shared), ROUNDS))
        row("a restart, s", apart, shared)
        end_templates(folder)
        one, many = memory("0", notebooks)
        one_shared, many_shared = memory("10", notebooks)
        row("one notebook, MB", [one], [one_shared])
        row(f"{notebooks} notebooks, MB", [many], [many_shared])
    print(f"\n{notebooks} notebooks hold {many_shared / one_shared:.1f} times what one does, and {many / one:.1f} times apart.")


def first_of_all(folder):
    """As if no kernel had been there for long."""
    end_templates(folder)
    return start("10")


def end_templates(folder):
    import psutil

    for socket in pathlib.Path(folder).glob("cache/compilers/*/socket"):
        socket.unlink()
    psutil.wait_procs(compilers(), 10)


def compilers():
    """The compilers' processes of this program."""
    import psutil

    is_it = lambda process: (process.info["cmdline"] or [])[:2] == [str(PROGRAM), "compiler"]
    return list(filter(is_it, psutil.process_iter(["cmdline"])))


def row(what, apart, shared):
    apart, shared = statistics.median(apart), statistics.median(shared)
    print(f"| {what} | {apart:.2f} | {shared:.2f} | {shared / apart:.2f}× |", flush=True)


if __name__ == "__main__":
    main()
