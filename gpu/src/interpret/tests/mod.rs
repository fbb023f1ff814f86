//! Small functions by hand, and real ones beside the processor.

mod families;
mod mutated;
mod real;

use super::{Device, Fault, Memory, Module};

/// A device with a module whose entry `t` does `body` and writes `%d0` into its first argument. `%d1` to `%d3` are the
/// other arguments, and `%r1` to `%r3` and `%h1` to `%h3` their low bits.
fn entry(before: &str, body: &str) -> String {
    format!(
        ".version 7.0\n.target sm_80\n.address_size 64\n{before}
        .visible .entry t(.param .u64 out, .param .u64 a, .param .u64 b, .param .u64 c) {{
            .reg .pred %p<8>; .reg .b16 %h<8>; .reg .b32 %r<16>; .reg .b64 %d<16>; .reg .b64 %out;
            ld.param.u64 %out, [out]; ld.param.u64 %d1, [a]; ld.param.u64 %d2, [b]; ld.param.u64 %d3, [c];
            cvt.u32.u64 %r1, %d1; cvt.u32.u64 %r2, %d2; cvt.u32.u64 %r3, %d3;
            cvt.u16.u64 %h1, %d1; cvt.u16.u64 %h2, %d2; cvt.u16.u64 %h3, %d3;
            {body}
            st.global.u64 [%out], %d0;
            ret;
        }}"
    )
}

fn tried(before: &str, body: &str, [a, b, c]: [u64; 3]) -> Result<u64, Fault> {
    let mut memory = Memory::new(1 << 20);
    let device = Device::load(Module::parse(&entry(before, body))?, &mut memory)?;
    let out = memory.alloc(8, 8)?;
    device.launch(&mut memory, "t", &[out, a, b, c], 1, &|| false)?;
    Ok(u64::from_le_bytes(memory.read(out, 8)?.try_into().unwrap()))
}

/// What a function makes of three numbers.
fn result(body: &str, numbers: [u64; 3]) -> u64 {
    tried("", body, numbers).unwrap_or_else(|fault| panic!("{body}: {fault}"))
}

/// Runs one instruction, with `$` for its result, for all sorts of numbers. Their low bits are in the registers.
fn same(instruction: &str, kind: char, numbers: &[u64], wanted: impl Fn(u64, u64, u64) -> u64) {
    let widened = match kind {
        'h' => "cvt.u64.u16 %d0, %h0;",
        'r' => "cvt.u64.u32 %d0, %r0;",
        'p' => "selp.b64 %d0, 1, 0, %p0;",
        _ => "",
    };
    let body = format!("{}; {widened}", instruction.replace('$', &format!("%{kind}0")));
    let mut memory = Memory::new(1 << 20);
    let module = Module::parse(&entry("", &body)).unwrap_or_else(|fault| panic!("{instruction}: {fault}"));
    let device = Device::load(module, &mut memory).unwrap();
    let out = memory.alloc(8, 8).unwrap();
    for (index, a) in numbers.iter().enumerate() {
        for (other, b) in numbers.iter().enumerate() {
            let c = &numbers[(index * 7 + other * 3) % numbers.len()];
            device.launch(&mut memory, "t", &[out, *a, *b, *c], 1, &|| false).unwrap();
            let found = u64::from_le_bytes(memory.read(out, 8).unwrap().try_into().unwrap());
            let wanted = wanted(*a, *b, *c);
            assert_eq!(found, wanted, "{instruction} of {a:#x}, {b:#x}, {c:#x}: {found:#x}, not {wanted:#x}");
        }
    }
}
