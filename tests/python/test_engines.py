"""`px::engines()`: functions on engines, with the engines' own variables, in loops and functions of the notebook's Rust."""

import os
import re
import subprocess
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


def there(kernel, engines="e"):
    """What these engines have as `part`."""
    return result(kernel.run(f"{engines}.with(px::var!(part)).each(|part: &Vec<f64>| part.clone())?").ok())


def test_a_loop_over_engines_keeps_their_state(parts):
    reply = parts.run(
        """
        fn step(part: &mut Vec<f64>, rate: &f64) -> f64 {
            part.iter_mut().for_each(|x| *x += rate);
            part.iter().sum()
        }
        let mut sums = vec![];
        for k in 0..10 {
            sums = e.with((px::var!(mut part), &f64::from(k))).each(step)?;
        }
        sums
        """
    ).ok()
    assert result(reply) == "[135.0, 138.0, 141.0]"
    assert there(parts) == "[[45.0, 45.0, 45.0], [46.0, 46.0, 46.0], [47.0, 47.0, 47.0]]"
    assert "[45.0, 45.0, 45.0]" in parts.run("%px -t 0 part").ok().text, "a cell of the engines sees it"


def test_k_means_is_what_it_is_in_one_process(cluster):
    reply = cluster.run(
        """
        type Point = (f64, f64);
        let points: Vec<Point> = (0..900).map(|k| {
            let (x, y) = (f64::from(k % 3) * 10.0, f64::from(k % 7));
            (x + f64::from(k % 11) / 16.0, y / 8.0)
        }).collect();
        fn nearest(p: &Point, centers: &[Point]) -> usize {
            let far = |c: &Point| (p.0 - c.0).powi(2) + (p.1 - c.1).powi(2);
            (0..centers.len()).min_by(|a, b| far(&centers[*a]).total_cmp(&far(&centers[*b]))).unwrap()
        }
        fn tally(part: &Vec<Point>, centers: &Vec<Point>) -> Vec<(f64, f64, u64)> {
            let mut sums = vec![(0.0, 0.0, 0); centers.len()];
            for p in part {
                let s = &mut sums[nearest(p, centers)];
                (s.0, s.1, s.2) = (s.0 + p.0, s.1 + p.1, s.2 + 1);
            }
            sums
        }
        fn moved(all: &[Vec<(f64, f64, u64)>]) -> Vec<Point> {
            (0..all[0].len()).map(|k| {
                let (x, y, n) = all.iter().map(|s| s[k]).fold((0.0, 0.0, 0), |a, b| (a.0 + b.0, a.1 + b.1, a.2 + b.2));
                (x / n as f64, y / n as f64)
            }).collect()
        }
        let start = points[..3].to_vec();
        """
    )
    reply.ok()
    cluster.run("%scatter points as cloud -t 0:3").ok()
    reply = cluster.run(
        """
        let (e, mut centers, mut alone) = (px::engines().on(0..3), start.clone(), start.clone());
        for _ in 0..10 {
            centers = moved(&e.with((px::var!(cloud), &centers)).each(tally)?);
            alone = moved(&points.chunks(300).map(|part| tally(&part.to_vec(), &alone)).collect::<Vec<_>>());
        }
        (centers == alone, centers.iter().map(|c| c.0.round()).collect::<Vec<_>>())
        """
    ).ok()
    assert result(reply) == "(true, [0.0, 10.0, 20.0])"


def test_a_panic_names_engine_and_line_and_undoes_what_was_changed(parts):
    reply = parts.run(
        "e.with(px::var!(mut part)).each(|part: &mut Vec<f64>| {\n"
        "    part.clear();\n"
        '    assert!(px::rank() != 1, "not here");\n'
        "})?"
    )
    assert "`each(part)` failed on engine 1: not here (cell line 3)\nthe other 2 returned" in reply.failed().text
    assert there(parts) == "[[], [1.0, 1.0, 1.0], []]"
    # Each of several calls in a row begins with what the one before has left.
    reply = parts.run(
        """
        let mut failed = 0;
        for k in 0..6 {
            let did = e.on([1]).with((px::var!(mut part), &k)).each(|part: &mut Vec<f64>, k: &i32| {
                part.push(f64::from(*k));
                if k % 2 == 0 { panic!("even") }
            });
            failed += u32::from(did.is_err());
        }
        failed
        """
    ).ok()
    assert result(reply) == "3"
    assert there(parts) == "[[], [1.0, 1.0, 1.0, 1.0, 3.0, 5.0], []]"


@pytest.mark.parametrize("end", ["std::process::abort();", "std::process::exit(3);", "unsafe { *(8 as *mut u8) = 1 };"])
def test_a_death_undoes_what_was_changed(parts, end):
    reply = parts.run(
        f"e.with(px::var!(mut part)).each(|part: &mut Vec<f64>| {{ part[0] = 9.0; if px::rank() == 2 {{ {end} }} }})?"
    ).failed()
    assert "`each(part)` failed on engine 2: " in reply.text
    assert there(parts) == "[[9.0, 0.0, 0.0], [9.0, 1.0, 1.0], [2.0, 2.0, 2.0]]"


def test_without_snapshots_a_failure_says_that_changes_stay(parts):
    parts.run("%snapshot off").ok()
    try:
        reply = parts.run("e.on([0]).with(px::var!(mut part)).each(|part: &mut Vec<f64>| -> u8 { part.clear(); panic!(\"so\") })?")
        assert "so; what it has changed stays changed, since there was no snapshot (cell line 1)" in reply.failed().text
        assert there(parts) == "[[], [1.0, 1.0, 1.0], [2.0, 2.0, 2.0]]"
    finally:
        parts.run("%snapshot on").ok()


def test_an_interrupt_ends_all_and_undoes_it(parts):
    reply = parts.send("e.with(px::var!(mut part)).each(|part: &mut Vec<f64>| -> u8 { part.clear(); println!(\"in\"); loop {} })?")
    parts.wait_for_text(reply, "in", times=3)
    parts.interrupt()
    begun = time.monotonic()
    assert "cancelled" in parts.wait(reply).failed().text
    assert time.monotonic() - begun < 5
    assert there(parts) == "[[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [2.0, 2.0, 2.0]]"


def test_what_engines_lack_is_said_of_each(parts):
    parts.run("%px -t 1 let only = 5u8; let part = 1.5f32;").ok()
    missing = parts.run("e.with(px::var!(only)).each(|only: &u8| *only)?").failed().text
    assert "not all engines have a variable `only`: engines 0,2 have none; nothing was called" in missing
    assert "`px::engines().on([1])`" in missing
    other = parts.run("e.with(px::var!(mut part)).each(|part: &mut Vec<f64>| part.clear())?").failed().text
    assert "`part` are of different types: `Vec<f64>` on engines 0,2, `f32` on engine 1; nothing was called" in other
    # Where the cell plainly works with all, that is a mistake in it, at the name.
    for plain in ("px::engines().with((px::var!(only), &1)).each(|only: &u8, _: &i32| *only)?", "let all: Vec<u8> = px::pull!(only)?;"):
        text = parts.run(plain).failed().text
        assert "not all engines have a variable `only`" in text and "^^^^ engines 0,2-3 have none" in text, text
    parts.run("%px let odd = 1u8;").ok()
    parts.run("%px -t 1 let odd = 1f32;").ok()
    mixed = parts.run("let two = 2;\npx::engines().with((px::var!(odd), &two)).each(|odd: &u8, two: &i32| *odd)?").failed().text
    assert "`f32` on engine 1, `u8` on engines 0,2-3" in mixed and "line 2" in mixed, mixed
    assert there(parts, "e.on([0, 2])") == "[[0.0, 0.0, 0.0], [2.0, 2.0, 2.0]]"
    # A function of the notebook isn't looked into; then engines say it.
    parts.run("fn reads() -> Result<Vec<u8>, px::Error> { px::engines().with(px::var!(only)).each(|only: &u8| *only) }").ok()
    said = parts.run("reads()?").failed().text
    assert "engine 0 has no variable `only`; the function wasn't called there" in said and "the other 1 returned" in said
    parts.run("fn of_all() -> Result<Vec<u8>, px::Error> { px::engines().with(px::var!(odd)).each(|odd: &u8| *odd) }").ok()
    assert "`odd` isn't a `u8` on engine 1, which is what the function takes" in parts.run("of_all()?").failed().text
    assert result(parts.run("e.on([1]).with((px::var!(only), px::var!(part))).each(|a: &u8, b: &f32| f32::from(*a) + b)?").ok()) == "[6.5]"


def test_a_type_is_one_however_it_is_written(parts):
    parts.run("let named = std::collections::HashMap::from([(1u8, 2.0)]); px::engines().on([0]).push(px::var!(named), &named)?;").ok()
    parts.run("%px -t 1,2,3 use std::collections::HashMap; let named: HashMap<u8, f64> = HashMap::new();").ok()
    reply = parts.run("px::engines().with(px::var!(named)).each(|named: &std::collections::HashMap<u8, f64>| named.len())?").ok()
    assert result(reply) == "[1, 0, 0, 0]"
    parts.run("type Meters = f64;").ok()
    parts.run("%px -t 0 let far: Meters = 1.0;").ok()
    parts.run("%px -t 1,2,3 let far = 1.0;").ok()
    assert result(parts.run("px::engines().with(px::var!(far)).each(|far: &f64| *far)?").ok()) == "[1.0, 1.0, 1.0, 1.0]"


def test_what_engines_are_to_get_need_not_be_there(parts):
    parts.run("%px -t 0 let total = 1u8;").ok()
    parts.run("let to = px::var!(total); px::engines().push(to, &7u8)?;").ok()
    assert result(parts.run("px::engines().with(px::var!(total)).each(|total: &u8| *total)?").ok()) == "[7, 7, 7, 7]"
    # A macro may have picked engines.
    parts.run("%px -t 0 let alone = 1u8;").ok()
    parts.run("macro_rules! first { () => { px::engines().on([0]) } }").ok()
    assert result(parts.run("first!().with(px::var!(alone)).each(|alone: &u8| *alone)?").ok()) == "[1]"


def test_views_name_engines(parts):
    assert result(parts.run("(e.ids(), e.len(), e.on([2, 0]).ids())").ok()) == "([0, 1, 2], 3, [0, 2])"
    assert result(parts.run("e.on([2, 0]).each(|| (px::rank(), px::size()))?").ok()) == "[(0, 2), (1, 2)]"
    assert "there is no engine 7 among engines 0, 1 and 2" in parts.run("e.on([7]).each(|| 1)?").failed().text


def test_started_functions_are_waited_for_as_they_come(parts):
    reply = parts.run(
        """
        let slow = e.start(|| {
            std::thread::sleep(std::time::Duration::from_millis(if px::rank() == 0 { 700 } else { 10 }));
            px::rank()
        })?;
        println!("{}", slow.done());
        let got: Vec<_> = slow.map(|(id, r)| (id, r.unwrap())).collect();
        (got[2], got.len())
        """
    ).ok()
    assert reply.stdout == "false\n" and result(reply) == "((0, 0), 3)"
    reply = parts.run(
        """
        let endless = e.with(px::var!(mut part)).start(|part: &mut Vec<f64>| -> u8 { part.clear(); loop {} })?;
        endless.cancel();
        endless.get()
        """
    ).ok()
    assert "was cancelled" in result(reply)
    assert there(parts).startswith("[[0.0, 0.0, 0.0]")


def test_large_values_go_and_come_back(parts):
    reply = parts.run(
        """
        let xs: Vec<f64> = (0..400_000).map(f64::from).collect();
        let back = e.with(&xs).each(|xs: &Vec<f64>| xs.iter().rev().copied().collect::<Vec<f64>>())?;
        back.iter().map(|b| b.len() as f64 + b[0]).sum::<f64>()
        """
    ).ok()
    assert result(reply) == "2399997.0"


def test_mistakes_are_rustcs_at_the_users_place(parts):
    captured = parts.run("let k = 3.0;\ne.with(px::var!(mut part)).each(|part: &mut Vec<f64>| part.push(k))?").failed()
    assert "or a closure that captures nothing: it captures `k`" in captured.text
    assert "cell line 2" in captured.text
    shared = parts.run("e.with(px::var!(part)).each(|part: &mut Vec<f64>| part.clear())?").failed()
    assert "types differ in mutability" in shared.text
    value = parts.run("e.with((px::var!(part), 0.5)).each(|part: &Vec<f64>, x: &f64| *x)?").failed()
    assert "can't be given to a function on engines" in value.text and "`&0.5`" in value.text
    name = parts.run("e.with(px::var!(part[0])).each(|x: &f64| *x)?").failed()
    assert "`px::var!` takes the name of a variable of the engines" in name.text
    twice = parts.run("e.with((px::var!(mut part), px::var!(part))).each(|a: &mut Vec<f64>, b: &Vec<f64>| a.len() + b.len())?")
    assert "`part` is given to the function twice" in twice.failed().text


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("for k in 0..3 {\n    %push xs\n}", "`%push xs` is a magic, and can't stand inside of Rust\n --> cell line 2, column 5"),
        ("for k in 0..3 {\n    %push xs\n}", "from Rust it is `px::push!(xs)?`"),
        ("fn f() { %px px::rank() + 1 }", "`px::engines().each(|| px::rank() + 1)?`"),
        ("let s = %map --sum |x: f64| x * 2.0 over xs;", "`px::map(|x: f64| x * 2.0, &xs).sum()?`"),
        ("if true { %cluster status }", "outside of Rust's blocks: `%cluster` above or below them"),
    ],
)
def test_a_magic_inside_of_rust_is_told_what_it_is_there(cluster, cell, said):
    assert said in cluster.run(cell).failed().text


def test_a_variable_that_no_engine_has_is_an_error_at_its_name(parts):
    parts.run("let here = 5;").ok()
    text = parts.run("for _ in 0..2 {\n    e.with((px::var!(part), px::var!(nowhere))).each(|a: &u8, b: &u8| a + b)?;\n}").failed().text
    assert "error: the engines have no variable `nowhere`\n --> cell line 2, column 38" in text, text
    assert "`px::push!(here)?` copies it there" in parts.run("e.with(px::var!(here)).each(|x: &i32| *x)?").failed().text
    # What the cell itself gives them is there in time, and what one of the notebook's functions may give them, perhaps.
    assert result(parts.run("px::push!(here as soon)?;\ne.with(px::var!(soon)).each(|x: &i32| *x)?").ok()) == "[5, 5, 5]"
    parts.run("fn give(x: u8) -> Result<(), px::Error> { px::push!(x as given) }").ok()
    assert result(parts.run("give(3)?;\ne.with(px::var!(given)).each(|x: &u8| *x)?").ok()) == "[3, 3, 3]"


def test_the_types_of_engines_variables_are_known_to_rustc(parts):
    parts.run("#[derive(Clone, Debug, PartialEq)]\nstruct Own(u8);\n%px let mut owns = vec![Own(px::rank() as u8)]; let label = \"big\";").ok()
    said = parts.run("let e = px::engines();\ne.with((px::var!(owns), &0.5)).each(|a: &Vec<u8>, b: &f64| a.len())?").failed()
    assert "error[E0308]: mismatched types\n --> cell line 2, column 37" in said.text, said
    assert "expected fn pointer `for<'a, 'b> fn(&'a Vec<Own>, &'b {float}) -> _`" in said.text
    assert said.text.count("\n") < 20 and "CompileError: error[E0308]: mismatched types; closure has signature: `for<'a, 'b> fn(&'a Vec<u8>, &'b f64) -> usize`" in said.text
    said = parts.run("px::map(|x: u8| x, px::var!(owns)).count()?").failed().text
    assert "expected fn pointer `fn(Own) -> _`" in said, said
    assert "expected `Vec<u16>`, found `Vec<&str>`" in parts.run("let labels: Vec<u16> = px::pull!(label)?;").failed().text
    assert "no variable `nowhere`\n --> cell line 1, column 11" in parts.run("px::pull!(nowhere)?").failed().text

    # So a closure needn't say them, and nor need a variable.
    parts.run("for k in 1..3 {\n    e.with((px::var!(mut owns), &k)).each(|owns, k| owns.push(Own(*k)))?;\n}").ok()
    reply = parts.run("let sums = e.with(px::var!(owns)).each(|owns| owns.iter().map(|own| own.0).sum::<u8>())?;\nsums")
    assert result(reply.ok()) == "[3, 4, 5]"
    assert result(parts.run('let labels = px::pull!(label)?;\nlabels.join(" ")').ok()) == '"big big big big"'
    assert result(parts.run("px::map(|own| own.0, px::var!(owns)).sum()?").ok()) == "15"


def test_a_type_that_may_change_before_it_is_used_is_the_functions_word(parts):
    parts.run("#[derive(Clone, Debug)]\nstruct Named<'a> { name: &'a str }\nlet xs = vec![1u8, 2, 3];").ok()
    # What the cell itself gives engines, also by a function.
    code = "px::push!(xs as part)?;\npx::engines().with(px::var!(part)).each(|part: &Vec<u8>| part.len())?"
    assert result(parts.run(code).ok()) == "[3, 3, 3, 3]"
    parts.run("fn give(x: &[f32]) -> Result<(), px::Error> { px::engines().scatter(px::var!(part), x) }").ok()
    code = "give(&[0.5; 8])?;\npx::engines().with(px::var!(part)).each(|part: &Vec<f32>| part.len())?"
    assert result(parts.run(code).ok()) == "[2, 2, 2, 2]"
    # A type whose name in the account isn't one in Rust's aliases.
    parts.run('%px let named = Named { name: "x" };').ok()
    assert result(parts.run("e.with(px::var!(named)).each(|n: &Named<'static>| n.name.len())?").ok()) == "[1, 1, 1]"
    # An edit takes the variables that are of the type.
    parts.run("struct Own(u8);\n%px let own = Own(1);").ok()
    lost = parts.run("struct Own { x: u8 }\ne.with(px::var!(own)).each(|own: &Own| own.x)?").failed().text
    assert "`own`" in lost and "Own" in lost, lost
    # The same text with a variable of another type is another cell.
    parts.run("%px let k = 1u8;").ok()
    assert result(parts.run("px::pull!(k)?").ok()) == "[1, 1, 1, 1]"
    parts.run("%px let k = 0.5f64;").ok()
    assert result(parts.run("px::pull!(k)?").ok()) == "[0.5, 0.5, 0.5, 0.5]"


def test_a_map_stands_in_a_function_and_a_loop(cluster):
    reply = cluster.run(
        """
        let points: Vec<f64> = (0..1000).map(f64::from).collect();
        fn total(points: &[f64], k: f64) -> Result<f64, px::Error> {
            px::map_with((&k,), |(k,), x: f64| k * x, points).chunk(50).sum()
        }
        let mut sums = vec![];
        for k in 1..4 { sums.push(total(&points, f64::from(k))?); }
        let large = px::map(|x: f64| x.sqrt(), &points).filter(|r| *r > 31.5).on(&px::engines().on([1, 3]));
        (sums, large.count()?, px::map(|n: u64| n, 0..10).reduce(|a, b| a * 10 + b)?)
        """
    ).ok()
    assert result(reply) == "([499500.0, 999000.0, 1498500.0], 7, Some(123456789))"


def test_a_map_from_rust_has_the_magics_options_and_errors(cluster):
    failed = cluster.run("px::map(|x: u64| {\n    assert!(x != 500, \"no\");\n    x\n}, 0..1000u64).sum()?").failed()
    assert "item 500" in failed.text and "failed on engine" in failed.text and "cell line 2" in failed.text
    kept = cluster.run("px::map(|x: u64| 10 / (x % 4), 0..6u64).on_error(px::OnError::Keep).collect_errors()?").ok()
    assert result(kept).startswith('[Err("attempt to divide by zero"), Ok(10), Ok(5), Ok(3), Err(')
    limit = "px::map(|x: u64| if x == 3 { loop {} } else { x }, 0..6u64).timeout(0.5).retries(0).collect()?"
    assert "took longer than 0.5 s" in cluster.run(limit).failed().text
    reply = cluster.run(
        """
        let slow = px::map(|x: u64| { std::thread::sleep(std::time::Duration::from_millis(300)); x }, 0..6).label("slow");
        let handle = slow.start().collect()?;
        (handle.done(), handle.get()?)
        """
    ).ok()
    assert result(reply) == "(false, [0, 1, 2, 3, 4, 5])"
    assert "slow (6 of 6 items)" in cluster.run("%tasks").ok().text
    captured = cluster.run("let k = 2;\npx::map(|x: i32| x * k, 0..3).sum()?").failed()
    assert "it captures `k`" in captured.text
    other = cluster.run("px::map(|x: f64| x, [1.0].iter().rev()).sum()?").failed()
    assert "`px::over!(..)` makes items of everything that can be iterated" in other.text


def test_engines_are_started_when_there_are_none(own_kernel):
    assert int(result(own_kernel.run("px::engines().len()").ok())) >= 2


def test_variables_outlive_the_death_of_a_call_after_another_call(parts):
    """A call changes no variables, so the snapshot of before it stays good."""
    parts.run("for _ in 0..3 { px::call!(|| 1, { on: 0 }).get()?; }").ok()
    parts.run("px::call!(|| std::process::abort(), { on: 0 }).get()?").failed()
    assert there(parts).startswith("[[0.0, 0.0, 0.0]")


def test_it_works_in_functions_and_later_cells(parts):
    parts.run(
        """
        fn total(e: &px::Engines) -> Result<f64, px::Error> {
            Ok(e.with(px::var!(part)).each(|part: &Vec<f64>| part.iter().sum::<f64>())?.iter().sum())
        }
        """
    ).ok()
    assert result(parts.run("total(&e)?").ok()) == "9.0"


def test_variables_go_to_engines_and_come_back_in_a_loop(parts):
    parts.run(
        """
        let xs: Vec<f64> = (0..10).map(f64::from).collect();
        for k in 0..3 {
            let centers = vec![(k, f64::from(k) / 2.0)];
            px::push!(centers, k as round)?;
        }
        px::scatter!(xs as slice)?;
        """
    ).ok()
    shown = parts.run("%px (centers.clone(), round, slice.len())").ok().text
    assert shown.count("([(2, 1.0)], 2, ") == 2 and "Out[1,3" in shown, shown
    reply = parts.run(
        """
        let slices: Vec<Vec<f64>> = px::pull!(slice)?;
        let back: Vec<f64> = px::gather!(slice)?;
        let rounds: Vec<i32> = px::pull!(round)?;
        let centers: Vec<Vec<(i32, f64)>> = px::engines().on([1]).pull(px::var!(centers))?;
        (slices.len(), back == xs, rounds, centers)
        """
    ).ok()
    assert result(reply) == "(4, true, [2, 2, 2, 2], [[(2, 1.0)]])"
    turns = parts.run("e.scatter_by_turns(px::var!(turn), &xs)?;\ne.pull(px::var!(turn))? as Vec<Vec<f64>>").ok()
    assert result(turns) == "[[0.0, 3.0, 6.0, 9.0], [1.0, 4.0, 7.0], [2.0, 5.0, 8.0]]"


def test_millions_of_numbers_go_through_rooms(parts):
    reply = parts.run(
        """
        let many: Vec<f64> = (0..1_500_000).map(f64::from).collect();
        e.push(px::var!(many), &many)?;
        let pulled = e.pull::<Vec<f64>>(px::var!(many))?;
        e.scatter(px::var!(some), &many)?;
        let gathered = e.gather::<f64>(px::var!(some))?;
        (pulled.iter().all(|it| *it == many), gathered == many, pulled.len())
        """
    ).ok()
    assert result(reply) == "(true, true, 3)"
    assert "Out[0-2:" in parts.run("%px -t 0:3 many.len() + some.len()").ok().text


def test_a_pushed_type_of_the_notebooks_is_known_to_engines_cells(parts):
    parts.run("#[derive(Clone, Debug, PartialEq)]\nstruct Own { at: Vec<f64> }").ok()
    parts.run(
        ':dep serde = { version = "1", features = ["derive"] }\n'
        "#[derive(serde::Serialize, serde::Deserialize, Clone, Debug)]\nstruct Sent { at: Vec<f64> }"
    ).ok()
    parts.run("let sent = Sent { at: vec![1.5] }; px::push!(sent)?;").ok()
    assert parts.run("%px sent.at[0] + 1.0").ok().text.startswith("Out[0-3:")
    # Objects of a notebook with serde consist of several units of code, in which functions must be found all the same.
    assert result(parts.run("px::map(|x: f64| x, px::var!(part)).on(&e).max()?").ok()) == "Some(2.0)"
    unsent = parts.run("let own = Own { at: vec![1.5] }; px::push!(own)?;").failed()
    assert "`Own` can't travel between the notebook and its engines" in unsent.text


def test_what_was_pushed_goes_with_the_worker(parts):
    parts.run("let kept = 7u8; px::push!(kept)?;").ok()
    parts.run("%cluster restart -t 1").ok()
    assert "`kept` was lost on engine 1" in parts.run("%px kept").failed().text
    assert parts.run("%px -t 0 kept").ok().text.endswith(": 7\n")
    missing = parts.run("let all: Vec<u8> = px::pull!(kept)?;").failed().text
    assert "not all engines have a variable `kept`" in missing and "engine 1 has none" in missing, missing


def test_a_map_goes_over_what_engines_have_and_leaves_results_there(parts):
    reply = parts.run(
        """
        let k = 3.0;
        let own = px::map_with((&k,), |(k,), x: f64| x * k, px::var!(part)).on(&e).collect()?;
        let most = px::map(|x: f64| x, px::var!(part)).on(&e).max()?;
        let failed = px::map(|x: f64| if x > 1.5 { panic!("large") } else { x }, px::var!(part)).on(&e).sum();
        (own, most, failed.unwrap_err().to_string())
        """
    ).ok()
    text = result(reply)
    assert text.startswith("([0.0, 0.0, 0.0, 3.0, 3.0, 3.0, 6.0, 6.0, 6.0], Some(2.0), ")
    assert "failed on engine 2: large" in text
    reply = parts.run(
        """
        px::map(|n: u64| (n, n.to_string()), 0..1000u64).on(&e).keep(px::var!(named))?;
        px::map(|x: f64| x + 0.5, px::var!(part)).on(&e).keep(px::var!(half))?;
        let mut all: Vec<(u64, String)> = e.gather(px::var!(named))?;
        all.sort();
        (all.len(), all[999].1.clone(), e.each(px::rank)?, px::map(|x: f64| x, px::var!(half)).on(&e).sum()?)
        """
    ).ok()
    assert result(reply) == '(1000, "999", [0, 1, 2], 13.5)'
    assert "[1.5, 1.5, 1.5]" in parts.run("%px -t 1 half").ok().text, "a cell of the engines sees it"


def test_a_map_that_fails_leaves_variables_as_they_are(parts):
    parts.run("px::map(|n: u8| n, 0..30).on(&e).keep(px::var!(mine))?;").ok()
    before = result(parts.run("e.with(px::var!(mine)).each(|mine: &Vec<u8>| mine.clone())?").ok())
    failed = parts.run("px::map(|n: u64| 1.0 / f64::from(n == 900), 0..1000u64).filter(|x| { assert!(*x > 1.0); true }).on(&e).keep(px::var!(mine))?;")
    failed.failed()
    assert result(parts.run("e.with(px::var!(mine)).each(|mine: &Vec<u8>| mine.clone())?").ok()) == before
    lost = parts.run("px::map(|n: u64| if n == 900 { std::process::abort() }, 0..1000u64).on(&e).keep(px::var!(mine))?;").failed()
    assert "died" in lost.text or "aborted" in lost.text
    assert result(parts.run("e.with(px::var!(mine)).each(|mine: &Vec<u8>| mine.clone())?").ok()) == before
    missing = parts.run("fn some() -> Result<f64, px::Error> { px::map(|x: f64| x, px::var!(nobody)).sum() }\nsome()?").failed()
    assert "has no variable `nobody`; the function wasn't called there" in missing.text


def test_engines_are_chosen_by_their_label(own_kernel):
    own_kernel.run("%cluster start -n 2 --label here").ok()
    assert result(own_kernel.run('px::engines().labelled("here").ids()').ok()) == "[0, 1]"
    assert "0 here" in own_kernel.run("%cluster status").ok().text
    none = own_kernel.run('px::engines().labelled("big").each(|| 1)?').failed().text
    assert "none of engines 0 and 1 has the label `big`; `%cluster status` shows labels" in none
    own_kernel.run("%cluster stop").ok()
    assert "such as big" in own_kernel.run("%cluster start --label 'a b'").failed().text


def test_engines_of_several_labels_are_in_one_cluster(chorus, kernels):
    chorus("start", "-n", "1", "--name", "lab", "--label", "big", "--no-record")
    # It ends with the cluster.
    command = [os.environ["CHORUS"], "engine", "--connect", "lab", "--label", "small"]
    with subprocess.Popen(command, env=chorus.env, stdin=subprocess.DEVNULL):
        status = chorus.wait_for_engines(2, "lab")
        assert [engine["info"]["label"] for engine in status["engines"]] == ["big", "small"]
        kernel = kernels()
        kernel.run("%cluster connect lab").ok()
        reply = kernel.run('let e = px::engines();\n(e.labelled("small").ids(), e.labelled("small").each(px::size)?, e.on([0]).labelled("small").each(px::rank).is_err())')
        assert result(reply.ok()) == "([1], [1], true)"
        chorus("stop", "lab")


def test_a_function_is_called_once_on_each_engine_also_after_a_death(parts, tmp_path):
    die = (
        "use std::io::Write; "
        "std::fs::File::options().create(true).append(true).open(path).unwrap().write_all(b\"x\").unwrap(); std::process::abort();"
    )
    parts.run(f'fn dies_alone(path: &str) {{ {die} }}\nfn dies_reading(_: &Vec<f64>, path: &str) {{ {die} }}').ok()
    assert "SIGABRT" in parts.run(f'e.on([0]).with("{tmp_path}/alone").each(dies_alone)?').failed().text
    assert "SIGABRT" in parts.run(f'e.on([0]).with((px::var!(part), "{tmp_path}/reads")).each(dies_reading)?').failed().text
    assert [len((tmp_path / name).read_text()) for name in ("alone", "reads")] == [1, 1]
