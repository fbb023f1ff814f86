"""What engines do together in a cell: each collective, MPI's textbook programs, and whatever can go wrong in between."""

import os
import random
import re
import time

import pytest

import processes
from test_deaths import pids, wait_for_ranks

# So long may it take until those who wait hear of a failure.
SOON = 2.0


def said(reply, what=r".*"):
    """{engine: what it printed}"""
    found = re.findall(rf"^\[stdout:(\d+)\] ({what})$", reply.text, re.MULTILINE)
    return {int(engine): text for engine, text in found}


def test_each_collective_gives_what_mpi_gives(four):
    reply = four.run(
        """%%px
let (rank, size) = (px::rank(), px::size());
px::barrier();
let all = (
    px::broadcast(2, format!("from {rank}")),
    px::reduce(1, rank, px::sum),
    px::allreduce((rank as f64, 1), px::sum),
    px::allgather(rank * 10),
    px::gather(3, Some(rank)),
    px::scatter(0, (0..size).map(|n| vec![n; n]).collect::<Vec<_>>()),
    px::scan(rank + 1, px::product),
    px::alltoall((0..size).map(|to| (rank, to)).collect::<Vec<_>>()),
    px::allreduce(vec![rank as i32, -(rank as i32)], px::max),
    px::allreduce(rank.to_string(), |a, b| format!("({a}{b})")),
);
println!("{all:?}");"""
    ).ok()
    for rank in range(4):
        root = lambda at, value: f"Some({value})" if rank == at else "None"
        expected = ", ".join([
            '"from 2"',
            root(1, 6),
            "(6.0, 4)",
            "[0, 10, 20, 30]",
            root(3, "[Some(0), Some(1), Some(2), Some(3)]"),
            str([rank] * rank),
            str([1, 2, 6, 24][rank]),
            str([(other, rank) for other in range(4)]),
            "[3, 0]",
            '"((01)(23))"',
        ])
        assert said(reply)[rank] == f"({expected})"


def test_large_values_travel_too(four):
    reply = four.run(
        """%%px
let (rank, size) = (px::rank(), px::size());
let mine: Vec<f64> = (0..1_000_003).map(|n| (n % 1000 + rank) as f64).collect();
let sums = px::allreduce(mine.clone(), px::sum);
assert!(sums.iter().enumerate().all(|(n, sum)| *sum == (n % 1000 * 4 + 6) as f64));
let all = px::allgather(mine.clone());
assert!(all.iter().enumerate().all(|(from, part)| part.len() == 1_000_003 && part[1000] == from as f64));
px::send((rank + 1) % size, mine);
let theirs: Vec<f64> = px::recv((rank + size - 1) % size);
println!("{}", theirs[0]);"""
    ).ok()
    assert said(reply) == {0: "3", 1: "0", 2: "1", 3: "2"}


def test_ring(four):
    reply = four.run(
        """%%px
let (rank, size) = (px::rank(), px::size());
let mut token = vec![rank];
for _ in 0..size {
    px::send((rank + 1) % size, token);
    token = px::recv((rank + size - 1) % size);
    token.push(rank);
}
println!("{token:?}");"""
    ).ok()
    assert said(reply)[1] == "[1, 2, 3, 0, 1]"


def test_pi(four):
    reply = four.run(
        """%%px
let steps = 1_000_000;
let width = 1.0 / steps as f64;
let part: f64 = (px::rank()..steps)
    .step_by(px::size())
    .map(|n| (n as f64 + 0.5) * width)
    .map(|x| 4.0 / (1.0 + x * x) * width)
    .sum();
let pi = px::allreduce(part, px::sum);
println!("{} {:x}", (pi - std::f64::consts::PI).abs() < 1e-10, pi.to_bits());"""
    ).ok()
    results = said(reply)
    assert len(results) == 4 and len(set(results.values())) == 1 and results[0].startswith("true"), results


def test_jacobi_with_halo_exchange(four):
    """A rod with its ends at 0 and 1: what it comes to is a straight line."""
    reply = four.run(
        """%%px
let (rank, size) = (px::rank(), px::size());
const MINE: usize = 4;
let mut rod = vec![0.0_f64; MINE + 2];
if rank == size - 1 {
    rod[MINE + 1] = 1.0;
}
let mut steps = 0;
loop {
    if rank > 0 {
        px::send(rank - 1, rod[1]);
    }
    if rank + 1 < size {
        px::send(rank + 1, rod[MINE]);
        rod[MINE + 1] = px::recv(rank + 1);
    }
    if rank > 0 {
        rod[0] = px::recv(rank - 1);
    }
    let before = rod.clone();
    (1..=MINE).for_each(|n| rod[n] = (before[n - 1] + before[n + 1]) / 2.0);
    let change = rod.iter().zip(&before).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    steps += 1;
    if px::allreduce(change, px::max) < 1e-9 {
        break;
    }
}
let whole: Option<Vec<f64>> = px::gather(0, rod[1..=MINE].to_vec()).map(|parts| parts.concat());
if let Some(whole) = whole {
    println!("{} {}", steps > 100, whole.iter().enumerate().all(|(n, x)| (x - (n + 1) as f64 / 17.0).abs() < 1e-6));
}"""
    ).ok()
    assert said(reply) == {0: "true true"}


def test_matrix_times_vector(four):
    reply = four.run(
        """%%px
let size = px::size();
const N: usize = 12;
let matrix: Vec<Vec<i64>> = match px::rank() {
    0 => (0..N).map(|row| (0..N).map(|column| (row * N + column) as i64).collect()).collect(),
    _ => vec![],
};
let rows: Vec<Vec<i64>> = px::scatter(0, matrix.chunks(N / size).map(|rows| rows.to_vec()).collect::<Vec<_>>());
let vector = px::broadcast(0, (0..N as i64).collect::<Vec<_>>());
let part: Vec<i64> = rows.iter().map(|row| row.iter().zip(&vector).map(|(a, b)| a * b).sum()).collect();
let product = px::allgather(part).concat();
println!("{product:?}");"""
    ).ok()
    n = 12
    expected = str([sum((row * n + column) * column for column in range(n)) for row in range(n)])
    assert said(reply) == {rank: expected for rank in range(4)}


def test_odd_even_sort(four):
    reply = four.run(
        """%%px
let (rank, size) = (px::rank(), px::size());
let mut mine: Vec<u32> = (0..100).map(|n| (n * 7919 + rank as u32 * 104_729) % 1000).collect();
let all: Vec<u32> = px::allgather(mine.clone()).concat();
mine.sort();
for phase in 0..size {
    let left = (rank + phase) % 2 == 1;
    let partner = if left { rank.checked_sub(1) } else { Some(rank + 1).filter(|it| *it < size) };
    let Some(partner) = partner else { continue };
    px::send(partner, mine.clone());
    let theirs: Vec<u32> = px::recv(partner);
    mine.extend(theirs);
    mine.sort();
    mine = if left { mine.split_off(100) } else { mine[..100].to_vec() };
}
let sorted = px::allgather(mine).concat();
let mut expected = all;
expected.sort();
println!("{}", sorted == expected);"""
    ).ok()
    assert said(reply) == {rank: "true" for rank in range(4)}


def test_a_subset_and_one_engine_are_groups(four):
    code = 'println!("{} of {}: {:?}", px::rank(), px::size(), px::allgather(px::rank() + 10));'
    assert said(four.run(f"%%px -t 1,3\n{code}").ok()) == {1: "0 of 2: [10, 11]", 3: "1 of 2: [10, 11]"}
    assert said(four.run(f"%%px -t 2\n{code}").ok()) == {2: "0 of 1: [10]"}


def test_functions_of_earlier_cells_take_part_and_are_named(four):
    four.run("fn together(x: u32) -> u32 {\n    px::allreduce(x, px::sum)\n}").ok()
    assert said(four.run('%px println!("{}", together(2));').ok())[3] == "8"
    reply = four.run("%%px\nif px::rank() == 1 { px::barrier(); } else { together(1); }").failed()
    assert re.search(
        r"the engines of the group don't call the same: allreduce\(u32, 1 values\) at In\[\d+\] line 2 on engines 0, 2 and 3, "
        r"barrier\(\) at cell line 2 on engine 1|"
        r"the engines of the group don't call the same: allreduce\(u32\) at In\[\d+\] line 2 on engines 0, 2 and 3, "
        r"barrier\(\) at cell line 2 on engine 1",
        reply.text,
    ), reply


def test_calls_that_differ_are_named_with_their_places(four):
    for one, other, expected in [
        ("px::barrier();", "px::allreduce(1.5, px::sum);",
         "barrier() at cell line 2 on engines 0, 1 and 3, allreduce(f64) at cell line 4 on engine 2"),
        ("px::broadcast(0, 1_u8);", "px::broadcast(0, 1_i64);",
         "broadcast(u8) at cell line 2 on engines 0, 1 and 3, broadcast(i64) at cell line 4 on engine 2"),
        ("px::broadcast(0, 1_u8);", "px::broadcast(1, 1_u8);",
         "broadcast(u8, root 0) at cell line 2 on engines 0, 1 and 3, broadcast(u8, root 1) at cell line 4 on engine 2"),
        ("px::allreduce(vec![1.0; 3], px::min);", "px::allreduce(vec![1.0; 4], px::min);",
         "allreduce(Vec<f64>, 3 values, px::min) at cell line 2 on engines 0, 1 and 3, allreduce(Vec<f64>, 4 values, px::min) at cell line 4 "
         "on engine 2"),
    ]:
        reply = four.run(f"%%px\nif px::rank() != 2 {{ {one}\n}} else {{\n{other} }}").failed()
        assert f"the engines of the group don't call the same: {expected}" in reply.text, reply
        assert reply.text.count("Stopped") == 0


def test_a_message_of_another_type_is_named(four):
    reply = four.run("%%px -t 0,2\nif px::rank() == 0 { px::send(1, 1_u8);\n} else {\nlet x: String = px::recv(0); }").failed()
    expected = "recv(String) at cell line 4 on engine 2 gets what send(u8) at cell line 2 on engine 0 has sent: the types differ"
    assert expected in reply.text, reply


def test_wrong_arguments_are_said(four):
    for call, expected in [
        ("px::send(4, 1);", "send(i32) to rank 4 fails: there is no rank 4 in this group, whose ranks are 0 to 3"),
        ("px::scatter(1, [1, 2]);", "px::scatter needs as many values as the group has engines, 4, and was given 2"),
    ]:
        reply = four.run(f"%%px\n{call}").failed()
        assert expected in reply.text, reply
    assert "engine 1 panicked at cell line 2: px::scatter needs" in reply.text, "the others name it"


ENDS = {
    "a panic": ('panic!("no more");', "engine 2 panicked at cell line 2: no more"),
    "the cell's end": ("", "engine 2 has come to the end of the cell without"),
    "an error": ('Err::<(), _>("lost")?;', "engine 2 left the cell with an error, by `?`"),
    "an exit": ("std::process::exit(3);", "engine 2 died in the cell: its worker exited with status 3"),
    "an abort": ("std::process::abort();", "engine 2 died in the cell: its worker was killed by signal 6 (SIGABRT"),
}
WAITS = {
    "barrier": "px::barrier();",
    "allreduce": "px::allreduce(vec![0.5; 300_000], px::sum);",
    "recv": "let x: u8 = px::recv(2);",
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("wait", WAITS)
def test_who_leaves_ends_the_others_wait(four, wait, end):
    code, how = ENDS[end]
    begin = time.time()
    reply = four.run(f"%%px\nif px::rank() == 2 {{ {code} }} else {{ {WAITS[wait]} }}").failed()
    assert time.time() - begin < 10
    assert how in reply.text, reply
    for engine in (0, 1, 3):
        assert re.search(rf"\[{engine}[:,-]|\[0[,-].*{engine}", reply.text), reply


def test_a_message_arrives_from_who_has_left(four):
    reply = four.run(
        "%%px -t 0,1\nif px::rank() == 0 { px::send(1, 7); } else {\n"
        'std::thread::sleep(std::time::Duration::from_millis(300)); println!("{}", px::recv::<i32>(0)); }'
    ).ok()
    assert said(reply) == {1: "7"}


@pytest.mark.parametrize("process", ["worker", "engine"])
def test_a_kill_is_told_to_those_who_wait(four, process):
    before = pids(four)
    reply = four.send(
        '%%px\nprintln!("running");\nif px::rank() == 1 { loop { std::thread::yield_now(); } }\npx::barrier();'
    )
    four.wait_for_text(reply, "running", times=4)
    killed = time.time()
    processes.kill(before[1][0 if process == "worker" else 1])
    four.wait(reply).failed()
    assert reply.idle_at - killed < 1.0, f"{reply.idle_at - killed:.2f} s"
    how = "was killed by signal 9 (SIGKILL" if process == "worker" else "was lost with its engine's process"
    assert f"barrier() can't end: engine 1 died in the cell: its worker {how}" in reply.text, reply
    wait_for_ranks(four, 4)


def test_if_all_wait_for_each_other_they_are_told(four):
    begin = time.time()
    reply = four.run("%%px -t 0,1\nif px::rank() == 0 {\nlet x: u8 = px::recv(1);\n} else {\npx::barrier();\n}").failed()
    assert time.time() - begin < 10
    expected = ("every engine of the group waits, and so nothing will come: recv(1) at cell line 3 on engine 0, "
                "barrier() at cell line 5 on engine 1")
    assert expected in reply.text, reply


def test_an_interrupt_ends_all(four):
    reply = four.send('%%px\nprintln!("waiting");\nif px::rank() == 0 { loop { std::thread::yield_now(); } }\npx::barrier();')
    four.wait_for_text(reply, "waiting", times=4)
    begin = time.time()
    four.interrupt()
    four.wait(reply)
    assert reply.status == "error" and reply.idle_at - begin < SOON
    assert said(four.run('%px println!("{}", px::allreduce(1, px::sum));').ok())[2] == "4"


def test_nothing_of_one_run_comes_to_the_next(four):
    four.run("%px px::send((px::rank() + 1) % px::size(), 1_u8);").ok()
    reply = four.run("%%px\nlet from = (px::rank() + 3) % 4;\npx::send((px::rank() + 1) % 4, 2_u8);\nlet x: u8 = px::recv(from); println!(\"{x}\");").ok()
    assert said(reply) == {rank: "2" for rank in range(4)}


def test_a_thread_that_a_cell_has_left_is_in_no_group(four, tmp_path):
    gate = tmp_path / "gate"
    four.run(
        f"""%%px
std::thread::spawn(|| {{
    while !std::path::Path::new("{gate}").exists() {{
        std::thread::yield_now();
    }}
    let late = std::panic::catch_unwind(|| px::allgather(7_u8));
    std::fs::write(format!("{tmp_path}/late-{{}}", std::process::id()), late.is_err().to_string()).unwrap();
}});"""
    ).ok()
    gate.touch()
    reply = four.run(
        """%%px
let begin = std::time::Instant::now();
while !px::allreduce(begin.elapsed().as_millis() > 500, |a, b| a || b) {
    assert_eq!(px::allgather(px::rank() as u8), [0, 1, 2, 3]);
}"""
    )
    assert reply.status == "ok", reply
    late = [path.read_text() for path in tmp_path.glob("late-*")]
    assert late == ["true"] * 4


def test_what_was_shared_is_let_go_of_at_the_end(four):
    four.run("%px px::allgather(vec![1_u8; 1_000_000]).len()").ok()
    reply = four.run('%px std::fs::read_to_string("/proc/self/maps").unwrap().matches("/group-").count()').ok()
    assert re.search(r"^Out\[0-3:\d+\]: 0$", reply.text, re.MULTILINE), reply


def test_where_there_is_no_group_that_is_said(four):
    where = "There is no group of engines here"
    assert where in four.run("px::barrier()").failed().text
    four.run("fn lonely(x: u32) -> u32 { px::allreduce(x, px::sum) }").ok()
    assert where in four.run("%map lonely over 0..8").failed().text


def test_threads_that_call_at_once_are_told(four):
    reply = four.run(
        """%%px -t 0,1
if px::rank() == 0 {
    let threads = [(), ()].map(|()| std::thread::spawn(|| px::recv::<u8>(1)));
    let errors: Vec<_> = threads.into_iter().filter_map(|thread| thread.join().err()).collect();
    println!("{}", errors.len());
} else {
    std::thread::sleep(std::time::Duration::from_millis(500));
    px::send(0, 1_u8);
}"""
    )
    assert said(reply, r"\d") == {0: "1"}, reply
    assert "was called while another thread of this engine does something with the group" in reply.text, reply


CALLS = [
    "px::barrier()",
    "px::broadcast(n % 4, vec![n; 50_000])",
    "px::allreduce(vec![n as f64; 50_000], px::sum)",
    "px::reduce(n % 4, n, px::sum)",
    "px::allgather(vec![n; 50_000])",
    "px::gather(n % 4, vec![n; 50_000])",
    "px::scatter(n % 4, vec![vec![n; 20_000]; 4])",
    "px::alltoall(vec![vec![n; 20_000]; 4])",
    "px::scan(vec![n; 50_000], px::sum)",
    "px::scan(n.to_string(), |_, b| b)",
    "px::send((rank + 1) % 4, vec![n; 20_000]), px::recv::<Vec<usize>>((rank + 3) % 4)",
    "px::send(n % 4, vec![n; 20_000]), if rank == n % 4 { for _ in 0..4 { _ = px::recv_any::<Vec<usize>>(); } }",
]


def test_one_deals_out_work_to_whoever_asks(four):
    """A master and its workers: no item is lost, and each is done once, by whom it was given."""
    reply = four.run(
        """%%px
let items = 500_usize;
if px::rank() == 0 {
    let mut by = vec![0; items];
    for next in 0..items + px::size() - 1 {
        let (rank, done): (usize, Option<usize>) = px::recv_any();
        if let Some(n) = done { by[n] += rank * 1000 + 1; }
        px::send(rank, Some(next).filter(|n| *n < items));
    }
    println!("once: {}", by.iter().all(|it| it % 1000 == 1 && (1..4).contains(&(it / 1000))));
} else {
    px::send(0, None::<usize>);
    while let Some(n) = px::recv::<Option<usize>>(0) {
        px::send(0, Some(n));
    }
}"""
    ).ok()
    assert said(reply) == {0: "once: true"}, reply
    failed = four.run("%%px\nif px::rank() == 1 { px::recv_any::<u8>(); }").failed()
    assert "recv_any(u8) can't end: no other engine of the group is in the cell any more" in failed.traceback, failed
    failed = four.run("%%px\nif px::rank() == 1 { px::recv_any::<u8>(); } else { px::send(1, 1.5_f32); }").failed()
    assert "recv_any(u8) at cell line 2 on engine 1 gets what send(f32) at cell line 2 on engine" in failed.traceback, failed


def test_kills_and_panics_at_random_moments_end_all_soon_and_spoil_nothing(four, tmp_path):
    """Eight rounds have each call once. CHORUS_LONG=1 does 200."""
    rounds = 200 if os.environ.get("CHORUS_LONG") else 8
    dice = random.Random(5)
    for round in range(rounds):
        if round % 8 == 0:
            dealt = dice.sample(CALLS, len(CALLS))
        # Else one call's `recv_any` might take what another has sent.
        calls = ", px::barrier(), ".join(f"({call})" for call in dealt[round % 8::8])
        end = ["worker", "panic", "worker", "engine"][round % 4]
        before = pids(four)
        victim = dice.randrange(4)
        gate = tmp_path / f"gate-{round}"
        reply = four.send(
            '%%px\nlet rank = px::rank();\nprintln!("begins");\nlet mut n = 0_usize;\nloop {\nn += 1;\n'
            f"let done = ({calls},);\n"
            f'if rank == {victim} && std::path::Path::new("{gate}").exists() {{ panic!("on purpose"); }}\n'
            "let total = px::allreduce(n, px::sum);\nassert_eq!(total, n * 4, \"a wrong number\");\n_ = done;\n}"
        )
        four.wait_for_text(reply, "begins", times=4)
        time.sleep(dice.random() * 0.1)
        killed = time.time()
        if end == "panic":
            gate.touch()
        else:
            processes.kill(before[victim][end == "engine"])
        four.wait(reply).failed()
        assert reply.idle_at - killed < SOON, f"round {round}: {reply.idle_at - killed:.2f} s"
        assert "a wrong number" not in reply.text, reply
        how = "panicked at cell line 8: on purpose" if end == "panic" else "died in the cell"
        assert f"engine {victim} {how}" in reply.text, reply
        wait_for_ranks(four, 4)
