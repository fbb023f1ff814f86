//! From the text of a device crate to a module for a GPU.

use crate::crates::Crates;
use crate::link::{LinkError, link};
use crate::toolchain::{CPU, TARGET, Target};
use serde_json::{Value, json};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

/// The text of the module `chorus_gpu`, which each device crate has; see there for what else it has.
pub const PRELUDE: &str = concat!(
    include_str!("device/prelude.rs"),
    include_str!("device/floats.rs"),
    include_str!("device/data.rs"),
    include_str!("device/call.rs"),
    include_str!("device/only_types.rs"),
);

/// Why there is no module.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The compiler's diagnostics, in its JSON form.
    #[error("{}", first_message(.0))]
    Rustc(Vec<Value>),
    /// Its code can't be linked.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Files, or the compiler's process.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What device crates are compiled with.
#[derive(Clone, Copy, Debug)]
pub struct Compiler<'a> {
    /// rustc.
    pub rustc: &'a Path,
    /// Rust's own library for GPUs.
    pub target: &'a Target,
    /// The other crates that a text names.
    pub crates: &'a Crates,
}

/// Whose code gets into a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// That of the device crate, and what is generic or small enough to be compiled with it.
    Own,
    /// That of all crates that it names as well, which takes twice as long.
    All,
}

/// Compiles a device crate, whose text is `source`, with files in `folder`. The result is PTX that a driver takes.
pub fn compile(compiler: &Compiler<'_>, source: &str, folder: &Path) -> Result<String, Failed> {
    if compiler.crates.externs.is_empty() {
        match compiled(compiler, Code::Own, source, folder) {
            // Most functions need no more of `core`.
            Err(Failed::Link(LinkError::Missing(_))) => {}
            done => return done,
        }
    }
    compiled(compiler, Code::All, source, folder)
}

fn compiled(compiler: &Compiler<'_>, code: Code, source: &str, folder: &Path) -> Result<String, Failed> {
    let (text, ptx) = (folder.join("device.rs"), folder.join("device.ptx"));
    fs::write(&text, source)?;
    let output = Command::new(compiler.rustc).args(arguments(compiler, code, &text, &ptx)).output()?;
    if !output.status.success() {
        return Err(Failed::Rustc(diagnostics(&String::from_utf8_lossy(&output.stderr))));
    }
    Ok(link(&fs::read_to_string(ptx)?)?)
}

/// rustc's arguments. Warnings are the business of the compilation for the CPU, which has the same text.
pub(crate) fn arguments(compiler: &Compiler<'_>, code: Code, source: &Path, ptx: &Path) -> Vec<OsString> {
    let mut all: Vec<OsString> =
        ["--edition=2024", "--target", TARGET, "--crate-name=px_device"].map(Into::into).into();
    all.extend(["--error-format=json", "-Awarnings"].map(Into::into));
    all.extend(
        ["-Copt-level=3", "-Cpanic=abort", "-Coverflow-checks=on", "-Ccodegen-units=1", "-C", CPU].map(Into::into),
    );
    let file = |option: &str, path: &Path| {
        let mut option = OsString::from(option);
        option.push(path);
        option
    };
    all.push(file("--emit=asm=", ptx));
    // What rustc makes on the way goes there, too.
    all.extend([OsStr::new("--out-dir"), ptx.parent().unwrap_or(Path::new(".")).as_os_str()].map(Into::into));
    match code {
        Code::Own => all.push("--crate-type=rlib".into()),
        // Only where something is linked does rustc take the other crates' code into its own; linking itself is ours.
        Code::All => {
            all.extend(["--crate-type=cdylib", "-Clto=fat", "-Clinker=true"].map(Into::into));
            all.push(file("--emit=link=", &ptx.with_extension("so")));
        }
    }
    if let Some(libraries) = &compiler.target.libraries {
        all.extend([OsStr::new("-L"), libraries.as_os_str()].map(Into::into));
    }
    all.extend(compiler.crates.arguments());
    all.push(source.into());
    all
}

/// What rustc has written, one diagnostic a line. Its code generator writes text, which becomes one, too.
pub(crate) fn diagnostics(stderr: &str) -> Vec<Value> {
    let lines = stderr.lines().filter(|line| !line.trim().is_empty());
    let diagnostics = lines.map(|line| match serde_json::from_str(line) {
        Ok(diagnostic @ Value::Object(_)) => diagnostic,
        _ => json!({ "message": line, "level": "error", "code": null, "spans": [], "children": [], "rendered": line }),
    });
    diagnostics.collect()
}

fn first_message(diagnostics: &[Value]) -> &str {
    let text = |diagnostic: &Value, key: &str, value: &str| diagnostic.get(key).is_some_and(|it| it == value);
    let first = diagnostics.iter().find(|it| text(it, "level", "error")).or(diagnostics.first());
    let message = first.and_then(|it| it.get("message")).and_then(Value::as_str);
    message.unwrap_or("rustc has failed and doesn't say why")
}

#[cfg(test)]
mod tests;
