"""Engines on other hosts, which are namespaces of this machine with an sshd each (`hosts.py`)."""

import re
import threading
import time

import hosts as lab
import processes

pytestmark = lab.needs(lab.missing())
hosts = lab.fixture(3)
notebook = lab.notebook_fixture()


def start(hosts, where="h2*2,h3*2"):
    return f'%cluster start --on ssh --hosts {where} --ssh "{hosts.ssh}"'


def test_what_works_here_works_there(hosts, notebook):
    assert "with 4 engines" in notebook.ok(start(hosts))
    where = 'std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap()'
    out = notebook.ok(f'%px println!("{{}}", {where})')
    assert sorted(re.findall(r"\bh\d\b", out)) == ["h2", "h2", "h3", "h3"], out
    lab.maps_and_copies(notebook)
    assert "7" in notebook.ok("%map -o ws |z: String| z.len() over zs\nws[399_999]")
    assert "79999800000" in notebook.ok("%map --sum |x: f64| x over xs")
    notebook.ok("let words = vec![String::from(\"a\"), String::from(\"bc\")];\n%push words")
    assert '"bc"' in notebook.ok("%px words[1].clone()")
    notebook.ok("%scatter xs")
    assert "100000" in notebook.ok("%px xs.len()")
    notebook.ok("%px let xs: Vec<f64> = xs.into_iter().map(|x| x + 1.0).collect();")
    notebook.ok("%gather xs")
    assert "80000200000" in notebook.ok("xs.iter().sum::<f64>()")
    notebook.ok("%px let mine = vec![px::rank(); 3];\n")
    assert "[[0, 0, 0], [1, 1, 1], [2, 2, 2], [3, 3, 3]]" in notebook.ok("%pull mine\nmine")
    calls = """
fn big(n: usize) -> Vec<u64> { (0..n as u64).collect() }
fn total(v: Vec<u64>) -> u64 { v.iter().sum() }
let a = px::call!(big, 1_000_000);
let b = px::call!(total, &a);
(b.get()?, a.get()?.len())
"""
    assert "(499999500000, 1000000)" in notebook.ok(calls)
    refs = """
fn score(table: px::Ref<Vec<f64>>, k: usize) -> f64 { table.iter().sum::<f64>() + k as f64 }
let table = px::put(&vec![1.5f64; 500_000]);
let tasks: Vec<px::Task<f64>> = (0..8).map(|k| px::call!(score, &table, k)).collect();
tasks.iter().map(|task| task.get().unwrap()).sum::<f64>()
"""
    assert "6000028" in notebook.ok(refs)
    status, text = notebook.run('%px -t 1 panic!("on purpose")')
    assert status == "error" and "[1:" in text and "on purpose" in text, text
    notebook.ok("%cluster stop")
    lab.nothing_is_left(hosts, 10)


def test_a_cut_costs_nothing_but_time(hosts, notebook):
    notebook.ok(start(hosts))
    notebook.ok("%px let x = px::rank() * 10;")
    timers = [threading.Timer(at, hosts.link, ["h2", state]) for at, state in [(1, "down"), (16, "up")]]
    for timer in timers:
        timer.start()
    wait = "std::thread::sleep(std::time::Duration::from_secs(4));"
    out = notebook.ok(f'%px {{ {wait} println!("done {{}}", px::rank()); }}')
    assert sorted(re.findall(r"done \d", out)) == ["done 0", "done 1", "done 2", "done 3"], out
    for timer in timers:
        timer.join()
    assert [int(x) for x in re.findall(r"^Out\[\d:\d+\]:\s*(\d+)$", notebook.ok("%px x"), re.MULTILINE)] == [0, 10, 20, 30]
    slow = "{ std::thread::sleep(std::time::Duration::from_millis(4)); x * 2 }"
    timers = [threading.Timer(at, hosts.link, ["h3", state]) for at, state in [(1, "down"), (13, "up")]]
    for timer in timers:
        timer.start()
    notebook.ok(f"let xs: Vec<u64> = (0..3000).collect();\n%map -o ys |x: u64| {slow} over xs")
    for timer in timers:
        timer.join()
    assert "(3000, 8997000)" in notebook.ok("(ys.len(), ys.iter().sum::<u64>())")
    assert "restarts" in notebook.ok("%cluster")
    assert "gone" not in notebook.ok("%px x")


def test_what_is_fetched_after_a_cut_is_right(hosts, notebook):
    """An outpost forgets what it had of the notebook's rooms when it can't watch them; engines must see that."""
    notebook.ok(start(hosts))
    notebook.ok("let xs: Vec<u64> = (0..2_000_000u64).map(|x| x + 1).collect();\n%px 1")
    slow = "if x % 4000 == 0 { std::thread::sleep(std::time::Duration::from_millis(20)); }"
    notebook.begin(f"%%map -o ys over xs.clone()\n|x: u64| {{ {slow} x + 7 }}")
    timers = [threading.Timer(at, hosts.link, [name, state]) for at, state in [(1.5, "down"), (12, "up")] for name in hosts.names[1:]]
    for timer in timers:
        timer.start()
    status, text = notebook.end()
    for timer in timers:
        timer.join()
    assert status == "ok", text
    assert "(2000000, true)" in notebook.ok("(ys.len(), xs.iter().zip(&ys).all(|(x, y)| x + 7 == *y))")


def test_an_interrupt_in_a_cut_ends_the_cell(hosts, notebook):
    notebook.ok(start(hosts))
    notebook.ok("%px let x = px::rank();")
    timer = threading.Timer(1, hosts.link, ["h2", "down"])
    timer.start()
    pause = "std::thread::sleep(std::time::Duration::from_millis(300));"
    begun = time.monotonic()
    # Engines 1 and 3 are on h3.
    notebook.begin(f'%px loop {{ {pause} if px::rank() % 2 == 1 {{ println!("tick"); }} }}', ["tick", 20])
    status, text = notebook.end()
    timer.join()
    assert status == "error" and "engines 0,2 can't be reached" in text, text
    assert time.monotonic() - begun < 40, "it was to end before the lease does"
    assert "Out[1,3:" in notebook.ok("%px -t 1,3 7")
    hosts.link("h2", "up")
    status, text = notebook.run("%pxresult")
    ended = re.findall(r"^\[([\d,-]+):execute\] interrupted; variables are as they were", text, re.MULTILINE)
    assert status == "error" and sorted(ended) in (["0,2", "1,3"], ["0-3"]), text
    assert [int(x) for x in re.findall(r"^Out\[\d:\d+\]:\s*(\d+)$", notebook.ok("%px x"), re.MULTILINE)] == [0, 1, 2, 3]


def test_who_is_killed_is_started_again_and_the_loss_is_told(hosts, notebook):
    notebook.ok(start(hosts))
    notebook.ok("fn twice(x: usize) -> usize { 2 * x }\n%px let x = px::rank();")
    [outpost] = [pid for pid, args in hosts.programs("h2") if args.endswith(" outpost")]
    hosts.run("h2", ["kill", "-9", outpost])
    processes.wait_until("another outpost", lambda: any(args.endswith(" outpost") for _, args in hosts.programs("h2")), 40)

    def all_are_back():
        status, text = notebook.run("%px twice(px::rank())")
        return status == "ok" and len(re.findall(r"Out\[\d:\d+\]", text)) == 4

    processes.wait_until("four engines", all_are_back, 60)
    status, text = notebook.run("%px x")
    assert status == "error" and "engines 0,2" in text, text
    out = notebook.ok("%px -t 1,3 x")
    assert "Out[1" in out and "Out[3" in out


def test_nothing_is_left_when_the_kernel_is_killed(hosts):
    notebook = lab.Notebook(hosts)
    notebook.ok(start(hosts))
    assert hosts.left("h2")
    hosts.run("h1", ["kill", "-9", notebook.kernel])
    lab.nothing_is_left(hosts, 40)
    notebook.client.kill()


def test_who_is_not_invited_learns_nothing_and_disturbs_nobody(hosts, notebook):
    notebook.ok(start(hosts, "h2,h3"))
    table = hosts.run("h1", ["cat", f"/proc/{notebook.kernel}/net/tcp6"]).stdout
    # Listening sockets of all addresses: the gateway's is the only one.
    ports = [int(port, 16) for port in re.findall(r": 0{32}:([0-9A-F]{4}) 0{32}:0000 0A", table)]
    assert len(ports) == 1, table
    script = f"""
import os, socket, ssl
def read(sock):
    try:
        sock.settimeout(20)
        return sock.recv(10)
    except OSError:
        return b""
for first in [b"", b"GET / HTTP/1.0\\r\\n\\r\\n", os.urandom(100000), b"\\xff" * 64]:
    sock = socket.create_connection(("h1", {ports[0]}), 5)
    try:
        sock.sendall(first)
    except OSError:
        pass
    answer = read(sock)
    assert answer == b"" or answer[0] == 0x15, answer
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
try:
    with context.wrap_socket(socket.create_connection(("h1", {ports[0]}), 5)) as sock:
        sock.sendall(b"\\x01\\x00\\x00\\x00\\x01")
        assert read(sock) == b"", "it was answered"
except (ssl.SSLError, OSError):
    pass
print("all closed")
"""
    tried = hosts.run("h3", ["python3", "-c", script])
    assert tried.stdout == "all closed\n", tried
    assert "Out[0" in notebook.ok("%px px::rank()")


def test_a_host_that_cannot_be_had_is_told(hosts, notebook):
    status, text = notebook.run(start(hosts, "h9"))
    assert status == "error" and "h9" in text and "resolve" in text.lower(), text
    status, text = notebook.run("%cluster start --on ssh")
    assert status == "error" and "--hosts" in text
    status, text = notebook.run("%cluster start --on ssh --hosts a*0")
    assert status == "error" and "number of engines" in text


def test_a_host_that_cannot_run_the_program_says_so(hosts, notebook):
    """`h2` takes itself for another machine, and for an older one."""
    for script, why in [
        ("#!/bin/sh\necho sparc64\n", "this host is sparc64, and the engines' program is for"),
        ("#!/bin/sh\necho glibc 2.9\n", "this host has glibc 2.9, and the engines' program needs glibc 2."),
    ]:
        program = "uname" if "sparc" in script else "getconf"
        file = hosts.folder / program
        file.write_text(script)
        file.chmod(0o755)
        found = hosts.run("h2", ["sh", "-c", f"command -v {program}"]).stdout.strip()
        assert hosts.run("h2", ["mount", "--bind", file, found]).returncode == 0
        try:
            status, text = notebook.run(start(hosts, "h2"))
        finally:
            hosts.run("h2", ["umount", found])
        assert status == "error" and why in text, text
        notebook.run("%cluster stop")
    notebook.ok(start(hosts, "h2"))
