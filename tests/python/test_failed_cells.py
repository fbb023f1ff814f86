"""What a cell leaves behind that fails, and what it says of the error."""

import pytest


def result(reply):
    return reply.ok().results[0]["text/plain"]


DEFINITIONS = """
static WORKS: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
fn works(yes: bool) { WORKS.store(yes, std::sync::atomic::Ordering::SeqCst) }
fn number() -> Result<i32, String> {
    if WORKS.load(std::sync::atomic::Ordering::SeqCst) { Ok(5) } else { Err("no such number".to_owned()) }
}
"""


@pytest.mark.parametrize("cell", ["let kept = number()?;", "let kept: i32 = number()?;", "let kept = number().unwrap();"])
def test_a_cell_that_fails_leaves_the_variable_that_it_was_to_define_anew(kernel, cell):
    kernel.run(DEFINITIONS).ok()
    kernel.run("works(false); let kept = vec![1, 2]; let other = 7;").ok()
    reply = kernel.run(cell).failed()
    assert "no such number" in reply.text and "lost" not in reply.text
    assert result(kernel.run("(&kept, other)")) == "([1, 2], 7)"
    # The same object from the cache, as a success.
    kernel.run("works(true)").ok()
    kernel.run(cell).ok()
    assert result(kernel.run("kept + 1")) == "6"


def test_a_new_variable_is_there_when_the_cell_that_failed_succeeds(kernel):
    kernel.run(DEFINITIONS).ok()
    kernel.run("works(false)").ok()
    kernel.run("let fresh = number()?;").failed()
    kernel.run("works(true)").ok()
    kernel.run("let fresh = number()?;").ok()
    assert result(kernel.run("fresh + 2")) == "7"


def test_what_a_failed_cell_has_moved_is_lost_and_named(kernel):
    kernel.run(DEFINITIONS).ok()
    kernel.run("works(false); let moved = vec![1]; let stays = vec![2];").ok()
    cell = "let moved = (moved.into_iter().max(), number()?); let stays = (stays.len(), number()?);"
    reply = kernel.run(cell).failed()
    assert "lost: `moved`" in reply.text and "`stays`" not in reply.text
    assert "`moved` was lost" in kernel.run("moved").failed().text
    assert result(kernel.run("stays")) == "[2]"


def test_engines_keep_what_a_failed_cell_was_to_define_anew(cluster):
    cluster.run("%px let half = vec![px::rank()];").ok()
    reply = cluster.run('%px let half: u8 = (if px::rank() == 1 { "x" } else { "3" }).parse()?;').failed()
    assert "invalid digit" in reply.text and "lost" not in reply.text
    assert "[1]" in cluster.run("%px -t 1 half").ok().text
    assert "3" in cluster.run("%px -t 0 half").ok().text


CAUSES = """
#[derive(Debug)]
struct Failed(&'static str, Option<Box<dyn std::error::Error + Send + Sync>>);
impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result { f.write_str(self.0) }
}
impl std::error::Error for Failed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> { Some(&**self.1.as_ref()?) }
}
fn failed() -> Failed {
    let root = "x".parse::<i32>().unwrap_err();
    Failed("can't read the settings", Some(Box::new(Failed("line 3 is damaged", Some(Box::new(root))))))
}
struct Shown;
impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result { f.write_str("only shown") }
}
"""
CHAIN = ["can't read the settings", "  caused by: line 3 is damaged", "  caused by: invalid digit found in string"]


@pytest.mark.parametrize(
    "error, value",
    [
        ("Failed", "failed()"),
        ("Box<dyn std::error::Error>", "Box::new(failed())"),
        ("Box<dyn std::error::Error + Send>", "Box::new(failed())"),
        ("Box<dyn std::error::Error + Send + Sync>", "Box::new(failed())"),
    ],
)
def test_a_question_mark_tells_all_causes_and_its_line(kernel, error, value):
    kernel.run(CAUSES).ok()
    code = f"let one = 1;\nlet other: u8 = {{\n  Err::<u8, {error}>({value})?\n}};\none + other"
    reply = kernel.run(code).failed()
    lines = reply.traceback.splitlines()
    assert lines[:3] == ["`?` returned an error at cell line 3:3: " + CHAIN[0], *CHAIN[1:]]
    assert lines[3] == f"  3 |   Err::<u8, {error}>({value})?"
    assert lines[4].index("^") == lines[3].index("Err"), lines
    assert reply.stderr == "" and reply.content["evalue"].endswith("can't read the settings ...")


@pytest.mark.parametrize("error, text", [('"a text"', "a text"), ("Shown", "only shown"), ("7", "7")])
def test_a_question_mark_takes_whatever_can_be_shown(kernel, error, text):
    kernel.run(CAUSES).ok()
    reply = kernel.run(f"let x: u8 = Err({error})?;").failed()
    assert reply.content["evalue"].startswith("`?` returned an error at cell line 1:")
    assert reply.content["evalue"].endswith(": " + text)


def test_a_question_mark_on_what_cant_be_shown_is_a_mistake(kernel):
    kernel.run("struct Dull;").ok()
    reply = kernel.run("Err::<u8, Dull>(Dull)?").failed()
    assert reply.content["ename"] == "CompileError" and "`Dull`" in reply.text
    assert "px::" not in reply.text and "Evcxr" not in reply.text, reply


def test_a_panic_that_was_caught_is_not_taken_for_the_error(kernel):
    code = 'let _ = std::panic::catch_unwind(|| { panic!("caught") });\nlet n: u8 = "x".parse()?;'
    reply = kernel.run(code).failed()
    assert "caught" in reply.stderr and "caught" not in reply.traceback
    assert reply.traceback.startswith("`?` returned an error at cell line 2:13: invalid digit")


def test_an_error_in_a_cell_that_awaits_tells_its_causes(own_kernel):
    own_kernel.run(CAUSES).ok()
    reply = own_kernel.run("let ready = async { 5 }.await;\nErr::<u8, _>(failed())?;").failed()
    assert "cell line 2:1:" in reply.traceback and CHAIN[2] in reply.traceback


def test_who_misses_what_a_cell_with_a_mistake_was_to_define_is_told_of_it(kernel):
    count = kernel.run("fn early(x: i32) -> i32 { x } let late = early(\"x\");").failed().count
    for name in ("early", "late"):
        said = kernel.run(f"println!(\"{{}}\", {name}{'(1)' if name == 'early' else ''});").failed().text
        assert f"In[{count}], which was to define `{name}`, has a mistake in it" in said, said
    kernel.run("fn early(x: i32) -> i32 { x } let late = early(3);").ok()
    assert result(kernel.run("late")) == "3"


def test_what_holds_for_several_mistakes_is_said_once(kernel):
    said = kernel.run("px::put(&std::thread::current()); px::put(&std::thread::current().id());").failed().text
    assert said.count("can't travel between") >= 2 and said.count("  = note: a reference can't") == 1, said
    said = kernel.run("let mut xs = vec![1]; xs.push(2)?;").failed().text
    assert "leave out the `?`" in said and "nightly" not in said, said
