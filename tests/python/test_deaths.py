"""Whatever dies: it is reported within a second, costs only what that one process held, and leaves no orphans."""

import os
import re
import signal
import time

import pytest

import processes

ENDLESS = "loop { std::thread::sleep(std::time::Duration::from_millis(10)); }"
PIDS = '%px println!("pids {} {}", std::process::id(), std::os::unix::process::parent_id());'
AS_BEFORE = "variables are as they were before this cell"


def pids(kernel):
    """{engine: (worker, supervisor)}; between the two there is the worker's keeper."""
    reply = kernel.run(PIDS).ok()
    found = re.findall(r"\[stdout:(\d+)\] pids (\d+) (\d+)", reply.text)
    return {int(engine): (int(worker), processes.parent(keeper)) for engine, worker, keeper in found}


def ranks(kernel):
    reply = kernel.run("%%px --each\npx::rank()").ok()
    return [int(engine) for engine in re.findall(r"^Out\[(\d+):\d+\]: \1$", reply.text, re.MULTILINE)]


def wait_for_ranks(kernel, engines):
    """An engine's process takes a moment to come back; cells meanwhile may find it missing, but must not hang."""

    def all_there():
        reply = kernel.run("%%px --each\npx::rank()", timeout=20)
        return reply.status == "ok" and len(re.findall(r"^Out\[\d+:", reply.text, re.MULTILINE)) == engines

    processes.wait_until(f"{engines} engines to be back", all_there, 30)
    assert ranks(kernel) == list(range(engines))


def assert_only_engine_replaced(kernel, engine, before):
    """The others' workers are the same processes, and the engine has its old id."""
    after = pids(kernel)
    assert sorted(after) == sorted(before)
    for other in before:
        assert (after[other][0] == before[other][0]) == (other != engine), f"worker of engine {other}"


def assert_only_engine_restored(kernel, engine, before):
    """All have their variables, and the others' workers are the same processes."""
    assert_only_engine_replaced(kernel, engine, before)
    assert re.search(r"^Out\[0-3:\d+\]: 1234$", kernel.run("%px precious").ok().text, re.MULTILINE)


def assert_only_engine_lost(kernel, engine, before):
    """The others' workers are the same processes with the same variables, and the engine has its old id."""
    assert_only_engine_replaced(kernel, engine, before)
    reply = kernel.run("%px precious").failed()
    assert "`precious`" in reply.text and re.search(rf"\bengine {engine}\b", reply.text), reply
    others = ",".join(str(other) for other in before if other != engine)
    assert "1234" in kernel.run(f"%%px -t {others}\nprecious").ok().text


@pytest.fixture
def armed(cluster):
    """A cluster whose engines all hold a variable."""
    wait_for_ranks(cluster, 4)
    cluster.run("%px let precious = 1234;").ok()
    yield cluster
    cluster.run("%snapshot on").ok()


@pytest.fixture
def without_snapshots(armed):
    armed.run("%snapshot off").ok()
    return armed


DEATHS = {
    "segfault": ("unsafe { (16 as *mut i32).write_volatile(1) };", "SIGSEGV"),
    "abort": ("std::process::abort();", "SIGABRT"),
    "exit": ("std::process::exit(3);", "status 3"),
    "stack overflow": ("fn deep(n: u64) -> u64 { std::hint::black_box(deep(n + 1)) + 1 } deep(0);", "SIG"),
}


@pytest.mark.parametrize("snapshots", ["on", "off"])
@pytest.mark.parametrize("death", DEATHS)
def test_a_worker_that_ends_itself_is_reported(armed, death, snapshots):
    code, how = DEATHS[death]
    armed.run(f"%snapshot {snapshots}").ok()
    before = pids(armed)
    reply = armed.send(f'%%px\nif px::rank() == 2 {{ println!("dying"); {code} }}\nprintln!("well {{}}", px::rank());')
    armed.wait_for_text(reply, "dying")
    dying = time.time()
    armed.wait(reply).failed()
    assert reply.idle_at - dying < 1.0, f"reported after {reply.idle_at - dying:.2f} s"
    assert how in reply.text, reply
    assert "[2:" in reply.traceback
    for engine in (0, 1, 3):
        assert f"[stdout:{engine}] well {engine}" in reply.text
    if snapshots == "on":
        assert AS_BEFORE in reply.text and "`precious`" not in reply.text
        assert_only_engine_restored(armed, 2, before)
    else:
        assert "`precious`" in reply.text, "the notebook says which variables were lost"
        assert_only_engine_lost(armed, 2, before)


def test_what_a_worker_printed_before_it_died_is_shown(armed):
    """Rust itself flushes stdout at newlines only, and stderr always."""
    reply = armed.run('%%px -t 1\nprintln!("last words"); eprint!("very last"); std::process::abort();').failed()
    assert "[stdout:1] last words" in reply.text and "[stderr:1] very last" in reply.text


@pytest.mark.parametrize("snapshots", ["on", "off"])
def test_a_worker_killed_in_a_cell_is_reported(armed, snapshots):
    armed.run(f"%snapshot {snapshots}").ok()
    before = pids(armed)
    code = f'%%px\nprintln!("running");\nif px::rank() == 1 {{ {ENDLESS} }}'
    reply = armed.send(code)
    armed.wait_for_text(reply, "running", times=4)
    killed = time.time()
    processes.kill(before[1][0])
    armed.wait(reply).failed()
    assert reply.idle_at - killed < 1.0, f"reported after {reply.idle_at - killed:.2f} s"
    assert "SIGKILL" in reply.text, reply
    if snapshots == "on":
        assert AS_BEFORE in reply.text
        assert_only_engine_restored(armed, 1, before)
    else:
        assert "`precious`" in reply.text, reply
        assert_only_engine_lost(armed, 1, before)


def test_a_worker_killed_between_cells_is_reported_by_the_next(without_snapshots):
    armed = without_snapshots
    before = pids(armed)
    processes.kill(before[3][0])
    processes.wait_until("the worker to be dead", lambda: not processes.alive(before[3][0]))
    reply = armed.run("%px precious + 1").failed()
    assert "`precious`" in reply.text and re.search(r"\bengine 3\b", reply.text), reply
    assert_only_engine_lost(armed, 3, before)


def test_an_engine_process_killed_in_a_cell_is_reported(armed):
    before = pids(armed)
    reply = armed.send(f'%%px\nprintln!("running");\nif px::rank() == 2 {{ {ENDLESS} }}')
    armed.wait_for_text(reply, "running", times=4)
    killed = time.time()
    processes.kill(before[2][1])
    armed.wait(reply).failed()
    assert reply.idle_at - killed < 1.0, f"reported after {reply.idle_at - killed:.2f} s"
    assert "[2:" in reply.traceback and "`precious`" in reply.text, reply
    processes.wait_until("the killed engine's worker to be gone", lambda: not processes.alive(before[2][0]), 2)
    wait_for_ranks(armed, 4)
    assert_only_engine_lost(armed, 2, before)


def test_an_engine_process_killed_between_cells_comes_back(armed):
    before = pids(armed)
    processes.kill(before[0][1])
    wait_for_ranks(armed, 4)
    assert_only_engine_lost(armed, 0, before)


def test_all_workers_may_die_at_once(armed):
    reply = armed.run("%px std::process::abort();").failed()
    assert "4 errors" in reply.text
    assert ranks(armed) == [0, 1, 2, 3]


READ = "let mut line = String::new(); std::io::stdin().read_line(&mut line).unwrap();"
NO_STDIN = "standard input, which cells on engines don't have"


def test_code_on_engines_that_reads_its_stdin_fails_and_says_why(armed):
    before = pids(armed)
    reply = armed.run(f"%%px\nif px::rank() == 2 {{ {READ} }}\nprintln!(\"well {{}}\", px::rank());").failed()
    content = reply.content
    assert content["ename"] == "StdinNotImplementedError" and "engine 2" in content["evalue"], content
    assert NO_STDIN in reply.text and "`%push` it" in reply.text and AS_BEFORE in reply.text
    for engine in (0, 1, 3):
        assert f"[stdout:{engine}] well {engine}" in reply.text
    assert_only_engine_restored(armed, 2, before)

    armed.run(f"fn ask(n: u32) -> u32 {{ {READ} n + line.len() as u32 }}").ok()
    for cell in ("%map ask over 0..100u32", "px::call!(ask, 1).get()?"):
        reply = armed.run(cell, timeout=30).failed()
        assert NO_STDIN in reply.text and "panicked" not in reply.text, reply
    armed.run('%px std::process::Command::new("sh").args(["-c", "cat; echo $?"]).status().unwrap();', timeout=30).ok()
    assert re.search(r"^Out\[0-3:\d+\]: 1234$", armed.run("%px precious").ok().text, re.MULTILINE)


def test_a_killed_local_worker_costs_the_cluster_nothing(armed):
    armed.run("std::process::exit(4);").failed()
    assert "1234" in armed.run("%px precious").ok().text


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_kernel_leaves_no_process(own_kernel, how):
    own_kernel.run("%cluster start -n 3").ok()
    busy = own_kernel.send(f'%px println!("running"); {ENDLESS}')
    own_kernel.wait_for_text(busy, "running", times=3)
    assert len(processes.marked(own_kernel.mark)) >= 5, "kernel, engines and workers"
    os.kill(own_kernel.pid, how)

    def left():
        return [processes.describe(pid) for pid in processes.marked(own_kernel.mark)]

    deadline = time.monotonic() + 2
    while left() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert left() == []


def test_a_kernel_shut_down_leaves_no_process(own_kernel):
    own_kernel.run("%cluster start -n 2").ok()
    own_kernel.run("%px 1").ok()
    own_kernel.client.shutdown()
    processes.wait_until("all processes to be gone", lambda: not processes.marked(own_kernel.mark), 5)


def test_a_variable_can_be_defined_again_after_a_death(cluster):
    cluster.run("%px let again = vec![1];").ok()
    cluster.run("%snapshot off").ok()
    cluster.run("%px std::process::abort();").failed()
    cluster.run("%px let again = vec![1, 2];").ok()
    assert "Out[0-3:" in cluster.run("%px again.len()").ok().text
    cluster.run("%px -t 1 let mine = 1;").ok()
    cluster.run("%px -t 1 std::process::abort();").failed()
    reply = cluster.run("%px mine").failed()
    assert "lost on engine 1:" in reply.text, "only engine 1 ever had it"
