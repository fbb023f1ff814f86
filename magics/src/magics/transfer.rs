//! What `%push`, `%pull`, `%scatter` and `%gather` have in common: variables that go to the engines and come back.

use super::prelude::*;

/// Variables that are copied from one side to the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Which way.
    pub way: Way,
    /// Which variables, at least one. No two have the same `to`.
    pub variables: Vec<Carried>,
    /// To or from which engines.
    pub targets: Targets,
    /// Whether they go to the memory of the engines' GPUs.
    pub gpu: bool,
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
    /// Where `from` stands, as in [`Code`](crate::Code).
    pub column: usize,
}

/// The flags of `%push`, `%pull` and `%gather`.
#[derive(Parser)]
pub(crate) struct TransferFlags {
    /// The engines: `1`, `0,2`, `0-3`, `1:3`, `::2`, `-1` for the last, or `all`
    #[arg(short, long, value_name = "T", allow_hyphen_values = true)]
    targets: Option<Targets>,
    /// Variables: `x`, `x, y`, or `x as y`, which has the name y where it goes
    #[arg(value_name = "NAMES", required = true)]
    names: Vec<String>,
}

impl TransferFlags {
    /// What is to be done when they go this way.
    pub fn read<'a>(self, way: Way, call: &Call<'_, 'a>) -> Result<Command<'a>, MagicError> {
        self.transfer(way, false, call).map(Command::Transfer)
    }

    /// The same, for flags that say whether they go to GPUs.
    pub fn transfer(self, way: Way, gpu: bool, call: &Call<'_, '_>) -> Result<Transfer, MagicError> {
        let mut variables: Vec<Carried> = Vec::new();
        let text = self.names.join(" ");
        for piece in text.split(',') {
            let words: Vec<&str> = piece.split_whitespace().collect();
            let (from, to) = match words[..] {
                [name] => (name, name),
                [from, "as", to] => (from, to),
                [] => return Err(call.error_at_word(",", "a name is missing beside this comma")),
                [_, "as"] => return Err(call.error_at_word("as", "a name is missing behind this `as`")),
                [first, ..] => {
                    let message = format!("`{piece}` isn't a variable, or two of them", piece = piece.trim());
                    let help = format!("write `{first} as NAME`, or a comma between several variables");
                    return Err(call.error_at_word(first, message).with_help(help));
                }
            };
            for name in [from, to] {
                variable(name).map_err(|why| call.error_at_word(name, format!("`{name}`: {why}")))?;
            }
            if variables.iter().any(|other| other.to == to) {
                return Err(call.error_at_word(to, format!("two variables can't both become `{to}`")));
            }
            variables.push(Carried { from: from.to_owned(), to: to.to_owned(), column: call.column_of(from) });
        }
        let targets = self.targets.unwrap_or_else(|| call.config.targets.clone());
        Ok(Transfer { way, variables, targets, gpu, line: call.head.line.number })
    }
}
