"""The magics that notebooks are used to: `%%html`, `%%capture`, `%cd`, `%env`, `%reset`, `%history`, `%run`."""

import os

import nbformat
import pytest


@pytest.mark.parametrize(
    "name, mime, has_text",
    [
        ("html", "text/html", False),
        ("markdown", "text/markdown", True),
        ("latex", "text/latex", True),
        ("svg", "image/svg+xml", False),
        ("javascript", "application/javascript", False),
    ],
)
def test_a_cell_is_shown(kernel, name, mime, has_text):
    text = "<b>%px</b>\n$x$"
    data = {mime: text} | ({"text/plain": text} if has_text else {})
    assert kernel.run(f"%%{name}\n{text}").ok().displays == [data]


def test_outputs_are_captured(cluster):
    reply = cluster.run(
        "%%capture out\n!echo from a shell\n"
        'println!("loud"); eprintln!("careful"); px::display(px::Html("<b>x</b>"));\n'
        "let inside = 3;\n%px -t 0 px::rank()\ninside + 1"
    ).ok()
    assert reply.text == "" and reply.results == []
    assert cluster.run("inside").ok().results == [{"text/plain": "3"}], "what it defines stays"
    (data,) = cluster.run("(&out.stdout, &out.stderr, out.displays.len())").ok().results
    assert data["text/plain"] == r'("from a shell\nloud\n", "careful\n", 3)'
    shown = cluster.run("out.show()").ok()
    assert shown.stdout == "from a shell\nloud\n" and shown.stderr == "careful\n"
    assert {"text/html": "<b>x</b>"} in shown.displays and {"text/plain": "4"} in shown.displays
    (data,) = cluster.run("out").ok().results
    assert data["text/plain"].endswith("`.show()` shows them")
    assert cluster.run("%%capture\n1 + 1").ok().text == ""
    failed = cluster.run('%%capture lost\nprintln!("before"); panic!("no")').failed()
    assert failed.stdout == "before\n" and "cell line 2:21" in failed.traceback
    assert "`lost`" in cluster.run("lost").failed().traceback
    timed = cluster.run("%%capture timed\n%%time\n1").ok()
    assert timed.text == "" and "compiled in" in cluster.run("timed.stdout.clone()").ok().text


def test_the_folder_is_changed_for_rust_and_programs(own_kernel, tmp_path):
    folder = tmp_path / "a b"
    folder.mkdir()
    (folder / "in").write_text("here")
    before = own_kernel.run("%pwd").ok().stdout
    assert own_kernel.run(f"%cd '{folder}'").ok().stdout == f"{folder}\n"
    reply = own_kernel.run('%pwd\n!pwd\nstd::fs::read_to_string("in").unwrap()').ok()
    assert reply.stdout == f"{folder}\n" * 2 and reply.results == [{"text/plain": '"here"'}]
    assert own_kernel.run("%cd ..\n%pwd").ok().stdout == f"{tmp_path}\n" * 2
    assert "there is no folder `nowhere`" in own_kernel.run("%cd nowhere").failed().traceback
    assert "`a b/in` is no folder" in own_kernel.run("%cd 'a b/in'").failed().traceback
    assert own_kernel.run("%cd -\n%cd -").ok().stdout == f"{folder}\n{tmp_path}\n"
    assert own_kernel.run("%cd").ok().stdout == f"{os.path.realpath(os.path.expanduser('~'))}\n"
    own_kernel.restart()
    assert own_kernel.run("%pwd").ok().stdout == before
    assert "hasn't left one yet" in own_kernel.run("%cd -").failed().traceback


def test_the_environment_is_shown_and_changed(kernel):
    assert kernel.run("%env CHORUS_TEST_A=a  'b").failed().content["ename"] == "MagicError"
    assert kernel.run("%env CHORUS_TEST_A=a b=c").ok().stdout == "CHORUS_TEST_A=a b=c\n"
    reply = kernel.run('%env CHORUS_TEST_A\n!echo "$CHORUS_TEST_A"\nstd::env::var("CHORUS_TEST_A").unwrap()').ok()
    assert reply.stdout == "a b=c\n" * 2 and reply.results == [{"text/plain": '"a b=c"'}]
    listed = kernel.run("%env").ok().stdout.splitlines()
    assert "CHORUS_TEST_A=a b=c" in listed and any(line.startswith("PATH=") for line in listed)
    assert "no variable `CHORUS_TEST_B`" in kernel.run("%env CHORUS_TEST_B").failed().traceback


def test_everything_is_forgotten_when_that_is_confirmed(own_kernel):
    own_kernel.run("fn known() -> i32 { 1 }\nlet value = known();").ok()
    assert "`%reset -f`" in own_kernel.run("%reset", allow_stdin=False).failed().traceback
    for typed, says in [("n", "Nothing is forgotten.\n"), ("y", "All variables and definitions are forgotten.\n")]:
        assert own_kernel.run("value").ok().results == [{"text/plain": "1"}]
        reply = own_kernel.send("%reset", allow_stdin=True)
        asked = own_kernel.client.get_stdin_msg(timeout=30)
        assert asked["content"]["prompt"].startswith("Forget all variables")
        own_kernel.client.input(typed)
        assert own_kernel.wait(reply).ok().stdout == says
    assert "no variables" in own_kernel.run("%who").ok().stdout
    assert "`known`" in own_kernel.run("known()").failed().traceback
    own_kernel.run("let value = 1;\n%reset -f").ok()
    assert "no variables" in own_kernel.run("%who").ok().stdout


def test_cells_that_were_run_are_listed(own_kernel):
    for cell in ("let one = 1;", "one +\n1", "missing"):
        own_kernel.run(cell)
    own_kernel.run("let silent = 1;", silent=True)
    own_kernel.run("let unstored = 1;", store_history=False)
    assert own_kernel.run("%history").ok().stdout == "let one = 1;\none +\n1\nmissing\n"
    assert own_kernel.run("%history -n 2-3").ok().stdout == "2: one +\n1\n3: missing\n"
    assert own_kernel.run("%history 1 4-").ok().stdout == "let one = 1;\n%history\n%history -n 2-3\n"
    assert "write the earlier cell first: 2-3" in own_kernel.run("%history 3-2").failed().traceback
    assert own_kernel.run("%history 90-").ok().stdout == "No cell of these numbers was run; the last one is 7.\n"


def test_a_file_is_run_as_a_cell(kernel, tmp_path):
    file = tmp_path / "a b.rs"
    file.write_text('//! A program.\nfn of_file(n: i32) -> i32 {\n    2 * n\n}\n\nfn main() {\n    println!("{}", of_file(4));\n}\n')
    assert kernel.run(f"%run '{file}'").ok().stdout == "8\n"
    assert kernel.run("of_file(3)").ok().results == [{"text/plain": "6"}]
    file.write_text("let fine = 1;\nlet bad: String = fine;\n")
    failed = kernel.run(f"// above\n\n%run '{file}'").failed()
    assert failed.content["evalue"].startswith(f"{file}: error[E0308]")
    assert "cell line 2, column 19" in failed.traceback and f"in {file}, which has these lines" in failed.traceback
    file.write_text(f"%run '{file}'\n")
    assert "would run itself" in kernel.run(f"%run '{file}'").failed().traceback
    file.write_text('%px -t\n')
    assert "MagicError" in kernel.run(f"%run '{file}'").failed().traceback
    assert "can't be read" in kernel.run(f"%run {tmp_path}/none.rs").failed().traceback


def test_a_notebook_is_run_cell_by_cell(kernel, tmp_path):
    file = tmp_path / "setup.ipynb"
    cell = nbformat.v4.new_code_cell
    cells = [cell("let of_notebook = 1;"), nbformat.v4.new_markdown_cell("text"), cell("of_notebook + 1"), cell('\npanic!("here")'), cell("9")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), file)
    failed = kernel.run(f"%run {file}").failed()
    assert failed.results == [{"text/plain": "2"}]
    assert "panicked at cell line 2:1: here" in failed.traceback
    assert f"in cell 4 of {file}, which has these lines" in failed.traceback
    assert kernel.run("of_notebook").ok().results == [{"text/plain": "1"}]
    cells[3] = cell("missing", metadata={"tags": ["raises-exception"]})
    nbformat.write(nbformat.v4.new_notebook(cells=cells), file)
    reply = kernel.run(f"%run {file}").ok()
    assert "cannot find value `missing`" in reply.stderr and f"in cell 4 of {file}" in reply.stderr
    assert reply.results[-1] == {"text/plain": "9"}
    file.write_text("{}")
    assert "no notebook" in kernel.run(f"%run {file}").failed().traceback


def test_magics_of_ipython_are_answered(kernel):
    assert "always there" in kernel.run("%load_ext ipyparallel").ok().stdout
    assert "evcxr_display" in kernel.run("%matplotlib inline").ok().stdout
    for cell, says in {
        "%pip install numpy": ":dep NAME",
        "%debug": "dbg!(value)",
        "%prun f()": "`%timeit`",
        "%config a": ":help",
        "%ls -l": "`!ls -l`",
        "%nonsense": "`%lsmagic` lists the magics",
    }.items():
        assert says in kernel.run(cell).failed().traceback, cell


def test_a_question_is_answered_in_the_pager(kernel):
    kernel.run("/// Doubles a number.\nfn doubled(n: i32) -> i32 { 2 * n }\nlet known = 1.5;").ok()
    for cell, texts in {
        "?doubled": ["fn doubled(n: i32) -> i32", "Doubles a number."],
        "?known": ["known", "f64"],
        "?%px": ["Usage: %px"],
    }.items():
        (page,) = kernel.run(cell).ok().content["payload"]
        assert page["source"] == "page"
        assert all(text in page["data"]["text/plain"] for text in texts), page
    reply = kernel.run("?nothing_of_this_name").ok()
    assert "nothing is known of `nothing_of_this_name`" in reply.stderr and reply.content["payload"] == []


def test_a_closure_that_its_cell_uses_ends_with_it(own_kernel):
    kernel = own_kernel
    cell = kernel.run("let n = 3;\nlet add = |x: i32| x + n; let twice = move |f: &dyn Fn(i32) -> i32, x| f(f(x));\nlet got = twice(&add, 1);\ngot").ok()
    assert cell.results[0]["text/plain"] == "7"
    assert kernel.run("(n, got)").ok().results[0]["text/plain"] == "(3, 7)"
    said = kernel.run("add(1)").failed().text
    assert f"ended with its cell, In[{cell.count}]" in said and "a `fn` can be called from all cells" in said, said
    # Places in the cell are the user's.
    said = kernel.run("let f = |x: i32| x + 1; let y: String = f(1);\ny").failed().text
    assert "cell line 1, column 41" in said, said
    said = kernel.run("let f = |x: usize| [1, 2][x]; f(5)").failed().text
    assert "cell line 1:20" in said, said
    # One that nobody uses can only be meant for later cells.
    assert "the notebook can't keep `unused`" in kernel.run("let unused = |x: i32| x;").failed().text
    # What one changes would be stored while it is changed.
    counts = "let mut step = || { count += 1; count }; step(); step();"
    assert kernel.run(f"let mut count = 0; {{ {counts} }} count").ok().results[0]["text/plain"] == "2"
    counted = kernel.run("let evens = (0..10).filter(|x| x % 2 == 0); evens.count()").ok()
    assert counted.results[0]["text/plain"] == "5"
