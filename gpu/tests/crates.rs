//! Crates without std on the simulated device, compiled by cargo from a package as a notebook's is, beside the same on
//! the CPU.

// Forms that clippy would write otherwise are what is tested.
#![allow(clippy::all)]

mod common;

use chorus_gpu::crates::{self, Crates, Failed};
use chorus_gpu::toolchain;
use common::{Case, cache, can_compile, cargo, check, rustc};
use glam::{Mat3, Quat, Vec3};
use half::{bf16, f16};
use num_complex::Complex;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The same lines as in this package's manifest.
const DEPENDENCIES: &str = "\
glam = { version = \"=0.30.10\", default-features = false, features = [\"libm\"] }
half = { version = \"=2.7.1\", default-features = false }
libm = \"=0.2.16\"
num-complex = { version = \"=0.4.6\", default-features = false, features = [\"libm\"] }
squares-rnd = \"=3.2.0\"
";

/// A package that depends on these, whose versions are known.
fn package(folder: &Path, dependencies: &str) {
    fs::create_dir_all(folder.join("src")).unwrap();
    fs::write(folder.join("src/lib.rs"), "").unwrap();
    let head = "[package]\nname = \"ctx\"\nversion = \"1.0.0\"\nedition = \"2024\"\n[profile.dev]\nopt-level = 2\n[workspace]\n";
    fs::write(folder.join("Cargo.toml"), format!("{head}[dependencies]\n{dependencies}")).unwrap();
    let locked = Command::new(cargo()).arg("generate-lockfile").current_dir(folder).output().unwrap();
    assert!(locked.status.success(), "{}", String::from_utf8_lossy(&locked.stderr));
}

fn built(folder: &Path, into: &Path, names: &[&str]) -> Result<Crates, Failed> {
    let all = crates::dependencies(&cargo(), folder)?;
    let which: Vec<_> = all.iter().filter(|it| names.contains(&it.name.as_str())).collect();
    assert_eq!(which.len(), names.len(), "{all:?}");
    let target = toolchain::find(&rustc(), cache()).unwrap();
    crates::build(&cargo(), folder, into, Some(&target), &which)
}

macro_rules! same {
    ($crates:expr, $item:ty: $items:expr, $bits:expr; $($function:expr;)*) => {{
        let items: Vec<$item> = $items.into_iter().collect();
        $(
            let case = Case {
                definitions: &["use glam::{Mat3, Quat, Vec3};", "use half::{bf16, f16};", "use num_complex::Complex;"],
                function: stringify!($function),
                item: stringify!($item),
                constants: vec![],
                crates: $crates.clone(),
            };
            check(&case, &items, $function, |a, b| $bits(*a) == $bits(*b));
        )*
    }};
}

#[test]
fn crates_have_the_cpus_bits() {
    if !can_compile() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    package(folder.path(), DEPENDENCIES);
    // Built once, also for later runs.
    let names = ["glam", "half", "libm", "num_complex", "squares_rnd"];
    let crates = built(folder.path(), &cache().join("crates"), &names).unwrap();
    let floats = || (-40..40).map(|n| n as f64 * 0.37 + 0.01).chain([0.0, -0.0, 1e300, -1e-300, 700.0]);
    same! { crates, f64: floats(), f64::to_bits;
        |x: f64| libm::sin(x) + libm::exp(-x * x) * libm::cos(x * 3.0);
        |x: f64| libm::pow(x.abs(), 1.7) - libm::log1p(x.abs());
        |x: f64| libm::erf(x) + libm::tgamma(x.abs() % 20.0) + libm::fmod(x, 0.3);
        |x: f64| libm::atan2(x, 0.7) * libm::hypot(x, 2.0) + libm::cbrt(x);
        // Here, other crates have num-traits use std; so what it takes from there or from libm isn't compared.
        |x: f64| { let z = Complex::new(x % 30.0, 0.5); (z * z + z.conj() / z.norm_sqr() / z).re };
    }
    let some = || (0..60u64).map(|n| n * 7919);
    same! { crates, u64: some(), u32::from;
        |n: u64| f16::from_f32(n as f32 * 0.13).to_bits() as u32 ^ bf16::from_f32(n as f32).to_bits() as u32;
        |n: u64| (f16::from_f32(n as f32 / 99.0) + f16::from_f32(0.1)).to_f32().to_bits();
        |n: u64| (Quat::from_rotation_z(n as f32 * 0.01) * Vec3::new(1.0, n as f32, 2.0)).length().to_bits();
        |n: u64| (Mat3::from_angle(n as f32) * Vec3::splat(0.3)).normalize().dot(Vec3::X).to_bits();
        |n: u64| squares_rnd::rand32(n, 0x548c9decbce65297);
        |n: u64| (0..9).fold(0, |sum: u32, at| sum.wrapping_add(squares_rnd::rand32(n * 9 + at, 0xc8e4fd154ce32f6d)));
    }
}

/// The methods of floats that std leaves to the platform are libm's.
#[test]
fn mathematics_is_that_of_libm() {
    if !can_compile() {
        return;
    }
    let items: Vec<f64> = (-30..30).map(|n| n as f64 * 0.43).chain([0.0, -0.0, f64::INFINITY, 1e-310, 1e22]).collect();
    macro_rules! methods {
        ($($method:ident $double:ident $single:ident)*) => {
            // In one crate, so that the library's code is taken only once.
            let all = [$(concat!("x.", stringify!($method), "(), f64::from((x as f32).", stringify!($method), "())")),*].join(", ");
            let function = format!("|x: f64| [{all}]");
            let case = Case { definitions: &[], function: &function, item: "f64", constants: vec![], crates: Crates::default() };
            let expected = |x: f64| [$(libm::$double(x), f64::from(libm::$single(x as f32))),*];
            check(&case, &items, expected, |a, b| a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()));
        };
    }
    methods! {
        sin sin sinf cos cos cosf tan tan tanf asin asin asinf acos acos acosf atan atan atanf sinh sinh sinhf cosh cosh coshf
        tanh tanh tanhf asinh asinh asinhf acosh acosh acoshf atanh atanh atanhf exp exp expf exp2 exp2 exp2f cbrt cbrt cbrtf
        exp_m1 expm1 expm1f ln log logf ln_1p log1p log1pf log2 log2 log2f log10 log10 log10f
    }
    let function = "|x: f64| { let (s, c) = x.sin_cos(); [s, c, x.atan2(0.7), x.hypot(2.5), x.powf(1.3), x.log(3.0), f64::exp(x)] }";
    let case = Case { definitions: &[], function, item: "f64", constants: vec![], crates: Crates::default() };
    let expected = |x: f64| {
        let log = libm::log(x) / libm::log(3.0);
        let rest = [libm::atan2(x, 0.7), libm::hypot(x, 2.5), libm::pow(x, 1.3), log, libm::exp(x)];
        [libm::sin(x), libm::cos(x), rest[0], rest[1], rest[2], rest[3], rest[4]]
    };
    check(&case, &items, expected, |a, b| {
        a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan())
    });
}

#[test]
fn a_crate_that_needs_std_is_named() {
    if !can_compile() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    package(folder.path(), "half = { version = \"=2.7.1\", features = [\"std\"] }\n");
    let error = built(folder.path(), &folder.path().join("gpu"), &["half"]).unwrap_err();
    assert!(error.to_string().starts_with("the crate `half` needs std, which no GPU has"), "{error}");
}
