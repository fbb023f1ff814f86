"""`%px` and `%%px`: where a cell runs, what its flags mean, and where its outputs go."""

import re

import pytest


def engines_of(text):
    """`0-2,5` as numbers."""
    for part in text.split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def labelled(reply, pattern):
    """Engine and text of lines like `[stdout:2] text`, in order; `[stdout:0-3] text` is four of them."""
    found = re.findall(pattern, reply.text, re.MULTILINE)
    return [(engine, text.strip()) for engines, text in found for engine in engines_of(engines)]


def stdout(reply):
    return sorted(labelled(reply, r"^\[stdout:([\d,-]+)\] (.*)$"))


def results(reply):
    """Results as {engine: text}."""
    found = labelled(reply, r"^Out\[([\d,-]+):\d+\]: (.*)$")
    assert len(dict(found)) == len(found), f"an engine has two results:\n{reply.text}"
    return dict(found)


def wait_for(path):
    return (
        f'while !std::path::Path::new("{path}").exists() {{ std::thread::sleep(std::time::Duration::from_millis(5)); }}'
    )


# Where it runs


def test_a_line_runs_on_every_engine(cluster):
    reply = cluster.run('%px println!("{} of {}", px::rank(), px::size());').ok()
    assert stdout(reply) == [(engine, f"{engine} of 4") for engine in range(4)]


def test_a_cell_runs_on_every_engine(cluster):
    reply = cluster.run('%%px\nlet square = px::rank() * px::rank();\nprintln!("{square}");').ok()
    assert stdout(reply) == [(0, "0"), (1, "1"), (2, "4"), (3, "9")]
    assert results(cluster.run("%px square").ok()) == {0: "0", 1: "1", 2: "4", 3: "9"}


def test_stderr_is_labelled(cluster):
    reply = cluster.run('%%px -t 2\neprintln!("careful");').ok()
    assert "[stderr:2] careful" in reply.stderr and "careful" not in reply.stdout


def test_every_line_is_labelled(cluster):
    reply = cluster.run('%%px -t 1\nprint!("a\\nb\\n"); print!("c");').ok()
    assert stdout(reply) == [(1, "a"), (1, "b"), (1, "c")]


@pytest.mark.parametrize(
    "targets, engines",
    [("1", [1]), ("0,2", [0, 2]), ("::2", [0, 2]), ("1:3", [1, 2]), ("all", [0, 1, 2, 3]), ("-1", [3])],
)
def test_targets(cluster, targets, engines):
    reply = cluster.run(f'%%px --targets {targets}\nprintln!("x");').ok()
    assert stdout(reply) == [(engine, "x") for engine in engines]


def test_targets_hold_for_one_cell_only(cluster):
    cluster.run("%%px -t 0\n1").ok()
    assert len(results(cluster.run("%px 1").ok())) == 4


def test_rank_is_the_place_among_the_cells_engines(cluster):
    assert results(cluster.run("%%px -t 1,3\n(px::rank(), px::size())").ok()) == {1: "(0, 2)", 3: "(1, 2)"}


# Results


def test_equal_results_are_folded(cluster):
    reply = cluster.run("%px 6 * 7").ok()
    assert re.search(r"^Out\[0-3:\d+\]: 42$", reply.text, re.MULTILINE), reply
    assert reply.text.count("42") == 1


def test_only_equal_results_are_folded(cluster):
    reply = cluster.run("%px px::rank() / 3").ok()
    assert re.search(r"^Out\[0-2:\d+\]: 0$", reply.text, re.MULTILINE), reply
    assert re.search(r"^Out\[3:\d+\]: 1$", reply.text, re.MULTILINE), reply


def test_each_shows_every_result(cluster):
    reply = cluster.run("%%px --each\n6 * 7").ok()
    for engine in range(4):
        assert re.search(rf"^Out\[{engine}:\d+\]: 42$", reply.text, re.MULTILINE), reply


def test_rich_output_comes_from_every_engine(cluster):
    cluster.run(
        """
        struct Cell(usize);
        impl Cell {
            fn evcxr_display(&self) {
                println!("EVCXR_BEGIN_CONTENT text/html\\n<i>engine {}</i>\\nEVCXR_END_CONTENT", self.0);
            }
        }
        """
    ).ok()
    reply = cluster.run("%px Cell(px::rank())").ok()
    assert sorted(html for html in reply.html if "<i>" in html) == [f"<i>engine {engine}</i>" for engine in range(4)]


def test_displays_say_whose_they_are(cluster):
    code = '%%px -t 2\nprintln!("EVCXR_BEGIN_CONTENT text/html\\n<u>shown</u>\\nEVCXR_END_CONTENT");'
    reply = cluster.run(code).ok()
    assert any("<u>shown</u>" in html for html in reply.html), reply
    assert "[output:2]" in reply.text


@pytest.mark.parametrize(
    "mime, content",
    [("image/svg+xml", "<svg xmlns='http://www.w3.org/2000/svg'/>"), ("image/png", "iVBORw0KGgo=")],
)
def test_images_arrive(cluster, mime, content):
    reply = cluster.run(f'%%px -t 0,1\nprintln!("EVCXR_BEGIN_CONTENT {mime}\\n{content}\\nEVCXR_END_CONTENT");').ok()
    assert [data[mime].strip() for data in reply.displays + reply.results if mime in data].count(content) in (1, 2)


# Definitions


def test_items_may_stand_beside_the_magic(cluster):
    reply = cluster.run("fn triple(x: u64) -> u64 { 3 * x }\n%px triple(px::rank() as u64)").ok()
    assert results(reply) == {0: "0", 1: "3", 2: "6", 3: "9"}


def test_a_string_with_a_percent_sign_is_no_magic(cluster):
    assert cluster.run('println!("\n%px is a magic\n");').ok().stdout == "\n%px is a magic\n\n"
    assert cluster.run("let rest = 17\n% 5; rest").ok().results == [{"text/plain": "2"}]


def test_variables_of_a_subset_exist_there_only(cluster):
    cluster.run("%%px -t 0\nlet only_there = 10;").ok()
    assert results(cluster.run("%%px -t 0\nonly_there + 1").ok()) == {0: "11"}
    reply = cluster.run("%px only_there").failed()
    assert "`only_there`" in reply.text and "engines 1-3" in reply.text, reply
    reply = cluster.run("%%px -t 0,2\nonly_there").failed()
    assert "`only_there`" in reply.text and re.search(r"\bengine 2\b", reply.text), reply
    assert len(results(cluster.run("%px px::rank()").ok())) == 4, "a cell that doesn't use it runs everywhere"


def test_variables_of_one_name_may_have_types_of_their_own(cluster):
    cluster.run("%%px -t 0,1\nlet mixed: i32 = 1;").ok()
    cluster.run('%%px -t 2,3\nlet mixed = String::from("text");').ok()
    assert results(cluster.run("%%px -t 0,1\nmixed").ok()) == {0: "1", 1: "1"}
    assert results(cluster.run("%%px -t 2,3\nmixed").ok()) == {2: '"text"', 3: '"text"'}


def test_local_runs_the_cell_here_as_well(cluster):
    reply = cluster.run('%%px --local\nlet both = 5; println!("ran");').ok()
    assert stdout(reply) == [(engine, "ran") for engine in range(4)]
    assert "ran" in [line.strip() for line in reply.lines()], "the local output has no label"
    assert cluster.run("both").ok().results == [{"text/plain": "5"}]
    assert results(cluster.run("%px both").ok()) == {engine: "5" for engine in range(4)}


def test_out_keeps_the_outputs_under_a_name(cluster):
    cluster.run("%%px -o answers\npx::rank() * 11").ok()
    cluster.run("%px 5").ok()
    kept = cluster.run("%pxresult -o answers").ok()
    assert results(kept) == {engine: str(engine * 11) for engine in range(4)}
    assert results(cluster.run("%pxresult").ok()) == {engine: "5" for engine in range(4)}
    assert "questions" in cluster.run("%pxresult -o questions").failed().text


# When outputs are shown


def test_no_stream_groups_by_engine(cluster):
    code = 'println!("one"); eprintln!("two"); println!("three");'
    reply = cluster.run(f"%%px --no-stream --each --group-outputs engine\n{code}").ok()
    order = [engine for engine, _ in labelled(reply, r"^\[std(?:out|err):(\d+)\] (.*)$")]
    assert order == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3, reply


def test_no_stream_groups_by_type(cluster):
    reply = cluster.run('%%px --no-stream --each -g type\nprintln!("one"); eprintln!("two"); px::rank()').ok()
    kinds = re.findall(r"^(\[stdout|\[stderr|Out)", reply.text, re.MULTILINE)
    assert kinds == ["[stdout"] * 4 + ["[stderr"] * 4 + ["Out"] * 4, reply


def test_no_stream_shows_equal_output_once(cluster):
    code = 'println!("same"); if px::rank() == 3 { println!("other"); }'
    reply = cluster.run(f"%%px --no-stream\n{code}").ok()
    assert stdout(reply) == [(0, "same"), (1, "same"), (2, "same"), (3, "other"), (3, "same")]
    assert reply.text.count("same") == 2, reply


def test_streaming_shows_output_while_engines_run(cluster, tmp_path):
    gate = tmp_path / "gate"
    reply = cluster.send(f'%%px\nprintln!("early"); {wait_for(gate)} println!("late");')
    cluster.wait_for_text(reply, "early", times=4)
    assert not reply.done
    gate.touch()
    assert len(stdout(cluster.wait(reply).ok())) == 8


def test_no_stream_waits_for_the_end(cluster, tmp_path):
    gate = tmp_path / "gate"
    started = [tmp_path / f"started-{engine}" for engine in range(4)]
    touch = f'std::fs::write(format!("{tmp_path}/started-{{}}", px::rank()), "").unwrap();'
    reply = cluster.send(f'%%px --no-stream\nprintln!("early"); {touch} {wait_for(gate)}')
    cluster.pump(lambda: all(path.exists() for path in started), 60, lambda: "all engines to start")
    cluster.settle()
    assert "early" not in reply.text
    gate.touch()
    assert len(stdout(cluster.wait(reply).ok())) == 4


# Without blocking


def test_noblock_returns_at_once_and_pxresult_collects(cluster, tmp_path):
    gate = tmp_path / "gate"
    first = cluster.run(f'%%px -a\n{wait_for(gate)}\nprintln!("slow {{}}", px::rank());\npx::rank()', background=True)
    first.ok()
    second = cluster.send('%px println!("second")')
    collected = cluster.send("%pxresult")
    gate.touch()
    cluster.wait(second).ok()
    cluster.wait(collected).ok()
    assert stdout(second) == [(engine, "second") for engine in range(4)], "outputs of the first cell in the second"
    assert "slow" not in second.text
    assert "second" not in first.text


def test_pxresult_shows_the_last_result(cluster, tmp_path):
    gate = tmp_path / "gate"
    cluster.run(f'%%px -a\n{wait_for(gate)}\nprintln!("worked"); px::rank()', background=True).ok()
    gate.touch()
    reply = cluster.run("%pxresult").ok()
    assert stdout(reply) == [(engine, "worked") for engine in range(4)]
    assert results(reply) == {engine: str(engine) for engine in range(4)}
    assert results(cluster.run("%pxresult").ok()) == {engine: str(engine) for engine in range(4)}, "shown again"


def test_pxresult_shows_all_that_nobody_has_seen(cluster):
    cluster.run('%%px -a\nprintln!("first")', background=True).ok()
    cluster.run('%%px -a -o named\nprintln!("second")', background=True).ok()
    cluster.run('%%px -a\nif px::rank() == 2 { panic!("third") }', background=True).ok()
    last = cluster.run("%%px -a\npx::rank() + 40", background=True).ok()
    cluster.run('%px println!("seen")').ok()
    assert "second" in cluster.run("%pxresult -o named").ok().text
    reply = cluster.run("%pxresult").failed()
    first, third, fourth = (reply.text.index(part) for part in ("first", "panicked at", "40"))
    assert first < third < fourth and "second" not in reply.text and "seen" not in reply.text, reply
    counts = [int(count) for count in re.findall(r"^In\[(\d+)\]:$", reply.stdout, re.MULTILINE)]
    assert counts == [last.count - 3, last.count - 1, last.count], reply
    assert f"1 of 3 cells failed, as is said above: In[{last.count - 1}]" in reply.content["evalue"]
    again = cluster.run("%pxresult").ok()
    assert "seen" in again.text and "In[" not in again.text, "each once, then the last again"


def test_pxresult_fails_as_the_cell_did(cluster):
    cluster.run('%%px -a\nif px::rank() == 2 { panic!("later") }', background=True).ok()
    reply = cluster.run("%pxresult").failed()
    assert "[2:execute]" in reply.text and "later" in reply.text


def test_a_local_cell_runs_beside_a_background_one(cluster, tmp_path):
    gate = tmp_path / "gate"
    cluster.run(f"%%px -a\n{wait_for(gate)}", background=True).ok()
    assert cluster.run("1 + 1").ok().results == [{"text/plain": "2"}]
    gate.touch()
    cluster.run("%pxresult").ok()


# Defaults and help


def test_pxconfig_sets_the_defaults(cluster):
    try:
        cluster.run("%pxconfig -t 1,2").ok()
        assert results(cluster.run("%px px::rank()").ok()) == {1: "0", 2: "1"}
        assert results(cluster.run("%%px -t 3\npx::rank()").ok()) == {3: "0"}, "a flag of the cell wins"
    finally:
        cluster.run("%pxconfig -t all").ok()
    for magic in ("%pxconfig -t 9 --each", "%pxconfig -t 7:", "%autopx -t 9"):
        refused = cluster.run(magic).failed()
        assert refused.content["ename"] == "TargetError" and "the defaults stay as they are" in refused.traceback
        assert "0-3" in refused.traceback, refused.traceback
    assert len(results(cluster.run("%px px::rank()").ok())) == 4



def test_defaults_that_have_become_wrong_are_named(own_kernel):
    """They were right when they were set."""
    kernel = own_kernel
    kernel.run("%cluster start -n 3").ok()
    kernel.run("%pxconfig -t 2").ok()
    assert results(kernel.run("%px px::rank()").ok()) == {2: "0"}
    kernel.run("%cluster stop").ok()
    kernel.run("%cluster start -n 2").ok()
    for cell in ("%px px::rank()", "%map |x| x + 1 over 0..3"):
        failed = kernel.run(cell).failed()
        assert failed.content["ename"] == "TargetError", failed
        assert "0-1" in failed.traceback and "%pxconfig" in failed.traceback, failed.traceback
    assert results(kernel.run("%%px -t 1\npx::rank()").ok()) == {1: "0"}
    kernel.run("%pxconfig -t all").ok()
    assert len(results(kernel.run("%px px::rank()").ok())) == 2


def test_autopx_sends_every_cell_to_the_engines(cluster):
    cluster.run("%autopx").ok()
    try:
        reply = cluster.run("px::rank()").ok()
        assert len(results(reply)) == 4 and reply.stdout == "%autopx: on engines 0-3\n"
        reply = cluster.run("let through_autopx = px::rank();\n%cd .\nlet more = 1;").ok()
        assert reply.stdout.count("%autopx: on") == 1, "once a cell"
        assert "%autopx" not in cluster.run("%px 1").ok().stdout, "it says where it goes itself"
    finally:
        cluster.run("%autopx").ok()
    reply = cluster.run("1 + 1").ok()
    assert reply.results == [{"text/plain": "2"}] and reply.stdout == ""
    assert results(cluster.run("%px through_autopx").ok()) == {engine: str(engine) for engine in range(4)}


@pytest.mark.parametrize("code", ["%px?", "%%px -h", "%%px --help"])
def test_help(cluster, code):
    reply = cluster.run(code)
    assert reply.status == "ok"
    shown = reply.text + "".join(part["data"].get("text/plain", "") for part in reply.content.get("payload", []))
    for flag in ("--targets", "--noblock", "--no-stream", "--group-outputs", "--out", "--local", "--progress-after"):
        assert flag in shown, f"{flag} isn't in the help:\n{shown}"


def test_every_flag_is_taken(cluster):
    flags = "-t all -b --stream -e --verbose --progress-after 10 --signal-on-interrupt SIGTERM"
    assert len(results(cluster.run(f"%%px {flags}\npx::rank()").ok())) == 4


def test_progress_is_shown_when_asked_at_once(cluster, tmp_path):
    gate = tmp_path / "gate"
    reply = cluster.send(f"%%px --progress-after 0\nif px::rank() == 0 {{ {wait_for(gate)} }}")
    cluster.pump(lambda: re.search(r"\b3/4\b", reply.text + str(reply.displays)), 60, lambda: f"3/4 in {reply.text}")
    gate.touch()
    cluster.wait(reply).ok()
