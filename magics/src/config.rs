//! How parallel magics run: the defaults, and the flags that many magics have.

use crate::complete::What;
use crate::values::{After, either, seconds};
use crate::{Grouping, Targets};
use clap::Args;
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
            signal_on_interrupt: Signal(chorus_protocol::SIGINT),
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

#[derive(Args, Clone, Debug)]
struct Execution {
    /// The engines: `1`, `0,2`, `0-3`, `1:3`, `::2`, `-1` for the last, or `all`
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
pub(crate) struct Grouped {
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
    pub fn grouping(&self) -> Option<Grouping> {
        match (self.order, self.engine) {
            (true, _) => Some(Grouping::Order),
            (_, true) => Some(Grouping::Engine),
            _ => self.group_outputs,
        }
    }

    pub fn each(&self) -> Option<bool> {
        either(self.each, self.no_each)
    }
}

/// The flags of `%px`, `%autopx` and `%pxconfig`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ConfigFlags {
    #[command(flatten)]
    execution: Execution,
    #[command(flatten)]
    grouped: Grouped,
}

impl ConfigFlags {
    /// The defaults that a magic makes of these flags, and the engines that they name, if they do.
    pub fn defaults(&self, config: &PxConfig, by: &'static str) -> (PxConfig, Option<Targets>) {
        let targets = self.execution.targets.clone();
        let mut config = self.over(config);
        if let Some(targets) = &targets {
            config.targets = targets.clone().defaults_of(by);
        }
        (config, targets)
    }

    /// The defaults with what these flags change. Asking for a grouping means not to stream, unless both are asked for.
    pub fn over(&self, config: &PxConfig) -> PxConfig {
        let ConfigFlags { execution, grouped } = self;
        let stream = either(execution.stream, execution.no_stream).or(grouped.grouping().map(|_| false));
        PxConfig {
            targets: execution.targets.clone().unwrap_or_else(|| config.targets.clone()),
            block: either(execution.block, execution.noblock).unwrap_or(config.block),
            stream: stream.unwrap_or(config.stream),
            grouping: grouped.grouping().unwrap_or(config.grouping),
            each: grouped.each().unwrap_or(config.each),
            verbose: either(execution.verbose, execution.no_verbose).unwrap_or(config.verbose),
            progress_after: execution.progress_after.map_or(config.progress_after, |after| after.0),
            signal_on_interrupt: execution.signal_on_interrupt.unwrap_or(config.signal_on_interrupt),
        }
    }
}

/// What can stand as the value of a flag that several magics have.
pub(crate) fn values(argument: &str) -> Option<What> {
    match argument {
        "targets" => Some(What::Targets),
        "signal_on_interrupt" => Some(What::Words(["SIGINT", "SIGTERM", "SIGKILL", "0"].map(String::from).to_vec())),
        _ => None,
    }
}
