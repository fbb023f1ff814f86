//! The connection file: all that a client or an engine needs to join a cluster.
//!
//! It is JSON and holds the cluster's key, so it is written with mode 0600 in a folder of mode 0700.

use crate::frame::Key;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// How to reach a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// The version of the messages that the controller speaks, [`crate::VERSION`].
    pub version: u16,
    /// The cluster's name.
    pub name: String,
    /// The controller's process.
    pub pid: u32,
    /// ZeroMQ endpoint for engines, `ipc:///...` or `tcp://127.0.0.1:port`.
    pub engines: String,
    /// ZeroMQ endpoint for clients.
    pub clients: String,
    /// Where the controller keeps blobs, for engines that share its file system.
    pub blobs: PathBuf,
    /// When the controller is gone: for how many seconds engines and clients wait for one that takes its place. 0 if
    /// none will, as in a kernel's own cluster.
    #[serde(default)]
    pub stay: u32,
    /// The key that signs every message.
    #[serde(with = "hex_key")]
    pub key: Key,
}

/// Why a connection file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The file can't be read or written.
    #[error("the connection file {path} can't be {action}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// "read" or "written".
        action: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file isn't a connection file.
    #[error("{path} isn't a connection file of a Chorus cluster: {source}")]
    Json {
        /// The file.
        path: PathBuf,
        /// Where it stops making sense.
        source: serde_json::Error,
    },
    /// The cluster was started by another version of Chorus.
    #[error(
        "the cluster `{name}` speaks version {theirs} of the protocol and this program version {}: \
         stop it and start it again with this program",
        crate::VERSION
    )]
    Version {
        /// The cluster's name.
        name: String,
        /// Its version.
        theirs: u16,
    },
}

impl Connection {
    /// Reads a connection file and checks its version.
    pub fn read(path: &Path) -> Result<Connection, ConnectionError> {
        let text = std::fs::read(path).map_err(|source| ConnectionError::Io {
            path: path.to_owned(),
            action: "read",
            source,
        })?;
        let connection: Connection =
            serde_json::from_slice(&text).map_err(|source| ConnectionError::Json { path: path.to_owned(), source })?;
        if connection.version != crate::VERSION {
            return Err(ConnectionError::Version { name: connection.name, theirs: connection.version });
        }
        Ok(connection)
    }

    /// Writes the file so that only its owner can read it, and so that a reader never sees half of it.
    pub fn write(&self, path: &Path) -> Result<(), ConnectionError> {
        let failed = |source| ConnectionError::Io { path: path.to_owned(), action: "written", source };
        if let Some(folder) = path.parent() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        }
        let draft = path.with_extension(format!("{}.tmp", std::process::id()));
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)
            .map_err(failed)?;
        let text = serde_json::to_vec_pretty(self)
            .map_err(|source| ConnectionError::Json { path: path.to_owned(), source })?;
        file.write_all(&text).map_err(failed)?;
        std::fs::rename(&draft, path).map_err(failed)
    }
}

mod hex_key {
    use super::Key;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(key: &Key, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&key.to_hex())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Key, D::Error> {
        let text = String::deserialize(deserializer)?;
        Key::from_hex(&text).map_err(serde::de::Error::custom)
    }
}

/// Where the files of a cluster lie: `$CHORUS_RUNTIME_DIR`, else `$XDG_RUNTIME_DIR/chorus`, else
/// `/tmp/chorus-UID`. The folder is private to its user (0700).
pub fn runtime_folder(
    chorus_runtime_dir: Option<PathBuf>,
    xdg_runtime_dir: Option<PathBuf>,
    temp: PathBuf,
    uid: u32,
) -> PathBuf {
    match (chorus_runtime_dir, xdg_runtime_dir) {
        (Some(folder), _) => folder,
        (None, Some(folder)) => folder.join("chorus"),
        (None, None) => temp.join(format!("chorus-{uid}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn connection() -> Connection {
        Connection {
            version: crate::VERSION,
            name: "test".into(),
            pid: 1,
            engines: "ipc:///tmp/e".into(),
            clients: "ipc:///tmp/c".into(),
            blobs: "/tmp/blobs".into(),
            stay: 0,
            key: Key::random(),
        }
    }

    #[test]
    fn is_private_and_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clusters/test.json");
        connection().write(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(Connection::read(&path).unwrap().name, "test");
    }

    #[test]
    fn says_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        assert!(Connection::read(&path).unwrap_err().to_string().contains("can't be read"));
        std::fs::write(&path, "{").unwrap();
        assert!(Connection::read(&path).unwrap_err().to_string().contains("isn't a connection file"));
        Connection { version: 999, ..connection() }.write(&path).unwrap();
        assert!(Connection::read(&path).unwrap_err().to_string().contains("version 999"));
    }

    #[test]
    fn the_runtime_folder_follows_the_environment() {
        let at = |a: Option<&str>, b: Option<&str>| {
            runtime_folder(a.map(Into::into), b.map(Into::into), "/tmp".into(), 7).display().to_string()
        };
        assert_eq!(at(Some("/a"), Some("/b")), "/a");
        assert_eq!(at(None, Some("/b")), "/b/chorus");
        assert_eq!(at(None, None), "/tmp/chorus-7");
    }
}
