//! Memory: how much this process has, and files that lie in memory.

use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::io;

/// The memory that this process shares with no file, in bytes.
pub fn held() -> io::Result<u64> {
    let failed = |error: procfs::ProcError| io::Error::other(error);
    let pages = procfs::process::Process::myself().and_then(|me| me.statm()).map_err(failed)?;
    Ok(pages.resident.saturating_sub(pages.shared) * procfs::page_size())
}

/// A file in memory, empty. It is gone with the last who has it open or mapped.
pub fn file() -> io::Result<File> {
    Ok(memfd_create(c"chorus", MFdFlags::MFD_CLOEXEC)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_used_counts() {
        let before = held().unwrap();
        let used = std::hint::black_box(vec![1u8; 64 << 20]);
        assert!(held().unwrap() >= before + (60 << 20), "{before}");
        drop(used);
    }
}
