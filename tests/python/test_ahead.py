"""Cells that wait in line are compiled while one runs, and nobody can tell but by the clock."""

import os
import random
import re

import pytest

import processes
from conftest import start_kernel


@pytest.fixture
def cache(installed, fresh_cache, monkeypatch):
    """Where nothing was compiled yet."""
    monkeypatch.setenv("CHORUS_CACHE_DIR", str(fresh_cache))
    return fresh_cache


def cells_in(cache):
    return [file for file in (cache / "cells").rglob("*") if file.is_file()]


def waits_for(file):
    """A cell that runs until the file is there."""
    return f"while !std::path::Path::new({str(file)!r}).exists() {{ std::thread::yield_now(); }}".replace("'", '"')


def all_at_once(kernel, cells, **options):
    replies = [kernel.send(cell, **options) for cell in cells]
    for reply in replies:
        kernel.wait(reply, 180)
    return replies


def test_cells_that_wait_are_compiled_while_one_runs(cache, tmp_path):
    file = tmp_path / "go on"
    with start_kernel() as kernel:
        kernel.run("%cluster start -n 2").ok()
        first = kernel.send(f"let a = 5;\n{waits_for(file)}")
        behind = [
            "#[derive(Debug, Clone)] struct Point { x: i32 }\nlet p = Point { x: a };",
            "%%px\nlet part = Point { x: px::rank() as i32 };",
            "%who",
            "let q = p.clone(); q.x + 1",
            "%px part.x * 2",
        ]
        replies = [kernel.send(cell) for cell in behind]
        known = len(cells_in(cache))
        processes.wait_until("five objects more", lambda: len(cells_in(cache)) >= known + 5, 60)
        assert not first.done and not any(reply.begun for reply in replies)
        file.touch()
        for reply in [first, *replies]:
            kernel.wait(reply).ok()
        assert replies[3].text.strip() == "6"
        assert re.search(r"Out\[0.*\].*: 0", replies[4].text) and re.search(r"Out\[1.*\].*: 2", replies[4].text), replies[4].text


def test_what_was_assumed_is_thrown_away_when_a_cell_fails(cache, tmp_path):
    file = tmp_path / "go on"
    with start_kernel() as kernel:
        kernel.run("let a = 5;").ok()
        failing = f'let a = "text";\n{waits_for(file)}\npanic!("on purpose");'
        replies = [kernel.send(cell, stop_on_error=False) for cell in [failing, "a", "let b = a + 1; b"]]
        known = len(cells_in(cache))
        processes.wait_until("an object more", lambda: len(cells_in(cache)) > known, 60)
        file.touch()
        for reply in replies:
            kernel.wait(reply)
        assert "on purpose" in replies[0].failed().text
        # It is what it was before the cell.
        assert (replies[1].ok().text.strip(), replies[2].ok().text.strip()) == ("5", "6")


def test_an_interrupt_ends_what_is_compiled_ahead(cache):
    long = "\n".join(f"fn long_{i}(x: u64) -> String {{ format!(\"{{:?}}\", vec![x; {i}]) }}" for i in range(120))
    with start_kernel() as kernel:
        kernel.run("1 + 1").ok()
        running = kernel.send("loop { std::thread::yield_now(); }")
        behind = [kernel.send(cell) for cell in (f"{long}\nlong_1(1)", "2 + 2")]
        kernel.pump(lambda: running.begun, 30, lambda: "the cell to run")
        kernel.interrupt()
        assert kernel.wait(running).failed().content["ename"] == "Interrupted"
        assert [kernel.wait(reply).status for reply in behind] == ["aborted"] * 2
        assert kernel.run(f"{long}\nlong_2(1)").ok().text.strip() == '"[1, 1]"'


class Writer:
    """Writes a notebook by chance, of which most cells can run."""

    def __init__(self, chance):
        self.chance = chance
        self.number = 0

    def cell(self):
        self.number += 1
        value, name = self.chance.randrange(100), self.chance.choice("abc")
        return self.chance.choice(
            [
                f"let {name} = {value}_i64; {name} + 1",
                f"let mut {name} = {value}_i64; {name} *= 2; {name}",
                f'let {name} = String::from("{value}"); {name}.len()',
                f"{name}.clone()",
                f"let moved = {name}; moved",
                f"fn f(x: i64) -> i64 {{ x * {value} }}\nf(2)",
                "f(3)",
                f"#[derive(Debug, Clone)] struct S {{ n: i64 }}\nlet s = S {{ n: {value} }}; s.clone()",
                f"#[derive(Debug, Clone)] struct S {{ n: i64, m: u8 }}\nlet s = S {{ n: {value}, m: 1 }}; s.clone()",
                "s.n",
                f'let s = 1; if {value} % 2 == 0 {{ panic!("{value}") }} s',
                f"static COUNT: std::sync::atomic::AtomicI64 = std::sync::atomic::AtomicI64::new({value % 3});",
                "COUNT.fetch_add(1, std::sync::atomic::Ordering::SeqCst)",
                f"%%px\nlet {name} = {value} + px::rank() as i64; {name}",
                f"%px {name}.clone()",
                f"%px -t 0 let {name} = {value}_u8;",
                "%autopx",
                f"macro_rules! m {{ () => {{ {value} }} }}\nm!()",
                "m!() + 1",
                f"%map --sum |x: i64| x + {value} over 0..10_i64",
                "%%timeit -n 1 -r 1\n1 + 1" if value < 5 else "%who",
                f'std::process::Command::new("true").status()?.success() && {value} > 50',
            ]
        )


def shown(reply):
    """Without what differs from run to run."""
    text = re.sub(r"items on .*", "", re.sub(r"\d+(\.\d+)? (ns|µs|ms|s)\b", "TIME", reply.text))
    return reply.status, re.sub(r"kernel-\d+|pid \d+|0x[0-9a-f]+|worker \d+", "NAME", text)


def test_a_notebook_gives_the_same_at_once_and_cell_by_cell(installed, tmp_path):
    seed = random.randrange(1 << 32)
    writer = Writer(random.Random(seed))
    cells = [writer.cell() for _ in range(30)]
    outputs = []
    for at_once in (True, False):
        cache = tmp_path / f"cache-{at_once}"
        cache.mkdir(mode=0o700)
        (cache / "dependencies").symlink_to(os.path.join(os.environ["CHORUS_CACHE_DIR"], "dependencies"))
        with start_kernel(env={"CHORUS_CACHE_DIR": str(cache), "CHORUS_ENGINES": "2"}) as kernel:
            # A while to get ahead in.
            first = "std::thread::sleep(std::time::Duration::from_secs(4));"
            if at_once:
                replies = all_at_once(kernel, [first, *cells], stop_on_error=False)
            else:
                replies = [kernel.run(cell, stop_on_error=False) for cell in [first, *cells]]
            outputs.append([shown(reply) for reply in replies])
    for number, (cell, one, other) in enumerate(zip(["", *cells], *outputs)):
        assert one == other, f"seed {seed}, cell {number}: {cell}"
