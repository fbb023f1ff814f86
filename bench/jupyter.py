"""A kernel and the one client that times it, the same for every kernel.

The tests' client (tests/python/harness.py) fails at each breach of the protocol; this one lets a peer be as it is.
"""

import socket
import subprocess
import time

import psutil
import zmq
from jupyter_client import KernelManager

START_TIMEOUT = 60
CELL_TIMEOUT = 300


class Cell:
    """What came back for a request, and when, in seconds of `time.perf_counter`."""

    def __init__(self, code, sent):
        self.code = code
        self.sent = sent
        self.status = None
        self.output = []
        self.idle = None
        self.replied = None

    @property
    def over(self):
        """When both reply and idle were there."""
        return None if self.idle is None or self.replied is None else max(self.idle, self.replied)

    @property
    def milliseconds(self):
        return 1000 * (self.over - self.sent)

    def expect(self, status="ok"):
        if self.status != status:
            raise RuntimeError(f"status {self.status}, expected {status}, from the cell\n{self.code}\n{self.output}")
        return self


class Kernel:
    """A kernel that was started and has answered `kernel_info`; `ready` is how many seconds that took."""

    def __init__(self, name, environment):
        self.manager = KernelManager(kernel_name=name)
        self._pending = {}
        self.client = None
        try:
            self.started = time.perf_counter()
            self.manager.start_kernel(env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for port in ("shell_port", "iopub_port"):
                self._wait_for_port(getattr(self.manager, port))
            self.client = self.manager.blocking_client()
            self.client.start_channels(stdin=False, hb=False)
            info = self._ask("kernel_info", self.client.kernel_info())
            self._pump([info], needs_idle=False, timeout=START_TIMEOUT)
            self.ready = info.replied - self.started
        except BaseException:
            self.close()
            raise

    @property
    def pid(self):
        return self.manager.provisioner.pid

    def run(self, code):
        return self.run_all([code])[0]

    def run_all(self, codes, timeout=CELL_TIMEOUT):
        """Sends all cells at once, as front ends do for "Run All", and waits for their ends."""
        cells = [self._ask(code, self.client.execute(code, allow_stdin=False, stop_on_error=False)) for code in codes]
        self._pump(cells, needs_idle=True, timeout=timeout)
        return cells

    def family(self):
        """The kernel's process and all that descend from it."""
        kernel = psutil.Process(self.pid)
        return [kernel, *kernel.children(recursive=True)]

    def _wait_for_port(self, port):
        """zmq waits for 100 ms before it tries again to connect to a closed port, too long for what we measure."""
        deadline = time.perf_counter() + START_TIMEOUT
        while True:
            try:
                return socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError as error:
                if time.perf_counter() > deadline or self.manager.provisioner.process.poll() is not None:
                    raise RuntimeError(f"the kernel doesn't listen at port {port}: {error}") from error
                time.sleep(0.002)

    def _ask(self, code, message):
        cell = self._pending[message] = Cell(code, time.perf_counter())
        return cell

    def _pump(self, cells, needs_idle, timeout):
        def waiting():
            return [cell for cell in cells if cell.replied is None or (needs_idle and cell.idle is None)]

        poller = zmq.Poller()
        channels = [self.client.shell_channel, self.client.iopub_channel]
        for channel in channels:
            poller.register(channel.socket, zmq.POLLIN)
        deadline = time.perf_counter() + timeout
        while left := waiting():
            if time.perf_counter() > deadline:
                raise RuntimeError(f"waited {timeout} s for the end of\n{left[0].code}\n{left[0].output}")
            ready = dict(poller.poll(500))
            for channel in channels:
                if channel.socket in ready:
                    message = channel.get_msg(timeout=5)
                    cell = self._pending.get(message["parent_header"].get("msg_id"))
                    if cell is not None:
                        self._receive(cell, channel is channels[0], message["header"]["msg_type"], message["content"])

    @staticmethod
    def _receive(cell, on_shell, kind, content):
        now = time.perf_counter()
        if on_shell:
            cell.status, cell.replied = content.get("status"), now
        elif kind == "status" and content["execution_state"] == "idle":
            cell.idle = now
        elif kind == "stream":
            cell.output.append(content["text"])
        elif kind == "execute_result":
            cell.output.append(content["data"].get("text/plain", ""))
        elif kind == "error":
            cell.output += content["traceback"]

    def close(self):
        if self.client is not None:
            self.client.stop_channels()
        if self.manager.has_kernel:
            self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
