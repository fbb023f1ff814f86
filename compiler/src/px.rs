//! Puts the source of the crate `px`, which cells see, where cargo can build it for a notebook.

use crate::setting::Setting;
use crate::toolchain::{find_program, users_path};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const FILES: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("../../px/Cargo.toml")),
    ("src/lib.rs", include_str!("../../px/src/lib.rs")),
    ("src/base64.rs", include_str!("../../px/src/base64.rs")),
    ("src/data.rs", include_str!("../../px/src/data.rs")),
    ("src/display.rs", include_str!("../../px/src/display.rs")),
    ("src/host.rs", include_str!("../../px/src/host.rs")),
    ("src/key.rs", include_str!("../../px/src/key.rs")),
    ("src/link.rs", include_str!("../../px/src/link.rs")),
    ("src/link/encoding.rs", include_str!("../../px/src/link/encoding.rs")),
    ("src/map/call.rs", include_str!("../../px/src/map/call.rs")),
    ("src/map/constants.rs", include_str!("../../px/src/map/constants.rs")),
    ("src/map/engine.rs", include_str!("../../px/src/map/engine.rs")),
    ("src/map/error.rs", include_str!("../../px/src/map/error.rs")),
    ("src/map/fold.rs", include_str!("../../px/src/map/fold.rs")),
    ("src/map/handle.rs", include_str!("../../px/src/map/handle.rs")),
    ("src/map/items.rs", include_str!("../../px/src/map/items.rs")),
    ("src/map/merge.rs", include_str!("../../px/src/map/merge.rs")),
    ("src/map/mod.rs", include_str!("../../px/src/map/mod.rs")),
    ("src/map/output.rs", include_str!("../../px/src/map/output.rs")),
    ("src/map/own.rs", include_str!("../../px/src/map/own.rs")),
    ("src/map/probe.rs", include_str!("../../px/src/map/probe.rs")),
    ("src/map/report.rs", include_str!("../../px/src/map/report.rs")),
    ("src/map/rooms.rs", include_str!("../../px/src/map/rooms.rs")),
    ("src/map/shown.rs", include_str!("../../px/src/map/shown.rs")),
    ("src/map/source.rs", include_str!("../../px/src/map/source.rs")),
    ("src/map/tree.rs", include_str!("../../px/src/map/tree.rs")),
    ("src/progress.rs", include_str!("../../px/src/progress.rs")),
    ("src/show.rs", include_str!("../../px/src/show.rs")),
    ("src/store.rs", include_str!("../../px/src/store.rs")),
    ("src/sys.rs", include_str!("../../px/src/sys.rs")),
    ("src/task/args.rs", include_str!("../../px/src/task/args.rs")),
    ("src/task/mod.rs", include_str!("../../px/src/task/mod.rs")),
    ("src/task/shared.rs", include_str!("../../px/src/task/shared.rs")),
    ("src/task/values.rs", include_str!("../../px/src/task/values.rs")),
    ("src/timeit.rs", include_str!("../../px/src/timeit.rs")),
    ("src/wire.rs", include_str!("../../px/src/wire.rs")),
    ("src/wire/by_serde.rs", include_str!("../../px/src/wire/by_serde.rs")),
    ("src/wire/by_serde/decoder.rs", include_str!("../../px/src/wire/by_serde/decoder.rs")),
    ("src/wire/by_serde/described.rs", include_str!("../../px/src/wire/by_serde/described.rs")),
    ("src/wire/by_serde/encoder.rs", include_str!("../../px/src/wire/by_serde/encoder.rs")),
    ("src/wire/by_serde/form.rs", include_str!("../../px/src/wire/by_serde/form.rs")),
    ("src/wire/structural.rs", include_str!("../../px/src/wire/structural.rs")),
];

/// Writes px below `folder` and returns its path.
pub(crate) fn write_crate(folder: &Path) -> io::Result<PathBuf> {
    let root = folder.join("px");
    for (name, text) in FILES {
        let path = root.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, text)?;
    }
    Ok(root)
}

/// What makes cells depend on it; `with_serde` lets all types travel that derive serde's traits.
pub(crate) fn dependency(px: &Path, with_serde: bool) -> Setting {
    let features = if with_serde { ", features = [\"serde\"]" } else { "" };
    Setting::Dependency { name: "px".into(), config: format!("{{ path = {:?}{features} }}", px.display().to_string()) }
}

/// Begins to build px in evcxr's crate, as evcxr's cargo will when rust-analyzer has read the standard library; that takes
/// some seconds and one core. `manifest` is the crate's without dependencies, `folder` its folder, in which something has
/// been built, and `program` the wrapper of its rustc.
///
/// cargo decides whether what it finds then is what it would have built, so nothing depends on this.
pub(crate) fn build_ahead(manifest: &str, folder: &Path, px: &Path, program: &Path) -> io::Result<()> {
    let target = folder.join("target");
    let triple = std::fs::read_dir(target)?.flatten().find(|entry| entry.path().join("debug/deps/libctx.so").exists());
    let triple = triple.ok_or(io::ErrorKind::NotFound)?.file_name();
    // evcxr is about to write the same. The last section is that of the dependencies.
    std::fs::write(folder.join("Cargo.toml"), format!("{manifest}px = {{ path = {px:?} }}\n"))?;
    let mut cargo = Command::new(find_program("cargo").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--package", "px", "--target"]).arg(triple).current_dir(folder);
    cargo.env("CARGO_TARGET_DIR", "target").env("CARGO_BUILD_BUILD_DIR", "target").env("RUSTFLAGS", "-Cprefer-dynamic");
    cargo.envs(crate::tools::wrapper(program)).env("PATH", users_path());
    let mut child = cargo.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    std::thread::Builder::new().name("px".into()).spawn(move || child.wait())?;
    Ok(())
}

/// The paths of its source files.
pub(crate) fn files() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(name, _)| *name).filter(|name| name.ends_with(".rs"))
}

/// The texts of its files.
pub(crate) fn sources() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_is_forgotten() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../px");
        let mut folders = vec![root.join("src")];
        let mut found = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().flatten() {
                let path = entry.path();
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap();
                match () {
                    () if path.ends_with("tests") || path.ends_with("tests.rs") => {}
                    () if path.is_dir() => folders.push(path),
                    () => {
                        assert!(FILES.iter().any(|(file, _)| *file == name), "{name}");
                        found += 1;
                    }
                }
            }
        }
        assert_eq!(found + 1, FILES.len(), "and Cargo.toml");
    }
}
