//! One worker process: how it is started, signalled, waited for and reaped. It knows nothing of runs.

use super::{Stdin, WorkerConfig};
use chorus_protocol::Death;
use nix::sys::signal::{Signal, killpg};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::unistd::Pid;
use std::fs::File;
use std::io::{self, IoSlice, PipeReader};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;

/// A worker process and this end of all that connects to it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Becomes readable when the process ends; it is a zombie then, until [`Process::reap`].
    pidfd: AsyncFd<OwnedFd>,
    reaped: bool,
    /// The socket of [`crate::wire`].
    pub control: UnixStream,
    /// What it prints.
    pub stdout: pipe::Receiver,
    /// What it prints, the other stream.
    pub stderr: pipe::Receiver,
    /// What it reads, if that is a pipe.
    pub stdin: Option<pipe::Sender>,
}

/// What [`spawn_here`] makes, before it is tied to a runtime.
struct Spawned {
    child: Child,
    control: std::os::unix::net::UnixStream,
    stdin: Option<OwnedFd>,
}

impl Process {
    /// Starts a worker.
    pub async fn spawn(config: &WorkerConfig, stdin: Stdin) -> io::Result<Process> {
        let config = config.clone();
        let Spawned { mut child, control, stdin } = in_lasting_thread(move || spawn_here(&config, stdin)).await??;
        // From here on, an error drops `child`, but not the process; the closed socket ends it.
        let pipe = |end: Option<OwnedFd>| end.ok_or_else(|| io::Error::other("a pipe is missing"));
        control.set_nonblocking(true)?;
        Ok(Process {
            pidfd: watch(child.id())?,
            control: UnixStream::from_std(control)?,
            stdout: pipe::Receiver::from_owned_fd(pipe(child.stdout.take().map(Into::into))?)?,
            stderr: pipe::Receiver::from_owned_fd(pipe(child.stderr.take().map(Into::into))?)?,
            stdin: stdin.map(pipe::Sender::from_owned_fd).transpose()?,
            child,
            reaped: false,
        })
    }

    /// Its process id, which is also its group's.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to the worker and to all processes that its cells started and left in its group.
    pub fn signal(&self, signal: i32) {
        // Once reaped, its number may belong to somebody else.
        if !self.reaped {
            // SAFETY: takes numbers only.
            unsafe { libc::killpg(self.pid() as libc::pid_t, signal) };
        }
    }

    /// Waits for the worker's end.
    pub async fn ended(&self) {
        // A pidfd stays readable for ever. An error means that the runtime shuts down.
        if self.pidfd.readable().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Ends what is left of the group of a worker that has ended, and says how the worker ended.
    pub fn reap(&mut self) -> Death {
        self.signal(Signal::SIGKILL as i32);
        let status = self.child.wait();
        self.reaped = true;
        match status.map(|status| (status.code(), status.signal())) {
            Ok((Some(code), _)) => Death::Exit(code),
            Ok((None, Some(signal))) => Death::Signal(signal),
            // Somebody else waited for all children of this process.
            _ => Death::Stopped,
        }
    }

    /// Kills the worker and waits for its end.
    pub async fn end(mut self) {
        self.signal(Signal::SIGKILL as i32);
        self.ended().await;
        self.reap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Not waited for: this is the way out of a runtime that shuts down.
        if !self.reaped {
            let _ = killpg(Pid::from_raw(self.pid() as i32), Signal::SIGKILL);
        }
    }
}

/// The bytes that a pipe holds now.
pub fn waiting(pipe: &pipe::Receiver) -> usize {
    let mut count: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int.
    match unsafe { libc::ioctl(pipe.as_raw_fd(), libc::FIONREAD, &mut count) } {
        0 => usize::try_from(count).unwrap_or(0),
        _ => 0,
    }
}

fn spawn_here(config: &WorkerConfig, stdin: Stdin) -> io::Result<Spawned> {
    let (control, theirs) = std::os::unix::net::UnixStream::pair()?;
    let (read, write): (OwnedFd, Option<OwnedFd>) = match stdin {
        Stdin::Pipe => {
            let (read, write): (PipeReader, _) = io::pipe()?;
            (read.into(), Some(write.into()))
        }
        Stdin::Null => (File::open("/dev/null")?.into(), None),
    };
    let mut command = Command::new(&config.program);
    command.args(&config.args).arg(std::process::id().to_string());
    command.envs(config.env.iter().map(|(name, value)| (name, value)));
    if let Some(folder) = &config.folder {
        command.current_dir(folder);
    }
    // The socket travels as stdin and the cell's stdin over the socket: any other number would need code between
    // fork and exec, and with it a real fork, which is slow in a large process.
    command.stdin(OwnedFd::from(theirs)).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.process_group(0).spawn()?;
    let fds = [read.as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&fds)];
    sendmsg::<()>(control.as_raw_fd(), &[IoSlice::new(&[0])], &rights, MsgFlags::empty(), None)?;
    Ok(Spawned { child, control, stdin: write })
}

fn pidfd_open(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers only.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0) };
    match i32::try_from(fd) {
        // SAFETY: the kernel has just made this descriptor for us.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A descriptor that becomes readable when the process ends.
pub fn watch(pid: u32) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd refers to the same open descriptor for as long as it lives.
    Ok(unsafe { AsyncFd::register(pidfd_open(pid)?) }?)
}

type Work = Box<dyn FnOnce() + Send>;

/// Does `work` in a thread that lasts as long as this process. The kernel tells a worker of its parent's end when the
/// *thread* that started it ends, and a runtime's threads come and go.
async fn in_lasting_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    static THREAD: Mutex<Option<mpsc::Sender<Work>>> = Mutex::new(None);
    let (reply, done) = oneshot::channel();
    let work: Work = Box::new(move || drop(reply.send(work())));
    {
        let mut thread = THREAD.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = match thread.take() {
            Some(sender) => sender,
            None => {
                let (sender, receiver) = mpsc::channel::<Work>();
                std::thread::Builder::new()
                    .name("worker starter".into())
                    .stack_size(256 << 10)
                    .spawn(move || receiver.into_iter().for_each(|work| work()))?;
                sender
            }
        };
        let sent = sender.send(work);
        *thread = Some(sender);
        sent.map_err(|_| io::Error::other("the thread that starts workers is gone"))?;
    }
    done.await.map_err(|_| io::Error::other("the thread that starts workers is gone"))
}
