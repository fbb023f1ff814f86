//! The words of a magic's line: which are flags, and where the code begins.

use crate::error::{Line, MagicError};
use crate::head::Head;
use crate::scan;
use std::ops::Range;

/// A word of the line, without its quotes.
pub(crate) struct Word {
    pub at: Range<usize>,
    pub value: String,
}

pub(crate) struct Words {
    pub flags: Vec<Word>,
    /// Where the code begins, or the end of the line.
    pub code: usize,
}

impl Words {
    /// The words of the line that this clap command reads: those that are flags and values of flags, or all, if it
    /// has arguments of another kind.
    pub fn split(head: &Head<'_>, command: &clap::Command) -> Result<Words, MagicError> {
        let line = head.line;
        let all = command.has_subcommands() || command.get_positionals().next().is_some();
        let takes_closure = |arg: &clap::Arg| arg.get_value_names().is_some_and(|names| names == ["CLOSURE"]);
        let (mut flags, mut wanted) = (Vec::new(), None);
        let mut at = line.skip_space(head.end);
        while !line.from(at).is_empty() && (all || wanted.is_some() || is_flag(line.from(at))) {
            let word = match wanted.is_some_and(takes_closure) {
                true => closure(line, at, command)?,
                false => word(line, at)?,
            };
            at = line.skip_space(word.at.end);
            if word.value == "--" && wanted.is_none() && !all {
                break;
            }
            wanted = if all || wanted.is_some() { None } else { argument(command, &word.value) };
            flags.push(word);
        }
        Ok(Words { flags, code: at })
    }

    /// The last word that says a flag of one of these names.
    pub fn flag(&self, names: &[&str]) -> Option<&Word> {
        self.flags.iter().rev().find(|word| names.iter().any(|name| says(&word.value, name)))
    }

    /// The word with the last value of a flag, perhaps with the flag itself.
    pub fn value(&self, flag: &str) -> Option<&Word> {
        let at = self.flags.iter().rposition(|word| says(&word.value, flag))?;
        let has_value = self.flags.get(at)?.value.contains('=');
        self.flags.get(if has_value { at } else { at + 1 })
    }
}

/// `-1` or `-(a + b)` is code, as is all that doesn't begin with `-`.
fn is_flag(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next() == Some('-') && chars.next().is_some_and(|c| c == '-' || c.is_alphabetic())
}

/// The argument whose value the word after this flag is.
pub(crate) fn argument<'c>(command: &'c clap::Command, flag: &str) -> Option<&'c clap::Arg> {
    // A value that may be left out stands in the same word.
    let is_next = |arg: &&clap::Arg| arg.get_action().takes_values() && !arg.is_require_equals_set();
    let arguments = || command.get_arguments().filter(is_next);
    if let Some(long) = flag.strip_prefix("--") {
        return arguments().find(|arg| arg.get_long() == Some(long));
    }
    let shorts = flag.strip_prefix('-')?;
    // What follows in the same word would be the value.
    let (at, found) = shorts.char_indices().find_map(|(at, short)| {
        Some((at + short.len_utf8(), arguments().find(|arg| arg.get_short() == Some(short))?))
    })?;
    (at == shorts.len()).then_some(found)
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
            None => flag.len() == 2 && argument(command, flag).is_some() && rest.contains(' '),
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

/// Whether this word of the line says this flag, perhaps among other one-letter flags or with its value.
fn says(word: &str, flag: &str) -> bool {
    let letter = flag.strip_prefix('-').filter(|rest| rest.chars().count() == 1);
    match letter {
        Some(letter) => !word.starts_with("--") && word.starts_with('-') && word.contains(letter),
        None => word.split('=').next() == Some(flag),
    }
}
