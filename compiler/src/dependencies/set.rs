//! A set's record, and what a kernel keeps of the sets that it uses.

use super::support;
use crate::cell::reuse::{BUILD_VARIABLES, add, configuration_files};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The record, in a set's folder. It is written when all else is there.
pub(super) const RECORD: &str = "set";
/// The sets that a kernel has used, in its folder.
const USED: &str = ".chorus-sets";
/// What its last cell was compiled with, in its folder.
const CURRENT: &str = ".chorus-set";
/// Variables of the environment that build scripts of C libraries heed; these endings, and the names below.
const OF_C: [&str; 2] = ["CFLAGS", "LDFLAGS"];
const TOOLS: [&str; 6] = ["RUSTFLAGS", "CC", "CXX", "AR", "CXXFLAGS", "PKG_CONFIG_PATH"];

/// A set, built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Set {
    /// A hash of the manifest, the compiler and what else it was built for.
    pub made_for: [u8; 32],
    /// How cargo called rustc for a cell: the environment, and rustc's path with its arguments.
    pub environment: Vec<(Vec<u8>, Vec<u8>)>,
    pub command: Vec<Vec<u8>>,
    /// Where cells take their dependencies from, if there are any.
    pub library: Option<Library>,
    /// What cargo built for it.
    pub files: Vec<PathBuf>,
}

/// The shared library of a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Library {
    /// Its crate's name.
    pub name: String,
    pub path: PathBuf,
    /// Whether it has tokio's runtime.
    pub has_runtime: bool,
}

/// What a kernel compiles with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Current {
    /// The set's folder.
    pub set: PathBuf,
    pub library: Option<Library>,
}

impl Set {
    /// The record in this folder.
    pub fn of(folder: &Path) -> Option<Set> {
        read(&folder.join(RECORD))
    }

    /// The record in this folder, if all that belongs to the set is there. It counts as used now.
    pub fn read(folder: &Path) -> Option<Set> {
        let record = folder.join(RECORD);
        let set = Set::of(folder)?;
        let is_there = set.library.iter().map(|library| &library.path).chain(&set.files).all(|path| path.exists());
        if is_there && let Ok(file) = fs::File::open(record) {
            // What is used stays longest.
            let _ = file.set_modified(SystemTime::now());
        }
        is_there.then_some(set)
    }

    pub fn write(&self, folder: &Path) -> io::Result<()> {
        write(&folder.join(RECORD), self)
    }

    /// The crates of this set that aren't the same in the other one: cargo unites what is asked of a crate, so one more
    /// dependency may change others, and then their types are others.
    pub fn lacking_in(&self, other: &Set) -> BTreeSet<String> {
        let names = |set: &Set| -> BTreeSet<String> {
            let names = set.files.iter().filter(|path| path.extension().is_some_and(|suffix| suffix == "rlib"));
            names.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect()
        };
        let others = names(other);
        let of = |file: &str| Some(file.strip_prefix("lib")?.rsplit_once('-')?.0.to_owned());
        // px is each object's own, and its types are always the same.
        names(self).difference(&others).filter_map(|file| of(file)).filter(|name| name != "px").collect()
    }

    pub fn in_folder(&self, folder: &Path) -> Current {
        Current { set: folder.to_owned(), library: self.library.clone() }
    }
}

impl Current {
    /// Of the kernel of this folder, as its last build left it.
    pub fn read(kernel: &Path) -> Option<Current> {
        read(&kernel.join(CURRENT))
    }

    /// For the kernel to read.
    pub fn write(&self, kernel: &Path) -> io::Result<()> {
        match Current::read(kernel).as_ref() == Some(self) {
            true => Ok(()),
            false => write(&kernel.join(CURRENT), self),
        }
    }

    /// Notes that the kernel of this folder uses it. Only sets with a library say which versions others are to have.
    pub fn note(&self, kernel: &Path) -> io::Result<()> {
        let mut used = used(kernel);
        if self.library.is_none() || used.contains(&self.set) {
            return Ok(());
        }
        used.push(self.set.clone());
        write(&kernel.join(USED), &used)
    }

    /// Makes it that of the kernel of this folder, which hasn't built it itself. Returns whether it is still there.
    pub fn adopt(&self, kernel: &Path) -> bool {
        let copied = || -> io::Result<()> {
            self.note(kernel)?;
            fs::copy(self.set.join("Cargo.lock"), kernel.join("Cargo.lock"))?;
            Ok(())
        };
        Set::read(&self.set).is_some() && copied().is_ok()
    }

    /// Tells it from others: the same for all kernels.
    pub fn id(&self) -> Option<&[u8]> {
        self.library.as_ref().map(|library| library.name.as_bytes())
    }
}

/// The folders of the sets that the kernel of this folder has used, the newest last.
pub(super) fn used(kernel: &Path) -> Vec<PathBuf> {
    read(&kernel.join(USED)).unwrap_or_default()
}

/// What a set for this manifest is made for; `rustc` is what the compiler says of itself, `args` are cargo's.
pub(super) fn made_for(manifest: &str, rustc: &[u8], args: &[OsString]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    add(&mut hasher, env!("CARGO_PKG_VERSION").as_bytes());
    support::TEXTS.iter().for_each(|text| add(&mut hasher, text.as_bytes()));
    // evcxr writes dependencies in any order, and empty lines here and there.
    let mut lines: Vec<&str> = manifest.lines().filter(|line| !line.trim().is_empty()).collect();
    lines.sort_unstable();
    lines.iter().for_each(|line| add(&mut hasher, line.as_bytes()));
    add(&mut hasher, rustc);
    args.iter().for_each(|arg| add(&mut hasher, arg.as_bytes()));
    let counts = |name: &str| {
        BUILD_VARIABLES.iter().any(|start| name.starts_with(start) && !name.ends_with("_DIR"))
            || OF_C.iter().any(|end| name.ends_with(end))
            || TOOLS.contains(&name)
            || name.starts_with(crate::process::context::USERS_VARIABLE)
    };
    let mut variables: Vec<_> = std::env::vars_os().filter(|(name, _)| counts(&name.to_string_lossy())).collect();
    variables.sort();
    for (name, value) in variables {
        add(&mut hasher, name.as_bytes());
        add(&mut hasher, value.as_bytes());
    }
    for file in configuration_files() {
        add(&mut hasher, &fs::read(file).unwrap_or_default());
    }
    *hasher.finalize().as_bytes()
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    postcard::from_bytes(&fs::read(path).ok()?).ok()
}

/// Whole or not at all.
fn write(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::NotFound)?;
    let file = tempfile::NamedTempFile::new_in(folder)?;
    fs::write(file.path(), postcard::to_allocvec(value).map_err(io::Error::other)?)?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(folder: &Path) -> Set {
        let library = Library { name: "chorus_deps_1".into(), path: folder.join("lib.so"), has_runtime: false };
        Set { made_for: [1; 32], environment: vec![], command: vec![], library: Some(library), files: vec![] }
    }

    #[test]
    fn a_set_without_its_library_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let set = set(folder.path());
        set.write(folder.path()).unwrap();
        assert_eq!(Set::read(folder.path()), None);
        fs::write(folder.path().join("lib.so"), "").unwrap();
        assert_eq!(Set::read(folder.path()), Some(set));
        fs::write(folder.path().join(RECORD), "garbage").unwrap();
        assert_eq!(Set::read(folder.path()), None);
    }

    #[test]
    fn crates_that_are_others_are_known() {
        let of = |names: &[&str]| Set { files: names.iter().map(PathBuf::from).collect(), ..set(Path::new("/s")) };
        let before =
            of(&["/t/libpx-1.rlib", "/t/liba_b-1.rlib", "/t/libc-1.rlib", "/t/libc-1.rmeta", "/t/build/c-1/out"]);
        let after = of(&["/t/libpx-2.rlib", "/t/liba_b-2.rlib", "/t/libc-1.rlib", "/t/libd-1.rlib"]);
        assert_eq!(before.lacking_in(&after).into_iter().collect::<Vec<_>>(), ["a_b"]);
        assert!(before.lacking_in(&before).is_empty());
    }

    #[test]
    fn a_kernel_remembers_its_sets_in_order() {
        let [one, two, kernel] = [(); 3].map(|()| tempfile::tempdir().unwrap());
        for folder in [&one, &two, &one] {
            let current = set(folder.path()).in_folder(folder.path());
            current.write(kernel.path()).unwrap();
            current.note(kernel.path()).unwrap();
            assert_eq!(Current::read(kernel.path()), Some(current));
        }
        assert_eq!(used(kernel.path()), [one.path(), two.path()]);
        let without = Current { set: "/none".into(), library: None };
        without.note(kernel.path()).unwrap();
        assert_eq!(used(kernel.path()).len(), 2);
        assert!(!without.adopt(kernel.path()));
    }

    #[test]
    fn manifest_compiler_and_arguments_matter() {
        let of = |manifest: &str, rustc: &str, arg: &str| made_for(manifest, rustc.as_bytes(), &[arg.into()]);
        assert_eq!(of("m\nl", "r", "a"), of("\nl\nm\n\n", "r", "a"));
        for other in [of("n", "r", "a"), of("m", "s", "a"), of("m", "r", "b")] {
            assert_ne!(of("m", "r", "a"), other);
        }
    }
}
