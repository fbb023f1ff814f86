//! rustc's wrapper: gives the crates of cells an identity that doesn't depend on the kernel that compiles them.
//!
//! cargo derives `-C metadata` from the path of the crate and from its dependencies, and rustc derives the `TypeId`s
//! of the user's types from that. With a constant, an object from the cache and one that is compiled now agree about
//! the types of variables, and adding a dependency doesn't make variables of the user's types unreadable.

use crate::evaluator::Setting;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Says that the program is the wrapper.
const ASKED: &str = "CHORUS_WRAPS_RUSTC";
/// The user's own wrapper.
const INNER: &str = "CHORUS_INNER_WRAPPER";

/// What makes cargo call `program` as rustc's wrapper.
pub(crate) fn settings(program: &Path) -> Vec<Setting> {
    let env = |name: &str, value: &OsStr| Setting::BuildEnv(name.into(), value.to_string_lossy().into_owned());
    let mut settings = vec![env("RUSTC_WRAPPER", program.as_os_str()), env(ASKED, OsStr::new("1"))];
    if let Some(inner) = std::env::var_os("RUSTC_WRAPPER").filter(|inner| !inner.is_empty()) {
        settings.push(env(INNER, &inner));
    }
    settings
}

/// Becomes rustc, if cargo started this program as its wrapper: arguments are rustc's path and arguments.
pub(crate) fn become_rustc() {
    // evcxr has a wrapper too, for its own cache and for dynamic linking; its settings override ours.
    if std::env::var_os(ASKED).is_none() || std::env::var_os("EVCXR_RUSTC_WRAPPER").is_some() {
        return;
    }
    let mut args: Vec<OsString> = std::env::args_os().skip(1).collect();
    if args.is_empty() {
        return;
    }
    fix_identity(&mut args);
    args.splice(0..0, std::env::var_os(INNER));
    let program = args.remove(0);
    let error = Command::new(&program).args(args).exec();
    eprintln!("chorus: {} can't be started: {error}", program.display());
    std::process::exit(1);
}

fn fix_identity(args: &mut [OsString]) {
    let is_ours = args.windows(2).any(|pair| pair[0] == "--crate-name" && (pair[1] == "ctx" || pair[1] == "px"));
    if !is_ours {
        return;
    }
    for arg in args {
        if arg.to_str().is_some_and(|text| text.starts_with("metadata=")) {
            *arg = "metadata=chorus".into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_crates_of_cells_are_changed() {
        let fixed = |line: &str| {
            let mut args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            fix_identity(&mut args);
            args.iter().map(|arg| arg.to_str().unwrap()).collect::<Vec<_>>().join(" ")
        };
        let of = |name: &str, metadata: &str| {
            format!("rustc --crate-name {name} src/lib.rs -C metadata={metadata} -C extra-filename=-12")
        };
        assert_eq!(fixed(&of("ctx", "12")), of("ctx", "chorus"));
        assert_eq!(fixed(&of("serde", "12")), of("serde", "12"));
        assert_eq!(fixed("rustc -vV"), "rustc -vV");
    }
}
