"""Closures over their items on the GPU and the CPU: whether bits and panics are the same."""

import ctypes
import itertools
import json

import numpy as np

import cuda

FLOATS = [0.0, -0.0, 1, -1, 0.5, 1.5, 2.5, -2.5, 3, np.nan, -np.nan, np.inf, -np.inf, 5e-324, -1e-40, 1.2e-38, 2.3e-308, 3.4e38, 1.7e308,
          -3.4e38, 127, 128, -129, 255.5, 256, 32767.5, -32769, 65536, 2.0**31 - 1, 2.0**31, -(2.0**31) - 1, 2.0**32, 2.0**63, -(2.0**63),
          2.0**64, 1e-5, 1e20, np.pi, 0.1, 16777217, 1 - 2.0**-53, 709.8, -745.2, 88.73]
INTS = [0, 1, 2, 3, 5, 7, 10, 63, 64, 65, 100, 0xD7FF, 0xD800, 0x10FFFF, 0x110000]


def items(kind, lanes, n):
    """Edge cases in all pairs, small numbers, random bits, and mixtures of these, always the same."""
    random, kind = np.random.default_rng(7), np.dtype(kind.replace("i", "int").replace("u", "uint").replace("f", "float"))
    unsigned = np.dtype(f"u{kind.itemsize}")
    with np.errstate(over="ignore"):
        if kind.kind == "f":
            edges, small = np.array(FLOATS).astype(kind), (random.normal(size=(n, lanes)) * 10).astype(kind)
        else:
            top = 1 << (8 * kind.itemsize - 1)
            edges = np.array(INTS + [2 * top - 1, 2 * top - 2, top, top - 1, top + 1], unsigned).view(kind)
            small = random.integers(-50 if kind.kind == "i" else 0, 5000, (n, lanes)).astype(kind)
    bits = random.integers(0, 256, (n, lanes * kind.itemsize), np.uint8).view(kind)
    mixed = np.choose(random.integers(0, 3, (n, lanes)), [small, bits, random.choice(edges, (n, lanes))])
    which = random.integers(0, 5, (n, 1))
    result = np.where(which < 2, small, np.where(which == 2, bits, mixed)).astype(kind)
    pairs = np.array(list(itertools.product(edges, repeat=min(lanes, 2))), kind)[:n]
    result[: len(pairs), : pairs.shape[1]] = pairs
    return np.ascontiguousarray(result)


class Closures:
    def __init__(self, built):
        self.built, about = built, json.loads((built / "closures.json").read_text())
        self.rustc, self.corpus = about["rustc"], about["corpus"]
        self.twins, self.modules = ctypes.CDLL(str(built / "libclosures.so")), {}

    def module(self, name):
        if name not in self.modules:
            self.modules[name] = cuda.Module((self.built / f"{name}.ptx").read_bytes())
        return self.modules[name]

    def map(self, name, kind="map"):
        return self.module(name).function(f"{kind}_{name}")

    def twin(self, name, source, target, lines, n):
        pointers = [ctypes.c_void_p(a) for a in (source, target, lines)]
        getattr(self.twins, name)(*pointers, ctypes.c_uint64(n))


def corpus(all, count):
    """Every closure over its items on both; what differs."""
    wrong = 0
    print("| closure | items | panics, at the same items and lines | the first, by atom.min | results that differ | NaN with other bits |\n|---|--:|---|---|--:|--:|")
    for name, (a, k, b, m) in all.corpus.items():
        source = items(a, k, min(count, (64 << 20) // (k * int(a[1:]) // 8)))
        n, width = len(source), int(b[1:]) // 8
        kind = np.dtype(f"{'f' if b[0] == 'f' else 'u'}{width}")
        outs, lines = [np.full(n * m * width, 0xA5, np.uint8) for _ in "gc"], [np.zeros(n, np.uint32) for _ in "gc"]
        all.twin(name, source.ctypes.data, outs[1].ctypes.data, lines[1].ctypes.data, n)
        module = all.module(name)
        held = [cuda.alloc(x.nbytes) for x in (source, outs[0], lines[0])]
        for at, array in zip(held, (source, outs[0], lines[0])):
            cuda.put(at, array)
        cuda.put(module.variable("px_lines"), np.array([held[2]], np.uint64))
        firsts = []
        for blocks in (None, 7):  # one item for each thread, then few threads, which end at their first panic
            cuda.put(module.variable("px_first"), np.array([2**64 - 1], np.uint64))
            cuda.launch(all.map(name), held[0], held[1], 0, n, blocks=blocks)
            cuda.sync()
            first = np.zeros(1, np.uint64)
            cuda.get(first, module.variable("px_first"))
            firsts.append(int(first[0]))
            if blocks is None:
                cuda.get(outs[0], held[1])
                cuda.get(lines[0], held[2])
        for at in held:
            cuda.call("cuMemFree_v2", at)
        failed = np.flatnonzero(lines[1])
        expected = int(failed[0]) << 24 | int(lines[1][failed[0]]) if len(failed) else 2**64 - 1
        here, there = (x.view(kind).reshape(n, m) for x in outs)
        same, nans = here.view(f"u{width}") == there.view(f"u{width}"), 0
        if kind.kind == "f":
            both = np.isnan(here) & np.isnan(there)
            nans, same = int((both & ~same).sum()), same | both
        bad = np.flatnonzero(~same.all(1))
        panics_same, first_same = (lines[0] == lines[1]).all(), firsts == [expected] * 2
        wrong += len(bad) > 0 or not panics_same or not first_same
        print(f"| `{name}` | {n:,} | {'yes' if panics_same else 'NO'}, {len(failed):,} | {'yes' if first_same else f'NO {firsts} {expected}'} | {len(bad):,} | {nans:,} |", flush=True)
        for i in bad[:3]:
            print(f"<!-- item {i} {source[i].tolist()}: GPU {here[i].tolist()}, CPU {there[i].tolist()} -->")
    return wrong


def main(built, count):
    all = Closures(built)
    cuda.start()
    cuda.call("cuCtxSetLimit", 0, 16 << 10)  # for what calls itself or by pointer, as sorting and formatting do
    print(f"{cuda.machine()}; {all.rustc}\n")
    return corpus(all, count)
