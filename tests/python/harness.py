"""A Jupyter front end for tests: it sends cells, sorts what comes back by cell, and is strict about the protocol.

Whatever a test does, a kernel that sends a message that belongs to no cell, or one for a cell that it has already
declared idle, fails that test. Every wait has a deadline and says what it waited for.
"""

import os
import re
import time
import uuid

import zmq
from jupyter_client import KernelManager
from jupyter_client.kernelspec import KernelSpecManager

import processes

CELL_TIMEOUT = 120.0
"""evcxr warms up for seconds on a small machine, and two tests may share it."""

ANSI = re.compile(r"\x1b\[[0-9;]*m")


def plain(text):
    return ANSI.sub("", text)


class Reply:
    """All that came back for one cell."""

    def __init__(self, code, on_stream=None, background=False):
        self.code = code
        self.background = background
        """Whether output may arrive after idle, as it may for a cell that leaves work running."""
        self.content = None
        """The content of the reply message."""
        self.begun = False
        """Whether the kernel has said that it runs the cell."""
        self.idle_at = None
        self.replied_at = None
        self.messages = []
        """Messages on iopub in their order, as (type, content, time of arrival), the status messages aside."""
        self._cleared = 0
        """How many of them were cleared."""
        self._on_stream = on_stream

    def receive(self, kind, content):
        if kind == "stream" and self._on_stream is not None:
            self._on_stream(content["name"], content["text"])
        else:
            self.messages.append((kind, content, time.time()))
            if kind == "clear_output" and not content["wait"]:
                self._cleared = len(self.messages)

    @property
    def done(self):
        return self.content is not None and self.idle_at is not None

    @property
    def status(self):
        return self.content["status"]

    @property
    def count(self):
        return self.content.get("execution_count")

    def of(self, *kinds):
        return [content for kind, content, _ in self.messages[self._cleared :] if kind in kinds]

    def stream(self, name):
        return "".join(content["text"] for content in self.of("stream") if content["name"] == name)

    @property
    def stdout(self):
        return plain(self.stream("stdout"))

    @property
    def stderr(self):
        return plain(self.stream("stderr"))

    @property
    def results(self):
        return [content["data"] for content in self.of("execute_result")]

    @property
    def displays(self):
        """What is on show at the end: updates replace what they update, as in a notebook."""
        shown, by_id = [], {}
        for kind, content, _ in self.messages[self._cleared :]:
            ident = content.get("transient", {}).get("display_id")
            if kind == "display_data":
                if ident is not None:
                    by_id[ident] = len(shown)
                shown.append(content["data"])
            elif kind == "update_display_data" and ident in by_id:
                shown[by_id[ident]] = content["data"]
        return shown

    @property
    def html(self):
        return [data["text/html"] for data in self.results + self.displays if "text/html" in data]

    @property
    def errors(self):
        return self.of("error")

    @property
    def traceback(self):
        return plain("\n".join(line for error in self.errors for line in error["traceback"]))

    @property
    def text(self):
        """All that a reader of the notebook sees as text, in the order in which it arrived."""
        parts = []
        for kind, content, _ in self.messages[self._cleared :]:
            if kind == "stream":
                parts.append(content["text"])
            elif kind in ("execute_result", "display_data"):
                parts.append(content["data"].get("text/plain", "") + "\n")
            elif kind == "error":
                parts.append("\n".join(content["traceback"]) + f"\n{content['ename']}: {content['evalue']}\n")
        return plain("".join(parts))

    def lines(self):
        """The non-empty lines of `text`."""
        return [line.rstrip() for line in self.text.splitlines() if line.strip()]

    def ok(self):
        assert self.status == "ok", f"the cell failed:\n{self.code}\n--- with\n{self.text}"
        assert not self.errors, f"status ok, but an error was published:\n{self.text}"
        return self

    def failed(self):
        """A cell that fails says so in its reply and on iopub, and says the same in both."""
        assert self.status == "error", f"the cell should have failed:\n{self.code}\n--- but gave\n{self.text}"
        assert len(self.errors) == 1, f"one error message expected, not {len(self.errors)}:\n{self.text}"
        for field in ("ename", "evalue", "traceback"):
            assert self.content[field] == self.errors[0][field], f"{field} differs between reply and iopub"
        return self

    def __repr__(self):
        return f"<{self.status if self.content else 'unfinished'}:\n{self.text}>"


class Kernel:
    """A running kernel and its one client."""

    def __init__(self, name="chorus", runtime_dir=None, env=None, cwd=None):
        self.mark = uuid.uuid4().hex
        environment = dict(os.environ) | (env or {}) | {processes.MARK: self.mark}
        if runtime_dir is not None:
            environment["CHORUS_RUNTIME_DIR"] = str(runtime_dir)
        self.env = environment
        self.manager = KernelManager(kernel_name=name, kernel_spec_manager=KernelSpecManager())
        self._requests = {}
        self._fresh = True
        try:
            self.manager.start_kernel(env=environment, cwd=None if cwd is None else str(cwd))
            self.client = self.manager.blocking_client()
            self.client.start_channels()
            self.client.wait_for_ready(timeout=60)
        except BaseException:
            self.close()
            raise

    @property
    def pid(self):
        return self.manager.provisioner.pid

    # Cells

    def send(
        self,
        code,
        *,
        silent=False,
        store_history=True,
        allow_stdin=False,
        stop_on_error=True,
        on_stream=None,
        background=False,
    ):
        """Sends a cell and returns its reply to be; `wait` fills it."""
        reply = Reply(code, on_stream, background)
        message = self.client.execute(
            code, silent=silent, store_history=store_history, allow_stdin=allow_stdin, stop_on_error=stop_on_error
        )
        self._requests[message] = reply
        return reply

    def wait(self, reply, timeout=CELL_TIMEOUT):
        self.pump(lambda: reply.done, timeout, lambda: f"the end of the cell\n{reply.code}\n--- so far\n{reply.text}")
        return reply

    def run(self, code, timeout=CELL_TIMEOUT, **options):
        """Runs a cell to its end."""
        return self.wait(self.send(code, **options), timeout)

    def wait_for_text(self, reply, text, timeout=CELL_TIMEOUT, times=1):
        """Waits until `text` has been printed by a running cell."""
        self.pump(
            lambda: reply.text.count(text) >= times or reply.done,
            timeout,
            lambda: f"{text!r} from the cell\n{reply.code}\n--- so far\n{reply.text}",
        )
        assert reply.text.count(text) >= times, f"the cell ended without {text!r} ({times} times):\n{reply.text}"

    def request(self, kind, content=None, *, channel="shell", subshell=None, session=None, buffers=None):
        """Sends any request, or a message that has no reply, and returns its reply to be; `pump` fills it.

        `session` is another client's, in whose name it is sent.
        """
        content = {} if content is None else content
        reply = Reply(content.get("code", kind))
        message = self.client.session.msg(kind, content)
        if subshell is not None:
            message["header"]["subshell_id"] = subshell
        if session is not None:
            message["header"]["session"] = session
        self._requests[message["header"]["msg_id"]] = reply
        socket = getattr(self.client, f"{channel}_channel").socket
        self.client.session.send(socket, message, buffers=buffers)
        return reply

    def ask(self, kind, content=None, timeout=20.0, **options):
        """Sends a request and waits for its answer, which is due while a cell runs, too."""
        reply = self.request(kind, content, **options)
        self.pump(lambda: reply.done, timeout, lambda: f"the answer to {kind}")
        return reply.content

    def kernel_info(self, timeout=20.0):
        """Asks on the shell socket, as front ends do, and waits for the answer."""
        reply = Reply("kernel_info")
        self._requests[self.client.kernel_info()] = reply
        self.pump(lambda: reply.done, timeout, lambda: "the answer to kernel_info")
        return reply.content

    def settle(self):
        """Reads all that the kernel has published so far: anything that is in the wrong place fails here."""
        self.kernel_info(timeout=CELL_TIMEOUT)

    def interrupt(self):
        self.manager.interrupt_kernel()

    def interrupt_and_wait(self, timeout=30):
        """Interrupts, and returns when the kernel has handled that: for when nothing runs that would end by it."""
        request = self.client.session.msg("interrupt_request", {})
        self.client.control_channel.send(request)
        reply = self.client.get_control_msg(timeout=timeout)
        assert reply["parent_header"]["msg_id"] == request["header"]["msg_id"] and reply["content"]["status"] == "ok"

    def restart(self):
        self.settle()
        self.manager.restart_kernel(now=False)
        self.client.wait_for_ready(timeout=60)

    # Messages

    def pump(self, condition, timeout, what):
        """Reads messages until `condition()` holds."""
        deadline = time.monotonic() + timeout
        poller = zmq.Poller()
        channels = [self.client.iopub_channel, self.client.shell_channel, self.client.control_channel]
        for channel in channels:
            poller.register(channel.socket, zmq.POLLIN)
        while not condition():
            left = deadline - time.monotonic()
            if left <= 0:
                raise AssertionError(f"waited {timeout} s for {what()}")
            if not self.manager.is_alive():
                raise AssertionError(f"the kernel died while the test waited for {what()}")
            ready = dict(poller.poll(min(left, 0.5) * 1000))
            for channel in channels:
                if channel.socket in ready:
                    self._receive(channel, channel.get_msg(timeout=5))

    def _receive(self, channel, message):
        kind, content = message["header"]["msg_type"], message["content"]
        parent = message["parent_header"]
        reply = self._requests.get(parent.get("msg_id"))
        if channel is not self.client.iopub_channel:
            # Replies to the requests of `wait_for_ready` may be left over.
            if reply is not None:
                assert reply.content is None, f"a second reply to\n{reply.code}"
                reply.content, reply.replied_at = content, time.time()
            return
        if kind in ("status", "iopub_welcome") and reply is None:
            return  # Of the control socket, of the start, or of `wait_for_ready`.
        assert reply is not None, f"{kind} for no cell: {content}, parent {parent}"
        if reply.idle_at is not None:
            late = f"{kind} after idle, for\n{reply.code}\n---\n{content}"
            assert reply.background and kind != "status", late
        if kind == "status":
            if content["execution_state"] == "idle":
                reply.idle_at = time.time()
        elif kind == "execute_input":
            assert content["code"] == reply.code
            reply.begun = True
        else:
            reply.receive(kind, content)

    # The end

    def close(self):
        try:
            if getattr(self, "client", None) is not None:
                self.client.stop_channels()
            if self.manager.has_kernel:
                self.manager.shutdown_kernel(now=True)
            self.manager.cleanup_resources()
        finally:
            processes.end_all(self.mark)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
