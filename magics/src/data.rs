//! `%push`, `%pull`, `%scatter`, `%gather`: variables that go to the engines and come back; `%cancel`.

use super::error::MagicError;
use super::flags::variable;
use super::line::{Reader, Words};
use super::{PxConfig, Targets};
use clap::Parser;

/// Variables that are copied from one side to the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Which way.
    pub way: Way,
    /// Which variables, at least one. No two have the same `to`.
    pub variables: Vec<Carried>,
    /// To or from which engines.
    pub targets: Targets,
    /// The 1-based line of the cell that says so.
    pub line: usize,
}

/// Which way variables are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To the engines, to each all of it.
    Push,
    /// From the engines: from several a `Vec` of theirs.
    Pull,
    /// To the engines, to each a part.
    Scatter {
        /// Each engine gets every n-th item instead of a stretch.
        round_robin: bool,
    },
    /// From the engines: the parts, put together.
    Gather,
}

/// A variable, and what the copy is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// The name where it is.
    pub from: String,
    /// The name where it goes.
    pub to: String,
    /// Where `from` stands, as in [`super::Code`].
    pub column: usize,
}

/// What `%cancel` ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cancel {
    /// What was started last.
    Last,
    /// What has this number in `%tasks`.
    Number(u64),
    /// The map whose handle has this name.
    Named(String),
    /// All.
    All,
}

/// `%push`, `%pull` and `%gather`.
#[derive(Parser, Debug)]
#[command(no_binary_name = true, disable_version_flag = true, args_override_self = true)]
pub(super) struct TransferFlags {
    /// The engines: `1`, `0,2`, `1:3`, `::2`, `-1` for the last, or `all`
    #[arg(short, long, value_name = "T", allow_hyphen_values = true)]
    targets: Option<Targets>,
    /// Variables: `x`, `x, y`, or `x as y`, which has the name y where it goes
    #[arg(value_name = "NAMES", required = true)]
    names: Vec<String>,
}

/// `%scatter`.
#[derive(Parser, Debug)]
#[command(no_binary_name = true, disable_version_flag = true, args_override_self = true)]
pub(super) struct ScatterFlags {
    #[command(flatten)]
    transfer: TransferFlags,
    /// The first engine gets the first item, the second one the second, and so on; else each gets a stretch
    #[arg(long)]
    round_robin: bool,
}

impl TransferFlags {
    fn wanted(
        self,
        way: Way,
        config: &PxConfig,
        reader: &Reader<'_, '_>,
        words: &Words,
    ) -> Result<Transfer, MagicError> {
        let mut variables: Vec<Carried> = Vec::new();
        let text = self.names.join(" ");
        for piece in text.split(',') {
            let words_of: Vec<&str> = piece.split_whitespace().collect();
            let (from, to) = match words_of[..] {
                [name] => (name, name),
                [from, "as", to] => (from, to),
                [] => return Err(reader.error_at_word(words, ",", "a name is missing beside this comma")),
                [_, "as"] => return Err(reader.error_at_word(words, "as", "a name is missing behind this `as`")),
                [first, ..] => {
                    let message = format!("`{piece}` isn't a variable, or two of them", piece = piece.trim());
                    let help = format!("write `{first} as NAME`, or a comma between several variables");
                    return Err(reader.error_at_word(words, first, message).with_help(help));
                }
            };
            for name in [from, to] {
                variable(name).map_err(|why| reader.error_at_word(words, name, format!("`{name}`: {why}")))?;
            }
            if variables.iter().any(|other| other.to == to) {
                let message = format!("two variables can't both become `{to}`");
                return Err(reader.error_at_word(words, to, message));
            }
            let column = reader.column_of(words, from);
            variables.push(Carried { from: from.to_owned(), to: to.to_owned(), column });
        }
        let targets = self.targets.unwrap_or_else(|| config.targets.clone());
        Ok(Transfer { way, variables, targets, line: reader.line() })
    }
}

/// Reads the line of one of these magics; `None` if it asks for help.
pub(super) fn transfer(
    way: Way,
    reader: &Reader<'_, '_>,
    words: &Words,
    config: &PxConfig,
) -> Result<Option<Transfer>, MagicError> {
    let (way, flags) = match way {
        Way::Scatter { .. } => match reader.parse::<ScatterFlags>(words)? {
            Some(flags) => (Way::Scatter { round_robin: flags.round_robin }, flags.transfer),
            None => return Ok(None),
        },
        way => match reader.parse::<TransferFlags>(words)? {
            Some(flags) => (way, flags),
            None => return Ok(None),
        },
    };
    flags.wanted(way, config, reader, words).map(Some)
}

fn task(text: &str) -> Result<Cancel, String> {
    if text == "all" {
        return Ok(Cancel::All);
    }
    match text.parse() {
        Ok(number) => Ok(Cancel::Number(number)),
        Err(_) => variable(text).map(Cancel::Named),
    }
}

/// `%cancel`.
#[derive(Parser, Debug)]
#[command(no_binary_name = true, disable_version_flag = true)]
pub(super) struct CancelFlags {
    /// The variable of `%map -a -o NAME`, a number of `%tasks`, or all; what was started last if left out
    #[arg(value_name = "NAME|NUMBER|all", value_parser = task)]
    task: Option<Cancel>,
}

impl CancelFlags {
    pub(super) fn wanted(self) -> Cancel {
        self.task.unwrap_or(Cancel::Last)
    }
}
