//! A compiler's process of which each kernel gets a copy.

use super::message::{Reply, Template, send};
use super::relay::Own;
use super::serve::{Server, asked_to_take, go_to};
use crate::messages::diagnostic::Diagnostic;
use chorus_system::descriptors::{Programs, put_in_place};
use chorus_system::fork::{self, Side};
use chorus_system::{ProcessHandle, children, descriptors, memory, threads, user};
use std::fs::{DirEntry, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The name of the socket in its folder.
pub(crate) const SOCKET: &str = "socket";
/// How often it looks whether it is still needed.
const LOOK: Duration = Duration::from_secs(1);
/// A kernel says at once what it wants.
const PATIENCE: Duration = Duration::from_secs(5);
/// Where cargo builds, in the folder of evcxr's crate and in that of px.
const BUILT: [&str; 2] = ["target", "ahead"];
/// It gives its memory back when less than this part of all is available: it only saves time.
const SCARCE: u64 = 4;

/// Copies this process for each kernel that comes, until it isn't needed any more.
pub(super) fn run(
    template: Template,
    server: Result<Server, Diagnostic>,
    listener: &UnixListener,
    folder: &Path,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let number = |socket: std::fs::Metadata| socket.ino();
    let socket = std::fs::metadata(folder.join(SOCKET)).map(number)?;
    // Whoever wants it to leave removes the socket, and another template's may lie there soon.
    let is_forgotten = || !std::fs::metadata(folder.join(SOCKET)).map(number).is_ok_and(|it| it == socket);
    go_to(Path::new("/"));
    let mut server = match server {
        Ok(server) => server,
        Err(error) => return refuse(listener, folder, &error),
    };
    server.context.warm_up(&server.base);
    let (mut copies, mut last): (Vec<ProcessHandle>, Instant) = (Vec::new(), Instant::now());
    loop {
        if descriptors::is_readable_within(listener, LOOK) {
            let Ok((kernel, _)) = listener.accept() else { continue };
            last = Instant::now();
            match welcome(&server, kernel, listener, folder) {
                Ok(Welcomed::Copied(copy)) => copies.push(copy),
                Ok(Welcomed::Served(kernel, taken)) => {
                    server.folder = taken;
                    server.serve(kernel)
                }
                Err(error) => tracing::warn!("a kernel gets no compiler: {error}"),
            }
            continue;
        }
        children::bury_ended();
        copies.retain(|copy| !copy.has_ended());
        let is_idle = copies.is_empty() && last.elapsed() > Duration::from_secs(template.idle);
        let is_scarce = memory::available().is_ok_and(|(available, all)| available < all / SCARCE);
        if is_forgotten() {
            leave_to_others(folder);
            return Ok(());
        }
        if (is_idle || is_scarce) && leave_unless_asked(listener, folder) {
            return Ok(());
        }
    }
}

enum Welcomed {
    /// By this copy.
    Copied(ProcessHandle),
    /// By this process: it is the copy, or it can't be copied. It builds here from now on.
    Served(UnixStream, PathBuf),
}

/// Finds out what a kernel wants, and who serves it. Returns in the copy, too.
fn welcome(server: &Server, mut kernel: UnixStream, listener: &UnixListener, own: &Path) -> io::Result<Welcomed> {
    if !user::is_ours(&kernel) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    kernel.set_nonblocking(false)?;
    kernel.set_read_timeout(Some(PATIENCE))?;
    let (folder, current) = asked_to_take(&mut kernel)?;
    kernel.set_read_timeout(None)?;
    furnish(&server.folder, &folder)?;
    let (there, nothing) = (File::open(&folder)?, File::open("/dev/null")?);
    let connections = Own::new(server.context.relay(), server.context.child(), &there)?;
    let stopped = match threads::stop() {
        Ok(stopped) => stopped,
        Err(why) => {
            tracing::warn!("the compiler's process can't be copied: {why}");
            // The next kernel starts another.
            leave(own);
            server.place.put(&there)?;
            go_to(&current);
            return Ok(Welcomed::Served(kernel, folder));
        }
    };
    // SAFETY: the threads are stopped. Until they go on, the copy only puts descriptors in place. Its threads wait for
    // locks and channels, which are its own then, and at the relay's socket, in whose place it has its own.
    match unsafe { fork::child_with_threads() }? {
        Side::Original { copy, .. } => Ok(Welcomed::Copied(copy)),
        Side::Copy => {
            let placed = server.place.put(&there).and_then(|()| connections.put_in_place());
            // Or kernels would wait here when the template has gone.
            let placed = placed.and_then(|()| put_in_place(nothing, listener.as_raw_fd(), Programs::Lack));
            // SAFETY: as above.
            if placed.and_then(|()| unsafe { stopped.make_again() }).is_err() {
                chorus_system::process::leave(1);
            }
            go_to(&current);
            Ok(Welcomed::Served(kernel, folder))
        }
    }
}

/// Puts what evcxr has made before it is copied where the copy will look for it. What is there already is the kernel's own.
fn furnish(from: &Path, to: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let place = to.join(entry.file_name());
        match BUILT.iter().any(|built| entry.file_name() == *built) {
            true => furnish_folders(&entry.path(), &place)?,
            false => furnish_one(&entry, &place)?,
        }
    }
    Ok(())
}

fn furnish_one(entry: &DirEntry, place: &Path) -> io::Result<()> {
    let kind = entry.file_type()?;
    if kind.is_dir() {
        make_folder(place)?;
        return std::fs::read_dir(entry.path())?.try_for_each(|entry| {
            let entry = entry?;
            furnish_one(&entry, &place.join(entry.file_name()))
        });
    }
    if place.symlink_metadata().is_ok() {
        return Ok(());
    }
    if kind.is_symlink() {
        std::os::unix::fs::symlink(std::fs::read_link(entry.path())?, place)?;
    } else if kind.is_file() {
        std::fs::copy(entry.path(), place)?;
    }
    Ok(())
}

/// Objects and what cargo keeps beside them are of no use to another; their folders have to be there.
fn furnish_folders(from: &Path, to: &Path) -> io::Result<()> {
    make_folder(to)?;
    for entry in std::fs::read_dir(from)?.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        furnish_folders(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

fn make_folder(folder: &Path) -> io::Result<()> {
    match std::fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Whoever waits now, and whoever comes within a moment, is told why evcxr didn't start; whoever comes later tries anew.
fn refuse(listener: &UnixListener, folder: &Path, error: &Diagnostic) -> io::Result<()> {
    leave(folder);
    while descriptors::is_readable_within(listener, LOOK) {
        let (mut kernel, _) = listener.accept()?;
        kernel.set_nonblocking(false)?;
        let _ = send(&mut kernel, &Reply::Started(Err(error.clone())));
    }
    Ok(())
}

/// Nobody finds it any more. Its copies build elsewhere.
fn leave(folder: &Path) {
    if let Err(error) = crate::process::finder::clear(folder) {
        tracing::warn!("{}: {error}", folder.display());
    }
}

/// Removes what it has made, unless it is another template's by now.
fn leave_to_others(folder: &Path) {
    let lock = crate::process::finder::lock(folder);
    if lock.is_ok() && !folder.join(SOCKET).exists() {
        leave(folder);
    }
}

/// Whether it may leave: no kernel has come in the meantime. From then on none can come.
fn leave_unless_asked(listener: &UnixListener, folder: &Path) -> bool {
    let Ok(lock) = crate::process::finder::lock(folder) else { return true };
    let is_asked = descriptors::is_readable(listener);
    if !is_asked {
        leave(folder);
    }
    drop(lock);
    !is_asked
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{create_dir_all, read_to_string, write};

    #[test]
    fn a_kernels_folder_gets_what_it_lacks() {
        // Wherever it is, also in somebody's `target`.
        let all = tempfile::tempdir().unwrap();
        let (from, to) = (all.path().join("target/from"), all.path().join("to"));
        create_dir_all(from.join("src")).unwrap();
        create_dir_all(from.join("target/x/deps")).unwrap();
        create_dir_all(to.join("src")).unwrap();
        for file in ["Cargo.toml", "Cargo.lock", "src/lib.rs", "target/x/deps/libctx.so"] {
            write(from.join(file), "template's").unwrap();
        }
        std::os::unix::fs::symlink("/nowhere", from.join("link")).unwrap();
        write(to.join("Cargo.lock"), "kernel's").unwrap();
        for _ in 0..2 {
            furnish(&from, &to).unwrap();
            let text = |file: &str| read_to_string(to.join(file)).unwrap();
            assert_eq!(
                [text("Cargo.toml"), text("Cargo.lock"), text("src/lib.rs")],
                ["template's", "kernel's", "template's"]
            );
            assert_eq!(std::fs::read_link(to.join("link")).unwrap(), Path::new("/nowhere"));
            assert!(to.join("target/x/deps").is_dir() && !to.join("target/x/deps/libctx.so").exists());
        }
    }
}
