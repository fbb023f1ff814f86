//! `%deps`: the notebook's dependencies and their versions.

use super::prelude::*;
use clap::Subcommand;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DepsCommand {
    /// Show what there is.
    Show,
    /// Write the versions to this file.
    Lock(String),
    /// Take versions from this file.
    Use(String),
}

#[derive(Parser)]
pub(crate) struct Flags {
    #[command(subcommand)]
    command: Option<Wanted>,
}

#[derive(Subcommand)]
enum Wanted {
    /// Write the versions of all crates to a file
    Lock {
        /// Where to
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath, default_value = "Cargo.lock")]
        file: String,
    },
    /// Take the versions of a file, for the `:dep` lines that follow
    Use {
        /// Where from
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath, default_value = "Cargo.lock")]
        file: String,
    },
}

impl Magic for Flags {
    const NAME: &str = "deps";
    const GROUP: Group = Group::Notebook;
    const SUMMARY: &str = "Shows the dependencies, and keeps their versions";
    const USAGE: &str = "%deps [lock [FILE] | use [FILE]]";
    const TEACHING: &str = "\
What `:dep` adds is built once on a machine, and its versions stay as they were then. A file of versions takes them to
other machines: `%deps lock` writes it, and `%deps use` before the first `:dep` line reads it. It is a Cargo.lock.

Examples:
  %deps                        what the notebook depends on, with versions
  %deps lock                   writes Cargo.lock, in the notebook's folder
  %deps use analysis.lock      before the first `:dep`";

    fn read<'a>(self, _: &mut Call<'_, 'a>) -> Result<Command<'a>, MagicError> {
        Ok(Command::Deps(match self.command {
            None => DepsCommand::Show,
            Some(Wanted::Lock { file }) => DepsCommand::Lock(file),
            Some(Wanted::Use { file }) => DepsCommand::Use(file),
        }))
    }
}
