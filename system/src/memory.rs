//! Memory: how much this process has, and files that lie in memory.

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::io;

/// The memory that this process shares with no file, in bytes.
pub fn held() -> io::Result<u64> {
    let failed = |error: procfs::ProcError| io::Error::other(error);
    let pages = procfs::process::Process::myself().and_then(|me| me.statm()).map_err(failed)?;
    Ok(pages.resident.saturating_sub(pages.shared) * procfs::page_size())
}

/// A file of so many bytes that lies in memory, all 0. It is gone with the last who has it open or mapped. It can grow, but
/// never shrink under somebody who has it mapped.
pub fn file(name: &str, bytes: u64) -> io::Result<File> {
    let file = File::from(memfd_create(name, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?);
    file.set_len(bytes)?;
    fcntl(&file, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_in_memory_does_not_shrink() {
        let file = file("test", 10).unwrap();
        assert!(file.set_len(9).is_err());
        file.set_len(11).unwrap();
    }

    #[test]
    fn memory_that_is_used_counts() {
        let before = held().unwrap();
        let used = std::hint::black_box(vec![1u8; 64 << 20]);
        assert!(held().unwrap() >= before + (60 << 20), "{before}");
        drop(used);
    }
}
