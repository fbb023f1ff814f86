"""`%push`, `%pull`, `%scatter`, `%gather`: variables go to the engines and come back."""

import re

import pytest

from conftest import start_kernel

LINE = r": [\d.]+ k?M?B in \d+\.\d\d s( \([\d.]+ [MG]B/s\))?$"


@pytest.fixture(scope="module")
def kernel(installed):
    with start_kernel() as kernel:
        prepare(kernel)
        yield kernel


def prepare(kernel):
    kernel.run("%cluster start -n 3").ok()
    kernel.run(
        """
        let mut xs: Vec<f64> = (0..100).map(f64::from).collect();
        let words = vec!["a".to_string(), "b".into(), "c".into(), "d".into(), "e".into()];
        let table = std::collections::HashMap::from([("one".to_string(), (1u8, Some('x'))), ("two".into(), (2, None))]);
        let grid = [[1u16, 2], [3, 4], [5, 6]];
        let n = 7;
        """
    ).ok()


def printed(kernel, code):
    return kernel.run(code).ok().stdout.strip()


def on_engines(kernel, code):
    """What each engine prints for an expression."""
    reply = kernel.run(f'%px println!("{{:?}}", {code})').ok()
    found = {}
    for engines, text in re.findall(r"^\[stdout:([\d,-]+)\] (.*)$", reply.stdout, re.MULTILINE):
        for part in engines.split(","):
            first, _, last = part.partition("-")
            found.update((engine, text) for engine in range(int(first), int(last or first) + 1))
    return [found[engine] for engine in sorted(found)]


def test_values_of_all_kinds_are_pushed_and_pulled(kernel):
    says = printed(kernel, "%push xs, words as list, table, grid, n")
    assert re.search(r"^xs, words, table, grid, n -> xs, list, table, grid, n on engines 0-2" + LINE, says), says
    both = '(&list, table["one"], table["two"], grid, n, xs.iter().sum::<f64>())'
    text = '(["a", "b", "c", "d", "e"], (1, Some(\'x\')), (2, None), [[1, 2], [3, 4], [5, 6]], 7, 4950.0)'
    assert on_engines(kernel, both) == [text] * 3

    kernel.run("%px let mine = vec![px::rank() as u32; px::rank()]; let own = (px::rank(), grid[px::rank()]);").ok()
    says = printed(kernel, "%pull mine, own as theirs, table as tables")
    assert "-> mine: Vec<Vec<u32>>, theirs: Vec<(usize, [u16; 2])>" in says
    assert printed(kernel, 'println!("{mine:?} {theirs:?}")') == "[[], [1], [2, 2]] [(0, [1, 2]), (1, [3, 4]), (2, [5, 6])]"
    assert printed(kernel, 'println!("{}", tables.iter().all(|it| *it == table))') == "true"


def test_one_engine_has_a_value_and_several_have_many(kernel):
    kernel.run("%px let place = px::rank() * 10;").ok()
    assert "place of engine 1 -> one: usize" in printed(kernel, "%pull place as one -t 1")
    assert "place of engines 1-2 -> two: Vec<usize>" in printed(kernel, "%pull -t 1:3 place as two")
    assert printed(kernel, 'println!("{one} {two:?}")') == "10 [10, 20]"
    kernel.run("%push -t -1 one as only_last").ok()
    reply = kernel.run("%px only_last").failed()
    assert "engines 0-1 lack `only_last`" in reply.text
    assert on_engines(kernel, "place") == ["0", "10", "20"]


def test_a_copy_stays_as_it_was(kernel):
    kernel.run("%push xs as copy").ok()
    kernel.run("xs[3] = -1.0;").ok()
    kernel.run("%px -t 0 copy[4] = -2.0;").ok()
    assert on_engines(kernel, "(copy[3], copy[4])") == ["(3.0, -2.0)", "(3.0, 4.0)", "(3.0, 4.0)"]
    assert printed(kernel, 'println!("{} {}", xs[3], xs[4])') == "-1 4"
    kernel.run("xs[3] = 3.0;").ok()


def test_parts_are_scattered_and_gathered(kernel):
    assert "words -> parts part on engines 0-2" in printed(kernel, "%scatter words as part")
    assert on_engines(kernel, "part") == ['["a"]', '["b", "c"]', '["d", "e"]']
    assert "part of engines 0-2 -> all: Vec<String>" in printed(kernel, "%gather part as all")
    assert printed(kernel, 'println!("{}", all == words)') == "true"
    kernel.run("%scatter --round-robin words as part, grid").ok()
    assert on_engines(kernel, "part") == ['["a", "d"]', '["b", "e"]', '["c"]']
    assert on_engines(kernel, "grid") == ["[[1, 2]]", "[[3, 4]]", "[[5, 6]]"]
    kernel.run("%gather part as all -t 1:").ok()
    assert printed(kernel, 'println!("{all:?}")') == '["b", "e", "c"]'


def test_large_data_keeps_its_bits(kernel):
    kernel.run(
        "let big: Vec<f64> = (0..12_500_003u64).map(|n| f64::from_bits(n.wrapping_mul(0x9E3779B97F4A7C15))).collect();"
        "fn bits(a: &[f64], b: &[f64]) -> bool {"
        " a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits()) }"
    ).ok()
    kernel.run("%push big").ok()
    kernel.run("%pull big as back -t 1").ok()
    assert printed(kernel, 'println!("{}", bits(&big, &back))') == "true"
    # The engines' parts end within pages, and are changed while all share them.
    kernel.run("%scatter big as part").ok()
    kernel.run("%px let mut part = part; part[0] = px::rank() as f64;").ok()
    kernel.run("%gather part as back").ok()
    check = """
        let mut expected = big.clone();
        for rank in 0..3 { expected[rank * big.len() / 3] = rank as f64; }
        println!("{}", bits(&expected, &back));
    """
    assert printed(kernel, check) == "true"
    kernel.run("drop((big, back, expected));").ok()
    kernel.run("%px drop((part, big));").ok()


def test_wrong_names_are_told(kernel):
    kernel.run("%px let there = 1;").ok()
    kernel.run("let here = 1;").ok()
    for code, text in [
        ("%push nowhere", "the notebook has no variable `nowhere`"),
        ("%push there", "`%pull there` copies it here"),
        ("%pull here", "`%push here` copies it there"),
        ("%gather nowhere", "engines 0-2 have no variable `nowhere`"),
    ]:
        reply = kernel.run(code).failed()
        assert text in reply.text and "cell line 1" in reply.text, reply.text
    kernel.run("%px -t 0 let there = 2u8;").ok()
    assert "different types" in kernel.run("%pull there").failed().text


def test_types_that_cant_travel_are_told_at_their_names(kernel):
    kernel.run("struct Own(i32);\nlet own_value = Own(1);\nlet text = \"a\";").ok()
    reply = kernel.run("// a comment\n%push n, own_value").failed()
    assert "`Own` can't travel" in reply.text and "derive" in reply.text, reply.text
    assert "cell line 2, column 7" in reply.text
    kernel.run("let lent: &i32 = Box::leak(Box::new(5));").ok()
    assert "`&i32` can't travel" in kernel.run("%push lent").failed().text
    assert "`i32` isn't a row of values" in kernel.run("%scatter n").failed().text
    kernel.run("%px let own_value = Own(2);").ok()
    assert "`Own` can't travel" in kernel.run("%pull own_value").failed().text


def test_text_that_lives_for_ever_and_shared_values_travel(kernel):
    kernel.run("""
        let word = "hey";
        let several = (word, std::sync::Arc::new(3), vec![0..2, 5..6], std::cmp::Reverse(1), [Some(std::cmp::Ordering::Less)]);
    """).ok()
    kernel.run("%push word, several").ok()
    assert on_engines(kernel, "(word, &several)") == ['("hey", ("hey", 3, [0..2, 5..6], Reverse(1), [Some(Less)]))'] * 3
    kernel.run("%pull -t 1 word as back").ok()
    assert printed(kernel, 'let same: &str = back; println!("{same}");') == "hey"


def test_what_was_put_is_there_as_long_as_an_engine_refers_to_it(kernel):
    kernel.run("let shared = px::put(&vec![7u32; 100_000]);").ok()
    kernel.run("%push shared").ok()
    kernel.run("drop(shared); let other = px::put(&vec![8u32; 100_000]);").ok()
    assert on_engines(kernel, "shared[99_999]") == ["7"] * 3
    kernel.run("%pull shared as back").ok()
    kernel.run("%px drop(shared);").ok()
    assert printed(kernel, 'println!("{} {}", back[0][0], back[2][99_999]);') == "7 7"
    again = "px::call!(|it: px::Ref<Vec<u32>>, n: usize| it[n], &back[1], 5).get()?"
    assert printed(kernel, f'println!("{{}}", {again});') == "7"


def test_a_failure_leaves_the_old_value(kernel):
    kernel.run("%px let kept = 5;").ok()
    kernel.run("let kept = vec![1, 2, 3];").ok()
    kernel.run("%scatter n as kept").failed()
    assert on_engines(kernel, "kept") == ["5"] * 3


def test_variables_are_listed_with_who_has_them(kernel):
    kernel.run("%px -t 1 let listed = vec![1.5f32];").ok()
    assert "listed: Vec<f32> (engine 1)" in kernel.run(":vars").ok().text
    assert re.search(r"^listed +Vec<f32> +1 +28 B +engine 1$", kernel.run("%whos").ok().text, re.MULTILINE)
