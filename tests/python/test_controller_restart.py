"""A controller that is killed: its engines and notebooks go on with the one that is started in its place."""

import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import time
import urllib.request

import pytest

import processes
from test_top import Top

NAME = "lab"


class Lab:
    """A cluster whose controller can be killed and started again."""

    def __init__(self, chorus):
        self.chorus = chorus
        chorus("start", "-n", 3, "--name", NAME)

    def controller(self):
        file = self.chorus.runtime_dir / "clusters" / NAME / "connection.json"
        return json.loads(file.read_text())["pid"]

    def kill(self):
        controller = self.controller()
        os.kill(controller, signal.SIGKILL)
        processes.wait_until("the controller to be gone", lambda: not processes.alive(controller))

    def start_again(self):
        said = self.chorus("start", "--name", NAME).stdout
        assert "took its 3 engines back" in said, said
        return said

    def restart(self, after=0.0):
        self.kill()
        time.sleep(after)
        self.start_again()

    def engines(self):
        return {engine["id"]: engine["info"]["pid"] for engine in self.chorus.status(NAME)["engines"]}


@pytest.fixture
def lab(chorus):
    return Lab(chorus)


@pytest.fixture
def notebook(lab, kernels):
    kernel = kernels()
    kernel.run(f"%cluster connect {NAME}").ok()
    return kernel


def test_engines_keep_ids_processes_and_variables(lab, notebook):
    notebook.run("%px let mut mine = vec![px::rank() as u64 * 10];").ok()
    before = lab.engines()
    for round in range(3):
        lab.restart(after=round * 0.3)
        reply = notebook.run("%px mine.push(1); mine.iter().sum::<u64>()").ok()
        for engine in range(3):
            assert re.search(rf"Out\[{engine}:\d+\]: {engine * 10 + round + 1}\b", reply.text), reply
    assert lab.engines() == before
    assert lab.chorus.status(NAME)["restarts"] == 3
    lab.chorus("stop", NAME)
    processes.wait_until("the engines to end", lambda: not any(map(processes.alive, before.values())))


def taken(port):
    """A socket that listens at a port, of which its last owner may let go only now."""

    def try_it():
        try:
            return socket.create_server(("127.0.0.1", port))
        except OSError:
            return None

    return processes.wait_until(f"port {port}", try_it)


def test_over_ports_and_with_an_engine_that_was_added_by_hand(chorus, kernels):
    chorus("start", "-n", 2, "--name", NAME, "--tcp")
    lab = Lab.__new__(Lab)
    lab.chorus = chorus
    command = [os.environ["CHORUS"], "engine", "--connect", NAME, "--no-shared-files"]
    engine = subprocess.Popen(command, env=chorus.env, stdin=subprocess.DEVNULL)
    try:
        chorus.wait_for_engines(3)
        before = lab.engines()
        kernel = kernels()
        kernel.run(f"%cluster connect {NAME}").ok()
        kernel.run("%px let mut mine = px::rank();").ok()
        cell = kernel.send("%px std::thread::sleep(std::time::Duration::from_secs(2)); mine += 10; mine")
        processes.wait_until("the cell to run", lambda: all(e["busy"] for e in chorus.status(NAME)["engines"]))
        lab.kill()
        _, connection = chorus.connection_file()
        with taken(int(connection["clients"].rpartition(":")[2])):
            refused = chorus("start", "--name", NAME, check=False)
        assert refused.returncode == 1 and connection["clients"] in refused.stderr, refused
        lab.start_again()
        for engine_id in range(3):
            assert re.search(rf"Out\[{engine_id}:\d+\]: 1{engine_id}\b", kernel.wait(cell).ok().text), cell
        assert lab.engines() == before
        chorus("stop", NAME)
        engine.wait(timeout=10)
    finally:
        engine.kill()
        engine.wait()


def test_a_cell_that_runs_says_what_it_waits_for_and_ends_whole(lab, notebook):
    cell = notebook.send(
        "%%px\nfor n in 0..400 {\n"
        '    println!("line {n} of {}", px::rank());\n'
        "    std::thread::sleep(std::time::Duration::from_millis(10));\n}\npx::rank() + 100"
    )
    notebook.wait_for_text(cell, "line 50 of")
    begun = time.monotonic()
    lab.kill()
    notebook.wait_for_text(cell, "`chorus start --name lab` takes them back", timeout=3)
    assert time.monotonic() - begun < 3
    assert cell.stderr.count("is gone") == 1, cell
    # Long enough for much output, which nobody takes.
    time.sleep(1)
    lab.start_again()
    notebook.wait(cell).ok()
    assert re.search(r"was gone for .*, and is back", cell.stderr), cell
    for engine in range(3):
        lines = re.findall(rf"line (\d+) of {engine}$", cell.stdout, re.MULTILINE)
        assert lines == [str(n) for n in range(400)], f"engine {engine}: {lines}"
        assert re.search(rf"Out\[{engine}:\d+\]: 10{engine}\b", cell.text), cell
    assert "is gone" not in notebook.run("%px 1").ok().stderr


def done_items(folder):
    return sorted(int(line) for file in folder.iterdir() for line in file.read_text().split())


MAP = """
fn noted(n: u64) -> u64 {{
    use std::io::Write;
    std::thread::sleep(std::time::Duration::from_millis(5));
    let name = format!("{folder}/{{}}", std::env::var("CHORUS_ENGINE_ID").unwrap());
    let mut file = std::fs::File::options().create(true).append(true).open(name).unwrap();
    writeln!(file, "{{n}}").unwrap();
    n * n
}}
"""


def map_while_killing(lab, notebook, folder, items, kills, random):
    """Maps over items while the controller is killed and started again; returns how often."""
    folder.mkdir()
    notebook.run(MAP.format(folder=folder)).ok()
    cell = notebook.send(f"%map -o squares noted over 0..{items}u64")
    started = time.monotonic()
    killed = 0
    while killed < kills and not cell.done:
        until = time.monotonic() + random.uniform(0.05, 0.6)
        notebook.pump(lambda: cell.done or time.monotonic() > until, 60, lambda: "time to pass")
        lab.restart(after=random.choice([0, 0, 0.2]))
        killed += 1
    assert not cell.done or time.monotonic() - started < 3, "the map ended before much could go wrong"
    notebook.wait(cell, timeout=120).ok()
    assert done_items(folder) == list(range(items)), "each item once"
    check = notebook.run(f"squares == (0..{items}u64).map(|n| n * n).collect::<Vec<_>>()").ok()
    assert check.results == [{"text/plain": "true"}], check
    return killed


def test_a_map_does_nothing_twice(lab, notebook, tmp_path):
    assert map_while_killing(lab, notebook, tmp_path / "done", 1500, 4, random.Random(1)) == 4


def test_calls_are_made_once(lab, notebook, tmp_path):
    folder = tmp_path / "done"
    folder.mkdir()
    notebook.run(MAP.format(folder=folder) + "fn sum(a: u64, b: u64) -> u64 { a + b }").ok()
    cell = notebook.send(
        "let calls: Vec<_> = (0..300).map(|n| px::call!(noted, n)).collect();\n"
        "let last = px::call!(sum, &calls[10], &calls[299]);\n"
        "let all: u64 = calls.iter().map(|call| call.get().unwrap()).sum();\n"
        "(all, last.get()?)"
    )
    processes.wait_until("the first calls", lambda: len(done_items(folder)) > 10)
    for _ in range(3):
        lab.restart()
    notebook.wait(cell).ok()
    assert done_items(folder) == list(range(300))
    expected = (sum(n * n for n in range(300)), 100 + 299 * 299)
    assert cell.results == [{"text/plain": str(expected)}], cell


def test_an_interrupt_ends_the_waiting(lab, notebook):
    notebook.run("%px let kept = 7;").ok()
    cell = notebook.send("%px std::thread::sleep(std::time::Duration::from_secs(2)); px::rank()")
    processes.wait_until("the cell to run", lambda: any(e["busy"] for e in lab.chorus.status(NAME)["engines"]))
    lab.kill()
    notebook.wait_for_text(cell, "is gone")
    notebook.interrupt()
    said = notebook.wait(cell, timeout=5).failed()
    assert "%pxresult collects it" in said.text, said
    # Nor does a map hold the user up.
    cell = notebook.send("%map |x| x + 1 over 0..10u64")
    notebook.wait_for_text(cell, "is gone")
    notebook.interrupt()
    assert "interrupted" in notebook.wait(cell, timeout=5).failed().text
    lab.start_again()
    assert re.search(r"Out\[2:\d+\]: 2\b", notebook.run("%pxresult").ok().text)
    assert re.search(r"Out\[0-2:\d+\]: 7\b", notebook.run("%px kept").ok().text)


def test_cells_that_look_at_the_cluster_say_that_its_controller_is_gone(lab, notebook):
    watched = notebook.send("%cluster watch")
    notebook.wait_for_text(watched, NAME)
    lab.kill()
    notebook.wait_for_text(watched, "`chorus start --name lab` takes them back", timeout=3)
    notebook.interrupt()
    notebook.wait(watched).ok()
    for look in ("%cluster status", "%cluster watch", "%cluster logs", "%tasks --stream"):
        begun = time.monotonic()
        said = notebook.run(look).failed()
        assert "`chorus start --name lab` takes its engines back" in said.text, said
        assert time.monotonic() - begun < 3, look
    lab.start_again()
    processes.wait_until("the notebook to see that it is back", lambda: notebook.run("%cluster status").status == "ok")
    followed = notebook.send("%cluster logs -f")
    notebook.wait_for_text(followed, "session 1")
    lab.kill()
    notebook.wait_for_text(followed, "is gone", timeout=3)
    lab.start_again()
    notebook.wait_for_text(followed, "and is back")
    notebook.interrupt()
    notebook.wait(followed).ok()
    assert "3 engines" in notebook.run("%cluster status").ok().text


def test_a_controller_that_stays_away_is_lost_with_its_engines(chorus, kernels):
    chorus("start", "-n", 2, "--name", NAME, "--stay", 3)
    lab = Lab.__new__(Lab)
    lab.chorus = chorus
    engines = lab.engines()
    kernel = kernels()
    kernel.run(f"%cluster connect {NAME}").ok()
    kernel.run("%px let mine = 1;").ok()
    cell = kernel.send("%px std::thread::sleep(std::time::Duration::from_secs(60));")
    processes.wait_until("the cell to run", lambda: any(e["busy"] for e in chorus.status(NAME)["engines"]))
    lab.kill()
    said = kernel.wait(cell, timeout=15).failed()
    assert "`mine`" in said.text, said
    processes.wait_until("the engines to end", lambda: not any(map(processes.alive, engines.values())))
    # The name is free again, and nothing is left of the one before.
    assert "Started the cluster" in chorus("start", "-n", 2, "--name", NAME).stdout
    chorus("stop", NAME)


def test_an_engine_that_dies_meanwhile_is_started_again(lab, notebook):
    notebook.run("%px let mine = px::rank();").ok()
    victim = lab.engines()[1]
    lab.kill()
    os.kill(victim, signal.SIGKILL)
    said = lab.chorus("start", "--name", NAME).stdout
    assert "took its 2 engines back and started 1 anew" in said, said
    assert "`mine`" in notebook.run("%px mine").failed().text
    reply = notebook.run("%px -t 0,2 mine").ok()
    assert re.search(r"Out\[2:\d+\]: 2\b", reply.text), reply


@pytest.mark.skipif("CHORUS_LONG" not in os.environ, reason="takes minutes; CHORUS_LONG=1 runs it")
def test_twenty_maps_with_controllers_killed_in_the_middle(lab, notebook, tmp_path):
    seed = int(os.environ["CHORUS_LONG"])
    chance = random.Random(seed)
    killed = [map_while_killing(lab, notebook, pathlib.Path(tmp_path, str(n)), 1200, 3, chance) for n in range(20)]
    print(f"seed {seed}: controllers killed in each map: {killed}")
    assert lab.chorus.status(NAME)["restarts"] == sum(killed)


def test_a_map_that_outlives_its_controller_is_in_the_recording(chorus, kernels, tmp_path):
    file, done = tmp_path / "lab.jsonl", tmp_path / "done"
    start = ("start", "-n", 3, "--name", NAME, "--record", file)
    chorus(*start)
    notebook = kernels()
    notebook.run(f"%cluster connect {NAME}").ok()
    items = 400
    notebook.run(
        f"""use std::io::Write;
fn note(x: u64) -> u64 {{
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open("{done}").unwrap();
    file.write_all(format!("{{x}}\\n").as_bytes()).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(20));
    3 * x
}}"""
    ).ok()
    mapping = notebook.send(f"%map --chunk 1 -o all note over 0..{items}")
    count = lambda: len(done.read_text().split()) if done.exists() else 0
    processes.wait_until("a part of the map to be done", lambda: count() > items // 4, 60)
    controller = chorus.status(NAME)["pid"]
    os.kill(controller, signal.SIGKILL)
    processes.wait_until("the controller to be gone", lambda: not processes.alive(controller))
    assert count() < items, "it was killed in the middle"
    assert "took its 3 engines back" in chorus(*start).stdout
    notebook.wait(mapping).ok()
    assert notebook.run(f"all == (0..{items}u64).map(|x| 3 * x).collect::<Vec<_>>()").ok().results[0]["text/plain"] == "true"
    assert sorted(map(int, done.read_text().split())) == list(range(items)), "each ran once"
    chorus("stop", NAME, "--force")

    # Whoever goes on with a recording ends the line that the one before may have left half.
    lines = filter(None, file.read_text().splitlines())
    recorded = [json.loads(line)["event"] for line in lines]
    assert sum("state" in event for event in recorded) == 2, "one of each controller"
    assert sum("map_opened" in event for event in recorded) == sum("map_ended" in event for event in recorded) == 1
    replayed = json.loads(chorus("top", "--replay", file, "--once", "--json").stdout)
    assert replayed["maps"] == 0 and replayed["stopping"]
    top = Top(chorus, "--replay", file, size=(24, 140))
    try:
        top.wait("replay")
        top.keys("." * 60 + "2")
        top.wait(rf"map .*{items} of {items} items, 100 %")
        top.keys("q")
        assert top.end() == 0
    finally:
        top.close()


def test_the_next_one_says_so_and_goes_on_with_the_figures(chorus, kernels):
    started = chorus("start", "-n", 2, "--name", NAME, "--metrics", 0).stdout
    url = re.search(r"^For Prometheus: (http://127\.0\.0\.1:(\d+)/metrics)$", started, re.MULTILINE)
    lab = Lab.__new__(Lab)
    lab.chorus = chorus
    notebook = kernels()
    notebook.run(f"%cluster connect {NAME}").ok()
    notebook.run("%px let x = 1;").ok()

    def compiled():
        with urllib.request.urlopen(url.group(1), timeout=10) as reply:
            found = re.findall(r'^chorus_compilations_total\{cached="(\w+)"\} (\d+)', reply.read().decode(), re.MULTILINE)
        return {cached: int(number) for cached, number in found}

    processes.wait_until("the cell to be counted", lambda: sum(compiled().values()) > 0, 20)
    before = compiled()
    lab.kill()
    said = chorus("start", "--name", NAME).stdout
    assert "took its 2 engines back" in said and url.group(0) in said, said
    # Nothing that the new one was told.
    processes.wait_until("the figures", lambda: compiled() == before, 20)
    assert "process %d goes on with 1 session, and awaits 2 engines" % lab.controller() in chorus("logs", NAME).stdout
    top = Top(chorus, NAME, size=(24, 160))
    try:
        top.wait(rf"compiled {before['false']} \({before['true']} from the cache\)")
        lab.kill()
        with taken(int(url.group(2))):
            said = chorus("start", "--name", NAME).stdout
        assert "took its 2 engines back" in said and "Nothing is served for Prometheus any more" in said, said
        top.keys("6")
        top.wait(f"process {lab.controller()} goes on with 1 session, and awaits 2 engines")
    finally:
        top.close()


def test_a_cluster_whose_engines_wait_is_listed(lab, chorus):
    listed = lambda: [(it["name"], it["state"]) for it in json.loads(chorus("list", "--json").stdout)]
    assert listed() == [(NAME, "running")]
    lab.kill()
    # Its threads may hold the lock of its folder for another moment.
    processes.wait_until("the cluster to be told to wait", lambda: listed() == [(NAME, "waiting")])
    assert f"its engines wait: `chorus start --name {NAME}` takes them back" in chorus("list").stdout
    for command in (("status",), ("status", NAME), ("top", NAME, "--once")):
        failed = chorus(*command, check=False)
        assert failed.returncode == 1 and "takes them back" in failed.stderr, failed
    lab.start_again()
    assert listed() == [(NAME, "running")]
    assert "wait" not in chorus("list").stdout
