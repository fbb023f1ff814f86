//! What code is analyzed with: the standard library and the notebook's dependencies, read from their sources.
//!
//! They are those of a package of the analyzer's own. evcxr's package, which cells are built in, is rewritten now and
//! then, and may lack dependencies that were built for an earlier notebook; its `Cargo.lock` is used if there is one.

use crate::message::Request;
use ra_ap_ide::{FileId, SourceRoot};
use ra_ap_ide_db::{ChangeWithProcMacros, FxHashMap};
use ra_ap_paths::AbsPathBuf;
use ra_ap_project_model::{CargoConfig, ProjectManifest, ProjectWorkspace, RustLibSource};
use ra_ap_vfs::file_set::FileSetConfig;
use ra_ap_vfs::{Change, Vfs, VfsPath};
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Folders of packages whose files are no part of their library. The standard library has tests for the most part.
const NO_LIBRARY: [&str; 7] = ["tests", "benches", "examples", "target", ".git", "coretests", "alloctests"];

/// Why the dependencies can't be loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error("the analyzer's folder {0} can't be used: {1}")]
    Folder(PathBuf, io::Error),
    #[error("the path {0} isn't UTF-8, or not absolute")]
    Path(PathBuf),
    #[error("rust-analyzer can't load the package in {0}: {1}")]
    Package(PathBuf, String),
}

/// What decides which sources there are.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Wanted {
    dependencies: Table,
    lock: Option<String>,
    toolchain: Option<String>,
}

impl Wanted {
    /// What a request wants of the notebook whose builds are in this folder.
    pub fn new(request: &Request, builds: &Path) -> Wanted {
        let mut dependencies: Table = request.dependencies.iter().filter_map(|line| dependency(line)).collect();
        // px alone needs no lock, and isn't worth to be loaded again when one appears.
        let lock = match dependencies.is_empty() {
            true => None,
            false => std::fs::read_to_string(builds.join("Cargo.lock")).ok(),
        };
        let px = builds.join("px");
        if px.is_dir() {
            let mut config = at_path(&px);
            if dependencies.iter().any(|(name, config)| is_serde(name, config)) {
                config.insert("features".into(), vec!["serde"].into());
            }
            dependencies.insert("px".into(), config.into());
        }
        Wanted { dependencies, lock, toolchain: request.toolchain.clone() }
    }

    fn manifest(&self) -> String {
        let mut package = Table::new();
        package.insert("name".into(), "notebook".into());
        package.insert("edition".into(), "2024".into());
        let mut manifest = Table::new();
        manifest.insert("package".into(), package.into());
        manifest.insert("workspace".into(), Table::new().into());
        manifest.insert("dependencies".into(), self.dependencies.clone().into());
        manifest.to_string()
    }
}

/// The name and the configuration of a dependency: of a line of `Cargo.toml`, or of the path of a local crate. Relative
/// paths begin where the notebook is. `None` for what makes no sense, which is said where it is written.
fn dependency(line: &str) -> Option<(String, Value)> {
    if line.starts_with(['.', '/']) {
        let folder = std::path::absolute(line).ok()?;
        let manifest: Table = std::fs::read_to_string(folder.join("Cargo.toml")).ok()?.parse().ok()?;
        let name = manifest.get("package")?.get("name")?.as_str()?.to_owned();
        return Some((name, at_path(&folder).into()));
    }
    let (name, mut config) = line.parse::<Table>().ok()?.into_iter().next()?;
    if let Some(path) = config.get_mut("path") {
        let folder = std::path::absolute(path.as_str()?).ok()?;
        *path = folder.to_str()?.into();
    }
    Some((name, config))
}

fn at_path(folder: &Path) -> Table {
    Table::from_iter([("path".to_owned(), Value::from(folder.display().to_string()))])
}

/// With serde, px is another one: see the compiler.
fn is_serde(name: &str, config: &Value) -> bool {
    config.get("package").and_then(Value::as_str).unwrap_or(name) == "serde"
}

/// The files known to rust-analyzer, and which of them is the cell's.
pub(crate) struct Workspace {
    folder: PathBuf,
    files: Vfs,
    /// Folders that were read already: their packages don't change.
    read: HashSet<AbsPathBuf>,
    loaded: Option<Wanted>,
}

impl Workspace {
    /// `folder` is for the analyzer alone.
    pub fn new(folder: PathBuf) -> Workspace {
        Workspace { folder, files: Vfs::default(), read: HashSet::new(), loaded: None }
    }

    /// Loads what is wanted and isn't loaded yet into `change`, and returns the file that is to have the cell's code.
    pub fn load(&mut self, wanted: &Wanted, change: &mut ChangeWithProcMacros) -> Result<FileId, LoadError> {
        let unusable = |error| LoadError::Folder(self.folder.clone(), error);
        let source = self.folder.join("src/lib.rs");
        if self.loaded.as_ref() != Some(wanted) {
            std::fs::create_dir_all(self.folder.join("src")).map_err(unusable)?;
            std::fs::write(&source, "").map_err(unusable)?;
            std::fs::write(self.folder.join("Cargo.toml"), wanted.manifest()).map_err(unusable)?;
            // evcxr's lock names its own package, which cargo replaces by this one.
            match &wanted.lock {
                Some(lock) => std::fs::write(self.folder.join("Cargo.lock"), lock),
                None => Ok(()),
            }
            .map_err(unusable)?;
            self.load_package(wanted, change)?;
            self.loaded = Some(wanted.clone());
        }
        let path = VfsPath::from(absolute(&source)?);
        let file = self.files.file_id(&path).map(|(file, _)| file);
        file.ok_or_else(|| LoadError::Package(self.folder.clone(), "it has no src/lib.rs".into()))
    }

    fn load_package(&mut self, wanted: &Wanted, change: &mut ChangeWithProcMacros) -> Result<(), LoadError> {
        let failed = |error: &dyn std::fmt::Display| LoadError::Package(self.folder.clone(), format!("{error:#}"));
        let manifest = ProjectManifest::from_manifest_file(absolute(&self.folder.join("Cargo.toml"))?)
            .map_err(|error| failed(&error))?;
        // What isn't there already is fetched when evcxr builds it.
        let offline = ("CARGO_NET_OFFLINE".to_owned(), Some("true".to_owned()));
        let toolchain = wanted.toolchain.iter().map(|name| ("RUSTUP_TOOLCHAIN".to_owned(), Some(name.clone())));
        let config = CargoConfig {
            sysroot: Some(RustLibSource::Discover),
            extra_env: toolchain.chain([offline]).collect(),
            ..CargoConfig::default()
        };
        let workspace = ProjectWorkspace::load(manifest, &config, &|_| {}).map_err(|error| failed(&error))?;
        let mut sets = FileSetConfig::builder();
        let mut local = Vec::new();
        for root in workspace.to_roots() {
            for folder in &root.include {
                if self.read.insert(folder.clone()) {
                    self.read_folder(folder, &root.exclude);
                }
            }
            sets.add_file_set(root.include.into_iter().map(VfsPath::from).collect());
            local.push(root.is_local);
        }
        for (file, changed) in self.files.take_changes() {
            let (Change::Create(text, _) | Change::Modify(text, _)) = changed.change else { continue };
            change.change_file(file, String::from_utf8(text).ok());
        }
        // rust-analyzer asks again and again whether a local file has changed, and hardly ever whether a library has.
        let roots = sets.build().partition(&self.files).into_iter().enumerate().map(|(at, files)| {
            match local.get(at).copied().unwrap_or(false) {
                true => SourceRoot::new_local(files),
                false => SourceRoot::new_library(files),
            }
        });
        change.set_roots(roots.collect());
        let files = &self.files;
        let mut find =
            |path: &ra_ap_paths::AbsPath| files.file_id(&VfsPath::from(path.to_path_buf())).map(|(file, _)| file);
        let (crates, _proc_macros) = workspace.to_crate_graph(&mut find, &FxHashMap::default());
        change.set_crate_graph(crates);
        Ok(())
    }

    /// Reads the Rust files below a folder; what can't be read isn't there.
    fn read_folder(&mut self, folder: &AbsPathBuf, exclude: &[AbsPathBuf]) {
        let mut folders = vec![folder.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let (Ok(kind), Some(name)) = (entry.file_type(), entry.file_name().to_str().map(ToOwned::to_owned))
                else {
                    continue;
                };
                let path = folder.join(&name);
                if kind.is_dir() && !NO_LIBRARY.contains(&name.as_str()) && !exclude.contains(&path) {
                    folders.push(path);
                } else if kind.is_file() && name.ends_with(".rs") {
                    self.files.set_file_contents(VfsPath::from(path.clone()), std::fs::read(&path).ok());
                }
            }
        }
    }
}

fn absolute(path: &Path) -> Result<AbsPathBuf, LoadError> {
    let text = path.to_str().ok_or_else(|| LoadError::Path(path.to_owned()))?;
    AbsPathBuf::try_from(text).map_err(|_| LoadError::Path(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_written_as_cargo_wants_them() {
        let here = std::env::current_dir().expect("a current folder").display().to_string();
        assert_eq!(dependency("rand = \"0.9\""), Some(("rand".into(), "0.9".into())));
        let (name, config) = dependency("near = { path = \"near\", features = [\"a\"] }").expect("a dependency");
        assert_eq!((name.as_str(), config["path"].as_str()), ("near", Some(format!("{here}/near").as_str())));
        assert_eq!(dependency(env!("CARGO_MANIFEST_DIR")).map(|(name, _)| name), Some("chorus-analyzer".into()));
        assert_eq!(dependency("nonsense"), None);
        assert_eq!(dependency("/nonexistent"), None);
        let named = |line| dependency(line).is_some_and(|(name, config)| is_serde(&name, &config));
        assert!(named("serde = \"1\"") && named("s = { package = \"serde\" }") && !named("serde_json = \"1\""));
    }
}
