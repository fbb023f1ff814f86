//! The functions by which Rust calls kernels.

use super::signature::{Kernel, Parameter, Pass};

/// What Rust keeps for itself and C++ leaves to names.
const KEYWORDS: [&str; 35] = [
    "Self", "abstract", "as", "async", "await", "become", "box", "crate", "dyn", "final", "fn", "gen", "impl", "in",
    "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "self", "super", "trait",
    "type", "typeof", "unsafe", "unsized", "use", "where", "yield",
];

/// The functions, each on the line of its kernel, of which the first is 1. What they share stands in front of these lines.
pub fn rust(kernels: &[Kernel], ptx: &str) -> String {
    // Of its content: what was defined before goes on with its own.
    let module = format!("CUDA_{}", &blake3::hash(ptx.as_bytes()).to_hex()[..16]);
    let mut text = format!("const {module}: &str = {ptx:?};");
    let mut line = 0;
    for kernel in kernels {
        let newlines = kernel.line.saturating_sub(line);
        text.push_str(&"\n".repeat(newlines));
        line += newlines;
        let arguments: Vec<String> = kernel.parameters.iter().map(argument).collect();
        let attribute = "#[allow(dead_code, nonstandard_style)] ";
        text.push_str(&format!(
            "{attribute}fn {} -> std::result::Result<(), px::Error> {{ px::kernel::launch({module}, {:?}, px_grid, &[{}]) }} ",
            call(kernel),
            kernel.name,
            arguments.join(", ")
        ));
    }
    text
}

/// A kernel's name and what it takes, in Rust.
pub fn call(kernel: &Kernel) -> String {
    let parameter = |it: &Parameter| {
        let (name, rust) = (name(&it.name), it.rust);
        match it.pass {
            Pass::Value => format!("{name}: {rust}"),
            Pass::Read => format!("{name}: &px::GpuVec<{rust}>"),
            Pass::Write => format!("{name}: &mut px::GpuVec<{rust}>"),
        }
    };
    let all = std::iter::once("px_grid: px::Grid".to_owned()).chain(kernel.parameters.iter().map(parameter));
    let all: Vec<String> = all.collect();
    format!("{}({})", name(&kernel.name), all.join(", "))
}

fn argument(parameter: &Parameter) -> String {
    let name = name(&parameter.name);
    match parameter.pass {
        Pass::Value => format!("px::kernel::value({name})"),
        Pass::Read => format!("px::kernel::read({name})"),
        Pass::Write => format!("px::kernel::write({name})?"),
    }
}

/// The name in Rust.
fn name(name: &str) -> String {
    if KEYWORDS.contains(&name) { format!("{name}_") } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::signature::kernels;
    use super::*;

    #[test]
    fn each_kernel_is_a_function_on_its_own_line() {
        let program = "\nextern \"C\" __global__ void f(const float *in, int *out_of, double k) {}\n\n\
                       extern \"C\" __global__ void match(int *out) {} extern \"C\" __global__ void g(void) {}";
        let text = rust(&kernels(program).unwrap(), "a \"b\"\n");
        let lines: Vec<&str> = text.lines().collect();
        let module = lines[0].strip_prefix("const ").unwrap().strip_suffix(r#": &str = "a \"b\"\n";"#).unwrap();
        assert_eq!((module.len(), lines[1], lines[3], lines.len()), (21, "", "", 5));
        assert_eq!(
            lines[2].trim_end(),
            format!(
                "#[allow(dead_code, nonstandard_style)] fn f(px_grid: px::Grid, in_: &px::GpuVec<f32>, out_of: &mut \
                 px::GpuVec<i32>, k: f64) -> std::result::Result<(), px::Error> {{ px::kernel::launch({module}, \"f\", \
                 px_grid, &[px::kernel::read(in_), px::kernel::write(out_of)?, px::kernel::value(k)]) }}"
            )
        );
        assert!(lines[4].contains("fn match_(px_grid: px::Grid, out: &mut px::GpuVec<i32>)"), "{}", lines[4]);
        assert!(
            lines[4].contains("launch(")
                && lines[4].contains("\"match\"")
                && lines[4].contains("fn g(px_grid: px::Grid)")
        );
        assert!(rust(&[], "c").starts_with("const CUDA_") && !rust(&[], "c").starts_with(&format!("const {module}")));
    }
}
