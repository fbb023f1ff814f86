#!/usr/bin/env bash
# evcxr compiles cells without the RUSTFLAGS of its environment.
#
# Versions:  evcxr 0.22.0, the library behind evcxr_jupyter and its REPL, with salsa 0.28.2, which it needs.
# Guess:     cargo compiles with what RUSTFLAGS says, and evcxr has cargo compile the cells. So that variable in the
#            environment of evcxr, such as in the `env` of a Jupyter kernel, holds for cells.
# Behaviour: evcxr gives its cargo a RUSTFLAGS of its own: `-Cprefer-dynamic` and what evcxr's settings need. The user's is
#            dropped without a word. So is `build.rustflags` of cargo's configuration, which cargo reads only where the
#            variable isn't set. `:build_env` in a cell sets it in the place of evcxr's.
# Seen:      with RUSTFLAGS="-C target-feature=+sse3", the program that runs the cells is compiled with that feature, and a
#            cell that needs it is refused. After `:build_env RUSTFLAGS=..` the cell is compiled.
# So:        who wants flags for cells says `:build_env` in each notebook, or in init.evcxr.
#
# It needs cargo on x86-64, and fetches evcxr, which takes some minutes to build.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat > Cargo.toml <<'TOML'
[package]
name = "cells"
version = "0.1.0"
edition = "2024"
[dependencies]
evcxr = "=0.22.0"
salsa = "=0.28.2"
salsa-macros = "=0.28.2"
salsa-macro-rules = "=0.28.2"
[profile.dev.package."*"]
debug = false
TOML
cat > src/main.rs <<'RUST'
fn main() {
    evcxr::runtime_hook();
    println!("the program has sse3 -> {}", cfg!(target_feature = "sse3"));
    let (mut context, _outputs) = evcxr::CommandContext::new().expect("evcxr starts");
    let cell = r#"{ #[cfg(not(target_feature = "sse3"))] compile_error!("this cell needs sse3"); "has sse3" }"#;
    for cell in [cell, ":build_env RUSTFLAGS=-Ctarget-feature=+sse3", cell] {
        let said = match context.execute(cell) {
            Ok(shown) => shown.content_by_mime_type["text/plain"].clone(),
            Err(evcxr::Error::CompilationErrors(errors)) => errors[0].message(),
            Err(other) => other.to_string(),
        };
        println!("{} -> {}", &cell[..10], said.trim());
    }
}
RUST
expected() {
    printf 'the program has sse3 -> true\n'
    printf '{ #[cfg(no -> this cell needs sse3\n'
    printf ':build_env -> Set RUSTFLAGS=-Ctarget-feature=+sse3 for build\n'
    printf '{ #[cfg(no -> "has sse3"\n'
}
RUSTFLAGS="-C target-feature=+sse3" cargo run --quiet > seen
cat seen
diff seen <(expected)
# The same flags in cargo's configuration, as its environment has it.
env -u RUSTFLAGS CARGO_BUILD_RUSTFLAGS="-Ctarget-feature=+sse3" target/debug/cells > seen
diff seen <(expected)
echo "evcxr 0.22.0 drops the user's RUSTFLAGS"
