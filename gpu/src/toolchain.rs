//! What rustc needs to compile for GPUs: Rust's `core` library for them. It is a component of the toolchain that rustup
//! fetches. Where it can't be fetched, it can be built of the library's sources.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The target as rustc and rustup call it.
pub const TARGET: &str = "nvptx64-nvidia-cuda";
/// The oldest GPUs that code is compiled for: Ampere. It also decides on the version of PTX, 7.0, and with that on the
/// oldest driver, of CUDA 11. Older versions don't say which functions never return, which linking needs to know.
pub(crate) const CPU: &str = "target-cpu=sm_80";

/// Says for which compiler a library was built.
const COMPILER: &str = "compiler.txt";

const BUILTINS: &str = "#![no_std]\n#![feature(compiler_builtins)]\n#![compiler_builtins]\n";

/// Where `core` is for GPUs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// A folder of libraries, unless they are in the toolchain.
    pub(crate) libraries: Option<PathBuf>,
}

/// Why nothing can be compiled for GPUs.
#[derive(Debug, thiserror::Error)]
pub enum Missing {
    /// The compiler has no `core` for them.
    #[error(
        "the Rust toolchain can't compile for NVIDIA GPUs yet: `rustup target add {TARGET}` fetches Rust's core \
         library for them, and where that can't be fetched, `chorus gpu setup` builds it of the component rust-src"
    )]
    Library,
    /// The compiler can't be asked.
    #[error("`{}` can't be run: {error}", rustc.display())]
    Compiler {
        /// The compiler.
        rustc: PathBuf,
        /// What happened.
        error: io::Error,
    },
}

/// Looks for `core` in the toolchain, and for one that was built for exactly this compiler in `cache`.
pub fn find(rustc: &Path, cache: &Path) -> Result<Target, Missing> {
    let failed = |error| Missing::Compiler { rustc: rustc.to_owned(), error };
    let folder = sysroot(rustc).map_err(failed)?.join("lib/rustlib").join(TARGET).join("lib");
    if has_core(&folder) {
        return Ok(Target { libraries: None });
    }
    let compiler = version(rustc).map_err(failed)?;
    built(cache, &compiler).ok_or(Missing::Library)
}

/// What the compiler says of itself, which is another text for each.
pub(crate) fn version(rustc: &Path) -> io::Result<String> {
    ask(rustc, &["-vV"])
}

/// What the libraries take that were built in `cache`, in bytes.
pub fn built_bytes(cache: &Path) -> u64 {
    let files = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten();
    let is_core = |name: OsString| name.to_string_lossy().starts_with("core-");
    let folders = files(cache.to_owned()).filter(|folder| is_core(folder.file_name()));
    folders.flat_map(|folder| files(folder.path())).filter_map(|file| Some(file.metadata().ok()?.len())).sum()
}

/// Builds `core` in `cache`, whole or not at all. This takes about ten seconds.
pub fn build_core(rustc: &Path, cache: &Path) -> io::Result<Target> {
    let compiler = version(rustc)?;
    if let Some(target) = built(cache, &compiler) {
        return Ok(target);
    }
    let source = sysroot(rustc)?.join("lib/rustlib/src/rust/library/core/src/lib.rs");
    if !source.is_file() {
        let message = "the sources of Rust's core library aren't there: `rustup component add rust-src` fetches them";
        return Err(io::Error::new(io::ErrorKind::NotFound, message));
    }
    fs::create_dir_all(cache)?;
    let building = tempfile::tempdir_in(cache)?;
    let place = building.path();
    let builtins = place.join("builtins.rs");
    fs::write(&builtins, BUILTINS)?;
    for (name, source) in [("core", &source), ("compiler_builtins", &builtins)] {
        // Parts of the library are what only its own compiler may compile. It is this compiler's.
        let output = Command::new(rustc).args(arguments(name, source, place)).env("RUSTC_BOOTSTRAP", "1").output()?;
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            return Err(io::Error::other(format!("`{name}` can't be built for GPUs: {}", errors.trim())));
        }
    }
    fs::write(place.join(COMPILER), &compiler)?;
    let folder = cache.join(folder_of(&compiler));
    // Another process may have been faster; then its folder is there, and as good.
    let renamed = fs::rename(place, &folder);
    match built(cache, &compiler) {
        Some(target) => Ok(target),
        None => Err(renamed.err().unwrap_or_else(|| io::Error::other("the core library that was built has gone"))),
    }
}

/// rustc's arguments to build a part of the library in `folder`.
fn arguments(name: &str, source: &Path, folder: &Path) -> Vec<OsString> {
    let mut all: Vec<OsString> =
        ["--edition=2024", "--target", TARGET, "--crate-type=rlib", "--cap-lints=allow"].map(Into::into).into();
    all.extend(["--crate-name", name, "-Zforce-unstable-if-unmarked"].map(Into::into));
    all.extend(["-Copt-level=3", "-Cpanic=abort", "-Cembed-bitcode=yes", "-C", CPU].map(Into::into));
    all.extend([OsStr::new("-L"), folder.as_os_str()].map(Into::into));
    all.extend([OsStr::new("--out-dir"), folder.as_os_str(), source.as_os_str()].map(Into::into));
    all
}

/// A `core` that was built before, for a compiler that says this about itself.
fn built(cache: &Path, compiler: &str) -> Option<Target> {
    let folder = cache.join(folder_of(compiler));
    let same = fs::read_to_string(folder.join(COMPILER)).is_ok_and(|text| text == compiler);
    (same && has_core(&folder)).then_some(Target { libraries: Some(folder) })
}

fn folder_of(compiler: &str) -> String {
    let mut hasher = DefaultHasher::new();
    (compiler, CPU).hash(&mut hasher);
    format!("core-{TARGET}-{:016x}", hasher.finish())
}

fn has_core(folder: &Path) -> bool {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files.map(|file| file.file_name()).any(|name| name.to_string_lossy().starts_with("libcore"))
}

fn sysroot(rustc: &Path) -> io::Result<PathBuf> {
    Ok(PathBuf::from(ask(rustc, &["--print", "sysroot"])?.trim_end()))
}

fn ask(rustc: &Path, arguments: &[&str]) -> io::Result<String> {
    let output = Command::new(rustc).args(arguments).output()?;
    if !output.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    String::from_utf8(output.stdout).map_err(io::Error::other)
}

#[cfg(test)]
pub(crate) mod tests;
