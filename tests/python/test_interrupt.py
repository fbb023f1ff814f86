"""Interrupting parallel cells: the cell ends within a second and the engines can be used again."""

import re
import time

import pytest

LOOPS = {
    "a loop that computes": "loop { std::hint::spin_loop(); }",
    "a loop that sleeps": "loop { std::thread::sleep(std::time::Duration::from_secs(1)); }",
    "a loop that prints": 'loop { println!("x"); }',
}


def interrupt(kernel, reply, limit=1.0):
    asked = time.time()
    kernel.interrupt()
    kernel.wait(reply, timeout=20).failed()
    assert reply.idle_at - asked < limit, f"the interrupt took {reply.idle_at - asked:.2f} s"


def assert_usable(kernel):
    reply = kernel.run("%%px --each\npx::rank()").ok()
    assert re.findall(r"^Out\[(\d):\d+\]: \1$", reply.text, re.MULTILINE) == list("0123"), reply


class Seen:
    """Counts a word in a stream that is too long to be kept."""

    def __init__(self, word, times):
        self.word, self.missing, self.rest = word, times, ""

    def __call__(self, _, text):
        text = self.rest + text
        self.missing -= text.count(self.word)
        self.rest = text[-len(self.word) + 1 :]

    @property
    def enough(self):
        return self.missing <= 0


@pytest.mark.parametrize("loop", LOOPS)
def test_a_parallel_cell_is_interrupted(cluster, loop):
    seen = Seen("looping", 4)
    reply = cluster.send(f'%px println!("looping"); {LOOPS[loop]}', on_stream=seen)
    cluster.pump(lambda: seen.enough or reply.done, 120, lambda: "the loop on four engines")
    interrupt(cluster, reply)
    assert_usable(cluster)


def test_only_the_engines_still_at_work_are_interrupted(cluster):
    cluster.run("%px let spared = 1;").ok()
    reply = cluster.send(f'%px println!("looping"); if px::rank() == 3 {{ {LOOPS["a loop that computes"]} }}')
    cluster.wait_for_text(reply, "looping", times=4)
    interrupt(cluster, reply)
    assert "Out[0-2:" in cluster.run("%%px -t 0:3\nspared").ok().text
    assert_usable(cluster)


def test_an_interrupt_of_pxresult_ends_the_waiting_and_not_the_work(cluster, tmp_path):
    gate = tmp_path / "gate"
    work = f'while !std::path::Path::new("{gate}").exists() {{}} println!("still at work");'
    cluster.run(f"%%px -a\n{work}", background=True).ok()
    reply = cluster.send("%pxresult")
    cluster.settle()
    interrupt(cluster, reply)
    gate.touch()
    assert cluster.run("%pxresult").ok().text.count("still at work") >= 1
    assert_usable(cluster)


def test_an_endless_background_cell_can_be_ended(cluster):
    cluster.run(f"%%px -a\n{LOOPS['a loop that computes']}", background=True).ok()
    cluster.run("%cluster restart").ok()
    assert_usable(cluster)


def test_an_interrupt_while_the_compiler_works_ends_the_cell(cluster):
    cluster.run("%px let kept = 1;").ok()
    reply = cluster.send(f"%px let never = 1; {LOOPS['a loop that computes']}")
    cluster.pump(lambda: reply.begun, 60, lambda: "the cell to begin")
    interrupt(cluster, reply, limit=10)  # rust-analyzer may have to come to its end.
    assert_usable(cluster)


def test_a_local_cell_is_interrupted_and_the_engines_are_not(cluster):
    cluster.run("%px let untouched = 9;").ok()
    cluster.run("let kept = 8;").ok()
    reply = cluster.send('println!("looping"); loop {}')
    cluster.wait_for_text(reply, "looping")
    interrupt(cluster, reply)
    assert "8" in cluster.run("kept").ok().text
    assert "Out[0-3:" in cluster.run("%px untouched").ok().text


def test_cells_waiting_behind_are_not_run(cluster):
    first = cluster.send(f'%px println!("looping"); {LOOPS["a loop that computes"]}')
    second = cluster.send('%px println!("must not run");')
    cluster.wait_for_text(first, "looping", times=4)
    interrupt(cluster, first)
    cluster.wait(second)
    assert second.status != "ok" and "must not run" not in second.stdout
    assert_usable(cluster)


def test_what_an_interrupt_ends_besides_is_said_and_costs_the_next_cell_nothing(cluster):
    cluster.run("%px let precious = vec![px::rank(); 3];").ok()
    cluster.run(f"%%px -a\n{LOOPS['a loop that computes']}", background=True).ok()
    reply = cluster.send("%px --progress-after 0 1")
    cluster.wait_for_text(reply, "0/4 engines done")
    interrupt(cluster, reply, limit=3)
    assert re.search(r"In\[\d+\], which ran on engines 0-3, has ended, too", reply.text), reply
    assert cluster.run("%px precious.len()").ok().text.count("3") >= 1
    assert "SIGINT" in cluster.run("%pxresult").failed().text


def test_a_cell_that_goes_on_behind_an_interrupt_begins_nothing_more(cluster):
    cluster.run(f'fn slow() -> usize {{ println!("begun"); {LOOPS["a loop that sleeps"]} }}').ok()
    reply = cluster.send('for _ in 0..3 { if let Err(e) = px::engines().each(slow) { println!("{e}"); } }')
    cluster.wait_for_text(reply, "begun", times=4)
    cluster.interrupt()
    cluster.wait(reply, timeout=20)
    assert reply.text.count("begun") == 4 and "nothing was called" in reply.text, reply
    assert_usable(cluster)
