//! Puts the source of the crate `px`, which cells see, where cargo can build it for a notebook.

use std::io;
use std::path::{Path, PathBuf};

const FILES: [(&str, &str); 9] = [
    ("Cargo.toml", include_str!("../../px/Cargo.toml")),
    ("src/lib.rs", include_str!("../../px/src/lib.rs")),
    ("src/base64.rs", include_str!("../../px/src/base64.rs")),
    ("src/display.rs", include_str!("../../px/src/display.rs")),
    ("src/host.rs", include_str!("../../px/src/host.rs")),
    ("src/progress.rs", include_str!("../../px/src/progress.rs")),
    ("src/show.rs", include_str!("../../px/src/show.rs")),
    ("src/store.rs", include_str!("../../px/src/store.rs")),
    ("src/timeit.rs", include_str!("../../px/src/timeit.rs")),
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

/// The texts of its files.
pub(crate) fn sources() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(_, text)| *text)
}
