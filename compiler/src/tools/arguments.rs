//! The arguments of rustc for a cell: what they say, and how they are changed.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What stands for the folder of a cell's crate in its line tables.
pub(crate) const CELL_FOLDER: &str = "cell";
/// The argument that says which toolchain it is.
pub(crate) const TOOLCHAIN: &str = "--cfg=chorus_toolchain=";
/// The identity of cells' crates.
pub(crate) const IDENTITY: &str = "metadata=chorus";

/// Has rustc not warn, but of [what is shown](crate::messages::unused). Of a cell that fails, evcxr passes what is about the user's text, be it a warning, and drops errors that
/// are elsewhere.
pub(crate) const QUIET: [&str; 2] = ["-Awarnings", crate::messages::unused::WARN];

/// The call as it is for the cells of the kernel of this folder. evcxr checks a cell to say why it can't keep a variable.
pub(crate) fn for_kernel(mut args: Vec<OsString>, kernel: &Path, is_check: bool) -> io::Result<Vec<OsString>> {
    let at = args.iter().position(|arg| arg == "--out-dir").map(|at| at + 1).filter(|at| *at < args.len());
    let at = at.ok_or_else(|| io::Error::other("cargo didn't say where the cell is to be"))?;
    // Like cargo's, below evcxr's own.
    let target = value_of(&args, "--target").cloned().unwrap_or_default();
    let objects = kernel.join("target").join(target).join("debug/deps");
    std::fs::create_dir_all(&objects)?;
    args[at] = objects.into();
    add_line_tables(&mut args, kernel);
    if is_check {
        for arg in args.iter_mut().filter(|arg| arg.as_bytes().starts_with(b"--emit=")) {
            *arg = "--emit=dep-info,metadata".into();
        }
    }
    args.extend(QUIET.map(OsString::from));
    Ok(args)
}

/// The cell's source, if it is one.
pub(crate) fn source(args: &[OsString]) -> Option<&Path> {
    args.iter().map(Path::new).find(|arg| arg.ends_with("src/lib.rs"))
}

/// Whether a crate of one of these names is compiled.
pub(crate) fn is_crate(args: &[OsString], names: &[&str]) -> bool {
    args.windows(2).any(|pair| pair[0] == "--crate-name" && names.iter().any(|name| pair[1] == *name))
}

/// Gives the crate an identity that doesn't depend on the kernel.
pub(crate) fn fix_identity(args: &mut [OsString]) {
    for arg in args {
        if arg.to_str().is_some_and(|text| text.starts_with("metadata=")) {
            *arg = IDENTITY.into();
        }
    }
}

/// One codegen unit, and nothing kept for the next time.
pub(crate) fn compile_once(args: &mut Vec<OsString>) {
    let mut at = 0;
    while at + 1 < args.len() {
        let value = args[at + 1].to_str().unwrap_or_default();
        match (args[at] == "-C", value) {
            (true, value) if value.starts_with("incremental=") => _ = args.drain(at..at + 2),
            (true, value) if value.starts_with("codegen-units=") => {
                args[at + 1] = "codegen-units=1".into();
                at += 2;
            }
            _ => at += 1,
        }
    }
}

/// Several codegen units, for a cell that may instantiate much of its dependencies: two cores compile a chart of plotters
/// in two thirds of the time, and a small cell in the same.
pub(crate) fn compile_in_parallel(args: &mut [OsString]) {
    args.iter_mut().filter(|arg| *arg == "codegen-units=1").for_each(|arg| *arg = "codegen-units=4".into());
}

/// For px, for which a machine's first cell waits. What it has to work hard for is generic, and optimised with the cells that use
/// it. So in px itself only what gets smaller by it is inlined, which takes a third of the time, and std's assertions are
/// left out; overflow is still checked.
pub(crate) fn compile_soon(args: &mut Vec<OsString>) {
    compile_in_parallel(args);
    args.extend(
        ["-Cllvm-args=-inline-threshold=0", "-Cdebug-assertions=off", "-Coverflow-checks=on"].map(OsString::from),
    );
}

/// For a cell that isn't worth the time.
pub(crate) fn do_not_optimise(args: &mut [OsString]) {
    args.iter_mut().filter(|arg| arg.as_bytes().starts_with(b"opt-level=")).for_each(|arg| *arg = "opt-level=0".into());
}

/// For backtraces. Of a cell's own code only: the tables of its dependencies would be linked into each object.
pub(crate) fn add_line_tables(args: &mut Vec<OsString>, folder: &Path) {
    let mut remap = OsString::from("--remap-path-prefix=");
    remap.push(folder);
    remap.push(format!("={CELL_FOLDER}"));
    args.extend(["-Cdebuginfo=line-tables-only".into(), "-Cstrip=none".into(), remap]);
}

/// Notes among the arguments which toolchain it is, which only cargo's call tells: the values of statics aren't shared
/// with objects of another.
pub(crate) fn add_toolchain(args: &mut Vec<OsString>) {
    let mut hasher = blake3::Hasher::new();
    hasher.update(args.first().map_or(&[][..], |rustc| rustc.as_bytes()));
    hasher.update(std::env::var_os("RUSTUP_TOOLCHAIN").unwrap_or_default().as_bytes());
    args.push(format!("{TOOLCHAIN}\"{}\"", hasher.finalize().to_hex()).into());
}

/// What stands behind this argument, the first of its name.
pub(crate) fn value_of<'a>(args: &'a [OsString], name: &str) -> Option<&'a OsString> {
    args.windows(2).find(|pair| pair[0] == name).map(|pair| &pair[1])
}

/// Where rustc puts the object.
pub(crate) fn object(args: &[OsString]) -> Option<PathBuf> {
    Some(Path::new(value_of(args, "--out-dir")?).join("libctx.so"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn arguments_are_those_of_a_single_compilation() {
        let mut call = args(
            "rustc --crate-name ctx src/lib.rs -C metadata=12 -C codegen-units=16 -C incremental=/x \
             -C extra-filename=-12 --out-dir /t/deps -C",
        );
        assert!(is_crate(&call, &["ctx", "px"]) && !is_crate(&call, &["px"]));
        fix_identity(&mut call);
        compile_once(&mut call);
        let mut several = call.clone();
        compile_in_parallel(&mut several);
        assert!(several.contains(&"codegen-units=4".into()) && several.len() == call.len());
        let mut soon = call.clone();
        compile_soon(&mut soon);
        assert_eq!(soon[..several.len()], several);
        assert!(soon.ends_with(&args("-Cdebug-assertions=off -Coverflow-checks=on")));
        let expected = "rustc --crate-name ctx src/lib.rs -C metadata=chorus -C codegen-units=1 \
                        -C extra-filename=-12 --out-dir /t/deps -C";
        assert_eq!(call, args(expected));
        let mut plain = args("rustc -C opt-level=2 -C codegen-units=1 opt-level");
        do_not_optimise(&mut plain);
        assert_eq!(plain, args("rustc -C opt-level=0 -C codegen-units=1 opt-level"));
        assert_eq!(object(&call), Some("/t/deps/libctx.so".into()));
        assert_eq!(object(&args("rustc -vV")), None);
    }

    #[test]
    fn line_tables_do_not_name_the_folder() {
        let mut call = args("rustc --crate-name ctx -C debuginfo=0");
        add_line_tables(&mut call, Path::new("/tmp/x"));
        let expected = "rustc --crate-name ctx -C debuginfo=0 -Cdebuginfo=line-tables-only -Cstrip=none \
                        --remap-path-prefix=/tmp/x=cell";
        assert_eq!(call, args(expected));
    }
}
