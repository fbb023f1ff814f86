"""What a GPU map must look out for, each in a process of its own."""

import ctypes
import os
import signal
import subprocess
import sys
import time

import numpy as np

import cuda


def free():
    amounts = [ctypes.c_size_t(), ctypes.c_size_t()]
    cuda.call("cuMemGetInfo_v2", *map(ctypes.byref, amounts))
    return amounts[0].value >> 20


def attempt(name, *args):
    try:
        cuda.call(name, *args)
        return "ok"
    except cuda.Error as error:
        return str(error)


def child(work):
    """What the work says in a forked process."""
    if pid := os.fork():
        os.waitpid(pid, 0)
    else:
        print("   child:", work(), flush=True)
        os._exit(0)


def after(all, name, *args, stack=None):
    """What a kernel ends with, and what the context and a new one are worth then."""
    if stack:
        before = free()
        cuda.call("cuCtxSetLimit", 0, stack)
    target = cuda.alloc(1 << 20)
    cuda.put(target, np.array([args[0]], np.uint64))
    cuda.launch(all.map(name), target, target, 0, 1)
    result = attempt("cuCtxSynchronize"), attempt("cuMemFree_v2", target)
    if stack:
        print(f"   the stack of {stack} bytes took {before - free() if result[0] == 'ok' else '?'} MiB")
    print("   kernel, then cuMemFree:", *result, sep=" / ")
    context = ctypes.c_uint64()
    print("   a new context in this process:", attempt("cuCtxCreate_v2", ctypes.byref(context), 0, ctypes.c_int(0)))


def fork_loaded(all):
    child(lambda: (attempt("cuInit", 0)))


def fork_init(all):
    cuda.call("cuInit", 0)
    child(lambda: (attempt("cuInit", 0), attempt("cuCtxCreate_v2", ctypes.byref(ctypes.c_uint64()), 0, ctypes.c_int(0))))


def fork_context(all):
    cuda.start()
    at = ctypes.c_uint64()
    child(lambda: (attempt("cuInit", 0), attempt("cuMemAlloc_v2", ctypes.byref(at), 99), attempt("cuCtxSynchronize")))
    print("   parent afterwards:", attempt("cuMemAlloc_v2", ctypes.byref(at), 99))


def memory(all):
    begin = time.perf_counter()
    cuda.start()
    print(f"   cuInit and a context: {(time.perf_counter() - begin) * 1e3:.0f} ms; free {free()} MiB")
    print("   200 GB:", attempt("cuMemAlloc_v2", ctypes.byref(ctypes.c_uint64()), 200 << 30))
    print("   1 GB afterwards:", attempt("cuMemAlloc_v2", ctypes.byref(ctypes.c_uint64()), 1 << 30))
    for what, flags in (("pinned", 0), ("pinned and write-combined", 4)):
        held, copy = cuda.pinned(25_000_000, np.float32, flags), np.empty(25_000_000, np.float32)
        held[:] = 1
        for _ in "12":
            begin = time.perf_counter()
            copy[:] = held
        print(f"   reading 0.1 GB, {what}: {0.1 / (time.perf_counter() - begin):.2f} GB/s")


def wild(all): cuda.start(), after(all, "wild", 64)


def recursion(all): cuda.start(), after(all, "recurse", 200_000)


def stack_default(all): cuda.start(), after(all, "recurse", 2)


def stack_large(all): cuda.start(), after(all, "recurse", 100, stack=64 << 10)


def broken(all):
    cuda.start()
    print("   PTX with an error:", attempt("cuModuleLoadData", ctypes.byref(ctypes.c_uint64()), b".version 7.0\n.target sm_80\n.address_size 64\nbad"))
    newer = (all.built / "square.ptx").read_bytes().replace(b".version 7.0", b".version 9.9")
    print("   PTX of a version to come:", attempt("cuModuleLoadData", ctypes.byref(ctypes.c_uint64()), newer))


def spin(all, rounds, launches):
    at = cuda.alloc(8)
    cuda.put(at, np.array([rounds], np.uint64))
    for _ in range(launches):
        cuda.launch(all.map("spin"), at, at + 0, 0, 1)
        cuda.sync()
        cuda.put(at, np.array([rounds], np.uint64))


def interrupt(all):
    """SIGINT one second into kernels of 100 ms and of 5 s, then SIGKILL into one of 20 s."""
    cuda.start()
    spin(all, 1_000_000, 1)
    begin = time.perf_counter()
    spin(all, 20_000_000, 1)
    second = int(20_000_000 / (time.perf_counter() - begin))
    print(f"   {second:,} rounds take a second")
    for seconds, launches in ((0.1, 100), (5, 1)):
        signal.setitimer(signal.ITIMER_REAL, 1)
        signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        begin = time.perf_counter()
        try:
            spin(all, int(second * seconds), launches)
        except KeyboardInterrupt:
            print(f"   kernels of {seconds} s: stopped {time.perf_counter() - begin - 1:.3f} s after the signal")
    before = free()
    other = subprocess.Popen([sys.executable, sys.argv[0], "--use", str(all.built), "--only", f"busy:{20 * second}"], stdout=subprocess.PIPE)
    other.stdout.readline()
    time.sleep(1)
    print(f"   another process has a kernel of 20 s running, and takes {before - free()} MiB")
    begin = time.perf_counter()
    spin(all, second // 10, 1)
    print(f"   one of 0.1 s took {time.perf_counter() - begin:.2f} s beside it")
    begin = time.perf_counter()
    other.kill()
    other.wait()
    print(f"   SIGKILL: gone after {time.perf_counter() - begin:.3f} s")
    spin(all, second // 10, 1)
    print(f"   and the next kernel of 0.1 s ended {time.perf_counter() - begin:.3f} s after the signal, with {before - free()} MiB still taken")


def sharing(all):
    """`x*x+1` over 1e8, alone and while another process does the same."""
    cuda.start()
    a, n = cuda.alloc(400_000_000), 100_000_000
    loop = lambda: [cuda.launch(all.map("square"), a, a, 0, n) for _ in range(2000)]
    alone = cuda.wall_ms(loop, 2)
    other = subprocess.Popen([sys.executable, sys.argv[0], "--use", str(all.built), "--only", "load"], stdout=subprocess.PIPE)
    other.stdout.readline()
    print(f"   2,000 maps alone {alone[0]:.0f} ms, beside another process {cuda.wall_ms(loop, 2)[0]:.0f} ms")
    other.kill()
    other.wait()


TRAPS = [fork_loaded, fork_init, fork_context, memory, wild, recursion, stack_default, stack_large, broken, interrupt, sharing]


def main(built, all, name):
    if name == "traps":
        for trap in TRAPS:
            print(f"{trap.__name__}:", flush=True)
            subprocess.run([sys.executable, sys.argv[0], "--use", str(built), "--only", trap.__name__], timeout=120)
    elif name.startswith("busy:") or name == "load":
        cuda.start()
        all.map("spin"), all.map("square")
        print("ready", flush=True)
        a = cuda.alloc(400_000_000)
        while name == "load":
            cuda.launch(all.map("square"), a, a, 0, 100_000_000)
            cuda.sync()
        spin(all, int(name[5:]), 1)
    else:
        known = {trap.__name__: trap for trap in TRAPS}
        known[name](all) if name in known else sys.exit(f"no {name}: there are corpus, times, traps, {', '.join(known)}")
