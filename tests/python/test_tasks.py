"""`px::call!`: calls of single functions, their options, and what becomes of those that go wrong."""

import os
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
