"""Times of closures on the GPU, from host memory and resident, beside the CPU."""

import concurrent.futures
import os
import time

import numpy as np

import cuda


def row(what, ms, note=""):
    print(f"| {what} | {ms[0]:.3g} | {ms[1]:.3g} | {note} |", flush=True)


def over_chunks(work, n, streams, chunk=4 << 20):
    for k, lo in enumerate(range(0, n, chunk)):
        work(streams[k % len(streams)], lo, min(lo + chunk, n), k % len(streams))


def main(all):
    cuda.start()
    print(f"{cuda.machine()}; {all.rustc}")
    n, f = 100_000_000, np.float32
    print("\n| | ms, median | least | |\n|---|--:|--:|---|")
    for name in ("square", "windows", "sort", "libm_f64", "parse", "text"):
        image, took = (all.built / f"{name}.ptx").read_bytes(), []
        for extra in (str(time.time()), "", ""):  # a comment makes it new to the driver's cache
            begin = time.perf_counter()
            cuda.Module(image + f"\n// {extra}\n".encode())
            took.append((time.perf_counter() - begin) * 1e3)
        row(f"module `{name}` loaded, new", (took[0], took[0]), f"again {took[2]:.2f} ms; {len(image):,} bytes")
    host, back = np.random.default_rng(1).random(n, f), np.empty(n, f)
    a, b, tiny = cuda.alloc(4 * n), cuda.alloc(4 * n), all.map("square")
    cuda.put(a, host)
    row("launch of 1 item and its end", cuda.wall_ms(lambda: cuda.launch(tiny, a, b, 0, 1), 200))
    row("1,000 launches in a row", cuda.device_ms(lambda: [cuda.launch(tiny, a, b, 0, 1) for _ in range(1000)], 5))
    for kind, blocks, note in (("one", None, "an item for each thread"), ("map", None, "and its index kept for panics"), ("map", 132 * 8, "strides of 8 blocks per processor")):
        row("`x*x+1` over 1e8 f32, resident", ms := cuda.device_ms(lambda: cuda.launch(all.map("square", kind), a, b, 0, n, blocks=blocks)), f"{note}; {0.8e3 / ms[0]:,.0f} GB/s")
    row("device to device copy of 0.4 GB", ms := cuda.device_ms(lambda: cuda.call("cuMemcpyDtoDAsync_v2", b, a, 4 * n, 0)), f"{0.8e3 / ms[0]:,.0f} GB/s")
    pin, out = cuda.pinned(n, f), cuda.pinned(n, f)
    pin[:] = host
    for what, source, target in (("pageable", host, back), ("pinned", pin, out)):
        row(f"host to device, {what}", ms := cuda.wall_ms(lambda: cuda.put(a, source)), f"{400 / ms[0]:.1f} GB/s")
        row(f"device to host, {what}", ms := cuda.wall_ms(lambda: cuda.get(target, b)), f"{400 / ms[0]:.1f} GB/s")
        for count in (1, 3):
            streams = [cuda.made("cuStreamCreate", 1) for _ in range(count)]

            def chunk(stream, lo, hi, _):
                cuda.put(a + 4 * lo, source[lo:hi], stream)
                cuda.launch(tiny, a, b, lo, hi, stream)
                cuda.get(target[lo:hi], b + 4 * lo, stream)

            row(f"`x*x+1` over 1e8 f32, {what} host memory, {count} streams of 16 MiB", ms := cuda.wall_ms(lambda: over_chunks(chunk, n, streams)), f"{800 / ms[0]:.1f} GB/s both ways")
    assert (out == pin * pin + 1).all() and (back == out).all()
    context = cuda.made("cuCtxGetCurrent")

    def staged(workers):
        def one(first):
            cuda.call("cuCtxSetCurrent", context)
            stream, size = streams[first], 4 << 20
            for lo in range(first * size, n, workers * size):
                hi, at = min(lo + size, n), slice(first * size, first * size + min(size, n - lo))
                pin[at] = host[lo:hi]
                cuda.put(a + 4 * lo, pin[at], stream)
                cuda.launch(tiny, a, b, lo, hi, stream)
                cuda.get(out[at], b + 4 * lo, stream)
                cuda.call("cuStreamSynchronize", stream)
                back[lo:hi] = out[at]
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            list(pool.map(one, range(workers)))

    for workers in (1, 3, 8):
        streams = [cuda.made("cuStreamCreate", 1) for _ in range(workers)]
        row(f"the same, pageable, copied through pinned buffers by {workers} threads", cuda.wall_ms(lambda: staged(workers), 5))
    begin = time.perf_counter()
    cuda.call("cuMemHostRegister_v2", host.ctypes.data, host.nbytes, 0)
    took = (time.perf_counter() - begin) * 1e3
    row("cuMemHostRegister of 0.4 GB", (took, took))
    cuda.call("cuMemHostUnregister", host.ctypes.data)
    cores = os.cpu_count()
    with concurrent.futures.ThreadPoolExecutor(cores) as pool:
        def cpu():
            bounds = [n * k // cores for k in range(cores + 1)]
            list(pool.map(lambda k: all.twin("square", host[bounds[k]:].ctypes.data, back[bounds[k]:].ctypes.data, None, bounds[k + 1] - bounds[k]), range(cores)))
        row(f"`x*x+1` over 1e8 f32 on {cores} CPU cores", cuda.wall_ms(cpu))
    options = np.random.default_rng(2).uniform([50, 50, .1, .01, .1], [150, 150, 2, .05, .5], (10_000_000, 5)).astype(f)
    o, p = cuda.alloc(options.nbytes), cuda.alloc(80_000_000)
    cuda.put(o, options)
    row("Black-Scholes, 1e7 options, f32, libm, resident", cuda.device_ms(lambda: cuda.launch(all.map("black_scholes"), o, p, 0, 10_000_000)))
    pixels = 4096 * 4096
    row("Mandelbrot 4096×4096×256, on the device", cuda.device_ms(lambda: cuda.launch(all.map("mandelbrot"), 0, b, 0, pixels)))
    shown = out[:pixels].view(np.uint32)
    row("the same, with the copy to pinned memory", cuda.wall_ms(lambda: (cuda.launch(all.map("mandelbrot"), 0, b, 0, pixels), cuda.get(shown, b))))
    cpu_pixels = np.zeros(pixels, np.uint32)
    all.twin("mandelbrot", None, cpu_pixels.ctypes.data, None, 1 << 20)
    assert (cpu_pixels[: 1 << 20] == shown[: 1 << 20]).all()
    count = 1_000_000_000
    leaves, levels = -(-count // 64), []
    room = [cuda.alloc(8 * (leaves + 64)), cuda.alloc(8 * (leaves // 64 + 128))]

    def tree():
        m, here = leaves, 0
        cuda.launch(all.map("leaf"), 0, room[0], 0, m)
        while m > 1:
            cuda.call("cuMemsetD32Async", room[here] + 8 * m, 0, 2 * (-m % 64), 0)
            cuda.launch(all.map("combine"), room[here], room[1 - here], 0, m := -(-m // 64))
            here = 1 - here
        levels[:] = [here]

    row("sum of `1/(x*x)` over 1e9, generated there, f64, by the tree of pairs", cuda.device_ms(tree))
    total, total_cpu = np.zeros(1), np.zeros(leaves + 64)
    cuda.get(total, room[levels[0]])
    all.twin("leaf", None, total_cpu.ctypes.data, None, leaves)
    while leaves > 1:
        total_cpu[leaves:leaves + 64] = 0
        after = np.zeros(-(-leaves // 64) + 64)
        all.twin("combine", total_cpu.ctypes.data, after.ctypes.data, None, leaves := -(-leaves // 64))
        total_cpu = after
    print(f"<!-- the sum: GPU {total[0]!r}, CPU {total_cpu[0]!r} -->")
    row("sums of 64 `x ^ 3` over 1e9, u64, checked", cuda.device_ms(lambda: cuda.launch(all.map("leaf_u64"), 0, room[0], 0, count // 64)))
