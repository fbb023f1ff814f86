"""Engines need no Rust: what they run was compiled by the kernel. A kernel that finds none says what to install."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest


@pytest.fixture
def bare(tmp_path):
    """An environment in which no Rust can be found. HOME counts as well: rustup and cargo live below it."""
    binaries = tmp_path / "bin"
    binaries.mkdir()
    env = {"PATH": str(binaries), "HOME": str(tmp_path), "CARGO_HOME": "", "RUSTUP_HOME": "", "LD_LIBRARY_PATH": ""}
    for program in ("cargo", "rustc"):
        assert shutil.which(program, path=env["PATH"]) is None
    return env


def test_engines_run_cells_without_a_toolchain(chorus, kernels, bare):
    chorus("start", "-n", "2", "--name", "bare", env=bare)
    status = chorus.wait_for_engines(2)
    for engine in status["engines"]:
        with open(f"/proc/{engine['info']['pid']}/environ", "rb") as file:
            variables = dict(entry.partition(b"=")[::2] for entry in file.read().split(b"\0") if entry)
        assert variables[b"PATH"].decode() == bare["PATH"], "the engine must not have found a way around the test"

    kernel = kernels()
    kernel.run("%cluster connect bare").ok()
    code = """%%px
    let found = std::process::Command::new("rustc").arg("--version").output().is_ok();
    println!("rustc found: {found}");
    let squares: Vec<u64> = (0..4).map(|x| x * x + px::rank() as u64).collect();
    """
    reply = kernel.run(code).ok()
    assert reply.text.count("rustc found: false") == 2
    assert re.search(r"Out\[1:\d+\]: \[1, 2, 5, 10\]", kernel.run("%px squares").ok().text)
    reply = kernel.run('%px if px::rank() == 0 { panic!("here too") }').failed()
    assert "here too" in reply.text


def test_an_engine_program_links_no_rust_library():
    """It must start on a machine that has nothing but libc."""
    linked = subprocess.run(["ldd", os.environ["CHORUS_ENGINE"]], capture_output=True, text=True, check=True).stdout
    names = {line.split()[0].split("/")[-1] for line in linked.splitlines() if line.strip()}
    known = re.compile(r"(linux-vdso|libc|libm|libgcc_s|libdl|libpthread|librt|ld-linux[\w-]*)\.so.*")
    assert {name for name in names if not known.fullmatch(name)} == set()


def test_a_kernel_without_rust_says_what_to_install_and_where_it_looked(kernels, bare):
    kernel = kernels(env=bare)
    for _ in range(2):
        reply = kernel.run("let x = 41; x + 1").failed()
        assert "cells can't be compiled: there is no `cargo` and no `rustc`" in reply.traceback
        assert f"looked in {bare['PATH']}, {bare['HOME']}/.cargo/bin" in reply.traceback
        assert "https://sh.rustup.rs | sh" in reply.traceback and "sudo apt install rustup" in reply.traceback
        assert "sudo apt install gcc libc6-dev" in reply.traceback, "the linker is missing, too"
        assert "restart the kernel" in reply.traceback


def test_a_kernel_without_a_linker_says_what_to_install(kernels, bare):
    sysroot = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True, check=True).stdout.strip()
    for program in ("cargo", "rustc"):
        os.symlink(f"{sysroot}/bin/{program}", f"{bare['PATH']}/{program}")
    # No other test has this cell: what is kept of a cell that was compiled needs no linker.
    reply = kernels(env=bare).run('"no linker".len()').failed()
    assert "cells can't be compiled: there is no `cc`" in reply.traceback
    assert "sudo apt install gcc libc6-dev" in reply.traceback and "rustup" not in reply.traceback
    assert f"looked in {bare['PATH']}" in reply.traceback


def test_what_a_broken_toolchain_says_is_shown(kernels, bare):
    for program in ("cargo", "rustc"):
        path = pathlib.Path(bare["PATH"]) / program
        path.write_text("#!/bin/sh\necho 'error: no toolchain is chosen: rustup default stable' >&2\nexit 1\n")
        path.chmod(0o755)
    reply = kernels(env=bare).run("let x = 41; x + 1").failed()
    assert "no toolchain is chosen: rustup default stable" in reply.traceback
