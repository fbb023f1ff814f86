"""`jupyter console`, at a terminal."""

import sys

import pexpect
import pytest

import processes


@pytest.fixture
def console(installed, chorus):
    arguments = ["-m", "jupyter_console", "--kernel", "chorus", "--simple-prompt"]
    env = chorus.env | {"TERM": "dumb", "PYTHONUNBUFFERED": "1"}
    child = pexpect.spawn(sys.executable, arguments, env=env, encoding="utf-8", timeout=120, dimensions=(40, 120))
    yield child
    child.close(force=True)
    processes.end_all(chorus.mark)


def test_cells_at_a_terminal(console):
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
