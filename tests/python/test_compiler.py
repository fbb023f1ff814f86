"""The compiler's process: a copy of one that has started, replaced when it ends, and gone when nobody needs it."""

import os
import pathlib
import random
import signal
import time

import pytest

import processes
from conftest import start_kernel

# So many distinct functions take rustc about a second.
LONG = "\n".join(f"fn long_{i}(x: u64) -> String {{ format!(\"{{}} {{:?}}\", x + {i}, vec![x; {i}]) }}" for i in range(120))
DEFINE = "#[derive(Debug, Clone, PartialEq)] struct Point { x: f64 }\nfn twice(x: f64) -> f64 { x * 2.0 }"


@pytest.fixture
def cache(installed, fresh_cache, monkeypatch):
    """Only this test's kernels use the template."""
    monkeypatch.setenv("CHORUS_CACHE_DIR", str(fresh_cache))
    return fresh_cache


def said(kernel, code):
    return kernel.run(code).ok().text.strip()


def compilers():
    """All compilers' processes that there are."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            arguments = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if arguments[1:2] == [b"compiler"] and processes.alive(int(pid)):
            found.append((int(pid), arguments[2].decode()))
    return found


def compiler_of(kernel):
    """The process that builds in the kernel's folder, once there is one."""
    folder = pathlib.Path(kernel.env["CHORUS_RUNTIME_DIR"]) / "kernels" / str(kernel.pid)

    def found():
        for pid, started in compilers():
            # A template has it open for a moment.
            if started != str(folder) and not is_copy(pid):
                continue
            try:
                if any(os.path.realpath(link) == str(folder) for link in pathlib.Path(f"/proc/{pid}/fd").iterdir()):
                    return pid
            except OSError:
                pass  # It ended meanwhile.
        return None

    return processes.wait_until("the kernel's compiler", found, 240)


def templates(cache):
    """The processes in the cache's folder that kernels' compilers are copies of."""
    return [pid for pid, folder in compilers() if folder.startswith(str(cache)) and not is_copy(pid)]


def is_copy(pid):
    try:
        return processes.parent(pid) in [other for other, _ in compilers()]
    except OSError:
        return True


def test_kernels_have_copies_of_one_compiler(cache):
    with start_kernel() as first, start_kernel() as second:
        one, other = compiler_of(first), compiler_of(second)
        assert one != other and processes.parent(one) == processes.parent(other) == templates(cache)[0]
        # They share nothing that a notebook can see.
        said(first, f"{DEFINE}\nlet a = twice(1.0);")
        said(second, "fn twice(x: f64) -> f64 { x * 20.0 }\nlet a = twice(1.0);")
        assert (said(first, "a"), said(second, "a")) == ("2.0", "20.0")
        first.restart()
        assert compiler_of(first) not in (one, other)
        assert "not found in this scope" in first.run("twice(1.0)").failed().text
        assert said(second, "twice(a)") == "400.0"
    processes.wait_until("the end of the copies", lambda: len(compilers_in(cache)) == 1)


def compilers_in(cache):
    return [pid for pid, folder in compilers() if folder.startswith(str(cache))]


def test_a_compiler_that_dies_costs_nothing(cache):
    """Killed when idle, and while it compiles."""
    with start_kernel(env={"CHORUS_ENGINES": "2"}) as kernel:
        said(kernel, f"{DEFINE}\nlet p = Point {{ x: twice(2.0) }};")
        said(kernel, "%px let part = px::rank() as f64 + 0.5;")
        os.kill(compiler_of(kernel), signal.SIGKILL)
        assert said(kernel, "p.clone()") == "Point { x: 4.0 }"
        assert "0.5" in said(kernel, "%px part * 1.0")
        reply = kernel.send(f"{LONG}\nlet kept = long_7(twice(p.x) as u64); kept")
        compiler = compiler_of(kernel)
        wait_for_rustc_of(compiler)
        os.kill(compiler, signal.SIGKILL)
        assert "15 [8, 8, 8, 8, 8, 8, 8]" in kernel.wait(reply).ok().text
        assert said(kernel, "kept.len() as f64 + p.x") == "28.0"


def wait_for_rustc_of(compiler):
    rustc = lambda: [int(pid.name) for pid in pathlib.Path("/proc").iterdir() if is_rustc_of(pid, compiler)]
    return processes.wait_until("rustc", rustc)[0]


def is_rustc_of(process, compiler):
    try:
        pid = int(process.name) if (process / "comm").read_text() == "rustc\n" else 0
        while pid > 1 and pid != compiler:
            pid = processes.parent(pid)
        return pid == compiler
    except (OSError, ValueError):
        return False


# In the place of rustc: for a cell it waits, or is killed, as often as it is told to.
UNLUCKY = """#!/bin/sh
case " $* " in
*" --crate-name ctx "*)
    left=$(cat "$DO/left" 2>/dev/null || echo 0)
    if [ "$left" -gt 0 ]; then
        echo $((left - 1)) > "$DO/left"
        echo $$ >> "$DO/pids"
        [ -e "$DO/wait" ] && sleep 600
        kill -9 $$
    fi;;
esac
exec rustc "$@"
"""


@pytest.fixture(scope="module")
def unlucky(installed, tmp_path_factory):
    """A kernel whose rustc is killed as often as it is asked for, and the folder that it is asked in."""
    do = tmp_path_factory.mktemp("unlucky")
    rustc = do / "rustc"
    rustc.write_text(UNLUCKY)
    rustc.chmod(0o755)
    # How rustc is called is noted there.
    cache = do / "cache"
    cache.mkdir(mode=0o700)
    with start_kernel(env={"RUSTC": str(rustc), "DO": str(do), "CHORUS_CACHE_DIR": str(cache)}) as kernel:
        assert said(kernel, "use std::sync::atomic::AtomicU8;\nstatic HELD: AtomicU8 = AtomicU8::new(1);\nlet kept = 5; kept") == "5"
        yield kernel, do


def children(pid):
    return [int(child) for child in os.listdir("/proc") if child.isdigit() and is_child(int(child), pid)]


def is_child(child, pid):
    try:
        return processes.parent(child) == pid
    except OSError:
        return False


def test_what_a_killed_compiler_has_started_ends_with_it(unlucky):
    kernel, do = unlucky
    (do / "pids").unlink(missing_ok=True)
    (do / "wait").touch()
    (do / "left").write_text("1")
    reply = kernel.send("let other = kept + 1; other")
    rustc = processes.wait_until("rustc", lambda: (do / "pids").exists() and (do / "pids").read_text().strip(), 60)
    sleep = processes.wait_until("its child", lambda: children(int(rustc)), 60)
    os.kill(compiler_of(kernel), signal.SIGKILL)
    assert kernel.wait(reply).ok().text.strip() == "6"
    processes.wait_until("the end of what it has started", lambda: not any(map(processes.alive, [int(rustc), *sleep])))


def test_a_killed_rustc_is_called_again(unlucky):
    kernel, do = unlucky
    (do / "wait").unlink(missing_ok=True)
    (do / "left").write_text("1")
    assert said(kernel, "let second = kept + 2; second") == "7"
    assert (do / "left").read_text().strip() == "0"
    # A static is still the one that it was.
    add = "HELD.fetch_add({}, std::sync::atomic::Ordering::SeqCst)"
    assert said(kernel, add.format(1)) == "1"
    (do / "left").write_text("1")
    assert said(kernel, add.format(2)) == "2"
    assert (do / "left").read_text().strip() == "0"
    assert said(kernel, add.format(3)) == "4"
    # Once.
    (do / "left").write_text("100")
    failed = kernel.run("let third = kept + 3; third").failed()
    assert "rustc was killed" in failed.text and "memory" in failed.text and "parsable" not in failed.text, failed.text
    (do / "left").write_text("0")
    assert said(kernel, "let third = kept + 3; third + second") == "15"


def test_one_that_hangs_is_replaced_when_the_user_interrupts(cache):
    with start_kernel() as kernel:
        said(kernel, "let kept = 5;")
        hung = compiler_of(kernel)
        reply = kernel.send(f"{LONG}\nlet other = long_7(kept); other")
        # An interrupt before anything was asked of it isn't for it.
        wait_for_rustc_of(hung)
        os.kill(hung, signal.SIGSTOP)
        # The kernel answers while it waits.
        kernel.kernel_info()
        kernel.interrupt()
        assert kernel.wait(reply, 60).failed().content["ename"] == "Interrupted"
        assert said(kernel, "let other = kept + 2; other") == "7"
        assert compiler_of(kernel) != hung


def test_without_a_template_kernels_go_on(cache):
    with start_kernel() as kernel:
        said(kernel, "let kept = 5;")
        for pid in templates(cache):
            os.kill(pid, signal.SIGKILL)
        assert said(kernel, "kept + 1") == "6"
        left = compilers_in(cache)
        # The next one has another.
        with start_kernel() as other:
            assert said(other, "let a = vec![1, 2]; a.len()") == "2"
            assert len([pid for pid in templates(cache) if pid not in left]) == 1


def test_what_nobody_uses_gives_its_memory_back(cache):
    env = {"CHORUS_COMPILER_MINUTES": "0.03"}
    with start_kernel(env=env) as kernel:
        said(kernel, f"{DEFINE}\nlet p = Point {{ x: twice(2.0) }};")
        processes.wait_until("the end of all compilers", lambda: not compilers_in(cache), 30)
        assert said(kernel, "p.clone()") == "Point { x: 4.0 }"
        # A cell that is known needs none.
        processes.wait_until("the end of all compilers", lambda: not compilers_in(cache), 30)
        assert said(kernel, "p.clone()") == "Point { x: 4.0 }"
        assert not compilers_in(cache)


def test_a_kernel_may_have_a_compiler_of_its_own(cache):
    with start_kernel(env={"CHORUS_COMPILER_MINUTES": "0"}) as kernel:
        said(kernel, f"{DEFINE}\nlet p = Point {{ x: twice(2.0) }};")
        assert not templates(cache)
        own = compiler_of(kernel)
        os.kill(own, signal.SIGKILL)
        assert said(kernel, "p.x + 1.0") == "5.0"
    processes.wait_until("the end of the compiler", lambda: own not in [pid for pid, _ in compilers()])


def test_a_killed_kernel_leaves_no_compiler(cache):
    with start_kernel() as kernel:
        said(kernel, "1 + 1")
        compiler = compiler_of(kernel)
        os.kill(kernel.pid, signal.SIGKILL)
        processes.wait_until("the end of the compiler", lambda: not processes.alive(compiler))


def test_no_cell_is_lost_however_often_compilers_are_killed(cache):
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    with start_kernel() as kernel:
        said(kernel, "let mut seen: Vec<u64> = vec![];")
        for number in range(15):
            reply = kernel.send(f"let n{number} = {number}u64 * 3; seen.push(n{number}); seen.iter().sum::<u64>()")
            end = time.monotonic() + chance.random() * 0.6
            kernel.pump(lambda: reply.done or time.monotonic() > end, 60, lambda: "the time to kill")
            if chance.random() < 0.7:
                chosen = compilers_in(cache)
                if chosen:
                    try:
                        os.kill(chance.choice(chosen), signal.SIGKILL)
                    except ProcessLookupError:
                        pass  # It ended by itself.
            expected = sum(3 * n for n in range(number + 1))
            assert kernel.wait(reply).ok().text.strip() == str(expected), f"seed {seed}"
        assert said(kernel, "seen.len() as u64 + n14") == "57"
