"""A gigabyte of output: all of it arrives, in bounded memory, while the kernel goes on answering.

`CHORUS_FLOOD_MB` changes the amount.
"""

import os
import re
import select
import signal
import subprocess
import sys
import threading

import pytest
import zmq

import processes

MEGABYTES = int(os.environ.get("CHORUS_FLOOD_MB", "1024"))
BODY = 1009
LINE = BODY + len("<0:0123456789>\n")
GROWTH_LIMIT = 200 << 20
"""Of all processes together: room for the buffers of each, far from enough to keep what is printed."""


class Reader:
    """Takes the streams of a cell without keeping them and checks that no line is missing, doubled or torn."""

    LINE = re.compile(rf"(?:\[stdout:\d+\] )?<(\d+):(\d+)>x{{{BODY}}}$")

    def __init__(self):
        self.next = {}
        self.rest = ""
        self.wrong = []

    def __call__(self, _, text):
        lines = (self.rest + text).split("\n")
        self.rest = lines.pop()
        for line in lines:
            match = self.LINE.match(line)
            if match is None:
                self.wrong.append(line[:200])
                continue
            rank, number = int(match[1]), int(match[2])
            if number != self.next.setdefault(rank, 0):
                self.wrong.append(f"engine {rank}: line {number} instead of {self.next[rank]}")
            self.next[rank] = number + 1


class Memory:
    """The highest memory of the processes of a test, beyond what they held at the start."""

    def __init__(self, mark):
        self.before = {pid: processes.resident(pid) for pid in processes.marked(mark)}
        self.growth = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self):
        while not self._stop.wait(0.05):
            for pid, before in self.before.items():
                self.growth[pid] = max(self.growth.get(pid, 0), processes.resident(pid) - before)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.described = {processes.describe(pid): growth >> 20 for pid, growth in self.growth.items()}
        self._stop.set()
        self._thread.join()


def flood(prefix, writers, gate, megabytes=MEGABYTES):
    lines = megabytes * (1 << 20) // LINE // writers
    rank = "px::rank()" if prefix else "0"
    code = f"""{prefix}
    let body = "x".repeat({BODY});
    println!("ready");
    while !std::path::Path::new("{gate}").exists() {{ std::thread::sleep(std::time::Duration::from_millis(5)); }}
    {{
        use std::io::Write;
        let mut out = std::io::BufWriter::with_capacity(1 << 16, std::io::stdout().lock());
        for i in 0..{lines} {{ writeln!(out, "<{{}}:{{:010}}>{{body}}", {rank}, i)?; }}
        out.flush()?;
    }}"""
    return code, lines


@pytest.mark.timeout(600)
@pytest.mark.parametrize("prefix, writers", [("%%px", 2), ("", 1)], ids=["engines", "local"])
def test_all_output_arrives_in_bounded_memory(own_kernel, tmp_path, prefix, writers):
    kernel, gate, reader, ready = own_kernel, tmp_path / "gate", Reader(), []
    kernel.run("%cluster start -n 2").ok()
    code, lines = flood(prefix, writers, gate)

    def take(name, text):
        if len(ready) < writers:
            ready.extend(re.findall("ready", text))
            text = re.sub(r"(?:\[stdout:\d\] )?ready\n", "", text)
        reader(name, text)

    reply = kernel.send(code, on_stream=take)
    # The cell is compiled by now: what follows is the cost of output alone.
    kernel.pump(lambda: len(ready) == writers or reply.done, 120, lambda: f"the cell to be ready: {reply.text}")
    assert not reply.done, reply
    with Memory(kernel.mark) as memory:
        gate.touch()
        answers = 0
        while not reply.done:
            kernel.kernel_info(timeout=5)
            answers += 1
            kernel.pump(lambda: reply.done or sum(reader.next.values()) > answers * 50_000, 300, lambda: "the flood")
    reply.ok()
    assert reader.wrong[:3] == [] and reader.rest == ""
    assert reader.next == {rank: lines for rank in range(writers)}
    assert answers > 1, "kernel_info was asked while the cell ran"
    limit = min(GROWTH_LIMIT, MEGABYTES << 19)
    assert sum(memory.growth.values()) < limit, f"memory grew by, in MB: {memory.described}"


def test_a_reader_that_stops_does_not_cost_memory_or_output(own_kernel, tmp_path):
    """The front end doesn't read for a while: the cell has to wait, and nothing may be dropped."""
    kernel, reader, gate = own_kernel, Reader(), tmp_path / "gate"
    kernel.run("%cluster start -n 2").ok()
    code, lines = flood("%%px", 2, gate, MEGABYTES // 2)
    ready = []

    def take(name, text):
        ready.extend(re.findall("ready", text))
        reader(name, re.sub(r"(?:\[stdout:\d\] )?ready\n", "", text))

    reply = kernel.send(code, on_stream=take)
    kernel.pump(lambda: len(ready) == 2 or reply.done, 120, lambda: "the cell to be ready")
    with Memory(kernel.mark) as memory:
        gate.touch()
        # Nothing is read here, and the processes come to rest, as they must when nobody reads.
        threading.Event().wait(3)
        kernel.wait(reply, timeout=300).ok()
    assert reader.wrong[:3] == []
    assert reader.next == {0: lines, 1: lines}
    limit = min(GROWTH_LIMIT, MEGABYTES << 18)
    assert sum(memory.growth.values()) < limit, f"memory grew by, in MB: {memory.described}"


LISTENER = """
import sys, zmq
socket = zmq.Context().socket(zmq.SUB)
socket.subscribe(b"")
socket.rcvhwm = 1
socket.connect(sys.argv[1])
for wanted in (b"before", b"after"):
    while not any(wanted in frame for frame in socket.recv_multipart()):
        pass
    print(wanted.decode(), flush=True)
"""


@pytest.mark.timeout(300)
def test_front_ends_that_do_not_read_stop_nobody(own_kernel, tmp_path):
    """One in this process never reads, one is a process that is stopped: the cell and the other front end go on."""
    kernel, reader, gate, ready = own_kernel, Reader(), tmp_path / "gate", []
    endpoint = f"tcp://127.0.0.1:{kernel.manager.get_connection_info()['iopub_port']}"
    deaf = zmq.Context.instance().socket(zmq.SUB)
    deaf.linger, deaf.rcvhwm = 0, 1
    deaf.subscribe(b"")
    deaf.connect(endpoint)
    stopped = subprocess.Popen([sys.executable, "-c", LISTENER, endpoint], stdout=subprocess.PIPE, text=True)
    try:
        processes.wait_until("the other process to listen", lambda: kernel.run('println!("before");') and heard(stopped))
        os.kill(stopped.pid, signal.SIGSTOP)
        code, lines = flood("", 1, gate, 256)
        notices = []

        def take(name, text):
            if name == "stderr":
                notices.append(text)
                return
            if not ready:
                ready.extend(re.findall("ready", text))
                text = text.replace("ready\n", "")
            reader(name, text)

        reply = kernel.send(code, on_stream=take)
        kernel.pump(lambda: ready or reply.done, 120, lambda: f"the cell to be ready: {reply.text}")
        with Memory(kernel.mark) as memory:
            gate.touch()
            while not reply.done:
                kernel.kernel_info(timeout=10)
        reply.ok()
        assert reader.wrong[:3] == [] and reader.next == {0: lines}
        assert "Front ends disconnected: " in "".join(notices), notices
        assert sum(memory.growth.values()) < GROWTH_LIMIT, f"memory grew by, in MB: {memory.described}"
        # Its connection was closed, so it connects again when it goes on.
        os.kill(stopped.pid, signal.SIGCONT)
        processes.wait_until("the process to hear again", lambda: kernel.run('println!("after");') and heard(stopped))
    finally:
        stopped.kill()
        stopped.wait()
        deaf.close()


def heard(process):
    """Whether the process has printed a line since the last time."""
    ready, _, _ = select.select([process.stdout], [], [], 0.5)
    return bool(ready) and process.stdout.readline() != ""
