"""What operators see of a cluster and have it do: `chorus status`, `logs`, `scale`, `drain`, `interrupt`, `restart`
and `kill`, and the same of `%cluster`; `%tasks --graph` and `--stream`."""

import json
import os
import re
import subprocess
import urllib.error
import urllib.request

import pytest

import processes
from harness import plain


@pytest.fixture
def lab(chorus, kernels):
    """A cluster of two engines, and a kernel that is connected to it."""
    chorus("start", "-n", 2, "--name", "lab")
    chorus.wait_for_engines(2)
    kernel = kernels()
    kernel.run("%cluster connect lab").ok()
    return chorus, kernel


def entries(chorus):
    """The cluster's log."""
    return [json.loads(line) for line in chorus("logs", "--json").stdout.splitlines()]


def events(chorus, kind):
    return [entry["event"][kind] for entry in entries(chorus) if kind in entry["event"]]


def measured(chorus, engine):
    """What an engine used the last time that it was measured."""
    used = [it["metrics"] for it in events(chorus, "measured") if it["engine"] == engine]
    return used[-1] if used else None


def pids(status):
    return {engine["id"]: engine["info"]["pid"] for engine in status["engines"]}


# Seeing


def test_a_busy_loop_and_a_large_vec_are_seen(lab):
    chorus, kernel = lab
    kernel.run("%px -t 1 let large = vec![1u8; 500_000_000];").ok()
    kernel.run("use std::time::{Duration, Instant};").ok()
    busy = kernel.send(
        "%px -t 0 let begun = Instant::now(); while begun.elapsed() < Duration::from_secs(30) { std::hint::spin_loop() }"
    )

    def is_seen():
        used = [measured(chorus, engine) for engine in (0, 1)]
        if not all(used) or not all(it["workers"] for it in used):
            return None
        first, second = (it["workers"][0]["worker"] for it in used)
        return first["cpu"] is not None and first["cpu"] > 40 and second["memory"] > 500_000_000 and used

    used = processes.wait_until("the loop and the Vec to be measured", is_seen, 25)
    assert used[1]["workers"][0]["worker"]["cpu"] < 20, "the other engine does nothing"
    assert used[0]["workers"][0]["worker"]["memory"] < 200_000_000
    text = chorus("status").stdout
    row = next(line for line in text.splitlines() if re.match(r"0 ", line))
    assert "running: let begun" in row and re.search(r"\d+ %", row), text
    assert re.search(r"^1 .* 4\d\d\.\d MiB|^1 .* 5\d\d\.\d MiB", text, re.MULTILINE), text
    assert "n/a" not in text
    kernel.interrupt()
    kernel.wait(busy).failed()


def test_the_log_tells_what_happened(lab):
    chorus, kernel = lab
    kernel.run("%px let x = 1;").ok()
    kernel.run("fn double(x: u64) -> u64 { if x == 7 { panic!(\"seven\") } else { 2 * x } }").ok()
    kernel.run("%map double over 0..5").ok()
    kernel.run("let call = px::call!(double, 7); call.get().is_err()").ok()

    def has_all():
        labels = {it["label"] for it in events(chorus, "compiled")}
        ended = len(events(chorus, "map_ended")) + len(events(chorus, "task_ended"))
        return "let x = 1;" in labels and ended == 2 and sum(it["items"] for it in events(chorus, "map_done")) >= 5

    # A cell's end and the log's last entries about it come by different ways.
    processes.wait_until("the log to have all", has_all, 20)
    numbers = [entry["number"] for entry in entries(chorus)]
    assert numbers == sorted(set(numbers)), "each has its number"
    opened = events(chorus, "session_opened")
    assert [it["session"] for it in opened] == [1] and opened[0]["client"]["pid"] == kernel.pid
    assert any(it["label"] == "let x = 1;" and it["engines"] == [0, 1] for it in events(chorus, "run_queued"))
    assert sum(it["items"] for it in events(chorus, "map_done")) == 5
    assert events(chorus, "map_opened")[0]["items"] == 5 and len(events(chorus, "map_ended")) == 1
    ended = events(chorus, "task_ended")
    assert len(ended) == 1 and "seven" in ended[0]["failure"]
    assert {it["label"] for it in events(chorus, "compiled")} >= {"let x = 1;"}
    told = chorus("logs").stdout
    assert re.search(r"^\d\d:\d\d:\d\d session 1 runs `let x = 1;` on engines 0-1$", told, re.MULTILINE), told
    assert re.search(r"call \d+ of `.*` in session 1 failed: .*seven", told), told


def test_logs_are_followed_to_the_end_of_the_cluster(lab):
    chorus, kernel = lab
    command = [os.environ["CHORUS"], "logs", "-f", "lab"]
    with subprocess.Popen(command, env=chorus.env, stdout=subprocess.PIPE, text=True) as follower:
        for line in follower.stdout:
            if "engine 1 joined" in line:
                break
        kernel.run("%px 6 * 7").ok()
        assert any("`6 * 7`" in line for line in follower.stdout)
        chorus("stop", "lab")
        assert "stopped the cluster" in follower.stdout.read()
        assert follower.wait(20) == 0


# Steering


def test_a_cluster_grows_and_shrinks(lab):
    chorus, kernel = lab
    kernel.run("%px let x = 1;").ok()
    kernel.run("fn triple(x: i32) -> i32 { 3 * x }").ok()
    reply = kernel.run("%cluster scale 4").ok()
    assert "has 4 engines now: engines 2-3 joined" in reply.text and "without the variables `x`" in reply.text
    reply = kernel.run("%px triple(px::rank() as i32)").ok()
    assert re.search(r"Out\[3:\d+\]: 9", reply.text), "new engines know all definitions"
    assert "engines 2-3 lack `x`" in kernel.run("%px x").failed().text
    before = pids(chorus.status())
    chorus("scale", 2)
    chorus.wait_for_engines(2)
    processes.wait_until("two to be gone", lambda: not any(processes.alive(before[it]) for it in (2, 3)), 10)
    kernel.run("%px x").ok()
    done = chorus("scale", 100_000, check=False)
    assert done.returncode == 1 and "more than the 10000" in done.stderr
    assert len(chorus.status()["engines"]) == 2


def test_a_drained_engine_finishes_what_it_has(lab, tmp_path):
    chorus, kernel = lab
    kernel.run("%px let x = px::rank();").ok()
    gate = tmp_path / "gate"
    wait = f'while !std::path::Path::new("{gate}").exists() {{ std::thread::yield_now() }}'
    running = kernel.send(f'%px {wait} println!("done {{}}", x)')
    processes.wait_until(
        "the cell to run", lambda: all(engine["busy"] for engine in chorus.status()["engines"]), 20
    )
    chorus("drain", "-t", 0)
    assert chorus.status()["engines"][0]["draining"]
    gate.touch()
    reply = kernel.wait(running)
    assert "done 0" in reply.text and "done 1" in reply.text
    chorus.wait_for_engines(1)
    after = kernel.run("%px x").ok()
    assert re.search(r"Out\[1:\d+\]: 1", after.text), after
    assert "engine 0 is gone: it was drained" in reply.text + after.text
    assert [engine["restarts"] for engine in chorus.status()["engines"]] == [0]


def test_a_map_goes_on_without_a_drained_engine(lab):
    chorus, kernel = lab
    kernel.run("fn slow(x: u64) -> u64 { std::thread::sleep(std::time::Duration::from_millis(20)); x }").ok()
    mapping = kernel.send("%map --sum -o sum slow over 0..300")
    processes.wait_until("the map to run", lambda: len(events(chorus, "map_done")) > 1, 20)
    chorus("drain", "-t", 1)
    kernel.wait(mapping).ok()
    assert kernel.run("sum").ok().results == [{"text/plain": str(sum(range(300)))}]
    chorus.wait_for_engines(1)
    processes.wait_until("the log to tell of the map's end", lambda: events(chorus, "map_ended"), 20)
    assert sum(it["items"] for it in events(chorus, "map_done")) == 300, "no item was done twice"


def test_interrupt_restart_and_kill_are_really_done(lab):
    chorus, kernel = lab
    kernel.run("%px let x = 1;").ok()
    endless = kernel.send("%px -t 0 loop { std::thread::sleep(std::time::Duration::from_millis(5)) }")
    processes.wait_until("the cell to run", lambda: chorus.status()["engines"][0]["busy"], 20)
    chorus("interrupt", "-t", "0")
    assert "engine 0" in kernel.wait(endless).failed().text
    kernel.run("%px x").ok()

    chorus("restart", "-t", "all")
    reply = kernel.run("%px x").failed()
    assert "`x`" in reply.text

    before = pids(chorus.status())
    chorus("kill", "-t", 1, "--signal", "KILL")
    processes.wait_until("another engine 1", lambda: pids(chorus.status()).get(1, before[1]) != before[1], 20)
    assert pids(chorus.status())[0] == before[0]
    processes.wait_until("the log to tell", lambda: "was killed by signal 9" in chorus("logs").stdout, 5)


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["kill", "-t", "7"], "there is no engine 7; there are engines 0-1"),
        (["drain", "-t", "1,9"], "there is no engine 9"),
        (["interrupt", "-t", "x"], "write engines as"),
        (["kill", "-t", "0", "-s", "NONE"], "write a signal's name"),
        (["scale", "3", "other"], "there is no cluster `other`; running: `lab`"),
    ],
)
def test_orders_that_make_no_sense_are_refused(chorus, arguments, says):
    chorus("start", "-n", 2, "--name", "lab")
    done = chorus(*arguments, check=False)
    assert done.returncode != 0 and says in done.stderr, done
    assert len(chorus.status()["engines"]) == 2


# From the notebook


def test_a_cluster_is_watched_in_place(lab):
    _, kernel = lab
    reply = kernel.run("%cluster watch --for 2.5").ok()
    assert 1 <= len(reply.displays) <= 2, "one display is replaced"
    assert "cluster lab: 2 engines" in reply.text and "<svg" in reply.html[-1]
    endless = kernel.send("%cluster watch")
    kernel.wait_for_text(endless, "cluster lab")
    kernel.interrupt()
    kernel.wait(endless).ok()


def test_logs_are_shown_in_the_notebook(lab):
    _, kernel = lab
    kernel.run("%px let x = 1;").ok()

    def told():
        return "session 1 runs `let x = 1;` on engines 0-1" in kernel.run("%cluster logs").ok().text

    processes.wait_until("the log to tell", told, 5)
    following = kernel.send("%cluster logs -f")
    kernel.wait_for_text(following, "session 1 runs")
    kernel.interrupt()
    kernel.wait(following).ok()


def test_calls_are_drawn_as_a_graph_and_maps_as_a_stream(lab):
    _, kernel = lab
    assert "There are no calls" in kernel.run("%tasks --graph").ok().text
    assert "Nothing has run" in kernel.run("%tasks --stream").ok().text
    kernel.run("fn add(a: u64, b: u64) -> u64 { a + b }\nfn bad() -> u64 { panic!(\"no\") }").ok()
    # All have ended before the graph is asked for: `c` fails, which is caught.
    calls = "let a = px::call!(add, 1, 2); let b = px::call!(add, &a, 3); let c = px::call!(bad);"
    kernel.run(calls + " (b.get().is_ok(), c.get().is_err())").ok()
    graph = kernel.run("%tasks --graph").ok()
    assert re.search(r"^1 add: done on engine \d$", plain(graph.text), re.MULTILINE), graph
    assert "2 add ← 1 add: done" in graph.text and "3 bad: failed" in graph.text
    assert graph.html[-1].count("<rect") == 3 and graph.html[-1].count("<path") == 1
    kernel.run("%map |x: u64| { std::thread::sleep(std::time::Duration::from_millis(30)); x } over 0..20").ok()

    def stream_of_all():
        stream = kernel.run("%tasks --stream").ok()
        return all(re.search(rf"engine {engine} .*█", stream.text) for engine in (0, 1)) and stream

    stream = processes.wait_until("both engines to be in the stream", stream_of_all, 20)
    assert "<svg" in stream.html[-1] and "%map" in stream.text


# Recordings


def test_what_happens_is_recorded_and_survives_the_controller(chorus, tmp_path):
    file = tmp_path / "lab.jsonl"
    chorus("start", "-n", 1, "--name", "lab", "--record", file)
    pid = chorus.wait_for_engines(1)["pid"]
    processes.wait_until("a measurement", lambda: '"measured"' in file.read_text(), 20)
    processes.kill(pid)
    recorded = [json.loads(line) for line in file.read_text().splitlines()]
    assert [entry["number"] for entry in recorded] == list(range(len(recorded)))
    assert recorded[0]["event"]["state"]["name"] == "lab", "it begins with how everything was"
    assert any("engine_up" in entry["event"] for entry in recorded)
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_notebook_records_its_own_cluster(kernels, tmp_path):
    file = tmp_path / "own.jsonl"
    kernel = kernels()
    kernel.run(f"%cluster start -n 2 --record {file}").ok()
    kernel.run("%px let recorded = 1;").ok()
    kernel.run("%cluster stop").ok()
    events = [json.loads(line)["event"] for line in file.read_text().splitlines()]
    assert "state" in events[0] and any("stopping" in event for event in events), events
    assert sum("engine_up" in event for event in events) == 2
    (queued,) = (event["run_queued"] for event in events if "run_queued" in event)
    assert "recorded" in queued["label"] and queued["engines"] == [0, 1]


def test_a_recording_that_cannot_be_made_is_an_error(chorus, tmp_path):
    (tmp_path / "file").write_text("")
    done = chorus("start", "-n", 1, "--record", tmp_path / "file/below", check=False)
    assert done.returncode == 1 and "can't be recorded" in done.stderr
    assert json.loads(chorus("list", "--json").stdout) == []


# Figures for Prometheus


def test_prometheus_gets_the_same_figures(chorus):
    started = chorus("start", "-n", 2, "--name", "lab", "--metrics", 0).stdout
    url = re.search(r"^For Prometheus: (http://127\.0\.0\.1:\d+/metrics)$", started, re.MULTILINE).group(1)

    def figures():
        with urllib.request.urlopen(url, timeout=10) as reply:
            assert reply.headers["content-type"].startswith("application/openmetrics-text")
            return reply.read().decode()

    processes.wait_until("both engines to be measured", lambda: figures().count("chorus_engine_cpu_cores{") == 2, 20)
    lines = figures().splitlines()
    assert "chorus_engines 2.0" in lines and lines[-1] == "# EOF"
    chorus("scale", 1)
    processes.wait_until("one to be gone", lambda: "chorus_engines 1.0" in figures(), 20)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url.removesuffix("metrics"), timeout=10)
    assert refused.value.code == 404
    chorus("stop")

    def is_closed():
        try:
            figures()
        except OSError:
            return True

    processes.wait_until("the port to be closed", is_closed, 10)


def test_figures_are_for_this_host_only(chorus):
    done = chorus("start", "-n", 1, "--metrics", "0.0.0.0:0", check=False)
    assert done.returncode == 2 and "loopback" in done.stderr
    assert json.loads(chorus("list", "--json").stdout) == []
