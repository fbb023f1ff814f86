"""Has a running cluster of Dask's or Ray's run outposts of Chorus, as tasks that last as long as these do.

The controller runs this program and talks with it in lines of JSON, over its standard input and output. It says at first what is
to be run, and then `{"start": N, "invitation": ".."}`, `{"joined": N}`, and `{"drop": N}`: nobody waits for that one any more. It
is told `{"ready": true}` when the cluster has answered, `{"waits": [N, ".."]}` with a reason that may be null, `{"begun": N}`,
`{"ended": [N, ".."]}`, and `{"failed": ".."}` before this ends. At the end of its input, what waits is dropped, and this goes on
until the outposts that have joined have left.

In front of this text comes that of one of the kinds of clusters, with a class `Cluster`.
"""

import importlib
import json
import os
import queue
import sys
import threading

# How long a cluster may take to answer, in seconds.
ANSWER = 20

# The program that outposts are, as the controller says it: its hash, the name of its file, and a script of `sh` which starts the
# program that is its first argument.


def keep(spec, bring):
    """Where the program is on this host, which keeps it under its hash; `bring` returns its bytes, if it isn't there yet."""
    import fcntl
    import os
    import tempfile

    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = os.path.join(cache, "chorus", "engines", spec["hash"])
    path = os.path.join(folder, spec["file"])
    os.makedirs(folder, mode=0o700, exist_ok=True)
    with open(os.path.join(folder, ".lock"), "w") as lock:
        try:
            # One brings it, and the others of this host wait.
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:
            # Some shared folders know no locks. Then each brings it.
            pass
        if not os.access(path, os.X_OK):
            handle, new = tempfile.mkstemp(dir=folder)
            try:
                with open(handle, "wb") as file:
                    file.write(bring())
                os.chmod(new, 0o700)
                os.rename(new, path)
            except BaseException:
                os.unlink(new)
                raise
    return path


def outpost(spec, path, invitation, is_dropped=None):
    """Runs an outpost until it ends; why it hasn't joined, or None. Until then, `is_dropped` is asked whether it is to be ended."""
    import collections
    import os
    import subprocess
    import sys
    import threading

    # To Linux, a process has a thread for a parent: this one. When that goes, the outpost is asked to leave. A process of its
    # own sets that, since nothing should be done between `fork` and `exec` in one with threads.
    tied = (
        "import ctypes, os, signal, sys; signal.signal(signal.SIGPIPE, signal.SIG_DFL); "
        "ctypes.CDLL(None).prctl(1, 15, 0, 0, 0); os.getppid() == int(sys.argv[1]) or sys.exit('its worker is gone'); "
        "os.execvp(sys.argv[2], sys.argv[2:])"
    )
    words = [sys.executable, "-c", tied, str(os.getpid()), "sh", "-c", spec["script"], "sh", path]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    process = subprocess.Popen(words, start_new_session=True, **pipes)
    settled, last, has_joined = threading.Event(), collections.deque(maxlen=3), []

    def read():
        for line in process.stdout:
            line = line.decode(errors="replace").strip()
            if line == spec["joined"]:
                has_joined.append(True)
                settled.set()
            elif line:
                last.append(line[len(spec["failed"]) :].strip() if line.startswith(spec["failed"]) else line)
        settled.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        process.stdin.write(invitation.encode() + b"\n")
        process.stdin.close()
    except OSError:
        # It has ended, and has said why.
        pass
    while not settled.wait(1):
        if is_dropped and is_dropped():
            process.terminate()
    status = process.wait()
    reader.join()
    return None if has_joined else "; ".join(last) or f"the outpost has ended with status {status}"


def package(name, title):
    """A package that this Python ought to have."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        how = '`--command "/path/to/python3"`'
        raise RuntimeError(f"{sys.executable} has no {title} ({error}): name a Python that has it, as in {how}") from None


class Guide:
    """Knows which outposts wait and which are there."""

    def __init__(self, spec, out):
        self.spec, self.out, self.events = spec, out, queue.Queue()
        # Tasks by number, which of them have begun, which have joined, and what was told of those that wait.
        self.tasks, self.has_begun, self.has_joined, self.told = {}, set(), set(), {}

    def say(self, **what):
        try:
            print(json.dumps(what), file=self.out, flush=True)
        except OSError:
            # The controller was killed. This goes on as long as outposts do.
            pass

    def give_up(self, why):
        self.say(failed=why)
        os._exit(0)

    def listen(self):
        """Hears what the controller says."""
        for line in sys.stdin.buffer:
            said = json.loads(line)
            kind = next(kind for kind in ("start", "joined", "drop") if kind in said)
            self.events.put((kind, said[kind], said.get("invitation")))
        self.events.put(("left", None, None))

    def run(self, cluster):
        """Does what is said until nothing is left to do."""
        threading.Thread(target=self.listen, daemon=True).start()
        has_left = False
        while not has_left or self.tasks:
            try:
                kind, number, what = self.events.get(timeout=2)
            except queue.Empty:
                # A task that is still named somewhere isn't gone for Dask.
                kind, number, what = "look", None, None
            if kind == "start":
                self.tasks[number] = cluster.start(number, what)
            elif kind == "joined" and number in self.tasks:
                self.has_joined.add(number)
            elif kind == "drop" and number in self.tasks:
                self.drop(cluster, number)
            elif kind == "asked":
                number = cluster.answer(number, what)
                if number in self.tasks:
                    self.has_begun.add(number)
                    self.say(begun=number)
            elif kind == "ended" and self.tasks.get(number) is what[0]:
                cluster.forget(number)
                self.forget(number)
                self.say(ended=[number, what[1]])
            elif kind == "left":
                has_left = True
                for number in set(self.tasks) - self.has_joined:
                    self.drop(cluster, number)
            elif kind == "failed":
                raise RuntimeError(what)
            elif kind == "look":
                self.tell_who_waits(cluster)

    def drop(self, cluster, number):
        if cluster.drop(number, self.tasks[number], number in self.has_begun):
            self.forget(number)

    def forget(self, number):
        del self.tasks[number]
        self.has_begun.discard(number)
        self.has_joined.discard(number)
        self.told.pop(number, None)

    def tell_who_waits(self, cluster):
        waiting = set(self.tasks) - self.has_begun - self.has_joined
        why = cluster.why() if waiting else None
        for number in waiting:
            if self.told.get(number, ()) != why:
                self.told[number] = why
                self.say(waits=[number, why])
        number = cluster.again(waiting) if waiting else None
        if number is not None:
            self.tasks.pop(number).cancel()
            self.tasks[number] = cluster.start(number, cluster.forget(number))


def main():
    # Only what is said to the controller goes to standard output.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    guide = Guide(json.loads(sys.stdin.buffer.readline()), out)
    # What isn't a scheduler may take what is said to it, and say nothing.
    limit = threading.Timer(ANSWER, lambda: guide.give_up(f"{guide.spec['address']} hasn't answered for {ANSWER} s"))
    limit.daemon = True
    limit.start()
    try:
        cluster = Cluster(guide)  # noqa: F821, it is in the text in front
        limit.cancel()
        guide.say(ready=True)
        guide.run(cluster)
        cluster.close()
    except Exception as error:
        guide.give_up(str(error) or type(error).__name__)
    # Whatever threads there are: nobody waits for them.
    os._exit(0)


main()
