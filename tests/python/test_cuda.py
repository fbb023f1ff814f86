"""`%%cuda`: NVRTC compiles CUDA C++, which needs no GPU, and the engines' simulated devices run what it makes."""

import importlib.util
import os
import pathlib
import re
import shutil
import signal

import nbformat
import pytest

import processes
from conftest import ROOT, start_kernel

SAXPY = """%%cuda {options}
extern "C" __global__ void saxpy(float a, const float *x, float *y, size_t n) {{
    size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x;
    if (i < n) y[i] = {value};
}}"""
CALL = "%px saxpy(px::Grid::over(x.len()), 1.1, &x, &mut y, x.len() as u64)?;"
DATA = """let xs: Vec<f32> = (0..3000).map(|i| (i as f32).sin()).collect();
let mut ys: Vec<f32> = (0..3000).map(|i| (i as f32).cos()).collect();"""


def saxpy(options="", value="a * x[i] + y[i]"):
    return SAXPY.format(options=options, value=value)


@pytest.fixture(scope="module")
def nvrtc():
    """The folder of PyPI's NVRTC, which tests/requirements.txt has installed."""
    (folder,) = importlib.util.find_spec("nvidia.cuda_nvrtc").submodule_search_locations
    return pathlib.Path(folder) / "lib"


@pytest.fixture(scope="module")
def cuda(installed, nvrtc):
    with start_kernel(env={"CHORUS_GPU": "simulated", "CHORUS_NVRTC": str(nvrtc)}) as kernel:
        kernel.run("%cluster start -n 2").ok()
        kernel.run(DATA).ok()
        yield kernel


def push(kernel):
    kernel.run("%scatter --gpu xs as x, ys as y").ok()


def same(kernel, expression):
    assert kernel.run(expression).ok().text.strip() == "true", expression


def test_a_kernel_computes_over_what_lies_on_the_engines(cuda):
    told = cuda.run(saxpy("--fmad=false")).ok()
    assert "Defined saxpy(px_grid: px::Grid, a: f32, x: &px::GpuVec<f32>, y: &mut px::GpuVec<f32>, n: u64)" in told.stdout
    push(cuda)
    cuda.run(CALL).ok()
    cuda.run("%gather y as zs").ok()
    same(cuda, "zs == xs.iter().zip(&ys).map(|(x, y)| 1.1 * x + y).collect::<Vec<f32>>()")
    # NVRTC itself makes one step of a product and a sum.
    cuda.run(saxpy()).ok()
    push(cuda)
    cuda.run(CALL).ok()
    cuda.run("%gather y as fused").ok()
    same(cuda, "fused == xs.iter().zip(&ys).map(|(x, y)| x.mul_add(1.1, *y)).collect::<Vec<f32>>() && fused != zs")


def test_a_cell_that_is_run_again_replaces_its_functions(cuda):
    cuda.run(saxpy()).ok()
    push(cuda)
    cuda.run(saxpy(value="x[i] + 1.0f")).ok()
    cuda.run(CALL).ok()
    cuda.run("%gather y as zs").ok()
    same(cuda, "zs == xs.iter().map(|x| x + 1.0).collect::<Vec<f32>>()")
    # Also where it takes something else.
    cuda.run('%%cuda\nextern "C" __global__ void saxpy(int *out, short in, bool twice) { out[threadIdx.x] += in + twice; }').ok()
    cuda.run("%px let mut ns = px::GpuVec::new(&[1, 2, 3])?; saxpy(px::Grid::new(1, 3), &mut ns, -4, true)?; ns.to_vec()?").ok()
    assert "[-2, -1, 0]" in cuda.run("%px ns.to_vec()?").ok().text


def test_a_grid_has_up_to_three_directions(cuda):
    cuda.run("""%%cuda -DWIDTH=6
extern "C" __global__ void __launch_bounds__(12) where(unsigned *out) {
    unsigned x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    unsigned z = blockIdx.z * blockDim.z + threadIdx.z;
    out[(z * 4 + y) * WIDTH + x] = x + 10 * y + 100 * z;
}""").ok()
    # `where` is Rust's.
    cuda.run("%px let mut out = px::GpuVec::new(&[0u32; 48])?; where_(px::Grid::new((2, 2, 2), (3, 2)), &mut out)?;").ok()
    cuda.run("%pull out -t 0").ok()
    same(cuda, "(0..48).all(|i| out[i as usize] == i % 6 + 10 * (i / 6 % 4) + 100 * (i / 24))")


def test_what_nvrtc_says_is_at_the_users_line(cuda):
    failed = cuda.run('%%cuda\n__device__ int unused;\nextern "C" __global__ void f(float *x) {\n\tx[0] = yy;\n}').failed()
    assert failed.content["ename"] == "CompileError", failed.traceback
    for says in ('identifier "yy" is undefined', "cell line 4, column 9", "x[0] = yy;"):
        assert says in failed.traceback, failed.traceback
    failed = cuda.run('%%cuda\n\nextern "C" __global__ void f(float *x) {').failed()
    assert "cell line 3, column 1" in failed.traceback, failed.traceback
    # A warning is told each time, and keeps nothing back.
    for _ in range(2):
        told = cuda.run('%%cuda\nextern "C" __global__ void f(float *x) {\n    int none;\n}').ok()
        assert "was declared but never referenced" in told.stderr and "cell line 3, column 9" in told.stderr, told.stderr


@pytest.mark.parametrize(
    "parameters, says",
    [
        ("float4 v", "parameter 1, `float4 v`, can't be handed over"),
        ("bool *found", "`unsigned char *` can be"),
        ("REAL x", "parameter 1, `REAL x`, can't be handed over"),
        ("float x", "takes something else than its parameters say"),
    ],
)
def test_a_signature_that_cannot_be_called_is_refused_at_its_line(cuda, parameters, says):
    macros = "#define float double\n#define REAL float"
    failed = cuda.run(f'%%cuda\n{macros}\nextern "C" __global__ void g({parameters}) {{}}').failed()
    assert says in failed.traceback and "cell line 4, column 1" in failed.traceback, failed.traceback
    failed = cuda.run("%%cuda\n__device__ int f() { return 1; }").failed()
    assert "there is no kernel in this cell" in failed.traceback, failed.traceback


def test_types_are_checked_by_rustc(cuda):
    cuda.run(saxpy()).ok()
    push(cuda)
    cuda.run("%px let mut wide = px::GpuVec::new(&[1.0f64])?;").ok()
    for call, says in [
        ("saxpy(px::Grid::over(1), 1.1, &x, &mut wide, 1)", "expected `&mut GpuVec<f32>`, found `&mut GpuVec<f64>`"),
        ("saxpy(px::Grid::over(1), 1, &x, &mut y, 1)", "expected `f32`, found integer"),
        ("saxpy(px::Grid::over(1), 1.1, &x, &y, 1)", "types differ in mutability"),
        ("saxpy(px::Grid::over(1), 1.1, &y, &mut y, 1)", "cannot borrow `y` as mutable"),
        ("saxpy(px::Grid::over(1), 1.1, &x, &mut y)", "argument #5 of type `u64` is missing"),
    ]:
        failed = cuda.run(f"%px {call}?;").failed()
        assert failed.content["ename"] == "CompileError" and says in failed.traceback, failed.traceback
        assert "cell line 1" in failed.traceback and ".version" not in failed.traceback, failed.traceback


def test_a_bad_launch_is_an_error_and_the_engine_goes_on(cuda):
    cuda.run(saxpy()).ok()
    push(cuda)
    for grid, says in [
        ("px::Grid::new(0, 1)", "the grid has no blocks (0 x 1 x 1)"),
        ("px::Grid::new(1, 1025)", "a block has 1025 x 1 x 1 threads"),
        ("px::Grid::new(1, 32).shared(4)", "the simulated device has no shared memory"),
    ]:
        failed = cuda.run(f"%px -t 0 saxpy({grid}, 1.1, &x, &mut y, 1)?;").failed()
        assert "the kernel `saxpy` failed" in failed.text and says in failed.text, failed.text
    # Nothing is lost by these.
    cuda.run(CALL).ok()
    cuda.run("%gather y as zs").ok()
    same(cuda, "zs.len() == 3000")
    failed = cuda.run("%px -t 0 saxpy(px::Grid::over(10_000), 1.1, &x, &mut y, 10_000)?;").failed()
    assert "the GPU stopped: access to 4 bytes" in failed.text, failed.text
    assert "what lay in its memory is gone" in failed.text, failed.text
    failed = cuda.run("%px -t 0 y.to_vec()?").failed()
    assert "aren't in the GPU's memory any more" in failed.text, failed.text
    push(cuda)
    cuda.run(CALL).ok()


@pytest.mark.parametrize(
    "body, says",
    [
        ("__syncthreads(); x[threadIdx.x] = 1;", "those of a block can't wait for each other"),
        ("__shared__ float all[32]; all[threadIdx.x] = x[0]; __syncthreads(); x[threadIdx.x] = all[0];", "no shared memory"),
        ("x[0] = __expf(x[0]);", "the simulated device doesn't know `ex2.approx"),
    ],
)
def test_what_the_simulated_device_cannot_do_it_says(cuda, body, says):
    cuda.run(f'%%cuda\nextern "C" __global__ void h(float *x) {{ {body} }}').ok()
    failed = cuda.run("%px -t 0 let mut x = px::GpuVec::new(&[0f32; 32])?; h(px::Grid::new(1, 32), &mut x)?;").failed()
    assert says in failed.text, failed.text


def test_a_crash_or_an_interrupt_leaves_values_as_they_were(cuda):
    cuda.run("""%%cuda
extern "C" __global__ void add(int *x, int k) { x[threadIdx.x] += k; }
extern "C" __global__ void endless(int *x) { while (true) atomicAdd(x, 1); }""").ok()
    cuda.run("%px let mut ns = px::GpuVec::new(&[1, 2, 3])?; let grid = px::Grid::new(1, 3);").ok()
    cuda.run("%px add(grid, &mut ns, 10)?; add(grid, &mut ns, 10)?; assert!(ns[0] == 21);").ok()
    cuda.run("%px add(grid, &mut ns, 10)?; assert!(ns[2] == 33); std::process::abort();").failed()
    assert "[21, 22, 23]" in cuda.run("%px ns.to_vec()?").ok().text
    reply = cuda.send('%px println!("begun"); endless(grid, &mut ns)?;')
    cuda.wait_for_text(reply, "begun")
    cuda.interrupt()
    assert cuda.wait(reply, timeout=30).failed().content["ename"] == "Interrupted"
    assert "[21, 22, 23]" in cuda.run("%px ns.to_vec()?").ok().text


def test_the_notebook_itself_has_no_gpu(cuda):
    cuda.run('%%cuda\nextern "C" __global__ void plain(int n) {}').ok()
    failed = cuda.run("plain(px::Grid::over(1), 1)?").failed()
    assert "belongs into a `%%px` cell" in failed.text, failed.text


def test_a_call_launches_kernels_where_a_gpu_is(cuda):
    cuda.run(saxpy("--fmad=false")).ok()
    cuda.run("""fn by_gpu(a: f32) -> Result<Vec<f32>, String> {
    let work = || {
        let x = px::GpuVec::new(&[1.0f32, 2.0, 3.0])?;
        let mut y = px::GpuVec::new(&[0.5f32; 3])?;
        saxpy(px::Grid::over(3), a, &x, &mut y, 3)?;
        y.to_vec()
    };
    work().map_err(|error: px::Error| error.to_string())
}
let called = px::call!(by_gpu, 2.0f32, { gpu: 1 });""").ok()
    assert "[2.5, 4.5, 6.5]" in cuda.run("called.get()?").ok().text
    cuda.run('%%cuda\nextern "C" __global__ void count(const bool *x, int *n) { for (int i = 0; i < 3; i++) *n += x[i]; }').ok()
    cuda.run("%px let x = px::GpuVec::new(&[true, false, true])?; let mut n = px::GpuVec::new(&[0])?;").ok()
    cuda.run("%px -t 1 count(px::Grid::new(1, 1), &x, &mut n)?;").ok()
    assert "[2]" in cuda.run("%px -t 1 n.to_vec()?").ok().text


def test_whoever_lacks_nvrtc_is_told_what_to_do(installed, nvrtc, tmp_path):
    # A Python without packages, and another environment that has them.
    python = tmp_path / "bin/python3"
    python.parent.mkdir()
    python.write_text(f"#!/bin/sh\necho {tmp_path}/none\necho {tmp_path}\n")
    python.chmod(0o755)
    named = dict.fromkeys(("LD_LIBRARY_PATH", "CUDA_HOME", "CUDA_PATH", "CONDA_PREFIX", "CHORUS_NVRTC"), "")
    env = {"CHORUS_GPU": "off", "VIRTUAL_ENV": str(tmp_path / "venv")} | named
    with start_kernel(env=env) as kernel:
        kernel.run(f'unsafe {{ std::env::set_var("PATH", format!("{python.parent}:{{}}", std::env::var("PATH")?)) }};').ok()
        reply = kernel.run(saxpy())
        if reply.status == "ok":
            pytest.skip("the system has NVRTC, so it can't be missing here")
        failed = reply.failed()
        for says in ("nothing was compiled", f"{tmp_path}/nvidia/cuda_nvrtc/lib", "pip install nvidia-cuda-nvrtc-cu12"):
            assert says in failed.traceback, failed.traceback
        packages = tmp_path / "venv/lib/python3.12/site-packages/nvidia/cuda_nvrtc"
        packages.mkdir(parents=True)
        (packages / "lib").symlink_to(nvrtc)
        kernel.run(saxpy()).ok()
        kernel.run(f'unsafe {{ std::env::set_var("CHORUS_NVRTC", "{tmp_path}/bin") }};').ok()
        failed = kernel.run(saxpy()).failed()
        assert f"CHORUS_NVRTC says {tmp_path}/bin" in failed.traceback, failed.traceback


def test_an_unchanged_cell_is_compiled_once_for_all_kernels(installed, nvrtc, tmp_path, fresh_cache):
    # A copy of NVRTC's file, which stays the same while what it calls goes: only what is kept can be had then.
    shutil.copytree(nvrtc, tmp_path / "lib", ignore=shutil.ignore_patterns("*alt*"))
    env = {"CHORUS_GPU": "off", "CHORUS_NVRTC": str(tmp_path / "lib"), "CHORUS_CACHE_DIR": str(fresh_cache)}
    with start_kernel(env=env) as kernel:
        kernel.run(saxpy()).ok()
    for builtins in (tmp_path / "lib").glob("libnvrtc-builtins*"):
        builtins.unlink()
    with start_kernel(env=env) as kernel:
        assert "Defined saxpy" in kernel.run(saxpy()).ok().stdout
        failed = kernel.run(saxpy(value="x[i]")).failed()
        assert "NVRTC failed, so nothing was compiled" in failed.traceback, failed.traceback


ENDLESS = """%%cuda
template<int N, unsigned long long M> struct A { static constexpr int value = A<N-1,2*M>::value + A<N-1,2*M+1>::value; };
template<unsigned long long M> struct A<0, M> { static constexpr int value = 1; };
extern "C" __global__ void slow(int *x) { x[0] = A<20, 1>::value; }"""


def compiling(kernel):
    """NVRTC's process."""
    found = [pid for pid in processes.marked(kernel.mark) if "nvrtc" in processes.describe(pid).split()]
    return found[0] if found else None


def test_an_interrupt_or_a_crash_of_nvrtc_ends_the_cell_alone(cuda):
    cuda.run("let before = 1;").ok()
    for end in (lambda _: cuda.interrupt(), lambda pid: os.kill(pid, signal.SIGKILL)):
        reply = cuda.send(ENDLESS)
        pid = processes.wait_until("NVRTC's process", lambda: compiling(cuda))
        end(pid)
        failed = cuda.wait(reply, timeout=20).failed()
        assert "nothing was defined" in failed.traceback, failed.traceback
        processes.wait_until("its end", lambda: not processes.alive(pid))
        same(cuda, "before == 1")
    assert "cannot find function `slow`" in cuda.run("%px slow();").failed().traceback


def test_the_notebooks_example_is_right(cuda):
    book = nbformat.read(ROOT / "notebooks/gpu.ipynb", as_version=4)
    (text,) = [cell.source for cell in book.cells if cell.id == "kernels"]
    kernel, call = re.findall(r"```\n(%%.*?)\n```", text, re.DOTALL)
    cuda.run(kernel).ok()
    assert "[2.5, 4.5]" in cuda.run(call).ok().text
