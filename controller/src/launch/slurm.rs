//! Engines as Slurm's jobs, one each. `srun` waits for a node and starts a shell there; like ssh, it carries the shell's
//! standard input and output. It stays as long as the outpost does: whoever ends the job ends the engine, and the other way
//! round.

use super::Launch;
use super::bringing::{Errand, Program, Stays, Talk};
use super::distant::Provider;
use chorus_remote::Gateway;
use chorus_system::parent::{AtItsEnd, die_with};
use chorus_system::{process, signal};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::{OnceCell, oneshot};

/// What nodes are as a user is told.
pub(super) const A_NODE: &str = "a node of Slurm's";

/// Runs `srun` until it has ended. When this process dies before, the shell is asked to terminate: outposts that have joined
/// find out and leave by themselves, which takes seconds; what still waits in the queue is revoked after that. If it were
/// `srun` that is asked, it would kill the outposts, and their files would stay. The system may ask twice, once for the thread
/// and once for the process.
const SHELL: &str = "exec 3<&0; \"$@\" <&3 3<&- & p=$!; exec 3<&- <&-; \
                     trap 'kill $p' HUP; trap 'trap \"\" TERM; sleep 10; kill $p' TERM; \
                     while kill -0 $p 2> /dev/null; do wait $p; done";

/// What Slurm is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slurm {
    /// `srun` and more options of it.
    pub command: Vec<String>,
    /// The partition; Slurm's default when left out.
    pub partition: Option<String>,
    /// How long an engine may run, as Slurm writes it: `30`, `2:00:00`, `1-0`.
    pub time: Option<String>,
    /// How many cores an engine gets.
    pub cores: Option<u32>,
    /// How much memory an engine gets, as Slurm writes it: `4G`.
    pub memory: Option<String>,
}

impl Slurm {
    pub(super) fn into_provider(self, launch: Launch, cluster: &str, ends_with_us: bool) -> io::Result<SlurmProvider> {
        let parent = Parent::start(ends_with_us)?;
        Ok(SlurmProvider { slurm: self, launch, job: format!("chorus-{cluster}"), program: OnceCell::new(), parent })
    }

    /// All words of a command that runs a shell on a node.
    fn words(&self, job: &str) -> Vec<String> {
        let flag = |name: &str, value: Option<String>| value.map(|value| format!("--{name}={value}"));
        let (program, more) = self.command.split_at(self.command.len().min(1));
        let ours = ["--quiet", "--nodes=1", "--ntasks=1"].map(String::from);
        let wanted = [
            Some(format!("--job-name={job}")),
            flag("partition", self.partition.clone()),
            flag("time", self.time.clone()),
            flag("cpus-per-task", self.cores.map(|cores| cores.to_string())),
            flag("mem", self.memory.clone()),
        ];
        // What was written by hand comes last, and holds.
        let all = program.iter().cloned().chain(ours).chain(wanted.into_iter().flatten()).chain(more.iter().cloned());
        all.chain(["sh".to_owned()]).collect()
    }
}

#[derive(Debug)]
pub(super) struct SlurmProvider {
    slurm: Slurm,
    launch: Launch,
    /// What its jobs are called.
    job: String,
    program: OnceCell<Program>,
    parent: Parent,
}

impl Provider for SlurmProvider {
    fn bring<'a>(&'a self, _: &'a str, place: u32, gateway: &'a Gateway) -> BoxFuture<'a, Result<(), String>> {
        async move {
            let program = self.program.get_or_try_init(|| Program::read(&self.launch)).await?;
            let words = self.slurm.words(&self.job);
            let mut job = Job(self.parent.start_srun(words).await?);
            let errand = Errand { launch: &self.launch, program, place, gateway, stays: Stays::Yes };
            // However long the queue is.
            let talk = errand.run(&mut job.0, "srun", None).await.map_err(|failed| failed.why)?;
            tokio::spawn(job.stay(talk));
            Ok(())
        }
        .boxed()
    }

    fn queue(&self) -> BoxFuture<'_, Option<String>> {
        async move {
            let srun = Path::new(self.slurm.command.first()?);
            let arguments = ["--me", "--noheader", "--format=%t|%r", "--name"];
            let asked = Command::new(srun.with_file_name("squeue"))
                .args(arguments)
                .arg(&self.job)
                .stdin(Stdio::null())
                .kill_on_drop(true)
                .output();
            let answer = asked.await.ok().filter(|answer| answer.status.success())?;
            in_words(&String::from_utf8_lossy(&answer.stdout))
        }
        .boxed()
    }
}

/// Why jobs wait, from what `squeue` says of each: its state and the reason.
fn in_words(lines: &str) -> Option<String> {
    let waiting = lines.lines().filter_map(|line| line.trim().strip_prefix("PD|"));
    let (mut count, mut reasons) = (0, BTreeSet::new());
    for reason in waiting {
        count += 1;
        // It has none yet for a moment.
        reasons.extend((reason != "None").then_some(reason));
    }
    let reasons: Vec<&str> = reasons.into_iter().collect();
    match (count, reasons.join(", ")) {
        (0, _) => None,
        (_, reasons) if reasons.is_empty() => Some(format!("{count} in Slurm's queue")),
        (_, reasons) => Some(format!("{count} in Slurm's queue: {reasons}")),
    }
}

/// The shell with an `srun`. Dropping it ends the job, wherever in its life it is.
struct Job(Child);

impl Job {
    /// Waits until the job has ended.
    async fn stay(mut self, talk: Talk) {
        if let Some(mut stderr) = self.0.stderr.take() {
            // Nobody reads it, but it mustn't fill.
            let mut nowhere = tokio::io::sink();
            _ = tokio::join!(talk.rest(), tokio::io::copy(&mut stderr, &mut nowhere));
        }
        _ = self.0.wait().await;
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        // Without an id it has ended and was waited for.
        if let Some(pid) = self.0.id() {
            process::send(pid, signal::HANG_UP);
        }
    }
}

type Request = (Vec<String>, oneshot::Sender<io::Result<Child>>);

/// The thread that starts every `srun`. The system takes a thread's end for that of a parent, so it has to be one that
/// stays as long as this is there.
#[derive(Debug)]
struct Parent(mpsc::Sender<Request>);

impl Parent {
    /// With `ends_with_us`, its shell is asked to terminate when this is dropped, and with this process.
    fn start(ends_with_us: bool) -> io::Result<Parent> {
        let (requests, inbox) = mpsc::channel::<Request>();
        let runtime = Handle::current();
        std::thread::Builder::new().name("srun".to_owned()).spawn(move || {
            let _context = runtime.enter();
            while let Ok((words, answer)) = inbox.recv() {
                _ = answer.send(spawn(&words, ends_with_us));
            }
        })?;
        Ok(Parent(requests))
    }

    async fn start_srun(&self, words: Vec<String>) -> Result<Child, String> {
        let (answer, spawned) = oneshot::channel();
        _ = self.0.send((words, answer));
        let spawned = spawned.await.unwrap_or_else(|_| Err(io::Error::other("its thread is gone")));
        spawned.map_err(|error| format!("there is no shell for srun: {error}"))
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
    if ends_with_us {
        let parent = std::process::id();
        // SAFETY: between fork and exec, it makes system calls only, and takes no memory.
        unsafe { command.pre_exec(move || die_with(parent, AtItsEnd::Terminate)) };
    }
    command.spawn()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn srun_is_told_what_is_wanted_and_what_was_written_by_hand_last() {
        let some = |text: &str| Some(text.to_owned());
        let slurm = Slurm {
            command: vec!["/opt/srun".into(), "--qos=low".into()],
            partition: some("long"),
            time: some("2:00:00"),
            cores: Some(2),
            memory: some("4G"),
        };
        let words = slurm.words("chorus-lab").join(" ");
        assert_eq!(
            words,
            "/opt/srun --quiet --nodes=1 --ntasks=1 --job-name=chorus-lab --partition=long --time=2:00:00 \
             --cpus-per-task=2 --mem=4G --qos=low sh"
        );
        let plain = Slurm { command: vec!["srun".into()], partition: None, time: None, cores: None, memory: None };
        assert_eq!(plain.words("chorus-x").join(" "), "srun --quiet --nodes=1 --ntasks=1 --job-name=chorus-x sh");
    }

    #[test]
    fn the_queue_is_told_with_its_reasons() {
        let words = |lines: &str| in_words(lines);
        assert_eq!(words("R|None\nCG|None\n"), None);
        assert_eq!(words(""), None);
        assert_eq!(words("PD|None\n").as_deref(), Some("1 in Slurm's queue"));
        let queue = words("PD|Resources\nPD|Priority\nR|None\nPD|Priority\ngarbage\n");
        assert_eq!(queue.as_deref(), Some("3 in Slurm's queue: Priority, Resources"));
    }

    /// A program that waits as `srun` does in a queue.
    #[tokio::test]
    async fn a_job_that_is_dropped_is_asked_to_end() {
        let parent = Parent::start(true).unwrap();
        let words = ["sh", "-c", "trap 'echo revoked; exit 3' TERM; echo queued; while :; do sleep 0.01; done"];
        let mut child = parent.start_srun(words.map(String::from).to_vec()).await.unwrap();
        let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(child.stdout.take().unwrap()));
        assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("queued"));
        drop(Job(child));
        assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("revoked"));
    }
}
