//! The one reading of a cell. It never fails: what is wrong is attached to the piece that it is about. What runs, what
//! stands at the cursor and what can be completed are read from the pieces, so they can't disagree.

use crate::call::{self, Reading};
use crate::error::{Line, MagicError};
use crate::head::Head;
use crate::magic::Name;
use crate::magics::Command;
use crate::scan::{Next, Scanner};
use crate::shell::shell_command;
use crate::{Code, PxConfig, Targets};
use std::ops::Range;

/// A piece of a cell. All pieces, one after the other, are the cell, and a magic's own pieces are all of it.
#[derive(Debug)]
pub(crate) struct Piece<'a> {
    /// Its bytes of the cell.
    pub range: Range<usize>,
    /// The 1-based line of the cell on which it begins.
    pub line: usize,
    pub kind: Kind<'a>,
    /// What is wrong with it.
    pub error: Option<MagicError>,
}

#[derive(Debug)]
pub(crate) enum Kind<'a> {
    /// A line of Rust, or what stands behind a magic's flags: for these engines, or else for the notebook.
    Rust(Option<Targets>),
    /// A line with nothing but white space and comments, at the same places.
    Blank(Option<Targets>),
    /// A line that begins with `:`.
    Colon,
    /// A line that begins with `!`, and its command.
    Shell(&'a str),
    /// A magic, up to the end of its line or of the cell.
    Magic(Use<'a>),
    /// What a magic takes that is no Rust.
    Text,
    /// A line that begins with `%` and has no magic's name, perhaps not yet.
    Percent,
}

/// A use of a magic.
#[derive(Debug)]
pub(crate) struct Use<'a> {
    /// What is to be done, as far as that is understood; what is timed is in `taken`.
    pub command: Option<Command<'a>>,
    /// Whether it takes the cell.
    pub is_cell: bool,
    /// The byte of the cell at which its sign, its name and its flags end.
    pub flags_end: usize,
    /// What it takes.
    pub taken: Vec<Piece<'a>>,
}

/// The pieces of a cell, after whatever `config` and `autopx` were set to by earlier cells.
pub(crate) fn pieces<'a>(cell: &'a str, config: &PxConfig, autopx: Option<&PxConfig>) -> Vec<Piece<'a>> {
    Reader { cell, config: config.clone(), autopx: autopx.cloned() }.lines(0, 1, &Within::Cell)
}

/// What lines are part of.
enum Within {
    Cell,
    /// A `%%time` or `%%capture`, whose name this is.
    Timed(Name),
    /// The body of this magic, which is Rust, for these engines.
    Body(Name, Option<Targets>),
}

/// Reads a cell. What its magics set holds for what stands below them.
struct Reader<'a> {
    cell: &'a str,
    config: PxConfig,
    autopx: Option<PxConfig>,
}

impl<'a> Reader<'a> {
    /// The pieces from this byte on, where the line of this number begins.
    fn lines(&mut self, from: usize, first_line: usize, within: &Within) -> Vec<Piece<'a>> {
        let mut pieces: Vec<Piece<'a>> = Vec::new();
        let mut scanner = Scanner::default();
        // Whether any Rust stands above, which may go on with `!`.
        let mut below_rust = matches!(within, Within::Body(..));
        let mut at = from;
        for (index, whole) in self.cell.get(from..).unwrap_or("").split_inclusive('\n').enumerate() {
            let line = Line::of(whole, first_line + index, at);
            let range = at..at + whole.len();
            at = range.end;
            let next = scanner.next();
            let head = Head::find(line, 0);
            let found = head.map_or(Ok(None), |head| Ok(head.magic(next)?.map(|name| (name, head))));
            let (kind, error) = match (found, within) {
                (Ok(Some((name, head))), Within::Cell | Within::Timed(_)) => {
                    let (used, mut error) = self.magic(name, &head, range.end);
                    let is_first = pieces.iter().all(|piece| matches!(piece.kind, Kind::Blank(_)));
                    if head.double {
                        if matches!(within, Within::Timed(time) if *time == name) {
                            error = Some(head.error(format!("one `%{name}` {} the whole cell already", name.verb())));
                        }
                        if !is_first {
                            error = Some(not_first(name, &head));
                        }
                        let range = range.start..self.cell.len();
                        pieces.push(Piece { range, line: line.number, kind: Kind::Magic(used), error });
                        return pieces;
                    }
                    (Kind::Magic(used), error)
                }
                (Ok(Some((_, head))), Within::Body(name, engines)) => {
                    let why = match engines {
                        Some(_) => "which goes to the engines whole",
                        None => "which is compiled whole",
                    };
                    let error = head.error(format!("there can't be a magic in a `%{name}` cell, {why}"));
                    (Kind::Rust(engines.clone()), Some(error.with_help("put it into a cell of its own")))
                }
                (Err(error), Within::Body(_, engines)) => (Kind::Rust(engines.clone()), Some(error)),
                (Err(error), _) => (Kind::Percent, Some(error)),
                (Ok(None), _) if next != Next::Rest && is_evcxr_command(line.text) => (Kind::Colon, None),
                (Ok(None), within) => match shell_command(line.text) {
                    Some(command) if next == Next::Statement && !below_rust => (Kind::Shell(command), None),
                    _ if next == Next::Statement
                        && line.text.trim_start().starts_with('%')
                        && !matches!(within, Within::Body(..)) =>
                    {
                        (Kind::Percent, None)
                    }
                    _ => {
                        scanner.read(whole);
                        below_rust |= scanner.has_code();
                        (self.rust(within, scanner.has_code()), None)
                    }
                },
            };
            if error.is_some() || !matches!(kind, Kind::Rust(_) | Kind::Blank(_)) {
                scanner.skip_line();
            }
            pieces.push(Piece { range, line: line.number, kind, error });
        }
        // A comment without an end is a mistake, and not nothing.
        if scanner.is_in_comment()
            && let Some(last) = pieces.last_mut().filter(|last| matches!(last.kind, Kind::Blank(_)))
        {
            last.kind = self.rust(within, true);
        }
        // Behind the last line's end a new line begins.
        if self.cell.is_empty() || self.cell.ends_with('\n') {
            let line = first_line + pieces.len();
            pieces.push(Piece { range: at..at, line, kind: self.rust(within, false), error: None });
        }
        pieces
    }

    fn rust(&self, within: &Within, is_code: bool) -> Kind<'a> {
        let engines = match within {
            Within::Body(_, engines) if engines.is_some() => engines.clone(),
            _ => self.autopx.as_ref().map(|config| config.targets.clone()),
        };
        if is_code { Kind::Rust(engines) } else { Kind::Blank(engines) }
    }

    /// A magic whose line ends at this byte of the cell.
    fn magic(&mut self, name: Name, head: &Head<'a>, end: usize) -> (Use<'a>, Option<MagicError>) {
        let line = head.line;
        let below = Code { text: self.cell.get(end..).unwrap_or(""), line: line.number + 1, column: 1 };
        let Reading { command, code, error } = call::read(name, head, below, &self.config);
        match &command {
            Some(Command::PxConfig(defaults)) => self.config = defaults.config.clone(),
            Some(Command::AutoPx(autopx)) => {
                self.autopx = if self.autopx.is_some() { None } else { Some(autopx.config.clone()) };
            }
            _ => {}
        }
        let engines = command.as_ref().and_then(Command::engines).cloned();
        let takes_cell = command.as_ref().is_some_and(Command::takes_cell);
        let mut flags_end = code.map_or(end, |code| line.start + code);
        let mut taken = Vec::new();
        match code.and_then(|code| Head::find(line, code)).filter(|_| takes_cell && !head.double) {
            Some(inner) => {
                flags_end = line.start + inner.start;
                taken.push(self.timed(name, &inner, end));
            }
            None if takes_cell => flags_end = end,
            None if code.is_some() => {
                let kind = self.rust(&Within::Body(name, engines.clone()), true);
                taken.push(Piece { range: flags_end..end, line: line.number, kind, error: None });
            }
            None => {}
        }
        if head.double {
            let within = if takes_cell { Within::Timed(name) } else { Within::Body(name, engines) };
            match code {
                _ if takes_cell => taken.extend(self.lines(end, line.number + 1, &within)),
                Some(_) => taken.extend(self.lines(end, line.number + 1, &within)),
                None if end == self.cell.len() && !self.cell.ends_with('\n') => {}
                None => {
                    let range = end..self.cell.len();
                    taken.push(Piece { range, line: line.number + 1, kind: Kind::Text, error: None });
                }
            }
        }
        (Use { command, is_cell: head.double, flags_end, taken }, error)
    }

    /// The magic behind a `%time`.
    fn timed(&mut self, time: Name, head: &Head<'a>, end: usize) -> Piece<'a> {
        let (range, line) = (head.line.start + head.start..end, head.line.number);
        let (kind, error) = match head.magic(Next::Statement) {
            Ok(Some(name)) if head.double => {
                let message = format!("`%{name}` takes the whole cell, and here it stands in a line");
                let help = format!("begin the cell with `%{time}`, with `%{name}` below it, or use `{name}` here");
                (Kind::Percent, Some(head.error(message).with_help(help)))
            }
            Ok(Some(name)) if name == time => {
                (Kind::Percent, Some(head.error(format!("one `{name}` times the whole line already"))))
            }
            Ok(Some(name)) => {
                let (used, error) = self.magic(name, head, end);
                (Kind::Magic(used), error)
            }
            Ok(None) => (Kind::Percent, None),
            Err(error) => (Kind::Percent, Some(error)),
        };
        Piece { range, line, kind, error }
    }
}

fn not_first(name: Name, head: &Head<'_>) -> MagicError {
    let message = format!("`%{name}` must be the first line of its cell, since it takes the whole cell");
    let help = match name.takes_code() {
        true => format!("for one line use `{name} CODE`; the rest can be a cell of its own"),
        false => "the rest can be a cell of its own".to_owned(),
    };
    head.error(message).with_help(help)
}

/// `:dep`, `:vars` and the like take a line each; `::std::...` is Rust.
fn is_evcxr_command(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with(':') && !line.starts_with("::")
}
