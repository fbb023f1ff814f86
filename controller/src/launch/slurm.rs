//! Engines as Slurm's jobs, one each. `srun` waits for a node and starts a shell there; like ssh, it carries the shell's
//! standard input and output. It stays as long as the outpost does: whoever ends the job ends the engine, and the other way
//! round.

use super::attached::Parent;
use super::bringing::{Errand, Program, Stays};
use super::distant::{Provider, Site};
use super::{Launch, Resources, in_queue};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;
use std::process::Stdio;
use tokio::process::Command;
use tokio::sync::OnceCell;

/// What nodes are as a user is told.
pub(super) const A_NODE: &str = "a node of Slurm's";

/// Has the engine know when its job ends. Slurm tells jobs by `SLURM_JOB_END_TIME` since 23.02.
const END: &str = "[ -n \"$SLURM_JOB_END_TIME\" ] || \
                   if e=$(squeue -h -j \"$SLURM_JOB_ID\" -o %e) && e=$(date -d \"$e\" +%s); then export CHORUS_ENDS_AT=\"$e\"; fi 2> /dev/null";

/// What Slurm is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slurm {
    /// `srun` and more options of it.
    pub command: Vec<String>,
    /// What an engine gets.
    pub resources: Resources,
}

impl Slurm {
    pub(super) fn into_provider(self, launch: Launch, cluster: &str, ends_with_us: bool) -> io::Result<SlurmProvider> {
        let parent = Parent::start(ends_with_us)?;
        let setup = std::iter::once(END.to_owned()).chain(launch.setup.iter().cloned()).collect();
        let launch = launch.after(setup);
        Ok(SlurmProvider { slurm: self, launch, job: format!("chorus-{cluster}"), program: OnceCell::new(), parent })
    }

    /// All words of a command that runs a shell on a node.
    pub(super) fn words(&self, job: &str) -> Vec<String> {
        let Resources { partition, time, cores, memory } = &self.resources;
        let flag = |name: &str, value: Option<String>| value.map(|value| format!("--{name}={value}"));
        let (program, more) = self.command.split_at(self.command.len().min(1));
        let ours = ["--quiet", "--nodes=1", "--ntasks=1"].map(String::from);
        let wanted = [
            Some(format!("--job-name={job}")),
            flag("partition", partition.clone()),
            flag("time", time.clone()),
            flag("cpus-per-task", cores.map(|cores| cores.to_string())),
            flag("mem", memory.clone()),
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
    fn bring<'a>(&'a self, Site { place, gateway, .. }: Site<'a>) -> BoxFuture<'a, Result<(), String>> {
        async move {
            let program = self.program.get_or_try_init(|| Program::read(&self.launch)).await?;
            let words = self.slurm.words(&self.job);
            let mut job = self.parent.run(words).await?;
            let errand = Errand { launch: &self.launch, program, place, gateway, stays: Stays::Yes, tunnel: None };
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
            in_queue("Slurm's queue", waiting(&String::from_utf8_lossy(&answer.stdout)))
        }
        .boxed()
    }
}

/// The reason of each job that waits, from what `squeue` says of all: state and reason.
fn waiting(lines: &str) -> impl Iterator<Item = Option<&str>> {
    // It has none yet for a moment.
    lines
        .lines()
        .filter_map(|line| line.trim().strip_prefix("PD|"))
        .map(|reason| Some(reason).filter(|it| *it != "None"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn srun_is_told_what_is_wanted_and_what_was_written_by_hand_last() {
        let some = |text: &str| Some(text.to_owned());
        let slurm = Slurm {
            command: vec!["/opt/srun".into(), "--qos=low".into()],
            resources: Resources { partition: some("long"), time: some("2:00:00"), cores: Some(2), memory: some("4G") },
        };
        let words = slurm.words("chorus-lab").join(" ");
        assert_eq!(
            words,
            "/opt/srun --quiet --nodes=1 --ntasks=1 --job-name=chorus-lab --partition=long --time=2:00:00 \
             --cpus-per-task=2 --mem=4G --qos=low sh"
        );
        let plain = Slurm { command: vec!["srun".into()], resources: Resources::default() };
        assert_eq!(plain.words("chorus-x").join(" "), "srun --quiet --nodes=1 --ntasks=1 --job-name=chorus-x sh");
    }

    #[test]
    fn who_waits_is_found_with_the_reason() {
        assert_eq!(waiting("R|None\nCG|None\n").count(), 0);
        let found: Vec<_> = waiting("PD|Resources\nPD|None\nR|None\nPD|Priority\ngarbage\n").collect();
        assert_eq!(found, [Some("Resources"), None, Some("Priority")]);
    }
}
