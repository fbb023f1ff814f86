//! Magics: the lines of a cell that aren't Rust.
//!
//! A cell whose first line of code is `%%name` is that magic's whole. Elsewhere a line `%name ...` at the start of a
//! statement is a magic, and the Rust above and below it is Rust. A line `!command` above the cell's first Rust is for
//! the shell. This module says which is which, and where; it runs nothing, knows no cluster, and no cell makes it panic.

mod cursor;
mod data;
mod error;
mod everyday;
mod flags;
mod grouping;
mod line;
mod map;
mod name;
mod over;
mod read;
pub mod rust;
mod scan;
mod snapshot;
mod targets;
mod teaching;
#[cfg(test)]
mod tests;
mod values;

pub use cursor::{Spot, Typed, rust_of, spot};
pub use data::{Cancel, Carried, Transfer, Way};
pub use error::MagicError;
pub use everyday::TimeItFlags;
pub use flags::{ClusterCommand, PxConfig, PxOptions, ResultOptions, Signal};
pub use grouping::Grouping;
pub use map::{Data, End, Map, MapOptions, OnError};
pub use name::{Group, Name, SHELL_LINE, list};
pub use snapshot::SnapshotCommand;
pub use targets::{TargetError, Targets};
pub use values::{Candidates, What, candidates};

use error::Line;
use line::Head;
use scan::{Next, Scanner};

/// A piece of a cell. The texts of all parts, one after the other, are the cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Part<'a> {
    /// Rust for the notebook's own process, or, under `%autopx`, for the engines.
    Rust {
        /// The lines.
        text: &'a str,
        /// The 1-based line of the cell at which they begin.
        first_line: usize,
    },
    /// Lines with nothing but white space and comments.
    Blank {
        /// The lines.
        text: &'a str,
    },
    /// A magic.
    Magic {
        /// Its line, or the whole cell of a `%%px`.
        text: &'a str,
        /// The 1-based line of the cell on which `%` stands.
        line: usize,
        /// What it asks for.
        command: Command<'a>,
    },
}

impl<'a> Part<'a> {
    /// The lines of the cell that this is.
    pub fn text(&self) -> &'a str {
        match self {
            Part::Rust { text, .. } | Part::Blank { text } | Part::Magic { text, .. } => text,
        }
    }
}

/// What a magic asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Command<'a> {
    /// Run code on engines.
    Px {
        /// How.
        options: PxOptions,
        /// What.
        code: Code<'a>,
    },
    /// Begin to send all Rust to the engines, or end it.
    AutoPx(PxConfig),
    /// Apply a function to data on engines.
    Map(Box<Map<'a>>),
    /// Copy variables to or from engines.
    Transfer(Transfer),
    /// Show the maps and calls.
    Tasks,
    /// End some of them.
    Cancel(Cancel),
    /// Show outputs again.
    PxResult(ResultOptions),
    /// Make these the defaults, if `changed`; else show them.
    PxConfig {
        /// The defaults. The magics below in the same cell were read with them.
        config: PxConfig,
        /// Whether there were any flags.
        changed: bool,
    },
    /// Start, stop, show or join a cluster.
    Cluster(ClusterCommand),
    /// Run something and tell how long that took.
    Time(Timed<'a>),
    /// Run something many times and tell how long one takes.
    TimeIt {
        /// How often.
        flags: TimeItFlags,
        /// What runs once before, in the same scope. It doesn't end in a comment.
        setup: Option<Code<'a>>,
        /// What runs many times.
        code: Code<'a>,
    },
    /// Run another program on the body of the cell.
    Script {
        /// The program.
        program: String,
        /// Its arguments.
        args: Vec<String>,
        /// How it gets the script.
        input: Input,
        /// The body.
        script: &'a str,
    },
    /// Run a line with sh.
    Shell(&'a str),
    /// Write the body of the cell to a file.
    WriteFile {
        /// Where, as written.
        file: String,
        /// Whether to add to what is there.
        append: bool,
        /// The body.
        text: &'a str,
    },
    /// Put a file's text into the cell.
    Load {
        /// Where it is, as written.
        file: String,
    },
    /// List the variables.
    Who {
        /// With types, and who has them.
        types: bool,
    },
    /// Say whether variables outlive a worker that dies.
    Snapshot(SnapshotCommand),
    /// Show [`Name::help`].
    Help(Name),
    /// Show it in the front end's pager, beside the notebook.
    Page(Name),
    /// Show [`list`].
    LsMagic,
}

/// What is timed.
#[derive(Clone, Debug, PartialEq)]
pub enum Timed<'a> {
    /// The rest of the magic's line.
    Line(Code<'a>),
    /// All that stands below it, which is a cell again; or the magic that stands behind it.
    Cell(Vec<Part<'a>>),
}

/// The maps that a cell asks for, in their order.
pub fn maps<'a>(parts: &[Part<'a>]) -> Vec<Map<'a>> {
    let of_part = |part: &Part<'a>| match part {
        Part::Magic { command: Command::Map(map), .. } => vec![Map::clone(map)],
        Part::Magic { command: Command::Time(Timed::Cell(parts)), .. } => maps(parts),
        _ => Vec::new(),
    };
    parts.iter().flat_map(of_part).collect()
}

/// How a program gets its script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// As the argument of `-c`; its stdin is closed.
    Argument,
    /// From its stdin.
    Stdin,
}

/// Rust in a magic, and where it stands in the cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code<'a> {
    /// The Rust.
    pub text: &'a str,
    /// The 1-based line of the cell at which it begins.
    pub line: usize,
    /// The 1-based column, in characters, at which it begins.
    pub column: usize,
}

/// Splits a cell into Rust and magics, which are to run in this order. `config` gives the defaults of their flags.
pub fn parse<'a>(cell: &'a str, config: &PxConfig) -> Result<Vec<Part<'a>>, MagicError> {
    parse_from(cell, 1, config)
}

/// The same for the lower part of a cell, whose first line has this number.
fn parse_from<'a>(cell: &'a str, first_line: usize, config: &PxConfig) -> Result<Vec<Part<'a>>, MagicError> {
    let mut config = config.clone();
    let mut parts = Vec::new();
    let mut scanner = Scanner::default();
    let mut rust = Rust { from: 0, line: first_line, code: false };
    // Whether any Rust stands above, which may go on with `!`.
    let mut below_rust = false;
    let mut at = 0;
    for (index, whole) in cell.split_inclusive('\n').enumerate() {
        let line = Line { text: whole.strip_suffix('\n').unwrap_or(whole), number: first_line + index };
        let line = Line { text: line.text.strip_suffix('\r').unwrap_or(line.text), ..line };
        let end = at + whole.len();
        let next = scanner.next();
        match found(line, next)? {
            Some((name, head)) if head.double => {
                if parts.iter().any(|part| !matches!(part, Part::Blank { .. })) || rust.code {
                    let message =
                        format!("`%{name}` must be the first line of its cell, since it takes the whole cell");
                    let help = match name.takes_code() {
                        true => format!("for one line use `{name} CODE`; the rest can be a cell of its own"),
                        false => "the rest can be a cell of its own".to_owned(),
                    };
                    return Err(head.error(message).with_help(help));
                }
                let body = Code { text: cell.get(end..).unwrap_or(""), line: line.number + 1, column: 1 };
                if let Name::Px | Name::TimeIt | Name::Map = name {
                    refuse_magics(name, body)?;
                }
                let mut command = read::cell(name, &head, &config, body)?;
                if let Command::Time(Timed::Cell(parts)) = &mut command {
                    if first_line > 1 {
                        return Err(head.error("one `%%time` times the whole cell already"));
                    }
                    *parts = parse_from(body.text, body.line, &config)?;
                }
                return Ok(vec![Part::Magic { text: cell, line: line.number, command }]);
            }
            Some((name, head)) => {
                rust.push(cell, at, &mut parts);
                let command = read::line(name, &head, &config)?;
                if let Command::PxConfig { config: changed, .. } = &command {
                    config = changed.clone();
                }
                parts.push(Part::Magic { text: whole, line: line.number, command });
                scanner.skip_line();
                rust = Rust { from: end, line: line.number + 1, code: false };
            }
            None if next == Next::Statement && !below_rust && shell_command(line.text).is_some() => {
                rust.push(cell, at, &mut parts);
                let command = Command::Shell(shell_command(line.text).unwrap_or_default());
                parts.push(Part::Magic { text: whole, line: line.number, command });
                scanner.skip_line();
                rust = Rust { from: end, line: line.number + 1, code: false };
            }
            None if next != Next::Rest && is_evcxr_command(line.text) => {
                scanner.skip_line();
                rust.code = true;
            }
            None => {
                scanner.read(whole);
                rust.code |= scanner.has_code();
                below_rust |= scanner.has_code();
            }
        }
        at = end;
    }
    rust.push(cell, at, &mut parts);
    Ok(parts)
}

/// The Rust since the last magic.
struct Rust {
    from: usize,
    line: usize,
    code: bool,
}

impl Rust {
    fn push<'a>(&self, cell: &'a str, to: usize, parts: &mut Vec<Part<'a>>) {
        match cell.get(self.from..to) {
            None | Some("") => {}
            Some(text) if self.code => parts.push(Part::Rust { text, first_line: self.line }),
            Some(text) => parts.push(Part::Blank { text }),
        }
    }
}

/// The magic on this line, if there is one. An error where only a magic can be meant and it isn't one.
fn found<'a>(line: Line<'a>, next: Next) -> Result<Option<(Name, Head<'a>)>, MagicError> {
    let Some(head) = Head::find(line) else { return Ok(None) };
    match (next, head.magic()) {
        (Next::Rest, _) => Ok(None),
        (Next::Statement, Some(name)) if head.stands_alone() => Ok(Some((name, head))),
        (Next::AfterBrace, Some(name)) if head.stands_alone() && name.is_no_common_word() => Ok(Some((name, head))),
        (Next::AfterBrace, _) => Ok(None),
        (Next::Statement, Some(name)) => {
            let percent = if head.double { "%" } else { "" };
            Err(head.error(format!("after `{percent}{name}` there must be a space")))
        }
        (Next::Statement, None) => Err(head.unknown()),
    }
}

/// `:dep`, `:vars` and the like take a line each; `::std::...` is Rust.
fn is_evcxr_command(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with(':') && !line.starts_with("::")
}

/// The command of a line that begins with `!`. Rust negates such a word too: that is why only lines above any Rust are
/// asked, and why `!(a && b)`, `!!a`, `!*a` and the like aren't commands.
fn shell_command(line: &str) -> Option<&str> {
    let command = line.trim_start().strip_prefix('!')?;
    let begins = |c: char| scan::is_word(c) || c.is_whitespace() || matches!(c, '.' | '/' | '~' | '$' | '"' | '\'');
    (command.starts_with(begins) && !command.trim().is_empty()).then_some(command.trim())
}

/// The body of a `%%px` is Rust only, and so are those of a `%%timeit` and a `%%map`.
fn refuse_magics(name: Name, body: Code<'_>) -> Result<(), MagicError> {
    let mut scanner = Scanner::default();
    for (index, whole) in body.text.split_inclusive('\n').enumerate() {
        let line = Line { text: whole.trim_end_matches(['\r', '\n']), number: body.line + index };
        let next = scanner.next();
        if let Some((_, head)) = found(line, next)? {
            let why = match name {
                Name::Px => "which goes to the engines whole",
                _ => "which is compiled whole",
            };
            let message = format!("there can't be a magic in a `%{name}` cell, {why}");
            return Err(head.error(message).with_help("put it into a cell of its own"));
        }
        if next != Next::Rest && is_evcxr_command(line.text) {
            scanner.skip_line();
        } else {
            scanner.read(whole);
        }
    }
    Ok(())
}
