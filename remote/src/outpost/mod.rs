//! The end of a cluster on another host than the controller's: a process that is started there by whatever starts
//! programs on that host, and is told all it needs by an [`Invitation`] on its standard input.
//!
//! - It starts the host's engines and ends them, as the controller's launcher says (`engines`).
//! - Engines connect to a socket of its own, from which it carries their bytes to the gateway (`way`).
//! - Workers ask it for rooms; it keeps what it has brought here (`replicas`, `rooms`).
//!
//! When it can't reach the gateway, it tries again until its lease is over. Then it ends its engines and itself: somebody
//! else may be doing their work by then.

mod engines;
mod folder;
mod replicas;
mod rooms;
mod way;

use crate::control::{FromOutpost, Hello, ToOutpost};
use crate::invitation::Invitation;
use crate::stream::{Purpose, receive, send};
use chorus_protocol::{Connection, VERSION};
use clap::Parser;
use engines::Engines;
use replicas::Replicas;
use std::ffi::OsString;
use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior};
use way::{Way, WayError};

/// The first argument that makes a program an outpost.
pub const OUTPOST: &str = "outpost";

/// What it says on its standard output when its engines can be started.
pub const JOINED: &str = "CHORUS-JOINED";
/// What it says when it can't: a sentence follows.
pub const FAILED: &str = "CHORUS-FAILED";

/// Buffers between two connections.
pub(crate) const BUFFER: usize = 256 << 10;

/// How long to look for the gateway at first.
const FIRST: Duration = Duration::from_secs(15);
/// How long to pause between two tries to find it again.
const PAUSE: Duration = Duration::from_millis(300);
const BEAT: Duration = Duration::from_secs(1);
/// A launcher that says nothing for so long can't be reached.
const SILENCE: Duration = Duration::from_secs(8);
/// So long a gateway whose port is closed is looked for if nobody will open it again.
const CLOSED: Duration = Duration::from_secs(5);

/// An outpost of a Chorus cluster on this host: starts the engines here. It reads its invitation from standard input
#[derive(Debug, Parser)]
#[command(name = "outpost")]
struct Args {
    /// Go on in the background when the cluster is joined
    #[arg(long)]
    detach: bool,
}

/// Is the outpost. This program, with the arguments `before` in front, is what it starts as engines, and as itself; `args`
/// are its own, its name first.
pub fn main(before: &[OsString], args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = Args::parse_from(args);
    let program = std::env::current_exe().map_err(|error| format!("this program can't be found: {error}"));
    let done = program.and_then(|it| if args.detach { detach(&it, before) } else { run(&it, before) });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            println!("{FAILED} {}", why.replace('\n', " "));
            ExitCode::FAILURE
        }
    }
}

fn invitation() -> Result<String, String> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(|error| format!("the invitation can't be read: {error}"))?;
    Ok(line)
}

/// Has another process do it, and returns when that has joined, or why it hasn't.
fn detach(program: &Path, before: &[OsString]) -> Result<(), String> {
    use std::os::unix::process::CommandExt as _;
    let invitation = invitation()?;
    let failed = |error: std::io::Error| format!("{} can't be started again: {error}", program.display());
    let mut child = Command::new(program)
        .args(before)
        .arg(OUTPOST)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // If it has ended already, it has said why.
        _ = stdin.write_all(invitation.as_bytes());
    }
    let mut said = String::new();
    if let Some(stdout) = child.stdout.take() {
        std::io::BufReader::new(stdout).read_line(&mut said).map_err(failed)?;
    }
    match said.trim().strip_prefix(FAILED) {
        None if said.trim() == JOINED => {
            println!("{JOINED}");
            Ok(())
        }
        Some(why) => Err(why.trim().to_owned()),
        None => Err(format!("it ended at once: {:?}", child.wait().map_err(failed)?.code())),
    }
}

fn run(program: &Path, before: &[OsString]) -> Result<(), String> {
    let invitation: Invitation =
        serde_json::from_str(&invitation()?).map_err(|error| format!("this isn't an invitation: {error}"))?;
    if invitation.version != VERSION {
        return Err(format!(
            "the cluster `{}` speaks version {} of the protocol and the program here version {VERSION}",
            invitation.cluster, invitation.version
        ));
    }
    if let Some(hash) = &invitation.program {
        let own = std::fs::read(program).map_err(|error| format!("{}: {error}", program.display()))?;
        if blake3::hash(&own).to_hex().as_str() != hash {
            return Err(format!("{} isn't the program that was sent: remove it", program.display()));
        }
    }
    // In memory where that is this user's alone: sockets' paths must be short.
    let place = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|it| it.is_dir());
    let place = place.unwrap_or_else(std::env::temp_dir);
    folder::sweep(&place);
    let folder = tempfile::Builder::new()
        .prefix(folder::PREFIX)
        .tempdir_in(&place)
        .map_err(|error| format!("there can't be a folder in {}: {error}", place.display()))?;
    let _mark = folder::mark(folder.path()).map_err(|error| format!("the folder can't be marked: {error}"))?;
    log(folder.path());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| format!("the outpost can't have threads: {error}"))?;
    runtime.block_on(async {
        // Asked to end before it has joined, it removes its folder, too.
        let mut terminate =
            signal(SignalKind::terminate()).map_err(|error| format!("signals can't be heard: {error}"))?;
        let outpost = tokio::select! {
            outpost = Outpost::open(invitation, folder.path(), program, before) => outpost?,
            _ = terminate.recv() => return Err("it was asked to end".to_owned()),
        };
        println!("{JOINED}");
        // Whoever waited for that may go now.
        outpost.serve().await;
        Ok(())
    })
}

/// Nobody reads its standard error once it is in the background.
fn log(folder: &Path) {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("CHORUS_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    if let Ok(file) = std::fs::File::create(folder.join("outpost.log")) {
        // A second one in the same process is refused.
        _ = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(file).try_init();
    }
}

struct Outpost {
    way: Arc<Way>,
    hello: Hello,
    engines: Engines,
    control: Option<way::Stream>,
    lease: Duration,
    may_return: bool,
}

impl Outpost {
    async fn open(
        invitation: Invitation,
        folder: &Path,
        program: &Path,
        before: &[OsString],
    ) -> Result<Outpost, String> {
        let lease = Duration::from_secs(invitation.lease.into());
        let way = Arc::new(Way::new(&invitation).map_err(|error| error.to_string())?);
        let hello = Hello { place: invitation.place, running: Vec::new(), ended: Vec::new() };
        let control =
            way.open_within(&Purpose::Outpost(hello.clone()), FIRST).await.map_err(|error| error.to_string())?;
        let failed = |error: std::io::Error| format!("the outpost can't have a socket: {error}");
        let engines_at = folder.join("engines");
        let rooms_at = folder.join("rooms");
        let listener = UnixListener::bind(&engines_at).map_err(failed)?;
        tokio::spawn(carry(listener, Arc::clone(&way), Purpose::Engine));
        let groups = UnixListener::bind(rooms_at.with_file_name(px::group::DOOR)).map_err(failed)?;
        tokio::spawn(carry(groups, Arc::clone(&way), Purpose::Group));
        let replicas = Arc::new(Replicas::new(Arc::clone(&way), lease));
        tokio::spawn(rooms::listen(UnixListener::bind(&rooms_at).map_err(failed)?, replicas));
        let connection = Connection {
            version: VERSION,
            name: invitation.cluster.clone(),
            pid: std::process::id(),
            engines: format!("ipc://{}", engines_at.display()),
            clients: String::new(),
            blobs: invitation.blobs.clone(),
            stay: invitation.lease,
            key: invitation.key.key().ok_or("the invitation's key isn't one")?,
        };
        let file = folder.join("connection.json");
        connection.write(&file).map_err(|error| error.to_string())?;
        let engines = Engines::new(program, before, invitation.label.as_deref(), &file, &rooms_at);
        Ok(Outpost { way, hello, engines, control: Some(control), lease, may_return: invitation.may_return })
    }

    async fn serve(mut self) {
        let mut terminate = signal(SignalKind::terminate()).ok();
        let terminated = async {
            match &mut terminate {
                Some(terminate) => _ = terminate.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(terminated);
        loop {
            let Some(control) = self.control.take() else { break };
            let leaves = tokio::select! {
                leaves = self.talk(control) => leaves,
                () = &mut terminated => true,
            };
            if leaves {
                break;
            }
            tokio::select! {
                () = self.come_back() => {}
                () = &mut terminated => break,
            }
        }
        self.engines.end_all().await;
    }

    /// Does what the launcher says. Returns when it can't be reached any more, or true when it wants this to end.
    async fn talk(&mut self, control: way::Stream) -> bool {
        let (mut from, mut to) = tokio::io::split(control);
        // A message is read in several steps, which mustn't be left between two of them.
        let (said, mut inbox) = tokio::sync::mpsc::channel(64);
        let reading = tokio::spawn(async move {
            while let Ok(message) = receive::<ToOutpost>(&mut from).await {
                if said.send(message).await.is_err() {
                    return;
                }
            }
        });
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        let leaves = loop {
            let told = tokio::select! {
                message = inbox.recv() => {
                    heard = Instant::now();
                    match message {
                        None => break false,
                        Some(ToOutpost::Leave) => {
                            self.engines.end_all().await;
                            // Perhaps nobody listens any more.
                            _ = send(&mut to, &FromOutpost::Left).await;
                            break true;
                        }
                        Some(ToOutpost::Start(engine)) => self.engines.start(engine),
                        Some(ToOutpost::Signal(engine, signal)) => self.engines.signal(engine, signal),
                        Some(ToOutpost::Heard(engine)) => self.engines.heard(engine),
                        Some(ToOutpost::Beat) => {}
                    }
                    continue;
                }
                (engine, exit) = self.engines.next_end() => FromOutpost::Ended(engine, exit),
                _ = beat.tick() => {
                    if heard.elapsed() > SILENCE {
                        break false;
                    }
                    FromOutpost::Beat
                }
            };
            match tokio::time::timeout(SILENCE, send(&mut to, &told)).await {
                Ok(Ok(())) => {}
                _ => break false,
            }
        };
        reading.abort();
        leaves
    }

    /// Looks for the gateway until the lease is over.
    async fn come_back(&mut self) {
        let begun = Instant::now();
        let mut closed_since = None;
        while begun.elapsed() < self.lease {
            (self.hello.running, self.hello.ended) = self.engines.all();
            match self.way.open(&Purpose::Outpost(self.hello.clone())).await {
                Ok(control) => {
                    self.control = Some(control);
                    return;
                }
                Err(WayError::Closed(_)) if !self.may_return => {
                    // The host is there, and the controller isn't.
                    if closed_since.get_or_insert_with(Instant::now).elapsed() > CLOSED {
                        tracing::warn!("the controller is gone: ending");
                        return;
                    }
                }
                Err(error) => {
                    closed_since = None;
                    tracing::debug!(%error, "looking for the controller");
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        tracing::warn!("the controller can't be reached for {} s: ending", self.lease.as_secs());
    }
}

/// Carries connections of engines and of their workers to the controller's host.
async fn carry(listener: UnixListener, way: Arc<Way>, purpose: Purpose) {
    while let Ok((mut engine, _)) = listener.accept().await {
        let (way, purpose) = (Arc::clone(&way), purpose.clone());
        tokio::spawn(async move {
            let mut there = tokio::select! {
                there = way.open(&purpose) => match there {
                    Ok(there) => there,
                    Err(error) => {
                        tracing::debug!(%error, "a connection can't be carried");
                        if let (Purpose::Group, WayError::Nobody) = (&purpose, &error) {
                            // It tries again unless it is told. If it has gone, nobody needs to know.
                            _ = engine.write_all(&px::group::refusal("nobody is there who would do it")).await;
                        }
                        return;
                    }
                },
                // It has given up waiting.
                () = ended(&engine) => return,
            };
            if let Err(error) = tokio::io::copy_bidirectional_with_sizes(&mut engine, &mut there, BUFFER, BUFFER).await
            {
                tracing::debug!(%error, "an engine's connection has ended");
            }
        });
    }
}

/// Waits for the other end to close. What it has said stays to be read.
async fn ended(stream: &tokio::net::UnixStream) {
    loop {
        match stream.ready(tokio::io::Interest::READABLE).await {
            Ok(ready) if !ready.is_read_closed() => tokio::time::sleep(Duration::from_millis(20)).await,
            _ => return,
        }
    }
}
