//! From the line of a magic, and for some the lines below it, to what it asks for.

use super::data::{self, CancelFlags, Way};
use super::error::MagicError;
use super::everyday::{LoadFlags, ScriptFlags, ShellFlags, TimeItFlags, WriteFlags};
use super::flags::{ClusterFlags, ConfigFlags, NoFlags, PxFlags, ResultFlags};
use super::line::{Head, Reader, split_all, split_flags};
use super::map;
use super::name::Form;
use super::snapshot::SnapshotFlags;
use super::{Code, Command, Input, Name, Part, PxConfig, Timed, scan};
use std::ops::Range;

/// Reads a line magic.
pub(super) fn line<'a>(name: Name, head: &Head<'a>, config: &PxConfig) -> Result<Command<'a>, MagicError> {
    if head.asks_for_help() {
        return Ok(if head.asks_for_pager() { Command::Page(name) } else { Command::Help(name) });
    }
    if name.form() == Form::Cell {
        let message = format!("`%{0}` is a magic for whole cells: write it as `%%{0}`", name.as_str());
        return Err(head.error(message).with_help(format!("usage: {}", name.usage())));
    }
    let reader = Reader { name, head };
    let words = match name {
        Name::Cluster | Name::Snapshot | Name::Load => split_all(head)?,
        Name::Push | Name::Pull | Name::Scatter | Name::Gather | Name::Cancel => split_all(head)?,
        _ => split_flags(head, &name.flags())?,
    };
    let rest = words.code..head.line.text.trim_end().len();
    let code = Code { text: head.line.from(words.code), line: head.line.number, column: head.line.column(words.code) };
    let transfer = |way| Ok(data::transfer(way, &reader, &words, config)?.map(Command::Transfer));
    let command = match name {
        Name::Px => reader.parse::<PxFlags>(&words)?.map(|flags| Command::Px { options: flags.over(config), code }),
        Name::Map => {
            refuse_open(name, head, code, rest.clone())?;
            map::read(&reader, &words, config, None)?.map(|map| Command::Map(Box::new(map)))
        }
        Name::Push => transfer(Way::Push)?,
        Name::Pull => transfer(Way::Pull)?,
        Name::Scatter => transfer(Way::Scatter { round_robin: false })?,
        Name::Gather => transfer(Way::Gather)?,
        Name::Tasks => reader.parse::<NoFlags>(&words)?.map(|_| Command::Tasks),
        Name::Cancel => reader.parse::<CancelFlags>(&words)?.map(|flags| Command::Cancel(flags.wanted())),
        Name::Time => match reader.parse::<NoFlags>(&words)? {
            None => None,
            Some(_) => Some(Command::Time(match Head::find_from(head.line, words.code) {
                Some(inner) => return timed_magic(&inner, code, config),
                None => Timed::Line(code),
            })),
        },
        Name::TimeIt => reader.parse::<TimeItFlags>(&words)?.map(|flags| Command::TimeIt { flags, setup: None, code }),
        Name::AutoPx => reader.parse::<ConfigFlags>(&words)?.map(|flags| Command::AutoPx(flags.over(config))),
        Name::PxConfig => {
            let changed = !words.flags.is_empty();
            reader.parse::<ConfigFlags>(&words)?.map(|flags| Command::PxConfig { config: flags.over(config), changed })
        }
        Name::PxResult => reader.parse::<ResultFlags>(&words)?.map(|flags| Command::PxResult(flags.over(config))),
        Name::Cluster => reader.parse::<ClusterFlags>(&words)?.map(|flags| Command::Cluster(flags.wanted())),
        Name::Snapshot => reader.parse::<SnapshotFlags>(&words)?.map(|flags| Command::Snapshot(flags.wanted())),
        Name::Load => reader.parse::<LoadFlags>(&words)?.map(|flags| Command::Load { file: flags.file }),
        Name::Who => reader.parse::<NoFlags>(&words)?.map(|_| Command::Who { types: false }),
        Name::Whos => reader.parse::<NoFlags>(&words)?.map(|_| Command::Who { types: true }),
        Name::LsMagic => reader.parse::<NoFlags>(&words)?.map(|_| Command::LsMagic),
        Name::Bash | Name::Sh | Name::Script | Name::WriteFile | Name::File => None,
    };
    let Some(command) = command else { return Ok(Command::Help(name)) };
    if name.takes_code() {
        if code.text.trim().is_empty() {
            let help = format!("for code of several lines begin the cell with `%{name}`");
            return Err(head.error(format!("`{name}` needs code on its line")).with_help(help));
        }
        let mut scanner = scan::Scanner::default();
        scanner.read(code.text);
        if name == Name::TimeIt && scanner.closes_too_much() {
            return Err(head.line.error(rest, "the code closes a bracket that it hasn't opened"));
        }
        refuse_open(name, head, code, rest)?;
    } else if !rest.is_empty() {
        return Err(excess(name, head, rest));
    }
    Ok(command)
}

/// `%time` before another magic.
fn timed_magic<'a>(head: &Head<'a>, code: Code<'a>, config: &PxConfig) -> Result<Command<'a>, MagicError> {
    let name = head.magic().filter(|_| head.stands_alone()).ok_or_else(|| head.unknown())?;
    if head.double {
        let message = format!("`%{name}` takes the whole cell, and here it stands in a line");
        let help = format!("begin the cell with `%%time`, with `%{name}` below it, or use `{name}` here");
        return Err(head.error(message).with_help(help));
    }
    if name == Name::Time {
        return Err(head.error("one `%time` times the whole line already"));
    }
    let command = line(name, head, config)?;
    Ok(Command::Time(Timed::Cell(vec![Part::Magic { text: code.text, line: code.line, command }])))
}

/// The code of a line can't go on below it.
fn refuse_open(name: Name, head: &Head<'_>, code: Code<'_>, rest: Range<usize>) -> Result<(), MagicError> {
    let mut scanner = scan::Scanner::default();
    scanner.read(code.text);
    if !scanner.is_open() {
        return Ok(());
    }
    let message = format!("the code of `{name}` ends with its line, and something that it opens isn't closed there");
    let help = format!("for code of several lines begin the cell with `%{name}`");
    Err(head.line.error(rest, message).with_help(help))
}

/// Reads the line of a cell magic; `body` are the lines below it. (`%%time` is read by [`super::parse`], since its body
/// is a cell again.)
pub(super) fn cell<'a>(
    name: Name,
    head: &Head<'a>,
    config: &PxConfig,
    body: Code<'a>,
) -> Result<Command<'a>, MagicError> {
    if head.asks_for_help() {
        return Ok(if head.asks_for_pager() { Command::Page(name) } else { Command::Help(name) });
    }
    if name.form() == Form::Line {
        return Err(head.error(format!("`{name}` is a magic for one line: write it with a single `%`")));
    }
    let reader = Reader { name, head };
    let words = match name.form() {
        Form::Cell => split_all(head)?,
        _ => split_flags(head, &name.flags())?,
    };
    let rest = words.code..head.line.text.trim_end().len();
    let script = |program: String, args, input| Command::Script { program, args, input, script: body.text };
    let command = match name {
        Name::Px => {
            reader.parse::<PxFlags>(&words)?.map(|flags| Command::Px { options: flags.over(config), code: body })
        }
        Name::Map => map::read(&reader, &words, config, Some(body))?.map(|map| Command::Map(Box::new(map))),
        Name::Time => reader.parse::<NoFlags>(&words)?.map(|_| Command::Time(Timed::Cell(Vec::new()))),
        Name::TimeIt => match reader.parse::<TimeItFlags>(&words)? {
            None => None,
            Some(flags) => Some(Command::TimeIt { flags, setup: setup(head, words.code)?, code: body }),
        },
        Name::Bash | Name::Sh => reader
            .parse::<ShellFlags>(&words)?
            .map(|flags| script(name.as_str().to_owned(), flags.args, Input::Argument)),
        Name::Script => {
            reader.parse::<ScriptFlags>(&words)?.map(|flags| script(flags.program, flags.args, Input::Stdin))
        }
        Name::WriteFile | Name::File => reader.parse::<WriteFlags>(&words)?.map(|flags| Command::WriteFile {
            file: flags.file,
            append: flags.append,
            text: body.text,
        }),
        _ => None,
    };
    let Some(command) = command else { return Ok(Command::Help(name)) };
    if let Name::TimeIt | Name::Map = name {
        // It becomes the body of a closure, which it must not end.
        let mut scanner = scan::Scanner::default();
        scanner.read(body.text);
        if scanner.closes_too_much() {
            return Err(head.error("the code below closes a bracket that it hasn't opened"));
        }
    }
    if !rest.is_empty() && !matches!(name, Name::TimeIt | Name::Map) {
        let message = format!("only flags may stand on the line of `%{name}`");
        let help = format!("the code begins on the next line; `{name} CODE` runs a single line");
        return Err(head.line.error(rest, message).with_help(help));
    }
    Ok(command)
}

/// What runs once before a `%%timeit`: the rest of its line.
fn setup<'a>(head: &Head<'a>, from: usize) -> Result<Option<Code<'a>>, MagicError> {
    let text = head.line.from(from);
    if text.trim().is_empty() {
        return Ok(None);
    }
    let mut scanner = scan::Scanner::default();
    scanner.read(text);
    if scanner.is_open() || scanner.closes_too_much() || scan::ends_in_comment(text) {
        let message = "the setup of `%%timeit` ends with its line: it must close what it opens and no more, \
            and can't end in a comment";
        return Err(head.line.error(from..head.line.text.trim_end().len(), message));
    }
    Ok(Some(Code { text, line: head.line.number, column: head.line.column(from) }))
}

fn excess(name: Name, head: &Head<'_>, rest: Range<usize>) -> MagicError {
    let message = format!("`{name}` doesn't take `{}`", head.line.from(rest.start).trim_end());
    head.line.error(rest, message).with_help(format!("usage: {}", name.usage()))
}
