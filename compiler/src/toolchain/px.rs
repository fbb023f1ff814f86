//! Puts the source of the crate `px`, which cells see, where cargo can build it for a notebook.

use crate::cell::reuse::add;
use crate::notebook::setting::Setting;
use crate::toolchain::find_program;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

const FILES: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("../../../px/Cargo.toml")),
    ("src/lib.rs", include_str!("../../../px/src/lib.rs")),
    ("src/apart.rs", include_str!("../../../px/src/apart.rs")),
    ("src/base64.rs", include_str!("../../../px/src/base64.rs")),
    ("src/data.rs", include_str!("../../../px/src/data.rs")),
    ("src/data/parts.rs", include_str!("../../../px/src/data/parts.rs")),
    ("src/data/room.rs", include_str!("../../../px/src/data/room.rs")),
    ("src/data/source.rs", include_str!("../../../px/src/data/source.rs")),
    ("src/debug.rs", include_str!("../../../px/src/debug.rs")),
    ("src/display.rs", include_str!("../../../px/src/display.rs")),
    ("src/engines/args.rs", include_str!("../../../px/src/engines/args.rs")),
    ("src/engines/carry.rs", include_str!("../../../px/src/engines/carry.rs")),
    ("src/engines/kept.rs", include_str!("../../../px/src/engines/kept.rs")),
    ("src/engines/mod.rs", include_str!("../../../px/src/engines/mod.rs")),
    ("src/everyday.rs", include_str!("../../../px/src/everyday.rs")),
    ("src/gpu_vec.rs", include_str!("../../../px/src/gpu_vec.rs")),
    ("src/group/exchange.rs", include_str!("../../../px/src/group/exchange.rs")),
    ("src/group/far/deputy.rs", include_str!("../../../px/src/group/far/deputy.rs")),
    ("src/group/far/message.rs", include_str!("../../../px/src/group/far/message.rs")),
    ("src/group/far/mod.rs", include_str!("../../../px/src/group/far/mod.rs")),
    ("src/group/info.rs", include_str!("../../../px/src/group/info.rs")),
    ("src/group/member.rs", include_str!("../../../px/src/group/member.rs")),
    ("src/group/mod.rs", include_str!("../../../px/src/group/mod.rs")),
    ("src/group/ops.rs", include_str!("../../../px/src/group/ops.rs")),
    ("src/group/party.rs", include_str!("../../../px/src/group/party.rs")),
    ("src/group/post.rs", include_str!("../../../px/src/group/post.rs")),
    ("src/group/segment.rs", include_str!("../../../px/src/group/segment.rs")),
    ("src/group/value.rs", include_str!("../../../px/src/group/value.rs")),
    ("src/host.rs", include_str!("../../../px/src/host.rs")),
    ("src/kernel.rs", include_str!("../../../px/src/kernel.rs")),
    ("src/key.rs", include_str!("../../../px/src/key.rs")),
    ("src/lazy.rs", include_str!("../../../px/src/lazy.rs")),
    ("src/link.rs", include_str!("../../../px/src/link.rs")),
    ("src/link/encoding.rs", include_str!("../../../px/src/link/encoding.rs")),
    ("src/link/gpu.rs", include_str!("../../../px/src/link/gpu.rs")),
    ("src/link/rooms.rs", include_str!("../../../px/src/link/rooms.rs")),
    ("src/link/wishes.rs", include_str!("../../../px/src/link/wishes.rs")),
    ("src/map/builder.rs", include_str!("../../../px/src/map/builder.rs")),
    ("src/map/call.rs", include_str!("../../../px/src/map/call.rs")),
    ("src/map/constants.rs", include_str!("../../../px/src/map/constants.rs")),
    ("src/map/distant.rs", include_str!("../../../px/src/map/distant.rs")),
    ("src/map/engine.rs", include_str!("../../../px/src/map/engine.rs")),
    ("src/map/error.rs", include_str!("../../../px/src/map/error.rs")),
    ("src/map/fold.rs", include_str!("../../../px/src/map/fold.rs")),
    ("src/map/gpu.rs", include_str!("../../../px/src/map/gpu.rs")),
    ("src/map/handle.rs", include_str!("../../../px/src/map/handle.rs")),
    ("src/map/items.rs", include_str!("../../../px/src/map/items.rs")),
    ("src/map/kept.rs", include_str!("../../../px/src/map/kept.rs")),
    ("src/map/merge.rs", include_str!("../../../px/src/map/merge.rs")),
    ("src/map/mod.rs", include_str!("../../../px/src/map/mod.rs")),
    ("src/map/output.rs", include_str!("../../../px/src/map/output.rs")),
    ("src/map/own.rs", include_str!("../../../px/src/map/own.rs")),
    ("src/map/probe.rs", include_str!("../../../px/src/map/probe.rs")),
    ("src/map/report.rs", include_str!("../../../px/src/map/report.rs")),
    ("src/map/rooms.rs", include_str!("../../../px/src/map/rooms.rs")),
    ("src/map/shown.rs", include_str!("../../../px/src/map/shown.rs")),
    ("src/map/source.rs", include_str!("../../../px/src/map/source.rs")),
    ("src/map/stream.rs", include_str!("../../../px/src/map/stream.rs")),
    ("src/map/tree.rs", include_str!("../../../px/src/map/tree.rs")),
    ("src/map/values.rs", include_str!("../../../px/src/map/values.rs")),
    ("src/map/verdict.rs", include_str!("../../../px/src/map/verdict.rs")),
    ("src/progress.rs", include_str!("../../../px/src/progress.rs")),
    ("src/question.rs", include_str!("../../../px/src/question.rs")),
    ("src/rows.rs", include_str!("../../../px/src/rows.rs")),
    ("src/show.rs", include_str!("../../../px/src/show.rs")),
    ("src/store.rs", include_str!("../../../px/src/store.rs")),
    ("src/store/size.rs", include_str!("../../../px/src/store/size.rs")),
    ("src/sys.rs", include_str!("../../../px/src/sys.rs")),
    ("src/table/cell.rs", include_str!("../../../px/src/table/cell.rs")),
    ("src/table/mod.rs", include_str!("../../../px/src/table/mod.rs")),
    ("src/table/own.rs", include_str!("../../../px/src/table/own.rs")),
    ("src/table/printed.rs", include_str!("../../../px/src/table/printed.rs")),
    ("src/task/args.rs", include_str!("../../../px/src/task/args.rs")),
    ("src/task/mod.rs", include_str!("../../../px/src/task/mod.rs")),
    ("src/task/shared.rs", include_str!("../../../px/src/task/shared.rs")),
    ("src/task/values.rs", include_str!("../../../px/src/task/values.rs")),
    ("src/timeit.rs", include_str!("../../../px/src/timeit.rs")),
    ("src/tree/layout.rs", include_str!("../../../px/src/tree/layout.rs")),
    ("src/tree/mod.rs", include_str!("../../../px/src/tree/mod.rs")),
    ("src/wire.rs", include_str!("../../../px/src/wire.rs")),
    ("src/wire/by_serde.rs", include_str!("../../../px/src/wire/by_serde.rs")),
    ("src/wire/by_serde/decoder.rs", include_str!("../../../px/src/wire/by_serde/decoder.rs")),
    ("src/wire/by_serde/described.rs", include_str!("../../../px/src/wire/by_serde/described.rs")),
    ("src/wire/by_serde/encoder.rs", include_str!("../../../px/src/wire/by_serde/encoder.rs")),
    ("src/wire/by_serde/form.rs", include_str!("../../../px/src/wire/by_serde/form.rs")),
    ("src/wire/structural.rs", include_str!("../../../px/src/wire/structural.rs")),
];

/// Writes px below `folder`, unless another kernel has, and returns its path. It is built for all kernels at once, so each
/// version has a path of its own.
pub(crate) fn write_crate(folder: &Path) -> io::Result<PathBuf> {
    let mut hasher = blake3::Hasher::new();
    sources().for_each(|text| add(&mut hasher, text.as_bytes()));
    let root = folder.join(format!("px-{}", &hasher.finalize().to_hex()[..16]));
    if root.exists() {
        return Ok(root);
    }
    let new = tempfile::tempdir_in(folder)?;
    for (name, text) in FILES {
        let path = new.path().join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, text)?;
    }
    match std::fs::rename(new.path(), &root) {
        // Another kernel was faster.
        Err(_) if root.exists() => Ok(root),
        result => result.map(|()| root),
    }
}

/// What makes cells depend on it; `with_serde` lets all types travel that derive serde's traits.
pub(crate) fn dependency(px: &Path, with_serde: bool) -> Setting {
    let features = if with_serde { ", features = [\"serde\"]" } else { "" };
    Setting::Dependency { name: "px".into(), config: format!("{{ path = {:?}{features} }}", px.display().to_string()) }
}

/// Begins to build px, as the first cell will; that takes some seconds and one core, while rust-analyzer reads the standard
/// library. `manifest` is the crate's without dependencies, `kernel` evcxr's folder, `dependencies` where they are built,
/// and `program` has the tools.
///
/// The cell builds what isn't there, so nothing depends on this.
pub(crate) fn build_ahead(
    manifest: &str,
    kernel: &Path,
    px: &Path,
    program: &Path,
    dependencies: &Path,
) -> io::Result<()> {
    let target = std::fs::read_dir(kernel.join("target"))?.flatten();
    let triple = target.map(|entry| entry.path()).find(|path| path.join("debug/deps/libctx.so").exists());
    let triple = triple.ok_or(io::ErrorKind::NotFound)?;
    // In a folder of its own, since evcxr tries dependencies out in the place of its crate. The manifest's last section is
    // that of the dependencies.
    let folder = kernel.join("ahead");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("Cargo.toml"), format!("{manifest}px = {{ path = {px:?} }}\n"))?;
    let cargo = find_program("cargo").unwrap_or_else(|| "cargo".into());
    let mut build = crate::tools::ahead(kernel, &cargo, triple.file_name().unwrap_or_default());
    build.current_dir(folder);
    build.envs(crate::tools::environment(program, dependencies));
    let mut child = build.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    std::thread::Builder::new().name("px".into()).spawn(move || child.wait())?;
    Ok(())
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
