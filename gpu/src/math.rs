//! The mathematics of floats that std leaves to the platform: on GPUs it is the crate libm's.

use crate::crates::{self, Crates, Failed};
use crate::toolchain::Target;
use std::fs;
use std::path::Path;
use std::process::Command;

/// What stands behind the prelude of a crate that uses it.
pub(crate) const TEXT: &str = include_str!("device/math.rs");

/// What [`TEXT`] calls the library.
const NAME: &str = "px_libm";
/// The version decides on the results' bits.
const MANIFEST: &str = "[package]\nname = \"chorus-mathematics\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
    [lib]\npath = \"lib.rs\"\n[dependencies]\nlibm = \"=0.2.16\"\n\
    [profile.dev]\nopt-level = 3\ndebug-assertions = false\noverflow-checks = false\n[workspace]\n";

/// The methods.
const METHODS: [&str; 25] = [
    "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "exp", "exp2",
    "cbrt", "exp_m1", "ln", "ln_1p", "log2", "log10", "sin_cos", "atan2", "hypot", "powf", "log",
];

/// Whether a text has something in it that may be one of these methods.
pub fn is_used_in(text: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    METHODS.iter().any(|method| {
        text.match_indices(method).any(|(at, _)| {
            let (before, after) = (text[..at].trim_end(), &text[at + method.len()..]);
            // `0..sin` is a range.
            let is_called = before.ends_with("::") || before.ends_with('.') && !before.ends_with("..");
            is_called && !text[..at].ends_with(is_part) && !after.starts_with(is_part)
        })
    })
}

/// The library, compiled with files in `cache`. The first time, cargo may have to fetch its source.
pub fn library(cargo: &Path, cache: &Path, target: Option<&Target>) -> Result<Crates, Failed> {
    let folder = cache.join("mathematics");
    prepare(cargo, &folder)?;
    let all = crates::dependencies(cargo, &folder)?;
    let built = crates::build(cargo, &folder, &folder.join("target"), target, &all.iter().collect::<Vec<_>>())?;
    let externs = built.externs.into_iter().map(|(_, path)| (NAME.to_owned(), path)).collect();
    Ok(Crates { externs, ..built })
}

/// Makes the package, whole or not at all.
fn prepare(cargo: &Path, folder: &Path) -> Result<(), Failed> {
    let is_there = fs::read_to_string(folder.join("Cargo.toml")).is_ok_and(|text| text == MANIFEST);
    if is_there && folder.join("Cargo.lock").exists() {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    let files = [("lib.rs", ""), ("Cargo.toml", MANIFEST)];
    files.into_iter().try_for_each(|(name, text)| fs::write(folder.join(name), text))?;
    let output = Command::new(cargo).arg("generate-lockfile").current_dir(folder).output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(Failed::Cargo(crates::first_error(&String::from_utf8_lossy(&output.stderr)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_found() {
        for text in ["x.sin()", "(x * k)\n    .exp ()", "xs.map(f64::ln)", "a . powf(2.0)", "1.0.log(x)"] {
            assert!(is_used_in(text), "{text}");
        }
        for text in
            ["sin(x)", "x.sinc()", "x.asin_h()", "let sin = x; 0..sin", "x.sqrt()", "// sin", "a.b_exp()", "é.élog"]
        {
            assert!(!is_used_in(text), "{text}");
        }
    }
}
