"""Random bytes at the sockets: they are counted and ignored, and the cluster and the kernel go on."""

import os
import random
import re
import socket

import pytest
import zmq

import processes

MESSAGES = 25


def raw_socket(endpoint):
    """A connection to a ZeroMQ endpoint that doesn't speak ZeroMQ."""
    scheme, _, address = endpoint.partition("://")
    if scheme == "ipc":
        raw = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        raw.connect(address)
    else:
        host, _, port = address.rpartition(":")
        raw = socket.create_connection((host, int(port)))
    return raw


def send_raw(endpoint, data):
    with raw_socket(endpoint) as raw:
        try:
            raw.sendall(data)
            raw.shutdown(socket.SHUT_WR)
            raw.settimeout(5)
            while raw.recv(4096):
                pass
        except OSError:
            pass  # Closing on us is a fine answer to rubbish, and so is waiting for more of it.


def send_frames(endpoint, messages, kind=zmq.DEALER):
    context = zmq.Context()
    try:
        dealer = context.socket(kind)
        dealer.linger = 5000
        dealer.connect(endpoint)
        for frames in messages:
            dealer.send_multipart(frames)
        dealer.close()
    finally:
        context.term()


@pytest.fixture(params=["ipc", "tcp"])
def lasting(request, chorus):
    options = ["--tcp"] if request.param == "tcp" else []
    chorus("start", "-n", "2", "--name", "garbage", *options)
    chorus.wait_for_engines(2)
    _, connection = chorus.connection_file()
    assert connection["engines"].startswith(request.param) and connection["clients"].startswith(request.param)
    return chorus


def test_rubbish_is_counted_and_ignored(lasting, kernels):
    kernel = kernels()
    kernel.run("%cluster connect garbage").ok()
    kernel.run("%px let kept = px::rank();").ok()
    _, connection = lasting.connection_file()
    chance = random.Random(20)
    for name in ("engines", "clients"):
        endpoint = connection[name]
        before = lasting.status()["rejected"]
        messages = [
            [chance.randbytes(chance.randrange(0, 300)) for _ in range(chance.randrange(1, 5))]
            for _ in range(MESSAGES - 2)
        ]
        # What looks most like a message: a mac and a body.
        messages += [[chance.randbytes(32), chance.randbytes(40)], [chance.randbytes(32), b""]]
        send_frames(endpoint, messages)
        counted = processes.wait_until(
            f"{MESSAGES} rejected messages on {name}",
            lambda: (now := lasting.status()["rejected"]) >= before + MESSAGES and now,
        )
        for size in (1, 9, 64, 1000, 100_000):
            send_raw(endpoint, chance.randbytes(size))
        # A ZeroMQ greeting followed by rubbish.
        send_raw(endpoint, b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(48) + chance.randbytes(500))
        assert lasting.status()["rejected"] >= counted
    reply = kernel.run("%px kept").ok()
    assert re.search(r"^Out\[1:\d+\]: 1$", reply.text, re.MULTILINE), reply
    status = lasting.status()
    assert len(status["engines"]) == 2 and all(engine["restarts"] == 0 for engine in status["engines"])


def test_a_stranger_who_stays_connected_stops_nobody(lasting, kernels):
    _, connection = lasting.connection_file()
    strangers = [raw_socket(connection[name]) for name in ("engines", "clients") for _ in range(20)]
    try:
        kernel = kernels()
        kernel.run("%cluster connect garbage").ok()
        assert "Out[0-1:" in kernel.run("%px 1").ok().text
        lasting("engine", "--help")
        assert len(lasting.status()["engines"]) == 2
    finally:
        for stranger in strangers:
            stranger.close()


def test_the_kernels_own_sockets_ignore_rubbish(own_kernel):
    info = own_kernel.manager.get_connection_info()
    chance = random.Random(21)
    for name in ("shell_port", "control_port", "stdin_port", "iopub_port", "hb_port"):
        endpoint = f"tcp://127.0.0.1:{info[name]}"
        for size in (1, 64, 10_000):
            send_raw(endpoint, chance.randbytes(size))
    for name in ("shell_port", "control_port", "stdin_port"):
        unsigned = [b"<IDS|MSG>", b"0" * 64, b'{"msg_type":"execute_request"}', b"{}", b"{}", b'{"code":"1"}']
        messages = [[chance.randbytes(50)], [b"<IDS|MSG>"], unsigned, [b"", b"", b""]]
        send_frames(f"tcp://127.0.0.1:{info[name]}", messages)
    assert own_kernel.run("1 + 1").ok().results == [{"text/plain": "2"}]
    assert own_kernel.manager.is_alive() and os.path.exists(f"/proc/{own_kernel.pid}")


def test_a_frame_of_absurd_length_does_not_end_the_kernel(own_kernel):
    """Any user of the host can connect, and who makes room for what a frame announces has none for 4 exabytes."""
    info = own_kernel.manager.get_connection_info()
    # A cell that no test has compiled before, so that the compiler is in memory already.
    kept = random.getrandbits(60)
    own_kernel.run(f"let kept = {kept}u64;").ok()
    before = processes.resident(own_kernel.pid)
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(48)
    for name in ("shell_port", "control_port", "stdin_port", "hb_port", "iopub_port"):
        for length in (1 << 62, 8 << 30):
            # As a command, as which a connection introduces itself, and as a part of a message.
            for flags in (6, 2):
                send_raw(f"tcp://127.0.0.1:{info[name]}", greeting + bytes([flags]) + length.to_bytes(8, "big"))
        assert own_kernel.manager.is_alive(), f"a frame at {name} ended the kernel"
    assert own_kernel.run("kept").ok().results == [{"text/plain": str(kept)}]
    assert processes.resident(own_kernel.pid) < before + (256 << 20)


def test_a_large_message_comes_through(own_kernel):
    """Widgets send buffers."""
    content = {"comm_id": "c", "target_name": "jupyter.widget", "data": {}}
    opened = own_kernel.request("comm_open", content, buffers=[bytes(200 << 20)])
    own_kernel.pump(lambda: opened.idle_at, 60, lambda: "idle after a message of 200 MiB")
    assert opened.of("comm_close") == [{"comm_id": "c", "data": {}}]
