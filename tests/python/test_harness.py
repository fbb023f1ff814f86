"""The harness itself: what it lets through and what it catches, with a kernel whose behaviour is known."""

import pytest

import processes
from harness import Kernel


@pytest.fixture(scope="module")
def python():
    with Kernel("python3") as kernel:
        yield kernel


def test_it_sorts_what_a_cell_publishes(python):
    reply = python.run("import sys; print('out'); print('err', file=sys.stderr); 6 * 7").ok()
    assert (reply.stdout, reply.stderr) == ("out\n", "err\n")
    assert reply.results == [{"text/plain": "42"}]
    reply = python.run("1 / 0").failed()
    assert "ZeroDivisionError" in reply.text
    with pytest.raises(AssertionError, match="the cell failed"):
        reply.ok()


def test_it_catches_output_after_idle(python):
    code = "import threading\nthreading.Timer(0.2, print, ['late']).start()"
    late = python.send(code)
    python.wait(late)
    with pytest.raises(AssertionError, match="after idle"):
        python.pump(lambda: False, 10, lambda: "the late output")
    allowed = python.wait(python.send(code, background=True))
    python.pump(lambda: "late" in allowed.stdout, 10, lambda: "the late output")


def test_it_says_what_it_waited_for(python):
    reply = python.send("import time; time.sleep(2)")
    with pytest.raises(AssertionError, match=r"waited 0.2 s for the end of the cell\nimport time"):
        python.wait(reply, timeout=0.2)
    python.wait(reply)


def test_it_notices_a_dead_kernel_and_leaves_no_process():
    with Kernel("python3") as kernel:
        processes.kill(kernel.pid)
        with pytest.raises(AssertionError, match="died while the test waited"):
            kernel.run("1")
        mark = kernel.mark
    assert processes.marked(mark) == []


def test_it_finds_the_processes_of_a_test(python):
    reply = python.run("import subprocess; child = subprocess.Popen(['sleep', '100']); child.pid").ok()
    child = int(reply.results[0]["text/plain"])
    assert {python.pid, child} <= set(processes.marked(python.mark))
    processes.kill(child)
    processes.wait_until("a killed process to be dead", lambda: not processes.alive(child))
    python.run("child.wait()").ok()
