//! Jupyter's connection file: where a kernel's five sockets are and which key signs its messages.
//!
//! Whoever starts a kernel writes it; the kernel reads it and binds what it says. It holds the key, so it is
//! written with mode 0600.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The one signature scheme that Jupyter uses.
const SCHEME: &str = "hmac-sha256";

/// What carries the messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// TCP; `ip` is an address.
    #[default]
    Tcp,
    /// Unix sockets; `ip` is the beginning of their paths and a "port" its end.
    Ipc,
}

/// The content of a connection file.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ConnectionInfo {
    /// TCP or Unix sockets.
    #[serde(default)]
    pub transport: Transport,
    /// An address, or the beginning of the sockets' paths.
    pub ip: String,
    /// Requests and replies.
    pub shell_port: u16,
    /// Outputs and states, to everyone.
    pub iopub_port: u16,
    /// The kernel's questions to the user.
    pub stdin_port: u16,
    /// Requests that overtake those on shell.
    pub control_port: u16,
    /// Heartbeat.
    pub hb_port: u16,
    /// The key of the signatures; empty means that messages aren't signed.
    #[serde(default)]
    pub key: String,
    /// Always `hmac-sha256`.
    #[serde(default = "default_scheme")]
    pub signature_scheme: String,
    /// Whatever else the file holds, such as `kernel_name` and `jupyter_session`.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

fn default_scheme() -> String {
    SCHEME.to_owned()
}

impl std::fmt::Debug for ConnectionInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ConnectionInfo({}, key hidden)", self.shell_endpoint())
    }
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
    #[error("{path} isn't a Jupyter connection file: {source}")]
    Json {
        /// The file.
        path: PathBuf,
        /// Where it stops making sense.
        source: serde_json::Error,
    },
    /// The messages are to be signed in a way that we don't know.
    #[error("{path} asks for the signature scheme `{scheme}`; only {SCHEME} is supported")]
    Scheme {
        /// The file.
        path: PathBuf,
        /// The scheme.
        scheme: String,
    },
    /// There are no five free ports.
    #[error("no free TCP port on 127.0.0.1: {0}")]
    Ports(#[source] std::io::Error),
}

impl ConnectionInfo {
    /// Sockets on 127.0.0.1 with five ports that are free now, and a fresh key.
    ///
    /// Another program may take a port before the kernel binds it; [`ConnectionInfo::ipc`] has no such gap.
    pub fn local_tcp() -> Result<ConnectionInfo, ConnectionError> {
        // All five listeners are held until all five ports are known, so that no port comes twice.
        let mut listeners = Vec::with_capacity(5);
        let mut ports = [0; 5];
        for port in &mut ports {
            let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(ConnectionError::Ports)?;
            *port = listener.local_addr().map_err(ConnectionError::Ports)?.port();
            listeners.push(listener);
        }
        Ok(ConnectionInfo::new(Transport::Tcp, "127.0.0.1".into(), ports))
    }

    /// Unix sockets in `folder`, which should be private to the user, and a fresh key.
    ///
    /// Paths of Unix sockets are limited to about 100 bytes: `None` when `folder`'s is too long or isn't UTF-8.
    pub fn ipc(folder: &Path) -> Option<ConnectionInfo> {
        let prefix = folder.join("kernel");
        let prefix = prefix.to_str().filter(|path| path.len() < 90)?;
        Some(ConnectionInfo::new(Transport::Ipc, prefix.to_owned(), [1, 2, 3, 4, 5]))
    }

    fn new(transport: Transport, ip: String, ports: [u16; 5]) -> ConnectionInfo {
        let [shell_port, iopub_port, stdin_port, control_port, hb_port] = ports;
        ConnectionInfo {
            transport,
            ip,
            shell_port,
            iopub_port,
            stdin_port,
            control_port,
            hb_port,
            key: format!("{}{}", crate::random_id(), crate::random_id()),
            signature_scheme: default_scheme(),
            extra: Map::new(),
        }
    }

    /// Reads a connection file.
    pub fn read(path: &Path) -> Result<ConnectionInfo, ConnectionError> {
        let text = std::fs::read(path).map_err(|source| ConnectionError::Io {
            path: path.to_owned(),
            action: "read",
            source,
        })?;
        let info: ConnectionInfo =
            serde_json::from_slice(&text).map_err(|source| ConnectionError::Json { path: path.to_owned(), source })?;
        if info.signature_scheme != SCHEME && !info.key.is_empty() {
            return Err(ConnectionError::Scheme { path: path.to_owned(), scheme: info.signature_scheme });
        }
        Ok(info)
    }

    /// Writes the file so that only its owner can read it.
    pub fn write(&self, path: &Path) -> Result<(), ConnectionError> {
        let failed = |source| ConnectionError::Io { path: path.to_owned(), action: "written", source };
        let text = serde_json::to_vec_pretty(self)
            .map_err(|source| ConnectionError::Json { path: path.to_owned(), source })?;
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)
            .map_err(failed)?;
        file.write_all(&text).map_err(failed)
    }

    /// ZeroMQ's name for the shell socket.
    pub fn shell_endpoint(&self) -> String {
        self.endpoint(self.shell_port)
    }

    /// ZeroMQ's name for the iopub socket.
    pub fn iopub_endpoint(&self) -> String {
        self.endpoint(self.iopub_port)
    }

    /// ZeroMQ's name for the stdin socket.
    pub fn stdin_endpoint(&self) -> String {
        self.endpoint(self.stdin_port)
    }

    /// ZeroMQ's name for the control socket.
    pub fn control_endpoint(&self) -> String {
        self.endpoint(self.control_port)
    }

    /// ZeroMQ's name for the heartbeat socket.
    pub fn heartbeat_endpoint(&self) -> String {
        self.endpoint(self.hb_port)
    }

    fn endpoint(&self, port: u16) -> String {
        match self.transport {
            Transport::Ipc => format!("ipc://{}-{port}", self.ip),
            // `*` is libzmq's word for every interface.
            Transport::Tcp if self.ip == "*" => format!("tcp://0.0.0.0:{port}"),
            Transport::Tcp if self.ip.contains(':') && !self.ip.starts_with('[') => {
                format!("tcp://[{}]:{port}", self.ip)
            }
            Transport::Tcp => format!("tcp://{}:{port}", self.ip),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn reads_what_jupyter_writes_and_keeps_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kernel-1.json");
        std::fs::write(
            &path,
            r#"{"shell_port": 1, "iopub_port": 2, "stdin_port": 3, "control_port": 4, "hb_port": 5, "ip": "127.0.0.1",
                "key": "k", "transport": "tcp", "signature_scheme": "hmac-sha256", "kernel_name": "chorus",
                "jupyter_session": "/home/me/a.ipynb"}"#,
        )
        .unwrap();
        let info = ConnectionInfo::read(&path).unwrap();
        assert_eq!(info.shell_endpoint(), "tcp://127.0.0.1:1");
        assert_eq!(info.heartbeat_endpoint(), "tcp://127.0.0.1:5");
        assert_eq!(info.extra["jupyter_session"], "/home/me/a.ipynb");
    }

    #[test]
    fn is_private_and_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.json");
        let info = ConnectionInfo::ipc(folder.path()).unwrap();
        info.write(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(ConnectionInfo::read(&path).unwrap(), info);
        assert_eq!(info.iopub_endpoint(), format!("ipc://{}/kernel-2", folder.path().display()));
        assert!(!format!("{info:?}").contains(&info.key));
    }

    #[test]
    fn endpoints_of_unusual_addresses() {
        let at = |ip: &str| ConnectionInfo::new(Transport::Tcp, ip.into(), [7; 5]).shell_endpoint();
        assert_eq!(at("::1"), "tcp://[::1]:7");
        assert_eq!(at("*"), "tcp://0.0.0.0:7");
        assert_eq!(ConnectionInfo::ipc(Path::new(&"/long".repeat(30))), None);
    }

    #[test]
    fn free_ports_are_five() {
        let info = ConnectionInfo::local_tcp().unwrap();
        let ports = [info.shell_port, info.iopub_port, info.stdin_port, info.control_port, info.hb_port];
        assert_eq!(HashSet::from(ports).len(), 5);
        assert!(!ports.contains(&0));
    }

    #[test]
    fn says_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.json");
        assert!(ConnectionInfo::read(&path).unwrap_err().to_string().contains("can't be read"));
        std::fs::write(&path, "[]").unwrap();
        assert!(ConnectionInfo::read(&path).unwrap_err().to_string().contains("isn't a Jupyter connection file"));
        let info = ConnectionInfo { signature_scheme: "hmac-md5".into(), ..ConnectionInfo::local_tcp().unwrap() };
        info.write(&path).unwrap();
        assert!(ConnectionInfo::read(&path).unwrap_err().to_string().contains("hmac-md5"));
    }
}
