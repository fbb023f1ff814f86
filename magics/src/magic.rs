//! What a magic is: the trait that each of them implements, and the name by which all others know it.

use crate::MagicError;
use crate::call::Call;
use crate::complete::What;
use crate::magics::{ALL, Command};
use std::fmt;

/// How long a line of help may be, in characters.
const HELP_WIDTH: usize = 120;

/// A magic. It is implemented by the struct of its flags, which clap reads.
pub(crate) trait Magic: clap::Parser {
    /// As written, without `%`.
    const NAME: &'static str;
    /// What it takes.
    const FORM: Form = Form::Line;
    /// Among which others it is listed.
    const GROUP: Group;
    /// What it does, in a line.
    const SUMMARY: &'static str;
    /// One line that shows how it is written.
    const USAGE: &'static str;
    /// What stands below the flags in `%NAME?`. A test runs the lines that begin with two spaces and `%`.
    const TEACHING: &'static str;
    /// Whether its name is no common word. Below a `}` Rust may go on with `%` and a variable, so there a line
    /// that begins with a common word isn't taken for a magic.
    const UNCOMMON: bool = false;

    /// What is to be done, when the flags are read. An error that leaves that known is noted in the call.
    fn read<'a>(self, call: &mut Call<'_, 'a>) -> Result<Command<'a>, MagicError>;

    /// What can stand as the value of this argument, if clap doesn't know.
    fn values(_argument: &str) -> Option<What> {
        None
    }
}

/// What stands behind a magic's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `%name` takes its line.
    Line,
    /// `%%name` takes its cell, which is no Rust.
    Cell,
    /// Either takes Rust: that of the line or that of the cell.
    Either,
}

/// Magics that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Code on engines.
    Parallel,
    /// Maps, variables and calls.
    Data,
    /// How long things take.
    Time,
    /// Shells and other programs.
    Programs,
    /// What a cell shows.
    Display,
    /// Reading and writing.
    Files,
    /// What is in the notebook.
    Notebook,
}

impl Group {
    /// All, in the order in which they are listed.
    pub const ALL: [Group; 7] =
        [Group::Parallel, Group::Data, Group::Time, Group::Programs, Group::Display, Group::Files, Group::Notebook];

    /// What they are for.
    pub fn title(self) -> &'static str {
        match self {
            Group::Parallel => "Parallel",
            Group::Data => "Data and tasks",
            Group::Time => "Time",
            Group::Programs => "Other programs",
            Group::Display => "What a cell shows",
            Group::Files => "Files",
            Group::Notebook => "The notebook",
        }
    }

    /// Its magics, in the order in which they are listed.
    pub fn magics(self) -> impl Iterator<Item = Name> {
        Name::all().filter(move |name| name.0.group == self)
    }
}

/// A [`Magic`] as a value.
pub(crate) struct Entry {
    pub name: &'static str,
    pub form: Form,
    group: Group,
    pub summary: &'static str,
    pub usage: &'static str,
    teaching: &'static str,
    pub uncommon: bool,
    flags: fn() -> clap::Command,
    pub read: for<'a> fn(&mut Call<'_, 'a>) -> Result<Option<Command<'a>>, MagicError>,
    pub values: fn(&str) -> Option<What>,
}

impl Entry {
    pub(crate) const fn of<M: Magic>() -> Entry {
        Entry {
            name: M::NAME,
            form: M::FORM,
            group: M::GROUP,
            summary: M::SUMMARY,
            usage: M::USAGE,
            teaching: M::TEACHING,
            uncommon: M::UNCOMMON,
            flags: M::command,
            read: read::<M>,
            values: M::values,
        }
    }
}

fn read<'a, M: Magic>(call: &mut Call<'_, 'a>) -> Result<Option<Command<'a>>, MagicError> {
    match call.flags()? {
        Some(flags) => M::read(flags, call).map(Some),
        None => Ok(None),
    }
}

/// The name of a magic.
#[derive(Clone, Copy)]
pub struct Name(pub(crate) &'static Entry);

impl Name {
    /// Every magic, in the order in which they are listed.
    pub fn all() -> impl Iterator<Item = Name> {
        ALL.iter().map(Name)
    }

    /// The magic of this name.
    pub fn find(name: &str) -> Option<Name> {
        Name::all().find(|magic| magic.as_str() == name)
    }

    /// As written, without `%`.
    pub fn as_str(self) -> &'static str {
        self.0.name
    }

    /// What it does, in a line.
    pub fn summary(self) -> &'static str {
        self.0.summary
    }

    /// Whether it takes Rust.
    pub(crate) fn takes_code(self) -> bool {
        self.0.form == Form::Either
    }

    /// What it does to the cell that it takes.
    pub(crate) fn verb(self) -> &'static str {
        if self.0.group == Group::Time { "times" } else { "takes" }
    }

    /// All ways to begin it: `%px, %%px`.
    pub fn forms(self) -> String {
        let name = self.as_str();
        match self.0.form {
            Form::Line => format!("%{name}"),
            Form::Cell => format!("%%{name}"),
            Form::Either => format!("%{name}, %%{name}"),
        }
    }

    /// The flags, as clap reads them.
    pub(crate) fn flags(self) -> clap::Command {
        (self.0.flags)()
            .no_binary_name(true)
            .disable_version_flag(true)
            .disable_help_subcommand(true)
            .args_override_self(true)
            .name(self.as_str())
            .about(self.summary())
            .override_usage(self.0.usage)
            .after_help(self.0.teaching)
            .color(clap::ColorChoice::Never)
            .term_width(HELP_WIDTH)
    }

    /// The whole help text: usage, flags and examples.
    pub fn help(self) -> String {
        let mut flags = self.flags();
        let text = flags.render_help().to_string();
        // There is one form of help only. And clap pads lines with white space, which a notebook would keep.
        let text = text.replace(" (see more with '--help')", "");
        let mut lines: Vec<&str> = text.trim_end().lines().map(str::trim_end).collect();
        if flags.has_subcommands() {
            // The flags of its commands are in the usage line and in the examples; its own is `-h` alone.
            lines.retain(|line| !line.starts_with("Options:") && !line.trim_start().starts_with("-h,"));
            lines.dedup();
        }
        lines.join("\n") + "\n"
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Name) -> bool {
        self.as_str() == other.as_str()
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
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
    for group in Group::ALL {
        text += &format!("{}:\n", group.title());
        for name in group.magics() {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_teaches_is_not_wrapped_once_more() {
        for line in ALL.iter().flat_map(|entry| entry.teaching.lines()) {
            assert!(line.chars().count() <= HELP_WIDTH, "{line}");
        }
    }
}
