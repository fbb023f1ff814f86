#!/usr/bin/env bash
# In evcxr, a cell that begins with an `impl` block can't be run again, edited or not.
#
# Versions:  evcxr 0.22.0, the library behind evcxr_jupyter and its REPL, with salsa 0.28.2, which it needs.
# Guess:     what a cell defines takes the place of what an earlier one defined: evcxr_jupyter's tour says of a function "In
#            practice, we'd go back and edit the function above and reevalute it", and types can be defined anew, too.
# Behaviour: an `impl` block behind a definition with a name, in one cell, is kept and replaced with that. In a cell of its
#            own it is kept for good, so the next one with a method of that name is refused, even if it is the same text, and
#            even if the type was defined anew meanwhile. So is a trait's. What there was before stays.
# Seen:      E0592, "duplicate definitions with name `area`", and E0119 for a trait.
# So:        an `impl` that is to be edited stands in the cell of its type; else only `:clear` takes it back.
#
# It needs cargo, and fetches evcxr, which takes some minutes to build.
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
    let (mut context, _outputs) = evcxr::CommandContext::new().expect("evcxr starts");
    let cells = [
        r#"pub fn area(side: u32) -> u32 { side }"#,
        r#"pub fn area(side: u32) -> u32 { side * side }"#,
        r#"area(3)"#,
        r#"pub struct Square(u32);"#,
        r#"impl Square { fn area(&self) -> u32 { self.0 } }"#,
        r#"pub struct Square(u32);"#,
        r#"Square(3).area()"#,
        r#"impl Square { fn area(&self) -> u32 { self.0 } }"#,
        r#"impl Square { fn area(&self) -> u32 { self.0 * self.0 } }"#,
        r#"Square(3).area()"#,
        r#"pub struct Circle; impl Circle { fn round(&self) {} }"#,
        r#"pub struct Circle; impl Circle { fn round(&self) {} }"#,
        r#"impl Default for Square { fn default() -> Square { Square(1) } }"#,
        r#"impl Default for Square { fn default() -> Square { Square(2) } }"#,
        ":clear",
        r#"pub struct Square(u32); impl Square { fn area(&self) -> u32 { self.0 } }"#,
    ];
    for cell in cells {
        let said = match context.execute(cell) {
            Ok(shown) => shown.content_by_mime_type.get("text/plain").cloned().unwrap_or("ok".into()),
            Err(evcxr::Error::CompilationErrors(errors)) => {
                format!("{}: {}", errors[0].code().unwrap_or("error"), errors[0].message())
            }
            Err(other) => other.to_string(),
        };
        println!("{cell} -> {}", said.trim());
    }
}
RUST
cargo run --quiet > seen
cat seen
# The lines of these cells, one behind the other.
[ "$(grep -F 'pub fn area' seen | sed 's/.* -> //')" = $'ok\nok' ]
grep -qxF 'area(3) -> 9' seen
[ "$(grep -F 'pub struct Square' seen | sed 's/.* -> //')" = $'ok\nok\nok' ]
method='E0592: duplicate definitions with name `area`'
[ "$(grep -F 'impl Square' seen | sed 's/.* -> //')" = "ok"$'\n'"$method"$'\n'"$method"$'\nok' ]
[ "$(grep -F 'Square(3).area()' seen | sed 's/.* -> //')" = $'3\n3' ]
[ "$(grep -F 'Circle' seen | sed 's/.* -> //')" = $'ok\nok' ]
[ "$(tail -2 seen | sed 's/.* -> //')" = $'ok\nok' ]
[ "$(grep -F 'impl Default' seen | sed 's/.* -> //')" = $'ok\nE0119: conflicting implementations of trait `Default` for type `Square`' ]
echo "evcxr 0.22.0 doesn't take an impl block of its own cell again"
