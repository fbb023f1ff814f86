//! Runs another program for a cell, beside the kernel, and publishes what it prints as it comes.
//!
//! The program and all that it starts are a process group, which ends with the cell: when the program ends, when the
//! user interrupts, and when the kernel dies, however it dies. The group's leader sees to the last: a shell that waits
//! for the end of a pipe from the kernel, and then kills its group. It also keeps the group's number from being given
//! to others as long as the kernel may signal it.

use crate::interrupt::Interrupted;
use crate::publisher::Publisher;
use crate::surroundings::Surroundings;
use chorus_render::Utf8Decoder;
use chorus_system::{group, signal};
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

/// How long an interrupted program may take to end by itself.
const PATIENCE: Duration = Duration::from_millis(300);

/// When the program has ended and its pipe is quiet for so long, nothing more is waited for: a process that left the
/// group may hold it.
const QUIET: Duration = Duration::from_millis(100);

/// What is read at once.
const BUFFER: usize = 64 << 10;

const LEADER: &str = "trap '' INT TERM HUP; read -r _; kill -KILL 0";

/// A program, what it is told, and what it reads.
#[derive(Clone, Copy, Debug)]
pub struct Program<'a> {
    /// Its name or path.
    pub program: &'a str,
    /// Its arguments.
    pub args: &'a [String],
    /// What stands in its stdin; nothing if `None`.
    pub input: Option<&'a str>,
}

/// How it ended.
#[derive(Debug)]
pub enum Ended {
    /// By itself.
    Status(ExitStatus),
    /// By the user's interrupt.
    Interrupted,
}

struct Group {
    leader: Child,
    id: u32,
}

impl Group {
    fn start() -> io::Result<Group> {
        let leader = Surroundings::default()
            .command("/bin/sh")
            .args(["-c", LEADER])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let id = leader.id().ok_or(io::ErrorKind::NotFound)?;
        Ok(Group { leader, id })
    }

    fn signal(&self, signal: i32) {
        // Until the leader is waited for, the number is the group's, although all in it may have ended.
        group::send(self.id, signal);
    }

    async fn end(mut self) {
        self.signal(signal::KILL);
        let _ = self.leader.wait().await;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.leader.id().is_some() {
            self.signal(signal::KILL);
        }
    }
}

/// Runs the program to its end. An error means that it can't be started.
pub async fn run(
    program: Program<'_>,
    surroundings: &Surroundings,
    publisher: &Publisher,
    interrupted: &mut Interrupted,
) -> io::Result<Ended> {
    let group = Group::start()?;
    let mut child = surroundings
        .command(program.program)
        .args(program.args)
        .stdin(if program.input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(group.id.cast_signed())
        .kill_on_drop(true)
        .spawn()?;
    let (ended, has_ended) = watch::channel(false);
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let output = async {
        tokio::join!(
            feed(stdin, program.input.unwrap_or_default()),
            forward(stdout, "stdout", publisher, has_ended.clone()),
            forward(stderr, "stderr", publisher, has_ended.clone()),
        );
    };
    tokio::pin!(output);
    let (mut drained, mut kill_at) = (false, None);
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            () = &mut output, if !drained => drained = true,
            () = interrupted.next() => {
                // A second interrupt is serious.
                group.signal(if kill_at.is_none() { signal::INTERRUPT } else { signal::KILL });
                kill_at = kill_at.or(Some(Instant::now() + PATIENCE));
            }
            () = sleep_until(kill_at.unwrap_or_else(Instant::now)), if kill_at.is_some() => {
                group.signal(signal::KILL);
                kill_at = Some(Instant::now() + PATIENCE);
            }
        }
    };
    let was_interrupted = kill_at.is_some();
    group.end().await;
    ended.send_replace(true);
    if !drained {
        tokio::select! {
            () = &mut output => {}
            () = interrupted.next() => return Ok(Ended::Interrupted),
        }
    }
    Ok(if was_interrupted { Ended::Interrupted } else { Ended::Status(status) })
}

/// Writes the program's input. One that doesn't read it to its end needn't.
async fn feed(stdin: Option<ChildStdin>, input: &str) {
    if let Some(mut stdin) = stdin {
        let _ = stdin.write_all(input.as_bytes()).await;
    }
}

/// Publishes what comes until the pipe ends, or is quiet after the program's end.
async fn forward(
    pipe: Option<impl AsyncRead + Unpin>,
    name: &'static str,
    publisher: &Publisher,
    has_ended: watch::Receiver<bool>,
) {
    let Some(mut pipe) = pipe else { return };
    let mut decoder = Utf8Decoder::default();
    let mut buffer = vec![0; BUFFER];
    loop {
        let mut has_ended = has_ended.clone();
        let quiet = async {
            // The sender outlives this.
            let _ = has_ended.wait_for(|ended| *ended).await;
            sleep(QUIET).await;
        };
        let read = tokio::select! {
            biased;
            read = pipe.read(&mut buffer) => read.unwrap_or(0),
            () = quiet => 0,
        };
        if read == 0 {
            break publisher.stream(name, decoder.finish()).await;
        }
        publisher.stream(name, &decoder.decode(&buffer[..read])).await;
    }
}
