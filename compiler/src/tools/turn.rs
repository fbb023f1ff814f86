//! Whose turn it is to build in a kernel's folder: the tools of one compiler's process. Those of one that was killed
//! would go on, and write between what the next one writes.

use chorus_system::group;
use chorus_system::locks::lock_within;
use chorus_system::parent::{self, AtItsEnd};
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

/// The lock, in the folder that evcxr builds in.
const LOCK: &str = ".chorus-builds";
/// How soon what built here before must be gone: it has been killed.
const GONE_WITHIN: Duration = Duration::from_secs(30);

/// Ends this process with its parent, the compiler's process, and all that it starts with it.
pub(crate) fn end_with_compiler() -> io::Result<()> {
    let compiler = parent::id();
    group::lead()?;
    parent::die_with(compiler, AtItsEnd::EndGroup)
}

/// Waits until nobody else builds in this folder; holds as long as the file is open. A file system without locks: then
/// without.
pub(crate) fn take(folder: &Path) -> io::Result<File> {
    let file = File::create(folder.join(LOCK))?;
    match lock_within(&file, GONE_WITHIN) {
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            let what = format!("something else has been building in {} for {GONE_WITHIN:?}", folder.display());
            Err(io::Error::new(io::ErrorKind::TimedOut, what))
        }
        _ => Ok(file),
    }
}
