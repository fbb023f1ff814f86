//! The remainder of floats. LLVM makes `x - trunc(x / y) * y` of it for this target, where the quotient is rounded: for
//! `1e20 % 3.0` that is far off. It does the last step with `fma`, an instruction that Rust's other code never becomes,
//! since rustc contracts nothing and `mul_add` is a call. So each `fma` is a remainder, and a call of the prelude's
//! function takes its place. It needs neither the quotient nor what LLVM does about an infinite `y`.
//!
//! Of `-0.0 % y` it leaves the product alone, which is the remainder with the other sign, in an instruction that Rust's
//! other code never becomes either.

use super::LinkError;

/// A function's text with exact remainders, or `None` if it has no remainder.
pub(super) fn exact(text: &str) -> Result<Option<String>, LinkError> {
    if !["fma.rn.f", "testp.infinite", "mul.f"].iter().any(|it| text.contains(it)) {
        return Ok(None);
    }
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let (instruction, operands) = line.trim().split_once(char::is_whitespace).unwrap_or((line.trim(), ""));
        let operands: Vec<&str> = operands.trim_end_matches(';').split(',').map(str::trim).collect();
        match (instruction, &*operands) {
            ("fma.rn.f32", [result, quotient, y, x]) if is_whole(&lines, quotient) => {
                lines.push(call(32, result, x, y))
            }
            ("fma.rn.f64", [result, quotient, y, x]) if is_whole(&lines, quotient) => {
                lines.push(call(64, result, x, y))
            }
            ("mul.f32", [result, quotient, y]) if is_of_minus_zero(&lines, quotient) => {
                lines.push(call(32, result, "0f80000000", y));
                lines.push(format!("\tneg.f32 \t{result}, {result};"));
            }
            ("mul.f64", [result, quotient, y]) if is_of_minus_zero(&lines, quotient) => {
                lines.push(call(64, result, "0d8000000000000000", y));
                lines.push(format!("\tneg.f64 \t{result}, {result};"));
            }
            // Whether `y` is infinite: then LLVM takes `x`, even for an infinite one.
            ("testp.infinite.f32" | "testp.infinite.f64", [result, _]) => {
                lines.push(format!("\tsetp.ne.b32 \t{result}, 0, 0;"));
            }
            _ if ["fma.", "testp.", "mul.f"].iter().any(|it| instruction.contains(it)) => {
                return Err(LinkError::Remainder);
            }
            _ => lines.push(line.to_owned()),
        }
    }
    Ok(Some(lines.join("\n") + "\n"))
}

/// Whether a register is a quotient without its fraction, maybe with another sign: the signs of both operands of the
/// product may have been changed, which makes no difference to a remainder.
fn is_whole(lines: &[String], register: &str) -> bool {
    let (instruction, _) = definition(lines, register);
    instruction.starts_with("cvt.rzi.f") || instruction.starts_with("neg.f")
}

/// Whether it is one of a quotient of -0.0.
fn is_of_minus_zero(lines: &[String], register: &str) -> bool {
    let (whole, operands) = definition(lines, register);
    let (divides, parts) = operands.get(1).map(|quotient| definition(lines, quotient)).unwrap_or_default();
    let is_zero = |value: &str| ["0f80000000", "0d8000000000000000"].contains(&value);
    let dividend = parts.get(1).copied().unwrap_or_default();
    let value = || definition(lines, dividend).1.get(1).copied().unwrap_or_default();
    whole.starts_with("cvt.rzi.f") && divides.starts_with("div.rn.f") && (is_zero(dividend) || is_zero(value()))
}

/// The last instruction whose result is this register, and its operands, of which that is the first.
fn definition<'a>(lines: &'a [String], register: &str) -> (&'a str, Vec<&'a str>) {
    let parts = lines.iter().rev().map(|line| {
        let (instruction, operands) = line.trim().split_once(char::is_whitespace).unwrap_or_default();
        (instruction, operands.trim_end_matches(';').split(',').map(str::trim).collect::<Vec<_>>())
    });
    parts.into_iter().find(|(_, operands)| operands.first() == Some(&register)).unwrap_or_default()
}

fn call(bits: u32, result: &str, x: &str, y: &str) -> String {
    format!(
        "\t{{\n\t.param .b{bits} \tparam0;\n\t.param .b{bits} \tparam1;\n\t.param .b{bits} \tretval0;\n\
         \tst.param.b{bits} \t[param0], {x};\n\tst.param.b{bits} \t[param1], {y};\n\
         \tcall.uni (retval0), px_rem_f{bits}, (param0, param1);\n\
         \tld.param.b{bits} \t{result}, [retval0];\n\t}}"
    )
}
