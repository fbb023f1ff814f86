"""The memory through which variables go is used again, and nobody can tell but by the clock."""

import os
import random
import re

from conftest import start_kernel

ITEMS = 700_000
"""So many numbers lie in memory of their own."""

DEFINITIONS = f"""
fn made(seed: u64) -> Vec<u64> {{ (0..{ITEMS}).map(|n| n * seed ^ (n >> 3)).collect() }}
fn sum_of(xs: &[u64]) -> u64 {{ xs.iter().fold(0, |sum: u64, x| sum.wrapping_mul(31).wrapping_add(*x)) }}
"""

ENGINES = 2

AT_ONCE = max(ENGINES, min(len(os.sched_getaffinity(0)), 4))
"""A transfer has so many passages: for each engine one, or for each thread that writes."""


def sum_of(seed):
    total = 0
    for n in range(ITEMS):
        total = (total * 31 + (n * seed ^ (n >> 3))) & (1 << 64) - 1
    return total


def rooms(kernel):
    """The files in memory that the kernel has open for rooms."""
    folder = f"/proc/{kernel.manager.provisioner.pid}/fd"
    files = []
    for name in os.listdir(folder):
        try:
            files.append(os.readlink(f"{folder}/{name}"))
        except FileNotFoundError:
            pass
    return [file for file in files if file.startswith("/memfd:chorus-")]


def test_the_same_transfer_uses_the_same_memory(installed):
    with start_kernel() as kernel:
        kernel.run(f"%cluster start -n {ENGINES}").ok()
        kernel.run(DEFINITIONS + "let xs = made(3);").ok()
        transfers = [
            "%push xs as ys",
            "%pull ys as zs -t 0",
            "%scatter xs as part",
            "%gather part as zs",
            "for _ in 0..8 { px::push!(xs as ys)?; let zs: Vec<u64> = px::gather!(ys)?; }",
        ]
        for transfer in transfers:
            before = set(rooms(kernel))
            for _ in range(10):
                kernel.run(transfer).ok()
            new = set(rooms(kernel)) - before
            # The variable of before, and that of the snapshot, may have memory of their own.
            limit = 4 * AT_ONCE * (2 if "push!" in transfer else 1)
            assert 1 <= len(new) <= limit, (transfer, new)
        assert kernel.run("zs == xs").ok().text.strip() == "true"


def test_what_was_sent_stays_as_it_was(installed):
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    seeds = [3, 5, 7]
    sums = {seed: sum_of(seed) for seed in seeds}
    here, there = [3, 5, 7], [3, 3, 3]
    with start_kernel() as kernel:
        kernel.run(f"%cluster start -n {ENGINES}").ok()
        kernel.run("%%px --local\n" + DEFINITIONS).ok()
        kernel.run("let n0 = made(3); let n1 = made(5); let n2 = made(7);").ok()
        kernel.run("%push n0 as e0").ok()
        kernel.run("%push n0 as e1").ok()
        kernel.run("%push n0 as e2").ok()
        kernel.run("%scatter n0 as part").ok()
        parts = 3

        def change():
            """One more step; what it does, in a cell."""
            nonlocal parts
            what, one, other = chance.randrange(9), chance.randrange(3), chance.randrange(3)
            if what == 0:
                here[one] = chance.choice(seeds)
                return f"let n{one} = made({here[one]});"
            if what in (1, 2):
                there[other] = here[one]
                return [f"%push n{one} as e{other}", f"px::push!(n{one} as e{other})?;"][what - 1]
            if what in (3, 4):
                here[one] = there[other]
                return [
                    f"%pull e{other} as n{one} -t 1",
                    f"let n{one} = {{ let mut all: Vec<Vec<u64>> = px::pull!(e{other})?; all.remove(0) }};",
                ][what - 3]
            if what == 5:
                parts = here[one]
                return f"%scatter n{one} as part"
            if what == 6:
                here[one] = parts
                return f"%gather part as n{one}"
            if what == 7:
                here[one] = parts
                return f"let n{one}: Vec<u64> = px::gather!(part)?;"
            return f"%px -t {one % ENGINES} std::process::abort()"

        for step in range(40):
            cell = change()
            reply = kernel.run(cell)
            assert (reply.status == "error") == ("abort" in cell), (step, cell, reply.text)
            local = kernel.run('println!("{} {} {}", sum_of(&n0), sum_of(&n1), sum_of(&n2));').ok().stdout
            assert local.split() == [str(sums[seed]) for seed in here], (step, cell)
            remote = kernel.run('%px println!("{} {} {}", sum_of(&e0), sum_of(&e1), sum_of(&e2));').ok().stdout
            found = re.findall(r"^\[stdout:[\d,-]+\] (.*)$", remote, re.MULTILINE)
            assert set(found) == {" ".join(str(sums[seed]) for seed in there)}, (step, cell, remote)
