"""What `chaos.py` breaks: links between hosts, and processes on them."""

import random
import threading
import time

KINDS = ["nothing", "cut", "cut", "cut all", "cut all", "flap", "pause", "worker", "worker", "engine", "outpost", "host"]
KINDS += ["cut and kill", "cut and kill"]
HOSTS = ["h2", "h3"]


class Trouble:
    """Something that breaks at a random moment after `begin`, in a thread; `end` waits for it and mends what it can."""

    def __init__(self, hosts, kind, choose: random.Random):
        self.hosts, self.kind, self.choose = hosts, kind, choose
        self.host = choose.choice(HOSTS)
        self.after = choose.uniform(0, choose.choice([0.3, 2]))
        # Mostly short ones.
        shortest, longest = choose.choice([(0.2, 3), (0.2, 3), (3, 12), (12, 25)])
        self.length = choose.uniform(shortest, longest)
        self.done, self.error = "", None
        self.thread = threading.Thread(target=self.work)

    @property
    def kills(self):
        return self.kind in ("worker", "engine", "outpost", "host", "cut and kill")

    def __str__(self):
        return f"{self.kind} on {self.host} after {self.after:.2f} s" + ("" if self.kills else f" for {self.length:.1f} s")

    def begin(self):
        self.thread.start()

    def end(self):
        self.thread.join()
        for host in HOSTS:
            self.hosts.link(host, "up")
        if self.error:
            raise self.error

    def work(self):
        try:
            time.sleep(self.after)
            getattr(self, "do_" + self.kind.replace(" ", "_"))()
        except BaseException as error:  # Told by `end`.
            self.error = error

    def do_nothing(self):
        pass

    def do_cut(self):
        self.hosts.link(self.host, "down")
        time.sleep(self.length)
        self.hosts.link(self.host, "up")

    def do_cut_all(self):
        for host in HOSTS:
            self.hosts.link(host, "down")
        time.sleep(self.length)
        for host in HOSTS:
            self.hosts.link(host, "up")

    def do_flap(self):
        """A line on which little comes through, and late."""
        until = time.monotonic() + self.length
        while time.monotonic() < until:
            self.hosts.link(self.host, "down")
            time.sleep(self.choose.uniform(0.05, 0.4))
            self.hosts.link(self.host, "up")
            time.sleep(self.choose.uniform(0.01, 0.4))

    def do_pause(self):
        """The outpost is stopped for a while: connections are there, and silent."""
        self.send("STOP", self.outposts())
        time.sleep(self.length)
        self.send("CONT", self.outposts())

    def do_worker(self):
        """Any of an engine's workers: the one that runs a cell, its keeper, or its snapshot."""
        self.kill(self.one(self.programs(" worker ")))

    def do_engine(self):
        self.kill(self.one(self.programs(" --connect ")))

    def do_outpost(self):
        self.kill(self.outposts())

    def do_host(self):
        self.kill([pid for pid, _ in self.hosts.programs(self.host)])

    def do_cut_and_kill(self):
        self.hosts.link(self.host, "down")
        self.kill(self.one(self.programs(self.choose.choice([" worker ", " --connect ", " outpost"]))))
        time.sleep(self.length)
        self.hosts.link(self.host, "up")

    def programs(self, mark):
        return [pid for pid, args in self.hosts.programs(self.host) if mark in args + " "]

    def outposts(self):
        return [pid for pid, args in self.hosts.programs(self.host) if args.endswith(" outpost")]

    def one(self, pids):
        return [self.choose.choice(pids)] if pids else []

    def kill(self, pids):
        self.send("KILL", pids)

    def send(self, signal, pids):
        if pids:
            self.hosts.run(self.host, ["kill", f"-{signal}", *pids])
        self.done += f"{signal} to {len(pids)} "
