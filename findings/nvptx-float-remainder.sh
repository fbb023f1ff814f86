#!/usr/bin/env bash
# The remainder of floats on NVIDIA GPUs isn't the CPU's.
#
# Versions:  rustc 1.95.0 (LLVM 22), target nvptx64-nvidia-cuda, checked without a GPU.
# Guess:     `a % b` of floats is C's fmod, as Rust's documentation of `Rem for f64` says: exact, with the sign of a.
# Behaviour: rustc calls no fmod for this target. The PTX is a - trunc(a / b) * b, with the quotient rounded, which is off
#            where the quotient is rounded up to a whole number, and gives the wrong sign then.
# Seen:      div.rn.f64, cvt.rzi.f64.f64, neg.f64, fma.rn.f64; worked out exactly for 1.0 % 0.1 that is
#            -5.551115123125783e-17 instead of 0.09999999999999995.
# So:        who wants the CPU's bits calls `libm::fmod`, which is compiled like any other function.
#
# It needs rustc 1.95.0 with rustup's component rust-src, from which it builds `core` for the target (10 s), and Python 3.
set -euo pipefail
rustc --version | grep -q '^rustc 1\.95\.0 ' || { echo "this is about rustc 1.95.0, not $(rustc --version)" >&2; exit 2; }
source=$(rustc --print sysroot)/lib/rustlib/src/rust/library/core/src/lib.rs
[ -f "$source" ] || { echo "rust-src is missing: rustup component add rust-src" >&2; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir lib
options=(--edition 2024 --target nvptx64-nvidia-cuda -C opt-level=3 -C target-cpu=sm_80 -C panic=abort -L lib)
library() { RUSTC_BOOTSTRAP=1 rustc "${options[@]}" --crate-name "$1" --crate-type rlib --cap-lints allow \
    -Z force-unstable-if-unmarked "$2" -o "lib/lib$1.rlib"; }
library core "$source"
printf '#![no_std]\n#![feature(compiler_builtins)]\n#![compiler_builtins]\n' > builtins.rs
library compiler_builtins builtins.rs
cat > remainder.rs <<'RUST'
#![no_std]
#[unsafe(no_mangle)]
pub extern "C" fn remainder(a: f64, b: f64) -> f64 {
    a % b
}
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
RUST
rustc "${options[@]}" --crate-type rlib --emit=asm remainder.rs -o remainder.ptx
python3 - <<'PYTHON'
import math
import re
from fractions import Fraction

ptx = open("remainder.ptx").read().split("remainder(")[1]
steps = re.findall(r"^\s+(div\S*|cvt\S*|neg\S*|fma\S*|call\S*)\s", ptx, re.M)
print("the PTX of a % b:", ", ".join(steps))
assert steps == ["div.rn.f64", "cvt.rzi.f64.f64", "neg.f64", "fma.rn.f64"], steps
a, b = 1.0, 0.1
# What these do: each is rounded once, fma only at its end.
seen = float(Fraction(-float(math.trunc(a / b))) * Fraction(b) + Fraction(a))
print(f"1.0 % 0.1 by these steps: {seen}; C's fmod: {math.fmod(a, b)}")
assert (seen, math.fmod(a, b)) == (-5.551115123125783e-17, 0.09999999999999995)
PYTHON
