//! The same text for processors, as a shared library: where there is no GPU, what a function takes from [`crate::math`] has
//! the bits that it has on one. The text knows nothing of std, whose own methods would come first.

use crate::build::{Compiler, Failed};
use crate::compile::{self, diagnostics};
use std::ffi::OsString;
use std::fs;
use std::process::Command;

/// Around the text's functions.
const HOST: &str = include_str!("device/host.rs");
/// The library's function: it takes the address of the arguments of the text's own, and how many items there are, and
/// returns how many have results.
pub const RUN: &str = "px_run";

/// Compiles the text of a crate for this machine. `crates` of the compiler are for this machine, too. Returns the
/// library's bytes.
pub fn build(compiler: &Compiler<'_>, source: &str) -> Result<Vec<u8>, Failed> {
    let folder = tempfile::tempdir()?;
    let place = folder.path();
    let common = ["--edition=2024", "--error-format=json", "-Awarnings", "-Copt-level=3", "-Ccodegen-units=1"];
    let own = ["--crate-type=rlib", "--crate-name=px_device", "-Coverflow-checks=on"];
    let all = ["--crate-type=cdylib", "--crate-name=px_host", "-Cstrip=symbols", "--extern=px_device"];
    for (name, text, options) in [("device.rs", source, &own[..]), ("host.rs", HOST, &all)] {
        let text_at = place.join(name);
        fs::write(&text_at, text)?;
        let mut command = Command::new(compiler.rustc);
        command.args(common).args(options).args(compiler.crates.arguments());
        command.args([OsString::from("-L"), place.into(), "--out-dir".into(), place.into(), text_at.into()]);
        let output = command.output()?;
        if !output.status.success() {
            return Err(compile::Failed::Rustc(diagnostics(&String::from_utf8_lossy(&output.stderr))).into());
        }
    }
    Ok(fs::read(place.join("libpx_host.so"))?)
}

/// Whether a module is such a library, and not code for a GPU.
pub fn is_library(module: &[u8]) -> bool {
    module.starts_with(b"\x7fELF")
}
