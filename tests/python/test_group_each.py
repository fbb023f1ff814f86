"""What engines do together in functions that a notebook has them call: `px::engines()..each`, `start` and `keep`."""

import time

import pytest

import processes
from test_deaths import pids, wait_for_ranks
from test_group import SOON


def test_each_collective_works_with_state_by_reference(four):
    four.run("%px let mut held = vec![px::rank() as f64; 3];").ok()
    reply = four.run(
        """fn all_of_them(held: &mut Vec<f64>, scale: &f64) -> String {
    let (rank, size) = (px::rank(), px::size());
    px::barrier();
    *held = px::allreduce(held.iter().map(|x| x * scale).collect::<Vec<f64>>(), px::sum);
    px::send((rank + 1) % size, rank as u8);
    let from: u8 = px::recv((rank + size - 1) % size);
    px::send((rank + 1) % size, rank as u8);
    let any: (usize, u8) = px::recv_any();
    format!("{:?}", (
        px::broadcast(2, rank),
        px::reduce(1, rank, px::sum),
        px::allgather(rank * 10),
        px::gather(3, rank),
        px::scatter(0, (0..size).map(|n| n * n).collect::<Vec<_>>()),
        px::scan(rank + 1, px::product),
        px::alltoall((0..size).map(|to| rank * 10 + to).collect::<Vec<_>>()),
        (from, any),
    ))
}
for line in px::engines().with((px::var!(mut held), &2.0)).each(all_of_them)? { println!("{line}"); }"""
    ).ok()
    lines = [
        str((
            2,
            *(f"@{6}" if rank == 1 else "@", [0, 10, 20, 30], "@[0, 1, 2, 3]" if rank == 3 else "@"),
            rank * rank,
            [1, 2, 6, 24][rank],
            [other * 10 + rank for other in range(4)],
            ((rank + 3) % 4, ((rank + 3) % 4, (rank + 3) % 4)),
        )).replace("'@'", "None").replace("'@6'", "Some(6)").replace("'@[0, 1, 2, 3]'", "Some([0, 1, 2, 3])")
        for rank in range(4)
    ]
    assert reply.stdout.splitlines() == lines
    assert "Out[0-3:" in (text := four.run("%px held[0]").ok().text) and "12.0" in text


def test_sgd_is_a_loop_of_the_notebook(four):
    four.run(
        """%%px
let mut weight = 0.0_f64;
let samples: Vec<(f64, f64)> = (0..50).map(|n| (n * 4 + px::rank()) as f64 / 100.0).map(|x| (x, 3.0 * x)).collect();"""
    ).ok()
    reply = four.run(
        """fn descend(weight: &mut f64, samples: &Vec<(f64, f64)>, rate: &f64) -> f64 {
    let slope: f64 = samples.iter().map(|(x, y)| 2.0 * (*weight * x - y) * x).sum();
    let (slope, count) = px::allreduce((slope, samples.len() as f64), px::sum);
    *weight -= rate * slope / count;
    *weight
}
let learners = px::engines();
let mut weights = Vec::new();
for _ in 0..100 { weights = learners.with((px::var!(mut weight), px::var!(samples), &0.3)).each(descend)?; }
println!("{} {}", weights.windows(2).all(|w| w[0] == w[1]), (weights[0] - 3.0).abs() < 1e-6);"""
    ).ok()
    assert reply.stdout == "true true\n"


def test_a_halo_exchange_keeps_a_part_on_each_engine(four):
    reply = four.run(
        """fn beginning() -> Vec<u64> { vec![px::rank() as u64; 4] }
fn moved(strip: &mut Vec<u64>) -> u64 {
    let (rank, size) = (px::rank(), px::size());
    px::send((rank + 1) % size, strip[3]);
    strip.rotate_right(1);
    strip[0] = px::recv((rank + size - 1) % size);
    px::allreduce(strip.iter().sum::<u64>(), px::sum)
}
let ring = px::engines();
ring.with(()).keep(px::var!(strip), beginning)?;
let sums: Vec<u64> = (0..8).map(|_| ring.with(px::var!(mut strip)).each(moved).map(|sums| sums[0])).collect::<Result<_, _>>()?;
let strips = ring.with(px::var!(strip)).each(|strip: &Vec<u64>| strip.clone())?;
println!("{sums:?} {strips:?}");"""
    ).ok()
    ends = [[(rank + 2) % 4] * 4 for rank in range(4)]
    assert reply.stdout == f"{[24] * 8} {ends}\n"


def test_ranks_are_those_of_the_engines_that_call_it(four):
    reply = four.run(
        """let place = || (px::rank(), px::size(), px::allgather(px::rank() + 10));
println!("{:?}", px::engines().on([3, 1]).each(place)?);
println!("{:?}", px::engines().on([2]).each(place)?);"""
    ).ok()
    assert reply.stdout == "[(0, 2, [10, 11]), (1, 2, [10, 11])]\n[(0, 1, [10])]\n"


ENDS = {
    "a panic": ('panic!("no more")', "allreduce(usize) can't end: engine 2 panicked at cell line 2: no more"),
    "an early return": ("return 0", "allreduce(usize) can't end: engine 2 has come to the end of the call without taking part"),
    "an abort": ("std::process::abort()", "allreduce(usize) can't end: engine 2 died in the call: its worker was killed by signal 6"),
    "an exit": ("std::process::exit(3)", "allreduce(usize) can't end: engine 2 died in the call: its worker exited with status 3"),
}


@pytest.mark.parametrize("end", ENDS)
def test_who_leaves_ends_the_others_wait(four, end):
    code, how = ENDS[end]
    begin = time.time()
    reply = four.run(
        "fn parting() -> usize {\n"
        f"    if px::rank() == 2 {{ {code}; }}\n"
        "    px::allreduce(px::rank(), px::sum)\n}\n"
        "px::engines().each(parting)?"
    ).failed()
    assert time.time() - begin < 10
    assert reply.traceback.count(how) == 3, reply
    wait_for_ranks(four, 4)
    assert "[6, 6, 6, 6]" in four.run("px::engines().each(|| px::allreduce(px::rank(), px::sum))?").ok().text


def test_functions_of_earlier_cells_are_named(four):
    four.run("fn met(x: u32) -> u32 {\n    px::allreduce(x, px::sum)\n}").ok()
    reply = four.run("px::engines().each(|| {\n    if px::rank() == 1 { px::barrier(); 0 } else { met(1) }\n})?").failed()
    for expected in ("the engines of the group don't call the same: allreduce(u32", ") at In[", "] line 2 on engines 0, 2 and 3, barrier() at cell line 2 on engine 1"):
        assert expected in reply.traceback, reply


def test_an_engine_that_has_lost_its_variable_is_named(four):
    four.run("%snapshot off").ok()
    four.run("%px let losable = px::rank();").ok()
    reply = four.run(
        """let second = px::engines().on([1]);
let before = second.each(|| std::process::id())?[0];
std::process::Command::new("kill").args(["-9", &before.to_string()]).status()?;
while second.each(|| std::process::id()).is_ok_and(|now| now[0] == before) {}
px::engines().with(px::var!(losable)).each(|own: &usize| px::allreduce(*own, px::sum))?"""
    ).failed()
    four.run("%snapshot on").ok()
    expected = "allreduce(usize) can't end: engine 1 has no result of the call: "
    assert reply.traceback.count(expected) == 3, reply


@pytest.mark.parametrize("process", ["worker", "engine"])
def test_a_kill_is_told_to_those_who_wait(four, process):
    before = pids(four)
    reply = four.send(
        'fn spins() {\n    println!("running");\n    if px::rank() == 1 { loop { std::thread::yield_now(); } }\n    px::barrier();\n}\n'
        "px::engines().each(spins)?"
    )
    four.wait_for_text(reply, "running", times=4)
    killed = time.time()
    processes.kill(before[1][0 if process == "worker" else 1])
    four.wait(reply).failed()
    assert reply.idle_at - killed < SOON, f"{reply.idle_at - killed:.2f} s"
    how = "was killed by signal 9 (SIGKILL" if process == "worker" else "was lost with its engine's process"
    assert f"barrier() can't end: engine 1 died in the call: its worker {how}" in reply.text, reply
    wait_for_ranks(four, 4)


def test_an_interrupt_ends_all(four):
    reply = four.send('px::engines().each(|| { println!("waiting"); if px::rank() == 0 { loop { std::thread::yield_now(); } } px::barrier() })?')
    four.wait_for_text(reply, "waiting", times=4)
    begin = time.time()
    four.interrupt()
    four.wait(reply)
    assert reply.status == "error" and reply.idle_at - begin < SOON, reply
    assert "[4, 4, 4, 4]" in four.run("px::engines().each(|| px::allreduce(1, px::sum))?").ok().text


def test_what_is_cancelled_on_one_engine_ends_on_all(four):
    reply = four.run(
        """fn never() { if px::rank() == 0 { loop { std::thread::yield_now(); } } px::barrier() }
let spinning = px::engines().start(never)?;
let behind = px::engines().start(|| px::allreduce(px::rank(), px::sum))?;
spinning.cancel();
println!("{}", spinning.get().unwrap_err());
println!("{:?}", behind.get()?);"""
    ).ok()
    assert "cancelled" in reply.stdout and reply.stdout.endswith("[6, 6, 6, 6]\n"), reply


def test_calls_that_are_started_at_once_do_not_wait_for_each_other(four):
    reply = four.run(
        """let started: Vec<px::Each<usize>> = (0..20)
    .map(|n| px::engines().with(&n).start(|n: &usize| px::allreduce(*n + px::rank(), px::sum)))
    .collect::<Result<_, _>>()?;
let sums: Vec<usize> = started.iter().rev().map(|each| each.get().map(|sums| sums[0])).collect::<Result<_, _>>()?;
println!("{}", sums == (0..20).rev().map(|n| 4 * n + 6).collect::<Vec<_>>());"""
    ).ok()
    assert reply.stdout == "true\n"


def test_others_wait_for_a_member_that_is_busy(four):
    four.run("%px -a -t 2 std::thread::sleep(std::time::Duration::from_millis(700));").ok()
    assert "[6, 6, 6, 6]" in four.run("px::engines().each(|| px::allreduce(px::rank(), px::sum))?").ok().text
    four.run("%pxresult").ok()


def test_calls_and_maps_of_single_functions_have_no_group(four):
    four.run("fn lone(x: u32) -> u32 { px::allreduce(x, px::sum) }").ok()
    where = "nor do functions that engines call for `%map` and `px::call!`"
    assert where in four.run("px::call!(lone, 1).get()?").failed().text
    assert where in four.run("%map lone over 0..8").failed().text
    assert where in four.run("px::barrier()").failed().text
