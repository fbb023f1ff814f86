"""What stays on engines, what has arrived by now, functions for any type that travels, and values that are put once: docs/loops.md."""

import pathlib
import re
import time

import pytest


def result(reply):
    (data,) = reply.results
    return data["text/plain"]


@pytest.fixture
def parts(cluster):
    """Three of four engines, each with a `part` of its own."""
    cluster.run("%px let mut part: Vec<f64> = vec![px::rank() as f64; 3];").ok()
    cluster.run("let e = px::engines().on([0, 1, 2]);").ok()
    return cluster


def test_a_started_map_keeps_its_results_and_names_them_when_all_are_there(parts):
    parts.run(
        """
        struct Own(u64);
        let first = px::map(Own, 0..60u64).on(&e).start().keep(px::var!(owns))?;
        let second = px::map(|n: u64| n, 0..60u64).on(&e).start().keep(px::var!(owns))?;
        """
    ).ok()
    assert "no variable `owns`" in parts.run("e.with(px::var!(owns)).each(|owns: &Vec<Own>| owns.len())?").failed().text
    early = parts.run("first.partial()?").failed().text
    assert "results that stay on the engines get their name when all are there: `get()` waits for that" in early
    parts.run("first.get()?; first.get()?;").ok()
    sums = "e.with(px::var!(owns)).each(|owns: &Vec<Own>| owns.iter().map(|own| own.0).sum::<u64>())?.iter().sum::<u64>()"
    assert result(parts.run(sums).ok()) == "1770"
    parts.run("second.get()?;").ok()
    assert result(parts.run("let numbers: Vec<u64> = e.gather(px::var!(owns))?;\nnumbers.iter().sum::<u64>()").ok()) == "1770"
    assert "Out[" in parts.run("%px -t 0:3 owns.len()").ok().text, "a cell of the engines sees it"


def test_a_started_map_that_fails_or_loses_results_names_nothing(parts):
    parts.run("px::map(|n: u8| n, 0..30).on(&e).keep(px::var!(mine))?;").ok()
    there = "e.with(px::var!(mine)).each(|mine: &Vec<u8>| mine.clone())?"
    before = result(parts.run(there).ok())
    failed = parts.run("let h = px::map(|n: u8| { assert!(n < 90); n }, 0..100u8).on(&e).start().keep(px::var!(mine))?;\nh.get()?;").failed()
    # Which of those that fail is told depends on who was first.
    assert re.search(r"item 9\d", failed.text) and result(parts.run(there).ok()) == before
    # An engine's worker is another one before the results have their name.
    parts.run("let lost = px::map(|n: u8| n, 0..100u8).chunk(1).on(&e).start().keep(px::var!(mine))?;\nwhile !lost.done() {}").ok()
    parts.run("%cluster restart -t 1").ok()
    gone = parts.run("lost.get()?;").failed()
    assert "what engines kept for `mine` is gone with a worker" in gone.text
    after = parts.run("e.on([0, 2]).with(px::var!(mine)).each(|mine: &Vec<u8>| mine.clone())?").ok()
    assert all(part in before for part in re.findall(r"\[[\d, ]+\]", result(after)))


def test_a_started_map_is_ended_by_its_own_code_however_many_cells_ran_since(parts, tmp_path):
    gone = tmp_path / "gone"
    gone.write_text("")
    parts.run(
        f"""
        struct Told;
        impl Drop for Told {{
            fn drop(&mut self) {{
                use std::io::Write;
                std::fs::OpenOptions::new().append(true).open("{gone}").unwrap().write_all(b".").unwrap();
            }}
        }}
        let late = px::map(|n: u64| n, 0..60u64).on(&e).start().keep(px::var!(late))?;
        let never = px::map(|n: u64| Told, 0..9u64).on(&e).start().keep(px::var!(never))?;
        while !never.done() {{}}
        """
    ).ok()
    for n in range(20):
        parts.run(f"let between = {n};").ok()
    parts.run("late.get()?;").ok()
    assert result(parts.run("e.gather(px::var!(late))?.iter().sum::<u64>()").ok()) == "1770"
    assert gone.read_text() == ""
    parts.run("drop(never);").ok()
    end = time.monotonic() + 10
    while gone.read_text() != "." * 9 and time.monotonic() < end:
        time.sleep(0.05)
    assert gone.read_text() == "." * 9, "engines let go of them"


def test_what_a_function_returns_stays_as_a_variable_of_each_engine(parts):
    reply = parts.run(
        """
        struct Model { weights: Vec<f64>, file: std::fs::File }
        fn train(part: &mut Vec<f64>, rate: &f64) -> Model {
            part.extend([*rate]);
            Model { weights: part.iter().map(|x| x * rate).collect(), file: std::fs::File::open("/dev/null").unwrap() }
        }
        e.with((px::var!(mut part), &2.0)).keep(px::var!(model), train)?;
        e.keep(px::var!(begun), || std::time::Instant::now())?;
        e.with((px::var!(model), px::var!(begun))).each(|m: &Model, at: &std::time::Instant| {
            let _ = (&m.file, at.elapsed());
            m.weights.clone()
        })?
        """
    ).ok()
    assert result(reply) == "[[0.0, 0.0, 0.0, 4.0], [2.0, 2.0, 2.0, 4.0], [4.0, 4.0, 4.0, 4.0]]"
    assert "Out[0-2" in parts.run("%px -t 0:3 model.weights.len()").ok().text
    # All or nothing.
    failed = parts.run('e.keep(px::var!(model), || { if px::rank() == 1 { panic!("no") } 7u8 })?;').failed()
    assert "`keep()` failed on engine 1: no" in failed.text and "the other 2 returned" in failed.text
    assert result(parts.run("e.with(px::var!(model)).each(|m: &Model| m.weights.len())?").ok()) == "[4, 4, 4]"
    parts.run("%px -t 0:3 drop(model);").ok()
    lost = parts.run('e.keep(px::var!(model), || { if px::rank() == 1 { std::process::abort() } 7u8 })?;').failed()
    assert "failed on engine 1" in lost.text
    assert "no variable `model`" in parts.run("e.with(px::var!(model)).each(|m: &u8| *m)?").failed().text
    other = parts.run("e.with(px::var!(part)).keep(px::var!(n), |part: &Vec<u8>| part.len())?;").failed().text
    assert "mismatched types" in other and "Vec<f64>" in other


def test_partial_gives_what_has_arrived_at_once(cluster, tmp_path):
    gate = tmp_path / "gate"
    cluster.run(
        f"""
        fn some(n: u64) -> u64 {{
            while n % 10 == 9 && !std::path::Path::new("{gate}").exists() {{ std::thread::yield_now(); }}
            n
        }}
        """
    ).ok()
    # How far they are is shown later.
    start = "let all = px::map(some, 0..40u64).chunk(1).start().collect()?;\nlet sum = px::map(|n: u64| n, 0..100u64).start().sum()?;"
    cluster.run(start, background=True).ok()
    begun = time.monotonic()
    reply = cluster.run(
        "let mut so_far = all.partial()?;\nwhile so_far.len() < 5 { so_far = all.partial()?; }\n(all.done(), so_far.is_sorted(), so_far.iter().all(|n| n % 10 != 9))"
    ).ok()
    assert result(reply) == "(false, true, true)" and time.monotonic() - begun < 30
    cluster.run("all.cancel();\nlet _ = all.get();")
    after = cluster.run("let some = all.partial()?;\n(some.len() >= so_far.len(), some.len() < 40, all.done())").ok()
    assert result(after) == "(true, true, true)"
    gate.write_text("")
    assert result(cluster.run("(sum.get()?, sum.partial()?)").ok()) == "(4950, 4950)"
    failed = cluster.run("let h = px::map(|n: u64| 1 / (n % 7 - 6), 0..7u64).chunk(1).start().collect()?;\nlet why = h.get();\n(why.is_err(), h.partial()?.len() < 7)")
    assert result(failed.ok()) == "(true, true)"


def test_a_function_of_the_notebooks_takes_any_type_that_travels(cluster):
    cluster.run(
        """
        fn same<T: px::Wire>(x: T) -> T { x }
        fn first<T: px::Wire + Clone + Send + Sync>(all: px::Ref<Vec<T>>) -> T { all[0].clone() }
        fn there_and_back<T: px::Wire>(x: &T) -> Result<T, px::Error> { px::call!(same::<T>, x).get() }
        fn all_there<T: px::Wire + Sync + Send + Clone>(xs: &Vec<T>) -> Result<Vec<T>, px::Error> { px::map(same::<T>, xs).collect() }
        fn shared<T: px::Wire + Clone + Send + Sync>(xs: &Vec<T>) -> Result<T, px::Error> { px::call!(first::<T>, px::put(xs)).get() }
        """
    ).ok()
    code = 'let words = vec!["a".to_string(), "b".to_string()];\n(there_and_back(&(1, 0.5))?, all_there(&words)?, shared(&words)?)'
    assert result(cluster.run(code).ok()) == '((1, 0.5), ["a", "b"], "a")'
    unsent = cluster.run("struct Unsent;\nthere_and_back(&Unsent)?;").failed().text
    assert "`Unsent` can't travel between the notebook and its engines" in unsent


def test_what_is_put_once_is_read_by_many_as_the_guide_says(cluster):
    guide = (pathlib.Path(__file__).parents[2] / "docs/loops.md").read_text()
    (example,) = [code for code in re.findall(r"```rust\n(.*?)```", guide, re.S) if "px::put(" in code]
    assert result(cluster.run(example).ok()) == "(4950.0, 4950.0)"
    late = cluster.run("let h = { let t = px::put(&vec![7u8]); px::call!(|t: px::Ref<Vec<u8>>| t[0], &t) };\nh.get()?").ok()
    assert result(late) == "7", "a call holds what it was given"


def test_a_map_says_when_it_uses_an_older_variable_than_the_notebooks(cluster):
    cluster.run("let k = 2;\n%push k").ok()
    quiet = cluster.run("%map |x: i32| x * k over 0..3").ok()
    assert "[0, 2, 4]" in quiet.text and "notebook" not in quiet.stderr
    cluster.run("let k = 5;").ok()
    told = cluster.run("%map |x: i32| x * k over 0..3").ok()
    assert "[0, 2, 4]" in told.text
    assert "the function uses the engines' `k`, and the notebook has defined its own `k` since: `%push k` gives them that one" in told.stderr
    cluster.run("%push k").ok()
    newer = cluster.run("%map |x: i32| x * k over 0..3").ok()
    assert "[0, 5, 10]" in newer.text and "since" not in newer.stderr
    cluster.run("let k = 7;\npx::push!(k)?;").ok()
    pushed = cluster.run("%map |x: i32| x * k over 0..3").ok()
    assert "[0, 7, 14]" in pushed.text and "since" not in pushed.stderr


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("px::call!(|x: u64| x, undefined)", "cannot find value `undefined`"),
        ("px::call!(|x: u64| x, vec![1u64].missing())", "no method named `missing`"),
        ("px::map(|x: u64| x, px::over!(undefined)).sum()?", "cannot find value `undefined`"),
        ('px::call!(|x: u64| x, "5".parse().unwrap())', "type annotations needed"),
        ("px::engines().with(5).each(|k: &i32| *k)?", "`{integer}` can't be given to a function on engines"),
        ("px::map_with(2, |k, x: u64| k * x, 0..9u64).sum()?", "`{integer}` can't be given to a map's function"),
        ("px::map(|x: &u64| x + 1, 0..9u64).sum()?", "a map's function gets its items by value"),
        ("{ struct Unsent; px::map(|x: u64| Unsent, 0..9u64).collect()? }", "can't travel between the notebook and its engines"),
        ("px::push!(1 + 2)?", "`px::push!` takes variables of the notebook"),
        ('px::pull!("part")?', "`px::pull!` takes the name of one variable of the engines"),
        ("px::call!()", "`px::call!` takes a function and what it is called with"),
    ],
)
def test_a_mistake_is_said_once_and_in_the_users_words(cluster, code, said):
    text = cluster.run(f"let it = {code};").failed().text.split("CompileError")[0]
    assert said in text and len(re.findall(r"^error", text, re.MULTILINE)) == 1, text
    assert "multiple `" not in text and "px::task::args" not in text


def test_names_of_a_table_that_are_too_many_are_an_error(kernel):
    failed = kernel.run('px::Table::new([(1, 2)]).names(["a", "b", "c"])').failed().text
    assert "the table has no column for the name `c`: its 2 columns are `0`, `1`" in failed and "cell line 1" in failed
