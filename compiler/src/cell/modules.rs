//! Functions that were compiled for GPUs, kept beside the cells: an unchanged one isn't compiled again in another kernel.

use crate::cell::cache::{Cache, CacheConfig, CacheKey, Kept};
use serde::{Deserialize, Serialize};
use std::io;
use std::os::unix::fs::MetadataExt;

/// A function for GPUs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Module {
    /// Its code, linked.
    #[serde(with = "serde_bytes")]
    pub ptx: Vec<u8>,
    /// Size and alignment of an item, then of a result, in bytes.
    pub layout: [u64; 4],
}

impl Kept for Module {
    const SUFFIX: &'static str = "gpu";
}

/// Those that are kept.
pub struct Modules {
    cache: Cache,
    /// The program that links them.
    linker: String,
}

impl Modules {
    /// Opens what there is.
    pub fn open(config: &CacheConfig) -> io::Result<Modules> {
        // A version alone would be that of many builds while Chorus itself is worked at.
        let program = std::env::current_exe()?.metadata()?;
        let linker = format!("{} {} {}", program.len(), program.mtime(), program.mtime_nsec());
        Ok(Modules { cache: Cache::open(config.clone())?, linker })
    }

    /// The module that comes of this: rustc, its arguments and the text, in whatever form. Nothing if it isn't there, or not
    /// as it was written.
    pub fn get(&self, recipe: &str) -> Option<Module> {
        self.cache.get(self.key(recipe))
    }

    /// Keeps one.
    pub fn put(&self, recipe: &str, module: &Module) {
        self.cache.put(self.key(recipe), module);
    }

    fn key(&self, recipe: &str) -> CacheKey {
        let mut hasher = blake3::Hasher::new_derive_key("chorus: a function for GPUs");
        for part in [&self.linker, recipe] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
        CacheKey(hasher.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn modules_are_found_by_all_that_they_are_made_of_and_damaged_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let config = CacheConfig { folder: folder.path().join("cells"), limit: 1 << 20 };
        let modules = Modules::open(&config).unwrap();
        let module = Module { ptx: b".version 7.0".to_vec(), layout: [4, 4, 8, 8] };
        assert_eq!(modules.get("a"), None);
        modules.put("a", &module);
        let other = Modules::open(&config).unwrap();
        assert_eq!((other.get("a"), other.get("b")), (Some(module.clone()), None));
        let info = config.info().unwrap();
        assert_eq!((info.cells, info.gpu_functions, info.gpu_bytes > 40, info.bytes), (0, 1, true, info.gpu_bytes));
        let relinked = Modules { linker: "another".into(), cache: Cache::open(config.clone()).unwrap() };
        assert_eq!(relinked.get("a"), None);

        let file = fs::read_dir(&config.folder).unwrap().next().unwrap().unwrap().path();
        let mut bytes = fs::read(&file).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&file, bytes).unwrap();
        assert_eq!(modules.get("a"), None);
        assert!(!file.exists(), "it is built and kept again");
        modules.put("a", &module);
        assert_eq!(config.clear().unwrap().gpu_functions, 1);
        assert_eq!(modules.get("a"), None);
    }
}
