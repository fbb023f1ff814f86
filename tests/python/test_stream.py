"""`px::map(..).stream()`: a loop of the notebook takes results while engines make others."""

import re
import time

import pytest


def result(reply):
    (data,) = reply.results
    return data["text/plain"]


def test_results_come_as_they_arrive_with_their_numbers_or_in_order(cluster):
    reply = cluster.run(
        """
        let words: Vec<String> = (0..5000).map(|n| format!("w{n}")).collect();
        let mut seen = vec![0; words.len()];
        for (i, r) in px::map(|w: String| w + "!", &words).stream()? {
            assert_eq!(r?, format!("{}!", words[i]));
            seen[i] += 1;
        }
        let mut numbers = vec![];
        let k = 3;
        for (i, r) in px::map_with((&k,), |(k,), n: usize| n * k, 0..3000).filter(|r| r % 2 == 0).ordered(true).stream()? {
            numbers.push((i, r?));
        }
        (seen.iter().all(|n| *n == 1), numbers.len(), numbers.iter().enumerate().all(|(at, (i, r))| *i == 2 * at && *r == 6 * at))
        """
    ).ok()
    assert result(reply) == "(true, 1500, true)"


def test_the_first_result_is_there_before_the_last_is_made(cluster, tmp_path):
    gate = tmp_path / "gate"
    reply = cluster.run(
        f"""
        fn slow(n: u64) -> u64 {{
            while n == 1 && !std::path::Path::new("{gate}").exists() {{ std::thread::yield_now(); }}
            n
        }}
        let mut came = vec![];
        // They may be of one piece.
        for (i, r) in px::map(slow, 0..2u64).stream()? {{
            came.push(r?);
            std::fs::write("{gate}", "")?;
        }}
        came
        """
    ).ok()
    assert result(reply) == "[0, 1]"


COUNTED = """
fn counted(n: usize) -> Vec<u8> {{
    use std::io::Write;
    std::fs::OpenOptions::new().create(true).append(true).open("{file}").unwrap().write_all(b".").unwrap();
    vec![n as u8; 1 << 20]
}}
fn made() -> usize {{ std::fs::metadata("{file}").map_or(0, |file| file.len() as usize) }}
/// How many are made when no more are.
fn settled() -> usize {{
    let (mut last, mut since) = (made(), std::time::Instant::now());
    while since.elapsed().as_millis() < 700 {{
        if made() != last {{ (last, since) = (made(), std::time::Instant::now()); }}
        std::thread::yield_now();
    }}
    last
}}
"""


def test_engines_rest_while_a_slow_loop_has_results_waiting(cluster, tmp_path):
    cluster.run(COUNTED.format(file=tmp_path / "made")).ok()
    reply = cluster.run(
        """
        let (mut first, mut taken) = (0, 0);
        for (i, r) in px::map(counted, 0..400).stream()? {
            assert!(r?.iter().all(|byte| *byte == i as u8));
            if taken == 0 { first = settled(); }
            taken += 1;
        }
        (first, taken, made())
        """
    ).ok()
    first, taken, made = eval(result(reply))
    assert 16 <= first < 200, "16 MiB wait, and what engines had begun"
    assert (taken, made) == (400, 400)
    # In order, with the first item last.
    reply = cluster.run(
        """
        fn first_is_late(n: usize) -> Vec<u8> {
            if n == 0 { settled(); }
            counted(n)
        }
        let (before, mut at_first, mut all) = (made(), 0, vec![]);
        for (i, r) in px::map(first_is_late, 0..300).ordered(true).stream()? {
            if i == 0 { at_first = made() - before; }
            all.push(i == all.len() && r?[0] == i as u8);
        }
        (at_first, all.len(), all.iter().all(|it| *it))
        """
    ).ok()
    at_first, *rest = eval(result(reply).replace("true", "True"))
    assert at_first < 200 and rest == [300, True]


def test_a_loop_that_ends_early_ends_the_map(cluster):
    reply = cluster.run(
        """
        let mut found = 0;
        for (i, r) in px::map(|n: u64| n, 0..u64::MAX).label("endless").stream()? {
            if r? == 12345 { found = i; break; }
        }
        found
        """
    ).ok()
    assert result(reply) == "12345"
    assert "7" in cluster.run("%px 7").ok().text
    # An item that is at work then doesn't hold up the engine either.
    cluster.run(
        """
        for (i, _) in px::map(|n: u64| if n > 0 { loop { std::hint::spin_loop() } }, 0..9u64).chunk(1).stream()? {
            println!("{i}");
            break;
        }
        """
    ).ok()
    assert "7" in cluster.run("%px 7").ok().text


def test_a_loops_body_may_have_the_engines_do_other_things(cluster):
    reply = cluster.run(
        """
        let (mut sums, mut engines) = (0, px::engines());
        for (i, r) in px::map(|n: u64| n, 0..u64::MAX).chunk(1).stream()? {
            let n = r? % 100;
            let inner = px::map_with((&n,), |(n,), k: u64| n * k, 0..3u64).sum()?;
            assert_eq!(inner, 3 * n);
            assert_eq!(engines.each(|| 1u64)?.iter().sum::<u64>(), 4);
            assert_eq!(px::call!(|n: u64| n + 1, n).get()?, n + 1);
            sums += 1;
            if sums == 20 { break; }
        }
        let pairs = px::map(|n: u64| n, 0..500u64).ordered(true).stream()?.zip(px::map(|n: u64| n * n, 0..500u64).ordered(true).stream()?);
        let mut right = 0;
        for ((i, a), (j, b)) in pairs { right += u64::from(i == j && a? * a? == b?); }
        (sums, right)
        """.replace("a? * a? == b?", "a.clone()? * a? == b?")
    ).ok()
    assert result(reply) == "(20, 500)"


def test_two_endless_loops_at_once_both_go_on(cluster):
    reply = cluster.run(
        """
        let (a, b) = (px::map(|n: u64| n, 0..u64::MAX).stream()?, px::map(|n: u64| n, 0..u64::MAX).stream()?);
        a.zip(b).take(300).filter(|(a, b)| a.1.is_ok() && b.1.is_ok()).count()
        """
    ).ok()
    assert result(reply) == "300"


def test_an_interrupt_ends_the_loop_that_waits(cluster):
    reply = cluster.send('for (i, r) in px::map(|n: u64| if n == 5 { loop {} } else { n }, 0..6u64).chunk(1).stream()? { println!("got {}", r?); }')
    cluster.wait_for_text(reply, "got", times=5)
    cluster.interrupt()
    begun = time.monotonic()
    assert "interrupted" in cluster.wait(reply).failed().text
    assert time.monotonic() - begun < 5
    assert "7" in cluster.run("%px 7").ok().text


def test_an_item_that_fails_ends_it_or_is_an_error_of_its_own(cluster):
    failed = cluster.run(
        'let mut good = 0;\nfor (i, r) in px::map(|x: u64| {\n    assert!(x != 70, "no");\n    x\n}, 0..100u64).stream()? {\n    if r.is_err() { println!("at {i}") }\n    r?;\n}'
    ).failed()
    assert failed.stdout == "at 70\n" and "item 70" in failed.text and "failed on engine" in failed.text
    assert "cell line 3" in failed.text
    reply = cluster.run(
        """
        fn some(x: u64) -> u64 {
            if x == 3 { std::process::abort() }
            10 / (x % 4)
        }
        let mut kept: Vec<_> = px::map(some, 0..6u64).chunk(1).on_error(px::OnError::Keep).stream()?.collect();
        kept.sort_by_key(|(i, _)| *i);
        let errors: Vec<String> = kept.iter().filter_map(|(i, r)| Some(format!("{i}: {}", r.as_ref().err()?))).collect();
        let skipped = px::map(some, 0..6u64).chunk(1).on_error(px::OnError::Skip).stream()?;
        let mut skipped: Vec<_> = skipped.map(|(i, r)| (i, r.unwrap())).collect();
        skipped.sort();
        (errors, skipped)
        """
    ).ok()
    text = result(reply)
    assert text.count("attempt to divide by zero") == 2 and '"0: ' in text and '"3: its worker' in text and '"4: ' in text
    assert "[(1, 10), (2, 5), (5, 10)]" in text


def test_a_stream_outlives_its_cell_but_not_what_a_dead_cell_has_taken(cluster):
    cluster.run("let mut large = px::map(|n: u64| vec![n; 40_000], 0..60u64).chunk(1).ordered(true).stream()?;").ok()
    assert result(cluster.run("large.by_ref().take(5).map(|(_, r)| r.unwrap()[0]).sum::<u64>()").ok()) == "10"
    # What was taken at once with those is the stream's, and so its snapshot's.
    cluster.run("large.next(); std::process::abort();").failed()
    assert result(cluster.run("large.next().unwrap().1?[0]").ok()) == "5"
    cluster.run("for (i, _) in large.by_ref() { if i == 50 { std::process::abort() } }").failed()
    gone = cluster.run("for (i, r) in large.by_ref() { assert_eq!(r?[0], i as u64); }").failed()
    assert "results that a cell had taken are gone with its worker: begin the map again" in gone.text
    cluster.run("drop(large);").ok()


@pytest.fixture
def parts(cluster):
    """Each engine has a `part`, of other lengths: 3, 4, 5, 6."""
    cluster.run("%px let mut part: Vec<u64> = (0..3 + px::rank() as u64).map(|n| 100 * px::rank() as u64 + n).collect();").ok()
    return cluster


def test_what_engines_have_comes_with_its_place_among_all(parts):
    reply = parts.run(
        """
        let all: Vec<u64> = px::gather!(part)?;
        let mut seen = vec![0; all.len()];
        for (i, r) in px::map(|x| (x, x.to_string()), px::var!(part)).stream()? {
            assert_eq!(r?, (all[i], all[i].to_string()));
            seen[i] += 1;
        }
        let k = 2u64;
        let some = px::map_with((&k,), |(k,), x: u64| k * x, px::var!(part)).on(&px::engines().on([1, 3]));
        let some: Vec<(usize, u64)> = some.filter(|x| x % 4 == 0).ordered(true).stream()?.map(|(i, r)| (i, r.unwrap())).collect();
        (seen.len(), seen.iter().all(|n| *n == 1), some)
        """
    ).ok()
    assert result(reply) == "(18, true, [(0, 200), (2, 204), (4, 600), (6, 604), (8, 608)])"
    parts.run("let kept = px::map(|x| x, px::var!(part)).stream()?;").ok()
    assert "px::map on engine 3 (" in parts.run("%tasks").ok().text
    parts.run("drop(kept);").ok()


def test_engines_rest_while_a_loop_over_what_they_have_is_slow_or_uses_them(cluster, tmp_path):
    cluster.run(COUNTED.format(file=tmp_path / "made")).ok()
    cluster.run("%px let mut numbers: Vec<usize> = (0..200).collect();").ok()
    reply = cluster.run(
        """
        let (mut first, mut taken, mut sums) = (0, 0, 0);
        for (i, r) in px::map(counted, px::var!(numbers)).stream()? {
            assert!(r?.iter().all(|byte| *byte == (i % 200) as u8));
            if taken == 0 { first = settled(); }
            if taken % 50 == 0 { sums += px::engines().with(px::var!(mut numbers)).each(|own| own.len())?.iter().sum::<usize>(); }
            taken += 1;
        }
        (first, taken, made(), sums)
        """
    ).ok()
    first, *rest = eval(result(reply))
    assert 16 <= first < 600, "16 MiB of each engine's wait, and what it had in hand"
    assert rest == [800, 800, 16 * 800]
    # In order, the last engines have made theirs while the first is slow.
    reply = cluster.run(
        """
        fn slow(n: usize) -> Vec<u8> {
            if n == 0 && px::rank() == 0 { settled(); }
            counted(n)
        }
        let (before, mut at_first, mut all) = (made(), 0, vec![]);
        for (i, r) in px::map(slow, px::var!(numbers)).ordered(true).stream()? {
            if i == 0 { at_first = made() - before; }
            all.push(i == all.len() && r?[0] == (i % 200) as u8);
        }
        (at_first, all.len(), all.iter().all(|it| *it))
        """
    ).ok()
    at_first, *rest = eval(result(reply).replace("true", "True"))
    assert 3 * 16 <= at_first < 700 and rest == [800, True]


@pytest.mark.parametrize(("change", "has"), [("push(7)", 201), ("truncate(60)", 60)])
def test_a_loop_whose_body_changes_what_it_goes_over_says_so(cluster, tmp_path, change, has):
    cluster.run(COUNTED.format(file=tmp_path / "made")).ok()
    cluster.run("%px let mut numbers: Vec<usize> = (0..200).collect();").ok()
    failed = cluster.run(
        """
        let mut taken = 0;
        for (_, r) in px::map(counted, px::var!(numbers)).stream()? {
            r?;
            if taken == 0 { px::engines().with(px::var!(mut numbers)).each(|own| own.CHANGE)?; }
            taken += 1;
        }
        """.replace("CHANGE", change)
    ).failed()
    assert f"`numbers` has changed since the loop began: it had 200 items, and has {has}" in failed.text, failed


def test_a_loop_over_what_engines_have_ends_with_break_failure_or_interrupt(parts):
    reply = parts.run("let mut found = 0;\nfor (i, r) in px::map(|x| x, px::var!(part)).stream()? { if r? == 203 { found = i; break; } }\nfound")
    assert result(reply.ok()) == "10"
    failed = parts.run("for (i, r) in px::map(|x| {\n    assert!(x != 203);\n    x\n}, px::var!(part)).stream()? {\n    if r.is_err() { println!(\"at {i}\") }\n    r?;\n}").failed()
    assert failed.stdout == "at 10\n" and "item 3 failed on engine 2" in failed.text and "cell line 2" in failed.text, failed
    kept = parts.run(
        """
        fn died(x: u64) -> u64 {
            if x == 203 { std::process::abort() }
            x
        }
        let mut kept: Vec<_> = px::map(died, px::var!(part)).chunk(1).on_error(px::OnError::Keep).stream()?.collect();
        kept.sort_by_key(|(i, _)| *i);
        (kept.len(), kept[10].1.as_ref().unwrap_err().to_string(), kept.iter().filter(|(_, r)| r.is_ok()).count())
        """
    ).ok()
    assert re.fullmatch(r'\(18, "its worker .*SIGABRT.*", 17\)', result(kept)), kept
    reply = parts.send('for (_, r) in px::map(|x| if x == 1 { loop {} } else { x }, px::var!(part)).chunk(1).stream()? { println!("got {}", r?); }')
    parts.wait_for_text(reply, "got", times=15)
    parts.interrupt()
    begun = time.monotonic()
    assert "interrupted" in parts.wait(reply).failed().text
    assert time.monotonic() - begun < 5
    missing = parts.run("fn some() -> Result<usize, px::Error> { Ok(px::map(|x: f64| x, px::var!(nobody)).stream()?.count()) }\nsome()?").failed()
    assert "engine 0 has no variable `nobody`; the function wasn't called there" in missing.text
