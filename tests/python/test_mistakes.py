"""What beginners read when they make their usual mistakes: each text is kept in `mistakes/`, as a reader sees it.

A file there is a theme; all are run in one kernel. A case is a title behind `===`, cells with `---` between them, and behind `>>>` the
text that the last cell gives. To write the texts anew: `MISTAKES=write pytest tests/python/test_mistakes.py`. Then read
what has changed as somebody would who has made the mistake: it is to say what happened, where, and what to do next.
"""

import os
import pathlib
import re

import pytest

from conftest import start_kernel

FOLDER = pathlib.Path(__file__).parent / "mistakes"

GENERATED = re.compile(r"\w*evcxr\w*|\w*__\w+|run_user_code\w*|\bctx\b|\w*chorus_\w*|px::\w+::\w+|px_\w+|lib\.rs|``", re.IGNORECASE)
"""Names that nobody wrote, and advice that says nothing."""


def cases(text):
    """The title, the cells and the text of each case."""
    for case in re.split(r"^=== ", text, flags=re.MULTILINE)[1:]:
        title, _, rest = case.partition("\n")
        code, _, said = rest.partition("\n>>>\n")
        yield title, re.split(r"^---\n", code.rstrip("\n") + "\n", flags=re.MULTILINE), said.rstrip("\n")


def written(case):
    title, cells, said = case
    code = "---\n".join(cells)
    return f"=== {title}\n{code}>>>\n{said}\n"


def normalised(reply, first):
    """What a reader sees, without what differs from run to run."""
    text = "\n".join(line.rstrip() for line in reply.text.splitlines())
    # The last line repeats the first for front ends that show only one.
    text = text.removesuffix(f"\n{reply.content.get('ename')}: {reply.content.get('evalue')}".rstrip())
    text = re.sub(r"In\[(\d+)\]", lambda found: f"In[{int(found[1]) - first + 1}]", text)
    text = re.sub(r"(Out\[[\d,-]+:)\d+\]", r"\1_]", text)
    text = re.sub(r"failed on engine \d+", "failed on engine _", text)
    text = re.sub(r"\d+ of \d+ items were done", "_ of _ items were done", text)
    text = re.sub(r"^Started the cluster .*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"thread 'main' \(\d+\)", "thread 'main'", text)
    text = re.sub(r"^dependencies[ :].*\n", "", text, flags=re.MULTILINE)
    return text.strip("\n")


def play(kernel, cells):
    first = None
    for cell in cells:
        reply = kernel.run(cell.rstrip("\n"))
        first = first or reply.count
    kernel.run("%reset -f", store_history=False).ok()
    return normalised(reply, first)


@pytest.fixture(scope="module")
def one_kernel(installed):
    with start_kernel(env={"RUST_BACKTRACE": "0"}) as kernel:
        yield kernel


@pytest.mark.parametrize("theme", ["rust", "borrowing", "others", "magics", "parallel"])
def test_mistakes_are_explained(theme, one_kernel):
    path, kernel = FOLDER / f"{theme}.txt", one_kernel
    if theme == "magics":
        kernel.run("%cluster start -n 2").ok()
    before = list(cases(path.read_text()))
    now = [(title, cells, play(kernel, cells)) for title, cells, _ in before]
    kernel.settle()
    if os.environ.get("MISTAKES") == "write":
        path.write_text("".join(map(written, now)))
        before = now
    for title, cells, said in now:
        words = {word for word in GENERATED.findall(said) if word not in "".join(cells)}
        assert not words, f"{title}: nobody wrote {words}:\n{said}"
    for is_now, was in zip(now, before, strict=True):
        assert is_now == was, f"{is_now[0]} says now:\n{is_now[2]}\n--- and said:\n{was[2]}"
