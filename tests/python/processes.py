"""What the tests need to know of processes: which belong to them, and how much memory they hold."""

import os
import signal
import subprocess
import time

MARK = "CHORUS_TEST_MARK"


def wait_until(what, condition, seconds=20.0):
    """The first true value of `condition()`; a failure that says what was waited for when none comes in time."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s for {what}; last seen: {value!r}")
        time.sleep(0.01)


def end(started, within):
    """Ends programs that were started, the last one first; those that don't end in time are killed."""
    for process in reversed(started):
        process.terminate()
    for process in started:
        try:
            process.wait(within)
        except subprocess.TimeoutExpired:
            process.kill()


def marked(mark):
    """The pids of all living processes that were started, at whatever distance, with `mark` in their environment."""
    wanted = f"{MARK}={mark}".encode()
    pids = []
    for name in os.listdir("/proc"):
        if name.isdigit() and alive(int(name)):
            try:
                with open(f"/proc/{name}/environ", "rb") as file:
                    if wanted in file.read().split(b"\0"):
                        pids.append(int(name))
            except OSError:
                pass  # It ended meanwhile.
    return pids


def alive(pid):
    """Whether a process exists and isn't a zombie, which holds nothing but its number."""
    return state(pid) not in (None, "Z", "X")


def state(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0]
    except OSError:
        return None


def parent(pid):
    """The process that started another, while that is alive."""
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def children(pid, mark):
    """The marked processes that another started and that are alive."""
    found = []
    for child in marked(mark):
        try:
            if parent(child) == pid:
                found.append(child)
        except OSError:
            pass  # It ended meanwhile.
    return found


def describe(pid):
    """A process in words, for messages of failed tests."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return f"{pid} ({file.read().replace(bytes(1), b' ').decode(errors='replace').strip()})"
    except OSError:
        return f"{pid} (gone)"


def engines_of(mark):
    """The processes of a kernel's own engines: their supervisors, and the workers below them."""
    found = []
    for pid in sorted(marked(mark)):
        try:
            if any(" --connect " in describe(each) for each in [pid, *ancestors(pid)]):
                found.append(pid)
        except (OSError, ValueError, IndexError):
            pass  # It ended meanwhile.
    return found


def ancestors(pid):
    while (pid := parent(pid)) > 1:
        yield pid


def resident(pid):
    """Bytes of memory that a process holds, without what it shares with others' files."""
    try:
        with open(f"/proc/{pid}/statm") as file:
            _, pages, shared = file.read().split()[:3]
            return (int(pages) - int(shared)) * os.sysconf("SC_PAGESIZE")
    except (OSError, ValueError):
        return 0


def kill(pid, number=signal.SIGKILL):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def end_all(mark):
    """Ends what a test has left; the children of a killed process may start others, hence the loop."""

    def none_left():
        left = marked(mark)
        for pid in left:
            kill(pid)
        return not left

    wait_until("the killed processes of a test to be gone", none_left)
