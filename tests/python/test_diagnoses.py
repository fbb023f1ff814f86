"""What `chorus top` says is wrong with a cluster: each is provoked for real, and isn't told when all is well."""

import json
import os
import pathlib
import subprocess

import pytest

import processes

MEMORY_GROUPS = pathlib.Path("/sys/fs/cgroup/memory")
"""Where control groups that limit memory are made, where the kernel has those of version 1."""

SLEEP = "std::thread::sleep(std::time::Duration::from_millis({}));"


def told(chorus):
    """The evidence of what is wrong now, by what it is about and its kind."""
    found = chorus.once("lab")["diagnoses"]
    assert all(it["evidence"] and it["advice"] for it in found), found
    return {(it["about"], it["kind"]): it["evidence"] for it in found}


def wait_for(chorus, about, kind, seconds=40):
    """The evidence, once it is told; nothing else may be."""
    found = processes.wait_until(f"{kind} of {about}", lambda: told(chorus) or None, seconds)
    assert (about, kind) in found, found
    return found


def wait_for_none(chorus, seconds=30):
    processes.wait_until("nothing to be wrong", lambda: not told(chorus), seconds)


def test_nothing_is_wrong_with_a_cluster_that_works(notebook, lab):
    assert told(lab) == {}
    notebook.run("fn work(x: u64) -> u64 { let mut y = x; for i in 0..2_000_000u64 { y = y.rotate_left(5) ^ i; } y }").ok()
    notebook.run("%px let kept = vec![1u64; 1000];").ok()
    for cell in ("%px work(kept[0]);", "%map --sum -o sum work over 0..400", "%map --chunk 10 -o all work over 0..400"):
        notebook.run(cell).ok()
        assert told(lab) == {}, cell
    notebook.run("let calls: Vec<_> = (0..100u64).map(|x| px::call!(work, x)).collect();").ok()
    notebook.run("calls.into_iter().map(|call| call.get().unwrap() % 2).sum::<u64>()").ok()
    assert told(lab) == {}
    # A long cell that nobody waits for is in nobody's way.
    busy = notebook.send(f"%px -t 0 {SLEEP.format(120_000)}")

    def has_run_long():
        running = [it["running"] for it in lab.once("lab")["engines"] if it["running"]]
        return running and running[0]["seconds"] > 10

    processes.wait_until("the cell to run for 10 s", has_run_long, 40)
    assert told(lab) == {}
    notebook.interrupt()
    notebook.wait(busy).failed()


def test_a_queue_behind_one_slow_task_and_an_engine_that_starves(notebook, lab):
    notebook.run(f"%px -a -t 0 {SLEEP.format(120_000)}").ok()
    assert told(lab) == {}, "nobody waits for it yet"
    notebook.run("%px -a -t 0 let x = 1;").ok()
    notebook.run("%px -a -t 0 let y = 1;").ok()
    found = processes.wait_until("both to be told", lambda: len(it := told(lab)) == 2 and it, 40)
    assert "while 2 runs wait on engine 0" in found["engine 1", "starves"]
    assert "2 runs wait behind `std::thread::sleep" in found["engine 0", "queue"]
    lab("interrupt", "-t", "0")
    wait_for_none(lab)


def test_chunks_that_are_too_small(notebook, lab):
    notebook.run("fn next(x: u64) -> u64 { x + 1 }").ok()
    for flags in ("", "--chunk 1000000 "):
        notebook.run(f"%map {flags}--sum -o sum next over 0..100_000_000").ok()
        assert told(lab) == {}, flags
    notebook.run("%map --chunk 1 --sum -o sum next over 0..100_000_000").ok()
    found = told(lab)
    assert len(found) == 1, found
    ((about, kind), evidence), = found.items()
    assert kind == "small chunks" and about.endswith("of session 1") and "100000000 chunks of 1 took" in evidence


@pytest.mark.parametrize("slow", [0, 29])
def test_a_straggler_that_a_map_waits_for(notebook, lab, slow):
    notebook.run(
        f"fn wait(x: u64) -> u64 {{ let millis = if x == {slow} {{ 60_000 }} else {{ 20 }}; {SLEEP.format('millis')} x }}"
    ).ok()
    mapping = notebook.send("%map --chunk 1 -o all wait over 0..30")
    found = wait_for(lab, "map 0 of session 1", "straggler")
    (evidence,) = found.values()
    assert "of 30 items are all on engine " in evidence
    notebook.interrupt()
    notebook.wait(mapping).failed()
    wait_for_none(lab)


def test_workers_that_die_again_and_again(notebook, lab):
    for _ in range(2):
        notebook.run("%px -t 1 std::process::abort()").failed()
    assert told(lab) == {}
    notebook.run("%px -t 1 std::process::abort()").failed()
    assert list(told(lab)) == [("engine 1", "deaths")]


def test_snapshots_that_cost_more_than_they_save(notebook, lab):
    notebook.run("%px -t 0 let mut large = vec![1u8; 900_000_000];").ok()
    # A snapshot is of the moment before a run, so each of these has its own.
    snapshots = lambda: [
        taken
        for line in lab("logs", "--json").stdout.splitlines()
        if (started := json.loads(line)["event"].get("run_started")) and (taken := started["snapshot"])
    ]
    cells = 0
    while sum(it["micros"] for it in snapshots()) <= 500_000 or len(snapshots()) < 10:
        assert cells < 120, f"{cells} snapshots were cheap: {snapshots()[-3:]}"
        for _ in range(10):
            notebook.run("%px -t 0 large[0] += 1;").ok()
        cells += 10
    found = told(lab)
    assert list(found) == [("engine 0", "snapshots")], found
    assert "and none was needed" in found["engine 0", "snapshots"]
    notebook.run("%px -t 0 std::process::abort()").failed()
    wait_for_none(lab)


@pytest.fixture
def memory_group():
    """A control group whose processes have 600 MB together."""
    folder = MEMORY_GROUPS / f"chorus-test-{os.getpid()}"
    try:
        folder.mkdir()
        (folder / "memory.limit_in_bytes").write_text("600000000")
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    yield folder
    # It can go when nobody is in it any more.
    processes.wait_until("the group to be empty", lambda: not (folder / "cgroup.procs").read_text(), 20)
    folder.rmdir()


def test_a_worker_close_to_its_memory_limit(memory_group, chorus, kernels):
    start = 'echo $$ > "$0/cgroup.procs" && exec "$CHORUS" start -n 2 --name lab'
    subprocess.run(["sh", "-c", start, memory_group], env=chorus.env, check=True, capture_output=True, timeout=60)
    notebook = kernels()
    notebook.run("%cluster connect lab").ok()
    notebook.run("%px -t 1 let large = vec![1u8; 200_000_000];").ok()
    assert told(chorus) == {}
    notebook.run("%px -t 1 let larger = vec![1u8; 320_000_000];").ok()
    found = wait_for(chorus, "engine 1", "memory")
    assert list(found) == [("engine 1", "memory")], found
    assert "572.2 MiB that its control group may use are in use" in found["engine 1", "memory"]
    notebook.run("%px -t 1 drop(larger);").ok()
    wait_for_none(chorus)
    chorus("stop", "lab", "--force")
