//! Finds the lines of a cell at which a magic may stand.
//!
//! This is as much of Rust's lexical grammar as that question needs: strings, characters, comments, brackets. It never
//! fails: of source that isn't Rust it says something, and rustc says the rest.

/// Reads a cell line by line and knows, between two lines, what the next one can be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scanner {
    state: State,
    depth: usize,
    /// Whether a bracket was closed that wasn't open.
    excess: bool,
    /// The last character that isn't white space or comment, since the last complete line.
    last: Option<char>,
    /// Whether an assignment's `=` stood at depth 0 since the last `;`: a `}` may then be the end of its expression.
    assigns: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Code,
    /// In `"..."`.
    Str,
    /// In `r##"..."##`, with so many `#`.
    RawStr(usize),
    /// In so many nested `/* */`.
    Comment(usize),
}

/// What the next line is, seen from what stands before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The start of a statement: no Rust can begin with `%` here.
    Statement,
    /// After a `}` that ends either a statement or an expression that goes on.
    AfterBrace,
    /// The rest of something: a statement, a string, a comment.
    Rest,
}

impl Scanner {
    /// What the next line can be.
    pub(crate) fn next(&self) -> Next {
        match self.last {
            _ if self.has_open() => Next::Rest,
            None | Some(';') => Next::Statement,
            Some('}') if self.assigns => Next::AfterBrace,
            Some('}') => Next::Statement,
            Some(_) => Next::Rest,
        }
    }

    /// Whether something is open that a later text must close.
    fn has_open(&self) -> bool {
        self.state != State::Code || self.depth > 0
    }

    /// Whether anything but white space and comments was read since the last complete line.
    pub(crate) fn has_code(&self) -> bool {
        self.last.is_some() || self.state == State::Str || matches!(self.state, State::RawStr(_))
    }

    /// A line that isn't Rust and is complete in itself, a magic, was read.
    pub(crate) fn skip_line(&mut self) {
        *self = Scanner::default();
    }

    /// Reads a line of Rust, or a whole text of it.
    pub(crate) fn read(&mut self, text: &str) {
        let mut rest = text;
        while !rest.is_empty() {
            rest = self.step(rest);
        }
    }

    /// Whether what was read last is a comment that may go on.
    pub(crate) fn is_in_comment(&self) -> bool {
        matches!(self.state, State::Comment(_))
    }

    /// Reads a part of a text, and returns what follows it.
    fn step<'a>(&mut self, text: &'a str) -> &'a str {
        match self.state {
            State::Code => self.code(text),
            State::Str => self.string(text),
            State::RawStr(hashes) => self.raw_string(text, hashes),
            State::Comment(depth) => self.comment(text, depth),
        }
    }

    /// Reads one token, or a part of one, and returns what follows it.
    fn code<'a>(&mut self, text: &'a str) -> &'a str {
        if text.starts_with("//") {
            return text.find('\n').and_then(|end| text.get(end..)).unwrap_or("");
        }
        if let Some(rest) = text.strip_prefix("/*") {
            self.state = State::Comment(1);
            return rest;
        }
        let word = text.find(|c: char| !is_word(c)).unwrap_or(text.len());
        if word > 0 {
            let (word, rest) = text.split_at(word);
            self.last = word.chars().next_back();
            if matches!(word, "r" | "br" | "cr") {
                let after = rest.trim_start_matches('#');
                if let Some(inside) = after.strip_prefix('"') {
                    self.state = State::RawStr(rest.len() - after.len());
                    return inside;
                }
            }
            return rest;
        }
        let mut chars = text.chars();
        let Some(c) = chars.next() else { return "" };
        let rest = chars.as_str();
        let before = self.last;
        if !c.is_whitespace() {
            self.last = Some(c);
        }
        match c {
            '"' => self.state = State::Str,
            '\'' => return after_quote(rest),
            '(' | '[' | '{' => self.depth += 1,
            ')' | ']' | '}' => match self.depth.checked_sub(1) {
                Some(depth) => self.depth = depth,
                None => self.excess = true,
            },
            ';' if self.depth == 0 => self.assigns = false,
            '=' if self.depth == 0 => {
                let compares = rest.starts_with(['=', '>']) || matches!(before, Some('=' | '<' | '>' | '!'));
                self.assigns |= !compares;
            }
            _ => {}
        }
        rest
    }

    fn string<'a>(&mut self, text: &'a str) -> &'a str {
        let Some(at) = text.find(['"', '\\']) else { return "" };
        let (_, rest) = text.split_at(at);
        let mut chars = rest.chars();
        if chars.next() == Some('"') {
            self.state = State::Code;
            self.last = Some('"');
        } else {
            chars.next();
        }
        chars.as_str()
    }

    fn raw_string<'a>(&mut self, text: &'a str, hashes: usize) -> &'a str {
        let Some((_, rest)) = text.split_once('"') else { return "" };
        let after = rest.trim_start_matches('#');
        if rest.len() - after.len() < hashes {
            return rest;
        }
        self.state = State::Code;
        self.last = Some('"');
        rest.get(hashes..).unwrap_or("")
    }

    fn comment<'a>(&mut self, text: &'a str, depth: usize) -> &'a str {
        let Some(at) = text.find(['/', '*']) else { return "" };
        let (_, rest) = text.split_at(at);
        if let Some(rest) = rest.strip_prefix("/*") {
            self.state = State::Comment(depth + 1);
            return rest;
        }
        if let Some(rest) = rest.strip_prefix("*/") {
            self.state = if depth > 1 { State::Comment(depth - 1) } else { State::Code };
            return rest;
        }
        rest.get(1..).unwrap_or("")
    }
}

/// What follows a character literal or the `'` of a lifetime. Neither goes beyond its line.
fn after_quote(text: &str) -> &str {
    let mut chars = text.chars();
    match chars.next() {
        Some('\\') if !chars.as_str().starts_with('\n') => {
            // The escaped character may be a quote itself; after it comes the closing one.
            chars.next();
            let rest = chars.as_str();
            let (_, rest) = rest.split_at(rest.find(['\'', '\n']).unwrap_or(rest.len()));
            rest.strip_prefix('\'').unwrap_or(rest)
        }
        Some('\n') | None => text,
        Some(_) => chars.as_str().strip_prefix('\'').unwrap_or(text),
    }
}

/// Whether a line ends in a `//` comment, so that what were put behind it wouldn't be read.
pub(crate) fn ends_in_comment(line: &str) -> bool {
    let mark = '\u{1}';
    let mut scanner = Scanner::default();
    scanner.read(&format!("{line}{mark}"));
    scanner.last != Some(mark)
}

/// The line without a `//` comment at its end.
pub(crate) fn without_comment(line: &str) -> &str {
    let mut scanner = Scanner::default();
    let mut rest = line;
    while !rest.is_empty() {
        if scanner.state == State::Code && rest.starts_with("//") {
            return line.get(..line.len() - rest.len()).unwrap_or(line);
        }
        rest = scanner.step(rest);
    }
    line
}

/// Whether something is open at the end of a text: a bracket, a string or a comment.
pub(crate) fn is_open(text: &str) -> bool {
    let mut scanner = Scanner::default();
    scanner.read(text);
    scanner.has_open()
}

/// Whether a text closes a bracket that it hasn't opened.
pub(crate) fn closes_too_much(text: &str) -> bool {
    let mut scanner = Scanner::default();
    scanner.read(text);
    scanner.excess
}

/// What follows the string or character literal that a text begins with, if it is closed.
pub(crate) fn quoted(text: &str) -> Option<&str> {
    if !text.starts_with(['"', '\'']) {
        return None;
    }
    let mut scanner = Scanner::default();
    let mut rest = scanner.step(text);
    while scanner.state != State::Code && !rest.is_empty() {
        rest = scanner.step(rest);
    }
    (scanner.state == State::Code).then_some(rest)
}

/// How long the brackets and what they hold are that a text begins with, if they are closed again.
pub(crate) fn bracketed(text: &str) -> Option<usize> {
    let mut scanner = Scanner::default();
    let mut rest = text;
    while !rest.is_empty() {
        rest = scanner.step(rest);
        if !scanner.has_open() {
            return text.starts_with(['(', '[', '{']).then(|| text.len() - rest.len());
        }
    }
    None
}

/// The tokens of a text that stand outside of brackets, strings and comments, in order: words, and single characters.
pub(crate) fn outside(text: &str) -> Vec<std::ops::Range<usize>> {
    let mut scanner = Scanner::default();
    let mut tokens = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (outside, before) = (scanner.state == State::Code && scanner.depth == 0, rest);
        rest = scanner.step(rest);
        let token = before.get(..before.len() - rest.len()).unwrap_or("");
        let is_token = scanner.state == State::Code && scanner.depth == 0 && !token.trim().is_empty();
        if outside && is_token && !token.starts_with("//") {
            let start = text.len() - before.len();
            tokens.push(start..start + token.len());
        }
    }
    tokens
}

pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn after(text: &str) -> Next {
        let mut scanner = Scanner::default();
        for line in text.split_inclusive('\n') {
            scanner.read(line);
        }
        scanner.next()
    }

    #[test]
    fn complete_lines_leave_room_for_a_magic() {
        for text in [
            "",
            "let a = 1;\n",
            "fn f() {}\n",
            "let a = 1; // %px\n",
            "/* /* */ */\n",
            "// let a =\n",
            "let a = '{';\n",
            "let a = b'\\'';\n",
            "let a = '\"';\n",
            "fn f<'a>(x: &'a str) -> &'a str { x }\n",
            "let a = r#\"\"{\"#;\n",
            "let a = r\"\\\";\n",
            "let a = \"\\\\\";\n",
            "let r#type = 1;\n",
            "let a = 1_u8; struct S;\n",
            "if a == b { }\n",
            "match a { b => {} }\n",
        ] {
            assert_eq!(after(text), Next::Statement, "{text:?}");
        }
    }

    #[test]
    fn unfinished_lines_do_not() {
        for text in [
            "let a = b\n",
            "let a = (\n",
            "let a = \"x;\n",
            "let a = \"x\\\";\n",
            "let a = r#\"x\";\n",
            "let a = br##\"x\"#;\n",
            "/* /* */ ;\n",
            "fn f() {\n",
            "#[derive(Debug)]\n",
        ] {
            assert_eq!(after(text), Next::Rest, "{text:?}");
        }
        assert_eq!(after("let a = if b { 1 } else { 2 }\n"), Next::AfterBrace);
    }

    proptest! {
        #[test]
        fn the_cuts_between_lines_change_nothing(text in "[a\"'\\\\/*rb#{}();= \n]{0,60}") {
            let mut whole = Scanner::default();
            whole.read(&text);
            prop_assert_eq!(after(&text), whole.next());
        }
    }
}
