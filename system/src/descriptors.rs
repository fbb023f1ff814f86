//! Descriptors: passing them to another process, moving them out of the way, and what they hold.

use crate::listing;
use nix::cmsg_space;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::sockopt::{AcceptConn, PeerCredentials};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, getsockopt, recvmsg, sendmsg};
use nix::sys::stat::{SFlag, fstat};
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::ManuallyDrop;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Where sockets go, if the limit of open files allows: away from the low numbers that programs guess at.
const HIGH_FD: RawFd = 900;

/// So many descriptors may come with one message.
const PASSED_MAX: usize = 3;

/// Of so many sockets that listen is told where they do.
pub const LISTENERS: usize = 8;

/// Passes descriptors, at most three, over a socket. `to` is the number of the process that is to receive
/// them, where several may.
pub fn pass(socket: impl AsFd, to: u32, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    sendmsg::<()>(
        socket.as_fd().as_raw_fd(),
        &[IoSlice::new(&to.to_le_bytes())],
        &rights,
        MsgFlags::MSG_NOSIGNAL,
        None,
    )?;
    Ok(())
}

/// Waits for descriptors that are [passed](pass); an error if none will come.
pub fn receive(socket: impl AsFd) -> io::Result<Vec<OwnedFd>> {
    let mut to = [0; 4];
    let mut parts = [IoSliceMut::new(&mut to)];
    let mut space = cmsg_space!([RawFd; PASSED_MAX]);
    let socket = socket.as_fd().as_raw_fd();
    let message = loop {
        match recvmsg::<()>(socket, &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC) {
            Err(nix::Error::EINTR) => {}
            message => break message?,
        }
    };
    let mut received = Vec::new();
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(descriptors) = part {
            // SAFETY: the system has just made these descriptors for us, and nobody else knows them.
            received.extend(descriptors.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
        }
    }
    if message.bytes == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(received) }
}

/// Waits until descriptors were passed and can be [received](receive), without memory from the allocator. Returns to which
/// process; an error if none will come.
pub fn await_passed(socket: impl AsFd) -> io::Result<u32> {
    let mut to = [0; 4];
    loop {
        match nix::sys::socket::recv(socket.as_fd().as_raw_fd(), &mut to, MsgFlags::MSG_PEEK) {
            Err(nix::Error::EINTR) => {}
            // It was sent as one.
            Ok(length) if length < to.len() => return Err(io::ErrorKind::UnexpectedEof.into()),
            waited => return Ok(waited.map(|_| u32::from_le_bytes(to))?),
        }
    }
}

/// Sends what the socket has room for now. `WouldBlock` if it has none.
pub fn send_now(socket: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    Ok(nix::sys::socket::send(socket.as_fd().as_raw_fd(), bytes, flags)?)
}

/// Reads what is there, from a descriptor that doesn't block. `WouldBlock` if there is nothing.
pub fn read_now(from: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    Ok(nix::unistd::read(from, buffer)?)
}

/// Whether there is something to read now, if only the end.
pub fn is_readable(fd: impl AsFd) -> bool {
    poll(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO).is_ok_and(|count| count > 0)
}

/// Whether there is something to read, or an error to hear of, within this time.
pub fn is_readable_within(fd: impl AsFd, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // Rounded up, so that it isn't asked again and again for the last bit.
        let left = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLIN)], left) {
            Err(nix::Error::EINTR) if Instant::now() < deadline => {}
            polled => return polled.is_ok_and(|count| count > 0),
        }
    }
}

/// The bytes that a pipe or socket holds now.
pub fn waiting(fd: impl AsFd) -> usize {
    let mut count: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int.
    match unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::FIONREAD, &raw mut count) } {
        0 => usize::try_from(count).unwrap_or(0),
        _ => 0,
    }
}

/// Drops what a pipe holds now.
pub fn empty(pipe: impl AsFd) {
    let mut buffer = [0; 4096];
    while waiting(&pipe) > 0 && nix::unistd::read(&pipe, &mut buffer).is_ok_and(|read| read > 0) {}
}

/// Duplicates to a high number, which programs that cells start don't inherit.
pub fn move_away(fd: impl AsFd) -> io::Result<OwnedFd> {
    let high = fcntl(fd.as_fd(), FcntlArg::F_DUPFD_CLOEXEC(HIGH_FD));
    let moved = high.or_else(|_| fcntl(fd.as_fd(), FcntlArg::F_DUPFD_CLOEXEC(3)))?;
    // SAFETY: fcntl has just made this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(moved) })
}

/// What programs do that this process starts: they have a descriptor too, or they don't.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Programs {
    /// They have it, under the same number.
    Inherit,
    /// They don't have it.
    Lack,
}

/// Has a number mean this from now on. Who uses the number keeps an open descriptor. Neither needs memory from the allocator,
/// nor a lock.
pub fn put_in_place(fd: impl AsFd, number: RawFd, programs: Programs) -> io::Result<()> {
    let flags = if programs == Programs::Inherit { 0 } else { libc::O_CLOEXEC };
    // SAFETY: takes numbers only. Whoever owns the number keeps an open descriptor.
    match unsafe { libc::dup3(fd.as_fd().as_raw_fd(), number, flags) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Has programs that this process starts have this descriptor, too.
pub fn inherit(fd: impl AsFd) -> io::Result<()> {
    fcntl(fd.as_fd(), FcntlArg::F_SETFD(FdFlag::empty()))?;
    Ok(())
}

/// This process's end of the pipe that another process has under this number.
pub fn other_end(pid: u32, number: RawFd) -> io::Result<Option<RawFd>> {
    let theirs = PathBuf::from(format!("/proc/{pid}/fd/{number}"));
    let pipe = std::fs::metadata(&theirs)?.ino();
    let reads = std::fs::symlink_metadata(&theirs)?.mode() & 0o400 != 0;
    let (mut found, me) = (None, PathBuf::from("/proc/self/fd"));
    let mut numbers = Vec::new();
    each_open(|fd| numbers.push(fd))?;
    for fd in numbers {
        let place = me.join(fd.to_string());
        let is_it = |data: &std::fs::Metadata| data.file_type().is_fifo() && data.ino() == pipe;
        // The link's own mode says for what it is open.
        let mode = std::fs::symlink_metadata(&place).map_or(0, |link| link.mode());
        if std::fs::metadata(&place).is_ok_and(|data| is_it(&data)) && (mode & 0o200 != 0) == reads {
            found = Some(fd);
        }
    }
    Ok(found)
}

/// Makes this the standard input.
pub fn set_stdin(fd: impl AsFd) -> io::Result<()> {
    Ok(dup2_stdin(fd)?)
}

/// Lets go of standard input, output and error: another process's end of them is to be the only one.
pub fn release_standard() -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    Ok(dup2_stderr(&null)?)
}

/// Whether standard output and error are open.
pub fn has_output() -> bool {
    // SAFETY: takes numbers only, and changes nothing.
    let is_open = |fd| unsafe { libc::fcntl(fd, libc::F_GETFD) } != -1;
    is_open(libc::STDOUT_FILENO) && is_open(libc::STDERR_FILENO)
}

/// Puts something else in the place of all pipes and sockets but those that are spared and the standard ones. Their owners
/// keep an open descriptor, and who is at their other ends sees them close.
///
/// That is `ended`, which is at its end. But a socket that doesn't block, and that the process `maker` made for
/// itself, becomes `silent`, from which nothing comes: programs count on that they don't end such a one themselves, and
/// who waits for it wouldn't hear of the end.
///
/// Returns where sockets listened; of many, of the first.
pub fn replace_connections(
    ended: BorrowedFd<'_>,
    silent: BorrowedFd<'_>,
    maker: u32,
    spared: &[BorrowedFd<'_>],
) -> io::Result<[Option<SocketAddr>; LISTENERS]> {
    let mut listened = [None; LISTENERS];
    let is_spared = |fd: RawFd| spared.iter().chain([&ended, &silent]).any(|spared| spared.as_raw_fd() == fd);
    each_open(|fd| {
        if fd <= libc::STDERR_FILENO || is_spared(fd) {
            return;
        }
        // SAFETY: it was listed, and no other thread closes it.
        let open = unsafe { BorrowedFd::borrow_raw(fd) };
        let Ok(stat) = fstat(open) else { return };
        let kind = SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits());
        if kind == SFlag::S_IFIFO || kind == SFlag::S_IFSOCK {
            if kind == SFlag::S_IFSOCK
                && let Some(address) = listens_at(open)
                && let Some(free) = listened.iter_mut().find(|place| place.is_none())
            {
                *free = Some(address);
            }
            let other = if kind == SFlag::S_IFSOCK && is_own(open, maker) { silent } else { ended };
            // SAFETY: takes numbers only. Whoever owns `fd` keeps an open descriptor.
            unsafe { libc::dup3(other.as_raw_fd(), fd, libc::O_CLOEXEC) };
        }
    })?;
    Ok(listened)
}

/// Where a socket waits for connections over a network, if it does.
fn listens_at(socket: BorrowedFd<'_>) -> Option<SocketAddr> {
    getsockopt(&socket, AcceptConn).ok().filter(|listens| *listens)?;
    // SAFETY: it is open as long as it is borrowed, and isn't closed here.
    let listener = ManuallyDrop::new(unsafe { TcpListener::from_raw_fd(socket.as_raw_fd()) });
    listener.local_addr().ok()
}

/// Whether a socket doesn't block, and its other end was made by this process.
fn is_own(socket: BorrowedFd<'_>, maker: u32) -> bool {
    let flags = fcntl(socket, FcntlArg::F_GETFL).map(OFlag::from_bits_truncate);
    flags.is_ok_and(|flags| flags.contains(OFlag::O_NONBLOCK))
        && getsockopt(&socket, PeerCredentials).is_ok_and(|peer| peer.pid().cast_unsigned() == maker)
}

/// Calls `work` with each open descriptor. Neither needs memory from the allocator, nor a lock.
pub(crate) fn each_open(mut work: impl FnMut(RawFd)) -> io::Result<()> {
    let folder = listing::folder(c"/proc/self/fd")?;
    listing::numbers(&folder, |fd| work(fd.cast_signed()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    #[test]
    fn descriptors_pass_over_a_socket() {
        let (here, there) = UnixStream::pair().unwrap();
        let (mut read, write) = io::pipe().unwrap();
        pass(&here, 7, &[write.as_fd()]).unwrap();
        assert_eq!(await_passed(&there).unwrap(), 7);
        drop(write);
        let passed = receive(&there).unwrap();
        File::from(move_away(&passed[0]).unwrap()).write_all(b"x").unwrap();
        drop(passed);
        let mut text = String::new();
        read.read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
        drop(here);
        assert_eq!(receive(&there).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_pipe_is_counted_and_emptied() {
        let (read, mut write) = io::pipe().unwrap();
        write.write_all(&[0; 5000]).unwrap();
        assert_eq!(waiting(&read), 5000);
        empty(&read);
        assert_eq!(waiting(&read), 0);
    }

    #[test]
    fn the_other_end_of_a_childs_pipe_is_found_and_replaced() {
        use std::process::{Command, Stdio};
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (mut writes, mut reads) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        assert_eq!(other_end(child.id(), 0).unwrap(), Some(writes.as_raw_fd()));
        assert_eq!(other_end(child.id(), 1).unwrap(), Some(reads.as_raw_fd()));
        let (here, mut there) = UnixStream::pair().unwrap();
        put_in_place(&here, writes.as_raw_fd(), Programs::Lack).unwrap();
        put_in_place(&here, reads.as_raw_fd(), Programs::Lack).unwrap();
        writes.write_all(b"a").unwrap();
        there.write_all(b"b").unwrap();
        let mut byte = [0; 1];
        there.read_exact(&mut byte).unwrap();
        assert_eq!(byte, *b"a");
        reads.read_exact(&mut byte).unwrap();
        assert_eq!(byte, *b"b");
        child.wait().unwrap();
    }

    #[test]
    fn who_made_a_socket_is_known() {
        let me = std::process::id();
        let (here, _there) = UnixStream::pair().unwrap();
        assert!(!is_own(here.as_fd(), me), "it blocks");
        here.set_nonblocking(true).unwrap();
        assert!(is_own(here.as_fd(), me) && !is_own(here.as_fd(), me + 1));
        let tcp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        tcp.set_nonblocking(true).unwrap();
        assert!(!is_own(tcp.as_fd(), me));
    }

    #[test]
    fn sending_and_reading_do_not_wait() {
        let (here, there) = UnixStream::pair().unwrap();
        there.set_nonblocking(true).unwrap();
        let kind = |result: io::Result<usize>| result.unwrap_err().kind();
        assert_eq!(kind(read_now(&there, &mut [0; 8])), io::ErrorKind::WouldBlock);
        while send_now(&here, &[0; 4096]).is_ok() {}
        assert_eq!(kind(send_now(&here, &[0; 4096])), io::ErrorKind::WouldBlock);
        assert_eq!(read_now(&there, &mut [0; 8]).unwrap(), 8);
    }
}
