//! Single processes: this one, and others by their numbers.

use nix::errno::Errno;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::kill;
use nix::sys::time::{TimeVal, TimeValLike as _};
use nix::unistd::Pid;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a process may take to become another program.
const EXEC: Duration = Duration::from_millis(20);

/// Between two looks whether it has.
const LOOK: Duration = Duration::from_millis(1);

/// Whether there is a process of this number. It may be another one than was meant: numbers are used again.
pub fn exists(pid: u32) -> bool {
    kill(Pid::from_raw(pid.cast_signed()), None) != Err(Errno::ESRCH)
}

/// Whether a process has ended, and its parent hasn't noticed yet: there are containers in which nobody ever does.
pub fn is_zombie(pid: u32) -> bool {
    let stat = procfs::process::Process::new(pid.cast_signed()).and_then(|process| process.stat());
    stat.is_ok_and(|stat| stat.state == 'Z')
}

/// Sends a signal to a process. The number must still be its own.
pub fn send(pid: u32, signal: i32) {
    // The number 0 would mean this process's group.
    if pid != 0 {
        // SAFETY: takes numbers only. An error means that it has ended.
        unsafe { libc::kill(pid.cast_signed(), signal) };
    }
}

/// Ends this process and leaves what stands in its buffers: that is another process's to print.
pub fn leave(status: i32) -> ! {
    // SAFETY: takes a number only.
    unsafe { libc::_exit(status) }
}

/// Whether this is the thread that the process began with.
pub fn is_main_thread() -> bool {
    nix::unistd::gettid() == Pid::this()
}

/// The processors' time that this process has used, in its own code and in the system, in microseconds.
pub fn cpu_micros() -> (u64, u64) {
    let micros = |time: TimeVal| time.num_microseconds().try_into().unwrap_or(0);
    // It fails for nobody who asks about itself.
    getrusage(UsageWho::RUSAGE_SELF).map_or((0, 0), |usage| (micros(usage.user_time()), micros(usage.system_time())))
}

/// A process, as the list of all of them shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its number.
    pub pid: u32,
    /// Its parent's.
    pub parent: u32,
    /// The beginning of its program's name.
    pub name: String,
}

/// All processes that this one can see.
pub fn all() -> Vec<Listed> {
    let listed = |process: procfs::process::Process| {
        let stat = process.stat().ok()?;
        Some(Listed { pid: stat.pid.cast_unsigned(), parent: stat.ppid.cast_unsigned(), name: stat.comm })
    };
    // A process may end while it is looked at.
    procfs::process::all_processes().into_iter().flatten().filter_map(|process| listed(process.ok()?)).collect()
}

/// The processes that have this among their arguments.
pub fn with_argument(argument: &Path) -> Vec<u32> {
    let has = |process: &procfs::process::Process| {
        process.cmdline().is_ok_and(|line| line.iter().any(|part| Path::new(part) == argument))
    };
    let found = procfs::process::all_processes().into_iter().flatten().flatten();
    found.filter(has).map(|process| process.pid.cast_unsigned()).collect()
}

/// Whether a process was started with this environment variable; not if it has ended.
pub fn has_variable(pid: u32, name: &str) -> bool {
    let deadline = Instant::now() + EXEC;
    loop {
        let process = procfs::process::Process::new(pid.cast_signed());
        let Ok(environment) = process.and_then(|process| process.environ()) else { return false };
        if !environment.is_empty() || Instant::now() >= deadline {
            return environment.contains_key(std::ffi::OsStr::new(name));
        }
        // It is about to become its program, and for a moment has no environment that can be seen.
        std::thread::sleep(LOOK);
    }
}

/// The folder in which a process is, as a path that leads there until it has ended.
pub fn folder(pid: u32) -> std::path::PathBuf {
    format!("/proc/{pid}/cwd").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_seen() {
        let pid = std::process::id();
        assert!(!is_zombie(pid) && !is_zombie(u32::MAX >> 1));
        assert!(exists(pid) && has_variable(pid, "PATH") && !has_variable(pid, "NO SUCH"));
        assert_eq!(folder(pid).canonicalize().unwrap(), std::env::current_dir().unwrap());
        let me = all().into_iter().find(|process| process.pid == pid).unwrap();
        assert_eq!(me.parent, crate::parent::id());
        let program = std::env::args_os().next().unwrap();
        assert!(with_argument(Path::new(&program)).contains(&pid));
        assert!(crate::memory::part_of(pid).unwrap() > 0);
    }

    #[test]
    fn nobody_is_signalled_by_the_number_0() {
        send(0, crate::signal::KILL);
        crate::group::end(0);
    }
}
