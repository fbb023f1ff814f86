//! What rustc's wrapper is told of the cell that is compiled: in files of the folder that evcxr builds in.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::path::Path;

/// Tells it something, or that there is nothing of the kind.
pub(crate) fn tell(folder: &Path, file: &str, what: Option<&impl Serialize>) -> io::Result<()> {
    let path = folder.join(file);
    match what {
        Some(what) => std::fs::write(path, postcard::to_allocvec(what).map_err(io::Error::other)?),
        None => match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        },
    }
}

/// For the wrapper, which runs in that folder: what it was told, if anything.
pub(crate) fn told<T: DeserializeOwned>(file: &str) -> Option<T> {
    postcard::from_bytes(&std::fs::read(file).ok()?).ok()
}
