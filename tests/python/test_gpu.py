"""Maps on GPUs, with the simulated device in the place of one: rustc compiles a cell's closure for a GPU, and the engines'
processes for GPUs interpret that code."""

import math
import os
import re
import shutil
import subprocess
from contextlib import contextmanager

import pytest

from conftest import start_kernel

DATA = "let xs: Vec<f32> = (0..3000).map(|x| x as f32 / 7.0).collect();\nlet k = 2.5f64;\nlet table = vec![1i32, -2, 3];"
HELPER = 'fn root(x: f64) -> f64 {\n    assert!(x < 100.0, "too large: {x}");\n    x.sqrt().floor()\n}'


def setup(env):
    """Has rustc compile for GPUs; what it needs is built from source, so that no network is needed."""
    command = [os.environ["CHORUS"], "gpu", "setup", "--from-source"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    if done.returncode and "rust-src" in done.stderr:
        subprocess.run(["rustup", "component", "add", "rust-src"], capture_output=True, timeout=300)
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    if done.returncode:
        pytest.skip(f"rustc can't compile for GPUs here: {done.stderr}")


@contextmanager
def kernel_with_gpus(engines, **more):
    """A kernel whose engines have simulated devices."""
    setup(os.environ)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"CHORUS_GPU": "simulated", **more}.items():
            patch.setenv(name, value)
        with start_kernel() as kernel:
            kernel.run(f"%cluster start -n {engines}").ok()
            yield kernel


@pytest.fixture(scope="module")
def simulated(installed):
    with kernel_with_gpus(2) as kernel:
        kernel.run(DATA).ok()
        kernel.run(HELPER).ok()
        yield kernel


@pytest.fixture(scope="module")
def small(installed):
    """One engine, whose device has 400 kB of memory."""
    with kernel_with_gpus(1, CHORUS_GPU_MEMORY="400000") as kernel:
        yield kernel


def test_results_are_the_cpus(simulated):
    simulated.run("%map --gpu -o ys |x: f32| (x * x + 1.0).sqrt() over xs").ok()
    assert simulated.run("ys.iter().zip(&xs).all(|(y, x)| *y == (x * x + 1.0).sqrt()) && ys.len() == 3000").ok().text.strip() == "true"
    for ends in ("--sum", "--max", "--mean", "--count --filter '|y| *y > 3.0'", "--reduce '|a, b| a.max(b) - 1.0'"):
        function = "|x| root(x as f64 / 40.0) * k + table[x % 3] as f64 over 0..3000usize"
        on_gpu = simulated.run(f"%map --gpu {ends} -o on_gpu {function}").ok()
        assert "3,000 items on 2 engines" in on_gpu.text, on_gpu.text
        assert re.search(r"; compiled in .*; GPU: .* copying, .* computing", on_gpu.text), on_gpu.text
        simulated.run(f"%map {ends} -o on_cpu {function}").ok()
        assert simulated.run("on_gpu == on_cpu").ok().text.strip() == "true", ends


def test_what_a_closure_may_be(simulated):
    for line, results in [
        ("%map --gpu |x, y| x * y over [1i64, 2], [3i64, 4]", "[3, 8]"),
        ("%map --gpu |a, b, c, d| a * b + c - d over [1i64, 2], [3i64, 4], 5.., [7i64, 1]", "[1, 13]"),
        ("%map --gpu |x| *x + 1 over [1u8, 2]", "[2, 3]"),
        ("%map --gpu it * it over 0..4", "[0, 1, 4, 9]"),
        ("%map --gpu root over [4.0, 9.5]", "[2.0, 3.0]"),
        ("%%map --gpu over 0..3u64\nlet half = it / 2;\n(half, it as f32)", "[(0, 0.0), (0, 1.0), (1, 2.0)]"),
        ("%map --gpu |x| [x; 2] over 5..7", "[[5, 5], [6, 6]]"),
        ("%map --gpu |x| x % 0.1 over [1.0, -0.5f64, 1e20]", str([math.fmod(x, 0.1) for x in (1.0, -0.5, 1e20)])[:40]),
    ]:
        assert results in simulated.run(line).ok().text, line


def test_a_function_may_use_much_data(simulated):
    simulated.run("let large: Vec<f64> = (0..500_000).map(|x| x as f64).collect();").ok()
    told = simulated.run("%map --gpu |i| large[i * 1000] + large[large.len() - 1 - i] over 0..500usize").ok()
    assert "[499999.0, 500998.0, 501997.0" in told.text, told.text


def test_what_fails_says_what_the_cpu_says(simulated):
    failed = simulated.run("%map --gpu -t 0 |x| root(x as f64) over 90..110").failed()
    assert "item 10 (100) failed" in failed.traceback and "too large: 100" in failed.traceback, failed.traceback
    failed = simulated.run("%map --gpu -t 0 |i| table[i] over 0..5usize").failed()
    assert "item 3 (3) failed" in failed.traceback and "the len is 3 but the index is 3" in failed.traceback
    kept = simulated.run("%map --gpu --on-error skip |i| 100 / i over -1..3").ok()
    assert "[-100, 100, 50]" in kept.text
    # The engines go on.
    assert "[1, 2]" in simulated.run("%map --gpu |i| i + 1 over 0..2").ok().text


@pytest.mark.parametrize(
    "line, says, place",
    [
        ('|x| format!("{x}") over 0..3', "cannot find macro `format`", "column 16"),
        ("|x: f32| x.sine() over xs", "no method named `sine`", "column 23"),
        ("|_| 1 over names", "`names` is a `Vec<&str>`, whose values can't travel between the CPU and a GPU", "line 1:23"),
        ("|x| (x as f64) as i128 over 0..3", "integers of 128 bits", ""),
    ],
)
def test_what_cannot_run_there_is_told(simulated, line, says, place):
    simulated.run('let names = vec!["a", "b"];').ok()
    failed = simulated.run(f"%map --gpu {line}").failed()
    assert says in failed.traceback and place in failed.traceback, failed.traceback
    assert "nothing was run" in failed.traceback


def test_imports_that_a_gpu_lacks_do_no_harm(simulated):
    simulated.run("use std::collections::HashMap;\nuse std::io::Write as _;").ok()
    assert "[0, 1, 4]" in simulated.run("%map --gpu |x| x * x over 0..3").ok().text
    simulated.run("thread_local! { static DEPTH: u8 = 1; static LEVEL: std::sync::atomic::AtomicU8 = const { std::sync::atomic::AtomicU8::new(1) }; }\nfn call(x: i32) -> String { format!(\"{x}\") }\nstatic USED: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);").ok()
    assert "[0, 1, 4]" in simulated.run("%map --gpu |x: i32| x * x + 0 over 0..3").ok().text, "others aren't compiled"
    failed = simulated.run("%map --gpu |x| call(x).len() over 0..3").failed()
    assert "cannot find macro `format`" in failed.traceback and "it is in `call` (In[" in failed.traceback, failed.traceback
    failed = simulated.run("%map --gpu |x: u32| x + USED.fetch_add(1, std::sync::atomic::Ordering::Relaxed) over 0..3").failed()
    assert "`USED` (In[" in failed.traceback and "a static that can change" in failed.traceback, failed.traceback
    failed = simulated.run("%map --gpu |x| HashMap::from([(x, x)])[&x] over 0..3").failed()
    assert "`use std::collections::HashMap;` has nothing that a GPU could use" in failed.traceback, failed.traceback


def test_a_notebooks_crates_run_there(installed):
    setup(os.environ)
    env = {"CHORUS_GPU": "simulated"}
    with start_kernel(env=env) as kernel:
        kernel.run(
            ':dep num-complex = { version = "=0.4.6", default-features = false, features = ["libm"] }\n'
            ':dep num-traits = { version = "0.2", default-features = false, features = ["libm"] }\n'
            ':dep half = "=2.7.1"\n:dep libm = "=0.2.16"\n:dep squares-rnd = "=3.2.0"\n'
            ':dep serde = { version = "1", features = ["derive"] }',
            timeout=300,
        ).ok()
        kernel.run("use num_complex::Complex;\nuse num_traits::Inv;\nuse half::bf16;\n%cluster start -n 2").ok()
        for function in (
            "|x| { let z = Complex::new(x as f64, 0.5); (z.exp() / z.norm()).re }",
            "|x| libm::sin(x as f64) + libm::tgamma(x as f64 / 9.0)",
            "|x| squares_rnd::rand32(x, 0x548c9decbce65297)",
            "|x| (x as f64).inv()",
        ):
            kernel.run(f"%map --gpu -o on_gpu {function} over 0..50u64", timeout=300).ok()
            kernel.run(f"%map -o on_cpu {function} over 0..50u64").ok()
            assert kernel.run("on_gpu == on_cpu").ok().text.strip() == "true", function
        # Types travel by serde, and a GPU knows nothing of it.
        kernel.run(
            "use serde::{Deserialize, Serialize};\n#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]\n"
            '#[serde(tag = "kind")]\nenum Shape {\n    Circle { #[serde(rename = "radius")] r: f64 },\n    Rect { w: f64, h: f64 },\n}\n'
            "let shapes = vec![Shape::Circle { r: 2.0 }, Shape::Rect { w: 2.0, h: 3.5 }];"
        ).ok()
        kernel.run("%map --gpu -o wider |s| match s { Shape::Circle { r } => Shape::Rect { w: r, h: 0.5 }, s => s } over &shapes").ok()
        shown = kernel.run("wider").ok().text
        assert "[Rect { w: 2.0, h: 0.5 }, Rect { w: 2.0, h: 3.5 }]" in shown, shown
        # What std leaves to the platform is libm's, also where there is no GPU.
        function = "|x: f64| (x.sin(), x.powf(0.3), libm::expf(x as f32), (x as f32).exp())"
        over = "(0..200).map(|x| x as f64 / 3.0).collect::<Vec<f64>>()"
        kernel.run(f"%map --gpu -o on_gpu {function} over {over}").ok()
        kernel.run(f"let on_cpu: Vec<(f64, f64, f32, f32)> = {over}.into_iter().map(|x| (libm::sin(x), libm::pow(x, 0.3), libm::expf(x as f32), libm::expf(x as f32))).collect();").ok()
        assert kernel.run("on_gpu == on_cpu").ok().text.strip() == "true"
        failed = kernel.run("%map --gpu |x| bf16::from_f32(x as f32).to_bits() over 0..3", timeout=300).failed()
        for says in ("cannot find module or crate `bf16`", "the crate `half` needs std", "default-features = false", "nothing was run"):
            assert says in failed.traceback, failed.traceback


WAVES = "|x: f64| (x.sin(), x.powf(0.3), (x as f32).exp()) over (0..200).map(|x| x as f64 / 3.0).collect::<Vec<f64>>()"
BITS = "waves.iter().fold(0u64, |sum, w| sum.rotate_left(7) ^ w.0.to_bits() ^ w.1.to_bits() ^ w.2.to_bits() as u64)"


def test_mathematics_has_the_same_bits_without_a_gpu(simulated):
    simulated.run(f"%map --gpu -o waves {WAVES}").ok()
    by_gpu = simulated.run(BITS).ok().text
    with start_kernel(env={"CHORUS_GPU": "off"}) as kernel:
        kernel.run("%cluster start -n 2").ok()
        told = kernel.run(f"%map --gpu=auto -o waves {WAVES}", timeout=120).ok()
        assert "no engine of this map has a GPU; `sin` and the like have the bits that they have on a GPU" in told.text
        assert "200 items on" in told.text, told.text
        assert kernel.run(BITS).ok().text == by_gpu
        failed = kernel.run('%map --gpu=auto |x: f64| { assert!(x.cos() < 1.5 && x < 2.0, "at {x}"); x } over [0.0, 1.5, 2.5]').failed()
        assert "item 2 (2.5) failed" in failed.traceback and "at 2.5" in failed.traceback, failed.traceback
        told = kernel.run("%map --gpu=auto |x| x + 1 over 0..3").ok()
        assert "since no engine of this map has a GPU.\n" in told.text and "[1, 2, 3]" in told.text, told.text


def test_auto_says_what_it_chose(simulated):
    told = simulated.run("%map --gpu=auto |x| x + 1 over 0..3").ok()
    assert "--gpu=auto: on the processors, about" in told.stdout and "ms for new code" in told.stdout, told.stdout
    assert "[1, 2, 3]" in told.text
    # The same map twice, with its function in the same column: the first has the code loaded, and the second is worth it.
    function = "|x| { let mut n = x; for _ in 0..400u64 { n = std::hint::black_box(n * 3 % 1_000_003); } n }"
    simulated.run("let end = 8u64;").ok()
    simulated.run(f"%map --gpu      -o on_gpu {function} over 0..end").ok()
    simulated.run("let end = 20_000u64;").ok()
    told = simulated.run(f"%map --gpu=auto -o on_gpu {function} over 0..end", timeout=120).ok()
    assert "--gpu=auto: by GPUs, about" in told.stdout and "new code" not in told.stdout, told.stdout
    assert "by 2 GPUs (" in told.stdout and "that were tried" in told.stdout, told.stdout
    simulated.run(f"%map -o on_cpu {function} over 0..end").ok()
    assert simulated.run("on_gpu == on_cpu").ok().text.strip() == "true"
    assert "since there are no items" in simulated.run("%map --gpu=auto |x| x + 1 over 0..0").ok().stdout
    told = simulated.run('%map --gpu=auto |x| format!("{x}") over 0..3').ok()
    assert "--gpu=auto: on the processors, since its function doesn't compile for a GPU" in told.stdout
    assert '["0", "1", "2"]' in told.text


def test_an_interrupt_and_a_crash_leave_the_gpu_usable(simulated):
    reply = simulated.send("%map --gpu --progress-after 0 |x| { let mut n = x; while n < u64::MAX { n = std::hint::black_box(n + 1); } n } over 0..4u64")
    simulated.wait_for_text(reply, "0/4")
    simulated.interrupt()
    assert simulated.wait(reply, timeout=20).failed().content["ename"] == "Interrupted"
    assert "[1, 2]" in simulated.run("%map --gpu |i| i + 1 over 0..2", timeout=60).ok().text
    simulated.run("%px std::process::abort();").failed()
    assert "[1, 2]" in simulated.run("%map --gpu |i| i + 1 + 0 over 0..2", timeout=60).ok().text


def test_what_breaks_the_gpu_ends_the_map_alone(simulated):
    failed = simulated.run("%map --gpu |x: usize| unsafe { *((x + 8) as *const u8) } over 0..2").failed()
    assert "the GPU stopped" in failed.traceback, failed.traceback
    for k in range(3):
        assert f"[{k}, {k + 1}]" in simulated.run(f"%map --gpu |i| i + {k} over 0..2").ok().text


def test_without_a_gpu_it_is_an_error_that_says_so(installed, monkeypatch):
    monkeypatch.setenv("CHORUS_GPU", "off")
    with start_kernel() as kernel:
        kernel.run("%cluster start -n 1").ok()
        failed = kernel.run("%map --gpu |x| x + 1 over 0..3").failed()
        assert "no engine of this map has a GPU" in failed.traceback and "nothing was run" in failed.traceback
        told = kernel.run("%map --gpu=auto |x| x + 1 over 0..3").ok()
        assert "on the processors, since no engine of this map has a GPU" in told.stdout and "[1, 2, 3]" in told.text
        kernel.run("let xs = vec![1, 2];").ok()
        failed = kernel.run("%push --gpu xs").failed()
        assert "engine 0 has no GPU" in failed.traceback and "nothing was done" in failed.traceback


def same(kernel, expression):
    assert kernel.run(expression).ok().text.strip() == "true", expression


def test_results_stay_on_the_gpu_and_are_mapped_there(simulated):
    simulated.run("%map --gpu --keep -o roots |x: f32| (x * x + 1.0).sqrt() over xs").ok()
    shown = simulated.run("%px roots.len(); roots").ok()
    assert "GpuVec<f32> with" in shown.text, shown.text
    # Maps of it, reductions, filters; and an engine's variable that the function uses.
    simulated.run("%px let scale = vec![px::rank() as f32 + 2.0];").ok()
    simulated.run("%map --gpu --keep -o more |y| y * scale[0] over each roots").ok()
    simulated.run("%map --gpu -o all |y| y + k as f32 over each more").ok()
    simulated.run("%map --gpu --sum -o total |y| y as f64 over each more").ok()
    simulated.run("%map --gpu --keep --filter '|y| *y > 100.0' -o few |y| y over each more").ok()
    simulated.run("%map -o on_cpu |y| y + k as f32 over each more").ok()
    simulated.run("%pull more as vecs").ok()
    simulated.run("%gather more as flat").ok()
    simulated.run("%gather few").ok()
    simulated.run("%pull roots -t 0 as first").ok()
    same(simulated, "vecs.concat() == flat && flat.len() == 3000 && first.iter().zip(&vecs[0]).all(|(y, x)| y * 2.0 == *x)")
    same(simulated, "all == flat.iter().map(|y| y + k as f32).collect::<Vec<f32>>() && on_cpu == all")
    same(simulated, "few == flat.iter().copied().filter(|y| *y > 100.0).collect::<Vec<f32>>() && !few.is_empty()")
    same(simulated, "let sum: f64 = flat.iter().map(|y| *y as f64).sum(); (sum - total).abs() < 1e-6 * sum")


def test_a_vec_of_the_engines_is_mapped_by_their_gpus(simulated):
    simulated.run("%scatter xs as part").ok()
    simulated.run("%map --gpu -o ys |x| x * 2.0 over each part").ok()
    simulated.run('%px let name = "a".to_string();').ok()
    failed = simulated.run("%map --gpu |x| x + name.len() as f32 over each part").failed()
    assert "`name` is a `String`, whose values can't travel" in failed.traceback, failed.traceback
    same(simulated, "ys == xs.iter().map(|x| x * 2.0).collect::<Vec<f32>>()")


def test_variables_go_to_gpus_and_come_back(simulated):
    simulated.run("%scatter --gpu xs as part").ok()
    simulated.run("%push --gpu table, xs as whole -t 1").ok()
    assert "GpuVec<i32> with 3 values" in simulated.run("%px -t 1 table").ok().text
    simulated.run("%map --gpu -t 1 -o ys |x| x * table[2] as f32 over each whole").ok()
    simulated.run("%gather part as back").ok()
    same(simulated, "ys == xs.iter().map(|x| x * 3.0).collect::<Vec<f32>>() && back == xs")
    failed = simulated.run("%push --gpu k").failed()
    assert "`k` isn't a Vec" in failed.traceback, failed.traceback
    simulated.run('let words = vec!["a".to_string()];').ok()
    failed = simulated.run("%push --gpu words").failed()
    assert "Copy" in failed.traceback, failed.traceback


def test_what_lies_on_a_gpu_outlives_a_crash_and_not_its_process(simulated):
    simulated.run("%px let kept = px::GpuVec::new(&[1u32, 2, 3])?;").ok()
    # The cell lets go of it and dies; what is restored has it again.
    simulated.run("%px -t 0 drop(kept); std::process::abort();").failed()
    simulated.run("%map --gpu -o tens |x| x * 10 over each kept").ok()
    same(simulated, "tens == [10, 20, 30, 10, 20, 30]")
    failed = simulated.run("%map --gpu |x| { assert!(x < 3, \"{x} is large\"); x } over each kept").failed()
    assert "item 2 (3) failed" in failed.traceback and "3 is large" in failed.traceback, failed.traceback
    # A subtraction that overflows, and a division by zero.
    simulated.run("%map --gpu --keep --on-error skip -o rest |x| 6 / (x - 2) over each kept").ok()
    simulated.run("%gather rest").ok()
    same(simulated, "rest == [6, 6]")
    simulated.run("%map --gpu -t 0 |x: usize| unsafe { *((x + 8) as *const u8) } over 0..2").failed()
    failed = simulated.run("%pull kept -t 0").failed()
    assert "aren't in the GPU's memory any more" in failed.traceback, failed.traceback
    failed = simulated.run("%map --gpu -t 0 |x| x over each kept").failed()
    assert "aren't in the GPU's memory any more" in failed.traceback, failed.traceback
    simulated.run("%pull kept -t 1 as other").ok()
    same(simulated, "other == [1, 2, 3]")


def test_what_is_let_go_of_is_freed(small):
    small.run("let xs: Vec<f64> = (0..15_000).map(f64::from).collect();").ok()
    # Two at a time fit, and no more.
    for k in range(6):
        small.run(f"%map --gpu --keep -o ys |x| x + {k}.0 over xs").ok()
    small.run("%px drop(ys); std::process::abort();").failed()
    small.run("%pull ys -t 0").ok()
    same(small, "ys[1] == 6.0")
    small.run("%px drop(ys);").ok()
    small.run("%push --gpu xs as zs, xs as ws, xs as vs").ok()
    failed = small.run("%push --gpu xs as us").failed()
    assert "the GPU has too little memory: 120000 bytes are wanted" in failed.traceback, failed.traceback
    # With the worker goes what it had.
    small.run("%cluster restart").ok()
    small.run("%push --gpu xs as zs, xs as ws, xs as vs").ok()
    small.run("%px drop(zs); drop(ws); drop(vs);").ok()


def test_a_small_memory_gets_fewer_items_at_a_time(small):
    small.run("let many: Vec<f64> = (0..60_000).map(f64::from).collect();").ok()
    small.run("%map --gpu -o ys |x| x * 2.0 over many").ok()
    same(small, "ys == many.iter().map(|x| x * 2.0).collect::<Vec<f64>>()")


def test_an_unchanged_function_is_compiled_once_for_all_kernels(installed, monkeypatch, tmp_path, fresh_cache):
    # A rustc that notes how it was called.
    log, rustc = tmp_path / "calls", tmp_path / "bin/rustc"
    rustc.parent.mkdir()
    rustc.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >> {log}\nexec {shutil.which("rustc")} "$@"\n')
    rustc.chmod(0o755)
    monkeypatch.setenv("PATH", f"{rustc.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("CHORUS_GPU", "simulated")
    monkeypatch.setenv("CHORUS_CACHE_DIR", str(fresh_cache))
    setup(os.environ)

    def maps(results):
        with start_kernel() as kernel:
            kernel.run("%cluster start -n 1").ok()
            assert results in kernel.run("%map --gpu |x| x * 3 + 1 over 0..4").ok().text
        return log.read_text().count("px_device")

    def kept():
        return list((tmp_path / "cache/cells").glob("*.gpu"))

    assert maps("[1, 4, 7, 10]") == 1 and len(kept()) == 1
    assert maps("[1, 4, 7, 10]") == 1, "it was kept"
    (entry,) = kept()
    damaged = bytearray(entry.read_bytes())
    damaged[-40] ^= 1
    entry.write_bytes(damaged)
    assert maps("[1, 4, 7, 10]") == 2, "what is damaged is built again"
    assert maps("[1, 4, 7, 10]") == 2
    told = subprocess.run([os.environ["CHORUS"], "cache", "info"], capture_output=True, text=True, check=True).stdout
    assert ", 1 functions for GPUs" in told and not re.search(r"\b0\.0 MB of Rust's core", told), told
