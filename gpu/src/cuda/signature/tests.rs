use super::*;
use proptest::prelude::*;

fn shown(parameters: &str) -> Result<String, String> {
    let program = format!("extern \"C\" __global__ void f({parameters}) {{}}");
    let kernels = kernels(&program).map_err(|it| it.what)?;
    let all = kernels.iter().flat_map(|it| &it.parameters).map(|it| {
        let sign = match it.pass {
            Pass::Value => "",
            Pass::Read => "&",
            Pass::Write => "&mut ",
        };
        format!("{}: {sign}{}", it.name, it.rust)
    });
    Ok(all.collect::<Vec<_>>().join(", "))
}

#[test]
fn scalars_and_pointers_have_rust_types() {
    let saxpy = "float a, const float *x, float* __restrict__ y, unsigned long long n";
    assert_eq!(shown(saxpy).unwrap(), "a: f32, x: &f32, y: &mut f32, n: u64");
    assert_eq!(shown("int const *const x, long unsigned int n").unwrap(), "x: &i32, n: u64");
    assert_eq!(
        shown("char a, unsigned b, short int c, long d, bool e").unwrap(),
        "a: i8, b: u32, c: i16, d: i64, e: bool"
    );
    assert_eq!(shown("size_t a, uint8_t b, std::int16_t *c").unwrap(), "a: u64, b: u8, c: &mut i16");
    assert_eq!(shown("int, double *").unwrap(), "argument_1: i32, argument_2: &mut f64");
    assert_eq!((shown("").unwrap(), shown("void").unwrap()), (String::new(), String::new()));
}

#[test]
fn another_type_is_named_with_its_place() {
    for wrong in [
        "float4 v",
        "float **p",
        "float &r",
        "int x[3]",
        "float a,, int b",
        "long long long x",
        "short char x",
        "const x",
    ] {
        let what = shown(wrong).unwrap_err();
        assert!(what.contains("parameter ") && what.contains("there may be"), "{wrong}: {what}");
    }
    let what = shown("int n, float4 v").unwrap_err();
    assert!(what.starts_with("`f`: parameter 2, `float4 v`"), "{what}");
}

#[test]
fn only_definitions_of_the_text_itself_count() {
    let program = "// __global__ void a(\n/* __global__\n */\n#define K \\\n __global__ void b()\nconst char *t = \"__global__ \\\" x\";\n\
                   extern \"C\" __global__ void c(int);\n__device__ float d(float x) { return x; }\n\
                   extern \"C\"\n__global__ void c(int n) {}\nextern \"C\" __global__ void e() {}";
    let names: Vec<_> = kernels(program).unwrap().into_iter().map(|it| it.name).collect();
    assert_eq!(names, ["c", "e"]);
    let program = "\nextern \"C\" __global__ void __launch_bounds__(64, 2) f(const bool *x) {}\n\
                   extern \"C\"\n__global__ __launch_bounds__(N) void g() {}";
    let found: Vec<_> =
        kernels(program).unwrap().into_iter().map(|it| (it.name, it.line, it.parameters.len())).collect();
    assert_eq!(found, [("f".to_owned(), 2, 1), ("g".to_owned(), 4, 0)]);
}

#[test]
fn what_cannot_be_called_is_refused_at_its_line() {
    let cases = [
        ("\n__global__ void f() {}", 2, "needs extern \"C\""),
        ("\n\nextern \"C\" __global__ int f() {}", 3, "is missing"),
        ("extern \"C\" __global__ void f(", 1, "have no end"),
        ("__global__", 1, "is missing"),
        ("extern \"C\" __global__ void f(bool *x) {}", 1, "`unsigned char *` can be"),
        ("extern \"C\" __global__ void __launch_bounds__(64", 1, "is missing"),
        ("extern \"C\" __global__ void f() {}\nextern \"C\" __global__ void f() {}", 2, "twice"),
    ];
    for (program, line, what) in cases {
        let refused = kernels(program).unwrap_err();
        assert!(refused.line == line && refused.what.contains(what), "{program}: {refused:?}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_to_its_end(text in "(extern \"C\" |__global__ |void |f|\\(|\\)|,|\\*|int |\"|'|/\\*|//|#|\\\\|\n|é|.){0,40}") {
        _ = kernels(&text);
    }
}
