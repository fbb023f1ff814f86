//! Folders that Chorus makes, empties and removes, and how it knows them from anybody else's.
//!
//! A folder is ours if it is a real folder, belongs to this user alone, and has our mark in it. Only such a folder is
//! ever emptied or removed. The mark is a file that whoever uses the folder holds a lock on, so what a killed process
//! left behind can be told from what is in use, whatever process ids say. It is made before anything else in the folder
//! and removed after everything else: without it, there is nothing of ours to clean.

use std::fs::{DirBuilder, File, Metadata, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The mark.
const MARK: &str = "chorus.lock";
/// How often to try what others may come between.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(5);

/// Why a folder can't be had.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// A living process has it.
    #[error("{0} is in use by another process")]
    InUse(PathBuf),
    /// It isn't known to be ours.
    #[error(
        "{0} wasn't made by Chorus, so it is left alone: take another name, move it away, or point CHORUS_RUNTIME_DIR \
         to another folder"
    )]
    Foreign(PathBuf),
    /// Others could put their own files in the way.
    #[error("{0} belongs to somebody else, or others can write to it: point CHORUS_RUNTIME_DIR to a private folder")]
    NotPrivate(PathBuf),
    /// It can't be made.
    #[error("the folder {path} can't be made: {source}")]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A folder of this process, private to its user. Dropping it removes it.
#[derive(Debug)]
pub struct OwnFolder {
    path: PathBuf,
    mark: File,
    /// Whether it is left to whoever needs what is in it.
    stays: bool,
}

impl OwnFolder {
    /// Makes the folder `kind`/`name` in the runtime folder, or empties and takes over what a dead process left of it.
    /// Removes what dead processes left beside it.
    pub fn create(runtime: &Path, kind: &str, name: &str) -> Result<OwnFolder, FolderError> {
        OwnFolder::create_or_find(runtime, kind, name, |_| false).map(|(folder, _)| folder)
    }

    /// The same, but what dead processes left stays as it is where it `is_needed`. Returns whether it does in this one.
    pub(crate) fn create_or_find(
        runtime: &Path,
        kind: &str,
        name: &str,
        is_needed: impl Fn(&Path) -> bool,
    ) -> Result<(OwnFolder, bool), FolderError> {
        let parent = runtime.join(kind);
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| FolderError::Io { path, source }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(&parent).map_err(failed(&parent))?;
        // The runtime folder is the user's choice, and may be a link.
        let chosen = std::fs::metadata(runtime).map_err(failed(runtime))?;
        let made = std::fs::symlink_metadata(&parent).map_err(failed(&parent))?;
        for (path, data) in [(runtime, chosen), (&parent, made)] {
            if !data.is_dir() || !is_own(&data) || data.mode() & 0o022 != 0 {
                return Err(FolderError::NotPrivate(path.to_owned()));
            }
        }
        let path = parent.join(name);
        let mark = take(&path)?;
        let folder = OwnFolder { path, mark, stays: false };
        let is_found = is_needed(&folder.path);
        if !is_found {
            folder.empty()?;
        }
        for other in subfolders(&parent).map(|(_, path)| path).filter(|path| *path != folder.path) {
            if !is_needed(&other) {
                remove_if_dead(&other);
            }
        }
        Ok((folder, is_found))
    }

    /// Lets go of it, and leaves it as it is.
    pub(crate) fn leave(mut self) {
        self.stays = true;
    }

    /// Removes all that is in it.
    pub(crate) fn empty(&self) -> Result<(), FolderError> {
        empty(&self.path).map_err(|source| FolderError::Io { path: self.path.clone(), source })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the folder with all that is in it, unless it is somebody else's by now.
    pub fn remove(&self) {
        if is_marked_by(&self.path, &self.mark) {
            remove(&self.path);
        }
    }
}

impl Drop for OwnFolder {
    fn drop(&mut self) {
        if !self.stays {
            self.remove();
        }
    }
}

/// The folders of this kind in the runtime folder: their names, and where they are.
pub(crate) fn of_kind(runtime: &Path, kind: &str) -> impl Iterator<Item = (String, PathBuf)> {
    subfolders(&runtime.join(kind))
}

/// Whether a living process has this folder.
pub(crate) fn is_in_use(folder: &Path) -> bool {
    File::open(folder.join(MARK)).is_ok_and(|mark| matches!(mark.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

fn subfolders(folder: &Path) -> impl Iterator<Item = (String, PathBuf)> + use<> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
}

fn is_own(data: &Metadata) -> bool {
    chorus_system::user::owns(data)
}

/// Whether the folder is ours, or empty and as we make them: then whoever began to make it was killed.
fn is_ours(folder: &Path) -> io::Result<bool> {
    let data = std::fs::symlink_metadata(folder)?;
    if !data.is_dir() || !is_own(&data) || data.mode() & 0o077 != 0 {
        return Ok(false);
    }
    match std::fs::symlink_metadata(folder.join(MARK)) {
        Ok(mark) => Ok(mark.is_file() && is_own(&mark)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(std::fs::read_dir(folder)?.next().is_none()),
        Err(error) => Err(error),
    }
}

/// Whether this open file is the folder's mark: another process may have removed the folder and made it anew.
fn is_marked_by(folder: &Path, mark: &File) -> bool {
    let same = |a: &Metadata, b: &Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    let there = std::fs::symlink_metadata(folder.join(MARK));
    there.is_ok_and(|there| mark.metadata().is_ok_and(|mark| same(&there, &mark)))
}

/// Makes the folder if need be, marks it, and locks the mark.
fn take(folder: &Path) -> Result<File, FolderError> {
    let failed = |source| FolderError::Io { path: folder.to_owned(), source };
    for _ in 0..TRIES {
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
            _ => {}
        }
        // Where something isn't found now, somebody removes the folder at this moment.
        let gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        match is_ours(folder) {
            Ok(true) => {}
            Ok(false) => return Err(FolderError::Foreign(folder.to_owned())),
            Err(error) if gone(&error) => continue,
            Err(error) => return Err(failed(error)),
        }
        let mark = File::options().write(true).create(true).truncate(false).mode(0o600).open(folder.join(MARK));
        let mark = match mark {
            Err(error) if gone(&error) => continue,
            mark => mark.map_err(failed)?,
        };
        match mark.try_lock() {
            Ok(()) if is_marked_by(folder, &mark) => return Ok(mark),
            Ok(()) => {}
            // Whoever looks whether it is in use has the lock for a moment, too.
            Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
    Err(FolderError::InUse(folder.to_owned()))
}

/// Removes all but the mark. What others remove at the same time, as sockets do their files, is no error.
fn empty(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name() == MARK {
            continue;
        }
        let removed = match entry.file_type()?.is_dir() {
            true => std::fs::remove_dir_all(entry.path()),
            false => std::fs::remove_file(entry.path()),
        };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Removes a folder whose mark we have locked.
fn remove(folder: &Path) {
    for _ in 0..TRIES {
        let mark = folder.join(MARK);
        match empty(folder).and_then(|()| std::fs::remove_file(&mark)) {
            Ok(()) => {
                // Somebody still writes into it, or has taken it already. It mustn't stay without a mark.
                if std::fs::remove_dir(folder).is_err() {
                    _ = File::options().write(true).create_new(true).mode(0o600).open(mark);
                }
                return;
            }
            Err(error) => {
                tracing::debug!(path = %folder.display(), %error, "removing a folder");
                std::thread::sleep(PAUSE);
            }
        }
    }
}

fn remove_if_dead(folder: &Path) {
    if matches!(is_ours(folder), Ok(true))
        && let Ok(mark) = File::open(folder.join(MARK))
        && mark.try_lock().is_ok()
        && is_marked_by(folder, &mark)
    {
        remove(folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            std::fs::read_dir(folder).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn make(runtime: &Path, name: &str) -> Result<OwnFolder, FolderError> {
        OwnFolder::create(runtime, "kind", name)
    }

    #[test]
    fn is_private_and_removes_itself() {
        let runtime = tempfile::tempdir().unwrap();
        let folder = make(runtime.path(), "a").unwrap();
        assert_eq!(folder.path().metadata().unwrap().mode() & 0o777, 0o700);
        assert!(is_in_use(folder.path()));
        std::fs::create_dir(folder.path().join("x")).unwrap();
        assert!(matches!(make(runtime.path(), "a"), Err(FolderError::InUse(_))));
        drop(folder);
        assert_eq!(names(&runtime.path().join("kind")), [""; 0]);
        make(runtime.path(), "a").unwrap();
    }

    #[test]
    fn what_the_dead_left_is_removed_and_taken_over() {
        let runtime = tempfile::tempdir().unwrap();
        for name in ["dead", "mine"] {
            let folder = make(runtime.path(), name).unwrap();
            std::fs::write(folder.path().join("rest"), "").unwrap();
            // A killed process lets go of the lock, and of nothing else.
            let OwnFolder { path, mark, .. } = &*std::mem::ManuallyDrop::new(folder);
            mark.unlock().unwrap();
            assert!(!is_in_use(path));
        }
        let half = runtime.path().join("kind/half");
        DirBuilder::new().mode(0o700).create(&half).unwrap();
        let mine = make(runtime.path(), "mine").unwrap();
        assert_eq!(names(mine.path()), [MARK]);
        assert_eq!(names(&runtime.path().join("kind")), ["half", "mine"], "nothing says whose the empty one is");
        make(runtime.path(), "half").unwrap();
    }

    #[test]
    fn what_is_not_known_to_be_ours_is_left_alone() {
        let runtime = tempfile::tempdir().unwrap();
        let kind = runtime.path().join("kind");
        let foreign = |path: &Path, mode, file: &str| {
            std::fs::create_dir_all(path).unwrap();
            std::fs::write(path.join(file), "mine").unwrap();
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        };
        foreign(&kind.join("unmarked"), 0o700, "thesis.tex");
        foreign(&kind.join("open"), 0o755, MARK);
        std::fs::create_dir_all(kind.join("folder-for-mark").join(MARK)).unwrap();
        foreign(&runtime.path().join("elsewhere"), 0o700, MARK);
        symlink(runtime.path().join("elsewhere"), kind.join("link")).unwrap();
        std::fs::write(kind.join("file"), "mine").unwrap();
        std::fs::set_permissions(&kind, PermissionsExt::from_mode(0o700)).unwrap();
        for name in ["unmarked", "open", "folder-for-mark", "link", "file"] {
            let made = make(runtime.path(), name);
            assert!(matches!(made, Err(FolderError::Foreign(_))), "{name}: {made:?}");
        }
        make(runtime.path(), "another").unwrap();
        assert_eq!(names(&kind.join("unmarked")), ["thesis.tex"]);
        assert_eq!(names(&kind.join("open")), [MARK]);
        assert_eq!(names(&runtime.path().join("elsewhere")), [MARK]);
        assert_eq!(names(&kind), ["file", "folder-for-mark", "link", "open", "unmarked"]);
    }

    #[test]
    fn a_successor_of_the_same_name_is_left_alone() {
        let runtime = tempfile::tempdir().unwrap();
        let folder = make(runtime.path(), "a").unwrap();
        folder.remove();
        let successor = make(runtime.path(), "a").unwrap();
        drop(folder);
        assert_eq!(names(successor.path()), [MARK]);
    }

    #[test]
    fn a_folder_that_others_can_write_to_is_refused() {
        let runtime = tempfile::tempdir().unwrap();
        std::fs::set_permissions(runtime.path(), PermissionsExt::from_mode(0o777)).unwrap();
        assert!(matches!(make(runtime.path(), "a"), Err(FolderError::NotPrivate(_))));
        std::fs::set_permissions(runtime.path(), PermissionsExt::from_mode(0o700)).unwrap();
        std::fs::remove_dir(runtime.path().join("kind")).unwrap();
        std::fs::create_dir(runtime.path().join("other")).unwrap();
        symlink(runtime.path().join("other"), runtime.path().join("kind")).unwrap();
        assert!(matches!(make(runtime.path(), "a"), Err(FolderError::NotPrivate(_))));
    }
}
