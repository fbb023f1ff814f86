"""The hosts, what is measured on them, and what they can do without any of it."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import hosts as lab

HERE = pathlib.Path(__file__).resolve().parent
# scp needs the subsystem; what one host's user has isn't in the home of another's.
SSHD = "Subsystem sftp internal-sftp\nSetEnv XDG_CACHE_HOME={folder}/cache-{name}\n"
PEERS = ["ipyparallel", "dask"]


def seconds(function, *arguments):
    begun = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - begun


class Lines:
    """A program on a host that is told things and answers, each a line of JSON."""

    def __init__(self, hosts, name, words, **more):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = hosts.start(name, [str(word) for word in words], **pipes, **more)

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.process.args} has ended")
        return json.loads(line)

    def ask(self, *what):
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()
        return self.read()

    def close(self):
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Lab:
    """Three hosts, with the programs that are measured."""

    def __init__(self, programs):
        os.environ["CHORUS"], os.environ["CHORUS_ENGINE"] = (str(programs / it) for it in ("chorus", "chorus-engine"))
        self.programs = programs
        self.hosts = lab.Hosts(3, SSHD)

    def close(self):
        self.hosts.close()

    def notebook(self):
        return lab.Notebook(self.hosts)

    def start(self, where):
        return f'%cluster start --on ssh --hosts {where} --ssh "{self.hosts.ssh}"'

    def forget_programs(self):
        """Hosts don't have Chorus's program any more."""
        for name in self.hosts.names:
            shutil.rmtree(self.hosts.folder / f"cache-{name}", ignore_errors=True)

    @contextlib.contextmanager
    def peer(self, side):
        """What a peer does on the notebook's host. Whatever it leaves is ended."""
        folder = self.hosts.folder
        words = [sys.executable, HERE / "peers.py", side, folder / "config"]
        with (folder / f"{side}.log").open("w") as log:
            env = dict(os.environ) | {"IPYTHONDIR": str(folder / "ipython")}
            peer = Lines(self.hosts, "h1", words, env=env, stderr=log)
        try:
            self.loops = peer.read()["loops"]
            yield lambda *what: peer.ask(*what)["seconds"]
        except RuntimeError:
            print((folder / f"{side}.log").read_text()[-2000:], file=sys.stderr)
            raise
        finally:
            peer.process.kill()
            peer.process.wait()
            for name in self.hosts.names:
                self.end_pythons(name)

    def end_pythons(self, name):
        listed = self.hosts.run(name, ["ps", "-e", "-ww", "-o", "pid=,args="]).stdout.splitlines()
        pids = [line.split()[0] for line in listed if sys.executable in line]
        if pids:
            self.hosts.run(name, ["kill", "-9", *pids])

    def wire(self, size, streams=1):
        """tokio-rustls between h1 and h2: bytes a second, and the median way there and back in seconds."""
        program = self.hosts.copy(self.programs / "chorus-bench-wire")
        listener = Lines(self.hosts, "h2", [program, "listen"])
        try:
            told = listener.read()
            words = [program, "connect", f"10.78.0.2:{told['port']}", told["certificate"]]
            words += ["--bytes", str(size), "--streams", str(streams)]
            done = self.hosts.run("h1", words)
            if done.returncode:
                raise RuntimeError(f"chorus-bench-wire: {done.stderr}")
            measured = json.loads(done.stdout)
        finally:
            listener.close()
        return measured["bytes_a_second"], sorted(measured["round_trips"])[len(measured["round_trips"]) // 2] / 1e6

    def iperf(self):
        """Bytes a second of TCP alone, or None without iperf3."""
        if not shutil.which("iperf3"):
            return None
        server = self.hosts.start("h2", ["iperf3", "-s", "-1"], stdout=subprocess.DEVNULL)
        try:
            for _ in range(100):
                done = self.hosts.run("h1", ["iperf3", "-c", "10.78.0.2", "-t", "3", "-J"])
                # It says in JSON, too, that the server isn't there yet.
                received = json.loads(done.stdout).get("end", {}).get("sum_received")
                if received:
                    return received["bits_per_second"] / 8
            raise RuntimeError(f"iperf3: {done.stdout}")
        finally:
            server.kill()
            server.wait()

    @contextlib.contextmanager
    def delay(self, milliseconds):
        """So long takes each frame from and to h1."""
        words = ["ip", "netns", "exec", self.hosts.net("sw"), sys.executable, str(HERE / "delay.py"), "h1"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        wire = subprocess.Popen([*words, str(milliseconds)], **pipes)
        try:
            if wire.stdout.readline().strip() != "up":
                raise RuntimeError("the wire with a delay can't be had")
            yield
        finally:
            wire.stdin.close()
            wire.wait(20)
