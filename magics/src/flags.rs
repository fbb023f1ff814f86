//! The flags of each magic: declared once here, for reading, for help and for completion.

use super::Targets;
use crate::Grouping;
use clap::{Args, Parser, Subcommand};
use std::fmt;
use std::time::Duration;

/// What `%pxconfig` sets: how a parallel magic runs that says nothing else.
#[derive(Clone, Debug, PartialEq)]
pub struct PxConfig {
    /// On which engines.
    pub targets: Targets,
    /// Whether the cell waits for its end.
    pub block: bool,
    /// Whether outputs are shown as they arrive; else grouped, when all engines are done.
    pub stream: bool,
    /// How they are grouped.
    pub grouping: Grouping,
    /// Whether every engine's outputs are shown although others' are identical.
    pub each: bool,
    /// Whether each execution is announced.
    pub verbose: bool,
    /// When progress is shown; `None` for never.
    pub progress_after: Option<Duration>,
    /// What an interrupt of the cell sends to the engines.
    pub signal_on_interrupt: Signal,
}

impl Default for PxConfig {
    fn default() -> PxConfig {
        PxConfig {
            targets: Targets::all(),
            block: true,
            stream: true,
            grouping: Grouping::Type,
            each: false,
            verbose: false,
            progress_after: Some(Duration::from_secs(2)),
            signal_on_interrupt: Signal(2),
        }
    }
}

impl fmt::Display for PxConfig {
    /// As flags, so that it can be copied into a cell.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flag = |on: bool, yes: &'static str, no: &'static str| if on { yes } else { no };
        write!(f, "%pxconfig --targets {}", self.targets)?;
        write!(f, " {}", flag(self.block, "--block", "--noblock"))?;
        write!(f, " {}", flag(self.stream, "--stream", "--no-stream"))?;
        write!(f, " --group-outputs={}", self.grouping)?;
        write!(f, " {}", flag(self.each, "--each", "--no-each"))?;
        write!(f, " {}", flag(self.verbose, "--verbose", "--no-verbose"))?;
        match self.progress_after {
            Some(after) => write!(f, " --progress-after {}", after.as_secs_f64())?,
            None => f.write_str(" --progress-after -1")?,
        }
        write!(f, " --signal-on-interrupt {}", self.signal_on_interrupt)
    }
}

/// A signal's number; 0 sends none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal(pub i32);

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match chorus_protocol::signal_name(self.0) {
            Some((name, _)) => f.write_str(name),
            None => self.0.fmt(f),
        }
    }
}

fn signal(text: &str) -> Result<Signal, String> {
    let upper = text.to_ascii_uppercase();
    let short = upper.strip_prefix("SIG").unwrap_or(&upper);
    let named = |number: &i32| {
        chorus_protocol::signal_name(*number).is_some_and(|(name, _)| name.strip_prefix("SIG") == Some(short))
    };
    let number = text.parse().ok().filter(|number| (0..=64).contains(number));
    number
        .or_else(|| (1..=64).find(named))
        .map(Signal)
        .ok_or_else(|| "write a name such as SIGINT or SIGKILL, a number up to 64, or 0 to send none".into())
}

/// After how long; `None` for never. (clap gives `Option<Option<_>>` a meaning of its own.)
#[derive(Clone, Copy, Debug)]
pub(super) struct After(pub(super) Option<Duration>);

pub(super) fn seconds(text: &str) -> Result<After, String> {
    let wrong = || "write seconds, 0 for at once, or -1 for never".to_owned();
    let seconds: f64 = text.parse().map_err(|_| wrong())?;
    if seconds < 0.0 {
        return Ok(After(None));
    }
    Duration::try_from_secs_f64(seconds).map(|after| After(Some(after))).map_err(|_| wrong())
}

pub(super) fn variable(text: &str) -> Result<String, String> {
    const KEYWORDS: &str = "_ Self abstract as async await become box break const continue crate do dyn else enum \
        extern false final fn for gen if impl in let loop macro match mod move mut override priv pub ref return self \
        static struct super trait true try type typeof unsafe unsized use virtual where while yield";
    let starts_well = text.starts_with(|c: char| c.is_alphabetic() || c == '_');
    if starts_well && text.chars().all(super::scan::is_word) && !KEYWORDS.split_whitespace().any(|word| word == text) {
        Ok(text.to_owned())
    } else {
        Err("it must be a name that a Rust variable can have".into())
    }
}

fn at_least_one(text: &str) -> Result<u32, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| "write a number of engines, at least 1".into())
}

#[derive(Args, Clone, Debug)]
struct Execution {
    /// The engines: `1`, `0,2`, `1:3`, `::2`, `-1` for the last, or `all`
    #[arg(short, long, value_name = "T", allow_hyphen_values = true)]
    targets: Option<Targets>,
    /// Wait until the engines are done
    #[arg(short, long, overrides_with = "noblock")]
    block: bool,
    /// Don't wait: `%pxresult` shows the outputs later
    #[arg(short = 'a', long)]
    noblock: bool,
    /// Show outputs as they arrive
    #[arg(long, overrides_with = "no_stream")]
    stream: bool,
    /// Show outputs grouped, when all engines are done
    #[arg(long)]
    no_stream: bool,
    /// Say on which engines it runs
    #[arg(long, overrides_with = "no_verbose")]
    verbose: bool,
    /// Don't say it
    #[arg(long)]
    no_verbose: bool,
    /// Show progress after so many seconds; 0: at once, -1: never
    #[arg(long, value_name = "S", allow_hyphen_values = true, value_parser = seconds)]
    progress_after: Option<After>,
    /// What an interrupt of the cell sends to the engines: SIGINT, 9, or 0 for nothing
    #[arg(long, value_name = "SIG", value_parser = signal)]
    signal_on_interrupt: Option<Signal>,
}

#[derive(Args, Clone, Debug)]
struct Grouped {
    /// The same as --group-outputs=order
    #[arg(short = 'r', overrides_with_all = ["engine", "group_outputs"])]
    order: bool,
    /// The same as --group-outputs=engine
    #[arg(short = 'e', overrides_with_all = ["order", "group_outputs"])]
    engine: bool,
    /// Group outputs by their type, by engine, or in order: all first displays, then all second ones
    #[arg(short, long, value_name = "BY", overrides_with_all = ["engine", "order"])]
    group_outputs: Option<Grouping>,
    /// Show each engine's outputs although they are identical
    #[arg(long, overrides_with = "no_each")]
    each: bool,
    /// Show identical outputs once, with the engines that they are from
    #[arg(long)]
    no_each: bool,
}

impl Grouped {
    fn grouping(&self) -> Option<Grouping> {
        match (self.order, self.engine) {
            (true, _) => Some(Grouping::Order),
            (_, true) => Some(Grouping::Engine),
            _ => self.group_outputs,
        }
    }
}

/// One of two flags that undo each other, if one was given; clap leaves the later one.
pub(super) fn either(yes: bool, no: bool) -> Option<bool> {
    match (yes, no) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    }
}

/// The defaults with what these flags change. Asking for a grouping means not to stream, unless both are asked for.
fn merge(config: &PxConfig, execution: &Execution, grouped: &Grouped) -> PxConfig {
    let grouping = grouped.grouping();
    let stream = either(execution.stream, execution.no_stream).or(grouping.map(|_| false));
    PxConfig {
        targets: execution.targets.clone().unwrap_or_else(|| config.targets.clone()),
        block: either(execution.block, execution.noblock).unwrap_or(config.block),
        stream: stream.unwrap_or(config.stream),
        grouping: grouping.unwrap_or(config.grouping),
        each: either(grouped.each, grouped.no_each).unwrap_or(config.each),
        verbose: either(execution.verbose, execution.no_verbose).unwrap_or(config.verbose),
        progress_after: execution.progress_after.map_or(config.progress_after, |after| after.0),
        signal_on_interrupt: execution.signal_on_interrupt.unwrap_or(config.signal_on_interrupt),
    }
}

/// `%px` and `%%px`.
#[derive(Parser, Debug)]
#[command(no_binary_name = true, disable_version_flag = true, args_override_self = true)]
pub(super) struct PxFlags {
    #[command(flatten)]
    execution: Execution,
    #[command(flatten)]
    grouped: Grouped,
    /// Keep the outputs under this name, for `%pxresult -o NAME`
    #[arg(short, long, value_name = "NAME", value_parser = variable)]
    out: Option<String>,
    /// Run the code in the notebook's own process as well
    #[arg(long)]
    local: bool,
}

/// How one parallel execution runs.
#[derive(Clone, Debug, PartialEq)]
pub struct PxOptions {
    /// The defaults, with the flags of this magic.
    pub config: PxConfig,
    /// `-o NAME`.
    pub out: Option<String>,
    /// `--local`.
    pub local: bool,
}

impl PxFlags {
    pub(super) fn over(self, config: &PxConfig) -> PxOptions {
        let config = merge(config, &self.execution, &self.grouped);
        PxOptions { config, out: self.out, local: self.local }
    }
}

/// `%pxconfig` and `%autopx`.
#[derive(Parser, Debug)]
#[command(no_binary_name = true, disable_version_flag = true, args_override_self = true)]
pub(super) struct ConfigFlags {
    #[command(flatten)]
    execution: Execution,
    #[command(flatten)]
    grouped: Grouped,
}

impl ConfigFlags {
    pub(super) fn over(self, config: &PxConfig) -> PxConfig {
        merge(config, &self.execution, &self.grouped)
    }
}

/// `%pxresult`.
#[derive(Parser, Debug)]
#[command(no_binary_name = true, disable_version_flag = true, args_override_self = true)]
pub(super) struct ResultFlags {
    #[command(flatten)]
    grouped: Grouped,
    /// The outputs that `%px -o NAME` kept, instead of the last ones
    #[arg(short, long, value_name = "NAME", value_parser = variable)]
    out: Option<String>,
    /// What a `%map` has done that was interrupted or failed; with -o NAME as a variable of this name
    #[arg(long)]
    partial: bool,
}

/// What `%pxresult` shows and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultOptions {
    /// How outputs are grouped.
    pub grouping: Grouping,
    /// Whether every engine's outputs are shown although others' are identical.
    pub each: bool,
    /// Which outputs: those of `%px -o NAME`, or the last ones. For `partial`, the variable to be defined, if any.
    pub out: Option<String>,
    /// What the last map has done, though it didn't come to its end.
    pub partial: bool,
}

impl ResultFlags {
    pub(super) fn over(self, config: &PxConfig) -> ResultOptions {
        ResultOptions {
            grouping: self.grouped.grouping().unwrap_or(config.grouping),
            each: either(self.grouped.each, self.grouped.no_each).unwrap_or(config.each),
            out: self.out,
            partial: self.partial,
        }
    }
}

/// `%lsmagic`, which has no flags but `-h`.
#[derive(Parser, Debug)]
#[command(no_binary_name = true, disable_version_flag = true)]
pub(super) struct NoFlags {}

/// `%cluster`.
#[derive(Parser, Debug)]
#[command(no_binary_name = true, disable_version_flag = true, disable_help_subcommand = true)]
pub(super) struct ClusterFlags {
    #[command(subcommand)]
    command: Option<ClusterCommand>,
}

impl ClusterFlags {
    pub(super) fn wanted(self) -> ClusterCommand {
        self.command.unwrap_or(ClusterCommand::Status)
    }
}

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
    },
    /// Stop the cluster and its engines
    Stop {
        /// Although another notebook or `chorus start` started it
        #[arg(long)]
        force: bool,
    },
    /// Show the cluster and its engines; also what %cluster alone does
    Status,
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
