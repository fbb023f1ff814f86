"""Dependencies are built once a machine, and all cells of a notebook, or of an engine, share one copy of each."""

import json
import pathlib
import re
import shutil

import pytest

import processes
from conftest import start_kernel

LOG = ':offline 1\n:dep log = "0.4"'
LOGGER = """
use log::{LevelFilter, Log, Metadata, Record};
struct Tell;
impl Log for Tell {
    fn enabled(&self, _: &Metadata) -> bool { true }
    fn log(&self, record: &Record) { println!("heard {}", record.args()); }
    fn flush(&self) {}
}
"""
SET_LOGGER = "log::set_logger(&Tell).unwrap(); log::set_max_level(LevelFilter::Info);"
TOKIO = ':offline 1\n:dep tokio = { version = "1", features = ["rt-multi-thread", "time"] }'
THREADS = 'std::fs::read_dir("/proc/self/task").unwrap().count()'
LIBRARIES = """
std::fs::read_to_string("/proc/self/maps").unwrap().lines()
    .filter_map(|line| line.split('/').next_back())
    .filter(|name| name.starts_with("libchorus_deps"))
    .collect::<std::collections::BTreeSet<_>>().len()
"""
BUILD = 400
"""Seconds that a cell may take that builds dependencies, on a small and busy machine."""


@pytest.fixture(scope="module")
def built(installed, tmp_path_factory):
    """A cache that the tests of this module share, so that little is built twice."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def cache(built, monkeypatch):
    monkeypatch.setenv("CHORUS_CACHE_DIR", str(built))
    return built


def said(kernel, code):
    return kernel.run(code, timeout=BUILD).ok().text.strip()


def folder(kernel):
    return pathlib.Path(kernel.env["CHORUS_RUNTIME_DIR"]) / "kernels" / str(kernel.pid)


def test_what_one_cell_sets_the_next_finds(cache):
    with start_kernel() as kernel:
        said(kernel, LOG)
        said(kernel, LOGGER)
        said(kernel, SET_LOGGER)
        assert "heard me" in said(kernel, 'log::info!("me");')
        assert said(kernel, LIBRARIES) == "1"
        # A dependency that is added leaves the others what they are, although it comes in another library.
        said(kernel, ':dep rayon = "1"')
        assert "heard me still" in said(kernel, 'log::info!("me still");')
        # One pool for all cells, as large as the first says.
        said(kernel, "rayon::ThreadPoolBuilder::new().num_threads(3).build_global().unwrap();")
        assert said(kernel, "rayon::current_num_threads()") == "3"
        said(kernel, "use rayon::prelude::*; (0..100).into_par_iter().sum::<i32>()")
        before = said(kernel, THREADS)
        said(kernel, "use rayon::prelude::*; (0..101).into_par_iter().sum::<i32>()")
        assert said(kernel, f"{THREADS} + 0") == before
        assert said(kernel, LIBRARIES) == "2"
        again = kernel.run("rayon::ThreadPoolBuilder::new().num_threads(2).build_global().unwrap();").failed()
        assert "all cells share rayon's global pool" in again.traceback, again
        # A panic in one of its threads goes on in the cell's own.
        code = 'use rayon::prelude::*;\n(0..9).into_par_iter().for_each(|n| if n == 5 { panic!("at {n}") });'
        reply = kernel.run(code).failed()
        assert re.search(r"panicked at cell line 2:\d+: at 5", reply.traceback.splitlines()[0]), reply
        assert 'panic!("at {n}")' in reply.traceback
        # Engines have copies of their own.
        said(kernel, "%cluster start -n 2")
        said(kernel, f"%px {SET_LOGGER}")
        told = kernel.run('%px log::info!("engine {}", px::rank());').ok().stdout
        assert "heard engine 0" in told and "heard engine 1" in told
        assert "[9, 16]" in said(kernel, "%map |x: i32| { log::info!(\"{x}\"); x * x } over vec![3, 4]")


def test_a_task_goes_on_in_the_next_cell(cache):
    with start_kernel() as kernel:
        said(kernel, TOKIO)
        said(
            kernel,
            "let task = tokio::spawn(async {\n"
            "    tokio::time::sleep(std::time::Duration::from_millis(20)).await;\n"
            "    41 + 1\n});\ntokio::task::yield_now().await;",
        )
        assert said(kernel, "task.await.unwrap()") == "42"


def test_tokio_has_one_runtime_in_every_kind_of_cell(cache):
    alive = "tokio::runtime::Handle::current().metrics().num_alive_tasks()"
    with start_kernel() as kernel:
        said(kernel, TOKIO)
        # Nothing was awaited yet. The type of a loop's end has a name that only a nightly compiler takes.
        endless = "let task = tokio::spawn(async { loop { tokio::time::sleep(std::time::Duration::from_millis(5)).await } });"
        said(kernel, endless)
        assert said(kernel, "task.is_finished()") == "false"
        # With another library of the same crates it is still the same.
        said(kernel, ':dep log = "0.4"')
        assert said(kernel, f"{alive} + log::max_level() as usize") == "1"
        assert said(kernel, f"tokio::task::yield_now().await; {alive}") == "1"
        assert said(kernel, "task.abort(); task.await.unwrap_err().is_cancelled()") == "true"
        # What blocks can be called after a cell has awaited, too, and a macro may await.
        said(kernel, "let own = tokio::runtime::Builder::new_current_thread().build().unwrap();")
        assert said(kernel, "own.block_on(async { 2 + 3 })") == "5"
        said(kernel, "macro_rules! hidden { ($e:expr) => { $e.await } }")
        assert said(kernel, "hidden!(async { 2 + 4 })") == "6"
        said(kernel, "drop(own);")
        said(kernel, "%cluster start -n 2")
        said(kernel, f"%%px\n{endless}")
        assert "1" in said(kernel, f"%px {alive}")
        # Functions that engines call find it, too.
        said(kernel, "fn spawned(n: u32) -> u32 { tokio::spawn(async move { n }); n + 1 }")
        assert said(kernel, "px::call!(spawned, 5).get().unwrap()") == "6"
        assert "[1, 2]" in said(kernel, "%map |n| spawned(n) over vec![0, 1]")


def test_random_numbers_do_not_come_again_after_a_restore(cache):
    with start_kernel() as kernel:
        said(kernel, ':offline 1\n:dep rand = "0.10"')
        said(kernel, "use rand::prelude::*;\nlet mut kept = rand::rng();\nlet zero = kept.random::<u8>() as u128 * 0;")
        numbers = "(0..3).map(|_| kept.random::<u128>()).collect::<Vec<_>>()"
        given = []
        for end in ("std::process::exit(1);", "std::process::abort();", ""):
            reply = kernel.run(f'println!("{{:?}} {{}}", {numbers}, zero); {end}')
            assert reply.content["status"] == ("error" if end else "ok")
            given += re.findall(r"\d{20,}", reply.stdout)
        assert len(given) == len(set(given)) == 9, given


def test_another_kernel_builds_nothing(cache):
    cells = [LOG, LOGGER, SET_LOGGER, 'log::info!("me");']
    with start_kernel() as kernel:
        told = [said(kernel, code) for code in cells][-1]
        assert "heard me" in told
    sets = {path: path.stat().st_mtime_ns for path in (cache / "dependencies/sets").glob("*/lib*.so")}
    cargos = [path for path in (cache / "dependencies/target").rglob("*.rlib")]
    with start_kernel() as kernel:
        told = [said(kernel, code) for code in cells][-1]
        assert "heard me" in told
        # A cell that has to be compiled finds the same logger.
        assert "heard a new one" in said(kernel, 'log::info!("a {}", "new one");')
        assert not list(folder(kernel).rglob("liblog-*"))
    assert sets == {path: path.stat().st_mtime_ns for path in (cache / "dependencies/sets").glob("*/lib*.so")}
    assert cargos == [path for path in (cache / "dependencies/target").rglob("*.rlib")]


def test_the_order_of_adding_does_not_matter(cache):
    """Of two sets that have a crate, the first library that is loaded has the one that counts."""
    with start_kernel() as kernel:
        said(kernel, f'{LOG}\n:dep itoa = "1"')
        said(kernel, LOGGER)
        said(kernel, "let mut buffer = itoa::Buffer::new();")
        said(kernel, SET_LOGGER)
        said(kernel, "%cluster start -n 1")
        # The engine begins with the library of the second set.
        said(kernel, ':dep cfg-if = "1"')
        said(kernel, f"%px {SET_LOGGER}")
        assert "heard 7" in kernel.run('%px log::info!("{}", itoa::Buffer::new().format(7));').ok().stdout
        assert "heard 8" in said(kernel, 'log::info!("{}", buffer.format(8));')


def test_a_variable_whose_type_becomes_another_is_named_at_once(cache):
    with start_kernel() as kernel:
        said(kernel, ':offline 1\n:dep smallvec = "1"\n:dep itoa = "1"')
        said(kernel, "let small: smallvec::SmallVec<[u8; 4]> = smallvec::smallvec![1]; let n = 3;")
        said(kernel, "let mut buffer = itoa::Buffer::new();")
        reply = kernel.run(':dep smallvec = { version = "1", features = ["union"] }', timeout=BUILD).ok()
        assert "Lost: `small` of the notebook." in reply.text and "`smallvec`" in reply.text
        assert said(kernel, "(buffer.format(n).to_owned(), n)") == '("3", 3)'
        assert "`small` was lost" in kernel.run("small.len()").failed().text


def test_a_mistake_is_told_where_it_is_and_nothing_is_added(cache):
    with start_kernel() as kernel:
        reply = kernel.run(f'{LOG}\n:dep nothing-of-this-name = "1"', timeout=BUILD).failed()
        assert "nothing-of-this-name" in reply.text and "line 3" in reply.text
        assert "log" not in said(kernel, ":show_deps")
        said(kernel, LOG)
        assert said(kernel, "log::max_level()") == "Off"


def test_a_crate_that_does_not_compile_fails_the_build(cache, tmp_path):
    """From a folder, so it is built in the kernel's own; what it has of a registry is still shared by cells."""
    (tmp_path / "src").mkdir()
    manifest = '[package]\nname = "mine"\nversion = "0.1.0"\nedition = "2024"\n[dependencies]\nlog = "0.4"\n'
    (tmp_path / "Cargo.toml").write_text(manifest)
    source = tmp_path / "src/lib.rs"
    source.write_text("pub fn say() { 1 + }")
    with start_kernel() as kernel:
        said(kernel, LOG)
        reply = kernel.run(f':dep mine = {{ path = "{tmp_path}" }}', timeout=BUILD).failed()
        assert "mine" in reply.text
        source.write_text('pub fn say() { log::info!("mine"); }')
        said(kernel, f':dep mine = {{ path = "{tmp_path}" }}')
        said(kernel, LOGGER)
        said(kernel, SET_LOGGER)
        assert "heard mine" in said(kernel, "mine::say();")
        # It is each object's own, so an edit counts at once.
        source.write_text('pub fn say() { log::info!("edited"); }')
        assert "heard edited" in said(kernel, "mine::say(); 1")


def test_an_interrupt_ends_a_build_and_the_next_goes_on(installed, tmp_path, monkeypatch):
    monkeypatch.setenv("CHORUS_CACHE_DIR", str(tmp_path / "cache"))
    with start_kernel() as kernel:
        said(kernel, "1 + 1")
        reply = kernel.send(f'{LOG}\n:dep syn = {{ version = "2", features = ["full"] }}')
        shown = lambda: any("dependencies" in json.dumps(display) for display in reply.displays)
        kernel.pump(shown, BUILD, "a bar of the build")
        kernel.interrupt()
        kernel.wait(reply)
        assert reply.failed().content["ename"] == "Interrupted"
        assert "interrupted after" in json.dumps(reply.displays)
        assert said(kernel, ":show_deps") == ""
        assert not [path for path in processes.marked(kernel.mark) if "cargo" in processes.describe(path)]
        said(kernel, LOG)
        assert said(kernel, "log::max_level()") == "Off"


def test_what_was_removed_is_built_again(installed, tmp_path, monkeypatch, chorus):
    monkeypatch.setenv("CHORUS_CACHE_DIR", str(tmp_path / "cache"))
    with start_kernel() as kernel:
        said(kernel, LOG)
        assert said(kernel, "log::max_level()") == "Off"
        env = {"CHORUS_CACHE_DIR": str(tmp_path / "cache")}
        info = json.loads(chorus("cache", "info", "--json", env=env).stdout)["dependencies"]
        # There may be one of no dependency, too.
        assert info["sets"] in (1, 2) and info["bytes"] > 100_000
        assert f"Removed {info['sets']} sets of dependencies" in chorus("cache", "clear", env=env).stdout
        assert said(kernel, "log::max_level() as usize").split()[-1] == "0"
        assert json.loads(chorus("cache", "info", "--json", env=env).stdout)["dependencies"]["sets"] == 1
    shutil.rmtree(tmp_path / "cache")


def test_versions_go_with_a_file(cache, tmp_path):
    old = ':offline 1\n:dep hashbrown = { version = "0.14", default-features = false }'
    any_of_them = ':offline 1\n:dep hashbrown = { version = ">=0.14", default-features = false }'
    lock = tmp_path / "versions.lock"
    with start_kernel(cwd=tmp_path) as kernel:
        assert "there are no dependencies" in kernel.run("%deps lock versions.lock").failed().text
        assert "No dependencies" in said(kernel, "%deps")
        said(kernel, old)
        assert "hashbrown 0.14." in said(kernel, "%deps")
        assert "Wrote the versions to versions.lock" in said(kernel, "%deps lock versions.lock")
        assert "has dependencies already" in kernel.run("%deps use versions.lock").failed().text
    with start_kernel(cwd=tmp_path) as kernel:
        said(kernel, any_of_them)
        assert "hashbrown 0.14." not in said(kernel, "%deps")
    with start_kernel(cwd=tmp_path) as kernel:
        assert "nothing.lock" in kernel.run("%deps use nothing.lock").failed().text
        (tmp_path / "bad.lock").write_text("no versions")
        assert "isn't a Cargo.lock" in kernel.run("%deps use bad.lock").failed().text
        assert "take their versions from versions.lock" in said(kernel, "%deps use versions.lock")
        said(kernel, any_of_them)
        assert "hashbrown 0.14." in said(kernel, "%deps")
        assert said(kernel, "hashbrown::HashSet::<u8, std::hash::RandomState>::default().len()") == "0"
    assert "hashbrown" in lock.read_text()
