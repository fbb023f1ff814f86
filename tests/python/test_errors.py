"""What a reader sees when a parallel cell is wrong, or goes wrong on some of the engines."""

import re

import pytest


def test_a_compile_error_is_shown_once_and_nothing_runs(cluster):
    reply = cluster.run('%%px\nprintln!("must not run");\nlet n: i32 = "text";').failed()
    assert "must not run" not in reply.stdout
    assert reply.text.count("mismatched types") <= 2, "once in the traceback, at most once more in evalue"
    assert reply.traceback.count("^^^^^^") == 1, reply
    lines = reply.traceback.splitlines()
    source = next(line for line in lines if 'let n: i32 = "text";' in line)
    caret = next(line for line in lines if "^" in line)
    assert caret.index("^") == source.index('"text"'), "the caret stands under the wrong column"


def test_a_compile_error_on_the_line_of_the_magic_is_placed(cluster):
    reply = cluster.run("%px let n: i32 = true;").failed()
    lines = reply.traceback.splitlines()
    source = next(line for line in lines if "= true;" in line)
    caret = next(line for line in lines if "^" in line)
    assert caret.index("^") == source.index("true")


def test_a_compile_error_leaves_variables_alone(cluster):
    cluster.run("%px let whole = 1;").ok()
    cluster.run("%px nonsense(whole)").failed()
    assert "Out[0-3:" in cluster.run("%px whole").ok().text


@pytest.mark.parametrize("flag", ["--no-such-flag", "-z"])
def test_an_unknown_flag_is_named(cluster, flag):
    reply = cluster.run(f'%%px {flag}\nprintln!("must not run");').failed()
    assert flag in reply.text and "usage" in reply.text.lower()
    assert "must not run" not in reply.stdout


@pytest.mark.parametrize("target", ["7", "0,9", "somewhere"])
def test_an_unknown_target_is_named(cluster, target):
    reply = cluster.run(f'%%px -t {target}\nprintln!("must not run");').failed()
    assert target.split(",")[-1] in reply.text
    assert "must not run" not in reply.stdout


def test_an_unknown_magic_is_named(cluster):
    assert "%nonsense" in cluster.run("%nonsense 1").failed().text


def test_a_panic_on_some_engines_leaves_the_others_outputs(cluster):
    code = '%%px\nif px::rank() % 2 == 1 {\n    panic!("odd {}", px::rank());\n}\npx::rank()'
    reply = cluster.run(code).failed()
    assert reply.content["ename"] == "CompositeError"
    for engine in (0, 2):
        assert re.search(rf"^Out\[{engine}:\d+\]: {engine}$", reply.text, re.MULTILINE), reply
    for engine in (1, 3):
        assert f"[{engine}:execute]" in reply.traceback
        assert f"odd {engine}" in reply.traceback
    assert 'panic!("odd {}", px::rank())' in reply.traceback or re.search(r"\b3:5\b", reply.traceback), "the place"
    assert "2 errors" in reply.text


def test_variables_survive_a_panic(cluster):
    cluster.run("%px let survivor = px::rank() + 100;").ok()
    cluster.run('%px if px::rank() == 1 { panic!("no") }').failed()
    reply = cluster.run("%px survivor").ok()
    for engine in range(4):
        assert f"{100 + engine}" in reply.text


def test_a_variable_that_a_panic_prevented_is_named(cluster):
    cluster.run('%%px\nlet prevented = { if px::rank() == 3 { panic!("no") } 5 };').failed()
    reply = cluster.run("%px prevented").failed()
    assert "`prevented`" in reply.text and re.search(r"\bengine 3\b", reply.text), reply
    assert "Out[0-2:" in cluster.run("%%px -t 0:3\nprevented").ok().text
    assert "Out[0-3:" in cluster.run("%px 1").ok().text


def test_a_question_mark_is_an_error_of_its_engine(cluster):
    code = '%%px\nlet text = if px::rank() == 2 { "x" } else { "1" };\nlet n = text.parse::<i32>()?;\nn'
    reply = cluster.run(code).failed()
    assert "invalid digit" in reply.text and "[2:" in reply.text
    assert re.search(r"^Out\[0-1,3:\d+\]: 1$", reply.text, re.MULTILINE), reply


def test_the_first_four_errors_are_shown_in_full(own_kernel):
    own_kernel.run("%cluster start -n 6").ok()
    reply = own_kernel.run('%%px\nlet place = px::rank();\npanic!("reason {place}");').failed()
    assert "6 errors" in reply.text
    blocks = re.split(r"(?=\[\d:execute\])", reply.traceback)
    by_engine = {int(block[1]): block for block in blocks if re.match(r"\[\d:execute\]", block)}
    assert sorted(by_engine) == list(range(6)), reply
    for engine, block in by_engine.items():
        assert f"reason {engine}" in block
        full = len([line for line in block.splitlines() if line.strip()]) > 1
        assert full == (engine < 4) or engine == 5, f"engine {engine}:\n{block}"


def test_a_panic_in_a_thread_is_shown(cluster):
    code = '%%px -t 1\nstd::thread::spawn(|| panic!("in a thread")).join().is_err()'
    reply = cluster.run(code)
    assert "in a thread" in reply.text
    assert re.search(r"^Out\[1:\d+\]: true$", reply.text, re.MULTILINE), reply


@pytest.mark.parametrize("marker", ["EVCXR_VARIABLE_CHANGED_TYPE:zz", "EVCXR_PANIC_NOTIFICATION", "EVCXR_EXECUTION_COMPLETE"])
def test_a_printed_marker_ends_the_cell_at_most(cluster, marker):
    cluster.run(f'%px println!("{marker}");')
    assert "Out[0-3:" in cluster.run("%px 5").ok().text


def test_a_result_that_cant_be_shown_is_placed(cluster):
    cluster.run("struct Bare;").ok()
    reply = cluster.run("%px Bare").failed()
    assert "Debug" in reply.text and "^^^^" in reply.traceback, reply


def test_a_warning_of_another_cell_is_not_the_error(cluster):
    cluster.run("macro_rules! unused { () => { 1 } }").ok()
    reply = cluster.run('%px let a: i32 = "x";').failed()
    assert reply.content["evalue"].startswith("error[E0308]"), reply


def test_a_brace_too_many_is_an_error(cluster):
    assert "^" in cluster.run("%px }").failed().traceback
    assert "^" in cluster.run("fn f() {}\n}").failed().traceback


def test_the_caret_of_a_panic_stands_in_the_line_of_the_magic(cluster):
    lines = cluster.run('%px -t 0 panic!("boom")').failed().traceback.splitlines()
    source = next(line for line in lines if "panic!" in line)
    caret = next(line for line in lines if "^" in line)
    assert caret.index("^") == source.index("panic!")


def test_what_nothing_shows_is_said_without_generated_code(kernel):
    """Also where the result moves a variable, for which evcxr tries another way to show it."""
    kernel.run("struct Silent(String);").ok()
    for code in ("\nSilent(String::new())", "let text = String::new();\nSilent(text)"):
        reply = kernel.run(code).failed()
        assert reply.content["evalue"].startswith("error[E0277]: `Silent` doesn't implement `Debug`; add `#[derive(Debug)]`")
        assert "line 2, column 1" in reply.traceback and "evcxr" not in reply.traceback


def test_a_result_is_shown_by_its_own_method_even_if_it_moves_a_variable(kernel):
    for code in ('let html = String::from("<b>x</b>");\npx::Html(html)', 'px::Html(vec!["<b>x</b>"].concat())'):
        assert kernel.run(code).ok().html == ["<b>x</b>"]


def test_a_trait_of_the_cells_goes_before_debug(kernel):
    kernel.run(
        """#[derive(Debug)] struct Picture(u8);
trait Shown { fn evcxr_display(&self); }
impl Shown for Picture {
    fn evcxr_display(&self) { println!("EVCXR_BEGIN_CONTENT text/html\\n<i>{}</i>\\nEVCXR_END_CONTENT", self.0); }
}"""
    ).ok()
    assert kernel.run("Picture(1)").ok().html == ["<i>1</i>"]
    assert kernel.run("let picture = Picture(2);\n&picture").ok().html == ["<i>2</i>"]
    assert kernel.run("[3]").ok().results == [{"text/plain": "[3]"}]


def test_attributes_stand_first_in_any_cell(kernel):
    kernel.run("#![allow(dead_code)]\nfn attributed() -> u8 { 3 }").ok()
    kernel.run("#![allow(unused)]").ok()
    assert kernel.run("#![allow(unused)]\nlet alone = 1;\nattributed()").ok().results == [{"text/plain": "3"}]


def test_an_extern_block_may_be_run_again(kernel):
    for _ in range(2):
        kernel.run('unsafe extern "C" { fn labs(x: i64) -> i64; }').ok()
    assert kernel.run("unsafe { labs(-4) }").ok().results == [{"text/plain": "4"}]


def test_a_result_that_divides_by_zero_says_where(kernel):
    reply = kernel.run('let zero = "".len(); 1 / zero').failed()
    assert "cell line 1:22" in reply.text + reply.traceback


def test_what_a_panic_costs_is_told_whatever_it_says(kernel):
    reply = kernel.run('let gone = { if true { panic!("I lost it") } vec![1] };').failed()
    assert reply.traceback.count("I lost it") <= 2, reply
    kernel.run("#[derive(Debug, Clone)] struct Old(u8);\nlet old = Old(1);").ok()
    lost = kernel.run('let old = { if old.0 == 1 { panic!("I lost it") } old };').failed()
    assert "lost: `old`" in lost.traceback, lost


DROPS = [
    ("fs::write", 'std::fs::write("/no/such/folder/x", "a");', "`Result`", (1, 1)),
    ("second line", "let a = 1;\n  (0..3).map(|n| n + a);", "`Map`", (2, 3)),
    ("engines", "%%px\nlet b = 2_i32;\nb.checked_add(1);", "`checked_add`", (3, 1)),
    ("px line", "%px u8::from_str_radix(&px::rank().to_string(), 10);", "`Result`", (1, 5)),
    ("future", "async fn nap() -> u8 { 1 }\nnap();", "`Future`", (2, 1)),
    ("map", "px::map(|x: u32| x + 1, 0..3).collect();", "`Result`", (1, 1)),
    ("macro", "use std::fmt::Write;\nlet mut text = String::new();\nwrite!(text, \"a\");", "`Result`", (3, 1)),
    ("function", "fn drops() {\n    std::fs::write(\"/no/such/folder/x\", \"a\");\n}", "`Result`", (2, 5)),
]


@pytest.mark.parametrize("code, what, place", [it[1:] for it in DROPS], ids=[it[0] for it in DROPS])
def test_what_is_dropped_and_must_be_used_is_told(cluster, code, what, place):
    reply = cluster.run(code).ok()
    assert re.search(rf"warning: unused .*{what} that must be used", reply.stderr), reply
    assert f"cell line {place[0]}, column {place[1]}" in reply.stderr, reply


def test_what_is_dropped_on_purpose_is_not_told(cluster):
    silent = [
        'let _ = std::fs::write("/no/such/folder/x", "a");',
        'std::fs::write("/no/such/folder/x", "a").ok();',
        '#![allow(unused_must_use)]\nstd::fs::write("/no/such/folder/x", "a");',
        "let v = vec![1];\nprintln!(\"{v:?}\");\nv.len()",
        "fn unused(n: i32) -> i32 { let m = 3; n }",
        "px::push!(v)?;",
    ]
    for code in silent:
        assert "warning" not in cluster.run(code).ok().text, code
    again = 'std::fs::write("/no/such/folder/y", "a");'
    for _ in range(2):
        assert "warning: unused `Result`" in cluster.run(again).ok().stderr, "also when it isn't compiled again"
    failed = cluster.run('std::fs::write("/no/such/folder/z", "a");\nlet n: i32 = "text";').failed()
    assert "mismatched types" in failed.traceback and "unused" not in failed.text, failed
