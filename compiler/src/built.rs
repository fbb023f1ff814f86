//! Keeps the crate px as rustc built it. rustc needs seconds for it, and each kernel needs the same.
//!
//! The files that cargo expects have names that depend on the kernel's folder; what is in them doesn't.

use crate::cache::{Cache, CacheConfig, CacheKey, Kept};
use crate::reuse::add;
use crate::tools::value_of;
use serde::{Deserialize, Serialize};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::Command;

/// px, built.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Built {
    #[serde(with = "serde_bytes")]
    rlib: Vec<u8>,
    #[serde(with = "serde_bytes")]
    metadata: Vec<u8>,
}

impl Kept for Built {
    const SUFFIX: &'static str = "px";
}

/// Where rustc puts what it builds.
struct Files {
    rlib: PathBuf,
    metadata: PathBuf,
    /// What cargo is told of the sources.
    dependencies: PathBuf,
}

/// Builds px by `rustc`, whose path and arguments are `args`, or takes it from the cache. `None` if that can't be had:
/// there is no cache, or px depends on other crates, of which the arguments don't say enough.
pub(crate) fn build_or_take(args: &[OsString], rustc: impl Fn() -> Command) -> Option<io::Result<i32>> {
    let files = Files::of(args)?;
    let cache = Cache::open(CacheConfig::from_environment()?).ok()?;
    let key = key(args, &rustc)?;
    if let Some(built) = cache.get::<Built>(key) {
        return Some(files.write(&built).map(|()| 0));
    }
    let mut command = rustc();
    command.args(&args[1..]);
    Some(command.status().map(|status| {
        if let (true, Some(built)) = (status.success(), files.read()) {
            cache.put(key, &built);
        }
        status.code().unwrap_or(1)
    }))
}

/// Of the compiler, px, and what cargo asks for; the last but for places.
fn key(args: &[OsString], rustc: impl Fn() -> Command) -> Option<CacheKey> {
    let version = rustc().arg("-vV").output().ok().filter(|output| output.status.success())?;
    let mut hasher = blake3::Hasher::new();
    add(&mut hasher, &version.stdout);
    for text in crate::px::sources() {
        add(&mut hasher, text.as_bytes());
    }
    let mut args = args.iter().skip(1);
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("--out-dir" | "-L") => _ = args.next(),
            Some(name) if name.starts_with("extra-filename=") => {}
            _ => add(&mut hasher, arg.as_bytes()),
        }
    }
    Some(CacheKey(*hasher.finalize().as_bytes()))
}

impl Files {
    fn of(args: &[OsString]) -> Option<Files> {
        if value_of(args, "--extern").is_some() || !args.iter().any(|arg| arg == "--emit=dep-info,metadata,link") {
            return None;
        }
        let folder = PathBuf::from(value_of(args, "--out-dir")?);
        let extra = args.iter().find_map(|arg| arg.to_str()?.strip_prefix("extra-filename="))?;
        Some(Files {
            rlib: folder.join(format!("libpx{extra}.rlib")),
            metadata: folder.join(format!("libpx{extra}.rmeta")),
            dependencies: folder.join(format!("px{extra}.d")),
        })
    }

    fn read(&self) -> Option<Built> {
        Some(Built { rlib: fs::read(&self.rlib).ok()?, metadata: fs::read(&self.metadata).ok()? })
    }

    fn write(&self, built: &Built) -> io::Result<()> {
        fs::write(&self.metadata, &built.metadata)?;
        fs::write(&self.rlib, &built.rlib)?;
        let spaced = |path: &OsStr| path.to_string_lossy().replace(' ', "\\ ");
        let sources: String = crate::px::files().map(|name| format!(" px/{name}")).collect();
        fs::write(&self.dependencies, format!("{}:{sources}\n", spaced(self.rlib.as_os_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(folder: &str, extra: &str, more: &[&str]) -> Vec<OsString> {
        let call = "rustc --crate-name px px/src/lib.rs --emit=dep-info,metadata,link -C opt-level=2 --out-dir";
        let extra = format!("extra-filename={extra}");
        let rest = [folder, "-C", extra.as_str(), "-L", folder];
        call.split(' ').chain(rest).chain(more.iter().copied()).map(OsString::from).collect()
    }

    #[test]
    fn places_do_not_matter_and_the_rest_does() {
        let key = |args: &[OsString]| key(args, || Command::new("rustc"));
        let first = key(&args("/a/deps", "-1", &[]));
        assert!(first.is_some());
        assert_eq!(first, key(&args("/b b/deps", "-2", &[])));
        assert_ne!(first, key(&args("/a/deps", "-1", &["-Copt-level=3"])));
        assert_eq!(super::key(&args("/a", "-1", &[]), || Command::new("/nonexistent/rustc")), None);
    }

    #[test]
    fn what_depends_on_other_crates_is_not_kept() {
        assert!(Files::of(&args("/a", "-1", &[])).is_some());
        assert!(Files::of(&args("/a", "-1", &["--extern", "serde=/x/libserde.rlib"])).is_none());
        assert!(Files::of(&[OsString::from("rustc"), OsString::from("-vV")]).is_none());
    }

    #[test]
    fn what_was_read_is_written_under_the_other_name() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        let of = |extra: &str| Files::of(&args(folder.path().to_str().unwrap(), extra, &[])).unwrap();
        assert!(of("-1").read().is_none());
        fs::write(place("libpx-1.rlib"), b"library").unwrap();
        fs::write(place("libpx-1.rmeta"), b"metadata").unwrap();
        of("-2").write(&of("-1").read().unwrap()).unwrap();
        assert_eq!(fs::read(place("libpx-2.rlib")).unwrap(), b"library");
        assert_eq!(fs::read(place("libpx-2.rmeta")).unwrap(), b"metadata");
        let told = fs::read_to_string(place("px-2.d")).unwrap();
        assert!(told.contains("libpx-2.rlib: px/src/lib.rs px/src/"), "{told}");
    }
}
