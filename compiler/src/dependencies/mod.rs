//! The dependencies of notebooks: built once a machine, and one copy of each for all cells.
//!
//! Linked into each object, a dependency's statics would be others in each cell: a logger that one cell sets would be
//! silent in the next, and every cell would start a thread pool of its own. So all dependencies of a notebook are linked
//! into one shared library, which is loaded before the objects, and cells take them from there.
//!
//! A *set* is what a notebook depends on, built: it has a folder of its own with a manifest, the versions, the library,
//! and how cargo called rustc for a cell. Sets share what cargo builds, since crates of a registry are the same files
//! in each. A dependency that is added makes another set, which keeps the versions of the one before. Its library has the
//! same crates once more, but they are still one: the dynamic linker takes the first definition of a symbol for all, and
//! a symbol's name has the crate's version and features in it.
//!
//! Not shared are px, which each object has a copy of, and crates from a path or from git, which change under the
//! same name: a notebook with one of these is built in its kernel's folder.

mod build;
mod link;
mod progress;
mod room;
mod set;
mod support;

pub(crate) use build::{Failed, ready};
pub(crate) use link::{become_linker, link};
pub use progress::Building;
pub use progress::Told;
pub(crate) use progress::listen;
pub use room::DependenciesInfo;
pub(crate) use room::{clear, info};
pub(crate) use set::{Current, Library, Set};
pub(crate) use support::TEXTS;

use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// The versions that a kernel's first dependencies are to have, in its folder, if its user has said so.
pub(crate) const VERSIONS: &str = ".chorus-versions";
/// For the tools: where sets are.
pub(crate) const ROOT: &str = "CHORUS_DEPENDENCIES";
/// Where the sets are, below the root.
const SETS: &str = "sets";
/// What cargo builds, below the root, or below a set that was built while another one was.
const TARGET: &str = "target";

/// The folder for all sets, which is made if need be: `shared` if nobody else can put code there, or else one of this
/// kernel.
pub(crate) fn root(shared: Option<&Path>, kernel: &Path) -> io::Result<PathBuf> {
    // By whatever name it is known, it is one place to cargo.
    let ours = |folder: &Path| -> io::Result<Option<PathBuf>> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let folder = folder.canonicalize()?;
        Ok(chorus_system::user::owns_alone(&std::fs::metadata(&folder)?).then_some(folder))
    };
    if let Some(folder) = shared {
        let why = match ours(folder) {
            Ok(Some(folder)) => return Ok(folder),
            Ok(None) => "others can write to it".to_owned(),
            Err(error) => error.to_string(),
        };
        tracing::warn!("dependencies aren't built in {}: {why}", folder.display());
    }
    let own = kernel.join("dependencies");
    std::fs::create_dir_all(&own)?;
    Ok(own)
}

/// Tells the kernel of this folder, and its user, that its cells don't share their dependencies.
pub(crate) fn warn(kernel: &Path, error: &io::Error) {
    let teller = progress::Teller::new(kernel, true);
    teller.tell(&Building::Warns(build::not_shared(error)));
}

/// The names of a manifest's dependencies whose source may change under the same version, but for px.
pub(crate) fn local(manifest: &str) -> Vec<String> {
    let has = |config: &str, key: &str| {
        let compact: String = config.split_whitespace().collect();
        [format!("{{{key}="), format!(",{key}=")].iter().any(|entry| compact.contains(entry.as_str()))
    };
    let may_change = |config: &str| ["path", "git"].into_iter().any(|key| has(config, key));
    let named = dependencies(manifest).filter(|(name, config)| *name != "px" && may_change(config));
    named.map(|(name, _)| name.replace('-', "_")).collect()
}

/// What a text knows a manifest's dependencies by, but for px.
pub(crate) fn names(manifest: &str) -> Vec<String> {
    dependencies(manifest).filter(|(name, _)| *name != "px").map(|(name, _)| name.replace('-', "_")).collect()
}

/// Whether the manifest has any dependency of the user's, which px isn't.
fn has_any(manifest: &str) -> bool {
    dependencies(manifest).any(|(name, _)| name != "px")
}

/// The names and the values of a manifest's dependencies, which are its last section. evcxr writes one a line.
fn dependencies(manifest: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = manifest.lines().skip_while(|line| line.trim() != "[dependencies]").skip(1);
    lines.filter_map(|line| line.split_once('=').map(|(name, config)| (name.trim(), config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_change_under_the_same_version_is_known() {
        let manifest = "[lib]\npath = \"src/lib.rs\"\n[dependencies]\npx = { path = \"/p\" }\na-b = { path = \"/a\" }\n\
                        c = {git=\"u\"}\nd = { features = [\"path\"], version = \"1\" }\ne = \"1\"\nf={version=\"1\", path=\"g\"}";
        assert_eq!(local(manifest), ["a_b", "c", "f"]);
        assert!(local("[package]\nname = \"ctx\"").is_empty());
        assert_eq!(names(manifest), ["a_b", "c", "d", "e", "f"]);
    }

    #[test]
    fn a_folder_that_others_can_write_to_is_not_used() {
        use std::os::unix::fs::PermissionsExt as _;
        let [shared, kernel] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let folder = shared.path().join("dependencies");
        assert_eq!(root(Some(&folder), kernel.path()).unwrap(), folder.canonicalize().unwrap());
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
        let own = kernel.path().join("dependencies");
        assert_eq!(root(Some(&folder), kernel.path()).unwrap(), own);
        assert_eq!(root(None, kernel.path()).unwrap(), own);
        assert!(own.is_dir());
    }
}
