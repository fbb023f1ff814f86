//! Deputies of engines on other hosts, in the groups of cells (`px::group`). They map memory that cells write to, which may go
//! wrong in ways that end a process. So they have one of their own, which is started when the first of them is needed.

use chorus_system::parent::{AtItsEnd, die_with};
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// The first argument that makes a program the process of deputies.
pub const DEPUTIES: &str = "deputies";

/// What it says when it can be asked.
const READY: &str = "CHORUS-READY";
/// How long that may take.
const START: Duration = Duration::from_secs(15);
/// How often it is looked whether groups are gone.
const SWEEP: Duration = Duration::from_secs(1);
/// How long to wait for what the system lacks.
const PAUSE: Duration = Duration::from_millis(100);
/// A thread for each deputy needs no more.
const STACK: usize = 512 << 10;

/// The process, as a gateway has it.
#[derive(Debug)]
pub(crate) struct Office {
    /// The program and its first arguments.
    program: (PathBuf, Vec<OsString>),
    /// Where it listens.
    socket: PathBuf,
    /// Has the groups' folders.
    groups: PathBuf,
    process: tokio::sync::Mutex<Option<Child>>,
}

impl Office {
    pub fn new(program: (PathBuf, Vec<OsString>), socket: PathBuf, groups: PathBuf) -> Office {
        Office { program, socket, groups, process: tokio::sync::Mutex::default() }
    }

    /// A connection to it. It is started for that if it doesn't run.
    pub async fn connect(&self) -> io::Result<UnixStream> {
        let mut process = self.process.lock().await;
        if process.is_some()
            && let Ok(stream) = UnixStream::connect(&self.socket).await
        {
            return Ok(stream);
        }
        *process = None;
        *process = Some(self.start().await?);
        UnixStream::connect(&self.socket).await
    }

    async fn start(&self) -> io::Result<Child> {
        _ = std::fs::remove_file(&self.socket);
        let (program, before) = &self.program;
        let mut child = Command::new(program)
            .args(before)
            .arg(DEPUTIES)
            .arg(&self.socket)
            .arg(&self.groups)
            .arg(std::process::id().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let mut said = String::new();
        if let Some(stdout) = child.stdout.take() {
            let read = timeout(START, BufReader::new(stdout).read_line(&mut said)).await;
            read.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
        }
        if said.trim() != READY {
            return Err(io::Error::other(format!("{} can't be deputies: it says {said:?}", program.display())));
        }
        Ok(child)
    }

    /// Says that a member has left its group.
    pub async fn member_left(&self, group: &str, members: usize, rank: usize, why: Option<String>) {
        if let Err(error) = self.connect().await {
            return tracing::error!(%error, group, "members of a group can't be told that another has left");
        }
        let (socket, group) = (self.socket.clone(), group.to_owned());
        let telling = move || px::group::tell_left(&socket, &group, members, rank, why.as_deref());
        match tokio::task::spawn_blocking(telling).await.unwrap_or_else(|panic| Err(io::Error::other(panic))) {
            Ok(()) => {}
            Err(error) => tracing::error!(%error, "members of a group can't be told that another has left"),
        }
    }
}

/// Is the process of deputies. `args` are where to listen, where the groups' folders are, and whose child it is.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[OsString]) -> io::Result<()> {
    let [socket, groups, parent] = args else { return Err(io::Error::other("there should be three arguments")) };
    let parent =
        parent.to_str().and_then(|it| it.parse().ok()).ok_or_else(|| io::Error::other("that is no process"))?;
    die_with(parent, AtItsEnd::Terminate)?;
    // A member's panic is told to its engine.
    std::panic::set_hook(Box::new(|_| {}));
    let listener = UnixListener::bind(Path::new(socket))?;
    println!("{READY}");
    io::stdout().flush()?;
    let deputies = Arc::new(px::group::Deputies::new(Path::new(groups)));
    let (ended, ends) = channel();
    std::thread::spawn({
        let deputies = Arc::clone(&deputies);
        move || sweep(&deputies, &ends)
    });
    for stream in listener.incoming() {
        // Out of descriptors or threads: others may end, and who isn't answered asks again.
        let Ok(stream) = stream else {
            std::thread::sleep(PAUSE);
            continue;
        };
        let (deputies, ended) = (Arc::clone(&deputies), ended.clone());
        let serving = std::thread::Builder::new().stack_size(STACK).spawn(move || {
            // How it ends is the other end's to know.
            _ = deputies.serve(stream);
            _ = ended.send(());
        });
        if serving.is_err() {
            std::thread::sleep(PAUSE);
        }
    }
    Ok(())
}

/// Forgets groups that are gone, when connections have ended.
fn sweep(deputies: &px::group::Deputies, ends: &Receiver<()>) {
    while ends.recv().is_ok() {
        while deputies.sweep() {
            std::thread::sleep(SWEEP);
        }
    }
}
