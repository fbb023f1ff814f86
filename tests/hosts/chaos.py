"""Breaks engines on other hosts at random, and checks what Chorus says of that in docs/clusters.md.

    python tests/hosts/chaos.py --rounds 100 --seed 1

with CHORUS and CHORUS_ENGINE in the environment, as root: hosts are namespaces (`tests/python/hosts.py`). A notebook on h1
has two engines on each of h2 and h3, or as `--cluster` says. In each round, `troubles.py` breaks something while an action of `actions.py` runs.
`--only ACTION` and `--trouble TROUBLE` choose. A round that fails is told with its number; `--seed S --begin N --rounds 1`
runs it alone, with the same choices, though not at the very same moments. The exit status is the number of failed rounds.
"""

import argparse
import os
import pathlib
import random
import re
import sys
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "python"))

import actions
import hosts as lab
import processes
import troubles

BOUND = 100
"""No cell takes longer in seconds, whatever breaks: a lease is 60 s."""
CLUSTERS = {
    "there": ["start --on ssh --hosts h2*2,h3*2 {ssh}"],
    "mixed": ["start --on ssh --hosts h2*2 {ssh}", "add --on ssh --hosts h3 {ssh}", "add -n 1"],
    "tunnel": ["start --on ssh --tunnel --hosts h2*2,h3*2 {ssh}"],
}
"""What has four engines."""


class Laboratory:
    """Hosts, and a notebook with engines on them; another notebook when a round has failed."""

    def __init__(self, cluster):
        self.cluster = CLUSTERS[cluster]
        self.hosts = lab.Hosts(3)
        self.notes = self.hosts.folder / "notes"
        self.notebook = None

    def begin(self):
        if self.notebook is None:
            self.notebook = lab.Notebook(self.hosts)
            for command in self.cluster:
                self.ok("%cluster " + command.format(ssh=f'--ssh "{self.hosts.ssh}"'))
            self.ok(actions.HELPERS.format(notes=self.notes))
        self.notes.write_text("")

    def run(self, code):
        """A cell's status and text; it must end in time."""
        begun = time.monotonic()
        status, text = self.notebook.run(code)
        took = time.monotonic() - begun
        assert status != "silent" and took < BOUND, f"the cell took {took:.0f} s ({status}):\n{code}\n{text}"
        return status, text

    def ok(self, code):
        status, text = self.run(code)
        assert status == "ok", f"{code}\n{text}"
        return text

    def noted(self):
        """What cells have noted, as often as they have."""
        return self.notes.read_text().splitlines()

    def settle(self):
        """Waits until all four engines run cells again."""

        def all_are_there():
            status, text = self.run("%px px::rank()")
            return status == "ok" and len(re.findall(r"Out\[\d:\d+\]", text)) == 4

        processes.wait_until("all engines to be back", all_are_there, BOUND)

    def drop(self):
        """Ends the notebook, which may hang, and all of its engines."""
        notebook, self.notebook = self.notebook, None
        if notebook is not None:
            notebook.client.kill()
            for name in self.hosts.names:
                for pid, _ in self.hosts.programs(name):
                    self.hosts.run(name, ["kill", "-9", pid])

    def tell(self):
        """What is known when a round has failed."""
        for name in self.hosts.names:
            print(f"--- {name}: {len(self.hosts.programs(name))} programs")
            script = "tail -n 20 /tmp/chorus-outpost-*/outpost.log /tmp/chorus-outpost-*/engine-*.log"
            print(self.hosts.run(name, ["sh", "-c", script]).stdout[-3000:])
        if self.notebook is not None:
            for code in ["%cluster", "%cluster logs"]:
                self.notebook.send(run=code)
                print("---", code, self.notebook.end()[1][-4000:], sep="\n")

    def close(self):
        if self.notebook is not None:
            self.notebook.close()
            self.notebook = None
            lab.nothing_is_left(self.hosts, 40)
            left = self.hosts.run("h1", ["find", "/tmp/chorus-run", "-mindepth", "2"]).stdout
            assert not left and not self.hosts.programs("h1"), (left, self.hosts.programs("h1"))

    def end(self):
        self.hosts.close()


def play(laboratory, number, choose, options):
    """One round: an action, and a trouble beside it."""
    kinds = [options.only] if options.only else list(actions.ACTIONS)
    breaks = [options.trouble] if options.trouble else troubles.KINDS
    kind, breaking = choose.choice(kinds), choose.choice(breaks)
    action = actions.ACTIONS[kind](number, choose)
    laboratory.begin()
    for code in action.before:
        laboratory.ok(code)
    trouble = troubles.Trouble(laboratory.hosts, breaking, choose)
    print(f"round {number}: {action}, {trouble}", end="", flush=True)
    begun = time.monotonic()
    trouble.begin()
    try:
        status, text = laboratory.run(action.cell)
    finally:
        trouble.end()
    took = time.monotonic() - begun
    done = f"{status}, {took:.1f} s, {trouble.done}"
    try:
        action.check(laboratory, status, text, trouble.kills)
        laboratory.settle()
        print(f": {done}, back after {time.monotonic() - begun - took:.1f} s", flush=True)
    except BaseException:
        print(f": {done}\n{action.cell}\n{text}", flush=True)
        raise


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--begin", type=int, default=0, help="the number of the first round")
    parser.add_argument("--minutes", type=float, default=600, help="when no other round is begun")
    parser.add_argument("--cluster", choices=CLUSTERS, default="there", help="where engines are, and how they connect")
    parser.add_argument("--only", choices=actions.ACTIONS)
    parser.add_argument("--trouble", choices=sorted(set(troubles.KINDS)))
    options = parser.parse_args()
    why = lab.missing()
    if why:
        sys.exit(why)
    os.environ["NO_COLOR"] = "1"
    begun, failed, laboratory = time.monotonic(), [], Laboratory(options.cluster)
    try:
        for number in range(options.begin, options.begin + options.rounds):
            if time.monotonic() - begun > 60 * options.minutes:
                break
            try:
                play(laboratory, number, random.Random(f"{options.seed} {number}"), options)
            except Exception:
                failed.append(number)
                traceback.print_exc(file=sys.stdout)
                try:
                    laboratory.tell()
                except Exception as error:
                    print("no more is known:", error)
                laboratory.drop()
        laboratory.close()
    finally:
        laboratory.end()
    print(f"{number + 1 - options.begin} rounds of seed {options.seed}, {len(failed)} failed: {failed}")
    sys.exit(min(len(failed), 100))


main()
