"""What Chorus is measured beside, run on the notebook's host: reads the name of what to do and its arguments, a line of
JSON for each, and answers with seconds. `run.py` starts it with the name of a side and the configuration file for ssh.

Both reach the other hosts by ssh, as their manuals say: ipyparallel with `engines="ssh"`, Dask with `SSHCluster`.
"""

import json
import pathlib
import sys
import time

import numpy

HERE = "10.78.0.1"
"""The address of the notebook's host."""


def nothing(_=None):
    return None


def work_on(items, loops):
    """A tenth of a millisecond for each: a sleep, which needs no core, or so many turns of a loop. It travels alone."""
    import time

    done = []
    for x in items:
        if loops == 0:
            time.sleep(1e-4)
        for _ in range(loops):
            x = (x * 6364136223846793005 + 1) & 0xFFFFFFFFFFFFFFFF
        done.append(x)
    return done


def calibrated():
    """So many turns of the loop of `work_on` take a tenth of a millisecond."""
    loops = 20000
    begun = time.perf_counter()
    work_on([1], loops)
    return max(1, round(loops * 1e-4 / (time.perf_counter() - begun)))


class Ipyparallel:
    def __init__(self, config):
        self.config = config
        self.cluster = self.client = None

    def start(self, hosts):
        import ipyparallel
        from traitlets.config import Config

        config = Config()
        # The ports of the controller are to be found from other hosts.
        config.Cluster.controller_ip = HERE
        config.Cluster.controller_location = HERE
        config.SSHEngineSetLauncher.engines = hosts
        for of in (config.SSHEngineSetLauncher, config.SSHEngineLauncher):
            of.ssh_cmd = ["ssh", "-F", self.config]
            of.scp_cmd = ["scp", "-F", self.config]
            of.remote_python = sys.executable
            # The hosts see each other's files; so does nobody copy a file onto itself.
            of.remote_profile_dir = "/tmp/ipython"
        self.cluster = ipyparallel.Cluster(n=sum(hosts.values()), engines="ssh", config=config, log_level=40)
        self.client = self.cluster.start_and_connect_sync(activate=False)
        self.client.wait_for_engines(sum(hosts.values()), timeout=240)

    def stop(self):
        self.client.close()
        self.cluster.stop_cluster_sync()

    def call(self):
        self.client[:].apply_sync(nothing)

    def make(self, items):
        self.data = numpy.full(items, 1.5)

    def scatter(self):
        self.client[:].scatter("xs", self.data, block=True)

    def gather(self):
        assert len(self.client[:].gather("xs", block=True)) == len(self.data)

    def push(self):
        self.client[:].push({"xs": self.data}, block=True)

    def pull(self):
        assert len(self.client[0].pull("xs", block=True)) == len(self.data)

    def map(self, items, loops):
        # Ten chunks for each engine, so that none waits long for another.
        view = self.client.load_balanced_view()
        chunks = numpy.array_split(numpy.arange(items), 10 * len(self.client))
        parts = view.map_sync(work_on, [chunk.tolist() for chunk in chunks], [loops] * len(chunks))
        assert sum(map(len, parts)) == items


class Dask:
    def __init__(self, config):
        self.config = config
        self.cluster = self.client = None

    def start(self, hosts):
        from distributed import Client, SSHCluster

        [each] = set(hosts.values())
        self.cluster = SSHCluster(
            ["h1", *hosts],
            connect_options={"config": [self.config], "known_hosts": str(pathlib.Path(self.config).with_name("known"))},
            worker_options={"n_workers": each, "nthreads": 1},
            scheduler_options={"dashboard": False},
            remote_python=sys.executable,
        )
        self.client = Client(self.cluster)
        self.client.wait_for_workers(sum(hosts.values()), timeout=240)
        self.workers = list(self.client.scheduler_info(n_workers=-1)["workers"])

    def stop(self):
        self.data = self.parts = self.futures = None
        self.client.close()
        self.cluster.close()

    def call(self):
        self.client.run(nothing)

    def make(self, items):
        self.data = numpy.full(items, 1.5)

    def scatter(self):
        # It has no scatter of an array: one part for each worker, sent there directly.
        self.futures = None
        parts = numpy.array_split(self.data, len(self.workers))
        self.futures = self.client.scatter(parts, direct=True, hash=False)

    def gather(self):
        parts = self.client.gather(self.futures, direct=True)
        assert len(numpy.concatenate(parts)) == len(self.data)

    def push(self):
        self.futures = None
        self.futures = self.client.scatter(self.data, broadcast=True, direct=True, hash=False)

    def pull(self):
        assert len(self.client.gather(self.futures, direct=True)) == len(self.data)

    def map(self, items, loops):
        chunks = numpy.array_split(numpy.arange(items), 10 * len(self.workers))
        parts = self.client.map(work_on, [chunk.tolist() for chunk in chunks], loops=loops, pure=False)
        assert sum(map(len, self.client.gather(parts))) == items


def main():
    side = {"ipyparallel": Ipyparallel, "dask": Dask}[sys.argv[1]](sys.argv[2])
    loops = calibrated()
    # What the libraries print isn't an answer.
    answers, sys.stdout = sys.stdout, sys.stderr
    print(json.dumps({"loops": loops}), file=answers, flush=True)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        begun = time.perf_counter()
        getattr(side, name)(*arguments)
        print(json.dumps({"seconds": time.perf_counter() - begun}), file=answers, flush=True)


if __name__ == "__main__":
    main()
