"""`jupyter console`, at a terminal."""

import sys

import pexpect
import pytest

import processes
from conftest import hang_up


@pytest.fixture
def open_console(installed, chorus):
    children = []

    def start(*arguments, **variables):
        command = ["-m", "jupyter_console", "--kernel", "chorus", *arguments]
        env = chorus.env | {"PYTHONUNBUFFERED": "1"} | variables
        child = pexpect.spawn(sys.executable, command, env=env, encoding="utf-8", timeout=120, dimensions=(40, 120))
        children.append(child)
        return child

    yield start
    for child in children:
        hang_up(child)
    processes.end_all(chorus.mark)


def test_cells_at_a_terminal(open_console):
    console = open_console("--simple-prompt", TERM="dumb")
    console.expect(r"In \[1\]: ")
    console.sendline("1 + 1")
    console.expect(r"Out\[1\]: 2\b")
    console.expect(r"In \[2\]: ")
    console.sendline('%px println!("at the terminal");')
    console.expect_exact("[stdout:")
    console.expect_exact("at the terminal")
    console.expect(r"In \[3\]: ")
    console.sendline('panic!("shown here")')
    console.expect_exact("shown here")
    console.expect(r"In \[4\]: ")
    # So long that there is a bar; what a terminal never redraws is its last line.
    console.sendline("%map |i: u64| std::thread::sleep(std::time::Duration::from_millis(i)) over 0..60u64")
    console.expect(r"60 items on \d+ engines? in \d")
    console.expect(r"In \[5\]: ")


def test_a_cell_magic_is_typed_line_by_line_until_an_empty_line(open_console):
    patient = "--ZMQTerminalInteractiveShell.kernel_is_complete_timeout=60"
    console = open_console(patient, TERM="xterm", PROMPT_TOOLKIT_NO_CPR="1")
    console.expect(r"In \[")
    for line in ("%%bash", "echo fir''st", "echo sec''ond", ""):
        console.send(line + "\r")
    console.expect("first\r+\nsecond")
    console.expect(r"In \[")
    for line in ("fn twice(x: i32) -> i32 {", "2 * x", "}", "twice(", "21)"):
        console.send(line + "\r")
    console.expect(r"42\b")
