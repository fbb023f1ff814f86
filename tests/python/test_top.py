"""`chorus top`: the monitor in a real terminal, `--once`, recordings, and what it does to a cluster."""

import base64
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pyte
import pytest

import processes

SLEEP = "std::thread::sleep(std::time::Duration::from_secs(120));"
SPIN = "let end = std::time::Instant::now() + std::time::Duration::from_secs(60); while std::time::Instant::now() < end {}"


class Top:
    """`chorus top` in a pseudo-terminal, and what its screen shows."""

    def __init__(self, chorus, *arguments, size=(24, 100), env=None):
        self.screen = pyte.Screen(size[1], size[0])
        self.stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.master, slave = pty.openpty()
        self._resize_terminal(*size)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        environment = chorus.env | {"TERM": "xterm-256color", "LANG": "C.UTF-8", "LC_ALL": ""} | (env or {})
        command = [os.environ["CHORUS"], "top", *map(str, arguments)]
        self.process = subprocess.Popen(
            command,
            env=environment,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            preexec_fn=lambda: (os.setsid(), fcntl.ioctl(0, termios.TIOCSCTTY, 0)),
        )

    def _resize_terminal(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, rows, columns):
        self._resize_terminal(rows, columns)
        self.screen.resize(rows, columns)

    @property
    def text(self):
        return "\n".join(line.rstrip() for line in self.screen.display)

    def read(self, seconds=0.05):
        while select.select([self.master], [], [], seconds)[0]:
            try:
                data = os.read(self.master, 65536)
            except OSError:
                return
            self.raw += data
            self.stream.feed(data)
            seconds = 0

    def wait(self, pattern, seconds=20):
        """Waits until the screen shows this."""
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.text):
            assert time.monotonic() < deadline, f"waited {seconds} s for {pattern!r}; the screen shows\n{self.text}"
            self.read()
        return self.text

    def wait_without(self, pattern, seconds=20):
        """Waits until the screen doesn't show this any more."""
        deadline = time.monotonic() + seconds
        while re.search(pattern, self.text):
            assert time.monotonic() < deadline, f"{pattern!r} was there for {seconds} s; the screen shows\n{self.text}"
            self.read()

    def keys(self, keys):
        os.write(self.master, keys.encode())

    def end(self, seconds=10):
        """Its exit status, once it has ended and the terminal is as it was."""
        status = processes.wait_until("`chorus top` to end", lambda: (self.read(0), self.process.poll())[1] is not None, seconds)
        assert status
        self.read()
        assert termios.tcgetattr(self.slave) == self.before, "the terminal's mode wasn't restored"
        for sequence in (b"\x1b[?1049l", b"\x1b[?25h", b"\x1b[?1000l"):
            assert sequence in self.raw, f"{sequence} is missing at the end: {self.raw[-200:]}"
        return self.process.returncode

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def top(chorus):
    started = []

    def start(*arguments, **options):
        started.append(Top(chorus, *arguments, **options))
        return started[-1]

    yield start
    for it in started:
        it.close()


def test_every_page_is_reached_by_keys_and_the_terminal_is_restored(lab, top):
    it = top("lab")
    it.wait(r"lab +● live")
    it.wait(r"(?s)0 idle.*1 idle")
    titles = ["Tasks", "Stream", "Memory", "Sessions", "Logs", "GPU", "Diagnoses"]
    for key, title in enumerate(titles, start=2):
        it.keys(str(key))
        it.wait(rf"╭ {title} ")
    it.keys("?")
    it.wait(r"╭ Help ")
    it.keys("\x1b")
    it.wait(r"╭ Diagnoses ")
    it.keys("1\r")
    it.wait(r"╭ Engine 0 idle")
    it.keys("L")
    it.wait(r"╭ Logs of engine 0 ")
    it.resize(40, 150)
    it.wait(r"╭ Logs of engine 0 [^\n]{120,}╮")
    it.keys("1")
    it.wait("HOST")
    it.keys("q")
    assert it.end() == 0


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT])
def test_signals_restore_the_terminal(lab, top, how):
    it = top("lab")
    it.wait("live")
    it.process.send_signal(how)
    assert it.end() == 0


def test_who_stops_it_has_the_terminal_until_it_goes_on(lab, top):
    it = top("lab")
    it.wait("live")
    it.process.send_signal(signal.SIGTSTP)

    def is_stopped():
        it.read(0)
        with open(f"/proc/{it.process.pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "T"

    processes.wait_until("it to be stopped", is_stopped)
    it.read()
    assert termios.tcgetattr(it.slave) == it.before
    assert b"\x1b[?1049l" in it.raw and b"\x1b[?1000l" in it.raw
    it.raw = b""
    it.screen.reset()
    it.process.send_signal(signal.SIGCONT)
    it.wait(r"● live +2 engines")
    assert b"\x1b[?1049h" in it.raw
    it.keys("q")
    assert it.end() == 0


def test_ascii_and_no_colour(lab, top):
    it = top("lab", env={"LANG": "C", "NO_COLOR": "1"})
    it.wait("live")
    it.keys("3")
    it.wait(r"\+ Stream ")
    it.keys("q")
    it.end()
    assert not re.search(rb"\x1b\[[0-9;]*(3[0-7]|38;)[0-9;]*m", it.raw), "there are colours"
    assert it.raw.isascii()


def test_once_tells_what_engines_really_do(notebook, lab):
    busy = notebook.send(f"%px -t 1 {SPIN}")
    processes.wait_until("the cell to run", lambda: lab.once("lab")["engines"][1]["state"] == "busy", 60)
    time_of = time.monotonic()
    found = lab.once("lab")
    assert time.monotonic() - time_of < 10
    idle, spinning = found["engines"]
    assert (idle["id"], idle["state"], spinning["state"]) == (0, "idle", "busy")
    status = lab.status("lab")
    assert [it["pid"] for it in found["engines"]] == [it["info"]["pid"] for it in status["engines"]]
    assert idle["cpu_percent"] < 30 < spinning["cpu_percent"], found
    assert spinning["running"]["label"].startswith("let end") and spinning["running"]["seconds"] > 0
    assert (idle["running"], idle["gpu"]) == (None, None)
    assert found["sessions"] == 1 and spinning["memory_bytes"] > 1 << 20 and spinning["bytes_in_per_s"] is not None
    page = lab("top", "lab", "--once").stdout
    assert re.search(r"(?m)^ +1 +busy .* let end", page), page
    notebook.interrupt_and_wait()


def test_variables_and_rooms_are_told_with_what_they_take(notebook, lab, top):
    size = 500_000_000
    notebook.run(f"%px -t 1 let large = vec![1u8; {size}];").ok()
    notebook.run("%px struct Odd(Box<dyn Fn() -> u8>); let odd = Odd(Box::new(|| 1)); let words = vec![\"a\".to_string()];").ok()
    notebook.run("let own = vec![0.5f64; 1_000_000]; let kept = px::put(&own);").ok()

    def told():
        found = {(it["engine"], it["kind"], it["name"]): it for it in lab.once("lab")["memory"]}
        wanted = [(1, "variable", "large"), (0, "variable", "odd"), (None, "variable", "kept")]
        return all(it in found for it in wanted) and found

    found = processes.wait_until("variables to be told", told, 30)
    assert all(it["session"] == 1 for it in found.values())
    assert size <= found[1, "variable", "large"]["bytes"] < size + 1000
    assert (0, "variable", "large") not in found
    assert found[0, "variable", "odd"]["bytes"] is None, "its type doesn't tell"
    assert 24 < found[0, "variable", "words"]["bytes"] < 200
    assert 8_000_000 <= found[None, "variable", "own"]["bytes"] < 8_001_000
    rooms = [it for it in found.values() if it["kind"] == "room"]
    assert len(rooms) == 1 and rooms[0]["engine"] is None and rooms[0]["name"].endswith("of cells"), rooms
    assert 8_000_000 <= rooms[0]["bytes"] < 9_000_000
    page = lab("top", "lab", "--once").stdout
    assert re.search(r"(?m)^ 477M  variable  engine 1     1  large$", page), page
    it = top("lab")
    it.wait("live")
    it.keys("4")
    it.wait(r"1 variable +1 large +477M")
    it.wait(r"0 variable +1 odd +n/a")
    it.wait(r"notebook room ")
    it.keys("q")
    assert it.end() == 0
    notebook.run("%px -t 1 drop(large);").ok()
    notebook.run("drop(kept);").ok()
    gone = lambda: not any(it["name"] == "large" or it["kind"] == "room" for it in lab.once("lab")["memory"])
    processes.wait_until("what was dropped to be gone", gone, 30)


def test_what_a_lost_worker_had_is_not_told_any_more(notebook, lab):
    notebook.run("%px -t 0 let large = vec![1u8; 50_000_000];").ok()
    names = lambda: [it["name"] for it in lab.once("lab")["memory"] if it["engine"] == 0]
    processes.wait_until("the variable to be told", lambda: "large" in names(), 30)
    notebook.run("%px -t 0 std::process::abort()").failed()
    notebook.run("%px -t 0 large.len()").ok()
    assert "large" in names(), "the snapshot has it"
    lab("restart", "-t", "0")
    processes.wait_until("the variable to be gone", lambda: not names(), 30)
    notebook.run("%px -t 0 let large = vec![1u8; 60_000_000];").ok()
    processes.wait_until("the new one to be told", lambda: "large" in names(), 30)


def test_an_interrupt_is_really_done(notebook, lab, top):
    cell = notebook.send(f"%px {SLEEP}")
    it = top("lab")
    it.wait(r"(?s)0 busy.*1 busy", 60)
    it.keys("a")
    it.wait("2 marked")
    it.keys("i")
    it.wait(r"Interrupt engines 0-1\?")
    it.keys("y")
    it.wait("interrupted engines 0-1")
    notebook.wait(cell, 30).failed()
    it.wait(r"(?s)0 idle.*1 idle")
    it.keys("q")
    assert it.end() == 0


def test_readonly_does_nothing(lab, top):
    it = top("lab", "--readonly")
    it.wait(r"1 idle")
    it.keys("r")
    it.wait("`--readonly` leaves the cluster alone")
    it.keys("q")
    assert it.end() == 0


def test_scaling_and_filtering(lab, top):
    it = top("lab")
    it.wait(r"(?s)0 idle.*1 idle")
    it.keys("+\r")
    lab.wait_for_engines(3, "lab")
    it.wait(r"2 idle")
    it.keys("/id > 1\r")
    it.wait(r"Engines 1 of 3")
    assert not re.search(r" 0 idle", it.text)
    it.keys("q")
    assert it.end() == 0


def test_restarting_asks_first_and_is_for_the_marked_engines(notebook, lab, top):
    lab("scale", "3", "lab")
    lab.wait_for_engines(3, "lab")
    notebook.run("%px let x = px::rank();").ok()
    it = top("lab")
    it.wait(r"(?s)0 idle.*1 idle.*2 idle")
    it.keys("j  ")
    it.wait("2 marked")
    it.keys("r")
    it.wait(r"Restart the workers of engines 1-2\?")
    it.wait("All notebooks lose their variables on them")
    it.keys("n")
    it.wait_without("Restart the workers")
    assert "2 marked" in it.text
    notebook.run("%px x").ok()
    it.keys("r")
    it.wait(r"Restart the workers of engines 1-2\?")
    it.keys("\r")
    it.wait("restarted the workers of engines 1-2")
    notebook.run("%px -t 0 x").ok()
    assert "engines 1-2" in notebook.run("%px x").failed().text
    it.keys("q")
    assert it.end() == 0


def test_a_signal_is_chosen_confirmed_and_sent(lab, top):
    before = [engine["pid"] for engine in lab.once("lab")["engines"]]
    it = top("lab")
    it.wait(r"(?s)0 idle.*1 idle")
    it.keys("jx")
    it.wait(r"(?s)Send a signal to engine 1.*SIGKILL")
    it.keys("j\r")
    it.wait(r"Send SIGKILL to engine 1\?")
    it.keys("\x1b")
    it.wait_without("Send SIGKILL")
    assert processes.alive(before[1])
    it.keys("xj\r")
    it.wait(r"Send SIGKILL to engine 1\?")
    it.keys("y")
    it.wait("sent signal 9 to engine 1")
    processes.wait_until("the process to be gone", lambda: not processes.alive(before[1]))
    lab.wait_for_engines(2, "lab")
    after = processes.wait_until("another engine 1", lambda: (it := lab.once("lab")["engines"])[1]["pid"] and it)
    assert after[0]["pid"] == before[0] and after[1]["pid"] != before[1]
    it.wait(r"(?s)0 idle.*1 idle")
    it.keys("q")
    assert it.end() == 0


def test_draining_asks_first_and_is_done(lab, top):
    it = top("lab")
    it.wait(r"(?s)0 idle.*1 idle")
    it.keys("d")
    it.wait(r"Drain engine 0\?")
    it.keys("\x1b")
    it.wait_without("Drain engine")
    assert len(lab.status("lab")["engines"]) == 2
    it.keys("d")
    it.wait(r"Drain engine 0\?")
    it.keys("y")
    lab.wait_for_engines(1, "lab")
    it.wait(r"live +1 engine ")
    assert [engine["id"] for engine in lab.once("lab")["engines"]] == [1]
    it.keys("q")
    assert it.end() == 0


@pytest.mark.parametrize("kind", ["map", "call"])
def test_a_map_and_a_call_are_cancelled(notebook, lab, top, kind):
    notebook.run(f"fn slow(x: u64) -> u64 {{ {SLEEP} x }}").ok()
    cell = {"map": "%map slow over 0..100", "call": "px::call!(slow, 1).get().unwrap()"}[kind]
    running = notebook.send(cell)
    it = top("lab")
    it.wait("live")
    it.keys("2")
    it.wait(rf" {kind} ", 60)
    it.keys(f"/{kind}\rgc")
    it.wait(rf"Cancel {kind} 1 of session 1\?|Cancel {kind} 0 of session 1\?")
    it.keys("n")
    it.wait_without("Cancel")
    assert lab.once("lab")[f"{kind}s"] == 1
    it.keys("c")
    it.wait(rf"Cancel {kind} ")
    it.keys("y")
    notebook.wait(running, 60).failed()
    processes.wait_until("it to be gone", lambda: (found := lab.once("lab"))["maps"] == found["calls"] == 0)
    it.keys("q")
    assert it.end() == 0


def test_the_logs_are_searched_and_wrapped(notebook, lab, top):
    for number in (1111, 2222, 3333):
        notebook.run(f"%px let some_variable_with_a_long_name_{number} = {number};").ok()
    it = top("lab", size=(24, 60))
    it.wait("live")
    it.keys("6")
    it.wait(r"Logs of the cluster \d+ ")
    it.keys("n")
    it.wait("search the log")
    it.keys("/long_name\r")
    it.wait(r"Logs of the cluster 3 of \d+ 3/3 /long_name ")
    it.keys("N")
    it.wait(r" 2/3 ")
    it.keys("NN")
    it.wait(r" 1/3 ")
    it.wait("that is the first")
    it.keys("n")
    it.wait(r" 2/3 ")
    it.wait_without("on engines 0-1")
    it.keys("w")
    it.wait("on engines 0-1")
    assert " 2/3 " in it.text
    it.keys("n")
    it.wait(r" 3/3 ")
    it.keys("w")
    it.wait_without("on engines 0-1")
    it.wait(r" 3/3 ")
    it.keys("q")
    assert it.end() == 0


def test_what_failed_is_told_with_its_error_and_copied(notebook, lab, top):
    notebook.run('fn odd(x: u64) -> u64 { assert!(x != 7, "seven\\x1b[2J\\nis odd"); x }').ok()
    notebook.run('%px -t 1 panic!("on purpose")').failed()
    notebook.run("%px -t 0 std::process::abort()").failed()
    notebook.run("%map odd over 0..10").failed()
    notebook.run("px::call!(odd, 7).get().unwrap()").failed()
    notebook.run('fn caught(x: u64) -> u64 { let _ = std::panic::catch_unwind(|| panic!("caught")); x }').ok()
    notebook.run("px::call!(caught, 1).get().unwrap()").ok()
    notebook.run("%px let own = vec![1u64, 2, 3];").ok()
    notebook.run("%map caught over each own").ok()
    notebook.run("fn dies(_: u64) -> u64 { std::process::abort() }").ok()
    notebook.run("%map dies over each own").failed()
    it = top("lab", size=(24, 120))
    it.wait("live")
    it.keys("2")
    it.wait(r"failed +map +[\d]* +\d [^\n]*its worker was killed by signal 6")
    it.wait(r"done +map +[\d]* +\d [^\n]*caught; 6 items")
    it.wait(r"failed +call [^\n]*seven is odd")
    it.wait(r"done +call [^\n]*it went on after a panic: caught")
    it.wait(r"failed +map +[\d]* +\d [^\n]*seven is odd")
    it.wait(r"failed +cell [\d ]* 1 [^\n]*on purpose")
    it.wait(r"died +cell [\d ]* 0 [^\n]*its worker was killed by signal 6")
    it.keys("eg/cell\rgjy")
    it.wait("sent to the terminal's clipboard: on purpose")
    it.keys("\x1b")
    it.wait_without("/cell")
    it.keys("/kind = map and seven\ry")
    it.wait("clipboard: [^\n]*seven")
    copied = re.findall(rb"\x1b\]52;c;([A-Za-z0-9+/=]*)(?:\x07|\x1b\\)", it.raw)
    first, second = [base64.b64decode(text).decode() for text in copied]
    assert first == "on purpose"
    assert "seven is odd" in second and second.isprintable(), second
    it.keys("q")
    assert it.end() == 0


def test_engines_are_folded_by_host(lab, top):
    it = top("lab", "--group", "host")
    it.wait(r"Engines 2 on 1 host ")
    it.wait(r"x2 idle +\S+ +2 idle ")
    assert "0 idle" not in it.text
    it.keys("\r")
    it.wait(r"(?s)x2 idle.* 0 idle.* 1 idle")
    it.keys(" r")
    it.wait(r"Restart the workers of engines 0-1\?")
    it.keys("nH")
    it.wait_without("on 1 host")
    it.keys("q")
    assert it.end() == 0


def test_another_cluster_is_chosen(lab, top):
    lab("start", "-n", "1", "--name", "other")
    it = top()
    it.wait(r"(?s)Which cluster\?.*lab.*other")
    it.keys("j\r")
    it.wait(r"other +● live +1 engine ")
    it.keys("C")
    it.wait(r"(?s)Which cluster\?.*lab.*other")
    it.keys("\x1b")
    it.wait_without(r"Which cluster\?")
    it.keys("C")
    it.wait(r"Which cluster\?")
    it.keys("k\r")
    it.wait(r"lab +● live +2 engines ")
    it.keys("q")
    assert it.end() == 0
    lab("stop", "other", "--force")


def test_it_connects_again_when_the_cluster_comes_back(lab, top):
    it = top("lab")
    it.wait("live")
    lab("stop", "lab", "--force")
    it.wait("gone, trying again")
    lab("start", "-n", "1", "--name", "lab")
    it.wait(r"● live +1 engine ")
    it.keys("q")
    assert it.end() == 0


def test_a_controller_that_is_killed_is_told_at_once_and_awaited(lab, top):
    it = top("lab")
    it.wait(r"(?s)live.*0 idle.*1 idle")
    it.keys("r")
    it.wait(r"Restart the workers of engine 0\?")
    controller = lab.status("lab")["pid"]
    os.kill(controller, signal.SIGKILL)
    it.wait("gone, trying again", 3)
    it.wait("the controller of the cluster `lab` is gone; `chorus start --name lab`")
    it.keys("y")
    it.wait("the cluster isn't connected, so nothing can be done to it")
    processes.wait_until("the controller's process to be gone", lambda: not processes.alive(controller))
    assert "took its 2 engines back" in lab("start", "--name", "lab").stdout
    it.wait(r"● live +2 engines +2 idle")
    it.keys("r")
    it.wait(r"Restart the workers of engine 0\?")
    it.keys("y")
    it.wait("restarted the workers of engine 0")
    it.keys("q")
    assert it.end() == 0


def test_a_controller_that_hangs_is_told(lab, top):
    it = top("lab")
    it.wait(r"(?s)live.*0 idle.*1 idle")
    controller = lab.status("lab")["pid"]
    os.kill(controller, signal.SIGSTOP)
    try:
        it.wait("gone, trying again", 4)
        it.wait(rf"\(process {controller}\) doesn't answer")
        it.keys("r")
        it.wait("the cluster isn't connected, so nothing can be done to it")
        assert lab("status", "lab", check=False).returncode == 1
    finally:
        os.kill(controller, signal.SIGCONT)
    it.wait(r"● live +2 engines +2 idle")
    assert lab.status("lab")["rejected"] == 0, "who has given up meanwhile has said nothing wrong"
    it.keys("q")
    assert it.end() == 0


def test_a_recording_is_replayed_when_the_cluster_is_gone(notebook, lab, top, tmp_path):
    file = tmp_path / "lab.jsonl"
    it = top("lab", "--record", file)
    it.wait(r"1 idle")
    notebook.run('%px panic!("on purpose")').failed()
    it.wait(r"2 failed")
    it.keys("q")
    assert it.end() == 0
    lab("stop", "lab", "--force")
    again = top("--replay", file)
    again.wait("replay")
    again.keys("." * 60 + "2")
    text = again.wait(r"failed +cell")
    assert "on purpose" in text, text
    again.wait("replay ended")
    again.keys("i")
    again.wait("recording")
    again.keys("q")
    assert again.end() == 0
    end = lab.once("--replay", file)
    assert [engine["failed"] for engine in end["engines"]] == [1, 1]


def test_nothing_is_recorded_into_what_is_no_recording(lab, top, tmp_path):
    file = tmp_path / "thesis.tex"
    file.write_text("years")
    it = top("lab", "--record", file, size=(24, 300))
    processes.wait_until("`chorus top` to end", lambda: (it.read(0), it.process.poll())[1] is not None)
    it.read()
    assert it.process.returncode == 1 and "its first line is no entry of a cluster's log" in it.text, it.text
    assert file.read_text() == "years"


def test_a_wrong_filter_says_that_there_are_more_columns(lab, top):
    it = top("lab")
    it.wait("live")
    it.keys("/foo > 1")
    it.wait(r"there is no column `foo`; there are id, .*~$")
    it.keys("\x1b")
    it.wait_without("there is no column")
    it.keys("q")
    assert it.end() == 0


def test_what_cannot_be_is_said(chorus):
    failed = chorus("top", "nobody", "--once", check=False)
    assert failed.returncode == 1 and "there is no cluster `nobody`" in failed.stderr
    chorus("start", "-n", "1", "--name", "lab")
    assert "Cluster `lab`: 1 engine, 0 sessions," in chorus("top", "lab", "--once").stdout
    foreign = chorus("top", "--replay", __file__, "--once", check=False)
    assert foreign.returncode == 1 and "is no recording" in foreign.stderr
