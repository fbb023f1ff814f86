//! `%cluster`: the engines that there are.

use super::prelude::*;
use chorus_protocol::{Adapt, read_label};
use clap::builder::{PossibleValue, PossibleValuesParser, StringValueParser, TypedValueParser};
use clap::{Arg, Subcommand};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// What `%cluster` does.
#[derive(Subcommand, Clone, Debug, PartialEq, Eq)]
pub enum ClusterCommand {
    /// Start a cluster and use it
    Start {
        /// How many engines; one for each core when left out
        #[arg(short, value_name = "N", value_parser = at_least_one)]
        n: Option<u32>,
        /// Listen on ports of 127.0.0.1 instead of in a private folder
        #[arg(long)]
        tcp: bool,
        /// Its name, by which other notebooks connect to it
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// What to call its engines, for `px::engines().labelled(..)`
        #[arg(long, value_name = "LABEL", value_parser = read_label)]
        label: Option<String>,
        /// Record what happens in this file, for `chorus top --replay`
        #[arg(long, value_name = "FILE")]
        record: Option<PathBuf>,
        /// Where engines are started
        #[command(flatten)]
        on: Box<On>,
    },
    /// Stop the cluster and its engines
    Stop {
        /// Although another notebook or `chorus start` started it
        #[arg(long)]
        force: bool,
    },
    /// Show the cluster and its engines; also what %cluster alone does
    Status,
    /// The same, kept up to date until it is interrupted
    Watch {
        /// Stop after so many seconds
        #[arg(long = "for", value_name = "S", value_parser = seconds)]
        limit: Option<Duration>,
    },
    /// Show what happened, and what engines wrote to their logs
    Logs {
        /// The engines, as after `-t` of %px; all when left out
        #[arg(short, long, value_name = "T", allow_hyphen_values = true)]
        targets: Option<Targets>,
        /// Go on until it is interrupted
        #[arg(short, long)]
        follow: bool,
        /// So many lines of each engine, and of what happened
        #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
        lines: usize,
    },
    /// Have so many engines: start more, or let the last ones leave when they have done what they have
    Scale {
        /// How many
        #[arg(value_name = "N", value_parser = at_least_one)]
        n: u32,
    },
    /// Have as many engines as there is work for
    Adapt {
        /// The least and the most, such as 0:64, perhaps with the seconds after which idle ones leave, 0:64:300; or `off`
        #[arg(value_name = "L:M")]
        limits: Limits,
    },
    /// Have more engines, from anywhere: this host, others, a batch system
    Add {
        /// How many; one for each core, or host, when left out
        #[arg(short, value_name = "N", value_parser = at_least_one)]
        n: Option<u32>,
        /// What to call these, for `px::engines().labelled(..)`
        #[arg(long, value_name = "LABEL", value_parser = read_label)]
        label: Option<String>,
        /// Where they are started
        #[command(flatten)]
        on: Box<On>,
    },
    /// Let engines leave when they have done what they have
    Drain {
        /// The engines, as after `-t` of %px
        #[arg(value_name = "T", allow_hyphen_values = true)]
        targets: Targets,
    },
    /// Use a cluster that runs already
    Connect {
        /// Its name, or its connection file
        #[arg(value_name = "NAME|FILE")]
        to: String,
    },
    /// Leave a cluster that this notebook didn't start; it goes on
    Disconnect,
    /// Give engines fresh, empty workers
    Restart {
        /// The engines, as after `-t` of %px; all when left out
        #[arg(short, long, value_name = "T", allow_hyphen_values = true)]
        targets: Option<Targets>,
    },
}

/// Limits for the number of engines, or `None` for `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits(pub Option<Adapt>);

impl FromStr for Limits {
    type Err = String;

    fn from_str(text: &str) -> Result<Limits, String> {
        if text == "off" { Ok(Limits(None)) } else { text.parse().map(Some).map(Limits) }
    }
}

/// What can start engines on other hosts.
const WAYS: [&str; 10] = ["ssh", "slurm", "sge", "pbs", "lsf", "htcondor", "kubernetes", "mpi", "dask", "ray"];

/// Reads one of them, behind which an address may stand: `dask=tcp://scheduler:8786`.
#[derive(Clone)]
struct WayParser;

impl TypedValueParser for WayParser {
    type Value = String;

    fn parse_ref(&self, command: &clap::Command, flag: Option<&Arg>, value: &OsStr) -> Result<String, clap::Error> {
        let name = value.to_string_lossy();
        let name = name.split_once('=').map_or(&*name, |(name, _)| name);
        PossibleValuesParser::new(WAYS).parse_ref(command, flag, name.as_ref())?;
        StringValueParser::new().parse_ref(command, flag, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(WAYS.iter().map(PossibleValue::new)))
    }
}

/// Where engines are started.
#[derive(clap::Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct On {
    /// What starts them on other hosts; of Dask and Ray with an address: dask=tcp://scheduler:8786
    #[arg(long, value_name = "WHAT", value_parser = WayParser)]
    pub on: Option<String>,
    /// Flags from ~/.config/chorus/clusters.toml, under this name; those that are written here hold over them
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// For ssh: the hosts, each with its number of engines: node1,node2*4
    #[arg(long, value_name = "HOSTS")]
    pub hosts: Option<String>,
    /// For batch systems: the partition, or queue
    #[arg(long, value_name = "NAME", alias = "queue")]
    pub partition: Option<String>,
    /// For batch systems and Kubernetes: how long an engine may run, as the system writes it, such as 2:00:00
    #[arg(long, value_name = "TIME")]
    pub time: Option<String>,
    /// For batch systems, Kubernetes, Dask and Ray: how many cores an engine gets
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub cores: Option<u32>,
    /// For batch systems, Kubernetes, Dask and Ray: how much memory an engine gets, as the system writes it, such as 4G
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<String>,
    /// For Kubernetes: the image of engines' containers, which needs sh and no more than that
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// The program that starts engines, with more options of it: "srun --qos=low", "ssh -F FILE", "qsub -l gpu=1"; for
    /// Dask and Ray a Python that has them
    #[arg(long, value_name = "COMMAND", aliases = ["ssh", "srun"])]
    pub command: Option<String>,
    /// For batch systems and MPI: a folder that all hosts see; ~/.cache/chorus when left out
    #[arg(long, value_name = "FOLDER")]
    pub shared: Option<PathBuf>,
    /// For Kubernetes and batch systems other than Slurm: a job's manifest or script, as --dry-run prints it and you have changed it
    #[arg(long, value_name = "FILE")]
    pub script: Option<PathBuf>,
    /// Only tell what would be run or submitted
    #[arg(long)]
    pub dry_run: bool,
    /// For ssh: have hosts connect back through it, where they can't reach this one
    #[arg(long)]
    pub tunnel: bool,
    /// The port of this host that others connect to, or the first and the last of some: 5000-5010
    #[arg(long, value_name = "PORTS")]
    pub ports: Option<String>,
    /// Go on when so many engines have joined; the others join when they come
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub min: Option<u32>,
    /// Have as many as there is work for, from the least to the most: 0:64; idle ones leave after 30 s, or those of 0:64:300
    #[arg(long, value_name = "L:M")]
    pub adapt: Option<Adapt>,
}

impl On {
    /// The flags that say the same.
    pub fn flags(&self) -> Vec<OsString> {
        let On {
            on,
            profile,
            hosts,
            partition,
            time,
            cores,
            memory,
            image,
            command,
            shared,
            script,
            dry_run,
            tunnel,
            ports,
            min,
            adapt,
        } = self;
        let [cores, min] = [cores, min].map(|number| number.map(|number| number.to_string()));
        let adapt = adapt.map(|adapt| adapt.to_string());
        let texts = [("--on", on), ("--profile", profile), ("--hosts", hosts), ("--partition", partition)];
        let more = [
            ("--time", time),
            ("--cores", &cores),
            ("--memory", memory),
            ("--image", image),
            ("--command", command),
            ("--ports", ports),
            ("--min", &min),
            ("--adapt", &adapt),
        ];
        let texts = texts.into_iter().chain(more).filter_map(|(flag, text)| Some((flag, text.as_ref()?.into())));
        let paths = [("--shared", shared), ("--script", script)];
        let paths = paths.into_iter().filter_map(|(flag, path)| Some((flag, path.as_ref()?.into())));
        let flags = texts.chain(paths).flat_map(|(flag, value): (_, OsString)| [flag.into(), value]);
        let alone = [tunnel.then_some("--tunnel"), dry_run.then_some("--dry-run")];
        flags.chain(alone.into_iter().flatten().map(OsString::from)).collect()
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| "write a number of seconds".into())
}

fn at_least_one(text: &str) -> Result<u32, String> {
    values::at_least_one(text).map_err(|_| "write a number of engines, at least 1".into())
}

#[derive(Parser)]
pub(crate) struct Flags {
    #[command(subcommand)]
    command: Option<ClusterCommand>,
}

impl Magic for Flags {
    const NAME: &str = "cluster";
    const GROUP: Group = Group::Parallel;
    const SUMMARY: &str = "Starts, shows, joins and stops clusters";
    const USAGE: &str = "\
%cluster [start [-n N] [--tcp] [--name NAME] [--label LABEL] [--record FILE] [--min N] [--adapt L:M] [--on WHAT ..] \
| add [-n N] [--label LABEL] [--on WHAT ..] | scale N | adapt L:M | drain T | stop [--force] | status | watch [--for S] \
| logs [-t T] [-f] [-n N] | connect NAME|FILE | disconnect | restart [-t T]]";
    const TEACHING: &str = "\
Examples:
  %cluster start -n 4                  4 engines on this machine
  %cluster start --on ssh --hosts a    an engine on host a; with `a,b*4` also four on b
  %cluster start --on slurm -n 64      64 engines, each a job of Slurm's
  %cluster start --on ray -n 8         8 engines, each a task of Ray's; `--on dask=tcp://h:8786` of Dask's
  %cluster start --profile lab         as ~/.config/chorus/clusters.toml says under [lab]
  %cluster start --name lab            other notebooks may connect to it
  %cluster connect lab                 the same cluster from another notebook
  %cluster restart -t 2                a fresh worker for engine 2; its variables are gone
  %cluster                             who is there, what runs, and what that takes
  %cluster watch                       the same, up to date, until it is interrupted
  %cluster logs -t 2 -f                what engine 2 writes to its log
  %cluster scale 8                     more engines, which know all definitions, or fewer
  %cluster adapt 0:64                  as many as there is work for; `off` ends it
  %cluster add --on slurm -n 8         8 more, from elsewhere; flags as of `start`
  %cluster drain 3                     engine 3 finishes what it has, and leaves
  %cluster disconnect                  leaves a cluster that somebody else started
  %cluster stop                        ends one's own cluster";
    const UNCOMMON: bool = true;

    fn read<'a>(self, _: &mut Call<'_, 'a>) -> Result<Command<'a>, MagicError> {
        Ok(Command::Cluster(self.command.unwrap_or(ClusterCommand::Status)))
    }

    fn values(argument: &str) -> Option<What> {
        (argument == "to").then_some(What::Cluster)
    }
}
