//! What would be done to start engines, for those who want to read it before.

use super::{Launch, Pool, Way, Where, shell_words};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What would be run, line by line.
    pub steps: String,
    /// The script or manifest that would be submitted, if one would, with marks for what is known only then.
    pub script: Option<String>,
}

impl Pool {
    /// What starting so many engines in this pool of a cluster comes to. Nothing is done, and there is no secret in it.
    pub fn plan(&self, launch: &Launch, cluster: &str, engines: u32) -> Plan {
        let launch = launch.clone().within(self);
        let brings = "Its shell has the engine's program sent unless it is there, and reads an invitation.";
        let (mut steps, mut script) = (String::new(), None);
        let mut say = |line: &str| steps += &format!("{line}\n");
        match &self.place {
            Where::Here => {
                let args = launch.arguments("FILE".as_ref(), chorus_protocol::EngineId(0));
                let args = args.iter().map(|arg| arg.to_string_lossy().into_owned());
                let words: Vec<String> =
                    [launch.program.to_string_lossy().into_owned()].into_iter().chain(args).collect();
                say(&format!("{engines} times on this host, each with another `--id`:"));
                say(&format!("  {}", shell_words(&words)));
            }
            Where::There(Way::Ssh(ssh)) => {
                for host in &ssh.hosts {
                    say(&format!("  {}", shell_words(&ssh.words(&host.name, "PORT"))));
                }
                say(brings);
                let slots: u32 = ssh.engines();
                say(&format!("{engines} engines are shared out among these hosts, which are meant for {slots}."));
            }
            Where::There(Way::Slurm(slurm)) => {
                say(&format!("{engines} times, each a job:"));
                say(&format!("  {}", shell_words(&slurm.words(&format!("chorus-{cluster}")))));
                say(brings);
            }
            Where::There(Way::Kubernetes(kubernetes)) => {
                let kubectl = shell_words(&kubernetes.command);
                say(&format!("{engines} times, each a job:"));
                say(&format!("  {kubectl} create -f -"));
                say(&format!("  {kubectl} attach -i job/@NAME@"));
                say(brings);
                say("What is created is the manifest below. @NAME@ and @CLUSTER@ are filled in, for each job.");
                script = Some(kubernetes.manifest.text().to_owned());
            }
            Where::There(Way::Batch(batch)) => {
                let (text, submit) = batch.plan(&launch, cluster);
                say(&format!("{engines} times, each a job:"));
                say(&format!("  {submit}"));
                say("What is submitted is the script below. @FOLDER@ and @PROGRAM@ are filled in, for each job.");
                script = Some(text);
            }
            Where::There(Way::Mpi(mpi)) => {
                say(&format!("Once for {engines} ranks, and again for those that are wanted later:"));
                say(&format!("  {} -n {engines} sh -c ..", shell_words(&mpi.command)));
                say(
                    "Each rank takes an invitation from a folder that all hosts see, and starts the engine's program there.",
                );
            }
            Where::There(Way::Guide(guide)) => {
                let (title, address) =
                    (guide.kind.title(), guide.address.as_deref().unwrap_or("the one that it finds"));
                say(&format!("  {} -c ..", shell_words(&guide.command)));
                say(&format!("It has {title} at {address} run {engines} tasks, each of which is an engine."));
                let wants = [("cores", guide.cores.map(u64::from)), ("bytes of memory", guide.memory)];
                for (what, count) in wants.into_iter().filter_map(|(what, count)| Some((what, count?))) {
                    say(&format!("A task asks for {count} {what}."));
                }
            }
        }
        if !launch.setup.is_empty() && self.place != Where::Here {
            say("Before an engine, its shell runs:");
            launch.setup.iter().for_each(|line| say(&format!("  {line}")));
        }
        Plan { steps, script }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Batch, Resources, Slurm, Ssh, System, parse_hosts};
    use super::*;

    fn plan(way: Option<Way>) -> Plan {
        let place = way.map_or(Where::Here, Where::There);
        let launch = Launch::new("/bin/engine", vec![]);
        let pool = Pool { place, label: Some("big".into()), setup: vec!["module load x".into()], ports: None };
        pool.plan(&launch, "lab", 3)
    }

    #[test]
    fn what_would_be_run_is_told() {
        let here = plan(None).steps;
        assert!(
            here.contains("  /bin/engine --label big --connect FILE --id 0\n") && !here.contains("module"),
            "{here}"
        );
        let command = vec!["ssh".to_owned(), "-F".to_owned(), "a b".to_owned()];
        let ssh = plan(Some(Way::Ssh(Ssh { hosts: parse_hosts("a,b*4").unwrap(), command, tunnel: true }))).steps;
        assert!(
            ssh.contains("ssh -F 'a b'") && ssh.contains("-- b 'exec sh'") && ssh.contains("0:127.0.0.1:PORT"),
            "{ssh}"
        );
        assert!(ssh.ends_with("runs:\n  module load x\n"), "{ssh}");
        let resources = Resources { cores: Some(2), ..Resources::default() };
        let slurm = Way::Slurm(Slurm { command: vec!["srun".into()], resources: resources.clone() });
        assert!(plan(Some(slurm)).steps.contains("--job-name=chorus-lab --cpus-per-task=2 sh\n"));
        let command = vec!["qsub".to_owned()];
        let batch = Batch { system: System::GridEngine, command, resources, shared: None, script: None };
        let Plan { steps, script } = plan(Some(Way::Batch(batch)));
        assert!(steps.contains("  qsub -terse\n"), "{steps}");
        let script = script.unwrap();
        assert!(script.contains("#$ -pe smp 2\n") && script.contains("module load x"), "{script}");
        // It is one that is taken again.
        assert!(super::super::Script::new(script).is_ok());
    }
}
