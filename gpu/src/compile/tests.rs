mod run;

use super::*;
use crate::toolchain::tests::{for_tests, rustc};

/// A device crate of a user's definitions and the two closures that `px_both` has.
fn device_crate(definitions: &str, source: &str, body: &str) -> String {
    format!(
        "#![no_std]\n#[macro_use]\nextern crate core as std;\nmod chorus_gpu {{\n{PRELUDE}}}\n\
         #[allow(unused_imports)]\nuse chorus_gpu::{{Float as _, Vec}};\n{definitions}\n\
         #[inline(always)]\nfn px_both(call: chorus_gpu::Call) {{\n    call.run({source}, {body})\n}}\n\
         chorus_gpu::functions!(px_both);\n"
    )
}

/// A map over a `Vec<f64>`.
fn map(definitions: &str, variables: &str, function: &str) -> String {
    let body = format!("|{variables}, px_items| px_items.{function}");
    device_crate(definitions, "|(xs,): (Vec<f64>,)| chorus_gpu::over!(&xs)", &body)
}

/// Compiles, or says why not. `None` where there is nothing to compile with.
fn compiled(source: &str) -> Option<Result<String, String>> {
    let folder = tempfile::tempdir().unwrap();
    let compiler = Compiler { rustc: rustc(), target: for_tests()?, crates: &Crates::default() };
    Some(compile(&compiler, source, folder.path()).map_err(|failed| failed.to_string()))
}

#[test]
fn arguments_have_the_libraries() {
    let words = |libraries: Option<&str>, crates: &Crates, code| {
        let target = Target { libraries: libraries.map(Into::into) };
        let compiler = Compiler { rustc: Path::new("rustc"), target: &target, crates };
        arguments(&compiler, code, Path::new("/f/a.rs"), Path::new("/f/a.ptx")).join(OsStr::new(" "))
    };
    let start = "--edition=2024 --target nvptx64-nvidia-cuda --crate-name=px_device --error-format=json -Awarnings \
                 -Copt-level=3 -Cpanic=abort -Coverflow-checks=on -Ccodegen-units=1 -C target-cpu=sm_80 \
                 --emit=asm=/f/a.ptx --out-dir /f";
    let none = Crates::default();
    assert_eq!(words(None, &none, Code::Own), *format!("{start} --crate-type=rlib /f/a.rs"));
    assert_eq!(words(Some("/c"), &none, Code::Own), *format!("{start} --crate-type=rlib -L /c /f/a.rs"));
    let crates = Crates { externs: vec![("h".into(), "/t/libh.rlib".into())], folders: vec![] };
    let all = "--crate-type=cdylib -Clto=fat -Clinker=true --emit=link=/f/a.so --extern h=/t/libh.rlib /f/a.rs";
    assert_eq!(words(None, &crates, Code::All), *format!("{start} {all}"));
}

#[test]
fn each_line_is_a_diagnostic() {
    let all = diagnostics("{\"message\":\"a\",\"level\":\"warning\"}\n\nrustc-LLVM ERROR: unsupported\n");
    assert_eq!(all.len(), 2);
    assert_eq!(first_message(&all), "rustc-LLVM ERROR: unsupported");
    assert_eq!(first_message(&[]), "rustc has failed and doesn't say why");
}

#[test]
fn a_map_with_variables_is_compiled() {
    let source = map("", "(k, v,): (f64, Vec<i32>,)", "map(|x| x * k + v[0] as f64)");
    let Some(ptx) = compiled(&source) else { return };
    let ptx = ptx.unwrap();
    assert!(ptx.contains("mul.rn.f64") && ptx.contains("add.rn.f64") && !ptx.contains("fma"), "{ptx}");
    assert!(ptx.contains(".visible .entry px_map(") && !ptx.contains(".extern"), "{ptx}");
    assert!(!ptx.contains("px_rem"), "what isn't needed is left out: {ptx}");
}

#[test]
fn definitions_are_plain_if_their_fields_are() {
    let definitions = "#[derive(Clone, Copy)] struct P { a: f32, b: u8 }
        #[derive(Clone, Copy)] enum E<T> { A(T, u8), B { x: i32 }, C }
        #[derive(Clone, Copy)] struct Empty;
        #[derive(Clone, Copy)] #[repr(u8)] enum Color { Red = 1, Green = 2 }
        #[derive(Clone, Copy)] pub(crate) struct Pair<A, B>(pub A, B);
        #[derive(Clone, Copy)] struct Text { text: &'static str }
        struct Owner { number: f64 }
        struct Named<'a, const N: usize> { names: [&'a str; N] }";
    let plain: String = definitions.lines().map(|line| format!("chorus_gpu::plain! {{ {line} }}\n")).collect();
    let definitions = format!("{definitions}\n{plain}");
    let source = "|(ps, colors,): (Vec<P>, Vec<Color>,)| chorus_gpu::over!(&ps, 0..10_u64, &colors)";
    let body = "|(v, empty,): (Vec<i32>, Empty,), px_items| px_items.map3(|p, i, color| {
        let _ = empty;
        if p.b > 1 { E::A(Pair(p.a, i), color as u8) } else if p.b == 0 { E::C } else { E::B { x: v.iter().sum() } }
    })";
    let Some(result) = compiled(&device_crate(&definitions, source, body)) else { return };
    result.unwrap();
    for (name, whose) in [("Text", "&'static str"), ("Owner", "Owner")] {
        let source = format!("|(all,): (Vec<{name}>,)| chorus_gpu::over!(&all)");
        let message = compiled(&device_crate(&definitions, &source, "|(): (), px_items| px_items.map(|_| 1)"));
        let message = message.unwrap().unwrap_err();
        let copy = name == "Owner" && message.contains("`Owner: Copy` is not satisfied");
        assert!(copy || message.contains(&format!("a value of type `{whose}` can't travel")), "{message}");
    }
}

#[test]
fn functions_take_values_or_references() {
    let definitions =
        "fn f(x: f64) -> f64 { x } fn g(x: &f64) -> f64 { *x } fn h(a: f64, b: &u8) -> f64 { a + *b as f64 }";
    for function in ["call(f)", "call(g)", "map_ref(|x| *x)", "call(|x: &f64| x.sqrt())", "call(f64::floor)"] {
        let Some(result) = compiled(&map(definitions, "(): ()", function)) else { return };
        result.unwrap();
    }
    let two = "|(a, b,): (Vec<f64>, Vec<u8>,)| chorus_gpu::over!(&a, &b)";
    for function in ["call2(h)", "map2(|a, b| a * b as f64)", "map2_ref(|a, b| a * *b as f64)"] {
        let body = format!("|(): (), px_items| px_items.{function}");
        compiled(&device_crate(definitions, two, &body)).unwrap().unwrap();
    }
    let wrong = compiled(&map("fn f(x: u8) -> u8 { x }", "(): ()", "call(f)")).unwrap().unwrap_err();
    assert_eq!(wrong, "this function's parameters don't fit the items, which are `f64`");
}

#[test]
fn only_the_type_of_the_items_counts() {
    for over in
        ["vec![1.5, 2.0]", "vec![0.5; 7]", "(0..9).map(|x| x as f64 / 2.0).collect::<Vec<_>>()", "&vec![1.0][..]"]
    {
        let source = format!("|(): ()| {{ use chorus_gpu::only_types::*; chorus_gpu::over!({over}) }}");
        let Some(ptx) = compiled(&device_crate("", &source, "|(): (), px_items| px_items.map(|x: f64| x * 2.0)"))
        else {
            return;
        };
        ptx.unwrap();
    }
}

#[test]
fn what_a_gpu_cant_do_is_the_compilers_error() {
    let Some(sin) = compiled(&map("", "(): ()", "map(|x| x.sin())")) else { return };
    assert_eq!(sin.unwrap_err(), "no method named `sin` found for type `f64` in the current scope");
    let text = compiled(&map("", "(): ()", "map(|x| if x > 0.0 { \"a\" } else { \"b\" })")).unwrap();
    assert_eq!(text.unwrap_err(), "a value of type `&str` can't travel between the CPU and the GPU");
    let iterator = "|(xs,): (Vec<f64>,)| chorus_gpu::over!(xs.iter().skip(1))";
    let iterator = compiled(&device_crate("", iterator, "|(): (), px_items| px_items.map(|x| x)")).unwrap();
    let message = iterator.unwrap_err();
    assert!(message.starts_with('`') && message.ends_with("` can't be mapped on a GPU"), "{message}");
    let generator = compiled(&map("", "(): ()", "map(|x| x as u128)")).unwrap();
    assert_eq!(generator.unwrap_err(), "rustc-LLVM ERROR: unsupported library call operation");
}

#[test]
fn code_of_core_comes_along_where_it_is_needed() {
    let Some(looked_up) = compiled(&map("", "(): ()", "map(|x| ['a', 'é'][x as usize].is_alphabetic())")) else {
        return;
    };
    assert!(looked_up.unwrap().contains("alphabetic11lookup_slow("));
}

#[test]
fn messages_of_panics_need_no_code() {
    let definitions = "#[derive(Debug, Clone, Copy, PartialEq)] pub struct P { pub a: f64, pub b: [u8; 2] }
        struct D(f64);
        impl std::fmt::Display for D {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { write!(f, \"{:.3} d\", self.0) }
        }";
    for function in [
        "map(|x| { assert!(x > 1.0, \"too small: {x} {}\", D(x)); x })",
        "map(|x| { let p = P { a: x, b: [1, 2] }; assert_eq!(p, P { a: 1.0, ..p }, \"{p:?}\"); x })",
        "map(|x| if x > 1.0 { Ok(x) } else { Err(D(x)) }.map_err(|d| panic!(\"{d}\")).unwrap_or(x))",
        "map(|x| { let r: Result<f64, u8> = if x > 1.0 { Ok(x) } else { Err(x as u8) }; r.expect(\"good\") })",
    ] {
        let Some(result) = compiled(&map(definitions, "(): ()", function)) else { return };
        assert!(result.unwrap().contains("px_failed], "), "{function}");
    }
}

#[test]
fn remainders_become_calls() {
    let all = "map(|x| x % 3.0 + x % k + x % 2.0 - -(x % 0.1) + (k % x).rem_euclid(x) + (x as f32 % k as f32) as f64)";
    let Some(ptx) = compiled(&map("", "(k,): (f64,)", all)) else { return };
    let ptx = ptx.unwrap();
    assert!(!ptx.contains("fma") && !ptx.contains("testp"), "{ptx}");
    assert_eq!(ptx.matches("px_rem_f64, (").count(), 6, "{ptx}");
    assert_eq!(ptx.matches("px_rem_f32, (").count(), 1, "{ptx}");
    let whole = compiled(&map("", "(): ()", "map(|x| x % 1.0 + x.mul_add(x, x))")).unwrap().unwrap();
    assert_eq!(whole.matches("fma.rn.f64").count(), 1, "only the one that was asked for: {whole}");
}

/// The prelude on the CPU, beside the same of std.
#[test]
fn the_preludes_arithmetic_is_that_of_std() {
    let folder = tempfile::tempdir().unwrap();
    let (text, program) = (folder.path().join("main.rs"), folder.path().join("main"));
    let functions = ["sqrt", "floor", "ceil", "trunc"].map(|name| [(name, name, 32), (name, name, 64)]);
    let functions =
        functions.as_flattened().iter().chain(&[("rint", "round_ties_even", 32), ("rint", "round_ties_even", 64)]);
    let externs: String = functions
        .map(|(name, method, bits)| {
            format!(
                "#[unsafe(no_mangle)] extern \"C\" fn px_{name}_f{bits}(x: f{bits}) -> f{bits} {{ x.{method}() }}\n"
            )
        })
        .chain([32, 64].map(|bits| {
            format!(
                "#[unsafe(no_mangle)] extern \"C\" fn px_fma_f{bits}(x: f{bits}, y: f{bits}, z: f{bits}) -> f{bits} \
                 {{ x.mul_add(y, z) }}\n"
            )
        }))
        .collect();
    let prelude = format!("#[allow(dead_code, unused)]\nmod chorus_gpu {{\n{PRELUDE}}}\n{externs}\n");
    fs::write(&text, prelude + include_str!("tests/arithmetic.rs")).unwrap();
    let arguments = ["--edition=2024", "-Copt-level=2", "-Coverflow-checks=on", "-Awarnings", "-o"];
    let output = Command::new(rustc()).args(arguments).arg(&program).arg(&text).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = Command::new(&program).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
