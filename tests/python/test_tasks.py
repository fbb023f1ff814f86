"""`px::call!`: calls of single functions, their options, and what becomes of those that go wrong."""

import os
import pathlib
import re
import signal

import pytest

import processes

SLEEP = "std::thread::sleep(std::time::Duration::from_millis({}));"


def result(reply):
    (data,) = reply.results
    return data["text/plain"]


def number(reply, name):
    return int(re.search(rf"{name}=(\d+)", reply.ok().stdout)[1])


def test_a_result_can_be_fetched_again_in_later_cells(cluster):
    cluster.run('fn score(x: u32) -> u64 { println!("scoring {x}"); u64::from(x) * 2 }').ok()
    first = cluster.run("let scored = px::call!(score, 5, { on: 2 });\nscored.get()?").ok()
    assert result(first) == "10"
    assert "[stdout:2] scoring 5" in first.stdout
    again = cluster.run('println!("{:?} {:?} {}", scored.get()?, scored.engine(), scored.done());').ok()
    assert again.stdout == "10 Some(2) true\n"


def test_a_graph_takes_as_long_as_it_is_deep(cluster):
    reply = cluster.run(
        f"""
        fn inc(x: u64) -> u64 {{ {SLEEP.format(400)} x + 1 }}
        fn add(a: u64, b: u64) -> u64 {{ {SLEEP.format(400)} a + b }}
        let begun = std::time::Instant::now();
        let (a, b) = (px::call!(inc, 1), px::call!(inc, 2));
        let sum = px::call!(add, &a, &b);
        println!("sum={{}} ms={{}}", sum.get()?, begun.elapsed().as_millis());
        """
    )
    assert number(reply, "sum") == 5
    assert 800 <= number(reply, "ms") < 1150


def test_a_panic_names_the_function_the_engine_and_the_line(cluster):
    text = 'fn half(x: u32) -> u32 {\n    assert!(x % 2 == 0, "{x} is odd");\n    x / 2\n}\npx::call!(half, 7, { on: 1 }).get()?'
    reply = cluster.run(text)
    assert "`half` failed on engine 1: 7 is odd (cell line 2)" in reply.text
    handled = cluster.run("px::call!(|x: u32| 10 / x, 0).get().is_err()").ok()
    assert result(handled) == "true"


def test_retries_are_made_after_panics(cluster, tmp_path):
    marker = tmp_path / "tried"
    flaky = f"""
        fn flaky(name: String) -> u32 {{
            if std::fs::File::create_new(&name).is_ok() {{ panic!("the first time") }}
            7
        }}
        px::call!(flaky, "{marker}", {{ retries: 1 }}).get()?
    """
    assert result(cluster.run(flaky).ok()) == "7"
    marker.unlink()
    assert "`flaky` failed on engine" in cluster.run(flaky.replace("retries: 1", "retries: 0")).text


def test_a_task_that_takes_too_long_is_ended(cluster):
    cluster.run("%%px\nlet kept = px::rank();").ok()
    reply = cluster.run(f"px::call!(|| {{ {SLEEP.format(60000)} }}, {{ timeout: 0.3 }}).get()?")
    assert "it took longer than its 0.3 s, and was ended" in reply.text
    assert "Out[3:" in cluster.run("%px kept").ok().text, "a call costs no variables"


def test_cancelling_ends_a_call_and_those_that_need_it(cluster):
    reply = cluster.run(
        f"""
        let slow = px::call!(|| {{ {SLEEP.format(60000)} }});
        let needs = px::call!(|_: ()| 1, &slow);
        let after = px::call!(|| 2, {{ after: [&slow, &needs] }});
        while slow.engine().is_none() {{ {SLEEP.format(5)} }}
        slow.cancel();
        println!("{{}}\\n{{}}\\n{{}}", slow.get().unwrap_err(), needs.get().unwrap_err(), after.get().unwrap_err());
        """
    ).ok()
    slow, needs, after = reply.stdout.splitlines()
    assert slow.endswith("was cancelled")
    assert needs.startswith("`|_: ()| 1` wasn't called") and needs.endswith("was cancelled")
    assert after.startswith("`|| 2` wasn't called")


def test_a_worker_that_dies_costs_one_more_try(cluster, tmp_path):
    marker = tmp_path / "died"
    reply = cluster.run(
        f"""
        fn dies_once(name: String) -> u32 {{
            if std::fs::File::create_new(&name).is_ok() {{ std::process::abort() }}
            7
        }}
        px::call!(dies_once, "{marker}").get()?
        """
    ).ok()
    assert result(reply) == "7"
    reply = cluster.run("px::call!(|| -> u32 { std::process::abort() }).get()?")
    assert "2 times: its worker was killed by signal 6" in reply.text


@pytest.mark.parametrize("status", [0, 3])
def test_a_function_that_exits_is_not_called_again(cluster, tmp_path, status):
    cluster.run(
        f"""
        fn exits(folder: String) -> u32 {{
            std::fs::write(format!("{{folder}}/{{}}", std::process::id()), "").unwrap();
            std::process::exit({status})
        }}
        """
    ).ok()
    failed = cluster.run(f'px::call!(exits, "{tmp_path}", {{ retries: 3 }}).get()?').failed()
    assert f"it called `exit` with status {status}" in failed.text and "times" not in failed.text, failed.text
    assert len(list(tmp_path.iterdir())) == 1


def test_what_lies_on_a_dead_worker_is_done_elsewhere(cluster, tmp_path):
    marker = tmp_path / "pid"
    cluster.run(
        f"""
        let killed = px::call!(|name: String| {{
            if let Ok(mut file) = std::fs::File::create_new(&name) {{
                std::io::Write::write_all(&mut file, std::process::id().to_string().as_bytes()).unwrap();
                {SLEEP.format(60000)}
            }}
            8
        }}, "{marker}");
        """
    ).ok()
    pid = processes.wait_until("the call to run", lambda: marker.exists() and marker.read_text())
    os.kill(int(pid), signal.SIGKILL)
    assert result(cluster.run("killed.get()?").ok()) == "8"


def test_large_values_and_shared_ones(cluster):
    reply = cluster.run(
        """
        let big = px::put(&vec![1u64; 1_000_000]);
        let sums: Vec<px::Task<u64>> =
            (0..8usize).map(|n| px::call!(|all: px::Ref<Vec<u64>>, n: usize| all[n..].iter().sum::<u64>(), &big, n)).collect();
        drop(big);
        let mut total = 0;
        for sum in &sums { total += sum.get()?; }
        let made = px::call!(|n: usize| vec![7u8; n], 3_000_000);
        let length = px::call!(|bytes: Vec<u8>| bytes.len(), &made);
        println!("total={total} length={} fetched={}", length.get()?, made.get()?.len());
        """
    )
    assert number(reply, "total") == 8 * 1_000_000 - 28
    assert number(reply, "length") == number(reply, "fetched") == 3_000_000


def test_a_reference_that_a_call_returns_is_to_the_same_value(cluster):
    """A room's number is used again as soon as it is free, so a name that has just that would be another room's."""
    reply = cluster.run(
        """
        type Shared = px::Ref<Vec<f64>>;
        let first = px::put(&vec![1.0]);
        let same = px::call!(|it: Shared| it, &first).get()?;
        let more = px::call!(|it: Shared, n: usize| vec![(n, it)], px::call!(|it: Shared| it, &first), 5);
        drop(first);
        let seconds: Vec<Shared> = (0..20).map(|_| px::put(&vec![2.0])).collect();
        let (n, inside) = more.get()?.remove(0);
        drop(more);
        let thirds: Vec<Shared> = (0..20).map(|_| px::put(&vec![3.0])).collect();
        let there = px::call!(|it: Shared| it[0], &inside).get()?;
        println!("first={} inside={} n={n} there={there}", same[0], inside[0]);
        """
    )
    assert [number(reply, name) for name in ("first", "inside", "n", "there")] == [1, 1, 5, 1]
    # In a later cell, and when its worker was replaced.
    killed = cluster.run("drop(same); drop(inside); std::process::abort()")
    assert killed.errors
    assert number(cluster.run('println!("first={}", same[0] + inside[0] - 1.0);'), "first") == 1
    # Nothing is kept for ever.
    cluster.run("drop((same, inside, seconds, thirds));").ok()
    open_rooms = "std::fs::read_dir(format!(\"/proc/{}/fd\", {pid})).unwrap().flatten()"
    open_rooms += '.filter(|it| std::fs::read_link(it.path()).is_ok_and(|to| to.to_string_lossy().contains("memfd:chorus-")))'
    kernel = cluster.manager.provisioner.pid
    count = f'println!("rooms={{}}", {open_rooms.replace("{pid}", str(kernel))}.count());'
    assert number(cluster.run(count), "rooms") == 0


def test_what_a_panic_carries_may_panic_too(cluster):
    cluster.run('struct Bomb; impl Drop for Bomb { fn drop(&mut self) { panic!("dropped") } }\nlet kept = 5;').ok()
    throw = "std::panic::panic_any(Bomb)"
    for cell, why in (
        (f"px::call!(|| -> u8 {{ {throw} }}).get()?", "failed on engine"),
        (f"%map |n| {{ if n == 3 {{ {throw} }} n }} over 0..5", "item 3 (3) failed on engine"),
        (f"%px {throw}", "panicked at cell line 1"),
        (f"%timeit -n 1 -r 1 {throw}", "panicked at cell line 1"),
        (throw, "panicked at cell line 1"),
    ):
        reply = cluster.run(cell)
        assert reply.errors and why in reply.text, f"{cell}:\n{reply.text}"
        assert "dropped" not in reply.text and "died" not in reply.text and "SIGABRT" not in reply.text, reply.text
    skipped = cluster.run(f"%map --on-error skip |n| {{ if n == 3 {{ {throw} }} n }} over 0..5")
    assert "[0, 1, 2, 4]" in skipped.text
    assert result(cluster.run("kept").ok()) == "5"


TOKEN = """
mod right {
    #[derive(Clone, Copy)] pub struct Token(());
    impl Token { pub fn new() -> Token { Token(()) } pub fn get(&self) -> i32 { 1 } }
    pub fn hidden(token: Token) -> impl Fn(i32) -> i32 + Copy { move |x| x + token.get() }
}
let token = right::Token::new();
"""


def test_a_value_without_bytes_is_captured_by_nobody(cluster):
    cluster.run(TOKEN).ok()
    rule = "a closure that captures nothing"
    for cell, why in (
        ("px::call!(move |x: i32| x + token.get(), 1)", f"{rule}: it captures `token`"),
        ("px::call!(right::hidden(token), 1)", rule),
        ("let f: fn(i32) -> i32 = i32::abs; px::call!(f, 1)", "can't be a variable"),
        ("%map |x| x + token.get() over 0..3", "`Token` can't travel"),
        ("%map --filter '|x| *x > token.get()' |x| x over 0..3", "`Token` can't travel"),
    ):
        reply = cluster.run(cell)
        assert reply.errors and why in reply.text, f"{cell}:\n{reply.text}"
    # What is hidden from the magic is still seen by rustc.
    started = "px::map::start!(px::over!(0..3), (), |(), items| items.map(|x| x + token.get()).collect()).wait()"
    reply = cluster.run(started)
    assert reply.errors and f"{rule}: it captures `token`" in reply.text, reply.text
    cluster.run("fn same<T: Copy>(x: T) -> T { x }").ok()
    assert result(cluster.run("(px::call!(same, 3u8).get()?, px::call!(Some, 1i8).get()?)").ok()) == "(3, Some(1))"
    assert "[0, 1, 2]" in cluster.run("%map same over 0..3").ok().text


def test_mistakes_are_told_by_the_compiler(cluster):
    for text, why in (
        ("let k = 3; px::call!(move |x: i32| x + k, 1)", "a closure that captures nothing"),
        ("px::call!(|x: i32| x, 1, { retry: 2 })", "`px::call!` has no option `retry`"),
        ("struct P; px::call!(|p: P| 1, P)", "`P` can't travel"),
        ('px::call!(|x: u32| x, "text")', "mismatch"),
    ):
        reply = cluster.run(text)
        assert reply.errors and why in reply.text, f"{text}:\n{reply.text}"
    assert "there is no engine 99" in cluster.run("px::call!(|| 1, { on: 99 }).get()?").text


def test_an_interrupt_ends_the_call_that_a_cell_waits_for(cluster):
    cluster.run("let local = 4;").ok()
    running = cluster.send(f"px::call!(|| {{ println!(\"begun\"); {SLEEP.format(60000)} }}).get()?")
    cluster.wait_for_text(running, "begun")
    cluster.interrupt()
    reply = cluster.wait(running)
    assert "Interrupted" in reply.text
    assert result(cluster.run("local").ok()) == "4"


def test_who_asks_for_engines_is_given_some_and_nobody_else(own_kernel):
    kernel = own_kernel
    assert "Started" not in kernel.run('// px::map and px::call\nlet text = "px::call!(f)"; text.len()').ok().text
    assert "no cluster" in kernel.run("%cluster status").ok().text
    reply = kernel.run("use px::call;\nfn twice(x: u32) -> u32 { 2 * x }\ncall!(twice, 21).get()?").ok()
    assert "Started the cluster" in reply.stdout and result(reply) == "42"
    kernel.run("%cluster stop").ok()
    reply = kernel.send("let handles: Vec<_> = (0..3).map(|x| call!(twice, x)).collect();\nhandles[2].get()?")
    kernel.pump(lambda: reply.begun, 60, lambda: "the cell to begin")
    assert result(kernel.wait(reply)) == "4"
    assert reply.stdout.count("Started the cluster") == 1


def test_a_call_of_an_earlier_cells_thread_is_its_own(cluster):
    cluster.run("fn thrice(x: u32) -> u32 { println!(\"thrice {x}\"); 3 * x }").ok()
    early = cluster.run(
        f"""
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let late = std::thread::spawn(move || {{ wait.recv().unwrap(); px::call!(thrice, 5, {{ on: 1 }}).get().unwrap() }});
        """,
        background=True,
    ).ok()
    reply = cluster.run("go.send(()).unwrap(); late.join().unwrap()").ok()
    assert result(reply) == "15"
    cluster.pump(lambda: "thrice 5" in early.text, 20, lambda: "the call's output where its cell is")


def rooms_of(kernel):
    """How much memory the kernel holds for others to open."""
    links = (entry for entry in pathlib.Path(f"/proc/{kernel.pid}/fd").iterdir())
    count = 0
    for link in links:
        try:
            count += "memfd:chorus-" in os.readlink(link)
        except FileNotFoundError:
            pass  # It was closed meanwhile.
    return count


def test_rooms_go_with_the_variables_that_have_them(own_kernel):
    kernel = own_kernel
    define = "let shared: Vec<px::Ref<Vec<f64>>> = (0..5).map(|n| px::put(&vec![n as f64; 100_000])).collect();"
    define += 'println!("pid={}", std::process::id());'

    def kill_idle(worker):
        processes.kill(worker)
        processes.wait_until("the worker to be dead", lambda: not processes.alive(worker))

    worker = number(kernel.run(define), "pid")
    assert rooms_of(kernel) == 5
    # What a snapshot brings back has its rooms.
    keeper = processes.parent(worker)
    processes.wait_until("the worker's snapshot", lambda: len(processes.children(keeper, kernel.mark)) == 2)
    kill_idle(worker)
    assert result(kernel.run("shared[4][99_999]").ok()) == "4.0"
    assert rooms_of(kernel) == 5
    assert result(kernel.run("px::call!(|it: px::Ref<Vec<f64>>| it[0], &shared[3]).get()?").ok()) == "3.0"

    kernel.run(":restart").ok()
    processes.wait_until("the rooms to be freed by :restart", lambda: rooms_of(kernel) == 0, 10)
    kernel.run("%snapshot off").ok()
    worker = number(kernel.run(define), "pid")
    assert rooms_of(kernel) == 5
    kill_idle(worker)
    assert "`shared`" in kernel.run("shared.len()").failed().text
    processes.wait_until("the rooms of the dead worker to be freed", lambda: rooms_of(kernel) == 0, 10)
    kernel.run(define).ok()
    kernel.run("std::process::abort()").failed()
    processes.wait_until("the rooms of the cell's worker to be freed", lambda: rooms_of(kernel) == 0, 10)
    # A call goes on without its handle, and with what it was given.
    kernel.run(define).ok()
    kernel.run("px::call!(|it: px::Ref<Vec<f64>>| std::thread::sleep(std::time::Duration::from_secs(it[0] as u64)), &shared[2]);").ok()
    kernel.run(":restart").ok()
    processes.wait_until("the call's room to be freed", lambda: rooms_of(kernel) == 0, 20)


def test_a_cell_prints_while_the_engines_start_that_its_call_needs(own_kernel):
    reply = own_kernel.run(
        """
        use std::io::Write;
        let seven = px::call!(|| 7);
        println!("said first");
        std::io::stdout().flush()?;
        println!("then={}", seven.get()?);
        """
    ).ok()
    assert number(reply, "then") == 7
    assert reply.stdout.index("said first") < reply.stdout.index("Started the cluster"), reply.stdout


def test_a_call_without_retries_is_made_once(cluster, tmp_path):
    cluster.run(
        "fn dies(path: String) {\n"
        "    use std::io::Write;\n"
        '    std::fs::File::options().create(true).append(true).open(path).unwrap().write_all(b"x").unwrap();\n'
        "    std::process::abort()\n}"
    ).ok()
    for name, options in [("once", ", { retries: 0 }"), ("twice", ""), ("thrice", ", { retries: 2 }")]:
        assert "SIGABRT" in cluster.run(f'px::call!(dies, "{tmp_path}/{name}"{options}).get()?').failed().text
    called = [len((tmp_path / name).read_text()) for name in ("once", "twice", "thrice")]
    assert called == [1, 2, 3]


def test_calls_that_an_interrupt_ends_are_named_once(cluster):
    reply = cluster.send('px::engines().each(|| { println!("under way"); std::thread::sleep(std::time::Duration::from_secs(60)) })?')
    cluster.wait_for_text(reply, "under way")
    cluster.interrupt()
    cluster.wait(reply)
    assert "calls that it waited for were ended: `each()` (4 calls)" in reply.failed().text.replace("\n", " "), reply.text
