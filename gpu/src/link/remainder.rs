//! The remainder of floats. LLVM makes `x - trunc(x / y) * y` of it for this target, where the quotient is rounded: for
//! `1e20 % 3.0` that is far off. It does the last step with `fma`, an instruction that Rust's other code never becomes,
//! since rustc contracts nothing and `mul_add` is a call. So each `fma` is a remainder, and a call of the prelude's
//! function takes its place. It needs neither the quotient nor what LLVM does about an infinite `y`.

use super::LinkError;

/// A function's text with exact remainders, or `None` if it has no remainder.
pub(super) fn exact(text: &str) -> Result<Option<String>, LinkError> {
    if !text.contains("fma.rn.f") && !text.contains("testp.infinite") {
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
            // Whether `y` is infinite: then LLVM takes `x`, even for an infinite one.
            ("testp.infinite.f32" | "testp.infinite.f64", [result, _]) => {
                lines.push(format!("\tsetp.ne.b32 \t{result}, 0, 0;"));
            }
            _ if instruction.contains("fma.") || instruction.contains("testp.") => return Err(LinkError::Remainder),
            _ => lines.push(line.to_owned()),
        }
    }
    Ok(Some(lines.join("\n") + "\n"))
}

/// Whether a register is a quotient without its fraction, maybe with another sign: the signs of both operands of the
/// product may have been changed, which makes no difference to a remainder.
fn is_whole(lines: &[String], register: &str) -> bool {
    let defines = |line: &&String| {
        let operands = line.trim().split_once(char::is_whitespace).map_or("", |(_, operands)| operands.trim());
        operands.split(',').next() == Some(register)
    };
    let definition = lines.iter().rev().find(defines).map_or("", |line| line.trim());
    definition.starts_with("cvt.rzi.f") || definition.starts_with("neg.f")
}

fn call(bits: u32, result: &str, x: &str, y: &str) -> String {
    format!(
        "\t{{\n\t.param .b{bits} \tparam0;\n\t.param .b{bits} \tparam1;\n\t.param .b{bits} \tretval0;\n\
         \tst.param.b{bits} \t[param0], {x};\n\tst.param.b{bits} \t[param1], {y};\n\
         \tcall.uni (retval0), px_rem_f{bits}, (param0, param1);\n\
         \tld.param.b{bits} \t{result}, [retval0];\n\t}}"
    )
}
