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
