#!/usr/bin/env python3
"""Rust closures on a GPU beside the same on the CPU: whether their bits and panics are the same.

`python3 bench/gpu/run.py` builds and measures. Where the GPU's machine has no Rust: `--build DIR` here, `--use DIR` there.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
TARGET = HERE.parent.parent / "target" / "gpu"
ENTRIES = """
.visible .entry map_NAME(.param .u64 input, .param .u64 output, .param .u64 lo, .param .u64 hi) .maxntid 256, 1, 1 {
  .reg .pred %p; .reg .b32 %r<5>; .reg .b64 %d<9>;
  ld.param.u64 %d1, [input]; ld.param.u64 %d2, [output]; ld.param.u64 %d3, [lo]; ld.param.u64 %d4, [hi];
  mov.u32 %r1, %ctaid.x; mov.u32 %r2, %ntid.x; mov.u32 %r3, %tid.x; mov.u32 %r4, %nctaid.x; cvt.u64.u32 %d5, %r3;
  add.u64 %d3, %d3, %d5; mad.wide.u32 %d3, %r1, %r2, %d3; mul.wide.u32 %d6, %r2, %r4;
  mov.u64 %d7, px_item; shl.b64 %d5, %d5, 3; add.u64 %d7, %d7, %d5;
NEXT: setp.ge.u64 %p, %d3, %d4; @%p ret;
  st.shared.u64 [%d7], %d3;
  { .param .b64 a; .param .b64 b; .param .b64 c; st.param.b64 [a], %d1; st.param.b64 [b], %d2; st.param.b64 [c], %d3;
    call NAME, (a, b, c); }
  add.u64 %d3, %d3, %d6; bra NEXT;
}
.visible .entry one_NAME(.param .u64 input, .param .u64 output, .param .u64 lo, .param .u64 hi) .maxntid 256, 1, 1 {
  .reg .pred %p; .reg .b32 %r<4>; .reg .b64 %d<6>;
  ld.param.u64 %d1, [input]; ld.param.u64 %d2, [output]; ld.param.u64 %d3, [lo]; ld.param.u64 %d4, [hi];
  mov.u32 %r1, %ctaid.x; mov.u32 %r2, %ntid.x; mov.u32 %r3, %tid.x; cvt.u64.u32 %d5, %r3;
  add.u64 %d3, %d3, %d5; mad.wide.u32 %d3, %r1, %r2, %d3; setp.ge.u64 %p, %d3, %d4; @%p ret;
  { .param .b64 a; .param .b64 b; .param .b64 c; st.param.b64 [a], %d1; st.param.b64 [b], %d2; st.param.b64 [c], %d3;
    call NAME, (a, b, c); }
  ret;
}"""
# A panic leaves its line, if there is room for lines; the least item that failed, with its line; and ends the thread.
FAIL = """{ .reg .pred %p; .reg .b32 %r<3>; .reg .b64 %d<8>;
  ld.param.u32 %r1, [px_fail_param_0]; mov.u32 %r2, %tid.x; mul.wide.u32 %d1, %r2, 8; mov.u64 %d2, px_item;
  add.u64 %d1, %d1, %d2; ld.shared.u64 %d3, [%d1]; ld.global.u64 %d4, [px_lines]; setp.eq.u64 %p, %d4, 0; @%p bra FIRST;
  shl.b64 %d5, %d3, 2; add.u64 %d5, %d5, %d4; st.global.u32 [%d5], %r1;
FIRST: shl.b64 %d3, %d3, 24; cvt.u64.u32 %d6, %r1; or.b64 %d3, %d3, %d6; atom.global.min.u64 %d7, [px_first], %d3; exit; }"""
MEMCMP = """{ .reg .pred %p; .reg .b32 %r<4>; .reg .b64 %d<4>; ld.param.u64 %d1, [memcmp_param_0];
  ld.param.u64 %d2, [memcmp_param_1]; ld.param.u64 %d3, [memcmp_param_2]; mov.u32 %r3, 0;
NEXT: setp.eq.u64 %p, %d3, 0; @%p bra DONE; ld.u8 %r1, [%d1]; ld.u8 %r2, [%d2]; sub.s32 %r3, %r1, %r2;
  setp.ne.s32 %p, %r3, 0; @%p bra DONE; add.u64 %d1, %d1, 1; add.u64 %d2, %d2, 1; sub.u64 %d3, %d3, 1; bra NEXT;
DONE: st.param.b32 [func_retval0], %r3; ret; }"""
EXACT = {"sqrt": "sqrt.rn.{t}", "floor": "cvt.rmi.{t}.{t}", "trunc": "cvt.rzi.{t}.{t}", "mul_add": "fma.rn.{t}",
         "round_ties_even": "cvt.rni.{t}.{t}"}


def body(extern):
    """PTX for what rustc left to be defined elsewhere."""
    head = extern.group(0).replace(".extern ", "").replace(".noreturn", "").rstrip(";\n ")
    name = re.findall(r"(\w+)_param_0", head)[0]
    if name in ("px_fail", "memcmp"):
        return f"{head}\n{FAIL if name == 'px_fail' else MEMCMP}\n"
    exact, t = re.fullmatch(r"px_(\w+)_(f\d\d)", name).groups()
    args = range(1, head.count("_param_") + 1)
    loads = " ".join(f"ld.param.{t} %f{i}, [{name}_param_{i - 1}];" for i in args)
    compute = EXACT[exact].format(t=t) + " %f0, " + ", ".join(f"%f{i}" for i in args)
    return f"{head}\n{{ .reg .{t} %f<4>; {loads} {compute}; st.param.{t} [func_retval0], %f0; ret; }}\n"


def without_messages(function):
    """A function that only panics, less what it writes: the panic handler reads no message. It does read the place, which
    core's last function before it writes."""
    if "rust_begin_unwind," in function:
        return function
    return re.sub(r"^\t(st\.(local\.)?[bv]\d.*|mov\.b64 \t%rd\d+, _R\w+;)\n", "", function, flags=re.M)


def modules(ptx, names):
    """PTX for each closure: its entries and what they reach."""
    chunks = re.split(r"^(?=\.(?:extern|visible|weak|func|global|const|shared|version)\b)", ptx, flags=re.M)
    head, parts, uses = chunks[0] + chunks[1], [], {}
    for chunk in chunks[2:]:
        name = re.match(r"(?:\.visible )?\.func\s+(?:\([^)]*\)\s*)?([\w$]+)|[^=;\[]*?([\w$]+)\s*[=;\[]", chunk)
        name = name.group(1) or name.group(2)
        panics = ".noreturn" in chunk.split("{")[0] and "{" in chunk
        parts.append((name, without_messages(chunk) if panics else chunk))
        uses.setdefault(name, set()).update(re.findall(r"[\w$]+", parts[-1][1]))
    for name in names:
        reached, more = set(), {name, "px_first", "px_lines", "px_item"}
        while more:
            reached |= more
            more = set().union(*(uses[n] & uses.keys() for n in more)) - reached
        yield name, head + "".join(part for n, part in parts if n in reached) + ENTRIES.replace("NAME", name)


def build(into, stand_in):
    """Compiles the closures for both, and writes them with their types into the folder."""
    asked = subprocess.run(["rustc", "--print", "target-libdir", "--target", "nvptx64-nvidia-cuda"], capture_output=True, text=True)
    environment = {**os.environ, "CARGO_TARGET_DIR": str(TARGET)}
    options = []
    if stand_in:
        environment["RUSTC_BOOTSTRAP"], options = "1", ["-Zbuild-std=core"]
    elif not list(pathlib.Path(asked.stdout.strip()).glob("libcore-*.rlib")):
        sys.exit("rustc can't compile for the GPU here. `rustup target add nvptx64-nvidia-cuda` adds what it needs.\nWhere that "
                 "can't be had, `--stand-in` builds it from the component rust-src with RUSTC_BOOTSTRAP=1.\nNothing was measured.")
    cargo = ["cargo", "rustc", "--release", "--quiet"]
    subprocess.run(cargo, cwd=HERE, env=environment, check=True)
    gpu = ["--target", "nvptx64-nvidia-cuda", *options, "--", "--emit=asm", "-Clinker=true", "-Ctarget-cpu=sm_80"]
    subprocess.run(cargo + gpu, cwd=HERE, env=environment, check=True)
    listed = re.compile(r"^    (\w+): \[(\w+); (\d+)\] => \[(\w+); (\d+)\], \|", re.M)
    parts = (HERE / "closures.rs").read_text().split("\n// Not in the corpus")
    kinds = [{n: (a, int(k), b, int(m)) for n, a, k, b, m in listed.findall(part)} for part in parts]
    ptx = (TARGET / "nvptx64-nvidia-cuda/release/deps/closures.s").read_text()
    ptx = re.sub(r"\s*//.*", "", ptx)
    ptx = re.sub(r"\.extern \.func[^;{]*;\n", body, ptx)
    shared = ".shared .align 8 .b64 px_item[256];\n.visible .global .u64 px_first;\n.visible .global .u64 px_lines;\n"
    ptx = ptx.replace(".address_size 64\n", ".address_size 64\n" + shared, 1)
    into.mkdir(parents=True, exist_ok=True)
    for name, text in modules(ptx, [n for kind in kinds for n in kind]):
        (into / f"{name}.ptx").write_text(text)
    shutil.copy(TARGET / "release/libclosures.so", into)
    rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True).stdout.strip()
    (into / "closures.json").write_text(json.dumps({"rustc": rustc, "corpus": kinds[0], "others": kinds[1]}))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, metavar="DIR", help="only compile, into this folder")
    parser.add_argument("--use", type=pathlib.Path, metavar="DIR", help="measure what was compiled there")
    parser.add_argument("--stand-in", action="store_true", help="build the GPU's core library from rust-src (for tests)")
    parser.add_argument("--only", metavar="A,B", default="corpus", help="of: corpus, times, traps")
    parser.add_argument("--items", type=int, default=1 << 20, help="of each closure")
    options = parser.parse_args()
    if not options.use:
        build(options.build or TARGET / "built", options.stand_in)
        if options.build:
            return
    try:
        import numpy  # noqa: F401
    except ImportError:
        sys.exit("NumPy isn't there, which makes the items. Nothing was measured.")
    import measure

    built, wrong = options.use or TARGET / "built", 0
    for name in options.only.split(","):
        if name == "corpus":
            wrong += measure.main(built, options.items)
        elif name == "times":
            import times

            times.main(measure.Closures(built))
        else:
            import traps

            traps.main(built, measure.Closures(built), name)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
