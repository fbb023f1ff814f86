//! The magics there are, and the texts that teach them.

use super::flags::{ClusterFlags, ConfigFlags, NoFlags, PxFlags, ResultFlags};
use clap::CommandFactory;
use std::fmt;

/// The name of a magic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Name {
    /// `%px` and `%%px`.
    Px,
    /// `%autopx`.
    AutoPx,
    /// `%pxresult`.
    PxResult,
    /// `%pxconfig`.
    PxConfig,
    /// `%cluster`.
    Cluster,
    /// `%lsmagic`.
    LsMagic,
}

impl Name {
    /// Every magic, in the order in which they are listed.
    pub const ALL: [Name; 6] = [Name::Px, Name::AutoPx, Name::PxResult, Name::PxConfig, Name::Cluster, Name::LsMagic];

    /// As written, without `%`.
    pub fn as_str(self) -> &'static str {
        match self {
            Name::Px => "px",
            Name::AutoPx => "autopx",
            Name::PxResult => "pxresult",
            Name::PxConfig => "pxconfig",
            Name::Cluster => "cluster",
            Name::LsMagic => "lsmagic",
        }
    }

    /// The magic of this name.
    pub fn find(name: &str) -> Option<Name> {
        Name::ALL.into_iter().find(|magic| magic.as_str() == name)
    }

    fn summary(self) -> &'static str {
        match self {
            Name::Px => "Runs Rust on every engine of the cluster; `%%px` runs the whole cell",
            Name::AutoPx => "Sends every following cell to the engines, until `%autopx` is run again",
            Name::PxResult => "Shows the outputs of the last parallel cell again, and of one that didn't wait",
            Name::PxConfig => "Sets the defaults of the flags of `%px`, or shows them",
            Name::Cluster => "Starts, shows, joins and stops clusters",
            Name::LsMagic => "Lists the magics",
        }
    }

    /// One line that shows how it is written.
    pub(super) fn usage(self) -> &'static str {
        match self {
            Name::Px => "%px [flags] CODE, or %%px [flags] and the code on the lines below",
            Name::AutoPx => "%autopx [flags]",
            Name::PxResult => "%pxresult [-r | -e | -g BY] [--each] [-o NAME]",
            Name::PxConfig => "%pxconfig [flags]",
            Name::Cluster => {
                "%cluster [start [-n N] [--tcp] [--name NAME] | stop | status | connect NAME|FILE | restart [-t T]]"
            }
            Name::LsMagic => "%lsmagic",
        }
    }

    fn teaching(self) -> &'static str {
        match self {
            Name::Px => PX,
            Name::AutoPx => AUTOPX,
            Name::PxResult => PXRESULT,
            Name::PxConfig => PXCONFIG,
            Name::Cluster => CLUSTER,
            Name::LsMagic => "`%NAME?` tells more of each.",
        }
    }

    /// The flags, as clap reads them.
    pub(super) fn flags(self) -> clap::Command {
        let command = match self {
            Name::Px => PxFlags::command(),
            Name::AutoPx | Name::PxConfig => ConfigFlags::command(),
            Name::PxResult => ResultFlags::command(),
            Name::Cluster => ClusterFlags::command(),
            Name::LsMagic => NoFlags::command(),
        };
        command
            .name(self.as_str())
            .about(self.summary())
            .override_usage(self.usage())
            .after_help(self.teaching())
            .color(clap::ColorChoice::Never)
            .term_width(120)
    }

    /// The whole help text: usage, flags and examples.
    pub fn help(self) -> String {
        let text = self.flags().render_help().to_string();
        // There is one form of help only. And clap pads lines with white space, which a notebook would keep.
        let text = text.replace(" (see more with '--help')", "");
        let mut lines: Vec<&str> = text.trim_end().lines().map(str::trim_end).collect();
        if self == Name::Cluster {
            // The flags of its commands are in the usage line and in the examples; its own is `-h` alone.
            lines.retain(|line| !line.starts_with("Options:") && !line.trim_start().starts_with("-h,"));
            lines.dedup();
        }
        lines.join("\n") + "\n"
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{}", self.as_str())
    }
}

/// What `%lsmagic` prints.
pub fn list() -> String {
    let mut text = String::new();
    for name in Name::ALL {
        let shown = if name == Name::Px { "%px, %%px".to_owned() } else { name.to_string() };
        text += &format!("{shown:<11} {}\n", name.summary());
    }
    text + "\n`%NAME?` tells more of each.\n"
}

const PX: &str = "\
The code is compiled once, by the notebook, and every engine runs it. Each engine keeps its own variables; functions,
types and `use` are shared with the other cells of the notebook. The first `%px` starts a cluster if there is none.

Examples:
  %px let here = std::process::id();      a variable on every engine
  %px here                                its value on each: Out[0:2]: 4711 ...
  %px -t 0,2 println!(\"hello\")            on the engines 0 and 2 only
  %px -t -1 -- -here                      `--` ends the flags, where code begins with `-`
  let n = 3;                              Rust may stand above and below: it runs here, not on the engines
  %px println!(\"one of {}\", px::size())

  %%px --noblock -o squares               a cell that isn't waited for
  let mine = (px::rank() * 10)..;
  mine.take(10).map(|x| x * x).sum::<usize>()

Outputs:
  [stdout:2] text       printed by engine 2
  [output:2]            what engine 2 displays follows
  Out[0-3:7]: 42        the cell's last expression, the same on the engines 0 to 3
  [2:execute] ...       how it failed on engine 2";

const AUTOPX: &str = "\
Examples:
  %autopx                 from the next statement on, all Rust runs on the engines
  let a = px::rank();
  %autopx                 and from here on in the notebook again
  %autopx -t 0            only engine 0";

const PXRESULT: &str = "\
Examples:
  %px -a slow()           returns at once
  %pxresult               waits for its end, and shows what came of it
  %pxresult -e            the same, engine by engine
  %pxresult -o squares    what `%px -o squares` printed and computed";

const PXCONFIG: &str = "\
Examples:
  %pxconfig                              shows the defaults
  %pxconfig -t :2 --progress-after 0     from now on the first two engines, with progress at once
  %pxconfig -t all --no-stream -g engine   outputs at the end, engine by engine";

const CLUSTER: &str = "\
Examples:
  %cluster start -n 4                  4 engines on this machine
  %cluster start --tcp --name lab      engines of other machines may join it
  %cluster connect lab                 the same cluster from another notebook
  %cluster restart -t 2                a fresh worker for engine 2; its variables are gone
  %cluster                             who is there and what runs
  %cluster stop";
