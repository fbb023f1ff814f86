"""A wire that takes its time, for kernels without netem: `delay.py PORT MILLISECONDS`, in the switch's namespace.

It unplugs a host's port from the bridge, and carries frames between the two by itself, each so long after it came, both
ways. At the end of its standard input the port is plugged in again.
"""

import collections
import select
import socket
import subprocess
import sys
import time

BRIDGE = "br0"
ALL = 3  # ETH_P_ALL
SOL_PACKET, VNET_HEADER, IGNORE_OUTGOING, RECEIVE_BUFFER = 263, 15, 23, 33
LARGEST = 1 << 17


def ip(*words):
    subprocess.run(["ip", "link", *words], check=True)


def tap(interface):
    """All frames that come in there. What isn't cut into segments yet comes whole, with a header that says so."""
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    tap.setsockopt(socket.SOL_SOCKET, RECEIVE_BUFFER, 1 << 26)
    tap.setsockopt(SOL_PACKET, VNET_HEADER, 1)
    tap.setsockopt(SOL_PACKET, IGNORE_OUTGOING, 1)
    tap.bind((interface, ALL))
    tap.setblocking(False)
    return tap


def carry(port, other, seconds):
    """Until standard input ends. All frames take as long, so the first to come is the first to go."""
    ends = tap(port), tap(other)
    line = collections.deque()
    print("up", flush=True)
    while True:
        wait = max(0, line[0][0] - time.monotonic()) if line else None
        ready, _, _ = select.select([*ends, sys.stdin], [], [], wait)
        if sys.stdin in ready:
            return
        now = time.monotonic()
        for end in ready:
            to = ends[1] if end is ends[0] else ends[0]
            try:
                while True:
                    line.append((now + seconds, to, end.recv(LARGEST)))
            except BlockingIOError:
                pass
        while line and line[0][0] <= time.monotonic():
            _, to, frame = line.popleft()
            try:
                to.send(frame)
            except OSError:
                pass  # The queue is full: as on a real wire, the frame is lost.


def main():
    port, milliseconds = sys.argv[1], float(sys.argv[2])
    inner, outer = f"{port}-wire", f"{port}-far"
    ip("set", port, "nomaster")
    try:
        ip("add", inner, "type", "veth", "peer", "name", outer)
        ip("set", outer, "master", BRIDGE, "up")
        ip("set", inner, "up")
        carry(port, inner, milliseconds / 1000)
    finally:
        subprocess.run(["ip", "link", "delete", inner], check=False)
        ip("set", port, "master", BRIDGE)


if __name__ == "__main__":
    main()
