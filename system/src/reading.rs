//! Who waits for somebody to write to a pipe.
//!
//! The reader of a pipe says nowhere that it waits, but Linux tells the system call in which a thread is blocked
//! (`/proc/PID/task/TID/syscall`, see proc(5)). Where that can't be read, nobody seems to wait.

use procfs::process::{FDTarget, Process};
use procfs::{ProcResult, process::Syscall};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// The system calls that read from their first argument.
const READS: [libc::c_long; 4] = [libc::SYS_read, libc::SYS_readv, libc::SYS_splice, libc::SYS_tee];

/// A pipe, whoever has it open under whatever number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pipe(u64);

/// Who waits for a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// A thread of the process itself.
    Process,
    /// A process that it has started.
    Child,
}

impl Pipe {
    /// The pipe that this is an end of.
    pub fn of(end: impl AsFd) -> io::Result<Pipe> {
        Ok(Pipe(nix::sys::stat::fstat(end)?.st_ino))
    }

    /// Who is blocked in reading this pipe, of a process and its children. The process itself goes first.
    pub fn reader(self, pid: u32) -> Option<Reader> {
        let Ok((waits, children)) = self.look(pid) else { return None };
        if waits {
            return Some(Reader::Process);
        }
        let mut todo = children;
        while let Some(child) = todo.pop() {
            match self.look(child) {
                Ok((true, _)) => return Some(Reader::Child),
                Ok((false, children)) => todo.extend(children),
                // It has ended, or belongs to somebody else.
                Err(_) => {}
            }
        }
        None
    }

    /// Another end to write to, of a process whose stdin the pipe is.
    pub fn open_again(self, pid: u32) -> io::Result<OwnedFd> {
        let end = File::options().write(true).open(format!("/proc/{pid}/fd/0"))?;
        if Pipe::of(&end)? == self { Ok(end.into()) } else { Err(io::Error::other("its stdin is another one")) }
    }

    /// Whether a thread of the process waits for this pipe, and its children.
    fn look(self, pid: u32) -> ProcResult<(bool, Vec<u32>)> {
        let process = Process::new(pid.cast_signed())?;
        let (mut waits, mut children) = (false, Vec::new());
        for task in process.tasks()?.flatten() {
            if let Ok(Syscall::Blocked { syscall_number, argument_registers: [fd, ..], .. }) = task.syscall()
                && READS.contains(&syscall_number)
            {
                let fd = process.fd_from_fd(i32::try_from(fd).unwrap_or(-1));
                waits |= fd.is_ok_and(|fd| matches!(fd.target, FDTarget::Pipe(inode) if inode == self.0));
            }
            children.extend(task.children().unwrap_or_default());
        }
        Ok((waits, children))
    }
}

/// Whether the system says in which calls this process is blocked.
pub fn is_told(pid: u32) -> bool {
    Process::new(pid.cast_signed()).and_then(|process| process.syscall()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    /// Waits for the reader of `script`'s stdin.
    fn reader(script: &str) -> Option<Reader> {
        let mut shell = Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = shell.stdin.take().unwrap();
        let pipe = Pipe::of(&stdin).unwrap();
        assert!(is_told(shell.id()));
        let deadline = Instant::now() + Duration::from_secs(10);
        let reader = loop {
            match pipe.reader(shell.id()) {
                None if Instant::now() < deadline && shell.try_wait().unwrap().is_none() => std::thread::yield_now(),
                reader => break reader,
            }
        };
        stdin.write_all(b"line\n").ok();
        drop(stdin);
        shell.wait().unwrap();
        reader
    }

    #[test]
    fn who_waits_for_a_line_is_seen() {
        assert_eq!(reader("exec cat >/dev/null"), Some(Reader::Process));
        assert_eq!(reader("exec 5<&0 </dev/null; read -r line <&5"), Some(Reader::Process), "under another number");
        assert_eq!(reader("cat >/dev/null; :"), Some(Reader::Child));
    }

    #[test]
    fn who_waits_for_another_pipe_is_not() {
        assert_eq!(reader("sleep 0.3 | cat"), None);
    }
}
