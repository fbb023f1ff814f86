//! `%env`: the environment.

use super::prelude::*;

/// What is done with the environment of the notebook's cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Env {
    /// Show all variables.
    List,
    /// Show one.
    Show(String),
    /// Set one.
    Set(String, String),
}

#[derive(Parser)]
pub(crate) struct Flags {
    /// A variable, or its new value; without it, all are listed
    #[arg(value_name = "NAME[=VALUE]", trailing_var_arg = true, allow_hyphen_values = true)]
    variable: Vec<String>,
}

impl Magic for Flags {
    const NAME: &str = "env";
    const GROUP: Group = Group::Notebook;
    const SUMMARY: &str = "Shows variables of the environment, or sets one";
    const USAGE: &str = "%env [NAME[=VALUE]]";
    const TEACHING: &str = "\
It is the environment of the notebook's Rust, as `std::env::set_var` changes it, and of `!` and `%%bash`. Engines keep
theirs. `:env` sets a variable for builds, too.

Examples:
  %env                    lists all
  %env HOME
  %env RUST_LOG=debug
  %env GREETING=hello, you";

    fn read<'a>(self, call: &mut Call<'_, 'a>) -> Result<Command<'a>, MagicError> {
        if self.variable.is_empty() {
            return Ok(Command::Env(Env::List));
        }
        let variable = self.variable.join(" ");
        let (name, value) = match variable.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (variable.as_str(), None),
        };
        if name.is_empty() || name.contains(' ') || variable.contains('\0') {
            return Err(
                call.error(call.words.flags.first(), "a variable has a name without spaces, and `=` before its value")
            );
        }
        Ok(Command::Env(match value {
            Some(value) => Env::Set(name.to_owned(), value.to_owned()),
            None => Env::Show(name.to_owned()),
        }))
    }
}
