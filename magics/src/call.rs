//! One use of a magic: its flags, what stands behind them, and what can be wrong with that.

use crate::error::MagicError;
use crate::head::Head;
use crate::magic::{Form, Magic, Name};
use crate::magics::Command;
use crate::words::{Word, Words};
use crate::{Code, PxConfig, scan};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::error::Error as _;

/// A use of a magic, while it is read.
pub(crate) struct Call<'h, 'a> {
    pub magic: Name,
    pub head: &'h Head<'a>,
    /// The defaults of the flags.
    pub config: &'h PxConfig,
    pub words: Words,
    /// The lines below a `%%name`.
    pub body: Option<Code<'a>>,
    command: clap::Command,
    noted: Option<MagicError>,
}

/// What a use of a magic says.
pub(crate) struct Reading<'a> {
    /// What is to be done. Of a magic with an error this is no more than what is understood.
    pub command: Option<Command<'a>>,
    /// Where on the line the Rust begins that it takes, if it takes any.
    pub code: Option<usize>,
    /// What is wrong.
    pub error: Option<MagicError>,
}

/// Reads the line of a magic, and for a `%%name` what stands below it.
pub(crate) fn read<'a>(magic: Name, head: &Head<'a>, below: Code<'a>, config: &PxConfig) -> Reading<'a> {
    let wrong = |error| Reading { command: None, code: None, error: Some(error) };
    if head.asks_for_help() {
        let command = if head.asks_for_pager() { Command::Page(magic) } else { Command::Help(magic) };
        return Reading { command: Some(command), code: None, error: None };
    }
    match (magic.0.form, head.double) {
        (Form::Cell, false) => {
            let message = format!("`{magic}` is a magic for whole cells: write it as `%{magic}`");
            return wrong(head.error(message).with_help(format!("usage: {}", magic.0.usage)));
        }
        (Form::Line, true) => {
            return wrong(head.error(format!("`{magic}` is a magic for one line: write it with a single `%`")));
        }
        _ => {}
    }
    let command = magic.flags();
    let (words, error) = match Words::split(head, &command) {
        Ok(words) => (words, None),
        Err(error) => (Words { flags: Vec::new(), code: head.line.text.len() }, Some(error)),
    };
    let body = head.double.then_some(below);
    let mut call = Call { magic, head, config, words, body, command, noted: error };
    let command = match (magic.0.read)(&mut call) {
        Ok(Some(command)) => {
            if !magic.takes_code() {
                call.refuse_rest();
            }
            Some(command)
        }
        Ok(None) => Some(Command::Help(magic)),
        Err(error) => {
            call.note(error);
            None
        }
    };
    Reading { command, code: magic.takes_code().then_some(call.words.code), error: call.noted }
}

impl<'a> Call<'_, 'a> {
    /// Its flags; `None` if they ask for help.
    pub fn flags<M: Magic>(&mut self) -> Result<Option<M>, MagicError> {
        let values = self.words.flags.iter().map(|word| &word.value);
        match self.command.try_get_matches_from_mut(values).and_then(|matches| M::from_arg_matches(&matches)) {
            Ok(flags) => Ok(Some(flags)),
            Err(error) if error.kind() == ErrorKind::DisplayHelp => Ok(None),
            Err(error) => {
                let error = self.explain(&error);
                // Where its Rust would run must be known while its flags are being written.
                let Ok(flags) = M::try_parse_from([""; 0]) else { return Err(error) };
                self.note(error);
                Ok(Some(flags))
            }
        }
    }

    /// Keeps an error, if it is the first.
    pub fn note(&mut self, error: MagicError) {
        self.noted.get_or_insert(error);
    }

    /// What stands behind the flags.
    pub fn rest(&self) -> Code<'a> {
        self.head.line.code(self.words.code)
    }

    /// An error about what stands behind the flags.
    pub fn error_at_rest(&self, message: impl Into<String>) -> MagicError {
        self.head.line.error(self.head.line.rest(self.words.code), message)
    }

    /// The Rust that it takes: the rest of its line, which must be there and be complete, or the lines below a
    /// `%%name`, on whose line then nothing but flags may stand.
    pub fn code(&mut self) -> Code<'a> {
        let (rest, magic) = (self.rest(), self.magic);
        let is_empty = rest.text.trim().is_empty();
        match self.body {
            Some(body) => {
                if !is_empty {
                    let error = self.error_at_rest(format!("only flags may stand on the line of `%{magic}`"));
                    let help = format!("the code begins on the next line; `{magic} CODE` runs a single line");
                    self.note(error.with_help(help));
                }
                body
            }
            None => {
                if is_empty {
                    let error = self.head.error(format!("`{magic}` needs code on its line"));
                    self.note(error.with_help(format!("for code of several lines begin the cell with `%{magic}`")));
                }
                self.refuse_open();
                rest
            }
        }
    }

    /// The lines below it, whatever they are.
    pub fn text(&self) -> &'a str {
        self.body.map_or("", |body| body.text)
    }

    /// The code of a line can't go on below it.
    pub fn refuse_open(&mut self) {
        if self.body.is_none() && scan::is_open(self.rest().text) {
            let magic = self.magic;
            let error = self.error_at_rest(format!(
                "the code of `{magic}` ends with its line, and something that it opens isn't closed there"
            ));
            self.note(error.with_help(format!("for code of several lines begin the cell with `%{magic}`")));
        }
    }

    /// What becomes the body of a closure must not end it.
    pub fn refuse_closing(&mut self) {
        let error = match self.body {
            Some(body) if scan::closes_too_much(body.text) => {
                self.head.error("the code below closes a bracket that it hasn't opened")
            }
            None if scan::closes_too_much(self.rest().text) => {
                self.error_at_rest("the code closes a bracket that it hasn't opened")
            }
            _ => return,
        };
        self.note(error);
    }

    /// Nothing may stand behind the flags.
    fn refuse_rest(&mut self) {
        let rest = self.rest().text.trim_end();
        if !rest.is_empty() {
            let error = self.error_at_rest(format!("`{}` doesn't take `{rest}`", self.magic));
            self.note(error.with_help(format!("usage: {}", self.magic.0.usage)));
        }
    }

    /// An error about a word, or about the whole line if it isn't there.
    pub fn error(&self, word: Option<&Word>, message: impl Into<String>) -> MagicError {
        let whole = self.head.line.rest(self.head.start);
        self.head.line.error(word.map_or(whole, |word| word.at.clone()), message)
    }

    /// An error about a flag, which has these names.
    pub fn error_at(&self, flag: &[&str], message: impl Into<String>) -> MagicError {
        self.error(self.words.flag(flag), message)
    }

    /// An error about the last word with this text in it.
    pub fn error_at_word(&self, text: &str, message: impl Into<String>) -> MagicError {
        let words = || self.words.flags.iter().rev();
        self.error(words().find(|word| word.value == text).or(words().find(|word| word.value.contains(text))), message)
    }

    /// The column of the first word that is this name, perhaps beside others and commas.
    pub fn column_of(&self, name: &str) -> usize {
        let line = self.head.line;
        let place = self.words.flags.iter().find_map(|word| {
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

    /// The value of a flag as Rust. `None` if it isn't written as it is meant, but with escapes.
    pub fn value_code(&self, flag: &str) -> Option<Code<'a>> {
        let word = self.words.value(flag)?;
        let prefix = format!("{flag}=");
        let value = word.value.strip_prefix(&prefix).unwrap_or(&word.value);
        let line = self.head.line;
        let start = word.at.start + line.text.get(word.at.clone())?.find(value)?;
        let text = scan::without_comment(line.text.get(start..start + value.len())?).trim_end();
        Some(Code { text, ..line.code(start) })
    }

    /// clap's complaint in a sentence of ours, with its place in the line.
    fn explain(&self, error: &clap::Error) -> MagicError {
        let context = |kind| match error.get(kind) {
            Some(ContextValue::String(text)) => Some(text.clone()),
            // Of several suggestions the last is the nearest.
            Some(ContextValue::Strings(texts)) if kind != ContextKind::ValidValue => texts.last().cloned(),
            Some(ContextValue::Strings(texts)) => Some(texts.join("`, `")),
            _ => None,
        };
        let (magic, words) = (self.magic, &self.words);
        let argument = context(ContextKind::InvalidArg).unwrap_or_default();
        // clap says `--targets <T>`; the word in the line is only the first of these.
        let flag = argument.split([' ', '=']).next().unwrap_or_default();
        let value = context(ContextKind::InvalidValue).unwrap_or_default();
        let shown = self.head.written();
        let at_value = || words.flags.iter().rev().find(|word| word.value.ends_with(&value));
        let did_you_mean =
            |near: Option<String>| near.map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
        let (word, message) = match error.kind() {
            ErrorKind::UnknownArgument => {
                let hint = match context(ContextKind::SuggestedArg) {
                    None if magic.takes_code() => ": if it is code, write `--` before it".to_owned(),
                    near => did_you_mean(near),
                };
                let kind = if flag.starts_with('-') { "the flag " } else { "" };
                (words.flag(&[flag]), format!("`{shown}` doesn't take {kind}`{argument}`{hint}"))
            }
            ErrorKind::InvalidSubcommand => {
                let wrong = context(ContextKind::InvalidSubcommand).unwrap_or_default();
                let near = context(ContextKind::SuggestedSubcommand);
                let word = words.flags.iter().find(|word| word.value == wrong);
                (word, format!("`{shown}` doesn't know `{wrong}`{}", did_you_mean(near)))
            }
            ErrorKind::InvalidValue if value.is_empty() => (words.flags.last(), format!("`{flag}` needs a value")),
            ErrorKind::InvalidValue => {
                let valid = context(ContextKind::ValidValue).unwrap_or_default();
                (at_value(), format!("`{flag}` can't be `{value}`: it is one of `{valid}`"))
            }
            ErrorKind::ValueValidation => {
                let why = error.source().map(|why| format!(": {why}")).unwrap_or_default();
                (at_value(), format!("`{flag}` can't be `{value}`{why}"))
            }
            ErrorKind::MissingRequiredArgument => {
                (None, format!("`{}` is missing", argument.trim_matches(['<', '>', '.'])))
            }
            _ => {
                let text = error.to_string();
                let first = text.lines().next().unwrap_or_default();
                (None, first.strip_prefix("error: ").unwrap_or(first).to_owned())
            }
        };
        let usage = format!("usage: {}; `{magic}?` tells more", magic.0.usage);
        self.error(word, message).with_help(usage)
    }
}
