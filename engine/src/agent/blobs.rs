//! Where an engine finds the objects and libraries of its runs: in the controller's folder if it shares a file system
//! with it, else in a folder of its own, to which they are sent once each. The controller says when they aren't needed.

use chorus_protocol::BlobId;
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The blobs of one engine.
#[derive(Debug)]
pub enum Blobs {
    /// All of them are in this folder before a run names them.
    Shared(PathBuf),
    /// They are asked for.
    Own {
        /// Is deleted with its files when the engine ends.
        folder: TempDir,
        /// Are in the folder.
        here: HashSet<BlobId>,
        /// Were asked for and haven't come yet.
        asked: HashSet<BlobId>,
    },
}

impl Blobs {
    /// Uses the controller's folder if that is wanted and possible.
    pub fn open(shared: &Path, share: bool) -> io::Result<Blobs> {
        if share && std::fs::read_dir(shared).is_ok() {
            return Ok(Blobs::Shared(shared.to_owned()));
        }
        let folder = tempfile::Builder::new().prefix("chorus-engine-").tempdir()?;
        Ok(Blobs::Own { folder, here: HashSet::new(), asked: HashSet::new() })
    }

    /// Whether these are the controller's files.
    pub fn are_shared(&self) -> bool {
        matches!(self, Blobs::Shared(_))
    }

    /// The controller's folder, if this engine shares it.
    pub fn shared_folder(&self) -> Option<&Path> {
        match self {
            Blobs::Shared(folder) => Some(folder),
            Blobs::Own { .. } => None,
        }
    }

    /// The blob's file, if it is there.
    pub fn find(&self, id: BlobId) -> Option<PathBuf> {
        match self {
            Blobs::Shared(folder) => Some(folder.join(id.file_name())),
            Blobs::Own { folder, here, .. } => here.contains(&id).then(|| folder.path().join(id.file_name())),
        }
    }

    /// Whether the controller must be asked for this blob. Says so once.
    pub fn ask(&mut self, id: BlobId) -> bool {
        match self {
            Blobs::Shared(_) => false,
            Blobs::Own { here, asked, .. } => !here.contains(&id) && asked.insert(id),
        }
    }

    /// Stores a blob that was asked for. An error is a sentence; the blob can be asked for again then.
    pub fn put(&mut self, id: BlobId, bytes: Option<&[u8]>) -> Result<(), String> {
        let Blobs::Own { folder, here, asked } = self else { return Ok(()) };
        if !asked.remove(&id) {
            return Ok(());
        }
        let bytes = bytes.ok_or_else(|| format!("the controller doesn't have {id}; run the cell again"))?;
        if BlobId::of(bytes) != id {
            return Err(format!("{id} was damaged on its way to the engine; run the cell again"));
        }
        let path = folder.path().join(id.file_name());
        std::fs::write(&path, bytes).map_err(|error| format!("the engine can't write {}: {error}", path.display()))?;
        here.insert(id);
        Ok(())
    }

    /// Nobody needs this blob any more. A worker that has loaded it keeps it.
    pub fn drop(&mut self, id: BlobId) {
        if let Blobs::Own { folder, here, asked } = self {
            asked.remove(&id);
            if here.remove(&id) {
                _ = std::fs::remove_file(folder.path().join(id.file_name()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Blobs {
        Blobs::open(Path::new("/"), false).unwrap()
    }

    #[test]
    fn a_shared_folder_has_everything() {
        let folder = tempfile::tempdir().unwrap();
        let mut blobs = Blobs::open(folder.path(), true).unwrap();
        let id = BlobId::of(b"x");
        assert!(blobs.are_shared() && !blobs.ask(id));
        assert_eq!(blobs.find(id), Some(folder.path().join(id.file_name())));
    }

    #[test]
    fn a_folder_that_is_not_there_is_not_shared() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!Blobs::open(&folder.path().join("gone"), true).unwrap().are_shared());
    }

    #[test]
    fn a_blob_is_asked_for_once_and_kept() {
        let mut blobs = own();
        let id = BlobId::of(b"x");
        assert_eq!((blobs.find(id), blobs.ask(id), blobs.ask(id)), (None, true, false));
        blobs.put(id, Some(b"x")).unwrap();
        let file = blobs.find(id).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"x");
        assert!(!blobs.ask(id));
        blobs.drop(id);
        assert_eq!((file.exists(), blobs.find(id), blobs.ask(id)), (false, None, true));
    }

    #[test]
    fn a_wrong_or_missing_blob_can_be_asked_for_again() {
        let mut blobs = own();
        let id = BlobId::of(b"x");
        assert!(blobs.ask(id));
        assert!(blobs.put(id, Some(b"y")).unwrap_err().contains("damaged"));
        assert!(blobs.ask(id));
        assert!(blobs.put(id, None).unwrap_err().contains("doesn't have"));
        assert_eq!((blobs.find(id), blobs.ask(id)), (None, true));
    }

    #[test]
    fn a_blob_that_nobody_asked_for_is_ignored() {
        let mut blobs = own();
        blobs.put(BlobId::of(b"x"), Some(b"x")).unwrap();
        assert_eq!(blobs.find(BlobId::of(b"x")), None);
    }
}
