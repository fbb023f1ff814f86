"""The cells of the book in `docs/` do what its pages say.

A page has one kernel. Its blocks of Rust are cells and run in their order. A block of `text` right behind a cell is what a reader
sees of it: `…` stands for what differs from run to run, and lines of several engines come in any order. A cell without such a block
must not fail. One that is `rust,no_run` doesn't run, and a comment above it says why.

`DOCS=write pytest tests/python/test_docs.py` puts what comes out into the blocks that don't fit. Then read what has changed.
"""

import os
import re
from dataclasses import dataclass

import pytest

from conftest import ROOT, start_kernel
from harness import CELL_TIMEOUT, plain

DOCS = ROOT / "docs"

BUILD = 400.0
"""Dependencies may have to be built, px anew with them, on a machine that does other things, too."""

NOT_RUN = {"loops"}
"""Pages whose blocks are parts of cells. test_notebooks.py runs whole ones in notebooks/loops.ipynb."""

FENCE = re.compile(r"^(`{3,})(.*)$")

# How far the building of dependencies is.
NOTICES = re.compile(r"^dependencies[ :].*\n", re.MULTILINE)


@dataclass
class Block:
    """A fenced block of a page."""

    line: int
    """The number of its first line, from 0."""
    end: int
    language: str
    text: str
    follows: bool
    """Whether nothing but blank lines are between it and the block before it."""
    reason: str | None
    """Why it doesn't run."""


@dataclass
class Cell:
    """A cell of a page, with the block that has its output, if there is one."""

    block: Block
    output: Block | None


def blocks(lines):
    begin, last = None, None
    for number, line in enumerate(lines):
        fence = FENCE.match(line)
        if begin is None and fence:
            begin, marks, language = number, fence[1], fence[2].strip()
        elif begin is not None and line.strip() == marks:
            above = lines[begin - 1] if begin else ""
            reason = re.fullmatch(r"<!-- not run: (.+) -->", above)
            follows = last is not None and not any(lines[last + 1 : begin])
            yield Block(begin + 1, number, language, "\n".join(lines[begin + 1 : number]), follows, reason and reason[1])
            begin, last = None, number
    assert begin is None, f"line {begin + 1} opens a block that nothing closes"


def cells(lines):
    found = []
    previous = None
    for block in blocks(lines):
        if block.language.split(",")[0] == "rust":
            assert block.language in ("rust", "rust,no_run"), f"line {block.line}: {block.language}"
            is_run = block.language == "rust"
            assert is_run == (block.reason is None), f"line {block.line}: `no_run` needs a reason, and a reason `no_run`"
            previous = Cell(block, None)
            found.append(previous)
        else:
            if block.language == "text" and previous is not None and block.follows:
                assert block.text.strip() != "…", f"line {block.line}: any output would do"
                previous.output = block
            previous = None
    return found


def pages():
    return sorted(path.stem for path in DOCS.glob("*.md") if path.stem != "SUMMARY")


def page(name):
    return (DOCS / f"{name}.md").read_text().split("\n")


def by_engine(lines):
    """Lines that engines sent side by side, in the order of the engines."""
    engine = re.compile(r"\[\w+:(\d+)\]|Out\[([\d,-]+):")
    found, run = [], []
    for line in [*lines, ""]:
        match = engine.match(line)
        if match:
            # What it prints comes before its result.
            run.append((match[1] is None, int(re.split("[,-]", match[1] or match[2])[0]), line))
            continue
        found += [line for *_, line in sorted(run, key=lambda one: one[:2])]
        found.append(line)
        run = []
    return found[:-1]


def shown(reply):
    """What a reader sees of a cell as text when it has ended: updated outputs as they are then, and not what was cleared."""
    parts, by_id, is_cleared = [], {}, False
    for kind, content, _ in reply.messages:
        ident = content.get("transient", {}).get("display_id")
        if kind == "clear_output":
            is_cleared = True
            continue
        if is_cleared:
            parts, by_id, is_cleared = [], {}, False
        if kind == "stream":
            parts.append(content["text"])
        elif kind == "error":
            # Front ends show the traceback alone.
            parts.append("\n".join(content["traceback"]) + "\n")
        elif kind in ("execute_result", "display_data"):
            by_id[ident] = len(parts)
            parts.append(content["data"].get("text/plain", "") + "\n")
        elif kind == "update_display_data" and ident in by_id:
            parts[by_id[ident]] = content["data"].get("text/plain", "") + "\n"
    text = NOTICES.sub("", plain("".join(parts)))
    lines = [line.rstrip() for line in text.strip("\n").splitlines()]
    return "\n".join(by_engine(lines))


def without_times(text):
    """As it is written to a page: how long something took differs from run to run."""
    text = re.sub(r"( items? on )\d+ engines? in .*", r"\1… in …", text)
    text = re.sub(r"^run .*; compiled in .*", "run …; compiled in …", text, flags=re.MULTILINE)
    text = re.sub(r"^.* per loop ", "… per loop ", text, flags=re.MULTILINE)
    text = re.sub(r"(100% .* \d+/\d+), .*", r"\1, …", text)
    return re.sub(r"( B) in [\d.]+ s$", r"\1 in … s", text, flags=re.MULTILINE)


def without_counts(text):
    """Cells are counted otherwise where a reader has run others before."""
    text = re.sub(r"In\[\d+\]", "In[_]", text)
    return re.sub(r"(Out\[[\d,-]+:)\d+\]", r"\1_]", text)


def fits(expected, text):
    """Whether this is what a block says."""
    lines = without_counts(expected).split("\n")
    lines = [r"[\s\S]*" if line.strip() == "…" else re.escape(line).replace("…", ".*") for line in lines]
    whole = "\n".join(lines)
    # At the end, there may be nothing more.
    whole = re.sub(r"\n\[\\s\\S\]\*$", lambda more: f"({more[0]})?", whole)
    return re.fullmatch(whole, without_counts(text)) is not None


@pytest.mark.parametrize("name", [name for name in pages() if cells(page(name)) and name not in NOT_RUN])
def test_its_cells_do_what_it_says(name, installed, tmp_path):
    lines = page(name)
    found = cells(lines)
    wrong, written = [], []
    with start_kernel(cwd=tmp_path, env={"RUST_BACKTRACE": "0"}) as kernel:
        for cell in found:
            if cell.block.reason:
                continue
            # A map that isn't waited for shows how far it is behind its cell's end.
            timeout = BUILD if ":dep" in cell.block.text else CELL_TIMEOUT
            reply = kernel.run(cell.block.text, timeout, background=" -a " in cell.block.text)
            text = shown(reply)
            if cell.output is None:
                if reply.status != "ok":
                    wrong.append(f"{name}.md:{cell.block.line}\n{cell.block.text}\n--- failed:\n{text}")
            elif not fits(cell.output.text, text):
                wrong.append(f"{name}.md:{cell.block.line}\n{cell.block.text}\n--- gave:\n{text}\n--- and not:\n{cell.output.text}")
                written.append((cell.output, text))
        kernel.settle()
    if os.environ.get("DOCS") == "write":
        for block, text in reversed(written):
            lines[block.line : block.end] = without_times(text).split("\n")
        (DOCS / f"{name}.md").write_text("\n".join(lines))
    assert not wrong, "\n\n".join(wrong)


def sections(name):
    """The headings of a page, each with what stands below it, up to the next one."""
    found, heading, is_code = {}, None, False
    for line in page(name):
        is_code ^= bool(FENCE.match(line))
        if line.startswith(("## ", "### ")) and not is_code:
            heading = line.lstrip("# ")
            found[heading] = ""
        elif heading is not None:
            found[heading] += line + "\n"
    return found


def described(name):
    """What the headings of a page name, as `a`, `b`: each must have an example."""
    found = {}
    for heading, text in sections(name).items():
        for item in re.findall(r"`([^`]+)`", heading):
            assert item not in found, f"{name}.md describes {item} twice"
            found[item] = text
    return found


def test_the_magics_are_those_of_the_kernel(kernel):
    listed = kernel.run("%lsmagic").ok().text
    forms = {form for line in re.findall(r"^  ([%!][^\s,]*(?:, %%\w+)?) ", listed, re.MULTILINE) for form in line.split(", ")}
    items = described("magics")
    assert items.keys() == forms
    for item, text in items.items():
        examples = [cell.block for cell in cells(text.split("\n")) if item == "!COMMAND" or item in cell.block.text]
        assert examples, f"{item} has no example"


def test_the_items_of_px_are_those_of_the_crate():
    source = (ROOT / "px/src/lib.rs").read_text()
    # What is hidden from the documentation isn't for cells.
    source = re.sub(r"#\[doc\(hidden\)\]\npub (?:(?:use|mod|extern)[^;]*;|mod \w+ \{[^}]*\})", "", source)
    used = ",".join(re.findall(r"^pub use [\w:]+?::(?:\{([^}]*)\}|\w+);", source, re.MULTILINE))
    public = {name.strip() for name in used.split(",") if name.strip()}
    public |= set(re.findall(r"^pub use [\w:]+::(\w+);", source, re.MULTILINE))
    public |= set(re.findall(r"^pub fn (\w+)", source, re.MULTILINE))
    for path in (ROOT / "px/src").rglob("*.rs"):
        for above, name in re.findall(r"((?:^ *#\[.*\]\n)+)^ *macro_rules! (\w+)", path.read_text(), re.MULTILINE):
            if "macro_export" in above and "doc(hidden)" not in above:
                public.add(f"{name}!")
    items = described("px")
    assert {item.removeprefix("px::") for item in items} == public
    for item, text in items.items():
        assert any(item in cell.block.text for cell in cells(text.split("\n"))), f"{item} has no example"
    modules = set(re.findall(r"^pub mod (\w+)", source, re.MULTILINE))
    assert modules == set(re.findall(r"`px::(\w+)`", sections("px")["Modules"]))
