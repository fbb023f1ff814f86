"""Runs cells in a kernel of this host: a line of JSON asks for one, and one tells what came of it. See `hosts.py`."""

import json
import queue
import sys

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

LIMIT = 240


def run(manager, client, code, interrupt=None):
    """`interrupt` is a text, and how often it is printed before the cell is interrupted."""
    request = client.execute(code)
    texts, shown = [], []
    while True:
        try:
            message = client.get_iopub_msg(timeout=LIMIT)
        except queue.Empty:
            return {"status": "silent", "text": "".join(texts)}
        if message["parent_header"].get("msg_id") != request:
            continue
        kind, content = message["msg_type"], message["content"]
        if kind == "status" and content["execution_state"] == "idle":
            break
        if kind == "clear_output":
            texts, shown = [], []
        elif kind == "stream":
            texts.append(content["text"])
        elif kind in ("execute_result", "display_data", "update_display_data"):
            texts.append(content["data"].get("text/plain", "") + "\n")
            shown.append(content["data"])
        elif kind == "error":
            texts.append("\n".join(content["traceback"]))
        if interrupt and "".join(texts).count(interrupt[0]) >= interrupt[1]:
            interrupt = None
            manager.interrupt_kernel()
    while True:
        reply = client.get_shell_msg(timeout=LIMIT)
        if reply["parent_header"].get("msg_id") == request:
            return {"status": reply["content"]["status"], "text": "".join(texts), "shown": shown}


def main():
    manager = KernelManager()
    argv = [sys.argv[1], "kernel", "--connection-file", "{connection_file}"]
    manager._kernel_spec = KernelSpec(argv=argv, display_name="Rust", language="rust", interrupt_mode="message")
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    print(json.dumps({"pid": manager.provisioner.pid}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(run(manager, client, asked["run"], asked.get("interrupt"))), flush=True)
    client.stop_channels()
    manager.shutdown_kernel()


main()
