//! One line with a magic: which words of it are flags, what is wrong with them, where the code begins.

use super::error::{Line, MagicError, nearest};
use super::name::Form;
use super::{Code, Name, scan};
use clap::FromArgMatches;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::error::Error as _;
use std::ops::Range;

/// A line that a magic's sign and name begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'a> {
    pub(super) line: Line<'a>,
    /// Where the first `%` is.
    pub(super) start: usize,
    /// Whether there are two of them.
    pub(super) double: bool,
    pub(super) name: &'a str,
    /// Where the name ends.
    pub(super) end: usize,
}

impl<'a> Head<'a> {
    /// The head of a line, if it begins with `%` and a name.
    pub(super) fn find(line: Line<'a>) -> Option<Head<'a>> {
        Head::find_from(line, 0)
    }

    /// The same for what begins at this byte of the line.
    pub(super) fn find_from(line: Line<'a>, at: usize) -> Option<Head<'a>> {
        let start = line.text.len() - line.from(at).trim_start().len();
        let after = line.from(start).strip_prefix('%')?;
        let (double, name) = after.strip_prefix('%').map_or((false, after), |name| (true, name));
        let length = name.find(|c| !scan::is_word(c)).unwrap_or(name.len());
        let name = name.get(..length)?;
        if name.is_empty() || name.starts_with(|c: char| c.is_numeric()) {
            return None;
        }
        let end = start + if double { 2 } else { 1 } + name.len();
        Some(Head { line, start, double, name, end })
    }

    pub(super) fn magic(&self) -> Option<Name> {
        Name::find(self.name)
    }

    /// Whether what follows the name is what follows a magic's name.
    pub(super) fn stands_alone(&self) -> bool {
        self.asks_for_help() || self.line.from(self.end).chars().next().is_none_or(char::is_whitespace)
    }

    pub(super) fn asks_for_help(&self) -> bool {
        matches!(self.line.from(self.end).trim_end(), "?" | "??")
    }

    /// `%px??`, where `%px?` prints.
    pub(super) fn asks_for_pager(&self) -> bool {
        self.line.from(self.end).trim_end() == "??"
    }

    /// The magic as it is written here: `%%px`, without what follows.
    pub(super) fn written(&self) -> &'a str {
        self.line.text.get(self.start..self.end).unwrap_or("")
    }

    /// An error about the name.
    pub(super) fn error(&self, message: impl Into<String>) -> MagicError {
        self.line.error(self.start..self.end, message)
    }

    /// The error for a name that no magic has.
    pub(super) fn unknown(&self) -> MagicError {
        let percent = if self.double { "%%" } else { "%" };
        let near = nearest(self.name, Name::all().map(Name::as_str)).and_then(Name::find);
        let as_meant = |near: Name| match near.form() {
            Form::Line => format!("%{}", near.as_str()),
            Form::Cell => format!("%%{}", near.as_str()),
            Form::Either => format!("{percent}{}", near.as_str()),
        };
        let hint = near.map(|near| format!(": did you mean `{}`?", as_meant(near))).unwrap_or_default();
        self.error(format!("there is no magic `{percent}{}`{hint}", self.name)).with_help("`%lsmagic` lists the magics")
    }
}

/// A word of the line, without its quotes.
pub(super) struct Word {
    at: Range<usize>,
    value: String,
}

pub(super) struct Words {
    pub(super) flags: Vec<Word>,
    /// Where the code begins, or the end of the line.
    pub(super) code: usize,
}

/// The words that are flags and values of flags.
pub(super) fn split_flags(head: &Head<'_>, command: &clap::Command) -> Result<Words, MagicError> {
    let mut flags = Vec::new();
    let mut at = skip_space(head.line, head.end);
    loop {
        let rest = head.line.from(at);
        let mut chars = rest.chars();
        // `-1` or `-(a + b)` is code, as is all that doesn't begin with `-`.
        let is_flag = chars.next() == Some('-') && chars.next().is_some_and(|c| c == '-' || c.is_alphabetic());
        if !is_flag {
            return Ok(Words { flags, code: at });
        }
        let word = word(head.line, at)?;
        at = skip_space(head.line, word.at.end);
        if word.value == "--" {
            return Ok(Words { flags, code: at });
        }
        let wants_value = wants_value(command, &word.value);
        flags.push(word);
        if wants_value && !head.line.from(at).is_empty() {
            let value = match flags.last().is_some_and(|flag| takes_closure(command, &flag.value)) {
                true => closure(head.line, at, command)?,
                false => self::word(head.line, at)?,
            };
            at = skip_space(head.line, value.at.end);
            flags.push(value);
        }
    }
}

/// All words of the line.
pub(super) fn split_all(head: &Head<'_>) -> Result<Words, MagicError> {
    let mut flags = Vec::new();
    let mut at = skip_space(head.line, head.end);
    while !head.line.from(at).is_empty() {
        let word = word(head.line, at)?;
        at = skip_space(head.line, word.at.end);
        flags.push(word);
    }
    Ok(Words { flags, code: at })
}

/// Whether the word after this flag is its value.
pub(super) fn wants_value(command: &clap::Command, flag: &str) -> bool {
    let takes = |arg: &clap::Arg| arg.get_action().takes_values();
    if let Some(long) = flag.strip_prefix("--") {
        return command.get_arguments().any(|arg| arg.get_long() == Some(long) && takes(arg));
    }
    let mut shorts = flag.chars().skip(1);
    while let Some(short) = shorts.next() {
        if command.get_arguments().any(|arg| arg.get_short() == Some(short) && takes(arg)) {
            // What follows in the same word is the value.
            return shorts.next().is_none();
        }
    }
    false
}

fn takes_closure(command: &clap::Command, flag: &str) -> bool {
    let is_closure = |arg: &clap::Arg| arg.get_value_names().is_some_and(|names| names.iter().any(|n| n == "CLOSURE"));
    command.get_arguments().any(|arg| arg.get_long() == flag.strip_prefix("--") && is_closure(arg))
}

/// The closure that begins here without quotes, which ends with its braces or where no Rust but a flag can follow;
/// anything else is a word.
fn closure(line: Line<'_>, at: usize, command: &clap::Command) -> Result<Word, MagicError> {
    let text = line.from(at);
    if !text.starts_with('|') {
        return word(line, at);
    }
    let tokens = scan::outside(text);
    let bars: Vec<usize> = tokens.iter().filter(|at| text.get((*at).clone()) == Some("|")).map(|at| at.start).collect();
    let body = bars.get(1).map_or("", |bar| text.get(bar + 1..).unwrap_or("")).trim_start();
    let begin = text.len() - body.len();
    let is_flag = |place: &usize| {
        let rest = text.get(*place..).unwrap_or("");
        let flag = rest.split([' ', '\t', '=']).next().unwrap_or_default();
        let before = text.get(..*place).is_some_and(|before| before.ends_with(char::is_whitespace));
        let known = match flag.strip_prefix("--") {
            Some(long) => command.get_arguments().any(|arg| arg.get_long() == Some(long)),
            // `a -o b` isn't Rust, while `a -b` is.
            None => flag.len() == 2 && wants_value(command, flag) && rest.contains(' '),
        };
        before && flag.starts_with('-') && known
    };
    let end = match scan::bracketed(body).filter(|_| body.starts_with('{')) {
        Some(length) => Some(begin + length),
        None => tokens.iter().map(|at| at.start).filter(|at| *at >= begin).find(is_flag),
    };
    let end = end.filter(|_| bars.len() > 1).map(|end| text.get(..end).unwrap_or(text).trim_end().len());
    match end {
        Some(end) => Ok(Word { at: at..at + end, value: text.get(..end).unwrap_or(text).to_owned() }),
        None => {
            let message = "where this closure ends can't be told";
            let help = "put it into quotes: '|a, b| a + b'";
            Err(line.error(at..line.text.trim_end().len(), message).with_help(help))
        }
    }
}

fn skip_space(line: Line<'_>, at: usize) -> usize {
    line.text.len() - line.from(at).trim_start().len()
}

/// The word that begins here; quotes hold words together as they do in a shell.
fn word(line: Line<'_>, at: usize) -> Result<Word, MagicError> {
    let text = line.from(at);
    let mut quote = None;
    let mut end = text.len();
    let mut chars = text.char_indices();
    while let Some((place, c)) = chars.next() {
        match quote {
            _ if c == '\\' && quote != Some('\'') => {
                chars.next();
            }
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '"' || c == '\'' => quote = Some(c),
            None if c.is_whitespace() => {
                end = place;
                break;
            }
            None => {}
        }
    }
    let raw = text.get(..end).unwrap_or(text);
    match shlex::split(raw) {
        // For a shell `#` begins a comment, which leaves no word at all.
        Some(words) => Ok(Word { at: at..at + end, value: words.into_iter().next().unwrap_or_else(|| raw.to_owned()) }),
        None => Err(line.error(at..at + end, "a quote isn't closed")),
    }
}

pub(super) struct Reader<'h, 'a> {
    pub(super) name: Name,
    pub(super) head: &'h Head<'a>,
}

impl<'a> Reader<'_, 'a> {
    /// An error about a flag, which has these names; about the whole line if it isn't there.
    pub(super) fn error_at(&self, words: &Words, flag: &[&str], message: impl Into<String>) -> MagicError {
        let word = words.flags.iter().rev().find(|word| flag.iter().any(|name| says(&word.value, name)));
        let whole = self.head.start..self.head.line.text.trim_end().len();
        self.head.line.error(word.map_or(whole, |word| word.at.clone()), message)
    }

    /// An error about the value of a flag.
    pub(super) fn error_at_value(&self, words: &Words, flag: &str, message: impl Into<String>) -> MagicError {
        match value_word(words, flag) {
            Some(word) => self.head.line.error(word.at.clone(), message),
            None => self.error_at(words, &[flag], message),
        }
    }

    /// The line's number in the cell.
    pub(super) fn line(&self) -> usize {
        self.head.line.number
    }

    /// The column of the first word that is this name, perhaps beside others and commas.
    pub(super) fn column_of(&self, words: &Words, name: &str) -> usize {
        let line = self.head.line;
        let place = words.flags.iter().find_map(|word| {
            let text = line.text.get(word.at.clone())?;
            let mut at = word.at.start;
            text.split_inclusive(',').find_map(|piece| {
                let start = at;
                at += piece.len();
                (piece.trim_end_matches(',') == name).then_some(start)
            })
        });
        line.column(place.unwrap_or(self.head.start))
    }

    /// An error about the last word with this text in it.
    pub(super) fn error_at_word(&self, words: &Words, text: &str, message: impl Into<String>) -> MagicError {
        let exact = words.flags.iter().rev().find(|word| word.value == text);
        let word = exact.or_else(|| words.flags.iter().rev().find(|word| word.value.contains(text)));
        let whole = self.head.start..self.head.line.text.trim_end().len();
        self.head.line.error(word.map_or(whole, |word| word.at.clone()), message)
    }

    /// The value of a flag as Rust. `None` if it isn't written as it is meant, but with escapes.
    pub(super) fn value_code(&self, words: &Words, flag: &str) -> Option<Code<'a>> {
        let word = value_word(words, flag)?;
        let prefix = format!("{flag}=");
        let value = word.value.strip_prefix(&prefix).unwrap_or(&word.value);
        let line = self.head.line;
        let start = word.at.start + line.text.get(word.at.clone())?.find(value)?;
        let text = scan::without_comment(line.text.get(start..start + value.len())?).trim_end();
        Some(Code { text, line: line.number, column: line.column(start) })
    }

    /// The flags that the words say, or `None` when they ask for help.
    pub(super) fn parse<F: FromArgMatches>(&self, words: &Words) -> Result<Option<F>, MagicError> {
        let values = words.flags.iter().map(|word| &word.value);
        match self.name.flags().try_get_matches_from(values).and_then(|matches| F::from_arg_matches(&matches)) {
            Ok(flags) => Ok(Some(flags)),
            Err(error) if error.kind() == ErrorKind::DisplayHelp => Ok(None),
            Err(error) => Err(self.explain(&error, words)),
        }
    }

    /// clap's complaint in a sentence of ours, with its place in the line.
    fn explain(&self, error: &clap::Error, words: &Words) -> MagicError {
        let context = |kind| match error.get(kind) {
            Some(ContextValue::String(text)) => Some(text.clone()),
            // Of several suggestions the last is the nearest.
            Some(ContextValue::Strings(texts)) if kind != ContextKind::ValidValue => texts.last().cloned(),
            Some(ContextValue::Strings(texts)) => Some(texts.join("`, `")),
            _ => None,
        };
        let name = self.name;
        let argument = context(ContextKind::InvalidArg).unwrap_or_default();
        // clap says `--targets <T>`; the word in the line is only the first of these.
        let flag = argument.split([' ', '=']).next().unwrap_or_default();
        let value = context(ContextKind::InvalidValue).unwrap_or_default();
        let usage = format!("usage: {}; `%{}?` tells more", name.usage(), name.as_str());
        let shown = self.head.written();
        let whole = self.head.start..self.head.line.text.trim_end().len();
        let place = |word: Option<&Word>| word.map_or(whole.clone(), |word| word.at.clone());
        let at_flag = || place(words.flags.iter().rev().find(|word| says(&word.value, flag)));
        let at_value = || place(words.flags.iter().rev().find(|word| word.value.ends_with(&value)));
        let did_you_mean =
            |near: Option<String>| near.map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
        let (at, message) = match error.kind() {
            ErrorKind::UnknownArgument => {
                let hint = match context(ContextKind::SuggestedArg) {
                    None if name.takes_code() => ": if it is code, write `--` before it".to_owned(),
                    near => did_you_mean(near),
                };
                let kind = if flag.starts_with('-') { "the flag " } else { "" };
                (at_flag(), format!("`{shown}` doesn't take {kind}`{argument}`{hint}"))
            }
            ErrorKind::InvalidSubcommand => {
                let wrong = context(ContextKind::InvalidSubcommand).unwrap_or_default();
                let at = place(words.flags.iter().find(|word| word.value == wrong));
                let near = context(ContextKind::SuggestedSubcommand);
                (at, format!("`{shown}` doesn't know `{wrong}`{}", did_you_mean(near)))
            }
            ErrorKind::InvalidValue if value.is_empty() => {
                (place(words.flags.last()), format!("`{flag}` needs a value"))
            }
            ErrorKind::InvalidValue => {
                let valid = context(ContextKind::ValidValue).unwrap_or_default();
                (at_value(), format!("`{flag}` can't be `{value}`: it is one of `{valid}`"))
            }
            ErrorKind::ValueValidation => {
                let why = error.source().map(|why| format!(": {why}")).unwrap_or_default();
                (at_value(), format!("`{flag}` can't be `{value}`{why}"))
            }
            ErrorKind::MissingRequiredArgument => {
                (whole.clone(), format!("`{}` is missing", argument.trim_matches(['<', '>', '.'])))
            }
            _ => {
                let text = error.to_string();
                let first = text.lines().next().unwrap_or_default();
                (whole.clone(), first.strip_prefix("error: ").unwrap_or(first).to_owned())
            }
        };
        self.head.line.error(at, message).with_help(usage)
    }
}

/// The word with the last value of a flag, perhaps with the flag itself.
fn value_word<'w>(words: &'w Words, flag: &str) -> Option<&'w Word> {
    let at = words.flags.iter().rposition(|word| says(&word.value, flag))?;
    let has_value = words.flags.get(at)?.value.contains('=');
    words.flags.get(if has_value { at } else { at + 1 })
}

/// Whether this word of the line says this flag, perhaps among other one-letter flags or with its value.
fn says(word: &str, flag: &str) -> bool {
    let letter = flag.strip_prefix('-').filter(|rest| rest.chars().count() == 1);
    match letter {
        Some(letter) => !word.starts_with("--") && word.starts_with('-') && word.contains(letter),
        None => word.split('=').next() == Some(flag),
    }
}

/// What may be completed to at the end of an unfinished line that begins with `%`: from which byte on, and with what.
pub(super) fn complete(line: &str) -> Option<(usize, Vec<String>)> {
    let head = Head::find(Line { text: line, number: 1 });
    let start = line.len() - line.trim_start().len();
    let typed = line.get(start..)?;
    if !typed.contains(char::is_whitespace) {
        let percent = if typed.starts_with("%%") { "%%" } else { "%" };
        let name = typed.strip_prefix(percent)?;
        let other = if percent == "%" { Form::Cell } else { Form::Line };
        let fitting = Name::all().filter(|magic| magic.form() != other && magic.as_str().starts_with(name));
        return Some((start, fitting.map(|magic| format!("{percent}{}", magic.as_str())).collect()));
    }
    let head = head?;
    let command = head.magic()?.flags();
    let last = line.rfind(char::is_whitespace).map_or(0, |at| at + line[at..].chars().next().map_or(1, char::len_utf8));
    let word = line.get(last..)?;
    // In the code of a `%px`, after its flags, there is nothing to say here.
    let in_flags = match head.magic()? {
        Name::Cluster | Name::Snapshot => true,
        _ => word.starts_with('-') && split_flags(&head, &command).is_ok_and(|words| words.code >= last),
    };
    if !in_flags {
        return None;
    }
    let subcommands = command.get_subcommands().map(|sub| sub.get_name().to_owned());
    let longs = command.get_arguments().filter_map(|arg| arg.get_long().map(|long| format!("--{long}")));
    let candidates: Vec<_> = if word.starts_with('-') { longs.collect() } else { subcommands.collect() };
    Some((last, candidates.into_iter().filter(|candidate| candidate.starts_with(word)).collect()))
}
