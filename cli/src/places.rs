//! Where this user's programs and folders are.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The argument that makes this program an engine, when `chorus-engine` isn't beside it.
pub const ENGINE: &str = "run-engine";

/// Where clusters have their folders.
pub fn runtime_folder() -> PathBuf {
    let folder = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let uid = chorus_system::user::id();
    chorus_protocol::runtime_folder(folder("CHORUS_RUNTIME_DIR"), folder("XDG_RUNTIME_DIR"), std::env::temp_dir(), uid)
}

/// The engine's program and first arguments: the small one beside this program, or this one.
pub fn engine_program(exe: &Path) -> (PathBuf, Vec<OsString>) {
    match std::env::var_os("CHORUS_ENGINE").map(PathBuf::from).or_else(|| exe.parent().map(|f| f.join("chorus-engine")))
    {
        Some(engine) if engine.is_file() => (engine, Vec::new()),
        _ => (exe.to_owned(), vec![ENGINE.into()]),
    }
}

/// Where what outlives kernels is kept for this user.
pub fn data_folder() -> Option<PathBuf> {
    let chosen = std::env::var_os("CHORUS_DATA_DIR").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    chosen.or_else(|| dirs::data_dir().map(|folder| folder.join("chorus")))
}

/// Where recordings of clusters go that nobody has chosen another place for.
pub fn recordings_folder() -> Option<PathBuf> {
    Some(data_folder()?.join("recordings"))
}
