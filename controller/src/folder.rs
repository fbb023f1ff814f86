//! The cluster's folder: sockets, blobs, logs and the connection file, private to the user and gone when it stops.

use crate::ControllerError;
use crate::back::is_awaited;
use crate::own::{FolderError, OwnFolder, is_in_use, of_kind};
use chorus_protocol::{BlobId, Connection, EngineId, GROUP_PREFIX, VALUE_PREFIX};
use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// In the runtime folder, clusters have theirs here, apart from those of kernels.
const CLUSTERS: &str = "clusters";
const CONNECTION: &str = "connection.json";
/// The longest path of a socket, without the byte that ends it.
const SOCKET_PATH: usize = 107;

/// A cluster that has, or had, a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterEntry {
    /// Its name.
    pub name: String,
    /// Its controller's process.
    pub pid: u32,
    /// Where its connection file is.
    pub connection_file: PathBuf,
    /// Whether the controller lives.
    pub alive: bool,
    /// Whether it was killed, and its engines wait for another one.
    pub awaited: bool,
}

/// The clusters of a runtime folder, by name.
pub fn list_clusters(runtime: &Path) -> Vec<ClusterEntry> {
    let mut clusters: Vec<ClusterEntry> = of_kind(runtime, CLUSTERS)
        .filter_map(|(name, path)| {
            let connection_file = path.join(CONNECTION);
            // Not `Connection::read`, which refuses what another version wrote.
            let connection: Connection = serde_json::from_slice(&std::fs::read(&connection_file).ok()?).ok()?;
            let alive = is_in_use(&path);
            let awaited = !alive && is_awaited(&path, &connection_file);
            Some(ClusterEntry { name, pid: connection.pid, connection_file, alive, awaited })
        })
        .collect();
    clusters.sort_by(|a, b| a.name.cmp(&b.name));
    clusters
}

/// The folder of this controller. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct Folder(OwnFolder);

impl Folder {
    /// Makes the folder, and removes those that dead controllers left behind. One whose engines still wait for another
    /// controller is left as it is; returns whether this is such a one.
    pub fn create(runtime: &Path, name: &str) -> Result<(Folder, bool), ControllerError> {
        let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.len() > 64 || name.starts_with('.') || !name.chars().all(fine) {
            return Err(ControllerError::Name(name.to_owned()));
        }
        let is_needed = |path: &Path| is_awaited(path, &path.join(CONNECTION));
        let made = OwnFolder::create_or_find(runtime, CLUSTERS, name, is_needed);
        let (folder, is_found) = made.map_err(|error| match error {
            FolderError::InUse(_) => ControllerError::InUse(name.to_owned()),
            other => other.into(),
        })?;
        let folder = Folder(folder);
        if !is_found {
            folder.furnish()?;
        }
        Ok((folder, is_found))
    }

    /// Lets go of what was found, for whoever comes next.
    pub fn leave(self) {
        self.0.leave();
    }

    /// Removes what was found in it, and begins anew.
    pub fn clear(&self) -> Result<(), FolderError> {
        self.0.empty()?;
        self.furnish()
    }

    fn furnish(&self) -> Result<(), FolderError> {
        let failed = |source| FolderError::Io { path: self.blobs(), source };
        DirBuilder::new().mode(0o700).create(self.blobs()).map_err(failed)
    }

    pub fn connection_file(&self) -> PathBuf {
        self.path(CONNECTION)
    }

    pub fn blobs(&self) -> PathBuf {
        self.path("blobs")
    }

    pub fn blob(&self, id: BlobId) -> PathBuf {
        self.blobs().join(id.file_name())
    }

    pub fn engine_log(&self, engine: EngineId) -> PathBuf {
        self.path(&format!("engine-{engine}.log"))
    }

    pub fn root(&self) -> &Path {
        self.0.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// The endpoint of a socket in the folder.
    pub fn endpoint(&self, name: &str) -> Result<String, ControllerError> {
        let path = self.path(name);
        match path.to_str() {
            Some(text) if text.len() <= SOCKET_PATH => Ok(format!("ipc://{text}")),
            _ => Err(ControllerError::SocketPath { length: path.as_os_str().len(), path }),
        }
    }

    /// Keeps a blob. Whoever sees its file sees all of it.
    pub fn store(&self, id: BlobId, bytes: &[u8]) -> io::Result<()> {
        let path = self.blob(id);
        if path.exists() {
            return Ok(());
        }
        let draft = path.with_extension("tmp");
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        let written = file.write_all(bytes).and_then(|()| std::fs::rename(&draft, &path));
        if written.is_err() {
            _ = std::fs::remove_file(&draft);
        }
        written
    }

    /// Removes a blob. Whoever has it open keeps it.
    pub fn remove_blob(&self, id: BlobId) {
        _ = std::fs::remove_file(self.blob(id));
    }

    /// Removes an engine's file with a large result.
    pub fn remove_value(&self, name: &str) {
        // Engines name these files, and only such names are theirs.
        if name.starts_with(VALUE_PREFIX) && !name.contains('/') {
            _ = std::fs::remove_file(self.blobs().join(name));
        }
    }

    /// Removes the folder that members of a group have made. Members that have its memory open keep it.
    pub fn remove_group(&self, name: &str) {
        if name.starts_with(GROUP_PREFIX) && !name.contains('/') {
            _ = std::fs::remove_dir_all(self.blobs().join(name));
        }
    }

    /// Removes the folder with all that is in it.
    pub fn remove(&self) {
        self.0.remove();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chorus_protocol::Key;

    fn connection(name: &str) -> Connection {
        Connection {
            version: chorus_protocol::VERSION,
            name: name.into(),
            pid: 42,
            engines: "ipc:///e".into(),
            clients: "ipc:///c".into(),
            blobs: "/b".into(),
            stay: 0,
            key: Key::random(),
        }
    }

    #[test]
    fn blobs_come_once_and_go() {
        let runtime = tempfile::tempdir().unwrap();
        let folder = Folder::create(runtime.path(), "a").unwrap().0;
        let id = BlobId::of(b"x");
        folder.store(id, b"x").unwrap();
        folder.store(id, b"x").unwrap();
        assert_eq!(std::fs::read(folder.blob(id)).unwrap(), b"x");
        assert_eq!(std::fs::read_dir(folder.blobs()).unwrap().count(), 1);
        folder.remove_blob(id);
        assert_eq!(std::fs::read_dir(folder.blobs()).unwrap().count(), 0);
    }

    #[test]
    fn clusters_are_listed_while_they_live() {
        let runtime = tempfile::tempdir().unwrap();
        assert!(list_clusters(runtime.path()).is_empty());
        let folder = Folder::create(runtime.path(), "mine").unwrap().0;
        assert!(matches!(Folder::create(runtime.path(), "mine"), Err(ControllerError::InUse(_))));
        connection("mine").write(&folder.connection_file()).unwrap();
        let connection_file = folder.connection_file();
        let entry = ClusterEntry { name: "mine".into(), pid: 42, connection_file, alive: true, awaited: false };
        assert_eq!(list_clusters(runtime.path()), [entry]);
        drop(folder);
        assert!(list_clusters(runtime.path()).is_empty());
    }

    #[test]
    fn what_engines_wait_in_is_left_to_who_takes_its_controllers_place() {
        let runtime = tempfile::tempdir().unwrap();
        let die = |name: &str, stay| {
            let folder = Folder::create(runtime.path(), name).unwrap().0;
            Connection { stay, ..connection(name) }.write(&folder.connection_file()).unwrap();
            std::fs::write(folder.path("journal"), "").unwrap();
            folder.leave();
        };
        die("waits", 60);
        die("ended", 0);
        let old = std::time::SystemTime::now() - std::time::Duration::from_secs(61);
        die("long-ago", 60);
        let journal = runtime.path().join("clusters/long-ago/journal");
        File::options().write(true).open(journal).unwrap().set_modified(old).unwrap();
        let other = Folder::create(runtime.path(), "other").unwrap();
        assert!(!other.1);
        let mut names: Vec<String> = of_kind(runtime.path(), CLUSTERS).map(|(name, _)| name).collect();
        names.sort();
        assert_eq!(names, ["other", "waits"]);
        let (folder, is_found) = Folder::create(runtime.path(), "waits").unwrap();
        assert!(is_found && folder.connection_file().exists() && folder.path("journal").exists());
        folder.clear().unwrap();
        assert!(!folder.connection_file().exists() && folder.blobs().exists());
    }

    #[test]
    fn a_cluster_of_any_name_leaves_the_folders_of_others_alone() {
        let runtime = tempfile::tempdir().unwrap();
        let kernel = OwnFolder::create(runtime.path(), "kernels", "42").unwrap();
        let file = kernel.path().join("object");
        std::fs::write(&file, "").unwrap();
        drop(Folder::create(runtime.path(), "kernels").unwrap());
        assert!(file.exists());
    }

    #[test]
    fn names_and_paths_that_cannot_be_are_said() {
        let runtime = tempfile::tempdir().unwrap();
        for name in ["", "..", "../x", "a/b", ".hidden", "a b", &"n".repeat(65)] {
            assert!(matches!(Folder::create(runtime.path(), name), Err(ControllerError::Name(_))), "{name}");
        }
        let deep = runtime.path().join("d".repeat(100));
        let folder = Folder::create(&deep, "a").unwrap().0;
        let error = folder.endpoint("engines").unwrap_err().to_string();
        assert!(error.contains("CHORUS_RUNTIME_DIR"), "{error}");
    }
}
