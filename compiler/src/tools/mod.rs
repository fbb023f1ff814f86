//! What stands between evcxr and rustc, to compile a cell in less time: a shortcut around cargo, and rustc's wrapper.
//!
//! evcxr calls cargo for each cell, and cargo needs some 20 ms to find that nothing but the cell has changed. With
//! evcxr's setting for the linker mold, it calls `mold -run cargo build ..` instead; a link of that name to this program
//! leads here. cargo builds the dependencies apart, once a machine (see [`crate::dependencies`]), and the wrapper notes how
//! it calls rustc for a cell that has them; every kernel then calls rustc so directly.
//!
//! The wrapper makes evcxr's text cheaper first, see [`crate::tools::rewrite`]. A cell is small and its like isn't compiled
//! again, so one codegen unit without incremental compilation is fastest; and where nothing is to be run, nothing is
//! linked. (It is compiled, though: some errors are found no sooner.)
//!
//! It also gives the crates of cells an identity that doesn't depend on the kernel: cargo derives `-C metadata` from the
//! path of the crate and from its dependencies, and rustc derives the `TypeId`s of the user's types from that. With a
//! constant, an object from the cache and one that is compiled now agree about the types of variables, and adding a
//! dependency doesn't make variables of the user's types unreadable.

pub(crate) mod arguments;
pub(crate) mod debug;
pub(crate) mod effort;
pub(crate) mod probe;
pub(crate) mod replay;
pub(crate) mod rewrite;
pub(crate) mod rounds;
pub(crate) mod runtime;
pub(crate) mod telling;
pub(crate) mod turn;

use crate::cell::reuse::add;
use crate::dependencies::{self, Current, Failed, Library, Set};
use crate::notebook::definitions::prefix::release_calls;
use crate::notebook::setting::Setting;
use crate::toolchain::{find_program, users_path};
use crate::tools::arguments::{
    IDENTITY, QUIET, TOOLCHAIN, add_line_tables, add_toolchain, compile_in_parallel, compile_once, compile_soon,
    do_not_optimise, fix_identity, for_kernel, is_crate, object, source,
};
use crate::tools::rounds::compile;
use serde::{Deserialize, Serialize};
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Says that the program is one of these tools, or was called by one.
pub(crate) const ASKED: &str = "CHORUS_BUILDS_CELLS";
/// The user's own wrapper, if any.
const INNER: &str = "CHORUS_INNER_WRAPPER";
/// For the wrapper: that it is to note how it is called for a cell, in the folder that cargo builds.
pub(crate) const NOTING: &str = "CHORUS_NOTES_CALL";
/// For the shortcut: that nothing but the dependencies is to be built.
const AHEAD: &str = "CHORUS_BUILDS_AHEAD";
/// Where evcxr looks for the path of the object.
const OBJECT_PATH: &str = "EVCXR_EXECUTION_SO_PATH";
/// evcxr's own wrapper, which some of its settings ask for.
const OTHER_WRAPPER: &str = "EVCXR_RUSTC_WRAPPER";
/// The notes, in the folder that evcxr builds in.
const NOTES: &str = ".chorus-rustc";
/// The note of a call, in the folder that cargo builds.
const NOTE: &str = "call";
/// Where libraries of dependencies are that are this kernel's alone, in its folder.
const LIBRARIES: &str = "libraries";

/// Which set cells are compiled with.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Notes {
    state: Vec<u8>,
    set: PathBuf,
}

/// How cargo called rustc for a cell.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    pub environment: Vec<(Vec<u8>, Vec<u8>)>,
    /// rustc's path, and its arguments as they are to be.
    pub command: Vec<Vec<u8>>,
}

impl Note {
    /// The one that the wrapper left in this folder.
    pub fn take(folder: &Path) -> io::Result<Note> {
        let path = folder.join(NOTE);
        let note = postcard::from_bytes(&std::fs::read(&path)?).map_err(io::Error::other)?;
        std::fs::remove_file(path)?;
        Ok(note)
    }

    pub fn arguments(&self) -> Vec<OsString> {
        self.command.iter().cloned().map(OsString::from_vec).collect()
    }
}

/// Where links to these tools are, in the kernel's folder.
pub(crate) fn folder(folder: &Path) -> PathBuf {
    folder.join("tools")
}

/// Removes them: before evcxr has started, it doesn't know what they need to be told.
pub(crate) fn remove(kernel: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(folder(kernel)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// What makes evcxr use these tools, as which `program` is to be started. [`folder`] has to be on the PATH;
/// `dependencies` is where dependencies are built.
pub(crate) fn settings(program: &Path, kernel: &Path, dependencies: &Path) -> io::Result<Vec<Setting>> {
    let tools = folder(kernel);
    std::fs::create_dir_all(&tools)?;
    std::os::unix::fs::symlink(program, tools.join("mold"))?;
    let environment = environment(program, dependencies).into_iter();
    let environment = environment.map(|(name, value)| Setting::BuildEnv(name.into(), value.to_string_lossy().into()));
    Ok(std::iter::once(Setting::Linker("mold".into())).chain(environment).collect())
}

/// The call of the shortcut that builds nothing but the dependencies of the manifest in the folder where it is called. Its
/// environment has to be [`environment`].
pub(crate) fn ahead(kernel: &Path, cargo: &Path, target: &OsStr) -> Command {
    let mut build = Command::new(folder(kernel).join("mold"));
    build.args(["-run".as_ref(), cargo.as_os_str(), "build".as_ref(), "--target".as_ref(), target]);
    // As evcxr has it.
    build.arg("--message-format=json").env("RUSTFLAGS", "-Cprefer-dynamic");
    build.env(AHEAD, "1");
    build
}

/// The environment in which cargo uses these tools.
pub(crate) fn environment(program: &Path, dependencies: &Path) -> Vec<(&'static str, OsString)> {
    let inner = std::env::var_os("RUSTC_WRAPPER").filter(|inner| !inner.is_empty());
    let mut environment =
        vec![("RUSTC_WRAPPER", program.into()), (ASKED, "1".into()), (dependencies::ROOT, dependencies.into())];
    environment.extend(inner.map(|inner| (INNER, inner)));
    environment
}

/// Becomes cargo or rustc, if this program was started in the place of one.
pub(crate) fn become_tool() {
    if std::env::var_os(ASKED).is_none() {
        return;
    }
    let mut args = std::env::args_os();
    let name = args.next().map(PathBuf::from).unwrap_or_default();
    let args: Vec<OsString> = args.collect();
    let linked = dependencies::become_linker();
    let result = match args.split_first() {
        _ if linked.is_err() => linked,
        Some((first, call)) if name.ends_with("mold") && first == "-run" => build(call),
        // evcxr's own wrapper is called for what it was asked for.
        Some(_) if std::env::var_os(OTHER_WRAPPER).is_none() => wrap(args),
        _ => return,
    };
    if let Err(error) = result {
        eprintln!("chorus: the cell can't be built: {error}");
        std::process::exit(1);
    }
}

/// `call` is cargo's path and arguments. Returns only with an error.
fn build(call: &[OsString]) -> io::Result<()> {
    crate::tools::turn::end_with_compiler()?;
    let kernel = std::env::current_dir()?;
    let _turn = crate::tools::turn::take(&kernel)?;
    let is_ours = call.iter().any(is_verb) && std::env::var_os(OTHER_WRAPPER).is_none();
    let root = std::env::var_os(dependencies::ROOT).map(PathBuf::from).filter(|_| is_ours);
    // A dependency whose source may change isn't cargo's to forget.
    let Some(root) = root.filter(|_| local_dependencies().is_empty()) else {
        let status = command(call.iter().cloned()).status()?;
        std::process::exit(status.code().unwrap_or(1));
    };
    let state = state(call);
    let notes = std::fs::read(NOTES).ok().and_then(|bytes| postcard::from_bytes::<Notes>(&bytes).ok());
    let notes = notes.filter(|notes| notes.state == state);
    let set = match notes.and_then(|notes| Some((Set::read(&notes.set)?, notes.set))) {
        Some((set, folder)) => {
            set.in_folder(&folder).write(&kernel)?;
            set
        }
        None => match dependencies::ready(&root, &kernel, call)? {
            Ok((folder, set)) => {
                let notes = Notes { state, set: folder };
                std::fs::write(NOTES, postcard::to_allocvec(&notes).map_err(io::Error::other)?)?;
                set
            }
            Err(Failed { status, stdout, stderr }) => {
                io::stdout().write_all(&stdout)?;
                io::stderr().write_all(&stderr)?;
                std::process::exit(status);
            }
        },
    };
    if std::env::var_os(AHEAD).is_some() {
        std::process::exit(0);
    }
    let is_check = call.iter().any(|arg| arg == "check");
    // evcxr takes another source in the same file for each call.
    let evcxrs = std::fs::read_to_string("src/lib.rs")?;
    if let Some(messages) = crate::tools::replay::take(&kernel, &evcxrs) {
        io::stderr().write_all(messages.as_bytes())?;
        std::process::exit(1);
    }
    let mut args = for_kernel(set.command.into_iter().map(OsString::from_vec).collect(), &kernel, is_check)?;
    if set.library.is_some() {
        compile_in_parallel(&mut args);
    }
    let args = prepare(args, set.library.as_ref())?;
    if let (Some(file), Some(object)) = (std::env::var_os(OBJECT_PATH), object(&args)) {
        std::fs::write(file, object.as_os_str().as_bytes())?;
    }
    // The pipe that it names was that cargo's: rustc would warn, and evcxr would say that instead of its own complaint.
    let environment = set.environment.into_iter().filter(|(name, _)| name != b"CARGO_MAKEFLAGS");
    let environment = environment.map(|(name, value)| (OsString::from_vec(name), OsString::from_vec(value)));
    let rustc = || {
        let mut rustc = command(args.iter().cloned());
        rustc.envs(environment.clone());
        rustc
    };
    let (status, messages) = compile(&args, rustc)?;
    if status != 0 && !is_check {
        crate::tools::replay::note(&kernel, evcxrs, &messages);
    }
    std::process::exit(status)
}

fn is_verb(arg: &OsString) -> bool {
    arg == "build" || arg == "check"
}

/// `args` are rustc's path and arguments. Returns only with an error.
fn wrap(mut args: Vec<OsString>) -> io::Result<()> {
    let (is_cell, is_noted) = (is_crate(&args, &["ctx"]), std::env::var_os(NOTING).is_some());
    if is_cell || is_crate(&args, &["px"]) {
        fix_identity(&mut args);
        compile_once(&mut args);
        if !is_cell {
            compile_soon(&mut args);
        }
    }
    if is_cell {
        // Statics are those of the first object that has them; functions are each object's own.
        add_toolchain(&mut args);
        args.push("-Clink-arg=-Wl,-Bsymbolic-functions".into());
        if is_noted {
            note(&args)?;
        } else {
            let kernel = std::env::current_dir()?;
            args.extend(QUIET.map(OsString::from));
            add_line_tables(&mut args, &kernel);
            let library = own_library(&args, &kernel)?;
            args = prepare(args, library.as_ref())?;
        }
    }
    args.splice(0..0, std::env::var_os(INNER));
    match is_cell && !is_noted {
        true => {
            let (status, _) = compile(&args, || command(args.iter().cloned()))?;
            std::process::exit(status)
        }
        false => Err(command(args.into_iter()).exec()),
    }
}

/// The library of the dependencies of a kernel that builds them itself.
fn own_library(args: &[OsString], kernel: &Path) -> io::Result<Option<Library>> {
    let mut hasher = blake3::Hasher::new();
    dependencies::TEXTS.iter().for_each(|text| add(&mut hasher, text.as_bytes()));
    args.windows(2).filter(|pair| pair[0] == "--extern").for_each(|pair| add(&mut hasher, pair[1].as_bytes()));
    args.iter()
        .filter(|arg| arg.as_bytes().starts_with(TOOLCHAIN.as_bytes()))
        .for_each(|arg| add(&mut hasher, arg.as_bytes()));
    let id = &hasher.finalize().to_hex()[..24];
    let folder = kernel.join(LIBRARIES).join(id);
    let last = Current::read(kernel).filter(|current| current.set == folder);
    let library = match last {
        Some(current) => current.library,
        None => {
            std::fs::create_dir_all(&folder)?;
            let library = dependencies::link(args, &folder, id, &local_dependencies());
            library.unwrap_or_else(|error| {
                dependencies::warn(kernel, &error);
                None
            })
        }
    };
    Current { set: folder, library: library.clone() }.write(kernel)?;
    Ok(library)
}

/// cargo or rustc, with the user's PATH, and with mold if there is one.
pub(crate) fn command(mut call: impl Iterator<Item = OsString>) -> Command {
    let mold = find_program("mold");
    let program = call.next().unwrap_or_default();
    let is_cargo = Path::new(&program).file_stem().is_some_and(|name| name == "cargo" || name == "rustc");
    let mut command = match mold.filter(|_| is_cargo) {
        Some(mold) => {
            let mut command = Command::new(mold);
            command.arg("-run").arg(program);
            command
        }
        None => Command::new(program),
    };
    command.args(call).env("PATH", users_path());
    command
}

/// What cargo's call of rustc depends on, as far as it may change while a kernel runs.
fn state(call: &[OsString]) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new();
    let mut add = |part: &[u8]| add(&mut hasher, part);
    for file in ["Cargo.toml", ".cargo/config.toml", "Cargo.lock"] {
        add(&std::fs::read(file).unwrap_or_default());
    }
    call.iter().filter(|arg| !is_verb(arg)).for_each(|arg| add(arg.as_bytes()));
    let mut environment: Vec<_> = std::env::vars_os().filter(|(name, _)| name != OBJECT_PATH).collect();
    environment.sort();
    for (name, value) in environment {
        add(name.as_bytes());
        add(value.as_bytes());
    }
    hasher.finalize().to_hex().as_bytes().to_vec()
}

/// Notes a call of cargo's.
fn note(args: &[OsString]) -> io::Result<()> {
    let of_cargo = |name: &OsStr| {
        let name = name.as_bytes();
        name.starts_with(b"CARGO") || name == b"LD_LIBRARY_PATH" || name == b"OUT_DIR"
    };
    let environment = std::env::vars_os().filter(|(name, _)| of_cargo(name));
    let note = Note {
        environment: environment.map(|(name, value)| (name.into_vec(), value.into_vec())).collect(),
        command: args.iter().map(|arg| arg.as_bytes().to_vec()).collect(),
    };
    std::fs::write(NOTE, postcard::to_allocvec(&note).map_err(io::Error::other)?)
}

fn local_dependencies() -> Vec<String> {
    dependencies::local(&std::fs::read_to_string("Cargo.toml").unwrap_or_default())
}

/// Whether a variable of cargo's environment is set for these tools, and not by the user.
pub(crate) fn is_own(name: &str) -> bool {
    name.starts_with("CHORUS_") || matches!(name, "RUSTC_WRAPPER" | "CARGO_TERM_QUIET")
}

/// Makes the source cheaper, in place: evcxr writes it anew for each cell, and rustc's messages name the file. Returns
/// the arguments for this source, which takes its dependencies from the library.
fn prepare(mut args: Vec<OsString>, library: Option<&Library>) -> io::Result<Vec<OsString>> {
    let Some(path) = source(&args).map(Path::to_owned) else { return Ok(args) };
    let source = std::fs::read_to_string(&path)?;
    let cheaper = crate::tools::rewrite::rewrite(&source);
    let runtime = library.filter(|library| library.has_runtime);
    let with_runtime =
        runtime.and_then(|library| crate::tools::runtime::with(cheaper.as_ref().unwrap_or(&source), &library.name));
    let cheaper = with_runtime.or(cheaper);
    let released = release_calls(cheaper.as_ref().unwrap_or(&source));
    let rewritten = released.or(cheaper);
    let rewritten = match library {
        Some(library) => {
            let mut value = OsString::from(format!("{}=", library.name));
            value.push(&library.path);
            args.extend(["--extern".into(), value]);
            // Behind everything, so that no place moves.
            let text = rewritten.as_ref().unwrap_or(&source).trim_end();
            Some(format!("{text}\nextern crate {} as _;\n", library.name))
        }
        None => rewritten,
    };
    let versions = || std::fs::read_to_string("Cargo.lock").unwrap_or_default();
    let toolchain = args.iter().find(|arg| arg.as_bytes().starts_with(TOOLCHAIN.as_bytes()));
    let toolchain = toolchain.map_or(&[][..], |arg| arg.as_bytes());
    let again = crate::notebook::statics::beginnings::told();
    let shared = crate::notebook::statics::share(rewritten.as_ref().unwrap_or(&source), versions, toolchain, &again);
    let rewritten = shared.or(rewritten);
    let (of_crate, moved) = crate::notebook::identity::told(rewritten.as_ref().unwrap_or(&source));
    let rewritten = moved.or(rewritten);
    let written = rewritten.as_ref().unwrap_or(&source);
    let with_places =
        crate::tools::debug::told(written).map(|places| crate::notebook::statics::with_behind(written, &places));
    let rewritten = with_places.or(rewritten);
    let rewritten = crate::notebook::engine_vars::told(rewritten.as_ref().unwrap_or(&source)).or(rewritten);
    let has_nothing_to_run = crate::tools::rewrite::has_nothing_to_run(&source);
    if has_nothing_to_run || crate::tools::effort::is_plain(rewritten.as_ref().unwrap_or(&source)) {
        do_not_optimise(&mut args);
    }
    if let Some(rewritten) = rewritten {
        std::fs::write(path, rewritten)?;
    }
    if !of_crate.is_empty() {
        args.iter_mut().filter(|arg| *arg == IDENTITY).for_each(|arg| arg.push(format!("-{of_crate}")));
    }
    if let Some([emit, cheap]) = crate::tools::probe::emit(&source) {
        args.iter_mut().filter(|arg| arg.as_bytes().starts_with(b"--emit=")).for_each(|arg| *arg = emit.clone().into());
        args.push(cheap.into());
    }
    if has_nothing_to_run && let Some(object) = object(&args) {
        // evcxr and cargo want a file. It must be a new one: the last object may be the same, and in use.
        let _ = std::fs::remove_file(&object);
        std::fs::write(object, [])?;
        for arg in &mut args {
            if arg.to_str().is_some_and(|text| text.starts_with("--emit=")) {
                *arg = "--emit=dep-info,obj".into();
            }
        }
    }
    Ok(args)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn where_nothing_runs_nothing_is_linked() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("src/lib.rs");
        std::fs::create_dir(folder.path().join("src")).unwrap();
        let call = |source: &Path| {
            let line = "rustc --crate-name ctx --emit=dep-info,link --out-dir";
            args(line).into_iter().chain([folder.path().into(), source.into()]).collect::<Vec<_>>()
        };
        std::fs::write(&source, "fn f() {}\npub extern \"C\" fn run_user_code_1(\nmut x: u8) {}\n").unwrap();
        assert_eq!(prepare(call(&source), None).unwrap(), call(&source));
        let nothing = "mut x: *mut std::os::raw::c_void) -> *mut std::os::raw::c_void {x}\n";
        std::fs::write(
            &source,
            format!("fn f() {{}}\n#[unsafe(no_mangle)]\npub extern \"C\" fn run_user_code_1(\n{nothing}"),
        )
        .unwrap();
        assert_eq!(prepare(call(&source), None).unwrap()[3], "--emit=dep-info,obj");
        assert!(folder.path().join("libctx.so").exists());
        std::fs::write(&source, "fn f() {}\n").unwrap();
        let library = Library { name: "deps".into(), path: "/l/libdeps.so".into(), has_runtime: false };
        let with_library = prepare(call(&source), Some(&library)).unwrap();
        assert_eq!(with_library.last(), Some(&"deps=/l/libdeps.so".into()));
        assert_eq!(std::fs::read_to_string(&source).unwrap(), "fn f() {}\nextern crate deps as _;\n");
    }

    #[test]
    fn a_call_is_noted_once_and_is_for_any_kernel() {
        let folder = tempfile::tempdir().unwrap();
        let call = "rustc --crate-name ctx --emit=dep-info,link --target x86 --out-dir /elsewhere";
        let note = Note {
            environment: vec![(b"CARGO".to_vec(), b"/c".to_vec())],
            command: call.split(' ').map(|arg| arg.as_bytes().to_vec()).collect(),
        };
        std::fs::write(folder.path().join(NOTE), postcard::to_allocvec(&note).unwrap()).unwrap();
        let taken = Note::take(folder.path()).unwrap();
        assert_eq!(taken, note);
        assert!(Note::take(folder.path()).is_err(), "it isn't of the next call");
        let built = for_kernel(taken.arguments(), folder.path(), false).unwrap();
        assert_eq!(object(&built), Some(folder.path().join("target/x86/debug/deps/libctx.so")));
        let checked = for_kernel(taken.arguments(), folder.path(), true).unwrap();
        assert!(checked.iter().any(|arg| arg == "--emit=dep-info,metadata"));
        assert!([built, checked].iter().all(|call| call.ends_with(&QUIET.map(OsString::from))));
        assert!(for_kernel(args("rustc --crate-name ctx"), folder.path(), false).is_err());
    }
}
