//! Outposts' folders. One that was killed can't remove its own, so the next on its host does.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// How their names begin.
pub const PREFIX: &str = "chorus-outpost-";

/// The file that its process has locked.
const MARK: &str = "outpost.lock";

/// Marks a folder as in use, as long as what is returned lives.
pub fn mark(folder: &Path) -> io::Result<File> {
    let mark = File::options().write(true).create_new(true).mode(0o600).open(folder.join(MARK))?;
    mark.lock()?;
    Ok(mark)
}

/// Removes this user's folders in a place whose outposts are gone. What can't be removed stays.
pub fn sweep(place: &Path) {
    let Ok(entries) = std::fs::read_dir(place) else { return };
    for folder in entries.flatten().map(|entry| entry.path()) {
        let is_one = folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX));
        if is_one && is_left(&folder) {
            _ = std::fs::remove_dir_all(&folder);
        }
    }
}

/// Whether this is a folder of this user alone with a mark that nobody has locked. One that is just being made has none.
fn is_left(folder: &Path) -> bool {
    let owned = folder.symlink_metadata().is_ok_and(|it| it.is_dir() && chorus_system::user::owns_alone(&it));
    let lock = || File::open(folder.join(MARK)).ok().map(|mark| mark.try_lock());
    owned && !matches!(lock(), None | Some(Err(TryLockError::WouldBlock | TryLockError::Error(_))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_an_outpost_has_left_goes() {
        let place = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let folder = place.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            folder
        };
        let [used, left, new, other] =
            ["chorus-outpost-1", "chorus-outpost-2", "chorus-outpost-3", "chorus-4"].map(make);
        let _used = mark(&used).unwrap();
        drop(mark(&left).unwrap());
        drop(mark(&other).unwrap());
        sweep(place.path());
        assert_eq!([&used, &left, &new, &other].map(|folder| folder.exists()), [true, false, true, true]);
    }
}
