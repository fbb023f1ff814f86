//! The source of the standard library, without which rust-analyzer infers no type: where it finds it, and that it does.
//!
//! rust-analyzer says nothing if it doesn't find it, and then no `let` compiles any more whose type isn't written down.

use crate::process::interrupt::Interrupter;
use crate::toolchain::{find_program, users_path};
use chorus_system::locks::lock_within;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// Tells rust-analyzer where the library is. A path without a `core` in it is ignored.
pub(crate) const PLACE: &str = "RUST_SRC_PATH";

/// The crates that types of variables come from. The others are for special uses: what they define is asked of rustc.
/// In `core`, that are also the processors' instructions, which lie elsewhere, and are more than all the rest.
const CRATES: [&str; 3] = ["alloc", "core", "std"];
/// Where ours is, in a kernel's folder. rust-analyzer reads all sources in evcxr's crate, but not those in a folder of this
/// name.
const UNREAD: &str = ".git";
/// How long a kernel waits for another one to install the library.
const INSTALLED_WITHIN: Duration = Duration::from_secs(300);
const LISTEN: Duration = Duration::from_millis(50);

/// The folder that [`PLACE`] names, if the user hasn't chosen one.
pub(crate) fn ours(folder: &Path) -> PathBuf {
    folder.join(UNREAD).join("library")
}

/// A library that rust-analyzers find in this process while this lives, in the place of the toolchain's.
pub(crate) struct Instead(PathBuf);

impl Instead {
    /// An empty one.
    ///
    /// evcxr evaluates something when it starts, before it can be told of the crate px; when it is told, its rust-analyzer
    /// reads and analyses the standard library once more, which takes 3 s and holds on to the memory of the first time.
    pub fn nothing(folder: &Path) -> io::Result<Instead> {
        let library = Instead(ours(folder));
        std::fs::create_dir_all(library.0.join("core"))?;
        Ok(library)
    }

    /// What evcxr's rust-analyzer needs of the toolchain's: with all of it, rust-analyzer takes half as much time again for
    /// each cell, and two thirds more memory. Without a manifest, it takes the crates that it knows of by heart, and
    /// asks no cargo, which looks for the library's dependencies in the network.
    pub fn for_types(folder: &Path) -> io::Result<Instead> {
        Instead::of(folder, &in_toolchain(&sysroot()?))
    }

    fn of(folder: &Path, library: &Path) -> io::Result<Instead> {
        let ours = Instead(ours(folder));
        std::fs::create_dir_all(&ours.0)?;
        for entry in std::fs::read_dir(library)?.flatten() {
            let name = entry.file_name();
            if CRATES.iter().any(|of_types| name == *of_types) {
                std::os::unix::fs::symlink(entry.path(), ours.0.join(&name))?;
            }
        }
        Ok(ours)
    }
}

impl Drop for Instead {
    fn drop(&mut self) {
        // Links aren't followed.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn in_toolchain(sysroot: &Path) -> PathBuf {
    sysroot.join("lib/rustlib/src/rust/library")
}

fn sysroot() -> io::Result<PathBuf> {
    let output = Command::new("rustc").args(["--print", "sysroot"]).stdin(Stdio::null()).output()?;
    match output.status.success() {
        true => Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())),
        false => Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}

/// Installs the library if the toolchain lacks it, as rust-analyzer does on its own, but one kernel after the other:
/// of several rustups at once all but one fail, and who looks meanwhile sees half of the files. `folder` is the kernel's.
pub(crate) fn install(folder: &Path) -> io::Result<()> {
    let theirs = std::env::var_os(PLACE).map(PathBuf::from).filter(|place| *place != ours(folder));
    if theirs.is_some_and(|place| place.join("core").exists()) {
        return Ok(());
    }
    let sysroot = sysroot()?;
    let program = find_program("rustup");
    install_in(&sysroot, || {
        let program = program.ok_or_else(|| io::Error::other("there is no rustup on the PATH"))?;
        let mut rustup = Command::new(program);
        rustup.args(["component", "add", "rust-src"]).env("PATH", users_path()).env("RUSTUP_TOOLCHAIN", &sysroot);
        let output = rustup.stdin(Stdio::null()).output()?;
        match output.status.success() {
            true => Ok(()),
            false => Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
        }
    })
}

/// Waits for a work in a thread of its own, or for an interrupt, behind which the work goes on: half an installation is
/// of no use, and whoever needs it next waits for this one.
pub(crate) fn unless_interrupted(
    interrupter: &Interrupter,
    work: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> io::Result<()> {
    let (sender, done) = mpsc::channel();
    std::thread::Builder::new().spawn(move || _ = sender.send(work()))?;
    loop {
        match done.recv_timeout(LISTEN) {
            Ok(result) => return result,
            Err(RecvTimeoutError::Timeout) => heed(interrupter)?,
            Err(RecvTimeoutError::Disconnected) => return Err(io::Error::other("its thread panicked")),
        }
    }
}

/// An error if an interrupt was asked for.
pub(crate) fn heed(interrupter: &Interrupter) -> io::Result<()> {
    if interrupter.was_asked() { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
}

fn install_in(sysroot: &Path, add: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    // The lock is on the folder itself, so it needs no file and ends with its holder.
    let folder = File::open(sysroot)?;
    // A file system without locks: then without.
    if let Err(error) = lock_within(&folder, INSTALLED_WITHIN)
        && error.kind() == io::ErrorKind::TimedOut
    {
        let what = format!("another kernel has been installing it for {INSTALLED_WITHIN:?}");
        return Err(io::Error::new(io::ErrorKind::TimedOut, what));
    }
    if in_toolchain(sysroot).exists() {
        return Ok(());
    }
    tracing::info!("installing the standard library's source: rustup component add rust-src");
    add()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn types_need_three_crates_and_no_manifest() {
        let (library, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for name in ["alloc", "core", "std", "stdarch", "test"] {
            std::fs::create_dir(library.path().join(name)).unwrap();
        }
        std::fs::write(library.path().join("Cargo.toml"), "").unwrap();
        let names = |folder: PathBuf| {
            let mut names: Vec<_> =
                std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        // A compiler may follow another in its folder.
        for _ in 0..2 {
            let instead = Instead::of(folder.path(), library.path()).unwrap();
            assert_eq!(names(ours(folder.path())), CRATES);
            drop(instead);
            assert!(!ours(folder.path()).exists() && library.path().join("core").is_dir());
        }
        assert!(Instead::of(folder.path(), &library.path().join("missing")).is_err());
    }

    #[test]
    fn it_is_installed_by_one_and_whole_for_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let (sysroot, added) = (folder.path(), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    install_in(sysroot, || {
                        added.fetch_add(1, Ordering::SeqCst);
                        std::fs::create_dir_all(in_toolchain(sysroot))?;
                        // Whoever doesn't wait would look now.
                        std::thread::sleep(LISTEN * 2);
                        std::fs::write(in_toolchain(sysroot).join("last"), "")
                    })
                    .unwrap();
                    assert!(in_toolchain(sysroot).join("last").exists(), "half of it was seen");
                });
            }
        });
        assert_eq!(added.into_inner(), 1);
    }

    #[test]
    fn an_interrupt_ends_the_wait_and_not_the_installation() {
        let folder = tempfile::tempdir().unwrap();
        let sysroot = folder.path().to_owned();
        let interrupter = Interrupter::default();
        let (started, starts) = mpsc::channel();
        let (go_on, goes_on) = mpsc::channel::<()>();
        let waiter = std::thread::spawn({
            let interrupter = interrupter.clone();
            let sysroot = sysroot.clone();
            move || {
                unless_interrupted(&interrupter, move || {
                    install_in(&sysroot, || {
                        started.send(()).map_err(io::Error::other)?;
                        goes_on.recv().map_err(io::Error::other)?;
                        std::fs::create_dir_all(in_toolchain(&sysroot))
                    })
                })
            }
        });
        starts.recv_timeout(Duration::from_secs(20)).unwrap();
        interrupter.interrupt();
        assert_eq!(waiter.join().unwrap().unwrap_err().kind(), io::ErrorKind::Interrupted);
        assert!(!in_toolchain(&sysroot).exists());
        go_on.send(()).unwrap();
        // The next one waits for it.
        install_in(&sysroot, || panic!("it is being installed")).unwrap();
        assert!(in_toolchain(&sysroot).exists());
    }

    #[test]
    fn who_cannot_install_it_says_why_and_the_next_one_tries_again() {
        let folder = tempfile::tempdir().unwrap();
        let error = install_in(folder.path(), || Err(io::Error::other("no network"))).unwrap_err();
        assert_eq!(error.to_string(), "no network");
        install_in(folder.path(), || std::fs::create_dir_all(in_toolchain(folder.path()))).unwrap();
        assert!(in_toolchain(folder.path()).exists());
    }
}
