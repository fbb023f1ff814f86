//! A program that runs a shell in another place and carries its standard input and output, or starts processes there, and
//! that stays as long as these do: `srun`, `mpirun`.

use super::bringing::Talk;
use chorus_system::parent::{AtItsEnd, die_with};
use chorus_system::{process, signal};
use std::io;
use std::process::Stdio;
use std::sync::mpsc;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Runs the program until it has ended. When this process dies before, the shell is asked to terminate: outposts that have
/// joined find out and leave by themselves, which takes seconds; what still waits in a queue is revoked after that. If it
/// were the program that is asked, it would kill the outposts, as `srun` does, and their files would stay. The system may ask
/// twice, once for the thread and once for the process.
///
/// Traps are there before the program is: a signal may come at any moment, and what comes too early is made up for.
const SHELL: &str = "exec 3<&0; p= now= later=; trap 'now=1; [ -z \"$p\" ] || kill $p' HUP; \
                     trap 'trap \"\" TERM; later=1; [ -z \"$p\" ] || { sleep 10; kill $p; }' TERM; \
                     \"$@\" <&3 3<&- & p=$!; exec 3<&- <&-; \
                     [ -z \"$now\" ] || kill $p; [ -z \"$later\" ] || { sleep 10; kill $p; }; \
                     while kill -0 $p 2> /dev/null; do wait $p; done";

/// The shell with such a program. Dropping it ends the program, wherever in its life it is.
pub struct Attached(pub Child);

impl Attached {
    /// Waits until the program has ended.
    pub async fn stay(mut self, talk: Talk) {
        if let Some(mut stderr) = self.0.stderr.take() {
            // Nobody reads it, but it mustn't fill.
            let mut nowhere = tokio::io::sink();
            _ = tokio::join!(talk.rest(), tokio::io::copy(&mut stderr, &mut nowhere));
        }
        _ = self.0.wait().await;
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // Without an id it has ended and was waited for.
        if let Some(pid) = self.0.id() {
            process::send(pid, signal::HANG_UP);
        }
    }
}

type Request = (Vec<String>, oneshot::Sender<io::Result<Child>>);

/// The thread that starts every such program. The system takes a thread's end for that of a parent, so it has to be one
/// that stays as long as this is there.
#[derive(Debug)]
pub struct Parent(mpsc::Sender<Request>);

impl Parent {
    /// With `ends_with_us`, its shell is asked to terminate when this is dropped, and with this process.
    pub fn start(ends_with_us: bool) -> io::Result<Parent> {
        let (requests, inbox) = mpsc::channel::<Request>();
        let runtime = Handle::current();
        std::thread::Builder::new().name("launch".to_owned()).spawn(move || {
            let _context = runtime.enter();
            while let Ok((words, answer)) = inbox.recv() {
                _ = answer.send(spawn(&words, ends_with_us));
            }
        })?;
        Ok(Parent(requests))
    }

    /// Runs the program that these words are.
    pub async fn run(&self, words: Vec<String>) -> Result<Attached, String> {
        let (answer, spawned) = oneshot::channel();
        _ = self.0.send((words, answer));
        let spawned = spawned.await.unwrap_or_else(|_| Err(io::Error::other("its thread is gone")));
        spawned.map(Attached).map_err(|error| format!("there is no shell for it: {error}"))
    }
}

fn spawn(words: &[String], ends_with_us: bool) -> io::Result<Child> {
    let mut command = Command::new("sh");
    // Within a job, it would start a step of that one instead of a job of its own.
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"SLURM_") && name != "SLURM_CONF" {
            command.env_remove(name);
        }
    }
    command.args(["-c", SHELL, "sh"]).args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // An interrupt of the notebook isn't meant for it.
    command.process_group(0);
    let parent = std::process::id();
    let begin = move || {
        // A shell has no traps for what was ignored when it began, as by `nohup`.
        signal::restore(&[signal::HANG_UP, signal::TERMINATE])?;
        if ends_with_us { die_with(parent, AtItsEnd::Terminate) } else { Ok(()) }
    };
    // SAFETY: between fork and exec, it makes system calls only, and takes no memory.
    unsafe { command.pre_exec(begin) };
    command.spawn()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program that waits as `srun` does in a queue. It is dropped as early as can be, and that often.
    #[tokio::test]
    async fn a_program_that_is_dropped_is_asked_to_end() {
        // As where Jupyter was started by `nohup`.
        // SAFETY: nothing is called by it. No other test needs the signal.
        unsafe { nix::sys::signal::signal(nix::sys::signal::SIGHUP, nix::sys::signal::SigHandler::SigIgn) }.unwrap();
        let parent = Parent::start(true).unwrap();
        for _ in 0..20 {
            let words = ["sh", "-c", "trap 'echo revoked; exit 3' TERM; echo queued; while :; do sleep 0.01; done"];
            let mut job = parent.run(words.map(String::from).to_vec()).await.unwrap();
            let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(job.0.stdout.take().unwrap()));
            assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("queued"));
            drop(job);
            let revoked = tokio::time::timeout(std::time::Duration::from_secs(30), lines.next_line());
            let revoked = revoked.await.expect("it goes on after 30 s");
            assert_eq!(revoked.unwrap().as_deref(), Some("revoked"));
        }
    }
}
