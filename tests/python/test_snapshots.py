"""Cells that crash, exit or are interrupted leave the variables as they were before them."""

import itertools
import os
import re
import time

import pytest

import processes

LIMIT = 0.5
"""How long an interrupt may take, in seconds."""

MISTAKES = {
    "segfault": ("unsafe { (16 as *mut i32).write_volatile(1) };", "SIGSEGV"),
    "exit": ("std::process::exit(3);", "status 3"),
    "stack overflow": (
        "fn deep(n: u64) -> u64 { std::hint::black_box(deep(n + 1)) + 1 } std::hint::black_box(deep(0));",
        "SIGABRT",
    ),
    "abort in a thread": ("std::thread::spawn(|| std::process::abort()).join().unwrap();", "SIGABRT"),
    "kill -9": (
        'std::process::Command::new("kill").args(["-9", &std::process::id().to_string()]).status().unwrap(); loop {}',
        "SIGKILL",
    ),
    "panic in a destructor": (
        "{ struct Twice; impl Drop for Twice { fn drop(&mut self) { panic!(\"again\") } } "
        'let _twice = Twice; panic!("once") }',
        "SIGABRT",
    ),
}

BUSY = {
    "a loop": "loop { std::hint::spin_loop() }",
    "a sleep": "std::thread::sleep(std::time::Duration::from_secs(1000));",
    # The pipe's other end must stay open for the read to block.
    "a blocking read": "let (mut read, _write) = std::io::pipe().unwrap(); "
    "std::io::Read::read(&mut read, &mut [0]).unwrap();",
    "threads": "let threads: Vec<_> = (0..3).map(|_| std::thread::spawn(|| loop { std::hint::spin_loop() })).collect(); "
    "for thread in threads { thread.join().unwrap(); }",
}

AS_BEFORE = "variables are as they were before this cell"
PID = 'println!("pid {}", std::process::id());'


def worker(kernel):
    return int(re.search(r"pid (\d+)", kernel.run(PID).ok().text)[1])


def interrupt(kernel, reply):
    asked = time.time()
    kernel.interrupt()
    kernel.wait(reply, timeout=20).failed()
    assert reply.idle_at - asked < LIMIT, f"the interrupt took {reply.idle_at - asked:.2f} s"
    assert AS_BEFORE in reply.text, reply


def settled(mark):
    """The number of the test's processes when it doesn't change any more: snapshots of idle workers come a moment later."""
    counts = []

    def same():
        counts.append(len(processes.marked(mark)))
        return len(counts) > 20 and len(set(counts[-20:])) == 1

    processes.wait_until("the processes to stay as many as they are", same)
    return counts[-1]


def test_fifty_mistakes_in_a_row_cost_nothing(kernel):
    kernel.run("let mut v = vec![1, 2, 3]; let name = String::from(\"kept\");").ok()
    kernel.run("v.push(4);").ok()
    before = settled(kernel.mark)
    # Each cell sees the variables, changes them, and fails.
    check = 'assert_eq!((v.len(), name.as_str()), (4, "kept")); v.push(5); println!("intact");'
    kinds = itertools.cycle([*MISTAKES, *BUSY])
    for kind in itertools.islice(kinds, 50):
        if kind in BUSY:
            reply = kernel.send(f"{check} {BUSY[kind]}")
            kernel.wait_for_text(reply, "intact")
            interrupt(kernel, reply)
        else:
            code, how = MISTAKES[kind]
            reply = kernel.run(f"{check} {code}").failed()
            assert "intact" in reply.text and how in reply.text and AS_BEFORE in reply.text, f"{kind}: {reply}"
    assert kernel.run("v").ok().results[0]["text/plain"] == "[1, 2, 3, 4]"
    assert settled(kernel.mark) == before, "no process is left over"


def test_what_the_worker_knew_besides_variables_is_as_before(kernel, tmp_path):
    kernel.run("let kept = 1;").ok()
    kernel.run(f'std::env::set_current_dir("{tmp_path}").unwrap();').ok()
    kernel.run('std::env::set_current_dir("/").unwrap(); print!("half a line"); std::process::exit(1);').failed()
    assert str(tmp_path) in kernel.run("std::env::current_dir().unwrap()").ok().text


def test_what_was_printed_is_neither_lost_nor_doubled(kernel):
    kernel.run('let kept = 1; print!("first ");').ok()
    reply = kernel.run('println!("last words"); eprint!("very last"); std::process::abort();').failed()
    assert (reply.stdout, reply.stderr) == ("last words\n", "very last")
    assert kernel.run('println!("on it goes")').ok().stdout == "on it goes\n"


def test_what_a_cell_started_ends_with_it(kernel):
    kernel.run("let kept = 1;").ok()
    reply = kernel.run(
        'println!("child {}", std::process::Command::new("sleep").arg("1000").spawn().unwrap().id()); '
        "std::process::abort();"
    ).failed()
    child = int(re.search(r"child (\d+)", reply.text)[1])
    processes.wait_until("the dead cell's child to be gone", lambda: not processes.alive(child), 2)
    assert kernel.run("kept").ok()


def test_a_worker_that_is_killed_while_it_is_idle_is_restored(kernel):
    kernel.run("let kept = 11;").ok()
    pid = worker(kernel)
    settled(kernel.mark)
    processes.kill(pid)
    processes.wait_until("the worker to be dead", lambda: not processes.alive(pid))
    assert "11" in kernel.run("kept").ok().text
    assert worker(kernel) != pid


def test_a_socket_that_does_not_listen_any_more_is_named(kernel):
    code = 'let listens = std::net::TcpListener::bind("127.0.0.1:0").unwrap(); listens.local_addr().unwrap().port()'
    port = kernel.run(code).ok().results[0]["text/plain"]
    kernel.run("std::process::abort();").failed()
    assert f"nothing listens at 127.0.0.1:{port} any more" in kernel.run("1").ok().stderr
    assert "listens" not in kernel.run("2").ok().stderr
    kernel.run("drop(listens);").ok()


def test_what_a_snapshot_shares_is_copied_before_the_next_cell(kernel):
    with open("/proc/meminfo") as file:
        memory = {line.split(":")[0]: int(line.split()[1]) for line in file}
    if memory["MemAvailable"] < memory["MemTotal"] // 2 + 1_000_000:
        pytest.skip("less than half of the memory is free: nothing is copied then")
    kernel.run("let mut xs = vec![1u8; 30_000_000];").ok()

    def is_copied():
        kernel.run("xs[7] += 1;").ok()
        found = re.search(r"([\d.]+) MiB were copied before the run", kernel.run("%snapshot status").ok().text)
        return found is not None and float(found[1]) > 28

    processes.wait_until("pages to be copied before a cell", is_copied, 60)
    before = kernel.run("xs[7]").ok().text
    kernel.run("xs[7] = 99; std::process::abort();").failed()
    assert kernel.run("xs[7]").ok().text.split(":")[-1] == before.split(":")[-1]


def test_it_can_be_turned_off_and_on(kernel):
    assert "off" in kernel.run("%snapshot off").ok().text
    kernel.run("let precious = 1;").ok()
    reply = kernel.run("std::process::abort();").failed()
    assert re.search("lost: .*`precious`", reply.text) and "snapshots are off" in reply.text, reply
    reply = kernel.send('println!("busy"); loop {}')
    kernel.wait_for_text(reply, "busy")
    kernel.interrupt()
    kernel.wait(reply).failed()
    assert AS_BEFORE not in reply.text
    status = kernel.run("%snapshot status").ok().text
    assert "Snapshots are off." in status and "the notebook: the last run had no snapshot: snapshots are off" in status
    assert "up to 2.0 GiB" in kernel.run("%snapshot on --limit 2G").ok().text
    kernel.run("let precious = 2;").ok()
    assert AS_BEFORE in kernel.run("std::process::abort();").failed().text
    assert re.search(r"the notebook: .*taken in \d+\.\d+ ms, of \d", kernel.run("%snapshot").ok().text)
    kernel.run("%snapshot on --limit 1K").ok()
    reply = kernel.run("std::process::abort();").failed()
    assert "more than the 1.0 KiB of the limit" in reply.text and "lost: `precious`" in reply.text, reply
    kernel.run("%snapshot on").ok()


@pytest.mark.parametrize("mistake", ["segfault", "exit", "kill -9"])
def test_engines_keep_their_variables(cluster, mistake):
    code, how = MISTAKES[mistake]
    cluster.run("%px let mut kept = vec![px::rank()];").ok()
    reply = cluster.run(f"%%px\nkept.push(9);\nif px::rank() != 1 {{ {code} }}").failed()
    assert how in reply.text and AS_BEFORE in reply.text, reply
    reply = cluster.run("%%px --each\nkept").ok()
    lists = re.findall(r"Out\[(\d):\d+\]: (.*)", reply.text)
    assert lists == [("0", "[0]"), ("1", "[1, 9]"), ("2", "[2]"), ("3", "[3]")]


@pytest.mark.parametrize("busy", BUSY)
def test_an_interrupt_on_engines_keeps_their_variables(cluster, busy):
    cluster.run("%px let mut kept = vec![px::rank()];").ok()
    reply = cluster.send(f'%%px\nkept.push(9); println!("busy");\n{BUSY[busy]}')
    cluster.wait_for_text(reply, "busy", times=4)
    interrupt(cluster, reply)
    assert "Out[0-3:" in cluster.run("%px kept.len()").ok().text


def test_cells_sent_ahead_of_a_crash_do_not_run_on_what_it_did_not_leave(cluster, tmp_path):
    gate = tmp_path / "gate"
    cluster.run("%px let mut kept = 1;").ok()
    wait = f'while !std::path::Path::new("{gate}").exists() {{}}'
    cluster.run(f"%%px -a -o dies\n{wait} let made = kept + 1; std::process::abort();", background=True).ok()
    cluster.run("%%px -a -o ahead\nprintln!(\"ran on {made}\");", background=True).ok()
    gate.touch()
    assert AS_BEFORE in cluster.run("%pxresult -o dies").failed().text
    reply = cluster.run("%pxresult -o ahead").failed()
    assert "ran on" not in reply.text and "nothing ran" in reply.text, reply
    assert "Out[0-3:" in cluster.run("%px kept").ok().text
    assert "`made`" in cluster.run("%px made").failed().text


def test_a_killed_kernel_takes_the_snapshots_along(own_kernel):
    own_kernel.run("%cluster start -n 2").ok()
    own_kernel.run("let a = 1;").ok()
    own_kernel.run("%px let b = 1;").ok()
    busy = own_kernel.send('%px println!("busy"); loop {}')
    own_kernel.wait_for_text(busy, "busy", times=2)
    assert len(processes.marked(own_kernel.mark)) >= 10, "with each worker its keeper and its snapshot"
    os.kill(own_kernel.pid, 9)
    left = lambda: [processes.describe(pid) for pid in processes.marked(own_kernel.mark)]
    processes.wait_until("all processes to be gone", lambda: not left(), 2)


def test_a_cell_that_closes_its_output_is_a_mistake_like_others(kernel):
    kernel.run('mod descriptors { unsafe extern "C" { pub fn close(fd: i32) -> i32; } }\nlet kept = 3;').ok()
    for fd in (1, 2):
        kernel.run(f"unsafe {{ descriptors::close({fd}) }};").failed()
        assert kernel.run("kept").ok().results == [{"text/plain": "3"}]
    kernel.run('panic!("heard")').failed()
