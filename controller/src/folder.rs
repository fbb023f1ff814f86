//! The cluster's folder: sockets, blobs, logs and the connection file, private to the user and gone when it stops.
//!
//! The controller holds a lock on a file in it for as long as it lives. So whether a cluster lives never depends on a
//! process id that somebody else may have by now, and what a killed controller left behind can be told and removed.

use crate::ControllerError;
use chorus_protocol::{BlobId, Connection, EngineId, VALUE_PREFIX};
use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

const LOCK: &str = "lock";
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
}

/// The clusters of a runtime folder, by name.
pub fn list_clusters(runtime: &Path) -> Vec<ClusterEntry> {
    let mut clusters: Vec<ClusterEntry> = subfolders(runtime)
        .filter_map(|(name, path)| {
            let connection_file = path.join(CONNECTION);
            // Not `Connection::read`, which refuses what another version wrote.
            let connection: Connection = serde_json::from_slice(&std::fs::read(&connection_file).ok()?).ok()?;
            Some(ClusterEntry { name, pid: connection.pid, connection_file, alive: is_locked(&path) })
        })
        .collect();
    clusters.sort_by(|a, b| a.name.cmp(&b.name));
    clusters
}

fn subfolders(runtime: &Path) -> impl Iterator<Item = (String, PathBuf)> {
    let entries = std::fs::read_dir(runtime).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
}

fn is_locked(folder: &Path) -> bool {
    File::open(folder.join(LOCK)).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// The folder of this controller. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes the folder, and removes those that dead controllers left behind.
    pub fn create(runtime: &Path, name: &str) -> Result<Folder, ControllerError> {
        let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.len() > 64 || name.starts_with('.') || !name.chars().all(fine) {
            return Err(ControllerError::Name(name.to_owned()));
        }
        make_private(runtime)?;
        let path = runtime.join(name);
        let failed = |source| ControllerError::Folder { path: path.clone(), source };
        let lock = lock(&path).map_err(failed)?.ok_or_else(|| ControllerError::InUse(name.to_owned()))?;
        empty(&path).map_err(failed)?;
        std::fs::DirBuilder::new().mode(0o700).create(path.join("blobs")).map_err(failed)?;
        for (_, other) in subfolders(runtime).filter(|(_, other)| *other != path) {
            remove_if_dead(&other);
        }
        Ok(Folder { path, _lock: lock })
    }

    pub fn connection_file(&self) -> PathBuf {
        self.path.join(CONNECTION)
    }

    pub fn blobs(&self) -> PathBuf {
        self.path.join("blobs")
    }

    pub fn engine_log(&self, engine: EngineId) -> PathBuf {
        self.path.join(format!("engine-{engine}.log"))
    }

    pub fn socket(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The endpoint of a socket in the folder.
    pub fn endpoint(&self, name: &str) -> Result<String, ControllerError> {
        let path = self.socket(name);
        match path.to_str() {
            Some(text) if text.len() <= SOCKET_PATH => Ok(format!("ipc://{text}")),
            _ => Err(ControllerError::SocketPath { length: path.as_os_str().len(), path }),
        }
    }

    /// Keeps a blob. Whoever sees its file sees all of it.
    pub fn store(&self, id: BlobId, bytes: &[u8]) -> io::Result<()> {
        let path = self.blobs().join(id.file_name());
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

    /// Removes an engine's file with a large result.
    pub fn remove_value(&self, name: &str) {
        // Engines name these files, and only such names are theirs.
        if name.starts_with(VALUE_PREFIX) && !name.contains('/') {
            _ = std::fs::remove_file(self.blobs().join(name));
        }
    }

    /// Removes the folder with all that is in it.
    pub fn remove(&self) {
        // Sockets remove their own files at the same time, which can make a try fail.
        for _ in 0..10 {
            match std::fs::remove_dir_all(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::debug!(path = %self.path.display(), %error, "removing the cluster's folder");
                    std::thread::sleep(Duration::from_millis(5));
                }
                _ => return,
            }
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Makes the runtime folder. One that others can write to would let them put their own sockets in our way.
fn make_private(runtime: &Path) -> Result<(), ControllerError> {
    let failed = |source| ControllerError::Folder { path: runtime.to_owned(), source };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(runtime).map_err(failed)?;
    let metadata = std::fs::metadata(runtime).map_err(failed)?;
    if !chorus_system::user::owns_alone(&metadata) {
        return Err(ControllerError::NotPrivate(runtime.to_owned()));
    }
    Ok(())
}

/// Makes the folder if need be and locks it; `None` if somebody else has the lock.
fn lock(folder: &Path) -> io::Result<Option<File>> {
    for _ in 0..10 {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let path = folder.join(LOCK);
        let file = match File::options().write(true).create(true).truncate(false).mode(0o600).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        match file.try_lock() {
            // The folder may have been removed, by the controller that had it, before we had the lock.
            Ok(())
                if std::fs::metadata(&path).is_ok_and(|it| Some(it.ino()) == file.metadata().ok().map(|f| f.ino())) =>
            {
                return Ok(Some(file));
            }
            Ok(()) => {}
            // Whoever lists the clusters has the lock for a moment, too.
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(5)),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(None)
}

fn empty(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        } else if entry.file_name() != LOCK {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn remove_if_dead(folder: &Path) {
    // A folder without a lock isn't one of ours, or is just being made.
    if let Ok(file) = File::open(folder.join(LOCK))
        && file.try_lock().is_ok()
    {
        _ = std::fs::remove_dir_all(folder);
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
            key: Key::random(),
        }
    }

    #[test]
    fn is_private_and_removes_itself() {
        let runtime = tempfile::tempdir().unwrap();
        let folder = Folder::create(runtime.path(), "a").unwrap();
        let mode = std::fs::metadata(runtime.path().join("a")).unwrap().mode();
        assert_eq!(mode & 0o777, 0o700);
        folder.store(BlobId::of(b"x"), b"x").unwrap();
        folder.store(BlobId::of(b"x"), b"x").unwrap();
        assert_eq!(std::fs::read(folder.blobs().join(BlobId::of(b"x").file_name())).unwrap(), b"x");
        assert_eq!(std::fs::read_dir(folder.blobs()).unwrap().count(), 1);
        drop(folder);
        assert_eq!(std::fs::read_dir(runtime.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_name_is_used_once_at_a_time() {
        let runtime = tempfile::tempdir().unwrap();
        let folder = Folder::create(runtime.path(), "a").unwrap();
        assert!(matches!(Folder::create(runtime.path(), "a"), Err(ControllerError::InUse(_))));
        drop(folder);
        Folder::create(runtime.path(), "a").unwrap();
    }

    #[test]
    fn what_the_dead_left_is_removed() {
        let runtime = tempfile::tempdir().unwrap();
        for name in ["dead", "mine"] {
            connection(name).write(&runtime.path().join(name).join(CONNECTION)).unwrap();
            std::fs::write(runtime.path().join(name).join(LOCK), "").unwrap();
            std::fs::write(runtime.path().join(name).join("engines"), "").unwrap();
        }
        std::fs::create_dir(runtime.path().join("foreign")).unwrap();
        let alive = |name: &str, alive| ClusterEntry {
            name: name.into(),
            pid: 42,
            connection_file: runtime.path().join(name).join(CONNECTION),
            alive,
        };
        assert_eq!(list_clusters(runtime.path()), [alive("dead", false), alive("mine", false)]);
        let folder = Folder::create(runtime.path(), "mine").unwrap();
        assert!(!runtime.path().join("dead").exists() && runtime.path().join("foreign").exists());
        assert!(!runtime.path().join("mine/engines").exists());
        connection("mine").write(&folder.connection_file()).unwrap();
        assert_eq!(list_clusters(runtime.path()), [alive("mine", true)]);
    }

    #[test]
    fn names_and_paths_that_cannot_be_are_said() {
        let runtime = tempfile::tempdir().unwrap();
        for name in ["", "../x", "a/b", ".hidden", "a b"] {
            assert!(matches!(Folder::create(runtime.path(), name), Err(ControllerError::Name(_))), "{name}");
        }
        let deep = runtime.path().join("d".repeat(100));
        let folder = Folder::create(&deep, "a").unwrap();
        let error = folder.endpoint("engines").unwrap_err().to_string();
        assert!(error.contains("CHORUS_RUNTIME_DIR"), "{error}");
    }

    #[test]
    fn a_folder_that_others_can_write_to_is_refused() {
        let runtime = tempfile::tempdir().unwrap();
        let open = runtime.path().join("open");
        std::fs::create_dir(&open).unwrap();
        std::fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        assert!(matches!(Folder::create(&open, "a"), Err(ControllerError::NotPrivate(_))));
    }
}
