"""Maps of a cell's own Rust that GPUs run: `px::map(f, &xs).gpu()`. Who has called a function shows in what it returns."""

import pytest

from conftest import start_kernel
from test_gpu import kernel_with_gpus

CELL = """const ON_GPU: bool = cfg!(target_arch = "nvptx64");
fn doubled(x: u64) -> u64 {
    assert!(x < 1000, "too large: {x}");
    if ON_GPU { x * 2 } else { x }
}
let xs: Vec<u64> = (0..100).collect();
let k = 3u64;
let table = vec![10u64, 20, 30];"""
PATH = "px::map(doubled, &xs)"
WITH = "px::map_with((&k, &table), |(k, table): &(u64, Vec<u64>), x: u64| k * doubled(x) + table[x as usize % 3], 0..100u64)"
BY_GPU = [3 * 2 * x + [10, 20, 30][x % 3] for x in range(100)]


@pytest.fixture(scope="module")
def simulated(installed):
    with kernel_with_gpus(2) as kernel:
        kernel.run(CELL).ok()
        yield kernel



def test_every_end_is_the_gpus(simulated):
    for end, expected in [
        ("collect()? == (0..100).map(|x| 2 * x).collect::<Vec<u64>>()", "true"),
        ("sum()?", "9900"),
        ("filter(|y| *y > 100).count()?", "49"),
        ("min()?.unwrap()", "0"),
        ("max()?.unwrap()", "198"),
        ("mean()?.unwrap()", "99.0"),
        ("reduce(|a, b| a.max(b) + 1)?.is_some()", "true"),
        ("start().sum()?.get()?", "9900"),
        ("stream()?.map(|(i, y)| y.unwrap() - i as u64).sum::<u64>()", "4950"),
        ("on_error(px::OnError::Skip).on(&px::engines().on([1])).chunk(7).collect_errors()?.len()", "100"),
    ]:
        told = simulated.run(f"println!(\"{{:?}}\", {{ let it = {PATH}\n    .gpu()\n    .{end}; it }});")
        assert "can't be seen" in told.failed().traceback, "a macro's arguments are no code yet"
        assert f": {expected}\n" in simulated.run(f"let it = {PATH}\n    .gpu()\n    .{end};\nprintln!(\": {{it:?}}\");").ok().text, end
    assert str(sum(BY_GPU)) in simulated.run(f"{WITH}.gpu().sum()?").ok().text
    assert str(sum(x * 3 + [10, 20, 30][x % 3] for x in range(100))) in simulated.run(f"{WITH}.sum()?").ok().text


def test_what_can_be_mapped(simulated):
    simulated.run("%scatter xs as part").ok()
    for over, function, total in [
        ("px::over!(&xs, 0..100u64)", "|(a, b): (u64, u64)| doubled(a) + b", 9900 + 4950),
        ("&[1u64, 2]", "doubled", 6),
        ("xs[..3].to_vec()", "doubled", 6),
        ("px::var!(part)", "doubled", 9900),
    ]:
        assert str(total) in simulated.run(f"px::map({function}, {over}).gpu().sum()?").ok().text, over
    simulated.run("px::map(doubled, px::var!(part)).gpu().keep(px::var!(kept))?;").ok()
    assert "9900" in simulated.run("px::gather!(kept)?.iter().sum::<u64>()").ok().text


def test_a_function_of_the_notebook_may_have_one(simulated):
    simulated.run(f"fn total(n: u64) -> Result<u64, px::Error> {{\n    let a = 1;\n    px::map(|x: u64| helped(x),\n        0..n).gpu().sum()\n}}\nfn helped(x: u64) -> u64 {{ doubled(x) }}").ok()
    simulated.run("fn by_path(n: u64) -> Result<u64, px::Error> { px::map(doubled, 0..n).gpu().sum() }").ok()
    assert "90" in simulated.run("by_path(10)?").ok().text
    assert "[90, 9900]" in simulated.run("[total(10)?, total(100)?]").ok().text
    simulated.run("fn helped(x: u64) -> u64 { doubled(x) + 1 }").ok()
    assert "100" in simulated.run("// again\ntotal(10)?").ok().text
    told = simulated.run("fn helped(x: u64) -> u64 { format!(\"{x}\").len() as u64 }\ntotal(10)?").failed()
    assert "cannot find macro `format`" in told.traceback and "`gpu_or_cpu()`" in told.traceback, told.traceback
    simulated.run("fn helped(x: u64) -> u64 { x }").ok()
    assert "45" in simulated.run("total(10)?").ok().text


@pytest.mark.parametrize(
    "cell, says, place",
    [
        ("println!(\"begun\");\nlet m = px::map(doubled, 0..3);\nm.gpu().sum()?", "the function of this map can't be seen from here", "line 3, column 3"),
        ("println!(\"begun\");\npx::map(|x| x * 2, 0..3u64).gpu().sum()?", "the function of this map can't be seen from here", "line 2, column 29"),
        ("println!(\"begun\");\nfn r<T>(x: T) { px::map(doubled, 0..3).gpu_or_cpu(); }", "the function of this map can't be seen from here", "line 2, column 40"),
        ("println!(\"begun\");\npx::map(|x: u64| format!(\"{x}\").len(), 0..3).gpu().sum()?", "cannot find macro `format`", "line 2, column 18"),
        ("println!(\"begun\");\nlet y = k;\npx::map(|x: u64| x + y, 0..3).gpu().sum()?", "", "line 3, column "),
        ("let words = vec![\"a\"];\npx::map_with((&String::new(),), |(s,): &(String,), x: u64| x, 0..3).gpu().sum()?", "a `String` can't be given to a map's function on a GPU", "line 2, column "),
    ],
)
def test_what_cannot_run_there_is_told_where_it_is_written(simulated, cell, says, place):
    failed = simulated.run(cell).failed()
    assert says in failed.traceback and place in failed.traceback, failed.traceback
    assert "gpU" not in failed.traceback and "begun" not in failed.text, failed.traceback


def test_an_item_that_fails_says_what_the_cpu_says(simulated):
    failed = simulated.run("px::map(doubled, 990..1010u64).gpu().sum()?").failed()
    assert "item 10 (1000)" in failed.traceback and "too large: 1000" in failed.traceback, failed.traceback
    assert "10" in simulated.run("px::map(doubled, 990..1010u64).on_error(px::OnError::Skip).gpu().count()?").ok().text


def test_processors_may_do_it_too(simulated):
    told = simulated.run(f"{WITH}.gpu_or_cpu().sum()?").ok().text
    assert "gpu_or_cpu: on the processors, about" in told, told
    told = simulated.run("px::map(|x: u64| format!(\"{x}\").len(), 0..30u64).gpu_or_cpu().sum()?").ok().text
    assert "gpu_or_cpu: on the processors, since its function doesn't compile for a GPU" in told and "50" in told, told


def test_without_a_gpu_it_is_an_error_that_says_so(installed, monkeypatch):
    monkeypatch.setenv("CHORUS_GPU", "off")
    with start_kernel() as kernel:
        kernel.run("%cluster start -n 1").ok()
        kernel.run(CELL).ok()
        failed = kernel.run(f"{PATH}.gpu().sum()?").failed()
        assert "no engine of this map has a GPU" in failed.traceback and "`gpu_or_cpu()`" in failed.traceback, failed.traceback
        told = kernel.run(f"{PATH}.gpu_or_cpu().sum()?").ok().text
        assert "gpu_or_cpu: on the processors, since no engine of this map has a GPU" in told and "4950" in told, told


def test_a_cell_that_is_not_run_changes_no_variable(simulated):
    simulated.run("let names = vec![\"a\"];").ok()
    simulated.run("let k = 9u64; let gone = names;\npx::map(|x: u64| vec![x].len(), 0..3u64).gpu().sum()?").failed()
    assert "(3, 1)" in simulated.run("(k, names.len())").ok().text


def test_a_variable_is_no_function_of_which_there_is_a_text(simulated):
    simulated.run("let held: fn(u64) -> u64 = doubled;").ok()
    assert "`held` is a variable" in simulated.run("px::map(held, &xs).gpu().sum()?").failed().traceback
