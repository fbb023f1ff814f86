//! The magics there are.

use super::data::{CancelFlags, ScatterFlags, TransferFlags};
use super::everyday::{LoadFlags, ScriptFlags, ShellFlags, TimeItFlags, WriteFlags};
use super::flags::{ClusterFlags, ConfigFlags, NoFlags, PxFlags, ResultFlags};
use super::map::MapFlags;
use super::snapshot::SnapshotFlags;
use super::teaching::teaching;
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
    /// `%map` and `%%map`.
    Map,
    /// `%push`.
    Push,
    /// `%pull`.
    Pull,
    /// `%scatter`.
    Scatter,
    /// `%gather`.
    Gather,
    /// `%tasks`.
    Tasks,
    /// `%cancel`.
    Cancel,
    /// `%time` and `%%time`.
    Time,
    /// `%timeit` and `%%timeit`.
    TimeIt,
    /// `%%bash`.
    Bash,
    /// `%%sh`.
    Sh,
    /// `%%script`.
    Script,
    /// `%%writefile`.
    WriteFile,
    /// `%%file`, the same.
    File,
    /// `%load`.
    Load,
    /// `%who`.
    Who,
    /// `%whos`.
    Whos,
    /// `%snapshot`.
    Snapshot,
    /// `%lsmagic`.
    LsMagic,
}

/// Magics that belong together.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// What they are for.
    pub title: &'static str,
    /// In the order in which they are listed.
    pub magics: &'static [Name],
}

/// What stands behind a magic's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `%name` takes its line.
    Line,
    /// `%%name` takes its cell.
    Cell,
    /// Both.
    Either,
}

impl Name {
    /// Every magic.
    pub const GROUPS: [Group; 6] = [
        Group { title: "Parallel", magics: &[Name::Px, Name::AutoPx, Name::PxResult, Name::PxConfig, Name::Cluster] },
        Group {
            title: "Data and tasks",
            magics: &[Name::Map, Name::Push, Name::Pull, Name::Scatter, Name::Gather, Name::Tasks, Name::Cancel],
        },
        Group { title: "Time", magics: &[Name::Time, Name::TimeIt] },
        Group { title: "Other programs", magics: &[Name::Bash, Name::Sh, Name::Script] },
        Group { title: "Files", magics: &[Name::WriteFile, Name::File, Name::Load] },
        Group { title: "The notebook", magics: &[Name::Who, Name::Whos, Name::Snapshot, Name::LsMagic] },
    ];

    /// Every magic, in the order in which they are listed.
    pub fn all() -> impl Iterator<Item = Name> {
        Name::GROUPS.into_iter().flat_map(|group| group.magics.iter().copied())
    }

    /// As written, without `%`.
    pub fn as_str(self) -> &'static str {
        match self {
            Name::Px => "px",
            Name::AutoPx => "autopx",
            Name::PxResult => "pxresult",
            Name::PxConfig => "pxconfig",
            Name::Cluster => "cluster",
            Name::Map => "map",
            Name::Push => "push",
            Name::Pull => "pull",
            Name::Scatter => "scatter",
            Name::Gather => "gather",
            Name::Tasks => "tasks",
            Name::Cancel => "cancel",
            Name::Time => "time",
            Name::TimeIt => "timeit",
            Name::Bash => "bash",
            Name::Sh => "sh",
            Name::Script => "script",
            Name::WriteFile => "writefile",
            Name::File => "file",
            Name::Load => "load",
            Name::Who => "who",
            Name::Whos => "whos",
            Name::Snapshot => "snapshot",
            Name::LsMagic => "lsmagic",
        }
    }

    /// The magic of this name.
    pub fn find(name: &str) -> Option<Name> {
        Name::all().find(|magic| magic.as_str() == name)
    }

    pub(super) fn form(self) -> Form {
        match self {
            Name::Px | Name::Map | Name::Time | Name::TimeIt => Form::Either,
            Name::Bash | Name::Sh | Name::Script | Name::WriteFile | Name::File => Form::Cell,
            _ => Form::Line,
        }
    }

    /// Whether Rust may stand behind its flags.
    pub(super) fn takes_code(self) -> bool {
        self.form() == Form::Either
    }

    /// Whether a line that begins with it may go on from a `}` above, where Rust would take the name for a variable
    /// and its `%` for the operator. The common words among the names need the start of a statement.
    pub(super) fn is_no_common_word(self) -> bool {
        matches!(self, Name::Px | Name::AutoPx | Name::PxResult | Name::PxConfig | Name::Cluster | Name::LsMagic)
    }

    /// All ways to begin it: `%px, %%px`.
    pub fn forms(self) -> String {
        let name = self.as_str();
        match self.form() {
            Form::Line => format!("%{name}"),
            Form::Cell => format!("%%{name}"),
            Form::Either => format!("%{name}, %%{name}"),
        }
    }

    /// What it does, in a line.
    pub fn summary(self) -> &'static str {
        match self {
            Name::Px => "Runs Rust on every engine of the cluster; `%%px` runs the whole cell",
            Name::AutoPx => "Sends every following cell to the engines, until `%autopx` is run again",
            Name::PxResult => "Shows the outputs of the last parallel cell again, and of one that didn't wait",
            Name::PxConfig => "Sets the defaults of the flags of `%px`, or shows them",
            Name::Cluster => "Starts, shows, joins and stops clusters",
            Name::Map => "Applies a function to data on all engines; below a `%%map` stands the function",
            Name::Push => "Copies variables of the notebook to the engines",
            Name::Pull => "Copies variables of the engines to the notebook",
            Name::Scatter => "Gives each engine a part of a variable of the notebook",
            Name::Gather => "Puts the engines' parts together in the notebook",
            Name::Tasks => "Lists the maps and calls that run, wait or have ended",
            Name::Cancel => "Ends a map or a call that runs; what it has done is kept",
            Name::Time => "Tells how long a line or a cell ran, and how long it was compiled",
            Name::TimeIt => "Runs a line or a cell many times and tells how long one takes",
            Name::Bash => "Runs the cell with bash",
            Name::Sh => "Runs the cell with sh",
            Name::Script => "Runs the cell with any program, which reads it from its stdin",
            Name::WriteFile => "Writes the cell to a file",
            Name::File => "The same as `%%writefile`",
            Name::Load => "Puts a file's text into the cell",
            Name::Who => "Lists the variables",
            Name::Whos => "Lists the variables with their types, and who has them",
            Name::Snapshot => "Keeps variables when a cell crashes or is interrupted",
            Name::LsMagic => "Lists the magics",
        }
    }

    /// One line that shows how it is written.
    pub(super) fn usage(self) -> &'static str {
        match self {
            Name::Px => "%px [flags] CODE, or %%px [flags] and the code on the lines below",
            Name::AutoPx => "%autopx [flags]",
            Name::PxResult => "%pxresult [-r | -e | -g BY] [--each] [--partial] [-o NAME]",
            Name::PxConfig => "%pxconfig [flags]",
            Name::Cluster => {
                "%cluster [start [-n N] [--tcp] [--name NAME] | stop [--force] | status | connect NAME|FILE | disconnect | restart [-t T]]"
            }
            Name::Map => {
                "%map [flags] FUNCTION over DATA, or %%map [flags] over DATA and the function on the lines below"
            }
            Name::Push => "%push NAME [as NAME], ... [-t T]",
            Name::Pull => "%pull NAME [as NAME], ... [-t T]",
            Name::Scatter => "%scatter NAME [as NAME], ... [-t T] [--round-robin]",
            Name::Gather => "%gather NAME [as NAME], ... [-t T]",
            Name::Tasks => "%tasks",
            Name::Cancel => "%cancel [NAME|all]",
            Name::Time => "%time CODE, or %%time and the cell below",
            Name::TimeIt => {
                "%timeit [-n N] [-r R] CODE, or %%timeit [-n N] [-r R] [SETUP] and the code on the lines below"
            }
            Name::Bash => "%%bash [ARGUMENTS] and the script on the lines below",
            Name::Sh => "%%sh [ARGUMENTS] and the script on the lines below",
            Name::Script => "%%script PROGRAM [ARGUMENTS] and its input on the lines below",
            Name::WriteFile => "%%writefile [-a] FILE and the text on the lines below",
            Name::File => "%%file [-a] FILE and the text on the lines below",
            Name::Load => "%load FILE",
            Name::Who => "%who",
            Name::Whos => "%whos",
            Name::Snapshot => "%snapshot [on [--limit SIZE] | off | status]",
            Name::LsMagic => "%lsmagic",
        }
    }

    /// The flags, as clap reads them.
    pub(super) fn flags(self) -> clap::Command {
        let command = match self {
            Name::Px => PxFlags::command(),
            Name::AutoPx | Name::PxConfig => ConfigFlags::command(),
            Name::PxResult => ResultFlags::command(),
            Name::Map => MapFlags::command(),
            Name::Push | Name::Pull | Name::Gather => TransferFlags::command(),
            Name::Scatter => ScatterFlags::command(),
            Name::Cancel => CancelFlags::command(),
            Name::Cluster => ClusterFlags::command(),
            Name::Snapshot => SnapshotFlags::command(),
            Name::TimeIt => TimeItFlags::command(),
            Name::Bash | Name::Sh => ShellFlags::command(),
            Name::Script => ScriptFlags::command(),
            Name::WriteFile | Name::File => WriteFlags::command(),
            Name::Load => LoadFlags::command(),
            Name::Tasks | Name::Time | Name::Who | Name::Whos | Name::LsMagic => NoFlags::command(),
        };
        command
            .name(self.as_str())
            .about(self.summary())
            .override_usage(self.usage())
            .after_help(teaching(self))
            .color(clap::ColorChoice::Never)
            .term_width(120)
    }

    /// The whole help text: usage, flags and examples.
    pub fn help(self) -> String {
        let text = self.flags().render_help().to_string();
        // There is one form of help only. And clap pads lines with white space, which a notebook would keep.
        let text = text.replace(" (see more with '--help')", "");
        let mut lines: Vec<&str> = text.trim_end().lines().map(str::trim_end).collect();
        if matches!(self, Name::Cluster | Name::Snapshot) {
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
    for Group { title, magics } in Name::GROUPS {
        text += &format!("{title}:\n");
        for name in magics {
            text += &format!("  {:<18} {}\n", name.forms(), name.summary());
        }
    }
    text + &format!(
        "  {:<18} {SHELL_LINE}\n\n`%NAME?` tells more of each, `%NAME??` does so in the pager.\n",
        "!COMMAND"
    )
}

/// What a line does that begins with `!`.
pub const SHELL_LINE: &str = "Runs a command with sh; such lines stand above the cell's Rust";
