//! Whose process this is, on which host, and what only this user can write to.

use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;

/// The user's number.
pub fn id() -> u32 {
    nix::unistd::Uid::current().as_raw()
}

/// Whether the file or folder is this user's.
pub fn owns(metadata: &Metadata) -> bool {
    metadata.uid() == nix::unistd::geteuid().as_raw()
}

/// Whether nobody but this user can write to the file or folder.
pub fn owns_alone(metadata: &Metadata) -> bool {
    owns(metadata) && metadata.mode() & 0o022 == 0
}

/// Whether the process at the other end of this socket is this user's.
pub fn is_ours(socket: &UnixStream) -> bool {
    getsockopt(socket, PeerCredentials).is_ok_and(|peer| peer.uid() == nix::unistd::geteuid().as_raw())
}

/// The name of this host; `localhost` if it has none.
pub fn host_name() -> String {
    nix::unistd::gethostname().map_or_else(|_| "localhost".into(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_can_write_is_seen() {
        // It belongs to root, and everybody can write to it.
        assert!(!owns_alone(&std::fs::metadata("/tmp").unwrap()));
        let mine = std::env::temp_dir().join(format!("chorus-user-{}", std::process::id()));
        std::fs::create_dir(&mine).unwrap();
        let alone = owns_alone(&std::fs::metadata(&mine).unwrap());
        std::fs::remove_dir(&mine).unwrap();
        assert!(alone);
    }
}
