"""Completion and documentation: at once, also while a cell runs."""

import os
import signal
import time

import pytest

import processes
from test_compiler import LONG, compiler_of, wait_for_rustc_of

ANSWER = 30
"""The kernel waits for 2 s at most; a busy machine may need longer."""


@pytest.fixture
def ask(kernel):
    return Ask(kernel)


class Ask:
    """Asks about a place in a cell; `|` is the cursor, or the code before and behind it is given."""

    def __init__(self, kernel):
        self.kernel = kernel

    def request(self, kind, code, **content):
        before, after = code if isinstance(code, tuple) else code.split("|")
        started = time.monotonic()
        reply = self.kernel.ask(kind, {"code": before + after, "cursor_pos": len(before)} | content, ANSWER)
        self.took = time.monotonic() - started
        assert reply["status"] == "ok", reply
        return reply

    def complete(self, code):
        reply = self.request("complete_request", code)
        types = reply["metadata"]["_jupyter_types_experimental"]
        assert [entry["text"] for entry in types] == reply["matches"]
        for entry in types:
            assert (entry["start"], entry["end"]) == (reply["cursor_start"], reply["cursor_end"])
        assert len(set(reply["matches"])) == len(reply["matches"]) <= 300
        return reply

    def matches(self, code):
        return self.complete(code)["matches"]

    def signature(self, code, text):
        types = self.complete(code)["metadata"]["_jupyter_types_experimental"]
        return next(entry["signature"] for entry in types if entry["text"] == text)

    def inspect(self, code, detail_level=0):
        reply = self.request("inspect_request", code, detail_level=detail_level)
        assert reply["found"] == bool(reply["data"])
        return reply["data"].get("text/plain", "")

    def ready(self):
        """Until the compiler has started; a busy machine may need longer than the kernel waits."""
        processes.wait_until("methods of a vector", lambda: "push" in self.matches("vec![1u8].pu|"), 60)


SETUP = """\
/// How warm it is.
#[derive(Debug, Clone, Default)]
struct Weather { degrees: f64, windy: bool }
impl Weather {
    /// Whether to go out.
    fn fine(&self, least: f64) -> bool { self.degrees > least && !self.windy }
}
enum Sky { Clear, Cloudy(u8) }
let mut places = vec![String::from("here")];
let now = Weather::default();"""


def test_it_answers_while_a_cell_runs(kernel, ask, tmp_path):
    kernel.run(SETUP).ok()
    gate = tmp_path / "gate"
    running = kernel.send(
        f'let brandnew = vec![Sky::Clear];\nprintln!("runs");\n'
        f'while !std::path::Path::new("{gate}").exists() {{\n'
        f'    std::thread::sleep(std::time::Duration::from_millis(20));\n}}'
    )
    kernel.wait_for_text(running, "runs")
    ask.ready()
    assert "places" in ask.matches("pla|")
    assert "push" in ask.matches("places.pu|")
    assert {"degrees", "windy", "fine", "clone"} <= set(ask.matches("now.|"))
    assert "Cloudy" in ask.matches("let s = Sky::Cl|")
    assert ask.matches("brandnew.is_em|") == ["is_empty"], "variables of the cell that runs"
    assert "How warm it is." in ask.inspect("let w: Weat|her;")
    assert "Whether to go out." in ask.inspect("now.fine(|)")
    assert ask.took < 2, "an answer that was late"
    assert not running.done
    gate.touch()
    kernel.wait(running).ok()


def test_rust(kernel, ask):
    kernel.run(SETUP).ok()
    ask.ready()
    assert "HashMap" in ask.matches("use std::collections::Hash|;")
    assert "collections" in ask.matches("std::coll|")
    assert "println!" in ask.matches("printl|")
    assert "while" in ask.matches("whi|")
    assert ask.matches("let inner_name = 1;\ninner_n|") == ["inner_name"]
    assert "fine" in ask.matches(":vars\n// über\nnow.fi|ne(1.0);")
    assert ask.signature("pla|", "places") == "Vec<String>"
    assert "fine(&self, least: f64) -> bool" in ask.signature("now.fi|", "fine")
    # Nothing of how cells are compiled shows.
    assert not [text for text in ask.matches("now.|") + ask.matches("|") if "evcxr" in text or "chorus" in text]
    assert {"a", "own"} <= set(ask.matches("struct Own { a: u8 }\nimpl Own { fn own(&self) {} }\nlet o = Own { a: 1 };\no.|"))
    assert {"Clear", "Cloudy"} <= set(ask.matches("Sky::|"))
    assert "rank" in ask.matches("px::ra|")
    assert "map" in ask.matches("places.iter().ma|;")
    # Also in what isn't closed yet, or closes too much.
    for code in ["if now.|", "dbg!(now.|", "let f = |x: u8| { now.|", "if true { now.fi|ne(}", "now.|}", "} now.|"]:
        before, _, after = code.rpartition("|")
        assert "fine" in ask.matches((before, after)), code
    # Characters, not bytes; the whole word is replaced.
    reply = ask.complete('let é𝄞 = "é𝄞"; places.pu|sh')
    assert (reply["cursor_start"], reply["cursor_end"]) == (22, 26)
    # Hover.
    assert "let now: Weather" in ask.inspect("no|w")
    assert "Vec<String>" in ask.inspect("places|")
    assert ask.inspect("   |   ") == ""
    method = ask.inspect("now.fi|ne(1.0)")
    assert ask.inspect("now.fine|(1.0)") == method, "at its end"
    assert ask.inspect("le|t x = 1;"), "keywords"
    fields = "".join(f"field_{n}: u8," for n in range(20))
    large = f"struct Large {{ {fields} }}\nlet l: Lar|ge;"
    assert "field_19" in ask.inspect(large, detail_level=1) and "field_19" not in ask.inspect(large)
    # What is broken is no error.
    for code in ["}|", "now.|}", '"|', "let x = (|", "%px \n}|", "é|é", ":|", "!|"]:
        ask.complete(code)
        ask.inspect(code)


def test_definitions_change_and_may_go(kernel, ask):
    kernel.run("struct Changing { first: u8 }\nlet changing = Changing { first: 1 };").ok()
    ask.ready()
    assert "first" in ask.matches("changing.|")
    kernel.run("struct Changing { second: u8 }\nlet changed = Changing { second: 1 };").ok()
    matches = ask.matches("changed.|")
    assert "second" in matches and "first" not in matches


def test_magics_and_commands(kernel, ask, tmp_path):
    assert "%px" in ask.matches("%p|") and "%pxresult" in ask.matches("let a = 1;\n%p|")
    assert ask.matches("%%p|") == ["%%px"]
    assert ask.matches("%px --nobl|") == ["--noblock"]
    assert "engine" in ask.matches("%px -g |")
    assert ask.matches("%cluster sto|") == ["stop"]
    assert ask.matches(":show|") == [":show_deps"]
    (tmp_path / "data").mkdir()
    (tmp_path / "day.rs").touch()
    assert ask.matches(f"%cd {tmp_path}/da|") == [f"{tmp_path}/data/"]
    kernel.run(f"%cd {tmp_path}").ok()
    assert ask.matches("%run da|") == ["data/", "day.rs"]
    kernel.run("%cd -").ok()
    assert "--targets" in ask.inspect("%p|x foo()")
    assert "add a dependency" in ask.inspect(":de|p")


def test_engines_variables(cluster, ask):
    cluster.run("%px let everywhere = vec![1u8];\n%px -t 1,2 let some = 2.5f64;").ok()
    cluster.run("let local_only = 1;").ok()
    ask.ready()
    assert "push" in ask.matches("%px everywhere.pu|")
    assert ask.signature("%%px\nlet x = 1;\nsom|", "some") == "f64 on engines 1-2"
    assert "local_only" not in ask.matches("%%px\nloc|")
    assert "everywhere" not in ask.matches("everyw|")
    assert ask.matches("%%px -t 0\nsome.flo|") == [], "engine 0 doesn't have it"
    assert "floor" in ask.matches("%%px\nsome.flo|")
    assert "engines 0-3" in ask.inspect("%px everywh|ere")
    assert "size" in ask.matches("%px px::si|")
    assert ask.matches("%px -t |") == ["all", "0", "1", "2", "3"]
    cluster.run("%autopx").ok()
    try:
        assert ask.matches("everywh|") == ["everywhere"]
    finally:
        cluster.run("%autopx").ok()
    cluster.run("%px -o kept_so 1").ok()
    assert ask.matches("%pxresult -o |") == ["kept_so"]


def test_crates(kernel, ask, tmp_path):
    source = tmp_path / "helpful" / "src"
    source.mkdir(parents=True)
    (source.parent / "Cargo.toml").write_text('[package]\nname = "helpful"\nversion = "0.1.0"\nedition = "2024"\n')
    (source / "lib.rs").write_text("/// Helps.\npub fn helping() -> u8 { 1 }\n")
    ask.ready()
    kernel.run(f':dep helpful = {{ path = "{source.parent}" }}').ok()
    # It is read first.
    processes.wait_until("the crate's functions", lambda: ask.matches("helpful::he|") == ["helping"], 60)
    assert "Helps." in ask.inspect("helpful::helping|()")


def stopped_rustc_of(compiler):
    """One that was stopped; none if it had ended before: some only say their version."""
    rustc = wait_for_rustc_of(compiler)
    try:
        os.kill(rustc, signal.SIGSTOP)
        return rustc
    except ProcessLookupError:
        return None


def test_it_answers_while_a_cell_compiles(own_kernel):
    ask = Ask(own_kernel)
    own_kernel.run(SETUP).ok()
    running = own_kernel.send(LONG + "\nlong_0(1).len()")
    rustc = processes.wait_until("a rustc that is stopped", lambda: stopped_rustc_of(compiler_of(own_kernel)))
    try:
        assert ask.matches("pla|") == ["places"], "names are known"
        assert ask.took < 2, "an answer that was late"
    finally:
        os.kill(rustc, signal.SIGCONT)
    own_kernel.wait(running).ok()
    # What was asked meanwhile changes nothing for the cells.
    assert "push" in ask.matches("places.pu|")
    own_kernel.run("nothing_of_the_kind").failed()
    assert own_kernel.run("places.len()").ok().text.strip() == "1"


def but_workers(kernel):
    return {pid for pid in processes.marked(kernel.mark) if " worker " not in processes.describe(pid)}


def test_the_first_answer_comes_at_once_and_takes_no_process(own_kernel):
    ask = Ask(own_kernel)
    own_kernel.run("let somewhere = vec![1u8];").ok()
    before = but_workers(own_kernel)
    started = time.monotonic()
    processes.wait_until("methods of a vector", lambda: "push" in ask.matches("somewhere.|"), 60)
    # A rust-analyzer that has yet to read the standard library takes longer, on any machine.
    assert time.monotonic() - started < 2
    assert but_workers(own_kernel) == before


def test_a_compiler_that_dies_or_hangs_harms_nobody(own_kernel):
    ask = Ask(own_kernel)
    own_kernel.run("let somewhere = vec![1u8];").ok()
    ask.ready()
    first = compiler_of(own_kernel)
    os.kill(first, signal.SIGKILL)
    processes.wait_until("an answer of another compiler", lambda: "push" in ask.matches("somewhere.pu|"), 60)
    second = compiler_of(own_kernel)
    assert second != first
    os.kill(second, signal.SIGSTOP)
    assert ask.matches("somewh|") == ["somewhere"], "variables are known without it"
    assert ask.took < 5, "an answer that was late"
    own_kernel.run("somewhere").ok()
    processes.wait_until("an answer of a third compiler", lambda: "push" in ask.matches("somewhere.pu|"), 60)
