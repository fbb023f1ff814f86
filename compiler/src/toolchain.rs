//! Finds the Rust toolchain, and prepares the environment that evcxr takes things from.

use crate::diagnostic::Diagnostic;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Has [`users_path`], for our tools too.
pub(crate) const USERS_PATH: &str = "CHORUS_USERS_PATH";

/// Sets what evcxr reads from the environment: a place for its files below `folder`, and on the PATH cargo's own folder,
/// where Jupyter is started from a desktop that doesn't know it, and first of all the folder of our tools. The PATH
/// without that is [`users_path`].
///
/// The tools can't be on the path of evcxr's commands alone: with a PATH of its own a command is started by a true fork
/// instead of `posix_spawn`, and to copy the page tables of rust-analyzer's memory takes as long as compiling a cell.
///
/// # Safety
///
/// Only while the program has one thread, as for [`std::env::set_var`].
pub unsafe fn prepare_environment(folder: &Path) {
    // SAFETY: the caller promises that there is no other thread.
    unsafe { std::env::set_var("EVCXR_TMPDIR", folder) };
    let mut folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    let found = folders.iter().any(|folder| folder.join("cargo").is_file());
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    if let (false, Some(bin)) = (found, home.map(|home| home.join("bin")).filter(|bin| bin.join("cargo").is_file())) {
        folders.insert(0, bin);
    }
    let Ok(users) = std::env::join_paths(&folders) else { return };
    folders.insert(0, crate::tools::folder(folder));
    let Ok(ours) = std::env::join_paths(&folders) else { return };
    // SAFETY: as above.
    unsafe {
        std::env::set_var(USERS_PATH, users);
        std::env::set_var("PATH", ours);
        if std::env::var_os(crate::library::PLACE).is_none() {
            std::env::set_var(crate::library::PLACE, crate::library::ours(folder));
        }
    }
}

/// The PATH for programs that aren't ours.
pub fn users_path() -> OsString {
    std::env::var_os(USERS_PATH).or_else(|| std::env::var_os("PATH")).unwrap_or_default()
}

/// Where the program of this name is on the user's PATH. By its path a program is started without a fork, whatever its own
/// environment is to be; see [`prepare_environment`].
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = users_path();
    let mut programs = std::env::split_paths(&path).map(|folder| folder.join(name));
    programs.find(|program| !name.contains('/') && program.is_file())
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
