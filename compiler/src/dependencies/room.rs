//! Keeps the sets below a size.

use super::set::{RECORD, Set};
use super::{SETS, TARGET};
use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What was used since isn't removed, however large it is: kernels that run may need it.
const IN_USE: Duration = Duration::from_secs(24 * 3600);
/// The most that is kept, in MB, unless the environment says otherwise.
const LIMIT: u64 = 10_240;
const LIMIT_VARIABLE: &str = "CHORUS_DEPENDENCIES_MB";

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DependenciesInfo {
    /// Sets of dependencies.
    pub sets: u64,
    /// What they take, in bytes.
    pub bytes: u64,
    /// The most that is kept of what isn't in use, in bytes.
    pub limit: u64,
}

struct Found {
    folder: PathBuf,
    set: Set,
    used: SystemTime,
}

/// How much is below this folder.
pub(crate) fn info(root: &Path) -> io::Result<DependenciesInfo> {
    Ok(DependenciesInfo { sets: sets(root).len() as u64, bytes: size(root)?, limit: limit() })
}

/// Removes everything. Kernels that run build again what they need.
pub(crate) fn clear(root: &Path) -> io::Result<DependenciesInfo> {
    let info = info(root)?;
    for folder in [SETS, TARGET] {
        match fs::remove_dir_all(root.join(folder)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(info)
}

/// Removes the sets that were used longest ago, and what only they need, if there is too much. `current` stays.
pub(super) fn make(root: &Path, current: &Path) {
    if let Err(error) = trim(root, current, limit(), SystemTime::now() - IN_USE) {
        tracing::warn!("dependencies in {} can't be removed: {error}", root.display());
    }
}

fn trim(root: &Path, current: &Path, limit: u64, in_use: SystemTime) -> io::Result<()> {
    let mut total = size(root)?;
    let mut found = sets(root);
    found.sort_by_key(|found| found.used);
    let mut kept: Vec<Found> = Vec::new();
    let mut removed = false;
    let mut rest = found.into_iter();
    while let Some(found) = rest.next() {
        if total <= limit || found.used > in_use || found.folder == current {
            kept.push(found);
            continue;
        }
        let others = kept.iter().chain(rest.as_slice());
        let needed: HashSet<&PathBuf> = others.flat_map(|other| &other.set.files).collect();
        for file in found.set.files.iter().filter(|file| !needed.contains(file)) {
            let data = fs::metadata(file);
            // cargo builds what isn't there.
            if data.as_ref().is_ok_and(fs::Metadata::is_dir) {
                total -= size(file)?.min(total);
                let _ = fs::remove_dir_all(file);
            } else {
                total -= data.map_or(0, |data| data.len()).min(total);
                let _ = fs::remove_file(file);
            }
        }
        total -= size(&found.folder)?.min(total);
        fs::remove_dir_all(&found.folder)?;
        removed = true;
    }
    // What cargo notes belongs to no set by name.
    if removed && total > limit && kept.is_empty() {
        fs::remove_dir_all(root.join(TARGET))?;
    }
    Ok(())
}

fn sets(root: &Path) -> Vec<Found> {
    let folders = fs::read_dir(root.join(SETS)).into_iter().flatten().flatten().map(|entry| entry.path());
    let found = folders.filter_map(|folder| {
        let used = fs::metadata(folder.join(RECORD)).and_then(|data| data.modified()).ok()?;
        let set = Set::of(&folder)?;
        Some(Found { folder, set, used })
    });
    found.collect()
}

/// Of all files below, in bytes. What has several names counts once.
fn size(folder: &Path) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let (mut total, mut seen, mut folders) = (0, HashSet::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            // Another kernel may have removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries.flatten() {
            let Ok(data) = entry.metadata() else { continue };
            match data.is_dir() {
                true => folders.push(entry.path()),
                false if seen.insert(data.ino()) => total += data.len(),
                false => {}
            }
        }
    }
    Ok(total)
}

fn limit() -> u64 {
    let set = std::env::var(LIMIT_VARIABLE).ok().and_then(|text| text.trim().parse::<u64>().ok());
    set.unwrap_or(LIMIT).saturating_mul(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(root: &Path, name: &str, files: &[&str], age: u64) -> PathBuf {
        let folder = root.join(SETS).join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::create_dir_all(root.join(TARGET)).unwrap();
        let files: Vec<PathBuf> = files.iter().map(|file| root.join(TARGET).join(file)).collect();
        files.iter().for_each(|file| fs::write(file, [0; 1000]).unwrap());
        let set = Set { made_for: [0; 32], environment: vec![], command: vec![], library: None, files };
        set.write(&folder).unwrap();
        let used = SystemTime::now() - Duration::from_secs(age);
        fs::File::open(folder.join(RECORD)).unwrap().set_modified(used).unwrap();
        folder
    }

    #[test]
    fn what_was_used_longest_ago_goes_and_what_others_need_stays() {
        let root = tempfile::tempdir().unwrap();
        let old = add(root.path(), "old", &["a", "b"], 1000);
        let new = add(root.path(), "new", &["b", "c"], 10);
        let file = |name: &str| root.path().join(TARGET).join(name).exists();
        let now = SystemTime::now();
        trim(root.path(), &new, u64::MAX, now).unwrap();
        assert!(old.exists() && file("a"));
        trim(root.path(), &new, 0, now - Duration::from_secs(2000)).unwrap();
        assert!(old.exists(), "it is in use");
        trim(root.path(), &new, 2500, now).unwrap();
        assert!(!old.exists() && new.exists());
        assert_eq!(["a", "b", "c"].map(file), [false, true, true]);
        trim(root.path(), &new, 0, now).unwrap();
        assert!(new.exists(), "it has just been built");
    }

    #[test]
    fn all_of_it_can_be_removed() {
        let root = tempfile::tempdir().unwrap();
        add(root.path(), "one", &["a"], 0);
        let before = clear(root.path()).unwrap();
        assert!(before.sets == 1 && before.bytes >= 1000);
        assert_eq!(info(root.path()).unwrap().bytes, 0);
        assert_eq!(clear(root.path()).unwrap().sets, 0);
    }
}
