//! Finds the Rust toolchain, and prepares the environment that evcxr takes things from.

use crate::diagnostic::Diagnostic;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Sets what evcxr reads from the environment: a place for its files below `folder`, and cargo's own folder on the
/// PATH, where Jupyter is started from a desktop that doesn't know it.
///
/// # Safety
///
/// Only while the program has one thread, as for [`std::env::set_var`].
pub unsafe fn prepare_environment(folder: &Path) {
    // SAFETY: the caller promises that there is no other thread.
    unsafe { std::env::set_var("EVCXR_TMPDIR", folder) };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join("cargo").is_file());
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    if let (false, Some(bin)) = (found, home.map(|home| home.join("bin")).filter(|bin| bin.join("cargo").is_file())) {
        let folders = std::iter::once(bin).chain(std::env::split_paths(&path));
        if let Ok(path) = std::env::join_paths(folders) {
            // SAFETY: as above.
            unsafe { std::env::set_var("PATH", path) };
        }
    }
}

/// Cells are linked against the shared standard library, which engines load before the first of them.
pub(crate) fn standard_library(toolchain: Option<&str>) -> Result<PathBuf, Diagnostic> {
    let failed = |error: &dyn std::fmt::Display| {
        Diagnostic::error(format!("the Rust toolchain's standard library can't be found: {error}"))
    };
    let mut command = Command::new("rustc");
    command.args(toolchain.map(|name| format!("+{name}"))).args(["--print", "target-libdir"]);
    let output = command.output().map_err(|error| failed(&format!("rustc: {error}")))?;
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let entries = std::fs::read_dir(&folder).map_err(|error| failed(&format!("{}: {error}", folder.display())))?;
    entries
        .flatten()
        .map(|entry| entry.path())
        .find(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.starts_with("libstd-") && name.ends_with(".so")
        })
        .ok_or_else(|| failed(&format!("there is no libstd-*.so in {}", folder.display())))
}
