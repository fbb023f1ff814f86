//! The batch systems: what each wants to be told, and how it tells what it has.
//!
//! Sources: qsub(1) and qstat(1) of Grid Engine 8.1; qsub(1B) and qstat(1B) of OpenPBS 23; IBM's reference of LSF 10.1
//! (`bsub`, `bjobs`); HTCondor's manual 24 (`condor_submit`, `condor_q`, job attributes).

use super::guard::{BEGUN, INVITATION, OUTPUT};
use crate::launch::{Launch, Resources, quoted};
use chorus_remote::outpost::OUTPOST;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// A batch system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum System {
    /// Grid Engine, in any of its kinds.
    GridEngine,
    /// OpenPBS, or PBS Professional.
    Pbs,
    /// IBM's Spectrum LSF.
    Lsf,
    /// HTCondor.
    HtCondor,
}

/// A job to be.
pub struct Job<'a> {
    /// What it is called.
    pub name: &'a str,
    /// What it gets.
    pub resources: &'a Resources,
    /// The engine's program.
    pub program: &'a Path,
    /// What is started as engines.
    pub launch: &'a Launch,
    /// Where its files lie.
    pub folder: &'a Path,
}

/// A job waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waits(Option<String>);

impl Waits {
    /// For what, if that is known.
    pub fn reason(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl System {
    /// As after `--on`.
    pub fn named(name: &str) -> Option<System> {
        match name {
            "sge" => Some(System::GridEngine),
            "pbs" => Some(System::Pbs),
            "lsf" => Some(System::Lsf),
            "htcondor" => Some(System::HtCondor),
            _ => None,
        }
    }

    /// Its name in sentences.
    pub fn title(self) -> &'static str {
        match self {
            System::GridEngine => "Grid Engine",
            System::Pbs => "PBS",
            System::Lsf => "LSF",
            System::HtCondor => "HTCondor",
        }
    }

    /// What its nodes are as a user is told.
    pub fn a_node(self) -> &'static str {
        match self {
            System::GridEngine => "a node of Grid Engine's",
            System::Pbs => "a node of PBS's",
            System::Lsf => "a node of LSF's",
            System::HtCondor => "a node of HTCondor's",
        }
    }

    /// The program that submits jobs.
    pub fn program(self) -> &'static str {
        match self {
            System::GridEngine | System::Pbs => "qsub",
            System::Lsf => "bsub",
            System::HtCondor => "condor_submit",
        }
    }

    /// All words that submit what lies at `script` and is on standard input, too. They tell the job's number.
    pub fn submit(self, command: &[String], script: &Path) -> Vec<String> {
        let (program, more) = command.split_at(command.len().min(1));
        let (ours, file) = match self {
            System::GridEngine => (Some("-terse"), None),
            System::Pbs | System::Lsf => (None, None),
            System::HtCondor => (Some("-terse"), Some(script.display().to_string())),
        };
        let ours = ours.map(str::to_owned);
        program.iter().cloned().chain(ours).chain(more.iter().cloned()).chain(file).collect()
    }

    /// The program that ends a job, or takes it out of the queue.
    pub fn cancel(self) -> &'static str {
        match self {
            System::GridEngine | System::Pbs => "qdel",
            System::Lsf => "bkill",
            System::HtCondor => "condor_rm",
        }
    }

    /// The program that lists this user's jobs, or everybody's, and its arguments.
    pub fn list(self) -> (&'static str, &'static [&'static str]) {
        match self {
            System::GridEngine => ("qstat", &["-u", "*"]),
            System::Pbs => ("qstat", &[]),
            System::Lsf => ("bjobs", &["-noheader", "-o", "jobid stat pend_reason delimiter='|'"]),
            System::HtCondor => ("condor_q", &["-af:,", "ClusterId", "ProcId", "JobStatus", "HoldReason"]),
        }
    }

    /// Whether what the list program says with its error is that there are no jobs.
    pub fn is_empty(self, stderr: &str) -> bool {
        self == System::Lsf && stderr.contains("No unfinished job found")
    }

    /// What is submitted.
    pub fn script(self, job: &Job<'_>) -> String {
        match self {
            System::GridEngine => self.of_shell(job, "#$ ", &grid_engine(job)),
            System::Pbs => self.of_shell(job, "#PBS ", &pbs(job)),
            System::Lsf => self.of_shell(job, "#BSUB ", &lsf(job)),
            System::HtCondor => ht_condor(job),
        }
    }

    fn of_shell(self, job: &Job<'_>, mark: &str, options: &[String]) -> String {
        let at = |file: &str| quoted(job.folder.join(file).as_os_str());
        let options: String = options.iter().fold(String::new(), |text, option| text + mark + option + "\n");
        let (begun, invitation) = (at(BEGUN), at(INVITATION));
        let outpost = job.launch.outpost_command(&quoted(job.program.as_os_str()));
        let setup = job.launch.setup_command();
        format!("#!/bin/sh\n{options}: > {begun}\n{setup}exec {outpost} < {invitation}\n")
    }

    /// The jobs in a listing, and whether each waits.
    pub fn jobs(self, listing: &str) -> BTreeMap<String, Option<Waits>> {
        listing.lines().filter_map(|line| self.job(line)).collect()
    }

    fn job(self, line: &str) -> Option<(String, Option<Waits>)> {
        let waits = |reason: Option<&str>| Some(Waits(reason.map(str::to_owned)));
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_number = |text: &str| text.starts_with(|it: char| it.is_ascii_digit());
        match self {
            // Number, priority, name, user, state, and more.
            System::GridEngine => {
                let (job, state) = (words.first().filter(|it| is_number(it))?, words.get(4)?);
                let state = match *state {
                    state if state.contains('E') => waits(Some("error, see `qstat -explain E`")),
                    state if state.contains('h') => waits(Some("held")),
                    state if state.contains('q') => waits(None),
                    _ => None,
                };
                Some(((*job).to_owned(), state))
            }
            // Number, name, user, time, state, queue. A long number is cut off.
            System::Pbs => {
                let (job, state) = (words.first().filter(|it| is_number(it))?, words.iter().rev().nth(1)?);
                let state = match *state {
                    "Q" => waits(None),
                    "H" => waits(Some("held")),
                    "W" => waits(Some("its time has not come")),
                    "F" | "X" => return None,
                    _ => None,
                };
                Some(((*job).to_owned(), state))
            }
            System::Lsf => {
                let mut fields = line.split('|').map(str::trim);
                let (job, state) = (fields.next().filter(|it| is_number(it))?, fields.next()?);
                let reason = fields.next().map(|it| it.trim_end_matches(';')).filter(|it| !it.is_empty() && *it != "-");
                let state = match state {
                    "PEND" => waits(reason),
                    "PSUSP" => waits(Some("suspended")),
                    "DONE" | "EXIT" => return None,
                    _ => None,
                };
                Some((job.to_owned(), state))
            }
            // A job's number has two parts. States: 1 idle, 2 runs, 3 removed, 4 completed, 5 held, 6 and 7 about to.
            System::HtCondor => {
                let mut fields = line.splitn(4, ',').map(str::trim);
                let cluster = fields.next().filter(|it| is_number(it))?;
                let (process, state) = (fields.next()?, fields.next()?);
                let reason = fields.next().filter(|it| *it != "undefined");
                let state = match state {
                    "1" => waits(None),
                    "3" | "4" => return None,
                    "5" => waits(Some(&format!("held, {}", reason.unwrap_or("see `condor_q -hold`")))),
                    _ => None,
                };
                Some((format!("{cluster}.{process}"), state))
            }
        }
    }
}

fn grid_engine(job: &Job<'_>) -> Vec<String> {
    let Resources { partition, time, cores, memory } = job.resources;
    let mut options = vec![
        format!("-N {}", job.name),
        "-S /bin/sh".to_owned(),
        // Standard error goes where standard output goes.
        "-j y".to_owned(),
        format!("-o {}", job.folder.join(OUTPUT).display()),
        // An engine that was lost is started by the controller.
        "-r n".to_owned(),
    ];
    options.extend(partition.iter().map(|queue| format!("-q {queue}")));
    options.extend(time.iter().map(|time| format!("-l h_rt={time}")));
    // The parallel environment for several cores of one node is called so by habit.
    options.extend(cores.filter(|cores| *cores > 1).map(|cores| format!("-pe smp {cores}")));
    options.extend(memory.iter().map(|memory| format!("-l h_vmem={memory}")));
    options
}

fn pbs(job: &Job<'_>) -> Vec<String> {
    let Resources { partition, time, cores, memory } = job.resources;
    let mut chunk = format!("-l select=1:ncpus={}", cores.unwrap_or(1));
    if let Some(memory) = memory {
        // It can't fail: it writes to memory.
        _ = write!(chunk, ":mem={memory}");
    }
    let output = job.folder.join(OUTPUT);
    let mut options =
        vec![format!("-N {}", job.name), "-j oe".to_owned(), format!("-o {}", output.display()), "-r n".to_owned()];
    options.extend(partition.iter().map(|queue| format!("-q {queue}")));
    options.push(chunk);
    options.extend(time.iter().map(|time| format!("-l walltime={time}")));
    options
}

fn lsf(job: &Job<'_>) -> Vec<String> {
    let Resources { partition, time, cores, memory } = job.resources;
    let output = job.folder.join(OUTPUT);
    let mut options = vec![format!("-J {}", job.name), format!("-o {}", output.display()), "-rn".to_owned()];
    options.extend(partition.iter().map(|queue| format!("-q {queue}")));
    options.extend(time.iter().map(|time| format!("-W {time}")));
    if let Some(cores) = cores {
        options.extend([format!("-n {cores}"), "-R \"span[hosts=1]\"".to_owned()]);
    }
    options.extend(memory.iter().map(|memory| format!("-M {memory}")));
    options
}

fn ht_condor(job: &Job<'_>) -> String {
    let Resources { partition: _, time, cores, memory } = job.resources;
    let at = |file: &str| job.folder.join(file).display().to_string();
    // Single quotes hold an argument together, and stand for themselves when doubled; so do double quotes around all.
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''").replace('"', "\"\""));
    let args: Vec<String> = job.launch.args.iter().map(|arg| quoted(&arg.to_string_lossy())).collect();
    let args = args.into_iter().chain([OUTPOST.to_owned()]).collect::<Vec<_>>().join(" ");
    let mut lines = vec![
        format!("batch_name = {}", job.name),
        format!("executable = {}", job.program.display()),
        format!("arguments = \"{args}\""),
        format!("input = {}", at(INVITATION)),
        format!("output = {}", at(OUTPUT)),
        format!("error = {}", at(OUTPUT)),
        "should_transfer_files = YES".to_owned(),
        "transfer_executable = True".to_owned(),
        // An engine that was lost is started by the controller: not by HTCondor, too. One that has ended would be held, since
        // the folder is gone into which its output was to go.
        "periodic_remove = (NumJobStarts > 0) && (JobStatus == 1 || JobStatus == 5)".to_owned(),
    ];
    lines.extend(cores.map(|cores| format!("request_cpus = {cores}")));
    lines.extend(memory.iter().map(|memory| format!("request_memory = {memory}")));
    lines.extend(time.iter().map(|time| format!("allowed_job_duration = {time}")));
    lines.push("queue\n".to_owned());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [System; 4] = [System::GridEngine, System::Pbs, System::Lsf, System::HtCondor];

    fn script(system: System, resources: &Resources) -> String {
        let (program, folder) = (Path::new("/shared/engine"), Path::new("/shared/3"));
        let args = vec!["run it".into()];
        let launch = &Launch::new("engine", args);
        system.script(&Job { name: "chorus-lab", resources, program, launch, folder })
    }

    fn all() -> Resources {
        let some = |text: &str| Some(text.to_owned());
        Resources { partition: some("long"), time: some("2:00:00"), cores: Some(2), memory: some("4G") }
    }

    #[test]
    fn each_is_told_in_its_own_words() {
        let options = |system, mark: &str| {
            let text = script(system, &all());
            let marked = text.lines().filter_map(|line| line.strip_prefix(mark)).map(str::to_owned);
            marked.collect::<Vec<_>>().join(" ")
        };
        let sge =
            "-N chorus-lab -S /bin/sh -j y -o /shared/3/output -r n -q long -l h_rt=2:00:00 -pe smp 2 -l h_vmem=4G";
        assert_eq!(options(System::GridEngine, "#$ "), sge);
        let pbs = "-N chorus-lab -j oe -o /shared/3/output -r n -q long -l select=1:ncpus=2:mem=4G -l walltime=2:00:00";
        assert_eq!(options(System::Pbs, "#PBS "), pbs);
        let lsf = "-J chorus-lab -o /shared/3/output -rn -q long -W 2:00:00 -n 2 -R \"span[hosts=1]\" -M 4G";
        assert_eq!(options(System::Lsf, "#BSUB "), lsf);
        let condor = script(System::HtCondor, &all());
        for line in ["arguments = \"'run it' outpost\"", "request_cpus = 2", "request_memory = 4G", "queue"] {
            assert!(condor.lines().any(|it| it == line), "{line}: {condor}");
        }
    }

    #[test]
    fn a_script_starts_the_outpost_with_its_invitation() {
        for system in [System::GridEngine, System::Pbs, System::Lsf] {
            let text = script(system, &Resources::default());
            let end = ": > /shared/3/begun\nexec /shared/engine 'run it' outpost < /shared/3/invitation\n";
            assert!(text.starts_with("#!/bin/sh\n#") && text.ends_with(end), "{text}");
        }
    }

    #[test]
    fn who_waits_is_found_in_listings() {
        let found = |system: System, listing: &str| {
            let jobs = system.jobs(listing);
            let words = jobs.into_iter().map(|(job, waits)| match waits {
                None => format!("{job} runs"),
                Some(Waits(None)) => format!("{job} waits"),
                Some(Waits(Some(reason))) => format!("{job} waits: {reason}"),
            });
            words.collect::<Vec<_>>().join(", ")
        };
        let sge = "\
job-ID  prior   name       user         state submit/start at     queue                          slots ja-task-ID
-----------------------------------------------------------------------------------------------------------------
      8 0.25000 chorus-x   root         r     11/29/2026 11:23:12 all.q@h2                           1
      9 0.00000 chorus-x   root         qw    11/29/2026 11:23:12                                    1
     10 0.00000 chorus-x   root         hqw   11/29/2026 11:23:12                                    1
     11 0.00000 chorus-x   root         Eqw   11/29/2026 11:23:12                                    1
";
        let told = "10 waits: held, 11 waits: error, see `qstat -explain E`, 8 runs, 9 waits";
        assert_eq!(found(System::GridEngine, sge), told);
        let pbs = "\
Job id            Name             User              Time Use S Queue
----------------  ---------------- ----------------  -------- - -----
12.head           chorus-lab       ada               00:00:02 R workq
13.head           chorus-lab       ada                      0 Q workq
14.head           chorus-lab       ada                      0 H workq
";
        assert_eq!(found(System::Pbs, pbs), "12.head runs, 13.head waits, 14.head waits: held");
        let lsf = "12|RUN|-\n13|PEND|Not enough slots;\n14|PEND|\n15|EXIT|-\n";
        assert_eq!(found(System::Lsf, lsf), "12 runs, 13 waits: Not enough slots, 14 waits");
        let condor = "12,0,2,undefined\n13,0,1,undefined\n14,1,5,no space, here\n15,0,4,undefined\n";
        assert_eq!(found(System::HtCondor, condor), "12.0 runs, 13.0 waits, 14.1 waits: held, no space, here");
    }

    #[test]
    fn what_was_written_by_hand_comes_behind() {
        let command = ["/opt/qsub", "-l", "gpu=1"].map(str::to_owned);
        let words = |system: System| system.submit(&command, Path::new("/s/job")).join(" ");
        assert_eq!(words(System::GridEngine), "/opt/qsub -terse -l gpu=1");
        assert_eq!(words(System::Pbs), "/opt/qsub -l gpu=1");
        assert_eq!(words(System::HtCondor), "/opt/qsub -terse -l gpu=1 /s/job");
    }

    proptest! {
        #[test]
        fn any_listing_can_be_read(listing in "[ -~\n]{0,300}") {
            for system in ALL {
                for job in system.jobs(&listing).into_keys() {
                    prop_assert!(job.starts_with(|it: char| it.is_ascii_digit()));
                }
            }
        }
    }
}
