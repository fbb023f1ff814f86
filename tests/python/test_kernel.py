"""Local cells: results, streams, errors, dependencies, interrupt and restart, as Jupyter's clients see them."""

import re
import time

import pytest


def result(reply):
    reply.ok()
    assert len(reply.results) == 1, f"one result expected: {reply!r}"
    return reply.results[0]["text/plain"]


def test_a_result_is_shown(kernel):
    assert result(kernel.run("1 + 1")) == "2"


def test_strings_and_options_are_shown_as_debug_does(kernel):
    assert result(kernel.run('(Some("a"), vec![1, 2])')) == '(Some("a"), [1, 2])'


def test_a_statement_has_no_result(kernel):
    reply = kernel.run("let unused_so_far = 3;").ok()
    assert reply.results == [] and reply.text == ""


def test_streams_are_kept_apart(kernel):
    reply = kernel.run('println!("to out"); eprintln!("to err");').ok()
    assert (reply.stdout, reply.stderr) == ("to out\n", "to err\n")


def test_print_without_newline_is_shown(kernel):
    reply = kernel.run('print!("no newline");').ok()
    assert reply.stdout == "no newline"


def test_text_is_kept_byte_for_byte(kernel):
    reply = kernel.run(r'println!("é 漢字 🦀\ttab"); print!("50%\r100%\n\n");').ok()
    assert reply.stdout == "é 漢字 🦀\ttab\n50%\r100%\n\n"


def test_output_arrives_while_the_cell_runs(kernel, tmp_path):
    gate = tmp_path / "gate"
    reply = kernel.send(f'println!("early"); while !std::path::Path::new("{gate}").exists() {{}} println!("late");')
    kernel.wait_for_text(reply, "early")
    assert not reply.done
    gate.touch()
    assert kernel.wait(reply).ok().stdout == "early\nlate\n"


def test_variables_and_items_last(kernel):
    kernel.run('let mut names = vec![String::from("a")]; fn double(x: i32) -> i32 { 2 * x }').ok()
    kernel.run('names.push("b".into());').ok()
    assert result(kernel.run("(names.len(), double(21))")) == "(2, 42)"


def test_a_cell_may_redefine(kernel):
    kernel.run("fn answer() -> i32 { 1 } let shadowed = 1;").ok()
    kernel.run('fn answer() -> i32 { 42 } let shadowed = "text";').ok()
    assert result(kernel.run("(answer(), shadowed)")) == '(42, "text")'


def test_an_empty_cell_and_a_comment_are_fine(kernel):
    for code in ("", "  \n", "// nothing here"):
        assert kernel.run(code).ok().text == ""


def test_counts_start_at_one_and_grow(own_kernel):
    assert [own_kernel.run(code).ok().count for code in ("1", "2", "let x = 1;")] == [1, 2, 3]
    own_kernel.run('panic!("counts too")').failed()
    assert own_kernel.run("3").ok().count == 5


def test_a_compile_error_has_a_place_and_runs_nothing(kernel):
    reply = kernel.run('println!("must not run");\nlet n: i32 = "text";').failed()
    assert "must not run" not in reply.stdout
    assert "mismatched types" in reply.text
    assert 'let n: i32 = "text";' in reply.traceback
    caret_line = next(line for line in reply.traceback.splitlines() if "^" in line)
    source_line = next(line for line in reply.traceback.splitlines() if 'let n: i32 = "text"' in line)
    assert caret_line.index("^") == source_line.index('"text"'), "the caret stands under the wrong column"


def test_a_syntax_error_is_an_error(kernel):
    reply = kernel.run("let = ;").failed()
    assert "^" in reply.traceback


def test_a_panic_is_an_error_and_variables_stay(kernel):
    kernel.run("let kept = 7;").ok()
    reply = kernel.run('println!("before");\npanic!("the {} reason", 1);').failed()
    assert reply.stdout == "before\n"
    assert "the 1 reason" in reply.text
    assert result(kernel.run("kept")) == "7"


def test_a_question_mark_ends_the_cell(kernel):
    assert result(kernel.run('let n = "12".parse::<i32>()?; n + 1')) == "13"
    reply = kernel.run('let n = "12x".parse::<i32>()?; println!("not reached");').failed()
    assert "invalid digit" in reply.traceback and reply.stdout == ""


def test_a_value_can_show_itself_as_html(kernel):
    kernel.run(
        """
        struct Bold(String);
        impl Bold {
            fn evcxr_display(&self) {
                println!("EVCXR_BEGIN_CONTENT text/html\\n<b>{}</b>\\nEVCXR_END_CONTENT", self.0);
            }
        }
        """
    ).ok()
    reply = kernel.run('Bold("strong".into())').ok()
    assert reply.html == ["<b>strong</b>"], reply
    assert "EVCXR" not in reply.text


def test_vars_lists_the_variables(kernel):
    kernel.run("let listed_number: i64 = 5;").ok()
    reply = kernel.run(":vars").ok()
    shown = reply.text + "".join(reply.html)
    assert "listed_number" in shown and "i64" in shown


def test_an_unknown_command_is_named(kernel):
    assert ":nonsense" in kernel.run(":nonsense").failed().text


@pytest.fixture
def local_crate(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "Cargo.toml").write_text('[package]\nname = "greeting"\nversion = "0.1.0"\nedition = "2021"\n')
    (tmp_path / "src/lib.rs").write_text('pub fn greet(name: &str) -> String { format!("hello, {name}") }\n')
    return tmp_path


def test_a_dependency_can_be_used(own_kernel, local_crate):
    own_kernel.run(f':dep greeting = {{ path = "{local_crate}" }}').ok()
    assert result(own_kernel.run('greeting::greet("crate")')) == '"hello, crate"'


def test_a_dependency_and_code_may_stand_in_one_cell(own_kernel, local_crate):
    reply = own_kernel.run(f':dep greeting = {{ path = "{local_crate}" }}\nuse greeting::greet;\ngreet("both")')
    assert result(reply) == '"hello, both"'


def test_a_missing_dependency_is_named(own_kernel, tmp_path):
    assert "nowhere" in own_kernel.run(f':dep nowhere = {{ path = "{tmp_path}/nowhere" }}').failed().text
    assert result(own_kernel.run("1 + 1")) == "2", "the kernel must go on without it"


def test_a_cell_may_wait_for_a_future(own_kernel):
    code = "async fn later() -> i32 { 42 }\nlater().await"
    assert result(own_kernel.run(code, timeout=300)) == "42"


def test_an_endless_loop_can_be_interrupted(kernel):
    reply = kernel.send('println!("looping"); loop { std::hint::spin_loop(); }')
    kernel.wait_for_text(reply, "looping")
    asked = time.time()
    kernel.interrupt()
    kernel.wait(reply, timeout=10).failed()
    assert reply.idle_at - asked < 1.0, f"the interrupt took {reply.idle_at - asked:.2f} s"
    assert result(kernel.run("20 + 1")) == "21"


def test_an_interrupt_of_an_idle_kernel_harms_nothing(kernel):
    kernel.run("let here = 1;").ok()
    kernel.interrupt_and_wait()
    assert result(kernel.run("here")) == "1"


def test_cells_behind_a_failed_one_are_not_run(kernel, tmp_path):
    gate = tmp_path / "gate"
    first = kernel.send(f'while !std::path::Path::new("{gate}").exists() {{}} panic!("first");')
    second = kernel.send('println!("second");')
    gate.touch()
    kernel.wait(first).failed()
    kernel.wait(second)
    assert second.status in ("aborted", "error") and "second" not in second.stdout
    assert result(kernel.run("1")) == "1"


def test_a_silent_cell_says_nothing_and_counts_nothing(kernel):
    before = kernel.run("1").count
    reply = kernel.run("40 + 2", silent=True, store_history=False)
    assert reply.status == "ok" and reply.results == []
    assert kernel.run("1").count == before + 1


def test_a_restart_forgets_everything(own_kernel):
    own_kernel.run("let gone = 1;").ok()
    own_kernel.restart()
    reply = own_kernel.run("gone").failed()
    assert "gone" in reply.text
    own_kernel.restart()
    assert own_kernel.run("1").ok().count == 1


def test_the_kernel_survives_a_cell_that_dies(own_kernel):
    own_kernel.run("let kept = 1;").ok()
    assert "SIGABRT" in own_kernel.run("std::process::abort();").failed().text
    assert result(own_kernel.run("kept + 1")) == "2"
    own_kernel.run("%snapshot off").ok()
    own_kernel.run("let lost = 1;").ok()
    reply = own_kernel.run("std::process::abort();").failed()
    assert "SIGABRT" in reply.text
    assert "lost" in reply.text, "the notebook must say which variables are gone"
    assert result(own_kernel.run("1 + 1")) == "2"


def test_kernel_info_describes_rust(kernel):
    info = kernel.kernel_info()
    assert info["status"] == "ok"
    assert re.match(r"5\.\d", info["protocol_version"])
    assert info["implementation"] == "chorus"
    language = info["language_info"]
    assert (language["name"], language["file_extension"]) == ("rust", ".rs")
    assert language["mimetype"] and language["version"]


def test_kernel_info_is_answered_while_a_cell_runs(kernel, tmp_path):
    gate = tmp_path / "gate"
    reply = kernel.send(f'println!("running"); while !std::path::Path::new("{gate}").exists() {{}}')
    kernel.wait_for_text(reply, "running")
    kernel.kernel_info(timeout=5)
    assert not reply.done
    gate.touch()
    kernel.wait(reply).ok()
