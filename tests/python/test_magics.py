"""The ordinary magics: `%time`, `%timeit`, `%%bash`, `!`, `%%writefile`, `%load`, `%who`."""

import os
import re
import signal
import time

import pytest

import processes

TIME = r"[\d.]+ (?:s|ms|µs|ns)"
RAN = rf"^run ({TIME}) \(user {TIME}, system {TIME}\); compiled in {TIME}$"
LOOPS = rf"^({TIME}) ± {TIME} per loop \(mean ± std. dev. of (\d+) runs?, ([\d,]+) loops? each\)$"


def ran(reply, pattern=RAN):
    found = re.findall(pattern, reply.stdout, re.MULTILINE)
    assert len(found) == 1, f"one line like {pattern} expected:\n{reply.text}"
    return found[0]


def sleepers(kernel):
    return [pid for pid in processes.marked(kernel.mark) if "sleep" in processes.describe(pid)]


def no_sleepers(kernel):
    processes.wait_until("the end of all that a cell started", lambda: not sleepers(kernel), 10)


def interrupt(kernel, reply):
    asked = time.time()
    kernel.interrupt()
    kernel.wait(reply, timeout=20).failed()
    assert reply.idle_at - asked < 0.5 + 0.5, f"the interrupt took {reply.idle_at - asked:.2f} s"
    assert reply.content["ename"] == "Interrupted"


# Time


def test_time_of_a_line_defines_and_shows(kernel):
    reply = kernel.run('let one = 1;\n%time let mut v = vec![one; 3]; println!("{}", v.len()); v[0]').ok()
    assert reply.results == [{"text/plain": "1"}] and reply.stdout.startswith("3\n")
    ran(reply)
    assert kernel.run("v.push(2); v").ok().results == [{"text/plain": "[1, 1, 1, 2]"}]


def test_time_of_a_cell_is_that_of_the_run(kernel):
    reply = kernel.run("%%time\nstd::thread::sleep(std::time::Duration::from_millis(300));\nlet t = 7;\nt").ok()
    number, unit = ran(reply).split()
    assert unit == "ms" and 300 <= float(number) < 900, reply.text
    assert reply.results == [{"text/plain": "7"}]
    # The cell counts its own user time (field 14 of /proc/self/stat, in hundredths of a second), so no machine is too fast for it.
    spent = """fn spent() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    stat.rsplit(')').next().unwrap().split(' ').nth(12).unwrap().parse().unwrap()
}"""
    busy = "for i in 0..1_000_000u64 { std::hint::black_box(i); }"
    reply = kernel.run(f"%%time\n{spent}\nlet begun = spent();\nwhile spent() - begun < 10 {{ {busy} }}").ok()
    user, unit = re.search(r"\(user ([\d.]+) (s|ms)", reply.stdout).groups()
    assert unit == "s" or float(user) > 80, reply.text


def test_time_of_engines(cluster):
    reply = cluster.run("%%time\n%%px\nstd::thread::sleep(std::time::Duration::from_millis(50 * px::rank() as u64));").ok()
    pattern = rf"^run ({TIME}) on the slowest engine \(user {TIME}, system {TIME} on all 4\); compiled in {TIME}$"
    number, unit = ran(reply, pattern).split()
    assert unit == "ms" and float(number) >= 150


def test_a_cell_that_fails_is_timed_and_fails(kernel):
    reply = kernel.run('%time panic!("no")').failed()
    assert "cell line 1:7" in reply.traceback and ran(reply)
    reply = kernel.run("%time missing").failed()
    assert "cell line 1, column 7" in reply.traceback and "compiled" not in reply.stdout


def test_timeit_measures_and_borrows(kernel):
    kernel.run("let mut data: Vec<u64> = (0..1000).collect();").ok()
    begun = time.monotonic()
    reply = kernel.run("%timeit data.iter().sum::<u64>()").ok()
    assert time.monotonic() - begun < 20
    each, runs, loops = ran(reply, LOOPS)
    assert runs == "7" and int(loops.replace(",", "")) >= 1000 and each.endswith(("µs", "ns"))
    reply = kernel.run('%timeit -n 2 -r 3 print!("x"); data.push(0)').ok()
    assert ran(reply, LOOPS.removeprefix("^"))[1:] == ("3", "2")
    assert reply.stdout.startswith("x" * 6) and "x" * 7 not in reply.stdout
    assert kernel.run("data.len()").ok().results == [{"text/plain": "1006"}]


def test_timeit_of_a_cell_has_a_setup(kernel):
    reply = kernel.run('%%timeit -n 3 -r 1 let mut n = 40; println!("once")\nn += 1;\nprintln!("n {n}");').ok()
    assert reply.stdout.startswith("once\nn 41\nn 42\nn 43\n")
    assert ran(reply, LOOPS)[1:] == ("1", "3")
    assert "`n`" in kernel.run("n").failed().traceback, "the setup's variables are gone"


@pytest.mark.parametrize(
    "code, says, place",
    [
        ("%timeit drop(text)", "cannot move out of `text`", "line 1, column 14"),
        ("%timeit -r 2 missing()", "missing", "line 1, column 14"),
        ("%%timeit let a = 1\na +\n  missing", "missing", "line 3, column 3"),
        ("1;\n%timeit let", "expected pattern", "line 2, column 12"),
        ("%timeit -n1 -r1 text[..99].len()", "out of bounds", "line 1:21"),
    ],
)
def test_errors_of_timeit_point_into_the_line(kernel, code, says, place):
    kernel.run('let text = "text".to_owned();').ok()
    reply = kernel.run(code).failed()
    assert says in reply.traceback and f"cell {place}" in reply.traceback, reply.traceback
    assert kernel.run("text").ok().results == [{"text/plain": '"text"'}]


# Other programs


def test_bash_prints_and_fails(kernel):
    reply = kernel.run("%%bash\nfor i in 1 2; do echo out $i; done\necho careful >&2\nread x; echo \"[$x]\"").ok()
    assert reply.stdout == "out 1\nout 2\n[]\n" and reply.stderr == "careful\n"
    reply = kernel.run("%%bash -e\necho before\nfalse\necho after").failed()
    assert reply.stdout == "before\n"
    assert (reply.content["ename"], reply.content["evalue"]) == ("CommandFailed", "`bash` exited with status 1")
    assert "SIGKILL" in kernel.run("%%sh\nkill -9 $$").failed().traceback
    assert "no such program" in kernel.run("%%script no-such-program\n").failed().traceback
    assert kernel.run("%%script python3 -u\nprint(6 * 7, '€')").ok().stdout == "42 €\n"


def test_output_comes_live_and_whole(kernel):
    reply = kernel.send("%%bash\necho first; while ! read -t 0.05 < /dev/null && [ ! -e $HOME/no ]; do sleep 0.05; done")
    kernel.wait_for_text(reply, "first")
    interrupt(kernel, reply)
    reply = kernel.run("%%bash\nseq 300000; printf 'no end'").ok()
    assert reply.stdout.splitlines() == [*map(str, range(1, 300001)), "no end"]
    assert len(reply.of("stream")) < 1000


def test_lines_for_the_shell(kernel):
    reply = kernel.run("!echo one\n!echo two | tr a-z A-Z\nlet shelled = true;\n!shelled").ok()
    assert reply.stdout == "one\nTWO\n" and reply.results == [{"text/plain": "false"}]
    reply = kernel.run("!echo a; exit 3\n!echo never").failed()
    assert reply.stdout == "a\n" and "`echo a; exit 3` exited with status 3" in reply.traceback
    assert "(!a)" in kernel.run("!shelled").failed().traceback
    assert kernel.run("(!shelled)").ok().results == [{"text/plain": "false"}]
    assert "MagicError" in kernel.run("let a = 1;\n%%bash\nls").failed().traceback


def test_rust_and_commands_are_told_apart(cluster):
    assert cluster.run("let no = false;").ok()
    cells = {
        "!(1 + 1)": "-3",
        "// above\n\n!(1 + 1)": "-3",
        "!echo a\n!(1 + 1)": "-3",
        "%time 1\n!(1 + 2)": "-4",
        "!!no": "false",
        "!{ no }": "true",
        "!matches!(1, 2)": "true",
        "!no && !(no)": None,
        '!"abc".is_empty()': "true",
        "!u8::MAX.is_power_of_two()": "true",
        "!0u8": "255",
        "::std::cmp::max(1, 7)": "7",
    }
    for cell, value in cells.items():
        reply = cluster.run(cell)
        if value is None:
            assert "help: above the cell's Rust" in reply.failed().traceback
        else:
            assert reply.ok().results[-1]["text/plain"] == value, f"{cell}\n{reply.text}"
    reply = cluster.run("let below = if no { 1 } else { 2 };\n:vars\nbelow").ok()
    assert "below: i32" in reply.text and reply.results[-1]["text/plain"] == "2", reply.text
    error = cluster.run("// above\n!(1 +\n  missing_here)").failed().traceback
    assert "cannot find value `missing_here`" in error and "cell line 3, column 3" in error, error
    for cell in ("%px -t 0 !(1 + 1)", "%%px -t 0\n!(1 + 1)", "%%px -t 0\n// above\n!(1 + 1)"):
        assert ": -3" in cluster.run(cell).ok().text, cell
    cluster.run("%autopx -t 0").ok()
    try:
        assert ": -3" in cluster.run("!(1 + 1)").ok().text
    finally:
        cluster.run("%autopx").ok()


def test_cells_have_the_path_of_whoever_started_the_kernel(cluster):
    path = os.environ["PATH"]
    reply = cluster.run('!echo "$PATH"\nprintln!("{}", std::env::var("PATH").unwrap());').ok()
    assert reply.stdout == f"{path}\n{path}\n"
    reply = cluster.run('%%px\nprintln!("{}", std::env::var("PATH").unwrap());').ok()
    assert reply.stdout.count(f"] {path}\n") == reply.stdout.count("\n") > 1, reply.stdout


def test_an_interrupted_program_is_gone_with_all_it_started(kernel):
    for script in (
        "%%bash\n(trap '' INT; sleep 600) & sleep 601 & echo started; wait",
        "!sleep 602 & trap '' INT; echo started; while :; do sleep 603; done",
        "%%bash\necho started; yes",
    ):
        seen = []
        reply = kernel.send(script, on_stream=lambda _, text: seen.append(text[:10]))
        kernel.pump(lambda: seen or reply.done, 30, lambda: "the program's start")
        interrupt(kernel, reply)
        no_sleepers(kernel)
    assert kernel.run("!echo well").ok().stdout == "well\n"


def test_what_runs_in_the_background_ends_with_the_cell(kernel):
    begun = time.monotonic()
    assert kernel.run("!sleep 600 & echo done").ok().stdout == "done\n"
    assert time.monotonic() - begun < 10
    no_sleepers(kernel)


@pytest.mark.parametrize("ending", ["killed", "shut down"])
def test_no_program_outlives_the_kernel(own_kernel, ending):
    reply = own_kernel.send("%%bash\nsleep 600 &\necho started; sleep 601")
    own_kernel.wait_for_text(reply, "started")
    assert sleepers(own_kernel)
    if ending == "killed":
        os.kill(own_kernel.pid, signal.SIGKILL)
    else:
        own_kernel.manager.shutdown_kernel()
    no_sleepers(own_kernel)


# Files


def test_a_cell_is_written_and_loaded(kernel, tmp_path):
    file = tmp_path / "a b.rs"
    text = "fn f() -> u8 { 7 }\n%%px\n€"
    assert kernel.run(f"%%writefile '{file}'\n{text}").ok().stdout == f"Writing {file} ({len(text.encode()) + 1} bytes)\n"
    assert file.read_text() == text + "\n"
    assert kernel.run(f"%%file -a '{file}'\nend\n").ok().stdout.startswith("Appending to ")
    assert file.read_text() == text + "\nend\n"
    reply = kernel.run(f"%load '{file}'").ok()
    loaded = f"// %load {file}\n{text}\nend\n"
    assert reply.content["payload"] == [{"source": "set_next_input", "text": loaded, "replace": True}]
    assert kernel.run("1").ok().content["payload"] == []
    assert kernel.run(f"%%writefile '{file}'\n").ok().stdout == f"Overwriting {file} (0 bytes)\n"
    assert file.read_bytes() == b""


def test_files_that_cannot_be(kernel, tmp_path):
    missing = tmp_path / "missing"
    assert f"there is no folder `{missing}`" in kernel.run(f"%%writefile {missing}/a\nx").failed().traceback
    assert "can't be written" in kernel.run(f"%%writefile {tmp_path}\nx").failed().traceback
    assert "only files" in kernel.run("%load https://example.org/a.rs").failed().traceback
    assert "No such file" in kernel.run(f"%load {missing}").failed().traceback
    assert "it is no file" in kernel.run(f"%load {tmp_path}").failed().traceback
    (tmp_path / "bytes").write_bytes(b"\xff\x00")
    assert "UTF-8" in kernel.run(f"%load {tmp_path}/bytes").failed().traceback


# The notebook


def test_variables_are_listed_with_who_has_them(cluster):
    cluster.run(":clear").ok()
    assert "no variables" in cluster.run("%who").ok().stdout
    cluster.run("let mut many: Vec<u8> = vec![]; let one = 1;\n%px let one = 1;\n%px -t 1:3 let two = 2u8;").ok()
    assert cluster.run("%who").ok().stdout.split() == ["many", "one", "two"]
    reply = cluster.run("%whos").ok()
    assert listed(reply) == [
        ["many", "Vec<u8>", "mut", "0", "24 B", "the notebook"],
        ["one", "i32", "4 B", "the notebook and engines 0-3"],
        ["two", "u8", "1 B", "engines 1-2"],
    ]
    assert ">Vec&lt;u8&gt;</td>" in reply.html[0] and ">24 B</td>" in reply.html[0]


def listed(reply):
    """The rows of a table; cells that are empty are none."""
    return [re.split(r" {2,}", line.strip()) for line in reply.lines()[1:]]


def test_lengths_and_sizes_are_listed_as_far_as_they_are_known(cluster):
    cluster.run(":clear").ok()
    reply = cluster.run(
        'struct Own(Vec<u8>);\nlet many = vec![Own(vec![1])]; let r#type = "abc"; let mut v = vec![0u8; 1 << 20];\n%whos'
    ).ok()
    assert listed(reply) == [
        ["many", "Vec<Own>", "1", "?", "the notebook"],
        ["r#type", "&str", "3", "16 B", "the notebook"],
        ["v", "Vec<u8>", "mut", str(1 << 20), "1.0 MiB", "the notebook"],
    ]
    grown = cluster.run("v = vec![0; 3 << 20];\n%whos").ok()
    assert listed(grown)[-1] == ["v", "Vec<u8>", "mut", str(3 << 20), "3.0 MiB", "the notebook"], "as it is now"
    cluster.run("%px let part = vec![0u64; 1000 * (px::rank() + 1)];").ok()
    row = listed(cluster.run("%whos").ok())[1]
    assert row == ["part", "Vec<u64>", "1000 – 4000", "7.8 KiB – 31.3 KiB", "engines 0-3"]
    status = cluster.run("%cluster status").ok().text
    assert "variables" in status and "31.3 KiB" in status and "7.8 KiB" in status, status


def test_help_names_all_magics_and_commands(kernel):
    names = "%px %%px %autopx %time %%time %timeit %%bash %%sh %%script %%writefile %%file %load %who %whos".split()
    magics = kernel.run("%lsmagic").ok()
    everything = kernel.run(":help").ok().stdout
    for name in names:
        assert re.search(rf"{name}\b", magics.text) and f"{name}" in magics.html[0]
        assert re.search(rf"{name}\b", everything)
    assert ":dep NAME" in everything and ":vars" in everything
    for asked in ("%timeit?", "%timeit -h", "%%timeit?", "%%timeit --help"):
        assert "%timeit [-n N] [-r R] CODE" in kernel.run(asked).ok().stdout
    assert "did you mean `%%writefile`?" in kernel.run("%%writfile a\nb").failed().traceback
    kernel.client.complete("%%wri")
    matches = kernel.client.get_shell_msg(timeout=20)["content"]["matches"]
    assert matches == ["%%writefile"]


# Where other programs run


def test_programs_and_files_of_magics_are_where_cells_are(own_kernel, tmp_path):
    kernel = own_kernel

    def said(line):
        return kernel.run(line).ok().stdout.strip()

    start = said("!pwd")
    kernel.run(f'std::env::set_current_dir("{tmp_path}")?;\nunsafe {{ std::env::set_var("MODE", "fast") }}').ok()
    assert said("!pwd") == said("!echo $PWD") == said("%%bash\npwd") == str(tmp_path)
    assert said("!echo mode=$MODE") == "mode=fast"
    kernel.run("%%writefile made.txt\ntext").ok()
    assert (tmp_path / "made.txt").read_text() == "text\n"
    loaded = kernel.run("%load made.txt").ok().content["payload"]
    assert "text" in loaded[0]["text"]
    # A program of a PATH that a cell has set, and a home of its own.
    tool = tmp_path / "bin/tool"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho tool of cells\n")
    tool.chmod(0o755)
    kernel.run(
        f"""unsafe {{
            std::env::set_var("PATH", format!("{tool.parent}:{{}}", std::env::var("PATH")?));
            std::env::set_var("HOME", "{tmp_path}/bin");
            std::env::remove_var("MODE");
        }}"""
    ).ok()
    assert said("!tool") == said("%%script tool\n") == "tool of cells" and said("!echo mode=$MODE") == "mode="
    kernel.run("%%writefile ~/home.txt\nx").ok()
    assert (tmp_path / "bin/home.txt").exists()
    # A death that a snapshot outlives changes nothing of that.
    kernel.run("let v = 1;").ok()
    time.sleep(0.2)
    kernel.run("std::process::abort()").failed()
    assert said("!pwd") == str(tmp_path) and said("!tool") == "tool of cells"
    # A folder that was removed is one, too.
    kernel.run('std::fs::create_dir("gone")?; std::env::set_current_dir("gone")?; std::fs::remove_dir("../gone")?;').ok()
    assert said("!echo still; ls") == "still"
    assert "gone" in kernel.run("%%writefile b.txt\nx").text or "can't be written" in kernel.run("%%writefile b.txt\nx").text
    # A fresh worker begins where the kernel did.
    kernel.run("%snapshot off").ok()
    kernel.run("1").ok()
    kernel.run("std::process::abort()").failed()
    assert said("!pwd") == start and kernel.run("std::env::current_dir()?").ok().results[0]["text/plain"] == f'"{start}"'
    assert said("!command -v tool || echo none") == "none"
    kernel.run(":env MODE=slow").ok()
    kernel.run(":restart").ok()
    assert said("!echo mode=$MODE") == "mode=slow"
