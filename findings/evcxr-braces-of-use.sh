#!/usr/bin/env bash
# evcxr imports less than a `use` with braces says.
#
# Versions:  evcxr 0.22.0, the library behind evcxr_jupyter and its REPL, with salsa 0.28.2, which it needs.
# Guess:     a `use` of a cell imports what it imports in a file: rustc takes both of these.
# Behaviour: evcxr takes a `use` apart, and reads no tree in braces that has no name of its own. `use a::{b, *}` brings `b`
#            alone, and `use a::b::{self as c}` brings `b` and no `c`. Nothing is said; the names are missed later.
# Seen:      both cells succeed; the next ones fail with "cannot find type `BTreeMap`" and "cannot find ... `shape`".
# So:        who puts cells together for evcxr writes each import as a `use` of its own.
#
# It needs cargo, and fetches evcxr, which takes some minutes to build.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat > file.rs <<'RUST'
use std::collections::{btree_map::Entry, *};
use std::fmt::{self as shape};
fn main() {
    let mut map: BTreeMap<u8, shape::Error> = BTreeMap::new();
    assert!(matches!(map.entry(1), Entry::Vacant(_)));
}
RUST
rustc --edition 2024 file.rs && ./file && echo "rustc takes the file"
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
    let (mut context, _outputs) = evcxr::CommandContext::new().expect("evcxr starts");
    let cells = [
        "use std::collections::{btree_map::Entry, *};",
        "let map: BTreeMap<u8, u8> = BTreeMap::new();",
        "use std::fmt::{self as shape};",
        "let error = shape::Error;",
        "let error = fmt::Error;",
    ];
    for cell in cells {
        let said = match context.execute(cell) {
            Ok(_) => "ok".to_owned(),
            Err(evcxr::Error::CompilationErrors(errors)) => errors[0].message(),
            Err(other) => other.to_string(),
        };
        println!("{cell} -> {said}");
    }
}
RUST
cargo run --quiet > seen
cat seen
grep -qF 'btree_map::Entry, *}; -> ok' seen
grep -qF 'BTreeMap::new(); -> cannot find type `BTreeMap`' seen
grep -qF '{self as shape}; -> ok' seen
grep -qE 'shape::Error; -> .*`shape`' seen
grep -qF 'fmt::Error; -> ok' seen
