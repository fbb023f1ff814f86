"""Collectives between engines of several hosts, which are namespaces of this machine (`hosts.py`)."""

import re
import threading

import hosts as lab

pytestmark = lab.needs(lab.missing())
hosts = lab.fixture(3)
notebook = lab.notebook_fixture()


def start(hosts, notebook, here=0):
    """Two engines on each of two hosts, behind so many of this one."""
    there = f'--on ssh --hosts h2*2,h3*2 --ssh "{hosts.ssh}"'
    if here:
        notebook.ok(f"%cluster start -n {here}")
        notebook.ok(f"%cluster add {there}")
    else:
        notebook.ok(f"%cluster start {there}")


EVERY_CALL = """%%px
let (rank, size) = (px::rank(), px::size());
let parts: Vec<f64> = (0..1_300_000).map(|n| ((n * 7 + rank * 13) % 1000) as f64 / 7.0).collect();
px::barrier();
let whole = px::allreduce(parts.clone(), px::sum);
let total: f64 = whole.iter().sum();
let root = px::reduce(1, rank as u64, |a, b| a * 10 + b);
let words = px::allgather(format!("r{rank}").repeat(rank + 1));
let long = px::broadcast(size - 1, vec![rank as u8; if rank + 1 == size { 9_000_000 } else { 0 }]);
let mine: String = px::scatter(0, if rank == 0 { (0..size).map(|n| format!("for {n}")).collect() } else { vec![] });
let turned = px::alltoall((0..size).map(|to| vec![(rank * 100 + to) as u32; 300_000]).collect::<Vec<_>>());
let turned: Vec<u32> = turned.iter().map(|part| part[part.len() - 1]).collect();
let scan = px::scan(rank + 1, |a, b| a * b);
px::send((rank + 1) % size, (rank, vec![rank as u16; 3_000_000]));
let (from, sent): (usize, Vec<u16>) = px::recv((rank + size - 1) % size);
println!("{:?}", (rank, total.to_bits(), root, words.concat(), long.len(), long[long.len() - 1]));
println!("{:?}", (mine, turned, scan, from, sent.len(), sent[0]));
"""


def said(text):
    """The lines that engines have printed, whatever stands before them."""
    return sorted(re.findall(r"\(.*\)$", text, re.MULTILINE))


def test_engines_of_several_hosts_do_what_engines_of_one_do(hosts, notebook):
    notebook.ok("%cluster start -n 5")
    here = said(notebook.ok(EVERY_CALL))
    assert len(here) == 10
    notebook.ok("%cluster stop")
    start(hosts, notebook, here=1)
    assert said(notebook.ok(EVERY_CALL)) == here
    # The same again, in a function of an earlier cell and in a loop.
    notebook.ok("fn next(x: f64) -> f64 { px::allreduce(x, px::max) + 1.0 }")
    assert "200.0" in notebook.ok("%%px\nlet mut x = 0.0;\nfor _ in 0..200 { x = next(x); }\nx")
    notebook.ok("%cluster stop")
    lab.nothing_is_left(hosts, 10)


def test_functions_that_engines_of_several_hosts_call_together_are_a_group(hosts, notebook):
    start(hosts, notebook, here=1)
    notebook.ok("%px let mut held = vec![px::rank() as f64; 1_000];")
    reply = notebook.ok(
        """fn summed(held: &mut Vec<f64>) -> f64 {
    *held = px::allreduce(held.clone(), px::sum);
    px::send((px::rank() + 1) % px::size(), held[0]);
    px::recv((px::rank() + px::size() - 1) % px::size())
}
let all = px::engines();
println!("{:?}", (0..3).map(|_| all.with(px::var!(mut held)).each(summed).map(|sums| sums[4])).collect::<Vec<_>>());"""
    )
    assert "[Ok(10.0), Ok(50.0), Ok(250.0)]" in reply, reply
    for end, how in [
        ('panic!("on purpose")', "barrier() can't end: engine 3 panicked at cell line 1: on purpose"),
        ("return", "barrier() can't end: engine 3 has come to the end of the call without taking part"),
        ("std::process::abort()", "barrier() can't end: engine 3 died in the call: its worker was killed by signal 6"),
    ]:
        status, text = notebook.run(f"px::engines().each(|| {{ if px::rank() == 3 {{ {end} }}; px::barrier(); }})?")
        assert status == "error" and text.count(how) == 4, text
    assert "[10, 10, 10, 10, 10]" in notebook.ok("px::engines().each(|| px::allreduce(px::rank(), px::sum))?")


def test_failures_are_told_to_all_hosts(hosts, notebook):
    start(hosts, notebook)
    status, text = notebook.run('%%px\nif px::rank() == 2 { panic!("on purpose") }\npx::barrier();')
    assert status == "error", text
    assert "barrier() can't end: engine 2 panicked at cell line 2: on purpose" in text, text
    status, text = notebook.run("%%px\nif px::rank() == 1 { std::process::abort() }\nlet x: u8 = px::recv(1);")
    assert status == "error" and "engine 1 died in the cell: its worker was killed by signal 6" in text, text
    status, text = notebook.run("%%px\nif px::rank() == 3 { px::barrier(); } else { px::allreduce(1.0, px::sum); }")
    assert "don't call the same: allreduce(f64) at cell line 2 on engines 0, 1 and 2, barrier() at" in text, text
    status, text = notebook.run("%%px\nlet x: u8 = px::recv((px::rank() + 1) % 4);")
    assert "every engine of the group waits, and so nothing will come: recv(1) at cell line 2 on engine 0" in text, text
    status, text = notebook.run("%%px\nif px::rank() == 0 { return; }\npx::barrier();")
    assert "engine 0 has come to the end of the cell without taking part" in text, text
    status, text = notebook.run("%%px\npx::allreduce(i32::MAX - px::rank() as i32, px::sum)")
    assert "is too large" in text, text
    # Nothing of one cell comes to the next.
    assert "6" in notebook.ok("%px px::allreduce(px::rank(), px::sum)")


def test_an_interrupt_ends_what_waits_and_a_cut_only_costs_time(hosts, notebook):
    start(hosts, notebook, here=1)
    notebook.ok("%px let mine = px::rank();")
    cell = '''%%px
println!("begun");
if px::rank() == 0 { std::thread::sleep(std::time::Duration::from_secs(3600)); }
px::barrier();'''
    notebook.begin(cell, interrupt=("begun", 5))
    status, text = notebook.end()
    assert status == "error" and "interrupt" in text.lower(), text
    assert "10" in notebook.ok("%px px::allreduce(mine, px::sum)")
    timers = [threading.Timer(at, hosts.link, ["h2", state]) for at, state in [(1, "down"), (13, "up")]]
    for timer in timers:
        timer.start()
    loop = """%%px
let mut x = 0u64;
for n in 0..400 {
    x = px::allreduce(vec![x + n; 3000], px::max)[0] + 1;
    std::thread::sleep(std::time::Duration::from_millis(5));
}
x"""
    out = notebook.ok(loop)
    for timer in timers:
        timer.join()
    expected = 0
    for n in range(400):
        expected = expected + n + 1
    assert str(expected) in out, out
