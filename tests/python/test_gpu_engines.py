"""What engines have of GPUs, and calls that need one. The device is the simulated one."""

import os
import re
import subprocess

import processes
from conftest import start_kernel
from test_gpu import setup

CALL = "px::call!(|x: u32| x + 1, {}, {{ gpu: 1 }})"


def test_a_call_that_needs_a_gpu_runs_where_one_is(chorus, kernels):
    chorus.env["CHORUS_GPU"] = "off"
    chorus("start", "-n", 2, "--name", "mixed")
    chorus.wait_for_engines(2)
    kernel = kernels()
    kernel.run("%cluster connect mixed").ok()
    failed = kernel.run(f"{CALL.format(1)}.get()?", timeout=20)
    assert "no engine has a GPU, which this call asks for by `gpu`, and it wasn't made" in failed.text, failed.text
    failed = kernel.run("px::call!(|| 1, { gpu: 1, on: 1 }).get()?", timeout=20)
    assert "engine 1 has no GPU" in failed.text, failed.text
    failed = kernel.run("px::call!(|| 1, { gpu: 2 }).get()?", timeout=20)
    assert "an engine has one GPU at most" in failed.text, failed.text

    path, _ = chorus.connection_file()
    command = [os.environ["CHORUS"], "engine", "--connect", str(path)]
    engine = subprocess.Popen(command, env=chorus.env | {"CHORUS_GPU": "simulated"}, stdin=subprocess.DEVNULL)
    try:
        chorus.wait_for_engines(3)
        calls = f"let calls: Vec<_> = (0..20).map(|n| {CALL.format('n')}).collect();"
        kernel.run(calls, timeout=20).ok()
        kernel.run("let results: Vec<u32> = calls.iter().map(|call| call.get()).collect::<Result<_, _>>()?;").ok()
        assert "true" in kernel.run("results == (1..21).collect::<Vec<u32>>()").ok().text
        assert "true" in kernel.run("calls.iter().all(|call| call.engine() == Some(2))").ok().text
        # Longer than the kernel takes to look for engines that may take part: those without a GPU don't.
        setup(os.environ)
        slow = "|x| { let mut n = x; for _ in 0..200_000u64 { n = std::hint::black_box(n * 3 % 1_000_003); } n } over 0..8u64"
        assert "8 items on 1 engine" in kernel.run(f"%map --gpu -o slow {slow}", timeout=120).ok().text
        # Others leave the engine with the GPU alone while there is another.
        assert "Some(0)" in kernel.run("let it = px::call!(|| 1); it.get()?; it.engine()").ok().text
    finally:
        engine.kill()
        engine.wait()


def test_gpus_are_shown_also_while_a_map_runs_there(installed, monkeypatch):
    monkeypatch.setenv("CHORUS_GPU", "simulated")
    setup(os.environ)
    with start_kernel() as kernel:
        assert "no cluster" in kernel.run("%gpu").ok().text
        kernel.run("%cluster start -n 2").ok()
        kernel.run("let table = vec![1u8; 1 << 20];").ok()
        idle = kernel.run("%gpu").ok().text
        assert rows(idle) == [("0", "0 B", "idle"), ("1", "0 B", "idle")], idle
        # Its constants stay there behind it.
        kernel.run("%map --gpu -t 0 |i| table[i] over 0..10usize").ok()
        held = kernel.run("%gpu").ok().text
        assert [row[1] == "1.0 MiB" for row in rows(held)] == [True, False], held
        assert re.search(r"kept on disk: [1-9]\d* functions and kernels' modules, \d", held), held
        assert "built from source: Rust's core library for GPUs, " in held, held

        forever = "|x| { let mut n = x; while n < u64::MAX { n = std::hint::black_box(n + 1); } n } over 0..4u64"
        kernel.run(f"%map -a -o endless --gpu -t 1 {forever}", timeout=60).ok()

        def runs():
            shown = kernel.run("%gpu", timeout=20).ok().text
            return shown if "a map runs" in shown else None

        shown = processes.wait_until("a map on the GPU", runs)
        assert [row[2] for row in rows(shown)] == ["idle", "a map runs"], shown
        kernel.run("%cancel endless").ok()


def rows(shown):
    """Engine, held and state of each line of the table."""
    lines = [re.split(r"\s{2,}", line) for line in shown.splitlines() if re.match(r"\d+ ", line)]
    assert all(line[1].endswith("a simulated device") and "of 1.0 GiB free" in line[2] for line in lines), shown
    return [(line[0], line[3], line[6]) for line in lines]


def test_engines_without_a_gpu_are_named(installed, monkeypatch):
    monkeypatch.setenv("CHORUS_GPU", "off")
    with start_kernel() as kernel:
        kernel.run("%cluster start -n 3").ok()
        assert "without a GPU: engines 0-2" in kernel.run("%gpu").ok().text
