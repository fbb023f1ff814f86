//! What NVRTC made of a program's kernels: whether they are there, and take what their text says.
//!
//! [`signature`](super::signature) reads the text as it stands, without macros and conditions. A launch with other arguments
//! than the code takes would read what isn't there, so the two are compared.

use super::signature::{Kernel, Parameter, Pass, Refused};

/// Those of the kernels that are in the code: `#if` may leave some out. An error if one takes something else than its text
/// says.
pub fn compiled(kernels: Vec<Kernel>, ptx: &str) -> Result<Vec<Kernel>, Refused> {
    let mut found = Vec::new();
    for kernel in kernels {
        let Some(types) = entry(ptx, &kernel.name) else { continue };
        let fits = types.len() == kernel.parameters.len();
        if !fits || !types.iter().zip(&kernel.parameters).all(|(kind, parameter)| is(kind, parameter)) {
            let what = format!(
                "`{}` takes something else than its parameters say: they must be written without macros and without names \
                 for types of your own",
                kernel.name
            );
            return Err(Refused { line: kernel.line, what });
        }
        found.push(kernel);
    }
    Ok(found)
}

/// The types of the parameters of the entry of this name, such as `.u64`.
fn entry<'p>(ptx: &'p str, name: &str) -> Option<Vec<&'p str>> {
    let mut entries = ptx.split(".entry ").skip(1);
    let rest = entries.find_map(|rest| {
        let rest = rest.trim_start().strip_prefix(name)?;
        rest.trim_start().strip_prefix('(')
    })?;
    let (parameters, _) = rest.split_once(')')?;
    let of =
        |parameter: &'p str| parameter.split_whitespace().filter(|it| *it != ".param").find(|it| it.starts_with('.'));
    Some(parameters.split(',').filter(|it| !it.trim().is_empty()).map(|it| of(it).unwrap_or_default()).collect())
}

fn is(kind: &str, parameter: &Parameter) -> bool {
    let (rust, bits) = match (parameter.pass, parameter.rust) {
        (Pass::Read | Pass::Write, _) => ("", "64"),
        (Pass::Value, "bool") => ("", "8"),
        (Pass::Value, rust) => rust.split_at(1),
    };
    let wanted = if rust == "f" { ["f", "f", "f"] } else { ["u", "s", "b"] };
    let kind = kind.strip_prefix('.').unwrap_or_default();
    wanted.iter().any(|it| kind.strip_prefix(it) == Some(bits))
}

#[cfg(test)]
mod tests {
    use super::super::signature::kernels;
    use super::*;

    const PTX: &str = "\t// .globl\tf\n.visible .entry f(\n\t.param .u64 .ptr .align 1 f_param_0,\n\t.param .u8 f_param_1,\n\
        \t.param .u16 f_param_2,\n\t.param .f64 f_param_3\n)\n{\n}\n.visible .entry g()\n{\n}\n";

    #[test]
    fn kernels_are_in_the_code_as_their_text_says() {
        let of = |program: &str| {
            let found = compiled(kernels(program).unwrap(), PTX)?;
            Ok::<_, Refused>(found.into_iter().map(|it| it.name).collect::<Vec<_>>())
        };
        let f = |parameters: &str| format!("\nextern \"C\" __global__ void f({parameters}) {{}}");
        let all = f("float *x, bool a, short b, double c") + "extern \"C\" __global__ void g() {}";
        assert_eq!(of(&all).unwrap(), ["f", "g"]);
        assert_eq!(of("extern \"C\" __global__ void left_out(int n) {}").unwrap(), [""; 0]);
        for wrong in [
            "float *x, bool a, short b",
            "float *x, bool a, short b, double c, int d",
            "float *x, bool a, short b, float c",
            "float *x, bool a, short b, long c",
            "float *x, float a, short b, double c",
            "double x, bool a, short b, double c",
        ] {
            let refused = of(&f(wrong)).unwrap_err();
            assert!(refused.line == 2 && refused.what.contains("`f` takes something else"), "{wrong}: {refused:?}");
        }
    }
}
