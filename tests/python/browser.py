"""A browser without a window, driven by the protocol of its developer tools."""

import base64
import json
import pathlib
import shutil
import subprocess
import tempfile
import time

import websocket

import processes

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--remote-debugging-port=0",
    "--remote-allow-origins=*",
    "--window-size=1250,1500",
]


class Browser:
    """Chromium with one page at a time. Its files are in a folder of its own."""

    def __init__(self, env):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="chorus-chromium-", dir="/tmp"))
        self.process = subprocess.Popen(
            [PROGRAM, *FLAGS, f"--user-data-dir={self.folder}", "about:blank"],
            env=env | {"HOME": str(self.folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.socket, self.page, self.number = None, None, 0
        self.errors = []
        """What the pages' scripts threw and nobody caught."""
        try:
            port = processes.wait_until("the browser's port", self._port, 60)
            self.socket = websocket.create_connection(f"ws://127.0.0.1:{port[0]}{port[1]}", timeout=60)
        except BaseException:
            self.close()
            raise

    def _port(self):
        path = self.folder / "DevToolsActivePort"
        lines = path.read_text().splitlines() if path.exists() else []
        return lines if len(lines) == 2 else None

    def __call__(self, method, session="page", timeout=60.0, **parameters):
        """Calls a method and waits for its answer; what else comes meanwhile is noted if it is an error of the page."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = self.session
        self.socket.send(json.dumps(message))
        deadline = time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            assert left > 0, f"waited {timeout} s for the browser's answer to {method}"
            self.socket.settimeout(left)
            answer = json.loads(self.socket.recv())
            if answer.get("method") == "Runtime.exceptionThrown":
                self.errors.append(answer["params"]["exceptionDetails"])
            if answer.get("id") == self.number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]

    def open(self, url):
        """Opens a page, in place of the one before, which isn't asked whether it may be left."""
        before = self.page
        self.page = self("Target.createTarget", url="about:blank", session=None)["targetId"]
        self.session = self("Target.attachToTarget", targetId=self.page, flatten=True, session=None)["sessionId"]
        self("Runtime.enable")
        self("Page.enable")
        # It has no window, and would take itself for one that lies behind others.
        self("Emulation.setFocusEmulationEnabled", enabled=True)
        if before is not None:
            self("Target.closeTarget", targetId=before, session=None)
        self("Page.navigate", url=url)

    def ask(self, script, timeout=60.0):
        """The value of an expression in the page, which may be a promise."""
        result = self(
            "Runtime.evaluate", timeout=timeout, expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in result, f"{script}\n{result['exceptionDetails']}"
        return result["result"].get("value")

    def wait_for(self, what, script, seconds=60.0):
        """Waits until an expression in the page is true."""
        deadline = time.monotonic() + seconds
        while True:
            if self.ask(f"(() => {{ try {{ return !!({script}) }} catch (error) {{ return false }} }})()"):
                return
            assert time.monotonic() < deadline, f"waited {seconds} s for {what}; the page says {self.text()!r}"
            # The page makes its answer while it draws: that is as often as is of use.
            self.ask("new Promise(done => requestAnimationFrame(() => done(1)))")

    def text(self):
        return (self.ask("document.body.innerText") or "")[-2000:]

    def picture(self, path):
        shot = self("Page.captureScreenshot", format="png")
        pathlib.Path(path).write_bytes(base64.b64decode(shot["data"]))

    def close(self):
        if self.socket is not None:
            self.socket.close()
        processes.end([self.process], 10)
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
