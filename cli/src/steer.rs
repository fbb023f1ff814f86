//! `chorus scale`, `adapt`, `add`, `interrupt`, `restart`, `kill`, `drain`: has a cluster do something, for scripts and operators.

use crate::cluster::{Named, connect, find, tell_plan};
use crate::out::say;
use chorus_cells::Whereabouts;
use chorus_controller::Pool;
use chorus_magics::{Limits, On};
use chorus_protocol::{ClusterStatus, EngineId, Order, SIGINT, parse_ids, read_label, signal_name};
use clap::Args;
use std::error::Error;

/// The highest number of a signal on Linux.
const SIGNALS: i32 = 64;

#[derive(Args, Debug)]
pub struct Scale {
    /// How many engines
    #[arg(value_name = "N")]
    engines: u32,
    #[command(flatten)]
    cluster: Named,
}

#[derive(Args, Debug)]
pub struct Adapt {
    /// The least and the most, such as 0:64, perhaps with the seconds after which idle ones leave, 0:64:300; or `off`
    #[arg(value_name = "L:M")]
    limits: Limits,
    #[command(flatten)]
    cluster: Named,
}

#[derive(Args, Debug)]
pub struct Add {
    /// How many [default: one for each core, or host]
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    engines: Option<u32>,
    /// What to call these, for `px::engines().labelled(..)`
    #[arg(long, value_name = "LABEL", value_parser = read_label)]
    label: Option<String>,
    /// Where they are started
    #[command(flatten)]
    on: On,
    #[command(flatten)]
    cluster: Named,
}

/// Which engines of which cluster.
#[derive(Args, Debug)]
pub struct Targets {
    #[command(flatten)]
    cluster: Named,
    /// The engines, such as `0,2-4`, or `all`
    #[arg(short, long, value_name = "T")]
    targets: Which,
}

#[derive(Args, Debug)]
pub struct Kill {
    #[command(flatten)]
    targets: Targets,
    /// The signal, by its name, such as `KILL` or `SIGSTOP`, or its number
    #[arg(short, long, value_name = "SIGNAL", default_value = "TERM", value_parser = signal)]
    signal: i32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Which {
    All,
    These(Vec<EngineId>),
}

impl std::str::FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Which, String> {
        if text == "all" {
            return Ok(Which::All);
        }
        let ids = parse_ids(text).filter(|ids| !ids.is_empty());
        ids.map(Which::These).ok_or_else(|| "write engines as `2`, `0,2`, `0-3,7`, or `all`".to_owned())
    }
}

impl Which {
    fn of(&self, status: &ClusterStatus) -> Vec<EngineId> {
        match self {
            Which::All => status.engines.iter().map(|engine| engine.id).collect(),
            Which::These(ids) => ids.clone(),
        }
    }
}

fn signal(text: &str) -> Result<i32, String> {
    let upper = text.to_ascii_uppercase();
    let known = |number: &i32| match signal_name(*number) {
        Some((name, _)) => name == upper || name.strip_prefix("SIG") == Some(&upper),
        None => false,
    };
    let number = text.parse().ok().or_else(|| (1..=SIGNALS).find(known));
    number
        .filter(|number| (1..=SIGNALS).contains(number))
        .ok_or_else(|| format!("write a signal's name, such as `KILL`, or its number, 1 to {SIGNALS}"))
}

/// Has a cluster have so many engines.
pub fn scale(scale: &Scale) -> Result<(), Box<dyn Error>> {
    steer(&scale.cluster, "`chorus scale`", |_| Order::Scale { engines: scale.engines })
}

/// Has the number of a cluster's engines follow the work.
pub fn adapt(adapt: &Adapt) -> Result<(), Box<dyn Error>> {
    steer(&adapt.cluster, "`chorus adapt`", |_| Order::Adapt(adapt.limits.0))
}

/// Has a cluster have more engines. They join when they come.
pub fn add(add: &Add) -> Result<(), Box<dyn Error>> {
    let found = chorus_cells::whereabouts(&add.on, add.engines, chorus_cells::default_engines)?;
    if add.on.dry_run {
        let name = find(add.cluster.name())?.name;
        return tell_plan(found, add.label.clone(), &name);
    }
    let Whereabouts { pool, engines, .. } = found;
    let pool = Pool { label: add.label.clone(), ..pool }.write();
    steer(&add.cluster, "`chorus add`", |_| Order::Add { engines, pool })
}

/// Interrupts what runs on engines.
pub fn interrupt(targets: &Targets) -> Result<(), Box<dyn Error>> {
    let order = |engines| Order::Interrupt { engines, signal: SIGINT };
    steer(&targets.cluster, "`chorus interrupt`", |status| order(targets.targets.of(status)))
}

/// Gives engines fresh workers.
pub fn restart(targets: &Targets) -> Result<(), Box<dyn Error>> {
    steer(&targets.cluster, "`chorus restart`", |status| Order::Restart { engines: targets.targets.of(status) })
}

/// Lets engines leave when they have done what they have.
pub fn drain(targets: &Targets) -> Result<(), Box<dyn Error>> {
    steer(&targets.cluster, "`chorus drain`", |status| Order::Drain { engines: targets.targets.of(status) })
}

/// Sends a signal to engines' processes.
pub fn kill(kill: &Kill) -> Result<(), Box<dyn Error>> {
    let targets = &kill.targets;
    let order = |engines| Order::Kill { engines, signal: kill.signal };
    steer(&targets.cluster, "`chorus kill`", |status| order(targets.targets.of(status)))
}

fn steer(cluster: &Named, who: &str, order: impl FnOnce(&ClusterStatus) -> Order) -> Result<(), Box<dyn Error>> {
    let entry = find(cluster.name())?;
    crate::runtime()?.block_on(async {
        let (client, status) = connect(&entry, who).await?;
        let order = order(&status);
        let what = order.to_string();
        let done = client.steer(order).await?.map_err(|why| format!("didn't {what}: {why}"))?;
        say!("{}: {done}", entry.name)?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_are_written_as_ranges_or_all() {
        assert_eq!("all".parse(), Ok(Which::All));
        assert_eq!("0-1,7".parse(), Ok(Which::These(vec![EngineId(0), EngineId(1), EngineId(7)])));
        for text in ["", "x", "3-1", "-1"] {
            assert!(text.parse::<Which>().is_err(), "{text}");
        }
    }

    #[test]
    fn signals_have_names_and_numbers() {
        assert_eq!(["TERM", "SIGTERM", "15", "term", "SigTerm"].map(signal), [15; 5].map(Ok));
        // What `chorus top` offers has a name here, too.
        for (number, text) in chorus_monitor::app::SIGNALS {
            let name = text.split(' ').next().unwrap();
            assert_eq!([signal(name), signal(&name[3..])], [Ok(number), Ok(number)], "{name}");
        }
        for text in ["", "0", "65", "-9", "SIG", "NONE"] {
            assert!(signal(text).is_err(), "{text}");
        }
    }
}
