//! Links the library that cells take their dependencies from.

use super::set::Library;
use super::support::{self, Crate};
use crate::tools::command;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Says that the program is started as a linker, and names the one that does it.
const LINKER: &str = "CHORUS_LINKER";

/// The crates that a call of rustc is given, but for px, `local` ones and macros.
fn crates<'a>(args: &'a [OsString], local: &'a [String]) -> impl Iterator<Item = Crate<'a>> {
    let values = args.windows(2).filter(|pair| pair[0] == "--extern").map(|pair| &pair[1]);
    let named = values.filter_map(|value| {
        let (name, path) = value.to_str()?.split_once('=')?;
        let name = name.rsplit_once(':').map_or(name, |(_, name)| name);
        path.ends_with(".rlib").then_some(Crate { name, rlib: Path::new(path) })
    });
    named.filter(|it| it.name != "px" && !local.iter().any(|local| local == it.name))
}

/// Links a library of the crates of `cell`, rustc's path and arguments for a cell, in `folder`. `id` tells it from others.
/// `None` if there is nothing to link.
pub(crate) fn link(cell: &[OsString], folder: &Path, id: &str, local: &[String]) -> io::Result<Option<Library>> {
    let crates: Vec<Crate<'_>> = crates(cell, local).collect();
    if crates.is_empty() {
        return Ok(None);
    }
    let name = format!("chorus_deps_{id}");
    let path = folder.join(format!("lib{name}.so"));
    let file = folder.join("library.rs");
    // Whole or not at all: others may use it at once.
    let building = tempfile::tempdir_in(folder)?;
    let source = support::source(&crates, |text| {
        let piece = building.path().join("piece.rs");
        let mut arguments = arguments(cell, "piece", &piece, &building.path().join("libpiece.rmeta"));
        arguments.iter_mut().filter(|arg| *arg == "--emit=link").for_each(|arg| *arg = "--emit=metadata".into());
        let rustc = || command(cell.iter().take(1).chain(&arguments).cloned()).output();
        fs::write(&piece, text).and_then(|()| rustc()).is_ok_and(|output| output.status.success())
    });
    fs::write(&file, source.text)?;
    let new = building.path().join(format!("lib{name}.so"));
    let linker = std::env::current_exe()?;
    let inner = value_of_codegen(cell, "linker=").unwrap_or_else(|| "cc".into());
    let arguments = arguments(cell, &name, &file, &new);
    let rustc = |all_exported: bool| -> io::Result<()> {
        let mut rustc = command(cell.iter().take(1).chain(&arguments).cloned());
        if all_exported {
            let mut chosen = OsString::from("-Clinker=");
            chosen.push(&linker);
            rustc.arg(chosen).arg("-Clinker-flavor=gcc").env(LINKER, &inner);
        }
        let output = rustc.output()?;
        match output.status.success() {
            true => Ok(()),
            false => Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned())),
        }
    };
    // Code of C libraries is exported too, for what is inlined into cells. A library without is better than none.
    rustc(true).or_else(|_| rustc(false))?;
    fs::rename(&new, &path)?;
    Ok(Some(Library { name, path, has_runtime: source.has_runtime }))
}

fn value_of_codegen(args: &[OsString], name: &str) -> Option<OsString> {
    let values = args.windows(2).filter(|pair| pair[0] == "-C").map(|pair| &pair[1]);
    let joined = args.iter().filter_map(|arg| arg.as_bytes().strip_prefix(b"-C").map(OsStr::from_bytes));
    let mut all = values.map(OsString::as_os_str).chain(joined);
    all.find_map(|value| Some(OsStr::from_bytes(value.as_bytes().strip_prefix(name.as_bytes())?).to_owned()))
}

/// rustc's for the library: as for a cell, but for what says what is compiled and where.
fn arguments(cell: &[OsString], name: &str, source: &Path, library: &Path) -> Vec<OsString> {
    let of_cells = |value: &OsStr| {
        let value = value.to_string_lossy();
        ["metadata=", "extra-filename=", "linker="].iter().any(|start| value.starts_with(start))
    };
    let is_cells = |arg: &OsStr| {
        let starts =
            ["--emit=", "--error-format=", "--json=", "--cfg=chorus", "--remap-path", "-Clink-arg=-Wl,-Bsymbolic"];
        let arg = arg.to_string_lossy();
        starts.iter().any(|start| arg.starts_with(start))
            || arg.starts_with("-Cdebuginfo")
            || arg.ends_with("src/lib.rs")
    };
    let mut kept = Vec::new();
    let mut args = cell.iter().skip(1);
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("--crate-name" | "--crate-type" | "--out-dir") => _ = args.next(),
            Some("-C") => {
                let value = args.next().filter(|value| !of_cells(value));
                kept.extend(value.into_iter().flat_map(|value| [arg.clone(), value.clone()]));
            }
            _ if is_cells(arg) => {}
            _ => kept.push(arg.clone()),
        }
    }
    let own = ["--crate-name", name, "--crate-type", "dylib", "--emit=link", "-Awarnings"];
    kept.extend(own.into_iter().map(OsString::from));
    kept.push(format!("-Cmetadata={name}").into());
    kept.extend(["-o".into(), library.into(), source.into()]);
    kept
}

/// Becomes a linker that exports all symbols, if this program was started as one.
pub(crate) fn become_linker() -> io::Result<()> {
    let Some(linker) = std::env::var_os(LINKER) else { return Ok(()) };
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    for script in args.iter().flat_map(|arg| version_scripts(arg)) {
        let text = fs::read_to_string(&script)?;
        fs::write(script, all_exported(&text))?;
    }
    Err(Command::new(linker).args(args).env_remove(LINKER).exec())
}

/// The files that say which symbols are exported. Arguments may be in a file, too.
fn version_scripts(arg: &OsStr) -> Vec<PathBuf> {
    const NAME: &str = "--version-script=";
    let text = match arg.as_bytes().strip_prefix(b"@") {
        Some(file) => fs::read_to_string(OsStr::from_bytes(file)).unwrap_or_default(),
        None => arg.to_string_lossy().into_owned(),
    };
    let paths = text.lines().filter_map(|line| line.split_once(NAME).map(|(_, path)| path));
    paths.map(|path| path.trim_end_matches(['"', '\'']).replace("\\ ", " ").into()).collect()
}

/// A version script that hides nothing.
fn all_exported(script: &str) -> String {
    let Some((before, after)) = script.split_once("local:") else { return script.to_owned() };
    match after.split_once("*;") {
        Some((between, rest)) if between.trim().is_empty() => format!("{}{rest}", before.trim_end()),
        _ => script.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn macros_px_and_local_crates_are_not_shared() {
        let call = args(
            "rustc --extern px=/t/libpx-1.rlib --extern log=/t/liblog-2.rlib --extern derive=/t/libderive-3.so \
             --extern priv:mine=/t/libmine-4.rlib --extern noprelude:other=/t/libo.rlib --extern proc_macro",
        );
        let local = ["mine".to_owned()];
        assert_eq!(crates(&call, &local).map(|it| it.name).collect::<Vec<_>>(), ["log", "other"]);
    }

    #[test]
    fn nothing_is_linked_where_there_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let call = args("rustc --extern px=/t/libpx-1.rlib");
        assert_eq!(link(&call, folder.path(), "1", &[]).unwrap(), None);
    }

    #[test]
    fn flags_are_those_of_cells() {
        let call = args(
            "rustc --crate-name ctx --edition=2024 src/lib.rs --error-format=json --json=artifacts --crate-type cdylib \
             --emit=dep-info,link -C opt-level=2 -C metadata=chorus --out-dir /t -C linker=ld2 -L dependency=/d \
             --extern a=/d/liba.rlib -Cprefer-dynamic -Cdebuginfo=line-tables-only -Cstrip=none",
        );
        assert_eq!(value_of_codegen(&call, "linker="), Some("ld2".into()));
        let expected = "--edition=2024 -C opt-level=2 -L dependency=/d --extern a=/d/liba.rlib -Cprefer-dynamic -Cstrip=none \
                        --crate-name n --crate-type dylib --emit=link -Awarnings -Cmetadata=n -o /x/libn.so /x/library.rs";
        assert_eq!(arguments(&call, "n", Path::new("/x/library.rs"), Path::new("/x/libn.so")), args(expected));
    }

    #[test]
    fn version_scripts_are_found_and_hide_nothing() {
        assert_eq!(version_scripts(OsStr::new("-Wl,--version-script=/a/list")), [Path::new("/a/list")]);
        assert!(version_scripts(OsStr::new("-shared")).is_empty());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("args");
        fs::write(&file, "-shared\n\"-Wl,--version-script=/b/list\"\n").unwrap();
        let arg = OsString::from(format!("@{}", file.display()));
        assert_eq!(version_scripts(&arg), [Path::new("/b/list")]);
        let script = "{\n  global:\n    f;\n\n  local:\n    *;\n};";
        assert_eq!(all_exported(script), "{\n  global:\n    f;\n};");
        for other in ["{ global: f; };", "{ local: f; };", ""] {
            assert_eq!(all_exported(other), other);
        }
    }
}
