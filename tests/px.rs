//! Runs the tests of the crate `px`. It isn't a member of the workspace, since notebooks build it in theirs; so cargo has
//! to be asked for them by itself.

use std::path::Path;
use std::process::Command;

fn test(features: &[&str]) {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../px/Cargo.toml");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("px");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["test", "--quiet", "--manifest-path"]).arg(manifest).arg("--target-dir").arg(target);
    let status = cargo.args(features).status().unwrap_or_else(|error| panic!("{cargo:?} can't be started: {error}"));
    assert!(status.success(), "{cargo:?} ended with {status}, see above");
}

#[test]
fn px() {
    test(&[]);
}

#[test]
fn px_with_serde() {
    test(&["--features", "serde"]);
}
