//! Where an engine finds the objects and libraries of its runs: in the controller's folder if it shares a file system
//! with it, else in a folder of its own, to which they are sent once each. The controller says when they aren't needed.

use bytes::Bytes;
use chorus_protocol::BlobId;
use std::collections::HashSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tempfile::{NamedTempFile, TempDir};

/// Whether a blob was stored. An error is a sentence.
pub type Stored = Result<(), String>;

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
    /// Else its own lies in `place`.
    pub fn open(shared: &Path, share: bool, place: &Path) -> io::Result<Blobs> {
        if share && std::fs::read_dir(shared).is_ok() {
            return Ok(Blobs::Shared(shared.to_owned()));
        }
        let folder = tempfile::Builder::new().prefix("chorus-engine-").tempdir_in(place)?;
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

    /// Those that were asked for and haven't come.
    pub fn asked(&self) -> impl Iterator<Item = BlobId> {
        match self {
            Blobs::Shared(_) => None,
            Blobs::Own { asked, .. } => Some(asked.iter().copied()),
        }
        .into_iter()
        .flatten()
    }

    /// What stores a blob that was asked for; it blocks, and [`Blobs::stored`] is to be told of its result. `None` for a
    /// blob that nobody asked for.
    pub fn storing(&self, id: BlobId, bytes: Option<Bytes>) -> Option<impl FnOnce() -> Stored + Send + 'static> {
        let Blobs::Own { folder, asked, .. } = self else { return None };
        let path = folder.path().join(id.file_name());
        asked.contains(&id).then_some(move || {
            let bytes = bytes.ok_or_else(|| format!("the controller doesn't have {id}; run the cell again"))?;
            if BlobId::of(&bytes) != id {
                return Err(format!("{id} was damaged on its way to the engine; run the cell again"));
            }
            let failed = |error| format!("the engine can't write {}: {error}", path.display());
            // Whole or not at all under its name.
            let mut file = NamedTempFile::new_in(path.parent().unwrap_or(Path::new("."))).map_err(failed)?;
            file.write_all(&bytes).map_err(failed)?;
            file.persist(&path).map_err(|error| failed(error.error))?;
            Ok(())
        })
    }

    /// Notes what became of a blob. After an error it can be asked for again.
    pub fn stored(&mut self, id: BlobId, result: &Stored) {
        if let Blobs::Own { here, asked, .. } = self {
            asked.remove(&id);
            here.extend(result.is_ok().then_some(id));
        }
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
    use std::os::unix::fs::MetadataExt;

    fn own() -> Blobs {
        Blobs::open(Path::new("/"), false, &std::env::temp_dir()).unwrap()
    }

    fn put(blobs: &mut Blobs, id: BlobId, bytes: Option<&[u8]>) -> Stored {
        let Some(store) = blobs.storing(id, bytes.map(Bytes::copy_from_slice)) else { return Ok(()) };
        let result = store();
        blobs.stored(id, &result);
        result
    }

    #[test]
    fn a_shared_folder_has_everything() {
        let folder = tempfile::tempdir().unwrap();
        let mut blobs = Blobs::open(folder.path(), true, folder.path()).unwrap();
        let id = BlobId::of(b"x");
        assert!(blobs.are_shared() && !blobs.ask(id));
        assert_eq!(blobs.find(id), Some(folder.path().join(id.file_name())));
    }

    #[test]
    fn a_folder_that_is_not_there_is_not_shared() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!Blobs::open(&folder.path().join("gone"), true, folder.path()).unwrap().are_shared());
    }

    #[test]
    fn a_blob_is_asked_for_once_and_kept() {
        let mut blobs = own();
        let id = BlobId::of(b"x");
        assert_eq!((blobs.find(id), blobs.ask(id), blobs.ask(id)), (None, true, false));
        put(&mut blobs, id, Some(b"x")).unwrap();
        let file = blobs.find(id).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"x");
        assert!(!blobs.ask(id));
        blobs.drop(id);
        assert_eq!((file.exists(), blobs.find(id), blobs.ask(id)), (false, None, true));
    }

    #[test]
    fn a_blob_that_comes_again_leaves_what_a_worker_has_open() {
        let mut blobs = own();
        let id = BlobId::of(b"x");
        assert!(blobs.ask(id));
        put(&mut blobs, id, Some(b"x")).unwrap();
        let open = std::fs::File::open(blobs.find(id).unwrap()).unwrap();
        let before = open.metadata().unwrap();
        // Its name was free for a moment, and who has the file mapped isn't to see it change.
        let Blobs::Own { asked, .. } = &mut blobs else { panic!("these are its own") };
        asked.insert(id);
        put(&mut blobs, id, Some(b"x")).unwrap();
        let after = std::fs::metadata(blobs.find(id).unwrap()).unwrap();
        assert_ne!(before.ino(), after.ino(), "it was written into the old file");
        let folder = blobs.find(id).unwrap();
        let left = std::fs::read_dir(folder.parent().unwrap()).unwrap().count();
        assert_eq!(left, 1, "only the blob is there");
    }

    #[test]
    fn a_wrong_or_missing_blob_can_be_asked_for_again() {
        let mut blobs = own();
        let id = BlobId::of(b"x");
        assert!(blobs.ask(id));
        assert!(put(&mut blobs, id, Some(b"y")).unwrap_err().contains("damaged"));
        assert!(blobs.ask(id));
        assert!(put(&mut blobs, id, None).unwrap_err().contains("doesn't have"));
        assert_eq!((blobs.find(id), blobs.ask(id)), (None, true));
    }

    #[test]
    fn a_blob_that_nobody_asked_for_is_ignored() {
        let mut blobs = own();
        put(&mut blobs, BlobId::of(b"x"), Some(b"x")).unwrap();
        assert_eq!(blobs.find(BlobId::of(b"x")), None);
    }
}
