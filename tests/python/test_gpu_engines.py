"""What engines have of GPUs, and calls that need one. The device is the simulated one."""

import os
import subprocess

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
        # Others leave the engine with the GPU alone while there is another.
        assert "Some(0)" in kernel.run("let it = px::call!(|| 1); it.get()?; it.engine()").ok().text
    finally:
        engine.kill()
        engine.wait()
