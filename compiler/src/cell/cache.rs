//! Compiled cells on disk, so that what was compiled before, in whatever notebook, isn't compiled again.
//!
//! An entry is one file, written under another name and renamed, so several kernels can use the folder at once and a
//! kernel that is killed leaves nothing half written; a checksum finds what a failing disk left. Entries that weren't
//! used for longest go first when there is too much. Entries hold code that will be run, so the folder must be private.

use crate::cell::modules::Module;
use crate::dependencies::{self, Current, DependenciesInfo};
use crate::notebook::namespace::Variables;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

/// Where compiled cells are kept, and how much of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheConfig {
    /// A folder of its own; it is made when it isn't there.
    pub folder: PathBuf,
    /// The most that is kept, in bytes.
    pub limit: u64,
}

/// What is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheInfo {
    /// Compiled cells.
    pub cells: u64,
    /// Functions that were compiled for GPUs.
    pub gpu_functions: u64,
    /// What these take, in bytes.
    pub gpu_bytes: u64,
    /// What all take, in bytes.
    pub bytes: u64,
}

/// Says for which cell, in which surroundings, an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CacheKey(pub [u8; 32]);

/// What can be kept: each kind in files with an ending of its own.
pub(crate) trait Kept: Serialize + DeserializeOwned {
    const SUFFIX: &'static str;
}

impl Kept for CachedCell {
    const SUFFIX: &'static str = "cell";
}

/// A compiled cell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CachedCell {
    /// The shared object; empty when there is nothing to run.
    #[serde(with = "serde_bytes")]
    pub object: Vec<u8>,
    /// The symbol to call.
    pub entry: String,
    /// What evcxr generated, in which the places of panics are found.
    pub source: String,
    /// The variables that it loads.
    pub before: Variables,
    /// Those of them, and those of its own, that stand when it has run.
    pub after: Variables,
    /// The library that it takes dependencies from.
    pub library: Option<PathBuf>,
}

/// That a notebook's dependencies were built: with which set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Dependencies(pub Current);

impl Kept for Dependencies {
    const SUFFIX: &'static str = "set";
}

/// Every format has a number of its own.
const MAGIC: &[u8; 8] = b"CHORUS\x00\x02";
/// Those of all kinds.
const SUFFIXES: [&str; 3] = [CachedCell::SUFFIX, Dependencies::SUFFIX, Module::SUFFIX];
/// The ending of a file that is being written.
const NEW: &str = "new";
/// An entry that would take more than this part of the cache isn't kept.
const LARGEST: u64 = 8;
/// Entries between two looks at the size of it all.
const TRIM_EVERY: u32 = 64;
/// A file that is being written is younger.
const ABANDONED: Duration = Duration::from_secs(3600);

/// The cache of one kernel.
pub(crate) struct Cache {
    config: Arc<CacheConfig>,
    written: AtomicU32,
}

impl CacheConfig {
    /// As the environment says: `CHORUS_CACHE_DIR`, and `CHORUS_CACHE_MB`, which is 512 if it isn't set; 0 is no cache.
    pub fn from_environment() -> Option<CacheConfig> {
        let megabytes = match std::env::var("CHORUS_CACHE_MB") {
            Ok(text) => text.trim().parse().unwrap_or_else(|_| {
                tracing::warn!("CHORUS_CACHE_MB isn't a whole number: {text}; taking 512");
                512
            }),
            Err(_) => 512,
        };
        let folder = CacheConfig::root()?;
        (megabytes > 0)
            .then(|| CacheConfig { folder: folder.join("cells"), limit: u64::saturating_mul(megabytes, 1 << 20) })
    }

    /// The folder of all that is kept, if there is one.
    pub fn root() -> Option<PathBuf> {
        match std::env::var_os("CHORUS_CACHE_DIR") {
            Some(folder) => Some(PathBuf::from(folder)),
            None => Some(dirs::cache_dir()?.join("chorus")),
        }
    }

    /// Where dependencies are built, beside the cells.
    pub(crate) fn dependencies(&self) -> PathBuf {
        self.folder.with_file_name("dependencies")
    }

    /// How much there is of dependencies.
    pub fn dependencies_info(&self) -> io::Result<DependenciesInfo> {
        dependencies::info(&self.dependencies())
    }

    /// Removes all dependencies that were built. Kernels that run build again what they need. Returns what was there.
    pub fn clear_dependencies(&self) -> io::Result<DependenciesInfo> {
        dependencies::clear(&self.dependencies())
    }

    /// How much there is.
    pub fn info(&self) -> io::Result<CacheInfo> {
        let entries = self.entries()?;
        let is_a = |suffix: &str, entry: &Found| entry.path.extension().is_some_and(|found| found == suffix);
        let count = |suffix| entries.iter().filter(|entry| is_a(suffix, entry)).count() as u64;
        let for_gpus = entries.iter().filter(|entry| is_a(Module::SUFFIX, entry));
        Ok(CacheInfo {
            cells: count(CachedCell::SUFFIX),
            gpu_functions: count(Module::SUFFIX),
            gpu_bytes: for_gpus.map(|entry| entry.size).sum(),
            bytes: entries.iter().map(|entry| entry.size).sum(),
        })
    }

    /// Removes everything. Kernels that run go on, and fill it again. Returns what was there.
    pub fn clear(&self) -> io::Result<CacheInfo> {
        let before = self.info()?;
        self.remove_abandoned(Duration::ZERO);
        for entry in self.entries()? {
            match fs::remove_file(&entry.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(before)
    }

    fn entries(&self) -> io::Result<Vec<Found>> {
        let listing = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            listing => listing?,
        };
        let entries = listing.flatten().filter_map(|entry| {
            let path = entry.path();
            let data = entry.metadata().ok()?;
            let is_entry =
                data.is_file() && path.extension().is_some_and(|found| SUFFIXES.iter().any(|suffix| found == *suffix));
            is_entry.then(|| Found { path, size: data.len(), used: data.modified().unwrap_or(SystemTime::UNIX_EPOCH) })
        });
        Ok(entries.collect())
    }

    /// Removes what was used longest ago, until there is some room again.
    fn trim(&self) -> io::Result<()> {
        self.remove_abandoned(ABANDONED);
        let mut entries = self.entries()?;
        let mut total: u64 = entries.iter().map(|entry| entry.size).sum();
        if total <= self.limit {
            return Ok(());
        }
        entries.sort_by_key(|entry| entry.used);
        for entry in entries {
            if total <= self.limit / 10 * 9 {
                break;
            }
            total -= entry.size;
            // Another kernel may have been faster.
            let _ = fs::remove_file(entry.path);
        }
        Ok(())
    }

    fn remove_abandoned(&self, older_than: Duration) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let age = entry.metadata().and_then(|data| data.modified()).ok().and_then(|time| time.elapsed().ok());
            if path.extension().is_some_and(|suffix| suffix == NEW) && age.is_some_and(|age| age >= older_than) {
                let _ = fs::remove_file(path);
            }
        }
    }
}

struct Found {
    path: PathBuf,
    size: u64,
    used: SystemTime,
}

/// Says that a kernel has no cache.
pub(crate) fn not_kept(config: &CacheConfig, error: &io::Error) -> String {
    let folder = config.folder.display();
    format!(
        "Each kernel compiles its cells anew, since they can't be kept in {folder}: {error}. Set CHORUS_CACHE_DIR to another folder"
    )
}

impl Cache {
    /// Opens the cache, or makes it. An error is a folder in which others could put code.
    pub fn open(config: CacheConfig) -> io::Result<Cache> {
        DirBuilder::new().recursive(true).mode(0o700).create(&config.folder)?;
        if !chorus_system::user::owns_alone(&fs::metadata(&config.folder)?) {
            let what = "it belongs to somebody else, or others can write to it";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
        }
        let cache = Cache { config: Arc::new(config), written: AtomicU32::new(0) };
        cache.trim_later();
        Ok(cache)
    }

    /// The entry, if it is there and as it was written.
    pub fn get<T: Kept>(&self, key: CacheKey) -> Option<T> {
        let mut file = File::open(self.path::<T>(key)).ok()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).ok()?;
        match decode(&bytes) {
            Some(kept) => {
                // What is used stays longest. Reading is what matters.
                let _ = file.set_modified(SystemTime::now());
                Some(kept)
            }
            None => {
                self.remove::<T>(key);
                None
            }
        }
    }

    /// Keeps an entry. What can't be kept is compiled again, so that is only logged.
    pub fn put<T: Kept>(&self, key: CacheKey, kept: &T) {
        match self.write(key, kept) {
            Ok(()) if self.written.fetch_add(1, Ordering::Relaxed) % TRIM_EVERY == TRIM_EVERY - 1 => self.trim_later(),
            Ok(()) => {}
            Err(error) => tracing::warn!(%error, "what was compiled can't be kept in {}", self.config.folder.display()),
        }
    }

    /// Drops an entry that turned out to be of no use.
    pub fn remove<T: Kept>(&self, key: CacheKey) {
        let _ = fs::remove_file(self.path::<T>(key));
    }

    fn write<T: Kept>(&self, key: CacheKey, kept: &T) -> io::Result<()> {
        let bytes = encode(kept)?;
        if bytes.len() as u64 > self.config.limit / LARGEST {
            return Ok(());
        }
        let mut file = tempfile::Builder::new().suffix(&format!(".{NEW}")).tempfile_in(&self.config.folder)?;
        file.write_all(&bytes)?;
        file.persist(self.path::<T>(key)).map_err(|error| error.error)?;
        Ok(())
    }

    fn path<T: Kept>(&self, key: CacheKey) -> PathBuf {
        let name: String = key.0.iter().map(|byte| format!("{byte:02x}")).collect();
        self.config.folder.join(name).with_extension(T::SUFFIX)
    }

    /// Nobody waits for it.
    fn trim_later(&self) {
        let config = Arc::clone(&self.config);
        std::thread::spawn(move || {
            if let Err(error) = config.trim() {
                tracing::warn!(%error, "the cache in {} can't be trimmed", config.folder.display());
            }
        });
    }
}

fn encode(kept: &impl Kept) -> io::Result<Vec<u8>> {
    let head = vec![0; MAGIC.len() + blake3::OUT_LEN];
    let mut bytes = postcard::to_extend(kept, head).map_err(io::Error::other)?;
    let sum = blake3::hash(&bytes[MAGIC.len() + blake3::OUT_LEN..]);
    bytes[..MAGIC.len()].copy_from_slice(MAGIC);
    bytes[MAGIC.len()..MAGIC.len() + blake3::OUT_LEN].copy_from_slice(sum.as_bytes());
    Ok(bytes)
}

fn decode<T: Kept>(bytes: &[u8]) -> Option<T> {
    let (sum, body) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<{ blake3::OUT_LEN }>()?;
    if blake3::hash(body) != *sum {
        return None;
    }
    postcard::from_bytes(body).ok()
}

/// Writes a cell's object where a worker can load it, unless it is there.
pub(crate) fn unpack(folder: &Path, key: CacheKey, object: &[u8]) -> io::Result<PathBuf> {
    let name: String = key.0[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    let path = folder.join(format!("cached-{name}.so"));
    if !path.exists() {
        let new = path.with_extension("new");
        fs::write(&new, object)?;
        fs::rename(&new, &path)?;
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notebook::namespace::Variable;
    use proptest::prelude::*;
    use std::os::unix::fs::PermissionsExt;

    fn cell(size: usize) -> CachedCell {
        let variable = Variable { type_name: "i32".into(), mutable: true };
        let variables = Variables::from([("x".to_owned(), variable)]);
        CachedCell {
            object: vec![7; size],
            entry: "run".into(),
            source: "fn".into(),
            before: variables.clone(),
            after: variables,
            library: None,
        }
    }

    fn cache(limit: u64) -> (tempfile::TempDir, Cache) {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(CacheConfig { folder: folder.path().join("cells"), limit }).unwrap();
        (folder, cache)
    }

    #[test]
    fn what_was_put_is_there_for_others_too() {
        let (_folder, cache) = cache(1 << 20);
        let key = CacheKey([1; 32]);
        assert_eq!(cache.get::<CachedCell>(key), None);
        cache.put(key, &cell(100));
        let other = Cache::open(CacheConfig::clone(&cache.config)).unwrap();
        assert_eq!(other.get(key), Some(cell(100)));
        cache.put(key, &cell(200));
        assert_eq!(other.get(key), Some(cell(200)));
        assert_eq!(other.config.info().unwrap().cells, 1);
        assert_eq!(cache.config.clear().unwrap().cells, 1);
        assert_eq!((other.get::<CachedCell>(key), cache.config.info().unwrap()), (None, CacheInfo::default()));
    }

    #[test]
    fn the_longest_unused_go_first() {
        let (_folder, cache) = cache(10_000);
        for number in 0..12 {
            cache.put(CacheKey([number; 32]), &cell(800));
            let old = SystemTime::now() - Duration::from_secs(1000 - u64::from(number));
            File::open(cache.path::<CachedCell>(CacheKey([number; 32]))).unwrap().set_modified(old).unwrap();
        }
        assert!(cache.get::<CachedCell>(CacheKey([0; 32])).is_some());
        cache.config.trim().unwrap();
        assert!(cache.config.info().unwrap().bytes <= 9_000);
        assert!(cache.get::<CachedCell>(CacheKey([0; 32])).is_some(), "it was used");
        assert!(cache.get::<CachedCell>(CacheKey([1; 32])).is_none());
        assert!(cache.get::<CachedCell>(CacheKey([11; 32])).is_some());
        cache.put(CacheKey([99; 32]), &cell(2_000));
        assert!(cache.get::<CachedCell>(CacheKey([99; 32])).is_none(), "it is too large to be kept");
    }

    #[test]
    fn what_others_could_have_written_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let config = CacheConfig { folder: folder.path().join("open"), limit: 1 };
        fs::create_dir(&config.folder).unwrap();
        fs::set_permissions(&config.folder, fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(Cache::open(config).err().map(|error| error.kind()), Some(io::ErrorKind::PermissionDenied));
    }

    proptest! {
        #[test]
        fn damage_is_found(at in 0..300usize, to: u8, cut in 0..300usize) {
            let whole = encode(&cell(100)).unwrap();
            let mut bytes = whole.clone();
            let at = at % bytes.len();
            bytes[at] = to;
            prop_assert_eq!(decode::<CachedCell>(&bytes).is_some(), bytes == whole);
            prop_assert_eq!(decode::<CachedCell>(&whole[..cut.min(whole.len() - 1)]), None);
        }
    }
}
