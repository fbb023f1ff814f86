//! What a host is given to join: where the gateway is, and what to show there. It travels over a way that is safe already,
//! such as the standard input of a program that ssh runs, and never in arguments or in the environment.

use crate::tls::Identity;
use chorus_protocol::Key;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// For one host.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Invitation {
    /// [`chorus_protocol::VERSION`] of the controller.
    pub version: u16,
    /// The cluster's name.
    pub cluster: String,
    /// Which of the cluster's places this is for.
    pub place: u32,
    /// Where the gateway may be reached: all are tried.
    pub addresses: Vec<SocketAddr>,
    /// For how many seconds the host's engines go on without the controller.
    pub lease: u32,
    /// Whether another controller may be started in the place of one that is killed.
    pub may_return: bool,
    /// The controller's folder of blobs, by whose path large results are named.
    pub blobs: std::path::PathBuf,
    /// What its engines are called.
    pub label: Option<String>,
    /// The hash of the program that was sent, if one was.
    pub program: Option<String>,
    pub(crate) identity: Identity,
    /// Signs the messages of engines.
    pub(crate) key: Hidden,
}

/// A key that isn't shown.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Hidden(String);

impl Hidden {
    pub fn of(key: &Key) -> Hidden {
        Hidden(key.to_hex())
    }

    pub fn key(&self) -> Option<Key> {
        Key::from_hex(&self.0).ok()
    }
}

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hidden")
    }
}
