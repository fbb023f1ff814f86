//! One worker process, with its keeper and its frozen copies: how it is started, signalled, waited for and replaced by a
//! copy. It knows nothing of runs.

use super::WorkerConfig;
use crate::wire::{Decoder, FromKeeper, FromWorker, ToKeeper, encode};
use chorus_protocol::Death;
use chorus_system::reading::{Pipe, Reader};
use chorus_system::{ProcessHandle, descriptors, group, process, reading, signal};
use parking_lot::Mutex;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncWriteExt, Interest};
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
    /// What it reads; `None` if that has ended.
    pub stdin: Option<pipe::Sender>,
    /// The same, to find out who waits for it.
    pub input: Pipe,
}

/// What [`spawn_here`] makes, before it is tied to a runtime.
struct Spawned {
    keeper: Child,
    keeping: std::os::unix::net::UnixStream,
    gate: std::os::unix::net::UnixStream,
    control: std::os::unix::net::UnixStream,
    stdin: OwnedFd,
}

impl Process {
    /// Starts a worker.
    pub async fn spawn(config: &WorkerConfig) -> io::Result<Process> {
        let config = config.clone();
        let Spawned { mut keeper, keeping, gate, control, stdin } =
            in_lasting_thread(move || spawn_here(&config)).await??;
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
            input: Pipe::of(&stdin)?,
            stdin: Some(pipe::Sender::from_owned_fd(stdin)?),
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
            Some(worker) => group::send(worker, signal),
            None => self.signal_keeper(signal),
        }
    }

    fn signal_keeper(&self, signal: i32) {
        // Once reaped, its number may belong to somebody else.
        if !self.reaped {
            process::send(self.keeper.id(), signal);
        }
    }

    /// Kills the worker and all that its cells started and left in its group.
    pub fn kill(&self) {
        self.signal(signal::KILL);
    }

    /// Who waits for a line on the worker's stdin.
    pub fn reader(&self) -> Option<Reader> {
        self.input.reader(self.pid())
    }

    /// Whether the system tells who waits. If not, stdin is at its end from now on, so that nobody waits for ever.
    pub fn must_tell_readers(&mut self) {
        if !reading::is_told(self.pid()) {
            self.stdin = None;
        }
    }

    /// Tells those who wait for a line that there is none, and none but those.
    pub fn end_input(&mut self) {
        self.stdin = None;
        let again = self.input.open_again(self.pid()).and_then(pipe::Sender::from_owned_fd);
        self.stdin = again.ok();
    }

    /// Waits until there may be a [death](Process::death).
    pub async fn ended(&self) {
        // An error means that the runtime shuts down.
        if self.keeping.readable().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// How the worker ended, if it has. What its cells started has ended too.
    pub async fn death(&mut self) -> Option<Death> {
        match self.hear_keeper() {
            Ok(Some(FromKeeper::Died(death))) => Some(death),
            Ok(_) => None,
            // The keeper is gone, or its program isn't ours.
            Err(_) => Some(self.reap().await),
        }
    }

    /// Has a frozen copy become the worker, once its death is known and all that it said has been read. Returns what was
    /// read of what it says next. After an error, there is none.
    pub async fn thaw(&mut self, copy: u32) -> io::Result<Decoder> {
        if self.reaped {
            return Err(io::Error::other("the process that kept the snapshot was killed as well"));
        }
        // The worker's number is given back.
        self.worker = None;
        let bytes = encode(&ToKeeper::Adopt(copy))?;
        descriptors::send_now(&self.keeping, &bytes)?;
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
            match descriptors::pass(&self.gate, copy, &[theirs.as_fd()]) {
                // The keeper hasn't heard of it yet.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                    return Err(io::Error::other(KILLED_AS_WELL));
                }
                passed => passed?,
            }
            drop(theirs);
            self.control = asynchronous(control)?;
            let (mut decoder, mut buffer) = (Decoder::default(), [0; 64]);
            loop {
                match decoder.next()? {
                    Some(FromWorker::Ready { pid }) => return Ok((pid, decoder)),
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
            Ok(thawed) => {
                let (pid, decoder) = thawed?;
                self.worker = Some(pid);
                Ok(decoder)
            }
            Err(_) => Err(io::Error::other("the snapshot didn't carry on in time")),
        }
    }

    /// Kills the worker and all that belongs to it, and waits for its end.
    pub async fn end(mut self) {
        self.kill();
        // Copies first, since their end is waited for by the keeper.
        let _ = self.gate.shutdown(Shutdown::Both);
        let _ = self.keeping.shutdown().await;
        let ended = async {
            while !self.reaped && self.hear_keeper().is_ok() {
                self.ended().await;
            }
        };
        let _ = tokio::time::timeout(END_LIMIT, ended).await;
        self.reap().await;
    }

    /// The keeper's next message, if it has arrived; an error when none will come any more.
    fn hear_keeper(&mut self) -> io::Result<Option<FromKeeper>> {
        loop {
            if let Some(message) = self.said.next()? {
                return Ok(Some(message));
            }
            let mut buffer = [0; 64];
            match read_now(&self.keeping, &mut buffer, |buffer| self.keeping.try_read(buffer)) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => self.said.push(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Buries the keeper, whose end is near, and says how it ended.
    async fn reap(&mut self) -> Death {
        self.signal_keeper(signal::KILL);
        if let Ok(ending) = watch(self.keeper.id()) {
            // What can't be killed in time isn't waited for.
            let _ = tokio::time::timeout(END_LIMIT, ending.readable()).await;
        }
        let status = self.keeper.try_wait();
        (self.reaped, self.worker) = (true, None);
        match status.ok().flatten().map(|status| (status.code(), status.signal())) {
            Some((Some(code), _)) => Death::Exit(code),
            Some((None, Some(signal))) => Death::Signal(signal),
            // It goes on, or somebody else waited for all children of this process.
            _ => Death::Stopped,
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Not waited for: this is the way out of a runtime that shuts down. A keeper ends with its socket.
        self.kill();
    }
}

fn asynchronous(socket: std::os::unix::net::UnixStream) -> io::Result<UnixStream> {
    socket.set_nonblocking(true)?;
    UnixStream::from_std(socket)
}

/// Reads what is there, whether or not the runtime has heard of it yet: of a worker that has died, nothing more will
/// be heard. Only when there is nothing, the runtime is asked, so that it waits for more.
pub fn read_now(
    from: &impl AsFd,
    buffer: &mut [u8],
    ask: impl FnOnce(&mut [u8]) -> io::Result<usize>,
) -> io::Result<usize> {
    match descriptors::read_now(from, buffer) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => ask(buffer),
        result => result,
    }
}

fn spawn_here(config: &WorkerConfig) -> io::Result<Spawned> {
    let pair = std::os::unix::net::UnixStream::pair;
    let ((control, theirs), (keeping, keepers), (gate, copies)) = (pair()?, pair()?, pair()?);
    let (read, write) = io::pipe()?;
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
    // There is one process only at its other end.
    descriptors::pass(&control, 0, &[read.as_fd(), keepers.as_fd(), copies.as_fd()])?;
    Ok(Spawned { keeper, keeping, gate, control, stdin: write.into() })
}

/// A descriptor that becomes readable when the process ends.
pub fn watch(pid: u32) -> io::Result<AsyncFd<ProcessHandle>> {
    // SAFETY: a handle has the same open descriptor for as long as it lives.
    Ok(unsafe { AsyncFd::register_with_interest(ProcessHandle::open(pid)?, Interest::READABLE) }?)
}

type Work = Box<dyn FnOnce() + Send>;

/// Does `work` in a thread that lasts as long as this process. The kernel tells a worker of its parent's end when the
/// *thread* that started it ends, and a runtime's threads come and go.
async fn in_lasting_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    static THREAD: Mutex<Option<mpsc::Sender<Work>>> = Mutex::new(None);
    let (reply, done) = oneshot::channel();
    let work: Work = Box::new(move || drop(reply.send(work())));
    {
        let mut thread = THREAD.lock();
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
