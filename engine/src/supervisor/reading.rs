//! Whether a process waits for somebody to write to its stdin.
//!
//! Linux tells the system call in which a thread is blocked (`/proc/PID/task/TID/syscall`, see proc(5)). The reader of a
//! pipe says so nowhere else. Where that file can't be read, nobody seems to wait.

use std::path::Path;

/// Whether a thread of this process is blocked while it reads a pipe as its stdin.
pub(super) fn is_reading(pid: u32) -> bool {
    let process = Path::new("/proc").join(pid.to_string());
    let stdin = std::fs::read_link(process.join("fd/0")).unwrap_or_default();
    let is_pipe = stdin.to_string_lossy().starts_with("pipe:");
    let call = format!("{} 0x0 ", nix::libc::SYS_read);
    let reads = |task: std::fs::DirEntry| {
        std::fs::read_to_string(task.path().join("syscall")).is_ok_and(|blocked| blocked.starts_with(&call))
    };
    is_pipe && std::fs::read_dir(process.join("task")).is_ok_and(|tasks| tasks.flatten().any(reads))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    #[test]
    fn who_waits_for_a_line_is_seen() {
        let mut sleeper = Command::new("sleep").arg("600").stdin(Stdio::piped()).spawn().unwrap();
        let mut reader = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while !is_reading(reader.id()) {
            assert!(Instant::now() < deadline, "waited for cat to read");
            std::thread::yield_now();
        }
        reader.stdin.take().unwrap().write_all(b"line").unwrap();
        reader.wait().unwrap();
        assert!(!is_reading(sleeper.id()) && !is_reading(reader.id()));
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
    }
}
