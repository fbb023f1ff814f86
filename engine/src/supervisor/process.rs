//! One worker process, with its keeper and its frozen copies: how it is started, signalled, waited for and replaced by a
//! copy. It knows nothing of runs.

use super::{Stdin, WorkerConfig};
use crate::wire::{Decoder, FromKeeper, FromWorker, ToKeeper, encode};
use chorus_protocol::Death;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::socket::{ControlMessage, MsgFlags, Shutdown, send, sendmsg, shutdown};
use std::fs::File;
use std::io::{self, IoSlice, PipeReader};
use std::net::Shutdown as Direction;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;

/// How long a frozen copy may take to carry on.
const THAW_LIMIT: Duration = Duration::from_secs(5);

/// How long a keeper may take to end itself and all that it keeps.
const END_LIMIT: Duration = Duration::from_secs(3);

const KILLED_AS_WELL: &str = "the snapshot was killed as well";

/// A worker process and this end of all that connects to it.
#[derive(Debug)]
pub struct Process {
    /// The worker's parent.
    keeper: Child,
    /// Its socket. It ends with it.
    keeping: UnixStream,
    said: Decoder,
    /// Whether the keeper has ended and been reaped.
    reaped: bool,
    /// The worker, which leads its group; `None` until it is ready. Its number isn't given to others before the keeper
    /// is told to adopt another.
    worker: Option<u32>,
    /// Where frozen copies wait.
    gate: std::os::unix::net::UnixStream,
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
    keeper: Child,
    keeping: std::os::unix::net::UnixStream,
    gate: std::os::unix::net::UnixStream,
    control: std::os::unix::net::UnixStream,
    stdin: Option<OwnedFd>,
}

impl Process {
    /// Starts a worker.
    pub async fn spawn(config: &WorkerConfig, stdin: Stdin) -> io::Result<Process> {
        let config = config.clone();
        let Spawned { mut keeper, keeping, gate, control, stdin } =
            in_lasting_thread(move || spawn_here(&config, stdin)).await??;
        // From here on, an error drops `keeper`, but not the process; the closed socket ends it.
        let pipe = |end: Option<OwnedFd>| end.ok_or_else(|| io::Error::other("a pipe is missing"));
        Ok(Process {
            keeping: asynchronous(keeping)?,
            said: Decoder::default(),
            reaped: false,
            worker: None,
            gate,
            control: asynchronous(control)?,
            stdout: pipe::Receiver::from_owned_fd(pipe(keeper.stdout.take().map(Into::into))?)?,
            stderr: pipe::Receiver::from_owned_fd(pipe(keeper.stderr.take().map(Into::into))?)?,
            stdin: stdin.map(pipe::Sender::from_owned_fd).transpose()?,
            keeper,
        })
    }

    /// The worker's process id; 0 until it is ready.
    pub fn pid(&self) -> u32 {
        self.worker.unwrap_or(0)
    }

    /// Notes that this process says that it is the worker.
    pub fn set_worker(&mut self, pid: u32) {
        self.worker = Some(pid);
    }

    /// Sends a signal to the worker and to all processes that its cells started and left in its group.
    pub fn signal(&self, signal: i32) {
        match self.worker {
            // SAFETY: takes numbers only.
            Some(worker) => _ = unsafe { libc::killpg(worker as libc::pid_t, signal) },
            None => self.signal_keeper(signal),
        }
    }

    fn signal_keeper(&self, signal: i32) {
        // Once reaped, its number may belong to somebody else.
        if !self.reaped {
            // SAFETY: takes numbers only.
            unsafe { libc::kill(self.keeper.id() as libc::pid_t, signal) };
        }
    }

    /// Waits until there may be a [death](Process::death).
    pub async fn ended(&self) {
        // An error means that the runtime shuts down.
        if self.keeping.readable().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// How the worker ended, if it has. What its cells started has ended too.
    pub fn death(&mut self) -> Option<Death> {
        match self.hear_keeper() {
            Ok(Some(FromKeeper::Died(death))) => Some(death),
            Ok(_) => None,
            // The keeper is gone, or its program isn't ours.
            Err(_) => Some(self.reap()),
        }
    }

    /// Has a frozen copy become the worker, once its death is known and all that it said has been read. After an error,
    /// there is none.
    pub async fn thaw(&mut self, copy: u32) -> io::Result<()> {
        if self.reaped {
            return Err(io::Error::other("the process that kept the snapshot was killed as well"));
        }
        // The worker's number is given back.
        self.worker = None;
        let bytes = encode(&ToKeeper::Adopt(copy))?;
        send(self.keeping.as_raw_fd(), &bytes, MsgFlags::MSG_NOSIGNAL)?;
        let thawed = async {
            loop {
                match self.hear_keeper()? {
                    Some(FromKeeper::Adopted) => break,
                    Some(FromKeeper::Died(_)) => return Err(io::Error::other(KILLED_AS_WELL)),
                    None => self.keeping.readable().await?,
                }
            }
            // What half a message the worker may have left in the old socket doesn't matter.
            let (control, theirs) = std::os::unix::net::UnixStream::pair()?;
            let fds = [theirs.as_raw_fd()];
            let rights = [ControlMessage::ScmRights(&fds)];
            let sent =
                sendmsg::<()>(self.gate.as_raw_fd(), &[IoSlice::new(&[0])], &rights, MsgFlags::MSG_NOSIGNAL, None);
            match sent {
                // The keeper hasn't heard of it yet.
                Err(Errno::EPIPE) => return Err(io::Error::other(KILLED_AS_WELL)),
                sent => sent?,
            };
            drop(theirs);
            self.control = asynchronous(control)?;
            let (mut decoder, mut buffer) = (Decoder::default(), [0; 64]);
            loop {
                match decoder.next()? {
                    Some(FromWorker::Ready { pid }) => return Ok(pid),
                    Some(_) => return Err(io::Error::other("the snapshot isn't one")),
                    None => {}
                }
                self.control.readable().await?;
                match self.control.try_read(&mut buffer) {
                    Ok(0) => return Err(io::Error::other("the snapshot ended when it was to carry on")),
                    Ok(read) => decoder.push(&buffer[..read]),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
        };
        match tokio::time::timeout(THAW_LIMIT, thawed).await {
            Ok(pid) => self.worker = Some(pid?),
            Err(_) => return Err(io::Error::other("the snapshot didn't carry on in time")),
        }
        Ok(())
    }

    /// Kills the worker and all that belongs to it, and waits for its end.
    pub async fn end(mut self) {
        if self.worker.is_none() {
            self.signal_keeper(Signal::SIGKILL as i32);
        }
        self.signal(Signal::SIGKILL as i32);
        // Copies first, since their end is waited for by the keeper.
        let _ = self.gate.shutdown(Direction::Both);
        let _ = shutdown(self.keeping.as_raw_fd(), Shutdown::Write);
        let ended = async {
            while !self.reaped && self.hear_keeper().is_ok() {
                self.ended().await;
            }
        };
        let _ = tokio::time::timeout(END_LIMIT, ended).await;
        self.reap();
    }

    /// The keeper's next message, if it has arrived; an error when none will come any more.
    fn hear_keeper(&mut self) -> io::Result<Option<FromKeeper>> {
        loop {
            if let Some(message) = self.said.next()? {
                return Ok(Some(message));
            }
            let mut buffer = [0; 64];
            // The runtime is asked only when there is nothing, so that it waits for more.
            let read = match nix::unistd::read(&self.keeping, &mut buffer) {
                Err(Errno::EAGAIN) => self.keeping.try_read(&mut buffer),
                read => read.map_err(Into::into),
            };
            match read {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => self.said.push(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Buries the keeper, whose end is near, and says how it ended.
    fn reap(&mut self) -> Death {
        self.signal_keeper(Signal::SIGKILL as i32);
        let status = self.keeper.wait();
        (self.reaped, self.worker) = (true, None);
        match status.map(|status| (status.code(), status.signal())) {
            Ok((Some(code), _)) => Death::Exit(code),
            Ok((None, Some(signal))) => Death::Signal(signal),
            // Somebody else waited for all children of this process.
            _ => Death::Stopped,
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Not waited for: this is the way out of a runtime that shuts down. A keeper ends with its socket.
        match self.worker {
            Some(_) => self.signal(Signal::SIGKILL as i32),
            None => self.signal_keeper(Signal::SIGKILL as i32),
        }
    }
}

fn asynchronous(socket: std::os::unix::net::UnixStream) -> io::Result<UnixStream> {
    socket.set_nonblocking(true)?;
    UnixStream::from_std(socket)
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
    let pair = std::os::unix::net::UnixStream::pair;
    let ((control, theirs), (keeping, keepers), (gate, copies)) = (pair()?, pair()?, pair()?);
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
    // The socket travels as stdin and the rest over the socket: any other number would need code between fork and exec,
    // and with it a real fork, which is slow in a large process.
    command.stdin(OwnedFd::from(theirs)).stdout(Stdio::piped()).stderr(Stdio::piped());
    let keeper = command.process_group(0).spawn()?;
    let fds = [read.as_raw_fd(), keepers.as_raw_fd(), copies.as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&fds)];
    sendmsg::<()>(control.as_raw_fd(), &[IoSlice::new(&[0])], &rights, MsgFlags::empty(), None)?;
    Ok(Spawned { keeper, keeping, gate, control, stdin: write })
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
