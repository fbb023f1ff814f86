"""`%map` and `%%map`: what a function may be, what it may be applied to, what becomes of results, and what can go wrong."""

import json
import random
import re
import threading
import time

import processes
import pytest


def value(cluster, code):
    """The value of an expression."""
    (data,) = cluster.run(code).ok().results
    return data["text/plain"]


@pytest.fixture
def maps(cluster):
    """A kernel with what most tests here need."""
    cluster.run(
        "fn score(x: f64) -> f64 { x * x + 1.0 }\n"
        "let xs: Vec<f64> = (0..1000).map(|n| n as f64).collect();\n"
        'let words: Vec<String> = ["a", "bb", "ccc"].map(String::from).to_vec();\n'
        "let k = 3.0;\n%px let table = vec![1.0, 10.0, 100.0];"
    ).ok()
    return cluster


# Functions and data


def test_of_values_and_references_the_one_with_fewer_errors_was_meant(maps):
    said = maps.run("%map |x| *x + missing over xs").failed().traceback
    assert "missing" in said and "dereferenced" not in said, said
    said = maps.run("%map |x| x as u8 + missing over xs").failed().traceback
    assert "missing" in said and "casting" not in said, said


@pytest.mark.parametrize(
    "line, expected",
    [
        ("score over xs", "(0..1000).map(|n| score(n as f64)).collect::<Vec<_>>()"),
        ("f64::sqrt over xs", "(0..1000).map(|n| (n as f64).sqrt()).collect::<Vec<_>>()"),
        ("|x| x * x over 0..1000u64", "(0..1000u64).map(|x| x * x).collect::<Vec<_>>()"),
        ("|x: i32| -x over -5..=5", "(-5..=5).map(|x: i32| -x).collect::<Vec<_>>()"),
        ("|x| x * k over xs", "(0..1000).map(|n| n as f64 * 3.0).collect::<Vec<_>>()"),
        ("|x| x * table[1] + k over xs", "(0..1000).map(|n| n as f64 * 10.0 + 3.0).collect::<Vec<_>>()"),
        ("|w| w.len() over words", "vec![1, 2, 3usize]"),
        ("str::len over words", "vec![1, 2, 3usize]"),
        ("|a, b| a * b over xs, 0..1000i32", None),
        ("|a, b| a * f64::from(b) over xs, 0..1000i32", "(0..1000).map(|n| (n * n) as f64).collect::<Vec<_>>()"),
        ("|x| (x, x as u8 as char, Some(x)) over [65u32, 66]", "vec![(65u32, 'A', Some(65u32)), (66, 'B', Some(66))]"),
        ("|x| vec![x; x] over 0..4usize", "vec![vec![], vec![1], vec![2, 2], vec![3usize, 3, 3]]"),
        ("|x| x over Vec::<f64>::new()", "Vec::<f64>::new()"),
        ("|x| *x + 1.0 over &xs", "(0..1000).map(|n| n as f64 + 1.0).collect::<Vec<_>>()"),
        ("|x| *x + k over xs.iter()", "(0..1000).map(|n| n as f64 + 3.0).collect::<Vec<_>>()"),
        ("|&x| x * table[1] over &xs", "(0..1000).map(|n| n as f64 * 10.0).collect::<Vec<_>>()"),
        ("|x| *x * table[1] over &xs", "(0..1000).map(|n| n as f64 * 10.0).collect::<Vec<_>>()"),
        ("|x: &f64| score(*x) over xs", "(0..1000).map(|n| score(n as f64)).collect::<Vec<_>>()"),
        ("|w: &str| w.len() over words", "vec![1, 2, 3usize]"),
        ("|w: &str, n: u8| w.len() + n as usize over words, 0..3u8", "vec![1, 3, 5usize]"),
        ("|w, n| *n as usize + w.len() over &words, 0..3u8", "vec![1, 3, 5usize]"),
        ("|w| w.iter().sum::<f64>() over xs[..4].chunks(2)", "vec![1.0, 5.0]"),
        ("|(n, w): (usize, &str)| n + w.len() over \"a bc\".split(' ').enumerate()", None),
        ("|(n, w)| n + w.len() over \"a bc\".split(' ').enumerate()", "vec![1, 3usize]"),
        ("it over [1u8, 2]", "vec![1u8, 2]"),
    ],
)
def test_results_are_those_of_the_sequential_map(maps, line, expected):
    if expected is None:
        assert re.search("f64|&str", maps.run(f"%map -o got {line}").failed().traceback)
        return
    maps.run(f"%map -o got {line}").ok()
    assert value(maps, f"got == {expected}") == "true"


def test_a_body_may_be_a_block_that_uses_it(maps):
    maps.run("%%map -o got over 0..10u64\nlet twice = it * 2;\ntwice + 1").ok()
    assert value(maps, "got == (0..10).map(|n| n * 2 + 1).collect::<Vec<u64>>()") == "true"


def test_without_a_name_the_first_and_the_last_results_are_shown(maps):
    reply = maps.run("%map |x| x + 1 over 0..1000u32").ok()
    assert "[1, 2, 3, 4, 5, …, 996, 997, 998, 999, 1000] (1000 items)" in reply.text
    assert re.search(r"1,000 items on \d engines? in .* \(.*/s\)", reply.text)


def test_small_and_large_results_have_every_item(maps):
    maps.run("%map -o few |x| x over 0..3u8").ok()
    maps.run("%map -o many |x| x ^ 1 over 0..20_000_000u64").ok()
    assert value(maps, "(few, many.len(), many.iter().enumerate().all(|(n, &x)| x == n as u64 ^ 1))") == (
        "([0, 1, 2], 20000000, true)"
    )
    # The memory is the notebook's own: what is written to it stays, and growing it keeps what is there.
    maps.run("let mut many = many;\nmany[0] = 7;\nmany.push(8);").ok()
    assert value(maps, "(many[0], many[19_999_999], many[20_000_000])") == "(7, 19999998, 8)"


# Reductions


@pytest.mark.parametrize(
    "flags, line, expected",
    [
        ("--sum", "|x| x over 0..1001u64", "500500"),
        ("--min", "|x| (x - 500.0).abs() over xs", "0.0"),
        ("--max", "|x| x over xs", "999.0"),
        ("--mean", "|x| x over xs", "499.5"),
        ("--count --filter '|x| *x > 990.0'", "|x| x over xs", "9"),
        ("--reduce '|a, b| a.max(b)'", "|x| x over xs", "999.0"),
        ("--reduce '|a, b| a.max(b)'", "|x| x * table[1] over xs", "9990.0"),
        ("--sum", "|x| x over 0..0u64", "0"),
        ("--max", "|x| x over 0..0u64", "None: there were no results"),
    ],
)
def test_reductions(maps, flags, line, expected):
    assert maps.run(f"%map {flags} {line}").ok().text.splitlines()[0] == expected


def test_sums_of_floats_have_the_same_bits_however_they_are_shared_out(maps):
    bits = set()
    for flags in ("", "--chunk 1", "--chunk 17", "--chunk 4096", "-t 0", "-t 1:3 --chunk 333", "--threads 3"):
        maps.run(f"%map -o total --sum {flags} |x| (x as f64).sin() / 3.0 over 0..5000u32").ok()
        bits.add(value(maps, "total.to_bits()"))
    assert len(bits) == 1


# What stays on the engines


def test_results_may_stay_on_the_engines_and_be_mapped_there(maps):
    maps.run("%map --keep -o kept |x| x + 1.0 over xs").ok()
    lengths = maps.run("%px --each kept.len()").ok().text
    assert sum(map(int, re.findall(r"^Out\[\d+:\d+\]: (\d+)$", lengths, re.MULTILINE))) == 1000
    maps.run("%map -o back |x| x - 1.0 over each kept").ok()
    assert value(maps, "{ let mut back = back.clone(); back.sort_by(f64::total_cmp); back == xs }") == "true"


# Failures


def test_a_panic_names_the_item_and_the_place(maps):
    failed = maps.run('%map |x| if x == 77 { panic!("unlucky") } else { x } over 0..1000').failed()
    assert "item 77 (77) failed on engine" in failed.traceback and "unlucky" in failed.traceback
    assert "cell line 1:23" in failed.traceback and "%map |x| if x == 77" in failed.traceback
    maps.run("%map score over xs").ok()


def test_failed_items_may_be_skipped_or_kept(maps):
    code = "|x| { assert!(x % 100 != 7, \"seven\"); x } over 0..1000u32"
    skipped = maps.run(f"%map --on-error skip -o some {code}").ok()
    assert "10 failed: items 7, 107, 207" in skipped.text
    assert value(maps, "(some.len(), some[7])") == "(990, 8)"
    maps.run(f"%map --on-error keep -o all {code}").ok()
    assert value(maps, "(all.len(), all[6].clone(), all[7].is_err())") == "(1000, Ok(6), true)"


def test_an_item_is_tried_again_when_that_is_wanted(maps, tmp_path):
    mark = tmp_path / "tried"
    code = (
        f'|x| {{ if x == 5 && !std::path::Path::new("{mark}").exists() '
        f'{{ std::fs::write("{mark}", "").unwrap(); panic!("once") }} x }} over 0..10u8'
    )
    maps.run(f"%map --retries 1 -o got {code}").ok()
    assert value(maps, "got.len()") == "10"
    mark.unlink()
    assert "once" in maps.run(f"%map {code}").failed().traceback


def test_an_item_that_takes_too_long_is_named(maps):
    failed = maps.run(
        "%map --timeout 0.3 |x| { if x == 3 { std::thread::sleep(std::time::Duration::from_secs(60)) } x } over 0..9"
    ).failed()
    assert "item 3" in failed.traceback and "0.3 s" in failed.traceback
    maps.run("%map score over xs").ok()


def test_a_function_that_kills_its_worker_is_named_and_costs_no_variable(maps):
    failed = maps.run("%map |x| { if x == 40 { std::process::abort() } x } over 0..100").failed()
    assert "item 40" in failed.traceback, failed.traceback
    assert "100" in maps.run("%px table[2]").ok().text


def test_a_type_that_cannot_travel_is_an_error_that_says_what_to_derive(maps):
    maps.run("#[derive(Debug, Clone)]\nstruct Fixed(u8);").ok()
    failed = maps.run("%map |x| Fixed(x) over 0..10u8").failed()
    assert "travel between the notebook and its engines" in failed.traceback
    assert "serde::Serialize" in failed.traceback
    assert "px!" not in failed.traceback


@pytest.mark.parametrize(
    "line, part",
    [
        ("%map score", "over"),
        ("%map --sum --min score over xs", "--min"),
        ("%map --chunk 0 score over xs", "--chunk"),
        ("%map --keep score over xs", "--keep"),
        ("%map -t 9 score over xs", "9"),
        ("%map --nonsense score over xs", "--nonsense"),
        ("%map score over each nothing", "nothing"),
        ("%map scroe over xs", "scroe"),
        ("%map |x| x * missing over xs", "missing"),
        ("%map |a, b| a over xs", "|a, b|"),
    ],
)
def test_mistakes_are_named(maps, line, part):
    assert part in maps.run(line).failed().traceback


# Interrupts, handles, what was done


def test_an_interrupt_ends_all_engines_and_keeps_what_was_done(maps):
    nap = "std::thread::sleep(std::time::Duration::from_millis(5))"
    reply = maps.send(f'%map --chunk 1 |x| {{ {nap}; if x == 100 {{ println!("under way") }} x }} over 0..100_000u32')
    maps.wait_for_text(reply, "under way")
    begun = time.perf_counter()
    maps.interrupt()
    maps.wait(reply)
    took = time.perf_counter() - begun
    assert "Interrupted" in reply.failed().traceback
    assert took < 2, f"{took:.1f} s"
    maps.run("%pxresult --partial -o done").ok()
    count = int(value(maps, "done.len()"))
    assert 0 < count < 100_000
    assert "100" in maps.run("%px table[2]").ok().text, "the engines keep their variables"


def test_a_map_in_the_background_has_a_handle(maps):
    maps.run("%map -a -o handle |x| x + 1 over 0..1000u32").ok()
    assert value(maps, "handle.get()?.len()") == "1000"
    assert value(maps, "handle.done()") == "true"
    reply = maps.run("%pxresult").ok()
    assert "[1, 2, 3, 4, 5, …" in str(reply.displays + reply.results) and "1,000 items on" in reply.text, reply.text
    maps.run("%map -a -o slow |x| { std::thread::sleep(std::time::Duration::from_millis(20)); x } over 0..100_000u32").ok()
    processes.wait_until("the map to run", lambda: "running on" in maps.run("%tasks").ok().text, 20)
    assert "Cancelled" in maps.run("%cancel slow").ok().text
    assert "interrupted" in maps.run("slow.get()?;").text
    assert "interrupted" in maps.run("%pxresult -o slow").failed().text
    assert "1,000 items on" in maps.run("%pxresult -o handle").ok().text
    maps.run("%map score over xs").ok()


def test_a_map_tells_its_times(maps):
    reply = maps.run("%time %map -o got |x| x + 41 over 0..100u64").ok()
    told = [float(number) * {"ms": 0.001, "s": 1}[unit] for number, unit in re.findall(r"compiled in ([\d.]+) (m?s)", reply.text)]
    assert len(told) == 2 and abs(told[0] - told[1]) < 0.05 < told[1], f"compiled once, in a line of each: {reply.text}"
    assert re.search(r"run [\d.]+ m?s on .* \(user .*\)", reply.text), reply.text
    assert value(maps, "got[99]") == "140"


def test_the_partial_results_of_a_timed_map(maps):
    code = "let least = 40u64;\n%map -o got |x| { assert!(x != 50); x + least } over 0..100u64"
    assert "item 50 (50) failed" in maps.run("%%time\n" + code).text
    maps.run("%pxresult --partial -o some").ok()
    assert value(maps, "some.len() < 100 && some.iter().all(|y| *y >= 40 && *y != 90)") == "true"


def test_only_the_users_lines_are_a_panics_places(maps):
    maps.run("fn third(at: usize) -> u8 { [1u8, 2][at] }").ok()
    reply = maps.run("let one = 1usize;\n%map -o got |x| third(x + one) over 0..4usize").text
    assert "called from cell line 2" in reply and "line 1\n" not in reply.replace("In[", "").split("called from")[1], reply


def test_what_the_function_prints_is_labelled(maps):
    reply = maps.run('%map -t 1 |x| { println!("at {x}"); x } over 0..3u8').ok()
    assert [line for line in reply.stdout.splitlines() if "at" in line] == [f"[stdout:1] at {x}" for x in range(3)]


def test_a_panic_of_what_reduces_ends_the_map(maps):
    reduce = """'|a, b| { assert!(b != 300, "no"); a + b }'"""
    for flags in ["", "--retries 2", "--on-error skip", "--threads 3"]:
        said = maps.run(f"%map {flags} --reduce {reduce} |x| x over 0..1000u64").failed().text
        assert "300" in said and "no" in said, said


def test_a_sum_that_its_type_cannot_hold_is_an_error(maps):
    assert "4999950000, which i32 can't hold" in maps.run("%map --sum |x| x over 0..100_000").failed().text
    reply = maps.run("%map --sum |x| x * x over 0..100_000_000u64").ok()
    assert "too large for u64 and has wrapped around" in reply.stderr, reply.text
    n = 10**8
    assert str((n - 1) * n * (2 * n - 1) // 6 % 2**64) in reply.text


def test_many_items_may_fail(maps):
    line = '%map --on-error skip -o few |x| { assert!(x % 2 == 1, "even: {x}"); x } over 0..100_000u64'
    assert "50,000 failed: items 0, 2, 4, " in maps.run(line).ok().text
    assert value(maps, "few.len()") == "50000"


def test_one_map_is_ended_without_the_others(maps):
    wait = "std::thread::sleep(std::time::Duration::from_millis(5)); x"
    maps.run(f"%map -a -o goes |x| {{ {wait} }} over 0..300u32").ok()
    maps.run(f"%map -a -o ends |x| {{ {wait} }} over 0..100_000u32").ok()
    assert "still runs" in maps.run("%pxresult --partial").failed().text
    maps.run("%cancel ends\n%pxresult --partial -o some").ok()
    assert value(maps, "some.len() < 100_000 && ends.get().is_err()") == "true"
    assert value(maps, "goes.get()?.len()") == "300"


def test_partial_results_do_not_need_the_data_any_more(maps):
    maps.run("let mut many: Vec<f64> = (0..100_000).map(f64::from).collect();").ok()
    maps.run("%map -o got |x| { assert!(x != 70_000.0); x + 0.5 } over many").failed()
    maps.run("many.truncate(10);\n%pxresult --partial -o some").ok()
    assert value(maps, "some.len() > 10 && some.iter().all(|y| y.fract() == 0.5)") == "true"


def test_a_failure_that_the_cell_has_handled_is_not_its_own(maps):
    maps.run("%map -a -o bad |x| { assert!(x != 3); x } over 0..5u32").ok()
    said = maps.run("assert!(bad.get().is_err());\nlet none: Vec<u8> = vec![];\nnone[7]").failed().text
    assert "index out of bounds" in said and "MapError" not in said, said


# Deaths


def test_an_item_that_kills_may_be_left_out_or_kept(maps):
    abort = "|i| { if i == 5 { std::process::abort() } i }"
    maps.run(f"%map --on-error skip -o got {abort} over 0..8u32").ok()
    assert value(maps, "got == [0, 1, 2, 3, 4, 6, 7]") == "true"
    maps.run(f"%map --on-error keep -o got {abort} over 0..8u32").ok()
    assert "SIGABRT" in value(maps, "got[5].clone().unwrap_err()")
    maps.run(f"%map --on-error skip --sum -o total {abort} over 0..8u32").ok()
    assert value(maps, "total") == "23"


def test_an_item_that_exits_has_asked_for_it(maps, tmp_path):
    line = (
        "|x| { if x == 40 { std::io::Write::write_all("
        f"""&mut std::fs::File::options().create(true).append(true).open("{tmp_path}/exits").unwrap(), b"x").unwrap(); """
        "std::process::exit(0) } x }"
    )
    failed = maps.run(f"%map {line} over 0..100").failed()
    assert "called `exit` with status 0" in failed.traceback, failed.traceback
    assert (tmp_path / "exits").read_text() == "x", "the function was called again"
    maps.run(f"%map --on-error keep -o kept {line} over 0..100").ok()
    assert "called `exit` with status 0" in value(maps, "kept[40].clone().unwrap_err()")
    assert value(maps, "kept.iter().filter(|it| it.is_ok()).count()") == "99", "the others aren't to blame"


def test_what_an_engine_kept_dies_with_it(maps):
    line = "%map --keep -o kept |x| { if x == 900 { std::process::abort() } x } over 0..1000u32"
    assert "the results that it kept" in maps.run(line).failed().text


def test_own_items_are_mapped_again_when_they_are_back(maps, tmp_path):
    maps.run("%scatter xs as part").ok()
    once = f"""if std::fs::write("{tmp_path}/0", "").is_ok() && std::fs::create_dir("{tmp_path}/1").is_ok()"""
    maps.run(f"%map -o got |x| {{ {once} {{ std::process::abort() }} x + 1.0 }} over each part").ok()
    assert value(maps, "got.len() == 1000 && got[999] == 1000.0") == "true"


def test_killed_workers_and_engines_lose_nothing(own_kernel):
    kernel = own_kernel
    kernel.run("%cluster start -n 3").ok()
    kernel.run("fn steps(x: u32) -> f64 { (0..200).fold(f64::from(x), |y, _| (y + 1.0).sqrt()) }").ok()
    kernel.run("%map -o got steps over 0..10u32").ok()
    stop, killed = threading.Event(), []

    def kill():
        rng = random.Random(4)
        while not stop.wait(rng.uniform(0.1, 0.4)):
            family = processes.engines_of(kernel.mark)
            if family:
                victim = rng.choice(family)
                processes.kill(victim)
                killed.append(victim)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        for _ in range(3):
            kernel.run("%map -o got steps over 0..2_000_000u32").ok()
            same = value(kernel, "got.iter().zip(0..).all(|(y, n)| y.to_bits() == steps(n).to_bits())")
            assert same == "true"
    finally:
        stop.set()
        thread.join()
    assert killed, "nothing was killed while the maps ran"


def test_what_each_engine_did_is_told_on_request(maps):
    maps.run("%map --chunk 10 |x| { std::thread::sleep(std::time::Duration::from_millis(1)); x } over 0..200").ok()
    assert "busy" not in maps.run("%pxresult").ok().text
    reply = maps.run("%pxresult --each").ok()
    head, *rows = [line.split() for line in reply.displays[-1]["text/plain"].splitlines()]
    assert head == ["engine", "items", "busy", "rate", "failed", "deaths"]
    assert sum(int(row[1]) for row in rows) == 200 and "<table>" in reply.html[-1]


def kept(maps):
    """How much each engine has as `kk`."""
    maps.run("%px let n: usize = kk.len();").ok()
    return json.loads(value(maps, "px::pull!(n)?"))


@pytest.mark.parametrize("over", ["0..40u64", "each mine"])
def test_results_that_stay_do_so_on_all_engines_or_none(maps, over):
    maps.run("%px let kk = vec![String::from(\"old\"); 2]; let mine: Vec<u64> = (0..10).map(|n| n + 10 * px::rank() as u64).collect();").ok()
    nap = "std::thread::sleep(std::time::Duration::from_millis(20));"
    before = kept(maps)
    assert before == [2, 2, 2, 2]
    for flags in ["", "-a "]:
        failed = maps.run(f"%map {flags}--keep --chunk 1 -o kk |x| {{ {nap} assert!(x != 39); x }} over {over}")
        if flags:
            failed = maps.run("%pxresult")
        assert "39" in failed.failed().text and "pxresult" not in failed.text, failed.text
        assert kept(maps) == before, "after a failure"
    reply = maps.send(f'%map --keep --chunk 1 -o kk |x| {{ if x == 1 {{ println!("under way") }} {nap * 50} x }} over {over}')
    maps.wait_for_text(reply, "under way")
    maps.interrupt()
    maps.wait(reply)
    assert "interrupted" in reply.failed().text
    assert kept(maps) == before, "after an interrupt"
    assert "has given none" in maps.run("%pxresult --partial").failed().text
    maps.run(f"%map --keep -o kk |x| x over {over}").ok()
    assert sum(kept(maps)) == 40
    assert "old" not in maps.run("%px kk").ok().text


def test_a_cell_that_uses_what_stays_runs_behind_its_map(maps):
    maps.run("%map -a --keep -o kk |x| { std::thread::sleep(std::time::Duration::from_millis(10)); x } over 0..40u64").ok()
    assert sum(kept(maps)) == 40


def test_what_is_said_of_what_a_failed_map_has_done(maps):
    maps.run("let v = vec![1, 2, 3];").ok()
    failed = maps.run("%map |i| v[i] over 0..4usize").failed().text
    assert re.search(r"[0-3] of 4 items were done; `%pxresult --partial` shows them", failed), failed
    failed = maps.run('px::map(|i: u64| if i == 3 { panic!("three") } else { i }, 0..4u64).sum()?').failed().text
    assert "three" in failed and re.search(r"[0-3] of 4 items were done\n?", failed) and "pxresult" not in failed, failed


def test_each_cell_shows_its_own_maps_results(maps):
    def ended():
        # To ask the handle would be to hear of the end.
        processes.wait_until("the map to end", lambda: "running" not in maps.run("%tasks").ok().text, 20)

    maps.run("%map -a -o g |x| x + 7000 over 0..30u64").ok()
    ended()
    maps.run("%map -a -o g |x| x + 8000 over 0..3u64").ok()
    said = maps.run("%pxresult").text
    assert "`g` isn't the handle of this map any more" in said, said
    assert said.count("[8000, 8001, 8002]") == 1, said
    maps.run("%map -a -o w |x| x + 9000 over 0..3u64").ok()
    ended()
    maps.run("let w = 5;").ok()
    assert "`w` isn't the handle of this map any more" in maps.run("%pxresult").text


def test_engines_are_named_that_lack_what_is_to_be_mapped_there(maps):
    maps.run("%px -t 1-2 let lonely = vec![1, 2, 3];").ok()
    failed = maps.run("%map |x| x over each lonely").failed().text
    assert "engines 0,3 lack `lonely`, which engines 1-2 have" in failed and "`-t 1-2`" in failed, failed
    maps.run("%map -t 1-2 |x| x over each lonely").ok()
    assert "-t 1-2" in maps.run("%px lonely.len()").failed().text
    maps.run("%px -t 1-2 lonely.len()").ok()


def test_errors_have_their_places_or_are_refused(maps):
    maps.run("fn odd(x: u64) -> u64 { assert!(x % 2 == 1); x }").ok()
    assert value(maps, "px::map(odd, 0..10u64).collect_errors()?.iter().filter(|it| it.is_ok()).count()") == "5"
    keep = "px::map(odd, 0..10u64).on_error(px::OnError::Keep)"
    assert value(maps, f"{keep}.collect_errors()?.len()") == "10"
    for end in ["collect()", "sum()", "keep(px::var!(odds))"]:
        said = maps.run(f"{keep}.{end}?").failed().text
        assert "`.collect_errors()?`" in said and "`OnError::Skip`" in said, said
    assert value(maps, "px::map(odd, 0..10u64).on_error(px::OnError::Skip).sum()?") == "25"
