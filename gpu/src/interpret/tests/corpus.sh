#!/usr/bin/env bash
# Makes corpus.ptx of corpus.rs, for when that is changed. Wants rustc with the target nvptx64-nvidia-cuda. What comes
# behind the folder for the result is for rustc, such as `-L folder` where the target's `core` is elsewhere.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$1; shift
mkdir -p "$work"
cat >"$work/device.rs" <<END
#![no_std]
#![allow(unused)]
#[panic_handler]
fn panicked(_: &core::panic::PanicInfo) -> ! { unsafe { px_fail() } }
unsafe extern "C" { fn px_fail() -> !; fn px_sqrt_f32(x: f32) -> f32; fn px_fma_f64(x: f64, y: f64, z: f64) -> f64; }
mod math {
    pub fn sqrt(x: f32) -> f32 { unsafe { super::px_sqrt_f32(x) } }
    pub fn fma(x: f64, y: f64, z: f64) -> f64 { unsafe { super::px_fma_f64(x, y, z) } }
}
#[macro_use] #[path = "$here/corpus.rs"] mod corpus;
use corpus::Mixed;
macro_rules! items { (\$(\$name:ident: \$item:ty => \$result:ty;)*) => { \$(
    #[unsafe(no_mangle)] pub unsafe extern "C" fn \$name(index: u64, items: *const \$item, results: *mut \$result) {
        unsafe { *results.add(index as usize) = corpus::\$name(*items.add(index as usize)) }
    }
)* } }
each!(items);
END
rustc --edition 2024 --target nvptx64-nvidia-cuda -C opt-level=3 -C target-cpu=sm_80 -C panic=abort --crate-type rlib \
  -C overflow-checks=on -C codegen-units=1 --emit=asm -A warnings \
  --remap-path-prefix "$here=tests" --remap-path-prefix "$(rustc --print sysroot)=rust" "$@" "$work/device.rs" -o "$work/device.ptx"
python3 - "$work/device.ptx" "$here/corpus.rs" "$work/corpus.ptx" <<'END'
import re, sys
ptx, functions = open(sys.argv[1]).read(), open(sys.argv[2]).read()
exact = {"px_sqrt_f32": ("sqrt.rn.f32", 1, 32), "px_fma_f64": ("fma.rn.f64", 3, 64)}
bodies = []
def body(found):
    head = found[0].replace(".extern ", "").replace(".noreturn", "").rstrip().rstrip(";")
    name = re.search(r"\.func\s+(?:\(.*?\)\s*)?(\S+)", head)[1]
    if name in exact:
        instruction, count, bits = exact[name]
        loads = " ".join(f"ld.param.b{bits} %x{i}, [{name}_param_{i}];" for i in range(count))
        operands = ", ".join(f"%x{i}" for i in range(count))
        code = f".reg .b{bits} %x<9>; {loads} {instruction} %x8, {operands}; st.param.b{bits} [func_retval0], %x8; ret;"
    elif ".noreturn" in found[0]:
        code = (".reg .b32 %r<4>; .reg .b64 %d<2>; mov.u32 %r1, %ctaid.x; mov.u32 %r2, %ntid.x; mov.u32 %r3, %tid.x;"
                " mad.wide.u32 %d1, %r1, %r2, 0; cvt.u64.u32 %d0, %r3; add.u64 %d1, %d1, %d0;"
                " atom.global.min.u64 %d0, [px_failed], %d1; exit;")
    else:
        # Only its address is taken, for messages of panics that nobody reads.
        code = "trap;"
    bodies.append(head + "\n{ " + code + " }\n")
    return ""
ptx = re.sub(r"\.extern \.func.*?\n(?:\.noreturn)?;\n", body, ptx, flags=re.S)
ptx = re.sub(r"^(\t?//.*)?\n", "", ptx, flags=re.M)
head, rest = ptx.split(".address_size 64", 1)
for name in re.findall(r"(\w+): [^:]+? =>", functions[functions.index("macro_rules! each"):]):
    rest += f"""
.visible .entry run_{name}(.param .u64 items, .param .u64 results, .param .u64 count)
{{
	.reg .pred %p<2>;
	.reg .b32 %r<4>;
	.reg .b64 %d<5>;
	mov.u32 %r1, %ctaid.x;
	mov.u32 %r2, %ntid.x;
	mov.u32 %r3, %tid.x;
	mad.lo.s32 %r1, %r1, %r2, %r3;
	cvt.u64.u32 %d1, %r1;
	ld.param.u64 %d2, [count];
	setp.ge.u64 %p1, %d1, %d2;
	@%p1 bra DONE;
	ld.param.u64 %d3, [items];
	ld.param.u64 %d4, [results];
	{{
	.param .b64 a;
	.param .b64 b;
	.param .b64 c;
	st.param.b64 [a], %d1;
	st.param.b64 [b], %d3;
	st.param.b64 [c], %d4;
	call.uni {name}, (a, b, c);
	}}
DONE:
	ret;
}}
"""
failed = ".address_size 64\n.visible .global .align 8 .u64 px_failed = 18446744073709551615;\n"
open(sys.argv[3], "w").write(head + failed + "".join(bodies) + rest)
END
