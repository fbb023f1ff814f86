//! Splits PTX into words, numbers and signs.

use super::fault::Fault;

/// A piece of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A name, a register, a directive or an instruction with its suffixes.
    Word(&'a str),
    /// It starts with a digit.
    Number(&'a str),
    /// A text in quotes.
    Quoted,
    Sign(u8),
}

/// The tokens of a text, with the lines that they are in.
pub(super) struct Tokens<'a> {
    all: Vec<(Token<'a>, usize)>,
    next: usize,
}

fn in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'.' | b'%')
}

impl<'a> Tokens<'a> {
    pub(super) fn new(text: &'a str) -> Result<Self, Fault> {
        let mut all = Vec::new();
        let mut line = 1;
        let mut rest = text;
        while let Some(&first) = rest.as_bytes().first() {
            let length = match first {
                b'\n' => {
                    line += 1;
                    1
                }
                _ if first.is_ascii_whitespace() => 1,
                b'/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
                b'/' if rest.starts_with("/*") => {
                    let length = rest.find("*/").map_or(rest.len(), |end| end + 2);
                    line += rest.bytes().take(length).filter(|byte| *byte == b'\n').count();
                    length
                }
                b'"' => {
                    let end = rest.bytes().skip(1).position(|byte| matches!(byte, b'"' | b'\n'));
                    all.push((Token::Quoted, line));
                    end.map_or(rest.len(), |end| end + 2)
                }
                _ if in_word(first) => {
                    let length = rest.bytes().position(|byte| !in_word(byte)).unwrap_or(rest.len());
                    let word = rest.get(..length).unwrap_or_default();
                    let token = if first.is_ascii_digit() { Token::Number(word) } else { Token::Word(word) };
                    all.push((token, line));
                    length
                }
                _ if first.is_ascii_punctuation() => {
                    all.push((Token::Sign(first), line));
                    1
                }
                _ => return Err(Fault::Syntax { line, text: "a character that PTX doesn't have".to_owned() }),
            };
            rest = rest.get(length..).unwrap_or_default();
        }
        Ok(Self { all, next: 0 })
    }

    pub(super) fn peek(&self) -> Option<Token<'a>> {
        self.ahead(0)
    }

    /// The token after `count` more.
    pub(super) fn ahead(&self, count: usize) -> Option<Token<'a>> {
        self.all.get(self.next + count).map(|(token, _)| *token)
    }

    /// Takes a token, whatever it is.
    pub(super) fn take(&mut self) -> Result<Token<'a>, Fault> {
        let token = self.peek().ok_or_else(|| self.syntax("it ends too early"))?;
        self.next += 1;
        Ok(token)
    }

    /// Takes a token if it is this sign.
    pub(super) fn sign(&mut self, sign: u8) -> bool {
        let is = self.peek() == Some(Token::Sign(sign));
        self.next += usize::from(is);
        is
    }

    /// Takes this sign.
    pub(super) fn expect(&mut self, sign: u8) -> Result<(), Fault> {
        match self.sign(sign) {
            true => Ok(()),
            false => Err(self.syntax(&format!("`{}` is missing", char::from(sign)))),
        }
    }

    /// Takes a word.
    pub(super) fn word(&mut self) -> Result<&'a str, Fault> {
        match self.peek() {
            Some(Token::Word(word)) => {
                self.next += 1;
                Ok(word)
            }
            _ => Err(self.syntax("a name is missing")),
        }
    }

    /// Takes a word if it is this one.
    pub(super) fn is_word(&mut self, wanted: &str) -> bool {
        let is = self.peek() == Some(Token::Word(wanted));
        self.next += usize::from(is);
        is
    }

    /// Takes a whole number that isn't negative.
    pub(super) fn count(&mut self) -> Result<u64, Fault> {
        match self.peek() {
            Some(Token::Number(text)) => {
                let number = whole(text).ok_or_else(|| self.syntax(&format!("{text} isn't a whole number")))?;
                self.next += 1;
                Ok(number)
            }
            _ => Err(self.syntax("a number is missing")),
        }
    }

    /// Leaves out what is left of a line.
    pub(super) fn skip_line(&mut self) {
        let line = self.line();
        while self.next < self.all.len() && self.line() == line {
            self.next += 1;
        }
    }

    pub(super) fn line(&self) -> usize {
        let at = self.all.get(self.next).or(self.all.last());
        at.map_or(1, |(_, line)| *line)
    }

    pub(super) fn syntax(&self, text: &str) -> Fault {
        Fault::Syntax { line: self.line(), text: text.to_owned() }
    }
}

/// A whole number as PTX writes it: decimal, `0x`, `0b` or octal, perhaps with a `U` behind.
pub(super) fn whole(text: &str) -> Option<u64> {
    let text = text.strip_suffix('U').unwrap_or(text);
    if let Some(digits) = text.strip_prefix("0x").or(text.strip_prefix("0X")) {
        return u64::from_str_radix(digits, 16).ok();
    }
    if let Some(digits) = text.strip_prefix("0b").or(text.strip_prefix("0B")) {
        return u64::from_str_radix(digits, 2).ok();
    }
    match text.strip_prefix('0') {
        Some(digits) if !digits.is_empty() => u64::from_str_radix(digits, 8).ok(),
        _ => text.parse().ok(),
    }
}
