//! Finds the Rust toolchain, and prepares the environment that evcxr takes things from.

pub(crate) mod library;
pub(crate) mod px;

use crate::messages::diagnostic::Diagnostic;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

/// rustup's own line.
const RUSTUP: &str = "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh";

/// Has [`users_path`], for our tools too.
pub(crate) const USERS_PATH: &str = "CHORUS_USERS_PATH";

/// Has cargo found where Jupyter is started from a desktop that doesn't know its folder.
///
/// # Safety
///
/// Only while the program has one thread, as for [`std::env::set_var`].
pub unsafe fn prepare_environment() {
    let mut folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    let found = folders.iter().any(|folder| folder.join("cargo").is_file());
    if let (false, Some(bin)) = (found, home().map(|home| home.join("bin")).filter(|bin| bin.join("cargo").is_file())) {
        folders.insert(0, bin);
        if let Ok(path) = std::env::join_paths(folders) {
            // SAFETY: the caller promises that there is no other thread.
            unsafe { std::env::set_var("PATH", path) };
        }
    }
}

/// Sets what evcxr reads from the environment: a place for its files, and on the PATH first of all the folder of our tools. The
/// PATH without that is [`users_path`].
///
/// The tools can't be on the path of evcxr's commands alone: with a PATH of its own a command is started by a true fork
/// instead of `posix_spawn`, and to copy the page tables of rust-analyzer's memory takes as long as compiling a cell.
///
/// # Safety
///
/// Only while the program has one thread, as for [`std::env::set_var`].
pub(crate) unsafe fn prepare_builds(folder: &Path) {
    let users = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(crate::tools::folder(folder)).chain(std::env::split_paths(&users));
    let ours = std::env::join_paths(folders);
    // SAFETY: the caller promises that there is no other thread.
    unsafe {
        std::env::set_var("EVCXR_TMPDIR", folder);
        if let Ok(ours) = ours {
            std::env::set_var(USERS_PATH, users);
            std::env::set_var("PATH", ours);
        }
        if std::env::var_os(crate::toolchain::library::PLACE).is_none() {
            std::env::set_var(crate::toolchain::library::PLACE, crate::toolchain::library::ours(folder));
        }
    }
}

/// Cargo's own folder.
fn home() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("CARGO_HOME").or_else(|| Some(set("HOME")?.join(".cargo")))
}

/// The PATH for programs that aren't ours.
pub fn users_path() -> OsString {
    std::env::var_os(USERS_PATH).or_else(|| std::env::var_os("PATH")).unwrap_or_default()
}

/// Where the program of this name is on the user's PATH. By its path a program is started without a fork, whatever its own
/// environment is to be, which matters where there is much memory to copy.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = users_path();
    let mut programs = std::env::split_paths(&path).map(|folder| folder.join(name));
    programs.find(|program| !name.contains('/') && program.is_file())
}

/// What cells need that isn't there, and how to install it, if that is why `error` came. It looks only now: what costs time is
/// for those whose first cell failed.
pub(crate) fn missing(error: &str) -> Option<Diagnostic> {
    // Which linker it is, the user's own cargo may say.
    let linker =
        error.split_once("linker `").and_then(|(_, rest)| rest.split_once("` not found")).map(|(name, _)| name);
    let mut names: Vec<&str> = ["cargo", "rustc"].into_iter().filter(|name| find_program(name).is_none()).collect();
    let rust = !names.is_empty();
    names.extend(linker);
    (!names.is_empty()).then(|| not_found(&names, rust, linker.is_some(), &looked_in(&users_path(), home().as_deref())))
}

/// Where programs are looked for.
fn looked_in(path: &OsStr, home: Option<&Path>) -> String {
    let mut folders: Vec<PathBuf> =
        std::env::split_paths(path).filter(|folder| !folder.as_os_str().is_empty()).collect();
    folders.extend(home.map(|home| home.join("bin")).filter(|bin| !folders.contains(bin)));
    folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn not_found(names: &[&str], rust: bool, linker: bool, folders: &str) -> Diagnostic {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    let mut notes = vec![format!("looked in {folders}")];
    if rust {
        notes.push(format!("install Rust: {RUSTUP}"));
        notes.push("or on Debian 13, Ubuntu 24.04 and newer: sudo apt install rustup && rustup default stable".into());
    }
    if linker || find_program("cc").is_none() {
        notes.push(
            "install a linker: sudo apt install gcc libc6-dev (Debian, Ubuntu), sudo dnf install gcc (Fedora)".into(),
        );
    }
    notes.push("then restart the kernel".into());
    let message = format!("cells can't be compiled: there is no {}", quoted.join(" and no "));
    Diagnostic { message, notes, ..Diagnostic::default() }
}

/// Cells are linked against the shared standard library, which engines load before the first of them.
pub(crate) fn standard_library(toolchain: Option<&str>) -> Result<PathBuf, Diagnostic> {
    let failed = |error: &dyn std::fmt::Display| {
        Diagnostic::error(format!("the Rust toolchain's standard library can't be found: {error}"))
    };
    let mut command = Command::new("rustc");
    command.args(toolchain.map(|name| format!("+{name}"))).args(["--print", "target-libdir"]);
    let output = command.output().map_err(|error| {
        let error = format!("rustc: {error}");
        missing(&error).unwrap_or_else(|| failed(&error))
    })?;
    if !output.status.success() {
        // As when rustup has no toolchain: it says what to do.
        return Err(failed(&String::from_utf8_lossy(&output.stderr).trim()));
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_how_to_install_it() {
        let notes = |names: &[&str], rust, linker| not_found(names, rust, linker, "/a, /b").notes.join("\n");
        let rust = not_found(&["cargo", "rustc"], true, false, "/a");
        assert_eq!(rust.message, "cells can't be compiled: there is no `cargo` and no `rustc`");
        assert!(notes(&["rustc"], true, false).contains("https://sh.rustup.rs"));
        let linker = notes(&["cc"], false, true);
        assert!(
            linker.contains("looked in /a, /b") && linker.contains("apt install gcc") && !linker.contains("rustup")
        );
    }

    #[test]
    fn a_linker_is_named_as_the_error_names_it() {
        let error = missing("error: linker `clang-99` not found\n | note").unwrap();
        assert!(error.message.contains("no `clang-99`"), "{}", error.message);
        // The tests themselves have both.
        assert_eq!(missing("linker `cc` is odd"), None);
        assert_eq!(missing(""), None);
    }

    #[test]
    fn cargos_own_folder_is_among_those_that_were_searched() {
        let looked = |path: &str, home: &str| looked_in(OsStr::new(path), Some(Path::new(home)));
        assert_eq!(looked("/a::/b", "/h/.cargo"), "/a, /b, /h/.cargo/bin");
        assert_eq!(looked("/h/.cargo/bin", "/h/.cargo"), "/h/.cargo/bin");
    }
}
